use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

use super::*;
use crate::sys::descriptor;
use crate::wire::Target;

/// A forwarder in a thread of its own, which ends when this is dropped.
struct Bench {
    link: Link<ConnectionToForwarder, ForwarderToConnection>,
}

impl Bench {
    fn new() -> Self {
        let (link, control) = Link::pair().unwrap();
        std::thread::spawn(move || run(control));
        Self { link }
    }

    fn ask(&self, message: ConnectionToForwarder) -> ForwarderToConnection {
        self.link.send(&message).unwrap();
        self.link.recv().unwrap()
    }

    fn dial(&self, id: u32, to: Target) -> ForwarderToConnection {
        self.ask(ConnectionToForwarder::Dial { id, to })
    }

    fn take(&self, id: u32) -> (std::fs::File, std::fs::File) {
        let (theirs_in, to) = descriptor::pipe().unwrap();
        let (from, theirs_out) = descriptor::pipe().unwrap();
        let message = ConnectionToForwarder::Take { id };
        let fds = [theirs_in.as_fd(), theirs_out.as_fd()];
        self.link.send_with(&message, &fds).unwrap();
        assert_eq!(
            self.link.recv().unwrap(),
            ForwarderToConnection::Taken { id }
        );
        (to.into(), from.into())
    }
}

fn tcp(port: u16) -> Target {
    Target::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
    }
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn each_direction_ends_by_itself() {
    let bench = Bench::new();
    let (listener, port) = listener();
    let connected = ForwarderToConnection::Connected { id: 7 };
    assert_eq!(bench.dial(7, tcp(port)), connected);
    let (mut to, mut from) = bench.take(7);
    let (mut peer, _) = listener.accept().unwrap();
    to.write_all(b"question").unwrap();
    drop(to);
    let mut question = String::new();
    peer.read_to_string(&mut question).unwrap();
    peer.write_all(&vec![b'a'; 1 << 20]).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    from.read_to_end(&mut answer).unwrap();
    assert_eq!((question.as_str(), answer.len()), ("question", 1 << 20));
}

#[test]
fn the_other_sides_end_comes_first_and_ours_still_arrives() {
    let bench = Bench::new();
    let (listener, port) = listener();
    bench.dial(1, tcp(port));
    let (mut to, mut from) = bench.take(1);
    let (mut peer, _) = listener.accept().unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(from.read(&mut [0; 1]).unwrap(), 0);
    to.write_all(b"late").unwrap();
    let mut late = [0; 4];
    peer.read_exact(&mut late).unwrap();
    assert_eq!(&late, b"late");
    // And when it is gone altogether, nobody reads what the client sends.
    drop(peer);
    let refused = (0..1000).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        to.write_all(&[0; 1024]).err()
    });
    assert_eq!(
        refused.unwrap().kind(),
        std::io::ErrorKind::BrokenPipe,
        "it is held open"
    );
}

#[test]
fn a_stream_that_nobody_reads_holds_up_no_other() {
    let bench = Bench::new();
    let (listener, port) = listener();
    let mut open = Vec::new();
    for id in 0..2 {
        bench.dial(id, tcp(port));
        let pipes = bench.take(id);
        open.push((pipes, listener.accept().unwrap().0));
    }
    let (_slow, mut stuck) = open.remove(0);
    std::thread::spawn(move || stuck.write_all(&vec![0; 16 << 20]));
    let ((mut to, mut from), mut peer) = open.remove(0);
    to.write_all(b"ping").unwrap();
    let mut bytes = [0; 4];
    peer.read_exact(&mut bytes).unwrap();
    peer.write_all(&bytes).unwrap();
    from.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ping");
}

#[test]
fn what_cannot_be_reached_is_said() {
    let bench = Bench::new();
    let (listener, port) = listener();
    drop(listener);
    let refused = |id| ForwarderToConnection::Failed {
        id,
        fault: ForwardFault::Errno(dial::number(Errno::ECONNREFUSED)),
    };
    assert_eq!(bench.dial(1, tcp(port)), refused(1));
    for (id, host) in (2..).zip(["-s", "a b", "", "a/b"]) {
        let host = host.to_owned();
        let failed = ForwarderToConnection::Failed {
            id,
            fault: ForwardFault::NoAddress,
        };
        assert_eq!(bench.dial(id, Target::Tcp { host, port: 1 }), failed);
    }
    for (id, path) in (10..).zip(["relative", "\0abstract", "/a\0b", &"/a".repeat(60)]) {
        let failed = ForwarderToConnection::Failed {
            id,
            fault: ForwardFault::Errno(dial::number(Errno::EINVAL)),
        };
        assert_eq!(bench.dial(id, Target::Unix(path.to_owned())), failed);
    }
}

#[test]
fn a_socket_of_another_process_of_this_user_is_reached_and_who_listens_is_looked_at() {
    let bench = Bench::new();
    let path = std::env::temp_dir().join(format!("hassio-sshd-forward-{}", std::process::id()));
    let path = path.to_str().unwrap().to_owned();
    let listener = UnixListener::bind(&path).unwrap();
    let answer = bench.dial(1, Target::Unix(path.clone()));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(answer, ForwarderToConnection::Connected { id: 1 });
    let (mut to, _from) = bench.take(1);
    to.write_all(b"x").unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    peer.read_exact(&mut [0; 1]).unwrap();
}

#[test]
fn a_listener_accepts_as_many_as_are_wanted() {
    let bench = Bench::new();
    let at = Place::Tcp {
        addresses: vec![
            Ipv4Addr::LOCALHOST.into(),
            std::net::Ipv6Addr::LOCALHOST.into(),
        ],
        port: 0,
    };
    let ForwarderToConnection::Listening { id: 1, port } =
        bench.ask(ConnectionToForwarder::Listen { id: 1, at })
    else {
        panic!("it does not listen");
    };
    let mut first = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let _second = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let accept = ConnectionToForwarder::Accept { id: 2, listener: 1 };
    let from = Some(first.local_addr().unwrap());
    let incoming = ForwarderToConnection::Incoming { id: 2, from };
    assert_eq!(bench.ask(accept), incoming);
    let (mut to, _from) = bench.take(2);
    to.write_all(b"hello").unwrap();
    let mut hello = [0; 5];
    first.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
    // A second listener on the same port is refused, and once the first is dropped it is not.
    let at = || Place::Tcp {
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        port,
    };
    let in_use = ForwarderToConnection::Failed {
        id: 3,
        fault: ForwardFault::Errno(dial::number(Errno::EADDRINUSE)),
    };
    let listen = |id| ConnectionToForwarder::Listen { id, at: at() };
    assert_eq!(bench.ask(listen(3)), in_use);
    bench
        .link
        .send(&ConnectionToForwarder::Drop { id: 1 })
        .unwrap();
    let listening = ForwarderToConnection::Listening { id: 4, port };
    assert_eq!(bench.ask(listen(4)), listening);
}

#[test]
fn a_socket_that_listens_is_private_to_its_owner_and_removed_with_its_listener() {
    let bench = Bench::new();
    let path = std::env::temp_dir().join(format!("hassio-sshd-listen-{}", std::process::id()));
    let at = Place::Unix(path.to_str().unwrap().to_owned());
    let listening = ForwarderToConnection::Listening { id: 1, port: 0 };
    assert_eq!(
        bench.ask(ConnectionToForwarder::Listen { id: 1, at }),
        listening
    );
    let _client = UnixStream::connect(&path).unwrap();
    let incoming = ForwarderToConnection::Incoming { id: 2, from: None };
    let accept = ConnectionToForwarder::Accept { id: 2, listener: 1 };
    assert_eq!(bench.ask(accept), incoming);
    bench
        .link
        .send(&ConnectionToForwarder::Drop { id: 1 })
        .unwrap();
    // In order: when this is answered, the other was done.
    bench.dial(3, Target::Unix("relative".to_owned()));
    assert!(!path.exists());
}
