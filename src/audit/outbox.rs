use std::collections::VecDeque;

use crate::wire::{AuditToWarden, Link, LinkError, WardenToAudit};

/// What the warden is told, in order. It reads soon or is gone; until then what it does not take waits: two messages for
/// each session that there is, at most.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<AuditToWarden>,
}

impl Outbox {
    pub(super) fn push(&mut self, message: AuditToWarden) {
        self.waiting.push_back(message);
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn flush(
        &mut self,
        link: &Link<AuditToWarden, WardenToAudit>,
    ) -> Result<(), LinkError> {
        while let Some(message) = self.waiting.front() {
            match link.send(message) {
                Ok(()) => {
                    self.waiting.pop_front();
                }
                Err(error) if error.would_block() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
