//! A session's forwarder: dials, listens and carries bytes for its connection, which has no network and no file of its own.
//!
//! Run by a child of session-init, in the session like any program of it and with no more rights: what it reaches, the session
//! reaches. It lives as long as its connection holds the other end of its link. It must never use a Unix socket on which
//! something else than this session listens, which is what keeps the broker's out of clients' reach, and never wait for one
//! stream while others have something to do.
#![forbid(unsafe_code)]

mod dial;
mod resolve;
mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};

use self::dial::{Dial, Outcome};
use self::stream::{Ready, Stream};
use crate::sys::{Errno, net, wait};
use crate::wire::limits::{DIAL, FORWARD_LISTENERS, FORWARDED, SOCKET_PATH_BYTES};
use crate::wire::{
    ConnectionToForwarder, ForwardFault, ForwarderToConnection, Link, LinkError, Place,
};

/// The forwarder's end of its link.
pub type Control = Link<ForwarderToConnection, ConnectionToForwarder>;

/// Obeys the connection until it is gone.
///
/// # Errors
/// `Closed` then; else what the link or the kernel gives.
pub fn run(control: Control) -> Result<(), LinkError> {
    let mut forwarder = Forwarder {
        control,
        dials: BTreeMap::new(),
        waiting: BTreeMap::new(),
        listeners: BTreeMap::new(),
        streams: Vec::new(),
    };
    loop {
        forwarder.turn()?;
    }
}

struct Forwarder {
    control: Control,
    /// Connections that are being made.
    dials: BTreeMap<u32, Dial>,
    /// Connections whose pipes are not here yet.
    waiting: BTreeMap<u32, OwnedFd>,
    listeners: BTreeMap<u32, Listener>,
    streams: Vec<Stream>,
}

struct Listener {
    sockets: Vec<OwnedFd>,
    /// To be removed with it.
    path: Option<String>,
    /// The numbers of connections that are wanted.
    accepts: VecDeque<u32>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Somebody else may have removed it.
            nix::unistd::unlink(path.as_str()).ok();
        }
    }
}

/// How many names are looked up at a time.
const LOOK_UPS: usize = 8;

/// What a descriptor is waited for on behalf of.
#[derive(Clone, Copy)]
enum Of {
    Control,
    Dial(u32),
    Listener(u32, usize),
    Reader(usize),
    Writer(usize),
    Socket(usize),
}

impl Forwarder {
    /// Waits until there is something to do, and does it.
    fn turn(&mut self) -> Result<(), LinkError> {
        self.begin_look_ups()?;
        let ready = self.wait().map_err(LinkError::Socket)?;
        let now = Instant::now();
        let mut streams: BTreeMap<usize, Ready> = BTreeMap::new();
        let mut dials = Vec::new();
        for (of, flags) in ready {
            match of {
                Of::Control => self.obey()?,
                Of::Dial(id) => dials.push(id),
                Of::Listener(id, socket) => self.accept(id, socket)?,
                Of::Reader(index) => streams.entry(index).or_default().reader = flags,
                Of::Writer(index) => streams.entry(index).or_default().writer = flags,
                Of::Socket(index) => streams.entry(index).or_default().socket = flags,
            }
        }
        let mut index = 0;
        self.streams.retain_mut(|stream| {
            let ready = streams.remove(&index);
            index += 1;
            ready.is_none_or(|ready| stream.turn(ready))
        });
        for id in dials {
            let outcome = self.dials.get_mut(&id).map(|dial| dial.advance());
            self.settle(id, outcome)?;
        }
        let late: Vec<u32> = (self.dials.iter())
            .filter(|(_, dial)| dial.next() <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            let outcome = self.dials.get_mut(&id).map(|dial| dial.late(now));
            self.settle(id, outcome)?;
        }
        // Of look-ups.
        while let Ok(Some(_)) = wait::reap() {}
        Ok(())
    }

    /// What is ready. The connection comes last: what it changes has no place in the list any more.
    fn wait(&self) -> nix::Result<Vec<(Of, PollFlags)>> {
        let mut wanted: Vec<(Of, (BorrowedFd<'_>, PollFlags))> = Vec::new();
        for (id, dial) in &self.dials {
            wanted.extend(dial.interest().map(|interest| (Of::Dial(*id), interest)));
        }
        for (id, listener) in &self.listeners {
            if !listener.accepts.is_empty() {
                let sockets = listener.sockets.iter().enumerate();
                wanted.extend(sockets.map(|(index, socket)| {
                    let interest = (socket.as_fd(), PollFlags::POLLIN);
                    (Of::Listener(*id, index), interest)
                }));
            }
        }
        for (index, stream) in self.streams.iter().enumerate() {
            wanted.extend(stream.reader().map(|it| (Of::Reader(index), it)));
            wanted.extend(stream.writer().map(|it| (Of::Writer(index), it)));
            wanted.extend(stream.socket().map(|it| (Of::Socket(index), it)));
        }
        let control = (self.control.as_fd(), PollFlags::POLLIN);
        wanted.push((Of::Control, control));
        let mut set: Vec<PollFd<'_>> = (wanted.iter())
            .map(|(_, (fd, flags))| PollFd::new(*fd, *flags))
            .collect();
        wait::each(&mut set, self.dials.values().map(Dial::next).min())?;
        let all = wanted.iter().zip(&set);
        Ok(all
            .map(|((of, _), fd)| (*of, fd.revents().unwrap_or(PollFlags::POLLERR)))
            .filter(|(_, flags)| !flags.is_empty())
            .collect())
    }

    fn obey(&mut self) -> Result<(), LinkError> {
        let (message, fds) = self.control.recv_with()?;
        match message {
            ConnectionToForwarder::Dial { id, to } => {
                let [] = Control::exactly(fds)?;
                if self.is_full() {
                    return self.fail(id, ForwardFault::TooMany);
                }
                let (dial, outcome) = Dial::begin(to, Instant::now() + DIAL);
                self.dials.insert(id, dial);
                self.settle(id, Some(outcome))
            }
            ConnectionToForwarder::Listen { id, at } => {
                let [] = Control::exactly(fds)?;
                if self.listeners.len() >= FORWARD_LISTENERS {
                    return self.fail(id, ForwardFault::TooMany);
                }
                match listen(&at) {
                    Ok((listener, port)) => {
                        self.listeners.insert(id, listener);
                        let answer = ForwarderToConnection::Listening { id, port };
                        self.control.send(&answer)
                    }
                    Err(fault) => self.fail(id, fault),
                }
            }
            ConnectionToForwarder::Accept { id, listener } => {
                let [] = Control::exactly(fds)?;
                // One that is gone was dropped meanwhile.
                if let Some(listener) = self.listeners.get_mut(&listener) {
                    listener.accepts.push_back(id);
                }
                Ok(())
            }
            ConnectionToForwarder::Take { id } => {
                let [reader, writer] = Control::exactly(fds)?;
                if let Some(socket) = self.waiting.remove(&id) {
                    let stream = Stream::new(socket, reader, writer);
                    self.streams.push(stream.map_err(LinkError::Socket)?);
                }
                self.control.send(&ForwarderToConnection::Taken { id })
            }
            ConnectionToForwarder::Drop { id } => {
                let [] = Control::exactly(fds)?;
                self.waiting.remove(&id);
                self.listeners.remove(&id);
                for listener in self.listeners.values_mut() {
                    listener.accepts.retain(|accept| *accept != id);
                }
                match self.dials.remove(&id) {
                    Some(_) => self.fail(id, ForwardFault::GivenUp),
                    None => Ok(()),
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        self.dials.len() + self.waiting.len() + self.streams.len() >= FORWARDED
    }

    fn fail(&self, id: u32, fault: ForwardFault) -> Result<(), LinkError> {
        self.control
            .send(&ForwarderToConnection::Failed { id, fault })
    }

    /// Does with a dial what its state asks for.
    fn settle(&mut self, id: u32, outcome: Option<Outcome>) -> Result<(), LinkError> {
        match outcome {
            None | Some(Outcome::Pending) => Ok(()),
            Some(Outcome::Connected(socket)) => {
                self.dials.remove(&id);
                self.waiting.insert(id, socket);
                self.control.send(&ForwarderToConnection::Connected { id })
            }
            Some(Outcome::Failed(fault)) => {
                self.dials.remove(&id);
                self.fail(id, fault)
            }
        }
    }

    /// Looks names up, not too many at a time: each is a process.
    fn begin_look_ups(&mut self) -> Result<(), LinkError> {
        let running = self.dials.values().filter(|dial| dial.looks_up()).count();
        let next: Vec<u32> = (self.dials.iter())
            .filter(|(_, dial)| dial.is_queued())
            .map(|(id, _)| *id)
            .take(LOOK_UPS.saturating_sub(running))
            .collect();
        for id in next {
            let outcome = self.dials.get_mut(&id).map(|dial| dial.look_up());
            self.settle(id, outcome)?;
        }
        Ok(())
    }

    fn accept(&mut self, id: u32, socket: usize) -> Result<(), LinkError> {
        let Some(listener) = self.listeners.get_mut(&id) else {
            return Ok(());
        };
        let (Some(socket), Some(stream)) = (listener.sockets.get(socket), listener.accepts.front())
        else {
            return Ok(());
        };
        let id = *stream;
        match net::accept(socket.as_fd()) {
            Ok(stream) => {
                listener.accepts.pop_front();
                let from = net::peer(stream.as_fd()).ok();
                if from.is_some() {
                    net::no_delay(stream.as_fd()).map_err(LinkError::Socket)?;
                }
                self.waiting.insert(id, stream);
                self.control
                    .send(&ForwarderToConnection::Incoming { id, from })
            }
            // Gone before it was accepted.
            Err(Errno::EAGAIN | Errno::ECONNABORTED | Errno::EINTR) => Ok(()),
            Err(errno) => Err(LinkError::Socket(errno)),
        }
    }
}

/// Listens, on all of a place or not at all.
fn listen(at: &Place) -> Result<(Listener, u16), ForwardFault> {
    let fault = |errno| ForwardFault::Errno(dial::number(errno));
    match at {
        Place::Tcp { addresses, port } => {
            let (mut sockets, mut port) = (Vec::new(), *port);
            for address in addresses.iter().take(2) {
                match net::listen_at((*address, port).into()) {
                    Ok(socket) => {
                        // The others get the port that the kernel chose for the first.
                        let bound = net::local_address(&socket);
                        port = bound.map_err(|_| fault(Errno::EINVAL))?.port();
                        sockets.push(socket);
                    }
                    Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) if addresses.len() > 1 => {}
                    Err(errno) => return Err(fault(errno)),
                }
            }
            if sockets.is_empty() {
                return Err(fault(Errno::EADDRNOTAVAIL));
            }
            let listener = Listener {
                sockets,
                path: None,
                accepts: VecDeque::new(),
            };
            Ok((listener, port))
        }
        Place::Unix(path) => {
            if !is_socket_path(path) {
                return Err(fault(Errno::EINVAL));
            }
            let bound = std::os::unix::net::UnixListener::bind(path);
            let errno = |error: std::io::Error| {
                fault(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
            };
            let socket = bound.map_err(errno)?;
            let listener = Listener {
                sockets: vec![socket.into()],
                path: Some(path.clone()),
                accepts: VecDeque::new(),
            };
            for socket in &listener.sockets {
                crate::sys::descriptor::nonblocking(socket).map_err(fault)?;
            }
            Ok((listener, 0))
        }
    }
}

/// A path by which a socket can be named: in the file system, and from its root.
fn is_socket_path(path: &str) -> bool {
    path.starts_with('/') && path.len() <= SOCKET_PATH_BYTES && !path.contains('\0')
}

#[cfg(test)]
mod tests;
