//! Readers of the audit trail: each is started for one question that the broker has for it, and ends by itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::wait::WaitStatus;

use super::servers::become_server;
use crate::sys::namespace::Namespaces;
use crate::sys::process::{self, Child, Forked};
use crate::wire::limits::READERS;

/// How long one may take: the reading of years, or a client that is slow to take tens of megabytes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Those that run.
#[derive(Debug)]
pub(super) struct Readers {
    config: OwnedFd,
    running: Vec<(Child, Instant)>,
}

impl Readers {
    pub(super) fn new(config: OwnedFd) -> Self {
        Self {
            config,
            running: Vec::new(),
        }
    }

    /// Starts one whose link to the broker is `link`. Where it cannot be started, the broker learns it from the link's end.
    pub(super) fn start(&mut self, program: BorrowedFd<'_>, link: &OwnedFd) {
        // The broker has its own idea of the limit, and this one does not trust it.
        if self.running.len() >= READERS {
            tracing::warn!("a reader of the audit trail is not started: {READERS} run");
            return;
        }
        match process::fork_into(Namespaces::empty(), None) {
            Err(errno) => tracing::warn!("cannot start a reader of the audit trail: {errno}"),
            Ok(Forked::Parent(child)) => {
                self.running.push((child, Instant::now() + PATIENCE));
            }
            Ok(Forked::Child) => {
                let errno = become_server(program, "reader", &[self.config.as_fd(), link.as_fd()]);
                tracing::error!("cannot execute a reader of the audit trail: {errno}");
                process::exit_now(1)
            }
        }
    }

    /// Takes note of a child's end; whether it was one of these.
    pub(super) fn ended(&mut self, status: WaitStatus) -> bool {
        let before = self.running.len();
        self.running
            .retain(|(child, _)| Some(child.pid) != status.pid());
        let was_one = self.running.len() < before;
        if let (true, WaitStatus::Signaled(_, signal, _)) = (was_one, status) {
            tracing::warn!("a reader of the audit trail was ended by {signal}");
        }
        was_one
    }

    /// When one has taken too long.
    pub(super) fn overdue_at(&self) -> Option<Instant> {
        self.running.iter().map(|(_, until)| *until).min()
    }

    /// Ends those that have.
    pub(super) fn enforce(&mut self, now: Instant) {
        for (child, until) in &mut self.running {
            if *until <= now {
                tracing::warn!(
                    "a reader of the audit trail was not done within {} s; it is ended",
                    PATIENCE.as_secs()
                );
                child.kill().ok();
                // Its end is on its way.
                *until = now + PATIENCE;
            }
        }
    }

    /// Ends all.
    pub(super) fn dismiss(&mut self) {
        for (child, _) in &self.running {
            child.kill().ok();
        }
    }
}
