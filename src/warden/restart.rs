//! Starting the long-lived processes, and what the others have to hear when one of them is new.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::connections::{Connection, Progress, Session, State};
use super::run::{Accepting, Warden, WardenError};
use super::sessions::{open_in_broker, tell};
use crate::model::ConnectionId;
use crate::wire::{
    Link, Phase, Reporter, SessionEnd, SessionFacts, WardenToAudit, WardenToBroker,
    WardenToConnection, WardenToFront, WardenToKeys,
};

impl Warden {
    pub(super) fn start_what_is_due(&mut self) -> Result<(), WardenError> {
        let now = Instant::now();
        let due = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        // Audit first: the others report to it from their first moment.
        if due(self.audit.due()) {
            self.audit.start(self.handover.program.as_fd(), &[])?;
            self.reconnect_audit()?;
        }
        if due(self.keys.due()) {
            let (reporter, end) = Link::<(), ()>::pair()?;
            self.keys
                .start(self.handover.program.as_fd(), &[reporter.as_fd()])?;
            self.audit
                .tell(&WardenToAudit::Reporter(Reporter::Keys), &[end.as_fd()]);
            self.reconnect_keys()?;
        }
        if due(self.broker.due()) {
            let (reporter, end) = Link::<(), ()>::pair()?;
            self.broker
                .start(self.handover.program.as_fd(), &[reporter.as_fd()])?;
            self.audit
                .tell(&WardenToAudit::Reporter(Reporter::Broker), &[end.as_fd()]);
            self.reconnect_broker();
        }
        if due(self.front.due()) && self.stopping.is_none() {
            let listeners: Vec<BorrowedFd<'_>> =
                self.handover.listeners.iter().map(AsFd::as_fd).collect();
            self.front
                .start(self.handover.program.as_fd(), &listeners)?;
            if self.accepting == Accepting::Paused {
                self.front.tell(&WardenToFront::Pause, &[]);
            }
            if let Some(blob) = &self.host_key {
                self.front.tell(&WardenToFront::HostKey(blob.clone()), &[]);
            }
        }
        Ok(())
    }

    /// Gives everyone who reports a new link to a new audit process. Sessions that waited for their first record are
    /// refused: nobody knows whether it was written.
    pub(super) fn reconnect_audit(&mut self) -> Result<(), WardenError> {
        for reporter in [Reporter::Keys, Reporter::Broker] {
            let (near, far) = Link::<(), ()>::pair()?;
            self.audit
                .tell(&WardenToAudit::Reporter(reporter), &[far.as_fd()]);
            match reporter {
                Reporter::Keys => self.keys.tell(&WardenToKeys::Audit, &[near.as_fd()]),
                Reporter::Broker => self.broker.tell(&WardenToBroker::Audit, &[near.as_fd()]),
            }
        }
        for (cid, connection) in &self.connections {
            let (near, far) = Link::<(), ()>::pair()?;
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
            let (_near, far) = Link::<(), ()>::pair()?;
            let SessionFacts { sid, cid, peer, .. } = closing.facts;
            let session = Some(closing.facts.clone());
            self.audit.tell(
                &WardenToAudit::Connection { cid, peer, session },
                &[far.as_fd()],
            );
            if let Some(event) = closing.last_record.clone() {
                self.audit
                    .tell(&WardenToAudit::CloseSession { sid, event }, &[]);
            }
        }
        Ok(())
    }

    pub(super) fn reconnect_keys(&mut self) -> Result<(), WardenError> {
        for (cid, connection) in &self.connections {
            let phase = match connection.state {
                State::Session(_) => Phase::Established,
                // Their session identifier is forgotten, so they cannot log in any more.
                State::Fresh { .. } | State::Refused { .. } => continue,
            };
            let (near, far) = Link::<(), ()>::pair()?;
            let message = WardenToKeys::Connection {
                cid: *cid,
                peer: connection.peer,
                phase,
            };
            self.keys.tell(&message, &[far.as_fd()]);
            tell(connection, &WardenToConnection::Keys, &[near.as_fd()]);
        }
        Ok(())
    }

    pub(super) fn reconnect_broker(&mut self) {
        for (cid, connection) in &self.connections {
            if let State::Session(session) = &connection.state {
                self.broker.tell(
                    &open_in_broker(*cid, session),
                    &[session.launched.socket.as_fd()],
                );
            }
        }
        for closing in &mut self.closing {
            closing.broker_done = true;
        }
    }
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
