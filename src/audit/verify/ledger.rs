use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::file::{Fault, FileReport, First, Passing};
use super::report::{Report, What};
use super::{aside, names, one};
use crate::audit::chain::{self, Head};
use crate::audit::mark::Mark;
use crate::audit::note::{self, Key, Note};
use crate::audit::store::{Store, read_mark};
use crate::sys::directory::Directory;

/// How long a session can be without an anchor; that is written within a second, unless the disk stands still.
const UNKNOWN_FOR: SignedDuration = SignedDuration::from_secs(120);
/// No rule deletes the records of a session that began less long ago: `record_days` is at least seven, and so is what is
/// deleted where space is short.
const YOUNG: SignedDuration = SignedDuration::from_hours(6 * 24);
/// The most missing segments that are named one by one.
const GAPS: u64 = 1000;

/// What the ledger says of everything else.
#[derive(Default)]
pub(super) struct Learnt {
    /// Of each session's file: what it held at some moments.
    pub(super) anchors: HashMap<String, Vec<Anchor>>,
    /// Files that were deleted by rule.
    pub(super) expired: HashMap<String, Expiry>,
    /// Recordings that were deleted by rule.
    pub(super) deleted: HashSet<String>,
    /// Torn tails that a start put aside.
    pub(super) explained: HashSet<String>,
    /// Whether some of the ledger could not be read: a session that it does not name may be named there.
    pub(super) holes: bool,
    /// When its last record was made.
    pub(super) last: Option<Timestamp>,
}

/// That a file was deleted by rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry {
    /// The hash of its last record.
    pub(super) head: Head,
    /// What began after this was too young for it.
    limit: Timestamp,
}

impl Expiry {
    /// Whether a session that began then was too young. Of a segment of the ledger nothing that is left tells its age.
    pub(super) fn is_early(&self, at: Timestamp) -> bool {
        at > self.limit
    }
}

/// What a session's file held at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) records: u64,
    pub(super) head: Head,
    pub(super) last: bool,
}

/// Reads all segments.
pub(super) fn read(root: &Directory, against: Option<&Note>, report: &mut Report) -> Learnt {
    let mut walk = Walk {
        against,
        base: Some(0),
        ..Walk::default()
    };
    match root.descend("ledger") {
        Ok(directory) => walk.segments(root, &directory, report),
        Err(_) => report.find(What::Unreadable, "ledger", None, "", ""),
    }
    walk.learnt
}

/// How far the reading has come.
#[derive(Default)]
struct Walk<'w> {
    learnt: Learnt,
    against: Option<&'w Note>,
    /// Records in the segments before; none after some that could not be read.
    base: Option<u64>,
    key: Option<Key>,
    /// What each segment's first record follows.
    firsts: HashMap<u64, Head>,
    /// When the first record was made of those that are read without a gap; none from the very first on.
    since: Option<Timestamp>,
    /// When the last checkpoint was made, by a clock that was not set since. Sessions that began before are known.
    floor: Option<Timestamp>,
    /// The boot of the machine.
    boot: String,
    /// What is said to have expired since the last checkpoint, and when.
    expiring: Vec<(String, Timestamp)>,
    /// Records of the whole ledger that a checkpoint signs, itself included.
    signed: u64,
    /// The place that the note from outside speaks of.
    at_note: Option<(Head, Option<Key>)>,
}

impl Walk<'_> {
    fn segments(&mut self, root: &Directory, directory: &Directory, report: &mut Report) {
        let (mut numbers, mut others) = (Vec::new(), Vec::new());
        for name in names(directory, "ledger", report) {
            let id = format!("ledger/{name}");
            match Store::segment_number(&id).filter(|number| Store::segment_id(*number) == id) {
                Some(number) => numbers.push(number),
                None => others.push((name, id)),
            }
        }
        numbers.sort_unstable();
        let mut gaps = Vec::new();
        let mut next = 1;
        let mut before: Option<Head> = Some(chain::START);
        let mut last: Option<(u64, FileReport)> = None;
        let highest = numbers.last().copied();
        for number in numbers {
            if number > next {
                gaps.extend(next..number.min(next.saturating_add(GAPS)));
                (self.base, self.key, before) = (None, None, None);
                self.floor = None;
            }
            let gap = number > next;
            let first = before.map_or(First::Anything, First::Follows);
            let read = self.segment(directory, number, first, gap, report);
            // One fault is reported once: after it the next segment is judged by itself.
            let whole = read.as_ref().filter(|read| read.broken.is_none());
            before = whole.and_then(|read| match read.records {
                // A full disk left it empty.
                0 => before,
                _ => Some(read.head),
            });
            self.base = before
                .and(self.base)
                .and_then(|base| read.as_ref().map(|read| base.saturating_add(read.records)));
            if before.is_none() {
                self.key = None;
                self.learnt.holes = true;
            }
            if let Some((number, read)) = &last {
                // Where a start had no room to put it aside.
                tail(&Store::segment_id(*number), read, None, report);
            }
            self.learnt.last = read
                .as_ref()
                .and_then(|read| moment(read.last.as_ref()?))
                .or(self.learnt.last);
            next = number.saturating_add(1);
            last = read.map(|read| (number, read));
        }
        for gap in gaps {
            self.gap(root, gap, report);
        }
        // What could not be read is reported already.
        if last.as_ref().map(|(number, _)| *number) == highest {
            self.end(root, last, report);
        }
        for (name, id) in others {
            aside(directory, &name, &id, &self.learnt, report);
        }
        report.unsigned = self.base.unwrap_or(self.signed).saturating_sub(self.signed);
        self.compare_note(before, report);
    }

    /// A segment that is not there.
    fn gap(&mut self, root: &Directory, number: u64, report: &mut Report) {
        let id = Store::segment_id(number);
        let quarantined = root
            .descend("quarantine")
            .and_then(|directory| directory.read(&id.replace('/', "-")))
            .is_ok();
        let follower = self.firsts.get(&number.saturating_add(1));
        match (self.learnt.expired.get(&id), follower) {
            (Some(Expiry { head, .. }), Some(first)) if head != first => {
                let next = Store::segment_id(number.saturating_add(1));
                let what = What::Broken(Fault::Prev);
                report.find(
                    what,
                    &next,
                    Some(0),
                    &chain::text(head),
                    &chain::text(first),
                );
            }
            (Some(_), _) => report.expired += 1,
            (None, _) => {
                self.learnt.holes = true;
                // Reported with the quarantine.
                if !quarantined {
                    report.find(What::Missing, &id, None, "", "");
                }
            }
        }
    }

    /// The last segment's end, and what was on the disk of it.
    fn end(&self, root: &Directory, last: Option<(u64, FileReport)>, report: &mut Report) {
        let mark = read_mark(root, "ledger");
        let of = |mark: &Mark| Store::segment_number(&mark.id);
        match (last, mark) {
            (Some((number, read)), Some(mark)) if of(&mark) == Some(number) => {
                tail(&Store::segment_id(number), &read, Some(&mark), report);
            }
            (last, Some(mark)) if of(&mark) > last.as_ref().map(|(number, _)| *number) => {
                let expected = format!("{} records", mark.records);
                report.find(What::Missing, &mark.id, None, &expected, "");
            }
            (Some((number, read)), _) => tail(&Store::segment_id(number), &read, None, report),
            (None, Some(mark)) => report.find(What::Missing, &mark.id, None, "", ""),
            (None, None) => {}
        }
    }

    fn segment(
        &mut self,
        directory: &Directory,
        number: u64,
        first: First,
        gap: bool,
        report: &mut Report,
    ) -> Option<FileReport> {
        let id = Store::segment_id(number);
        let name = format!("{number:06}.jsonl");
        one(directory, &name, &id, first, report, |report, record| {
            if record.seq == 0 {
                self.firsts.insert(number, record.prev);
                if gap {
                    self.since = moment(record.value);
                }
                // Another boot may have begun with another clock.
                let boot = boot(record.value);
                if boot != self.boot {
                    self.boot = boot.to_owned();
                    self.floor = None;
                }
                self.open(&id, number, record, report);
            }
            self.record(&id, record, report);
        })
    }

    /// A segment's first record.
    fn open(&mut self, id: &str, number: u64, record: Passing<'_>, report: &mut Report) {
        let key = Key::parse(record.text("key"));
        let records = record.number("records");
        let is_opening = record.kind() == "segment.open" && record.number("number") == Some(number);
        let (true, Some(key), Some(records)) = (is_opening, key, records) else {
            let expected = format!("segment.open of {number}");
            return report.find(
                What::Broken(Fault::Form),
                id,
                Some(0),
                &expected,
                record.kind(),
            );
        };
        match self.base {
            Some(base) if base != records => {
                let (expected, found) = (base.to_string(), records.to_string());
                report.find(What::Broken(Fault::Seq), id, Some(0), &expected, &found);
            }
            Some(_) | None => self.base = Some(records),
        }
        match &self.key {
            Some(known) if *known != key => {
                report.find(What::Key, id, Some(0), &known.to_string(), &key.to_string());
            }
            None if !key.is_sound() => {
                report.find(
                    What::Key,
                    id,
                    Some(0),
                    &key.trail.to_string(),
                    &key.to_string(),
                );
            }
            Some(_) | None => {}
        }
        report.trail.get_or_insert_with(|| key.trail.to_string());
        self.key = Some(key);
    }

    fn record(&mut self, id: &str, record: Passing<'_>, report: &mut Report) {
        let at = self.base.map(|base| base.saturating_add(record.seq));
        if at.is_some() && at == self.noted() {
            self.at_note = Some((record.prev, self.key.clone()));
        }
        match record.kind() {
            "anchor" => self.anchor(record, report),
            "clock.step" => self.floor = None,
            "checkpoint" => self.checkpoint(id, at, record, report),
            "expire" => {
                if let Some(head) = chain::from_text(record.text("head").as_bytes()) {
                    let file = record.text("file").to_owned();
                    // One of a time that has not come, or of none, lets nothing expire.
                    let at =
                        moment(record.value).filter(|at| !is_long_before(Timestamp::now(), *at));
                    let at = at.unwrap_or(Timestamp::MIN);
                    self.expiring.push((file.clone(), at));
                    let limit = at.checked_sub(YOUNG).unwrap_or(Timestamp::MIN);
                    let before = self.learnt.expired.get(&file).map(|before| before.limit);
                    let limit = before.map_or(limit, |before| before.min(limit));
                    self.learnt.expired.insert(file, Expiry { head, limit });
                }
            }
            "recording.delete" => {
                self.learnt.deleted.insert(record.text("file").to_owned());
            }
            "recovery" => {
                self.learnt
                    .explained
                    .insert(record.text("moved_to").to_owned());
                if let Some(bytes) = record.number("missing_bytes").filter(|bytes| *bytes > 0) {
                    let found = format!("{bytes} bytes less when the server started");
                    let (file, records) = (record.text("file"), record.number("records"));
                    report.find(What::Cut, file, records, "", &found);
                    // The file went on from there: what was known of it beyond is void.
                    if let Some(anchors) = self.learnt.anchors.get_mut(file) {
                        anchors.retain(|anchor| Some(anchor.records) <= records);
                    }
                }
            }
            _ => {}
        }
    }

    fn anchor(&mut self, record: Passing<'_>, report: &mut Report) {
        let head = chain::from_text(record.text("head").as_bytes());
        if let (Some(head), Some(records)) = (head, record.number("records")) {
            let last = record.member("last").and_then(Value::as_bool);
            let anchor = Anchor {
                records,
                head,
                last: last == Some(true),
            };
            let file = record.text("file").to_owned();
            if !self.learnt.anchors.contains_key(&file) {
                self.begins(&file, report);
            }
            self.learnt.anchors.entry(file).or_default().push(anchor);
        }
    }

    /// A session is heard of for the first time. One that began long before a checkpoint would have been heard of by then.
    fn begins(&self, file: &str, report: &mut Report) {
        let Some(began) = Store::session_of(file).map(Store::began) else {
            return;
        };
        let read_from_there = self.since.is_none_or(|since| began >= since);
        if let Some(floor) = self.floor.filter(|_| read_from_there)
            && is_long_before(began, floor)
        {
            report.find(
                What::Late,
                file,
                None,
                &floor.to_string(),
                &began.to_string(),
            );
        }
    }

    fn checkpoint(&mut self, id: &str, at: Option<u64>, record: Passing<'_>, report: &mut Report) {
        let note = note::of_record(record.value);
        let said = note.as_ref().and_then(Note::checkpoint);
        // A record before has been found to be broken, or it is the first that is there.
        let (Some(key), Some(at)) = (self.key.clone(), at) else {
            return;
        };
        let seq = Some(record.seq);
        let (Some(note), Some(said)) = (note, said) else {
            return report.find(What::Signature, id, seq, "a signed note", "");
        };
        if said.trail != key.trail || !note.is_signed_by(&key) {
            return report.find(What::Signature, id, seq, &key.to_string(), &note.signers());
        }
        if (said.records, said.head) != (at, record.prev) {
            let expected = format!("{} {}", said.records, chain::text(&said.head));
            let found = format!("{at} {}", chain::text(&record.prev));
            return report.find(What::NotSigned, id, seq, &expected, &found);
        }
        report.checkpoints += 1;
        let made = moment(record.value);
        self.floor = made.max(self.floor);
        for (file, expired) in std::mem::take(&mut self.expiring) {
            if made.is_some_and(|made| is_long_before(made, expired)) {
                report.find(What::Early, &file, seq, "", &expired.to_string());
            }
        }
        report.signed_at = record
            .value
            .get("ts")
            .and_then(Value::as_str)
            .map(str::to_owned);
        self.signed = at.saturating_add(1);
        if let Some(next) = said.next {
            if next.trail != key.trail || next.number != key.number.saturating_add(1) {
                report.find(What::Key, id, seq, &key.to_string(), &next.to_string());
            }
            self.key = Some(next);
        }
    }

    /// The place that the note from outside speaks of.
    fn noted(&self) -> Option<u64> {
        Some(self.against?.checkpoint()?.records)
    }

    fn compare_note(&mut self, head: Option<Head>, report: &mut Report) {
        let Some(note) = self.against else { return };
        const NOTE: &str = "the note given";
        let Some(said) = note.checkpoint() else {
            return report.find(What::Signature, NOTE, None, "a checkpoint", "");
        };
        if report.trail.as_ref() != Some(&said.trail.to_string()) {
            let trail = report.trail.clone().unwrap_or_default();
            let found = format!("trail {}", said.trail);
            return report.find(
                What::Signature,
                NOTE,
                None,
                &format!("trail {trail}"),
                &found,
            );
        }
        let total = self.base.unwrap_or(0);
        if total == said.records {
            self.at_note = head.map(|head| (head, self.key.clone()));
        }
        match &self.at_note {
            Some((_, Some(key))) if !note.is_signed_by(key) => {
                report.find(
                    What::Signature,
                    NOTE,
                    None,
                    &key.to_string(),
                    &note.signers(),
                );
            }
            Some((head, _)) if *head != said.head => {
                let (expected, found) = (chain::text(&said.head), chain::text(head));
                report.find(What::NotSigned, NOTE, Some(said.records), &expected, &found);
            }
            Some(_) => {}
            None if total > said.records => {
                let expected = format!("record {}", said.records);
                report.find(
                    What::Unreadable,
                    NOTE,
                    None,
                    &expected,
                    "not there any more",
                );
            }
            None => {
                let expected = format!("{} records", said.records);
                let found = format!("{total} records");
                report.find(What::Cut, "ledger", Some(total), &expected, &found);
            }
        }
    }
}

/// When a record was made.
pub(in crate::audit) fn moment(record: &Value) -> Option<Timestamp> {
    record.get("ts")?.as_str()?.parse().ok()
}

/// Which boot of the machine it was made in.
fn boot(record: &Value) -> &str {
    let boot = record.get("boot").and_then(Value::as_str);
    boot.and_then(|boot| boot.get(..8)).unwrap_or_default()
}

/// Whether a session that began then would be known at that moment, whatever the disk did.
pub(in crate::audit) fn is_long_before(began: Timestamp, moment: Timestamp) -> bool {
    began
        .checked_add(UNKNOWN_FOR)
        .is_ok_and(|known| known < moment)
}

/// A file's end: whole, torn in a crash, or cut before what was on the disk.
pub(super) fn tail(id: &str, read: &FileReport, mark: Option<&Mark>, report: &mut Report) {
    if read.broken.is_some() {
        return;
    }
    match mark.filter(|mark| mark.id == id && mark.bytes > read.whole_bytes) {
        Some(mark) => {
            let expected = format!("{} records", mark.records);
            let found = format!("{} records", read.records);
            report.find(What::Cut, id, Some(read.records), &expected, &found);
        }
        None if read.torn_bytes > 0 => {
            let found = format!("{} bytes", read.torn_bytes);
            report.find(What::Torn, id, Some(read.records), "", &found);
        }
        None => {}
    }
}
