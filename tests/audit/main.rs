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
use std::path::PathBuf;
use std::thread::JoinHandle;

use hassio_sshd::audit::{self, AuditError, verify};
use hassio_sshd::model::{
    AuditFailure, ChannelNumber, ConfigAccess, ConnectionId, Grant, KeyIdentity, Login, Network,
    Peer, Permits, RecordingMode, SessionId,
};
use hassio_sshd::wire::{
    ApiDecision, AuditConfig, AuditToPeer, AuditToWarden, Event, Link, LinkError, Outcome, Record,
    ReportToAudit, Reporter, SandboxFacts, SessionEnd, SessionFacts, WardenToAudit,
};
use serde_json::Value;

mod crash;
mod disk;
mod evidence;
mod life;
mod read;
mod retention;
#[path = "../tamper/mod.rs"]
mod tamper;
mod trail;

type Guest = Link<ReportToAudit, AuditToPeer>;

struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("hassio-sshd-audit-{}", SessionId::new()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// All files below, relative and sorted; without those that wait for their use.
    fn files(&self) -> Vec<String> {
        tamper::files(&self.0)
    }

    fn everything(&self, file: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.0.join(file)).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What audit was told, and what it says of that: without what it attests by itself.
    fn records(&self, file: &str) -> Vec<Value> {
        let own = ["segment.open", "segment.seal", "anchor", "checkpoint"];
        let told = |record: &Value| !own.contains(&record["type"].as_str().unwrap());
        let all = self.everything(file);
        all.into_iter().filter(told).collect()
    }

    fn copy(&self) -> Self {
        let copy = Self::new();
        copy.restore(self);
        copy
    }

    /// Makes this one what `other` is.
    fn restore(&self, other: &Self) {
        tamper::copy(&other.0, &self.0);
    }

    fn verify(&self) -> verify::Report {
        verify::directory(&self.0, &verify::Wanted::default())
    }

    fn types(&self, file: &str) -> Vec<String> {
        self.records(file)
            .iter()
            .map(|r| r["type"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The sessions that are marked as open.
    fn marks(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.join("open")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "ledger").collect()
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
        Self::start_with(directory, 64 * 1024 * 1024)
    }

    /// With so many bytes of recordings kept.
    fn start_with(directory: &Directory, recording_bytes: u64) -> Self {
        let config = AuditConfig {
            log_level: "info".to_owned(),
            directory: directory.0.clone(),
            record_days: 365,
            recording_days: 30,
            recording_bytes,
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
            by: None,
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
            forwarding: hassio_sshd::model::Forwarding::default(),
            recording: RecordingMode::Output,
            audit_failure: AuditFailure::Closed,
            command: None,
            environment: Vec::new(),
            permits: Permits::all(),
        },
    }
}

fn tell(link: &Guest, record: Record) {
    link.send(&ReportToAudit::Record {
        record,
        receipt: None,
    })
    .unwrap();
}

/// Sends a record with a receipt and waits for it: all before it is on the disk then, too.
fn tell_durably(link: &Guest, record: Record) -> AuditToPeer {
    link.send(&ReportToAudit::Record {
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
            target: None,
            origin: None,
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
