//! Sessions that go on without a record, since their key or the options want that: `audit_failure: open`, `break-glass`.

use std::collections::HashMap;

use super::room::Room;
use crate::model::{AuditFailure, SessionId};
use crate::wire::{AuditToWarden, SessionFacts};

/// Which there are, and how many records each has lost.
#[derive(Default)]
pub(super) struct Unrecorded(HashMap<SessionId, u64>);

impl Unrecorded {
    /// Counts a record of the session, if it is one of these.
    #[must_use]
    pub(super) fn lose(&mut self, sid: SessionId) -> bool {
        let lost = self.0.get_mut(&sid);
        lost.map(|lost| *lost = lost.saturating_add(1)).is_some()
    }

    pub(super) fn has(&self, sid: SessionId) -> bool {
        self.0.contains_key(&sid)
    }
}

impl Room {
    /// A session whose record cannot be begun: refused, or let go on without.
    pub(super) fn begin_without_record(&mut self, facts: &SessionFacts, reason: String) {
        let sid = facts.sid;
        match facts.grant.audit_failure {
            AuditFailure::Closed => self.outbox.push(AuditToWarden::Failed { sid, reason }),
            AuditFailure::Open => {
                tracing::error!(%sid, peer = %facts.peer, reason, "A SESSION GOES ON WITHOUT A RECORD");
                self.connections.begin(facts);
                // The record that would have begun it.
                self.unrecorded.0.insert(sid, 1);
                self.outbox.push(AuditToWarden::Opened(sid));
            }
        }
    }

    /// The end of such a session, if it is one; what it lost is in the ledger as soon as that takes something.
    #[must_use]
    pub(super) fn end_without_record(&mut self, sid: SessionId) -> bool {
        let Some(lost) = self.unrecorded.0.remove(&sid) else {
            return false;
        };
        tracing::error!(%sid, records = lost, "a session has ended without a record");
        self.lost = self.lost.saturating_add(lost).saturating_add(1);
        self.connections.end_session(sid);
        self.outbox.push(AuditToWarden::Closed(sid));
        true
    }
}
