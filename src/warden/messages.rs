//! What the others say, and what the warden makes of it. Nobody is believed more than the type of its link allows.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::connections::{Connection, Progress, Session, State};
use super::pulse::Pulse;
use super::run::{HostKey, Warden, WardenError};
use super::servers::Wrong;
use super::sessions::Gone;
use crate::model::{SessionId, escape};
use crate::sandbox::Report;
use crate::sys::process;
use crate::wire::{
    AuditToWarden, BrokerToWarden, Event, FrontToWarden, Incoming, KeysToWarden, Link, LinkError,
    Outcome, Phase, Record, SessionEnd, WardenToAudit, WardenToFront, WardenToKeys,
};

impl Warden {
    pub(super) fn on_front(
        &mut self,
        message: FrontToWarden,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Wrong> {
        match message {
            FrontToWarden::Accepted { cid, peer } => {
                let hands = |error| Wrong(format!("hands over what it may not ({error})"));
                let [pidfd, link, keys, audit] = Link::<(), ()>::exactly(fds).map_err(hands)?;
                process::check_pidfd(pidfd.as_fd())
                    .map_err(|errno| hands(LinkError::Socket(errno)))?;
                let link = Link::from_fd(link).map_err(hands)?;
                link.set_nonblocking().map_err(hands)?;
                // Whoever gets these would end over another kind.
                let keys = Link::<(), ()>::from_fd(keys).map_err(hands)?;
                let audit = Link::<(), ()>::from_fd(audit).map_err(hands)?;
                let known = self.connections.contains_key(&cid)
                    || self.closing.iter().any(|closing| closing.facts.cid == cid);
                if known {
                    return Err(Wrong(format!("accepts connection {cid} a second time")));
                }
                // Of some that it knows to have ended this process has not heard yet.
                if self.connections.len() >= 2 * self.handover.ssh.limits.connections {
                    return Err(Wrong("accepts more connections than may be".to_owned()));
                }
                let until =
                    Instant::now() + Duration::from_secs(self.handover.ssh.limits.login_grace_s);
                // Before keys can report of it.
                self.audit.tell(
                    &WardenToAudit::Connection {
                        cid,
                        peer,
                        session: None,
                    },
                    &[audit.as_fd()],
                );
                self.keys.tell(
                    &WardenToKeys::Connection {
                        cid,
                        peer,
                        phase: Phase::Fresh,
                    },
                    &[keys.as_fd()],
                );
                self.connections.insert(
                    cid,
                    Connection {
                        peer,
                        pidfd,
                        link,
                        pulse: Pulse::new(),
                        state: State::Fresh { until },
                    },
                );
            }
            FrontToWarden::Refused {
                peer,
                count,
                reason,
            } => {
                tracing::warn!("closed {count} connections, the last from {peer}: {reason}");
                let event = Event::ConnRefuse {
                    reason,
                    count,
                    ip: peer.ip.to_string(),
                };
                self.audit.tell(
                    &WardenToAudit::Record(Record::new(event).outcome(Outcome::Bad)),
                    &[],
                );
            }
        }
        Ok(())
    }

    pub(super) fn on_broker(
        &mut self,
        message: BrokerToWarden,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Wrong> {
        let hands = |error| Wrong(format!("hands over what it may not ({error})"));
        match message {
            BrokerToWarden::Closed(sid) => {
                let [] = Link::<(), ()>::exactly(fds).map_err(hands)?;
                self.on_released(sid)
            }
            BrokerToWarden::Kill { sid, by } => {
                let [] = Link::<(), ()>::exactly(fds).map_err(hands)?;
                self.kill_session(sid, by);
                Ok(())
            }
            BrokerToWarden::Read => {
                let [link] = Link::<(), ()>::exactly(fds).map_err(hands)?;
                // Whoever gets it would end over another kind.
                let link = Link::<(), ()>::from_fd(link).map_err(hands)?.into_fd();
                if self.stopping.is_none() {
                    self.readers.start(self.handover.program.as_fd(), &link);
                }
                Ok(())
            }
        }
    }

    fn on_released(&mut self, sid: SessionId) -> Result<(), Wrong> {
        let mut its = self
            .closing
            .iter_mut()
            .filter(|closing| closing.facts.sid == sid);
        let closing = its.next();
        let closing = closing
            .ok_or_else(|| Wrong(format!("lets go of session {sid}, which does not end")))?;
        closing.broker_done = true;
        Ok(())
    }

    pub(super) fn on_keys(&mut self, message: KeysToWarden) -> Result<(), Wrong> {
        match message {
            KeysToWarden::HostKey { blob, fingerprint } => self.on_host_key(blob, fingerprint),
            KeysToWarden::Granted { cid, grant } => self.on_granted(cid, *grant)?,
            KeysToWarden::LoginRefused(ip) => {
                self.front.tell(&WardenToFront::LoginRefused(ip), &[]);
            }
        }
        Ok(())
    }

    /// A restarted keys reads the file again. Clients would take another key for an attack, and so does the server.
    fn on_host_key(&mut self, blob: Vec<u8>, fingerprint: String) {
        self.keys.works();
        match &self.host_key {
            None => {
                tracing::info!("the host key is {fingerprint} (ed25519)");
                self.record_start(fingerprint.clone());
            }
            Some(known) if known.blob == blob => {}
            Some(known) => {
                let known = known.fingerprint.clone();
                self.keys.kill("comes with another host key");
                return self.fail(WardenError::HostKey {
                    known,
                    found: escape(fingerprint.as_bytes(), 64),
                });
            }
        }
        self.front.tell(&WardenToFront::HostKey(blob.clone()), &[]);
        self.host_key = Some(HostKey { blob, fingerprint });
    }

    fn record_start(&mut self, host_key: String) {
        let event = Event::ServerStart {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            options_digest: self.handover.options_digest.clone(),
            host_key,
            isolation: self.host.in_force(),
            recovered: Vec::new(),
        };
        self.audit
            .tell(&WardenToAudit::Record(Record::new(event)), &[]);
    }

    pub(super) fn on_audit(&mut self, message: AuditToWarden) {
        match message {
            AuditToWarden::Ready => self.audit.works(),
            AuditToWarden::Opened(sid) => {
                let found =
                    self.connections
                        .iter_mut()
                        .find_map(|(cid, connection)| match &mut connection.state {
                            State::Session(session) if session.sid == sid => Some((*cid, session)),
                            _ => None,
                        });
                if let Some((cid, session)) = found {
                    if let Progress::Making { recorded, .. } = &mut session.progress {
                        *recorded = true;
                    }
                    self.deliver(cid);
                }
            }
            AuditToWarden::Closed(sid) => self.closing.retain(|closing| closing.facts.sid != sid),
            AuditToWarden::Failed { sid, reason } => {
                let found = self
                    .connections
                    .iter()
                    .find_map(|(cid, connection)| match &connection.state {
                        State::Session(session) if session.sid == sid => Some(*cid),
                        _ => None,
                    });
                tracing::error!(
                    "session {sid} cannot be recorded: {}",
                    escape(reason.as_bytes(), 200)
                );
                // Nothing more will be heard of its record.
                self.closing
                    .retain(|closing| closing.facts.sid != sid || closing.last_record.is_none());
                if let Some(cid) = found {
                    self.refuse(
                        cid,
                        "the session cannot be recorded; see the server's log",
                        SessionEnd::Audit,
                    );
                }
            }
        }
    }

    pub(super) fn listen_to_connections(&mut self) {
        let mut ended = Vec::new();
        for (cid, connection) in &mut self.connections {
            match connection.link.recv_incoming() {
                Ok(Incoming::Pong) => connection.pulse.heard(),
                Ok(Incoming::Message(message, _)) => match message {},
                Err(error) if error.would_block() => {}
                Err(LinkError::Closed) => ended.push(*cid),
                Err(error) => {
                    tracing::error!("connection {cid} is ended: {error}");
                    ended.push(*cid);
                }
            }
        }
        for cid in ended {
            self.end(cid, SessionEnd::Client, Gone::No);
        }
    }

    pub(super) fn listen_to_children(&mut self) {
        let mut ready = Vec::new();
        let mut failed = Vec::new();
        for (cid, connection) in &mut self.connections {
            let State::Session(Session {
                progress,
                launched,
                sid,
                ..
            }) = &mut connection.state
            else {
                continue;
            };
            let Progress::Making {
                terminals,
                complete,
                ..
            } = progress
            else {
                continue;
            };
            while !*complete {
                match launched.report() {
                    None => break,
                    Some(Report::Terminals(fd)) => *terminals = Some(fd),
                    Some(Report::Complete) if terminals.is_some() => {
                        *complete = true;
                        ready.push(*cid);
                    }
                    Some(Report::Complete) => {
                        failed.push((*cid, *sid, "its child ended without a word".to_owned()));
                        break;
                    }
                    Some(Report::Failed(why)) => {
                        failed.push((*cid, *sid, why));
                        break;
                    }
                }
            }
        }
        for (cid, sid, why) in failed {
            tracing::error!(
                "session {sid} has no sandbox: {}",
                escape(why.as_bytes(), 400)
            );
            self.refuse(
                cid,
                "the sandbox could not be made; see the server's log",
                SessionEnd::Init,
            );
        }
        for cid in ready {
            self.deliver(cid);
        }
    }
}
