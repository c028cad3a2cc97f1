//! Descriptors: inheriting them by number, closing what is not wanted, small files in memory.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;

/// Makes `fds` the descriptors 3, 4, ... of this process, inherited by what it executes, and marks all others above
/// them close-on-exec. For the moment before an exec.
///
/// # Errors
/// EMFILE; ENOSYS before Linux 5.11 (close_range(2) with CLOEXEC).
pub fn arrange(fds: &[BorrowedFd<'_>]) -> nix::Result<()> {
    // Two rounds, so that no target number overwrites a source that is still needed.
    let first_free = RawFd::try_from(3 + fds.len()).map_err(|_| Errno::EMFILE)?;
    let mut copies = Vec::new();
    for fd in fds {
        copies.push(fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(first_free))?);
    }
    for (source, target) in copies.iter().zip(3..) {
        // SAFETY: dup2 of two numbers; what was at `target` belongs to nobody any more, since an exec follows.
        Errno::result(unsafe { libc::dup2(*source, target) })?;
    }
    close_on_exec_from(first_free)
}

/// Marks every descriptor from `first` on close-on-exec.
///
/// # Errors
/// ENOSYS before Linux 5.11.
pub fn close_on_exec_from(first: RawFd) -> nix::Result<()> {
    close_from(first, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_from(first: RawFd, flags: libc::c_uint) -> nix::Result<()> {
    let first = libc::c_uint::try_from(first).map_err(|_| Errno::EBADF)?;
    // SAFETY: takes integers. What it closes is a matter of the callers: nothing now, or what nobody uses any more.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) };
    Errno::result(result).map(drop)
}

/// A duplicate above the numbers that [`arrange`] fills, close-on-exec: it survives that call.
///
/// # Errors
/// EMFILE.
pub fn raised(fd: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    /// Above any number of descriptors that one of our processes is handed.
    const ABOVE: RawFd = 64;
    let raw = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(ABOVE))?;
    // SAFETY: the kernel has just made it, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Makes `fds` the descriptors 3, 4, ... of this process, close-on-exec, and closes all others above them, whoever thinks
/// that it owns one: for a child that has just been forked, and of its parent's descriptors needs these alone.
///
/// # Errors
/// EMFILE; ENOSYS before Linux 5.9 (close_range(2)).
pub fn keep<const N: usize>(fds: [OwnedFd; N]) -> nix::Result<[OwnedFd; N]> {
    let first_free = RawFd::try_from(3 + N).map_err(|_| Errno::EMFILE)?;
    // Two rounds, so that no target number overwrites a source that is still needed.
    let mut copies = [-1; N];
    for (fd, copy) in fds.iter().zip(&mut copies) {
        *copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(first_free))?;
    }
    // Their numbers are about to be reused.
    fds.into_iter().for_each(std::mem::forget);
    for (source, target) in copies.iter().zip(3..) {
        // SAFETY: dup3 of two numbers; whatever was at `target` is nobody's any more, as the caller grants.
        Errno::result(unsafe { libc::dup3(*source, target, libc::O_CLOEXEC) })?;
    }
    close_from(first_free, 0)?;
    let mut number = 2;
    Ok(copies.map(|_| {
        number += 1;
        // SAFETY: it was made above, and nobody else owns it.
        unsafe { OwnedFd::from_raw_fd(number) }
    }))
}

/// Takes over a descriptor that was inherited by number, and marks it close-on-exec.
///
/// # Errors
/// EBADF if there is none.
pub fn inherited(number: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: fcntl on a number; an unused one gives EBADF.
    Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    // SAFETY: it is open (above), and the caller is this number's only taker: each is taken once, at start.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(fd)
}

/// A sealed file in memory that holds `bytes`: no holder can change it. memfd_create(2).
///
/// # Errors
/// ENOMEM, EMFILE.
pub fn sealed(name: &str, bytes: &[u8]) -> nix::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(bytes)
        .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

/// All of a file from its beginning, whatever its offset is, at most `limit` bytes.
///
/// # Errors
/// EFBIG above the limit; what read(2) gives.
pub fn contents(fd: BorrowedFd<'_>, limit: u64) -> nix::Result<Vec<u8>> {
    let again = nix::fcntl::open(
        format!("/proc/self/fd/{}", fd.as_raw_fd()).as_str(),
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let mut bytes = Vec::new();
    let read = File::from(again).take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) {
        Ok(bytes)
    } else {
        Err(Errno::EFBIG)
    }
}

/// Makes 0, 1 and 2 of this process lead to `fds`. For the moment before an exec.
///
/// # Errors
/// EBADF; not seen.
pub fn standard(fds: [BorrowedFd<'_>; 3]) -> nix::Result<()> {
    let mut copies = Vec::new();
    for fd in fds {
        // Above 2, so that none is overwritten before its turn.
        copies.push(fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3))?);
    }
    for (source, target) in copies.iter().zip(0..) {
        // SAFETY: dup2 of two numbers; 0 to 2 are nobody's property in Rust's eyes.
        Errno::result(unsafe { libc::dup2(*source, target) })?;
    }
    Ok(())
}

/// `/dev/null` for reading and writing.
///
/// # Errors
/// ENOENT where there is no /dev.
pub fn null() -> nix::Result<OwnedFd> {
    nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
}

/// A pipe: reading end, writing end; close-on-exec.
///
/// # Errors
/// EMFILE, ENFILE.
pub fn pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC)
}

/// Where `fd` is a pipe: its writing end opened once more, so that not waiting for its reader is ours alone and not also
/// that of whoever else holds it. None where it is something else. proc_pid_fd(5).
///
/// # Errors
/// EACCES for a pipe of another user.
pub fn pipe_without_waiting(fd: BorrowedFd<'_>) -> nix::Result<Option<OwnedFd>> {
    use nix::sys::stat::{SFlag, fstat};
    let kind = SFlag::from_bits_truncate(fstat(fd)?.st_mode & SFlag::S_IFMT.bits());
    if kind != SFlag::S_IFIFO {
        return Ok(None);
    }
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    match nix::fcntl::open(path.as_str(), flags, Mode::empty()) {
        // Nobody has it open for reading.
        Err(Errno::ENXIO) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Sets O_NONBLOCK.
///
/// # Errors
/// None for a good descriptor.
pub fn nonblocking<F: AsFd>(fd: F) -> nix::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}
