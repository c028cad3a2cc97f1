use std::fs::File;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::line::Head;
use super::lines::{Lines, Piece};
use crate::audit::store::Store;
use crate::model::{SessionId, escape};
use crate::sys::Errno;
use crate::sys::directory::Directory;

/// The most entries looked at in one directory.
const ENTRIES: usize = 1_000_000;
/// How many problems are kept to be named; further ones are counted.
const PROBLEMS: usize = 50;
/// More threads than these bring nothing: the disk, or the memory, is what is waited for.
const THREADS: usize = 8;
/// How many files a thread takes at once: neighbours, which lie in the same folder.
const BATCH: usize = 16;

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no trail.
    #[error("cannot open {path}")]
    Open {
        /// The audit folder.
        path: String,
        /// Why.
        source: Errno,
    },
    /// No session has such an id.
    #[error("no session's id begins with {0}")]
    NoSession(String),
    /// The trail has no sessions.
    #[error("there are no sessions")]
    NoSessions,
    /// Several sessions' ids begin so.
    #[error("several sessions' ids begin with {prefix}: {}", listed(found))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// Some of them.
        found: Vec<SessionId>,
    },
    /// Nothing of it was recorded, or nothing is kept.
    #[error("there is no recording of {0}")]
    NoRecording(String),
    /// One is wanted, and there are several.
    #[error("session {sid} has several recordings: say which channel: {}", found.join(", "))]
    Recordings {
        /// Whose.
        sid: SessionId,
        /// Some of them, as they are asked for.
        found: Vec<String>,
    },
    /// A recording cannot be read at all.
    #[error("{file}: {why}")]
    Recording {
        /// The path below the audit folder.
        file: String,
        /// Why.
        why: String,
    },
    /// What was found cannot be printed.
    #[error("cannot write")]
    Write(#[from] std::io::Error),
}

fn listed(found: &[SessionId]) -> String {
    let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// A file or a place in it that could not be read. The rest was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The path below the audit folder, escaped.
    pub file: String,
    /// At which byte, if at one.
    pub at: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.at {
            Some(at) => write!(f, "{}: at byte {at}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

/// The audit folder of a server, to read it. The server may be running.
pub struct Trail {
    root: Directory,
    threads: usize,
    problems: Mutex<(Vec<Problem>, u64)>,
}

/// A session's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionFile {
    /// Whose.
    pub sid: SessionId,
}

impl SessionFile {
    /// The path below the audit folder.
    #[must_use]
    pub fn id(self) -> String {
        Store::session_id(self.sid)
    }
}

impl Trail {
    /// Opens the audit folder `path`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let root = Directory::open(path).map_err(|source| ReadError::Open {
            path: escape(path.as_os_str().as_encoded_bytes(), 200),
            source,
        })?;
        Ok(Self {
            root,
            threads: THREADS,
            problems: Mutex::default(),
        })
    }

    /// The same, read without starting threads.
    #[must_use]
    pub fn on_one_thread(self) -> Self {
        Self { threads: 1, ..self }
    }

    /// What could not be read so far, sorted, and how many problems there were beside these.
    pub fn problems(&self) -> (Vec<Problem>, u64) {
        let mut known = self
            .problems
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let (mut problems, more) = std::mem::take(&mut *known);
        problems.sort();
        // What is read twice is named once.
        problems.dedup();
        (problems, more)
    }

    pub(super) fn problem(&self, file: &str, at: Option<u64>, what: &str) {
        let mut known = self
            .problems
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.0.len() < PROBLEMS {
            let file = escape(file.as_bytes(), 300);
            let what = what.to_owned();
            known.0.push(Problem { file, at, what });
        } else {
            known.1 += 1;
        }
    }

    /// The entries of a folder, sorted.
    pub(super) fn names(&self, path: &str, most: usize) -> Vec<String> {
        let found = self.root.descend(path).and_then(|at| at.names(most));
        match found {
            Ok(mut names) => {
                names.sort_unstable();
                names
            }
            Err(Errno::ENOENT) => Vec::new(),
            Err(errno) => {
                self.problem(path, None, errno.desc());
                Vec::new()
            }
        }
    }

    /// The ledger's segments, in order.
    pub(super) fn segments(&self) -> Vec<u64> {
        let mut numbers = Vec::new();
        for name in self.names("ledger", ENTRIES) {
            let id = format!("ledger/{name}");
            match Store::segment_number(&id).filter(|number| Store::segment_id(*number) == id) {
                Some(number) => numbers.push(number),
                None => self.stranger(&id),
            }
        }
        numbers.sort_unstable();
        numbers
    }

    /// The sessions' files, the oldest first: in the order of their ids.
    pub fn sessions(&self) -> Vec<SessionFile> {
        let mut level = vec!["sessions".to_owned()];
        for _ in 0..3 {
            let below = level.iter().flat_map(|path| {
                let names = self.names(path, ENTRIES);
                names.into_iter().map(move |name| format!("{path}/{name}"))
            });
            level = below.collect();
        }
        let mut found = Vec::new();
        for path in level {
            for name in self.names(&path, ENTRIES) {
                let id = format!("{path}/{name}");
                let sid = name
                    .strip_suffix(".jsonl")
                    .and_then(|sid| sid.parse::<SessionId>().ok());
                match sid.filter(|sid| Store::session_id(*sid) == id) {
                    Some(sid) => found.push(SessionFile { sid }),
                    None => self.stranger(&id),
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// Torn ends that a start put aside are known; others are not ours.
    fn stranger(&self, id: &str) {
        let torn = id.rsplit('.').take(2).any(|part| part == "torn");
        if !torn {
            self.problem(id, None, "is no file of the trail");
        }
    }

    /// The session whose id is `text` or begins so; `last` is the newest.
    ///
    /// # Errors
    /// Where there is none, or more than one.
    pub fn find(&self, text: &str) -> Result<SessionFile, ReadError> {
        self.find_among(text, |_| true)
    }

    /// The same, of those that `sees` lets through: as if there were no others.
    ///
    /// # Errors
    /// As [`Trail::find`].
    pub fn find_among(
        &self,
        text: &str,
        sees: impl Fn(SessionFile) -> bool,
    ) -> Result<SessionFile, ReadError> {
        if let Ok(sid) = text.parse::<SessionId>()
            && self.open_file(&Store::session_id(sid)).is_ok()
            && sees(SessionFile { sid })
        {
            return Ok(SessionFile { sid });
        }
        let all = self.sessions();
        if text == "last" {
            let last = all.iter().rev().find(|file| sees(**file));
            return last.copied().ok_or(ReadError::NoSessions);
        }
        let wanted = text.to_ascii_lowercase();
        let fits = |file: &&SessionFile| file.sid.to_string().starts_with(&wanted) && sees(**file);
        let found: Vec<SessionFile> = all.iter().filter(fits).copied().take(5).collect();
        let shown = escape(text.as_bytes(), 100);
        match found.as_slice() {
            [] => Err(ReadError::NoSession(shown)),
            [one] => Ok(*one),
            several => Err(ReadError::Ambiguous {
                prefix: shown,
                found: several.iter().map(|file| file.sid).collect(),
            }),
        }
    }

    /// Whether the server has the session open, or a start has not looked at its end yet.
    pub(super) fn is_marked(&self, sid: SessionId) -> bool {
        let open = self.root.descend("open");
        open.and_then(|open| open.read(&sid.to_string())).is_ok()
    }

    /// The sessions that are marked as open.
    pub(super) fn marked(&self) -> Vec<SessionId> {
        let names = self.names("open", ENTRIES);
        names.iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Opens a file by its path below the audit folder, to read it.
    pub(super) fn open_file(&self, id: &str) -> Result<File, Errno> {
        let (path, name) = id.rsplit_once('/').unwrap_or(("", id));
        regular(self.root.descend(path)?.read(name)?)
    }

    fn read_open(
        &self,
        lines: &mut Lines,
        id: &str,
        mut file: File,
        mut visit: impl FnMut(Piece<'_>),
    ) {
        let read = lines.read(&mut file, 0, |piece| {
            visit(piece);
            std::ops::ControlFlow::Continue(())
        });
        match read {
            Ok((_, None)) => {}
            Ok((_, Some(overlong))) => {
                self.problem(id, Some(overlong.at), "a line is longer than any record");
            }
            Err(error) => self.problem(id, None, &error.to_string()),
        }
    }

    /// Reads many files at once, in no order, each with a `T` of its own; in the order of `ids` those of `T` that
    /// were not none.
    pub(super) fn read_all<T: Send>(
        &self,
        ids: &[String],
        work: impl Fn(&mut Reading<'_>, usize, &str) -> Option<T> + Sync,
    ) -> Vec<T> {
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        let batches = ids.len().div_ceil(BATCH);
        let threads = available.min(self.threads).min(batches).max(1);
        if threads == 1 {
            let mut reading = Reading::new(self);
            let each = ids.iter().enumerate();
            return each
                .filter_map(|(index, id)| work(&mut reading, index, id))
                .collect();
        }
        let next = AtomicUsize::new(0);
        let found = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut reading = Reading::new(self);
                    let mut own = Vec::new();
                    loop {
                        let first = next.fetch_add(BATCH, Ordering::Relaxed);
                        let batch = ids.iter().enumerate().skip(first).take(BATCH);
                        for (index, id) in batch {
                            own.extend(work(&mut reading, index, id).map(|done| (index, done)));
                        }
                        if first >= ids.len() {
                            break;
                        }
                    }
                    found
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .append(&mut own);
                });
            }
        });
        let mut found = found
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        found.sort_unstable_by_key(|(index, _)| *index);
        found.into_iter().map(|(_, done)| done).collect()
    }

    /// Names a line that is no record.
    pub(super) fn damaged(&self, id: &str, at: u64) {
        self.problem(id, Some(at), "is no record");
    }
}

/// One thread's reading of many files.
pub(super) struct Reading<'t> {
    trail: &'t Trail,
    lines: Lines,
    /// The folder of the file before: neighbours are read one after another.
    folder: Option<(String, Directory)>,
}

impl<'t> Reading<'t> {
    pub(super) fn new(trail: &'t Trail) -> Self {
        Self {
            trail,
            lines: Lines::new(),
            folder: None,
        }
    }

    /// Reads one file, piece by piece.
    pub(super) fn pieces(&mut self, id: &str, visit: impl FnMut(Piece<'_>)) {
        match self.open(id) {
            Ok(file) => self.trail.read_open(&mut self.lines, id, file, visit),
            Err(Errno::ENOENT) => {}
            Err(errno) => self.trail.problem(id, None, errno.desc()),
        }
    }

    /// Reads one file, record by record.
    pub(super) fn records(&mut self, id: &str, mut visit: impl FnMut(u64, Head<'_>, &[u8])) {
        let trail = self.trail;
        self.pieces(id, |piece| {
            for (at, line) in piece.lines() {
                match Head::read(line) {
                    Some(head) => visit(at, head, line),
                    None => trail.damaged(id, at),
                }
            }
        });
    }

    /// Opens one file.
    pub(super) fn open(&mut self, id: &str) -> Result<File, Errno> {
        let (path, name) = id.rsplit_once('/').unwrap_or(("", id));
        if self.folder.as_ref().is_none_or(|(known, _)| known != path) {
            self.folder = Some((path.to_owned(), self.trail.root.descend(path)?));
        }
        let folder = self.folder.as_ref().ok_or(Errno::ENOENT)?;
        regular(folder.1.read(name)?)
    }
}

/// Nothing else is read: a FIFO would never end.
fn regular(file: File) -> Result<File, Errno> {
    match file.metadata() {
        Ok(about) if about.is_file() => Ok(file),
        Ok(_) => Err(Errno::EINVAL),
        Err(_) => Err(Errno::EIO),
    }
}
