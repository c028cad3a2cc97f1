//! How the server begins and ends.

use super::*;

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
