use super::file::{FileReport, First};
use super::ledger::{Anchor, Learnt, is_long_before, tail};
use super::recordings::Named;
use super::report::{Report, What};
use super::{aside, names, one};
use crate::audit::chain;
use crate::audit::store::{Store, read_mark};
use crate::model::SessionId;
use crate::sys::directory::Directory;

/// Holds every session's file, or the `wanted` one's, against what the ledger says of it.
pub(super) fn read(
    root: &Directory,
    learnt: Learnt,
    wanted: Option<SessionId>,
    report: &mut Report,
) {
    let mut learnt = learnt;
    let wanted = wanted.map(Store::session_id);
    let mut met = wanted.is_none();
    let is_wanted = |id: &str| wanted.as_ref().is_none_or(|wanted| wanted == id);
    for path in days(root, report) {
        let Ok(directory) = root.descend(&path) else {
            report.find(What::Unreadable, &path, None, "", "");
            continue;
        };
        for name in names(&directory, &path, report) {
            let id = format!("{path}/{name}");
            if !id.ends_with(".jsonl") {
                aside(&directory, &name, &id, &learnt, report);
                continue;
            }
            let anchors = learnt.anchors.remove(&id);
            if is_wanted(&id) {
                met = true;
                let anchors = anchors.unwrap_or_default();
                let place = Place {
                    root,
                    directory: &directory,
                    learnt: &learnt,
                };
                session(&place, &name, &id, anchors, report);
            }
        }
    }
    let mut missing: Vec<(String, Vec<Anchor>)> = learnt.anchors.into_iter().collect();
    missing.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    for (id, anchors) in missing.into_iter().filter(|(id, _)| is_wanted(id)) {
        met = true;
        let quarantined = root
            .descend("quarantine")
            .and_then(|directory| directory.read(&id.replace('/', "-")))
            .is_ok();
        let last = anchors.iter().max_by_key(|anchor| anchor.records);
        match learnt.expired.get(&id) {
            Some(expiry)
                if Store::session_of(&id).is_some_and(|sid| expiry.is_early(Store::began(sid))) =>
            {
                report.find(What::Early, &id, None, "", "");
            }
            Some(expiry) if last.is_none_or(|last| last.head == expiry.head) => report.expired += 1,
            // Reported with the quarantine.
            None if quarantined => {}
            Some(_) | None => {
                let records = last.map_or(0, |last| last.records);
                report.find(What::Missing, &id, None, &format!("{records} records"), "");
            }
        }
    }
    if let (false, Some(id)) = (met, wanted) {
        report.find(What::Missing, &id, None, "a session that is known", "");
    }
}

/// The folders of all days.
fn days(root: &Directory, report: &mut Report) -> Vec<String> {
    let mut level = vec!["sessions".to_owned()];
    for _ in 0..3 {
        let mut below = Vec::new();
        for path in level {
            match root.descend(&path) {
                Ok(directory) => below.extend(
                    names(&directory, &path, report)
                        .into_iter()
                        .map(|name| format!("{path}/{name}")),
                ),
                Err(_) if path == "sessions" => {}
                Err(_) => report.find(What::Stranger, &path, None, "", ""),
            }
        }
        level = below;
    }
    level
}

/// Where a session's file lies, and what else is known.
struct Place<'p> {
    root: &'p Directory,
    directory: &'p Directory,
    learnt: &'p Learnt,
}

fn session(place: &Place<'_>, name: &str, id: &str, mut anchors: Vec<Anchor>, report: &mut Report) {
    let Place {
        root,
        directory,
        learnt,
    } = *place;
    anchors.sort_unstable_by_key(|anchor| anchor.records);
    let mut waiting = anchors.iter().peekable();
    let first = First::Follows(chain::START);
    let mut recordings = Named::default();
    let read = one(directory, name, id, first, report, |report, record| {
        recordings.learn(record);
        let records = record.seq.saturating_add(1);
        while let Some(anchor) = waiting.next_if(|anchor| anchor.records <= records) {
            if anchor.records == records && anchor.head != record.head {
                let (expected, found) = (chain::text(&anchor.head), chain::text(&record.head));
                report.find(What::NotAnchored, id, Some(record.seq), &expected, &found);
            }
        }
    });
    let Some(read) = read.filter(|read| read.broken.is_none()) else {
        return;
    };
    recordings.verify(root, &learnt.deleted, report);
    let sid = name.strip_suffix(".jsonl").unwrap_or(name);
    match anchors.last() {
        Some(known) if known.records > read.records => {
            let (expected, found) = (known.records, read.records);
            let (expected, found) = (format!("{expected} records"), format!("{found} records"));
            report.find(What::Cut, id, Some(read.records), &expected, &found);
        }
        Some(known) if known.last && known.records < read.records => {
            let found = format!("{} records", read.records);
            let expected = format!("{} records", known.records);
            report.find(What::AfterEnd, id, Some(known.records), &expected, &found);
        }
        Some(_) => ending(root, sid, id, &read, report),
        None if learnt.holes || is_new(learnt, id) && is_marked(root, sid) => {
            ending(root, sid, id, &read, report);
        }
        None => report.find(What::Unknown, id, None, "", ""),
    }
}

fn ending(root: &Directory, sid: &str, id: &str, read: &FileReport, report: &mut Report) {
    tail(id, read, read_mark(root, sid).as_ref(), report);
    if !read.is_closed() {
        report.unfinished.push(id.to_owned());
    }
}

/// Whether it began so late that the ledger may not have heard of it.
fn is_new(learnt: &Learnt, id: &str) -> bool {
    let began = Store::session_of(id).map(Store::began);
    let old = began.zip(learnt.last);
    old.is_none_or(|(began, last)| !is_long_before(began, last))
}

/// A session whose opening, or end, the ledger may not have heard of yet.
fn is_marked(root: &Directory, sid: &str) -> bool {
    root.descend("open").and_then(|open| open.read(sid)).is_ok()
}
