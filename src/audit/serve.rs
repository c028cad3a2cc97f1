use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::erasure::Erasure;
use super::error::AuditError;
use super::evidence::{Evidence, today};
use super::file::{Promise, TrailFile};
use super::fold::{Folds, Standing};
use super::outbox::Outbox;
use super::recording::{Lie, Recordings};
use super::recovery::{self, Found};
use super::reserve::Reserve;
use super::retention::Retention;
use super::rights::Witness;
use super::room::{Guest, GuestLink, Placed, Room, WardenLink, answer};
use super::sessions::Connections;
use super::settle::segment;
use super::signer::Signer;
use super::store::Store;
use super::sweep::Sweep;
use super::unrecorded::Unrecorded;
use crate::model::{ConnectionId, SessionId};
use crate::sys::directory::Directory;
use crate::sys::wait::readable;
use crate::wire::{
    AuditConfig, AuditToPeer, AuditToWarden, Event, LinkError, ReportToAudit, WardenToAudit,
};

/// How many messages of one link are read before the others have their turn.
const TURN: usize = 64;
/// How many of a link are read where all that is there matters: of the warden's, which places what the others say, and
/// before a session or a connection is done with. More than a socket's buffer holds of them.
const WHOLE_LINK: usize = 1024;
/// How long sessions that were open at start are waited for, where only audit was restarted under them.
const ORPHANS: Duration = Duration::from_secs(10);
/// How soon files are tried again that could not be brought in order.
const LATER: Duration = Duration::from_secs(10);
/// How soon the warden is tried again when it does not read.
const WARDEN_AGAIN: Duration = Duration::from_millis(20);

/// Keeps the trail in `directory` until the warden closes its link. For the time after confinement: everything is
/// opened relative to that descriptor.
///
/// # Errors
/// `Prepare`, `Ledger` where the trail cannot even be begun; `Warden`, `NotTheWardens`, `Wait`.
pub fn run(config: AuditConfig, directory: OwnedFd, warden: WardenLink) -> Result<(), AuditError> {
    let store = Store::new(Directory::from_fd(directory))?;
    warden.set_nonblocking().map_err(AuditError::Warden)?;
    let recordings = store.root().descend("").map(Recordings::new);
    let recordings = recordings.map_err(|source| AuditError::Prepare {
        path: ".".to_owned(),
        source,
    })?;
    let boot_of = |segment: u64| format!("{}-{segment}", config.boot);
    let prepare = |source| AuditError::Prepare {
        path: "spare".to_owned(),
        source,
    };
    let mut reserve = Reserve::new(store.spare().map_err(prepare)?);
    let found = recovery::run(&store, reserve.shares().file, boot_of);
    let boot = boot_of(found.segment);
    let now = Instant::now();
    let Found {
        segment: number,
        ledger,
        orphans,
        endings,
        later,
        events,
    } = found;
    let signer = Signer::new(store.root(), ledger.key.as_ref(), &today())?;
    let mut room = Room {
        ledger: segment(&store, &mut reserve, number, ledger.head, &boot)?,
        evidence: Evidence::new(signer, ledger.records, endings),
        segment: number,
        store,
        reserve,
        retention: Retention::new(config.record_days, now),
        sweep: Sweep::new(config.recording_days, config.recording_bytes, now),
        erasure: Erasure::new(now),
        boot,
        warden,
        outbox: Outbox::default(),
        guests: Vec::new(),
        next_guest: 0,
        connections: Connections::default(),
        folds: Folds::default(),
        early: Vec::new(),
        proved: Vec::new(),
        overrun: Vec::new(),
        sessions: HashMap::new(),
        orphans,
        orphans_due: now + ORPHANS,
        later,
        later_due: now + LATER,
        recordings,
        recovered: Vec::new(),
        unrecorded: Unrecorded::default(),
        lost: 0,
    };
    room.open_segment(now);
    room.record_recovery(events, now);
    room.recover_recordings(now);
    room.outbox.push(AuditToWarden::Ready);
    room.settle(now)?;
    while room.turn()? == Turn::Again {}
    room.finish();
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Again,
    End,
}

impl Room {
    fn turn(&mut self) -> Result<Turn, AuditError> {
        let ready = self.wait()?;
        let now = Instant::now();
        let mut ready = ready.into_iter();
        let warden_ready = ready.next().unwrap_or(false);
        // What the warden says first: it places the links and sessions that the others speak of.
        let turn = if warden_ready {
            self.hear_warden(now)?
        } else {
            Turn::Again
        };
        self.write_proved(now);
        self.hear_guests(&ready.collect::<Vec<_>>(), now);
        if now >= self.later_due && !self.later.is_empty() {
            self.later_due = now + LATER;
            self.mend_later(now);
        }
        if now >= self.orphans_due {
            self.close_orphans(now);
        }
        if self.folds.due().is_some_and(|due| due <= now) {
            self.write_folds(now);
        }
        self.settle(now)?;
        self.work_on_recordings(now);
        // Last: nobody waits for these.
        self.expire(now);
        self.sweep(now);
        self.erase(now);
        self.reserve.fill(&self.store, now);
        Ok(turn)
    }

    fn wait(&self) -> Result<Vec<bool>, AuditError> {
        let mut fds = vec![self.warden.as_fd()];
        fds.extend(self.guests.iter().map(|guest| guest.link.as_fd()));
        let files = std::iter::once(&self.ledger).chain(self.sessions.values().map(|s| &s.file));
        let mut due: Vec<Instant> = files.filter_map(TrailFile::due).collect();
        if !self.orphans.is_empty() {
            due.push(self.orphans_due);
        }
        if !self.later.is_empty() {
            due.push(self.later_due);
        }
        due.extend(self.folds.due());
        due.extend(self.attest_due(Instant::now()));
        due.push(self.reserve.due());
        due.push(self.retention.due(Instant::now()));
        due.push(self.sweep.due(Instant::now()));
        due.push(self.erasure.due());
        due.extend(self.recordings.due(Instant::now()));
        if !self.proved.is_empty() {
            due.push(Instant::now());
        }
        if self.outbox.is_behind() {
            due.push(Instant::now() + WARDEN_AGAIN);
        }
        readable(&fds, due.into_iter().min()).map_err(AuditError::Wait)
    }

    fn hear_warden(&mut self, now: Instant) -> Result<Turn, AuditError> {
        for _ in 0..WHOLE_LINK {
            match self.warden.recv_with() {
                Ok((message, fds)) => self.warden_says(message, fds, now)?,
                Err(error) if error.would_block() => return Ok(Turn::Again),
                Err(LinkError::Closed) => return Ok(Turn::End),
                Err(error) => return Err(AuditError::Warden(error)),
            }
        }
        Ok(Turn::Again)
    }

    fn warden_says(
        &mut self,
        message: WardenToAudit,
        fds: Vec<OwnedFd>,
        now: Instant,
    ) -> Result<(), AuditError> {
        match message {
            WardenToAudit::Connection { cid, peer, session } => {
                let standing = match session {
                    Some(_) => Standing::LoggedIn,
                    None => self.folds.admit(peer.ip.into(), now),
                };
                self.join(cid, peer, standing, now);
                self.greet(fds, Witness::Connection, Some(cid))?;
                if let Some(facts) = session {
                    self.resume(&facts);
                }
            }
            WardenToAudit::Reporter(reporter) => self.greet(fds, reporter.into(), None)?,
            other if !fds.is_empty() => {
                tracing::error!(?other, "descriptors came that were not called for");
                return Err(AuditError::Warden(LinkError::Descriptors(fds.len())));
            }
            WardenToAudit::OpenSession { facts, event } => {
                if !matches!(event, Event::SessionOpen { .. }) {
                    return Err(self.warden_lies(&event, now));
                }
                self.open_session(&facts, &event, now);
            }
            WardenToAudit::CloseSession { sid, event } => {
                if !matches!(event, Event::SessionClose { .. }) {
                    return Err(self.warden_lies(&event, now));
                }
                self.hear_last_words(sid, now);
                self.close_session(sid, &event, now);
            }
            WardenToAudit::Record(mut record) => {
                let edges = matches!(
                    record.event,
                    Event::SessionOpen { .. } | Event::SessionClose { .. }
                );
                if edges || Witness::of(&record.event) != Witness::Warden {
                    return Err(self.warden_lies(&record.event, now));
                }
                if let Event::ServerStart { recovered, .. } = &mut record.event {
                    // The whole server starts, so nothing that was open runs any more.
                    self.close_orphans(now);
                    recovered.append(&mut self.recovered);
                }
                self.place(record, None, now);
            }
        }
        Ok(())
    }

    fn warden_lies(&mut self, event: &Event, now: Instant) -> AuditError {
        let kind = event.kind();
        self.record_lie(Witness::Warden, kind, None, now);
        drop(self.ledger.flush(now));
        AuditError::NotTheWardens { kind }
    }

    fn greet(
        &mut self,
        fds: Vec<OwnedFd>,
        witness: Witness,
        cid: Option<ConnectionId>,
    ) -> Result<(), AuditError> {
        let [fd] = GuestLink::exactly(fds).map_err(AuditError::Warden)?;
        let link = GuestLink::from_fd(fd).map_err(AuditError::Warden)?;
        link.set_nonblocking().map_err(AuditError::Warden)?;
        self.next_guest += 1;
        self.guests.push(Guest {
            number: self.next_guest,
            link,
            witness,
            cid,
            leaves: false,
        });
        Ok(())
    }

    fn hear_guests(&mut self, ready: &[bool], now: Instant) {
        let mut guests = std::mem::take(&mut self.guests);
        for (guest, ready) in guests.iter_mut().zip(ready) {
            if *ready {
                self.hear_guest(guest, TURN, now);
            }
        }
        for guest in &mut guests {
            guest.leaves |= guest.cid.is_some_and(|cid| self.overrun.contains(&cid));
        }
        self.overrun.clear();
        // None was added meanwhile: only the warden's messages do that.
        self.guests = guests;
    }

    /// Hears what a session's connection, and the broker, have said up to now: it belongs before the session's end.
    fn hear_last_words(&mut self, sid: SessionId, now: Instant) {
        let mut guests = std::mem::take(&mut self.guests);
        for guest in &mut guests {
            let its = guest
                .cid
                .is_some_and(|cid| self.connections.session(cid) == Some(sid));
            if its || guest.witness == Witness::Broker {
                self.hear_guest(guest, WHOLE_LINK, now);
            }
        }
        self.guests = guests;
    }

    /// Hears what keys has said up to now: it belongs to the connections that leave.
    pub(super) fn hear_keys(&mut self, now: Instant) {
        let mut guests = std::mem::take(&mut self.guests);
        for guest in guests
            .iter_mut()
            .filter(|guest| guest.witness == Witness::Keys)
        {
            self.hear_guest(guest, WHOLE_LINK, now);
        }
        self.guests = guests;
    }

    fn hear_guest(&mut self, guest: &mut Guest, limit: usize, now: Instant) {
        for _ in 0..limit {
            if guest.leaves {
                break;
            }
            match guest.link.recv() {
                Ok(report) => self.guest_says(guest, report, now),
                Err(error) if error.would_block() => break,
                Err(LinkError::Closed) => guest.leaves = true,
                Err(error) => {
                    let witness = guest.witness.as_str();
                    tracing::warn!(witness, cid = ?guest.cid, %error, "a link does not speak as it should: closed");
                    guest.leaves = true;
                }
            }
        }
    }

    fn guest_says(&mut self, guest: &mut Guest, report: ReportToAudit, now: Instant) {
        let (mut record, receipt) = match report {
            ReportToAudit::Record { record, receipt } => (record, receipt),
            ReportToAudit::Recording(part) => {
                if let Err(Lie(what)) = self.take_recording(guest, part, now) {
                    self.record_lie(guest.witness, what, guest.cid, now);
                    guest.leaves = true;
                }
                return;
            }
        };
        if Witness::of(&record.event) != guest.witness {
            self.record_lie(guest.witness, record.event.kind(), guest.cid, now);
            guest.leaves = true;
            return;
        }
        if let Some(cid) = guest.cid {
            // The link places a connection's records, whatever they say themselves.
            record.cid = Some(cid);
            record.sid = None;
        }
        let cid = record.cid;
        let promise = receipt.map(|receipt| Promise::Receipt(guest.number, receipt));
        match self.place(record, promise, now) {
            Placed::Taken => {}
            Placed::Waived => {
                if let Some(receipt) = receipt {
                    answer(guest, &AuditToPeer::Waived(receipt));
                }
            }
            Placed::Lost => {
                if let Some(receipt) = receipt {
                    answer(guest, &AuditToPeer::Failed(receipt));
                }
            }
            Placed::TooMuch => {
                tracing::warn!(
                    ?cid,
                    "a connection without a session puts too much on record: closed"
                );
                match guest.cid {
                    Some(_) => guest.leaves = true,
                    // It was keys' to say, and is not its fault.
                    None => self.overrun.extend(cid),
                }
            }
        }
    }

    /// The last words of those that still have some, then everything to the disk.
    fn finish(&mut self) {
        let now = Instant::now();
        self.hear_guests(&vec![true; self.guests.len()], now);
        self.hear_keys(now);
        self.write_proved(now);
        for ended in self.connections.end_all() {
            self.folds.end(ended.source, &ended.held, now);
        }
        self.write_folds(now);
        self.recordings.finish(now);
        // Whatever was only due later is due now.
        let late = now + Duration::from_secs(1);
        self.flush_sessions(late);
        self.anchor_all(late);
        self.seal_segment(late);
        self.flush_ledger(late);
    }
}
