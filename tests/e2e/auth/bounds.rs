//! Those who do not log in, and those who do so too often.

use super::*;

#[test]
fn silence_and_garbage_end_at_the_grace_limit_and_a_good_login_goes_on() {
    let server = Server::start();
    let connect = || TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let mut silent = connect();
    let mut garbage: Vec<TcpStream> = (0..10).map(|_| connect()).collect();
    for stream in &mut garbage {
        stream
            .write_all(b"SSH-2.0-x\r\n\xff\xff\xff\xff garbage garbage garbage")
            .unwrap();
    }
    let since = Instant::now();
    server.run("true").good();
    assert!(since.elapsed() < Duration::from_secs(5));
    silent
        .set_read_timeout(Some(Duration::from_secs(45)))
        .unwrap();
    let mut all = Vec::new();
    silent
        .read_to_end(&mut all)
        .expect("the silent connection was not closed");
    assert!(
        (25..40).contains(&since.elapsed().as_secs()),
        "{:?}",
        since.elapsed()
    );
    drop(garbage);
    within(Duration::from_secs(2), "their processes are gone", || {
        server
            .processes()
            .iter()
            .filter(|process| process.line.ends_with("front"))
            .count()
            == 1
    });
}

#[test]
fn connections_that_do_not_log_in_are_bounded_and_lock_nobody_out() {
    let server = Server::start();
    let all: Vec<TcpStream> = (0..60)
        .filter_map(|_| TcpStream::connect(("127.0.0.1", server.port)).ok())
        .collect();
    eventually("those that made room are on record", || {
        (!server.records_of("conn.refuse").is_empty()).then_some(())
    });
    let count = || {
        server
            .processes()
            .iter()
            .filter(|process| process.line.ends_with("front"))
            .count()
    };
    within(Duration::from_secs(3), "they are bounded", || count() <= 33);
    server.run("true").good();
    drop(all);
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let server = Server::start();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    // A server of its own, with the first one's keys.
    let dir = server.dir.join("unread");
    for name in ["config", "data"] {
        std::fs::create_dir_all(dir.join(name)).unwrap();
    }
    std::fs::copy(server.dir.join("options.json"), dir.join("options.json")).unwrap();
    let mut command = server_command("serve", &dir);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    let mut unread = command.stderr(Stdio::piped()).spawn().unwrap();
    let pipe = unread.stderr.take().unwrap();
    nix::fcntl::fcntl(&pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    within(Duration::from_secs(10), "it listens", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    // Each login is two lines of more than a hundred bytes.
    for _ in 0..30 {
        let mut ssh = server.ssh();
        ssh.args([
            "-o",
            "StrictHostKeyChecking=no",
            "root@127.0.0.1",
            "--",
            "true",
        ]);
        let words: Vec<String> = ssh
            .get_args()
            .map(|word| {
                word.to_str()
                    .unwrap()
                    .replace(&format!("Port={}", server.port), &format!("Port={port}"))
            })
            .collect();
        let mut ssh = server.client("ssh");
        ssh.args(words);
        finish(ssh).good();
    }
    unread.kill().unwrap();
    unread.wait().unwrap();
    drop(pipe);
}

#[test]
fn one_login_cannot_take_all_sessions() {
    let server = Server::start();
    let held: Vec<_> = (0..16).map(|_| server.background("sleep 100")).collect();
    let done = server.run("true");
    assert_eq!(done.code(), 254, "{done:?}");
    assert!(
        done.stderr.contains("too many sessions with this key"),
        "{done:?}"
    );
    drop(held);
    within(Duration::from_secs(5), "a login works again", || {
        server.run("true").code() == 0
    });
}

#[test]
fn no_two_connections_share_a_random_number() {
    let server = Server::start();
    // The cookie of KEXINIT: sixteen bytes after packet length, padding length and message number, RFC 4253 §7.1.
    let cookie = || {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.write_all(b"SSH-2.0-test\r\n").unwrap();
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let n = stream.read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..n]);
            if let Some(line) = bytes.iter().position(|byte| *byte == b'\n')
                && bytes.len() >= line + 1 + 22
            {
                assert_eq!(bytes[line + 6], 20);
                return bytes[line + 7..line + 23].to_vec();
            }
        }
    };
    let mut cookies: Vec<Vec<u8>> = (0..20).map(|_| cookie()).collect();
    cookies.sort();
    cookies.dedup();
    assert_eq!(cookies.len(), 20);
}

#[test]
fn the_banner_is_shown_before_the_login() {
    let server = Server::with(Setup {
        options: json!({ "banner": "authorised people only" }),
        ..Setup::default()
    });
    let mut ssh = server.talking_ssh();
    ssh.args(["root@127.0.0.1", "--", "true"]);
    assert!(finish(ssh).stderr.contains("authorised people only"));
}
