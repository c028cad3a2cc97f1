use std::fs::File;

use super::chain;
use super::evidence::Ending;
use super::file::TrailFile;
use super::mark::Mark;
use super::note::Key;
use super::record::Who;
use super::store::Store;
use super::totals::Totals;
use super::verify::file::{self, FileReport, First, Passing};
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
    let last = store
        .segments()
        .ok()
        .and_then(|numbers| numbers.last().copied());
    let ledger = last.map_or_else(Ledger::new, |number| {
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
    let (mut orphans, mut endings) = (Vec::new(), Vec::new());
    for sid in store.open_sessions().unwrap_or_default() {
        let id = Store::session_id(sid);
        let mark = store.mark(Some(sid));
        let first = First::Follows(chain::START);
        match mend(store, &id, first, mark.as_ref(), &mut events, |_| {}) {
            Some((_, report)) if report.is_closed() => endings.push(Ending {
                sid,
                records: report.records,
                head: report.head,
            }),
            Some((file, report)) => {
                match orphan(store, sid, file, report, (boot(segment), ahead)) {
                    Ok(orphan) => orphans.push(orphan),
                    Err(errno) => {
                        tracing::error!(file = id, %errno, "an audit file cannot be gone on with")
                    }
                }
            }
            None => store.unmark(sid),
        }
    }
    Found {
        segment,
        ledger,
        orphans,
        endings,
        events,
    }
}

impl Ledger {
    fn new() -> Self {
        Self {
            head: chain::START,
            records: 0,
            key: None,
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
    // A damaged one is put aside, and its successor follows nothing.
    ledger.head = mended.map_or(chain::START, |(_, report)| report.head);
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

/// Takes off a torn tail; puts a damaged file aside. None if nothing is left that could be gone on with.
fn mend(
    store: &Store,
    id: &str,
    first: First,
    mark: Option<&Mark>,
    events: &mut Vec<Event>,
    visit: impl FnMut(Passing<'_>),
) -> Option<(File, FileReport)> {
    let missing = |whole: u64| mark.map_or(0, |mark| mark.bytes.saturating_sub(whole));
    let mut file = match store.reopen(id) {
        Ok(file) => file,
        Err(Errno::ENOENT) => {
            if missing(0) > 0 {
                tracing::error!(file = id, "an audit file is gone");
                events.push(recovery(id, 0, 0, missing(0), None));
            }
            return None;
        }
        Err(errno) => {
            tracing::error!(file = id, %errno, "an audit file cannot be opened");
            return None;
        }
    };
    let report = match file::read(&file, id, first, visit) {
        Ok(report) => report,
        Err(error) => {
            tracing::error!(file = id, %error, "an audit file cannot be read");
            return None;
        }
    };
    if let Some(broken) = &report.broken {
        tracing::error!(file = id, ?broken, "an audit file is damaged");
        let moved_to = store.quarantine(id);
        if let Err(errno) = &moved_to {
            tracing::error!(file = id, %errno, "a damaged audit file cannot be put aside");
        }
        events.push(recovery(id, report.records, 0, 0, moved_to.ok()));
        return None;
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
                tracing::error!(file = id, %error, "a torn audit file cannot be mended");
                return None;
            }
        }
    }
    if report.torn_bytes > 0 || missing > 0 {
        let (records, torn) = (report.records, report.torn_bytes);
        events.push(recovery(id, records, torn, missing, moved_to));
    }
    Some((file, report))
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
