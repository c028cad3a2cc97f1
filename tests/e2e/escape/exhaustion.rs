//! What a session can use up.

use super::*;

#[test]
fn p32_a_fork_bomb_stays_in_its_session() {
    let server = Server::start();
    let bomb = server.background(":(){ :|:& };:; wait");
    eventually("the bomb has grown", || {
        (server.session_processes().len() > 100).then_some(())
    });
    let since = Instant::now();
    server.run("ls /").good();
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
    drop(bomb);
    within(
        Duration::from_secs(5),
        "nothing of the bomb is left",
        || server.session_processes().is_empty(),
    );
}

#[test]
fn p33_memory_without_end_ends_its_program_alone() {
    let server = Server::start();
    let _other = server.background("sleep 100");
    server.find("sleep 100");
    let done = server.run(&python(
        "import sys; b=[]\nwhile True: b.append(bytearray(1<<22))",
    ));
    assert_ne!(done.code(), 0);
    assert_eq!(
        server
            .session_processes()
            .iter()
            .filter(|process| process.line == "sleep 100")
            .count(),
        1
    );
    server.run("true").good();
}

#[test]
fn names_are_looked_up_as_outside_at_the_moment_of_the_login() {
    let dir = folder();
    let etc = dir.join("etc");
    let mut copy = Command::new("cp");
    copy.arg("-a").arg("/etc").arg(&etc);
    finish(copy).good();
    // As systemd-resolved does it: a link to a place that sessions do not see.
    let stub = dir.join("stub-resolv.conf");
    fs::write(&stub, "nameserver 192.0.2.1\n").unwrap();
    fs::remove_file(etc.join("resolv.conf")).ok();
    symlink(&stub, etc.join("resolv.conf")).unwrap();
    fs::write(etc.join("hosts"), "192.0.2.7 first.example\n").unwrap();
    let server = Server::at(
        dir,
        Setup {
            etc: Some(etc.clone()),
            ..Setup::default()
        },
    );
    server.spare_waits();
    let seen = |server: &Server| {
        let done = server
            .run("cat /etc/resolv.conf /etc/hosts; getent hosts first.example second.example");
        done.stdout
    };
    let first = seen(&server);
    assert!(
        first.starts_with("nameserver 192.0.2.1\n192.0.2.7 first.example\n"),
        "{first}"
    );
    assert!(
        first.ends_with("192.0.2.7       first.example\n"),
        "{first}"
    );

    // Both are replaced while the next sandbox waits.
    server.spare_waits();
    for (name, text) in [
        ("resolv.conf", "nameserver 192.0.2.2\n"),
        ("hosts", "192.0.2.8 second.example\n"),
    ] {
        fs::write(etc.join("new"), text).unwrap();
        fs::rename(etc.join("new"), etc.join(name)).unwrap();
    }
    let second = seen(&server);
    assert!(
        second.starts_with("nameserver 192.0.2.2\n192.0.2.8 second.example\n"),
        "{second}"
    );
    assert!(
        second.ends_with("192.0.2.8       second.example\n"),
        "{second}"
    );

    for file in ["/etc/hosts", "/etc/resolv.conf", "/opt/hassio/etc/new"] {
        let done = refused(&server, &format!("echo x > {file}"));
        assert!(done.stderr.contains("Read-only file system"), "{done:?}");
    }
    fs::remove_file(etc.join("hosts")).unwrap();
    assert_eq!(
        server.run("cat /etc/resolv.conf").good(),
        "nameserver 192.0.2.2"
    );
    refused(&server, "cat /etc/hosts");
}

#[test]
fn a_session_is_in_a_group_with_limits_of_its_own() {
    let server = Server::start();
    let _session = server.background("sleep 100");
    let pid = server.find("sleep 100").pid;
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let in_force = server.log().contains("in force: control groups: version");
    assert!(
        in_force || std::env::var_os("REQUIRE_ALL").is_none(),
        "no control groups here"
    );
    for controller in ["pids", "memory"].into_iter().filter(|_| in_force) {
        let named = format!(":{controller}:/");
        let group = groups.lines().find(|line| {
            line.contains(&named) || line.starts_with("0::/") && !groups.contains(&named)
        });
        let name = format!("/{}-", server.pid());
        assert!(
            group.is_some_and(|group| group.contains("hassio-sshd-") && group.contains(&name)),
            "{groups}"
        );
        // And all sessions together.
        let path = group.unwrap().rsplit(':').next().unwrap();
        let all = Path::new(path).parent().unwrap().display().to_string();
        let files = [
            format!("/sys/fs/cgroup/{controller}{all}/{controller}.max"),
            format!("/sys/fs/cgroup/{controller}{all}/{controller}.limit_in_bytes"),
            format!("/sys/fs/cgroup{all}/{controller}.max"),
        ];
        let limit = files.iter().find_map(|file| fs::read_to_string(file).ok());
        let limit: u64 = limit.unwrap().trim().parse().unwrap();
        let most = match controller {
            "pids" => 4096,
            _ => memory_of_machine() / 100 * 60,
        };
        assert!(limit <= most, "{controller} of all sessions: {limit}");
    }
}

#[test]
fn a_session_has_a_share_of_the_processors_that_is_small_beside_the_servers() {
    let server = Server::start();
    let _session = server.background("sleep 100");
    let pid = server.find("sleep 100").pid;
    let log = server.log();
    let version = ["version 1", "version 2"].into_iter().find(|version| {
        log.contains(&format!(
            "control groups: {version}: processes, memory, cpu"
        ))
    });
    let Some(version) = version else {
        assert!(std::env::var_os("REQUIRE_ALL").is_none(), "no cpu here");
        assert!(
            log.contains("not in force: no control group for cpu"),
            "{log}"
        );
        println!("NOT TRIED: there is no control group for cpu");
        return;
    };
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let line = groups.lines().find(|line| {
        let controllers = line.split(':').nth(1).unwrap();
        match version {
            "version 1" => controllers.split(',').any(|name| name == "cpu"),
            _ => controllers.is_empty(),
        }
    });
    let own = Path::new(line.unwrap().splitn(3, ':').nth(2).unwrap());
    let (place, file, usual) = match version {
        "version 1" => ("/sys/fs/cgroup/cpu", "cpu.shares", 1024),
        _ => ("/sys/fs/cgroup", "cpu.weight", 100),
    };
    let value = |group: &Path| {
        let text = fs::read_to_string(format!("{place}{}/{file}", group.display())).unwrap();
        text.trim().parse::<u64>().unwrap()
    };
    assert_eq!(value(own), usual);
    assert_eq!(value(own.parent().unwrap()), usual * 20 / 100);
    // The server is beside that group, not in it.
    let servers = fs::read_to_string(format!("/proc/{}/cgroup", server.pid())).unwrap();
    assert!(!servers.contains("hassio-sshd-"), "{servers}");
}

#[test]
fn busy_loops_in_a_session_leave_others_and_logins_their_time() {
    let server = Server::start();
    // A login, and something to do in it.
    let took = || {
        let since = Instant::now();
        let work = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        server.run(work).good();
        since.elapsed()
    };
    let quiet = took();
    // Each in a terminal session of its own: to the kernel's grouping by those they are a hundred parties.
    let loops = "for i in $(seq 100); do setsid sh -c 'while :; do :; done' & done; echo all; wait";
    let mut busy = server.background(loops);
    let mut word = [0; 4];
    busy.out.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"all\n");
    let crowded = took();
    println!("{quiet:?} without, {crowded:?} with them");
    // Half of the time is the other session's.
    assert!(
        crowded < quiet * 6 + Duration::from_secs(1),
        "{crowded:?}, {quiet:?} without"
    );
}

#[test]
fn a_session_lets_the_server_go_first_and_cannot_take_that_back() {
    let server = Server::start();
    assert_eq!(server.run("nice").good(), "5");
    let done = server.run("renice -n 0 -p $$; nice -n -5 nice");
    assert!(done.stderr.contains("Permission denied"), "{done:?}");
    assert_eq!(done.stdout.lines().last(), Some("5"), "{done:?}");
}

/// In bytes.
fn memory_of_machine() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap();
    let total = info.lines().next().unwrap();
    total
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

#[test]
fn p34_tmp_has_an_end() {
    let server = Server::start();
    let done = server.run("head -c 2G /dev/zero > /tmp/f; stat -c %s /tmp/f");
    assert!(done.stderr.contains("No space left"), "{done:?}");
    assert!(done.stdout.trim().parse::<u64>().unwrap() <= 256 << 20);
    let done =
        server.run("i=0; while [ $i -lt 20000 ] && : > /tmp/$i; do i=$((i+1)); done; echo $i");
    assert!(done.good().parse::<u64>().unwrap() < 17_000, "{done:?}");
}

#[test]
fn p35_no_core_files() {
    let server = Server::start();
    assert_eq!(
        server
            .run("ulimit -c; ulimit -c 100 2>/dev/null; ulimit -c")
            .good(),
        "0\n0"
    );
}
