use std::io::{BufRead as _, BufReader, Read as _};

use jiff::Timestamp;
use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::line::{Head, Record};
use super::trail::{Reading, SessionFile, Trail};
use crate::model::{SessionId, cut};
use crate::wire::limits::RECORD_BYTES;

/// How much of a program's command is kept in a summary.
const COMMAND_BYTES: usize = 200;

/// A session in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The session.
    pub sid: SessionId,
    /// Its connection.
    pub cid: String,
    /// When its first record was made.
    pub started: Timestamp,
    /// When its last record was made.
    pub last: Timestamp,
    /// By the clock that is never set: between these two.
    pub duration_ms: u64,
    /// The SSH user.
    pub user: String,
    /// Fingerprint and comment; empty for a password.
    pub key: String,
    /// The role.
    pub role: String,
    /// Where the client is.
    pub ip: String,
    /// And its port.
    pub port: u64,
    /// How it ended, or that it did not.
    pub end: End,
    /// Programs: shells, commands and subsystems.
    pub programs: u64,
    /// The first of them.
    pub first: Option<String>,
    /// Calls of the Supervisor's API.
    pub api_calls: u64,
    /// What was refused.
    pub denials: u64,
    /// What was done over SFTP.
    pub sftp_operations: u64,
    /// Recordings that were begun.
    pub recordings: u64,
    /// Its records.
    pub records: u64,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum End {
    /// The server still has it.
    Running,
    /// Its file has no end, and the server does not have it.
    Unfinished,
    /// For this reason.
    Closed(String),
}

impl End {
    /// In a word.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Running => "running",
            Self::Unfinished => "unfinished",
            Self::Closed(reason) => reason,
        }
    }
}

impl From<String> for End {
    fn from(word: String) -> Self {
        match word.as_str() {
            "running" => Self::Running,
            "unfinished" => Self::Unfinished,
            _ => Self::Closed(word),
        }
    }
}

impl From<End> for String {
    fn from(end: End) -> Self {
        end.word().to_owned()
    }
}

impl Summary {
    /// Whether who, where and when fit; a session fits a span of time in which it was running.
    fn fits(&self, filter: &Filter) -> bool {
        filter.fits_who(&self.user, &self.key, &self.ip)
            && filter.since.is_none_or(|since| self.last >= since)
            && filter.until.is_none_or(|until| self.started <= until)
    }
}

/// Sums a session's records up, one after another.
#[derive(Default)]
pub(super) struct Sum {
    first: Option<Record>,
    last: Option<(Timestamp, u64, String)>,
    start_mono: u64,
    /// Up to the last start of the machine; records after it count from there.
    before_ms: u64,
    closed: Option<(String, Option<u64>)>,
    programs: u64,
    program: Option<String>,
    api_calls: u64,
    denials: u64,
    sftp_operations: u64,
    recordings: u64,
    records: u64,
}

impl Sum {
    pub(super) fn see(&mut self, head: Head<'_>, line: &[u8]) {
        self.records += 1;
        let boot = head
            .boot
            .split_once('-')
            .map_or(head.boot, |(boot, _)| boot);
        match &mut self.last {
            Some((_, mono, known)) if known == boot => *mono = head.mono,
            // The crash's record is of the next start of the machine: how long that took is not known.
            Some((_, mono, known)) => {
                self.before_ms += mono.saturating_sub(self.start_mono) / 1_000_000;
                self.start_mono = head.mono;
                (*mono, *known) = (head.mono, boot.to_owned());
            }
            None => {
                self.start_mono = head.mono;
                self.last = Some((Timestamp::UNIX_EPOCH, head.mono, boot.to_owned()));
            }
        }
        if self.first.is_none() {
            self.first = Record::read(line);
        }
        // What ends with the line is read once, at its end.
        match head.kind {
            "shell" | "exec" | "subsystem" => {
                self.programs += 1;
                if self.program.is_none() {
                    self.program = Record::read(line).map(|record| program(&record));
                }
            }
            "api.request" => {
                self.api_calls += 1;
                // No text of a record can hold this: its quotation marks would be escaped.
                let denied = memmem::find(line, b"\"decision\":\"deny\"").is_some();
                self.denials += u64::from(denied);
            }
            "channel.refuse" | "policy.deny" => self.denials += 1,
            "sftp.op" => self.sftp_operations += 1,
            "sftp.summary" => {
                let left_out = Record::read(line).and_then(|record| record.number("left_out"));
                self.sftp_operations += left_out.unwrap_or(0);
            }
            "recording.start" => self.recordings += 1,
            "session.close" => {
                self.closed = Record::read(line).map(|record| {
                    let reason = record.member_text("reason").to_owned();
                    (reason, record.number("duration_ms"))
                });
            }
            _ => {}
        }
    }

    /// None where there was no record.
    pub(super) fn finish(
        self,
        sid: SessionId,
        last: Option<Timestamp>,
        marked: Marked,
    ) -> Option<Summary> {
        let first = self.first?;
        let end = match (self.closed, marked) {
            (Some((reason, duration)), _) => (End::Closed(reason), duration),
            (None, Marked::Open) => (End::Running, None),
            (None, Marked::Gone) => (End::Unfinished, None),
        };
        let seen = self.last.map_or(0, |(_, mono, _)| {
            mono.saturating_sub(self.start_mono) / 1_000_000
        });
        let text = |name: &str| first.text(name).to_owned();
        Some(Summary {
            sid,
            cid: text("cid"),
            started: first.at(),
            last: last.unwrap_or(first.at()),
            duration_ms: end.1.unwrap_or(self.before_ms + seen),
            user: text("user"),
            key: text("key"),
            role: text("role"),
            ip: first.ip().unwrap_or_default().to_owned(),
            port: first.port().unwrap_or(0),
            end: end.0,
            programs: self.programs,
            first: self.program,
            api_calls: self.api_calls,
            denials: self.denials,
            sftp_operations: self.sftp_operations,
            recordings: self.recordings,
            records: self.records,
        })
    }
}

/// Whether the server says that it has a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marked {
    Open,
    Gone,
}

fn program(record: &Record) -> String {
    let command = match record.kind() {
        "exec" => record.member_text("command"),
        "subsystem" => record.member_text("name"),
        _ => "(shell)",
    };
    let short = cut(command, COMMAND_BYTES);
    if short.len() < command.len() {
        format!("{short}…")
    } else {
        command.to_owned()
    }
}

/// Sums up one session; none where nothing of it can be read.
fn one(trail: &Trail, reading: &mut Reading<'_>, file: SessionFile) -> Option<Summary> {
    let id = file.id();
    let mut sum = Sum::default();
    let mut last: Option<[u8; 27]> = None;
    reading.records(&id, |_, head, line| {
        last = head.ts.as_bytes().try_into().ok();
        sum.see(head, line);
    });
    let last = last.and_then(|ts| std::str::from_utf8(&ts).ok()?.parse().ok());
    let marked = if sum.closed.is_none() && trail.is_marked(file.sid) {
        Marked::Open
    } else {
        Marked::Gone
    };
    sum.finish(file.sid, last, marked)
}

/// One session in short.
#[must_use]
pub fn summary(trail: &Trail, file: SessionFile) -> Option<Summary> {
    one(trail, &mut Reading::new(trail), file)
}

/// The key that a session logged in with, as its first record has it: fingerprint and comment, empty for a password. None
/// where that cannot be read.
#[must_use]
pub fn owner(trail: &Trail, file: SessionFile) -> Option<String> {
    let first = trail.open_file(&file.id()).ok()?;
    let most = u64::try_from(RECORD_BYTES).ok()?;
    let mut line = Vec::new();
    let mut first = BufReader::new(first.take(most));
    first.read_until(b'\n', &mut line).ok()?;
    line.pop_if(|last| *last == b'\n')?;
    Some(Record::read(&line)?.text("key").to_owned())
}

/// All sessions that fit, the oldest first.
///
/// Of what a record is like, one record must fit all; of who, where and when, the session.
#[must_use]
pub fn sessions(trail: &Trail, filter: &Filter) -> Vec<Summary> {
    let files = trail.sessions();
    let ids: Vec<String> = files.iter().map(|file| file.id()).collect();
    trail.read_all(&ids, |reading, index, id| {
        // Looking for bytes is the quickest of all.
        if !holds(reading, id, filter) {
            return None;
        }
        let summary = one(trail, reading, *files.get(index)?)?;
        summary.fits(filter).then_some(summary)
    })
}

/// Whether the file has a record of the type and with the text that are asked for.
fn holds(reading: &mut Reading<'_>, id: &str, filter: &Filter) -> bool {
    if !filter.asks_for_records() {
        return true;
    }
    let mut found = false;
    reading.pieces(id, |piece| {
        if found {
            return;
        }
        filter.candidates(&(None, None), piece, |_, head, line| {
            found = found
                || (head.is_ok()
                    && Record::read(line).is_some_and(|record| filter.fits_content(&record)));
        });
    });
    found
}
