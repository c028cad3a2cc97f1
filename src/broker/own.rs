use serde_json::Value;

use super::answer::Answer;
use super::supervisor::Supervisor;
use crate::policy::endpoints::{Call, Own, Parameter};

/// Why a call is refused although the role has the permission: it is about this app, or could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ours {
    /// It names this app.
    Named,
    /// It names an app, and which one is ours is not known.
    Unknown,
    /// Which apps it means cannot be told.
    Unclear,
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
        }
    }
}

/// Whether the call is about this app and must not be. `body` is what goes out.
pub(super) async fn objection(
    supervisor: &Supervisor,
    call: &Call<'_>,
    body: Option<&Value>,
) -> Option<Ours> {
    let endpoint = call.endpoint();
    let in_path = call.slug().filter(|_| endpoint.own == Own::Refused);
    let mut named: Vec<&str> = in_path.into_iter().collect();
    for member in &endpoint.apps_in {
        match body.and_then(|body| body.get(member)) {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => {
                for item in list {
                    match item.as_str() {
                        Some(slug) => named.push(slug),
                        None => return Some(Ours::Unclear),
                    }
                }
            }
            Some(_) => return Some(Ours::Unclear),
        }
    }
    let proposed;
    if let Some(suggestion) = call.value(Parameter::Suggestion)
        && endpoint.own == Own::Refused
    {
        match about(supervisor, suggestion).await {
            Ok(reference) => proposed = reference,
            Err(unclear) => return Some(unclear),
        }
        named.extend(proposed.as_deref());
    }
    if named.is_empty() {
        return None;
    }
    match supervisor.own_slug().await {
        Err(_) => Some(Ours::Unknown),
        Ok(own) => named
            .into_iter()
            .any(|slug| could_be(own, slug))
            .then_some(Ours::Named),
    }
}

/// What a suggestion of the resolution center is about: an app's slug, or something else's name, or nothing.
async fn about(supervisor: &Supervisor, suggestion: &str) -> Result<Option<String>, Ours> {
    let answer = supervisor.ask("/resolution/info").await;
    let answer = answer.map_err(|_| Ours::Unknown)?;
    let list = answer
        .pointer("/data/suggestions")
        .and_then(Value::as_array);
    let same = |entry: &&Value| {
        let uuid = entry.get("uuid").and_then(Value::as_str).map(bare_uuid);
        uuid == Some(bare_uuid(suggestion))
    };
    // One that is not there is the Supervisor's to refuse.
    let entry = list.ok_or(Ours::Unknown)?.iter().find(same);
    let reference = entry.and_then(|entry| entry.get("reference"));
    Ok(reference.and_then(Value::as_str).map(str::to_owned))
}

fn bare_uuid(text: &str) -> String {
    text.replace('-', "").to_ascii_lowercase()
}

/// Whether the options of the app in an answer are ours, or could be.
pub(super) async fn may_be_us(supervisor: &Supervisor, slug: Option<&str>) -> bool {
    match (supervisor.own_slug().await, slug) {
        (Ok(own), Some(slug)) => could_be(own, slug),
        (Err(Answer { .. }), _) | (_, None) => true,
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
}
