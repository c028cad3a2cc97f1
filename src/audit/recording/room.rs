//! What recordings have to do with the rest of audit: whose they are, and what goes on record of them.

use std::time::Instant;

use super::name::Name;
use super::recovery::{self, Leftover, Recovered};
use super::{Lie, Note, Owner, Taken};
use crate::audit::chain;
use crate::audit::record::{Entry, Who};
use crate::audit::rights::haste;
use crate::audit::room::{Guest, Room, answer};
use crate::model::SessionId;
use crate::wire::{ApiDecision, AuditToPeer, Event, Outcome, Record, RecordingPart};

impl Room {
    /// Takes what a connection has to show.
    ///
    /// # Errors
    /// What it may not say.
    pub(in crate::audit) fn take_recording(
        &mut self,
        guest: &mut Guest,
        part: RecordingPart,
        now: Instant,
    ) -> Result<(), Lie> {
        let cid = guest.cid.ok_or(Lie("a recording of no connection"))?;
        let recording = part.recording;
        let sid = self.connections.session(cid);
        let session = sid.and_then(|sid| Some((sid, self.sessions.get(&sid)?)));
        let Some((sid, session)) = session.filter(|(_, session)| !session.closing) else {
            answer(guest, &AuditToPeer::RecordingStopped(recording));
            return Ok(());
        };
        let owner = Owner {
            sid,
            mode: session.recording,
            user: session.who.user.as_deref().unwrap_or_default(),
        };
        let taken = self.recordings.take(&owner, part, now)?;
        for recording in taken.stopped {
            answer(guest, &AuditToPeer::RecordingStopped(recording));
        }
        self.note_recordings(sid, taken.notes, now);
        Ok(())
    }

    /// Writes, syncs and seals what is due.
    pub(in crate::audit) fn work_on_recordings(&mut self, now: Instant) {
        for (sid, taken) in self.recordings.work(now) {
            let Taken { notes, stopped } = taken;
            let connections = &self.connections;
            let its = |guest: &&mut Guest| {
                guest.cid.and_then(|cid| connections.session(cid)) == Some(sid)
            };
            for guest in self.guests.iter_mut().filter(its) {
                for recording in &stopped {
                    answer(guest, &AuditToPeer::RecordingStopped(*recording));
                }
            }
            self.note_recordings(sid, notes, now);
        }
    }

    /// Ends those of a session, before its own end goes on record.
    pub(in crate::audit) fn end_recordings(&mut self, sid: SessionId, now: Instant) {
        let notes = self.recordings.end_session(sid, now);
        self.note_recordings(sid, notes, now);
    }

    fn note_recordings(&mut self, sid: SessionId, notes: Vec<Note>, now: Instant) {
        for Note { channel, event } in notes {
            let outcome = match &event {
                Event::RecordingStart { .. } | Event::RecordingEnd { .. } => Outcome::Good,
                _ => Outcome::Bad,
            };
            let record = Record::new(event).of_session(sid);
            self.place(record.in_channel(channel).outcome(outcome), None, now);
        }
    }

    /// Brings in order what was being recorded when audit last ended: each is ended on the record of its session, if that
    /// is open, and sealed.
    pub(in crate::audit) fn recover_recordings(&mut self, now: Instant) {
        for recovered in recovery::run(&self.recordings.root) {
            let Leftover {
                plain,
                ended,
                torn_bytes,
            } = match recovered {
                Recovered::Leftover(leftover) => leftover,
                Recovered::Lost(name) => {
                    let event = Event::RecordingFail {
                        file: Some(name.id()),
                        reason: "nothing of it had been written when audit ended".to_owned(),
                    };
                    self.end_for(&name, Outcome::Bad, &event, now);
                    continue;
                }
            };
            let file = plain.name.id();
            if torn_bytes > 0 {
                let event = Event::Recovery {
                    records: 0,
                    missing_bytes: 0,
                    file: file.clone(),
                    torn_bytes,
                    moved_to: None,
                };
                self.recovered.push(file.clone());
                self.ledger(Who::default(), None, &Record::new(event), None, now);
            }
            let event = Event::RecordingEnd {
                file,
                bytes: ended.bytes,
                sha256: ended.sha256,
                head: chain::text(&ended.head),
                left_out: None,
            };
            self.end_for(&plain.name, Outcome::Good, &event, now);
            self.recordings.seal_later(plain);
        }
    }

    /// Puts a recording's end on the record of its session, if that is open and has none.
    fn end_for(&mut self, name: &Name, outcome: Outcome, event: &Event, now: Instant) {
        let its = self
            .orphans
            .iter_mut()
            .find(|orphan| orphan.sid == name.sid);
        let Some(orphan) = its.filter(|orphan| !orphan.totals.has_recording(&name.plain())) else {
            return;
        };
        let good = Some(outcome == Outcome::Good);
        let entry = Entry::new(orphan.who.clone(), name.channel(), good, event);
        let taken = orphan.file.append(&entry, haste(event, None), None, now);
        if taken.is_ok() {
            orphan.totals.see(entry.kind, &entry.d);
        }
    }
}

/// What terminals show of an event of their session's API calls; none for other events.
pub(in crate::audit) fn marker(event: &Event) -> Option<String> {
    match event {
        Event::ApiRequest {
            decision,
            method,
            path,
            ..
        } => {
            let decision = match decision {
                ApiDecision::Allow => "call",
                ApiDecision::Deny => "denied",
            };
            Some(format!("{decision}: {method} {path}"))
        }
        Event::PolicyDeny { layer, object, .. } => Some(format!("denied: {layer}: {object}")),
        _ => None,
    }
}
