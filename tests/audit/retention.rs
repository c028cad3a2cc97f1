//! What is old goes, and verifies as gone by rule.

use std::time::{Duration, Instant};

use hassio_sshd::audit::chain;
use hassio_sshd::wire::{RecordingEvent, RecordingPart, RecordingStart, Stream};

use super::*;

/// A trail of a life of the server in 2020, with a session in it, and one of today.
fn years() -> (Directory, String, String) {
    let directory = Directory::new();
    let session = |sid: Option<&str>| {
        let server = Server::start(&directory);
        server.server_start();
        let mut facts = facts();
        if let Some(sid) = sid {
            facts.sid = sid.parse().unwrap();
        }
        opened(server.open(&facts), facts.sid);
        closed(server.close(facts.sid), facts.sid);
        server.stop();
        directory.session(facts.sid)
    };
    // UUIDv7: of 2020-01-02.
    let old = session(Some("016f6423-5000-7000-8000-000000000001"));
    assert!(old.starts_with("sessions/2020/01/02/"), "{old}");
    let new = session(None);
    let past = |text: &str| {
        let at = text.find("\"ts\":\"").unwrap() + 6;
        format!("{}2020-01-02{}", &text[..at], &text[at + 10..])
    };
    let lines: Vec<Vec<u8>> = directory
        .lines(&old)
        .into_iter()
        .map(|line| past(&String::from_utf8(line).unwrap()).into_bytes())
        .collect();
    directory.rechain(&old, &lines, chain::START);
    let held = fs::read_to_string(directory.0.join("keys/current")).unwrap();
    let (key, private) = tamper::signing_key(&held);
    // The first segment only: the second one is of today.
    tamper::resign(&directory.0, &key, &private, |text| {
        match text.contains("\"boot\":\"0123abcd-1\"") {
            true => past(text),
            false => text.to_owned(),
        }
    });
    directory.must_be("before anything expires", 0, "");
    (directory, old, new)
}

#[test]
fn what_is_older_than_its_days_goes_and_verifies_as_expired() {
    let (directory, old, new) = years();
    fs::write(directory.0.join(format!("{old}.torn")), "{").unwrap();
    let server = Server::start(&directory);
    let end = Instant::now() + Duration::from_secs(10);
    let there = |file: &str| directory.0.join(file).exists();
    while there(&old) || there("ledger/000001.jsonl") {
        assert!(Instant::now() < end, "{:?}", directory.files());
        std::thread::sleep(Duration::from_millis(20));
    }
    server.stop();
    assert!(there(&new) && there("ledger/000002.jsonl"));
    assert!(!there("sessions/2020"), "empty folders go as well");
    let records = directory.records("ledger/000003.jsonl");
    let gone: Vec<&Value> = records
        .iter()
        .filter(|record| record["type"] == "expire")
        .collect();
    let files: Vec<&str> = gone
        .iter()
        .map(|record| record["d"]["file"].as_str().unwrap())
        .collect();
    assert_eq!(files, [old.as_str(), "ledger/000001.jsonl"]);
    assert_eq!(
        (&gone[0]["d"]["reason"], &gone[0]["d"]["records"]),
        (&"age".into(), &2.into())
    );
    let report = directory.must_be("what is left", 0, "");
    assert_eq!(
        report["expired"], 1,
        "the session was anchored in the segment that went with it: {report}"
    );
    // What is not said to be expired is missing all the same.
    fs::remove_file(directory.0.join(&new)).unwrap();
    directory.must_be("and a young one", 11, &format!("missing {new}"));
}

#[test]
fn a_segment_that_does_not_follow_the_expired_one_is_found() {
    let (directory, ..) = years();
    let server = Server::start(&directory);
    let end = Instant::now() + Duration::from_secs(10);
    while directory.0.join("ledger/000001.jsonl").exists() {
        assert!(Instant::now() < end, "{:?}", directory.files());
        std::thread::sleep(Duration::from_millis(20));
    }
    server.stop();
    let held = fs::read_to_string(directory.0.join("keys/current")).unwrap();
    let (key, private) = tamper::signing_key(&held);
    // All that is left, chained and signed anew, from nothing.
    tamper::resign(&directory.0, &key, &private, str::to_owned);
    directory.must_be("another beginning", 10, "prev ledger/000002.jsonl 0");
}

/// A session with a recording of what cannot be compressed, which is waited for; the recording.
fn recorded(directory: &Directory, server: &Server, sid: Option<&str>) -> String {
    let mut facts = facts();
    if let Some(sid) = sid {
        facts.sid = sid.parse().unwrap();
    }
    let connection = server.connect(facts.cid, None);
    opened(server.open(&facts), facts.sid);
    let start = RecordingStart {
        channel: ChannelNumber(3),
        terminal: Some(("xterm".to_owned(), 80, 24)),
        command: None,
    };
    let mut noise = Vec::new();
    let mut state = 1u32;
    for _ in 0..8000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.push(b'a' + u8::try_from(state >> 24).unwrap() % 26);
    }
    let output = RecordingEvent::Output {
        stream: Stream::Stdout,
        bytes: noise,
    };
    for event in [
        RecordingEvent::Start(start),
        output,
        RecordingEvent::End { exit: None },
    ] {
        let part = RecordingPart {
            recording: 1,
            at_ns: 0,
            event,
        };
        connection.send(&ReportToAudit::Recording(part)).unwrap();
    }
    assert_eq!(tell_durably(&connection, shell()), AuditToPeer::Durable(7));
    closed(server.close(facts.sid), facts.sid);
    let folder = directory
        .session(facts.sid)
        .replacen("sessions", "recordings", 1);
    let sealed = folder.replace(".jsonl", "/3.cast.zst");
    until("it is sealed", || directory.0.join(&sealed).exists());
    sealed
}

fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn recordings_go_when_they_are_old_and_when_they_are_too_much() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    let old = recorded(
        &directory,
        &server,
        Some("016f6423-5000-7000-8000-000000000001"),
    );
    let (first, second) = (
        recorded(&directory, &server, None),
        recorded(&directory, &server, None),
    );
    server.stop();
    let there = |file: &str| directory.0.join(file).exists();
    directory.must_be("with all recordings", 0, "");
    let server = Server::start(&directory);
    until("the old one goes", || !there(&old));
    assert!(there(&first) && there(&second));
    assert!(!there("recordings/2020"), "empty folders go as well");
    server.stop();
    directory.must_be("without the old one", 0, "");
    let bytes = fs::metadata(directory.0.join(&second)).unwrap().len();
    let server = Server::start_with(&directory, bytes + bytes / 2);
    until("one is too much", || !there(&first));
    // What comes after it is not looked at again within the hour.
    recorded(&directory, &server, None);
    assert!(there(&second));
    server.stop();
    let ledgers: Vec<Value> = ["ledger/000002.jsonl", "ledger/000003.jsonl"]
        .iter()
        .flat_map(|file| directory.records(file))
        .collect();
    let gone: Vec<(&str, &str)> = ledgers
        .iter()
        .filter(|record| record["type"] == "recording.delete")
        .map(|record| {
            (
                record["d"]["file"].as_str().unwrap(),
                record["d"]["reason"].as_str().unwrap(),
            )
        })
        .collect();
    let plain = |file: &str| file.strip_suffix(".zst").unwrap().to_owned();
    assert_eq!(
        gone,
        [
            (plain(&old).as_str(), "age"),
            (plain(&first).as_str(), "size")
        ]
    );
    directory.must_be("with one left", 0, "");
    fs::remove_file(directory.0.join(&second)).unwrap();
    directory.must_be(
        "and that one taken away",
        11,
        &format!("missing {}", plain(&second)),
    );
}

#[test]
fn recordings_go_when_the_owner_orders_it_and_their_sessions_are_over() {
    let directory = Directory::new();
    let reader = crate::read::Reader::of(&directory);
    let erase = |words: &[&str]| reader.run(&[&["erase"], words].concat());
    let server = Server::start(&directory);
    let (first, second) = (
        recorded(&directory, &server, None),
        recorded(&directory, &server, None),
    );
    let there = |file: &str| directory.0.join(file).exists();
    let sid = |file: &str| file.rsplit('/').nth(1).unwrap().to_owned();
    // Nothing is meant by nothing, and nobody can be asked.
    assert_eq!(erase(&[]).status.code(), Some(2));
    assert_eq!(erase(&[&sid(&first), "--key", "x"]).status.code(), Some(2));
    assert_eq!(erase(&[&sid(&first)]).status.code(), Some(2));
    assert_eq!(erase(&[&sid(&first), "7", "-y"]).status.code(), Some(1));
    let unknown = erase(&["--key", "nobody's", "-y"]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    assert!(there(&first) && there(&second));

    let done = erase(&[&sid(&first), "3", "-y"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(done.stdout, b"1 recording deleted\n");
    assert!(!there(&first) && there(&second));
    until("the folder of orders goes with the last", || {
        !there("erase")
    });
    let deleted =
        |record: &Value| record["type"] == "recording.delete" && record["d"]["reason"] == "asked";
    until("it is on record", || {
        directory.records("ledger/000001.jsonl").iter().any(deleted)
    });

    // A session that is open keeps its recording; all others of the key go.
    let facts = facts();
    let connection = server.connect(facts.cid, None);
    opened(server.open(&facts), facts.sid);
    let start = RecordingEvent::Start(RecordingStart {
        channel: ChannelNumber(3),
        terminal: Some(("xterm".to_owned(), 80, 24)),
        command: None,
    });
    let part = RecordingPart {
        recording: 1,
        at_ns: 0,
        event: start,
    };
    connection.send(&ReportToAudit::Recording(part)).unwrap();
    assert_eq!(tell_durably(&connection, shell()), AuditToPeer::Durable(7));
    let folder = directory
        .session(facts.sid)
        .replacen("sessions", "recordings", 1);
    let open = folder.replace(".jsonl", "/3.cast");
    until("it is recorded", || there(&open));
    let done = erase(&["--key", "SHA256:", "-y"]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(
        String::from_utf8_lossy(&done.stderr).contains("its session is open"),
        "{done:?}"
    );
    assert!(!there(&second) && there(&open));
    closed(server.close(facts.sid), facts.sid);
    server.stop();
    directory.must_be("with what is on record gone", 0, "");

    // While the server does not run it is ordered, and nothing but recordings can be.
    let order = hassio_sshd::audit::erasure::Order::lay(
        &directory.0,
        &[
            "keys/current".to_owned(),
            "../options.json".to_owned(),
            open.clone(),
        ],
    );
    let order = order.unwrap();
    let lies = || there(&open) || there(&format!("{open}.zst"));
    assert!(!order.is_done() && lies());
    let server = Server::start(&directory);
    server.server_start();
    until("the order is done", || order.is_done());
    assert!(there("keys/current") && !lies());
    server.stop();
    directory.must_be("after an order that waited", 0, "");
}
