//! Room kept for records: logins, and the shell that frees the disk, are recorded when nobody else can write any more.

use std::fs::File;
use std::time::{Duration, Instant};

use super::store::Store;
use crate::sys::Errno;
use crate::sys::directory::{Directory, Space};
use crate::sys::space;

/// All that is kept beside what open sessions hold: of a disk of a GiB and more.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// Of a smaller one, this part.
const RESERVE_PART: u64 = 16;
/// The ledger's part of it.
const LEDGER_PART: u64 = 4;
/// How many files wait for sessions and segments, each with its mark: inodes run out too.
const FILES: u64 = 64;
/// The least that one of them may hold: a login, a few commands and the end.
const FILE_BYTES_MIN: u64 = 16 * 1024;
/// How soon a disk that gave nothing is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// How many files are made between two turns of the server: each takes some 0.1 ms.
const AT_ONCE: usize = 4;
/// How long the folders of today and tomorrow stay looked at.
const DAYS: Duration = Duration::from_secs(3600);

/// What the end of a mark's name tells apart.
const MARK: &str = ".mark";
/// More than there are.
const ENTRIES: usize = 10_000;
/// More than a mark is long.
const MARK_BYTES: u64 = 256;

/// How much is kept for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// Beyond the ledger's end.
    pub(super) ledger: u64,
    /// In each file that waits, and beyond the end of each session's.
    pub(super) file: u64,
    files: usize,
}

impl Shares {
    fn of(space: Space) -> Self {
        let all = RESERVE_BYTES.min(space.all_bytes / RESERVE_PART);
        let ledger = all / LEDGER_PART;
        let files = FILES.min((all - ledger) / FILE_BYTES_MIN).max(1);
        Self {
            ledger,
            file: (all - ledger) / files,
            files: usize::try_from(files).unwrap_or(1),
        }
    }
}

/// Files that wait, with room in them, to become a session's or a segment of the ledger.
pub(super) struct Reserve {
    directory: Directory,
    shares: Shares,
    ready: Vec<String>,
    made: u64,
    refill: Instant,
    days: Option<Instant>,
    short: bool,
}

impl Reserve {
    /// Looks at what an earlier start left.
    pub(super) fn new(directory: Directory) -> Self {
        let space = directory.space().unwrap_or(Space {
            free_bytes: 0,
            all_bytes: 0,
        });
        let names = directory.names(ENTRIES).unwrap_or_default();
        let waits = |name: &&String| {
            !name.ends_with(MARK)
                && names.contains(&format!("{name}{MARK}"))
                && is_empty(&directory, name)
        };
        let ready: Vec<String> = names.iter().filter(waits).cloned().collect();
        // What a crash left half made or half used.
        let used = |name: &&String| {
            !ready
                .iter()
                .any(|ready| ready == name.trim_end_matches(MARK))
        };
        for name in names.iter().filter(used) {
            directory.remove(name).ok();
        }
        let made = names
            .iter()
            .filter_map(|name| name.trim_end_matches(MARK).parse::<u64>().ok())
            .max()
            .unwrap_or(0);
        Self {
            directory,
            shares: Shares::of(space),
            ready,
            made,
            refill: Instant::now(),
            days: None,
            short: false,
        }
    }

    /// How much is kept for what.
    pub(super) fn shares(&self) -> Shares {
        self.shares
    }

    /// When there is something to make.
    pub(super) fn due(&self) -> Instant {
        self.refill
    }

    /// Moves a file that waits to where it is needed: open to append, and how much room it has.
    ///
    /// # Errors
    /// ENOENT where none is left; what the move gives.
    pub(super) fn take(
        &mut self,
        to: &Directory,
        name: &str,
        mark: Option<(&Directory, &str)>,
    ) -> Result<File, Errno> {
        let spare = self.ready.pop().ok_or(Errno::ENOENT)?;
        if !self.short {
            self.refill = Instant::now();
        }
        let its = format!("{spare}{MARK}");
        match mark {
            Some((directory, mark)) => self.directory.rename(&its, directory, mark)?,
            None => self.directory.remove(&its)?,
        }
        let file = self.directory.append(&spare)?;
        self.directory.rename(&spare, to, name)?;
        Ok(file)
    }

    /// Makes some of what is missing, and the folders of today and tomorrow.
    pub(super) fn fill(&mut self, store: &Store, now: Instant) {
        if self.refill > now {
            return;
        }
        let mut made = Ok(());
        if self
            .days
            .is_none_or(|at| now.saturating_duration_since(at) >= DAYS)
        {
            made = store.make_days();
            self.days = Some(now);
        }
        for _ in 0..AT_ONCE {
            if made.is_ok() && self.ready.len() < self.shares.files {
                made = self.make();
            }
        }
        self.refill = match made {
            Ok(()) if self.ready.len() < self.shares.files => now,
            Ok(()) => {
                if self.short {
                    tracing::info!("room for records is kept again");
                }
                self.short = false;
                now + DAYS
            }
            Err(errno) => {
                if !self.short {
                    tracing::warn!(%errno, ready = self.ready.len(), "no more room for records can be kept: the disk is full");
                }
                self.short = true;
                now + AGAIN
            }
        };
    }

    fn make(&mut self) -> Result<(), Errno> {
        self.made = self.made.saturating_add(1);
        let name = format!("{:06}", self.made);
        let mark = format!("{name}{MARK}");
        let make = |name: &str, bytes: u64| -> Result<(), Errno> {
            let file = self.directory.create(name)?;
            match space::reserve(&file, 0, bytes) {
                // Inodes at least are kept where blocks cannot be.
                Err(Errno::EOPNOTSUPP) => Ok(()),
                other => other,
            }
        };
        let made = make(&name, self.shares.file).and_then(|()| make(&mark, MARK_BYTES));
        match made {
            Ok(()) => self.ready.push(name),
            Err(errno) => {
                for name in [&name, &mark] {
                    self.directory.remove(name).ok();
                }
                return Err(errno);
            }
        }
        Ok(())
    }
}

fn is_empty(directory: &Directory, name: &str) -> bool {
    let about = directory.read(name).and_then(|file| {
        file.metadata()
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    });
    about.is_ok_and(|about| about.is_file() && about.len() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_gives_a_small_part() {
        let of = |total: u64| {
            Shares::of(Space {
                all_bytes: total,
                free_bytes: total,
            })
        };
        let large = of(64 << 30);
        assert_eq!(
            (large.ledger, large.file, large.files),
            (16 << 20, 768 << 10, 64)
        );
        for total in [0, 256 << 10, 8 << 20, 1 << 30] {
            let Shares {
                ledger,
                file,
                files,
            } = of(total);
            let all = ledger + file * u64::try_from(files).unwrap();
            assert!(files > 0 && all <= total / 16, "{total}: {all}");
        }
    }
}
