//! Who gets through: the filter, the block list and the role patterns, in the real Supervisor's order.

use http::HeaderMap;

/// The `hassio_role` of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum Role {
    Default,
    HomeAssistant,
    Backup,
    Manager,
    Admin,
}

/// The attack filter: path and query, percent-decoded until that changes nothing.
pub(crate) fn looks_like_attack(target: &str) -> bool {
    let mut text = target.to_owned();
    loop {
        let decoded = percent_decoded(&text);
        if decoded == text {
            break;
        }
        text = decoded;
    }
    let text = text.to_lowercase();
    let follows = |first: &str, then: &str| {
        text.split_once(first)
            .is_some_and(|(_, rest)| rest.contains(then))
    };
    let script = text.split_once('<').is_some_and(|(_, rest)| {
        rest.split_once("script")
            .is_some_and(|(_, rest)| rest.contains('>'))
    });
    text.contains("proc/self/environ")
        || text.contains("../")
        || script
        || includes_file(&text)
        || follows("union", "select")
        || follows("concat", "(")
}

/// `x=/a/b/`: a parameter whose value is a path of one-letter names.
fn includes_file(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.as_bytes().windows(5).any(|bytes| match bytes {
        [name, b'=', b'/', part, b'/'] => word(*name) && (word(*part) || *part == b'.'),
        _ => false,
    })
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Closed to everybody, token or not.
pub(crate) fn is_blocked(path: &str) -> bool {
    let path = path
        .strip_prefix("/v2")
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path);
    let behind = |prefix: &str| path.strip_prefix(prefix);
    let rest = behind("/core/api/hassio").or_else(|| behind("/homeassistant/api/hassio"));
    path == "/v2" || rest.is_some_and(|rest| rest.starts_with(['/', '_']))
}

/// The token of a request: the first header that has one counts.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text("x-supervisor-token")
        .or_else(|| text("x-hassio-key"))
        .or_else(|| text("authorization").and_then(|value| value.split(' ').next_back()))
}

/// Whether an app of that role gets through to a path.
pub(crate) fn may(role: Role, path: &str) -> bool {
    let below = |prefix: &str| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty())
    };
    let own = path.strip_prefix("/addons/self/").is_some_and(|rest| {
        rest == "options/config"
            || !(rest.contains('/') || rest.starts_with("security") || rest.starts_with("update"))
    });
    let everybody = path == "/info"
        || path.starts_with("/services")
        || path.starts_with("/discovery")
        || path == "/auth"
        || own;
    let info = path.ends_with("/info") && path.len() > "/x/info".len() - 1 && path != "/info";
    let by_role = match role {
        Role::Default => false,
        Role::HomeAssistant => below("/core/") || below("/homeassistant/"),
        Role::Backup => path.starts_with("/backups"),
        Role::Manager => manager_may(path),
        Role::Admin => true,
    };
    everybody || info || by_role
}

/// What needs no token here: Core's proxy looks at it in its handler.
pub(crate) fn is_open(path: &str) -> bool {
    let core = ["/core", "/homeassistant"].into_iter().any(|core| {
        path.strip_prefix(core)
            .is_some_and(|rest| rest == "/websocket" || rest.starts_with("/api/"))
    });
    let picture = ["/addons/", "/store/addons/"].into_iter().any(|begin| {
        let rest = path
            .strip_prefix(begin)
            .and_then(|rest| rest.split_once('/'));
        rest.is_some_and(|(_, end)| end == "icon" || end == "logo")
    });
    core || picture || path == "/supervisor/ping"
}

const MANAGER_AREAS: [&str; 12] = [
    "audio",
    "cli",
    "core",
    "dns",
    "docker",
    "hardware",
    "homeassistant",
    "host",
    "jobs",
    "multicast",
    "network",
    "observer",
];
const MANAGER_AREAS_TOO: [&str; 3] = ["resolution", "security", "supervisor"];
const MANAGER_PATHS: [&str; 5] = [
    "/addons",
    "/addons/reload",
    "/auth/cache",
    "/available_updates",
    "/refresh_updates",
];

fn manager_may(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let app = match segments.as_slice() {
        ["addons", _, action, ..] => !action.starts_with("security"),
        _ => false,
    };
    let area = match segments.as_slice() {
        [area, rest, ..] if !rest.is_empty() => {
            MANAGER_AREAS.contains(area) || MANAGER_AREAS_TOO.contains(area)
        }
        _ => false,
    };
    let os = path
        .strip_prefix("/os/")
        .is_some_and(|rest| !rest.starts_with("datadisk/wipe"));
    let open = ["/backups", "/mounts", "/snapshots", "/store"]
        .iter()
        .any(|p| path.starts_with(p));
    app || area || os || open || MANAGER_PATHS.contains(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_are_seen_through_encoding() {
        for bad in [
            "/a/../b",
            "/%2e%2e/b",
            "/%252e%252e%252fb",
            "/?x=<ScRipt>",
            "/?a=/b/",
            "/?union+select",
        ] {
            assert!(looks_like_attack(bad), "{bad}");
        }
        assert!(!looks_like_attack("/core/logs?lines=5"));
    }

    #[test]
    fn the_patterns_and_the_table_of_routes_agree() {
        let table = crate::table::Table::new().unwrap();
        // What is Core's alone is told by the table itself.
        for route in table.iter().filter(|route| route.access != "core-only") {
            let path: Vec<_> = route
                .path
                .split('/')
                .map(|part| if part.starts_with('{') { "word" } else { part })
                .collect();
            let path = path.join("/");
            let lets = |role| may(role, &path);
            let lowest = match () {
                () if is_open(&path) => "bypass",
                () if path == "/info" || path == "/auth" => "bypass-token",
                () if path.starts_with("/services") || path.starts_with("/discovery") => {
                    "bypass-token"
                }
                () if lets(Role::Default) => "default",
                () if lets(Role::HomeAssistant) => "homeassistant",
                () if lets(Role::Backup) => "backup",
                () if lets(Role::Manager) => "manager",
                () => "admin",
            };
            assert_eq!(lowest, route.access, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn roles_reach_what_the_table_says() {
        for (role, path, expected) in [
            (Role::Default, "/info", true),
            (Role::Default, "/core/info", true),
            (Role::Default, "/core/logs", false),
            (Role::Default, "/addons", false),
            (Role::HomeAssistant, "/core/restart", true),
            (Role::Manager, "/supervisor/logs", true),
            (Role::Manager, "/addons/x/security", false),
            (Role::Manager, "/auth/list", false),
            (Role::Manager, "/os/datadisk/wipe", false),
            (Role::Admin, "/auth/list", true),
            (Role::Default, "/addons/self/options", true),
            (Role::Default, "/addons/self/security", false),
        ] {
            assert_eq!(may(role, path), expected, "{role:?} {path}");
        }
        assert!(
            is_blocked("/core/api/hassio/x")
                && is_blocked("/v2")
                && !is_blocked("/core/api/states")
        );
    }
}
