//! Many connections that never log in, and server processes that stand still under them.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use nix::unistd::Pid;

use crate::harness::{Done, PATIENCE, Process, Server, app, eventually, finish};

/// What is no SSH after its first line: the server closes the connection by itself.
pub fn knock(port: u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"SSH-2.0-knock\r\n\xff\xff\xff\xff is no packet")
        .unwrap();
    // A reset says the same as an end.
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
}

/// So many connections from so many threads, each until the server has closed it.
fn knocks(port: u16, threads: usize, each: usize) -> Vec<JoinHandle<()>> {
    (0..threads)
        .map(|_| std::thread::spawn(move || (0..each).for_each(|_| knock(port))))
        .collect()
}

fn signal(process: &Process, signal: Signal) {
    kill(Pid::from_raw(process.pid as i32), signal).unwrap();
}

#[track_caller]
fn logs(server: &Server, text: &str) {
    eventually(text, || server.log().contains(text).then_some(()));
}

fn verify(server: &Server) -> Done {
    let mut command = std::process::Command::new(app().join("hassio-sshd"));
    command
        .args(["audit", "verify", "--data-dir"])
        .arg(server.dir.join("data"));
    finish(command)
}

/// How many knocks are on record, whole or as a count, once the server has stopped.
fn knocked(server: &Server) -> usize {
    let closed = server.records_of("conn.close");
    let whole = closed.iter().filter(|record| record["ok"] == false).count();
    let folded = server.records_of("conn.folded");
    let counted = folded
        .iter()
        .filter_map(|record| record["d"]["connections"].as_u64());
    whole + usize::try_from(counted.sum::<u64>()).unwrap()
}

#[test]
fn a_flood_of_connections_leaves_counts_and_a_login_in_it_its_whole_record() {
    let mut server = Server::start();
    let (threads, each) = (10, 100);
    let clients = knocks(server.port, threads, each);
    // Far beyond those whose records are whole.
    let opened = || server.records_of("conn.open").len();
    eventually("the first are on record", || (opened() >= 10).then_some(()));
    server.run("true").good();
    for client in clients {
        client.join().unwrap();
    }
    assert!(server.stop().success());
    let refused = server.records_of("conn.refuse");
    assert_eq!(knocked(&server), threads * each, "{refused:?}");
    let ledger = server.dir.join("data/audit/ledger/000001.jsonl");
    let bytes = std::fs::metadata(ledger).unwrap().len();
    assert!(bytes < 64 * 1024, "{bytes}");
    assert_eq!(verify(&server).code(), 0, "{:?}", verify(&server));

    let session = server.records_of("session.open").pop().unwrap();
    let its = |kind: &str| {
        let all = server.records_of(kind);
        let its = all.iter().filter(|record| record["cid"] == session["cid"]);
        its.cloned().collect::<Vec<_>>()
    };
    assert_eq!(its("conn.open").len(), 1);
    assert!(
        its("auth.attempt")
            .iter()
            .any(|record| record["ok"] == true)
    );
    assert_eq!(its("exec").len(), 1);
    assert_eq!(its("conn.close").len(), 1);
}

/// Connects from an address 60 times a second, says nothing and keeps all open, until it is dropped.
struct Flood {
    over: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    fn start(from: [u8; 4], port: u16) -> Self {
        let (over, made) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (stop, count) = (Arc::clone(&over), Arc::clone(&made));
        let thread = std::thread::spawn(move || {
            let mut held = VecDeque::new();
            let start = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let stream = socket(
                    AddressFamily::Inet,
                    SockType::Stream,
                    SockFlag::SOCK_CLOEXEC,
                    None,
                )
                .unwrap();
                bind(
                    stream.as_raw_fd(),
                    &SockaddrIn::from(SocketAddrV4::new(from.into(), 0)),
                )
                .unwrap();
                let server = SocketAddrV4::new([127, 0, 0, 1].into(), port);
                connect(stream.as_raw_fd(), &SockaddrIn::from(server)).unwrap();
                held.push_back(stream);
                if held.len() > 200 {
                    held.pop_front();
                }
                let due = 1 + count.fetch_add(1, Ordering::Relaxed);
                let due = start + Duration::from_secs(1) / 60 * u32::try_from(due).unwrap();
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        let flood = Self {
            over,
            made,
            thread: Some(thread),
        };
        eventually("the flood has risen", || (flood.made() > 100).then_some(()));
        flood
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().ok();
    }
}

/// A port that leads to the server by a way of 100 ms, there and back.
fn far_away(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            late(client.try_clone().unwrap(), server.try_clone().unwrap());
            late(server, client);
        }
    });
    near
}

/// Passes bytes on 50 ms after they came.
fn late(mut from: TcpStream, mut to: TcpStream) {
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(1024);
    std::thread::spawn(move || {
        let mut bytes = vec![0; 65536];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let due = Instant::now() + Duration::from_millis(50);
            if sender.send((due, bytes[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        for (due, bytes) in receiver {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        to.shutdown(Shutdown::Both).ok();
    });
}

/// A login and a command through another port than the server's own.
fn log_in_by(server: &Server, port: u16) -> Done {
    let mut ssh = server.client("ssh");
    let mut options = server.ssh_options();
    options.retain(|option| !option.starts_with("Port="));
    assert_eq!(options.pop().as_deref(), Some("-o"), "Port= is the last");
    ssh.args(options)
        .args(["-o", "HostKeyAlias=server", "-p", &port.to_string()])
        .args(["root@127.0.0.1", "true"]);
    finish(ssh)
}

#[test]
fn a_flood_from_one_address_costs_far_clients_elsewhere_nothing() {
    let server = Server::start();
    let far = far_away(server.port);
    log_in_by(&server, far).good();
    let flood = Flood::start([127, 0, 0, 2], server.port);
    for _ in 0..5 {
        let before = flood.made();
        log_in_by(&server, far).good();
        // Enough to end the oldest of 32 meanwhile.
        let meanwhile = flood.made() - before;
        assert!(meanwhile > 32, "{meanwhile} is no flood");
    }
    logs(&server, "from 127.0.0.2 port");
    drop(flood);
    let refused = server.records_of("conn.refuse");
    assert!(!refused.is_empty());
    for record in refused {
        assert_eq!(record["d"]["ip"], "127.0.0.2", "{record}");
    }
}

#[test]
fn a_flood_from_their_own_address_leaves_far_clients_a_chance() {
    let server = Server::start();
    let far = far_away(server.port);
    log_in_by(&server, far).good();
    let _flood = Flood::start([127, 0, 0, 1], server.port);
    eventually("a login", || {
        (log_in_by(&server, far).code() == 0).then_some(())
    });
}

#[test]
fn an_audit_that_stands_still_for_a_while_loses_nothing() {
    let mut server = Server::start();
    let roles = ["audit-writer", "keys", "broker", "front"];
    let pids = |server: &Server| roles.map(|name| server.role(name).map(|process| process.pid));
    server.run("true").good();
    let before = pids(&server);
    let audit = server.role("audit-writer").unwrap();
    signal(&audit, Signal::SIGSTOP);
    let (threads, each) = (15, 30);
    let clients = knocks(server.port, threads, each);
    // More than the link holds were accepted, and then no more.
    logs(&server, "new connections wait");
    std::thread::sleep(Duration::from_secs(3));
    signal(&audit, Signal::SIGCONT);
    for client in clients {
        client.join().unwrap();
    }
    logs(&server, "new connections are accepted again");
    server.run("true").good();
    assert_eq!(pids(&server), before);
    assert!(server.stop().success());
    assert_eq!(knocked(&server), threads * each);
    assert_eq!(verify(&server).code(), 0, "{:?}", verify(&server));
}

#[test]
fn an_audit_that_stands_still_for_too_long_is_replaced() {
    let mut server = Server::start();
    server.run("true").good();
    let audit = server.role("audit-writer").unwrap();
    signal(&audit, Signal::SIGSTOP);
    let clients = knocks(server.port, 15, 30);
    logs(&server, "audit-writer has not read its link for 10 s");
    for client in clients {
        client.join().unwrap();
    }
    server.run("true").good();
    assert_ne!(
        server.role("audit-writer").map(|process| process.pid),
        Some(audit.pid)
    );
    assert!(server.stop().success());
    let code = verify(&server).code();
    assert!([0, 13].contains(&code), "{:?}", verify(&server));
}

/// Lets a process open so many more files, or as many as it may.
fn leave_room(process: &Process, files: Option<usize>) {
    let held: Vec<u64> = std::fs::read_dir(format!("/proc/{}/fd", process.pid))
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .collect();
    let text = std::fs::read_to_string(format!("/proc/{}/limits", process.pid)).unwrap();
    let line = text.lines().find(|line| line.starts_with("Max open files"));
    let hard: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(4)
        .unwrap()
        .parse()
        .unwrap();
    // A new one gets the lowest free number, and the limit is one of numbers.
    let free = |files| (0..hard).filter(|n| !held.contains(n)).nth(files);
    let soft = files.map_or(Some(hard), free).unwrap();
    // As the process's own user: without CAP_SYS_RESOURCE nobody else may (prlimit(2)).
    let mut command = std::process::Command::new("prlimit");
    std::os::unix::process::CommandExt::uid(&mut command, process.uid);
    std::os::unix::process::CommandExt::gid(&mut command, process.uid);
    command.arg(format!("--pid={}", process.pid));
    command.arg(format!("--nofile={soft}:{hard}"));
    finish(command).good();
}

/// The server goes on without a descriptor for this process, and serves again when there are some.
fn outlives_a_shortage(name: &str, room: usize, said: &str) {
    let server = Server::start();
    server.run("true").good();
    let kept = server.background("sleep 100");
    let process = server.role(name).unwrap();
    leave_room(&process, Some(room));
    let port = server.port;
    let clients: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    logs(&server, said);
    // For longer than a rest takes.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(server.role(name).map(|after| after.pid), Some(process.pid));
    let all = server.log().matches(said).count();
    assert!((1..=3).contains(&all), "it is said {all} times");
    drop(clients);
    leave_room(&process, None);
    server.run("true").good();
    server.find("sleep 100");
    drop(kept);
    let replaced = server.log().contains("started again");
    assert!(!replaced, "a process was replaced");
}

#[test]
fn a_front_without_descriptors_waits_for_some() {
    for room in [1, 3, 7] {
        outlives_a_shortage("front", room, "out of descriptors");
    }
}

#[test]
fn a_warden_without_descriptors_waits_for_some() {
    for room in [1, 3, 5] {
        outlives_a_shortage("warden", room, "out of descriptors");
    }
}
