use std::collections::VecDeque;

use crate::model::ConnectionId;
use crate::wire::{AuditToPeer, Event, Link, LinkError, Outcome, Record, ReportToAudit};

/// Records that wait while audit is away or slow. A connection makes at most 30, the front holds few connections at a
/// time; when it is full, no evidence is looked at until there is room again.
const WAITING: usize = 1024;

/// The way to audit: what was not taken yet waits, in order.
pub(super) struct Trail {
    link: Option<Link<ReportToAudit, AuditToPeer>>,
    waiting: VecDeque<ReportToAudit>,
    unseen: u32,
}

impl Trail {
    pub(super) fn new() -> Self {
        Self {
            link: None,
            waiting: VecDeque::new(),
            unseen: 0,
        }
    }

    pub(super) fn connect(
        &mut self,
        link: Link<ReportToAudit, AuditToPeer>,
    ) -> Result<(), LinkError> {
        link.set_nonblocking()?;
        self.link = Some(link);
        self.flush();
        Ok(())
    }

    pub(super) fn link(&self) -> Option<&Link<ReportToAudit, AuditToPeer>> {
        self.link.as_ref()
    }

    /// Whether evidence may be judged: its record has a place.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING
    }

    /// Whether something waits for an audit that is there.
    pub(super) fn is_behind(&self) -> bool {
        self.link.is_some() && !self.waiting.is_empty()
    }

    /// Takes a record; one for which there is no room is counted.
    pub(super) fn record(&mut self, cid: ConnectionId, outcome: Outcome, event: Event) {
        if !self.has_room() {
            self.unseen = self.unseen.saturating_add(1);
            return;
        }
        self.waiting.push_back(ReportToAudit::Record {
            record: Record::new(event).of_connection(cid).outcome(outcome),
            receipt: None,
        });
        self.flush();
    }

    /// Sends what can be sent now.
    pub(super) fn flush(&mut self) {
        while let (Some(link), Some(report)) = (&self.link, self.waiting.front()) {
            match link.send(report) {
                Ok(()) => {
                    self.waiting.pop_front();
                }
                Err(error) if error.would_block() => return,
                Err(error) => {
                    tracing::warn!(%error, "audit is away");
                    self.link = None;
                }
            }
        }
        if self.waiting.is_empty() && self.unseen > 0 && self.link.is_some() {
            let n = std::mem::take(&mut self.unseen);
            let reason = "evidence was refused unseen, because audit took no records".to_owned();
            self.waiting.push_back(ReportToAudit::Record {
                record: Record::new(Event::AuthLockout { reason, n }).outcome(Outcome::Bad),
                receipt: None,
            });
            self.flush();
        }
    }

    /// Reads from audit, which has nothing to say: no receipt was asked for.
    pub(super) fn hear(&mut self) {
        let Some(link) = &self.link else { return };
        match link.recv() {
            Err(error) if error.would_block() => {}
            Err(error) => {
                tracing::warn!(%error, "audit is away");
                self.link = None;
            }
            Ok(answer) => {
                tracing::error!(?answer, "audit answered what was not asked");
                self.link = None;
            }
        }
    }
}
