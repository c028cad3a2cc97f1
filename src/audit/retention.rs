//! What is old goes: first a record of it, then the file, so that it verifies as expired and not as missing.

use std::collections::VecDeque;
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::chain;
use super::file::Promise;
use super::record::Who;
use super::room::{Placed, Room};
use super::store::Store;
use crate::sys::directory::Space;
use crate::wire::limits::RECORD_BYTES;
use crate::wire::{Event, Record};

/// How often it is looked for.
const LOOK: Duration = Duration::from_secs(3600);
/// How many files are dealt with between two turns of the server.
const AT_ONCE: usize = 8;
/// How soon the ledger is asked again if it had no room.
const AGAIN: Duration = Duration::from_secs(5);
/// What is younger never goes because space is short: else whoever fills the disk erases what he did.
const PRESSURE_DAYS: u32 = 90;
/// Space is short below this much, or this part of the disk, whichever is less.
const SHORT_BYTES: u64 = 256 * 1024 * 1024;
const SHORT_PART: u64 = 20;

/// What is to go.
pub(super) struct Retention {
    days: u32,
    look: Instant,
    queue: VecDeque<(String, &'static str)>,
    /// Whose expiry is on its way to the disk.
    expiring: Vec<String>,
}

impl Retention {
    /// Keeps records for so many days.
    pub(super) fn new(days: u32, now: Instant) -> Self {
        Self {
            days,
            look: now,
            queue: VecDeque::new(),
            expiring: Vec::new(),
        }
    }

    /// A file may go once its record is on the disk.
    pub(super) fn let_go(&mut self, file: String) {
        self.expiring.push(file);
    }

    /// Whether some wait for that.
    pub(super) fn is_letting_go(&self) -> bool {
        !self.expiring.is_empty()
    }

    /// When there is something to do.
    pub(super) fn due(&self, now: Instant) -> Instant {
        if self.queue.is_empty() {
            self.look
        } else {
            now.min(self.look)
        }
    }
}

/// How much less is free than there should be.
pub(super) fn missing(space: Space) -> u64 {
    let wanted = SHORT_BYTES.min(space.all_bytes / SHORT_PART);
    wanted.saturating_sub(space.free_bytes)
}

impl Room {
    /// Looks for what is old from time to time, and lets a few files go.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.retention.look <= now {
            self.retention.look = now + LOOK;
            if self.retention.queue.is_empty() {
                self.look_for_old();
            }
        }
        for _ in 0..AT_ONCE {
            let Some((file, reason)) = self.retention.queue.pop_front() else {
                break;
            };
            if self.expire_file(&file, reason, now) == Placed::Lost {
                self.retention.queue.push_front((file, reason));
                self.retention.look = now + AGAIN;
                break;
            }
        }
    }

    /// The records of what expires are on the disk.
    pub(super) fn remove_expired(&mut self) {
        for file in std::mem::take(&mut self.retention.expiring) {
            match self.store.remove(&file) {
                Ok(()) => tracing::info!(
                    file,
                    "a file of the audit trail was deleted, as a record says"
                ),
                Err(errno) => tracing::warn!(file, %errno, "an expired file cannot be removed"),
            }
        }
    }

    fn look_for_old(&mut self) {
        let (days, reason) = match self.store.missing_space() {
            0 => (self.retention.days, "age"),
            _ => (self.retention.days.min(PRESSURE_DAYS), "space"),
        };
        let age = SignedDuration::from_hours(24 * i64::from(days));
        let Ok(limit) = Timestamp::now().checked_sub(age) else {
            return;
        };
        let old = |store: &Store, file: &str| {
            last_record(store, file).is_some_and(|(_, at, _)| at < limit)
        };
        let sessions = self.store.sessions_before(limit);
        let queue = sessions.into_iter().filter(|file| old(&self.store, file));
        self.retention
            .queue
            .extend(queue.map(|file| (file, reason)));
        // From the first segment on, without a hole; what it anchors is older than itself.
        let segments = self.store.segments().unwrap_or_default();
        let segments = segments
            .into_iter()
            .filter(|number| *number < self.segment)
            .map(Store::segment_id)
            .take_while(|file| old(&self.store, file));
        let segments: Vec<String> = segments.collect();
        self.retention
            .queue
            .extend(segments.into_iter().map(|file| (file, reason)));
    }

    fn expire_file(&mut self, file: &str, reason: &str, now: Instant) -> Placed {
        let is_open = self
            .sessions
            .values()
            .any(|session| session.file.id() == file)
            || self.orphans.iter().any(|orphan| orphan.file.id() == file);
        let last = last_record(&self.store, file).filter(|_| !is_open);
        let Some((records, _, head)) = last else {
            return Placed::Taken;
        };
        let event = Event::Expire {
            file: file.to_owned(),
            records,
            head: chain::text(&head),
            reason: reason.to_owned(),
        };
        let promise = Some(Promise::Expired);
        let placed = self.ledger(Who::default(), None, &Record::new(event), promise, now);
        if placed == Placed::Taken {
            self.retention.let_go(file.to_owned());
        }
        placed
    }
}

/// Of a file's last record: how many there are, when it was made, its hash. None where it does not end in one.
fn last_record(store: &Store, file: &str) -> Option<(u64, Timestamp, chain::Head)> {
    let mut file = store.reopen(file).ok()?;
    let length = file.metadata().ok()?.len();
    let most = u64::try_from(RECORD_BYTES).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(length.saturating_sub(most)))
        .ok()?;
    let mut end = Vec::new();
    file.take(most).read_to_end(&mut end).ok()?;
    let lines = end.strip_suffix(b"\n")?;
    let line = lines.rsplit(|byte| *byte == b'\n').next()?;
    let (_, _, head) = chain::parts(line)?;
    let record: Value = serde_json::from_slice(line).ok()?;
    let seq = record.get("seq")?.as_u64()?;
    let at = record.get("ts")?.as_str()?.parse().ok()?;
    Some((seq.saturating_add(1), at, head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_short_by_the_disks_size() {
        let of = |total, free| {
            missing(Space {
                all_bytes: total,
                free_bytes: free,
            })
        };
        assert_eq!(
            (of(64 << 30, 200 << 20), of(64 << 30, 300 << 20)),
            (56 << 20, 0)
        );
        assert!(of(1 << 30, 50 << 20) > 0 && of(1 << 30, 60 << 20) == 0);
    }
}
