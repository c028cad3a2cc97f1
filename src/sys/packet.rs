//! `SOCK_SEQPACKET` pairs: packets keep their borders, descriptors travel beside them. unix(7).

use std::cell::RefCell;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

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
pub struct PacketSocket(OwnedFd);

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
    Ok((PacketSocket(a), PacketSocket(b)))
}

impl PacketSocket {
    /// Takes a descriptor that is an end of a pair.
    ///
    /// # Errors
    /// ENOTSOCK; EPROTOTYPE if it is a socket of another type.
    pub fn from_fd(fd: OwnedFd) -> nix::Result<Self> {
        if getsockopt(&fd, sockopt::SockType)? == SockType::SeqPacket {
            Ok(Self(fd))
        } else {
            Err(Errno::EPROTOTYPE)
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
        loop {
            let sent = sendmsg::<()>(
                self.0.as_raw_fd(),
                &[IoSlice::new(bytes)],
                control,
                MsgFlags::MSG_NOSIGNAL,
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
        let got = loop {
            let mut into = [IoSliceMut::new(buffer)];
            match recvmsg(&self.0, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
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
        fcntl(&self.0, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop)
    }

    /// Gives up the descriptor.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
