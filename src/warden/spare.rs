//! The next session's sandbox, begun before its login. What does not depend on who logs in takes most of the time; with
//! version 1 of control groups the kernel alone takes some ten milliseconds to move a process into its group.

use nix::unistd::Pid;

use super::connections::{Progress, Session, State};
use super::run::Warden;
use super::sessions::Gone;
use crate::model::escape;
use crate::sandbox::{Launched, SandboxError, Spare};

/// At most one, and what is left of those that came to nothing.
#[derive(Debug)]
pub(super) struct Spares {
    ready: Option<Spare>,
    /// Whether another is wanted: from the start and after each login, so that what fails is not tried without end.
    due: bool,
    unused: Vec<(Launched, Gone)>,
}

impl Spares {
    pub(super) fn new() -> Self {
        Self {
            ready: None,
            due: true,
            unused: Vec::new(),
        }
    }

    /// Whether one still has to be cleared away.
    pub(super) fn clearing(&self) -> bool {
        !self.unused.is_empty()
    }

    /// Ends one.
    pub(super) fn discard(&mut self, spare: Spare, gone: Gone) {
        let launched = spare.into_launched();
        // Gone already: then it is reaped soon.
        launched.child.kill().ok();
        self.unused.push((launched, gone));
    }

    /// Ends the one that waits: there will be no login any more.
    pub(super) fn retire(&mut self) {
        self.due = false;
        if let Some(spare) = self.ready.take() {
            self.discard(spare, Gone::No);
        }
    }
}

impl Warden {
    /// Makes a spare, unless there is one, or somebody waits for what this would take.
    pub(super) fn keep_spare(&mut self) {
        let making = |state: &State| {
            matches!(
                state,
                State::Session(Session {
                    progress: Progress::Making { .. },
                    ..
                })
            )
        };
        let busy = self.connections.values().any(|c| making(&c.state));
        if !self.spares.due || busy || self.spares.ready.is_some() {
            return;
        }
        self.spares.due = false;
        match self.make_spare() {
            Ok(spare) => self.spares.ready = spare,
            Err(error) => tracing::error!("no sandbox can be made: {}", error.line()),
        }
    }

    /// The one that waits, or a new one; none where all slots are taken.
    pub(super) fn take_spare(&mut self) -> Result<Option<Spare>, SandboxError> {
        self.spares.due = true;
        match self.spares.ready.take() {
            Some(spare) if spare.waits() => Ok(Some(spare)),
            Some(dead) => {
                self.spares.discard(dead, Gone::No);
                self.make_spare()
            }
            None => self.make_spare(),
        }
    }

    fn make_spare(&mut self) -> Result<Option<Spare>, SandboxError> {
        let Some(slot) = self.slots.take() else {
            return Ok(None);
        };
        let made = self.host.spare(slot);
        if made.is_err() {
            self.slots.free(slot);
        }
        made.map(Some)
    }

    /// A child has ended that may be a spare.
    pub(super) fn spare_ended(&mut self, pid: Pid, how: &str) {
        for (launched, gone) in &mut self.spares.unused {
            if launched.child.pid == pid {
                *gone = Gone::Yes;
            }
        }
        let Some(spare) = self.spares.ready.take_if(|spare| spare.is(pid)) else {
            return;
        };
        let said = spare.last_words().unwrap_or_else(|| how.to_owned());
        tracing::error!(
            "the sandbox for the next session came to nothing: {}",
            escape(said.as_bytes(), 400)
        );
        self.spares.discard(spare, Gone::Yes);
    }

    /// Lets go of those of which nothing is left.
    pub(super) fn clear_spares(&mut self) {
        let host = &self.host;
        let slots = &mut self.slots;
        self.spares.unused.retain(|(launched, gone)| {
            let cleared = *gone == Gone::Yes && host.clear(launched);
            if cleared {
                slots.free(launched.slot);
            }
            !cleared
        });
    }
}
