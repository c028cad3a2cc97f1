//! Sessions from a proved login to the moment when nothing of them is left.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::connections::{Closing, Connection, Progress, RELEASE, SETUP, Session, State};
use super::run::Warden;
use super::servers::Wrong;
use super::terms;
use crate::model::{ConfigAccess, ConnectionId, Grant, Network, SessionId, escape};
use crate::sandbox::{Host, Launched, SandboxError};
use crate::wire::{
    Event, SandboxFacts, SessionEnd, SessionFacts, WardenToAudit, WardenToBroker,
    WardenToConnection, WardenToFront,
};

impl Warden {
    /// # Errors
    /// `Wrong` where the connection has logged in already. One that is not there may just have ended.
    pub(super) fn on_granted(&mut self, cid: ConnectionId, grant: Grant) -> Result<(), Wrong> {
        match self.connections.get(&cid).map(|known| &known.state) {
            None => {}
            Some(State::Fresh { .. }) => self.open(cid, grant),
            Some(State::Refused { .. } | State::Session(_)) => {
                // Whose login is the true one nobody can tell.
                self.end(cid, SessionEnd::Limit, Gone::No);
                return Err(Wrong(format!("granted connection {cid} a second login")));
            }
        }
        Ok(())
    }

    fn open(&mut self, cid: ConnectionId, grant: Grant) {
        let same = |other: &&Connection| matches!(&other.state, State::Session(session) if session.grant.login == grant.login);
        if self.connections.values().filter(same).count() >= self.handover.slots_of_one_login {
            let reason = "too many sessions with this key; please end one of them";
            return self.refuse(cid, reason, SessionEnd::Limit);
        }
        let launched = match self.launch(&grant) {
            Ok(Some(launched)) => launched,
            Ok(None) => {
                let reason = "too many sessions; please try again later";
                return self.refuse(cid, reason, SessionEnd::Limit);
            }
            Err(error) => {
                tracing::error!("no sandbox for connection {cid}: {}", error.line());
                let reason = match error {
                    SandboxError::IdMap { .. } => error.to_string(),
                    _ => "the sandbox could not be made; see the server's log".to_owned(),
                };
                return self.refuse(cid, &reason, SessionEnd::Init);
            }
        };
        let Some(connection) = self.connections.get_mut(&cid) else {
            return;
        };
        let sid = SessionId::new();
        tracing::info!(
            "session {sid}: {} from {} as {}",
            escape(grant.user.as_bytes(), 64),
            connection.peer,
            grant.role
        );
        let facts = SessionFacts {
            sid,
            cid,
            peer: connection.peer,
            grant: grant.clone(),
        };
        let event = Event::SessionOpen {
            sandbox: sandbox_facts(&self.host, launched.uid, &grant),
            policy_digest: self.handover.policy_digest.clone(),
        };
        let progress = Progress::Making {
            terminals: None,
            complete: false,
            recorded: false,
        };
        let session = Session {
            sid,
            grant,
            launched,
            opened: Instant::now(),
            progress,
        };
        self.front.tell(&WardenToFront::Authenticated(cid), &[]);
        self.audit
            .tell(&WardenToAudit::OpenSession { facts, event }, &[]);
        self.broker.tell(
            &open_in_broker(&self.host, cid, &session),
            &[session.launched.socket.as_fd()],
        );
        connection.state = State::Session(session);
    }

    /// A sandbox on its way for this login; none where all slots are taken.
    fn launch(&mut self, grant: &Grant) -> Result<Option<Launched>, SandboxError> {
        let Some(spare) = self.take_spare()? else {
            return Ok(None);
        };
        match self.host.order(&spare, grant) {
            Ok(()) => Ok(Some(spare.into_launched())),
            Err(error) => {
                self.spares.discard(spare, Gone::No);
                Err(error)
            }
        }
    }

    /// Gives the connection its session, once that is made and on record.
    pub(super) fn deliver(&mut self, cid: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&cid) else {
            return;
        };
        let State::Session(session) = &mut connection.state else {
            return;
        };
        let Progress::Making {
            terminals: Some(terminals),
            complete: true,
            recorded: true,
        } = &session.progress
        else {
            return;
        };
        let terms = terms::terms(self.host.policy(), &session.grant);
        if let Err(error) = terms::tell(&session.launched, &terms) {
            tracing::error!("session-init of connection {cid} was not told its terms: {error}");
            let reason = "the session could not be started; see the server's log";
            return self.refuse(cid, reason, SessionEnd::Init);
        }
        let message = WardenToConnection::SessionReady {
            sid: session.sid,
            grant: Box::new(session.grant.clone()),
        };
        let sent = connection.link.send_with(
            &message,
            &[session.launched.control.as_fd(), terminals.as_fd()],
        );
        session.progress = Progress::Ready;
        if let Err(error) = sent {
            tracing::warn!("connection {cid} did not take its session: {error}");
            connection.kill();
        }
    }

    /// Tells a connection that it gets no session, and why; it ends by itself, or at the deadline.
    pub(super) fn refuse(&mut self, cid: ConnectionId, reason: &str, end: SessionEnd) {
        let Some(connection) = self.connections.get_mut(&cid) else {
            return;
        };
        tell(
            connection,
            &WardenToConnection::SessionRefused(reason.to_owned()),
            &[],
        );
        let until = Instant::now() + SETUP;
        let peer = connection.peer;
        let before = std::mem::replace(&mut connection.state, State::Refused { until });
        if let State::Session(session) = before {
            self.close(session.facts(cid, peer), session, end, Gone::No);
        }
    }

    /// A connection is over, or has to be: its session with it.
    pub(super) fn end(&mut self, cid: ConnectionId, end: SessionEnd, gone: Gone) {
        let Some(connection) = self.connections.remove(&cid) else {
            return;
        };
        connection.kill();
        if let State::Session(session) = connection.state {
            self.close(session.facts(cid, connection.peer), session, end, gone);
        }
    }

    /// Ends a session because another one, or the same, asks for it. One that is not there may just have ended.
    pub(super) fn kill_session(&mut self, sid: SessionId, by: SessionId) {
        let its = |connection: &Connection| matches!(&connection.state, State::Session(session) if session.sid == sid);
        let found = self.connections.iter().find(|(_, known)| its(known));
        let Some(cid) = found.map(|(cid, _)| *cid) else {
            return;
        };
        tracing::info!("session {sid} is ended by session {by}");
        self.end(cid, SessionEnd::Killed, Gone::No);
        let mut closing = self.closing.iter_mut();
        if let Some(closing) = closing.find(|closing| closing.facts.sid == sid) {
            closing.by = Some(by);
        }
    }

    /// Ends all processes of a session. What is left is cleared when the kernel and the others are done with it.
    pub(super) fn close(
        &mut self,
        facts: SessionFacts,
        session: Session,
        end: SessionEnd,
        gone: Gone,
    ) {
        let Session {
            sid,
            launched,
            opened,
            ..
        } = session;
        // The kernel ends the whole PID namespace with its first process, and no process can escape it.
        launched.child.kill().ok();
        self.broker.tell(&WardenToBroker::CloseSession(sid), &[]);
        let broker_done = self.broker.link().is_none();
        let process_gone = gone == Gone::Yes;
        let launched = Some(launched);
        self.closing.push(Closing {
            facts,
            launched,
            opened,
            end,
            by: None,
            since: Instant::now(),
            process_gone,
            broker_done,
            last_record: None,
        });
    }

    /// Lets go of sessions of which nothing is left: only then is their slot free for another. Their last record is
    /// told to audit until it has it.
    pub(super) fn clear(&mut self) {
        for closing in &mut self.closing {
            let done = closing.process_gone && closing.broker_done;
            let Some(launched) = closing.launched.as_ref().filter(|_| done) else {
                continue;
            };
            if !self.host.clear(launched) {
                continue;
            }
            self.slots.free(launched.slot);
            closing.launched = None;
            let duration_ms =
                u64::try_from(closing.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
            let sid = closing.facts.sid;
            tracing::info!("session {sid} ended after {duration_ms} ms");
            let event = Event::SessionClose {
                reason: closing.end,
                duration_ms,
                by: closing.by,
            };
            closing.last_record = Some(event.clone());
            self.audit
                .tell(&WardenToAudit::CloseSession { sid, event }, &[]);
        }
    }

    pub(super) fn enforce_deadlines(&mut self) {
        let now = Instant::now();
        self.front.enforce(now);
        self.keys.enforce(now);
        self.broker.enforce(now);
        self.audit.enforce(now);
        self.readers.enforce(now);
        let holds = |closing: &Closing| !closing.broker_done && now >= closing.since + RELEASE;
        if self.closing.iter().any(holds) {
            // A new one knows nothing of sessions that are over.
            self.broker.kill("does not let go of a session");
        }
        let late: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, c)| c.deadline().is_some_and(|until| until <= now))
            .map(|(cid, _)| *cid)
            .collect();
        for cid in late {
            let Some(connection) = self.connections.get(&cid) else {
                continue;
            };
            match connection.state {
                State::Fresh { .. } => {
                    tracing::info!("connection from {} did not log in in time", connection.peer);
                    self.end(cid, SessionEnd::Limit, Gone::No);
                }
                State::Refused { .. } => self.end(cid, SessionEnd::Limit, Gone::No),
                State::Session(_) => {
                    tracing::error!("the session of connection {cid} was not ready in time");
                    self.refuse(
                        cid,
                        "the session was not ready in time; please try again",
                        SessionEnd::Limit,
                    );
                }
            }
        }
    }
}

/// Whether a session's PID 1 has been reaped already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    Yes,
    No,
}

/// A connection that does not listen is ended; its link says so later.
pub(super) fn tell(connection: &Connection, message: &WardenToConnection, fds: &[BorrowedFd<'_>]) {
    if connection.link.send_with(message, fds).is_err() {
        connection.kill();
    }
}

pub(super) fn open_in_broker(host: &Host, cid: ConnectionId, session: &Session) -> WardenToBroker {
    // As it is seen, where the kernel cannot do what was granted.
    let config = host.config_access(session.grant.config);
    WardenToBroker::OpenSession {
        sid: session.sid,
        cid,
        uid: session.launched.uid,
        grant: Box::new(Grant {
            config,
            ..session.grant.clone()
        }),
    }
}

fn sandbox_facts(host: &Host, uid: u32, grant: &Grant) -> SandboxFacts {
    let mut namespaces: Vec<String> = ["mnt", "pid", "user", "ipc", "uts", "cgroup"]
        .map(str::to_owned)
        .into();
    let network = match grant.network {
        Network::Shared => "shared",
        Network::None => {
            namespaces.push("net".to_owned());
            "none"
        }
    };
    let config = match host.config_access(grant.config) {
        ConfigAccess::ReadWrite => "read-write",
        ConfigAccess::ReadOnly => "read-only",
        ConfigAccess::Absent => "absent",
    };
    SandboxFacts {
        uid,
        namespaces,
        config: config.to_owned(),
        network: network.to_owned(),
        cgroup: host.cgroup_description(),
        not_in_force: host.not_in_force(),
    }
}
