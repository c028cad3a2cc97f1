//! The long-lived processes under the warden: front, keys, broker, audit.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::outbox::{Full, Outbox};
use super::pulse::{Beat, Pulse};
use crate::sys::namespace::Namespaces;
use crate::sys::process::{self, Child, Forked};
use crate::sys::{Errno, descriptor, is_shortage};
use crate::wire::limits::{OUTBOX_AGE, TURN};
use crate::wire::{Incoming, Link, LinkError, Packet};

/// A process that ends sooner than this after its start did not really start.
const SETTLED: Duration = Duration::from_secs(2);
/// How often in a row that may happen before the server gives up.
const ATTEMPTS: u32 = 4;
/// How long a process may take to end once it has hung up.
const LEAVING: Duration = Duration::from_secs(2);
/// The pause before such a process is started again.
const PAUSE: Duration = Duration::from_millis(300);

/// The pause where descriptors or memory are short: what is there has to end first.
pub(super) const SHORTAGE: Duration = Duration::from_secs(1);

/// What ends the server, or could: a terminal or a service manager sends it to all processes of its group, and only the
/// warden acts on it. The others end when their link does, or with the warden.
const WARDENS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Why a process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot start {name}")]
    Start { name: &'static str, source: Errno },
    #[error("cannot make the links of {name}")]
    Link {
        name: &'static str,
        source: LinkError,
    },
    #[error("{name} ended {ATTEMPTS} times as soon as it was started; its own message says why")]
    Hopeless { name: &'static str },
    #[error("{name} cannot begin: it {how}; its own message says why")]
    Stillborn { name: &'static str, how: String },
    #[error("{name} cannot work with what it has; its own message says why")]
    Final { name: &'static str },
}

impl ServerError {
    fn is_shortage(&self) -> bool {
        match self {
            // EAGAIN: too many processes (clone(2)).
            Self::Start { source, .. } => is_shortage(*source) || *source == Errno::EAGAIN,
            Self::Link { source, .. } => source.is_shortage(),
            Self::Hopeless { .. } | Self::Stillborn { .. } | Self::Final { .. } => false,
        }
    }
}

/// One of them: its program's role, its life and the link to it.
#[derive(Debug)]
pub(super) struct Server<Out, In> {
    name: &'static str,
    config: OwnedFd,
    life: Life<Out, In>,
    works: Works,
    /// It has worked once.
    proven: bool,
    failures: u32,
}

#[derive(Debug)]
enum Life<Out, In> {
    Running {
        child: Child,
        link: Link<Out, In>,
        outbox: Outbox<Packet<Out>>,
        since: Instant,
        health: Health,
        pulse: Pulse,
    },
    Waiting {
        until: Instant,
    },
}

/// Whether a process that runs is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// Started; it has not said yet that it works.
    Begun,
    /// It works, as far as the warden knows.
    Well,
    /// It has hung up, and so is ending by itself; its status says why, if it is let.
    Leaving { until: Instant },
    /// The warden ended it; the kernel has not said so yet.
    Killed,
}

/// When a process works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Works {
    /// As soon as it is started.
    AtOnce,
    /// Once it has said so. One that ends before that, the first time, will not work the next time either.
    WhenItSays,
}

/// Whether a process was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Started {
    Yes,
    /// Descriptors or memory are short: it is due again after a while.
    Later,
}

/// What a process said.
#[derive(Debug)]
pub(super) struct Heard<In> {
    pub(super) messages: Vec<(In, Vec<OwnedFd>)>,
    /// Something was lost for want of descriptors.
    pub(super) shortage: bool,
}

/// What a process says that its state does not permit: "keys ...". It is ended for that, and nothing else is.
#[derive(Debug)]
pub(super) struct Wrong(pub(super) String);

/// How a process ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It gave up, or broke a rule; the text says how.
    ByItself(String),
    /// It gave up, and so would the next one.
    Final,
    /// Somebody ended it: no sign that the next one will not work.
    Killed,
    /// It could not even be executed, for want of descriptors or memory: neither.
    Short,
}

/// The exit status of a child that could not become the process: for want of descriptors or memory, or for another
/// reason. sysexits.h.
const TEMPFAIL: i32 = 75;
const SOFTWARE: i32 = 70;
/// The exit status of a process that cannot work with what it has, so that another start would not help. sysexits.h.
pub const FINAL: u8 = 78;

impl Ended {
    pub(super) fn with_status(code: i32) -> Self {
        if code == TEMPFAIL {
            Self::Short
        } else if code == i32::from(FINAL) {
            Self::Final
        } else {
            Self::ByItself(format!("ended with status {code}"))
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::ByItself(text) => text,
            Self::Final => "gave up",
            Self::Killed => "was ended",
            Self::Short => "found no room",
        }
    }
}

impl Health {
    /// Whether it may be told anything, and heard.
    fn hears(self) -> bool {
        matches!(self, Self::Begun | Self::Well)
    }
}

impl<Out: Serialize, In: DeserializeOwned> Server<Out, In> {
    /// Not started yet: due at once.
    pub(super) fn new(name: &'static str, config: OwnedFd, works: Works) -> Self {
        Self {
            name,
            config,
            life: Life::Waiting {
                until: Instant::now(),
            },
            works,
            proven: works == Works::AtOnce,
            failures: 0,
        }
    }

    /// Starts it with its configuration as descriptor 3, its link to the warden as 4, and `more` above.
    pub(super) fn start(
        &mut self,
        program: BorrowedFd<'_>,
        more: &[BorrowedFd<'_>],
    ) -> Result<Started, ServerError> {
        match self.try_start(program, more) {
            Ok(()) => Ok(Started::Yes),
            Err(error) if error.is_shortage() => Ok(self.put_off()),
            Err(error) => Err(error),
        }
    }

    /// Descriptors or memory are short: it is due again after a while.
    pub(super) fn put_off(&mut self) -> Started {
        tracing::warn!("out of descriptors or memory: {} is not started", self.name);
        self.life = Life::Waiting {
            until: Instant::now() + SHORTAGE,
        };
        Started::Later
    }

    fn try_start(
        &mut self,
        program: BorrowedFd<'_>,
        more: &[BorrowedFd<'_>],
    ) -> Result<(), ServerError> {
        let name = self.name;
        let link_failed = |source| ServerError::Link { name, source };
        let (near, far) = Link::<Out, In>::pair().map_err(link_failed)?;
        near.set_nonblocking().map_err(link_failed)?;
        let mut fds = vec![self.config.as_fd(), far.as_fd()];
        fds.extend(more);
        let failed = |source| ServerError::Start { name, source };
        match process::fork_into(Namespaces::empty(), None).map_err(failed)? {
            Forked::Parent(child) => {
                self.life = Life::Running {
                    child,
                    link: near,
                    outbox: Outbox::new(),
                    since: Instant::now(),
                    health: match self.works {
                        Works::AtOnce => Health::Well,
                        Works::WhenItSays => Health::Begun,
                    },
                    pulse: Pulse::of_beginner(),
                };
                Ok(())
            }
            Forked::Child => {
                let errno = become_server(program, name, &fds);
                tracing::error!("cannot execute {name}: {errno}");
                process::exit_now(if is_shortage(errno) {
                    TEMPFAIL
                } else {
                    SOFTWARE
                })
            }
        }
    }

    /// When it is to be started, if it does not run.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.life {
            Life::Running { .. } => None,
            Life::Waiting { until } => Some(until),
        }
    }

    /// Its link, while anything is to be heard there: that of one that is ending would be ready without end.
    pub(super) fn link(&self) -> Option<&Link<Out, In>> {
        match &self.life {
            Life::Running { link, health, .. } if health.hears() => Some(link),
            Life::Running { .. } | Life::Waiting { .. } => None,
        }
    }

    /// It has said that it works.
    pub(super) fn works(&mut self) {
        if let Life::Running { health, .. } = &mut self.life
            && *health == Health::Begun
        {
            *health = Health::Well;
            self.proven = true;
        }
    }

    /// Whether `pid` is this one.
    pub(super) fn is(&self, pid: nix::unistd::Pid) -> bool {
        matches!(&self.life, Life::Running { child, .. } if child.pid == pid)
    }

    /// Takes note of its end.
    ///
    /// # Errors
    /// `Stillborn`, `Hopeless` or `Final` when it will not be tried again.
    pub(super) fn ended(&mut self, how: &Ended) -> Result<(), ServerError> {
        let (settled, by_warden) = match &self.life {
            Life::Running { since, health, .. } => {
                (since.elapsed() >= SETTLED, *health == Health::Killed)
            }
            Life::Waiting { .. } => (false, false),
        };
        // What the warden had to end is no better than what gave up.
        let failed = match how {
            Ended::ByItself(_) => true,
            Ended::Killed => by_warden,
            Ended::Short => false,
            Ended::Final => return Err(ServerError::Final { name: self.name }),
        };
        if failed && !self.proven {
            return Err(ServerError::Stillborn {
                name: self.name,
                how: how.text().to_owned(),
            });
        }
        self.failures = if failed && !settled {
            self.failures + 1
        } else {
            0
        };
        if self.failures >= ATTEMPTS {
            return Err(ServerError::Hopeless { name: self.name });
        }
        tracing::warn!("{} {}; it is started again", self.name, how.text());
        let pause = if settled { Duration::ZERO } else { PAUSE };
        self.life = Life::Waiting {
            until: Instant::now() + pause,
        };
        Ok(())
    }

    /// Its link, if something waits to be written to it.
    pub(super) fn link_behind(&self) -> Option<&Link<Out, In>> {
        match &self.life {
            Life::Running {
                link,
                outbox,
                health,
                ..
            } if health.hears() && outbox.len() > 0 => Some(link),
            Life::Running { .. } | Life::Waiting { .. } => None,
        }
    }

    /// How many messages wait for it; without end while it does not work.
    pub(super) fn backlog(&self) -> usize {
        match &self.life {
            Life::Running {
                outbox,
                health: Health::Well,
                ..
            } => outbox.len(),
            Life::Running { .. } | Life::Waiting { .. } => usize::MAX,
        }
    }

    /// When what waits for it, or its end, has taken too long.
    pub(super) fn overdue_at(&self) -> Option<Instant> {
        match &self.life {
            Life::Running {
                outbox,
                health: Health::Begun | Health::Well,
                ..
            } => outbox.overdue_at(),
            Life::Running {
                health: Health::Leaving { until },
                ..
            } => Some(*until),
            Life::Running {
                health: Health::Killed,
                ..
            }
            | Life::Waiting { .. } => None,
        }
    }

    /// Ends it if what waits for it, or its end, has taken too long.
    pub(super) fn enforce(&mut self, now: Instant) {
        if self.overdue_at().is_none_or(|at| at > now) {
            return;
        }
        match &self.life {
            Life::Running {
                health: Health::Leaving { .. },
                ..
            } => self.kill("has hung up and does not end"),
            Life::Running { .. } | Life::Waiting { .. } => self.kill(&format!(
                "has not read its link for {} s",
                OUTBOX_AGE.as_secs()
            )),
        }
    }

    /// Asks it for a sign of life, or ends it if it has given none for too long.
    pub(super) fn beat(&mut self) {
        let Life::Running {
            link,
            pulse,
            health: Health::Begun | Health::Well,
            ..
        } = &mut self.life
        else {
            return;
        };
        match pulse.beat() {
            Beat::Ask => match link.ping() {
                // What keeps this out is a question too.
                Err(error) if error.would_block() => {}
                Err(error) => self.fault(&error, "cannot be asked anything"),
                Ok(()) => {}
            },
            Beat::Still(time) => self.kill(&format!(
                "has not given a sign of life for {} s",
                time.as_secs()
            )),
        }
    }

    /// Sends it a message, or keeps that until it reads. One that is down misses it: whoever starts it again tells it
    /// what there is.
    pub(super) fn tell(&mut self, message: &Out, fds: &[BorrowedFd<'_>]) {
        let Life::Running {
            link,
            outbox,
            health: Health::Begun | Health::Well,
            ..
        } = &mut self.life
        else {
            return;
        };
        if outbox.len() == 0 {
            match link.send_with(message, fds) {
                Ok(()) => return,
                Err(error) if error.would_block() => {}
                Err(error) => return self.fault(&error, "cannot be told anything"),
            }
        }
        let packet = match Packet::new(message, fds) {
            Ok(packet) => packet,
            Err(error) => return self.kill(&format!("cannot be told anything ({error})")),
        };
        let bytes = packet.length_bytes();
        if let Err(Full) = outbox.push(packet, bytes, Instant::now()) {
            self.kill("does not read its link, and no more can wait for it");
        }
    }

    /// Sends what has waited, as far as it is taken.
    pub(super) fn flush(&mut self) {
        let Life::Running {
            link,
            outbox,
            health: Health::Begun | Health::Well,
            ..
        } = &mut self.life
        else {
            return;
        };
        if let Err(error) = outbox.flush(|packet| link.send_packet(packet)) {
            self.fault(&error, "cannot be told anything");
        }
    }

    /// Ends it, because it `does` something; it will be started again.
    pub(super) fn kill(&mut self, does: &str) {
        if let Life::Running { child, health, .. } = &mut self.life
            && *health != Health::Killed
        {
            tracing::error!("{} {does}; it is ended", self.name);
            child.kill().ok();
            *health = Health::Killed;
        }
    }

    /// Something is wrong with its link. One that has hung up is ending: its status, learnt from the kernel, says why,
    /// which a kill would cover up.
    fn fault(&mut self, error: &LinkError, does: &str) {
        match (error, &mut self.life) {
            (LinkError::Closed, Life::Running { health, .. }) if health.hears() => {
                *health = Health::Leaving {
                    until: Instant::now() + LEAVING,
                };
            }
            (LinkError::Closed, _) => {}
            (error, _) => self.kill(&format!("{does} ({error})")),
        }
    }

    /// Ends it for what it said.
    pub(super) fn refute(&mut self, Wrong(does): &Wrong) {
        self.kill(does);
    }

    /// What [`Server::hear`] gives, of a process that has no descriptors to hand over: one that does is ended.
    pub(super) fn hear_plain(&mut self) -> Vec<In> {
        let mut plain = Vec::new();
        for (message, fds) in self.hear().messages {
            if !fds.is_empty() {
                self.refute(&Wrong(format!("hands over {} descriptors", fds.len())));
                break;
            }
            plain.push(message);
        }
        plain
    }

    /// The messages that are there, so many at most: the others have their turn. A process that says something else
    /// than its link allows is ended, and what else it has said since is not heard. A message whose descriptors do not fit into
    /// this process is lost, and they are closed.
    pub(super) fn hear(&mut self) -> Heard<In> {
        let mut heard = Heard {
            messages: Vec::new(),
            shortage: false,
        };
        let Life::Running {
            link,
            pulse,
            health,
            ..
        } = &mut self.life
        else {
            return heard;
        };
        if !health.hears() {
            return heard;
        }
        let mut fault = None;
        for _ in 0..TURN {
            match link.recv_incoming() {
                Ok(Incoming::Pong) => pulse.heard(),
                Ok(Incoming::Message(message, fds)) => {
                    pulse.heard();
                    heard.messages.push((message, fds));
                }
                Err(error) if error.would_block() => break,
                Err(error) if error.is_shortage() => heard.shortage = true,
                Err(error) => {
                    fault = Some(error);
                    break;
                }
            }
        }
        if let Some(error) = fault {
            self.fault(&error, "says what it may not");
        }
        heard
    }

    /// Lets go of the link: the process finishes and ends by itself.
    pub(super) fn dismiss(&mut self) -> Option<Child> {
        match std::mem::replace(
            &mut self.life,
            Life::Waiting {
                until: Instant::now(),
            },
        ) {
            Life::Running { child, .. } => Some(child),
            Life::Waiting { .. } => None,
        }
    }
}

pub(super) fn become_server(
    program: BorrowedFd<'_>,
    name: &'static str,
    fds: &[BorrowedFd<'_>],
) -> Errno {
    let attempt = || -> Result<Infallible, Errno> {
        process::reset_signals_ignoring(&WARDENS)?;
        process::die_with_parent()?;
        let program = descriptor::raised(program)?;
        let arguments = [
            c"hassio-sshd".to_owned(),
            CString::new(name).map_err(|_| Errno::EINVAL)?,
        ];
        descriptor::arrange(fds)?;
        process::execute::<_, &std::ffi::CStr>(program.as_fd(), &arguments, &[])
    };
    match attempt() {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}
