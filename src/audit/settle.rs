//! Writing: what is due goes to the disk, and who waits for it is told.

use std::time::Instant;

use super::error::AuditError;
use super::file::{Fate, Promise, TrailFile};
use super::mark::Mark;
use super::reserve::Reserve;
use super::room::{Room, answer};
use super::store::Store;
use crate::model::AuditFailure;
use crate::wire::{AuditToPeer, AuditToWarden, LinkError};

/// A ledger segment is followed by the next one at this size.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

impl Room {
    /// Writes, syncs what is due, and tells who waits for it.
    pub(super) fn settle(&mut self, now: Instant) -> Result<(), AuditError> {
        self.flush_sessions(now);
        // After the sessions: only what is on the disk is attested.
        self.attest(now);
        self.flush_ledger(now);
        if self.ledger.bytes() >= SEGMENT_BYTES {
            self.next_segment(now);
        }
        self.part(now);
        match self.outbox.flush(&self.warden) {
            // Its end is seen when it is read, after all that it said.
            Ok(()) | Err(LinkError::Closed) => Ok(()),
            Err(error) => Err(AuditError::Warden(error)),
        }
    }

    pub(super) fn flush_sessions(&mut self, now: Instant) {
        let flushed = self
            .sessions
            .values_mut()
            .map(|session| (session.file.flush(now), session.failure));
        for (fate, failure) in flushed.collect::<Vec<_>>() {
            self.fulfil(fate, failure);
        }
    }

    pub(super) fn flush_ledger(&mut self, now: Instant) {
        let fate = self.ledger.flush(now);
        self.fulfil(fate, AuditFailure::Closed);
    }

    fn fulfil(&mut self, fate: Fate, failure: AuditFailure) {
        let Fate { kept, broken } = fate;
        kept.into_iter().for_each(|promise| self.keep(promise));
        broken
            .into_iter()
            .for_each(|promise| self.break_promise(promise, failure));
    }

    /// Lets go of peers that leave. What keys has said of their connections up to now belongs to them.
    fn part(&mut self, now: Instant) {
        if self.guests.iter().any(|guest| guest.leaves) {
            self.hear_keys(now);
        }
        let Self {
            guests,
            connections,
            folds,
            ..
        } = self;
        guests.retain(|guest| {
            if let Some(cid) = guest.cid.filter(|_| guest.leaves)
                && let Some(ended) = connections.unlink(cid)
            {
                folds.end(ended.source, &ended.held, now);
            }
            !guest.leaves
        });
    }

    /// The segment is sealed once; if the disk does not take that, or no new one, the old one goes on meanwhile.
    fn next_segment(&mut self, now: Instant) {
        if !self.evidence.sealed {
            self.evidence.sealed = true;
            self.seal_segment(now);
            self.flush_ledger(now);
        }
        if self.ledger.due().is_some() {
            return;
        }
        let number = self.segment.saturating_add(1);
        let head = self.ledger.head();
        match segment(&self.store, &mut self.reserve, number, head, &self.boot) {
            Ok(next) => {
                let before = std::mem::replace(&mut self.ledger, next);
                before.give_back();
                self.segment = number;
                self.evidence.follow(before.records());
                self.open_segment(now);
            }
            Err(error) => tracing::error!(%error, "the ledger goes on in an overlong segment"),
        }
    }

    fn keep(&mut self, promise: Promise) {
        match promise {
            Promise::Receipt(number, receipt) => {
                self.answer(number, &AuditToPeer::Durable(receipt))
            }
            Promise::Opened(sid) => self.outbox.push(AuditToWarden::Opened(sid)),
            Promise::Closed(sid) => {
                self.end_session(sid);
                self.outbox.push(AuditToWarden::Closed(sid));
            }
            Promise::Recovered(sid) => self.end_session(sid),
            Promise::Anchored(sid) => self.store.unmark(sid),
            Promise::Signed => self.publish(),
            Promise::Certified => self.follow_key(),
            Promise::Expired => self.remove_expired(),
        }
    }

    fn break_promise(&mut self, promise: Promise, failure: AuditFailure) {
        match (promise, failure) {
            (Promise::Receipt(number, receipt), AuditFailure::Closed) => {
                self.answer(number, &AuditToPeer::Failed(receipt));
            }
            (Promise::Receipt(number, receipt), AuditFailure::Open) => {
                self.answer(number, &AuditToPeer::Waived(receipt));
            }
            // What its file has not taken yet, it may take later.
            (Promise::Opened(sid), AuditFailure::Open) => {
                tracing::error!(%sid, "A SESSION GOES ON WITHOUT A RECORD ON THE DISK");
                self.outbox.push(AuditToWarden::Opened(sid));
            }
            (Promise::Opened(sid), AuditFailure::Closed) => {
                self.sessions.remove(&sid);
                self.connections.end_session(sid);
                self.store.abandon_session(sid);
                let reason = "the audit record cannot be written".to_owned();
                self.outbox.push(AuditToWarden::Failed { sid, reason });
            }
            // Not among those that break: they are kept when the disk takes them.
            (
                Promise::Closed(_)
                | Promise::Recovered(_)
                | Promise::Anchored(_)
                | Promise::Signed
                | Promise::Certified
                | Promise::Expired,
                _,
            ) => {}
        }
    }

    fn answer(&mut self, number: u64, message: &AuditToPeer) {
        if let Some(guest) = self.guests.iter_mut().find(|guest| guest.number == number) {
            answer(guest, message);
        }
    }
}

/// Begins a segment of the ledger.
pub(super) fn segment(
    store: &Store,
    reserve: &mut Reserve,
    number: u64,
    prev: super::chain::Head,
    boot: &str,
) -> Result<TrailFile, AuditError> {
    let id = Store::segment_id(number);
    let made = store
        .create_segment(number, reserve)
        .and_then(|file| Ok((file, store.ledger_mark()?)));
    match made {
        Ok((file, mark)) => {
            let synced = Mark::at_start(id, prev);
            let ahead = reserve.shares().ledger;
            Ok(TrailFile::new(file, boot.to_owned(), synced, mark, ahead))
        }
        Err(source) => Err(AuditError::Ledger { path: id, source }),
    }
}
