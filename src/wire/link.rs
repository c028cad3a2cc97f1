use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{CodecError, decode, encode};
use super::limits::{MESSAGE_BYTES, MESSAGE_FDS};
use crate::sys::packet::{self, PacketSocket};

/// One end of a pair: sends `Out`, receives `In`. Both ends come from [`Link::pair`], so they cannot disagree.
#[derive(Debug)]
pub struct Link<Out, In> {
    socket: PacketSocket,
    answers: bool,
    types: PhantomData<fn(Out) -> In>,
}

/// Asks whether the peer still reads its link. Neither this nor the answer is the encoding of any enum: the number of its
/// variant would go on.
const PING: [u8; 1] = [0xff];
/// See [`PING`].
const PONG: [u8; 1] = [0xfe];

/// What came on a link whose peer is pinged.
#[derive(Debug)]
pub enum Incoming<In> {
    /// A message, and the descriptors beside it.
    Message(In, Vec<OwnedFd>),
    /// The answer to [`Link::ping`], or one that nobody asked for.
    Pong,
}

/// A message that waits to be sent, already encoded, with the descriptors that go beside it.
#[derive(Debug)]
pub struct Packet<Out> {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
    types: PhantomData<fn(Out)>,
}

impl<Out: Serialize> Packet<Out> {
    /// Encodes `message` and holds on to `fds`.
    ///
    /// # Errors
    /// `Codec`; `Socket` with EMFILE.
    pub fn new(message: &Out, fds: &[BorrowedFd<'_>]) -> Result<Self, LinkError> {
        let hold = |fd: &BorrowedFd<'_>| {
            fd.try_clone_to_owned()
                .map_err(|_| LinkError::Socket(Errno::EMFILE))
        };
        Ok(Self {
            bytes: encode(message)?,
            fds: fds.iter().map(hold).collect::<Result<_, _>>()?,
            types: PhantomData,
        })
    }

    /// How long the message is.
    #[must_use]
    pub fn length_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// What can go wrong on a link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The kernel's answer to sending or receiving.
    #[error("cannot use the link")]
    Socket(#[source] Errno),
    /// The packet does not fit the link's types.
    #[error("the peer does not speak the link's language")]
    Codec(#[from] CodecError),
    /// The other end is gone.
    #[error("the other end is closed")]
    Closed,
    /// More, or fewer, descriptors than the message calls for.
    #[error("the message came with {0} descriptors")]
    Descriptors(usize),
}

impl LinkError {
    /// Nothing to read, or no room to write, on a link that does not block.
    #[must_use]
    pub fn would_block(&self) -> bool {
        matches!(self, Self::Socket(Errno::EAGAIN))
    }

    /// Descriptors or memory are short: see [`crate::sys::is_shortage`].
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        matches!(self, Self::Socket(errno) if crate::sys::is_shortage(*errno))
    }
}

impl<Out: Serialize, In: DeserializeOwned> Link<Out, In> {
    /// Makes both ends, close-on-exec and blocking.
    ///
    /// # Errors
    /// `Socket` with EMFILE or ENFILE.
    pub fn pair() -> Result<(Self, Link<In, Out>), LinkError> {
        let (a, b) = packet::pair().map_err(LinkError::Socket)?;
        Ok((
            Self::of(a),
            Link {
                socket: b,
                answers: false,
                types: PhantomData,
            },
        ))
    }

    /// Takes a descriptor that the other process of this type of link gave.
    ///
    /// # Errors
    /// `Socket` with ENOTSOCK or EPROTOTYPE if it is no `SOCK_SEQPACKET` socket.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, LinkError> {
        Ok(Self::of(
            PacketSocket::from_fd(fd).map_err(LinkError::Socket)?,
        ))
    }

    fn of(socket: PacketSocket) -> Self {
        Self {
            socket,
            answers: false,
            types: PhantomData,
        }
    }

    /// From now on receiving answers pings: whoever sends them learns that this process still comes to read. Only for a
    /// link that does not block, since a ping is no message.
    #[must_use]
    pub fn answering(self) -> Self {
        Self {
            answers: true,
            ..self
        }
    }

    /// Asks a peer whose end is [`Link::answering`] for a sign of life.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub fn ping(&self) -> Result<(), LinkError> {
        self.send_bytes(&PING, &[])
    }

    /// Sends one message.
    ///
    /// # Errors
    /// `Closed`; `Socket` with EAGAIN on a non-blocking link whose peer does not read.
    pub fn send(&self, message: &Out) -> Result<(), LinkError> {
        self.send_with(message, &[])
    }

    /// Sends one message with descriptors beside it.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub fn send_with(&self, message: &Out, fds: &[BorrowedFd<'_>]) -> Result<(), LinkError> {
        self.send_bytes(&encode(message)?, fds)
    }

    /// Sends one message that has waited.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub fn send_packet(&self, packet: &Packet<Out>) -> Result<(), LinkError> {
        let fds: Vec<BorrowedFd<'_>> = packet.fds.iter().map(AsFd::as_fd).collect();
        self.send_bytes(&packet.bytes, &fds)
    }

    fn send_bytes(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), LinkError> {
        match self.socket.send(bytes, fds) {
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(LinkError::Closed),
            Err(errno) => Err(LinkError::Socket(errno)),
            Ok(()) => Ok(()),
        }
    }

    /// Receives one message that carries no descriptor.
    ///
    /// # Errors
    /// `Closed`; `Descriptors`; `Codec`; `Socket` with EAGAIN on a non-blocking link.
    pub fn recv(&self) -> Result<In, LinkError> {
        match self.recv_with()? {
            (message, fds) if fds.is_empty() => Ok(message),
            (_, fds) => Err(LinkError::Descriptors(fds.len())),
        }
    }

    /// Receives one message and the descriptors beside it.
    ///
    /// # Errors
    /// As [`Link::recv`]; the caller checks the number of descriptors with [`Link::exactly`].
    pub fn recv_with(&self) -> Result<(In, Vec<OwnedFd>), LinkError> {
        loop {
            let (bytes, fds) = self.recv_bytes()?;
            if !self.answers || bytes != PING || !fds.is_empty() {
                return Ok((decode(&bytes)?, fds));
            }
            match self.send_bytes(&PONG, &[]) {
                // Then what fills the link says as much.
                Err(error) if error.would_block() => {}
                answered => answered?,
            }
        }
    }

    /// Receives one message and the descriptors beside it, or the answer to a ping.
    ///
    /// # Errors
    /// As [`Link::recv_with`]; `Descriptors` beside an answer.
    pub fn recv_incoming(&self) -> Result<Incoming<In>, LinkError> {
        match self.recv_bytes()? {
            (bytes, fds) if bytes != PONG => Ok(Incoming::Message(decode(&bytes)?, fds)),
            (_, fds) if fds.is_empty() => Ok(Incoming::Pong),
            (_, fds) => Err(LinkError::Descriptors(fds.len())),
        }
    }

    fn recv_bytes(&self) -> Result<(Vec<u8>, Vec<OwnedFd>), LinkError> {
        match self.socket.recv(MESSAGE_BYTES, MESSAGE_FDS) {
            Err(Errno::ECONNRESET) | Ok(None) => Err(LinkError::Closed),
            Err(errno) => Err(LinkError::Socket(errno)),
            Ok(Some(packet)) => Ok(packet),
        }
    }

    /// Makes every later call return EAGAIN instead of waiting.
    ///
    /// # Errors
    /// `Socket`; not seen.
    pub fn set_nonblocking(&self) -> Result<(), LinkError> {
        self.socket.set_nonblocking().map_err(LinkError::Socket)
    }

    /// The descriptor alone, to be given to the process that will use this end.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.socket.into_fd()
    }
}

impl<Out, In> Link<Out, In> {
    /// `fds` as an array, if there are as many as the message calls for; all are closed otherwise.
    ///
    /// # Errors
    /// `Descriptors`.
    pub fn exactly<const N: usize>(fds: Vec<OwnedFd>) -> Result<[OwnedFd; N], LinkError> {
        fds.try_into()
            .map_err(|fds: Vec<OwnedFd>| LinkError::Descriptors(fds.len()))
    }
}

impl<Out, In> AsFd for Link<Out, In> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<Out, In> std::os::fd::AsRawFd for Link<Out, In> {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.socket.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_descriptors_cross_in_one_packet() {
        let (a, b) = Link::<String, u32>::pair().unwrap();
        let (x, y) = Link::<u8, u8>::pair().unwrap();
        a.send_with(&"here".to_owned(), &[x.as_fd()]).unwrap();
        b.send(&7).unwrap();
        drop(x);
        let (text, fds) = b.recv_with().unwrap();
        let [fd] = Link::<u32, String>::exactly(fds).unwrap();
        let x = Link::<u8, u8>::from_fd(fd).unwrap();
        x.send(&9).unwrap();
        assert_eq!(
            (text.as_str(), a.recv().unwrap(), y.recv().unwrap()),
            ("here", 7, 9)
        );
        drop(a);
        assert!(matches!(b.recv(), Err(LinkError::Closed)));
    }

    #[test]
    fn a_ping_is_answered_by_whoever_reads_and_is_no_message() {
        let (a, b) = Link::<u32, Option<u8>>::pair().unwrap();
        let b = b.answering();
        a.set_nonblocking().unwrap();
        b.set_nonblocking().unwrap();
        a.ping().unwrap();
        assert!(a.recv_incoming().is_err_and(|error| error.would_block()));
        a.send(&7).unwrap();
        assert_eq!(b.recv().unwrap(), 7);
        b.send(&Some(1)).unwrap();
        assert!(matches!(a.recv_incoming(), Ok(Incoming::Pong)));
        assert!(matches!(
            a.recv_incoming(),
            Ok(Incoming::Message(Some(1), _))
        ));
        a.ping().unwrap();
        assert!(b.recv().is_err_and(|error| error.would_block()));
        assert!(matches!(a.recv(), Err(LinkError::Codec(_))));
    }

    #[test]
    fn who_does_not_answer_pings_is_not_made_to_and_none_comes_with_descriptors() {
        let (a, b) = Link::<u32, Option<u8>>::pair().unwrap();
        a.ping().unwrap();
        assert!(matches!(b.recv(), Err(LinkError::Codec(_))));
        let b = b.answering();
        a.send_bytes(&PING, &[a.as_fd()]).unwrap();
        assert!(matches!(b.recv(), Err(LinkError::Codec(_))));
        b.send_bytes(&PONG, &[b.as_fd()]).unwrap();
        assert!(matches!(a.recv_incoming(), Err(LinkError::Descriptors(1))));
    }

    #[test]
    fn too_many_descriptors_are_an_error_and_are_closed() {
        let (a, b) = Link::<u8, u8>::pair().unwrap();
        let (x, y) = Link::<u8, u8>::pair().unwrap();
        a.send_with(&1, &[x.as_fd()]).unwrap();
        drop(x);
        assert!(matches!(b.recv(), Err(LinkError::Descriptors(1))));
        assert!(
            matches!(y.recv(), Err(LinkError::Closed)),
            "the descriptor was kept"
        );
        a.send_with(&1, &[b.as_fd(), b.as_fd(), b.as_fd(), b.as_fd(), b.as_fd()])
            .unwrap();
        assert!(matches!(
            b.recv_with(),
            Err(LinkError::Socket(Errno::EMSGSIZE))
        ));
    }
}
