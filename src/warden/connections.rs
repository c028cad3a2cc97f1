//! Connections and their sessions as the warden knows them.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::pulse::Pulse;
use crate::model::{ConnectionId, Grant, Peer, SessionId};
use crate::sandbox::Launched;
use crate::sys::process;
use crate::wire::{ConnectionToWarden, Event, Link, SessionEnd, SessionFacts, WardenToConnection};

/// How long a sandbox may take to be made and put on record.
pub(super) const SETUP: Duration = Duration::from_secs(10);

/// How long the broker may take to let go of a session.
pub(super) const RELEASE: Duration = Duration::from_secs(5);

/// One SSH transport's process.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) pidfd: OwnedFd,
    pub(super) link: Link<WardenToConnection, ConnectionToWarden>,
    /// Looked at once it has a session; until then it has a deadline.
    pub(super) pulse: Pulse,
    pub(super) state: State,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each connection, and most have a session"
)]
pub(super) enum State {
    /// Must log in by then.
    Fresh { until: Instant },
    /// Its session could not be made; it has been told and will end.
    Refused { until: Instant },
    /// Logged in.
    Session(Session),
}

/// One login: its sandbox, and how far it is.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) sid: SessionId,
    pub(super) grant: Grant,
    pub(super) launched: Launched,
    pub(super) opened: Instant,
    pub(super) progress: Progress,
}

/// What a session still waits for.
#[derive(Debug)]
pub(super) enum Progress {
    /// For its sandbox, or its first record, or both.
    Making {
        terminals: Option<OwnedFd>,
        complete: bool,
        recorded: bool,
    },
    /// For nothing: the connection has it.
    Ready,
}

/// A session whose connection is gone, until nothing of it is left and its record is closed.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) facts: SessionFacts,
    /// Until nothing of it is left.
    pub(super) launched: Option<Launched>,
    pub(super) opened: Instant,
    pub(super) end: SessionEnd,
    /// Which session asked for it.
    pub(super) by: Option<SessionId>,
    /// Since when.
    pub(super) since: Instant,
    pub(super) process_gone: bool,
    pub(super) broker_done: bool,
    /// What its last record says, once nothing of it is left and its slot is free; until audit has it on the disk.
    pub(super) last_record: Option<Event>,
}

impl Connection {
    /// Ends the process, whatever it is doing. Its link's end follows.
    pub(super) fn kill(&self) {
        // Gone already: its link says so.
        process::kill(std::os::fd::AsFd::as_fd(&self.pidfd)).ok();
    }

    /// What audit has to know after a restart.
    pub(super) fn facts(&self, cid: ConnectionId) -> Option<SessionFacts> {
        match &self.state {
            State::Session(session) => Some(session.facts(cid, self.peer)),
            State::Fresh { .. } | State::Refused { .. } => None,
        }
    }

    /// When something must have happened.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Fresh { until } | State::Refused { until } => Some(*until),
            State::Session(Session {
                progress: Progress::Making { .. },
                opened,
                ..
            }) => Some(*opened + SETUP),
            State::Session(Session {
                progress: Progress::Ready,
                ..
            }) => None,
        }
    }
}

impl Session {
    /// What audit has to know of it.
    pub(super) fn facts(&self, cid: ConnectionId, peer: Peer) -> SessionFacts {
        SessionFacts {
            sid: self.sid,
            cid,
            peer,
            grant: self.grant.clone(),
        }
    }
}

/// Numbers for sessions that run at the same time. Given out in turn, so that one just freed rests longest.
#[derive(Debug)]
pub(super) struct Slots {
    taken: BTreeSet<u32>,
    count: u32,
    next: u32,
}

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        Self {
            taken: BTreeSet::new(),
            count,
            next: 0,
        }
    }

    pub(super) fn take(&mut self) -> Option<u32> {
        let free = (0..self.count)
            .map(|offset| (self.next + offset) % self.count)
            .find(|slot| !self.taken.contains(slot))?;
        self.taken.insert(free);
        self.next = (free + 1) % self.count;
        Some(free)
    }

    pub(super) fn free(&mut self, slot: u32) {
        self.taken.remove(&slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_given_in_turn_and_run_out() {
        let mut slots = Slots::new(3);
        assert_eq!([slots.take(), slots.take()], [Some(0), Some(1)]);
        slots.free(0);
        assert_eq!(
            [slots.take(), slots.take(), slots.take()],
            [Some(2), Some(0), None]
        );
    }
}
