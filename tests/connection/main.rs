//! A connection process's work, seen by its client and by those around it.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test: it starts real clients, and fails where something is not as it should be"
)]

mod bench;

use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use hassio_sshd::model::ChannelNumber;
use hassio_sshd::policy::ssh::Limits;
use hassio_sshd::wire::{ConnectionToInit, Event, Forced, InitToConnection, Link, Spawn, Terms};
use russh::keys::signature::Signer as _;
use ssh_key::encoding::Encode as _;

use crate::bench::{Warden, bench, bench_within, read, session_init, told};

#[test]
fn a_command_runs_and_is_recorded() {
    let bench = bench("command", Warden::Makes);
    let outcome = bench.outcome(&["root@127.0.0.1", "echo out; echo err >&2; exit 7"]);
    assert_eq!(outcome, (Some(7), "out\n".to_owned(), "err\n".to_owned()));
    let events = bench.events();
    let kinds: Vec<_> = events.iter().map(Event::kind).collect();
    let expected = [
        "conn.open",
        "channel.open",
        "exec",
        "exec.end",
        "channel.close",
        "conn.close",
    ];
    assert_eq!(kinds, expected, "{events:#?}");
    let Some(Event::ConnOpen {
        client,
        kex,
        cipher,
        host_key_algorithm,
    }) = events.first()
    else {
        panic!("{events:#?}");
    };
    assert!(client.starts_with("SSH-2.0-OpenSSH"), "{client}");
    assert!(!kex.is_empty() && !cipher.is_empty(), "{events:#?}");
    assert_eq!(host_key_algorithm, "ssh-ed25519");
}

#[test]
fn the_environment_is_the_policys() {
    let bench = bench("environment", Warden::Makes);
    let mut ssh = bench.ssh(&["-o", "SendEnv=LC_TIME SECRET", "root@127.0.0.1", "env"]);
    let output = ssh.env("LC_TIME", "x").env("SECRET", "y").output().unwrap();
    let (_, out, _) = read(&output);
    let has = |line: &str| out.lines().any(|l| l == line);
    assert!(
        has("LC_TIME=x") && has("TZ=UTC") && has("HOME=/root"),
        "{out}"
    );
    assert!(!out.contains("SECRET") && !out.contains("CARGO"), "{out}");
    assert!(
        out.contains(&format!(" 127.0.0.1 {}\n", bench.port)),
        "{out}"
    );
}

#[test]
fn a_signal_is_told() {
    let bench = bench("signal", Warden::Makes);
    let (status, _, err) = bench.outcome(&["-v", "root@127.0.0.1", "kill -TERM $$"]);
    assert_eq!(status, Some(255));
    assert!(err.contains("exit-signal"), "{err}");
}

#[test]
fn no_byte_is_lost_where_the_reader_pauses() {
    let bench = bench("pause", Warden::Makes);
    let script = "head -c 67108864 /dev/zero | \"$@\" cat | (sleep 1; wc -c)";
    let mut shell = Command::new("bash");
    shell.args(["-c", script, "x"]);
    let ssh = bench.ssh(&["root@127.0.0.1"]);
    shell.arg(ssh.get_program()).args(ssh.get_args());
    let (_, out, err) = read(&shell.output().unwrap());
    assert_eq!(out.trim(), "67108864", "{err}");
}

#[test]
fn a_program_that_leaves_its_input_does_not_stop_the_client() {
    let bench = bench("leaves", Warden::Makes);
    let mut ssh = bench.ssh(&["root@127.0.0.1", "exec 0<&-; sleep 1; echo done"]);
    ssh.stdin(File::open("/dev/zero").unwrap());
    let (status, out, err) = read(&ssh.output().unwrap());
    assert_eq!((status, out.as_str()), (Some(0), "done\n"), "{err}");
}

#[test]
fn a_terminal_is_one() {
    let bench = bench("terminal", Warden::Makes);
    let command = "tty; echo $SSH_TTY $TERM; stty size; exit 3";
    let mut ssh = bench.ssh(&["-tt", "root@127.0.0.1", command]);
    let output = ssh.env("TERM", "xterm").output().unwrap();
    let (status, out, err) = read(&output);
    assert_eq!(status, Some(3), "{out}{err}");
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(lines[0].starts_with("/dev/pts/"), "{out}");
    assert_eq!(lines[1], format!("{} xterm", lines[0]));
}

#[test]
fn a_shell_reads_its_terminal() {
    let bench = bench("shell", Warden::Makes);
    let mut ssh = bench.ssh(&["-tt", "root@127.0.0.1"]);
    ssh.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = ssh.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"echo $((40+2)) $0; exit 5\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let (status, out, _) = read(&output);
    assert_eq!(status, Some(5), "{out}");
    assert!(out.contains("42 -bash"), "{out}");
}

#[test]
fn a_background_job_does_not_hold_the_terminal() {
    let bench = bench("background", Warden::Makes);
    let since = Instant::now();
    let command = "trap '' HUP; sleep 20 & echo here";
    let (status, out, _) = bench.outcome(&["-tt", "root@127.0.0.1", command]);
    assert_eq!((status, out.trim()), (Some(0), "here"));
    assert!(since.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_refused_session_is_explained() {
    let bench = bench("refused", Warden::Refuses);
    let (status, _, err) = bench.outcome(&["root@127.0.0.1", "true"]);
    assert_eq!(status, Some(254), "{err}");
    assert!(err.contains("no room"), "{err}");
    let events = bench.events();
    let Some(Event::ConnClose { reason, .. }) = events.last() else {
        panic!("{events:#?}");
    };
    assert_eq!(reason, "no session");
}

#[test]
fn who_does_not_log_in_is_cut_off() {
    let bench = bench("grace", Warden::Makes);
    let mut stream = TcpStream::connect(("127.0.0.1", bench.port)).unwrap();
    let since = Instant::now();
    std::io::copy(&mut stream, &mut std::io::sink()).ok();
    assert!(since.elapsed() < Duration::from_secs(4));
    let events = bench.events();
    let kinds: Vec<_> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds, ["conn.open", "conn.close"]);
}

#[test]
fn who_tried_too_often_is_told_so() {
    let bench = bench("often", Warden::Makes);
    let ask = bench.directory.join("ask");
    std::fs::write(&ask, "#!/bin/sh\necho wrong\n").unwrap();
    std::fs::set_permissions(&ask, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut ssh = bench.ssh(&[
        "-o",
        "PreferredAuthentications=password",
        "-o",
        "PubkeyAuthentication=no",
        "root@127.0.0.1",
        "true",
    ]);
    // The first -o of a kind counts.
    let arguments: Vec<_> = ssh
        .get_args()
        .filter(|a| a.to_str() != Some("PreferredAuthentications=publickey"))
        .map(ToOwned::to_owned)
        .collect();
    let arguments: Vec<_> = dedup_flags(arguments);
    ssh = Command::new("timeout");
    ssh.args(arguments).stdin(Stdio::null());
    ssh.env("SSH_ASKPASS", &ask)
        .env("SSH_ASKPASS_REQUIRE", "force");
    let (status, _, err) = read(&ssh.output().unwrap());
    assert_eq!(status, Some(255));
    assert!(err.contains("Too many authentication failures"), "{err}");
}

/// Without an `-o` that lost its value.
fn dedup_flags(arguments: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let mut kept: Vec<std::ffi::OsString> = Vec::new();
    for argument in arguments {
        if argument == "-o" && kept.last().is_some_and(|last| last == "-o") {
            continue;
        }
        kept.push(argument);
    }
    kept
}

/// Signs with another key than the one it is asked for.
struct Forger(ssh_key::PrivateKey);

impl russh::Signer for Forger {
    type Error = russh::AgentAuthError;

    async fn auth_sign(
        &mut self,
        _: &russh::keys::agent::AgentIdentity,
        _: Option<ssh_key::HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        let signature: ssh_key::Signature = self.0.try_sign(&to_sign).unwrap();
        let signature = Vec::try_from(signature).unwrap();
        signature.encode(&mut to_sign).unwrap();
        Ok(to_sign)
    }
}

struct Trusting;

impl russh::client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

#[test]
fn the_word_of_keys_is_no_login_where_the_signature_is_wrong() {
    // keys, as the bench has it, says yes to everything.
    let bench = bench("forged", Warden::Makes);
    let ours = ssh_key::private::Ed25519Keypair::from_seed(&[1; 32]);
    let ours = ssh_key::PrivateKey::from(ours).public_key().clone();
    let other = ssh_key::private::Ed25519Keypair::from_seed(&[2; 32]);
    let mut forger = Forger(other.into());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let outcome = runtime.block_on(async {
        let config = russh::client::Config::default().into();
        let address = ("127.0.0.1", bench.port);
        let connected = russh::client::connect(config, address, Trusting).await;
        let mut client = connected.unwrap();
        let login = client.authenticate_publickey_with("root", ours, None, &mut forger);
        tokio::time::timeout(Duration::from_secs(10), login)
            .await
            .unwrap()
    });
    let logged_in = outcome.as_ref().is_ok_and(|login| login.success());
    assert!(!logged_in, "{outcome:?}");
    let events = bench.events();
    let kinds: Vec<_> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds, ["conn.open", "conn.close"]);
    let Some(Event::ConnClose { reason, .. }) = events.last() else {
        panic!("{events:#?}");
    };
    assert!(reason.starts_with("protocol: Signature"), "{reason}");
}

/// A port that passes on to the server's `port` and back, but takes only so many `bytes` from it. With a small buffer:
/// what the kernel would take in for a client that is merely stopped can be all that its window lets the server send.
fn reads_no_more_than(bytes: usize, port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        nix::sys::socket::setsockopt(&server, nix::sys::socket::sockopt::RcvBuf, &16384).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        let mut some = std::io::Read::take(&server, bytes.try_into().unwrap());
        std::io::copy(&mut some, &mut &client).unwrap();
        // Both stay open.
        thread::park();
    });
    relay
}

#[test]
fn a_client_that_takes_nothing_is_cut_off_while_output_waits() {
    let mut bench = bench_within("takes-nothing", Warden::Makes, |limits| {
        limits.unacknowledged_s = 1;
    });
    bench.port = reads_no_more_than(65536, bench.port);
    let mut ssh = bench.ssh(&["root@127.0.0.1", "cat /dev/zero"]);
    let mut ssh = ssh.stdout(Stdio::null()).spawn().unwrap();
    let events = bench.events();
    ssh.kill().unwrap();
    ssh.wait().unwrap();
    let Some(Event::ConnClose { reason, .. }) = events.last() else {
        panic!("{events:#?}");
    };
    assert_eq!(reason, "client does not answer");
}

#[test]
fn sftp_and_several_channels_at_once() {
    let bench = bench("channels", Warden::Makes);
    let socket = bench.directory.join("mux");
    let control = format!("ControlPath={}", socket.display());
    let mut master = bench
        .ssh(&["-M", "-N", "-o", &control, "root@127.0.0.1"])
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while !socket.exists() && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
    // One program that does not read must not hold up the others.
    let mut stuck = bench.ssh(&["-o", &control, "root@127.0.0.1", "sleep 30"]);
    let mut stuck = stuck
        .stdin(File::open("/dev/zero").unwrap())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(300));
    for _ in 0..30 {
        let since = Instant::now();
        let outcome = bench.outcome(&["-o", &control, "root@127.0.0.1", "echo x"]);
        assert_eq!(outcome.1, "x\n", "{outcome:?}");
        assert!(since.elapsed() < Duration::from_secs(2));
    }
    let mut sftp = Command::new("sh");
    let from = bench.directory.join("key");
    let to = bench.directory.join("copy");
    sftp.args([
        "-c",
        &format!(
            "echo 'get {} {}' | timeout 20 sftp -F none -b - -o {control} root@127.0.0.1",
            from.display(),
            to.display()
        ),
    ]);
    let output = sftp.output().unwrap();
    assert!(output.status.success(), "{:?}", read(&output));
    assert_eq!(std::fs::read(from).unwrap(), std::fs::read(to).unwrap());
    let exit = bench
        .ssh(&["-O", "exit", "-o", &control, "root@127.0.0.1"])
        .output();
    assert!(exit.unwrap().status.success());
    stuck.wait().unwrap();
    master.wait().unwrap();
    let events = bench.events();
    assert!(
        matches!(events.last(), Some(Event::ConnClose { .. })),
        "{:?}",
        events.last()
    );
}

#[test]
fn a_session_whose_first_process_dies_ends() {
    let mut bench = bench("killed", Warden::Makes);
    let ssh = bench
        .ssh(&["-v", "root@127.0.0.1", "echo here; exec sleep 30"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut ssh = ssh.unwrap();
    let mut line = [0; 5];
    std::io::Read::read_exact(ssh.stdout.as_mut().unwrap(), &mut line).unwrap();
    bench.init.kill().unwrap();
    let (status, _, err) = read(&ssh.wait_with_output().unwrap());
    assert_eq!(status, Some(255));
    assert!(err.contains("exit-signal"), "{err}");
    let events = bench.events();
    let Some(Event::ConnClose { reason, .. }) = events.last() else {
        panic!("{events:#?}");
    };
    assert_eq!(reason, "session ended");
}

/// A connection that was taken over speaks to session-init as it likes.
#[test]
fn session_init_runs_the_forced_command_whatever_its_connection_says() {
    let (control, init_end) = Link::<ConnectionToInit, InitToConnection>::pair().unwrap();
    let mut init = session_init(init_end);
    let control = control.into_fd();
    let terms = Terms {
        terminal: false,
        forwards: false,
        forced: Some(Forced {
            path: "/bin/sh".to_owned(),
            arguments: ["sh", "-c", "pwd; env | sort"]
                .map(|word| word.as_bytes().to_vec())
                .into(),
            environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            names: vec!["SSH_ORIGINAL_COMMAND".to_owned()],
            directory: "/usr".to_owned(),
        }),
    };
    told(&control, &terms);
    let link = Link::<ConnectionToInit, InitToConnection>::from_fd(control).unwrap();
    let spawn = |terminal| {
        ConnectionToInit::Spawn(Spawn {
            channel: ChannelNumber(1),
            path: "/bin/echo".to_owned(),
            arguments: vec![b"echo".to_vec(), b"taken over".to_vec()],
            environment: [
                "PATH=/tmp",
                "LD_DEBUG=help",
                "ENV=/tmp/x",
                "SSH_ORIGINAL_COMMAND=ls -l",
            ]
            .map(|pair| pair.as_bytes().to_vec())
            .into(),
            directory: "/".to_owned(),
            terminal,
        })
    };
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let (reader, writer) = std::io::pipe().unwrap();
    let out = OwnedFd::from(writer);
    link.send_with(&spawn(false), &[null().as_fd(), out.as_fd(), out.as_fd()])
        .unwrap();
    drop(out);
    assert!(matches!(
        link.recv().unwrap(),
        InitToConnection::Started { .. }
    ));
    let said = std::io::read_to_string(reader).unwrap();
    assert_eq!(
        said,
        "/usr\nPATH=/usr/bin:/bin\nPWD=/usr\nSSH_ORIGINAL_COMMAND=ls -l\n"
    );
    assert!(matches!(
        link.recv().unwrap(),
        InitToConnection::Ended { .. }
    ));
    link.send_with(&spawn(true), &[null().as_fd()]).unwrap();
    let refused = link.recv().unwrap();
    assert!(
        matches!(refused, InitToConnection::Failed { errno, .. } if nix::errno::Errno::from_raw(errno) == nix::errno::Errno::EPERM),
        "{refused:?}"
    );
    drop(link);
    init.wait().unwrap();
}

/// Keepalives in the pace of tests: a client that is gone is found after three seconds.
fn alert(limits: &mut Limits) {
    limits.keepalive_s = 1;
    limits.unacknowledged_s = 3;
}

#[test]
fn a_quiet_client_that_answers_stays_and_one_that_is_silent_does_not() {
    let bench = bench_within("quiet", Warden::Makes, alert);
    let mut client = bench
        .ssh(&["root@127.0.0.1", "echo begun; read line; echo on"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(client.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "begun\n");
    // Longer than it takes to find a client that is gone, by much.
    thread::sleep(Duration::from_secs(8));
    assert!(client.try_wait().unwrap().is_none(), "it was ended");
    // `timeout` is what runs, and ssh its child.
    let ssh = format!("/proc/{0}/task/{0}/children", client.id());
    let ssh = std::fs::read_to_string(ssh).unwrap();
    let ssh = nix::unistd::Pid::from_raw(ssh.trim().parse().unwrap());
    nix::sys::signal::kill(ssh, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let since = Instant::now();
    let events = bench.events();
    let took = since.elapsed();
    nix::sys::signal::kill(ssh, nix::sys::signal::Signal::SIGKILL).unwrap();
    client.wait().unwrap();
    let reason = events.iter().find_map(|event| match event {
        Event::ConnClose { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    assert_eq!(reason, Some("client does not answer"), "{events:?}");
    let bounds = Duration::from_secs(2)..Duration::from_secs(6);
    assert!(bounds.contains(&took), "{took:?}");
}
