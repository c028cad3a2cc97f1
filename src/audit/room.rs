use std::collections::HashMap;
use std::time::Instant;

use super::erasure::Erasure;
use super::evidence::Evidence;
use super::file::{Full, Promise, TrailFile};
use super::fold::{Charge, EARLY_RECORDS, Folds, HELD_RECORDS, Standing};
use super::mark::Mark;
use super::outbox::Outbox;
use super::record::{Entry, Who};
use super::recording::{Recordings, marker};
use super::recovery::{self, Left, Orphan};
use super::reserve::Reserve;
use super::retention::Retention;
use super::rights::{Haste, Witness, haste};
use super::sessions::{Connections, NotTaken, Session};
use super::store::Store;
use super::sweep::Sweep;
use super::unrecorded::Unrecorded;
use crate::model::{AuditFailure, ConnectionId, Peer, SessionId};
use crate::wire::{
    AuditToPeer, AuditToWarden, Event, Link, Outcome, Record, ReportToAudit, SessionEnd,
    SessionFacts, WardenToAudit,
};

pub(super) type GuestLink = Link<AuditToPeer, ReportToAudit>;
pub(super) type WardenLink = Link<AuditToWarden, WardenToAudit>;

/// A peer that reports.
pub(super) struct Guest {
    pub(super) number: u64,
    pub(super) link: GuestLink,
    pub(super) witness: Witness,
    pub(super) cid: Option<ConnectionId>,
    pub(super) leaves: bool,
}

/// The trail as it is kept: open files, who is who, and who waits for what.
pub(super) struct Room {
    pub(super) store: Store,
    pub(super) reserve: Reserve,
    pub(super) retention: Retention,
    pub(super) sweep: Sweep,
    pub(super) erasure: Erasure,
    pub(super) boot: String,
    pub(super) segment: u64,
    pub(super) ledger: TrailFile,
    pub(super) evidence: Evidence,
    pub(super) warden: WardenLink,
    pub(super) outbox: Outbox,
    pub(super) guests: Vec<Guest>,
    pub(super) next_guest: u64,
    pub(super) connections: Connections,
    pub(super) folds: Folds,
    /// What keys said of connections that are not known, or not any more.
    pub(super) early: Vec<Record>,
    /// Logins among that: keys may have overtaken the warden, who said before whose connection it is.
    pub(super) proved: Vec<Record>,
    /// Those that put too much on record without a session.
    pub(super) overrun: Vec<ConnectionId>,
    pub(super) sessions: HashMap<SessionId, Session>,
    pub(super) orphans: Vec<Orphan>,
    pub(super) orphans_due: Instant,
    /// Sessions that were open at start and whose files cannot be brought in order yet, and when that is tried again.
    pub(super) later: Vec<SessionId>,
    pub(super) later_due: Instant,
    pub(super) recordings: Recordings,
    pub(super) recovered: Vec<String>,
    pub(super) unrecorded: Unrecorded,
    pub(super) lost: u64,
}

impl Room {
    pub(super) fn record_lie(
        &mut self,
        witness: Witness,
        kind: &'static str,
        cid: Option<ConnectionId>,
        now: Instant,
    ) {
        tracing::error!(
            witness = witness.as_str(),
            kind,
            ?cid,
            "a process reported what is not its to report: closed"
        );
        let event = Event::PolicyDeny {
            layer: "audit".to_owned(),
            object: format!("{kind} from {}", witness.as_str()),
            rule: "an event is reported by its one witness".to_owned(),
        };
        let mut record = Record::new(event);
        (record.cid, record.ok) = (cid, Some(false));
        self.place(record, None, now);
    }

    pub(super) fn open_session(&mut self, facts: &SessionFacts, event: &Event, now: Instant) {
        let sid = facts.sid;
        if self.sessions.contains_key(&sid) || self.unrecorded.has(sid) {
            let reason = "the session is open already".to_owned();
            return self.outbox.push(AuditToWarden::Failed { sid, reason });
        }
        match self.store.create_session(sid, &mut self.reserve) {
            Err(errno) => {
                tracing::error!(%sid, %errno, "a session's file cannot be begun");
                let reason = format!("the audit record cannot be begun: {}", errno.desc());
                self.begin_without_record(facts, reason);
            }
            Ok((file, mark)) => {
                let synced = Mark::at_start(Store::session_id(sid), super::chain::START);
                let file = TrailFile::new(
                    file,
                    self.boot.clone(),
                    synced,
                    mark,
                    self.reserve.shares().file,
                );
                let mut session = Session::new(file, facts);
                let entry = Entry::new(session.who.clone(), None, Some(true), event);
                // An empty file has room.
                let taken = session.append(&entry, Haste::Now, Some(Promise::Opened(sid)), now);
                debug_assert!(taken.is_ok(), "{taken:?}");
                self.log_in(facts.cid, now);
                self.connections.begin(facts);
                self.sessions.insert(sid, session);
            }
        }
    }

    /// A session that went on while audit was restarted.
    pub(super) fn resume(&mut self, facts: &SessionFacts) {
        let at = self
            .orphans
            .iter()
            .position(|orphan| orphan.sid == facts.sid);
        match at.map(|at| self.orphans.swap_remove(at)) {
            Some(orphan) => {
                self.connections.begin(facts);
                self.sessions
                    .insert(facts.sid, Session::resumed(orphan, facts));
            }
            None if self.sessions.contains_key(&facts.sid) => self.connections.begin(facts),
            None => {
                let reason = "the session's record is not there any more".to_owned();
                self.begin_without_record(facts, reason);
            }
        }
    }

    pub(super) fn close_session(&mut self, sid: SessionId, event: &Event, now: Instant) {
        self.end_recordings(sid, now);
        if self.end_without_record(sid) {
            return;
        }
        if let Some(at) = self.orphans.iter().position(|orphan| orphan.sid == sid) {
            let orphan = self.orphans.swap_remove(at);
            let session = Session::orphaned(orphan);
            self.sessions.insert(sid, session);
        }
        match self.sessions.get_mut(&sid) {
            Some(session) if session.closing => {}
            Some(session) => {
                if session
                    .close(event, Some(Promise::Closed(sid)), now)
                    .is_err()
                {
                    tracing::error!(%sid, "a session's end cannot be put on record: the next start closes its file");
                    self.sessions.remove(&sid);
                    self.connections.end_session(sid);
                    self.outbox.push(AuditToWarden::Closed(sid));
                }
            }
            None => {
                tracing::warn!(%sid, "a session that is not open was closed");
                self.outbox.push(AuditToWarden::Closed(sid));
            }
        }
    }

    /// Puts on record what a start, or a later attempt, found in disorder.
    pub(super) fn record_recovery(&mut self, events: Vec<Event>, now: Instant) {
        for event in events {
            if let Event::Recovery { file, .. } = &event {
                self.recovered.push(file.clone());
            }
            self.ledger(Who::default(), None, &Record::new(event), None, now);
        }
    }

    /// Tries again what a start could not bring in order, as on a full disk.
    pub(super) fn mend_later(&mut self, now: Instant) {
        let mut events = Vec::new();
        for sid in std::mem::take(&mut self.later) {
            let ahead = self.reserve.shares().file;
            match recovery::session(&self.store, sid, &self.boot, ahead, &mut events) {
                Left::Orphan(orphan) => self.orphans.push(*orphan),
                Left::Ending(ending) => self.evidence.add_ending(ending),
                Left::Nothing => {}
                Left::Later => self.later.push(sid),
            }
        }
        self.record_recovery(events, now);
    }

    /// Closes the files of sessions that ended in a crash.
    pub(super) fn close_orphans(&mut self, now: Instant) {
        for orphan in std::mem::take(&mut self.orphans) {
            let sid = orphan.sid;
            let event = Event::SessionClose {
                reason: SessionEnd::Crash,
                duration_ms: orphan.duration_ms,
                by: None,
            };
            let mut session = Session::orphaned(orphan);
            if session
                .close(&event, Some(Promise::Recovered(sid)), now)
                .is_ok()
            {
                self.recovered.push(Store::session_id(sid));
                self.sessions.insert(sid, session);
            }
        }
    }

    /// Puts a record where it belongs: into its session's file once that is open, else into the ledger. What leads to a
    /// session is always in the ledger, whoever's message came first: keys' that a login is good, or the warden's.
    pub(super) fn place(
        &mut self,
        record: Record,
        promise: Option<Promise>,
        now: Instant,
    ) -> Placed {
        let before = matches!(
            record.event,
            Event::ConnOpen { .. } | Event::AuthAttempt { .. } | Event::AuthLockout { .. }
        );
        let sid = record
            .sid
            .or_else(|| record.cid.and_then(|cid| self.connections.session(cid)))
            .filter(|_| !before);
        if let Some((sid, session)) = sid.and_then(|sid| Some((sid, self.sessions.get_mut(&sid)?)))
            && !session.closing
        {
            if let Some(text) = marker(&record.event) {
                self.recordings.mark(sid, &text, now);
            }
            let entry = Entry::new(
                session.who.clone(),
                record.channel,
                record.ok,
                &record.event,
            );
            return match session.append(&entry, haste(&record.event, record.ok), promise, now) {
                Ok(()) => Placed::Taken,
                Err(NotTaken::Backlog) if session.failure == AuditFailure::Open => Placed::Waived,
                Err(reason) => {
                    if !session.doomed {
                        session.doomed = true;
                        if reason == NotTaken::Budget {
                            session.note_budget(now);
                        }
                        let reason = reason.as_str().to_owned();
                        self.outbox.push(AuditToWarden::Failed { sid, reason });
                    }
                    Placed::Lost
                }
            };
        }
        if sid.is_some_and(|sid| self.unrecorded.lose(sid)) {
            return Placed::Waived;
        }
        let cid = record.cid;
        let mut who = self.who_of(&record);
        match (sid, cid) {
            (None, Some(cid)) => self.place_without_session(who, cid, &record, promise, now),
            (sid, cid) => {
                who.sid = sid.map(|sid| sid.to_string());
                self.ledger(who, cid, &record, promise, now)
            }
        }
    }

    /// A connection's record before its login, or after its session: fold.rs says what becomes of it.
    fn place_without_session(
        &mut self,
        who: Who,
        cid: ConnectionId,
        record: &Record,
        promise: Option<Promise>,
        now: Instant,
    ) -> Placed {
        if matches!(record.event, Event::AuthAttempt { .. }) && record.ok == Some(true) {
            let waits = promise.is_none() && self.proved.len() < EARLY_RECORDS;
            if self.connections.standing(cid).is_none() && waits {
                self.proved.push(record.clone());
                return Placed::Taken;
            }
            self.log_in(cid, now);
            return self.ledger(who, Some(cid), record, promise, now);
        }
        let full = self.folds.is_full(now);
        // Of a process that was taken over, most likely.
        let lie = matches!(record.event, Event::PolicyDeny { .. }) && !full;
        let entry = || Entry::new(who.clone(), record.channel, record.ok, &record.event).to_keep();
        match self.connections.standing(cid) {
            Some(Standing::LoggedIn) => return self.ledger(who, Some(cid), record, promise, now),
            Some(Standing::Whole) if !full => {}
            Some(_) | None if lie => {}
            None => {
                self.folds.begin(now);
                if self.early.len() < EARLY_RECORDS {
                    self.early.push(record.clone());
                } else {
                    self.folds.late(&entry());
                }
                return Placed::of_held(promise);
            }
            Some(Standing::Held(held)) if held.len() >= HELD_RECORDS => return Placed::TooMuch,
            Some(Standing::Held(held)) => {
                held.push((entry(), haste(&record.event, record.ok)));
                return Placed::of_held(promise);
            }
            Some(standing @ Standing::Whole) => {
                *standing = Standing::Held(vec![(entry(), haste(&record.event, record.ok))]);
                return Placed::of_held(promise);
            }
        }
        let before = self.ledger.bytes();
        let placed = self.ledger(who, Some(cid), record, promise, now);
        self.charge_hour(before, now);
        placed
    }

    /// A connection logs in: what was held of it is written.
    fn log_in(&mut self, cid: ConnectionId, now: Instant) {
        for (entry, haste) in self.connections.log_in(cid) {
            // Counted as lost, if it is.
            self.append(&entry, haste, None, now).ok();
        }
    }

    /// A connection that is new here.
    pub(super) fn join(&mut self, cid: ConnectionId, peer: Peer, standing: Standing, now: Instant) {
        self.connections.add(cid, peer, standing);
        let its = |record: &mut Record| record.cid == Some(cid);
        let mut all: Vec<Record> = self.early.extract_if(.., its).collect();
        all.extend(self.proved.extract_if(.., its));
        for record in all {
            self.place(record, None, now);
        }
    }

    /// Writes the logins of connections that the warden has not spoken of, now that all it said before is heard.
    pub(super) fn write_proved(&mut self, now: Instant) {
        for record in std::mem::take(&mut self.proved) {
            self.ledger(self.who_of(&record), record.cid, &record, None, now);
        }
    }

    fn who_of(&self, record: &Record) -> Who {
        let who = record.cid.map(|cid| self.connections.who(cid));
        who.unwrap_or_default()
    }

    /// Writes the counts of the window that is over.
    pub(super) fn write_folds(&mut self, now: Instant) {
        for record in std::mem::take(&mut self.early) {
            let entry = Entry::new(Who::default(), None, record.ok, &record.event);
            self.folds.late(&entry);
        }
        let before = self.ledger.bytes();
        for event in self.folds.take(now) {
            let record = Record::new(event).outcome(Outcome::Bad);
            self.ledger(Who::default(), None, &record, None, now);
        }
        self.charge_hour(before, now);
    }

    /// Counts what the ledger holds since it held `before`, for those who have not logged in.
    fn charge_hour(&mut self, before: u64, now: Instant) {
        let bytes = self.ledger.bytes().saturating_sub(before);
        if let Charge::WasLast(limit) = self.folds.charge(bytes, now) {
            tracing::warn!("connections that do not log in are only counted for up to an hour");
            let event = Event::LimitHit {
                resource: "records in an hour of those who have not logged in".to_owned(),
                limit,
            };
            let record = Record::new(event).outcome(Outcome::Bad);
            self.ledger(Who::default(), None, &record, None, now);
        }
    }

    pub(super) fn ledger(
        &mut self,
        who: Who,
        cid: Option<ConnectionId>,
        record: &Record,
        promise: Option<Promise>,
        now: Instant,
    ) -> Placed {
        let entry = Entry::new(who, record.channel, record.ok, &record.event);
        match self.append(&entry, haste(&record.event, record.ok), promise, now) {
            Err(Full) => Placed::Lost,
            Ok(bytes) if cid.is_none_or(|cid| self.connections.charge(cid, bytes)) => Placed::Taken,
            Ok(_) => Placed::TooMuch,
        }
    }

    fn append(
        &mut self,
        entry: &Entry,
        haste: Haste,
        promise: Option<Promise>,
        now: Instant,
    ) -> Result<u64, Full> {
        if self.lost > 0 {
            let event = Event::LimitHit {
                resource: "records lost to a full disk".to_owned(),
                limit: self.lost,
            };
            let entry = Entry::new(Who::default(), None, Some(false), &event);
            if self.ledger.append(&entry, Haste::Now, None, now).is_ok() {
                self.lost = 0;
            }
        }
        let taken = self.ledger.append(entry, haste, promise, now);
        self.lost += u64::from(taken.is_err());
        taken
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    Taken,
    Lost,
    /// Lost, and the session goes on.
    Waived,
    TooMuch,
}

impl Placed {
    /// Of one that is held: nobody can be promised that it will be on the disk.
    fn of_held(promise: Option<Promise>) -> Self {
        match promise {
            None => Self::Taken,
            Some(_) => Self::Lost,
        }
    }
}

pub(super) fn answer(guest: &mut Guest, message: &AuditToPeer) {
    if let Err(error) = guest.link.send(message) {
        tracing::debug!(witness = guest.witness.as_str(), cid = ?guest.cid, %error, "a peer does not take its receipt");
        guest.leaves = true;
    }
}
