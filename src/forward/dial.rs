use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use super::is_socket_path;
use super::resolve::{LookUp, is_name};
use crate::sys::{Errno, net};
use crate::wire::{ForwardFault, Target};

/// How long an address may take where there are others.
const ATTEMPT: Duration = Duration::from_secs(5);
/// When a Unix socket whose queue is full is tried again: the kernel does not tell.
const AGAIN: Duration = Duration::from_millis(20);

/// A connection that is being made.
#[derive(Debug)]
pub(super) struct Dial {
    step: Step,
    /// When it is given up.
    deadline: Instant,
    port: u16,
    /// What became of the last address.
    last: ForwardFault,
}

#[derive(Debug)]
enum Step {
    /// The name waits to be looked up.
    Queued(String),
    LookUp(LookUp),
    Connecting {
        socket: OwnedFd,
        until: Instant,
        rest: VecDeque<SocketAddr>,
    },
    /// A Unix socket whose queue is full.
    Full {
        path: String,
        again: Instant,
    },
}

/// How a dial stands.
#[derive(Debug)]
pub(super) enum Outcome {
    Pending,
    Connected(OwnedFd),
    Failed(ForwardFault),
}

impl Dial {
    /// Begins, and says how far that came.
    pub(super) fn begin(to: Target, deadline: Instant) -> (Self, Outcome) {
        let mut dial = Self {
            step: Step::Queued(String::new()),
            deadline,
            port: 0,
            last: ForwardFault::NoAddress,
        };
        let outcome = match to {
            Target::Tcp { host, port } => {
                dial.port = port;
                match host.parse::<IpAddr>() {
                    Ok(address) => dial.try_next(VecDeque::from([(address, port).into()])),
                    Err(_) if is_name(&host) => {
                        dial.step = Step::Queued(host);
                        Outcome::Pending
                    }
                    Err(_) => Outcome::Failed(ForwardFault::NoAddress),
                }
            }
            Target::Unix(path) if is_socket_path(&path) => dial.try_unix(path),
            Target::Unix(_) => Outcome::Failed(ForwardFault::Errno(number(Errno::EINVAL))),
        };
        (dial, outcome)
    }

    /// Whether its name waits to be looked up.
    pub(super) fn is_queued(&self) -> bool {
        matches!(self.step, Step::Queued(_))
    }

    /// Whether it has a process that looks its name up.
    pub(super) fn looks_up(&self) -> bool {
        matches!(self.step, Step::LookUp(_))
    }

    /// Has its turn to look its name up.
    pub(super) fn look_up(&mut self) -> Outcome {
        if let Step::Queued(host) = &self.step {
            match LookUp::begin(host) {
                Ok(look_up) => self.step = Step::LookUp(look_up),
                Err(errno) => return Outcome::Failed(ForwardFault::Errno(number(errno))),
            }
        }
        Outcome::Pending
    }

    /// What it waits for.
    pub(super) fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.step {
            Step::Queued(_) | Step::Full { .. } => None,
            Step::LookUp(look_up) => Some((look_up.output(), PollFlags::POLLIN)),
            Step::Connecting { socket, .. } => Some((socket.as_fd(), PollFlags::POLLOUT)),
        }
    }

    /// When it must be looked at although nothing came.
    pub(super) fn next(&self) -> Instant {
        let step = match &self.step {
            Step::Queued(_) | Step::LookUp(_) => self.deadline,
            Step::Connecting { until, .. } => *until,
            Step::Full { again, .. } => *again,
        };
        step.min(self.deadline)
    }

    /// Goes on, since what it waits for is there.
    pub(super) fn advance(&mut self) -> Outcome {
        match &mut self.step {
            Step::Queued(_) | Step::Full { .. } => Outcome::Pending,
            Step::LookUp(look_up) => match look_up.read() {
                None => Outcome::Pending,
                Some(addresses) => {
                    let port = self.port;
                    let addresses = addresses.into_iter();
                    self.try_next(addresses.map(|ip| (ip, port).into()).collect())
                }
            },
            Step::Connecting { socket, rest, .. } => {
                let rest = std::mem::take(rest);
                match net::connected(socket.as_fd()) {
                    Ok(()) => match socket.try_clone() {
                        Ok(socket) => Outcome::Connected(socket),
                        Err(_) => Outcome::Failed(ForwardFault::Errno(number(Errno::EMFILE))),
                    },
                    Err(errno) => {
                        self.last = ForwardFault::Errno(number(errno));
                        self.try_next(rest)
                    }
                }
            }
        }
    }

    /// Goes on, since its time has come.
    pub(super) fn late(&mut self, now: Instant) -> Outcome {
        if self.deadline <= now {
            return Outcome::Failed(ForwardFault::TimedOut);
        }
        match &mut self.step {
            Step::Queued(_) | Step::LookUp(_) => Outcome::Pending,
            Step::Connecting { rest, .. } => {
                let rest = std::mem::take(rest);
                self.last = ForwardFault::TimedOut;
                self.try_next(rest)
            }
            Step::Full { path, .. } => {
                let path = std::mem::take(path);
                self.try_unix(path)
            }
        }
    }

    /// Tries one address after another, until one is on its way.
    fn try_next(&mut self, mut rest: VecDeque<SocketAddr>) -> Outcome {
        while let Some(address) = rest.pop_front() {
            match net::begin_connect(address) {
                Ok(socket) => {
                    let until = match rest.is_empty() {
                        true => self.deadline,
                        false => self.deadline.min(Instant::now() + ATTEMPT),
                    };
                    self.step = Step::Connecting {
                        socket,
                        until,
                        rest,
                    };
                    return Outcome::Pending;
                }
                Err(errno) => self.last = ForwardFault::Errno(number(errno)),
            }
        }
        Outcome::Failed(self.last)
    }

    /// Connects to a socket of this session. Whoever listens there is asked of the connection itself, since a path can be
    /// written in many ways and lead elsewhere the next moment; what is foreign has not been sent a byte.
    fn try_unix(&mut self, path: String) -> Outcome {
        match net::connect_unix(&path) {
            Err(Errno::EAGAIN) => {
                self.step = Step::Full {
                    path,
                    again: Instant::now() + AGAIN,
                };
                Outcome::Pending
            }
            Err(errno) => Outcome::Failed(ForwardFault::Errno(number(errno))),
            Ok(socket) if is_own(socket.as_fd()) => Outcome::Connected(socket),
            Ok(_foreign) => Outcome::Failed(ForwardFault::Foreign),
        }
    }
}

/// Whether a process of this session listens at the other end: SO_PEERCRED names who called listen(2), by its user and its
/// process as this session's namespaces see them. The server's processes, other sessions and the rest of the system have
/// neither here.
fn is_own(socket: BorrowedFd<'_>) -> bool {
    net::peer_credentials(socket)
        .is_ok_and(|peer| peer.uid() == nix::unistd::geteuid().as_raw() && peer.pid() != 0)
}

#[expect(
    clippy::as_conversions,
    reason = "a C enumeration without another way to a number"
)]
pub(super) fn number(errno: Errno) -> i32 {
    errno as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_ends_at_its_limit_whatever_it_waits_for() {
        let deadline = Instant::now() + Duration::from_secs(20);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["a.name", "127.0.0.1"] {
            let host = host.to_owned();
            let (mut dial, outcome) = Dial::begin(Target::Tcp { host, port }, deadline);
            assert!(matches!(outcome, Outcome::Pending));
            assert!(dial.next() <= deadline);
            let late = dial.late(deadline);
            assert!(matches!(late, Outcome::Failed(ForwardFault::TimedOut)));
        }
    }
}
