//! A sandbox as the warden holds it: at first spare, then somebody's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::unistd::Pid;

use super::cgroups::SessionGroup;
use crate::sys::packet::PacketSocket;
use crate::sys::process::Child;
use crate::sys::{Errno, wait};

/// A child that has made all of a sandbox that does not depend on who logs in, or is at it, and waits to be told. Nobody
/// has been in it.
#[derive(Debug)]
pub struct Spare(pub(super) Launched);

/// A child that is making the rest of its sandbox, or has become session-init.
#[derive(Debug)]
pub struct Launched {
    /// Which session it is or will be, as a number; it fixes the uid.
    pub slot: u32,
    /// PID 1 of the session.
    pub child: Child,
    /// The connection's end of session-init's control socket.
    pub control: OwnedFd,
    /// The session's listening socket, for the broker.
    pub socket: OwnedFd,
    /// The only uid that may connect to it.
    pub uid: u32,
    /// Where it is given its order, and reports; see [`Launched::report`].
    pub(super) setup: PacketSocket,
    pub(super) group: SessionGroup,
}

/// What a child says while it makes its sandbox.
#[derive(Debug)]
pub enum Report {
    /// A detached mount of the session's devpts.
    Terminals(OwnedFd),
    /// session-init has taken over.
    Complete,
    /// A step failed; the child is gone.
    Failed(String),
}

impl Spare {
    /// Once it has its order; or to be ended and cleared as a session is, without having been one.
    #[must_use]
    pub fn into_launched(self) -> Launched {
        self.0
    }

    /// Whether it is still there to be told.
    #[must_use]
    pub fn waits(&self) -> bool {
        let ended = wait::readable(&[self.0.child.pidfd.as_fd()], Some(Instant::now()));
        ended.is_ok_and(|ended| ended == [false])
    }

    /// Which step failed, of one that has ended.
    #[must_use]
    pub fn last_words(&self) -> Option<String> {
        // At most the terminals come before.
        [self.0.report(), self.0.report()]
            .into_iter()
            .find_map(|report| match report {
                Some(Report::Failed(why)) => Some(why),
                Some(Report::Terminals(_) | Report::Complete) | None => None,
            })
    }

    /// Whether this is its process.
    #[must_use]
    pub fn is(&self, pid: Pid) -> bool {
        self.0.child.pid == pid
    }
}

impl Launched {
    /// What the child has to say, if anything yet.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        match self.setup.recv(1024, 1) {
            Err(Errno::EAGAIN) => None,
            Err(errno) => Some(Report::Failed(errno.desc().to_owned())),
            Ok(None) => Some(Report::Complete),
            Ok(Some((text, mut fds))) => match fds.pop() {
                Some(terminals) => Some(Report::Terminals(terminals)),
                None => Some(Report::Failed(String::from_utf8_lossy(&text).into_owned())),
            },
        }
    }
}

impl AsFd for Launched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.setup.as_fd()
    }
}
