//! Locks of whole files. flock(2): a lock is its open description's, so it outlives an exec, is shared by whoever inherits
//! the descriptor, and ends with the last of them, however they end.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use rustix::fs::{FlockOperation, flock};

use super::errno;

/// Locks `file` for whoever holds the descriptor that comes back; nobody waits.
///
/// # Errors
/// EWOULDBLOCK where somebody else holds it; EBADF on file systems that want the file to be writable for it; ENOLCK.
pub fn exclusive(file: File) -> Result<OwnedFd, (File, Errno)> {
    match flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file.into()),
        Err(error) => Err((file, errno(error))),
    }
}

/// The process that took the lock of `file`, as far as the kernel tells it here: not of one in another container.
/// proc_locks(5).
#[must_use]
pub fn holder(file: &File) -> Option<u32> {
    let found = file.metadata().ok()?;
    let (major, minor) = (
        rustix::fs::major(found.dev()),
        rustix::fs::minor(found.dev()),
    );
    let wanted = format!("{major:02x}:{minor:02x}:{}", found.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    holder_in(&locks, &wanted)
}

/// `1: FLOCK ADVISORY WRITE 1234 08:01:5678 0 EOF`; one that waits has `->` after the number.
fn holder_in(locks: &str, wanted: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [_, "FLOCK", _, "WRITE", pid, file, ..] if *file == wanted => {
                pid.parse().ok().filter(|pid| *pid != 0)
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_one_descriptions_and_names_its_taker() {
        let path = std::env::temp_dir().join(format!("hassio-sshd-lock-{}", std::process::id()));
        let open = || File::create(&path).unwrap();
        let first = exclusive(open()).unwrap();
        let (file, errno) = exclusive(open()).unwrap_err();
        assert_eq!(errno, Errno::EWOULDBLOCK);
        // On some file systems stat(2) names another device than the kernel does: then it is not known.
        assert!(holder(&file).is_none_or(|pid| pid == std::process::id()));
        drop(first);
        assert_eq!(holder(&file), None);
        exclusive(file).unwrap();
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn who_waits_or_is_elsewhere_holds_nothing() {
        let locks = "1: FLOCK  ADVISORY  WRITE 0 08:01:7 0 EOF\n2: POSIX  ADVISORY  WRITE 12 08:01:7 0 EOF\n\
            3: FLOCK  ADVISORY  WRITE 34 08:01:70 0 EOF\n3: -> FLOCK  ADVISORY  WRITE 56 08:01:7 0 EOF\n";
        assert_eq!(holder_in(locks, "08:01:7"), None);
        let locks = format!("{locks}4: FLOCK  ADVISORY  WRITE 78 08:01:7 0 EOF\n");
        assert_eq!(holder_in(&locks, "08:01:7"), Some(78));
    }
}
