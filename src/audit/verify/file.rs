//! One file: is each record as it was written, and does it follow the one before it?

use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use crate::audit::chain::{self, Head};
use crate::audit::totals::Totals;
use crate::model::escape;
use crate::wire::limits::RECORD_BYTES;

/// What the first record of a file must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// This head.
    Follows(Head),
    /// Whatever it says: the file before it is gone.
    Anything,
}

/// Where a chain breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub(in crate::audit) totals: Totals,
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

/// A good record, as it passes.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'r> {
    /// Its number in the file.
    pub seq: u64,
    /// All of it.
    pub value: &'r Value,
    /// The hash that it follows.
    pub prev: Head,
    /// Its own.
    pub head: Head,
}

impl<'r> Passing<'r> {
    /// Its type.
    #[must_use]
    pub fn kind(&self) -> &'r str {
        self.value
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A member of what its type adds.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&'r Value> {
        self.value.get("d")?.get(name)
    }

    /// A text among those.
    #[must_use]
    pub fn text(&self, name: &str) -> &'r str {
        self.member(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number among those.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.member(name).and_then(Value::as_u64)
    }
}

/// Reads one file of the trail to its first fault, and shows each good record to `visit`.
///
/// # Errors
/// What reading gives.
pub fn read(
    reader: impl Read,
    id: &str,
    first: First,
    mut visit: impl FnMut(Passing<'_>),
) -> std::io::Result<FileReport> {
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
            Ok((value, prev, head)) => {
                visit(Passing {
                    seq: report.records,
                    value: &value,
                    prev,
                    head,
                });
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

fn record(
    line: &[u8],
    id: &str,
    seq: u64,
    follows: Option<Head>,
) -> Result<(Value, Head, Head), Broken> {
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
        Ok((value, prev, computed))
    } else {
        Err(broken(
            Fault::Hash,
            chain::text(&computed),
            chain::text(&claimed),
        ))
    }
}
