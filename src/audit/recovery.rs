use std::fs::File;

use super::chain::{self, Head};
use super::file::TrailFile;
use super::record::Who;
use super::store::Store;
use super::totals::Totals;
use super::verify::{self, FileReport, First};
use crate::model::SessionId;
use crate::sys::Errno;
use crate::wire::Event;

/// What a start found.
pub(super) struct Found {
    /// The number of the ledger's next segment, and what it follows.
    pub(super) segment: u64,
    pub(super) head: Head,
    /// Sessions that were open: they still run, if only audit was restarted, or they ended in a crash.
    pub(super) orphans: Vec<Orphan>,
    /// `recovery` records for the ledger.
    pub(super) events: Vec<Event>,
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
pub(super) fn run(store: &Store, boot: impl Fn(u64) -> String) -> Found {
    let mut events = Vec::new();
    let last = store
        .segments()
        .ok()
        .and_then(|numbers| numbers.last().copied());
    let head = match last {
        None => chain::START,
        Some(number) => {
            let id = Store::segment_id(number);
            // A damaged one is put aside, and its successor follows nothing.
            mend(store, &id, First::Anything, &mut events)
                .map_or(chain::START, |(_, report)| report.head)
        }
    };
    let segment = last.map_or(1, |number| number.saturating_add(1));
    let mut orphans = Vec::new();
    for sid in store.open_sessions().unwrap_or_default() {
        let id = Store::session_id(sid);
        match mend(store, &id, First::Follows(chain::START), &mut events) {
            Some((_, report)) if report.is_closed() => store.unmark(sid),
            Some((file, report)) => orphans.push(orphan(sid, file, report, boot(segment))),
            None => store.unmark(sid),
        }
    }
    Found {
        segment,
        head,
        orphans,
        events,
    }
}

fn orphan(sid: SessionId, file: File, report: FileReport, boot: String) -> Orphan {
    let mut who = report
        .last
        .as_ref()
        .map(Who::from_record)
        .unwrap_or_default();
    who.sid = Some(sid.to_string());
    let id = Store::session_id(sid);
    Orphan {
        sid,
        file: TrailFile::new(
            file,
            id,
            boot,
            report.records,
            report.head,
            report.whole_bytes,
        ),
        totals: report.totals,
        who,
        duration_ms: report.duration_ns.unwrap_or(0) / 1_000_000,
    }
}

/// Takes off a torn tail; puts a damaged file aside. None if nothing is left that could be gone on with.
fn mend(
    store: &Store,
    id: &str,
    first: First,
    events: &mut Vec<Event>,
) -> Option<(File, FileReport)> {
    let mut file = match store.reopen(id) {
        Ok(file) => file,
        Err(Errno::ENOENT) => return None,
        Err(errno) => {
            tracing::error!(file = id, %errno, "an audit file cannot be opened");
            return None;
        }
    };
    let report = match verify::file(&file, id, first) {
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
        events.push(Event::Recovery {
            file: id.to_owned(),
            torn_bytes: 0,
            moved_to: moved_to.ok(),
        });
        return None;
    }
    if report.torn_bytes > 0 {
        match store.tear(&mut file, id, report.whole_bytes) {
            Ok(moved_to) => events.push(Event::Recovery {
                file: id.to_owned(),
                torn_bytes: report.torn_bytes,
                moved_to: Some(moved_to),
            }),
            Err(error) => {
                tracing::error!(file = id, %error, "a torn audit file cannot be mended");
                return None;
            }
        }
    }
    Some((file, report))
}
