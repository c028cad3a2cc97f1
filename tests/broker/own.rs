//! Nobody widens themselves: this app is not changed from inside, whatever it is called.

use hassio_sshd::wire::{ApiDecision, Event};

use crate::harness::{Broker, Scratch, Supervisor, TOKEN, both, err};

/// How this app can be meant; the simulated Supervisor knows it as `local_hassio_sshd`.
const SPELLINGS: [&str; 8] = [
    "self",
    "SELF",
    "local_hassio_sshd",
    "Local_Hassio_SSHD",
    "local-hassio-sshd",
    "hassio_sshd",
    "hassio-sshd",
    "a0d7b954_hassio_sshd",
];

/// Every call that would change an app, by the path's ending.
const CHANGES: [(&str, &str); 16] = [
    ("/addons/", "/options"),
    ("/addons/", "/options/validate"),
    ("/addons/", "/stdin"),
    ("/addons/", "/start"),
    ("/addons/", "/stop"),
    ("/addons/", "/rebuild"),
    ("/addons/", "/update"),
    ("/addons/", "/install"),
    ("/addons/", "/uninstall"),
    ("/addons/", "/security"),
    ("/addons/", "/sys_options"),
    ("/store/addons/", "/update"),
    ("/store/addons/", "/update/1.2.3"),
    ("/store/addons/", "/install"),
    ("/store/addons/", "/install/1.2.3"),
    ("/addons/", "/options/config"),
];

#[test]
fn admin_cannot_change_this_app_under_any_spelling() {
    let (supervisor, broker) = both(&[]);
    for spelling in SPELLINGS {
        let session = broker.open("admin");
        for (begin, end) in CHANGES {
            for begin in [begin, &begin.replace("addons", "apps")] {
                let path = format!("{begin}{spelling}{end}");
                let response = session.request("POST", &path, "");
                assert_eq!(response.status, 403, "{path}: {}", response.raw);
                assert_eq!(response.json()["error_key"], "sshd_refused");
            }
        }
    }
    assert_eq!(supervisor.paths(), ["/addons/self/info"]);
    let denied = |event: &Event| {
        matches!(event, Event::ApiRequest { endpoint: Some(name), decision: ApiDecision::Deny, rule, .. }
            if name == "addons.options" && rule.contains("this app itself"))
    };
    assert!(broker.audit.has(denied));
}

#[test]
fn where_our_name_is_not_known_no_app_is_changed() {
    let (supervisor, broker) = both(&["--anonymous"]);
    let session = broker.open("admin");
    for path in [
        "/addons/core_mosquitto/options",
        "/store/apps/core_mosquitto/update",
    ] {
        let response = session.request("POST", path, "{}");
        assert_eq!(response.status, 403, "{path}: {}", response.raw);
        assert!(
            response.body().contains("does not say which one"),
            "{}",
            response.raw
        );
    }
    let asked = supervisor.paths();
    assert!(
        asked.iter().all(|path| path == "/addons/self/info"),
        "{asked:?}"
    );
}

#[test]
fn a_supervisor_that_starts_is_quoted_and_no_refusal_of_ours() {
    let (supervisor, broker) = both(&["--state", "setup"]);
    let session = broker.open("admin");
    for (method, path, body) in [
        ("POST", "/addons/core_mosquitto/stop", ""),
        ("POST", "/addons/core_mosquitto/options", "{}"),
        (
            "POST",
            "/backups/1a2b3c4d/restore/partial",
            r#"{"addons":["core_mosquitto"]}"#,
        ),
        (
            "POST",
            "/resolution/suggestion/0123456789abcdef0123456789abcdef",
            "",
        ),
    ] {
        let response = session.request(method, path, body);
        assert_eq!(response.status, 400, "{path}: {}", response.raw);
        let answer = response.json();
        assert_eq!(
            answer["message"], "System is not ready with state: setup",
            "{path}"
        );
        assert_eq!(answer["error_key"], serde_json::Value::Null, "{path}");
    }
    let output = session.hassio(&["apps", "stop", "core_mosquitto"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert_eq!(
        err(&output).lines().next(),
        Some("Error: System is not ready with state: setup")
    );
    // What was not made is on record as that.
    let denied = |event: &Event| {
        matches!(event, Event::ApiRequest { decision: ApiDecision::Deny, rule, .. }
            if rule.contains("could not be asked whether it is about this app"))
    };
    assert!(broker.audit.has(denied));
    let asked = supervisor.requests();
    assert!(
        asked.iter().all(|request| request["method"] == "GET"),
        "{asked:?}"
    );
}

#[test]
fn a_restore_leaves_this_app_alone() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("admin");
    let partial = "/backups/1a2b3c4d/restore/partial";
    for body in [
        r#"{"addons":["core_mosquitto","local_hassio_sshd"]}"#,
        r#"{"addons":["HASSIO-SSHD"]}"#,
        r#"{"apps":["self"]}"#,
        r#"{"addons":"ALL"}"#,
        r#"{"addons":["ALL"]}"#,
        r#"{"addons":["core_mosquitto","all"]}"#,
        r#"{"addons":[],"folders":["share","addons/local"]}"#,
        r#"{"folders":["addons"]}"#,
        r#"{"addons":["core_mosquitto",1]}"#,
        r#"{"addons":{"self":true}}"#,
    ] {
        let response = session.request("POST", partial, body);
        assert_eq!(response.status, 403, "{body}: {}", response.raw);
    }
    let full = session.request("POST", "/backups/1a2b3c4d/restore/full", "{}");
    assert_eq!(full.status, 403);
    assert!(
        full.body().contains("a full restore replaces this app"),
        "{}",
        full.raw
    );
    assert_eq!(supervisor.paths(), ["/addons/self/info"]);
}

#[test]
fn a_restore_brings_folders_that_are_some_and_not_the_one_this_app_is_built_from() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("admin");
    let partial = "/backups/1a2b3c4d/restore/partial";
    for body in [
        r#"{"folders":["addons/../addons/local"]}"#,
        r#"{"folders":["/addons/local"]}"#,
        r#"{"folders":["ADDONS/local"]}"#,
        r#"{"folders":["addons//local"]}"#,
        r#"{"folders":"addons/local"}"#,
        r#"{"folders":{"addons/local":1}}"#,
        r#"{"folders":["share",1]}"#,
    ] {
        let response = session.request("POST", partial, body);
        assert_eq!(response.status, 400, "{body}: {}", response.raw);
        assert!(
            response.body().contains("folders has to be"),
            "{}",
            response.raw
        );
    }
    assert!(supervisor.requests().is_empty());
    let good = r#"{"addons":["core_mosquitto"],"folders":["share","ssl"]}"#;
    assert_eq!(session.request("POST", partial, good).status, 200);

    let (_supervisor, broker) = both(&["--anonymous"]);
    let session = broker.open("admin");
    let folders = r#"{"folders":["addons/local"]}"#;
    let response = session.request("POST", partial, folders);
    assert_eq!(response.status, 403, "{}", response.raw);
    let good = r#"{"folders":["share"]}"#;
    assert_eq!(session.request("POST", partial, good).status, 200);
}

/// Who is away has refused nothing.
#[test]
fn a_supervisor_that_is_away_is_said_to_be_away_also_where_it_is_asked_who_we_are() {
    let away = Broker::start(Scratch::new(), "http://127.0.0.1:1", Some(TOKEN));
    let scratch = Scratch::new();
    let supervisor = Supervisor::start(&scratch, &["--fault", "html"]);
    let elsewhere = Broker::start(scratch, &supervisor.address, Some(TOKEN));
    for (broker, key) in [(&away, "sshd_unreachable"), (&elsewhere, "sshd_bad_answer")] {
        let session = broker.open("admin");
        for (path, body) in [
            ("/addons/core_mosquitto/stop", ""),
            (
                "/resolution/suggestion/1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a",
                "",
            ),
            (
                "/backups/1a2b3c4d/restore/partial",
                r#"{"folders":["addons/local"]}"#,
            ),
        ] {
            let response = session.request("POST", path, body);
            assert_eq!(response.status, 502, "{path}: {}", response.raw);
            assert_eq!(response.json()["error_key"], key, "{path}");
        }
        let unasked = |event: &Event| matches!(event, Event::ApiRequest { decision: ApiDecision::Deny, rule, .. } if rule.contains("could not be asked"));
        assert!(broker.audit.has(unasked));
    }
    let output = away
        .open("operator")
        .hassio(&["apps", "stop", "core_mosquitto"]);
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    let asked = supervisor.requests();
    assert!(asked.iter().all(|request| request["method"] == "GET"));
}

#[test]
fn a_suggestion_about_this_app_is_not_applied() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("admin");
    for uuid in [
        "2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b",
        "2B2B2B2B-2b2b-2b2b-2b2b-2b2b2b2b2b2b",
    ] {
        let path = format!("/resolution/suggestion/{uuid}");
        let response = session.request("POST", &path, "");
        assert_eq!(response.status, 403, "{}", response.raw);
    }
    let other = "/resolution/suggestion/1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a";
    assert_eq!(session.request("POST", other, "").status, 200);
    let dismissed = "/resolution/suggestion/2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b";
    assert_eq!(session.request("DELETE", dismissed, "").status, 200);
    let changed = supervisor
        .requests()
        .into_iter()
        .filter(|request| request["method"] != "GET");
    let paths: Vec<_> = changed.map(|request| request["path"].clone()).collect();
    assert_eq!(paths, [other, dismissed]);
}

#[test]
fn what_carries_calls_past_the_rules_is_closed() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("admin");
    for (method, path) in [
        ("GET", "/core/websocket"),
        ("GET", "/homeassistant/websocket"),
        ("GET", "/core/api/websocket"),
        ("GET", "/core/api/stream"),
        ("GET", "/core/api/hassio/addons"),
        ("POST", "/core/api/hassio/host/reboot"),
        ("POST", "/homeassistant/api/hassio/host/reboot"),
        ("POST", "/core/api/services/hassio/addon_stdin"),
        ("POST", "/homeassistant/api/services/hassio/addon_stdin"),
        ("POST", "/core/api/services/update/install"),
        ("POST", "/core/api/events/call_service"),
        ("POST", "/core/api/template"),
        ("DELETE", "/core/api/states/light.kitchen"),
        ("POST", "/v2/apps/local_hassio_sshd/options"),
    ] {
        let response = session.request(method, path, "");
        assert_eq!(response.status, 403, "{path}: {}", response.raw);
    }
    // Core would take it for `hassio`; no domain is spelled so.
    let shouted = session.request("POST", "/core/api/services/HASSIO/addon_stdin", "");
    assert_eq!(shouted.status, 400, "{}", shouted.raw);
    assert!(supervisor.requests().is_empty(), "{:?}", supervisor.paths());
}

#[test]
fn what_the_supervisor_keeps_for_the_hosts_console_says_so() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("admin");
    for (method, path) in [
        ("GET", "/auth/list"),
        ("POST", "/auth/reset"),
        ("POST", "/os/datadisk/wipe"),
    ] {
        let response = session.request(method, path, "{}");
        assert_eq!(response.status, 403, "{path}");
        assert!(
            response.body().contains("on the host's console only"),
            "{}",
            response.raw
        );
    }
    assert!(supervisor.requests().is_empty());
}
