//! What the Supervisor knows: slugs, backups, boots and so on.

use std::time::Duration;

use serde_json::Value;

use crate::cli::client::{Client, Request};
use crate::cli::tree::Live;

/// The most values that are offered, and the longest of them.
const COUNT: usize = 1000;
const VALUE_BYTES: usize = 128;

/// Where the values of a kind are in an answer.
struct Source {
    path: &'static str,
    /// JSON pointer to a list or an object; the object's names are the values then.
    at: &'static str,
    /// The member that is the value.
    value: &'static str,
    /// The members that describe it.
    about: &'static [&'static str],
    keep: fn(&Value) -> bool,
}

/// The values of a kind, with what they are; `None` where they cannot be had in time.
pub(in crate::cli) fn values(
    client: &Client,
    kind: Live,
    patience: Duration,
) -> Option<Vec<(String, String)>> {
    let source = source(kind);
    let answer = client
        .ask(Request::get(source.path).at_most(patience))
        .ok()?;
    let data = match source.path.starts_with("/core/api/") {
        true => answer.plain().ok()?,
        false => answer.data().ok()?,
    };
    let mut found = match data.pointer(source.at)? {
        Value::Array(items) => items
            .iter()
            .filter(|item| (source.keep)(item))
            .flat_map(|item| named(item, &source, kind))
            .collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| of_member(name, value, kind))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    if kind == Live::Locations {
        found.insert(0, (".local".to_owned(), "this machine".to_owned()));
    }
    found.retain(|(value, _): &(String, String)| is_harmless(value));
    found.truncate(COUNT);
    Some(found)
}

fn named(item: &Value, source: &Source, kind: Live) -> Vec<(String, String)> {
    if let Value::String(text) = item {
        return vec![(text.clone(), String::new())];
    }
    let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
    let about: Vec<String> = source.about.iter().filter_map(|name| text(name)).collect();
    let Some(value) = text(source.value) else {
        return Vec::new();
    };
    if kind == Live::Services {
        let services = item
            .get("services")
            .and_then(Value::as_object)
            .into_iter()
            .flatten();
        return services
            .map(|(name, _)| (format!("{value}.{name}"), String::new()))
            .collect();
    }
    vec![(value, about.join(", "))]
}

fn of_member(name: &str, value: &Value, kind: Live) -> (String, String) {
    let text = value.as_str().unwrap_or_default();
    match (kind, value) {
        // The opposite of what it is.
        (Live::Features, Value::Bool(on)) => (format!("{name}={}", !on), String::new()),
        _ => (name.to_owned(), text.to_owned()),
    }
}

fn source(kind: Live) -> Source {
    let list = |path, at, value, about| Source {
        path,
        at,
        value,
        about,
        keep: |_| true,
    };
    let apps = |keep| Source {
        keep,
        ..list("/addons", "/addons", "slug", &["name", "state"])
    };
    fn is(item: &Value, name: &str, wanted: &str) -> bool {
        item.get(name).and_then(Value::as_str) == Some(wanted)
    }
    fn on(item: &Value, name: &str) -> bool {
        item.get(name).and_then(Value::as_bool) == Some(true)
    }
    match kind {
        Live::Apps => apps(|_| true),
        Live::StartedApps => apps(|item| is(item, "state", "started")),
        Live::StoppedApps => apps(|item| !is(item, "state", "started")),
        Live::UpdatableApps => apps(|item| on(item, "update_available")),
        Live::BuiltApps => apps(|item| on(item, "build")),
        Live::StoreApps => Source {
            keep: |item| !on(item, "installed"),
            ..list("/store/addons", "/addons", "slug", &["name"])
        },
        Live::Repositories => list("/store", "/repositories", "slug", &["name"]),
        Live::Backups => list(
            "/backups/info",
            "/backups",
            "slug",
            &["name", "date", "type"],
        ),
        Live::Locations => Source {
            keep: |item| is(item, "usage", "backup"),
            ..list("/mounts", "/mounts", "name", &["server"])
        },
        Live::Mounts => list("/mounts", "/mounts", "name", &["type", "usage", "server"]),
        Live::Interfaces => list("/network/info", "/interfaces", "interface", &["type"]),
        Live::Boots => list("/host/logs/boots", "/boots", "", &[]),
        Live::Identifiers => list("/host/logs/identifiers", "/identifiers", "", &[]),
        Live::Jobs => list("/jobs/info", "/jobs", "uuid", &["name", "reference"]),
        Live::Registries => list("/docker/registries", "/registries", "", &[]),
        Live::DataDisks => list("/os/datadisk/list", "/disks", "id", &["name"]),
        Live::Checks => list("/resolution/info", "/checks", "slug", &[]),
        Live::Issues => list(
            "/resolution/info",
            "/issues",
            "uuid",
            &["type", "context", "reference"],
        ),
        Live::Suggestions => list(
            "/resolution/info",
            "/suggestions",
            "uuid",
            &["type", "context", "reference"],
        ),
        Live::Features => list("/supervisor/info", "/feature_flags", "", &[]),
        Live::AudioInputs => list("/audio/info", "/audio/input", "name", &["description"]),
        Live::AudioOutputs => list("/audio/info", "/audio/output", "name", &["description"]),
        Live::AudioCards => list("/audio/info", "/audio/card", "name", &["driver"]),
        Live::Entities => list("/core/api/states", "", "entity_id", &["state"]),
        Live::Services => list("/core/api/services", "", "domain", &[]),
        Live::Sessions => list("/sshd/sessions", "/sessions", "sid", &["started", "role"]),
    }
}

/// The paths that completion asks, for a test to compare with the endpoints.
#[cfg(test)]
pub(in crate::cli) fn path(kind: Live) -> &'static str {
    source(kind).path
}

/// Nothing that a shell would see anything else in than a word.
fn is_harmless(value: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.:@%+/=".contains(&b);
    (1..=VALUE_BYTES).contains(&value.len()) && value.bytes().all(fine)
}
