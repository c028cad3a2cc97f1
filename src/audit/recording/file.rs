use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::heads::{self, Heads};
use super::hex;
use crate::audit::chain::Head;
use crate::sys::directory::Directory;

/// How long a line may be in memory alone, and how much of them there may be.
const WRITE_AFTER: Duration = Duration::from_secs(1);
const WRITE_BYTES: usize = 64 * 1024;
/// How long a line may be only in the page cache.
const SYNC_AFTER: Duration = Duration::from_secs(5);

/// A recording that is being made.
pub(super) struct CastFile {
    file: File,
    directory: Directory,
    pending: Vec<u8>,
    /// With what is pending.
    taken: Sum,
    /// What is in the file: to go back to where the disk takes no more.
    written: Sum,
    write_due: Option<Instant>,
    sync_due: Option<Instant>,
    /// Whether its name is on the disk.
    named: bool,
}

/// What is known of a file's beginning.
#[derive(Clone)]
pub(super) struct Sum {
    pub(super) bytes: u64,
    digest: Sha256,
    pub(super) heads: Heads,
}

impl Sum {
    /// Of nothing yet, in the file `id`.
    pub(super) fn new(id: &str) -> Self {
        Self {
            bytes: 0,
            digest: Sha256::new(),
            heads: Heads::new(id),
        }
    }

    /// Takes a line that is no head.
    pub(super) fn add(&mut self, lines: &[u8]) {
        self.heads.add(lines);
        self.count(lines);
    }

    /// Takes the line of a head.
    pub(super) fn add_head(&mut self, line: &[u8]) {
        self.count(line);
    }

    fn count(&mut self, bytes: &[u8]) {
        self.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        self.digest.update(bytes);
    }

    /// What it comes to, if this is the end.
    pub(super) fn end(mut self) -> Ended {
        let head = if self.heads.is_closed() {
            self.heads.last()
        } else {
            self.heads.next()
        };
        Ended {
            bytes: self.bytes,
            sha256: hex(&self.digest.finalize()),
            head,
        }
    }
}

/// What a recording came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) head: Head,
}

impl CastFile {
    /// An empty one, whose path is `id`.
    pub(super) fn new(file: File, directory: Directory, id: &str) -> Self {
        let empty = Sum::new(id);
        Self {
            file,
            directory,
            pending: Vec::new(),
            taken: empty.clone(),
            written: empty,
            write_due: None,
            sync_due: None,
            named: false,
        }
    }

    /// Takes whole lines.
    pub(super) fn push(&mut self, lines: &[u8], now: Instant) -> io::Result<()> {
        self.taken.add(lines);
        self.pending.extend(lines);
        if self.taken.heads.is_due() {
            self.put_head();
        }
        self.write_due.get_or_insert(now + WRITE_AFTER);
        if self.pending.len() >= WRITE_BYTES {
            self.write(now)?;
        }
        Ok(())
    }

    /// How long it is, with what is pending.
    pub(super) fn bytes(&self) -> u64 {
        self.taken.bytes
    }

    /// When it wants to be written or synced.
    pub(super) fn due(&self) -> Option<Instant> {
        self.write_due.into_iter().chain(self.sync_due).min()
    }

    /// Writes and syncs what is due by `now`. Where that fails, the file ends where it was written last, and nothing is
    /// pending any more.
    pub(super) fn flush(&mut self, now: Instant) -> io::Result<()> {
        if self.write_due.is_some_and(|due| due <= now) {
            self.write(now)?;
        }
        if self.sync_due.is_some_and(|due| due <= now) {
            self.sync()?;
        }
        Ok(())
    }

    /// The last head, and all to the disk as far as that takes it.
    pub(super) fn finish(&mut self, now: Instant) -> Ended {
        if !self.taken.heads.is_closed() {
            self.put_head();
        }
        let closed = self.write(now).and_then(|()| self.sync());
        if let Err(error) = closed {
            tracing::debug!(%error, "a recording ends where the disk took no more");
        }
        self.written.clone().end()
    }

    fn put_head(&mut self) {
        let line = heads::line(&self.taken.heads.next());
        self.taken.add_head(&line);
        self.pending.extend(line);
    }

    fn write(&mut self, now: Instant) -> io::Result<()> {
        self.write_due = None;
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        match self.file.write_all(&pending) {
            Ok(()) => {
                self.written = self.taken.clone();
                self.sync_due.get_or_insert(now + SYNC_AFTER);
                Ok(())
            }
            Err(error) => {
                self.taken = self.written.clone();
                // Needs no room. A line that stays torn is cut off by the next start.
                if let Err(error) = self.file.set_len(self.written.bytes) {
                    tracing::warn!(%error, "the end of a recording is torn");
                }
                Err(error)
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_due = None;
        self.file.sync_data()?;
        if !self.named {
            self.directory.sync()?;
            self.named = true;
        }
        Ok(())
    }
}
