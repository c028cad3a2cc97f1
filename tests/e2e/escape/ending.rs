//! The end of a session, and of the server.

use super::*;

#[test]
fn p39_nothing_outlives_the_logout() {
    let server = Server::start();
    let line = "trap '' HUP TERM INT; nohup sleep 1001 >/dev/null 2>&1 & setsid sleep 1002 >/dev/null 2>&1 </dev/null & \
                (trap '' HUP TERM INT QUIT; exec sleep 1003 >/dev/null 2>&1) & sleep 0.2; exit 0";
    server.run(line).good();
    within(Duration::from_secs(1), "all are gone", || {
        server.session_processes().is_empty()
    });
    let done = server.type_in("nohup sleep 1001 & setsid sleep 1002 &\nsleep 0.2; exit\n");
    assert_eq!(done.code(), 0, "{done:?}");
    within(Duration::from_secs(1), "all are gone", || {
        server.session_processes().is_empty()
    });
}

#[test]
fn p40_nothing_outlives_a_client_that_vanishes() {
    let server = Server::start();
    let mut session = server.background("sleep 1000");
    session.child.kill().unwrap();
    within(Duration::from_secs(2), "all are gone", || {
        server.session_processes().is_empty()
    });
}

#[test]
fn p40_nothing_outlives_a_client_that_falls_silent() {
    let server = Server::start();
    let session = server.background("sleep 1000");
    let client = nix::unistd::Pid::from_raw(session.child.id() as i32);
    // Its kernel goes on acknowledging.
    nix::sys::signal::kill(client, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let since = Instant::now();
    // policy/ssh.toml: two keepalives of 30 s, and the one that finds none answered.
    within(Duration::from_secs(100), "all are gone", || {
        server.session_processes().is_empty()
    });
    assert!(
        since.elapsed() > Duration::from_secs(60),
        "{:?}",
        since.elapsed()
    );
}

#[test]
fn p41_nothing_outlives_the_servers_crash_and_the_next_start_cleans_up() {
    let mut server = Server::start();
    let _session = server.background("nohup setsid sleep 1000 & sleep 1000");
    let all = server.processes();
    assert!(all.len() > 6, "{all:#?}");
    server.kill();
    within(Duration::from_secs(3), "all processes are gone", || {
        all.iter()
            .all(|process| !crate::harness::Process::lives(process.pid))
    });
    let dir = std::mem::take(&mut server.dir);
    let server = Server::at(dir, Setup::default());
    server.run("true").good();
    within(
        Duration::from_secs(5),
        "one session's groups at most",
        || session_groups(&server).is_empty(),
    );
}

/// The control groups of a server's sessions, without that of its spare.
fn session_groups(server: &Server) -> Vec<String> {
    let spare = server.spare().map(|spare| {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", spare.pid)).unwrap_or_default();
        let own = groups.lines().find(|line| line.contains("hassio-sshd-"));
        let mut parts = own.unwrap_or_default().rsplit('/').map(str::to_owned);
        (parts.next().unwrap_or_default(), parts.next())
    });
    // Groups of servers that were killed are left, and the kernel gives their numbers to others: only our own parent counts.
    let parent = spare.as_ref().and_then(|(_, parent)| parent.clone());
    let own = fs::read_to_string(format!("/proc/{}/root/proc/self/cgroup", server.pid()))
        .unwrap_or_default();
    assert!(!own.is_empty());
    let mut found = Vec::new();
    for controller in ["pids", "memory", ""] {
        let top = if controller.is_empty() {
            "/sys/fs/cgroup".into()
        } else {
            format!("/sys/fs/cgroup/{controller}")
        };
        for entry in fs::read_dir(top).into_iter().flatten().flatten() {
            let folder = entry.file_name().to_string_lossy().into_owned();
            let ours = parent.as_ref().is_none_or(|parent| *parent == folder);
            if ours && folder.starts_with("hassio-sshd-") {
                for group in fs::read_dir(entry.path())
                    .into_iter()
                    .flatten()
                    .flatten()
                    .filter(|group| group.path().is_dir())
                {
                    let name = group.file_name().to_string_lossy().into_owned();
                    if name.starts_with(&format!("{}-", server.pid()))
                        && spare.as_ref().map(|(name, _)| name) != Some(&name)
                    {
                        found.push(name);
                    }
                }
            }
        }
    }
    found
}

#[test]
fn p42_the_end_is_reported_truly_and_after_all_output() {
    let server = Server::start();
    assert_eq!(server.run("exit 7").code(), 7);
    // OpenSSH's client prints what the exit-signal was and ends with 255.
    let mut ssh = server.talking_ssh();
    ssh.args(["root@127.0.0.1", "--", "kill -TERM $$"]);
    let done = finish(ssh);
    assert_eq!(done.code(), 255, "{done:?}");
    for round in 0..20 {
        let done = server.run("head -c 300000 /dev/zero; exit 5");
        assert_eq!(
            (done.code(), done.stdout.len()),
            (5, 300_000),
            "round {round}"
        );
    }
    for round in 0..5 {
        let done =
            server.type_in("stty -echo -opost; PS1=; seq 20000 | tail -n 1; seq 20000; exit 6\n");
        assert_eq!(done.code(), 6, "{round}");
        assert!(
            done.stdout.contains("19999\n20000\n"),
            "the terminal's last output is missing in round {round}"
        );
    }
}

#[test]
fn p43_a_thousand_sessions_leave_nothing() {
    let server = Server::start();
    let mount_count = || {
        fs::read_to_string(format!("/proc/{}/mountinfo", server.pid()))
            .unwrap()
            .lines()
            .count()
    };
    let fd_count = || {
        fs::read_dir(format!("/proc/{}/fd", server.pid()))
            .unwrap()
            .count()
    };
    let memory = || {
        let process = crate::harness::Process::read(server.pid()).unwrap();
        process
            .field("VmRSS")
            .split(' ')
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let many = |count: u32| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let mut ssh = server.ssh();
                ssh.args(["root@127.0.0.1", "--", "true"]);
                let line: Vec<String> = std::iter::once("ssh".to_owned())
                    .chain(ssh.get_args().map(|word| word.to_str().unwrap().to_owned()))
                    .collect();
                let script = format!(
                    "i=0; while [ $i -lt {} ]; do {} || exit 1; i=$((i+1)); done",
                    count / 4,
                    line.join(" ")
                );
                let mut command = server.client("sh");
                command.args(["-c", &script]);
                command.spawn().unwrap()
            })
            .collect();
        for mut worker in workers {
            assert!(worker.wait().unwrap().success());
        }
        // Nobody looks at the time: a disk that is slow to sync delays the ends of many sessions at once.
        eventually("all are gone", || {
            let gone = server.session_processes().is_empty() && session_groups(&server).is_empty();
            gone.then_some(())
        });
    };
    // Every slot's namespaces are made once.
    many(100);
    server.spare_waits();
    let before = (mount_count(), fd_count(), memory());
    many(900);
    server.spare_waits();
    let after = (mount_count(), fd_count(), memory());
    assert_eq!(before.0, after.0);
    assert!(after.1 <= before.1, "{before:?} {after:?}");
    assert!(after.2 <= before.2 + 1024, "KiB: {before:?} {after:?}");
}
