//! `ssh -R` and `-A`.

use super::*;

#[test]
fn a_port_in_the_session_leads_to_the_client() {
    let server = forwarding(json!(["remote"]));
    let (port, far) = (echo(), free_port());
    let tunnel = tunnel(&server, &["-R", &format!("{far}:127.0.0.1:{port}")]);
    assert_eq!(talk(connect(far), b"to the client"), b"to the client");
    let all: Vec<_> = (0..16u8)
        .map(|n| {
            std::thread::spawn(move || {
                let sent = vec![n; 300_000];
                assert!(talk(connect(far), &sent) == sent);
            })
        })
        .collect();
    for one in all {
        one.join().unwrap();
    }
    drop(tunnel);
    eventually("the port is free again", || {
        TcpListener::bind(("127.0.0.1", far)).ok()
    });
    let opened = server.records_of("forward.open");
    assert_eq!(
        opened[0]["d"],
        json!({"kind": "tcpip-forward", "at": format!("localhost:{far}")})
    );
    let closed = eventually("its end is on record", || {
        server.records_of("forward.close").pop()
    });
    assert_eq!(closed["d"]["accepted"], 17);
}

#[test]
fn who_speaks_first_is_heard() {
    let server = forwarding(json!(["remote"]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(b"SSH-2.0-hello\r\n").unwrap();
        }
    });
    let far = free_port();
    let _tunnel = tunnel(&server, &["-R", &format!("{far}:127.0.0.1:{port}")]);
    for _ in 0..10 {
        let mut greeting = String::new();
        connect(far).read_to_string(&mut greeting).unwrap();
        assert_eq!(greeting, "SSH-2.0-hello\r\n");
    }
}

#[test]
fn a_port_is_chosen_and_told_and_can_be_given_back() {
    let server = forwarding(json!(["remote"]));
    let master = Master::new(&server, "echo ready; sleep 60");
    let to = format!("0:127.0.0.1:{}", echo());
    let far = master.forward(&server, &["-R", &to]);
    let far: u16 = far.good().trim().parse().unwrap();
    assert_eq!(talk(connect(far), b"x"), b"x");
    let mut cancel = master.ssh(&server);
    cancel.args(["-O", "cancel", "-R", &to, "root@127.0.0.1"]);
    finish(cancel).good();
    eventually("it is given back", || {
        TcpListener::bind(("127.0.0.1", far)).ok()
    });
}

#[test]
fn remote_ports_are_on_loopback_unless_the_options_say_so() {
    let address = |server: &Server| {
        let far = free_port();
        let to = format!("0.0.0.0:{far}:127.0.0.1:1");
        let _tunnel = tunnel(server, &["-R", &to]);
        drop(connect(far));
        let line = format!(":{far:04X} 00000000:0000 0A");
        let all = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let found = all.lines().find(|text| text.contains(&line)).unwrap();
        found.split_whitespace().nth(1).unwrap().to_owned()
    };
    let server = forwarding(json!(["remote"]));
    assert!(address(&server).starts_with("0100007F:"));
    let server = Server::with(Setup {
        options: json!({ "forwarding": ["remote"], "gateway_ports": true }),
        ..Setup::default()
    });
    assert!(address(&server).starts_with("00000000:"));
}

#[test]
fn the_servers_own_port_cannot_be_listened_on() {
    let server = Server::with(Setup {
        options: json!({ "forwarding": ["remote"], "gateway_ports": true }),
        ..Setup::default()
    });
    for address in ["127.0.0.1", "0.0.0.0", "*", "127.0.0.2"] {
        let mut ssh = server.talking_ssh();
        let to = format!("{address}:{}:127.0.0.1:1", server.port);
        ssh.args(["-o", "ExitOnForwardFailure=yes", "-R", &to]);
        ssh.args(["root@127.0.0.1", "--", "true"]);
        let done = finish(ssh);
        assert_eq!(done.code(), 255, "{address}: {done:?}");
    }
}

#[test]
fn a_socket_in_the_session_leads_to_the_client() {
    let server = forwarding(json!(["remote"]));
    let to = format!("/tmp/back:127.0.0.1:{}", echo());
    let mut ssh = server.ssh();
    ssh.args([
        "-o",
        "ExitOnForwardFailure=yes",
        "-R",
        &to,
        "root@127.0.0.1",
    ]);
    let ask = "python3 -c 'import socket
s=socket.socket(socket.AF_UNIX); s.connect(\"/tmp/back\"); s.sendall(b\"back\"); s.shutdown(1); print(s.recv(9).decode())'";
    ssh.args(["--", ask]);
    assert_eq!(finish(ssh).good(), "back");
    // What is there already is not taken, nor is the broker's.
    for path in ["/run/hassio.sock", "/usr/x", "/tmp/../run/hassio.sock"] {
        let mut ssh = server.talking_ssh();
        let to = format!("{path}:127.0.0.1:1");
        ssh.args(["-o", "ExitOnForwardFailure=yes", "-R", &to]);
        ssh.args(["root@127.0.0.1", "--", "true"]);
        assert_eq!(finish(ssh).code(), 255, "{path}");
    }
}

#[test]
fn the_clients_agent_serves_the_session_and_nobody_else() {
    let server = forwarding(json!(["agent"]));
    let (socket, key) = (
        server.dir.join("client/agent"),
        server.dir.join("client/key"),
    );
    let mut agent = server.client("ssh-agent");
    agent.args(["-D", "-a"]).arg(&socket).stdout(Stdio::null());
    let _agent = Tunnel(agent.spawn().unwrap());
    drop(connect_unix(&socket));
    let mut add = server.client("ssh-add");
    finish({
        add.arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket);
        add
    })
    .good();
    let options: Vec<String> = server
        .ssh_options()
        .into_iter()
        .map(|option| match option.as_str() {
            "IdentityAgent=none" => format!("IdentityAgent={}", socket.display()),
            _ => option,
        })
        .collect();
    let run = |line: &str, more: &[&str]| {
        let mut ssh = server.client("ssh");
        ssh.args(&options).args(more);
        ssh.args(["root@127.0.0.1", "--", line]);
        finish(ssh)
    };
    let mut fingerprint = server.client("ssh-keygen");
    fingerprint.arg("-lf").arg(&key);
    let fingerprint = finish(fingerprint).good().to_owned();
    let seen = run("ssh-add -l; stat -c %a $SSH_AUTH_SOCK; ls /tmp", &["-A"]);
    let digest = fingerprint.split(' ').nth(1).unwrap();
    assert!(seen.good().contains(digest), "{seen:?}");
    assert!(seen.stdout.contains("\n700\n"), "{seen:?}");
    // A hop, with a key that this session does not have.
    let hop = format!(
        "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -p {} root@127.0.0.1 echo hopped",
        server.port
    );
    assert_eq!(run(&hop, &["-A"]).good(), "hopped");
    assert_eq!(run("echo ${SSH_AUTH_SOCK-none}", &["-a"]).good(), "none");
}
