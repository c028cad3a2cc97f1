use std::collections::HashMap;
use std::time::Instant;

use super::evidence::Anchored;
use super::file::{Full, Promise, TrailFile};
use super::fold::{Source, Standing};
use super::record::{Entry, Who};
use super::recovery::Orphan;
use super::rights::Haste;
use super::totals::Totals;
use crate::model::{AuditFailure, ConnectionId, Peer, RecordingMode, SessionId};
use crate::wire::{Event, SessionFacts};

/// What a session may put on record; audit.md.
pub(super) const SESSION_BYTES: u64 = 32 * 1024 * 1024;
/// What a connection may put on record outside of a session.
pub(super) const LEDGER_BYTES_PER_CONNECTION: u64 = 256 * 1024;

/// A session's file and what is known of it.
pub(super) struct Session {
    pub(super) file: TrailFile,
    pub(super) who: Who,
    pub(super) totals: Totals,
    /// What is recorded of it.
    pub(super) recording: RecordingMode,
    /// The warden was told that it must end.
    pub(super) doomed: bool,
    /// Its last record is taken.
    pub(super) closing: bool,
    /// What becomes of it when its records cannot be kept.
    pub(super) failure: AuditFailure,
    /// What the ledger knows of its file.
    pub(super) anchored: Anchored,
}

/// Why a session's record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    Budget,
    Backlog,
    Closed,
}

impl NotTaken {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "the session has put more on record than it may",
            Self::Backlog => "the disk takes no more of the session's records",
            Self::Closed => "the session's record is closed",
        }
    }
}

impl Session {
    pub(super) fn new(file: TrailFile, facts: &SessionFacts) -> Self {
        Self {
            file,
            who: who(facts),
            totals: Totals::default(),
            recording: facts.grant.recording,
            doomed: false,
            closing: false,
            failure: facts.grant.audit_failure,
            anchored: Anchored::NEVER,
        }
    }

    pub(super) fn resumed(orphan: Orphan, facts: &SessionFacts) -> Self {
        Self {
            totals: orphan.totals,
            ..Self::new(orphan.file, facts)
        }
    }

    /// Of a session that nobody can speak for any more.
    pub(super) fn orphaned(orphan: Orphan) -> Self {
        Self {
            file: orphan.file,
            who: orphan.who,
            totals: orphan.totals,
            recording: RecordingMode::Off,
            doomed: false,
            closing: false,
            failure: AuditFailure::Closed,
            anchored: Anchored::NEVER,
        }
    }

    /// Takes a record.
    pub(super) fn append(
        &mut self,
        entry: &Entry,
        haste: Haste,
        promise: Option<Promise>,
        now: Instant,
    ) -> Result<(), NotTaken> {
        if self.closing {
            return Err(NotTaken::Closed);
        }
        if self.file.bytes() >= SESSION_BYTES {
            self.totals.drop_one();
            return Err(NotTaken::Budget);
        }
        match self.file.append(entry, haste, promise, now) {
            Ok(_) => {
                self.totals.see(entry.kind, &entry.d);
                Ok(())
            }
            Err(Full) => {
                self.totals.drop_one();
                Err(NotTaken::Backlog)
            }
        }
    }

    /// Says in the session's own record that it was too much; once, and whatever the budget.
    pub(super) fn note_budget(&mut self, now: Instant) {
        let event = Event::LimitHit {
            resource: "records of the session in bytes".to_owned(),
            limit: SESSION_BYTES,
        };
        let entry = Entry::new(self.who.clone(), None, Some(false), &event);
        // With a full backlog the session ends all the same.
        self.file.append(&entry, Haste::Now, None, now).ok();
    }

    /// Takes the last record, whatever the budget.
    pub(super) fn close(
        &mut self,
        event: &Event,
        promise: Option<Promise>,
        now: Instant,
    ) -> Result<(), Full> {
        let mut entry = Entry::new(self.who.clone(), None, None, event);
        self.totals.add_to(&mut entry.d);
        self.file.append(&entry, Haste::Now, promise, now)?;
        self.closing = true;
        Ok(())
    }
}

/// The envelope's members of a session.
pub(super) fn who(facts: &SessionFacts) -> Who {
    let who = Who {
        cid: Some(facts.cid.to_string()),
        sid: Some(facts.sid.to_string()),
        src: Some(facts.peer),
        ..Who::default()
    };
    who.granted(&facts.grant)
}

/// Which connections there are, and which session each has.
#[derive(Default)]
pub(super) struct Connections(HashMap<ConnectionId, Facts>);

struct Facts {
    peer: Peer,
    session: Option<SessionId>,
    linked: bool,
    ledger_bytes: u64,
    standing: Standing,
}

/// A connection that has ended without a login, and what waited for one.
pub(super) struct Ended {
    pub(super) source: Source,
    pub(super) held: Vec<(Entry, Haste)>,
}

impl Facts {
    fn new(peer: Peer, standing: Standing) -> Self {
        Self {
            peer,
            session: None,
            linked: false,
            ledger_bytes: 0,
            standing,
        }
    }

    fn ended(self) -> Option<Ended> {
        match self.standing {
            Standing::Held(held) => Some(Ended {
                source: self.peer.ip.into(),
                held,
            }),
            Standing::Whole | Standing::LoggedIn => None,
        }
    }
}

impl Connections {
    pub(super) fn add(&mut self, cid: ConnectionId, peer: Peer, standing: Standing) {
        let facts = Facts {
            linked: true,
            ..Facts::new(peer, standing)
        };
        self.0.insert(cid, facts);
    }

    /// What becomes of the connection's records; none for one that is unknown.
    pub(super) fn standing(&mut self, cid: ConnectionId) -> Option<&mut Standing> {
        self.0.get_mut(&cid).map(|facts| &mut facts.standing)
    }

    /// The connection has logged in: what has waited for that.
    pub(super) fn log_in(&mut self, cid: ConnectionId) -> Vec<(Entry, Haste)> {
        match self
            .standing(cid)
            .map(|standing| std::mem::replace(standing, Standing::LoggedIn))
        {
            Some(Standing::Held(held)) => held,
            Some(Standing::Whole | Standing::LoggedIn) | None => Vec::new(),
        }
    }

    /// A session begins. Its connection may be unknown, when it ended already.
    pub(super) fn begin(&mut self, facts: &SessionFacts) {
        let entry = self
            .0
            .entry(facts.cid)
            .or_insert_with(|| Facts::new(facts.peer, Standing::LoggedIn));
        entry.session = Some(facts.sid);
    }

    pub(super) fn session(&self, cid: ConnectionId) -> Option<SessionId> {
        self.0.get(&cid)?.session
    }

    pub(super) fn who(&self, cid: ConnectionId) -> Who {
        Who {
            cid: Some(cid.to_string()),
            src: self.0.get(&cid).map(|facts| facts.peer),
            ..Who::default()
        }
    }

    /// Counts what went to the ledger for a connection; false when it was too much.
    #[must_use]
    pub(super) fn charge(&mut self, cid: ConnectionId, bytes: u64) -> bool {
        self.0.get_mut(&cid).is_none_or(|facts| {
            facts.ledger_bytes = facts.ledger_bytes.saturating_add(bytes);
            facts.ledger_bytes <= LEDGER_BYTES_PER_CONNECTION
        })
    }

    /// The connection's link is gone; what is known of it stays as long as its session.
    #[must_use]
    pub(super) fn unlink(&mut self, cid: ConnectionId) -> Option<Ended> {
        let facts = self.0.get_mut(&cid)?;
        facts.linked = false;
        if facts.session.is_some() {
            return None;
        }
        self.0.remove(&cid)?.ended()
    }

    /// All of them that wait for a login, which will not come any more.
    pub(super) fn end_all(&mut self) -> Vec<Ended> {
        let all = std::mem::take(&mut self.0);
        all.into_values().filter_map(Facts::ended).collect()
    }

    pub(super) fn end_session(&mut self, sid: SessionId) {
        self.0.retain(|_, facts| {
            let its = facts.session == Some(sid);
            if its {
                facts.session = None;
            }
            !its || facts.linked
        });
    }
}
