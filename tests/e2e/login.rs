//! SSH as a user meets it: programs, terminals, channels, flow control.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::{Server, Setup, eventually, feed, finish, within};

#[test]
fn a_key_logs_in_and_work_in_config_stays() {
    let server = Server::start();
    assert_eq!(
        server.run("id -un; pwd; touch /config/x; echo $0").good(),
        "root\n/root\nbash"
    );
    assert!(server.config("x").exists());
}

#[test]
fn standard_streams_are_three() {
    let server = Server::start();
    let mut ssh = server.ssh();
    ssh.args(["root@127.0.0.1", "--", "cat; echo err >&2; exit 3"]);
    let done = feed(ssh, b"in\n");
    assert_eq!(
        (done.code(), done.stdout.as_str(), done.stderr.as_str()),
        (3, "in\n", "err\n")
    );
}

#[test]
fn a_program_that_is_not_there_says_so() {
    let server = Server::start();
    let done = server.run("/no/such/program");
    assert_eq!(done.code(), 127);
    assert!(done.stderr.contains("No such file"), "{done:?}");
}

#[test]
fn the_environment_is_built_and_only_listed_names_are_taken() {
    let server = Server::start();
    let mut ssh = server.ssh();
    ssh.env("LC_ALL", "C.UTF-8")
        .env("BASH_ENV", "/config/evil")
        .env("LD_PRELOAD", "/config/evil.so");
    ssh.args([
        "-o",
        "SendEnv=LC_ALL BASH_ENV LD_PRELOAD",
        "-o",
        "SetEnv=LC_TIME=C PATH=/config",
    ]);
    ssh.args(["root@127.0.0.1", "--", "env | sort"]);
    let done = finish(ssh);
    let names: Vec<&str> = done
        .good()
        .lines()
        .map(|line| line.split('=').next().unwrap())
        .collect();
    for expected in [
        "HASSIO_SOCKET",
        "HOME",
        "LANG",
        "LC_ALL",
        "LOGNAME",
        "PATH",
        "SHELL",
        "SSH_CONNECTION",
        "USER",
    ] {
        assert!(names.contains(&expected), "{expected} in {names:?}");
    }
    for unexpected in ["BASH_ENV", "LD_PRELOAD", "SUPERVISOR_TOKEN"] {
        assert!(!names.contains(&unexpected), "{unexpected} in {names:?}");
    }
    assert!(
        done.stdout
            .contains("PATH=/opt/hassio/bin:/usr/local/sbin:"),
        "{done:?}"
    );
}

#[test]
fn a_terminal_has_its_type_size_and_modes() {
    let server = Server::start();
    let mut ssh = server.ssh();
    ssh.env("TERM", "xterm-256color").args([
        "-tt",
        "root@127.0.0.1",
        "--",
        "echo $TERM; stty -a; tty",
    ]);
    let done = finish(ssh);
    assert!(
        done.stdout.starts_with("xterm-256color\r\n") && done.stdout.contains("/dev/pts/0"),
        "{done:?}"
    );
    assert!(done.stdout.contains("intr = ^C"), "{done:?}");
}

#[test]
fn a_window_change_reaches_the_program() {
    if !crate::harness::have("tmux") {
        return;
    }
    let server = Server::start();
    let socket = server.dir.join("client/tmux");
    let tmux = |words: &[&str]| {
        let mut command = server.client("tmux");
        command
            .args(["-f", "/dev/null", "-S", socket.to_str().unwrap()])
            .args(words);
        finish(command)
    };
    let line = format!("ssh {} -tt root@127.0.0.1", server.ssh_options().join(" "));
    tmux(&["new-session", "-d", "-x", "80", "-y", "24", &line]).good();
    let screen = || tmux(&["capture-pane", "-p"]).stdout;
    tmux(&["send-keys", "stty size", "Enter"]).good();
    eventually("the size is shown", || {
        screen().contains("24 80").then_some(())
    });
    tmux(&["resize-window", "-x", "100", "-y", "30"]).good();
    eventually("the new size is shown", || {
        tmux(&["send-keys", "stty size", "Enter"]).good();
        std::thread::sleep(Duration::from_millis(200));
        screen().contains("30 100").then_some(())
    });
    tmux(&["kill-server"]);
}

#[test]
fn several_channels_share_one_session() {
    let server = Server::start();
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
        finish(ssh)
    };
    mux("echo shared > /tmp/f").good();
    assert_eq!(mux("cat /tmp/f").good(), "shared");
    assert_eq!(mux("exit 9").code(), 9);
    // In parallel.
    let workers: Vec<_> = (0..6)
        .map(|n| {
            let mut ssh = server.client("ssh");
            ssh.args([
                "-F",
                "none",
                "-S",
                control.to_str().unwrap(),
                "x",
                "--",
                &format!("sleep 0.5; echo {n}"),
            ]);
            ssh.stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for (n, worker) in workers.into_iter().enumerate() {
        let out = worker.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), n.to_string());
    }
    master.kill().unwrap();
    master.wait().unwrap();
    within(
        Duration::from_secs(2),
        "the session ends with its connection",
        || server.session_processes().is_empty(),
    );
}

#[test]
fn a_signal_of_the_client_reaches_the_program() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = Server::start();
    let script = "
import paramiko,sys,struct
c=paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect('127.0.0.1',int(sys.argv[1]),'root',key_filename=sys.argv[2],allow_agent=False,look_for_keys=False)
ch=c.get_transport().open_session(); ch.exec_command('trap \"exit 33\" USR1; echo ready; while :; do sleep 0.05; done')
assert ch.recv(6)==b'ready\\n'
m=paramiko.Message(); m.add_byte(bytes([98])); m.add_int(ch.remote_chanid); m.add_string('signal'); m.add_boolean(False); m.add_string('USR1')
c.get_transport()._send_user_message(m)
print(ch.recv_exit_status())
";
    let mut command = server.client(python);
    command
        .args(["-c", script, &server.port.to_string()])
        .arg(server.dir.join("client/key"));
    assert_eq!(finish(command).good(), "33");
}

#[test]
fn forwarding_is_refused_and_the_session_goes_on() {
    let server = Server::start();
    let mut ssh = server.talking_ssh();
    ssh.args([
        "-o",
        "ExitOnForwardFailure=no",
        "-R",
        "0:127.0.0.1:1",
        "-A",
        "root@127.0.0.1",
        "--",
    ]);
    ssh.arg("echo goes on; echo ${SSH_AUTH_SOCK-none}");
    let done = finish(ssh);
    assert_eq!(done.good(), "goes on\nnone");
    assert!(
        done.stderr.contains("remote port forwarding failed"),
        "{done:?}"
    );
    let mut ssh = server.talking_ssh();
    ssh.args(["-W", "127.0.0.1:1", "root@127.0.0.1"]);
    let done = finish(ssh);
    assert_ne!(done.code(), 0);
    assert!(done.stderr.contains("prohibited"), "{done:?}");
}

#[test]
fn input_that_waits_for_a_slow_reader_arrives_whole() {
    let server = Server::start();
    let line = format!(
        "head -c 67108864 /dev/zero | ssh {} root@127.0.0.1 -- cat | (sleep 3; wc -c)",
        server.ssh_options().join(" ")
    );
    let mut sh = server.client("sh");
    sh.args(["-c", &line]);
    assert_eq!(finish(sh).good().trim(), "67108864");
}

/// The memory of the only connection's process.
fn connection_kib(server: &Server) -> u64 {
    let front = server.role("front").unwrap();
    let mut all = server.processes().into_iter();
    let connection = all.find(|process| process.line == front.line && process.pid != front.pid);
    let memory = connection.expect("a connection process").field("VmRSS");
    memory.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn one_connection_for_very_many_programs_does_not_grow() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = Server::start();
    let script = "
import paramiko,socket,sys
t=paramiko.Transport(('127.0.0.1',int(sys.argv[1]))); t.start_client()
t.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
t.auth_publickey('root', paramiko.Ed25519Key.from_private_key_file(sys.argv[2]))
for n in (100, 400):
    for _ in range(n):
        c=t.open_session(); c.exec_command('true'); assert c.recv_exit_status() == 0; c.close()
    print('done', flush=True); sys.stdin.readline()
";
    let mut command = server.client(python);
    command
        .args(["-c", script, &server.port.to_string()])
        .arg(server.dir.join("client/key"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = command.spawn().unwrap();
    let mut said = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut input = client.stdin.take().unwrap();
    let mut memory = Vec::new();
    for _ in 0..2 {
        assert_eq!(said.next().unwrap().unwrap(), "done");
        memory.push(connection_kib(&server));
        input.write_all(b"\n").unwrap();
    }
    assert!(client.wait().unwrap().success());
    // What was kept of each channel were some 3 KiB.
    assert!(memory[1] < memory[0] + 400, "{memory:?} KiB");
}

#[test]
fn a_program_that_does_not_read_delays_no_other_channel_and_costs_bounded_memory() {
    let server = Server::start();
    let control = server.dir.join("client/mux");
    let mut stuck = server.ssh();
    stuck.args([
        "-M",
        "-S",
        control.to_str().unwrap(),
        "root@127.0.0.1",
        "--",
        "sleep 100",
    ]);
    let mut stuck = stuck.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = stuck.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let block = [7u8; 65536];
        while input.write_all(&block).is_ok() {}
    });
    eventually("the master is up", || control.exists().then_some(()));
    let before = connection_kib(&server);
    std::thread::sleep(Duration::from_secs(2));
    for _ in 0..3 {
        let mut ssh = server.client("ssh");
        ssh.args([
            "-F",
            "none",
            "-S",
            control.to_str().unwrap(),
            "x",
            "--",
            "echo",
        ]);
        let since = Instant::now();
        finish(ssh).good();
        assert!(
            since.elapsed() < Duration::from_secs(3),
            "{:?}",
            since.elapsed()
        );
    }
    let after = connection_kib(&server);
    // Twice the window of 2 MiB, and what the allocator rounds up.
    assert!(after < before + 8 * 1024, "{before} KiB, then {after} KiB");
    stuck.kill().unwrap();
    stuck.wait().unwrap();
    writer.join().unwrap();
}

#[test]
fn bulk_in_both_directions_and_through_rekeying_is_right() {
    let server = Server::start();
    let source = server.dir.join("client/source");
    let line = format!(
        "head -c 50000000 /dev/urandom > {0}; ssh {1} -o RekeyLimit=4M root@127.0.0.1 -- cat < {0} | cmp - {0} && echo same",
        source.display(),
        server.ssh_options().join(" ")
    );
    let mut sh = server.client("sh");
    sh.args(["-c", &line]);
    assert_eq!(finish(sh).good(), "same");
}

#[test]
fn end_of_input_crosses_and_output_after_it_comes_back() {
    let server = Server::start();
    let mut ssh = server.ssh();
    ssh.args([
        "root@127.0.0.1",
        "--",
        "cat >/dev/null; sleep 0.3; echo after",
    ]);
    assert_eq!(feed(ssh, b"before").good(), "after");
}

#[test]
fn a_background_program_that_holds_the_output_is_waited_for_as_sshd_does() {
    let server = Server::start();
    let since = Instant::now();
    assert_eq!(
        server.run("(sleep 1; echo late) & echo early").good(),
        "early\nlate"
    );
    assert!(since.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_client_that_closes_the_channel_ends_its_program() {
    let server = Server::start();
    let mut session = server.background("yes");
    let mut some = [0; 4096];
    session.out.read_exact(&mut some).unwrap();
    drop(session);
    within(Duration::from_secs(2), "yes is gone", || {
        server.session_processes().is_empty()
    });
}

#[test]
fn sftp_can_be_switched_off() {
    let server = Server::with(Setup {
        options: serde_json::json!({ "sftp": false }),
        ..Setup::default()
    });
    let mut sftp = server.client("sftp");
    sftp.args(server.ssh_options())
        .args(["-b", "-", "root@127.0.0.1"]);
    assert_ne!(feed(sftp, b"ls /config\n").code(), 0);
    server.run("true").good();
}

#[test]
fn ssh_copy_id_fails_with_the_reason() {
    let server = Server::start();
    let mut copy = server.client("ssh-copy-id");
    let key = server.dir.join("client/second");
    crate::harness::make_key(&key, "ed25519", &[]);
    copy.arg("-f").arg("-i").arg(&key);
    let options = server.ssh_options();
    // -F none is not an option of ssh-copy-id.
    copy.args(&options[4..]).args([
        "-o",
        &format!("IdentityFile={}", server.dir.join("client/key").display()),
    ]);
    let done = finish({
        copy.arg("root@127.0.0.1");
        copy
    });
    assert_ne!(done.code(), 0, "{done:?}");
}
