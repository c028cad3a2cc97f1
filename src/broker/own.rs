use serde_json::Value;

use super::answer::Answer;
use super::supervisor::Supervisor;
use crate::policy::endpoints::{Call, Own, Parameter};

/// What is in the way of a call although the role has the permission.
pub(super) enum Objection {
    /// It is about this app, or could be.
    Ours(Ours),
    /// The body names a folder that is none; this is what is wrong.
    Unfit(String),
    /// Whether it is about this app could not be asked.
    Unasked(Answer),
}

/// Why a call is refused as one about this app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ours {
    /// It names this app.
    Named,
    /// It names an app, and which one is ours is not known.
    Unknown,
    /// Which apps it means cannot be told.
    Unclear,
    /// It brings the folder from which this app is built.
    Source,
}

impl Ours {
    /// As the record and the refusal say it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Named => "it is about this app itself, which nobody changes from inside",
            Self::Unknown => {
                "it could be about this app itself: the Supervisor does not say which one that is"
            }
            Self::Unclear => {
                "it could be about this app itself: it has to name the apps that it means in a list"
            }
            Self::Source => {
                "it replaces the folder of local apps, from which this app itself is built"
            }
        }
    }
}

/// What the Supervisor builds apps from that nobody publishes, as the `folders` of a backup name it.
const LOCAL_APPS: &str = "addons";

/// What the slugs of these begin with.
const LOCAL: &str = "local_";

/// What stands in the way of a call; `body` is what goes out.
pub(super) async fn objection(
    supervisor: &Supervisor,
    call: &Call<'_>,
    body: Option<&Value>,
) -> Option<Objection> {
    examine(supervisor, call, body).await.err()
}

async fn examine(
    supervisor: &Supervisor,
    call: &Call<'_>,
    body: Option<&Value>,
) -> Result<(), Objection> {
    let endpoint = call.endpoint();
    let in_path = call.slug().filter(|_| endpoint.own == Own::Refused);
    let mut named: Vec<String> = in_path.map(str::to_owned).into_iter().collect();
    for member in &endpoint.apps_in {
        let names = names_in(body, member).ok_or(Objection::Ours(Ours::Unclear))?;
        // `ALL` of a new backup: for a restore it would be us too.
        if names.iter().any(|name| plain(name) == "all") {
            return Err(Objection::Ours(Ours::Unclear));
        }
        named.extend(names);
    }
    let mut folders = Vec::new();
    for member in &endpoint.folders_in {
        let names = names_in(body, member).filter(|names| names.iter().all(|name| folder(name)));
        let unfit =
            || format!("{member} has to be a list of folders, such as share or addons/local");
        folders.extend(names.ok_or_else(|| Objection::Unfit(unfit()))?);
    }
    let local = |name: &String| name.split('/').next() == Some(LOCAL_APPS);
    let local = folders.iter().any(local);
    if let Some(suggestion) = call.value(Parameter::Suggestion)
        && endpoint.own == Own::Refused
    {
        named.extend(about(supervisor, suggestion).await?);
    }
    if named.is_empty() && !local {
        return Ok(());
    }
    let own = supervisor.own_slug().await.map_err(Objection::Unasked)?;
    let own = own.ok_or(Objection::Ours(Ours::Unknown))?;
    if named.iter().any(|slug| could_be(own, slug)) {
        return Err(Objection::Ours(Ours::Named));
    }
    if local && plain(own).starts_with(LOCAL) {
        return Err(Objection::Ours(Ours::Source));
    }
    Ok(())
}

/// The names that a member of the body lists; `None` if it is no list of names.
fn names_in(body: Option<&Value>, member: &str) -> Option<Vec<String>> {
    match body.and_then(|body| body.get(member)) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect(),
        Some(_) => None,
    }
}

/// Whether a name is a word in lower case, or two with a slash between them: `ssl`, `addons/local`.
fn folder(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    let word = |word: &str| (1..=64).contains(&word.len()) && word.bytes().all(fits);
    let (first, second) = name.split_once('/').unwrap_or((name, "x"));
    word(first) && word(second)
}

/// What a suggestion of the resolution center is about: an app's slug, or something else's name, or nothing.
async fn about(supervisor: &Supervisor, suggestion: &str) -> Result<Option<String>, Objection> {
    let answer = supervisor.ask("/resolution/info", |_, _| false).await;
    let answer = answer.map_err(Objection::Unasked)?;
    let list = answer
        .pointer("/data/suggestions")
        .and_then(Value::as_array);
    let same = |entry: &&Value| {
        let uuid = entry.get("uuid").and_then(Value::as_str).map(bare_uuid);
        uuid == Some(bare_uuid(suggestion))
    };
    // One that is not there is the Supervisor's to refuse.
    let list = list.ok_or(Objection::Ours(Ours::Unknown))?;
    let reference = list
        .iter()
        .find(same)
        .and_then(|entry| entry.get("reference"));
    Ok(reference.and_then(Value::as_str).map(str::to_owned))
}

fn bare_uuid(text: &str) -> String {
    text.replace('-', "").to_ascii_lowercase()
}

/// Whether the options of the app in an answer are ours, or could be.
pub(super) async fn may_be_us(supervisor: &Supervisor, slug: Option<&str>) -> bool {
    match (supervisor.own_slug().await, slug) {
        (Ok(Some(own)), Some(slug)) => could_be(own, slug),
        (Ok(None) | Err(Answer { .. }), _) | (_, None) => true,
    }
}

/// Whether `slug` means the app `own`: by its name, as `self`, in other letters' case, as a host name, without its
/// repository's prefix or with another one's (the same app from elsewhere).
fn could_be(own: &str, slug: &str) -> bool {
    let (own, slug) = (plain(own), plain(slug));
    let bare = |slug: &str| slug.split_once('_').map(|(_, name)| name.to_owned());
    let own_bare = bare(&own).unwrap_or_else(|| own.clone());
    slug == "self" || slug == own || slug == own_bare || bare(&slug) == Some(own_bare)
}

fn plain(slug: &str) -> String {
    slug.trim().to_ascii_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_app_is_known_under_every_spelling() {
        for slug in [
            "self",
            "SELF",
            "local_hassio_sshd",
            "Local_Hassio_SSHD",
            "local-hassio-sshd",
            "hassio_sshd",
            "hassio-sshd",
            "a0d7b954_hassio_sshd",
            " local_hassio_sshd",
        ] {
            assert!(could_be("local_hassio_sshd", slug), "{slug}");
        }
        for slug in [
            "core_ssh",
            "sshd",
            "local_hassio",
            "hassio_sshd2",
            "core_mosquitto",
            "local_",
        ] {
            assert!(!could_be("local_hassio_sshd", slug), "{slug}");
        }
        assert!(could_be("sshd", "SSHD") && could_be("sshd", "local_sshd"));
    }
    #[test]
    fn a_folder_is_one_or_two_words() {
        for good in [
            "share",
            "addons/local",
            "homeassistant",
            "all_addon_configs",
        ] {
            assert!(folder(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "addons/",
            "/addons",
            "addons//local",
            "addons/local/x",
            "../addons",
            ".",
            "addons/..",
            "ADDONS/local",
            "addons local",
            "addons\\local",
            "addons/local ",
        ] {
            assert!(!folder(bad), "{bad}");
        }
    }
}
