//! The readers of records. The input begins with a letter: see [`run`].

use hassio_sshd::audit::chain::{self, Head};
use hassio_sshd::audit::note::{self, Key, Note};
use hassio_sshd::audit::read::{self, describe, shown, shown_json};
use hassio_sshd::audit::record::{Entry, Who};
use hassio_sshd::audit::verify::file::{self, FileReport, First};
use hassio_sshd::model::is_hostile;
use hassio_sshd::wire::limits::RECORD_BYTES;
use hassio_sshd::wire::{self, Record};
use serde_json::Value;

use super::{heap, trail};

const ID: &str = "ledger/000001.jsonl";
/// What the reader of one file may hold: a buffer, a line, and that line's JSON.
const HELD_BYTES: usize = 4 * 1024 * 1024;

/// Reads what follows the letter in its way.
pub fn run(data: &[u8]) {
    let Some((letter, rest)) = data.split_first() else {
        return;
    };
    match letter {
        // A file as it lies there.
        b'f' => lines(rest),
        // Lines without the members that a chain has, which they get: so that what is behind the chain is reached.
        b'c' => chained(rest),
        // A whole trail of such lines.
        b't' => trail::run(rest),
        // What a process reports, to be written.
        b'w' => written(rest),
        // A signed note, or a line of the log that holds one.
        b'n' => signed(rest),
        _ => {}
    }
}

/// Each line for itself, and all of them as a file.
fn lines(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        one(line);
    }
    for first in [First::Follows(chain::START), First::Anything] {
        verified(bytes, first);
    }
}

fn verified(bytes: &[u8], first: First) -> FileReport {
    let read = || file::read(bytes, ID, first, |_| {});
    let (report, held) = heap::most(|| read().unwrap());
    assert!(held <= HELD_BYTES, "{held}");
    let whole = usize::try_from(report.whole_bytes).unwrap();
    let torn = usize::try_from(report.torn_bytes).unwrap();
    // All of it was read, or a fault is named.
    assert!(whole + torn == bytes.len() || report.broken.is_some());
    let good = bytes[..whole].iter().filter(|byte| **byte == b'\n');
    assert_eq!(u64::try_from(good.count()).unwrap(), report.records);
    if let Some(broken) = &report.broken {
        assert_eq!(broken.seq, report.records);
        harmless(&broken.expected);
        harmless(&broken.found);
    }
    // What was found good is so by itself.
    if report.records > 0 {
        let again = file::read(&bytes[..whole], ID, first, |_| {}).unwrap();
        assert_eq!((again.head, again.broken), (report.head, None));
    }
    report
}

fn one(line: &[u8]) {
    if let Some((body, prev, claimed)) = chain::parts(line) {
        // What is taken apart can be put together.
        let end = format!(",\"hash\":\"{}\"}}", chain::text(&claimed));
        assert_eq!([body, end.as_bytes()].concat(), line);
        let (sealed, head) = seal(ID, &prev, body);
        assert_eq!(chain::parts(&sealed), Some((body, prev, head)));
    }
    let Some(record) = read::Record::read(line) else {
        return;
    };
    harmless(&describe(&record));
    harmless(&shown(record.text("user")));
    let text = std::str::from_utf8(line).unwrap();
    let safe = shown_json(text);
    harmless(&safe);
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&safe).unwrap(), value);
    let _facts = (record.mono(), record.machine_boot(), record.ok());
    let _facts = (record.channel(), record.seq(), record.port());
    let _who = Who::from_record(&value);
    if let Some(note) = note::of_record(&value) {
        checked(&note);
    }
}

/// Seals a body that has its `prev` already.
fn seal(id: &str, prev: &Head, body: &[u8]) -> (Vec<u8>, Head) {
    let before = body.len() - ",\"prev\":\"\"".len() - chain::text(prev).len();
    let (mut line, head) = chain::seal(id, prev, body[..before].to_vec());
    line.pop();
    (line, head)
}

/// What comes of each line: `type` and what follows it, as a record in its place.
pub(super) fn in_place(id: &str, prev: Head, seq: u64, members: &[u8]) -> (Vec<u8>, Head) {
    let before = format!(
        "{{\"v\":1,\"seq\":{seq},\"ts\":\"2026-11-24T08:37:20.{:06}Z\",\"mono\":\"{}\",\"boot\":\"0123abcd-1\",",
        seq % 1_000_000,
        5_000_000_000 + seq,
    );
    chain::seal(id, &prev, [before.as_bytes(), members].concat())
}

fn chained(bytes: &[u8]) {
    let (mut whole, mut prev, mut all_good) = (Vec::new(), chain::START, true);
    for (seq, members) in (0..).zip(bytes.split(|byte| *byte == b'\n')) {
        let (line, head) = in_place(ID, prev, seq, members);
        let text = line.strip_suffix(b"\n").unwrap();
        one(text);
        let value = serde_json::from_slice::<Value>(text);
        // A later `seq` counts, and JSON may say it twice.
        let is_record = value.is_ok_and(|value| value.get("seq") == Some(&seq.into()));
        all_good &= is_record && line.len() <= RECORD_BYTES;
        whole.extend(line);
        prev = head;
    }
    let report = verified(&whole, First::Follows(chain::START));
    assert_eq!(report.broken.is_none(), all_good);
    if all_good {
        assert_eq!(report.head, prev);
        // And no byte of it can be another one.
        let at = whole.len() / 2;
        whole[at] ^= 1;
        let report = file::read(whole.as_slice(), ID, First::Follows(chain::START), |_| {});
        let report = report.unwrap();
        assert!(report.broken.is_some() || report.torn_bytes > 0);
    }
}

/// Whatever a process reports becomes a line that all readers read, and that says the same.
fn written(bytes: &[u8]) {
    let Ok(record) = wire::decode::<Record>(bytes) else {
        return;
    };
    let who = Who {
        cid: record.cid.map(|cid| cid.to_string()),
        sid: record.sid.map(|sid| sid.to_string()),
        ..Who::default()
    };
    let entry = Entry::new(who, record.channel, record.ok, &record.event);
    let (line, head) = entry.line(ID, 0, "0123abcd-1", &chain::START);
    assert!(line.len() <= RECORD_BYTES);
    let report = verified(&line, First::Follows(chain::START));
    assert_eq!((report.records, report.head), (1, head));
    let line = line.strip_suffix(b"\n").unwrap();
    harmless(std::str::from_utf8(line).unwrap());
    one(line);
    let read = read::Record::read(line).unwrap();
    assert_eq!((read.kind(), read.ok()), (record.event.kind(), record.ok));
    assert_eq!(read.channel(), record.channel.map(|ch| u64::from(ch.0)));
    let value: Value = serde_json::from_slice(line).unwrap();
    assert_eq!(Who::from_record(&value), entry.who);
    // What was cut and escaped stays as it is.
    let again = Entry {
        d: read.d().unwrap().clone(),
        ..entry
    };
    let (again, _) = again.line(ID, 0, "0123abcd-1", &chain::START);
    assert_eq!(again.strip_suffix(b"\n").unwrap(), line);
}

fn signed(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for note in [Note::parse(&text), Note::find(&text)]
        .into_iter()
        .flatten()
    {
        checked(&note);
    }
    for line in text.lines() {
        if let Some(key) = Key::parse(line) {
            assert_eq!(key.to_string(), line);
        }
    }
}

fn checked(note: &Note) {
    assert_eq!(Note::parse(&note.to_string()).as_ref(), Some(note));
    assert_eq!(Note::find(&note.one_line()).as_ref(), Some(note));
    let _names = note.signers();
    if let Some(said) = note.checkpoint() {
        let key = said.next.clone();
        let _known = key.is_some_and(|key| key.is_sound() && note.is_signed_by(&key));
        let again = hassio_sshd::audit::note::Checkpoint::parse(&said.text());
        assert_eq!(again, Some(said));
    }
}

/// Nothing that drives a terminal.
pub(super) fn harmless(text: &str) {
    assert!(!text.chars().any(|c| c.is_control() || is_hostile(c)));
}
