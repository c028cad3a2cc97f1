//! Pseudo-terminals: pty(7), ioctl_tty(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Winsize};

use super::errno;

pub use rustix::termios::{
    ControlModes, InputModes, LocalModes, OutputModes, SpecialCodeIndex, Termios,
};

/// Opens a new terminal's master in the devpts mounted at `devpts` and unlocks its other end.
///
/// # Errors
/// ENOSPC at the instance's `max`.
pub fn open_master(devpts: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let master = rustix::fs::openat(devpts, "ptmx", flags, Mode::empty()).map_err(errno)?;
    rustix::pty::unlockpt(&master).map_err(errno)?;
    Ok(master)
}

/// Opens the other end of `master`, whatever path it has here. TIOCGPTPEER, Linux 4.13.
///
/// # Errors
/// EIO if the terminal is gone.
pub fn open_peer(master: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    rustix::pty::ioctl_tiocgptpeer(
        master,
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )
    .map_err(errno)
}

/// The terminal's number: its name is `/dev/pts/` and this. TIOCGPTN.
///
/// # Errors
/// ENOTTY if it is no master.
pub fn number(terminal: BorrowedFd<'_>) -> nix::Result<u32> {
    let mut number: libc::c_uint = 0;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&terminal);
    // SAFETY: the ioctl stores one unsigned int, and `number` outlives the call.
    Errno::result(unsafe { libc::ioctl(fd, libc::TIOCGPTN, &raw mut number) })?;
    Ok(number)
}

/// Sets the size and signals the foreground process group if it changed. TIOCSWINSZ.
///
/// # Errors
/// ENOTTY.
pub fn resize(
    terminal: BorrowedFd<'_>,
    columns: u16,
    rows: u16,
    width_px: u16,
    height_px: u16,
) -> nix::Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: width_px,
        ws_ypixel: height_px,
    };
    rustix::termios::tcsetwinsize(terminal, size).map_err(errno)
}

/// The terminal's settings. termios(3).
///
/// # Errors
/// ENOTTY.
pub fn settings(terminal: BorrowedFd<'_>) -> nix::Result<Termios> {
    rustix::termios::tcgetattr(terminal).map_err(errno)
}

/// Changes the terminal's settings at once. termios(3).
///
/// # Errors
/// ENOTTY.
pub fn change_settings(terminal: BorrowedFd<'_>, settings: &Termios) -> nix::Result<()> {
    rustix::termios::tcsetattr(terminal, OptionalActions::Now, settings).map_err(errno)
}

/// Makes `terminal` the controlling terminal of this process, which begins a session by it. TIOCSCTTY.
///
/// # Errors
/// EPERM if this process leads a process group, or the terminal controls another session.
pub fn take_terminal<F: AsFd>(terminal: F) -> nix::Result<()> {
    nix::unistd::setsid()?;
    rustix::process::ioctl_tiocsctty(terminal).map_err(errno)
}
