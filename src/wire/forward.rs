use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Where a forwarded connection is to lead: in the session's own namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A name or an address, and a port.
    Tcp {
        /// Looked up in the session. At most [`super::limits::HOST_BYTES`].
        host: String,
        /// Never 0.
        port: u16,
    },
    /// A Unix socket's path, absolute.
    Unix(String),
}

/// On what a forwarder listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// The same port of each of these addresses; those of a family that is not there are left out.
    Tcp {
        /// At most two.
        addresses: Vec<IpAddr>,
        /// 0 for one that the kernel chooses.
        port: u16,
    },
    /// A Unix socket's path, absolute, at which nothing is yet.
    Unix(String),
}

/// What a connection says to its session's forwarder. The numbers are the connection's, and none comes twice.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionToForwarder {
    /// Connect. Answered by `Connected` or `Failed`.
    Dial {
        /// The stream's number.
        id: u32,
        /// Where to.
        to: Target,
    },
    /// Listen. Answered by `Listening` or `Failed`.
    Listen {
        /// The listener's number.
        id: u32,
        /// On what.
        at: Place,
    },
    /// Accept one connection, once there is one. Answered by `Incoming`.
    Accept {
        /// The stream's number.
        id: u32,
        /// Of which listener.
        listener: u32,
    },
    /// Carry bytes between a stream that is `Connected` or `Incoming` and two pipes. Descriptors: the pipe to read from, the
    /// pipe to write to. Answered by `Taken`.
    Take {
        /// Which stream.
        id: u32,
    },
    /// Nobody waits any more for a stream that has no pipes, or for a listener: it is closed. A `Dial` that is under way is
    /// answered by `Failed`, an `Accept` and all of a listener's by nothing.
    Drop {
        /// Which.
        id: u32,
    },
}

/// What a forwarder says: input from the session, believed for what it costs the session alone.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwarderToConnection {
    /// To `Dial`: the other side answered.
    Connected {
        /// Which stream.
        id: u32,
    },
    /// To `Dial` and `Listen`.
    Failed {
        /// Which.
        id: u32,
        /// Why.
        fault: ForwardFault,
    },
    /// To `Listen`.
    Listening {
        /// Which listener.
        id: u32,
        /// The port; 0 of a Unix socket.
        port: u16,
    },
    /// To `Accept`.
    Incoming {
        /// Which stream.
        id: u32,
        /// Who connected; none of a Unix socket.
        from: Option<SocketAddr>,
    },
    /// To `Take`: the descriptors arrived.
    Taken {
        /// Which stream.
        id: u32,
    },
}

/// Why a forwarder could not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardFault {
    /// The kernel's answer, errno(3).
    Errno(i32),
    /// The name has no address.
    NoAddress,
    /// Nobody answered in time.
    TimedOut,
    /// No program of this session listens there: such as the broker's socket.
    Foreign,
    /// There are as many as may be.
    TooMany,
    /// Nobody waits any more.
    GivenUp,
}
