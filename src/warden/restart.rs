//! Starting the long-lived processes, and what the others have to hear when one of them is new.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connections::{Connection, Progress, Session, State};
use super::run::{Accepting, Warden, WardenError};
use super::servers::{Server, Started};
use super::sessions::{open_in_broker, tell};
use crate::model::ConnectionId;
use crate::wire::{
    Link, Phase, Reporter, SessionEnd, SessionFacts, WardenToAudit, WardenToBroker,
    WardenToConnection, WardenToFront, WardenToKeys,
};

/// What happens where descriptors are short.
const NO_LINK: &str = "cannot have a new link";

impl Warden {
    pub(super) fn start_what_is_due(&mut self) -> Result<(), WardenError> {
        let now = Instant::now();
        let due = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        // Audit first: the others report to it from their first moment.
        if due(self.audit.due())
            && self
                .audit
                .start(self.handover.program.as_fd(), &[self.handover.lock.as_fd()])?
                == Started::Yes
        {
            self.reconnect_audit();
        }
        if due(self.keys.due())
            && let Some([reporter, end]) = pair_for(&mut self.keys)?
            && self
                .keys
                .start(self.handover.program.as_fd(), &[reporter.as_fd()])?
                == Started::Yes
        {
            self.audit
                .tell(&WardenToAudit::Reporter(Reporter::Keys), &[end.as_fd()]);
            self.reconnect_keys();
        }
        if due(self.broker.due())
            && let Some([reporter, end]) = pair_for(&mut self.broker)?
            && self
                .broker
                .start(self.handover.program.as_fd(), &[reporter.as_fd()])?
                == Started::Yes
        {
            self.audit
                .tell(&WardenToAudit::Reporter(Reporter::Broker), &[end.as_fd()]);
            self.reconnect_broker();
        }
        if due(self.front.due()) && self.stopping.is_none() {
            let listeners: Vec<BorrowedFd<'_>> =
                self.handover.listeners.iter().map(AsFd::as_fd).collect();
            // One that is not there is told nothing.
            self.front
                .start(self.handover.program.as_fd(), &listeners)?;
            if self.accepting != Accepting::On {
                self.front.tell(&WardenToFront::Pause, &[]);
            }
            for (cid, connection) in &self.connections {
                let authenticated = match connection.state {
                    State::Session(_) => true,
                    State::Fresh { .. } | State::Refused { .. } => false,
                };
                let message = WardenToFront::Running {
                    cid: *cid,
                    peer: connection.peer,
                    authenticated,
                };
                self.front.tell(&message, &[connection.pidfd.as_fd()]);
            }
            if let Some(key) = &self.host_key {
                let message = WardenToFront::HostKey(key.blob.clone());
                self.front.tell(&message, &[]);
            }
        }
        Ok(())
    }

    /// Gives everyone who reports a new link to a new audit process. Sessions that waited for their first record are
    /// refused: nobody knows whether it was written.
    pub(super) fn reconnect_audit(&mut self) {
        for reporter in [Reporter::Keys, Reporter::Broker] {
            let Ok((near, far)) = Link::<(), ()>::pair() else {
                // Its next start comes with a link.
                match reporter {
                    Reporter::Keys => self.keys.kill(NO_LINK),
                    Reporter::Broker => self.broker.kill(NO_LINK),
                }
                continue;
            };
            self.audit
                .tell(&WardenToAudit::Reporter(reporter), &[far.as_fd()]);
            match reporter {
                Reporter::Keys => self.keys.tell(&WardenToKeys::Audit, &[near.as_fd()]),
                Reporter::Broker => self.broker.tell(&WardenToBroker::Audit, &[near.as_fd()]),
            }
        }
        for (cid, connection) in &self.connections {
            let Ok((near, far)) = Link::<(), ()>::pair() else {
                unlinked(*cid, connection);
                continue;
            };
            let message = WardenToAudit::Connection {
                cid: *cid,
                peer: connection.peer,
                session: connection.facts(*cid),
            };
            self.audit.tell(&message, &[far.as_fd()]);
            tell(connection, &WardenToConnection::Audit, &[near.as_fd()]);
        }
        let waiting: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, c)| unrecorded(c))
            .map(|(cid, _)| *cid)
            .collect();
        for cid in waiting {
            self.refuse(
                cid,
                "the audit process was restarted; please try again",
                SessionEnd::Audit,
            );
        }
        // Sessions that are ending: their last records are still to come, or perhaps were lost.
        for closing in &self.closing {
            let SessionFacts { sid, cid, peer, .. } = closing.facts;
            let session = Some(closing.facts.clone());
            // Without it audit closes the file by itself.
            if let Ok((_near, far)) = Link::<(), ()>::pair() {
                self.audit.tell(
                    &WardenToAudit::Connection { cid, peer, session },
                    &[far.as_fd()],
                );
            }
            if let Some(event) = closing.last_record.clone() {
                self.audit
                    .tell(&WardenToAudit::CloseSession { sid, event }, &[]);
            }
        }
    }

    pub(super) fn reconnect_keys(&mut self) {
        for (cid, connection) in &self.connections {
            let phase = match connection.state {
                State::Session(_) => Phase::Established,
                // Their session identifier is forgotten, so they cannot log in any more.
                State::Fresh { .. } | State::Refused { .. } => continue,
            };
            let Ok((near, far)) = Link::<(), ()>::pair() else {
                unlinked(*cid, connection);
                continue;
            };
            let message = WardenToKeys::Connection {
                cid: *cid,
                peer: connection.peer,
                phase,
            };
            self.keys.tell(&message, &[far.as_fd()]);
            tell(connection, &WardenToConnection::Keys, &[near.as_fd()]);
        }
    }

    pub(super) fn reconnect_broker(&mut self) {
        for (cid, connection) in &self.connections {
            if let State::Session(session) = &connection.state {
                self.broker.tell(
                    &open_in_broker(&self.host, *cid, session),
                    &[session.launched.socket.as_fd()],
                );
            }
        }
        for closing in &mut self.closing {
            closing.broker_done = true;
        }
    }
}

/// A link to audit for a process that is to be started; none where descriptors are short, and then it is put off.
fn pair_for<Out: Serialize, In: DeserializeOwned>(
    server: &mut Server<Out, In>,
) -> Result<Option<[Link<(), ()>; 2]>, WardenError> {
    match Link::pair() {
        Ok((near, far)) => Ok(Some([near, far])),
        Err(error) if error.is_shortage() => {
            server.put_off();
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Ends a connection that cannot have a link that it needs.
fn unlinked(cid: ConnectionId, connection: &Connection) {
    tracing::error!("connection {cid} {NO_LINK}; it is ended");
    connection.kill();
}

fn unrecorded(connection: &Connection) -> bool {
    matches!(
        &connection.state,
        State::Session(Session {
            progress: Progress::Making {
                recorded: false,
                ..
            },
            ..
        })
    )
}
