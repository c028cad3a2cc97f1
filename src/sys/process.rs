//! Making, becoming and ending processes.

use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
};
use nix::unistd::{Gid, Pid, Uid};

use super::errno;

/// Which of the two a fork returned to.
#[derive(Debug)]
pub enum Forked {
    /// In the parent.
    Parent(Child),
    /// In the child.
    Child,
}

/// A child and a descriptor that never names a later process of the same number.
#[derive(Debug)]
pub struct Child {
    /// Its number, good until it is reaped.
    pub pid: Pid,
    /// Its pidfd.
    pub pidfd: OwnedFd,
}

impl Child {
    /// Ends it with SIGKILL. pidfd_send_signal(2), Linux 5.1.
    ///
    /// # Errors
    /// ESRCH if it has been reaped; EPERM.
    pub fn kill(&self) -> nix::Result<()> {
        kill(self.pidfd.as_fd())
    }
}

/// Ends the process behind a pidfd with SIGKILL.
///
/// # Errors
/// ESRCH if it has been reaped; EPERM.
pub fn kill(pidfd: BorrowedFd<'_>) -> nix::Result<()> {
    rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL).map_err(errno)
}

/// Finds out whether `fd` is a pidfd, be its process alive or not. pidfd_send_signal(2) with signal 0.
///
/// # Errors
/// EBADF if it is something else.
pub fn check_pidfd(fd: BorrowedFd<'_>) -> nix::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes integers and a null pointer, which stands for nothing.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), 0, none, 0) };
    match Errno::result(sent) {
        Err(Errno::EBADF) => Err(Errno::EBADF),
        // Of a process that is gone, or another user's.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Forks, into new namespaces and a cgroup (v2) if given. clone3(2), Linux 5.7 for the cgroup.
///
/// # Errors
/// EINVAL when this process has more than one thread; EAGAIN at a limit; EPERM without the capability.
pub fn fork_into(namespaces: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> nix::Result<Forked> {
    clone_into(namespaces, libc::SIGCHLD, cgroup)
}

/// Forks a sibling: a child of this process's parent, which is told of its end and reaps it. clone(2), CLONE_PARENT.
///
/// # Errors
/// As [`fork_into`]; EINVAL too in the first process of a PID namespace.
pub fn fork_sibling() -> nix::Result<Forked> {
    // The signal at its end is that of this process's own; another may not be named.
    clone_into(CloneFlags::CLONE_PARENT, 0, None)
}

fn clone_into(
    flags: CloneFlags,
    at_end: libc::c_int,
    cgroup: Option<BorrowedFd<'_>>,
) -> nix::Result<Forked> {
    // Refused by the kernel with EINVAL unless this is the process's only thread (unshare(2)); otherwise no effect.
    unshare(CloneFlags::CLONE_THREAD)?;
    let mut pidfd: RawFd = -1;
    let into = if cgroup.is_some() {
        CLONE_INTO_CGROUP
    } else {
        0
    };
    let flags = u64::from(flags.bits().cast_unsigned());
    let arguments = CloneArguments {
        flags: flags | u64::from(libc::CLONE_PIDFD.cast_unsigned()) | into,
        pidfd: (&raw mut pidfd)
            .expose_provenance()
            .try_into()
            .map_err(|_| Errno::EOVERFLOW)?,
        exit_signal: u64::from(at_end.cast_unsigned()),
        cgroup: cgroup
            .map_or(Ok(0), |fd| u64::try_from(fd.as_raw_fd()))
            .map_err(|_| Errno::EBADF)?,
        ..CloneArguments::default()
    };
    // SAFETY: `arguments` and `pidfd` outlive the call and have the sizes given; without CLONE_VM the child gets a
    // copy of this address space, and there is no other thread (checked above) whose locks it could inherit.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<CloneArguments>(),
        )
    };
    match Errno::result(pid)? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(Child {
            pid: Pid::from_raw(pid.try_into().map_err(|_| Errno::EOVERFLOW)?),
            // SAFETY: the kernel stored a new descriptor there, and nothing else owns it.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        })),
    }
}

/// Forks in the plain way, for where a filter leaves no other: the child's process number in the parent, none in the
/// child. fork(2).
///
/// # Errors
/// EDEADLK when this process has more than one thread; ENOENT without /proc to tell; EAGAIN at a limit.
pub fn fork() -> nix::Result<Option<Pid>> {
    // A directory has two links and one for each directory in it (proc_pid_task(5)).
    let links = nix::sys::stat::stat("/proc/self/task")?.st_nlink;
    if links != 3 {
        return Err(Errno::EDEADLK);
    }
    // SAFETY: this is the only thread (above), so the child inherits no lock that is held.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Some(child)),
        nix::unistd::ForkResult::Child => Ok(None),
    }
}

/// The pidfd of a child that [`fork`] made and nobody has reaped; where there is none the child is ended. pidfd_open(2),
/// Linux 5.3.
///
/// # Errors
/// EMFILE or ENFILE at a limit.
pub fn pidfd_of(child: Pid) -> nix::Result<OwnedFd> {
    let number = rustix::process::Pid::from_raw(child.as_raw()).ok_or(Errno::ESRCH)?;
    let pidfd = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty());
    pidfd.map_err(|error| {
        nix::sys::signal::kill(child, Signal::SIGKILL).ok();
        errno(error)
    })
}

/// linux/sched.h; not in libc for every target.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args`, linux/sched.h, as of Linux 5.7.
#[derive(Default)]
#[repr(C)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Turns this process into the program behind `file`. execveat(2).
///
/// # Errors
/// Only returns on one: EACCES, ENOEXEC, ...
pub fn execute<A: AsRef<CStr>, E: AsRef<CStr>>(
    file: BorrowedFd<'_>,
    arguments: &[A],
    environment: &[E],
) -> nix::Result<Infallible> {
    nix::unistd::execveat(
        file,
        c"",
        arguments,
        environment,
        nix::fcntl::AtFlags::AT_EMPTY_PATH,
    )
}

/// Ends this process at once, without running anything of it.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: takes an integer; does not return.
    unsafe { libc::_exit(status) }
}

/// Asks for SIGKILL when the parent ends. prctl(2); a change of credentials clears it.
///
/// # Errors
/// None for a valid signal.
pub fn die_with_parent() -> nix::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
}

/// The name that /proc/PID/comm and ps(1) show, at most 15 bytes. prctl(2) PR_SET_NAME; an exec sets it anew.
///
/// # Errors
/// None.
pub fn set_name(name: &CStr) -> nix::Result<()> {
    nix::sys::prctl::set_name(name)
}

/// Keeps others with the same uid from tracing this process or reading its memory. prctl(2) PR_SET_DUMPABLE.
///
/// # Errors
/// None.
pub fn undumpable() -> nix::Result<()> {
    nix::sys::prctl::set_dumpable(false)
}

/// Adopts orphans of this process's descendants. prctl(2), Linux 3.4.
///
/// # Errors
/// None.
pub fn adopt_orphans() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// Gives up any gain of privilege by execve(2), for ever.
///
/// # Errors
/// None.
pub fn no_new_privileges() -> nix::Result<()> {
    nix::sys::prctl::set_no_new_privs()
}

/// Becomes `uid` and `gid` in all three places, with no supplementary group.
///
/// # Errors
/// EPERM without the capabilities.
pub fn become_user(uid: u32, gid: u32) -> nix::Result<()> {
    nix::unistd::setgroups(&[])?;
    become_identity(uid, gid)
}

/// Becomes `uid` and `gid` in all three places.
///
/// # Errors
/// EPERM without the capabilities; EINVAL for an id that the user namespace does not map.
pub fn become_identity(uid: u32, gid: u32) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    nix::unistd::setresgid(gid, gid, gid)?;
    nix::unistd::setresuid(uid, uid, uid)
}

/// Gives up the inherited session keyring for an empty one. keyctl(2) KEYCTL_JOIN_SESSION_KEYRING.
///
/// # Errors
/// ENOSYS where the kernel has no keyrings: then there is none to inherit.
pub fn new_session_keyring() -> nix::Result<()> {
    /// linux/keyctl.h
    const JOIN_SESSION_KEYRING: libc::c_ulong = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory of this process is read or written.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Sets soft and hard limit. setrlimit(2); the unit depends on the resource.
///
/// # Errors
/// EPERM when the hard limit would rise.
pub fn limit(resource: Resource, value: u64) -> nix::Result<()> {
    setrlimit(resource, value, value)
}

/// Lets others go first: raises the nice value of this process and what it will start. nice(2).
///
/// # Errors
/// EACCES for a negative increment.
pub fn be_nice(increment: i32) -> nix::Result<()> {
    rustix::process::nice(increment).map(drop).map_err(errno)
}

/// Sets soft and hard limit to `value`, or to the hard limit where that is less; what it is then.
///
/// # Errors
/// None that setrlimit(2) documents for these arguments.
pub fn narrow(resource: Resource, value: u64) -> nix::Result<u64> {
    let (_, hard) = getrlimit(resource)?;
    let value = value.min(hard);
    setrlimit(resource, value, value)?;
    Ok(value)
}

/// Unblocks all signals and restores their default actions, as a program expects to start. Ignores what cannot be
/// changed (SIGKILL, SIGSTOP and the C library's own).
///
/// # Errors
/// None that sigprocmask(2) documents for these arguments.
pub fn reset_signals() -> nix::Result<()> {
    reset_signals_ignoring(&[])
}

/// As [`reset_signals`], but ignores `ignored`, which an exec leaves so (signal(7)). None is pending in between: they are
/// unblocked last.
///
/// # Errors
/// As there; EINVAL for SIGKILL and SIGSTOP is not one.
pub fn reset_signals_ignoring(ignored: &[Signal]) -> nix::Result<()> {
    for signal in Signal::iterator() {
        let handler = if ignored.contains(&signal) {
            SigHandler::SigIgn
        } else {
            SigHandler::SigDfl
        };
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: neither action runs code of ours.
        match unsafe { sigaction(signal, &action) } {
            Ok(_) | Err(Errno::EINVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}
