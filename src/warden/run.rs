//! The warden's one loop.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::WaitStatus;

use super::connections::{Closing, Connection, Progress, Session, Slots, State};
use super::pulse::{self, Beat};
use super::readers::Readers;
use super::servers::{Ended, SHORTAGE, Server, ServerError, Works};
use super::sessions::Gone;
use super::spare::Spares;
use crate::model::ConnectionId;
use crate::policy::ssh::Ssh;
use crate::sandbox::{Host, SandboxError};
use crate::sys::{Errno, process, wait};
use crate::wire::limits::OUTBOX_PAUSE;
use crate::wire::{
    AuditToWarden, BrokerToWarden, Event, FrontToWarden, KeysToWarden, LinkError, Record,
    SessionEnd, WardenToAudit, WardenToBroker, WardenToFront, WardenToKeys,
};

/// How long everything may take to end when the server is stopped.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often what cannot be waited for is looked at: control groups that are not empty yet.
const TICK: Duration = Duration::from_millis(20);

/// Why the server stops.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the members are what the messages name")]
pub enum WardenError {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("cannot make the root of sessions")]
    Sandbox(#[from] SandboxError),
    #[error("cannot {action}")]
    Step { action: &'static str, source: Errno },
    #[error("cannot make a link")]
    Link(#[from] LinkError),
    #[error(
        "the host key was replaced while the server ran: it was {known} and is {found}; restart the server if that is \
         meant, and put the file back if not"
    )]
    HostKey { known: String, found: String },
}

/// What the warden begins with.
#[derive(Debug)]
pub struct Handover {
    /// This program, to be executed as the others.
    pub program: OwnedFd,
    /// The configuration of each, as sealed files.
    pub front: OwnedFd,
    /// See above.
    pub keys: OwnedFd,
    /// See above.
    pub broker: OwnedFd,
    /// See above.
    pub audit: OwnedFd,
    /// That of readers of the audit trail.
    pub reader: OwnedFd,
    /// The lock of the data folder, for audit too.
    pub lock: OwnedFd,
    /// Listening sockets.
    pub listeners: Vec<OwnedFd>,
    /// Hex SHA-256 of the options.
    pub options_digest: String,
    /// Hex SHA-256 of the policy files.
    pub policy_digest: String,
    /// How many sessions may run at the same time.
    pub slots: u32,
    /// How many of them with one key, or with the password.
    pub slots_of_one_login: usize,
    /// Patience and numbers.
    pub ssh: Ssh,
}

pub(super) struct Warden {
    pub(super) host: Host,
    pub(super) handover: Handover,
    pub(super) signals: SignalFd,
    pub(super) front: Server<WardenToFront, FrontToWarden>,
    pub(super) keys: Server<WardenToKeys, KeysToWarden>,
    pub(super) broker: Server<WardenToBroker, BrokerToWarden>,
    pub(super) audit: Server<WardenToAudit, AuditToWarden>,
    pub(super) readers: Readers,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) closing: Vec<Closing>,
    pub(super) slots: Slots,
    pub(super) spares: Spares,
    pub(super) host_key: Option<HostKey>,
    pub(super) accepting: Accepting,
    /// Until when nothing is accepted for want of descriptors.
    pub(super) short_until: Option<Instant>,
    /// When all are asked for a sign of life again.
    pub(super) beat_at: Instant,
    /// Until when everything has to have ended, once a signal asked for it.
    pub(super) stopping: Option<Instant>,
    /// Why the server stops, if nobody asked for it.
    pub(super) failure: Option<WardenError>,
}

/// The public host key.
pub(super) struct HostKey {
    /// As an SSH blob.
    pub(super) blob: Vec<u8>,
    pub(super) fingerprint: String,
}

/// Whether the front accepts connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepting {
    /// Keys and audit have not said yet that they work.
    NotYet,
    On,
    Paused,
}

/// Runs the server until it is told to stop, or cannot go on.
///
/// # Errors
/// Only such as make going on pointless; everything else concerns one connection or one process.
pub fn run(host: Host, mut handover: Handover) -> Result<(), WardenError> {
    let step = |action| move |source| WardenError::Step { action, source };
    process::adopt_orphans().map_err(step("adopt orphans"))?;
    let stop = [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
    ];
    let signals = wait::signals(&stop).map_err(step("receive signals"))?;
    let duplicate = |fd: &OwnedFd| {
        fd.try_clone().map_err(|_| WardenError::Step {
            action: "hold a file",
            source: Errno::EMFILE,
        })
    };
    let mut warden = Warden {
        front: Server::new("front", duplicate(&handover.front)?, Works::AtOnce),
        keys: Server::new("keys", duplicate(&handover.keys)?, Works::WhenItSays),
        broker: Server::new("broker", duplicate(&handover.broker)?, Works::AtOnce),
        audit: Server::new(
            "audit-writer",
            duplicate(&handover.audit)?,
            Works::WhenItSays,
        ),
        readers: Readers::new(duplicate(&handover.reader)?),
        slots: Slots::new(std::mem::take(&mut handover.slots)),
        host,
        handover,
        signals,
        connections: BTreeMap::new(),
        closing: Vec::new(),
        spares: Spares::new(),
        host_key: None,
        accepting: Accepting::NotYet,
        short_until: None,
        beat_at: Instant::now() + pulse::EVERY,
        stopping: None,
        failure: None,
    };
    loop {
        warden.start_what_is_due()?;
        warden.pace_accepting();
        warden.clear();
        warden.clear_spares();
        if warden.finished() {
            return warden.finish();
        }
        warden.keep_spare();
        warden.wait_and_handle()?;
        warden.enforce_deadlines();
        warden.beat();
    }
}

impl Warden {
    fn wait_and_handle(&mut self) -> Result<(), WardenError> {
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd()];
        fds.extend(self.front.link().map(AsFd::as_fd));
        fds.extend(self.keys.link().map(AsFd::as_fd));
        fds.extend(self.broker.link().map(AsFd::as_fd));
        fds.extend(self.audit.link().map(AsFd::as_fd));
        for connection in self.connections.values() {
            fds.push(connection.link.as_fd());
            if let State::Session(Session {
                progress:
                    Progress::Making {
                        complete: false, ..
                    },
                launched,
                ..
            }) = &connection.state
            {
                fds.push(launched.as_fd());
            }
        }
        let behind: Vec<BorrowedFd<'_>> = [
            self.front.link_behind().map(AsFd::as_fd),
            self.keys.link_behind().map(AsFd::as_fd),
            self.broker.link_behind().map(AsFd::as_fd),
            self.audit.link_behind().map(AsFd::as_fd),
        ]
        .into_iter()
        .flatten()
        .collect();
        let until = self.next_deadline();
        wait::any(&fds, &behind, until).map_err(|source| WardenError::Step {
            action: "wait",
            source,
        })?;
        drop((fds, behind));
        // All links are non-blocking and there are few: looking at each is simpler than keeping track of which is which.
        self.read_signals()?;
        self.flush();
        for message in self.keys.hear_plain() {
            if let Err(wrong) = self.on_keys(message) {
                self.keys.refute(&wrong);
                break;
            }
        }
        let heard = self.front.hear();
        if heard.shortage {
            self.short_until = Some(Instant::now() + SHORTAGE);
        }
        for (message, fds) in heard.messages {
            if let Err(wrong) = self.on_front(message, fds) {
                self.front.refute(&wrong);
                break;
            }
        }
        // A question that is lost for want of descriptors is answered by the end of its link.
        for (message, fds) in self.broker.hear().messages {
            if let Err(wrong) = self.on_broker(message, fds) {
                self.broker.refute(&wrong);
                break;
            }
        }
        for message in self.audit.hear_plain() {
            self.on_audit(message);
        }
        self.listen_to_connections();
        self.listen_to_children();
        Ok(())
    }

    fn flush(&mut self) {
        self.front.flush();
        self.keys.flush();
        self.broker.flush();
        self.audit.flush();
    }

    /// Accepts nothing while keys or audit has not taken what it was told of earlier connections, or is not there, or
    /// while there is no descriptor left for a connection.
    fn pace_accepting(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let now = Instant::now();
        self.short_until = self.short_until.filter(|until| *until > now);
        let backlog = self.keys.backlog().max(self.audit.backlog());
        match self.accepting {
            Accepting::On if self.short_until.is_some() => {
                tracing::warn!("out of descriptors: new connections wait");
            }
            Accepting::On if backlog >= OUTBOX_PAUSE => {
                tracing::warn!("keys or audit is away or does not keep up: new connections wait");
            }
            Accepting::NotYet | Accepting::Paused if backlog == 0 && self.short_until.is_none() => {
                if self.accepting == Accepting::Paused {
                    tracing::info!("new connections are accepted again");
                }
                self.accepting = Accepting::On;
                self.front.tell(&WardenToFront::Resume, &[]);
                return;
            }
            Accepting::NotYet | Accepting::On | Accepting::Paused => return,
        }
        self.accepting = Accepting::Paused;
        self.front.tell(&WardenToFront::Pause, &[]);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let servers = [
            self.front.due(),
            self.keys.due(),
            self.broker.due(),
            self.audit.due(),
        ];
        let overdue = [
            self.front.overdue_at(),
            self.keys.overdue_at(),
            self.broker.overdue_at(),
            self.audit.overdue_at(),
        ];
        let connections = self.connections.values().map(Connection::deadline);
        let clearing = self
            .closing
            .iter()
            .any(|closing| closing.launched.is_some());
        let tick = (clearing || self.spares.clearing()).then(|| Instant::now() + TICK);
        servers
            .into_iter()
            .chain(overdue)
            .chain(connections)
            .chain([
                tick,
                self.short_until,
                self.stopping,
                self.readers.overdue_at(),
                Some(self.beat_at),
            ])
            .flatten()
            .min()
    }

    fn read_signals(&mut self) -> Result<(), WardenError> {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
            match Signal::try_from(number) {
                Ok(Signal::SIGCHLD) => {}
                Ok(Signal::SIGHUP) => {
                    tracing::info!("options are read at start only: restart to change them")
                }
                Ok(signal) if self.stopping.is_none() => {
                    tracing::info!("{signal}: the server stops");
                    self.stop();
                }
                Ok(_) => {}
                Err(_) => {}
            }
        }
        while let Some(status) = wait::reap().map_err(|source| WardenError::Step {
            action: "reap",
            source,
        })? {
            self.on_end(status);
        }
        Ok(())
    }

    fn on_end(&mut self, status: WaitStatus) {
        let Some(pid) = status.pid() else {
            return;
        };
        let how = match status {
            WaitStatus::Exited(_, code) => Ended::with_status(code),
            // By the warden, or by somebody who may do worse.
            WaitStatus::Signaled(_, Signal::SIGKILL, _) => Ended::Killed,
            WaitStatus::Signaled(_, signal, _) => Ended::ByItself(ended_by(signal)),
            _ => return,
        };
        if self.stopping.is_none() {
            let noted = if self.front.is(pid) {
                self.front.ended(&how)
            } else if self.keys.is(pid) {
                self.keys.ended(&how)
            } else if self.broker.is(pid) {
                self.broker.ended(&how)
            } else if self.audit.is(pid) {
                self.audit.ended(&how)
            } else {
                Ok(())
            };
            if let Err(error) = noted {
                self.fail(error.into());
            }
        }
        if self.readers.ended(status) {
            return;
        }
        self.spare_ended(pid, how.text());
        for closing in self.closing.iter_mut().filter(|closing| {
            closing
                .launched
                .as_ref()
                .is_some_and(|launched| launched.child.pid == pid)
        }) {
            closing.process_gone = true;
        }
        let session =
            self.connections
                .iter()
                .find_map(|(cid, connection)| match &connection.state {
                    State::Session(session) if session.launched.child.pid == pid => Some(*cid),
                    _ => None,
                });
        if let Some(cid) = session {
            // What it said before its end matters more than the end.
            self.listen_to_children();
            tracing::warn!("session-init of connection {cid} {}", how.text());
            self.end(cid, SessionEnd::Init, Gone::Yes);
        }
    }

    /// Asks everyone for a sign of life, and ends whoever has given none for too long: also connections with a
    /// session, which nothing else would end.
    fn beat(&mut self) {
        let now = Instant::now();
        if now < self.beat_at {
            return;
        }
        self.beat_at = now + pulse::EVERY;
        if self.stopping.is_some() {
            return;
        }
        self.front.beat();
        self.keys.beat();
        self.broker.beat();
        self.audit.beat();
        let mut still = Vec::new();
        for (cid, connection) in &mut self.connections {
            if !matches!(connection.state, State::Session(_)) {
                continue;
            }
            match connection.pulse.beat() {
                // One that is gone says so by the end of its link; what keeps this out is a question too.
                Beat::Ask => {
                    connection.link.ping().ok();
                }
                Beat::Still(time) => still.push((*cid, time)),
            }
        }
        for (cid, time) in still {
            let time = time.as_secs();
            tracing::error!(
                "connection {cid} has not given a sign of life for {time} s; it is ended"
            );
            self.end(cid, SessionEnd::Limit, Gone::No);
        }
    }

    /// Stops the server, because it cannot go on: [`run`] returns `error` at the end.
    pub(super) fn fail(&mut self, error: WardenError) {
        if self.stopping.is_none() {
            self.failure = Some(error);
            self.stop();
        }
    }

    fn stop(&mut self) {
        self.stopping = Some(Instant::now() + FAREWELL);
        if let Some(child) = self.front.dismiss() {
            child.kill().ok();
        }
        self.spares.retire();
        self.readers.dismiss();
        let all: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for cid in all {
            self.end(cid, SessionEnd::ServerStop, Gone::No);
        }
    }

    fn finished(&self) -> bool {
        let cleared = self.closing.is_empty() && !self.spares.clearing();
        self.stopping
            .is_some_and(|until| cleared || Instant::now() >= until)
    }

    /// The last records are on the disk when audit has ended by itself.
    fn finish(&mut self) -> Result<(), WardenError> {
        let waiting = |source| WardenError::Step {
            action: "wait for audit",
            source,
        };
        let event = Event::ServerStop {
            reason: match &self.failure {
                None => "signal".to_owned(),
                Some(error) => error.to_string(),
            },
        };
        self.audit
            .tell(&WardenToAudit::Record(Record::new(event)), &[]);
        let until = self.stopping.unwrap_or_else(Instant::now) + FAREWELL;
        // What it has not taken yet would go with the link.
        while let Some(link) = self.audit.link_behind().filter(|_| Instant::now() < until) {
            wait::any(&[], &[link.as_fd()], Some(until)).map_err(waiting)?;
            self.audit.flush();
        }
        self.host.retire();
        for child in [self.keys.dismiss(), self.broker.dismiss()]
            .into_iter()
            .flatten()
        {
            child.kill().ok();
        }
        if let Some(audit) = self.audit.dismiss() {
            wait::readable(&[audit.pidfd.as_fd()], Some(until)).map_err(waiting)?;
        }
        self.failure.take().map_or(Ok(()), Err)
    }
}

/// A process that aborts asks for a call that no list names, and ends so as well; its last words are in the log already.
fn ended_by(signal: Signal) -> String {
    let aborts = match signal {
        Signal::SIGSYS => {
            " (a call that its list does not name, or an abort, such as one without memory)"
        }
        _ => "",
    };
    format!("was ended by {signal}{aborts}")
}
