//! Namespaces: namespaces(7), user_namespaces(7).

use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{setns, unshare};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};

use super::process::{Forked, exit_now, fork_into};

pub use nix::sched::CloneFlags as Namespaces;

/// A range of ids: inside, outside, how many. The lines of uid_map and gid_map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id as seen inside.
    pub inside: u32,
    /// The first id as seen outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// A user namespace with this map for users and groups, kept alive by its descriptor alone. setgroups(2) is denied in
/// it.
///
/// # Errors
/// EPERM without CAP_SETUID and CAP_SETGID; ENOSPC at the limit of user namespaces.
pub fn user_namespace(map: &[IdRange]) -> nix::Result<OwnedFd> {
    let (go, wait) = super::descriptor::pipe()?;
    let (there, here) = super::descriptor::pipe()?;
    let child = match fork_into(Namespaces::CLONE_NEWUSER, None)? {
        Forked::Child => {
            drop((wait, there));
            // Otherwise nobody without CAP_SYS_PTRACE may open its ns/user. Its memory holds nothing of a session.
            let ready = nix::sys::prctl::set_dumpable(true);
            let told = ready.and_then(|()| nix::unistd::write(&here, b"."));
            // Lives until the parent closes its end of the pipe, or dies.
            let ended = told.and_then(|_| nix::unistd::read(&go, &mut [0]));
            exit_now(i32::from(ended.is_err()))
        }
        Forked::Parent(child) => child,
    };
    drop((go, here));
    let made = match nix::unistd::read(&there, &mut [0]) {
        Ok(1) => describe(child.pid.as_raw(), map),
        Ok(_) => Err(Errno::ECHILD),
        Err(errno) => Err(errno),
    };
    drop(wait);
    waitid(Id::PIDFd(child.pidfd.as_fd()), WaitPidFlag::WEXITED)?;
    made
}

fn describe(pid: i32, map: &[IdRange]) -> nix::Result<OwnedFd> {
    let mut lines = String::new();
    for range in map {
        writeln!(lines, "{} {} {}", range.inside, range.outside, range.count)
            .map_err(|_| Errno::ENOMEM)?;
    }
    write_file(&format!("/proc/{pid}/setgroups"), "deny")?;
    write_file(&format!("/proc/{pid}/uid_map"), &lines)?;
    write_file(&format!("/proc/{pid}/gid_map"), &lines)?;
    nix::fcntl::open(
        format!("/proc/{pid}/ns/user").as_str(),
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

fn write_file(path: &str, text: &str) -> nix::Result<()> {
    fs::write(path, text).map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}

/// Moves this process into new namespaces. unshare(2).
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; ENOSPC at a limit.
pub fn enter_new(namespaces: Namespaces) -> nix::Result<()> {
    unshare(namespaces)
}

/// Moves this process into an existing user namespace. It gains all capabilities in that one, its bounding set is full
/// again, and it loses its capabilities outside. setns(2).
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN in it; EINVAL if it is the current one.
pub fn enter_user_namespace(user_namespace: BorrowedFd<'_>) -> nix::Result<()> {
    setns(user_namespace, Namespaces::CLONE_NEWUSER)
}
