//! A record of each type, with everything that it may say.

use std::collections::BTreeMap;

use hassio_sshd::audit::chain;
use hassio_sshd::audit::note::{Checkpoint, Key};
use hassio_sshd::model::{Exit, Usage, WindowSize};
use hassio_sshd::wire::{ApiUpload, ExecEnd, Refusal, SftpOp, SftpSummary, StreamFacts};

use super::*;

/// The key of a trail whose name is known.
pub(super) fn key() -> Key {
    Key::first(signing().verifying_key())
}

fn signing() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[7; 32])
}

fn digest() -> String {
    "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9".to_owned()
}

fn size() -> WindowSize {
    WindowSize::from_request(132, 43, 800, 600)
}

/// What the ledger holds.
pub(super) fn of_the_ledger() -> Vec<(Option<bool>, Event)> {
    let records = 7;
    let file = "sessions/2026/11/24/x.jsonl".to_owned();
    let head = chain::text(&chain::START);
    let checkpoint = Checkpoint {
        trail: key().trail,
        records,
        head: chain::START,
        next: None,
    };
    let attempt = |method: &str, reason: &str| Event::AuthAttempt {
        method: method.to_owned(),
        user: "anna".to_owned(),
        fingerprint: (method != "password").then(|| "SHA256:attempted".to_owned()),
        key_type: (method != "password").then(|| "ssh-ed25519".to_owned()),
        reason: reason.to_owned(),
        n: 2,
    };
    vec![
        (
            None,
            Event::SegmentOpen {
                number: 1,
                records: 0,
                key: key().to_string(),
            },
        ),
        (
            None,
            Event::ServerStart {
                version: "3.2.1".to_owned(),
                options_digest: digest(),
                host_key: "SHA256:host".to_owned(),
                isolation: vec!["seccomp".to_owned()],
                recovered: vec![file.clone()],
            },
        ),
        (
            None,
            Event::ServerStop {
                reason: "signal".to_owned(),
            },
        ),
        (
            None,
            Event::ConnOpen {
                client: "SSH-2.0-x".to_owned(),
                kex: "k".to_owned(),
                cipher: "c".to_owned(),
                host_key_algorithm: "h".to_owned(),
            },
        ),
        (
            Some(false),
            Event::ConnRefuse {
                reason: Refusal::TooMany,
                count: 12,
                ip: "2001:db8::7".to_owned(),
            },
        ),
        (
            None,
            Event::ConnClose {
                reason: "client".to_owned(),
                duration_ms: 1234,
                attempts: 3,
            },
        ),
        (
            None,
            Event::ConnFolded {
                from: "198.51.100.9".to_owned(),
                connections: 40,
                attempts: 41,
                records: 120,
                reasons: BTreeMap::from([("client".to_owned(), 40)]),
                first: Some("2026-11-24T08:37:20.123456Z".to_owned()),
                last: Some("2026-11-24T08:37:59.123456Z".to_owned()),
            },
        ),
        (Some(true), attempt("offer", "a known key")),
        (Some(true), attempt("publickey", "good signature")),
        (Some(false), attempt("password", "no password is set")),
        (
            Some(false),
            Event::AuthLockout {
                reason: "too many attempts".to_owned(),
                n: 6,
            },
        ),
        (
            Some(false),
            Event::RecordingDelete {
                file: "recordings/2026/11/24/x/0.cast.zst".to_owned(),
                bytes: 99,
                reason: "age".to_owned(),
            },
        ),
        (
            None,
            Event::Recovery {
                file: file.clone(),
                records,
                torn_bytes: 12,
                missing_bytes: 0,
                moved_to: Some(format!("{file}.torn")),
            },
        ),
        (
            None,
            Event::Anchor {
                file: file.clone(),
                records,
                head: head.clone(),
                last: true,
            },
        ),
        (
            None,
            Event::Checkpoint {
                note: checkpoint.sign(&key(), &signing()).lines(),
            },
        ),
        (
            None,
            Event::Expire {
                file,
                records,
                head,
                reason: "age".to_owned(),
            },
        ),
        (None, Event::ClockStep { step_ms: -7200 }),
        (None, Event::SegmentSeal { records }),
    ]
}

/// What a session's file holds.
pub(super) fn of_a_session() -> Vec<(Option<bool>, Event)> {
    let cast = "recordings/2026/11/24/x/3.cast".to_owned();
    let stream = |bytes| StreamFacts {
        bytes,
        sha256_first_mib: digest(),
    };
    let sftp = |op: &str, to: Option<&str>, error: Option<&str>| {
        let op = SftpOp {
            op: op.to_owned(),
            path: format!("/config/{op}.yaml"),
            to: to.map(str::to_owned),
            flags: Some(vec!["write".to_owned(), "truncate".to_owned()]),
            bytes_read: Some(5_000_000_000),
            bytes_written: Some(6),
            read_blake3: Some(digest()),
            written_blake3: Some(digest()),
            duration_ms: Some(17),
            error: error.map(str::to_owned),
        };
        (Some(error.is_none()), Event::SftpOp(Box::new(op)))
    };
    let mut all = vec![
        (
            Some(true),
            Event::SessionOpen {
                sandbox: SandboxFacts {
                    uid: 100_000,
                    namespaces: vec!["mnt".to_owned()],
                    config: "read-write".to_owned(),
                    network: "shared".to_owned(),
                    cgroup: "v2".to_owned(),
                    not_in_force: vec!["landlock".to_owned()],
                },
                policy_digest: digest(),
            },
        ),
        (
            Some(true),
            Event::ChannelOpen {
                kind: "session".to_owned(),
                target: None,
                origin: None,
            },
        ),
        (
            Some(false),
            Event::ChannelRefuse {
                kind: "direct-tcpip".to_owned(),
                reason: "forwarding is not offered".to_owned(),
                target: Some("localhost:80".to_owned()),
            },
        ),
        (
            Some(true),
            Event::ChannelOpen {
                kind: "direct-tcpip".to_owned(),
                target: Some("[::1]:8123".to_owned()),
                origin: Some("127.0.0.1:50022".to_owned()),
            },
        ),
        (
            Some(true),
            Event::ForwardOpen {
                kind: "tcpip-forward".to_owned(),
                at: Some("localhost:40001".to_owned()),
            },
        ),
        (
            None,
            Event::ForwardClose {
                kind: "tcpip-forward".to_owned(),
                at: Some("localhost:40001".to_owned()),
                accepted: 2,
            },
        ),
        (
            None,
            Event::ChannelFolded {
                channels: 30,
                requests: 60,
            },
        ),
        (
            Some(true),
            Event::Pty {
                term: "xterm".to_owned(),
                size: size(),
            },
        ),
        (None, Event::Resize { size: size() }),
        (
            Some(true),
            Event::Env {
                name: "LANG".to_owned(),
                value: Some("C.UTF-8".to_owned()),
            },
        ),
        (
            None,
            Event::Signal {
                name: "TERM".to_owned(),
            },
        ),
        (Some(true), Event::Shell { pid: 42 }),
        (
            Some(true),
            Event::Subsystem {
                name: "sftp".to_owned(),
                pid: Some(43),
            },
        ),
        (
            Some(true),
            Event::Exec {
                command: "cat /config/secrets.yaml".to_owned(),
                bytes: 24,
                sha256: digest(),
                pid: 44,
                asked: None,
            },
        ),
        (
            None,
            Event::ExecEnd(ExecEnd {
                exit: Some(Exit::Signal {
                    number: 9,
                    core: false,
                }),
                duration_ms: 321,
                usage: Usage {
                    cpu_us: 1000,
                    max_rss_kib: 2000,
                },
                stdin: stream(0),
                stdout: stream(5_000_000_000),
                stderr: stream(8),
            }),
        ),
        (
            None,
            Event::SftpSummary(SftpSummary {
                operations: 9,
                opened: 3,
                changes: 2,
                failed: 1,
                left_out: 4,
                bytes_read: 5_000_000_000,
                bytes_written: 7,
                unreadable: Some("a packet is too long".to_owned()),
            }),
        ),
        (
            Some(true),
            Event::ApiRequest {
                id: 5,
                endpoint: Some("core.restart".to_owned()),
                method: "POST".to_owned(),
                path: "/core/restart?safe=true".to_owned(),
                body_bytes: 2,
                body_sha256: Some(digest()),
                decision: ApiDecision::Allow,
                rule: "core.restart needs operate".to_owned(),
            },
        ),
        (
            Some(false),
            Event::ApiResponse {
                id: 5,
                status: 502,
                bytes: 5_000_000_000,
                sha256: Some(digest()),
                upload: Some(ApiUpload {
                    bytes: 77,
                    sha256: Some(digest()),
                }),
                duration_ms: 88,
                error: Some("the Supervisor went away".to_owned()),
            },
        ),
        (
            Some(false),
            Event::ApiRequest {
                id: 6,
                endpoint: None,
                method: "BREW".to_owned(),
                path: "/coffee".to_owned(),
                body_bytes: 5_000_000_000,
                body_sha256: None,
                decision: ApiDecision::Deny,
                rule: "no rule fits".to_owned(),
            },
        ),
        (
            Some(false),
            Event::PolicyDeny {
                layer: "broker".to_owned(),
                object: "uid 7".to_owned(),
                rule: "only uid 9 may connect".to_owned(),
            },
        ),
        (
            Some(false),
            Event::LimitHit {
                resource: "records of a session".to_owned(),
                limit: 33_554_432,
            },
        ),
        (
            Some(true),
            Event::RecordingStart {
                file: cast.clone(),
                mode: RecordingMode::Output,
            },
        ),
        (
            Some(false),
            Event::RecordingTruncate {
                file: cast.clone(),
                reason: "faster than 1 MiB a second".to_owned(),
                limit: Some(1_048_576),
            },
        ),
        (
            Some(false),
            Event::RecordingFail {
                file: Some(cast.clone()),
                reason: "no space".to_owned(),
            },
        ),
        (
            Some(true),
            Event::RecordingView {
                session: SessionId::new(),
                file: cast.clone(),
            },
        ),
        (
            Some(true),
            Event::RecordingEnd {
                file: cast,
                bytes: 5_000_000_000,
                sha256: digest(),
                head: chain::text(&chain::START),
                left_out: Some(12),
            },
        ),
        (
            None,
            Event::ChannelClose {
                bytes_in: 3,
                bytes_out: 5_000_000_000,
            },
        ),
        (
            None,
            Event::SessionClose {
                reason: SessionEnd::Killed,
                duration_ms: 5,
                by: Some(SessionId::new()),
            },
        ),
    ];
    let done = [
        "read",
        "write",
        "read-write",
        "create",
        "truncate",
        "open",
        "list",
        "remove",
        "mkdir",
        "rmdir",
        "setstat",
    ];
    all.extend(done.map(|op| sftp(op, None, None)));
    let to = Some("/config/new");
    all.extend(["rename", "symlink", "link", "copy"].map(|op| sftp(op, to, None)));
    let failed = [
        "stat", "lstat", "fstat", "readdir", "realpath", "readlink", "extended", "unknown",
        "rename",
    ];
    all.extend(failed.map(|op| sftp(op, to, Some("permission denied"))));
    all
}
