//! What a session gets to read.

use std::fs;
use std::path::Path;

use hassio_sshd::model::{ConfigAccess, Network};
use hassio_sshd::wire::{ApiDecision, Event, WhoAmI};
use serde_json::Value;

use crate::harness::{Broker, Scratch, Supervisor, TOKEN, both, err, hassio, out, until};

#[test]
fn infos_come_as_yaml_and_raw_and_are_on_record() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("operator");
    let info = session.hassio(&["info"]);
    assert_eq!(info.status.code(), Some(0), "{}", err(&info));
    assert!(
        out(&info).starts_with("arch: amd64\nchannel: stable\n"),
        "{}",
        out(&info)
    );
    let raw = session.hassio(&["core", "info", "--raw-json"]);
    assert!(
        out(&raw).starts_with(r#"{"result":"ok","data":{"#),
        "{}",
        out(&raw)
    );
    for line in [
        "supervisor info",
        "supervisor stats",
        "core info",
        "core stats",
        "host info",
        "os info",
        "network info",
        "apps",
        "apps info",
        "apps info core_mosquitto",
        "session",
        "core logs",
        "supervisor logs",
        "core check",
    ] {
        let output = session.hassio(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(0), "{line}: {}", err(&output));
        assert!(!output.stdout.is_empty(), "{line}");
    }
    assert!(
        supervisor
            .requests()
            .iter()
            .all(|request| request["token"] == true)
    );
    let names = |request: &Value| request["headers"].to_string();
    assert!(
        supervisor
            .requests()
            .iter()
            .all(|request| !names(request).contains("cookie"))
    );
    let request = |event: &Event| {
        matches!(event, Event::ApiRequest { endpoint: Some(name), decision: ApiDecision::Allow, rule, .. }
            if name == "general.info" && rule == "endpoint general.info needs read")
    };
    assert!(broker.audit.has(request));
    let done = |event: &Event| matches!(event, Event::ApiResponse { status: 200, bytes, error: None, .. } if *bytes > 300);
    until("the response's record", || broker.audit.has(done));
    let records = broker.audit.records.lock().unwrap();
    assert!(
        records
            .iter()
            .all(|record| record.sid == Some(session.sid) && record.cid.is_some())
    );
}

#[test]
fn a_legacy_word_works_and_names_the_new_one() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("operator");
    let output = session.hassio(&["homeassistant", "info"]);
    assert_eq!(
        err(&output),
        "note: 'homeassistant' is the old word for 'core'\n"
    );
    assert_eq!(session.get("/homeassistant/info").status, 200);
    assert_eq!(supervisor.paths(), ["/core/info", "/core/info"]);
}

#[test]
fn a_session_learns_who_it_is_and_the_supervisor_nothing() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("observer");
    let data = session.get("/sshd/session").json()["data"].take();
    let who: WhoAmI = serde_json::from_value(data).unwrap();
    assert_eq!((who.sid, who.user.as_str()), (session.sid, "root"));
    assert_eq!(who.role.as_str(), "observer");
    let key = who.key.unwrap();
    assert_eq!(
        (key.fingerprint.as_str(), key.comment.as_str()),
        ("SHA256:abc", "me@home")
    );
    assert_eq!(
        (who.config, who.network),
        (ConfigAccess::ReadOnly, Network::None)
    );
    assert_eq!(
        who.permissions,
        [
            "read",
            "logs",
            "core-api",
            "jobs",
            "backup-list",
            "own-sessions"
        ]
    );
    let may = |name: &str| who.calls.iter().any(|call| call == name);
    assert!(
        may("core.info") && may("host.logs-follow") && !may("core.restart") && !may("auth.list")
    );
    assert!(supervisor.requests().is_empty());
}

#[test]
fn operator_restarts_core_and_it_is_on_record_before() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("operator");
    let output = session.hassio(&["core", "restart", "--safe-mode"]);
    assert_eq!(
        (output.status.code(), out(&output).as_str()),
        (Some(0), "Command completed successfully.\n")
    );
    assert_eq!(
        supervisor.requests()[0]["body"],
        r#"{"force":false,"safe_mode":true}"#
    );
    let request = |event: &Event| matches!(event, Event::ApiRequest { body_bytes: 32, body_sha256: Some(digest), .. } if digest.len() == 64);
    assert!(broker.audit.has(request), "{:?}", broker.audit.events());
}

#[test]
fn options_are_for_who_may_set_them_and_our_own_for_nobody() {
    let (_supervisor, broker) = both(&[]);
    for role in ["observer", "operator"] {
        let session = broker.open(role);
        for slug in ["self", "local_hassio_sshd", "core_mosquitto"] {
            let response = session.get(&format!("/addons/{slug}/info"));
            assert_eq!(
                response.json()["data"]["options"],
                serde_json::Value::Null,
                "{role} {slug}"
            );
            assert!(!response.raw.contains("options-secret"), "{role} {slug}");
        }
    }
    let admin = broker.open("admin");
    for slug in ["self", "local_hassio_sshd", "LOCAL_hassio_sshd"] {
        assert!(
            !admin
                .get(&format!("/addons/{slug}/info"))
                .raw
                .contains("options-secret"),
            "{slug}"
        );
    }
    let other = admin.get("/addons/core_mosquitto/info");
    assert!(
        other.raw.contains("mosquitto-options-secret"),
        "{}",
        other.raw
    );
}

#[test]
fn options_are_stripped_where_our_own_name_is_not_known() {
    let (supervisor, broker) = both(&["--anonymous"]);
    let response = broker.open("admin").get("/addons/core_mosquitto/info");
    assert_eq!(response.json()["data"]["options"], serde_json::Value::Null);
    assert_eq!(supervisor.paths()[0], "/addons/self/info");
}

#[test]
fn the_supervisors_no_is_exit_1_and_its_words_are_kept() {
    let (_supervisor, broker) = both(&[]);
    let session = broker.open("operator");
    fs::write(broker.scratch.path("configuration.yaml"), "INVALID:\n").unwrap();
    let check = session.hassio(&["core", "check"]);
    assert_eq!(check.status.code(), Some(1));
    assert!(
        err(&check).starts_with("Error: Testing configuration at /config Failed config"),
        "{}",
        err(&check)
    );
    let unknown = session.hassio(&["apps", "info", "nothing_here"]);
    assert_eq!(
        (unknown.status.code(), err(&unknown).as_str()),
        (Some(1), "Error: App nothing_here does not exist\n")
    );
    let raw = session.hassio(&["apps", "info", "nothing_here", "--raw-json"]);
    assert_eq!(raw.status.code(), Some(1));
    assert!(
        out(&raw).starts_with(r#"{"result":"error""#),
        "{}",
        out(&raw)
    );
}

#[test]
fn a_refused_token_is_said_to_be_the_servers() {
    let (_supervisor, broker) = both(&["--role", "default"]);
    let response = broker.open("operator").get("/addons");
    assert_eq!(
        (response.status, &response.json()["error_key"]),
        (502, &"sshd_token_refused".into())
    );
    let scratch = Scratch::new();
    let supervisor = Supervisor::start(&scratch, &[]);
    let broker = Broker::start(scratch, &supervisor.address, Some("another-token"));
    let output = broker.open("operator").hassio(&["info"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("(403)"), "{}", err(&output));
    assert!(!err(&output).contains("another-token"));
}

#[test]
fn a_supervisor_that_is_away_is_exit_4() {
    let broker = Broker::start(Scratch::new(), "http://127.0.0.1:1", Some(TOKEN));
    let session = broker.open("operator");
    let output = session.hassio(&["info"]);
    assert_eq!(output.status.code(), Some(4));
    let text = err(&output);
    assert!(
        text.starts_with(
            "Error: cannot reach the Supervisor at http://127.0.0.1:1: Connection refused"
        ),
        "{text}"
    );
    assert!(text.contains("hint: it may be restarting"), "{text}");
    assert_eq!(session.get("/info").status, 502);
}

#[test]
fn without_a_token_hassio_says_that_no_supervisor_is_configured() {
    let broker = Broker::start(Scratch::new(), "http://supervisor", None);
    let session = broker.open("operator");
    assert_eq!(session.get("/info").status, 503);
    let output = session.hassio(&["core", "logs"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        err(&output).starts_with("Error: no Supervisor is configured\nhint: "),
        "{}",
        err(&output)
    );
    assert_eq!(session.hassio(&["session"]).status.code(), Some(0));
}

#[test]
fn without_a_broker_hassio_says_where_it_looked() {
    let output = hassio(Path::new("/nonexistent.sock"), &["info"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        err(&output)
            .starts_with("Error: cannot reach the server at /nonexistent.sock: No such file"),
        "{}",
        err(&output)
    );
    assert_eq!(
        hassio(Path::new("/nonexistent.sock"), &["nonsense"])
            .status
            .code(),
        Some(2)
    );
    assert_eq!(
        hassio(Path::new("/nonexistent.sock"), &["help"])
            .status
            .code(),
        Some(0)
    );
}

#[test]
fn a_log_has_the_lines_that_were_asked_for() {
    let (_supervisor, broker) = both(&[]);
    let session = broker.open("observer");
    let output = session.hassio(&["core", "logs", "-n", "7"]);
    assert_eq!(
        (output.status.code(), out(&output).lines().count()),
        (Some(0), 7)
    );
    assert_eq!(
        out(&session.hassio(&["supervisor", "logs"]))
            .lines()
            .count(),
        100
    );
    let response = session.get("/core/logs?lines=3");
    assert!(
        response.raw.contains("x-first-cursor: s="),
        "{}",
        response.raw
    );
}

/// What is in the Supervisor's place may say that all is well, and send a page to log in.
#[test]
fn what_is_no_backup_is_not_passed_on_as_one() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (send, kinds) = std::sync::mpsc::channel::<&str>();
    std::thread::spawn(move || {
        for kind in kinds {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\n{kind}Content-Length: 5\r\n\r\nhello"
            );
            stream.write_all(head.as_bytes()).unwrap();
        }
    });
    let broker = Broker::start(Scratch::new(), &address, Some(TOKEN));
    let session = broker.open("admin");
    for (kind, status) in [
        ("Content-Type: application/tar\r\n", 200),
        ("Content-Type: text/html\r\n", 502),
        ("Content-Type: application/json\r\n", 502),
        ("Content-Type: application/octet-stream\r\n", 502),
        ("", 502),
    ] {
        send.send(kind).unwrap();
        let answer = session.get("/backups/1a2b3c4d/download");
        assert_eq!(answer.status, status, "{kind}: {}", answer.raw);
        assert!(
            status == 200 || answer.json()["error_key"] == "sshd_bad_answer",
            "{}",
            answer.raw
        );
    }
}
