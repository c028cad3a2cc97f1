//! Forwarding, with OpenSSH's client: what works where the options name it, and what never does.
//!
//! Sessions share this machine's network, so what they reach by TCP is often the test itself.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Server, Setup, eventually, finish};

mod away;
mod keys;
mod local;
mod remote;

/// A server that forwards what is named.
fn forwarding(what: Value) -> Server {
    Server::with(Setup {
        options: json!({ "forwarding": what }),
        ..Setup::default()
    })
}

/// `ssh -N` with forwarding, until it is dropped.
struct Tunnel(Child);

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Begins one whose words are `arguments`; it is up once its remote forwards are there.
fn tunnel(server: &Server, arguments: &[&str]) -> Tunnel {
    let mut ssh = server.ssh();
    ssh.args(["-N", "-o", "ExitOnForwardFailure=yes"]);
    ssh.args(arguments).arg("root@127.0.0.1");
    Tunnel(ssh.spawn().unwrap())
}

/// A port that nobody has now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A listener whose connections each get back what they send, once they have sent all of it.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).ok();
                stream.write_all(&all).ok();
            });
        }
    });
    port
}

/// Connects as soon as somebody listens.
fn connect(port: u16) -> TcpStream {
    eventually("a port that listens", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    })
}

/// The same of a socket.
fn connect_unix(path: &PathBuf) -> UnixStream {
    eventually("a socket that listens", || UnixStream::connect(path).ok())
}

/// Sends all of `bytes` and its end, then reads the answer to its end.
fn talk(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut writer = stream.try_clone().unwrap();
    let bytes = bytes.to_vec();
    let writing = std::thread::spawn(move || {
        writer.write_all(&bytes).ok();
        writer.shutdown(Shutdown::Write).ok();
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    writing.join().unwrap();
    answer
}

/// `ssh -W to`, with `input`.
fn dial(server: &Server, to: &str, input: &[u8]) -> crate::harness::Done {
    let mut ssh = server.talking_ssh();
    ssh.args(["-W", to, "root@127.0.0.1"]);
    crate::harness::feed(ssh, input)
}

/// A server program in a session: says `ready`, then gives each connection back what it sends.
const ECHO_AT: &str = "import socket,sys,os,threading
at=sys.argv[1]
s=socket.socket(socket.AF_UNIX); s.bind(at); s.listen(64)
print(\"ready\",flush=True)
def serve(c):
    while True:
        b=c.recv(65536)
        if not b: break
        c.sendall(b)
    c.close()
while True:
    c,_=s.accept()
    threading.Thread(target=serve,args=(c,)).start()
";

/// A master connection whose session runs an echo at a Unix socket, and which further clients join.
struct Master {
    child: Child,
    control: PathBuf,
}

impl Drop for Master {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Master {
    fn new(server: &Server, line: &str) -> Self {
        let control = server.dir.join("client/master");
        let mut ssh = server.ssh();
        ssh.args(["-M", "-S", control.to_str().unwrap(), "root@127.0.0.1"]);
        let mut child = ssh
            .args(["--", line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut word = [0; 6];
        let out = child.stdout.as_mut().unwrap();
        out.read_exact(&mut word).expect("it did not begin");
        assert_eq!(&word, b"ready\n");
        Self { child, control }
    }

    /// `ssh` through it, ready for more options and a command.
    fn ssh(&self, server: &Server) -> Command {
        let mut ssh = server.ssh();
        ssh.args(["-S", self.control.to_str().unwrap()]);
        ssh
    }

    /// Adds forwarding to it.
    fn forward(&self, server: &Server, arguments: &[&str]) -> crate::harness::Done {
        let mut ssh = self.ssh(server);
        ssh.args(["-O", "forward"]).args(arguments);
        ssh.arg("root@127.0.0.1");
        finish(ssh)
    }
}

/// Runs `ECHO_AT` at a path of the session.
fn echo_at(path: &str) -> String {
    format!("python3 -c '{ECHO_AT}' {path}")
}

/// How long a refusal may take.
const LIMIT: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(50);
