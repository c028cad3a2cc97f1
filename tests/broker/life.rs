//! Links, sessions and connections as they come and go.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use hassio_sshd::broker::BrokerError;
use hassio_sshd::wire::{AuditToPeer, Event, Link, ReportToAudit, WardenToBroker};

use crate::harness::{Broker, Scratch, both, command, until};

#[test]
fn a_new_audit_takes_the_place_of_the_old() {
    let (_supervisor, broker) = both(&[]);
    let session = broker.open("operator");
    assert_eq!(session.get("/info").status, 200);
    let (reports, audit_end) = Link::<ReportToAudit, AuditToPeer>::pair().unwrap();
    broker
        .warden()
        .send_with(&WardenToBroker::Audit, &[reports.as_fd()])
        .unwrap();
    drop(reports);
    broker.audit.attach(audit_end);
    assert_eq!(session.request("POST", "/core/restart", "").status, 200);
}

#[test]
fn a_followed_log_comes_at_once_and_ends_with_its_reader() {
    let (_supervisor, broker) = both(&[]);
    let session = broker.open("observer");
    let mut child = command(env!("CARGO_BIN_EXE_hassio"))
        .args(["core", "logs", "-f", "-n", "1"])
        .env("HASSIO_SOCKET", &session.socket)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().ends_with("line 299"));
    let mut times = Vec::new();
    for _ in 0..4 {
        lines.next().unwrap().unwrap();
        times.push(Instant::now());
    }
    let apart = times[3] - times[0];
    assert!(
        apart > Duration::from_millis(400) && apart < Duration::from_millis(1500),
        "{apart:?}"
    );
    let over = |event: &Event| matches!(event, Event::ApiResponse { error: Some(why), .. } if why == "the client went away");
    assert!(!broker.audit.has(over));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the end of the log", || broker.audit.has(over));
}

#[test]
fn closing_a_session_closes_its_connections_and_its_socket() {
    let (_supervisor, broker) = both(&[]);
    let (session, other) = (broker.open("operator"), broker.open("operator"));
    let mut following = session.connect();
    following
        .write_all(b"GET /core/logs/follow HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut some = [0; 64];
    following.read_exact(&mut some).unwrap();
    let mut idle = session.connect();
    let began = Instant::now();
    broker.close(&session);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    let mut rest = Vec::new();
    following.read_to_end(&mut rest).unwrap();
    // Zero, or a reset where the broker had not accepted it yet.
    assert_eq!(idle.read(&mut some).unwrap_or(0), 0);
    assert!(UnixStream::connect(&session.socket).is_err());
    let closed = |event: &Event| matches!(event, Event::ApiResponse { error: Some(why), .. } if why == "the session was closed");
    until("the record", || broker.audit.has(closed));
    assert_eq!(other.get("/info").status, 200, "another session goes on");
    broker.close(&session);
}

#[test]
fn a_session_has_32_connections_and_no_more() {
    let (_supervisor, broker) = both(&[]);
    let session = broker.open("operator");
    let held: Vec<_> = (0..32).map(|_| session.connect()).collect();
    let mut more = session.connect();
    assert_eq!(more.read(&mut [0; 8]).unwrap_or(0), 0);
    until("the record", || {
        broker
            .audit
            .has(|event| matches!(event, Event::PolicyDeny { rule, .. } if rule == "a session may have 32"))
    });
    assert_eq!(
        broker.open("operator").get("/info").status,
        200,
        "another session is not affected"
    );
    drop(held);
    until("room", || {
        UnixStream::connect(&session.socket).is_ok() && session.get("/info").status == 200
    });
}

#[test]
fn the_broker_ends_with_its_warden_and_without_it_for_nonsense() {
    let (_supervisor, mut broker) = both(&[]);
    let session = broker.open("operator");
    assert_eq!(session.get("/info").status, 200);
    assert!(broker.end().is_ok());
    assert!(UnixStream::connect(&session.socket).is_err());

    let mut broker = Broker::start(Scratch::new(), "http://supervisor", None);
    broker.warden().send(&WardenToBroker::Audit).unwrap();
    let thread = broker.thread.take().unwrap();
    assert!(
        matches!(thread.join().unwrap(), Err(BrokerError::Warden(_))),
        "a message without its descriptor"
    );

    let bad = Broker::start(Scratch::new(), "https://supervisor", None).end();
    assert!(matches!(bad, Err(BrokerError::Address(_))));
    let bad = Broker::start(Scratch::new(), "http://supervisor", Some("a\nb")).end();
    assert!(matches!(bad, Err(BrokerError::Token)));
}
