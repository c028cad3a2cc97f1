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
        names
            .iter()
            .all(|name| ["ledger", "open", "sessions", "quarantine"].contains(&name.as_str())),
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

#[test]
fn each_process_that_ends_is_replaced_and_sessions_go_on() {
    let server = Server::with_supervisor();
    let control = server.dir.join("client/mux");
    let mut master = server.ssh();
    master.args([
        "-M",
        "-S",
        control.to_str().unwrap(),
        "-N",
        "root@127.0.0.1",
    ]);
    let mut master = master.spawn().unwrap();
    eventually("the master is up", || control.exists().then_some(()));
    let mux = |line: &str| {
        let mut ssh = server.client("ssh");
        ssh.args([
            "-F",
            "none",
            "-S",
            control.to_str().unwrap(),
            "x",
            "--",
            line,
        ]);
        crate::harness::finish(ssh)
    };
    mux("echo kept > /tmp/f").good();
    for role in ["front", "keys", "broker", "audit-writer"] {
        let before = server.role(role).unwrap();
        end(&before);
        let after = eventually("it is back", || {
            server.role(role).filter(|after| after.pid != before.pid)
        });
        assert_ne!(after.pid, before.pid);
        assert_eq!(mux("cat /tmp/f").good(), "kept", "after {role}");
        within(Duration::from_secs(10), "new logins work", || {
            server.run("true").code() == 0
        });
        within(
            Duration::from_secs(10),
            "calls work in the old session",
            || mux("hassio info >/dev/null").code() == 0,
        );
    }
    master.kill().unwrap();
    master.wait().unwrap();
}

/// What a server process that was taken over can say: a packet on its own link to the warden.
fn say<Out: serde::Serialize>(process: &Process, message: &Out, fds: &[BorrowedFd<'_>]) {
    let pid = rustix::process::Pid::from_raw(process.pid as i32).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    // The number of src/process.rs.
    let link = rustix::process::pidfd_getfd(pidfd, 4, rustix::process::PidfdGetfdFlags::empty());
    let link = Link::<Out, ()>::from_fd(link.unwrap()).unwrap();
    link.send_with(message, fds).unwrap();
}

#[test]
fn what_a_process_says_wrongly_ends_it_and_nothing_else() {
    let server = Server::with_supervisor();
    let _session = server.background("sleep 100");
    server.find("sleep 100");
    let opened = server.records_of("session.open").pop().unwrap();
    let of = |name: &str| opened[name].clone();
    let cid: ConnectionId = serde_json::from_value(of("cid")).unwrap();
    let sid: SessionId = serde_json::from_value(of("sid")).unwrap();
    let peer = Peer {
        ip: [127, 0, 0, 1].into(),
        port: 1,
    };
    let null: OwnedFd = fs::File::open("/dev/null").unwrap().into();
    let null = null.as_fd();
    let accepted = |cid| FrontToWarden::Accepted { cid, peer };
    let (near, _far) = Link::<WardenToConnection, ()>::pair().unwrap();
    let own = rustix::process::getpid();
    let own = rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()).unwrap();
    let ready = [own.as_fd(), near.as_fd(), near.as_fd(), near.as_fd()];
    let grant = Grant {
        user: "root".to_owned(),
        login: hassio_sshd::model::Login::Password,
        role: "admin".parse().unwrap(),
        config: hassio_sshd::model::ConfigAccess::Absent,
        network: hassio_sshd::model::Network::None,
    };
    let other = server.background("sleep 101");
    server.find("sleep 101");
    let mut all = server.records_of("session.open").into_iter();
    let its = all.find(|record| record["cid"] != opened["cid"]).unwrap();
    let its: ConnectionId = serde_json::from_value(its["cid"].clone()).unwrap();

    type Act<'a> = Box<dyn Fn(&Process) + 'a>;
    let front = |cid, fds: Vec<BorrowedFd<'_>>| {
        let fds: Vec<OwnedFd> = fds
            .iter()
            .map(|fd| fd.try_clone_to_owned().unwrap())
            .collect();
        Box::new(move |process: &Process| {
            let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
            say(process, &accepted(cid), &fds);
        })
    };
    let new = ConnectionId::new;
    let wrong: Vec<(&str, Act<'_>, &str)> = vec![
        ("front", front(new(), vec![]), "with 0 descriptors"),
        (
            "front",
            front(new(), vec![null; 4]),
            "hands over what it may not",
        ),
        (
            "front",
            front(new(), vec![null, near.as_fd(), near.as_fd(), near.as_fd()]),
            "hands over what it may not",
        ),
        (
            "front",
            front(new(), vec![own.as_fd(), near.as_fd(), null, near.as_fd()]),
            "hands over what it may not",
        ),
        (
            "front",
            front(new(), vec![own.as_fd(), near.as_fd(), near.as_fd(), null]),
            "hands over what it may not",
        ),
        ("front", front(cid, ready.to_vec()), "a second time"),
        (
            "keys",
            Box::new(|process| {
                let blob = Vec::new();
                let fingerprint = String::new();
                say(
                    process,
                    &KeysToWarden::HostKey { blob, fingerprint },
                    &[null],
                );
            }),
            "hands over 1 descriptors",
        ),
        (
            "keys",
            Box::new(|process| {
                let grant = grant.clone();
                say(process, &KeysToWarden::Granted { cid: its, grant }, &[]);
            }),
            "a second login",
        ),
        (
            "broker",
            Box::new(|process| say(process, &BrokerToWarden::Closed(sid), &[])),
            "which does not end",
        ),
        (
            "broker",
            Box::new(|process| say(process, &BrokerToWarden::Closed(sid), &[null])),
            "hands over 1 descriptors",
        ),
        (
            "audit-writer",
            Box::new(|process| say(process, &AuditToWarden::Closed(sid), &[null])),
            "hands over 1 descriptors",
        ),
        (
            "audit-writer",
            Box::new(|process| say(process, &"no such message", &[])),
            "says what it may not",
        ),
    ];
    for (role, act, said) in &wrong {
        let all = ["front", "keys", "broker", "audit-writer"];
        let before = all.map(|role| server.role(role).unwrap());
        let process = before
            .iter()
            .zip(all)
            .find(|(_, name)| name == role)
            .unwrap()
            .0;
        let log = server.log().len();
        act(process);
        let what = format!("{role}: {said}");
        eventually(&what, || {
            server.role(role).filter(|after| after.pid != process.pid)
        });
        let log = server.log().split_off(log);
        let line = log.lines().find(|line| line.contains("it is ended"));
        assert!(
            line.is_some_and(|line| line.contains(said)),
            "{what}: {log}"
        );
        within(Duration::from_secs(10), &what, || {
            server.run("true").code() == 0
        });
        for (name, before) in all.iter().zip(&before).filter(|(name, _)| *name != role) {
            let after = server.role(name).map(|after| after.pid);
            assert_eq!(after, Some(before.pid), "{name} after {what}");
        }
        // Settled again: four failures in a row would end the server.
        std::thread::sleep(Duration::from_millis(2100));
    }
    server.find("sleep 100");
    drop(other);
}

#[test]
fn a_broker_that_is_killed_leaves_requested_and_outcome_unknown_on_record() {
    let server = Server::with(Setup {
        supervisor: true,
        log_requests: true,
        ..Setup::default()
    });
    let mut session = server.background("hassio core restart 2>&1; echo code $?");
    // The Supervisor takes a second to answer.
    eventually("the call has arrived", || {
        let requests = fs::read_to_string(server.dir.join("requests")).ok()?;
        requests.contains("/core/restart").then_some(())
    });
    end(&server.role("broker").unwrap());
    let mut said = String::new();
    session.out.read_to_string(&mut said).unwrap();
    assert!(said.contains("code 4"), "{said}");
    let restart =
        |record: &Value| record["d"]["endpoint"] == "core.restart" && record["ok"] == true;
    let requests = server.records_of("api.request");
    let request = requests.iter().find(|record| restart(record)).unwrap();
    let same =
        |record: &Value| record["sid"] == request["sid"] && record["d"]["id"] == request["d"]["id"];
    assert!(!server.records_of("api.response").iter().any(same));
    within(Duration::from_secs(10), "calls work again", || {
        server.run("hassio info").code() == 0
    });
    assert!(!server.records_of("api.response").iter().any(same));
}

#[test]
fn a_connection_that_is_killed_ends_its_session_alone() {
    let server = Server::start();
    let _other = server.background("sleep 101");
    server.find("sleep 101");
    let front = server.role("front").unwrap();
    let others: Vec<u32> = server
        .processes()
        .iter()
        .map(|process| process.pid)
        .collect();
    let _session = server.background("sleep 102");
    let new = server
        .processes()
        .into_iter()
        .find(|process| process.line == front.line && !others.contains(&process.pid))
        .unwrap();
    end(&new);
    within(Duration::from_secs(1), "its session is gone", || {
        !server
            .session_processes()
            .iter()
            .any(|process| process.line == "sleep 102")
    });
    assert!(
        server
            .session_processes()
            .iter()
            .any(|process| process.line == "sleep 101")
    );
}

#[test]
fn each_process_that_stands_still_is_replaced() {
    let server = Server::with_supervisor();
    server.run("true").good();
    let before =
        ["front", "keys", "broker", "audit-writer"].map(|role| (role, server.role(role).unwrap()));
    for (_, process) in &before {
        kill(Pid::from_raw(process.pid as i32), Signal::SIGSTOP).unwrap();
    }
    for (role, process) in &before {
        eventually(role, || {
            server.role(role).filter(|after| after.pid != process.pid)
        });
        let said = format!("{role} has not given a sign of life for 15 s; it is ended");
        assert!(server.log().contains(&said), "{said}");
    }
    server.run("hassio info >/dev/null").good();
}

#[test]
fn a_connection_that_stands_still_loses_its_session_alone() {
    let server = Server::start();
    let others: Vec<u32> = server.processes().iter().map(|other| other.pid).collect();
    let _session = server.background("sleep 100");
    let front = server.role("front").unwrap();
    let program = server.find("sleep 100");
    let all = server.processes();
    let connection = all
        .iter()
        .find(|process| process.line == front.line && !others.contains(&process.pid))
        .unwrap();
    let _other = server.background("sleep 101");
    let other = server.find("sleep 101");
    kill(Pid::from_raw(connection.pid as i32), Signal::SIGSTOP).unwrap();
    eventually("it is ended", || {
        let gone = !Process::lives(connection.pid) && !Process::lives(program.pid);
        gone.then_some(())
    });
    assert!(server.log().contains("has not given a sign of life"));
    assert!(Process::lives(other.pid));
    eventually("its end is on record", || {
        server.records_of("session.close").pop()
    });
    assert_eq!(
        server.records_of("session.close")[0]["d"]["reason"],
        "limit"
    );
}

#[test]
fn a_connection_that_stands_still_does_not_outlive_the_server() {
    let mut server = Server::start();
    let _session = server.background("sleep 100");
    let front = server.role("front").unwrap();
    let program = server.find("sleep 100");
    let all = server.processes();
    let connection = all
        .iter()
        .find(|process| process.line == front.line && process.pid != front.pid)
        .unwrap();
    kill(Pid::from_raw(connection.pid as i32), Signal::SIGSTOP).unwrap();
    server.kill();
    let gone = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        !Process::lives(connection.pid) && !Process::lives(program.pid)
    });
    if !gone {
        // A test that fails leaves nothing behind either.
        end(connection);
    }
    assert!(gone, "it is there, or its session");
}

#[test]
fn a_new_front_counts_the_connections_of_the_one_before() {
    let server = Server::start();
    server.run("true").good();
    let _session = server.background("sleep 100");
    let front = server.role("front").unwrap();
    let connections = || {
        let all = server.processes();
        let fronts = all.iter().filter(|process| process.line == front.line);
        fronts.count() - 1
    };
    let connect = || {
        let stream = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        // It speaks first, once it is there.
        std::io::Read::read_exact(&mut &stream, &mut [0; 4]).unwrap();
        stream
    };
    let mut all: Vec<_> = (0..20).map(|_| connect()).collect();
    assert_eq!(connections(), 21);
    end(&front);
    eventually("it is back", || {
        server.role("front").filter(|after| after.pid != front.pid)
    });
    // 32 may be there that have not logged in (policy/ssh.toml).
    all.extend((0..20).map(|_| connect()));
    within(Duration::from_secs(2), "some made room", || {
        connections() == 33
    });
    let closed = |stream: &std::net::TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let mut bytes = [0; 4096];
        loop {
            match std::io::Read::read(&mut &*stream, &mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    };
    let closed: Vec<bool> = all.iter().map(closed).collect();
    assert_eq!(closed.iter().filter(|closed| **closed).count(), 8);
    server.find("sleep 100");
}

#[test]
fn a_session_whose_init_is_killed_ends_alone() {
    let server = Server::start();
    let _other = server.background("sleep 101");
    server.find("sleep 101");
    let mut session = server.background("sleep 102");
    let victim = server.find("sleep 102");
    let init = server
        .session_processes()
        .into_iter()
        .find(|process| process.uid == victim.uid && process.line == "session-init");
    end(&init.unwrap());
    eventually("the client is told", || session.child.try_wait().unwrap());
    assert!(
        server
            .session_processes()
            .iter()
            .any(|process| process.line == "sleep 101")
    );
}

#[test]
fn stopping_ends_everything_and_says_so_on_record() {
    let mut server = Server::start();
    let _session = server.background("sleep 100");
    let all = server.processes();
    assert!(server.stop().success());
    assert_eq!(logged(&server, "new connections"), 0, "{}", server.log());
    within(Duration::from_secs(2), "all processes are gone", || {
        all.iter().all(|process| !Process::lives(process.pid))
    });
    assert_eq!(server.records_of("server.stop").len(), 1);
    let close = server.records_of("session.close");
    assert_eq!(close[0]["d"]["reason"], "server-stop", "{close:?}");
}

/// How often a text is in the log.
fn logged(server: &Server, text: &str) -> usize {
    server.log().matches(text).count()
}

#[test]
fn the_fourth_failure_in_a_row_ends_the_server() {
    let mut server = Server::start();
    server.run("true").good();
    // A folder that audit cannot use any more.
    let ledger = server.dir.join("data/audit/ledger");
    fs::rename(&ledger, server.dir.join("ledger")).unwrap();
    fs::write(&ledger, "").unwrap();
    end(&server.role("audit-writer").unwrap());
    assert_eq!(server.wait().code(), Some(1), "{}", server.log());
    let says = "audit-writer ended 4 times as soon as it was started";
    assert_eq!(logged(&server, says), 1, "{}", server.log());
    // It has gone on and off four times, and audit has never worked meanwhile.
    assert_eq!(logged(&server, "accepted again"), 0, "{}", server.log());
    assert_eq!(logged(&server, "new connections wait"), 1);
}

#[test]
fn a_host_key_that_will_not_do_ends_the_server_at_once() {
    let garbage = |server: &Server| {
        fs::write(server.dir.join("data/ssh_host_ed25519_key"), "garbage").unwrap();
    };
    let said_once = |server: &Server| {
        assert_eq!(logged(server, "is damaged"), 1, "{}", server.log());
        let says = "keys cannot work with what it has";
        assert_eq!(logged(server, says), 1, "{}", server.log());
        assert_eq!(logged(server, "accepted again"), 0, "{}", server.log());
    };
    let mut server = Server::start();
    server.run("true").good();
    garbage(&server);
    end(&server.role("keys").unwrap());
    assert_eq!(server.wait().code(), Some(1), "{}", server.log());
    said_once(&server);
    let mut server = Server::at(server.into_dir(), Setup::default());
    assert_eq!(server.wait().code(), Some(1), "{}", server.log());
    said_once(&server);
}

#[test]
fn a_full_disk_at_the_start_is_said_once() {
    let server = Server::start();
    let dir = server.dir.join("full");
    for name in ["config", "data"] {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    fs::copy(server.dir.join("options.json"), dir.join("options.json")).unwrap();
    // Its root, the lock and audit's folder: no more can be made there.
    let mut mount = std::process::Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=64k,nr_inodes=3", "tmpfs"]);
    assert!(mount.arg(dir.join("data")).status().unwrap().success());
    let mut command = server_command("serve", &dir);
    command.args(["--listen", "127.0.0.1:0"]);
    let done = finish(command);
    let mut unmount = std::process::Command::new("umount");
    assert!(unmount.arg(dir.join("data")).status().unwrap().success());
    assert_eq!(done.code(), 1, "{done:?}");
    let said = done.stderr.matches("No space left").count();
    assert_eq!((said, done.stderr.lines().count()), (1, 1), "{done:?}");
}

#[test]
fn a_signal_to_all_processes_at_once_is_the_wardens_alone() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Server::with(Setup {
            own_group: true,
            supervisor: true,
            ..Setup::default()
        });
        let mut session = server.background("sleep 100");
        let program = server.find("sleep 100");
        // A session's programs start with default actions.
        let those = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
        let those = those
            .iter()
            .map(|one| 1u64 << (*one as u32 - 1))
            .sum::<u64>();
        for set in ["SigIgn", "SigBlk"] {
            let set = u64::from_str_radix(&program.field(set), 16).unwrap();
            assert_eq!(set & those, 0, "{set:x}");
        }
        server.spare_waits();
        let pids = |server: &Server| -> Vec<u32> {
            let mut pids: Vec<u32> = server.processes().iter().map(|p| p.pid).collect();
            pids.sort_unstable();
            pids
        };
        let before = pids(&server);
        server.signal_group(Signal::SIGHUP);
        server.run("true").good();
        server.spare_waits();
        let after = pids(&server);
        // The login took the spare that was there.
        let gone: Vec<_> = before.iter().filter(|pid| !after.contains(pid)).collect();
        assert!(
            gone.len() <= 1,
            "SIGHUP ended some of {before:?}: {after:?}"
        );
        assert_eq!(session.child.try_wait().unwrap(), None);
        server.signal_group(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal}: {}", server.log());
        for (kind, count) in [("server.stop", 1), ("session.close", 2)] {
            assert_eq!(server.records_of(kind).len(), count, "{signal}: {kind}");
        }
        let mut verify = std::process::Command::new(crate::harness::app().join("hassio-sshd"));
        verify
            .args(["audit", "verify", "--data-dir"])
            .arg(server.dir.join("data"));
        assert_eq!(crate::harness::finish(verify).code(), 0, "{signal}");
    }
}

#[test]
fn a_host_key_that_is_replaced_or_gone_ends_the_server() {
    let fingerprint = |key: &std::path::Path| {
        let mut keygen = std::process::Command::new("ssh-keygen");
        keygen.args(["-lf"]).arg(key);
        let line = finish(keygen).good().to_owned();
        line.split(' ').nth(1).unwrap().to_owned()
    };
    for replaced in [true, false] {
        let mut server = Server::start();
        let _session = server.background("sleep 100");
        let key = server.dir.join("data/ssh_host_ed25519_key");
        let known = fingerprint(&key);
        fs::remove_file(&key).unwrap();
        let said = if replaced {
            let new = server.dir.join("new");
            make_key(&new, "ed25519", &[]);
            fs::copy(&new, &key).unwrap();
            std::os::unix::fs::chown(&key, Some(0), Some(0)).unwrap();
            let found = fingerprint(&key);
            format!("the host key was replaced while the server ran: it was {known} and is {found}")
        } else {
            "is not there any more: put it back, or restart the server for a new one".to_owned()
        };
        end(&server.role("keys").unwrap());
        assert_eq!(server.wait().code(), Some(1));
        let log = server.log();
        assert_eq!(log.matches(&said).count(), 1, "{said}");
        assert_eq!(log.matches("the host key is SHA256:").count(), 1);
        assert_eq!(key.exists(), replaced, "none is made at a restart");
        let stop = server.records_of("server.stop").pop().unwrap();
        let reason = stop["d"]["reason"].as_str().unwrap();
        let expected = if replaced { &said } else { "keys cannot work" };
        assert!(reason.starts_with(expected), "{reason}");
        let close = server.records_of("session.close").pop().unwrap();
        assert_eq!(close["d"]["reason"], "server-stop");
    }
}

#[test]
fn a_role_cannot_be_started_by_hand() {
    let mut command = std::process::Command::new(crate::harness::app().join("hassio-sshd"));
    command.arg("keys");
    let done = crate::harness::finish(command);
    assert_eq!(done.code(), 2);
    assert!(
        done.stderr.contains("started by the server itself"),
        "{done:?}"
    );
}
