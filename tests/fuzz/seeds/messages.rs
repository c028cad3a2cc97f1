//! One message of each kind, as the processes send them.

use hassio_sshd::model::{
    AuditFailure, ChannelNumber, ConfigAccess, ConnectionId, Exit, Grant, KeyIdentity, Login,
    Network, Peer, Permits, RecordingMode, Role, SessionId, Signal, Tunnel, Usage,
};
use hassio_sshd::wire::{
    AlgorithmKind, AuditConfig, AuditToPeer, AuditToWarden, AuthorizedKey, BrokerConfig,
    BrokerToWarden, ConnectionToForwarder, ConnectionToInit, ConnectionToKeys, Disagreement,
    Disjoint, Event, Fault, Forced, Form, ForwardFault, ForwarderToConnection, FrontConfig,
    FrontToWarden, InitToConnection, KeysConfig, KeysToConnection, KeysToWarden, Omission, OwnRole,
    PasswordMethod, Phase, Place, Question, ReaderConfig, ReaderToBroker, Record, RecordingEvent,
    RecordingPart, RecordingStart, Refusal, Remedy, ReportToAudit, Reporter, Search, SessionEnd,
    SessionFacts, Spawn, Stream, Subject, Target, Terms, Wanted, WardenConfig, WardenToAudit,
    WardenToBroker, WardenToConnection, WardenToFront, WardenToKeys, Whose,
};

use super::message;

const SID: &str = "01a20d03-2a16-71e0-99c8-e18f83c37608";
const CID: &str = "01a20d03-2a16-71e0-99c8-e18f83c37607";
const FINGERPRINT: &str = "SHA256:+Y4WkCxKUD3ujRICn/fRen+md7AhLjxZdwWXjOGBpW0";

fn sid() -> SessionId {
    SID.parse().unwrap()
}

fn cid() -> ConnectionId {
    CID.parse().unwrap()
}

fn peer() -> Peer {
    Peer {
        ip: "192.0.2.7".parse().unwrap(),
        port: 50_022,
    }
}

fn role() -> Role {
    "operator".parse().unwrap()
}

fn permits() -> Permits {
    let mut permits = Permits::all();
    permits.x11_forwarding = false;
    permits.open.push("127.0.0.1:8123".parse().unwrap());
    permits.tunnel = Some(Tunnel::Number(1));
    permits
}

fn grant(login: Login) -> Grant {
    Grant {
        user: "root".to_owned(),
        login,
        role: role(),
        config: ConfigAccess::ReadWrite,
        network: Network::Shared,
        forwarding: hassio_sshd::model::Forwarding::default(),
        recording: RecordingMode::Output,
        audit_failure: AuditFailure::Closed,
        command: None,
        environment: Vec::new(),
        permits: permits(),
    }
}

fn by_key() -> Grant {
    grant(Login::PublicKey(KeyIdentity {
        fingerprint: FINGERPRINT.to_owned(),
        algorithm: "ssh-ed25519".to_owned(),
        comment: "demo".to_owned(),
    }))
}

fn facts() -> SessionFacts {
    SessionFacts {
        sid: sid(),
        cid: cid(),
        peer: peer(),
        grant: by_key(),
    }
}

/// The blob of an ed25519 key, RFC 8709 §4.
fn blob() -> Vec<u8> {
    let name = b"ssh-ed25519";
    [&[0, 0, 0, 11], &name[..], &[0, 0, 0, 32], &[9; 32]].concat()
}

/// SSH_MSG_USERAUTH_REQUEST of a public key, RFC 4252 §7.
fn request() -> Vec<u8> {
    let string = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length[..], bytes].concat()
    };
    let method = [
        string(b"root"),
        string(b"ssh-connection"),
        string(b"publickey"),
    ]
    .concat();
    let key = [string(b"ssh-ed25519"), string(&blob())].concat();
    [&[50][..], &method, &[1], &key].concat()
}

pub(super) fn written() {
    of_front_and_connection();
    of_keys();
    of_audit();
    recordings();
    of_broker_and_init();
    configurations();
}

fn of_front_and_connection() {
    let (cid, peer) = (cid(), peer());
    message(
        "FrontToWarden",
        "Accepted",
        &FrontToWarden::Accepted { cid, peer },
    );
    let refused = FrontToWarden::Refused {
        peer,
        count: 300,
        reason: Refusal::MadeRoom,
    };
    message("FrontToWarden", "Refused", &refused);
    message("WardenToFront", "HostKey", &WardenToFront::HostKey(blob()));
    message(
        "WardenToFront",
        "Authenticated",
        &WardenToFront::Authenticated(cid),
    );
    let running = WardenToFront::Running {
        cid,
        peer: Peer {
            ip: "2001:db8::7".parse().unwrap(),
            ..peer
        },
        authenticated: true,
    };
    message("WardenToFront", "Running", &running);
    message("WardenToFront", "Pause", &WardenToFront::Pause);
    message("WardenToFront", "Resume", &WardenToFront::Resume);
    let source = "2001:db8::7".parse().unwrap();
    message(
        "WardenToFront",
        "LoginRefused",
        &WardenToFront::LoginRefused(source),
    );
    let ready = WardenToConnection::SessionReady {
        sid: sid(),
        grant: Box::new(by_key()),
    };
    message("WardenToConnection", "SessionReady", &ready);
    let refused = WardenToConnection::SessionRefused("too many sessions".to_owned());
    message("WardenToConnection", "SessionRefused", &refused);
    message("WardenToConnection", "Keys", &WardenToConnection::Keys);
    message("WardenToConnection", "Audit", &WardenToConnection::Audit);
}

fn of_keys() {
    let (cid, peer) = (cid(), peer());
    let asked = [
        (
            "Sign",
            ConnectionToKeys::Sign {
                exchange_hash: vec![7; 32],
            },
        ),
        ("Offer", ConnectionToKeys::Offer { request: request() }),
        (
            "PublicKey",
            ConnectionToKeys::PublicKey {
                session_id: vec![7; 32],
                request: request(),
                signature: vec![5; 83],
            },
        ),
        (
            "Password",
            ConnectionToKeys::Password {
                user: "root".to_owned(),
                password: "grüße".to_owned(),
                by: PasswordMethod::KeyboardInteractive,
            },
        ),
        (
            "Failed",
            ConnectionToKeys::Failed {
                user: "root".to_owned(),
                method: "keyboard-interactive".to_owned(),
                fault: Fault::Method,
            },
        ),
        (
            "Prove",
            ConnectionToKeys::Prove {
                host_keys: vec![blob(), vec![1]],
            },
        ),
        (
            "Disagreed",
            ConnectionToKeys::Disagreed(Disagreement {
                lists: vec![Disjoint {
                    kind: AlgorithmKind::Mac,
                    client: "hmac-sha1".to_owned(),
                    server: "hmac-sha2-256-etm@openssh.com".to_owned(),
                }],
                remedy: Remedy::CompatibilityMode,
            }),
        ),
    ];
    for (name, asked) in asked {
        message("ConnectionToKeys", name, &asked);
    }
    message(
        "KeysToConnection",
        "Signed",
        &KeysToConnection::Signed(vec![5; 83]),
    );
    message(
        "KeysToConnection",
        "Acceptable",
        &KeysToConnection::Acceptable,
    );
    let granted = KeysToConnection::Granted(permits());
    message("KeysToConnection", "Granted", &granted);
    message("KeysToConnection", "TooMany", &KeysToConnection::TooMany);
    let proven = KeysToConnection::Proven(vec![vec![5; 83], vec![]]);
    message("KeysToConnection", "Proven", &proven);
    let connection = WardenToKeys::Connection {
        cid,
        peer,
        phase: Phase::Established,
    };
    message("WardenToKeys", "Connection", &connection);
    message("WardenToKeys", "Audit", &WardenToKeys::Audit);
    let key = KeysToWarden::HostKey {
        blob: blob(),
        fingerprint: FINGERPRINT.to_owned(),
    };
    message("KeysToWarden", "HostKey", &key);
    let granted = KeysToWarden::Granted {
        cid,
        grant: Box::new(grant(Login::Password)),
    };
    message("KeysToWarden", "Granted", &granted);
    message(
        "KeysToWarden",
        "LoginRefused",
        &KeysToWarden::LoginRefused("192.0.2.7".parse().unwrap()),
    );
}

fn of_audit() {
    let (cid, peer) = (cid(), peer());
    let said = [
        (
            "Connection",
            WardenToAudit::Connection {
                cid,
                peer,
                session: Some(facts()),
            },
        ),
        ("Reporter", WardenToAudit::Reporter(Reporter::Broker)),
        (
            "OpenSession",
            WardenToAudit::OpenSession {
                facts: facts(),
                event: Event::Shell { pid: 2 },
            },
        ),
        (
            "CloseSession",
            WardenToAudit::CloseSession {
                sid: sid(),
                event: Event::SessionClose {
                    reason: SessionEnd::Client,
                    duration_ms: 1234,
                    by: Some(sid()),
                },
            },
        ),
        (
            "Record",
            WardenToAudit::Record(Record::new(Event::ServerStop {
                reason: "signal".to_owned(),
            })),
        ),
    ];
    for (name, said) in said {
        message("WardenToAudit", name, &said);
    }
    message("AuditToWarden", "Ready", &AuditToWarden::Ready);
    message("AuditToWarden", "Opened", &AuditToWarden::Opened(sid()));
    message("AuditToWarden", "Closed", &AuditToWarden::Closed(sid()));
    let failed = AuditToWarden::Failed {
        sid: sid(),
        reason: "the disk is full".to_owned(),
    };
    message("AuditToWarden", "Failed", &failed);
    message("AuditToPeer", "Durable", &AuditToPeer::Durable(u64::MAX));
    message("AuditToPeer", "Waived", &AuditToPeer::Waived(1));
    message(
        "AuditToPeer",
        "RecordingStopped",
        &AuditToPeer::RecordingStopped(3),
    );
}

fn recordings() {
    let start = RecordingStart {
        channel: ChannelNumber(2),
        terminal: Some(("xterm-256color".to_owned(), 80, 24)),
        command: Some("ls".to_owned()),
    };
    let output = RecordingEvent::Output {
        stream: Stream::Stderr,
        bytes: b"\x1b[1mtext\xff\r\n".to_vec(),
    };
    let size = RecordingEvent::Resize {
        columns: 100,
        rows: 30,
    };
    let gap = RecordingEvent::Gap {
        bytes: 1 << 20,
        cause: Omission::Middle,
    };
    let signal = Exit::Signal {
        number: 9,
        core: false,
    };
    let events = [
        ("Start", RecordingEvent::Start(start)),
        ("Output", output),
        ("Input", RecordingEvent::Input(b"ls\r".to_vec())),
        ("MaskedInput", RecordingEvent::MaskedInput),
        ("Resize", size),
        ("Gap", gap),
        ("End", RecordingEvent::End { exit: Some(signal) }),
    ];
    for (name, event) in events {
        let part = RecordingPart {
            recording: 1,
            at_ns: 5_000_000_000,
            event,
        };
        message("ReportToAudit", name, &ReportToAudit::Recording(part));
    }
}

fn of_broker_and_init() {
    let open = WardenToBroker::OpenSession {
        sid: sid(),
        cid: cid(),
        uid: 700_001,
        grant: Box::new(by_key()),
    };
    message("WardenToBroker", "OpenSession", &open);
    message(
        "WardenToBroker",
        "CloseSession",
        &WardenToBroker::CloseSession(sid()),
    );
    message("WardenToBroker", "Audit", &WardenToBroker::Audit);
    message("BrokerToWarden", "Closed", &BrokerToWarden::Closed(sid()));
    message("BrokerToWarden", "Read", &BrokerToWarden::Read);
    let kill = BrokerToWarden::Kill {
        sid: sid(),
        by: sid(),
    };
    message("BrokerToWarden", "Kill", &kill);
    of_readers();
    let channel = ChannelNumber(2);
    let spawn = ConnectionToInit::Spawn(Spawn {
        channel,
        path: "/bin/bash".to_owned(),
        arguments: vec![b"-bash".to_vec(), b"-c".to_vec(), b"ls \xff".to_vec()],
        environment: vec![b"HOME=/root".to_vec(), b"TERM=xterm".to_vec()],
        directory: "/root".to_owned(),
        terminal: true,
    });
    message("ConnectionToInit", "Spawn", &spawn);
    let terms = Terms {
        terminal: false,
        forwards: false,
        forced: Some(Forced {
            path: "/bin/bash".to_owned(),
            arguments: vec![b"bash".to_vec(), b"-c".to_vec(), b"hassio info".to_vec()],
            environment: vec![("HOME".to_owned(), "/root".to_owned())],
            names: vec!["LC_*".to_owned(), "TERM".to_owned()],
            directory: "/root".to_owned(),
        }),
    };
    message("Terms", "forced", &terms);
    let signal = ConnectionToInit::Signal {
        channel,
        signal: Signal::Hup,
    };
    message("ConnectionToInit", "Signal", &signal);
    message("ConnectionToInit", "Forward", &ConnectionToInit::Forward);
    of_forwarders();
    message(
        "InitToConnection",
        "Started",
        &InitToConnection::Started { channel, pid: 2 },
    );
    message(
        "InitToConnection",
        "Failed",
        &InitToConnection::Failed { channel, errno: 2 },
    );
    let ended = InitToConnection::Ended {
        channel,
        exit: Exit::Status(7),
        usage: Usage {
            cpu_us: 1500,
            max_rss_kib: 4096,
        },
    };
    message("InitToConnection", "Ended", &ended);
}

fn configurations() {
    let log_level = || "info".to_owned();
    let own = OwnRole {
        name: "watcher".parse().unwrap(),
        may: vec!["read".to_owned(), "core.logs".to_owned()],
        config: ConfigAccess::ReadOnly,
        network: Network::None,
    };
    let key = AuthorizedKey {
        blob: blob(),
        algorithm: "ssh-ed25519".to_owned(),
        fingerprint: FINGERPRINT.to_owned(),
        comment: "demo".to_owned(),
        role: role(),
        config: ConfigAccess::ReadWrite,
        network: Network::Shared,
        recording: Some(RecordingMode::Off),
        break_glass: true,
        from: Some("192.168.1.0/24,!192.168.1.9,2001:db8::*".parse().unwrap()),
        expires: Some(1_924_905_600),
        command: Some("hassio info".to_owned()),
        environment: vec![("KEY_OWNER".to_owned(), "me".to_owned())],
        permits: permits(),
        touch: true,
        verify: false,
    };
    let warden = WardenConfig {
        config_dir: "/config".into(),
        data_dir: "/data".into(),
        folders: vec![("/share".into(), "share".into())],
        options_digest: "0123456789abcdef".repeat(4),
        read_only_without_idmap: false,
        log_level: log_level(),
        listen: vec!["0.0.0.0:22".parse().unwrap(), "[::]:22".parse().unwrap()],
    };
    message("WardenConfig", "all", &warden);
    let front = FrontConfig {
        log_level: log_level(),
        environment: vec![("TZ".to_owned(), "Europe/Berlin".to_owned())],
        password: false,
        shell: "/bin/bash".to_owned(),
        sftp: true,
        banner: "Welcome\n".to_owned(),
        allow_from: vec!["192.168.0.0/16".parse().unwrap()],
        penalty_exempt: vec!["172.30.32.1".parse().unwrap(), "fe80::/10".parse().unwrap()],
        compatibility_mode: false,
    };
    message("FrontConfig", "all", &front);
    let keys = KeysConfig {
        log_level: log_level(),
        data_dir: "/data".into(),
        username: "root".to_owned(),
        authorized_keys: vec![key.clone(), key],
        password: Some("secret".to_owned()),
        default_role: role(),
        default_config: ConfigAccess::Absent,
        default_network: Network::Shared,
        forwarding: hassio_sshd::model::Forwarding::default(),
        recording: RecordingMode::Input,
        audit_failure: AuditFailure::Open,
    };
    message("KeysConfig", "all", &keys);
    let broker = BrokerConfig {
        log_level: log_level(),
        supervisor: "http://supervisor".to_owned(),
        token: Some("token".to_owned()),
        own_roles: vec![own],
        backup_download: true,
    };
    message("BrokerConfig", "all", &broker);
    let audit = AuditConfig {
        log_level: log_level(),
        directory: "/data/audit".into(),
        record_days: 365,
        recording_days: 30,
        recording_bytes: 1 << 30,
        boot: "0123abcd".to_owned(),
    };
    message("AuditConfig", "all", &audit);
    let reader = ReaderConfig {
        log_level: log_level(),
        directory: "/data/audit".into(),
        zone: Some("Europe/Zurich".to_owned()),
    };
    message("ReaderConfig", "all", &reader);
}

fn of_readers() {
    let search = Search {
        user: Some("root".to_owned()),
        since: Some("2h".to_owned()),
        types: Some("exec,sftp.".to_owned()),
        text: Some("secrets.yaml".to_owned()),
        ignore_case: true,
        newest: Some(50),
        ..Search::default()
    };
    let session = "last".to_owned();
    let recording = "3.1".to_owned();
    let asked = [
        ("List", Whose::Everybodys, Wanted::List(search)),
        (
            "Session",
            Whose::OfPassword,
            Wanted::Session {
                session: session.clone(),
                form: Form::Json,
            },
        ),
        (
            "Recording",
            Whose::OfKey(FINGERPRINT.to_owned()),
            Wanted::Recording { session, recording },
        ),
    ];
    for (name, whose, what) in asked {
        let by = sid();
        message("Question", name, &Question { by, whose, what });
    }
    let file = format!("recordings/2026/11/24/{SID}/3.1.cast");
    let subject = Subject::Recording { sid: sid(), file };
    let said = [
        ("Found", ReaderToBroker::Found(subject)),
        (
            "Bytes",
            ReaderToBroker::Bytes(b"[0.1,\"o\",\"x\"]\n".to_vec()),
        ),
        ("End", ReaderToBroker::End),
        ("NotThere", ReaderToBroker::NotThere("none".to_owned())),
        ("Unfit", ReaderToBroker::Unfit("no moment".to_owned())),
    ];
    for (name, said) in said {
        message("ReaderToBroker", name, &said);
    }
}

fn of_forwarders() {
    let to = Target::Tcp {
        host: "localhost".to_owned(),
        port: 8123,
    };
    let dial = ConnectionToForwarder::Dial { id: 1, to };
    message("ConnectionToForwarder", "Dial", &dial);
    let at = Place::Tcp {
        addresses: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        port: 0,
    };
    let listen = ConnectionToForwarder::Listen { id: 2, at };
    message("ConnectionToForwarder", "Listen", &listen);
    let at = Place::Unix("/tmp/agent".to_owned());
    let listen = ConnectionToForwarder::Listen { id: 3, at };
    message("ConnectionToForwarder", "ListenUnix", &listen);
    let accept = ConnectionToForwarder::Accept { id: 4, listener: 2 };
    message("ConnectionToForwarder", "Accept", &accept);
    let take = ConnectionToForwarder::Take { id: 4 };
    message("ConnectionToForwarder", "Take", &take);
    let drop = ConnectionToForwarder::Drop { id: 2 };
    message("ConnectionToForwarder", "Drop", &drop);
    let connected = ForwarderToConnection::Connected { id: 1 };
    message("ForwarderToConnection", "Connected", &connected);
    let fault = ForwardFault::Errno(111);
    let failed = ForwarderToConnection::Failed { id: 1, fault };
    message("ForwarderToConnection", "Failed", &failed);
    let listening = ForwarderToConnection::Listening {
        id: 2,
        port: 40_001,
    };
    message("ForwarderToConnection", "Listening", &listening);
    let from = Some("[::1]:50022".parse().unwrap());
    let incoming = ForwarderToConnection::Incoming { id: 4, from };
    message("ForwarderToConnection", "Incoming", &incoming);
    let taken = ForwarderToConnection::Taken { id: 4 };
    message("ForwarderToConnection", "Taken", &taken);
}
