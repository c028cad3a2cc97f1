//! Recordings that an owner wants gone. Only audit changes the trail, so an order is laid into its folder, and audit does
//! what it says: at once, or when the server runs again. What goes is recorded first, as whatever else goes.

use std::collections::VecDeque;
use std::fs::Permissions;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::room::{Placed, Room};
use super::store::Store;
use crate::model::{SessionId, escape};

/// Where orders lie, below the audit folder. Each is a file of lines, each line the path of a recording's `.cast`, compressed
/// or not, as records name it.
const FOLDER: &str = "erase";
/// What an order is called until it is whole.
const UNFINISHED: &str = ".new";
/// More than 10,000 paths.
const ORDER_BYTES: u64 = 2 * 1024 * 1024;
/// The most orders that are looked at, and how often.
const ORDERS: usize = 64;
const LOOK: Duration = Duration::from_secs(2);
/// How soon what is still being compressed is tried again, or a ledger that had no room.
const AGAIN: Duration = Duration::from_secs(1);
/// How soon it is looked whether what is on record is gone.
const SOON: Duration = Duration::from_millis(50);
/// How many recordings are dealt with between two turns of the server.
const AT_ONCE: usize = 8;

/// An order that was laid.
#[derive(Debug)]
pub struct Order {
    path: PathBuf,
}

impl Order {
    /// Orders that these recordings be deleted, each named as records name it: `recordings/2026/11/24/SID/3.cast`. For root.
    ///
    /// # Errors
    /// What making files in the audit folder gives.
    pub fn lay(audit: &Path, recordings: &[String]) -> io::Result<Self> {
        let owner = std::fs::symlink_metadata(audit)?;
        let own = |path: &Path, mode| {
            chown(path, Some(owner.uid()), Some(owner.gid()))?;
            std::fs::set_permissions(path, Permissions::from_mode(mode))
        };
        let folder = audit.join(FOLDER);
        match std::fs::create_dir(&folder) {
            Ok(()) => own(&folder, 0o700)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let path = folder.join(SessionId::new().to_string());
        let unfinished = path.with_extension(&UNFINISHED[1..]);
        let mut file = std::fs::File::create_new(&unfinished)?;
        for recording in recordings {
            writeln!(file, "{recording}")?;
        }
        file.sync_all()?;
        own(&unfinished, 0o600)?;
        std::fs::rename(&unfinished, &path)?;
        Ok(Self { path })
    }

    /// Whether audit has done it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        !self.path.exists()
    }
}

/// The orders that audit found, and how far it is.
pub(super) struct Erasure {
    look: Instant,
    /// What is being done: the order's name, and what is left of it.
    order: Option<(String, VecDeque<String>)>,
}

impl Erasure {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            look: now,
            order: None,
        }
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Instant {
        self.look
    }
}

/// What became of one line of an order.
enum Done {
    Yes,
    NotYet,
}

impl Room {
    /// Looks for orders from time to time, and does a part of one.
    pub(super) fn erase(&mut self, now: Instant) {
        if now < self.erasure.look {
            return;
        }
        self.erasure.look = now + LOOK;
        if self.erasure.order.is_none() {
            self.erasure.order = self.next_order();
        }
        let Some((order, mut left)) = self.erasure.order.take() else {
            return;
        };
        let mut next = now;
        for _ in 0..AT_ONCE {
            let Some(line) = left.pop_front() else {
                break;
            };
            match self.erase_recording(&line, now) {
                Done::Yes => {}
                Done::NotYet => {
                    left.push_front(line);
                    next = now + AGAIN;
                    break;
                }
            }
        }
        if !left.is_empty() {
            self.erasure.order = Some((order, left));
        } else if self.retention.is_letting_go() {
            // What it says is not on the disk yet, and the recordings are still there.
            self.erasure.order = Some((order, left));
            next = now + SOON;
        } else {
            self.finish_order(&order);
        }
        self.erasure.look = next;
    }

    fn finish_order(&self, order: &str) {
        let folder = self.store.root().descend(FOLDER);
        let removed = folder.and_then(|folder| {
            folder.remove(order)?;
            folder.sync()
        });
        if let Err(errno) = removed {
            tracing::warn!(order, %errno, "an order to delete recordings is done and cannot be removed");
        }
        // Not empty: there are more.
        self.store.root().remove_directory(FOLDER).ok();
    }

    /// The oldest order that is whole.
    fn next_order(&self) -> Option<(String, VecDeque<String>)> {
        let folder = self.store.root().descend(FOLDER).ok()?;
        let mut names = folder.names(ORDERS).ok()?;
        names.retain(|name| name.parse::<SessionId>().is_ok());
        names.sort_unstable();
        let name = names.into_iter().next()?;
        let mut text = String::new();
        let read = folder
            .read(&name)
            .map_err(io::Error::from)
            .and_then(|file| file.take(ORDER_BYTES).read_to_string(&mut text));
        if let Err(error) = read {
            tracing::warn!(order = name, %error, "an order to delete recordings cannot be read");
        }
        let lines = text.lines().map(str::to_owned).collect();
        Some((name, lines))
    }

    fn erase_recording(&mut self, line: &str, now: Instant) -> Done {
        let Some(sid) = named(line) else {
            let line = escape(line.as_bytes(), 200);
            tracing::warn!(line, "an order names what is no recording");
            return Done::Yes;
        };
        let is_open =
            self.sessions.contains_key(&sid) || self.orphans.iter().any(|orphan| orphan.sid == sid);
        if is_open {
            tracing::warn!(file = line, "is not deleted: its session is open");
            return Done::Yes;
        }
        if self.recordings.is_sealing(line) {
            return Done::NotYet;
        }
        // Both, where one could not be compared with the other.
        for path in [format!("{line}.zst"), line.to_owned()] {
            let Some(bytes) = self.store.length(&path) else {
                continue;
            };
            if self.delete_recording(&path, bytes, "asked", now) == Placed::Lost {
                return Done::NotYet;
            }
        }
        Done::Yes
    }
}

/// Whose recording `line` is the path of, if it is one.
fn named(line: &str) -> Option<SessionId> {
    let (folder, file) = line.rsplit_once('/')?;
    let (_, sid) = folder.rsplit_once('/')?;
    let sid: SessionId = sid.parse().ok()?;
    let stem = file.strip_suffix(".cast")?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let session = Store::session_id(sid);
    let expected = session
        .replacen("sessions", "recordings", 1)
        .strip_suffix(".jsonl")?
        .to_owned();
    let known = stem.split('.').count() <= 2
        && stem.split('.').all(digits)
        && stem.len() <= 24
        && folder == expected;
    known.then_some(sid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_recordings_and_nothing_else() {
        let sid = SessionId::new();
        let folder = Store::session_id(sid)
            .replacen("sessions", "recordings", 1)
            .replace(".jsonl", "");
        assert_eq!(named(&format!("{folder}/3.cast")), Some(sid));
        assert_eq!(named(&format!("{folder}/3.1.cast")), Some(sid));
        for bad in [
            "".to_owned(),
            "keys/current".to_owned(),
            "ledger/000001.jsonl".to_owned(),
            Store::session_id(sid),
            format!("{folder}/3.cast.zst"),
            format!("{folder}/../{sid}/3.cast"),
            format!("/{folder}/3.cast"),
            format!("{folder}//3.cast"),
            format!("{folder}/.cast"),
            format!("{folder}/3.1.2.cast"),
            format!("{folder}/3.x.cast"),
            format!("recordings/2020/01/01/{sid}/3.cast"),
        ] {
            assert_eq!(named(&bad), None, "{bad}");
        }
    }
}
