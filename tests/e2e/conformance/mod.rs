//! What OpenSSH's own regression tests ask of a server, asked of its sshd and of ours, with the same client. Where both are
//! the same, nobody who moves from one to the other is surprised; `docs/conformance.md` lists all of it, and what is different
//! on purpose.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{Done, Server, feed, finish, have, public, within};

mod connections;
mod files;
mod page;
mod status;
mod transfers;

/// A server that is asked.
#[derive(Clone, Copy)]
struct Target<'a> {
    name: &'static str,
    server: &'a Server,
    port: u16,
    /// Where the same folder lies for its sessions.
    folder: &'a str,
}

/// OpenSSH's sshd with the keys of one of our servers.
struct Sshd {
    child: Child,
    port: u16,
}

impl Sshd {
    fn start(server: &Server, more: &str) -> Self {
        let home = server.dir.join("sshd");
        fs::create_dir_all(&home).unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        let host = home.join("host");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
        finish({
            keygen.arg(&host);
            keygen
        })
        .good();
        let keys = home.join("authorized_keys");
        fs::write(&keys, public(&server.dir.join("client/key"))).unwrap();
        // It cannot choose a port by itself: another one is tried where somebody was faster.
        for _ in 0..10 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let config = home.join("config");
            let text = format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nPidFile none\nUsePAM no\n\
                 PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUseDNS no\n\
                 PrintMotd no\nPrintLastLog no\nX11Forwarding no\nAcceptEnv LANG LC_*\nSetEnv HOME={}\nSubsystem sftp \
                 /usr/lib/openssh/sftp-server\n{more}\n",
                host.display(),
                keys.display(),
                home.display()
            );
            fs::write(&config, text).unwrap();
            let mut sshd = Command::new("/usr/sbin/sshd");
            sshd.args(["-D", "-e", "-f"]).arg(&config);
            sshd.stderr(fs::File::create(home.join("log")).unwrap());
            let mut child = sshd.spawn().unwrap();
            for _ in 0..500 {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { child, port };
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            child.kill().ok();
            child.wait().ok();
        }
        panic!(
            "sshd does not start: {}",
            fs::read_to_string(home.join("log")).unwrap()
        );
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Asks both servers the same.
fn both(ask: impl Fn(Target<'_>)) {
    both_with("", ask);
}

/// The same with more in sshd's configuration.
fn both_with(more: &str, ask: impl Fn(Target<'_>)) {
    let server = Server::start();
    ask(Target {
        name: "ours",
        server: &server,
        port: server.port,
        folder: "/config",
    });
    if !have("/usr/sbin/sshd") {
        return;
    }
    let sshd = Sshd::start(&server, more);
    let folder = server.dir.join("config");
    ask(Target {
        name: "sshd",
        server: &server,
        port: sshd.port,
        folder: folder.to_str().unwrap(),
    });
}

impl Target<'_> {
    /// A client's options for this server.
    fn options(&self) -> Vec<String> {
        let known = format!("UserKnownHostsFile=known_hosts.{}", self.name);
        let options = self.server.ssh_options().into_iter();
        options
            .map(|option| match option.split_once('=') {
                Some(("Port", _)) => format!("Port={}", self.port),
                Some(("UserKnownHostsFile", _)) => known.clone(),
                _ => option,
            })
            .collect()
    }

    fn client(&self, program: &str) -> Command {
        let mut command = self.server.client(program);
        command.args(self.options());
        command
    }

    /// `ssh` with more options, ready for a command.
    fn ssh(&self, more: &[&str]) -> Command {
        let mut ssh = self.client("ssh");
        ssh.args(more).arg("root@127.0.0.1");
        ssh
    }

    fn run(&self, more: &[&str], line: &str) -> Done {
        let mut ssh = self.ssh(more);
        ssh.args(["--", line]);
        finish(ssh)
    }

    /// A file of the client's.
    fn local(&self, name: &str) -> PathBuf {
        self.server.dir.join("client").join(name)
    }

    /// Makes a file of the client's that has so many bytes, none like the other ones near it.
    fn data(&self, name: &str, bytes: usize) -> Vec<u8> {
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let mut data = Vec::with_capacity(bytes + 8);
        while data.len() < bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            data.extend(state.to_le_bytes());
        }
        data.truncate(bytes);
        fs::write(self.local(name), &data).unwrap();
        data
    }
}
