//! What makes the trail evidence: the ledger names the state of every session's file, and is signed itself.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::chain::{self, Head};
use super::file::Promise;
use super::note::Note;
use super::record::{Moment, Who};
use super::room::{Placed, Room};
use super::signer::Signer;
use super::store::Store;
use crate::model::SessionId;
use crate::wire::{Event, Record};

/// A session's file is anchored when it has news this old, or this many of them.
const ANCHOR_AFTER: Duration = Duration::from_secs(60);
const ANCHOR_RECORDS: u64 = 256;
/// The ledger is signed when it has news this old; and at the end of each session, which comes first as a rule.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(300);
/// How soon a record of ours that the ledger had no room for is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// By how much the wall clock has to jump to be on record; being steered (adjtimex(2)) moves both clocks.
const STEP: Duration = Duration::from_secs(1);

/// A session whose file is closed, and is to be anchored for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) sid: SessionId,
    pub(super) records: u64,
    pub(super) head: Head,
}

/// When a session's file was anchored last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchored {
    records: u64,
    at: Option<Instant>,
}

/// What is signed, and what is to be.
pub(super) struct Evidence {
    signer: Signer,
    /// Records in the segments before this one.
    base: u64,
    /// Records of this segment up to the last checkpoint.
    signed: u64,
    checkpoint_due: Option<Instant>,
    endings: Vec<Ending>,
    /// Checkpoints on their way to the disk.
    notes: Vec<Note>,
    /// Wall clock less CLOCK_BOOTTIME, in nanoseconds.
    offset: i128,
    /// Whether this segment has its last record but for what a full disk keeps it from ending with.
    pub(super) sealed: bool,
}

/// The day by the wall clock, UTC.
pub(super) fn today() -> String {
    Timestamp::now().strftime("%Y-%m-%d").to_string()
}

impl Anchored {
    /// Of a file of which the ledger knows nothing, or we do not know what.
    pub(super) const NEVER: Self = Self {
        records: 0,
        at: None,
    };

    /// When a file with so many records on the disk is to be anchored.
    fn due(self, records: u64, now: Instant) -> Option<Instant> {
        let news = records.saturating_sub(self.records);
        match self.at {
            _ if news == 0 => None,
            Some(at) if news < ANCHOR_RECORDS => Some(at + ANCHOR_AFTER),
            Some(_) | None => Some(now),
        }
    }
}

impl Evidence {
    /// A session was closed, and the ledger may not know it.
    pub(super) fn add_ending(&mut self, ending: Ending) {
        self.endings.push(ending);
    }

    pub(super) fn new(signer: Signer, base: u64, endings: Vec<Ending>) -> Self {
        Self {
            signer,
            base,
            signed: 0,
            checkpoint_due: None,
            endings,
            notes: Vec::new(),
            offset: offset(Moment::now()),
            sealed: false,
        }
    }

    /// The next segment begins, after one with so many records.
    pub(super) fn follow(&mut self, records: u64) {
        self.base = self.base.saturating_add(records);
        self.signed = 0;
        self.sealed = false;
    }
}

fn offset(moment: Moment) -> i128 {
    moment.wall.as_nanosecond() - i128::from(moment.mono)
}

impl Room {
    /// Puts down whatever is due of anchors and checkpoints.
    pub(super) fn attest(&mut self, now: Instant) {
        self.watch_clock(now);
        self.anchor_sessions(now);
        self.anchor_endings(now);
        let news = self.ledger.records() > self.evidence.signed;
        if news && self.evidence.checkpoint_due.is_none() {
            self.evidence.checkpoint_due = Some(now + CHECKPOINT_AFTER);
        }
        if self.evidence.checkpoint_due.is_some_and(|due| due <= now) {
            self.checkpoint(now);
        }
    }

    /// When there is something to put down.
    pub(super) fn attest_due(&self, now: Instant) -> Option<Instant> {
        let anchors = self
            .sessions
            .values()
            .filter_map(|session| session.anchored.due(session.file.synced().records, now));
        let endings = (!self.evidence.endings.is_empty()).then_some(now + AGAIN);
        anchors
            .chain(endings)
            .chain(self.evidence.checkpoint_due)
            .min()
    }

    /// Begins a segment: what is in it stands by itself when those before it are gone.
    pub(super) fn open_segment(&mut self, now: Instant) {
        let event = Event::SegmentOpen {
            number: self.segment,
            records: self.evidence.base,
            key: self.evidence.signer.key().to_string(),
        };
        self.own(event, None, now);
    }

    /// Ends a segment: only the checkpoint that signs it comes after this.
    pub(super) fn seal_segment(&mut self, now: Instant) {
        let records = self.evidence.base.saturating_add(self.ledger.records());
        self.own(Event::SegmentSeal { records }, None, now);
        self.checkpoint(now);
    }

    /// A session's file is closed and on the disk.
    pub(super) fn end_session(&mut self, sid: SessionId) {
        if let Some(session) = self.sessions.remove(&sid) {
            session.file.give_back();
            let synced = session.file.synced();
            self.evidence.endings.push(Ending {
                sid,
                records: synced.records,
                head: synced.head,
            });
        }
        self.connections.end_session(sid);
    }

    /// Anchors all that is not yet, however young.
    pub(super) fn anchor_all(&mut self, now: Instant) {
        for session in self.sessions.values_mut() {
            session.anchored.at = None;
        }
        self.anchor_sessions(now);
        self.anchor_endings(now);
    }

    fn anchor_sessions(&mut self, now: Instant) {
        let due = self.sessions.iter().filter_map(|(sid, session)| {
            let synced = session.file.synced();
            let due = session.anchored.due(synced.records, now);
            due.is_some_and(|due| due <= now)
                .then_some((*sid, synced.records, synced.head))
        });
        for (sid, records, head) in due.collect::<Vec<_>>() {
            if self.anchor(sid, records, head, None, now) == Placed::Taken
                && let Some(session) = self.sessions.get_mut(&sid)
            {
                session.anchored = Anchored {
                    records,
                    at: Some(now),
                };
            }
        }
    }

    fn anchor_endings(&mut self, now: Instant) {
        for ending in std::mem::take(&mut self.evidence.endings) {
            let Ending { sid, records, head } = ending;
            let promise = Some(Promise::Anchored(sid));
            if self.anchor(sid, records, head, promise, now) == Placed::Taken {
                self.evidence.checkpoint_due = Some(now);
            } else {
                self.evidence.endings.push(ending);
            }
        }
    }

    /// Only what is on the disk is anchored: else a power cut would leave a ledger that knows more than there is.
    fn anchor(
        &mut self,
        sid: SessionId,
        records: u64,
        head: Head,
        promise: Option<Promise>,
        now: Instant,
    ) -> Placed {
        let event = Event::Anchor {
            file: Store::session_id(sid),
            records,
            head: chain::text(&head),
            last: promise.is_some(),
        };
        let who = Who {
            sid: Some(sid.to_string()),
            ..Who::default()
        };
        self.ledger(who, None, &Record::new(event), promise, now)
    }

    fn checkpoint(&mut self, now: Instant) {
        let records = self.evidence.base.saturating_add(self.ledger.records());
        let head = self.ledger.head();
        let (evidence, day) = (&mut self.evidence, today());
        let certificate = evidence
            .signer
            .is_stale(&day)
            .then(|| evidence.signer.certify(records, head, &day));
        let (note, promise) = match certificate {
            Some(Ok(note)) => (note, Promise::Certified),
            Some(Err(errno)) => {
                tracing::error!(%errno, "the audit trail's key of the day cannot be made: the one of before goes on");
                (evidence.signer.sign(records, head), Promise::Signed)
            }
            None => (evidence.signer.sign(records, head), Promise::Signed),
        };
        let lines = note.lines();
        if self.own(Event::Checkpoint { note: lines }, Some(promise), now) == Placed::Taken {
            self.evidence.notes.push(note);
            self.evidence.signed = self.ledger.records();
            self.evidence.checkpoint_due = None;
        } else {
            if promise == Promise::Certified {
                self.evidence.signer.withdraw();
            }
            self.evidence.checkpoint_due = Some(now + AGAIN);
        }
    }

    /// The last checkpoints are on the disk: they leave the machine with the log.
    pub(super) fn publish(&mut self) {
        for note in self.evidence.notes.drain(..) {
            tracing::info!(checkpoint = note.one_line(), "the audit trail is signed");
        }
    }

    /// The ledger names the next key: the one before is erased.
    pub(super) fn follow_key(&mut self) {
        self.evidence.signer.follow();
        self.publish();
    }

    /// A record of audit's own, in the ledger.
    fn own(&mut self, event: Event, promise: Option<Promise>, now: Instant) -> Placed {
        self.ledger(Who::default(), None, &Record::new(event), promise, now)
    }

    fn watch_clock(&mut self, now: Instant) {
        let offset = offset(Moment::now());
        if let Some(step_ms) = step_ms(self.evidence.offset, offset) {
            tracing::warn!(step_ms, "the wall clock was set");
            self.evidence.offset = offset;
            self.own(Event::ClockStep { step_ms }, None, now);
        }
    }
}

/// By how much the wall clock was set, if it was, between two of its distances from CLOCK_BOOTTIME.
fn step_ms(before: i128, after: i128) -> Option<i64> {
    let step = after - before;
    let is_step = step.unsigned_abs() >= STEP.as_nanos();
    is_step.then(|| i64::try_from(step / 1_000_000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_told_from_one_that_is_steered() {
        let second = 1_000_000_000;
        assert_eq!(step_ms(5, 5 + second - 1), None);
        assert_eq!(step_ms(5, 5 - second + 1), None);
        assert_eq!(step_ms(5, 5 + second), Some(1000));
        assert_eq!(step_ms(5, 5 - 90 * second), Some(-90_000));
        // From 1970 to today, as without a battery clock.
        assert_eq!(step_ms(0, 1_764_000_000 * second), Some(1_764_000_000_000));
    }

    #[test]
    fn its_record_says_by_how_much() {
        let event = Event::ClockStep { step_ms: -90_000 };
        let entry = super::super::record::Entry::new(Who::default(), None, None, &event);
        let (line, _) = entry.line("ledger/000001.jsonl", 0, "0123abcd-1", &chain::START);
        let record: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(record["type"], "clock.step");
        assert_eq!(record["d"], serde_json::json!({"step_ms": -90_000}));
    }
}
