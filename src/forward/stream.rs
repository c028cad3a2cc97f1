use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::poll::PollFlags;
use nix::sys::socket::{Shutdown, shutdown};

use crate::sys::{Errno, descriptor};

/// How much one direction of a stream holds.
const BUFFER_BYTES: usize = 32 * 1024;

/// A connection and the two pipes to the server between which it is carried. Each direction ends by itself.
#[derive(Debug)]
pub(super) struct Stream {
    socket: OwnedFd,
    /// From the client; none once that has ended.
    reader: Option<OwnedFd>,
    inward: Flow,
    /// To the client; none once the other side has ended.
    writer: Option<OwnedFd>,
    outward: Flow,
}

/// What poll(2) said of each descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) reader: PollFlags,
    pub(super) writer: PollFlags,
    pub(super) socket: PollFlags,
}

impl Default for Ready {
    fn default() -> Self {
        Self {
            reader: PollFlags::empty(),
            writer: PollFlags::empty(),
            socket: PollFlags::empty(),
        }
    }
}

/// What was read in one direction and is not written yet.
#[derive(Debug, Default)]
struct Flow {
    bytes: Vec<u8>,
    written: usize,
}

/// How a direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    /// It goes on.
    On,
    /// There is no more to read, and all is written.
    End,
    /// Nobody takes it any more.
    Broken,
}

impl Flow {
    fn is_empty(&self) -> bool {
        self.written >= self.bytes.len()
    }

    /// Reads if all is written, then writes what it can.
    fn pass(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Passed {
        if self.is_empty() {
            self.written = 0;
            self.bytes.resize(BUFFER_BYTES, 0);
            let length = match nix::unistd::read(from, &mut self.bytes) {
                Err(Errno::EAGAIN | Errno::EINTR) => {
                    self.bytes.clear();
                    return Passed::On;
                }
                // A connection that was reset has no more to say either.
                Ok(0) | Err(_) => {
                    self.bytes = Vec::new();
                    return Passed::End;
                }
                Ok(length) => length,
            };
            self.bytes.truncate(length);
        }
        let rest = self.bytes.get(self.written..).unwrap_or_default();
        match nix::unistd::write(to, rest) {
            Ok(length) => {
                self.written += length;
                Passed::On
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Passed::On,
            Err(_) => Passed::Broken,
        }
    }
}

/// One side is gone.
const GONE: PollFlags = PollFlags::POLLERR.union(PollFlags::POLLHUP);

impl Stream {
    /// Carries `socket`, which does not block. Of a pipe each end has an open file of its own, so what is set here does not
    /// reach the other.
    pub(super) fn new(socket: OwnedFd, reader: OwnedFd, writer: OwnedFd) -> nix::Result<Self> {
        descriptor::nonblocking(&reader)?;
        descriptor::nonblocking(&writer)?;
        Ok(Self {
            socket,
            reader: Some(reader),
            inward: Flow::default(),
            writer: Some(writer),
            outward: Flow::default(),
        })
    }

    /// What the pipe from the client is waited for.
    pub(super) fn reader(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let reader = self.reader.as_ref()?;
        let wanted = self.inward.is_empty();
        wanted.then_some((reader.as_fd(), PollFlags::POLLIN))
    }

    /// The same of the pipe to the client: always, since it also tells that nobody reads there any more.
    pub(super) fn writer(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let writer = self.writer.as_ref()?;
        let flags = match self.outward.is_empty() {
            true => PollFlags::empty(),
            false => PollFlags::POLLOUT,
        };
        Some((writer.as_fd(), flags))
    }

    /// The same of the connection. Its end is told again and again, so it is asked about only where that is of use.
    pub(super) fn socket(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let mut flags = PollFlags::empty();
        flags.set(
            PollFlags::POLLIN,
            self.writer.is_some() && self.outward.is_empty(),
        );
        flags.set(
            PollFlags::POLLOUT,
            self.reader.is_some() && !self.inward.is_empty(),
        );
        let wanted = !flags.is_empty() || self.writer.is_none();
        wanted.then_some((self.socket.as_fd(), flags))
    }

    /// Passes on what can be. False once the stream is over.
    pub(super) fn turn(&mut self, ready: Ready) -> bool {
        if ready.writer.contains(PollFlags::POLLERR) {
            // The server closed its end: the channel is gone.
            return false;
        }
        if self.writer.is_none() && ready.socket.intersects(GONE) {
            return false;
        }
        if let Some(reader) = &self.reader
            && (!ready.reader.is_empty() || !self.inward.is_empty())
        {
            match self.inward.pass(reader.as_fd(), self.socket.as_fd()) {
                Passed::On => {}
                Passed::End => {
                    // The other side reads to its end. Err: it is gone, which the other direction finds.
                    shutdown(self.socket.as_raw_fd(), Shutdown::Write).ok();
                    self.reader = None;
                }
                Passed::Broken => {
                    self.inward = Flow::default();
                    self.reader = None;
                }
            }
        }
        if let Some(writer) = &self.writer
            && (!ready.socket.is_empty() || !self.outward.is_empty())
        {
            match self.outward.pass(self.socket.as_fd(), writer.as_fd()) {
                Passed::On => {}
                Passed::End => self.writer = None,
                Passed::Broken => return false,
            }
        }
        self.reader.is_some() || self.writer.is_some()
    }
}
