//! Crashes, damage, restarts and floods.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn a_crash_leaves_an_order_that_the_next_start_makes() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    let (torn, whole) = (facts(), facts());
    let connection = server.connect(torn.cid, None);
    opened(server.open(&torn), torn.sid);
    opened(server.open(&whole), whole.sid);
    assert_eq!(tell_durably(&connection, shell()), AuditToPeer::Durable(7));
    server.stop();
    assert_eq!(directory.marks().len(), 2);
    let session = directory.session(torn.sid);
    for file in [session.as_str(), "ledger/000001.jsonl"] {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(directory.0.join(file))
            .unwrap();
        file.write_all(b"{\"v\":1,\"seq\":").unwrap();
    }
    let before = directory.verify();
    assert_eq!(
        (
            before.exit_code(),
            before.findings.len(),
            before.unfinished.len()
        ),
        (13, 2, 2),
        "{}",
        before.to_text()
    );

    let server = Server::start(&directory);
    server.server_start();
    let next = facts();
    opened(server.open(&next), next.sid);
    server.stop();
    assert_eq!(
        directory.types(&session),
        ["session.open", "shell", "session.close"]
    );
    let close = &directory.records(&session)[2];
    assert_eq!(
        (&close["d"]["reason"], &close["d"]["records"]),
        (&"crash".into(), &2.into())
    );
    assert_eq!(
        (&close["user"], &close["boot"]),
        (&"root".into(), &"0123abcd-2".into())
    );
    assert_eq!(
        directory.types("ledger/000002.jsonl"),
        ["recovery", "recovery", "server.start"]
    );
    let ledger = directory.records("ledger/000002.jsonl");
    assert_eq!(ledger[1]["d"]["moved_to"], format!("{session}.torn"));
    assert_eq!(ledger[1]["d"]["torn_bytes"], 13);
    assert_eq!(
        ledger[2]["d"]["recovered"].as_array().unwrap().len(),
        4,
        "{}",
        ledger[2]
    );
    assert_eq!(
        fs::read(directory.0.join(format!("{session}.torn"))).unwrap(),
        b"{\"v\":1,\"seq\":"
    );
    let report = directory.verify();
    assert_eq!(
        (report.exit_code(), report.unfinished.len()),
        (13, 1),
        "{}",
        report.to_text()
    );
    assert_eq!(directory.marks().len(), 1);
}

#[test]
fn a_damaged_file_is_put_aside_and_stops_nobody() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    server.server_start();
    let (damaged, good) = (facts(), facts());
    opened(server.open(&damaged), damaged.sid);
    opened(server.open(&good), good.sid);
    server.stop();
    for file in [
        directory.session(damaged.sid),
        "ledger/000001.jsonl".to_owned(),
    ] {
        let path = directory.0.join(file);
        let mut bytes = fs::read(&path).unwrap();
        bytes[30] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let server = Server::start(&directory);
    server.server_start();
    let next = facts();
    opened(server.open(&next), next.sid);
    closed(server.close(next.sid), next.sid);
    server.stop();
    let aside: Vec<String> = directory
        .files()
        .into_iter()
        .filter(|file| file.starts_with("quarantine/"))
        .collect();
    assert_eq!(aside.len(), 2, "{aside:?}");
    assert_eq!(
        directory.types("ledger/000002.jsonl"),
        ["recovery", "recovery", "server.start"]
    );
    assert_eq!(
        directory.types(&directory.session(good.sid)),
        ["session.open", "session.close"]
    );
    let report = directory.verify();
    assert_eq!(
        (report.exit_code(), report.findings.len()),
        (10, 2),
        "{}",
        report.to_text()
    );
}

#[test]
fn a_session_goes_on_when_only_audit_is_restarted() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    let facts = facts();
    let connection = server.connect(facts.cid, None);
    opened(server.open(&facts), facts.sid);
    tell_durably(&connection, shell());
    server.stop();
    let server = Server::start(&directory);
    let connection = server.connect(facts.cid, Some(facts.clone()));
    assert_eq!(tell_durably(&connection, shell()), AuditToPeer::Durable(7));
    closed(server.close(facts.sid), facts.sid);
    server.stop();
    let session = directory.session(facts.sid);
    assert_eq!(
        directory.types(&session),
        ["session.open", "shell", "shell", "session.close"]
    );
    assert_eq!(directory.records(&session)[3]["d"]["records"], 3);
    assert_eq!(directory.verify().exit_code(), 0);
}

#[test]
fn who_reports_what_is_not_theirs_is_closed_and_recorded() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    let facts = facts();
    let liars = [
        (
            server.connect(facts.cid, None),
            api_request(ApiDecision::Allow),
        ),
        (server.reporter(Reporter::Keys), shell()),
        (server.reporter(Reporter::Broker), conn_open()),
        (
            server.reporter(Reporter::Broker),
            Record::new(Event::ServerStop {
                reason: "x".to_owned(),
            }),
        ),
        (
            server.connect(facts.cid, None),
            Record::new(Event::Recovery {
                file: "x".to_owned(),
                records: 0,
                torn_bytes: 0,
                missing_bytes: 0,
                moved_to: None,
            }),
        ),
    ];
    for (link, record) in liars {
        link.send(&ReportToAudit::Record {
            record,
            receipt: Some(1),
        })
        .unwrap();
        let heard = link.recv();
        assert!(matches!(heard, Err(LinkError::Closed)), "{heard:?}");
    }
    // A connection cannot place its records elsewhere.
    let honest = server.connect(facts.cid, None);
    tell_durably(
        &honest,
        conn_open()
            .of_connection(ConnectionId::new())
            .of_session(SessionId::new()),
    );
    let lie = WardenToAudit::Record(shell());
    server.warden.send(&lie).unwrap();
    assert!(matches!(server.warden.recv(), Err(LinkError::Closed)));
    assert!(matches!(
        server.thread.join().unwrap(),
        Err(AuditError::NotTheWardens { kind: "shell" })
    ));
    let mut types = vec!["policy.deny"; 5];
    types.extend(["conn.open", "policy.deny"]);
    assert_eq!(directory.types("ledger/000001.jsonl"), types);
    let records = directory.records("ledger/000001.jsonl");
    assert_eq!(records[0]["d"]["object"], "api.request from connection");
    assert_eq!(
        (&records[5]["cid"], records[5].get("sid")),
        (&facts.cid.to_string().into(), None)
    );
}

#[test]
fn a_session_that_records_too_much_is_ended() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    let facts = facts();
    let connection = server.connect(facts.cid, None);
    opened(server.open(&facts), facts.sid);
    let long = Event::Exec {
        command: "x".repeat(4000),
        bytes: 4000,
        sha256: "y".repeat(4000),
        pid: 1,
        asked: None,
    };
    let mut answer = AuditToPeer::Durable(7);
    for n in 0..6000 {
        let record = Record::new(long.clone());
        if n % 100 == 0 {
            answer = tell_durably(&connection, record);
            if answer == AuditToPeer::Failed(7) {
                break;
            }
        } else {
            tell(&connection, record);
        }
    }
    assert_eq!(answer, AuditToPeer::Failed(7));
    let heard = server.warden.recv().unwrap();
    assert!(
        matches!(&heard, AuditToWarden::Failed { sid, reason } if *sid == facts.sid && reason.contains("more on record")),
        "{heard:?}"
    );
    closed(server.close(facts.sid), facts.sid);
    server.stop();
    let session = directory.session(facts.sid);
    let size = fs::metadata(directory.0.join(&session)).unwrap().len();
    assert!((32 << 20..33 << 20).contains(&size), "{size}");
    let types = directory.types(&session);
    assert_eq!(types[types.len() - 2..], ["limit.hit", "session.close"]);
    assert_eq!(directory.verify().exit_code(), 0);
}

#[test]
fn a_connection_that_floods_the_ledger_is_closed() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    let link = server.connect(ConnectionId::new(), None);
    let flood = ReportToAudit::Record {
        record: conn_open(),
        receipt: None,
    };
    while link.send(&flood).is_ok() {}
    server.stop();
    let size = fs::metadata(directory.0.join("ledger/000001.jsonl"))
        .unwrap()
        .len();
    assert!(size < 300 * 1024, "{size}");
}

fn attempt(cid: ConnectionId, outcome: Outcome) -> Record {
    let event = Event::AuthAttempt {
        method: "publickey".to_owned(),
        user: "root".to_owned(),
        fingerprint: None,
        key_type: None,
        reason: "r".to_owned(),
        n: 1,
    };
    Record::new(event).of_connection(cid).outcome(outcome)
}

fn conn_close(reason: &str) -> Record {
    Record::new(Event::ConnClose {
        reason: reason.to_owned(),
        duration_ms: 1,
        attempts: 1,
    })
    .outcome(Outcome::Bad)
}

#[test]
fn a_flood_is_counted_and_a_login_in_the_middle_of_it_is_whole() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    let keys = server.reporter(Reporter::Keys);
    let facts = facts();
    // Proved who it is, and got no session.
    let unlucky = ConnectionId::new();
    for n in 0..1000 {
        let cid = ConnectionId::new();
        let link = server.connect(cid, None);
        tell(&link, conn_open());
        tell(&keys, attempt(cid, Outcome::Bad));
        if n % 4 > 0 {
            tell(&link, conn_close("protocol: whatever"));
        }
        drop(link);
        if n == 500 {
            let link = server.connect(facts.cid, None);
            tell(&link, conn_open());
            tell(&keys, attempt(facts.cid, Outcome::Bad));
            tell(&keys, attempt(facts.cid, Outcome::Good));
            opened(server.open(&facts), facts.sid);
            closed(server.close(facts.sid), facts.sid);
            tell(&link, conn_close("client"));
        }
        if n == 600 {
            let link = server.connect(unlucky, None);
            tell(&link, conn_open());
            tell(&keys, attempt(unlucky, Outcome::Good));
            tell(&link, conn_close("no session"));
        }
    }
    server.stop();
    assert_eq!(directory.verify().exit_code(), 0);

    let records = directory.records("ledger/000001.jsonl");
    let (unlucky, others): (Vec<Value>, Vec<Value>) = records
        .into_iter()
        .partition(|record| record["cid"] == unlucky.to_string().as_str());
    assert_eq!(unlucky.len(), 3, "{unlucky:?}");
    let (its, others): (Vec<Value>, Vec<Value>) = others
        .into_iter()
        .partition(|record| record["cid"] == facts.cid.to_string().as_str());
    let mut its: Vec<String> = its
        .iter()
        .chain(&directory.records(&directory.session(facts.sid)))
        .filter(|record| record["cid"] == facts.cid.to_string().as_str())
        .map(|record| format!("{} {}", record["type"], record["ok"]).replace('"', ""))
        .collect();
    its.sort();
    let expected = [
        "auth.attempt false",
        "auth.attempt true",
        "conn.close false",
        "conn.open null",
        "session.close null",
        "session.open true",
    ];
    assert_eq!(its, expected);

    assert!(others.len() <= 10 * 3 + 2, "{}", others.len());
    let count = |kind: &str| {
        others
            .iter()
            .filter(|record| record["type"] == kind)
            .count()
    };
    let folded: Vec<&Value> = others
        .iter()
        .filter(|record| record["type"] == "conn.folded")
        .collect();
    let sum = |name: &str| {
        let counts = folded
            .iter()
            .filter_map(|record| record["d"][name].as_u64());
        usize::try_from(counts.sum::<u64>()).unwrap()
    };
    assert!(
        folded
            .iter()
            .all(|record| record["d"]["from"] == "192.0.2.7"),
        "{folded:?}"
    );
    assert_eq!(sum("connections") + count("conn.open"), 1000);
    assert_eq!(sum("attempts") + count("auth.attempt"), 1000);
    assert_eq!(sum("records") + others.len() - folded.len(), 2750);
    let reasons = &folded[0]["d"]["reasons"];
    let words = |word: &str| reasons[word].as_u64().unwrap();
    assert_eq!(
        words("protocol") + words("without a word"),
        folded[0]["d"]["connections"].as_u64().unwrap(),
        "{reasons}"
    );
}

#[test]
fn a_session_whose_file_cannot_be_begun_is_refused() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    let (first, second) = (facts(), facts());
    opened(server.open(&first), first.sid);
    let again = server.open(&first);
    assert!(matches!(again, AuditToWarden::Failed { .. }), "{again:?}");
    // Somebody put a link where the sessions were.
    fs::rename(directory.0.join("sessions"), directory.0.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", directory.0.join("sessions")).unwrap();
    let answer = server.open(&second);
    assert!(
        matches!(&answer, AuditToWarden::Failed { sid, .. } if *sid == second.sid),
        "{answer:?}"
    );
    fs::remove_file(directory.0.join("sessions")).unwrap();
    fs::rename(directory.0.join("elsewhere"), directory.0.join("sessions")).unwrap();
    closed(server.close(first.sid), first.sid);
    server.stop();
}

#[test]
fn a_login_is_recorded_with_its_address_however_busy_audit_is() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    let facts = facts();
    let busy = server.connect(facts.cid, None);
    opened(server.open(&facts), facts.sid);
    // Heard after the one that is busy: what the warden says meanwhile is not heard before it.
    let keys = server.reporter(Reporter::Keys);
    let over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&over);
    let flood = std::thread::spawn(move || {
        while !ends.load(Ordering::Relaxed) {
            tell(&busy, shell());
        }
    });
    let logins = 3000;
    let mut links = Vec::new();
    for _ in 0..logins {
        let cid = ConnectionId::new();
        links.push(server.connect(cid, None));
        tell(&keys, attempt(cid, Outcome::Good));
        links.truncate(20);
    }
    over.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    // One that the warden has never spoken of.
    let nobodys = ConnectionId::new();
    tell(&keys, attempt(nobodys, Outcome::Good));
    closed(server.close(facts.sid), facts.sid);
    server.stop();
    let records = directory.records("ledger/000001.jsonl");
    let logged = records
        .iter()
        .filter(|record| record["type"] == "auth.attempt");
    let (placed, lost): (Vec<&Value>, Vec<&Value>) =
        logged.partition(|record| record["src"]["ip"] == "192.0.2.7");
    assert_eq!(lost.len(), 1, "of {logins}: {lost:?}");
    assert_eq!(lost[0]["cid"], nobodys.to_string());
    assert_eq!(placed.len(), logins);
}
