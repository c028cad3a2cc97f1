//! A connection process's work, done in a thread, with `ssh` at one end and session-init without a sandbox at the
//! other, and under the filter that connection processes have. Warden, keys and audit are played.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hassio_sshd::confine;
use hassio_sshd::connection::{Policy, Start, run};
use hassio_sshd::model::{
    AuditFailure, ConfigAccess, ConnectionId, Grant, Login, Network, Peer, Permits, RecordingMode,
    SessionId,
};
use hassio_sshd::policy::ssh::{Limits, Ssh};
use hassio_sshd::policy::{sandbox::Sandbox, seccomp::Subject};
use hassio_sshd::sys::process;
use hassio_sshd::wire::{
    AuditToPeer, ConnectionToInit, ConnectionToKeys, ConnectionToWarden, Event, FrontConfig,
    InitToConnection, KeysToConnection, Link, Record, ReportToAudit, Terms, WardenToConnection,
};
use russh::keys::signature::Signer as _;

/// The private part of the host key.
const SEED: [u8; 32] = [7; 32];

pub(crate) struct Bench {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    pub(crate) records: mpsc::Receiver<Record>,
    pub(crate) init: Child,
}

pub(crate) enum Warden {
    Makes,
    Refuses,
}

/// What the warden says to session-init before its connection can.
pub(crate) fn told(control: &OwnedFd, terms: &Terms) {
    let link = Link::<Terms, ()>::from_fd(control.try_clone().unwrap());
    link.unwrap().send(terms).unwrap();
}

/// Session-init with its end of the connection's link.
pub(crate) fn session_init(end: Link<InitToConnection, ConnectionToInit>) -> Child {
    Command::new("sh")
        .args([
            "-c",
            &format!(
                "exec {} 3<&0 </dev/null",
                env!("CARGO_BIN_EXE_session-init")
            ),
        ])
        .stdin(Stdio::from(end.into_fd()))
        .spawn()
        .unwrap()
}

pub(crate) fn bench(name: &str, warden: Warden) -> Bench {
    bench_within(name, warden, |limits| limits.login_grace_s = 3)
}

/// With other limits than the policy's.
pub(crate) fn bench_within(name: &str, warden: Warden, limit: fn(&mut Limits)) -> Bench {
    let directory = std::env::temp_dir().join(format!("connection-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let key = directory.join("key");
    std::fs::remove_file(&key).ok();
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();

    let host_key = ssh_key::private::Ed25519Keypair::from_seed(&SEED);
    let host_key = ssh_key::PrivateKey::from(host_key);
    let blob = host_key.public_key().to_bytes().unwrap();

    let (warden_end, warden_link) = Link::<WardenToConnection, ConnectionToWarden>::pair().unwrap();
    let (keys_end, keys_link) = Link::<KeysToConnection, ConnectionToKeys>::pair().unwrap();
    let (audit_end, audit_link) = Link::<AuditToPeer, ReportToAudit>::pair().unwrap();
    let (control, init_end) = Link::<ConnectionToInit, InitToConnection>::pair().unwrap();

    let init = session_init(init_end);

    let (granted, grants) = mpsc::channel();
    thread::spawn(move || {
        while let Ok(request) = keys_end.recv() {
            let answer = match request {
                ConnectionToKeys::Sign { exchange_hash } => {
                    let signature: ssh_key::Signature = host_key.try_sign(&exchange_hash).unwrap();
                    KeysToConnection::Signed(Vec::try_from(signature).unwrap())
                }
                ConnectionToKeys::Offer { .. } => KeysToConnection::Acceptable,
                ConnectionToKeys::PublicKey { .. } => {
                    granted.send(()).unwrap();
                    KeysToConnection::Granted(Permits::all())
                }
                ConnectionToKeys::Password { .. } | ConnectionToKeys::Failed { .. } => {
                    KeysToConnection::TooMany
                }
                ConnectionToKeys::Prove { .. } => KeysToConnection::Unproven,
                ConnectionToKeys::Disagreed(_) => continue,
            };
            keys_end.send(&answer).unwrap();
        }
    });
    let (recorded, records) = mpsc::channel();
    thread::spawn(move || {
        while let Ok(report) = audit_end.recv() {
            if let ReportToAudit::Record { record, .. } = report
                && recorded.send(record).is_err()
            {
                return;
            }
        }
    });
    thread::spawn(move || {
        if grants.recv().is_err() {
            return;
        }
        match warden {
            Warden::Refuses => {
                let reason = "no room".to_owned();
                warden_end
                    .send(&WardenToConnection::SessionRefused(reason))
                    .unwrap();
            }
            Warden::Makes => {
                let terminals: OwnedFd = File::open("/dev/pts").unwrap().into();
                let grant = Grant {
                    user: "root".to_owned(),
                    login: Login::Password,
                    role: "operator".parse().unwrap(),
                    config: ConfigAccess::ReadWrite,
                    network: Network::Shared,
                    forwarding: hassio_sshd::model::Forwarding::default(),
                    recording: RecordingMode::Output,
                    audit_failure: AuditFailure::Closed,
                    command: None,
                    environment: Vec::new(),
                    permits: Permits::all(),
                };
                let sid = SessionId::new();
                let message = WardenToConnection::SessionReady {
                    sid,
                    grant: Box::new(grant),
                };
                let control = control.into_fd();
                let terms = Terms {
                    terminal: true,
                    forwards: false,
                    forced: None,
                };
                told(&control, &terms);
                warden_end
                    .send_with(&message, &[control.as_fd(), terminals.as_fd()])
                    .unwrap();
            }
        }
        // Until the connection closes its end.
        warden_end.recv().ok();
    });

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (stream, address) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let start = Start {
            cid: ConnectionId::new(),
            peer: Peer {
                ip: address.ip(),
                port: address.port(),
            },
            stream: stream.into(),
            host_key: blob,
            warden: Link::from_fd(warden_link.into_fd()).unwrap(),
            keys: Link::from_fd(keys_link.into_fd()).unwrap(),
            audit: Link::from_fd(audit_link.into_fd()).unwrap(),
        };
        let config = FrontConfig {
            log_level: "info".to_owned(),
            environment: vec![("TZ".to_owned(), "UTC".to_owned())],
            password: true,
            shell: "/bin/bash".to_owned(),
            sftp: true,
            banner: String::new(),
            allow_from: Vec::new(),
            penalty_exempt: Vec::new(),
            compatibility_mode: false,
        };
        let mut policy = Policy {
            ssh: Ssh::shipped().unwrap(),
            sandbox: Sandbox::shipped().unwrap(),
            sftp_server: Some("/usr/lib/openssh/sftp-server".to_owned()),
        };
        limit(&mut policy.ssh.limits);
        // Of this thread alone; what it forbids ends the whole test.
        process::no_new_privileges().unwrap();
        confine::filters(Subject::Connection)
            .unwrap()
            .apply()
            .unwrap();
        run(start, &config, &policy).unwrap();
    });
    Bench {
        directory,
        port,
        records,
        init,
    }
}

impl Bench {
    pub(crate) fn ssh(&self, arguments: &[&str]) -> Command {
        let mut ssh = Command::new("timeout");
        ssh.args(["60", "ssh", "-F", "none", "-p", &self.port.to_string()])
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .args(["-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", "-i"])
            .arg(self.directory.join("key"))
            .args(["-o", "PreferredAuthentications=publickey"])
            .args(arguments)
            .stdin(Stdio::null());
        ssh
    }

    pub(crate) fn outcome(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        read(&self.ssh(arguments).output().unwrap())
    }

    /// All events, up to the connection's end if that comes within 10 seconds.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let until = Instant::now() + Duration::from_secs(10);
        while let Ok(record) = self
            .records
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            let last = matches!(record.event, Event::ConnClose { .. });
            events.push(record.event);
            if last {
                break;
            }
        }
        events
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.init.kill().ok();
        self.init.wait().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

pub(crate) fn read(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}
