//! What a session does not get, and what the Supervisor never hears of.

use std::io::{Read as _, Write as _};
use std::sync::atomic::Ordering;
use std::time::Instant;

use hassio_sshd::wire::{ApiDecision, Event};

use crate::harness::{both, err, until};

#[test]
fn observer_cannot_restart_core() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("observer");
    let output = session.hassio(&["core", "restart"]);
    assert_eq!(output.status.code(), Some(3));
    let text = err(&output);
    assert!(text.starts_with("Error: POST /core/restart is not allowed for the role observer; the role operator would do\n"), "{text}");
    assert!(text.contains("\nhint: "), "{text}");
    let response = session.request("POST", "/core/restart", "{}");
    assert_eq!(
        (response.status, &response.json()["result"]),
        (403, &"error".into())
    );
    assert!(
        supervisor.requests().is_empty(),
        "the Supervisor heard of it"
    );
    let denied = |event: &Event| matches!(event, Event::ApiRequest { endpoint: Some(name), decision: ApiDecision::Deny, .. } if name == "core.restart");
    assert!(broker.audit.has(denied));
}

#[test]
fn backup_reads_nothing() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("backup");
    for path in ["/info", "/core/logs", "/addons/self/info"] {
        assert_eq!(session.get(path).status, 403, "{path}");
    }
    assert!(supervisor.requests().is_empty());
}

#[test]
fn a_changing_call_without_its_receipt_is_not_made() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("operator");
    broker.audit.withhold.store(true, Ordering::SeqCst);
    let began = Instant::now();
    let output = session.hassio(&["core", "restart"]);
    assert!(
        (9..15).contains(&began.elapsed().as_secs()),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    assert!(
        err(&output).contains("could not be put on record, so it was not made"),
        "{}",
        err(&output)
    );
    assert!(
        supervisor.requests().is_empty(),
        "the Supervisor heard of it"
    );
    assert_eq!(
        session.get("/info").status,
        200,
        "a call that changes nothing goes on"
    );
    broker.audit.withhold.store(false, Ordering::SeqCst);
    assert_eq!(session.request("POST", "/core/restart", "").status, 200);
}

#[test]
fn another_uid_gets_no_byte() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open_for("admin", 54_321);
    let mut stream = session.connect();
    // The broker may have closed before.
    stream
        .write_all(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap_or_default();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map(drop).unwrap_or_default();
    assert_eq!(bytes, b"");
    until("the record", || {
        broker
            .audit
            .has(|event| matches!(event, Event::PolicyDeny { .. }))
    });
    assert!(supervisor.requests().is_empty());
}

#[test]
fn only_good_bodies_go_out() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("operator");
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(1024 * 1024));
    for body in [
        "[]",
        "{",
        "{\"force\":true,\"force\":false}",
        "nonsense",
        "{\"a\":{\"$serde_json::private::Number\":\"7\"}}",
        &long,
    ] {
        assert_eq!(
            session.request("POST", "/core/restart", body).status,
            400,
            "{body:.40}"
        );
    }
    assert_eq!(
        session.request("POST", "/core/check", "{}").status,
        400,
        "a body where none belongs"
    );
    assert!(supervisor.requests().is_empty());
    let output = session.request("POST", "/core/restart", "{\"other\":1}");
    assert_eq!(output.status, 400);
    assert!(
        output.body().contains("extra keys not allowed"),
        "{}",
        output.raw
    );
}

#[test]
fn a_parameter_outside_its_grammar_is_named_and_is_no_matter_of_rights() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("operator");
    for (method, target, name) in [
        (
            "GET",
            "/core/logs?lines=all",
            "the parameter lines has to be",
        ),
        ("GET", "/host/logs/boots/x", "the parameter boot has to be"),
        (
            "POST",
            "/addons/a.b/restart",
            "the parameter slug has to be",
        ),
    ] {
        let response = session.request(method, target, "");
        assert_eq!(response.status, 400, "{target}: {}", response.raw);
        assert_eq!(response.json()["error_key"], "sshd_unfit");
        assert!(response.body().contains(name), "{}", response.raw);
    }
    let denied = |event: &Event| {
        matches!(event, Event::ApiRequest { endpoint: Some(name), decision: ApiDecision::Deny, rule, .. }
            if name == "addons.restart" && rule.contains("slug"))
    };
    assert!(broker.audit.has(denied));
    let refused = session.request("POST", "/addons/a.b/options", "{}");
    assert_eq!(refused.status, 403, "the role comes first: {}", refused.raw);
    assert!(supervisor.requests().is_empty());
}

#[test]
fn a_writer_with_a_strange_name_can_be_asked_for() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("observer");
    let path = "/host/logs/identifiers/NetworkManager%5B123%5D%20(x)";
    assert_eq!(session.get(path).status, 200);
    assert_eq!(
        supervisor.paths(),
        ["/host/logs/identifiers/NetworkManager%5B123%5D%20%28x%29"]
    );
}
