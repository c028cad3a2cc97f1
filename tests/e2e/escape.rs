//! What a session must not be able to do, tried from inside through a real client. The numbers are the claims' in
//! docs/sandbox.md.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Done, Server, Setup, eventually, feed, finish, folder, have, within};

/// `line` must fail, whatever its reason.
#[track_caller]
fn refused(server: &Server, line: &str) -> Done {
    let done = server.run(line);
    assert_ne!(done.code(), 0, "{line} was not refused: {done:?}");
    assert_ne!(done.code(), 255, "the session ended: {done:?}");
    done
}

/// A line of Python in a session; the image of these tests has it.
fn python(line: &str) -> String {
    format!("python3 -c '{line}'")
}

// Identity and capabilities.

#[test]
fn p01_uid_and_gid_are_0_and_there_is_no_other_group() {
    let server = Server::start();
    assert_eq!(server.run("id -u; id -g; id -G").good(), "0\n0\n0");
}

#[test]
fn p02_all_capability_sets_are_empty_also_in_children() {
    let server = Server::start();
    let line =
        "cat /proc/self/status; sh -c 'cat /proc/self/status; true'; exec cat /proc/self/status";
    let done = server.run(line);
    let sets: Vec<&str> = done
        .good()
        .lines()
        .filter(|line| line.starts_with("Cap"))
        .collect();
    assert_eq!(sets.len(), 15);
    assert!(
        sets.iter().all(|line| line.ends_with("0000000000000000")),
        "{sets:?}"
    );
}

#[test]
fn p03_no_new_privileges_and_a_filter_are_in_force() {
    let server = Server::start();
    let done = server.run("grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status");
    assert_eq!(
        done.good().split_whitespace().collect::<Vec<_>>(),
        ["NoNewPrivs:", "1", "Seccomp:", "2"]
    );
}

#[test]
fn p04_files_cannot_be_given_away() {
    let server = Server::start();
    server.run("touch /config/f").good();
    refused(&server, "chown 1000 /config/f");
    refused(&server, "chgrp 1000 /config/f");
    assert_eq!(fs::metadata(server.config("f")).unwrap().uid(), 0);
}

#[test]
fn p05_sessions_run_under_unprivileged_uids_of_their_own() {
    let server = Server::start();
    let _one = server.background("sleep 100");
    let _two = server.background("sleep 100");
    let uids = eventually("both run", || {
        let all = server.session_processes();
        let mut uids: Vec<u32> = all
            .iter()
            .filter(|process| process.line == "sleep 100")
            .map(|process| process.uid)
            .collect();
        uids.sort_unstable();
        (uids.len() == 2).then_some(uids)
    });
    assert_ne!(uids[0], uids[1]);
    let roots = || {
        let all = server.processes().into_iter();
        let mut names: Vec<String> = all
            .filter(|process| process.uid == 0)
            .map(|process| process.field("Name"))
            .collect();
        names.sort();
        names
    };
    within(
        Duration::from_secs(5),
        "only the warden and its spare are root",
        || roots() == ["hassio-sshd", "session-spare"],
    );
}

// Files.

#[test]
fn p06_config_can_be_worked_in() {
    let server = Server::start();
    server.run("touch /config/f && mkdir /config/d && mv /config/f /config/d/ && rm -r /config/d && ls /homeassistant").good();
}

#[test]
fn p07_what_a_session_makes_belongs_to_root_on_disk() {
    let server = Server::start();
    server
        .run("cd /config; touch f; mkdir d; ln -s f l; mkfifo p")
        .good();
    for (name, mode) in [
        ("f", 0o100_644),
        ("d", 0o040_755),
        ("l", 0o120_777),
        ("p", 0o010_644),
    ] {
        let found = fs::symlink_metadata(server.config(name)).unwrap();
        assert_eq!(
            (found.uid(), found.gid(), found.mode()),
            (0, 0, mode),
            "{name}"
        );
    }
}

#[test]
fn p08_others_files_are_theirs() {
    let server = Server::with(Setup {
        config: |config| {
            for (name, mode) in [("open", 0o666), ("closed", 0o600)] {
                let path = config.join(name);
                fs::write(&path, "theirs\n").unwrap();
                std::os::unix::fs::chown(&path, Some(1000), Some(1000)).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
        },
        ..Setup::default()
    });
    refused(&server, "cat /config/closed");
    server.run("echo mine >> /config/open").good();
    assert_eq!(
        fs::read_to_string(server.config("open")).unwrap(),
        "theirs\nmine\n"
    );
    assert_eq!(fs::metadata(server.config("open")).unwrap().uid(), 1000);
    server.run("rm /config/open").good();
    assert!(!server.config("open").exists());
}

#[test]
fn p09_nothing_else_can_be_written() {
    let server = Server::start();
    for place in [
        "/",
        "/usr",
        "/usr/bin",
        "/usr/local",
        "/etc",
        "/var/lib",
        "/opt",
        "/srv",
        "/dev",
        "/run",
        "/proc",
        "/opt/hassio/bin",
    ] {
        refused(&server, &format!("touch {place}/x"));
    }
}

#[test]
fn p10_tmp_is_private_to_a_session() {
    let server = Server::start();
    let one = server.background("touch /tmp/f /root/f /dev/shm/f; echo > /config/made; sleep 100");
    eventually("the file is made", || {
        server.config("made").exists().then_some(())
    });
    assert_eq!(
        server
            .run("ls -A /tmp /dev/shm; ls -A /root | grep -v ssh")
            .stdout
            .replace(['\n'], " ")
            .trim(),
        "/dev/shm:  /tmp:"
    );
    drop(one);
    assert_eq!(server.run("cat /tmp/f").code(), 1);
}

#[test]
fn p11_the_apps_own_folders_are_not_there() {
    let server = Server::start();
    for folder in [
        "/data",
        "/ssl",
        "/backup",
        "/addons",
        "/homeassistant_config",
        "/addon_configs",
    ] {
        refused(&server, &format!("ls {folder}/"));
    }
}

#[test]
fn p11_shared_folders_are_read_only_and_only_where_the_options_give_them() {
    assert!(Path::new("/media").is_dir(), "this machine has no /media");
    let with = |folders: &[&str]| {
        Server::with(Setup {
            options: json!({ "folders": folders }),
            ..Setup::default()
        })
    };
    let server = with(&["media"]);
    let done = refused(&server, "touch /media/x");
    assert!(done.stderr.contains("Read-only file system"), "{done:?}");
    let mounts = server.run("cat /proc/self/mountinfo");
    let media = mounts.good().lines().find(|line| line.contains(" /media "));
    let options = media.unwrap().split(' ').nth(5).unwrap();
    assert!(options.starts_with("ro,nosuid,nodev"), "{options}");
    drop(server);
    refused(&with(&[]), "ls /media");
}

#[test]
fn p12_writable_mounts_are_nosuid_nodev_and_links_lead_nowhere() {
    let server = Server::with(Setup {
        config: |config| {
            symlink("/data", config.join("data")).unwrap();
            symlink("/proc/1/root", config.join("root")).unwrap();
            symlink("/etc/shadow", config.join("secrets.yaml")).unwrap();
        },
        ..Setup::default()
    });
    let done = server.run("cat /proc/self/mountinfo");
    for place in ["/config", "/tmp", "/root", "/dev/shm"] {
        let line = done
            .good()
            .lines()
            .find(|line| line.split(' ').nth(4) == Some(place))
            .unwrap();
        let options = line.split(' ').nth(5).unwrap();
        assert!(
            options.contains("nosuid") && options.contains("nodev"),
            "{line}"
        );
    }
    refused(&server, "ls /config/data/");
    refused(&server, "cat /config/secrets.yaml");
    // Inside, /proc/1 is the session's own init, which cannot be looked into.
    refused(&server, "ls /config/root/");
}

// Mounts.

#[test]
fn p13_nothing_can_be_mounted() {
    let server = Server::start();
    for line in [
        "mount -t tmpfs x /tmp",
        "mount --bind /config /usr",
        "mount -t proc p /tmp",
        "mount -t tmpfs x /config",
    ] {
        refused(&server, line);
    }
}

#[test]
fn p14_nothing_can_be_remounted_or_unmounted() {
    let server = Server::start();
    for line in [
        "mount -o remount,rw /",
        "umount -l /proc",
        "umount /config",
        "mount -o remount,suid /config",
    ] {
        refused(&server, line);
    }
}

#[test]
fn p15_the_root_cannot_be_changed() {
    let server = Server::start();
    for call in [
        "155, b\".\", b\".\"",
        "161, b\"/config\"",
        "429, -1, b\"\", 0",
        "165, b\"x\", b\"/tmp\", b\"tmpfs\", 0, 0",
    ] {
        let line = python(&format!(
            "import ctypes,os; l=ctypes.CDLL(None,use_errno=True); r=l.syscall({call}); print(r, ctypes.get_errno())"
        ));
        assert_eq!(server.run(&line).good(), "-1 1", "{call}");
    }
}

#[test]
fn p16_only_the_designed_mounts_are_there() {
    let server = Server::start();
    let done = server.run("cut -d' ' -f5 /proc/self/mountinfo");
    for at in done.good().lines() {
        let known = [
            "/",
            "/config",
            "/tmp",
            "/root",
            "/run",
            "/proc",
            "/opt/hassio/bin/hassio",
            "/opt/hassio/etc",
            "/root/.ssh/authorized_keys",
            "/share",
            "/media",
        ]
        .contains(&at)
            || ["/usr", "/bin", "/sbin", "/lib", "/etc/", "/dev/", "/proc/"]
                .iter()
                .any(|prefix| at.starts_with(prefix));
        assert!(known, "{at}");
    }
    assert!(
        !server
            .run("cat /proc/self/mountinfo")
            .good()
            .contains("/data")
    );
}

// Devices.

#[test]
fn p17_dev_holds_the_designs_list() {
    let server = Server::start();
    let expected =
        "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero";
    assert_eq!(server.run("LC_ALL=C ls /dev").good(), expected);
}

#[test]
fn p18_devices_behave() {
    let server = Server::start();
    let done = server.run("echo x > /dev/null && head -c8 /dev/urandom | wc -c && head -c4 /dev/zero | od -An -tx1; echo x > /dev/full");
    assert!(done.stdout.starts_with("8\n 00 00 00 00"), "{done:?}");
    assert!(done.stderr.contains("No space left"), "{done:?}");
}

#[test]
fn p19_no_device_can_be_made() {
    let server = Server::start();
    refused(&server, "mknod /tmp/sda b 8 0");
    refused(&server, "mknod /tmp/mem c 1 1");
    refused(&server, "mknod /config/sda b 8 0");
}

#[test]
fn p20_a_terminal_is_one() {
    let server = Server::start();
    let done = server.type_in(
        "tty; ls -l $(tty) | cut -c1; stty size; script -qc tty /dev/null; echo $SSH_TTY; exit\n",
    );
    assert!(done.stdout.contains("/dev/pts/0\r\nc\r\n"), "{done:?}");
    assert!(
        done.stdout.contains("/dev/pts/1\r\n"),
        "no further terminal: {done:?}"
    );
    // Ctrl-C ends the foreground program, Ctrl-Z stops it: job control.
    let mut ssh = server.ssh();
    ssh.args(["-tt", "root@127.0.0.1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = ssh.spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let screen = child.stdout.take().unwrap();
    let (lines, heard) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        use std::io::BufRead;
        for line in std::io::BufReader::new(screen)
            .lines()
            .map_while(Result::ok)
        {
            lines.send(line).ok();
        }
    });
    let mut say = |text: &str| std::io::Write::write_all(&mut keyboard, text.as_bytes()).unwrap();
    let until = |wanted: &str| {
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(20) {
            if let Ok(line) = heard.recv_timeout(Duration::from_secs(1))
                && line.contains(wanted)
            {
                return;
            }
        }
        panic!("never saw {wanted:?}");
    };
    say("echo re''ady; sleep 100\n");
    until("ready");
    // What is typed before the program runs, or before the shell is back, the terminal may throw away.
    std::thread::sleep(Duration::from_millis(500));
    say("\x03");
    std::thread::sleep(Duration::from_millis(500));
    say("echo interrup''ted; sleep 100\n");
    until("interrupted");
    std::thread::sleep(Duration::from_millis(500));
    say("\x1a");
    until("Stopped");
    say("kill -9 %1; sleep 0.5\n");
    // Twice: the first is refused while the shell has not noticed that the job is gone.
    say("exit 3\nexit 3\n");
    let status = eventually("the shell ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(3));
    drop(keyboard);
    reader.join().unwrap();
}

// /proc and /sys.

#[test]
fn p21_only_the_sessions_own_processes_are_seen() {
    let server = Server::start();
    let _other = server.background("sleep 100");
    let done = server.run("cat /proc/[0-9]*/comm | sort -u");
    assert!(
        done.good()
            .lines()
            .all(|name| ["session-init", "bash", "cat", "sort"].contains(&name)),
        "{done:?}"
    );
}

#[test]
fn p22_the_kernel_cannot_be_told_anything() {
    let server = Server::start();
    for line in [
        "echo x > /proc/sys/kernel/hostname",
        "echo 1 > /proc/sys/vm/panic_on_oom",
        "echo h > /proc/sysrq-trigger",
        "echo x > /proc/sys/kernel/core_pattern",
        "ls /sys/",
        "cat /proc/kcore | head -c 1 | grep .",
        "grep . /proc/kallsyms",
        "cat /proc/cmdline | grep .",
        "echo 'some 500000 1000000' > /proc/pressure/cpu",
    ] {
        refused(&server, line);
    }
    // The value is inside the session's own namespace, were it writable at all.
    assert_eq!(server.run("echo 9 > /proc/sys/user/max_user_namespaces; cat /proc/sys/user/max_user_namespaces").good(), "0");
}

#[test]
fn p23_init_cannot_be_looked_into() {
    let server = Server::start();
    for file in ["environ", "mem", "exe", "root", "cwd", "maps"] {
        refused(&server, &format!("cat /proc/1/{file}"));
    }
    refused(&server, "readlink /proc/1/exe");
    refused(&server, "readlink /proc/1/fd/3");
}

#[test]
fn p24_the_usual_tools_work() {
    let server = Server::start();
    server
        .run("ps aux && top -bn1 && free && df /config && uptime")
        .good();
}

// Namespaces.

#[test]
fn p25_no_further_namespaces() {
    let server = Server::start();
    for line in [
        "unshare -U true",
        "unshare -m true",
        "unshare -n true",
        "unshare -p -f true",
        "nsenter -t 1 -m true",
    ] {
        refused(&server, line);
    }
}

#[test]
fn p26_all_namespaces_differ_from_the_servers_and_from_another_sessions() {
    let server = Server::start();
    let _other = server.background("sleep 100");
    let namespaces = |pid: &str| -> Vec<String> {
        let kinds = ["mnt", "pid", "user", "ipc", "uts", "cgroup"];
        kinds
            .iter()
            .map(|kind| {
                fs::read_link(format!("/proc/{pid}/ns/{kind}"))
                    .unwrap()
                    .display()
                    .to_string()
            })
            .collect()
    };
    let other = server.find("sleep 100");
    let mine: Vec<String> = server
        .run("cd /proc/self/ns; readlink mnt pid user ipc uts cgroup")
        .good()
        .lines()
        .map(str::to_owned)
        .collect();
    for theirs in [
        namespaces(&other.pid.to_string()),
        namespaces(&server.pid().to_string()),
        namespaces("self"),
    ] {
        for (mine, theirs) in mine.iter().zip(theirs) {
            assert_ne!(*mine, theirs);
        }
    }
}

// Other processes.

#[test]
fn p27_no_process_outside_can_be_signalled() {
    let server = Server::start();
    let _other = server.background("sleep 100");
    let pids: Vec<String> = server
        .processes()
        .iter()
        .map(|process| process.pid.to_string())
        .collect();
    let line = format!(
        "kill -9 1; for p in {}; do kill -0 $p 2>&1; done; echo lives",
        pids.join(" ")
    );
    let done = server.run(&line);
    assert!(done.good().ends_with("lives"), "{done:?}");
    let others = done.stdout.matches("No such process").count();
    // A small number may be that of one of the session's own processes.
    assert!(others >= pids.len() - 1, "{done:?}");
}

#[test]
fn p28_nothing_can_be_traced() {
    let server = Server::start();
    let line = python(
        "import ctypes; l=ctypes.CDLL(None,use_errno=True); print(l.ptrace(16,1,0,0), ctypes.get_errno(), l.ptrace(0,0,0,0))",
    );
    assert_eq!(server.run(&line).good(), "-1 1 -1");
    if have("strace") {
        refused(&server, "strace -p 1");
        refused(&server, "strace true");
    }
}

// Keys and sockets.

#[test]
fn p29_keyrings_are_out_of_reach() {
    let server = Server::start();
    if have("keyctl") {
        refused(&server, "keyctl show");
        refused(&server, "keyctl add user a b @s");
    }
}

#[test]
fn p30_the_brokers_socket_is_the_only_one() {
    let server = Server::start();
    let _other = server.background("sleep 100");
    assert_eq!(
        server.run("find / -xdev -type s; ls -A /run").good(),
        "hassio.sock"
    );
    let done =
        server.run("curl -sS --max-time 5 --unix-socket /run/hassio.sock http://x/sshd/session");
    assert!(done.good().contains("\"ok\""), "{done:?}");
}

#[test]
fn p31_system_v_objects_of_others_are_not_seen() {
    let server = Server::start();
    let made = Command::new("ipcmk").args(["-M", "4096"]).output().unwrap();
    let id = String::from_utf8_lossy(&made.stdout)
        .rsplit(' ')
        .next()
        .unwrap()
        .trim()
        .to_owned();
    let done = server.run("ipcs -a | grep -c 0x");
    Command::new("ipcrm").args(["-m", &id]).status().unwrap();
    assert_eq!(done.stdout.trim(), "0");
}

// Exhaustion.

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

// Credentials.

#[test]
fn p36_no_secret_in_any_environment() {
    let server = Server::with_supervisor();
    let done = server.run("env; cat /proc/*/environ; hassio info; cat /proc/*/cmdline");
    assert!(
        done.stdout.contains("HASSIO_SOCKET") && !done.stdout.contains(crate::harness::TOKEN),
        "{done:?}"
    );
    assert!(
        !done.stdout.contains("SUPERVISOR_TOKEN") && !done.stdout.contains("HASSIO_TOKEN"),
        "{done:?}"
    );
    // Nor outside, for whoever looks with ps.
    for process in server.processes() {
        let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        assert!(
            !String::from_utf8_lossy(&environment).contains(crate::harness::TOKEN),
            "{process:?}"
        );
        assert!(!process.line.contains(crate::harness::TOKEN), "{process:?}");
    }
}

#[test]
fn p37_no_key_and_no_option_can_be_read() {
    let server = Server::start();
    let dir = server.dir.display().to_string();
    refused(&server, &format!("ls {dir}"));
    let done = server.run("find / -xdev \\( -name 'ssh_host*' -o -name options.json -o -name shadow \\) 2>/dev/null; cat /etc/shadow");
    assert_eq!(done.stdout, "", "{done:?}");
    // What lies there says so, and cannot be changed.
    refused(&server, "echo x >> /root/.ssh/authorized_keys");
    assert!(
        server
            .run("cat /root/.ssh/authorized_keys")
            .good()
            .contains("options")
    );
}

#[test]
fn p38_only_the_standard_descriptors_are_open() {
    let server = Server::start();
    // ls itself opens one more.
    assert_eq!(
        server.run("ls /proc/self/fd | tr '\\n' ' '").good(),
        "0 1 2 3 "
    );
    let done = server.type_in("ls /proc/$$/fd | tr '\\n' ' '; exit\n");
    assert!(done.stdout.contains("0 1 2 255 "), "{done:?}");
}

// The end of a session.

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
    // policy/ssh.toml: three keepalives of 30 s, and the one that finds none answered.
    within(Duration::from_secs(135), "all are gone", || {
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
        own.and_then(|line| line.rsplit('/').next())
            .unwrap_or_default()
            .to_owned()
    });
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
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with("hassio-sshd-")
            {
                for group in fs::read_dir(entry.path())
                    .into_iter()
                    .flatten()
                    .flatten()
                    .filter(|group| group.path().is_dir())
                {
                    let name = group.file_name().to_string_lossy().into_owned();
                    if name.starts_with(&format!("{}-", server.pid()))
                        && spare.as_ref() != Some(&name)
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
        within(Duration::from_secs(5), "all are gone", || {
            server.session_processes().is_empty() && session_groups(&server).is_empty()
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

// Packages.

#[test]
fn p44_no_packages_can_be_installed() {
    let server = Server::start();
    for line in [
        "apt-get install -y hello",
        "dpkg --configure -a",
        "pip install --target /usr/lib/x six",
        "cp /bin/true /usr/bin/x",
    ] {
        refused(&server, line);
    }
    server.run("cp /bin/true /config/x && /config/x").good();
}

#[test]
fn p45_set_id_programs_gain_nothing() {
    let server = Server::start();
    refused(&server, "su - nobody -c id </dev/null");
    refused(&server, "passwd -d root");
    let planted = Server::with(Setup {
        config: |config| {
            fs::copy("/usr/bin/id", config.join("id")).unwrap();
            std::os::unix::fs::chown(config.join("id"), Some(1000), Some(1000)).unwrap();
            fs::set_permissions(config.join("id"), fs::Permissions::from_mode(0o6755)).unwrap();
        },
        ..Setup::default()
    });
    assert_eq!(planted.run("/config/id -u; /config/id -g").good(), "0\n0");
}

#[test]
fn set_id_files_cannot_be_planted_in_config() {
    let server = Server::start();
    refused(&server, "cp /bin/true /config/x && chmod u+s /config/x");
    refused(&server, "touch /config/y && chmod 2755 /config/y");
    refused(&server, "mkdir -m 4755 /config/z");
    // By way of the call that makes a file, and with garbage in the upper half of the argument.
    let line = python("import os; os.open(\"/config/w\", os.O_CREAT|os.O_WRONLY, 0o4755)");
    refused(&server, &line);
    let garbage = python(
        "import ctypes; l=ctypes.CDLL(None,use_errno=True); l.syscall.argtypes=[ctypes.c_long,ctypes.c_char_p,ctypes.c_ulong]; \
         print(l.syscall(90, b\"/config/y\", (1<<32)|0o4755), ctypes.get_errno())",
    );
    assert_eq!(server.run(&garbage).good(), "-1 1");
    for entry in fs::read_dir(server.config("")).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().mode() & 0o6000, 0, "{entry:?}");
    }
}

// What the server may not believe.

#[test]
fn p46_a_session_that_misuses_its_descriptors_holds_up_nobody() {
    let server = Server::start();
    let line = python(
        "import os,fcntl,time\nfor fd in (0,1,2):\n d=os.dup(fd); f=fcntl.fcntl(d,fcntl.F_GETFL); fcntl.fcntl(d,fcntl.F_SETFL,f^os.O_NONBLOCK)\ntime.sleep(1000)",
    );
    let hostile = server.background(&line);
    for _ in 0..3 {
        let since = Instant::now();
        server.run("echo").good();
        assert!(since.elapsed() < Duration::from_secs(5));
    }
    drop(hostile);
    within(Duration::from_secs(2), "it is gone", || {
        server.session_processes().is_empty()
    });
}

#[test]
fn p46_lies_in_the_name_of_init_end_that_session_alone() {
    let lies: [&[u8]; 3] = [b"\xff\xff\xff\xff", b"", &[0x7f; 1000]];
    let server = Server::start();
    let _other = server.background("sleep 101");
    server.find("sleep 101");
    for lie in lies {
        let before: Vec<u32> = server
            .session_processes()
            .iter()
            .map(|one| one.pid)
            .collect();
        let mut session = server.background("sleep 102");
        let all = server.session_processes().into_iter();
        let mut new = all.filter(|one| !before.contains(&one.pid));
        let init = new.find(|one| one.line == "session-init").unwrap();
        let pid = rustix::process::Pid::from_raw(init.pid as i32).unwrap();
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        // The number of src/bin/session-init.rs.
        let flags = rustix::process::PidfdGetfdFlags::empty();
        let control = rustix::process::pidfd_getfd(pidfd, 3, flags).unwrap();
        let control = hassio_sshd::sys::packet::PacketSocket::from_fd(control).unwrap();
        control.send(lie, &[]).unwrap();
        let since = Instant::now();
        eventually("the client is told", || session.child.try_wait().unwrap());
        assert!(since.elapsed() < Duration::from_secs(5), "{lie:?}");
    }
    let others = server.session_processes();
    assert!(others.iter().any(|one| one.line == "sleep 101"));
    server.run("true").good();
}

#[test]
fn p47_leases_are_refused() {
    let server = Server::start();
    let line = python(
        "import fcntl,os; fd=os.open(\"/config/f\",os.O_CREAT|os.O_RDWR); fcntl.fcntl(fd,1024,1)",
    );
    assert!(
        refused(&server, &line)
            .stderr
            .contains("Operation not permitted")
    );
}

#[test]
fn what_is_counted_for_the_whole_machine_is_out_of_reach() {
    let server = Server::start();
    // io_setup(2); seccomp(2) with SECCOMP_FILTER_FLAG_NEW_LISTENER.
    for (call, errno) in [("206, 4000, b\"\\0\" * 8", 38), ("317, 1, 8, 0", 1)] {
        let line = python(&format!(
            "import ctypes; l=ctypes.CDLL(None,use_errno=True); print(l.syscall({call}), ctypes.get_errno())"
        ));
        assert_eq!(server.run(&line).good(), format!("-1 {errno}"), "{call}");
    }
}

#[test]
fn p48_terminals_are_bounded_by_session() {
    let server = Server::start();
    let line = python(
        "import os,time\nn=0\ntry:\n  while True: os.openpty(); n+=1\nexcept OSError as e: print(n, flush=True)\ntime.sleep(100)",
    );
    let mut session = server.background(&line);
    let mut number = [0; 3];
    std::io::Read::read_exact(&mut session.out, &mut number).unwrap();
    assert_eq!(&number, b"16\n");
    assert!(server.type_in("tty; exit\n").stdout.contains("/dev/pts/0"));
}

#[test]
fn p49_raw_and_foreign_sockets_are_refused() {
    let server = Server::start();
    let tries = [
        "(2,3,1)",
        "(2,3,255)",
        "(10,3,58)",
        "(17,3,768)",
        "(17,2,768)",
        "(40,1,0)",
        "(16,3,9)",
        "(16,3,12)",
        "(16,3,16)",
        "(2,1,132)",
        "(2,5,132)",
        "(2,1,262)",
        "(21,5,0)",
        "(38,5,0)",
        "(44,3,0)",
        "(31,3,1)",
    ];
    let line = format!(
        "python3 - <<'E'\nimport socket\nfor t in ({}):\n  try: socket.socket(*t); print(t)\n  except OSError as e: assert e.errno in (1,97,93,94), (t,e)\nsocket.socket(16,3,0); socket.socket(2,1,6); socket.socket(2,2,17)\nE",
        tries.join(",")
    );
    assert_eq!(server.run(&line).good(), "");
}

#[test]
fn p50_the_servers_port_cannot_be_taken() {
    let mut server = Server::with(Setup {
        options: json!({ "network": "shared" }),
        ..Setup::default()
    });
    let port = server.port;
    let bind = |family: &str, address: &str| {
        format!(
            "python3 - <<'E'\nimport socket\ns=socket.socket(socket.{family}); s.setsockopt(1,2,1); s.setsockopt(1,15,1)\ntry: s.bind((\"{address}\",{port})); s.listen(1); print(\"taken\")\nexcept OSError as e: print(e.errno)\nE"
        )
    };
    assert_eq!(server.run(&bind("AF_INET", "127.0.0.1")).good(), "98");
    assert_eq!(server.run(&bind("AF_INET", "0.0.0.0")).good(), "98");
    // Nor where the server does not listen.
    for (family, address) in [
        ("AF_INET", "127.0.0.2"),
        ("AF_INET6", "::1"),
        ("AF_INET6", "::"),
    ] {
        let done = server.run(&bind(family, address));
        assert!(["98", "97"].contains(&done.good()), "{address}");
    }
    // While the front is down, the sockets stay.
    let front = server.role("front").unwrap();
    let session = server.background(&format!("sleep 0.2; {}", bind("AF_INET", "127.0.0.1")));
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(front.pid as i32),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let mut session = session;
    let mut errno = [0; 3];
    std::io::Read::read_exact(&mut session.out, &mut errno).unwrap();
    assert_eq!(&errno, b"98\n");
    drop(session);
    assert!(server.stop().success());
}

#[test]
fn a_session_without_network_has_none() {
    let server = Server::with(Setup {
        options: json!({ "network": "none" }),
        ..Setup::default()
    });
    assert_eq!(
        server
            .run("ls /proc/sys/net/ipv4/conf")
            .good()
            .lines()
            .filter(|name| !["all", "default", "lo"].contains(name))
            .count(),
        0
    );
    refused(
        &server,
        &format!("exec 3<>/dev/tcp/127.0.0.1/{}", server.port),
    );
    // lo is up where the server may do that.
    server.run("cat /proc/net/dev | grep lo:").good();
}

#[test]
fn the_clients_input_is_not_a_way_round_the_filter() {
    let server = Server::start();
    // 32-bit calls have other numbers: the filter ends such a program.
    let done = feed(
        {
            let mut ssh = server.ssh();
            ssh.args(["root@127.0.0.1", "--", "cat > /tmp/x; python3 /tmp/x"]);
            ssh
        },
        b"import ctypes,mmap\n\
          m=mmap.mmap(-1,4096,prot=7)\n\
          m.write(bytes([0xb8,20,0,0,0,0xcd,0x80,0xc3]))\n\
          f=ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))\n\
          print('got',f())\n",
    );
    assert!(
        !done.stdout.contains("got") || done.stdout.contains("got -38"),
        "{done:?}"
    );
}
