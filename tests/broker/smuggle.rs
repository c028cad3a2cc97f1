//! Requests that could be read in two ways, written byte by byte: refused, on record, and nothing of them goes out.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use hassio_sshd::wire::limits::API_HEAD_BYTES;
use hassio_sshd::wire::{ApiDecision, Event};

use crate::harness::{Broker, Session, Supervisor, both, until};

/// Sends bytes and reads until the broker closes: what came back.
fn exchange(session: &Session, request: &[u8]) -> String {
    let mut stream = session.connect();
    // The broker may answer and close before it has all.
    stream.write_all(request).map(drop).unwrap_or_default();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map(drop).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn statuses(answer: &str) -> Vec<&str> {
    let lines = answer.lines().filter(|line| line.starts_with("HTTP/1.1 "));
    lines.map(|line| &line[9..12]).collect()
}

fn denials(broker: &Broker) -> usize {
    let denied = |event: &Event| {
        matches!(
            event,
            Event::ApiRequest {
                decision: ApiDecision::Deny,
                ..
            } | Event::PolicyDeny { .. }
        )
    };
    broker
        .audit
        .events()
        .iter()
        .filter(|event| denied(event))
        .count()
}

/// Each is refused with one of these statuses, put on record, and the Supervisor hears nothing.
fn refused(supervisor: &Supervisor, broker: &Broker, requests: &[&[u8]], allowed: &[&str]) {
    for request in requests {
        let session = broker.open("admin");
        let before = denials(broker);
        let answer = exchange(&session, request);
        let shown = request.escape_ascii();
        match statuses(&answer).as_slice() {
            [status] if allowed.contains(status) => {}
            other => panic!("{shown}: {other:?}\n{answer}"),
        }
        until("the record", || denials(broker) == before + 1);
        assert!(
            supervisor.requests().is_empty(),
            "{shown}: {:?}",
            supervisor.paths()
        );
    }
}

#[test]
fn a_path_with_two_meanings_is_refused() {
    let (supervisor, broker) = both(&[]);
    let targets = [
        "/addons/../supervisor/info",
        "/addons/x/../../core/restart",
        "/addons/./info",
        "/addons/%2e%2e/info",
        "/addons/..%2f../info",
        "/addons/x%2finfo",
        "/addons/x%252finfo",
        "/addons/x%5cinfo",
        "/addons/x;y/info",
        "//info",
        "/core//info",
        "/info/",
        "/./info",
        "/%69nfo",
        "/INFO",
        "/Core/info",
        "/addons/a%00/info",
        "/addons/a%0d%0aX:%20y/info",
        "/host/logs/identifiers/..%2fx",
        "/host/logs/identifiers/%2e%2e",
        "/host/logs/identifiers/a%252fb",
        "/sshd/../info",
        "/sshd/session?x=1",
        "/v2/info",
    ];
    asked_and_refused(&supervisor, &broker, &targets, "403");
}

#[test]
fn a_query_with_two_meanings_is_refused() {
    let (supervisor, broker) = both(&[]);
    let targets = [
        "/info?x=../../",
        "/core/logs?lines=../",
        "/core/logs?lines=5&lines=6",
        "/core/logs?LINES=5",
        "/core/logs?lines=5;x=1",
        "/core/logs?%6cines=5",
        "/core/logs?lines=5%26x=1",
        "/core/logs?lines=5&x=%3Cscript%3E",
    ];
    asked_and_refused(&supervisor, &broker, &targets, "400");
}

fn asked_and_refused(supervisor: &Supervisor, broker: &Broker, targets: &[&str], status: &str) {
    let request = |target: &&str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let requests: Vec<_> = targets.iter().map(request).collect();
    let requests: Vec<_> = requests.iter().map(String::as_bytes).collect();
    refused(supervisor, broker, &requests, &[status]);
}

#[test]
fn a_head_with_two_meanings_is_refused() {
    let (supervisor, broker) = both(&[]);
    let long = format!(
        "GET /info HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "a".repeat(70_000)
    );
    let many = format!(
        "GET /info HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X: y\r\n".repeat(200)
    );
    let target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000));
    let requests: [&[u8]; 31] = [
        b"GET /info HTTP/1.1\nHost: x\r\n\r\n",
        b"GET /info HTTP/1.1\nHost: x\n\n",
        b"GET http://evil/info HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://supervisor/addons/../info HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /info#frag HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET\t/info HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET  /info HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /core/restart HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775808\r\n\r\n{}",
        b"POST /core/restart HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"\r\n\r\nPOST /core/restart HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\n\nPOST /core/restart HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /core/restart HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /core/restart HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        b"POST /core/restart HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /core/restart HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /core/restart HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /core/restart HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST /core/restart HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /core/restart HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /core/restart HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
        b"POST /core/restart HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\n{}",
        b"POST /core/restart HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /info HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /info HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
        b"GET /info HTTP/1.1\r\nHost: x\nX: a\r\n\r\n",
        b"GET /info HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        b"GET /info HTTP/9.9\r\nHost: x\r\n\r\n",
        long.as_bytes(),
        many.as_bytes(),
        target.as_bytes(),
    ];
    refused(&supervisor, &broker, &requests, &["400", "431"]);
}

/// Each of them in the envelope of all answers, and with what was asked for on record.
#[test]
fn a_refused_head_is_answered_in_the_envelope_and_its_record_says_what_was_asked() {
    let (_supervisor, broker) = both(&[]);
    let session = broker.open("admin");
    let many = "X: y\r\n".repeat(200);
    for rest in [
        "Content-Length: 2, 2\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "X: a\r\n b\r\n",
        &many,
    ] {
        let before = broker.audit.events().len();
        let request = format!("POST /core/restart HTTP/1.1\r\nHost: x\r\n{rest}\r\n{{}}");
        let answer = exchange(&session, request.as_bytes());
        assert!(
            answer.contains("\"error_key\":\"sshd_unfit\""),
            "{rest}: {answer}"
        );
        let said = |event: &Event| {
            matches!(event, Event::ApiRequest { method, path, decision: ApiDecision::Deny, .. }
                if method == "POST" && path == "/core/restart")
        };
        until("the record", || {
            broker.audit.events().iter().skip(before).any(said)
        });
    }
}

#[test]
fn a_body_that_is_announced_as_too_long_is_not_waited_for() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("admin");
    let began = std::time::Instant::now();
    let head = format!(
        "POST /core/restart HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{{}}",
        i64::MAX
    );
    let mut stream = session.connect();
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(statuses(&answer), ["400"], "{answer}");
    assert!(answer.contains("longer than 1048576 bytes"), "{answer}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert!(supervisor.requests().is_empty());
}

/// hyper reads a head whose end comes with bytes that fit its buffer no more.
#[test]
fn a_head_that_is_not_seen_whole_is_refused() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("admin");
    let (most, before) = (API_HEAD_BYTES, denials(&broker));
    let mut stream = session.connect();
    // What is kept ends with a line, and has one meaning.
    let begin = "POST /core/restart HTTP/1.1\r\nHost: x\r\nX: ";
    let padding = "a".repeat(most - begin.len() - 2);
    let rest = "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let request = format!("{begin}{padding}\r\n{rest}");
    let (first, rest) = request.split_at(most - 100);
    stream.write_all(first.as_bytes()).unwrap();
    // The broker reads that by itself.
    std::thread::sleep(Duration::from_millis(200));
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(statuses(&answer), ["431"], "{answer}");
    assert!(answer.contains("sshd_unfit"), "{answer}");
    until("the record", || denials(&broker) == before + 1);
    assert!(supervisor.requests().is_empty());
}

#[test]
fn a_request_behind_a_request_is_not_read() {
    let (supervisor, broker) = both(&[]);
    for request in [
        &b"GET /info HTTP/1.1\r\nHost: x\r\n\r\nGET /core/info HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"POST /core/check HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nGET /core/info HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /core/start HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /core/info HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let session = broker.open("operator");
        let before = denials(&broker);
        let answer = exchange(&session, request);
        assert_eq!(statuses(&answer), ["200"], "{}: {answer}", request.escape_ascii());
        assert!(answer.contains("connection: close"), "{answer}");
        until("the record", || denials(&broker) == before + 1);
    }
    assert_eq!(supervisor.paths(), ["/info", "/core/check", "/core/start"]);
}

#[test]
fn headers_of_a_session_choose_nothing_but_what_is_listed() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("operator");
    let head = "GET /core/logs HTTP/1.1\r\nHost: evil\r\nX-Supervisor-Token: a\r\nX-Hassio-Key: b\r\nAuthorization: Bearer c\r\n\
        Cookie: d\r\nX-Forwarded-For: e\r\nX-Ingress-Path: f\r\nX-HTTP-Method-Override: DELETE\r\nX-Original-URL: /auth/list\r\n\
        X-Ha-Access: g\r\nConnection: keep-alive, Range\r\nUpgrade: websocket\r\nTE: trailers\r\nAccept: text/x-log\r\n\
        Range: entries=:-4:\r\n\r\n";
    assert_eq!(statuses(&exchange(&session, head.as_bytes())), ["200"]);
    let requests = supervisor.requests();
    let headers = requests[0]["headers"].as_object().unwrap();
    let mut names: Vec<_> = headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["accept", "authorization", "host", "range", "user-agent"]
    );
    assert_eq!(headers["accept"], "text/x-log");
    assert_eq!(headers["range"], "entries=:-4:");
    assert_eq!(headers["authorization"], "Bearer (token)");
    assert_eq!(requests[0]["token"], true);
}
