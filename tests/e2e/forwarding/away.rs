//! What is not reached, and what does not stay.

use super::*;

#[test]
fn each_kind_is_refused_unless_it_is_named() {
    let port = echo();
    for named in [json!([]), json!(["remote", "agent"])] {
        let server = forwarding(named.clone());
        let done = dial(&server, &format!("127.0.0.1:{port}"), b"x");
        assert!(done.stderr.contains("prohibited"), "{named}: {done:?}");
        let refused = eventually("it is on record", || {
            server.records_of("channel.refuse").pop()
        });
        assert_eq!(refused["d"]["reason"], "local forwarding is not offered");
        let master = Master::new(&server, &echo_at("/tmp/echo"));
        let local = server.dir.join("client/local");
        let forward = format!("{}:/tmp/echo", local.display());
        // The client listens, whatever the server will say.
        master.forward(&server, &["-L", &forward]).good();
        let mut stream = connect_unix(&local);
        stream.write_all(b"x").ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        assert_eq!(answer, b"", "{named}");
    }
    for named in [json!([]), json!(["local"])] {
        let server = forwarding(named.clone());
        for at in ["0", "/tmp/back"] {
            let mut ssh = server.talking_ssh();
            let to = format!("{at}:127.0.0.1:1");
            ssh.args(["-o", "ExitOnForwardFailure=yes", "-R", &to]);
            ssh.args(["root@127.0.0.1", "--", "true"]);
            let done = finish(ssh);
            assert_eq!(done.code(), 255, "{named} {at}: {done:?}");
        }
        let mut ssh = server.ssh();
        ssh.args(["-A", "root@127.0.0.1", "--"]);
        ssh.arg("echo ${SSH_AUTH_SOCK-none}");
        assert_eq!(finish(ssh).good(), "none", "{named}");
    }
}

/// Whatever it is called, and also where a link leads there only when it is used.
#[test]
fn the_brokers_socket_is_never_reached() {
    let server = Server::with(Setup {
        options: json!({ "forwarding": ["local", "remote", "agent"] }),
        supervisor: true,
        log_requests: true,
        ..Setup::default()
    });
    let line = "ln -s /run/hassio.sock /tmp/link; ln -s /run /tmp/run; ln -s /proc/self/root/run/hassio.sock /config/link; exec 7</run; echo ready; sleep 60";
    let master = Master::new(&server, line);
    let mut hassio = master.ssh(&server);
    hassio.args(["root@127.0.0.1", "--", "hassio info"]);
    finish(hassio).good();
    let before = std::fs::read_to_string(server.dir.join("requests")).unwrap();
    let paths = [
        "/run/hassio.sock",
        "/tmp/link",
        "/tmp/run/hassio.sock",
        "/config/link",
        "//run/./hassio.sock",
        "/tmp/../run/hassio.sock",
        "/proc/self/root/run/hassio.sock",
        "/proc/1/root/run/hassio.sock",
        "/proc/self/cwd/run/hassio.sock",
        "/dev/fd/7/hassio.sock",
    ];
    for (number, path) in paths.into_iter().enumerate() {
        let local = server.dir.join(format!("client/local{number}"));
        let forward = format!("{}:{path}", local.display());
        master.forward(&server, &["-L", &forward]).good();
        let mut stream = connect_unix(&local);
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let request = b"GET /info HTTP/1.1\r\nHost: supervisor\r\nConnection: close\r\n\r\n";
        stream.write_all(request).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(answer, "", "{path}");
    }
    let after = std::fs::read_to_string(server.dir.join("requests")).unwrap();
    assert_eq!(before, after);
    let refused = eventually("all are on record", || {
        let refused = server.records_of("channel.refuse");
        (refused.len() == paths.len()).then_some(refused)
    });
    let foreign = |record: &&Value| {
        record["d"]["reason"] == "no program of this session listens there"
            && record["d"]["kind"] == "direct-streamlocal@openssh.com"
    };
    // Those that lead there, which the forwarder's own folder of descriptors does not.
    assert!(refused.iter().filter(foreign).count() >= 6, "{refused:?}");
}

#[test]
fn sockets_of_the_machine_are_not_the_sessions() {
    let server = forwarding(json!(["local"]));
    // In a folder that the session sees and may write.
    let outside = server.config("outside");
    let listener = std::os::unix::net::UnixListener::bind(&outside).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&outside, mode).unwrap();
    let ask = "python3 -c 'import socket
s=socket.socket(socket.AF_UNIX); s.connect(\"/config/outside\"); print(\"reached\")'";
    // The session itself does reach it: what keeps the forwarder away is who listens.
    assert_eq!(server.run(ask).good(), "reached");
    listener.accept().unwrap();
    let master = Master::new(&server, "echo ready; sleep 60");
    let local = server.dir.join("client/local");
    let forward = format!("{}:/config/outside", local.display());
    master.forward(&server, &["-L", &forward]).good();
    let mut stream = connect_unix(&local);
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).expect("it was reached"), 0);
    let refused = eventually("it is on record", || {
        server.records_of("channel.refuse").pop()
    });
    assert_eq!(
        refused["d"],
        json!({"kind": "direct-streamlocal@openssh.com", "target": "/config/outside", "reason": "no program of this session listens there"})
    );
}

#[test]
fn nothing_of_the_forwarder_outlives_the_session_nor_can_it_be_looked_into() {
    let server = forwarding(json!(["local"]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let local = free_port();
    let tunnel = tunnel(&server, &["-L", &format!("{local}:127.0.0.1:{port}")]);
    let _near = connect(local);
    let (mut far, _) = listener.accept().unwrap();
    let forwarder = eventually("the forwarder", || {
        let mut all = server.session_processes().into_iter();
        all.find(|process| process.field("Name") == "forwarder")
    });
    let field = |name: &str| forwarder.field(name);
    assert_eq!(
        (field("CapEff"), field("CapBnd")),
        (field("CapPrm"), field("CapEff"))
    );
    assert_eq!(field("CapEff"), "0000000000000000");
    assert_eq!(
        (field("NoNewPrivs").as_str(), field("Seccomp").as_str()),
        ("1", "2")
    );
    drop(tunnel);
    // Its connection ends, and it with it.
    assert_eq!(far.read(&mut [0; 1]).unwrap_or(0), 0);
    eventually("it is gone", || {
        server.session_processes().is_empty().then_some(())
    });
}

#[test]
fn a_forwarder_that_is_killed_ends_forwarding_alone() {
    let server = forwarding(json!(["local"]));
    let port = echo();
    let master = Master::new(&server, "echo ready; sleep 60");
    let through = || {
        let mut ssh = master.ssh(&server);
        ssh.args(["-W", &format!("127.0.0.1:{port}"), "root@127.0.0.1"]);
        crate::harness::feed(ssh, b"x")
    };
    assert_eq!(through().good(), "x");
    let run = |line: &str| {
        let mut ssh = master.ssh(&server);
        ssh.args(["root@127.0.0.1", "--", line]);
        finish(ssh)
    };
    // A program of the session sees it, may not look into it, and may end it: it is the session's own.
    let line =
        "for p in /proc/[0-9]*; do grep -qs ^forwarder $p/comm && echo ${p#/proc/}; done; true";
    let pid = run(line).good().to_owned();
    assert_ne!(run(&format!("ls -l /proc/{pid}/fd/")).code(), 0);
    run(&format!("kill -9 {pid}")).good();
    let done = through();
    assert_ne!(done.stdout, "x", "{done:?}");
    assert_eq!(run("echo alive").good(), "alive");
}
