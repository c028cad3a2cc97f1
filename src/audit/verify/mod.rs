//! Verification: is the trail as it was written, and is all of it there? Only reads; the server may be running.
//!
//! `ledger` reads the chain of segments with the checkpoints and learns from the anchors what sessions there must be;
//! `sessions` holds these against their files; `report` says what was found.

pub mod file;
mod ledger;
mod recordings;
mod report;
mod sessions;

use std::path::Path;

pub use file::{Broken, Fault, FileReport, First, Passing};
pub(super) use ledger::{is_long_before, moment};
pub use report::{Completeness, Finding, Integrity, Report, What};

use super::note::Note;
use crate::model::SessionId;
use crate::sys::directory::Directory;

/// The most entries looked at in one directory.
const ENTRIES: usize = 1_000_000;

/// What is to be verified.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// This session alone, and the ledger; else all of them.
    pub session: Option<SessionId>,
    /// A checkpoint that left the machine: the ledger must hold what it vouches for.
    pub against: Option<Note>,
}

/// Verifies the trail in `path`. What cannot be read is in the report.
///
/// A server that runs adds to it meanwhile: a session that began after the ledger was read, or a recording that expired after
/// that, looks like a fault. So what is found is looked for once more, and what is not found again was none.
#[must_use]
pub fn directory(path: &Path, wanted: &Wanted) -> Report {
    let first = pass(path, wanted);
    if first.findings.is_empty() {
        return first;
    }
    let mut report = pass(path, wanted);
    report
        .findings
        .retain(|finding| first.findings.iter().any(|before| before.is_again(finding)));
    report
}

fn pass(path: &Path, wanted: &Wanted) -> Report {
    let mut report = Report::default();
    let Ok(root) = Directory::open(path) else {
        report.find(What::Unreadable, &path.display().to_string(), None, "", "");
        return report;
    };
    let learnt = ledger::read(&root, wanted.against.as_ref(), &mut report);
    sessions::read(&root, learnt, wanted.session, &mut report);
    if let Ok(aside) = root.descend("quarantine") {
        for name in names(&aside, "quarantine", &mut report) {
            report.find(
                What::Quarantined,
                &format!("quarantine/{name}"),
                None,
                "",
                "",
            );
        }
    }
    report
}

/// The entries' names, sorted.
fn names(directory: &Directory, path: &str, report: &mut Report) -> Vec<String> {
    match directory.all_names(ENTRIES) {
        Ok(mut names) => {
            names.sort();
            names
        }
        Err(_) => {
            report.find(What::Unreadable, path, None, "", "");
            Vec::new()
        }
    }
}

/// A file beside those of the trail: a torn tail that a start put aside and explained, or a stranger.
fn aside(
    directory: &Directory,
    name: &str,
    id: &str,
    learnt: &ledger::Learnt,
    report: &mut Report,
) {
    let size = directory
        .read(name)
        .ok()
        .and_then(|file| file.metadata().ok())
        .map(|about| about.len());
    let what = if learnt.explained.contains(id) {
        What::TornAside
    } else {
        What::Stranger
    };
    match size {
        Some(bytes) => report.find(what, id, None, "", &format!("{bytes} bytes")),
        None => report.find(What::Unreadable, id, None, "", ""),
    }
}

/// Reads one file of the trail and reports its first fault.
fn one(
    directory: &Directory,
    name: &str,
    id: &str,
    first: First,
    report: &mut Report,
    mut visit: impl FnMut(&mut Report, Passing<'_>),
) -> Option<FileReport> {
    let Some(read) = directory
        .read_regular(name)
        .ok()
        .and_then(|reader| file::read(reader, id, first, |record| visit(report, record)).ok())
    else {
        report.find(What::Unreadable, id, None, "", "");
        return None;
    };
    report.files += 1;
    report.records += read.records;
    if let Some(broken) = &read.broken {
        let what = What::Broken(broken.fault);
        report.find(what, id, Some(broken.seq), &broken.expected, &broken.found);
    }
    Some(read)
}
