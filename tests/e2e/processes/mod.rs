//! The table of docs/architecture.md, held against each running process; and what happens when one ends.

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use hassio_sshd::model::{ConnectionId, Grant, Peer, SessionId};
use hassio_sshd::policy::sandbox::Sandbox;
use hassio_sshd::policy::ssh::Ssh;
use hassio_sshd::wire::{
    AuditToWarden, BrokerToWarden, FrontToWarden, KeysToWarden, Link, WardenToConnection, limits,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use serde_json::Value;

use crate::harness::{
    Process, Server, Setup, eventually, finish, make_key, server_command, within,
};

mod ends;
mod starts;

fn namespace(process: &Process, kind: &str) -> String {
    fs::read_link(format!("/proc/{}/ns/{kind}", process.pid))
        .unwrap()
        .display()
        .to_string()
}

#[track_caller]
fn confined(process: &Process, uid: u32) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(
            process.field(set),
            "0000000000000000",
            "{set} of {}",
            process.line
        );
    }
    assert_eq!(process.field("NoNewPrivs"), "1", "{}", process.line);
    assert_eq!(process.field("Seccomp"), "2", "{}", process.line);
    assert_eq!(process.field("Groups"), "", "{}", process.line);
    let ids: Vec<u32> = process
        .field("Uid")
        .split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect();
    assert_eq!(ids, [uid; 4], "{}", process.line);
    let ids: Vec<u32> = process
        .field("Gid")
        .split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect();
    assert_eq!(ids, [uid; 4], "{}", process.line);
    // Not dumpable: what is its own in /proc belongs to root.
    let owner = std::os::unix::fs::MetadataExt::uid(
        &fs::metadata(format!("/proc/{}/environ", process.pid)).unwrap(),
    );
    assert_eq!(owner, 0, "{}", process.line);
    let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap();
    assert!(
        environment.is_empty(),
        "{} has an environment",
        process.line
    );
}

fn root(process: &Process) -> Vec<String> {
    let mut names = Vec::new();
    let top = format!("/proc/{}/root/", process.pid);
    let mut folders = vec![std::path::PathBuf::from(&top)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                names.push(format!(
                    "/{}",
                    entry.path().strip_prefix(&top).unwrap().display()
                ));
            }
        }
    }
    names.sort();
    names
}

#[test]
fn each_process_has_exactly_the_privileges_of_the_table() {
    let server = Server::with_supervisor();
    let _session = server.background("sleep 100");
    let own = Process::read(std::process::id()).unwrap();
    let get = |role| {
        server
            .role(role)
            .unwrap_or_else(|| panic!("no {role}: {:#?}", server.processes()))
    };

    let warden = get("warden");
    assert_eq!(warden.pid, server.pid());
    assert_eq!(warden.uid, 0);
    // SYS_ADMIN, SETUID, SETGID, SETPCAP, KILL, NET_ADMIN, DAC_OVERRIDE: the list of policy/sandbox.toml.
    let list = (1u64 << 21) | (1 << 7) | (1 << 6) | (1 << 8) | (1 << 5) | (1 << 12) | (1 << 1);
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        let held = u64::from_str_radix(&warden.field(set), 16).unwrap();
        assert_eq!(held & !list, 0, "{set} of the warden: {held:x}");
    }
    assert_eq!(warden.field("Threads"), "1");
    assert_ne!(namespace(&warden, "mnt"), namespace(&own, "mnt"));

    let front = get("front");
    confined(&front, 0x7003_0000);
    assert_eq!(root(&front), Vec::<String>::new());
    assert_ne!(namespace(&front, "net"), namespace(&own, "net"));
    let devices = fs::read_to_string(format!("/proc/{}/net/dev", front.pid)).unwrap();
    assert!(
        devices
            .lines()
            .skip(2)
            .all(|line| line.trim_start().starts_with("lo:")),
        "{devices}"
    );

    let all = server.processes();
    let connection = all
        .iter()
        .find(|process| process.line == front.line && process.pid != front.pid)
        .unwrap();
    confined(connection, 0x7003_0000);
    assert_eq!(root(connection), Vec::<String>::new());
    assert_eq!(namespace(connection, "net"), namespace(&front, "net"));
    assert_eq!(connection.field("Threads"), "1");
    let filters = |process: &Process| process.field("Seccomp_filters").parse::<u32>().unwrap();
    assert_eq!(
        filters(connection),
        filters(&front) + 1,
        "the connection's own filter"
    );

    let keys = get("keys");
    confined(&keys, 0x7003_0001);
    assert_eq!(root(&keys), Vec::<String>::new());
    assert_ne!(namespace(&keys, "net"), namespace(&own, "net"));

    let broker = get("broker");
    confined(&broker, 0x7003_0002);
    assert_eq!(namespace(&broker, "net"), namespace(&own, "net"));
    for file in root(&broker) {
        let known = [
            "/etc/hosts",
            "/etc/resolv.conf",
            "/etc/nsswitch.conf",
            "/etc/host.conf",
            "/etc/gai.conf",
        ];
        assert!(
            known.contains(&file.as_str()),
            "{file} in the broker's root"
        );
    }

    let audit = get("audit-writer");
    confined(&audit, 0x7003_0003);
    assert_ne!(namespace(&audit, "net"), namespace(&own, "net"));
    let seen = fs::read_dir(format!("/proc/{}/root", audit.pid)).unwrap();
    let mut names: Vec<String> = seen
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(
        names.iter().all(|name| [
            "keys",
            "ledger",
            "open",
            "recordings",
            "sessions",
            "spare",
            "quarantine"
        ]
        .contains(&name.as_str())),
        "{names:?}"
    );

    let init = server
        .session_processes()
        .into_iter()
        .find(|process| process.line == "session-init")
        .unwrap();
    assert_eq!(
        (init.field("CapEff"), init.field("CapBnd")),
        ("0".repeat(16), "0".repeat(16))
    );
    assert_eq!(
        (init.field("NoNewPrivs"), init.field("Seccomp")),
        ("1".to_owned(), "2".to_owned())
    );
}

/// Soft and hard limit, as /proc/PID/limits shows them.
fn limit(process: &Process, name: &str) -> [String; 2] {
    let text = fs::read_to_string(format!("/proc/{}/limits", process.pid)).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    [words.next().unwrap(), words.next().unwrap()]
}

#[test]
fn each_process_has_exactly_the_limits_of_the_policy() {
    let server = Server::with_supervisor();
    let _session = server.background("sleep 100");
    let limits = Sandbox::shipped().unwrap().servers;
    let table = [
        ("warden", limits.warden),
        ("front", limits.front),
        ("keys", limits.keys),
        ("broker", limits.broker),
        ("audit-writer", limits.audit),
    ];
    let own = Process::read(std::process::id()).unwrap();
    let [_, most] = limit(&own, "Max open files");
    let most = most.parse().unwrap_or(u64::MAX);
    for (role, expected) in table {
        let line = format!("hassio-sshd {role}");
        let all = server.processes();
        let spare = |process: &&Process| process.field("Name") == "session-spare";
        let its = all.iter().filter(|process| process.line == line);
        let its: Vec<&Process> = its.filter(|process| !spare(process)).collect();
        // The connection is like the front.
        assert_eq!(its.len(), if role == "front" { 2 } else { 1 }, "{role}");
        for process in its {
            let files = expected.open_files.min(most).to_string();
            assert_eq!(limit(process, "Max open files"), [files.clone(), files]);
            match expected.data {
                Some(data) => {
                    let data = data.0.to_string();
                    assert_eq!(limit(process, "Max data size"), [data.clone(), data]);
                }
                None => assert_eq!(
                    limit(process, "Max data size"),
                    limit(&own, "Max data size")
                ),
            }
            if role != "warden" {
                assert_eq!(limit(process, "Max core file size")[1], "1");
            }
        }
    }
    let program = server.find("sleep 100");
    assert_eq!(
        limit(&program, "Max data size"),
        limit(&own, "Max data size")
    );
}

#[test]
fn the_policys_limits_hold_all_that_may_be_at_the_same_time() {
    let Sandbox {
        identity, servers, ..
    } = Sandbox::shipped().unwrap();
    let count = |n: usize| u64::try_from(n).unwrap();
    let connections = count(Ssh::shipped().unwrap().limits.connections);
    let sessions = u64::from(identity.slots);
    let (api, outbox) = (
        count(limits::API_CONNECTIONS),
        count(limits::OUTBOX_MESSAGES),
    );
    let (fds, turn) = (count(limits::MESSAGE_FDS), count(limits::TURN));
    // The program, its configuration, links, logs, and what a library opens.
    let own = 64;
    assert!(servers.broker.open_files >= sessions * (1 + 2 * api) + own);
    let waiting = 4 * outbox + turn * fds;
    assert!(servers.warden.open_files >= 2 * connections + 12 * sessions + waiting + own);
    assert!(servers.front.open_files >= connections + own);
    let on_their_way = sessions * count(limits::CHANNELS) * 3 + connections * fds;
    assert!(servers.front.open_files >= on_their_way);
    assert!(servers.keys.open_files >= 2 * connections + own);
    assert!(servers.audit.open_files >= connections + outbox + sessions + own);
    for other in [servers.front, servers.keys, servers.broker, servers.audit] {
        assert!(
            other.open_files <= servers.warden.open_files,
            "hard limits are inherited and do not rise"
        );
    }
    assert!(servers.warden.data.is_none(), "sessions would inherit it");
}

#[test]
fn a_spare_holds_nothing_of_others_and_is_replaced() {
    let server = Server::start();
    let spare = server.spare_waits();
    assert_eq!(spare.field("PPid"), server.pid().to_string());
    assert_eq!(spare.field("Threads"), "1");
    let own: Vec<(String, String)> = fs::read_dir(format!("/proc/{}/fd", spare.pid))
        .unwrap()
        .flatten()
        .map(|entry| {
            let to = fs::read_link(entry.path()).unwrap();
            let number = entry.file_name().to_string_lossy().into_owned();
            (number, to.display().to_string())
        })
        .filter(|(number, _)| number.parse::<u32>().unwrap() > 2)
        .collect();
    let kinds = |kind: &str| own.iter().filter(|(_, to)| to.starts_with(kind)).count();
    // Its two sockets; /run, its user namespace, the limits of namespaces in its own /proc, and session-init.
    let counts = ["socket:", "user:", "/mnt/run", "/mnt/proc/sys/user"].map(kinds);
    assert_eq!((own.len(), counts), (6, [2, 1, 1, 1]), "{own:?}");
    assert!(
        own.iter().any(|(_, to)| to.ends_with("/session-init")),
        "{own:?}"
    );
    let namespaces = ["mnt", "pid_for_children", "ipc", "uts", "cgroup"];
    let warden = Process::read(server.pid()).unwrap();
    for kind in namespaces {
        assert_ne!(namespace(&spare, kind), namespace(&warden, kind), "{kind}");
    }
    // It becomes the next session.
    let _session = server.background("sleep 100");
    let init = server.find("session-init");
    assert_eq!(init.pid, spare.pid);
    // One that is killed costs nobody a login.
    let next = server.spare_waits();
    kill(Pid::from_raw(next.pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
    server.run("true").good();
    assert_ne!(server.spare_waits().pid, next.pid);
}

#[test]
fn nobody_but_keys_ever_holds_the_host_key() {
    let server = Server::start();
    let _session = server.background("sleep 100");
    // The private half, as it lies in memory once decoded: the seed is the first half of the last 64 bytes of the key.
    let text = fs::read_to_string(server.dir.join("data/ssh_host_ed25519_key")).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = decode_base64(&body);
    let public = {
        let line = fs::read_to_string(server.dir.join("client/known_hosts")).unwrap();
        let blob = decode_base64(line.split_whitespace().nth(2).unwrap());
        blob[blob.len() - 32..].to_vec()
    };
    let at = bytes
        .windows(32)
        .rposition(|window| window == public)
        .expect("the key's public half");
    let seed = &bytes[at - 32..at];
    for process in server.processes() {
        let holds = memory_contains(process.pid, seed);
        assert_eq!(
            holds,
            process.line == "hassio-sshd keys",
            "{}",
            process.line
        );
    }
}

fn decode_base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("{other}"),
    };
    let mut bits = 0u32;
    let mut count = 0;
    let mut out = Vec::new();
    for c in text.bytes().filter(|c| *c != b'=') {
        bits = (bits << 6) | u32::from(value(c));
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    out
}

fn memory_contains(pid: u32, wanted: &[u8]) -> bool {
    use std::os::unix::fs::FileExt;
    let Ok(memory) = fs::File::open(format!("/proc/{pid}/mem")) else {
        return false;
    };
    for line in fs::read_to_string(format!("/proc/{pid}/maps"))
        .unwrap_or_default()
        .lines()
    {
        let mut words = line.split_whitespace();
        let range = words.next().unwrap();
        if !words.next().unwrap().starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let (from, to) = (
            u64::from_str_radix(from, 16).unwrap(),
            u64::from_str_radix(to, 16).unwrap(),
        );
        let mut bytes = vec![0; (to - from) as usize];
        if memory.read_exact_at(&mut bytes, from).is_ok()
            && bytes.windows(wanted.len()).any(|window| window == wanted)
        {
            return true;
        }
    }
    false
}

fn end(process: &Process) {
    kill(Pid::from_raw(process.pid as i32), Signal::SIGKILL).unwrap();
}
