//! PID 1 of a session's sandbox: starts the channels' programs, reaps, reports how they ended.
//!
//! It is already unprivileged when it begins, and nobody trusts a word of it. Descriptor 3 is its control socket; when
//! the other end closes, the session is over. The first message on it is the warden's, and says what the session is held to;
//! all others are its connection's.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use hassio_sshd::forward;
use hassio_sshd::model::{ChannelNumber, Exit, Signal, Usage};
use hassio_sshd::sys::{Errno, descriptor, process, pty, wait};
use hassio_sshd::wire::{ConnectionToInit, InitToConnection, Link, LinkError, Spawn, Terms};
use nix::sys::signal::{Signal as Kernel, killpg};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

/// Where the sandbox leaves the control socket.
const CONTROL: i32 = 3;

fn main() -> ExitCode {
    match run() {
        Ok(()) | Err(LinkError::Closed) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> Result<(), LinkError> {
    let control = descriptor::inherited(CONTROL).map_err(LinkError::Socket)?;
    // Nobody with this uid may look into this process: it would find the control socket.
    process::undumpable().map_err(LinkError::Socket)?;
    // From the warden: nobody else has the other end yet.
    let first: Link<(), Terms> = Link::from_fd(control)?;
    let terms = first.recv()?;
    let control: Control = Link::from_fd(first.into_fd())?;
    let signals = wait::signals(&[Kernel::SIGCHLD]).map_err(LinkError::Socket)?;
    let mut session = Session {
        control,
        terms,
        programs: BTreeMap::new(),
    };
    loop {
        let ready = wait::readable(&[session.control.as_fd(), signals.as_fd()], None)
            .map_err(LinkError::Socket)?;
        if ready.get(1).copied().unwrap_or(false) {
            while let Ok(Some(_)) = signals.read_signal() {}
            session.reap()?;
        }
        if ready.first().copied().unwrap_or(false) {
            session.obey()?;
        }
    }
}

type Control = Link<InitToConnection, ConnectionToInit>;

struct Session {
    control: Control,
    terms: Terms,
    /// The programs that channels run, by their process.
    programs: BTreeMap<Pid, ChannelNumber>,
}

impl Session {
    fn obey(&mut self) -> Result<(), LinkError> {
        let (message, fds) = self.control.recv_with()?;
        match message {
            ConnectionToInit::Spawn(spawn) => {
                let channel = spawn.channel;
                let held = self.terms.hold(spawn).ok_or(Errno::EPERM);
                let answer = match held.and_then(|spawn| start(&spawn, fds)) {
                    Ok(pid) => {
                        self.programs.insert(pid, channel);
                        InitToConnection::Started {
                            channel,
                            pid: pid.as_raw(),
                        }
                    }
                    Err(errno) => InitToConnection::Failed {
                        channel,
                        errno: errno_number(errno),
                    },
                };
                self.control.send(&answer)
            }
            ConnectionToInit::Signal { channel, signal } => {
                let found = self.programs.iter().find(|(_, of)| **of == channel);
                if let Some((pid, _)) = found {
                    // Gone already: then its end is on its way to the other side.
                    killpg(*pid, kernel_signal(signal)).ok();
                }
                Ok(())
            }
            ConnectionToInit::Forward => {
                let [link] = Control::exactly(fds)?;
                // Where it may not, or cannot, be started, the link's end says so.
                if self.terms.forwards {
                    start_forwarder(link).ok();
                }
                Ok(())
            }
        }
    }

    fn reap(&mut self) -> Result<(), LinkError> {
        while let Some((status, cpu_us, max_rss_kib)) =
            wait::reap_with_usage().map_err(LinkError::Socket)?
        {
            let usage = Usage {
                cpu_us,
                max_rss_kib,
            };
            let (pid, exit) = match status {
                WaitStatus::Exited(pid, status) => (
                    pid,
                    Exit::Status(u8::try_from(status & 0xff).unwrap_or(u8::MAX)),
                ),
                WaitStatus::Signaled(pid, signal, core) => (
                    pid,
                    Exit::Signal {
                        number: signal_number(signal),
                        core,
                    },
                ),
                _ => continue,
            };
            if let Some(channel) = self.programs.remove(&pid) {
                self.control.send(&InitToConnection::Ended {
                    channel,
                    exit,
                    usage,
                })?;
            }
        }
        Ok(())
    }
}

/// Forks and executes. What can fail is done before the fork, or reported through a pipe that a good exec closes.
fn start(spawn: &Spawn, fds: Vec<OwnedFd>) -> Result<Pid, Errno> {
    let string = |bytes: &Vec<u8>| CString::new(bytes.as_slice()).map_err(|_| Errno::EINVAL);
    let path = CString::new(spawn.path.as_str()).map_err(|_| Errno::EINVAL)?;
    let arguments = spawn
        .arguments
        .iter()
        .map(string)
        .collect::<Result<Vec<_>, _>>()?;
    let environment = spawn
        .environment
        .iter()
        .map(string)
        .collect::<Result<Vec<_>, _>>()?;
    if fds.len() != if spawn.terminal { 1 } else { 3 } {
        return Err(Errno::EBADMSG);
    }
    let (report, reporter) = descriptor::pipe()?;
    match process::fork()? {
        Some(pid) => {
            drop((reporter, fds));
            let mut errno = [0; 4];
            match nix::unistd::read(&report, &mut errno) {
                Ok(4) => Err(Errno::from_raw(i32::from_ne_bytes(errno))),
                _ => Ok(pid),
            }
        }
        None => {
            let errno = become_program(&fds, spawn, &path, &arguments, &environment);
            nix::unistd::write(&reporter, &errno_number(errno).to_ne_bytes()).ok();
            process::exit_now(127)
        }
    }
}

/// Forks the forwarder, as a copy of this program: what it was, nobody may look into (PR_SET_DUMPABLE). Nothing of this process
/// but the link stays with it.
fn start_forwarder(link: OwnedFd) -> Result<(), Errno> {
    if process::fork()?.is_some() {
        return Ok(());
    }
    let serve = || {
        let [link] = descriptor::keep([link])?;
        nix::unistd::setsid()?;
        // A pipe or socket whose other end is closed is told by an error.
        process::reset_signals_ignoring(&[Kernel::SIGPIPE])?;
        process::set_name(c"forwarder")?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        // Until the connection closes it.
        forward::run(Link::from_fd(link).map_err(|_| Errno::EBADF)?).ok();
        Ok::<(), Errno>(())
    };
    serve().ok();
    process::exit_now(0)
}

/// Returns only if it could not.
fn become_program(
    fds: &[OwnedFd],
    spawn: &Spawn,
    path: &CStr,
    arguments: &[CString],
    environment: &[CString],
) -> Errno {
    let attempt = || {
        process::reset_signals()?;
        match fds {
            [terminal] => {
                pty::take_terminal(terminal)?;
                let terminal = by_name(terminal)?;
                descriptor::standard([terminal.as_fd(), terminal.as_fd(), terminal.as_fd()])?;
            }
            [stdin, stdout, stderr] => {
                nix::unistd::setsid()?;
                descriptor::standard([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])?;
            }
            _ => return Err(Errno::EBADMSG),
        }
        descriptor::close_on_exec_from(3)?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        if nix::unistd::chdir(spawn.directory.as_str()).is_err() {
            nix::unistd::chdir("/")?;
        }
        nix::unistd::execve(path, arguments, environment)
    };
    match attempt() {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}

/// The terminal opened by its name in the session's own devpts, so that ttyname(3) finds it; it came through a mount
/// without a path here.
fn by_name(terminal: &OwnedFd) -> Result<OwnedFd, Errno> {
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::{Mode, fstat, minor};
    let given = fstat(terminal)?;
    let name = format!("/dev/pts/{}", minor(given.st_rdev));
    let named = open(
        name.as_str(),
        OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let found = fstat(&named)?;
    if (found.st_rdev, found.st_dev, found.st_ino) == (given.st_rdev, given.st_dev, given.st_ino) {
        Ok(named)
    } else {
        Err(Errno::ENXIO)
    }
}

#[expect(
    clippy::as_conversions,
    reason = "both are C enumerations without another way to a number"
)]
fn errno_number(errno: Errno) -> i32 {
    errno as i32
}

#[expect(clippy::as_conversions, reason = "as above")]
fn signal_number(signal: Kernel) -> i32 {
    signal as i32
}

fn kernel_signal(signal: Signal) -> Kernel {
    match signal {
        Signal::Abrt => Kernel::SIGABRT,
        Signal::Alrm => Kernel::SIGALRM,
        Signal::Fpe => Kernel::SIGFPE,
        Signal::Hup => Kernel::SIGHUP,
        Signal::Ill => Kernel::SIGILL,
        Signal::Int => Kernel::SIGINT,
        Signal::Kill => Kernel::SIGKILL,
        Signal::Pipe => Kernel::SIGPIPE,
        Signal::Quit => Kernel::SIGQUIT,
        Signal::Segv => Kernel::SIGSEGV,
        Signal::Term => Kernel::SIGTERM,
        Signal::Usr1 => Kernel::SIGUSR1,
        Signal::Usr2 => Kernel::SIGUSR2,
    }
}
