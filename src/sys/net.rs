//! Sockets: listening, accepting, and what SSH wants of TCP. ip(7), ipv6(7), tcp(7), unix(7).

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn6, SockaddrStorage, UnixAddr,
    UnixCredentials, accept4, bind, connect, getpeername, getsockopt, listen, setsockopt, socket,
    sockopt,
};

/// Sockets that listen, and those beside them.
#[derive(Debug)]
pub struct Listening {
    /// One for each address, close-on-exec and non-blocking. An IPv6 one serves IPv6 alone, so that both families can have
    /// the same port.
    pub listeners: Vec<OwnedFd>,
    /// They do not listen, but keep everybody from the same ports on all other addresses.
    pub held: Vec<OwnedFd>,
    /// Where that could not be done, since somebody has one of the addresses.
    pub shared: Vec<SocketAddr>,
}

/// Listens on each address, whose port may be 0 for one that the kernel chooses.
///
/// # Errors
/// The address, and EADDRINUSE, EACCES (a port below 1024 without CAP_NET_BIND_SERVICE), EAFNOSUPPORT.
pub fn listen_tcp(addresses: &[SocketAddr]) -> Result<Listening, (SocketAddr, Errno)> {
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(bound_tcp(*address).map_err(|errno| (*address, errno))?);
    }
    let own = |listener| local_address(listener).ok();
    let own: BTreeSet<SocketAddr> = listeners.iter().filter_map(own).collect();
    let ports: BTreeSet<u16> = own.iter().map(SocketAddr::port).collect();
    let everywhere = [
        IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::from(Ipv6Addr::UNSPECIFIED),
    ];
    let (mut held, mut shared) = (Vec::new(), Vec::new());
    for all in ports
        .into_iter()
        .flat_map(|port| everywhere.map(|ip| SocketAddr::new(ip, port)))
        .filter(|all| !own.contains(all))
    {
        match bound_tcp(all) {
            Ok(socket) => held.push(socket),
            Err(Errno::EADDRINUSE) => shared.push(all),
            // A family that this machine does not have.
            Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => {}
            Err(errno) => return Err((all, errno)),
        }
    }
    for (listener, address) in listeners.iter().zip(addresses) {
        let listening = Backlog::new(128).and_then(|backlog| listen(listener, backlog));
        listening.map_err(|errno| (*address, errno))?;
    }
    // Last. Linux asks both of two sockets for this option when one of them is bound or begins to listen
    // (inet_csk_bind_conflict, 6.18): until now it let ours be bound side by side, from now on it lets nobody in.
    for socket in &held {
        let unshared = setsockopt(socket, sockopt::ReuseAddr, &false);
        unshared.map_err(|errno| ((Ipv4Addr::UNSPECIFIED, 0).into(), errno))?;
    }
    Ok(Listening {
        listeners,
        held,
        shared,
    })
}

fn bound_tcp(address: SocketAddr) -> nix::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let fd = socket(
        family,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(fd)
}

/// The address a listening socket has, to say which port the kernel chose.
///
/// # Errors
/// None for a TCP socket.
pub fn local_address(listener: &OwnedFd) -> io::Result<SocketAddr> {
    TcpListener::from(listener.try_clone()?).local_addr()
}

/// Accepts one connection, close-on-exec and non-blocking.
///
/// # Errors
/// EAGAIN when there is none; ECONNABORTED; EMFILE, ENFILE, ENOMEM.
pub fn accept(listener: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let raw = accept4(
        listener.as_raw_fd(),
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
    )?;
    // SAFETY: the kernel has just made it, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Who is at the other end of a TCP connection; mapped IPv4 addresses as plain ones.
///
/// # Errors
/// ENOTCONN when it is already gone.
pub fn peer(stream: BorrowedFd<'_>) -> nix::Result<SocketAddr> {
    let address: SockaddrStorage = getpeername(stream.as_raw_fd())?;
    let address = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => SocketAddr::new(v4.ip().into(), v4.port()),
        (None, Some(v6)) => plain(v6),
        (None, None) => return Err(Errno::EAFNOSUPPORT),
    };
    Ok(address)
}

fn plain(v6: &SockaddrIn6) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V6(v6.ip()).to_canonical(), v6.port())
}

/// Sends small packets at once. TCP_NODELAY.
///
/// # Errors
/// None for a TCP socket.
pub fn no_delay(stream: BorrowedFd<'_>) -> nix::Result<()> {
    setsockopt(&stream, sockopt::TcpNoDelay, &true)
}

/// Ends the connection (ETIMEDOUT) once something has waited to be sent or acknowledged for `limit`, whether the peer is
/// gone or just takes nothing. TCP_USER_TIMEOUT, tcp(7), RFC 5482.
///
/// # Errors
/// None for a TCP socket; EOVERFLOW for a limit of more than 49 days.
pub fn user_timeout(stream: BorrowedFd<'_>, limit: Duration) -> nix::Result<()> {
    let milliseconds = u32::try_from(limit.as_millis()).map_err(|_| Errno::EOVERFLOW)?;
    setsockopt(&stream, sockopt::TcpUserTimeout, &milliseconds)
}

/// Acknowledges what has come without waiting for something to send. Not sticky: the kernel goes back by itself.
/// TCP_QUICKACK.
///
/// # Errors
/// None for a TCP socket.
pub fn quick_ack(stream: BorrowedFd<'_>) -> nix::Result<()> {
    let on: libc::c_int = 1;
    let length =
        libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the option's value is one int, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_QUICKACK,
            (&raw const on).cast(),
            length,
        )
    };
    Errno::result(result).map(drop)
}

/// Listens on one address, and on no other that an IPv6 one might stand for; close-on-exec and non-blocking.
///
/// # Errors
/// EADDRINUSE, EACCES, EADDRNOTAVAIL, EAFNOSUPPORT.
pub fn listen_at(address: SocketAddr) -> nix::Result<OwnedFd> {
    let socket = bound_tcp(address)?;
    listen(&socket, Backlog::new(128)?)?;
    Ok(socket)
}

/// Begins to connect, without waiting; close-on-exec and non-blocking. Once it can be written to, [`connected`] tells.
///
/// # Errors
/// ENETUNREACH and the like, where it is known at once.
pub fn begin_connect(address: SocketAddr) -> nix::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let fd = unconnected(family)?;
    no_delay(fd.as_fd())?;
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(fd),
        Err(errno) => Err(errno),
    }
}

/// What became of [`begin_connect`]. SO_ERROR, connect(2).
///
/// # Errors
/// ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH and the like.
pub fn connected(stream: BorrowedFd<'_>) -> nix::Result<()> {
    match getsockopt(&stream, sockopt::SocketError)? {
        0 => Ok(()),
        raw => Err(Errno::from_raw(raw)),
    }
}

/// Connects to a Unix socket by its path, without waiting; close-on-exec and non-blocking. unix(7).
///
/// # Errors
/// EAGAIN where its queue is full; ENOENT, ECONNREFUSED, EACCES, EPROTOTYPE for one that is no stream.
pub fn connect_unix(path: &str) -> nix::Result<OwnedFd> {
    let fd = unconnected(AddressFamily::Unix)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd)
}

fn unconnected(family: AddressFamily) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(family, SockType::Stream, flags, None)
}

/// A listening Unix socket named `name` in the directory behind `directory`, which may be a detached mount; any uid
/// that can reach it may connect. unix(7).
///
/// # Errors
/// EADDRINUSE if the name is taken.
pub fn listen_unix(directory: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    let listener = UnixListener::bind(&path)?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(
        Path::new(&path),
        std::os::unix::fs::PermissionsExt::from_mode(0o666),
    )?;
    Ok(listener.into())
}

/// Who connected: credentials at the time of connect(2), which the peer cannot choose. SO_PEERCRED.
///
/// # Errors
/// None for a connected Unix socket.
pub fn peer_credentials<F: AsFd>(stream: F) -> nix::Result<UnixCredentials> {
    getsockopt(&stream, sockopt::PeerCredentials)
}

/// Brings up `lo` in the current network namespace. netdevice(7).
///
/// # Errors
/// EPERM without CAP_NET_ADMIN in the user namespace that owns it.
pub fn loopback_up() -> nix::Result<()> {
    let fd = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: all-zero bytes are a valid ifreq: integers and character arrays.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::try_from(*from).map_err(|_| Errno::EINVAL)?;
    }
    let up =
        libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(|_| Errno::EOVERFLOW)?;
    request.ifr_ifru.ifru_flags = up;
    // SAFETY: the ioctl reads one ifreq, which outlives the call.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_timeout_is_in_force() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = listen_tcp(&[any]).unwrap().listeners.remove(0);
        let address = local_address(&listener).unwrap();
        let stream = std::net::TcpStream::connect(address).unwrap();
        let in_force = || getsockopt(&stream, sockopt::TcpUserTimeout).unwrap();
        assert_eq!(in_force(), 0, "the kernel's own is some fifteen minutes");
        user_timeout(stream.as_fd(), Duration::from_secs(120)).unwrap();
        assert_eq!(in_force(), 120_000);
        let forever = user_timeout(stream.as_fd(), Duration::MAX);
        assert_eq!(forever, Err(Errno::EOVERFLOW));
    }
}
