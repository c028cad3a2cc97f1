//! The kernel: each function is one call, or the few that only make sense together. The only room with `unsafe`.
//!
//! Every process uses it. It imports nothing of ours and decides nothing.
#![allow(unsafe_code, reason = "this room is the edge to the kernel")]

pub mod capability;
pub mod cgroup;
pub mod clock;
pub mod descriptor;
pub mod directory;
pub mod lock;
pub mod mount;
pub mod namespace;
pub mod net;
pub mod packet;
pub mod process;
pub mod pty;
pub mod random;
#[cfg(feature = "server")]
pub mod seccomp;
pub mod space;
pub mod wait;

pub use nix::errno::Errno;

/// rustix's error as nix's: one errno type in all signatures.
fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

/// Whether a call failed because descriptors or memory are short, here or in the whole system: what is there has to end
/// first, and nothing is wrong with who asked. ETOOMANYREFS is that of descriptors on their way (unix(7)).
#[must_use]
pub fn is_shortage(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS | Errno::ETOOMANYREFS
    )
}
