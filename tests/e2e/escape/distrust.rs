//! What the server may not believe, and what its clients may not meet.

use super::*;

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
