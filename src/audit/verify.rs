//! Verification: is each record as it was written, and does it follow the one before it? Only reads.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::chain::{self, Head};
use super::totals::Totals;
use crate::model::escape;
use crate::sys::directory::Directory;
use crate::wire::limits::RECORD_BYTES;

/// The most entries looked at in one directory.
const ENTRIES: usize = 1_000_000;

/// What the first record of a file must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// This head.
    Follows(Head),
    /// Whatever it says: the file before it is gone.
    Anything,
}

/// Where a chain breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The number that the record at this place should have.
    pub seq: u64,
    /// What is wrong there.
    pub fault: Fault,
    /// What should be there.
    pub expected: String,
    /// What is.
    pub found: String,
}

/// How a record can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The line is no record.
    Form,
    /// Its number does not follow.
    Seq,
    /// It does not follow the record before it.
    Prev,
    /// Its bytes are not those that were hashed.
    Hash,
}

/// What one file holds.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// Good records, up to the first fault.
    pub records: u64,
    /// The head after them.
    pub head: Head,
    /// The first fault.
    pub broken: Option<Broken>,
    /// Bytes of whole lines.
    pub whole_bytes: u64,
    /// Bytes after the last newline.
    pub torn_bytes: u64,
    /// The last good record.
    pub last: Option<Value>,
    /// CLOCK_BOOTTIME between the first and the last good record, where both are of one boot.
    pub duration_ns: Option<u64>,
    pub(super) totals: Totals,
}

impl FileReport {
    /// Whether the last record closes a session.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.last
            .as_ref()
            .is_some_and(|last| last.get("type").and_then(Value::as_str) == Some("session.close"))
    }
}

/// Reads one file of the trail to its first fault.
///
/// # Errors
/// What reading gives.
pub fn file(reader: impl Read, id: &str, first: First) -> std::io::Result<FileReport> {
    let mut reader = BufReader::with_capacity(64 * 1024, reader);
    let mut report = FileReport {
        records: 0,
        head: chain::START,
        broken: None,
        whole_bytes: 0,
        torn_bytes: 0,
        last: None,
        duration_ns: None,
        totals: Totals::default(),
    };
    let mut start: Option<(String, u64)> = None;
    let limit = u64::try_from(RECORD_BYTES).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    loop {
        line.clear();
        let got = reader.by_ref().take(limit).read_until(b'\n', &mut line)?;
        let length = u64::try_from(got).unwrap_or(0);
        let Some(text) = line.strip_suffix(b"\n") else {
            if length == limit {
                report.broken = Some(Broken {
                    seq: report.records,
                    fault: Fault::Form,
                    expected: format!("a line of at most {RECORD_BYTES} bytes"),
                    found: "a longer one".to_owned(),
                });
            } else {
                report.torn_bytes = length;
            }
            break;
        };
        let follows = match first {
            First::Anything if report.records == 0 => None,
            First::Follows(head) if report.records == 0 => Some(head),
            First::Anything | First::Follows(_) => Some(report.head),
        };
        match record(text, id, report.records, follows) {
            Err(broken) => {
                report.broken = Some(broken);
                break;
            }
            Ok((value, head)) => {
                let boot = value
                    .get("boot")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned();
                let mono = value
                    .get("mono")
                    .and_then(Value::as_str)
                    .and_then(|n| n.parse::<u64>().ok());
                let (first_boot, first_mono) =
                    start.get_or_insert_with(|| (boot.clone(), mono.unwrap_or(0)));
                let same = boot.get(..8) == first_boot.get(..8);
                report.duration_ns = mono
                    .filter(|_| same)
                    .and_then(|mono| mono.checked_sub(*first_mono));
                if let (Some(kind), Some(d)) = (
                    value.get("type").and_then(Value::as_str),
                    value.get("d").and_then(Value::as_object),
                ) {
                    report.totals.see(kind, d);
                }
                report.records += 1;
                report.head = head;
                report.whole_bytes += length;
                report.last = Some(value);
            }
        }
    }
    Ok(report)
}

fn record(line: &[u8], id: &str, seq: u64, follows: Option<Head>) -> Result<(Value, Head), Broken> {
    let broken = |fault, expected: String, found: String| Broken {
        seq,
        fault,
        expected,
        found,
    };
    let shown = || escape(line, 80);
    let form = || broken(Fault::Form, "a record".to_owned(), shown());
    let value: Value = serde_json::from_slice(line).map_err(|_| form())?;
    let (body, prev, claimed) = chain::parts(line).ok_or_else(form)?;
    match value.get("seq").and_then(Value::as_u64) {
        Some(found) if found == seq => {}
        Some(found) => return Err(broken(Fault::Seq, seq.to_string(), found.to_string())),
        None => return Err(form()),
    }
    if let Some(head) = follows.filter(|head| *head != prev) {
        return Err(broken(Fault::Prev, chain::text(&head), chain::text(&prev)));
    }
    let computed = chain::next(id, &prev, body);
    if computed == claimed {
        Ok((value, computed))
    } else {
        Err(broken(
            Fault::Hash,
            chain::text(&computed),
            chain::text(&claimed),
        ))
    }
}

/// What a whole trail holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Files read.
    pub files: u64,
    /// Good records in them.
    pub records: u64,
    /// Broken files, with their first fault.
    pub broken: Vec<(String, Broken)>,
    /// Files that were put aside as damaged when the server found them.
    pub quarantined: Vec<String>,
    /// Torn tails: the file and how many bytes, whether still in place or put aside by a later start.
    pub torn: Vec<(String, u64)>,
    /// Sessions whose file has no `session.close`: they run, or the server was killed and not started since.
    pub unfinished: Vec<String>,
    /// What could not be read.
    pub unreadable: Vec<String>,
}

impl Report {
    /// The exit code: 10 for a broken chain, 1 where something could not be read, 13 for torn tails only, else 0.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if !self.broken.is_empty() || !self.quarantined.is_empty() {
            10
        } else if !self.unreadable.is_empty() {
            1
        } else if self.torn.is_empty() {
            0
        } else {
            13
        }
    }

    /// As JSON, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(members) = &mut value {
            members.insert("exit_code".to_owned(), self.exit_code().into());
        }
        format!("{value}\n")
    }

    /// As lines for a terminal; nothing in them can drive it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let clean = |text: &str| escape(text.as_bytes(), 256);
        let mut lines = Vec::new();
        for (file, broken) in &self.broken {
            let what = match broken.fault {
                Fault::Form => "is no record",
                Fault::Seq => "has another number",
                Fault::Prev => "does not follow the record before it",
                Fault::Hash => "is not as it was written",
            };
            lines.push(format!(
                "broken: {}, record {}: {what}\n  expected {}\n  found    {}",
                clean(file),
                broken.seq,
                clean(&broken.expected),
                clean(&broken.found)
            ));
        }
        lines.extend(
            self.quarantined
                .iter()
                .map(|file| format!("put aside as damaged: {}", clean(file))),
        );
        lines.extend(
            self.unreadable
                .iter()
                .map(|file| format!("cannot be read: {}", clean(file))),
        );
        lines.extend(
            self.torn
                .iter()
                .map(|(file, bytes)| format!("torn tail: {}, {bytes} bytes", clean(file))),
        );
        lines.extend(
            self.unfinished
                .iter()
                .map(|file| format!("not closed: {}", clean(file))),
        );
        let verdict = match self.exit_code() {
            0 => "intact",
            10 => "BROKEN",
            13 => "intact but for torn tails",
            _ => "not all of it could be read",
        };
        lines.push(format!(
            "{verdict}: {} records in {} files\n",
            self.records, self.files
        ));
        lines.join("\n")
    }
}

/// Verifies the trail in `path`. What cannot be read is in the report.
#[must_use]
pub fn directory(path: &Path) -> Report {
    let mut report = Report::default();
    let Ok(root) = Directory::open(path) else {
        report.unreadable.push(path.display().to_string());
        return report;
    };
    ledger(&root, &mut report);
    sessions(&root, &mut report);
    if let Ok(aside) = root.descend("quarantine") {
        let names = names(&aside, "quarantine", &mut report);
        report
            .quarantined
            .extend(names.into_iter().map(|name| format!("quarantine/{name}")));
    }
    report
}

fn ledger(root: &Directory, report: &mut Report) {
    let Ok(directory) = root.descend("ledger") else {
        report.unreadable.push("ledger".to_owned());
        return;
    };
    let mut before: Option<(u64, Option<Head>)> = None;
    for name in names(&directory, "ledger", report) {
        let id = format!("ledger/{name}");
        let number = name
            .strip_suffix(".jsonl")
            .and_then(|n| n.parse::<u64>().ok());
        let Some(number) = number else {
            aside(&directory, &name, &id, report);
            continue;
        };
        let damaged_before = number.checked_sub(1).is_some_and(|n| {
            root.descend("quarantine")
                .and_then(|q| q.read(&format!("ledger-{n:06}.jsonl")))
                .is_ok()
        });
        let first = match before {
            Some((_, None)) => First::Anything,
            Some((_, Some(head))) if !damaged_before => First::Follows(head),
            None if number == 1 => First::Follows(chain::START),
            _ => First::Anything,
        };
        let read = one(&directory, &name, &id, first, report);
        // After a fault the next segment is judged by itself: one fault is reported once.
        before = Some((
            number,
            read.filter(|read| read.broken.is_none())
                .map(|read| read.head),
        ));
    }
}

fn sessions(root: &Directory, report: &mut Report) {
    let mut level = vec!["sessions".to_owned()];
    for _ in 0..3 {
        let mut below = Vec::new();
        for path in level {
            if let Ok(directory) = root.descend(&path) {
                below.extend(
                    names(&directory, &path, report)
                        .into_iter()
                        .map(|name| format!("{path}/{name}")),
                );
            } else if path != "sessions" {
                report.unreadable.push(path);
            }
        }
        level = below;
    }
    for path in level {
        let Ok(directory) = root.descend(&path) else {
            report.unreadable.push(path);
            continue;
        };
        for name in names(&directory, &path, report) {
            let id = format!("{path}/{name}");
            if !name.ends_with(".jsonl") {
                aside(&directory, &name, &id, report);
                continue;
            }
            let read = one(&directory, &name, &id, First::Follows(chain::START), report);
            if read.is_some_and(|read| read.broken.is_none() && !read.is_closed()) {
                report.unfinished.push(id);
            }
        }
    }
}

/// The entries' names, sorted.
fn names(directory: &Directory, path: &str, report: &mut Report) -> Vec<String> {
    match directory.names(ENTRIES) {
        Ok(mut names) => {
            names.sort();
            names
        }
        Err(_) => {
            report.unreadable.push(path.to_owned());
            Vec::new()
        }
    }
}

/// A file that is no part of the trail itself: a torn tail that a start put aside, or a stranger.
fn aside(directory: &Directory, name: &str, id: &str, report: &mut Report) {
    let size = directory
        .read(name)
        .ok()
        .and_then(|file| file.metadata().ok())
        .map(|about| about.len());
    match size {
        Some(bytes) if name.contains(".jsonl.torn") => report.torn.push((id.to_owned(), bytes)),
        _ => report.unreadable.push(id.to_owned()),
    }
}

fn one(
    directory: &Directory,
    name: &str,
    id: &str,
    first: First,
    report: &mut Report,
) -> Option<FileReport> {
    let Some(read) = directory
        .read(name)
        .ok()
        .and_then(|reader| file(reader, id, first).ok())
    else {
        report.unreadable.push(id.to_owned());
        return None;
    };
    report.files += 1;
    report.records += read.records;
    if let Some(broken) = &read.broken {
        report.broken.push((id.to_owned(), broken.clone()));
    }
    if read.torn_bytes > 0 {
        report.torn.push((id.to_owned(), read.torn_bytes));
    }
    Some(read)
}
