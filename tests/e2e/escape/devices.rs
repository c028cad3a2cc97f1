//! Devices and terminals.

use super::*;

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
