//! `SOCK_SEQPACKET` pairs: packets keep their borders, descriptors travel beside them. unix(7).

use std::cell::RefCell;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, getsockopt, sendmsg, socketpair,
    sockopt,
};
// nix gives up on a message whose descriptors were cut off, and loses those that were not.
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use super::errno;

/// CMSG_SPACE of 253 descriptors (SCM_MAX_FD, unix(7)), rounded up.
const CONTROL_BYTES: usize = 1088;

thread_local! {
    /// Kept between calls, so that receiving does not map and unmap a large buffer each time.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One end of a pair.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    /// Whether calls wait. O_NONBLOCK alone would not do: it belongs to the open file, and whoever made this end and kept a
    /// duplicate could clear it.
    waits: AtomicBool,
}

/// Makes a pair, close-on-exec and blocking.
///
/// # Errors
/// EMFILE, ENFILE.
pub fn pair() -> nix::Result<(PacketSocket, PacketSocket)> {
    let (a, b) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    Ok((PacketSocket::of(a), PacketSocket::of(b)))
}

impl PacketSocket {
    /// Takes a descriptor that is an end of a pair.
    ///
    /// # Errors
    /// ENOTSOCK; EPROTOTYPE if it is a socket of another type.
    pub fn from_fd(fd: OwnedFd) -> nix::Result<Self> {
        if getsockopt(&fd, sockopt::SockType)? == SockType::SeqPacket {
            Ok(Self::of(fd))
        } else {
            Err(Errno::EPROTOTYPE)
        }
    }

    fn of(fd: OwnedFd) -> Self {
        Self {
            fd,
            waits: AtomicBool::new(true),
        }
    }

    /// Sends one packet whole, with descriptors.
    ///
    /// # Errors
    /// EPIPE when the other end is closed (no signal is raised); EAGAIN; EMSGSIZE.
    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> nix::Result<()> {
        let fds: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
        let mut flags = MsgFlags::MSG_NOSIGNAL;
        flags.set(MsgFlags::MSG_DONTWAIT, !self.waits.load(Ordering::Relaxed));
        loop {
            let sent = sendmsg::<()>(
                self.fd.as_raw_fd(),
                &[IoSlice::new(bytes)],
                control,
                flags,
                None,
            );
            match sent {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
                Ok(n) if n == bytes.len() => return Ok(()),
                Ok(_) => return Err(Errno::EMSGSIZE),
            }
        }
    }

    /// Receives one packet of at most `limit_bytes` with at most `limit_fds` descriptors, all close-on-exec.
    /// `None` when the other end is closed.
    ///
    /// # Errors
    /// EMSGSIZE if the packet, or its descriptors, did not fit; EMFILE if this process can hold no more of them, and then
    /// the packet is lost: in both cases what came is closed. EAGAIN.
    pub fn recv(
        &self,
        limit_bytes: usize,
        limit_fds: usize,
    ) -> nix::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        let mut buffer = BUFFER.take();
        buffer.resize(limit_bytes, 0);
        let received = self.recv_into(&mut buffer, limit_fds);
        let packet = match received {
            Ok(Some((length, fds))) => Ok(buffer.get(..length).map(|bytes| (bytes.to_vec(), fds))),
            Ok(None) => Ok(None),
            Err(errno) => Err(errno),
        };
        BUFFER.set(buffer);
        packet
    }

    fn recv_into(
        &self,
        buffer: &mut [u8],
        limit_fds: usize,
    ) -> nix::Result<Option<(usize, Vec<OwnedFd>)>> {
        // Room for all that one message can carry (SCM_MAX_FD): descriptors that do not fit would be lost unseen.
        let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut flags = RecvFlags::CMSG_CLOEXEC;
        flags.set(RecvFlags::DONTWAIT, !self.waits.load(Ordering::Relaxed));
        let got = loop {
            let mut into = [IoSliceMut::new(buffer)];
            match recvmsg(&self.fd, &mut into, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                got => break got.map_err(errno)?,
            }
        };
        let fds: Vec<OwnedFd> = control
            .drain()
            .filter_map(|item| match item {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .collect();
        if got.bytes == 0 && fds.is_empty() {
            return Ok(None);
        }
        if got.flags.contains(ReturnFlags::CTRUNC) {
            return Err(Errno::EMFILE);
        }
        if got.flags.contains(ReturnFlags::TRUNC) || fds.len() > limit_fds {
            return Err(Errno::EMSGSIZE);
        }
        Ok(Some((got.bytes, fds)))
    }

    /// Sets O_NONBLOCK on this end.
    ///
    /// # Errors
    /// None that fcntl(2) documents for a good descriptor.
    pub fn set_nonblocking(&self) -> nix::Result<()> {
        self.waits.store(false, Ordering::Relaxed);
        fcntl(&self.fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop)
    }

    /// Gives up the descriptor.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_keeps_a_duplicate_cannot_make_an_end_wait() {
        let (near, far) = pair().unwrap();
        near.set_nonblocking().unwrap();
        let duplicate = near.as_fd().try_clone_to_owned().unwrap();
        fcntl(&duplicate, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        let (done, finished) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let received = near.recv(8, 0).map(|packet| packet.is_some());
            let sent = std::iter::repeat_with(|| near.send(&[0; 1000], &[])).find(Result::is_err);
            done.send((received, sent)).unwrap();
        });
        let limit = std::time::Duration::from_secs(5);
        let outcome = finished.recv_timeout(limit).expect("it waits");
        assert_eq!(outcome, (Err(Errno::EAGAIN), Some(Err(Errno::EAGAIN))));
        drop(far);
    }
}
