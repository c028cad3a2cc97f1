//! Recordings are kept for a while only: they hold more than records, and take more room. What goes is recorded first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::file::Promise;
use super::record::Who;
use super::room::{Placed, Room};
use super::store::Store;
use crate::model::SessionId;
use crate::wire::{Event, Record};

/// How often it is looked for.
const LOOK: Duration = Duration::from_secs(3600);
/// How soon the ledger is asked again if it had no room.
const AGAIN: Duration = Duration::from_secs(5);
/// How many files are dealt with between two turns of the server.
const AT_ONCE: usize = 8;

/// A recording that lies there.
struct Lying {
    /// With the ending of what is compressed.
    path: String,
    bytes: u64,
}

/// What is looked at, and what is to go.
pub(super) struct Sweep {
    days: u32,
    bytes: u64,
    look: Instant,
    /// Folders of days that are still to be looked into, the oldest first.
    folders: VecDeque<String>,
    found: VecDeque<Lying>,
    queue: VecDeque<(Lying, &'static str)>,
}

impl Sweep {
    /// Keeps recordings for so many days, and so many bytes of them.
    pub(super) fn new(days: u32, bytes: u64, now: Instant) -> Self {
        Self {
            days,
            bytes,
            look: now,
            folders: VecDeque::new(),
            found: VecDeque::new(),
            queue: VecDeque::new(),
        }
    }

    /// When there is something to do.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let idle = self.folders.is_empty() && self.queue.is_empty();
        if idle { self.look } else { now.min(self.look) }
    }
}

impl Room {
    /// Looks into one more folder, or lets a few recordings go.
    pub(super) fn sweep(&mut self, now: Instant) {
        if self.sweep.look <= now {
            self.sweep.look = now + LOOK;
            if self.sweep.folders.is_empty() && self.sweep.queue.is_empty() {
                self.sweep.folders = self.store.recording_days().into();
                self.sweep.found.clear();
            }
        }
        if let Some(folder) = self.sweep.folders.pop_front() {
            self.look_into(&folder);
            if self.sweep.folders.is_empty() {
                self.choose();
            }
        }
        for _ in 0..AT_ONCE {
            let Some((lying, reason)) = self.sweep.queue.pop_front() else {
                break;
            };
            if self.delete_recording(&lying.path, lying.bytes, reason, now) == Placed::Lost {
                self.sweep.queue.push_front((lying, reason));
                self.sweep.look = now + AGAIN;
                break;
            }
        }
    }

    fn look_into(&mut self, folder: &str) {
        let age = SignedDuration::from_hours(24 * i64::from(self.sweep.days));
        let limit = Timestamp::now().checked_sub(age).ok();
        let limit = limit.map(|limit| limit.strftime("recordings/%Y/%m/%d").to_string());
        let is_old = limit.is_some_and(|limit| folder < limit.as_str());
        for (path, bytes) in self.store.recordings_in(folder) {
            let lying = Lying { path, bytes };
            if self.is_made(&lying.path) {
                continue;
            }
            match is_old {
                true => self.sweep.queue.push_back((lying, "age")),
                false => self.sweep.found.push_back(lying),
            }
        }
    }

    /// What is too much goes, the oldest first.
    fn choose(&mut self) {
        let mut all: u64 = self.sweep.found.iter().map(|lying| lying.bytes).sum();
        let mut missing = self.store.missing_space();
        while let Some(oldest) = self.sweep.found.front() {
            let reason = match (all > self.sweep.bytes, missing > 0) {
                (true, _) => "size",
                (false, true) => "space",
                (false, false) => break,
            };
            all = all.saturating_sub(oldest.bytes);
            missing = missing.saturating_sub(oldest.bytes);
            let oldest = self.sweep.found.pop_front();
            self.sweep.queue.extend(oldest.map(|lying| (lying, reason)));
        }
        self.sweep.found.clear();
    }

    /// Whether its session is open, or it is still to be compressed.
    fn is_made(&self, path: &str) -> bool {
        let sid = path
            .rsplit('/')
            .nth(1)
            .and_then(|sid| sid.parse::<SessionId>().ok());
        let is_open = |sid: SessionId| {
            self.sessions.contains_key(&sid) || self.orphans.iter().any(|o| o.sid == sid)
        };
        !path.ends_with(".zst") || sid.is_none_or(is_open)
    }

    /// Puts it on record that a recording goes; it is removed once that is on the disk.
    pub(super) fn delete_recording(
        &mut self,
        path: &str,
        bytes: u64,
        reason: &str,
        now: Instant,
    ) -> Placed {
        let file = path.strip_suffix(".zst").unwrap_or(path).to_owned();
        let reason = reason.to_owned();
        let event = Event::RecordingDelete {
            file,
            bytes,
            reason,
        };
        let promise = Some(Promise::Expired);
        let placed = self.ledger(Who::default(), None, &Record::new(event), promise, now);
        if placed == Placed::Taken {
            self.retention.let_go(path.to_owned());
        }
        placed
    }
}

impl Store {
    /// The folders of days that have recordings, the oldest first.
    pub(super) fn recording_days(&self) -> Vec<String> {
        let mut level = vec!["recordings".to_owned()];
        for digits in [4, 2, 2] {
            level = level.iter().flat_map(|path| self.below(path)).collect();
            // Not the folder of what is not compressed yet.
            level.retain(|path| {
                path.rsplit('/')
                    .next()
                    .is_some_and(|name| is_number(name, digits))
            });
        }
        level
    }

    /// The recordings of a day, and how long each is.
    fn recordings_in(&self, day: &str) -> Vec<(String, u64)> {
        let sessions = self.below(day);
        let files = sessions.iter().flat_map(|session| self.below(session));
        let measured = files.filter_map(|file| Some((self.length(&file)?, file)));
        measured.map(|(length, file)| (file, length)).collect()
    }
}

fn is_number(name: &str, digits: usize) -> bool {
    name.len() == digits && name.bytes().all(|byte| byte.is_ascii_digit())
}
