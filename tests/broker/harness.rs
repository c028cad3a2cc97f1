//! The simulated Supervisor as a child, the broker in a thread, and the test as its warden and its audit.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hassio_sshd::broker::{self, BrokerError};
use hassio_sshd::model::{
    AuditFailure, ConfigAccess, ConnectionId, Grant, KeyIdentity, Login, Network, Permits,
    RecordingMode, SessionId,
};
use hassio_sshd::wire::{
    AuditToPeer, BrokerConfig, BrokerToWarden, Event, Link, Record, ReportToAudit, WardenToBroker,
};
use serde_json::Value;

pub(crate) const TOKEN: &str = "0123456789abcdef-the-supervisors-token";

/// How long anything may take that should happen at once.
pub(crate) const SOON: Duration = Duration::from_secs(5);

#[expect(clippy::disallowed_methods, reason = "the test starts real programs")]
pub(crate) fn command(path: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
    std::process::Command::new(path)
}

/// Waits until `check` holds.
pub(crate) fn until(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !check() {
        assert!(Instant::now() < end, "not in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A directory of the test's own.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("broker-test-{}", SessionId::new()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

/// The simulated Supervisor, which cargo builds beside the tests.
pub(crate) struct Supervisor {
    pub(crate) child: Child,
    pub(crate) address: String,
    pub(crate) log: PathBuf,
}

impl Supervisor {
    pub(crate) fn start(scratch: &Scratch, more: &[&str]) -> Self {
        let deps = std::env::current_exe().unwrap();
        let program = deps
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .join("examples/simulated-supervisor");
        assert!(
            program.exists(),
            "{} is missing: cargo build --examples",
            program.display()
        );
        let log = scratch.path("requests.jsonl");
        let mut child = command(program)
            .args(["--listen", "127.0.0.1:0", "--token", TOKEN])
            .args(["--config-dir".as_ref(), scratch.0.as_os_str()])
            .args(["--record".as_ref(), log.as_os_str()])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        Self {
            child,
            address: format!("http://{address}"),
            log,
        }
    }

    pub(crate) fn requests(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.requests()
            .iter()
            .map(|r| r["path"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// Audit as the test plays it: keeps what it hears, and confirms unless told not to.
pub(crate) struct Audit {
    pub(crate) records: Arc<Mutex<Vec<Record>>>,
    pub(crate) withhold: Arc<AtomicBool>,
}

impl Audit {
    pub(crate) fn listen(link: Link<AuditToPeer, ReportToAudit>) -> Self {
        let audit = Self {
            records: Arc::default(),
            withhold: Arc::default(),
        };
        audit.attach(link);
        audit
    }

    /// Its thread ends with the link.
    pub(crate) fn attach(&self, link: Link<AuditToPeer, ReportToAudit>) {
        let (records, withhold) = (self.records.clone(), self.withhold.clone());
        thread::spawn(move || {
            while let Ok(report) = link.recv() {
                let ReportToAudit::Record { record, receipt } = report else {
                    panic!("{report:?}");
                };
                // The real audit closes the link of whoever reports what is another process's to report.
                let its_own = matches!(
                    record.event,
                    Event::ApiRequest { .. }
                        | Event::ApiResponse { .. }
                        | Event::PolicyDeny { .. }
                        | Event::RecordingView { .. }
                );
                assert!(its_own, "{:?}", record.event);
                records.lock().unwrap().push(record);
                if let (Some(receipt), false) = (receipt, withhold.load(Ordering::SeqCst)) {
                    link.send(&AuditToPeer::Durable(receipt)).unwrap();
                }
            }
        });
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.records
            .lock()
            .unwrap()
            .iter()
            .map(|record| record.event.clone())
            .collect()
    }

    pub(crate) fn has(&self, what: impl Fn(&Event) -> bool) -> bool {
        self.events().iter().any(what)
    }
}

/// A broker with its warden's end.
pub(crate) struct Broker {
    pub(crate) scratch: Scratch,
    pub(crate) audit: Audit,
    pub(crate) warden: Option<Link<WardenToBroker, BrokerToWarden>>,
    pub(crate) thread: Option<JoinHandle<Result<(), BrokerError>>>,
}

/// One session of it.
pub(crate) struct Session {
    pub(crate) sid: SessionId,
    pub(crate) socket: PathBuf,
}

impl Broker {
    pub(crate) fn start(scratch: Scratch, supervisor: &str, token: Option<&str>) -> Self {
        Self::start_with(scratch, config(supervisor, token))
    }

    pub(crate) fn start_with(scratch: Scratch, config: BrokerConfig) -> Self {
        let (warden, broker_end) = Link::pair().unwrap();
        let (reports, audit_end) = Link::pair().unwrap();
        let thread = thread::spawn(move || broker::run(config, broker_end, reports));
        let audit = Audit::listen(audit_end);
        Self {
            scratch,
            audit,
            warden: Some(warden),
            thread: Some(thread),
        }
    }

    pub(crate) fn warden(&self) -> &Link<WardenToBroker, BrokerToWarden> {
        self.warden.as_ref().unwrap()
    }

    pub(crate) fn open(&self, role: &str) -> Session {
        self.open_for(role, nix::unistd::getuid().as_raw())
    }

    pub(crate) fn open_for(&self, role: &str, uid: u32) -> Session {
        let sid = SessionId::new();
        let socket = self.scratch.path(&format!("{sid}.sock"));
        let listener = UnixListener::bind(&socket).unwrap();
        let login = Login::PublicKey(KeyIdentity {
            fingerprint: "SHA256:abc".to_owned(),
            algorithm: "ssh-ed25519".to_owned(),
            comment: "me@home".to_owned(),
        });
        let message = WardenToBroker::OpenSession {
            sid,
            cid: ConnectionId::new(),
            uid,
            grant: Box::new(Grant {
                user: "root".to_owned(),
                login,
                role: role.parse().unwrap(),
                config: ConfigAccess::ReadOnly,
                network: Network::None,
                forwarding: hassio_sshd::model::Forwarding::default(),
                recording: RecordingMode::Output,
                audit_failure: AuditFailure::Closed,
                command: None,
                environment: Vec::new(),
                permits: Permits::all(),
            }),
        };
        self.warden()
            .send_with(&message, &[listener.as_fd()])
            .unwrap();
        Session { sid, socket }
    }

    pub(crate) fn close(&self, session: &Session) {
        self.warden()
            .send(&WardenToBroker::CloseSession(session.sid))
            .unwrap();
        let BrokerToWarden::Closed(sid) = self.warden().recv().unwrap() else {
            panic!("something else was said");
        };
        assert_eq!(sid, session.sid);
    }

    /// Closes the link, as a warden that ends, and waits for the broker's end.
    pub(crate) fn end(&mut self) -> Result<(), BrokerError> {
        self.warden = None;
        self.thread.take().unwrap().join().unwrap()
    }
}

pub(crate) fn config(supervisor: &str, token: Option<&str>) -> BrokerConfig {
    BrokerConfig {
        log_level: "info".to_owned(),
        supervisor: supervisor.to_owned(),
        token: token.map(str::to_owned),
        own_roles: Vec::new(),
        backup_download: false,
    }
}

/// A response as it came.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) raw: String,
}

impl Response {
    pub(crate) fn body(&self) -> &str {
        self.raw.split_once("\r\n\r\n").unwrap().1
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.body()).unwrap_or_else(|_| panic!("{}", self.raw))
    }
}

impl Session {
    pub(crate) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    /// Sends bytes as they are, and reads until the broker closes.
    pub(crate) fn raw(&self, request: &[u8]) -> Response {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let raw = String::from_utf8(bytes).unwrap();
        assert!(!raw.contains(TOKEN), "the token is in: {raw}");
        let status = raw
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or(0);
        Response { status, raw }
    }

    pub(crate) fn request(&self, method: &str, target: &str, body: &str) -> Response {
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}"
        );
        self.raw(format!("{head}\r\n\r\n{body}").as_bytes())
    }

    pub(crate) fn get(&self, target: &str) -> Response {
        self.request("GET", target, "")
    }

    pub(crate) fn hassio(&self, arguments: &[&str]) -> Output {
        hassio(&self.socket, arguments)
    }
}

pub(crate) fn hassio(socket: &Path, arguments: &[&str]) -> Output {
    let output = command(env!("CARGO_BIN_EXE_hassio"))
        .args(arguments)
        .env_clear()
        .env("HASSIO_SOCKET", socket)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        !format!("{}{}", out(&output), err(&output)).contains(TOKEN),
        "hassio shows the token"
    );
    output
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A Supervisor and a broker that knows its token.
pub(crate) fn both(more: &[&str]) -> (Supervisor, Broker) {
    let scratch = Scratch::new();
    let supervisor = Supervisor::start(&scratch, more);
    let broker = Broker::start(scratch, &supervisor.address, Some(TOKEN));
    (supervisor, broker)
}
