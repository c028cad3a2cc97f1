//! Layers that another one hides from the tests of what a session can do: each is looked for by itself, so that it cannot
//! be lost unnoticed.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hassio_sshd::policy::sandbox::Sandbox;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Process, Server, eventually, have, within};

fn pid(process: &Process) -> Pid {
    Pid::from_raw(process.pid.try_into().unwrap())
}

#[test]
fn every_mask_in_proc_is_in_force() {
    let server = Server::start();
    let proc = Sandbox::shipped().unwrap().proc;
    let there = |name: &&String| fs::symlink_metadata(format!("/proc/{name}")).is_ok();
    for name in proc.null.iter().filter(there) {
        let done = server.run(&format!("stat -c %F /proc/{name}"));
        assert_eq!(done.good(), "character special file", "{name}");
    }
    for name in proc.empty.iter().filter(there) {
        assert_eq!(
            server.run(&format!("ls -A /proc/{name}")).good(),
            "",
            "{name}"
        );
    }
    let done = server.run("cat /proc/self/mountinfo");
    for name in proc.read_only.iter().filter(there) {
        let options = options(done.good(), &format!("/proc/{name}"));
        assert!(options.starts_with("ro,"), "{name}: {options}");
    }
}

/// Of the mount at `path`.
fn options(mountinfo: &str, path: &str) -> String {
    let at = |line: &&str| line.split(' ').nth(4) == Some(path);
    let line = mountinfo.lines().rfind(at);
    let line = line.unwrap_or_else(|| panic!("no mount at {path}: {mountinfo}"));
    line.split(' ').nth(5).unwrap().to_owned()
}

#[test]
fn all_of_the_image_is_mounted_read_only_nosuid_nodev() {
    let server = Server::start();
    let done = server.run("cat /proc/self/mountinfo");
    let own = ["/", "/proc", "/config", "/tmp", "/root", "/run", "/dev"];
    let mut count = 0;
    for line in done.good().lines() {
        let at = line.split(' ').nth(4).unwrap();
        let below = |own: &str| own != "/" && at.starts_with(&format!("{own}/"));
        if own.iter().any(|own| at == *own || below(own)) {
            continue;
        }
        let options = line.split(' ').nth(5).unwrap();
        assert!(options.starts_with("ro,nosuid,nodev"), "{line}");
        count += 1;
    }
    assert!(count > 3, "{done:?}");
    assert!(options(done.good(), "/").starts_with("ro,nosuid,nodev"));
}

#[test]
fn the_servers_own_view_of_config_has_no_set_id_and_no_devices() {
    let server = Server::start();
    server.run("true").good();
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", server.pid())).unwrap();
    let config = fs::canonicalize(server.dir.join("config")).unwrap();
    let options = options(&mounts, config.to_str().unwrap());
    assert!(options.contains("nosuid,nodev"), "{options}");
}

#[test]
fn every_limit_of_the_policy_is_on_each_program() {
    let server = Server::start();
    let limits = Sandbox::shipped().unwrap().limits;
    let done = server.run("cat /proc/self/limits; cat /proc/self/oom_score_adj");
    for (name, value) in [
        ("Max processes", limits.processes),
        ("Max open files", limits.open_files),
        ("Max core file size", 1),
        ("Max locked memory", limits.locked_memory.0),
        ("Max msgqueue size", 0),
        ("Max pending signals", limits.pending_signals),
        ("Max nice priority", 0),
        ("Max realtime priority", 0),
    ] {
        let line = done.good().lines().find(|line| line.starts_with(name));
        let words: Vec<&str> = line.unwrap()[name.len()..].split_whitespace().collect();
        let value = value.to_string();
        assert_eq!(words[..2], [&value, &value], "{name}");
    }
    assert_eq!(done.good().lines().last(), Some("1000"), "the first to go");
}

#[test]
fn a_terminal_is_no_way_to_other_terminals() {
    let server = Server::start();
    // TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD: into input, the console's functions, its output, and line disciplines.
    let line = "python3 - <<'E'\nimport fcntl,os,pty\nm,s=pty.openpty()\n\
        for n in (0x5412,0x541c,0x541d,0x5423):\n  \
        try: fcntl.ioctl(s,n,b'\\1\\0\\0\\0\\0\\0\\0\\0'); print(hex(n))\n  \
        except OSError as e: assert e.errno==1,(hex(n),e)\nE";
    assert_eq!(server.run(line).good(), "");
}

#[test]
fn a_stopped_init_ends_with_the_server_too() {
    let mut server = Server::start();
    let _session = server.background("sleep 1000");
    let init = server.find("session-init");
    kill(pid(&init), Signal::SIGSTOP).unwrap();
    server.kill();
    within(Duration::from_secs(3), "it is gone", || {
        !Process::lives(init.pid)
    });
}

#[test]
fn a_connection_that_hangs_before_its_login_is_ended_at_the_limit() {
    let server = Server::start();
    let _silent = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let connection = eventually("a connection process", || {
        let front = server.role("front")?.pid;
        let mut all = server.processes().into_iter();
        all.find(|process| process.line.ends_with("front") && process.pid != front)
    });
    kill(pid(&connection), Signal::SIGSTOP).unwrap();
    let since = Instant::now();
    within(Duration::from_secs(40), "it is ended", || {
        !Process::lives(connection.pid)
    });
    assert!(
        since.elapsed() > Duration::from_secs(20),
        "{:?}",
        since.elapsed()
    );
}

#[test]
fn what_is_confirmed_is_synced_before() {
    if !have("strace") {
        return;
    }
    let server = Server::start();
    server.run("true").good();
    let audit = server.role("audit-writer").unwrap();
    let trace = server.dir.join("trace");
    let mut strace = Command::new("strace")
        .args([
            "-q",
            "-s",
            "65536",
            "-e",
            "trace=write,writev,pwrite64,fdatasync,fsync,sendmsg",
            "-o",
        ])
        .arg(&trace)
        .args(["-p", &audit.pid.to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("it is traced", || {
        let process = Process::read(audit.pid)?;
        (process.field("TracerPid") != "0").then_some(())
    });
    server.run("true").good();
    let text = eventually("the end of the second is written and confirmed", || {
        let text = fs::read_to_string(&trace).unwrap();
        let (_, after) = text.rsplit_once("session.close")?;
        let closed = server.records_of("session.close").len() == 2;
        (closed && after.contains("\nsendmsg(")).then_some(text)
    });
    kill(
        Pid::from_raw(strace.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    strace.wait().unwrap();
    // Whatever audit says, it says of what was written before: opened, durable, closed.
    let mut unsynced = std::collections::BTreeSet::new();
    let (mut writes, mut syncs, mut words) = (0, 0, 0);
    let hasty = [
        r#"\"type\":\"session.open\""#,
        r#"\"type\":\"session.close\""#,
        r#"\"type\":\"auth.attempt\""#,
    ];
    for line in text.lines() {
        let Some((call, rest)) = line.split_once('(') else {
            continue;
        };
        let file = rest.split([',', ')']).next().unwrap_or_default().to_owned();
        match call {
            "sendmsg" => {
                words += 1;
                assert!(
                    unsynced.is_empty(),
                    "said before {unsynced:?} was synced: {text}"
                );
            }
            "fdatasync" | "fsync" => {
                syncs += 1;
                unsynced.remove(&file);
            }
            // The log.
            _ if file == "2" => {}
            _ if hasty.iter().any(|record| line.contains(record)) => {
                unsynced.insert(file);
                writes += 1;
            }
            _ => {}
        }
    }
    assert!(
        writes >= 3 && syncs >= 3 && words >= 2,
        "{writes} writes, {syncs} syncs, {words} messages: {text}"
    );
}
