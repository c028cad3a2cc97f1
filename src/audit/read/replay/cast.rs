//! The recordings of a session, read event by event. `docs/audit.md` and the asciicast format, version 3, define them.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use serde::Deserialize;

use crate::audit::read::trail::{ReadError, SessionFile, Trail};
use crate::audit::recording::check::unsealed;
use crate::sys::Errno;

/// The longest line that is read: more than what is written at once, each byte escaped.
const LINE_BYTES: u64 = 256 * 1024;
/// The most recordings of a session that are looked at.
const ENTRIES: usize = 10_000;
/// No event comes later than this after the one before it, whatever it says.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

const PLAIN: &str = ".cast";
const SEALED: &str = ".cast.zst";
/// What a recording's name has more once it is compressed.
const COMPRESSED: &str = ".zst";

/// A recording of a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recording {
    /// The channel.
    pub channel: u32,
    /// Which one of that channel: the first is 0.
    pub nth: u32,
    folder: String,
    file: String,
}

impl Recording {
    /// As it is asked for: `3`, or `3.1` for the second of channel 3.
    #[must_use]
    pub fn name(&self) -> String {
        match self.nth {
            0 => self.channel.to_string(),
            nth => format!("{}.{nth}", self.channel),
        }
    }

    /// The path below the audit folder.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.folder, self.file)
    }

    /// The same as records name it, compressed or not.
    #[must_use]
    pub fn as_recorded(&self) -> String {
        let id = self.id();
        id.strip_suffix(COMPRESSED).unwrap_or(&id).to_owned()
    }
}

/// All recordings of a session, by channel.
#[must_use]
pub fn recordings(trail: &Trail, session: SessionFile) -> Vec<Recording> {
    let id = session.id();
    let day = id.strip_prefix("sessions/").unwrap_or(&id);
    let folder = format!("recordings/{}", day.strip_suffix(".jsonl").unwrap_or(day));
    let mut found = Vec::new();
    for file in trail.names(&folder, ENTRIES) {
        let sealed = file.strip_suffix(SEALED);
        let Some(stem) = sealed.or_else(|| file.strip_suffix(PLAIN)) else {
            continue;
        };
        let (channel, nth) = stem.split_once('.').unwrap_or((stem, "0"));
        if let (Ok(channel), Ok(nth)) = (channel.parse(), nth.parse()) {
            let folder = folder.clone();
            found.push(Recording {
                channel,
                nth,
                folder,
                file,
            });
        }
    }
    found.sort();
    // While one is sealed there are both for a moment, and they hold the same.
    found.dedup_by_key(|recording| (recording.channel, recording.nth));
    found
}

/// What a recording begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
    /// Seconds since 1970.
    pub timestamp: Option<i64>,
    /// The terminal's name.
    pub term: Option<String>,
    /// The command, if it was no shell.
    pub command: Option<String>,
    /// What it is.
    pub title: Option<String>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// How long after the one before.
    pub after: Duration,
    /// What kind: `o` for output.
    pub code: String,
    /// What.
    pub text: String,
}

/// What comes next in a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This.
    Event(Event),
    /// No more. One that is still made may go on later.
    End,
    /// It is damaged here: at this byte of what is not compressed.
    Damaged(u64, String),
}

/// A recording that is read.
pub struct Cast {
    reader: BufReader<Box<dyn Read>>,
    /// What its first line says.
    pub header: Header,
    at: u64,
    line: Vec<u8>,
}

#[derive(Deserialize)]
struct First {
    version: u64,
    term: Term,
    timestamp: Option<i64>,
    command: Option<String>,
    title: Option<String>,
}

#[derive(Deserialize)]
struct Term {
    cols: u16,
    rows: u16,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Cast {
    /// Opens a recording.
    ///
    /// # Errors
    /// Where it cannot be opened, or its first line is none.
    pub fn open(trail: &Trail, recording: &Recording) -> Result<Self, ReadError> {
        let id = recording.id();
        let failed = |why: String| failed(&id, why);
        let file = trail
            .open_file(&id)
            .map_err(|errno: Errno| failed(errno.desc().to_owned()))?;
        let reader: Box<dyn Read> = if id.ends_with(SEALED) {
            Box::new(unsealed(file).map_err(|error| failed(error.to_string()))?)
        } else {
            Box::new(file)
        };
        Self::read(reader, &id)
    }

    /// Reads a recording that is not compressed, or not any more. Errors call it `id`.
    ///
    /// # Errors
    /// Where its first line is none.
    pub fn read(reader: Box<dyn Read>, id: &str) -> Result<Self, ReadError> {
        let failed = |why: String| failed(id, why);
        let mut cast = Self {
            reader: BufReader::with_capacity(64 * 1024, reader),
            header: Header::default(),
            at: 0,
            line: Vec::new(),
        };
        match cast.line() {
            Ok(true) => {}
            Ok(false) => return Err(failed("is empty".to_owned())),
            Err(why) => return Err(failed(why)),
        }
        let first: First = serde_json::from_slice(&cast.line)
            .map_err(|_| failed("does not begin as a recording".to_owned()))?;
        if first.version != 3 {
            return Err(failed("is of another version than 3".to_owned()));
        }
        cast.header = Header {
            columns: first.term.cols,
            rows: first.term.rows,
            timestamp: first.timestamp,
            term: first.term.kind,
            command: first.command,
            title: first.title,
        };
        Ok(cast)
    }

    /// What comes next.
    pub fn next_event(&mut self) -> Next {
        loop {
            let at = self.at;
            match self.line() {
                Ok(false) => return Next::End,
                Err(why) => return Next::Damaged(at, why),
                Ok(true) => {}
            }
            // Comments, such as the heads of the chain.
            if self.line.starts_with(b"#") || self.line.is_empty() {
                continue;
            }
            return match serde_json::from_slice::<(f64, String, String)>(&self.line) {
                Ok((seconds, code, text)) => Next::Event(Event {
                    after: Duration::try_from_secs_f64(seconds)
                        .unwrap_or(Duration::ZERO)
                        .min(LONGEST),
                    code,
                    text,
                }),
                Err(_) => Next::Damaged(at, "is no event".to_owned()),
            };
        }
    }

    /// Reads a line; false where there is no further whole one.
    fn line(&mut self) -> Result<bool, String> {
        self.line.clear();
        let mut limited = self.reader.by_ref().take(LINE_BYTES);
        let read = limited.read_until(b'\n', &mut self.line);
        let length = read.map_err(|error| error.to_string())?;
        if self.line.pop_if(|last| *last == b'\n').is_some() {
            self.at += u64::try_from(length).unwrap_or(0);
            return Ok(true);
        }
        if u64::try_from(length).unwrap_or(u64::MAX) >= LINE_BYTES {
            return Err("is too long a line".to_owned());
        }
        // What is not whole is being written, or was when the server was killed.
        Ok(false)
    }
}

fn failed(id: &str, why: String) -> ReadError {
    ReadError::Recording {
        file: id.to_owned(),
        why,
    }
}
