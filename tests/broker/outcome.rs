//! A call that changes something, and an answer that does not say what became of it.

use std::io::Read as _;
use std::net::TcpListener;
use std::thread;

use hassio_sshd::wire::Event;
use serde_json::Value;

use crate::harness::{Broker, Response, Scratch, TOKEN, both, command, err, until};

/// Whether the answer says that nobody knows.
fn unknown(response: &Response) -> bool {
    let answer = response.json();
    let said = answer["message"]
        .as_str()
        .unwrap()
        .contains("may have been carried out");
    assert_eq!(said, answer["extra_fields"]["outcome"] == "unknown");
    said
}

#[test]
fn an_answer_that_is_none_leaves_the_outcome_unknown() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("admin");
    for fault in ["html", "cut", "nonsense", "redirect", "crash"] {
        let path = format!("/addons/fault_{fault}/restart");
        let response = session.request("POST", &path, "");
        assert_eq!(response.status, 502, "{fault}: {}", response.raw);
        assert_eq!(response.json()["error_key"], "sshd_bad_answer", "{fault}");
        assert!(unknown(&response), "{fault}: {}", response.raw);
        assert!(supervisor.paths().contains(&path));
    }
    let recorded = |event: &Event| {
        matches!(event, Event::ApiResponse { status: 502, error: Some(why), .. }
            if why.contains("it broke off") && why.ends_with("may have been carried out"))
    };
    until("the record", || broker.audit.has(recorded));
}

/// As in a session, so outside of it.
#[test]
fn a_crash_of_the_supervisor_is_told_in_one_plain_line() {
    let (supervisor, broker) = both(&[]);
    let words = ["apps", "restart", "fault_crash"];
    let inside = broker.open("operator").hassio(&words);
    let place = ["--endpoint", &supervisor.address, "--api-token", TOKEN];
    let outside = command(env!("CARGO_BIN_EXE_hassio"))
        .args(words)
        .args(place)
        .env_clear()
        .output()
        .unwrap();
    for output in [inside, outside] {
        let text = err(&output);
        assert_eq!(output.status.code(), Some(4), "{text}");
        assert!(
            text.contains("500 Internal Server Error Server got itself in trouble"),
            "{text}"
        );
        assert!(!text.contains('\\'), "{text}");
        assert!(
            text.contains("`hassio jobs` shows what") && text.lines().count() == 2,
            "{text}"
        );
    }
}

#[test]
fn a_connection_that_ends_without_an_answer_leaves_the_outcome_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
        }
    });
    let broker = Broker::start(Scratch::new(), &address, Some(TOKEN));
    let session = broker.open("operator");
    let changing = session.request("POST", "/core/restart", "");
    let answer = (changing.status, changing.json()["error_key"].take());
    assert_eq!(answer, (502, "sshd_unreachable".into()), "{}", changing.raw);
    assert!(unknown(&changing), "{}", changing.raw);
    let reading = session.get("/info");
    assert_eq!(reading.status, 502);
    assert!(!unknown(&reading), "{}", reading.raw);
    server.join().unwrap();
}

#[test]
fn what_was_not_sent_or_has_an_answer_has_a_known_outcome() {
    let away = Broker::start(Scratch::new(), "http://127.0.0.1:1", Some(TOKEN));
    let response = away.open("operator").request("POST", "/core/restart", "");
    assert_eq!(response.json()["error_key"], "sshd_unreachable");
    assert!(!unknown(&response), "{}", response.raw);

    let (_supervisor, broker) = both(&[]);
    let session = broker.open("admin");
    let html = session.get("/addons/fault_html/stats");
    assert_eq!(html.json()["error_key"], "sshd_bad_answer");
    assert!(!unknown(&html), "{}", html.raw);
    // The Supervisor's own words.
    let broken = session.request("POST", "/addons/fault_broken/restart", "");
    assert_eq!(
        (broken.status, &broken.json()["error_key"]),
        (500, &Value::Null)
    );
    assert!(!unknown(&broken), "{}", broken.raw);
    let nobody = session.request("POST", "/addons/nothing_here/restart", "");
    assert_eq!(nobody.json()["message"], "App nothing_here does not exist");
    let output = session.hassio(&["apps", "restart", "nothing_here"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
}
