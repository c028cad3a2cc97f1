//! Waiting: for descriptors, for children, for signals; and the clock that deadlines are measured by.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Waits until one of `fds` can be read, or is hung up, or `until` has come. True for each that is ready.
///
/// # Errors
/// EINVAL above RLIMIT_NOFILE descriptors; EINTR is not one.
pub fn readable(fds: &[BorrowedFd<'_>], until: Option<Instant>) -> nix::Result<Vec<bool>> {
    let mut set: Vec<PollFd<'_>> = fds
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    wait(&mut set, until)?;
    Ok(set.iter().map(|fd| fd.any().unwrap_or(true)).collect())
}

/// Waits until one of `readable` can be read, or one of `writable` be written, or one is hung up, or `until` has come.
///
/// # Errors
/// As [`readable`].
pub fn any(
    readable: &[BorrowedFd<'_>],
    writable: &[BorrowedFd<'_>],
    until: Option<Instant>,
) -> nix::Result<()> {
    let to_read = readable
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
    let to_write = writable
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLOUT));
    let mut set: Vec<PollFd<'_>> = to_read.chain(to_write).collect();
    wait(&mut set, until)
}

/// Waits until one of `set` is ready for what it says, or has come to an end, or `until` has come; each then tells what it is.
///
/// # Errors
/// As [`readable`].
pub fn each(set: &mut [PollFd<'_>], until: Option<Instant>) -> nix::Result<()> {
    wait(set, until)
}

fn wait(set: &mut [PollFd<'_>], until: Option<Instant>) -> nix::Result<()> {
    loop {
        let timeout = until.map_or(PollTimeout::NONE, |until| {
            timeout(until.saturating_duration_since(Instant::now()))
        });
        match poll(set, timeout) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => return Ok(()),
        }
    }
}

/// Whether something can be written to `fd` now without waiting: for a pipe, at least PIPE_BUF bytes (poll(2), pipe(7)).
///
/// # Errors
/// EINVAL; not seen.
pub fn writable(fd: BorrowedFd<'_>) -> nix::Result<bool> {
    let mut set = [PollFd::new(fd, PollFlags::POLLOUT)];
    loop {
        match poll(&mut set, PollTimeout::ZERO) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(ready) => return Ok(ready > 0),
        }
    }
}

/// Rounded up, so that a deadline is over when the wait for it is.
fn timeout(wait: Duration) -> PollTimeout {
    let milliseconds = wait.as_micros().div_ceil(1000);
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}

/// Blocks `signals` and returns a descriptor that reads them, non-blocking and close-on-exec. signalfd(2).
///
/// # Errors
/// EMFILE, ENFILE.
pub fn signals(signals: &[Signal]) -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in signals {
        set.add(*signal);
    }
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Reaps any child that has ended; none if there is none now.
///
/// # Errors
/// None but what waitpid(2) gives for these flags; having no child at all is not one.
pub fn reap() -> nix::Result<Option<WaitStatus>> {
    match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => Ok(None),
        Ok(status) => Ok(Some(status)),
        Err(errno) => Err(errno),
    }
}

/// Reaps any child that has ended, with its CPU time in microseconds and its largest resident set in KiB; none if there
/// is none now. wait4(2).
///
/// # Errors
/// As [`reap`].
pub fn reap_with_usage() -> nix::Result<Option<(WaitStatus, u64, u64)>> {
    let mut raw = 0;
    // SAFETY: all-zero bytes are a valid rusage: integers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both places outlive the call.
    let pid = match Errno::result(unsafe {
        libc::wait4(-1, &raw mut raw, libc::WNOHANG, &raw mut usage)
    }) {
        Ok(0) | Err(Errno::ECHILD) => return Ok(None),
        Ok(pid) => Pid::from_raw(pid),
        Err(errno) => return Err(errno),
    };
    let us = |t: libc::timeval| {
        u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(t.tv_usec).unwrap_or(0)
    };
    let cpu_us = us(usage.ru_utime) + us(usage.ru_stime);
    Ok(Some((
        WaitStatus::from_raw(pid, raw)?,
        cpu_us,
        u64::try_from(usage.ru_maxrss).unwrap_or(0),
    )))
}
