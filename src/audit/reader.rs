//! A reader: answers one question about the trail that a session asked through the broker, and ends.
//!
//! It sees the trail without its keys, read-only, and nothing else. What it reads was written by sessions, so it may be
//! taken over by one: then it can say what is wrong, to whoever asked, and nothing more.

use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::read::replay::{Cast, Next, Recording, Screen, recordings};
use super::read::{
    Filter, Look, ReadError, SessionFile, Trail, owner, sessions, show, show_json, shown_json,
};
use crate::wire::{
    Form, Link, LinkError, Question, READ_BYTES, ReaderToBroker, Search, Subject, Wanted, Whose,
};

/// How many sessions are listed if nothing is said.
const NEWEST: u32 = 50;

/// Why a reader ends without having answered.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// The trail cannot be opened.
    #[error("cannot read the audit trail")]
    Trail(#[source] ReadError),
    /// Whoever asked is gone, or does not speak the link's language.
    #[error("cannot use the link to the broker")]
    Link(#[from] LinkError),
    /// It could not be written, or the broker has heard enough.
    #[error("cannot answer")]
    Answer(#[source] io::Error),
}

/// Why there is an answer, but not what was asked for.
enum No {
    NotThere(String),
    Unfit(String),
    Ended(ReaderError),
}

impl From<io::Error> for No {
    fn from(error: io::Error) -> Self {
        Self::Ended(ReaderError::Answer(error))
    }
}

impl From<ReadError> for No {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Write(error) => error.into(),
            ReadError::Ambiguous { .. } | ReadError::Recordings { .. } => {
                Self::Unfit(error.to_string())
            }
            ReadError::NoSession(_)
            | ReadError::NoSessions
            | ReadError::NoRecording(_)
            | ReadError::Recording { .. } => Self::NotThere(error.to_string()),
            ReadError::Open { .. } => Self::Ended(ReaderError::Trail(error)),
        }
    }
}

/// Answers the question that comes from `broker`, about the trail in `directory`, with times in `zone`.
///
/// # Errors
/// See [`ReaderError`]; that there is nothing to be shown is none.
pub fn run(
    directory: &Path,
    zone: TimeZone,
    broker: &Link<ReaderToBroker, Question>,
) -> Result<(), ReaderError> {
    let question = broker.recv()?;
    let trail = Trail::open(directory)
        .map_err(ReaderError::Trail)?
        .on_one_thread();
    let mut answer = Answer {
        broker,
        bytes: Vec::new(),
    };
    let done = respond(&trail, zone, &question, &mut answer);
    match done.and_then(|()| Ok(answer.flush()?)) {
        Ok(()) => broker.send(&ReaderToBroker::End)?,
        Err(No::NotThere(why)) => broker.send(&ReaderToBroker::NotThere(why))?,
        Err(No::Unfit(why)) => broker.send(&ReaderToBroker::Unfit(why))?,
        Err(No::Ended(error)) => return Err(error),
    }
    Ok(())
}

/// What goes to the broker, in messages of [`READ_BYTES`].
struct Answer<'l> {
    broker: &'l Link<ReaderToBroker, Question>,
    bytes: Vec<u8>,
}

impl Answer<'_> {
    fn found(&mut self, subject: Subject) -> Result<(), No> {
        let said = self.broker.send(&ReaderToBroker::Found(subject));
        said.map_err(|error| No::Ended(error.into()))
    }

    fn send(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.bytes);
        let sent = self.broker.send(&ReaderToBroker::Bytes(bytes));
        sent.map_err(io::Error::other)
    }
}

impl Write for Answer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = READ_BYTES - self.bytes.len();
        let (now, _) = bytes.split_at(room.min(bytes.len()));
        self.bytes.extend_from_slice(now);
        if self.bytes.len() == READ_BYTES {
            self.send()?;
        }
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.bytes.is_empty() {
            true => Ok(()),
            false => self.send(),
        }
    }
}

fn respond(
    trail: &Trail,
    zone: TimeZone,
    question: &Question,
    out: &mut Answer<'_>,
) -> Result<(), No> {
    match &question.what {
        Wanted::List(search) => {
            let found = list(trail, zone, &question.whose, search)?;
            out.found(Subject::Sessions)?;
            out.write_all(shown_json(&found.to_string()).as_bytes())?;
        }
        Wanted::Session { session, form } => {
            let file = find(trail, question, session)?;
            out.found(Subject::Session(file.sid))?;
            match form {
                Form::Json => show_json(trail, file, out)?,
                Form::Text => {
                    let look = Look {
                        zone,
                        columns: None,
                    };
                    show(trail, file, &look, out)?;
                    let (problems, more) = trail.problems();
                    for problem in &problems {
                        writeln!(out, "not read: {problem}")?;
                    }
                    if more > 0 {
                        writeln!(out, "not read: {more} more such places")?;
                    }
                }
            }
        }
        Wanted::Recording { session, recording } => {
            let file = find(trail, question, session)?;
            let all = recordings(trail, file);
            let Some(found) = all.iter().find(|one| one.name() == *recording) else {
                return Err(No::NotThere(without(file, recording, &all)));
            };
            replay(trail, file, found, out)?;
        }
    }
    Ok(())
}

/// The session, of those that whoever asks may see; the last one is the last other one.
fn find(trail: &Trail, question: &Question, text: &str) -> Result<SessionFile, No> {
    let whose = &question.whose;
    let sees = |file: SessionFile| match whose {
        _ if text == "last" && file.sid == question.by => false,
        Whose::Everybodys => true,
        Whose::OfKey(_) | Whose::OfPassword => {
            owner(trail, file).is_some_and(|key| sees(whose, &key))
        }
    };
    Ok(trail.find_among(text, sees)?)
}

/// Whether the session of this key, `SHA256:...` and a comment or empty for a password, is one of those.
fn sees(whose: &Whose, key: &str) -> bool {
    match whose {
        Whose::Everybodys => true,
        Whose::OfKey(fingerprint) => key.split(' ').next() == Some(fingerprint),
        Whose::OfPassword => key.is_empty(),
    }
}

fn list(trail: &Trail, zone: TimeZone, whose: &Whose, search: &Search) -> Result<Value, No> {
    // Not by way of this machine's zone, whose file cannot be read here.
    let now = Timestamp::now().to_zoned_datetime(zone);
    let filter = Filter::of(search, &now).map_err(|fault| No::Unfit(fault.to_string()))?;
    let mut found = sessions(trail, &filter);
    found.retain(|session| sees(whose, &session.key));
    let all = found.len();
    let newest = usize::try_from(search.newest.unwrap_or(NEWEST)).unwrap_or(usize::MAX);
    let shown = found.split_off(all.saturating_sub(newest));
    let (problems, more) = trail.problems();
    let mut problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if more > 0 {
        problems.push(format!("{more} more such places"));
    }
    let sessions = serde_json::to_value(&shown).map_err(io::Error::from)?;
    let mut data = json!({ "sessions": sessions, "found": all });
    if let (false, Some(data)) = (problems.is_empty(), data.as_object_mut()) {
        data.insert("not_read".to_owned(), json!(problems));
    }
    Ok(json!({ "result": "ok", "data": data }))
}

fn without(file: SessionFile, recording: &str, all: &[Recording]) -> String {
    let names: Vec<String> = all.iter().map(Recording::name).collect();
    match names.as_slice() {
        [] => format!("session {} has no recording", file.sid),
        names => format!(
            "session {} has no recording {recording}, but {}",
            file.sid,
            names.join(", ")
        ),
    }
}

/// The recording as asciicast, version 3, of which nothing can drive a terminal: what is output is what [`Screen`] lets
/// through, and what else there is, is no output.
fn replay(
    trail: &Trail,
    file: SessionFile,
    recording: &Recording,
    out: &mut Answer<'_>,
) -> Result<(), No> {
    let mut cast = Cast::open(trail, recording)?;
    out.found(Subject::Recording {
        sid: file.sid,
        file: recording.id(),
    })?;
    let header = json!({
        "version": 3,
        "term": { "cols": cast.header.columns, "rows": cast.header.rows },
        "timestamp": cast.header.timestamp,
        "command": cast.header.command,
        "title": cast.header.title,
    });
    line(out, &header)?;
    let mut screen = Screen::new();
    loop {
        match cast.next_event() {
            Next::End => break,
            Next::Damaged(at, why) => {
                line(
                    out,
                    &json!([0, "m", format!("damaged at byte {at}: {why}")]),
                )?;
                break;
            }
            Next::Event(event) => {
                let text = match event.code.as_str() {
                    "o" => screen.pass(&event.text),
                    // The bytes of the next event as they were.
                    "b" => String::new(),
                    _ => event.text,
                };
                let code = match event.code.as_str() {
                    "b" => "m",
                    code => code,
                };
                line(out, &json!([event.after.as_secs_f64(), code, text]))?;
            }
        }
    }
    line(out, &json!([0, "o", screen.restore()]))?;
    Ok(())
}

fn line(out: &mut Answer<'_>, value: &Value) -> io::Result<()> {
    writeln!(out, "{}", shown_json(&value.to_string()))
}
