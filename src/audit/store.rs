use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Seek, SeekFrom, Write};

use jiff::{SignedDuration, Timestamp};
use memchr::memmem::Finder;

use super::error::AuditError;
use super::mark::{MARK_BYTES, Mark};
use super::reserve::Reserve;
use crate::model::SessionId;
use crate::sys::Errno;
use crate::sys::directory::Directory;
use crate::wire::limits::RECORD_BYTES;

const LEDGER: &str = "ledger";
const OPEN: &str = "open";
const QUARANTINE: &str = "quarantine";
const SPARE: &str = "spare";
const SESSIONS: &str = "sessions";
/// Ledger segments, and open sessions, that a start looks at.
const ENTRIES: usize = 100_000;

/// The audit directory: which file lies where.
pub(super) struct Store {
    root: Directory,
    ledger: Directory,
    open: Directory,
}

impl Store {
    pub(super) fn new(root: Directory) -> Result<Self, AuditError> {
        let make = |path: &str| {
            root.descend_making(path)
                .map_err(|source| AuditError::Prepare {
                    path: path.to_owned(),
                    source,
                })
        };
        let (ledger, open) = (make(LEDGER)?, make(OPEN)?);
        make(SESSIONS)?;
        make(SPARE)?;
        Ok(Self { root, ledger, open })
    }

    /// The numbers of the ledger's segments, rising.
    pub(super) fn segments(&self) -> KernelResult<Vec<u64>> {
        let mut numbers: Vec<u64> = self
            .ledger
            .names(ENTRIES)?
            .iter()
            .filter_map(|name| name.strip_suffix(".jsonl")?.parse::<u64>().ok())
            .collect();
        // A number that was put aside is used as well.
        if let Ok(aside) = self.root.descend(QUARANTINE) {
            let names = aside.names(ENTRIES)?;
            let used = |name: &String| {
                name.strip_prefix("ledger-")?
                    .strip_suffix(".jsonl")?
                    .parse::<u64>()
                    .ok()
            };
            numbers.extend(names.iter().filter_map(used));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub(super) fn segment_id(number: u64) -> String {
        format!("{LEDGER}/{number:06}.jsonl")
    }

    /// Which segment has this id.
    pub(super) fn segment_number(id: &str) -> Option<u64> {
        let name = id.strip_prefix(LEDGER)?.strip_prefix('/')?;
        name.strip_suffix(".jsonl")?.parse().ok()
    }

    pub(super) fn create_segment(&self, number: u64, reserve: &mut Reserve) -> KernelResult<File> {
        let name = format!("{number:06}.jsonl");
        // One that waits is as good, and is there when nothing can be made.
        let file = match reserve.take(&self.ledger, &name, None) {
            Ok(file) => file,
            Err(_) => self.ledger.create(&name)?,
        };
        self.ledger.sync()?;
        Ok(file)
    }

    /// The folder of the files that wait.
    pub(super) fn spare(&self) -> KernelResult<Directory> {
        self.root.descend(SPARE)
    }

    /// Makes the folders of today's sessions, and tomorrow's: a full disk may have no room for them when they are needed.
    pub(super) fn make_days(&self) -> KernelResult<()> {
        let now = Timestamp::now();
        for hours in [0, 24] {
            let at = now.saturating_add(SignedDuration::from_hours(hours));
            self.root.descend_making(&day(at.unwrap_or(now)))?;
        }
        Ok(())
    }

    /// When a session's id was made, which is in the id (UUIDv7, RFC 9562 §5.7).
    pub(super) fn began(sid: SessionId) -> Timestamp {
        let millis = sid
            .as_bytes()
            .iter()
            .take(6)
            .fold(0i64, |n, byte| (n << 8) | i64::from(*byte));
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// A session's path: by the day on which its id was made.
    pub(super) fn session_id(sid: SessionId) -> String {
        format!("{}/{sid}.jsonl", day(Self::began(sid)))
    }

    /// Which session's file has this id, if it is one.
    pub(super) fn session_of(id: &str) -> Option<SessionId> {
        let name = id.rsplit_once('/')?.1.strip_suffix(".jsonl")?;
        let sid = serde_json::from_value::<SessionId>(name.into()).ok()?;
        (Self::session_id(sid) == id).then_some(sid)
    }

    /// Begins a session's file, and marks it as open first: the file and its mark.
    pub(super) fn create_session(
        &self,
        sid: SessionId,
        reserve: &mut Reserve,
    ) -> KernelResult<(File, File)> {
        let id = Self::session_id(sid);
        let (directory, name) = split(&id);
        let directory = self.root.descend_making(directory)?;
        let mark = sid.to_string();
        let file = match reserve.take(&directory, name, Some((&self.open, &mark))) {
            Ok(file) => Ok(file),
            Err(_) => self.open.ensure(&mark).and_then(|_| directory.create(name)),
        };
        let made = file.and_then(|file| {
            let mark = self.open.ensure(&mark)?;
            self.open.sync()?;
            directory.sync()?;
            Ok((file, mark))
        });
        if made.is_err() {
            self.unmark(sid);
        }
        made
    }

    /// The file of the ledger's mark.
    pub(super) fn ledger_mark(&self) -> KernelResult<File> {
        let known = self.open.read(LEDGER).is_ok();
        let file = self.open.ensure(LEDGER)?;
        if !known {
            self.open.sync()?;
        }
        Ok(file)
    }

    /// The file of a session's mark, to write it.
    pub(super) fn session_mark(&self, sid: SessionId) -> KernelResult<File> {
        self.open.ensure(&sid.to_string())
    }

    /// What a mark says; of the ledger without a session. None where nothing was synced, or nothing noted.
    pub(super) fn mark(&self, sid: Option<SessionId>) -> Option<Mark> {
        let name = sid.map_or_else(|| LEDGER.to_owned(), |sid| sid.to_string());
        read_mark(&self.root, &name)
    }

    /// The audit directory itself.
    pub(super) fn root(&self) -> &Directory {
        &self.root
    }

    /// Takes back a session's file whose first record could not be written.
    pub(super) fn abandon_session(&self, sid: SessionId) {
        let id = Self::session_id(sid);
        let (directory, name) = split(&id);
        let removed = self
            .root
            .descend(directory)
            .and_then(|directory| directory.remove(name));
        if let Err(errno) = removed {
            tracing::warn!(file = id, %errno, "a session's file cannot be taken back");
        }
        self.unmark(sid);
    }

    /// The session is closed.
    pub(super) fn unmark(&self, sid: SessionId) {
        match self.open.remove(&sid.to_string()) {
            Ok(()) | Err(Errno::ENOENT) => {}
            // The next start finds a file that is closed, and removes the mark.
            Err(errno) => tracing::warn!(%sid, %errno, "a closed session stays marked as open"),
        }
    }

    /// The sessions that are marked as open.
    pub(super) fn open_sessions(&self) -> KernelResult<Vec<SessionId>> {
        let names = self.open.names(ENTRIES)?;
        let sid = |name: &String| {
            serde_json::from_value::<SessionId>(name.as_str().into())
                .ok()
                .filter(|sid| sid.to_string() == *name)
        };
        Ok(names.iter().filter_map(sid).collect())
    }

    /// Whether the ledger names a session that began then; none where that part of the ledger is not there any more.
    pub(super) fn ledger_knows(&self, sid: SessionId, began: Timestamp) -> Option<bool> {
        let numbers = self.segments().ok()?;
        let (first, last) = (*numbers.first()?, *numbers.last()?);
        let whole = u64::try_from(numbers.len()).is_ok_and(|count| count == last - first + 1);
        let finder = Finder::new(sid.to_string().as_bytes()).into_owned();
        let limit = u64::try_from(RECORD_BYTES).ok()?;
        let mut since = None;
        for number in numbers {
            let file = self.ledger.read(&format!("{number:06}.jsonl")).ok()?;
            let mut reader = BufReader::new(file);
            let mut line = Vec::new();
            for at in 0u64.. {
                line.clear();
                let got = reader.by_ref().take(limit).read_until(b'\n', &mut line);
                match u64::try_from(got.ok()?).ok()? {
                    0 => break,
                    got if got == limit => return None,
                    _ => {}
                }
                if finder.find(&line).is_some() {
                    return Some(true);
                }
                if at == 0 && number == first {
                    let record: serde_json::Value = serde_json::from_slice(&line).ok()?;
                    since = super::verify::moment(&record);
                }
            }
        }
        (whole && (first == 1 || since? <= began)).then_some(false)
    }

    /// Opens a file again, to read it and to append to it.
    pub(super) fn reopen(&self, id: &str) -> KernelResult<File> {
        let (directory, name) = split(id);
        self.root.descend(directory)?.append(name)
    }

    /// Moves the bytes from `whole_bytes` on into `<file>.torn`; the name of that.
    pub(super) fn tear(
        &self,
        file: &mut File,
        id: &str,
        whole_bytes: u64,
    ) -> std::io::Result<String> {
        let (directory, name) = split(id);
        let directory = self.root.descend(directory)?;
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(whole_bytes))?;
        file.read_to_end(&mut tail)?;
        let (mut torn, torn_name) = create_unique(&directory, &format!("{name}.torn"))?;
        let kept = torn
            .write_all(&tail)
            .and_then(|()| torn.sync_all())
            .and_then(|()| Ok(directory.sync()?));
        if let Err(error) = kept {
            // A part of it would be a stranger.
            directory.remove(&torn_name)?;
            return Err(error);
        }
        file.set_len(whole_bytes)?;
        file.sync_all()?;
        let parent = id.strip_suffix(name).unwrap_or_default();
        Ok(format!("{parent}{torn_name}"))
    }

    /// The files of sessions that began before the day of `limit`, the oldest first.
    pub(super) fn sessions_before(&self, limit: Timestamp) -> Vec<String> {
        let limit = day(limit);
        let mut level = vec![SESSIONS.to_owned()];
        for _ in 0..3 {
            level = level.iter().flat_map(|path| self.below(path)).collect();
            // Years, months and days are written so that their order is that of their names.
            level.retain(|path| {
                limit
                    .get(..path.len())
                    .is_some_and(|limit| path.as_str() <= limit)
            });
        }
        level.retain(|path| *path < limit);
        let files = level.iter().flat_map(|path| self.below(path));
        files.filter(|file| file.ends_with(".jsonl")).collect()
    }

    pub(super) fn below(&self, path: &str) -> Vec<String> {
        let names = self
            .root
            .descend(path)
            .and_then(|directory| directory.names(ENTRIES));
        let mut names = names.unwrap_or_default();
        names.sort_unstable();
        names
            .into_iter()
            .map(|name| format!("{path}/{name}"))
            .collect()
    }

    /// How long a file is.
    pub(super) fn length(&self, id: &str) -> Option<u64> {
        let (directory, name) = split(id);
        let file = self.root.descend(directory).ok()?.read(name).ok()?;
        let about = file.metadata().ok()?;
        about.is_file().then_some(about.len())
    }

    /// How much less than there should be is free.
    pub(super) fn missing_space(&self) -> u64 {
        self.root.space().map_or(0, super::retention::missing)
    }

    /// Removes a file, what was torn off it, and the folders that are empty then.
    pub(super) fn remove(&self, id: &str) -> KernelResult<()> {
        let (folder, name) = split(id);
        let directory = self.root.descend(folder)?;
        directory.remove(name)?;
        let torn = format!("{name}.torn");
        for other in directory.names(ENTRIES)? {
            if other.starts_with(&torn) {
                directory.remove(&other)?;
            }
        }
        directory.sync()?;
        let mut path = folder;
        while path.contains('/') {
            let (parent, name) = split(path);
            match self.root.descend(parent)?.remove_directory(name) {
                Ok(()) => path = parent,
                Err(Errno::ENOTEMPTY | Errno::EEXIST) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Puts a damaged file aside; where it is then.
    pub(super) fn quarantine(&self, id: &str) -> KernelResult<String> {
        let aside = self.root.descend_making(QUARANTINE)?;
        let (directory, name) = split(id);
        let flat = id.replace('/', "-");
        self.root.descend(directory)?.rename(name, &aside, &flat)?;
        aside.sync()?;
        Ok(format!("{QUARANTINE}/{flat}"))
    }
}

type KernelResult<T> = Result<T, Errno>;

/// What the mark of that name says, in the audit directory `root`.
pub(super) fn read_mark(root: &Directory, name: &str) -> Option<Mark> {
    let mut text = String::new();
    let file = root.descend(OPEN).ok()?.read(name).ok()?;
    file.take(MARK_BYTES).read_to_string(&mut text).ok()?;
    Mark::parse(&text)
}

/// The folder of a day's sessions.
fn day(at: Timestamp) -> String {
    at.strftime("sessions/%Y/%m/%d").to_string()
}

fn split(id: &str) -> (&str, &str) {
    id.rsplit_once('/').unwrap_or(("", id))
}

fn create_unique(directory: &Directory, name: &str) -> KernelResult<(File, String)> {
    let more = (1..1000).map(|n| format!("{name}.{n}"));
    for candidate in std::iter::once(name.to_owned()).chain(more) {
        match directory.create(&candidate) {
            Err(Errno::EEXIST) => {}
            other => return other.map(|file| (file, candidate)),
        }
    }
    Err(Errno::EEXIST)
}
