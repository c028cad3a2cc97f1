//! One session as a timeline.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use jiff::Timestamp;
use memchr::memmem::Finder;

use super::describe::describe;
use super::line::{Record, shown, shown_json};
use super::replay::{Recording, recordings};
use super::sessions::{Summary, summary};
use super::table::Look;
use super::trail::{ReadError, Reading, SessionFile, Trail};
use super::when::{bytes, length, shown_with_zone};
use crate::audit::store::Store;

/// The most records of a login that are shown: who tries for long may cause thousands.
const LOGIN_RECORDS: usize = 200;
/// How many calls without an answer are remembered.
const CALLS: usize = 4096;

/// Writes the session for people.
///
/// # Errors
/// Where nothing of it can be read, and what writing gives.
pub fn show(
    trail: &Trail,
    file: SessionFile,
    look: &Look,
    out: &mut impl Write,
) -> Result<(), ReadError> {
    let session = summary(trail, file).ok_or_else(|| ReadError::NoSession(file.sid.to_string()))?;
    header(&session, look, out)?;
    let mut timeline = Timeline {
        start: None,
        calls: HashMap::new(),
        recordings: recordings(trail, file)
            .iter()
            .map(Recording::as_recorded)
            .collect(),
    };
    let (before, after) = around(trail, &session.cid);
    for (record, _) in &before {
        timeline.write(record, out)?;
    }
    let mut written = Ok(());
    Reading::new(trail).records(&file.id(), |at, _, line| match Record::read(line) {
        Some(record) if written.is_ok() => written = timeline.write(&record, out),
        Some(_) => {}
        None => trail.damaged(&file.id(), at),
    });
    written?;
    for (record, _) in &after {
        timeline.write(record, out)?;
    }
    Ok(())
}

/// Writes the session as JSON Lines: in short, then all its records, those of its connection from the ledger before.
///
/// # Errors
/// As [`show`].
pub fn show_json(trail: &Trail, file: SessionFile, out: &mut impl Write) -> Result<(), ReadError> {
    let session = summary(trail, file).ok_or_else(|| ReadError::NoSession(file.sid.to_string()))?;
    let json = serde_json::to_string(&session).map_err(io::Error::from)?;
    writeln!(out, "{}", shown_json(&json))?;
    each_line(trail, file, &session.cid, |_, _, line| {
        writeln!(out, "{}", shown_json(line))
    })?;
    Ok(())
}

/// Shows `visit` all records of a session, with the files that they are in and their lines: those of its connection
/// from the ledger, then its own.
///
/// # Errors
/// What `visit` gives.
pub(super) fn each_line(
    trail: &Trail,
    file: SessionFile,
    cid: &str,
    mut visit: impl FnMut(&Record, &str, &str) -> io::Result<()>,
) -> io::Result<()> {
    let (before, after) = around(trail, cid);
    for (record, line) in &before {
        visit(record, "ledger", line)?;
    }
    let id = file.id();
    let mut written = Ok(());
    Reading::new(trail).records(&id, |at, _, line| {
        match (Record::read(line), std::str::from_utf8(line)) {
            (Some(record), Ok(line)) if written.is_ok() => written = visit(&record, &id, line),
            (Some(_), Ok(_)) => {}
            _ => trail.damaged(&id, at),
        }
    });
    written?;
    for (record, line) in &after {
        visit(record, "ledger", line)?;
    }
    Ok(())
}

/// A record with its line.
type Found = (Record, String);

/// What the ledger says of a connection: up to the session, and of its end.
fn around(trail: &Trail, cid: &str) -> (Vec<Found>, Vec<Found>) {
    connection(trail, cid)
        .into_iter()
        .partition(|(record, _)| record.kind() != "conn.close")
}

/// What the ledger says of a connection, with the lines.
fn connection(trail: &Trail, cid: &str) -> Vec<Found> {
    let ids: Vec<String> = trail
        .segments()
        .into_iter()
        .map(Store::segment_id)
        .collect();
    if cid.is_empty() {
        return Vec::new();
    }
    let wanted = Finder::new(cid).into_owned();
    let found = trail.read_all(&ids, |reading, _, id| {
        let mut found = Vec::new();
        reading.pieces(id, |piece| {
            let mut from = 0;
            while let Some(index) = piece.bytes.get(from..).and_then(|rest| wanted.find(rest)) {
                let (_, line, next) = piece.line_around(from + index);
                from = next;
                let record = Record::read(line).filter(|record| record.text("cid") == cid);
                if let (Some(record), Ok(line)) = (record, std::str::from_utf8(line))
                    && found.len() < LOGIN_RECORDS
                {
                    found.push((record, line.to_owned()));
                }
            }
        });
        Some(found)
    });
    found.into_iter().flatten().collect()
}

fn header(session: &Summary, look: &Look, out: &mut impl Write) -> io::Result<()> {
    let key = match session.key.as_str() {
        "" => "a password".to_owned(),
        key => format!("key {}", shown(key)),
    };
    writeln!(out, "session {}", session.sid)?;
    writeln!(
        out,
        "  {} as {}, with {key}",
        shown(&session.user),
        shown(&session.role)
    )?;
    writeln!(out, "  from {} port {}", shown(&session.ip), session.port)?;
    writeln!(
        out,
        "  began {}, {} {}",
        shown_with_zone(session.started, &look.zone),
        match session.end.word() {
            "running" => "running for".to_owned(),
            "unfinished" => "has no end on record after".to_owned(),
            reason => format!("ended ({}) after", shown(reason)),
        },
        length(session.duration_ms)
    )?;
    writeln!(
        out,
        "  programs {}, API calls {}, refused {}, SFTP operations {}, recordings {}, records {}",
        session.programs,
        session.api_calls,
        session.denials,
        session.sftp_operations,
        session.recordings,
        session.records
    )?;
    writeln!(out)
}

struct Timeline {
    start: Option<(u64, String, Timestamp)>,
    /// What was called, by the call's number: answers do not say it.
    calls: HashMap<u64, String>,
    /// Those that are still there, as records name them.
    recordings: HashSet<String>,
}

impl Timeline {
    fn write(&mut self, record: &Record, out: &mut impl Write) -> io::Result<()> {
        let elapsed = self.elapsed(record);
        let place = match record.channel() {
            None => String::new(),
            Some(channel) if record.kind().starts_with("channel.") => format!("#{channel}  "),
            Some(channel) => format!("#{channel}    "),
        };
        let text = self.text(record);
        writeln!(out, "{elapsed:>10}  {place}{text}")
    }

    /// By the clock that is not set, as long as the machine was not started anew.
    fn elapsed(&mut self, record: &Record) -> String {
        let mono = record.mono().unwrap_or(0);
        let boot = record.machine_boot();
        let (first, known, wall) = self
            .start
            .get_or_insert_with(|| (mono, boot.to_owned(), record.at()));
        let microseconds = if known == boot {
            mono.saturating_sub(*first) / 1000
        } else {
            let passed = record.at().as_microsecond() - wall.as_microsecond();
            u64::try_from(passed).unwrap_or(0)
        };
        let milliseconds = microseconds / 1000;
        format!("+{}.{:03}", milliseconds / 1000, milliseconds % 1000)
    }

    fn text(&mut self, record: &Record) -> String {
        let id = record.number("id");
        match (record.kind(), id) {
            ("api.request", Some(id)) => {
                if self.calls.len() < CALLS {
                    let call = ["method", "path"]
                        .map(|name| record.member_text(name))
                        .join(" ");
                    self.calls.insert(id, call);
                }
                describe(record)
            }
            ("api.response", Some(id)) => match self.calls.remove(&id) {
                Some(call) => format!("{} of {}", describe(record), shown(&call)),
                None => describe(record),
            },
            ("recording.end", _) if !self.recordings.contains(record.member_text("file")) => {
                describe(record) + ", deleted since"
            }
            ("exec", _) => {
                let more = record
                    .number("bytes")
                    .filter(|all| *all > 4096)
                    .map_or_else(String::new, |all| format!(" ({} in all)", bytes(all)));
                describe(record) + &more
            }
            _ => describe(record),
        }
    }
}
