use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Seek, SeekFrom};
use std::ops::ControlFlow;

use super::filter::Filter;
use super::line::Record;
use super::lines::Lines;
use super::trail::{SessionFile, Trail};
use crate::audit::store::Store;
use crate::model::SessionId;

/// Reads what the server writes from some moment on: the ledger, and each session that the ledger or a mark names.
pub struct Follow<'t> {
    trail: &'t Trail,
    lines: Lines,
    segment: u64,
    at: u64,
    sessions: BTreeMap<SessionId, Followed>,
    /// Files that could not be read: that is said once.
    failing: BTreeSet<String>,
}

#[derive(Default)]
struct Followed {
    at: u64,
    /// The ledger has said that there will be no more.
    ended: bool,
}

/// Something new.
#[derive(Clone, Debug)]
pub struct New {
    /// The record.
    pub record: Record,
    /// Its line.
    pub line: String,
}

/// Whether there may be more at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// One file or another was not read to its end.
    AtOnce,
    /// All was read.
    Later,
}

impl<'t> Follow<'t> {
    /// Begins where the trail ends now.
    #[must_use]
    pub fn new(trail: &'t Trail) -> Self {
        let mut follow = Self {
            trail,
            lines: Lines::new(),
            segment: trail.segments().last().copied().unwrap_or(1),
            at: 0,
            sessions: BTreeMap::new(),
            failing: BTreeSet::new(),
        };
        // The ledger first: a session that begins meanwhile has a mark then, or its anchor is still to come.
        follow.at = follow.end(&Store::segment_id(follow.segment));
        for sid in trail.marked() {
            let at = follow.end(&SessionFile { sid }.id());
            let ended = false;
            follow.sessions.insert(sid, Followed { at, ended });
        }
        follow
    }

    /// Passes over what was shown already: each file up to where the next record of it begins.
    pub fn pass_over(&mut self, shown: &HashMap<String, u64>) {
        let after = |id: String, at: u64| shown.get(&id).map_or(at, |end| at.max(*end));
        self.at = after(Store::segment_id(self.segment), self.at);
        for (sid, followed) in &mut self.sessions {
            followed.at = after(SessionFile { sid: *sid }.id(), followed.at);
        }
    }

    fn end(&mut self, id: &str) -> u64 {
        let Ok(mut file) = self.trail.open_file(id) else {
            return 0;
        };
        let read = self.lines.read(&mut file, 0, |_| ControlFlow::Continue(()));
        read.map_or(0, |(end, _)| end)
    }

    /// What was written since the last time and fits, by its time; of each file at most a piece.
    pub fn next(&mut self, filter: &Filter) -> (Vec<New>, More) {
        let mut found = Vec::new();
        let mut more = More::Later;
        // Once a segment has a successor nothing is added to it, so what is read after that is all.
        let mut later = self.trail.segments().into_iter();
        let successor = later.find(|number| *number > self.segment);
        let id = Store::segment_id(self.segment);
        let at = self.read(&id, self.at, |follow, record, line| {
            if record.kind() == "anchor" {
                follow.learn(&record);
            }
            found.extend(fitting(filter, record, line));
        });
        match successor {
            Some(next) if at == self.at => {
                (self.segment, self.at) = (next, 0);
                more = More::AtOnce;
            }
            _ => {
                if at > self.at {
                    more = More::AtOnce;
                }
                self.at = at;
            }
        }
        let known: Vec<(SessionId, u64)> = self
            .sessions
            .iter()
            .map(|(sid, followed)| (*sid, followed.at))
            .collect();
        for (sid, before) in known {
            let at = self.read(&SessionFile { sid }.id(), before, |_, record, line| {
                found.extend(fitting(filter, record, line));
            });
            if at > before {
                more = More::AtOnce;
            }
            let ended = self.sessions.get_mut(&sid).is_some_and(|followed| {
                followed.at = at;
                followed.ended
            });
            if ended && at == before {
                self.sessions.remove(&sid);
            }
        }
        found.sort_by(|a, b| {
            let key = |new: &New| {
                (
                    new.record.at(),
                    new.record.text("sid").to_owned(),
                    new.record.seq(),
                )
            };
            key(a).cmp(&key(b))
        });
        (found, more)
    }

    /// Reads a piece of a file from `at` on. Where the next one begins.
    fn read(&mut self, id: &str, at: u64, mut visit: impl FnMut(&mut Self, Record, &str)) -> u64 {
        // One that is not there is not there yet, or not any more.
        let Ok(mut file) = self.trail.open_file(id) else {
            return at;
        };
        let mut lines = Vec::new();
        let seek = file.seek(SeekFrom::Start(at));
        let read = seek.and_then(|_| {
            self.lines.read(&mut file, at, |piece| {
                lines.extend(piece.lines().map(|(at, line)| (at, line.to_vec())));
                ControlFlow::Break(())
            })
        });
        for (at, line) in lines {
            match (Record::read(&line), std::str::from_utf8(&line)) {
                (Some(record), Ok(text)) => visit(self, record, text),
                _ => self.trail.damaged(id, at),
            }
        }
        match read {
            Ok((end, _)) => end,
            Err(error) => {
                if self.failing.insert(id.to_owned()) {
                    self.trail.problem(id, Some(at), &error.to_string());
                }
                at
            }
        }
    }

    /// What the ledger says of a session's file.
    fn learn(&mut self, anchor: &Record) {
        let sid = anchor
            .member_text("file")
            .rsplit('/')
            .next()
            .and_then(|name| name.strip_suffix(".jsonl"))
            .and_then(|sid| sid.parse::<SessionId>().ok());
        if let Some(sid) = sid.filter(|_| self.sessions.len() < SESSIONS) {
            let followed = self.sessions.entry(sid).or_default();
            followed.ended |= anchor.member(&["last"]).is_some_and(|last| *last == true);
        }
    }
}

/// More sessions than a server has at once.
const SESSIONS: usize = 4096;

fn fitting(filter: &Filter, record: Record, line: &str) -> Option<New> {
    filter.fits(&record).then(|| New {
        record,
        line: line.to_owned(),
    })
}
