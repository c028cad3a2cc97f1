use std::fs::File;

use jiff::Timestamp;

use super::chain;
use super::evidence::Ending;
use super::file::TrailFile;
use super::mark::Mark;
use super::note::Key;
use super::record::Who;
use super::store::Store;
use super::totals::Totals;
use super::verify::file::{self, FileReport, First, Passing};
use super::verify::{is_long_before, moment};
use crate::model::SessionId;
use crate::sys::Errno;
use crate::wire::Event;

/// What a start found.
pub(super) struct Found {
    /// The number of the ledger's next segment.
    pub(super) segment: u64,
    /// What that one follows.
    pub(super) ledger: Ledger,
    /// Sessions that were open: they still run, if only audit was restarted, or they ended in a crash.
    pub(super) orphans: Vec<Orphan>,
    /// Sessions that were closed, but the ledger may not know it.
    pub(super) endings: Vec<Ending>,
    /// Sessions whose files cannot be brought in order yet.
    pub(super) later: Vec<SessionId>,
    /// `recovery` records for the ledger.
    pub(super) events: Vec<Event>,
}

/// The ledger's end.
pub(super) struct Ledger {
    /// The last record's hash.
    pub(super) head: chain::Head,
    /// Records in all segments.
    pub(super) records: u64,
    /// The last key that is named.
    pub(super) key: Option<Key>,
    /// When its last record was made.
    last: Option<Timestamp>,
}

/// A session that was open when audit last ended.
pub(super) struct Orphan {
    pub(super) sid: SessionId,
    pub(super) file: TrailFile,
    pub(super) totals: Totals,
    /// As its last record says.
    pub(super) who: Who,
    pub(super) duration_ms: u64,
}

/// Looks at what can have been left in disorder: the ledger's last segment and the sessions marked as open. A file that
/// cannot be brought in order is put aside, or left where it is, and never stops the others.
pub(super) fn run(store: &Store, ahead: u64, boot: impl Fn(u64) -> String) -> Found {
    let mut events = Vec::new();
    let mark = store.mark(None);
    let marked = mark
        .as_ref()
        .and_then(|mark| Store::segment_number(&mark.id));
    let numbers = store.segments().unwrap_or_default();
    let last = numbers.last().copied();
    // One that a full disk left empty says nothing: the one before it does.
    let mut numbers = numbers.into_iter().rev().peekable();
    while let Some(number) = numbers.next_if(|number| is_left_empty(store, *number)) {
        tracing::warn!(number, "a segment of the ledger is empty");
    }
    let ledger = numbers.next().map_or_else(Ledger::new, |number| {
        let mark = mark.clone().filter(|_| marked == Some(number));
        mend_ledger(store, number, mark.as_ref(), &mut events)
    });
    if let Some(mark) = mark.filter(|_| marked > last) {
        tracing::error!(file = mark.id, "the last segment of the ledger is gone");
        events.push(recovery(&mark.id, 0, 0, mark.bytes, None));
    }
    let segment = last
        .max(marked)
        .map_or(1, |number| number.saturating_add(1));
    let (mut orphans, mut endings, mut later) = (Vec::new(), Vec::new(), Vec::new());
    let boot = boot(segment);
    for sid in store.open_sessions().unwrap_or_default() {
        if is_put_in(store, sid, &ledger) {
            put_aside(store, sid, &mut events);
            continue;
        }
        match session(store, sid, &boot, ahead, &mut events) {
            Left::Orphan(orphan) => orphans.push(*orphan),
            Left::Ending(ending) => endings.push(ending),
            Left::Nothing => {}
            Left::Later => later.push(sid),
        }
    }
    Found {
        segment,
        ledger,
        orphans,
        endings,
        later,
        events,
    }
}

fn is_left_empty(store: &Store, number: u64) -> bool {
    store.length(&Store::segment_id(number)) == Some(0)
}

/// What a session that was marked as open has left.
pub(super) enum Left {
    /// A file that is to be gone on with, or closed.
    Orphan(Box<Orphan>),
    /// One that is closed already.
    Ending(Ending),
    /// Nothing; it is not marked any more.
    Nothing,
    /// A file that cannot be mended now, as on a full disk. It stays marked.
    Later,
}

/// Brings the file of a session in order that was marked as open.
pub(super) fn session(
    store: &Store,
    sid: SessionId,
    boot: &str,
    ahead: u64,
    events: &mut Vec<Event>,
) -> Left {
    let id = Store::session_id(sid);
    let mark = store.mark(Some(sid));
    let first = First::Follows(chain::START);
    match mend(store, &id, first, mark.as_ref(), events, |_| {}) {
        Mended::Whole(_, report) if report.is_closed() => Left::Ending(Ending {
            sid,
            records: report.records,
            head: report.head,
        }),
        Mended::Whole(file, report) => {
            match orphan(store, sid, file, *report, (boot.to_owned(), ahead)) {
                Ok(orphan) => Left::Orphan(Box::new(orphan)),
                Err(errno) => {
                    tracing::error!(file = id, %errno, "an audit file cannot be gone on with");
                    Left::Later
                }
            }
        }
        Mended::Gone => {
            store.unmark(sid);
            Left::Nothing
        }
        Mended::Stuck(_) => Left::Later,
    }
}

/// Whether the ledger should know a session that began then, and does not: somebody has put its file and its mark in.
fn is_put_in(store: &Store, sid: SessionId, ledger: &Ledger) -> bool {
    let began = Store::began(sid);
    let is_old = ledger.last.is_some_and(|last| is_long_before(began, last));
    is_old && store.ledger_knows(sid, began) == Some(false)
}

fn put_aside(store: &Store, sid: SessionId, events: &mut Vec<Event>) {
    let id = Store::session_id(sid);
    tracing::error!(
        file = id,
        "the ledger does not know a session that is marked as open: its file is put aside"
    );
    match store.quarantine(&id) {
        Ok(moved_to) => {
            events.push(recovery(&id, 0, 0, 0, Some(moved_to)));
            store.unmark(sid);
        }
        Err(Errno::ENOENT) => store.unmark(sid),
        Err(errno) => tracing::error!(file = id, %errno, "it cannot be put aside"),
    }
}

impl Ledger {
    fn new() -> Self {
        Self {
            head: chain::START,
            records: 0,
            key: None,
            last: None,
        }
    }

    /// Learns from a record of the last segment how many there are before it, and which key signs.
    fn learn(&mut self, record: Passing<'_>) {
        match record.kind() {
            "segment.open" => {
                self.records = record.number("records").unwrap_or(0);
                self.key = Key::parse(record.text("key")).or(self.key.take());
            }
            "checkpoint" => {
                let next = super::note::of_record(record.value)
                    .and_then(|note| note.checkpoint())
                    .and_then(|checkpoint| checkpoint.next);
                self.key = next.or(self.key.take());
            }
            _ => {}
        }
    }
}

fn mend_ledger(store: &Store, number: u64, mark: Option<&Mark>, events: &mut Vec<Event>) -> Ledger {
    let mut ledger = Ledger::new();
    let mut good = 0;
    let id = Store::segment_id(number);
    let mended = mend(store, &id, First::Anything, mark, events, |record| {
        ledger.learn(record);
        good = record.seq.saturating_add(1);
    });
    let report = match mended {
        Mended::Whole(_, report) => Some(report),
        // Its torn end stays where it is: the next segment follows what is whole.
        Mended::Stuck(Some(report)) => {
            let (records, torn) = (report.records, report.torn_bytes);
            events.push(recovery(&id, records, torn, 0, None));
            Some(report)
        }
        // A damaged one is put aside, and its successor follows nothing.
        Mended::Gone | Mended::Stuck(None) => None,
    };
    ledger.head = report.as_ref().map_or(chain::START, |report| report.head);
    ledger.last = report.and_then(|report| moment(report.last.as_ref()?));
    ledger.records = ledger.records.saturating_add(good);
    ledger
}

fn orphan(
    store: &Store,
    sid: SessionId,
    file: File,
    report: FileReport,
    (boot, ahead): (String, u64),
) -> Result<Orphan, Errno> {
    let mut who = report
        .last
        .as_ref()
        .map(Who::from_record)
        .unwrap_or_default();
    who.sid = Some(sid.to_string());
    let synced = Mark {
        id: Store::session_id(sid),
        records: report.records,
        bytes: report.whole_bytes,
        head: report.head,
    };
    let mark = store.session_mark(sid)?;
    Ok(Orphan {
        sid,
        file: TrailFile::new(file, boot, synced, mark, ahead),
        totals: report.totals,
        who,
        duration_ms: report.duration_ns.unwrap_or(0) / 1_000_000,
    })
}

/// What became of a file.
enum Mended {
    /// It can be gone on with.
    Whole(File, Box<FileReport>),
    /// It is not there, or was damaged and put aside.
    Gone,
    /// It can be read so far, if at all, and cannot be mended now.
    Stuck(Option<Box<FileReport>>),
}

/// Takes off a torn tail; puts a damaged file aside.
fn mend(
    store: &Store,
    id: &str,
    first: First,
    mark: Option<&Mark>,
    events: &mut Vec<Event>,
    visit: impl FnMut(Passing<'_>),
) -> Mended {
    let missing = |whole: u64| mark.map_or(0, |mark| mark.bytes.saturating_sub(whole));
    let mut file = match store.reopen(id) {
        Ok(file) => file,
        Err(Errno::ENOENT) => {
            if missing(0) > 0 {
                tracing::error!(file = id, "an audit file is gone");
                events.push(recovery(id, 0, 0, missing(0), None));
            }
            return Mended::Gone;
        }
        Err(errno) => {
            tracing::error!(file = id, %errno, "an audit file cannot be opened");
            return Mended::Stuck(None);
        }
    };
    let report = match file::read(&file, id, first, visit) {
        Ok(report) => Box::new(report),
        Err(error) => {
            tracing::error!(file = id, %error, "an audit file cannot be read");
            return Mended::Stuck(None);
        }
    };
    if let Some(broken) = &report.broken {
        tracing::error!(file = id, ?broken, "an audit file is damaged");
        return match store.quarantine(id) {
            Ok(moved_to) => {
                events.push(recovery(id, report.records, 0, 0, Some(moved_to)));
                Mended::Gone
            }
            Err(errno) => {
                tracing::error!(file = id, %errno, "a damaged audit file cannot be put aside");
                Mended::Stuck(None)
            }
        };
    }
    let missing = missing(report.whole_bytes);
    if missing > 0 {
        tracing::error!(
            file = id,
            bytes = missing,
            "an audit file lacks records that were on the disk"
        );
    }
    let mut moved_to = None;
    if report.torn_bytes > 0 {
        match store.tear(&mut file, id, report.whole_bytes) {
            Ok(to) => moved_to = Some(to),
            Err(error) => {
                tracing::error!(file = id, %error, "a torn audit file cannot be mended yet");
                return Mended::Stuck(Some(report));
            }
        }
    }
    if report.torn_bytes > 0 || missing > 0 {
        let (records, torn) = (report.records, report.torn_bytes);
        events.push(recovery(id, records, torn, missing, moved_to));
    }
    Mended::Whole(file, report)
}

fn recovery(
    id: &str,
    records: u64,
    torn_bytes: u64,
    missing_bytes: u64,
    moved_to: Option<String>,
) -> Event {
    Event::Recovery {
        file: id.to_owned(),
        records,
        torn_bytes,
        missing_bytes,
        moved_to,
    }
}
