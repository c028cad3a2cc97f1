use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::chain::Head;
use super::mark::Mark;
use super::record::Entry;
use super::rights::Haste;
use crate::model::SessionId;
use crate::sys::{Errno, space};

/// How long a record may be only in the page cache, and how much of that there may be.
const SYNC_AFTER: Duration = Duration::from_millis(500);
const SYNC_BYTES: u64 = 64 * 1024;
/// How much may wait for a disk that takes nothing.
const BACKLOG_BYTES: usize = 256 * 1024;
/// How soon a disk that took nothing is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How soon one that gave no room ahead is asked again.
const ASK: Duration = Duration::from_secs(5);

/// A file of the trail, at its end.
pub(super) struct TrailFile {
    file: File,
    id: String,
    boot: String,
    seq: u64,
    head: Head,
    bytes: u64,
    /// Not written yet. After a short write it begins in the middle of a record, whose beginning is in the file.
    pending: Vec<u8>,
    unsynced: u64,
    due: Option<Instant>,
    failing: bool,
    promises: Vec<Promise>,
    /// How much room beyond its end is to be kept, up to where there is some, and when to ask for more.
    ahead: u64,
    allocated: u64,
    ask: Option<Instant>,
    /// Up to where it is on the disk, and the file that says so to the next start.
    synced: Mark,
    mark: File,
}

/// What is to be said once everything up to now is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// To a peer that asked for a receipt: its link, its number.
    Receipt(u64, u64),
    /// To the warden.
    Opened(SessionId),
    /// To the warden.
    Closed(SessionId),
    /// To nobody: a session of an earlier start.
    Recovered(SessionId),
    /// To nobody: the ledger knows of the session's end, which needs no mark any more.
    Anchored(SessionId),
    /// To the log: the ledger holds the checkpoint.
    Signed,
    /// To the signer: the ledger names the next key.
    Certified,
    /// To the retention: what is recorded as expired may go.
    Expired,
}

/// The file's backlog is full: the record was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What came of the promises.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) kept: Vec<Promise>,
    pub(super) broken: Vec<Promise>,
}

impl TrailFile {
    /// A file that holds what `synced` says, and keeps room for `ahead` bytes more.
    pub(super) fn new(file: File, boot: String, synced: Mark, mark: File, ahead: u64) -> Self {
        Self {
            file,
            ahead,
            allocated: synced.bytes,
            ask: None,
            id: synced.id.clone(),
            boot,
            seq: synced.records,
            head: synced.head,
            bytes: synced.bytes,
            synced,
            mark,
            pending: Vec::new(),
            unsynced: 0,
            due: None,
            failing: false,
            promises: Vec::new(),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// How many records it will hold.
    pub(super) fn records(&self) -> u64 {
        self.seq
    }

    /// What of it is on the disk.
    pub(super) fn synced(&self) -> &Mark {
        &self.synced
    }

    /// All that the file will hold once everything is written.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When it wants to be flushed.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes a record; the number of its bytes.
    pub(super) fn append(
        &mut self,
        entry: &Entry,
        haste: Haste,
        promise: Option<Promise>,
        now: Instant,
    ) -> Result<u64, Full> {
        if self.pending.len() > BACKLOG_BYTES {
            return Err(Full);
        }
        let (line, head) = entry.line(&self.id, self.seq, &self.boot, &self.head);
        self.seq += 1;
        self.head = head;
        let length = u64::try_from(line.len()).unwrap_or(0);
        self.bytes += length;
        self.unsynced += length;
        self.pending.extend(line);
        self.promises.extend(promise);
        // A flood is not to look like a disk that takes nothing.
        if !self.failing && u64::try_from(self.pending.len()).is_ok_and(|n| n >= SYNC_BYTES) {
            // The next flush meets the same failure, and tells.
            self.write().ok();
        }
        let now_or_soon = if haste == Haste::Now || promise.is_some() || self.unsynced >= SYNC_BYTES
        {
            now
        } else {
            now + SYNC_AFTER
        };
        self.due = Some(self.due.map_or(now_or_soon, |due| due.min(now_or_soon)));
        Ok(length)
    }

    /// Writes what waits, and syncs it if that is due. A failure is tried again; who was promised something hears of it
    /// now, except for the end of a session, which comes when it can.
    pub(super) fn flush(&mut self, now: Instant) -> Fate {
        self.keep_room(now);
        let due = self.due.is_some_and(|due| due <= now);
        let done = match self.write() {
            Ok(()) if due => self.file.sync_data(),
            other => other,
        };
        match done {
            Ok(()) if due => {
                if self.failing {
                    tracing::warn!(file = self.id, "the audit file can be written again");
                    self.failing = false;
                }
                self.unsynced = 0;
                self.due = None;
                self.set_mark();
                Fate {
                    kept: std::mem::take(&mut self.promises),
                    broken: Vec::new(),
                }
            }
            Ok(()) => Fate::default(),
            Err(error) => {
                if !self.failing {
                    tracing::error!(file = self.id, %error, "the audit file cannot be written");
                    self.failing = true;
                }
                self.due = Some(now + RETRY);
                let (later, broken) =
                    std::mem::take(&mut self.promises)
                        .into_iter()
                        .partition(|promise| {
                            !matches!(promise, Promise::Receipt(..) | Promise::Opened(_))
                        });
                self.promises = later;
                Fate {
                    kept: Vec::new(),
                    broken,
                }
            }
        }
    }

    /// Takes more of the disk when half of what was taken ahead is used. What cannot be had is asked for again.
    fn keep_room(&mut self, now: Instant) {
        let wanted = self.bytes.saturating_add(self.ahead);
        let short = self.allocated < self.bytes.saturating_add(self.ahead / 2);
        if !short || self.ask.is_some_and(|ask| ask > now) {
            return;
        }
        let written = self
            .bytes
            .saturating_sub(u64::try_from(self.pending.len()).unwrap_or(0));
        match space::reserve(&self.file, written, wanted.saturating_sub(written)) {
            Ok(()) => {
                self.allocated = wanted;
                self.ask = None;
            }
            Err(Errno::EOPNOTSUPP) => self.allocated = u64::MAX,
            Err(_) => self.ask = Some(now + ASK),
        }
    }

    /// Gives back the room beyond the end: nothing more will be written.
    pub(super) fn give_back(&self) {
        if let Err(errno) = space::release(&self.file, self.synced.bytes) {
            tracing::warn!(file = self.id, %errno, "room that is not needed any more cannot be given back");
        }
    }

    /// The mark is not synced itself: a kill leaves it exact, a power cut behind the file, and nothing before it.
    fn set_mark(&mut self) {
        self.synced.records = self.seq;
        self.synced.bytes = self.bytes;
        self.synced.head = self.head;
        let text = self.synced.to_string();
        if let Err(error) = self.mark.write_all_at(text.as_bytes(), 0) {
            tracing::warn!(file = self.id, %error, "how much of an audit file is on the disk cannot be noted");
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let mut written = 0;
        let result = loop {
            match self.pending.get(written..) {
                None | Some([]) => break Ok(()),
                Some(rest) => match self.file.write(rest) {
                    Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => written += n,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => break Err(error),
                },
            }
        };
        self.pending.drain(..written.min(self.pending.len()));
        result
    }
}
