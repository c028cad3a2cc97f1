//! Names to addresses, by the image's own getent(1): this program is static, and the C library's way to look names up is not.

use std::ffi::CString;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::{Errno, descriptor, process};
use crate::wire::limits::HOST_BYTES;

const GETENT: &str = "/usr/bin/getent";
/// How much of its answer is read.
const ANSWER_BYTES: usize = 16 * 1024;
/// How many of a name's addresses are tried.
const ADDRESSES: usize = 16;

/// A name that is being looked up. Dropping it ends the look-up.
#[derive(Debug)]
pub(super) struct LookUp {
    /// Its pidfd: the number is reaped, and given again, before that.
    child: OwnedFd,
    output: OwnedFd,
    answer: Vec<u8>,
}

/// Whether this can be a host's name, RFC 1123 §2.1, an underscore, or an address with a zone. None of them can be taken for
/// an option.
pub(super) fn is_name(host: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
    (1..=HOST_BYTES).contains(&host.len()) && !host.starts_with('-') && host.chars().all(letters)
}

impl LookUp {
    /// Begins to look up `host`, which [`is_name`].
    pub(super) fn begin(host: &str) -> Result<Self, Errno> {
        let path = CString::new(GETENT).map_err(|_| Errno::EINVAL)?;
        let words = ["getent", "ahosts", host].map(|word| CString::new(word).unwrap_or_default());
        let none: [CString; 0] = [];
        let (output, theirs) = descriptor::pipe()?;
        descriptor::nonblocking(&output)?;
        match process::fork()? {
            Some(child) => Ok(Self {
                child: process::pidfd_of(child)?,
                output,
                answer: Vec::new(),
            }),
            None => {
                let attempt = || {
                    process::reset_signals()?;
                    let null = descriptor::null()?;
                    descriptor::standard([null.as_fd(), theirs.as_fd(), null.as_fd()])?;
                    descriptor::close_on_exec_from(3)?;
                    nix::unistd::execve(&path, &words, &none)
                };
                let _failed: Result<_, Errno> = attempt();
                process::exit_now(127)
            }
        }
    }

    pub(super) fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// The addresses, in the order in which they are to be tried; none while there may be more.
    pub(super) fn read(&mut self) -> Option<Vec<IpAddr>> {
        let mut buffer = [0; 4096];
        match nix::unistd::read(&self.output, &mut buffer) {
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            Ok(length) if length > 0 && self.answer.len() < ANSWER_BYTES => {
                let read = buffer.get(..length).unwrap_or_default();
                self.answer.extend_from_slice(read);
                None
            }
            Ok(_) | Err(_) => Some(addresses(&String::from_utf8_lossy(&self.answer))),
        }
    }
}

impl Drop for LookUp {
    fn drop(&mut self) {
        // Most often it has ended, and is reaped.
        process::kill(self.child.as_fd()).ok();
    }
}

/// Of lines such as `127.0.0.1       STREAM localhost`, each address once.
fn addresses(answer: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for line in answer.lines() {
        let address = line.split_whitespace().next();
        if let Some(address) = address.and_then(|word| word.parse().ok())
            && !found.contains(&address)
            && found.len() < ADDRESSES
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_an_option() {
        for good in ["localhost", "a.b-c", "_x", "fe80::1%eth0", "192.0.2.1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-s", "a b", "a/b", "a\n", "ä", "$x", &"a".repeat(256)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a fork of ours is refused where there are threads"
    )]
    fn a_look_up_that_is_dropped_has_ended() {
        use std::os::unix::process::ExitStatusExt as _;

        let mut child = std::process::Command::new("sleep")
            .arg("10")
            .spawn()
            .unwrap();
        let number = i32::try_from(child.id()).unwrap();
        drop(LookUp {
            child: process::pidfd_of(nix::unistd::Pid::from_raw(number)).unwrap(),
            output: descriptor::pipe().unwrap().0,
            answer: Vec::new(),
        });
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn each_address_is_tried_once_and_in_order() {
        let answer = "::1  STREAM localhost\n::1  DGRAM\n127.0.0.1 STREAM\nnonsense\n";
        let expected: [IpAddr; 2] = ["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        assert_eq!(addresses(answer), expected);
        let many: String = (0..99).map(|n| format!("192.0.2.{n}\n")).collect();
        assert_eq!(addresses(&many).len(), ADDRESSES);
    }
}
