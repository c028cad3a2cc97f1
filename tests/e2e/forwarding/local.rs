//! `ssh -L`, `-D`, `-W`, `-J`.

use super::*;

#[test]
fn a_port_and_a_name_are_reached_and_a_closed_one_is_said() {
    let server = forwarding(json!(["local"]));
    let port = echo();
    for host in ["127.0.0.1", "localhost"] {
        let done = dial(&server, &format!("{host}:{port}"), b"through");
        assert_eq!(done.good(), "through");
    }
    let done = dial(&server, &format!("127.0.0.1:{}", free_port()), b"");
    assert_ne!(done.code(), 0, "{done:?}");
    assert!(done.stderr.contains("onnect failed"), "{done:?}");
    let done = dial(&server, "no.such.name.invalid:80", b"");
    assert!(done.stderr.contains("onnect failed"), "{done:?}");
    // A name that would be an option to whoever looks it up.
    let done = dial(&server, "--help:80", b"");
    assert!(done.stderr.contains("onnect failed"), "{done:?}");
    let refused = eventually("the refusals are on record", || {
        let refused = server.records_of("channel.refuse");
        (refused.len() == 3).then_some(refused)
    });
    let port_is_closed = |record: &&Value| {
        let target = record["d"]["target"].as_str().unwrap();
        target.starts_with("127.0.0.1:")
    };
    let closed = &refused.iter().find(port_is_closed).unwrap()["d"];
    assert_eq!(closed["kind"], "direct-tcpip");
    assert!(
        closed["reason"].as_str().unwrap().contains("refused"),
        "{closed}"
    );
    let opened = server.records_of("channel.open");
    let to = format!("localhost:{port}");
    let ours = opened.iter().find(|record| record["d"]["target"] == *to);
    let ours = ours.expect("a record of what was reached");
    assert_eq!(ours["d"]["kind"], "direct-tcpip");
    let closed = server.records_of("channel.close");
    let end = closed
        .iter()
        .find(|record| record["sid"] == ours["sid"] && record["ch"] == ours["ch"]);
    let end = &end.expect("its end")["d"];
    assert_eq!(end, &json!({"bytes_in": 7, "bytes_out": 7}));
}

#[test]
fn sixty_four_connections_at_once_carry_a_mebibyte_each_way() {
    let server = forwarding(json!(["local"]));
    let (port, local) = (echo(), free_port());
    let _tunnel = tunnel(&server, &["-L", &format!("{local}:127.0.0.1:{port}")]);
    drop(connect(local));
    let all: Vec<_> = (0..63u8)
        .map(|n| {
            std::thread::spawn(move || {
                let sent = vec![n; 1 << 20];
                assert!(talk(connect(local), &sent) == sent, "connection {n}");
            })
        })
        .collect();
    for one in all {
        one.join().unwrap();
    }
}

#[test]
fn a_connection_that_nobody_reads_holds_up_no_other() {
    let server = forwarding(json!(["local"]));
    let (port, local) = (echo(), free_port());
    let _tunnel = tunnel(&server, &["-L", &format!("{local}:127.0.0.1:{port}")]);
    let mut stuck = connect(local);
    stuck.write_all(&vec![0; 8 << 20]).unwrap();
    stuck.shutdown(Shutdown::Write).unwrap();
    for _ in 0..3 {
        std::thread::sleep(PAUSE);
        assert_eq!(talk(connect(local), b"quick"), b"quick");
    }
}

#[test]
fn socks_asks_for_names_in_the_session() {
    let server = forwarding(json!(["local"]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let asked = stream.read(&mut [0; 4096]).unwrap();
        assert!(asked > 0);
        stream
            .write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .unwrap();
    });
    let socks = free_port();
    let _tunnel = tunnel(&server, &["-D", &socks.to_string()]);
    drop(connect(socks));
    let mut curl = server.client("curl");
    curl.args(["-sS", "--socks5-hostname", &format!("127.0.0.1:{socks}")]);
    curl.arg(format!("http://localhost:{port}/"));
    assert_eq!(finish(curl).good(), "hello");
}

#[test]
fn another_server_is_reached_by_way_of_this_one() {
    let first = forwarding(json!(["local"]));
    let second = Server::at(crate::harness::folder(), Setup::default());
    std::fs::copy(first.dir.join("client/key"), second.dir.join("client/jump")).unwrap();
    let jump = second.dir.join("client/jump");
    std::os::unix::fs::chown(&jump, Some(65534), Some(65534)).unwrap();
    let proxy = format!(
        "ssh {} -i {} -W %h:%p root@127.0.0.1",
        first.ssh_options().join(" "),
        jump.display()
    );
    let mut ssh = second.ssh();
    ssh.args(["-o", &format!("ProxyCommand={proxy}"), "root@127.0.0.1"]);
    ssh.args(["--", "echo arrived; echo $SSH_CONNECTION"]);
    let done = finish(ssh);
    assert!(done.good().starts_with("arrived\n127.0.0.1 "), "{done:?}");
}

#[test]
fn a_session_without_network_reaches_its_own_loopback_alone() {
    let server = Server::with(Setup {
        options: json!({ "forwarding": ["local"], "network": "none" }),
        ..Setup::default()
    });
    let outside = echo();
    let done = dial(&server, &format!("127.0.0.1:{outside}"), b"x");
    assert!(done.stderr.contains("onnect failed"), "{done:?}");
    let program = "python3 -c 'import socket
s=socket.create_server((\"127.0.0.1\",4711)); print(\"ready\",flush=True)
c,_=s.accept(); c.sendall(b\"inside\"); c.close()
import time; time.sleep(60)'";
    let master = Master::new(&server, program);
    let mut ssh = master.ssh(&server);
    ssh.args(["-W", "localhost:4711", "root@127.0.0.1"]);
    assert_eq!(finish(ssh).good(), "inside");
}

#[test]
fn a_socket_of_the_sessions_own_is_reached() {
    let server = forwarding(json!(["local"]));
    let master = Master::new(&server, &echo_at("/tmp/echo"));
    let local = server.dir.join("client/local");
    let forward = format!("{}:/tmp/echo", local.display());
    master.forward(&server, &["-L", &forward]).good();
    let mut stream = connect_unix(&local);
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
}

/// What an editor's remote extension does: a server program, whose port and socket are used while more commands run.
#[test]
fn an_editors_server_works_over_a_port_and_a_socket_while_commands_run() {
    let server = forwarding(json!(["local"]));
    let program = "python3 -c 'import socket,threading
t=socket.create_server((\"127.0.0.1\",0)); u=socket.socket(socket.AF_UNIX); u.bind(\"/tmp/editor\"); u.listen(64)
open(\"/tmp/port\",\"w\").write(str(t.getsockname()[1])); print(\"ready\",flush=True)
def serve(c):
    while True:
        b=c.recv(65536)
        if not b: break
        c.sendall(b)
    c.close()
def accept(s):
    while True:
        c,_=s.accept(); threading.Thread(target=serve,args=(c,)).start()
threading.Thread(target=accept,args=(t,)).start(); accept(u)'";
    let master = Master::new(&server, program);
    let mut cat = master.ssh(&server);
    cat.args(["root@127.0.0.1", "--", "cat /tmp/port"]);
    let port = finish(cat).good().to_owned();
    let (local, socket) = (free_port(), server.dir.join("client/editor"));
    let tcp = format!("{local}:127.0.0.1:{port}");
    let unix = format!("{}:/tmp/editor", socket.display());
    master.forward(&server, &["-L", &tcp, "-L", &unix]).good();
    std::thread::scope(|scope| {
        for n in 0..8u8 {
            let socket = &socket;
            scope.spawn(move || {
                let sent = vec![n; 200_000];
                assert!(talk(connect(local), &sent) == sent);
                let mut stream = connect_unix(socket);
                let mut got = [0; 3];
                for _ in 0..20 {
                    stream.write_all(&[n; 3]).unwrap();
                    stream.read_exact(&mut got).unwrap();
                    assert_eq!(got, [n; 3]);
                }
            });
        }
        for n in 0..8 {
            let mut run = master.ssh(&server);
            run.args(["root@127.0.0.1", "--", &format!("echo {n}")]);
            assert_eq!(finish(run).good(), n.to_string());
        }
    });
}

#[test]
fn a_connection_has_so_many_channels_and_listeners_and_no_more() {
    let server = forwarding(json!(["local", "remote"]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, local) = (listener.local_addr().unwrap().port(), free_port());
    let _tunnel = tunnel(&server, &["-L", &format!("{local}:127.0.0.1:{port}")]);
    let held: Vec<_> = (0..64)
        .map(|_| (connect(local), listener.accept().unwrap().0))
        .collect();
    let mut answer = Vec::new();
    connect(local).read_to_end(&mut answer).ok();
    let refused = eventually("it is on record", || {
        server.records_of("channel.refuse").pop()
    });
    assert_eq!(refused["d"]["reason"], "more than 64 forwarded channels");
    drop(held);
    eventually("there is room again", || {
        let _near = connect(local);
        listener.set_nonblocking(true).unwrap();
        listener.accept().ok()
    });
    let mut ssh = server.talking_ssh();
    for to in 1..=17 {
        ssh.args(["-R", &format!("0:127.0.0.1:{to}")]);
    }
    ssh.args(["root@127.0.0.1", "--", "true"]);
    let done = finish(ssh);
    let failed = done.stderr.matches("remote port forwarding failed").count();
    assert_eq!((done.code(), failed), (0, 1), "{done:?}");
}
