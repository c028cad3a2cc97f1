use super::*;
use crate::cli::given::Given;
use serde_json::{Value, json};

fn asked(line: &str) -> Result<Parsed, CliError> {
    let words: Vec<_> = line.split(' ').map(OsString::from).collect();
    parse(&words)
}

fn call(line: &str) -> (String, String, Option<Value>) {
    match asked(line) {
        Ok(Parsed::Invocation { node, matches, .. }) => {
            let given = Given {
                node,
                matches: &matches,
            };
            let request = given
                .request()
                .unwrap_or_else(|error| panic!("{line}: {error}"));
            (
                request.method.as_str().to_owned(),
                request.path,
                given.body(),
            )
        }
        Ok(Parsed::Help(text)) => panic!("{line}: {text}"),
        Err(error) => panic!("{line}: {error}"),
    }
}

fn notes(line: &str) -> Vec<(String, String)> {
    match asked(line) {
        Ok(Parsed::Invocation { notes, .. }) => notes,
        Ok(Parsed::Help(text)) => panic!("{line}: {text}"),
        Err(error) => panic!("{line}: {error}"),
    }
}

#[test]
fn commands_become_calls() {
    for (line, method, path) in [
        ("hassio info", "GET", "/info"),
        ("/usr/bin/ha core info", "GET", "/core/info"),
        ("hassio --raw-json core in", "GET", "/core/info"),
        ("hassio --output json core in", "GET", "/core/info"),
        ("hassio apps", "GET", "/addons"),
        ("hassio apps info", "GET", "/addons/self/info"),
        ("hassio net info", "GET", "/network/info"),
        (
            "hassio net info end0",
            "GET",
            "/network/interface/end0/info",
        ),
        ("hassio mounts delete my_nas", "DELETE", "/mounts/my_nas"),
        (
            "hassio resolution suggestion apply 0123456789abcdef0123456789abcdef",
            "POST",
            "/resolution/suggestion/0123456789abcdef0123456789abcdef",
        ),
    ] {
        let (given_method, given_path, _) = call(line);
        assert_eq!(
            (given_method.as_str(), given_path.as_str()),
            (method, path),
            "{line}"
        );
    }
}

#[test]
fn options_become_a_body() {
    for (line, body) in [
        (
            "hassio core restart",
            Some(json!({ "force": false, "safe_mode": false })),
        ),
        (
            "hassio core restart -s",
            Some(json!({ "force": false, "safe_mode": true })),
        ),
        ("hassio core check", None),
        (
            "hassio core options --boot=false --image= --port 0",
            Some(json!({ "boot": false, "image": null })),
        ),
        (
            "hassio core options --backups_exclude_database",
            Some(json!({ "backups_exclude_database": true })),
        ),
        ("hassio apps uninstall x --remove-config=false", None),
        (
            "hassio dns options -r dns://1.1.1.1,dns://8.8.8.8",
            Some(json!({ "servers": ["dns://1.1.1.1", "dns://8.8.8.8"] })),
        ),
        (
            "hassio docker options --mtu 0",
            Some(json!({ "mtu": null })),
        ),
        (
            "hassio backups remove x --location",
            Some(json!({ "location": [".local"] })),
        ),
        (
            "hassio network update end0 --ipv4-route-metric -1 --ipv6-privacy enabled -e",
            Some(json!({ "enabled": false, "ipv6": { "ip6_privacy": "enabled" } })),
        ),
        (
            "hassio mounts add nas",
            Some(json!({ "name": "nas", "type": "cifs", "usage": "media" })),
        ),
        (
            "hassio docker migrate-storage-driver",
            Some(json!({ "storage_driver": "overlayfs" })),
        ),
    ] {
        assert_eq!(call(line).2, body, "{line}");
    }
}

#[test]
fn words_of_former_times_work_and_are_named() {
    for (line, old, new) in [
        ("hassio addons", "addons", "apps"),
        (
            "hassio --raw-json homeassistant info",
            "homeassistant",
            "core",
        ),
        ("hassio snapshots", "snapshots", "backups"),
        ("hassio snapshots list", "snapshots list", "backups"),
        (
            "hassio hassos update-cli",
            "hassos update-cli",
            "cli update",
        ),
        ("hassio addons reload", "addons reload", "store reload"),
        (
            "hassio network options --hostname x",
            "network options",
            "host options",
        ),
        ("hassio apps info --name x", "--name", "SLUG"),
        ("hassio apps info --name=x", "--name", "SLUG"),
        ("hassio backups info --slug x", "--slug", "SLUG"),
        ("hassio backups new --addons x", "--addons", "--app"),
        ("hassio core -o version=1 update", "-o", "--version"),
        ("hassio core -j info", "-j", "--raw-json"),
        ("hassio core -d info", "-d", "--log-level"),
    ] {
        assert_eq!(notes(line), [(old.to_owned(), new.to_owned())], "{line}");
    }
    for line in [
        "hassio core info",
        "hassio apps info addons",
        "hassio backups new --name addons",
        "hassio store addons",
    ] {
        assert_eq!(notes(line), [], "{line}");
    }
    assert_eq!(
        call("hassio addons --name core_ssh restart").1,
        "/addons/core_ssh/restart"
    );
    assert_eq!(
        call("hassio snapshots info --slug abc").1,
        "/backups/abc/info"
    );
    assert_eq!(
        call("hassio homeassistant -o version=1 update").2,
        Some(json!({ "version": "1" }))
    );
}

#[test]
fn bad_usage_says_what_and_what_then() {
    for line in [
        "hassio nonsense",
        "hassio core nonsense",
        "hassio apps nonsense",
        "hassio help nonsense",
        "hassio info --nonsense",
        "hassio core logs -n x",
        "hassio core logs -n",
        "hassio apps info a/b",
        "hassio apps info ..",
        "hassio apps restart",
        "hassio info more",
        "hassio core options --boot=perhaps",
        "hassio docker options --mtu 67",
        "hassio audio volume input",
        "hassio audio volume input --index 1 --mute --unmute",
    ] {
        match asked(line) {
            Err(CliError::Usage {
                what,
                hint: Some(hint),
            }) => {
                assert!(
                    !what.is_empty() && !what.contains('\n') && !hint.is_empty(),
                    "{line}: {what}"
                );
            }
            other => panic!("{line}: {:?}", other.err()),
        }
    }
    assert!(call_fails("hassio mounts delete .."));
}

fn call_fails(line: &str) -> bool {
    match asked(line) {
        Ok(Parsed::Invocation { node, matches, .. }) => Given {
            node,
            matches: &matches,
        }
        .request()
        .is_err(),
        _ => false,
    }
}

#[test]
fn a_wrong_word_is_answered_with_near_ones() {
    for (line, near) in [
        ("hassio ap", "apps"),
        ("hassio backup-s", "backups"),
        ("hassio core restrat", "core restart"),
        ("hassio restart", "core restart"),
        ("hassio apps intsall x", "apps install"),
        ("hassio snapshoots", "backups"),
    ] {
        match asked(line) {
            Err(CliError::Usage {
                hint: Some(hint), ..
            }) => assert!(hint.contains(&format!("`hassio {near}`")), "{line}: {hint}"),
            _ => panic!("{line}"),
        }
    }
}

#[test]
fn help_is_for_all_levels() {
    for (line, word) in [
        ("hassio", "supervisor"),
        ("hassio help", "supervisor"),
        ("hassio --help", "supervisor"),
        ("hassio core", "restart"),
        ("hassio core --help", "restart"),
        ("hassio core help restart", "--safe-mode"),
        ("hassio help core logs", "--follow"),
        ("hassio help addons", "uninstall"),
        ("hassio backups new -h", "--uncompressed"),
        ("ha --version", "ha 0."),
    ] {
        match asked(line) {
            Ok(Parsed::Help(text)) => assert!(text.contains(word), "{line}: {text}"),
            Ok(_) => panic!("{line} gives no help"),
            Err(error) => panic!("{line}: {error}"),
        }
    }
    let Ok(Parsed::Help(text)) = asked("hassio help apps options set") else {
        panic!()
    };
    assert!(
        text.lines().all(|line| line.chars().count() <= 120),
        "{text}"
    );
}
