//! audit in a thread, in a directory of its own; the test is the warden and all who report.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as the test itself does"
)]

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use hassio_sshd::audit::{self, AuditError, verify};
use hassio_sshd::model::{
    ChannelNumber, ConfigAccess, ConnectionId, Grant, KeyIdentity, Login, Network, Peer, SessionId,
};
use hassio_sshd::wire::{
    ApiDecision, AuditConfig, AuditToPeer, AuditToWarden, Event, Link, LinkError, Outcome, Record,
    ReportToAudit, Reporter, SandboxFacts, SessionEnd, SessionFacts, WardenToAudit,
};
use serde_json::Value;

type Guest = Link<ReportToAudit, AuditToPeer>;

struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("hassio-sshd-audit-{}", SessionId::new()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// All files below, relative and sorted.
    fn files(&self) -> Vec<String> {
        fn walk(at: &Path, root: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, root, found);
                } else {
                    found.push(
                        path.strip_prefix(root)
                            .unwrap()
                            .to_str()
                            .unwrap()
                            .to_owned(),
                    );
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.0, &self.0, &mut found);
        found.sort();
        found
    }

    fn records(&self, file: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.0.join(file)).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn types(&self, file: &str) -> Vec<String> {
        self.records(file)
            .iter()
            .map(|r| r["type"].as_str().unwrap().to_owned())
            .collect()
    }

    fn session(&self, sid: SessionId) -> String {
        let end = format!("{sid}.jsonl");
        self.files()
            .into_iter()
            .find(|file| file.starts_with("sessions/") && file.ends_with(&end))
            .expect("no session file")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Only one test mounts something there.
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).ok();
        fs::remove_dir_all(&self.0).ok();
    }
}

struct Server {
    warden: Link<WardenToAudit, AuditToWarden>,
    thread: JoinHandle<Result<(), AuditError>>,
}

impl Server {
    fn start(directory: &Directory) -> Self {
        let config = AuditConfig {
            log_level: "info".to_owned(),
            directory: directory.0.clone(),
            boot: "0123abcd".to_owned(),
        };
        let fd = fs::File::open(&directory.0).unwrap().into();
        let (warden, theirs) = Link::pair().unwrap();
        let thread = std::thread::spawn(move || audit::run(config, fd, theirs));
        let first = warden.recv().unwrap();
        assert!(matches!(first, AuditToWarden::Ready), "{first:?}");
        Self { warden, thread }
    }

    fn stop(self) {
        drop(self.warden);
        self.thread.join().unwrap().unwrap();
    }

    fn connect(&self, cid: ConnectionId, session: Option<SessionFacts>) -> Guest {
        let (ours, theirs) = Guest::pair().unwrap();
        let message = WardenToAudit::Connection {
            cid,
            peer: peer(),
            session,
        };
        self.warden.send_with(&message, &[theirs.as_fd()]).unwrap();
        ours
    }

    fn reporter(&self, reporter: Reporter) -> Guest {
        let (ours, theirs) = Guest::pair().unwrap();
        self.warden
            .send_with(&WardenToAudit::Reporter(reporter), &[theirs.as_fd()])
            .unwrap();
        ours
    }

    fn open(&self, facts: &SessionFacts) -> AuditToWarden {
        let event = Event::SessionOpen {
            sandbox: SandboxFacts {
                uid: 100_000,
                namespaces: vec!["mnt".to_owned()],
                config: "read-write".to_owned(),
                network: "shared".to_owned(),
                cgroup: "v2".to_owned(),
                not_in_force: Vec::new(),
            },
            policy_digest: "00".to_owned(),
        };
        self.warden
            .send(&WardenToAudit::OpenSession {
                facts: facts.clone(),
                event,
            })
            .unwrap();
        self.warden.recv().unwrap()
    }

    fn close(&self, sid: SessionId) -> AuditToWarden {
        let event = Event::SessionClose {
            reason: SessionEnd::Client,
            duration_ms: 5,
        };
        self.warden
            .send(&WardenToAudit::CloseSession { sid, event })
            .unwrap();
        self.warden.recv().unwrap()
    }

    fn server_start(&self) {
        let event = Event::ServerStart {
            version: "1".to_owned(),
            options_digest: "00".to_owned(),
            host_key: "SHA256:x".to_owned(),
            isolation: Vec::new(),
            recovered: Vec::new(),
        };
        self.warden
            .send(&WardenToAudit::Record(Record::new(event)))
            .unwrap();
    }
}

fn peer() -> Peer {
    Peer {
        ip: [192, 0, 2, 7].into(),
        port: 50_000,
    }
}

fn facts() -> SessionFacts {
    SessionFacts {
        sid: SessionId::new(),
        cid: ConnectionId::new(),
        peer: peer(),
        grant: Grant {
            user: "root".to_owned(),
            login: Login::PublicKey(KeyIdentity {
                fingerprint: "SHA256:abc".to_owned(),
                algorithm: "ssh-ed25519".to_owned(),
                comment: "me@home".to_owned(),
            }),
            role: "operator".parse().unwrap(),
            config: ConfigAccess::ReadWrite,
            network: Network::Shared,
        },
    }
}

fn tell(link: &Guest, record: Record) {
    link.send(&ReportToAudit {
        record,
        receipt: None,
    })
    .unwrap();
}

/// Sends a record with a receipt and waits for it: all before it is on the disk then, too.
fn tell_durably(link: &Guest, record: Record) -> AuditToPeer {
    link.send(&ReportToAudit {
        record,
        receipt: Some(7),
    })
    .unwrap();
    link.recv().unwrap()
}

fn shell() -> Record {
    Record::new(Event::Shell { pid: 2 })
        .in_channel(ChannelNumber(1))
        .outcome(Outcome::Good)
}

fn conn_open() -> Record {
    Record::new(Event::ConnOpen {
        client: "SSH-2.0-\u{1b}]0;x\u{7}".to_owned(),
        kex: "k".to_owned(),
        cipher: "c".to_owned(),
        host_key_algorithm: "h".to_owned(),
    })
}

fn api_request(decision: ApiDecision) -> Record {
    Record::new(Event::ApiRequest {
        id: 1,
        endpoint: None,
        method: "GET".to_owned(),
        path: "/info".to_owned(),
        body_bytes: 0,
        body_sha256: None,
        decision,
        rule: "r".to_owned(),
    })
}

fn opened(answer: AuditToWarden, sid: SessionId) {
    assert!(
        matches!(answer, AuditToWarden::Opened(s) if s == sid),
        "{answer:?}"
    );
}

fn closed(answer: AuditToWarden, sid: SessionId) {
    assert!(
        matches!(answer, AuditToWarden::Closed(s) if s == sid),
        "{answer:?}"
    );
}

/// A whole life of a server with one session: the directory and the session.
fn trail() -> (Directory, SessionFacts) {
    let directory = Directory::new();
    let server = Server::start(&directory);
    server.server_start();
    let facts = facts();
    let connection = server.connect(facts.cid, None);
    let (keys, broker) = (
        server.reporter(Reporter::Keys),
        server.reporter(Reporter::Broker),
    );
    assert_eq!(
        tell_durably(&connection, conn_open()),
        AuditToPeer::Durable(7)
    );
    let attempt = Event::AuthAttempt {
        method: "publickey".to_owned(),
        user: "root".to_owned(),
        fingerprint: None,
        key_type: None,
        reason: "good signature".to_owned(),
        n: 1,
    };
    assert_eq!(
        tell_durably(
            &keys,
            Record::new(attempt)
                .of_connection(facts.cid)
                .outcome(Outcome::Good)
        ),
        AuditToPeer::Durable(7)
    );
    opened(server.open(&facts), facts.sid);
    tell(
        &connection,
        Record::new(Event::ChannelOpen {
            kind: "session".to_owned(),
        })
        .in_channel(ChannelNumber(1)),
    );
    tell(&connection, shell());
    let ended = Event::ChannelClose {
        bytes_in: 3,
        bytes_out: 40,
    };
    assert_eq!(
        tell_durably(&connection, Record::new(ended)),
        AuditToPeer::Durable(7)
    );
    assert_eq!(
        tell_durably(
            &broker,
            api_request(ApiDecision::Allow).of_session(facts.sid)
        ),
        AuditToPeer::Durable(7)
    );
    assert_eq!(
        tell_durably(
            &broker,
            api_request(ApiDecision::Deny).of_session(facts.sid)
        ),
        AuditToPeer::Durable(7)
    );
    closed(server.close(facts.sid), facts.sid);
    let close = Event::ConnClose {
        reason: "client".to_owned(),
        duration_ms: 1,
        attempts: 1,
    };
    tell(&connection, Record::new(close));
    server.stop();
    (directory, facts)
}

#[test]
fn a_session_has_a_file_and_all_else_is_in_the_ledger() {
    let (directory, facts) = trail();
    let session = directory.session(facts.sid);
    assert_eq!(
        directory.files(),
        ["ledger/000001.jsonl".to_owned(), session.clone()]
    );
    assert_eq!(
        directory.types("ledger/000001.jsonl"),
        ["server.start", "conn.open", "auth.attempt", "conn.close"]
    );
    let expected = [
        "session.open",
        "channel.open",
        "shell",
        "channel.close",
        "api.request",
        "api.request",
        "session.close",
    ];
    assert_eq!(directory.types(&session), expected);
    let records = directory.records(&session);
    for (seq, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], seq);
        assert_eq!(
            (&record["user"], &record["role"]),
            (&"root".into(), &"operator".into())
        );
        assert_eq!(record["key"], "SHA256:abc me@home");
        assert_eq!(record["src"]["ip"], "192.0.2.7");
        assert_eq!(record["boot"], "0123abcd-1");
        assert_eq!(record["cid"], facts.cid.to_string());
        assert_eq!(record["sid"], facts.sid.to_string());
    }
    let totals = &records[6]["d"];
    for (name, value) in [
        ("records", 6),
        ("channels", 1),
        ("api_calls", 2),
        ("denials", 1),
        ("bytes_in", 3),
        ("bytes_out", 40),
    ] {
        assert_eq!(totals[name], value, "{name}");
    }
    let ledger = directory.records("ledger/000001.jsonl");
    assert_eq!(ledger[1]["d"]["client"], "SSH-2.0-\\x1b]0;x\\x07");
    assert_eq!(ledger[1]["src"]["port"], 50_000);
    assert_eq!(ledger[2]["cid"], facts.cid.to_string());
    let mode = |path: &str| {
        fs::metadata(directory.0.join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(
        (
            mode(&session),
            mode("ledger/000001.jsonl"),
            mode("ledger"),
            mode("sessions")
        ),
        (0o600, 0o600, 0o700, 0o700)
    );
    let report = verify::directory(&directory.0);
    assert_eq!(
        (report.exit_code(), report.files, report.records),
        (0, 2, 11),
        "{}",
        report.to_text()
    );
}

#[test]
fn what_was_said_before_a_session_ended_is_in_its_record() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    for _ in 0..50 {
        let facts = facts();
        let connection = server.connect(facts.cid, None);
        opened(server.open(&facts), facts.sid);
        tell(&connection, shell());
        tell(&connection, shell());
        drop(connection);
        closed(server.close(facts.sid), facts.sid);
        let types = directory.types(&directory.session(facts.sid));
        assert_eq!(types, ["session.open", "shell", "shell", "session.close"]);
    }
    server.stop();
}

#[test]
fn every_change_to_the_trail_is_found_and_named() {
    let (directory, facts) = trail();
    let session = directory.session(facts.sid);
    let path = directory.0.join(&session);
    let good = fs::read(&path).unwrap();
    let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
    // One bit at every 13th byte, each line removed, doubled, swapped with the next.
    let mut mutants: Vec<Vec<u8>> = (0..good.len() - 1)
        .step_by(13)
        .map(|at| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        })
        .collect();
    for at in 0..lines.len() - 1 {
        let without: Vec<&[u8]> = lines
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != at)
            .map(|(_, line)| *line)
            .collect();
        mutants.push(without.concat());
        mutants.push([&lines[..=at], &lines[at..]].concat().concat());
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        mutants.push(swapped.concat());
    }
    for (n, mutant) in mutants.iter().enumerate() {
        fs::write(&path, mutant).unwrap();
        let report = verify::directory(&directory.0);
        assert_eq!(report.exit_code(), 10, "mutant {n}: {}", report.to_text());
        assert_eq!(report.broken[0].0, session);
    }
    // One file in the place of another.
    fs::write(&path, &good).unwrap();
    fs::copy(&path, directory.0.join("ledger/000002.jsonl")).unwrap();
    let report = verify::directory(&directory.0);
    assert_eq!(report.exit_code(), 10);
    assert!(
        report.to_text().contains("ledger/000002.jsonl, record 0"),
        "{}",
        report.to_text()
    );
    assert!(report.to_json().contains("\"exit_code\":10"));
}

#[test]
fn the_verifier_of_the_documentation_agrees() {
    let (directory, facts) = trail();
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")).unwrap();
    let (_, rest) = text.split_once("```python\n").unwrap();
    let (program, _) = rest.split_once("```").unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test starts what a reader would"
    )]
    let python = || {
        let mut command = std::process::Command::new("python3");
        command.arg("-c").arg(program).arg(&directory.0);
        command.output()
    };
    let Ok(run) = python() else {
        assert!(std::env::var_os("REQUIRE_ALL").is_none(), "needs python3");
        eprintln!("skipped: needs python3");
        return;
    };
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let path = directory.0.join(directory.session(facts.sid));
    let good = fs::read(&path).unwrap();
    for at in [1, good.len() / 2, good.len() - 10] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(python().unwrap().status.code(), Some(10), "byte {at}");
    }
    let second_line = good.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(&path, &good[second_line..]).unwrap();
    let run = python().unwrap();
    assert_eq!(run.status.code(), Some(10));
    assert!(
        String::from_utf8_lossy(&run.stdout).contains("record 0"),
        "{run:?}"
    );
}

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
    assert_eq!(fs::read_dir(directory.0.join("open")).unwrap().count(), 2);
    let session = directory.session(torn.sid);
    for file in [session.as_str(), "ledger/000001.jsonl"] {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(directory.0.join(file))
            .unwrap();
        file.write_all(b"{\"v\":1,\"seq\":").unwrap();
    }
    let before = verify::directory(&directory.0);
    assert_eq!(
        (
            before.exit_code(),
            before.torn.len(),
            before.unfinished.len()
        ),
        (13, 2, 2),
        "{}",
        before.to_text()
    );

    let server = Server::start(&directory);
    server.server_start();
    opened(server.open(&facts()), facts_sid_of_last(&directory));
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
    let report = verify::directory(&directory.0);
    assert_eq!(
        (report.exit_code(), report.unfinished.len()),
        (13, 1),
        "{}",
        report.to_text()
    );
    assert_eq!(fs::read_dir(directory.0.join("open")).unwrap().count(), 1);
}

/// The session that is marked as open last.
fn facts_sid_of_last(directory: &Directory) -> SessionId {
    let mut names: Vec<String> = directory
        .files()
        .into_iter()
        .filter(|file| file.starts_with("open/"))
        .collect();
    names.sort();
    let name = names.last().unwrap().strip_prefix("open/").unwrap();
    serde_json::from_value(name.into()).unwrap()
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
    let report = verify::directory(&directory.0);
    assert_eq!(
        (
            report.exit_code(),
            report.broken.len(),
            report.quarantined.len()
        ),
        (10, 0, 2),
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
    assert_eq!(verify::directory(&directory.0).exit_code(), 0);
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
                torn_bytes: 0,
                moved_to: None,
            }),
        ),
    ];
    for (link, record) in liars {
        link.send(&ReportToAudit {
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
    assert_eq!(verify::directory(&directory.0).exit_code(), 0);
}

#[test]
fn a_connection_that_floods_the_ledger_is_closed() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    let link = server.connect(ConnectionId::new(), None);
    let flood = ReportToAudit {
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
    assert_eq!(verify::directory(&directory.0).exit_code(), 0);

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
fn a_full_disk_fails_the_receipts_and_is_tried_again() {
    // A file system of our own, so root is needed; /proc/self/mounts of the test's thread only.
    let directory = Directory::new();
    let mounted = rustix::mount::mount(
        "tmpfs",
        &directory.0,
        "tmpfs",
        rustix::mount::MountFlags::empty(),
        Some(c"size=256k"),
    );
    if mounted.is_err() {
        assert!(
            std::env::var_os("REQUIRE_ALL").is_none(),
            "needs root, to mount a small file system"
        );
        eprintln!("skipped: needs root");
        return;
    }
    let server = Server::start(&directory);
    let facts = facts();
    let connection = server.connect(facts.cid, None);
    opened(server.open(&facts), facts.sid);
    let filler = directory.0.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let long = Record::new(Event::Exec {
        command: "x".repeat(4000),
        bytes: 1,
        sha256: "y".repeat(4000),
        pid: 1,
    });
    assert_eq!(
        tell_durably(&connection, long.clone()),
        AuditToPeer::Failed(7)
    );
    let late = crate::facts();
    let refused = server.open(&late);
    assert!(
        matches!(&refused, AuditToWarden::Failed { sid, .. } if *sid == late.sid),
        "{refused:?}"
    );
    drop(file);
    fs::remove_file(&filler).unwrap();
    assert_eq!(tell_durably(&connection, long), AuditToPeer::Durable(7));
    // The end of a session is not given up: it is said when the disk has it.
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    for size in [1, 1, 1, 1, 1, 1, 1, 1] {
        // What is left of the page that the session's file has begun.
        let event = Event::Exec {
            command: "x".repeat(4000),
            bytes: size,
            sha256: String::new(),
            pid: 1,
        };
        tell(&connection, Record::new(event));
    }
    let event = Event::SessionClose {
        reason: SessionEnd::Client,
        duration_ms: 5,
    };
    let close = WardenToAudit::CloseSession {
        sid: facts.sid,
        event,
    };
    server.warden.send(&close).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    drop(file);
    fs::remove_file(&filler).unwrap();
    closed(server.warden.recv().unwrap(), facts.sid);
    server.stop();
    let report = verify::directory(&directory.0);
    assert_eq!(
        (report.exit_code(), report.unfinished.len()),
        (0, 0),
        "{}",
        report.to_text()
    );
    let types = directory.types(&directory.session(facts.sid));
    assert_eq!(
        (types.len(), types.last().map(String::as_str)),
        (12, Some("session.close"))
    );
}
