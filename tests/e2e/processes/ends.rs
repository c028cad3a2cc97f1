//! What happens when a process ends, stands still or lies.

use super::*;

#[test]
fn each_process_that_ends_is_replaced_and_sessions_go_on() {
    let server = Server::with_supervisor();
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
        crate::harness::finish(ssh)
    };
    mux("echo kept > /tmp/f").good();
    for role in ["front", "keys", "broker", "audit-writer"] {
        let before = server.role(role).unwrap();
        end(&before);
        let after = eventually("it is back", || {
            server.role(role).filter(|after| after.pid != before.pid)
        });
        assert_ne!(after.pid, before.pid);
        assert_eq!(mux("cat /tmp/f").good(), "kept", "after {role}");
        within(Duration::from_secs(10), "new logins work", || {
            server.run("true").code() == 0
        });
        within(
            Duration::from_secs(10),
            "calls work in the old session",
            || mux("hassio info >/dev/null").code() == 0,
        );
    }
    master.kill().unwrap();
    master.wait().unwrap();
}

/// What a server process that was taken over can say: a packet on its own link to the warden.
fn say<Out: serde::Serialize>(process: &Process, message: &Out, fds: &[BorrowedFd<'_>]) {
    let pid = rustix::process::Pid::from_raw(process.pid as i32).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    // The number of src/process.rs.
    let link = rustix::process::pidfd_getfd(pidfd, 4, rustix::process::PidfdGetfdFlags::empty());
    let link = Link::<Out, ()>::from_fd(link.unwrap()).unwrap();
    link.send_with(message, fds).unwrap();
}

#[test]
fn what_a_process_says_wrongly_ends_it_and_nothing_else() {
    let server = Server::with_supervisor();
    let _session = server.background("sleep 100");
    server.find("sleep 100");
    let opened = server.records_of("session.open").pop().unwrap();
    let of = |name: &str| opened[name].clone();
    let cid: ConnectionId = serde_json::from_value(of("cid")).unwrap();
    let sid: SessionId = serde_json::from_value(of("sid")).unwrap();
    let peer = Peer {
        ip: [127, 0, 0, 1].into(),
        port: 1,
    };
    let null: OwnedFd = fs::File::open("/dev/null").unwrap().into();
    let null = null.as_fd();
    let accepted = |cid| FrontToWarden::Accepted { cid, peer };
    let (near, _far) = Link::<WardenToConnection, ()>::pair().unwrap();
    let own = rustix::process::getpid();
    let own = rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()).unwrap();
    let ready = [own.as_fd(), near.as_fd(), near.as_fd(), near.as_fd()];
    let grant = Grant {
        user: "root".to_owned(),
        login: hassio_sshd::model::Login::Password,
        role: "admin".parse().unwrap(),
        config: hassio_sshd::model::ConfigAccess::Absent,
        network: hassio_sshd::model::Network::None,
        forwarding: hassio_sshd::model::Forwarding::default(),
        recording: hassio_sshd::model::RecordingMode::Off,
        audit_failure: hassio_sshd::model::AuditFailure::Closed,
        command: None,
        environment: Vec::new(),
        permits: hassio_sshd::model::Permits::all(),
    };
    let other = server.background("sleep 101");
    server.find("sleep 101");
    let mut all = server.records_of("session.open").into_iter();
    let its = all.find(|record| record["cid"] != opened["cid"]).unwrap();
    let its: ConnectionId = serde_json::from_value(its["cid"].clone()).unwrap();

    type Act<'a> = Box<dyn Fn(&Process) + 'a>;
    let front = |cid, fds: Vec<BorrowedFd<'_>>| {
        let fds: Vec<OwnedFd> = fds
            .iter()
            .map(|fd| fd.try_clone_to_owned().unwrap())
            .collect();
        Box::new(move |process: &Process| {
            let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
            say(process, &accepted(cid), &fds);
        })
    };
    let new = ConnectionId::new;
    let wrong: Vec<(&str, Act<'_>, &str)> = vec![
        ("front", front(new(), vec![]), "with 0 descriptors"),
        (
            "front",
            front(new(), vec![null; 4]),
            "hands over what it may not",
        ),
        (
            "front",
            front(new(), vec![null, near.as_fd(), near.as_fd(), near.as_fd()]),
            "hands over what it may not",
        ),
        (
            "front",
            front(new(), vec![own.as_fd(), near.as_fd(), null, near.as_fd()]),
            "hands over what it may not",
        ),
        (
            "front",
            front(new(), vec![own.as_fd(), near.as_fd(), near.as_fd(), null]),
            "hands over what it may not",
        ),
        ("front", front(cid, ready.to_vec()), "a second time"),
        (
            "keys",
            Box::new(|process| {
                let blob = Vec::new();
                let fingerprint = String::new();
                say(
                    process,
                    &KeysToWarden::HostKey { blob, fingerprint },
                    &[null],
                );
            }),
            "hands over 1 descriptors",
        ),
        (
            "keys",
            Box::new(|process| {
                let grant = grant.clone();
                say(
                    process,
                    &KeysToWarden::Granted {
                        cid: its,
                        grant: Box::new(grant),
                    },
                    &[],
                );
            }),
            "a second login",
        ),
        (
            "broker",
            Box::new(|process| say(process, &BrokerToWarden::Closed(sid), &[])),
            "which does not end",
        ),
        (
            "broker",
            Box::new(|process| say(process, &BrokerToWarden::Closed(sid), &[null])),
            "hands over what it may not",
        ),
        (
            "broker",
            Box::new(|process| {
                say(
                    process,
                    &BrokerToWarden::Kill { sid, by: sid },
                    &[near.as_fd()],
                );
            }),
            "hands over what it may not",
        ),
        (
            "broker",
            Box::new(|process| say(process, &BrokerToWarden::Read, &[])),
            "hands over what it may not",
        ),
        (
            "broker",
            Box::new(|process| say(process, &BrokerToWarden::Read, &[null])),
            "hands over what it may not",
        ),
        (
            "audit-writer",
            Box::new(|process| say(process, &AuditToWarden::Closed(sid), &[null])),
            "hands over 1 descriptors",
        ),
        (
            "audit-writer",
            Box::new(|process| say(process, &"no such message", &[])),
            "says what it may not",
        ),
    ];
    for (role, act, said) in &wrong {
        let all = ["front", "keys", "broker", "audit-writer"];
        let before = all.map(|role| server.role(role).unwrap());
        let process = before
            .iter()
            .zip(all)
            .find(|(_, name)| name == role)
            .unwrap()
            .0;
        let log = server.log().len();
        act(process);
        let what = format!("{role}: {said}");
        eventually(&what, || {
            server.role(role).filter(|after| after.pid != process.pid)
        });
        let log = server.log().split_off(log);
        let line = log.lines().find(|line| line.contains("it is ended"));
        assert!(
            line.is_some_and(|line| line.contains(said)),
            "{what}: {log}"
        );
        within(Duration::from_secs(10), &what, || {
            server.run("true").code() == 0
        });
        for (name, before) in all.iter().zip(&before).filter(|(name, _)| *name != role) {
            let after = server.role(name).map(|after| after.pid);
            assert_eq!(after, Some(before.pid), "{name} after {what}");
        }
        // Settled again: four failures in a row would end the server.
        std::thread::sleep(Duration::from_millis(2100));
    }
    server.find("sleep 100");
    drop(other);
}

#[test]
fn a_broker_that_is_killed_leaves_requested_and_outcome_unknown_on_record() {
    let server = Server::with(Setup {
        supervisor: true,
        log_requests: true,
        ..Setup::default()
    });
    let mut session = server.background("hassio core restart 2>&1; echo code $?");
    // The Supervisor takes a second to answer.
    eventually("the call has arrived", || {
        let requests = fs::read_to_string(server.dir.join("requests")).ok()?;
        requests.contains("/core/restart").then_some(())
    });
    end(&server.role("broker").unwrap());
    let mut said = String::new();
    session.out.read_to_string(&mut said).unwrap();
    assert!(said.contains("code 4"), "{said}");
    let restart =
        |record: &Value| record["d"]["endpoint"] == "core.restart" && record["ok"] == true;
    let requests = server.records_of("api.request");
    let request = requests.iter().find(|record| restart(record)).unwrap();
    let same =
        |record: &Value| record["sid"] == request["sid"] && record["d"]["id"] == request["d"]["id"];
    assert!(!server.records_of("api.response").iter().any(same));
    within(Duration::from_secs(10), "calls work again", || {
        server.run("hassio info").code() == 0
    });
    assert!(!server.records_of("api.response").iter().any(same));
}

#[test]
fn a_connection_that_is_killed_ends_its_session_alone() {
    let server = Server::start();
    let _other = server.background("sleep 101");
    server.find("sleep 101");
    let front = server.role("front").unwrap();
    let others: Vec<u32> = server
        .processes()
        .iter()
        .map(|process| process.pid)
        .collect();
    let _session = server.background("sleep 102");
    let new = server
        .processes()
        .into_iter()
        .find(|process| process.line == front.line && !others.contains(&process.pid))
        .unwrap();
    end(&new);
    within(Duration::from_secs(1), "its session is gone", || {
        !server
            .session_processes()
            .iter()
            .any(|process| process.line == "sleep 102")
    });
    assert!(
        server
            .session_processes()
            .iter()
            .any(|process| process.line == "sleep 101")
    );
}

#[test]
fn each_process_that_stands_still_is_replaced() {
    let server = Server::with_supervisor();
    server.run("true").good();
    let before =
        ["front", "keys", "broker", "audit-writer"].map(|role| (role, server.role(role).unwrap()));
    for (_, process) in &before {
        kill(Pid::from_raw(process.pid as i32), Signal::SIGSTOP).unwrap();
    }
    for (role, process) in &before {
        eventually(role, || {
            server.role(role).filter(|after| after.pid != process.pid)
        });
        let said = format!("{role} has not given a sign of life for 15 s; it is ended");
        assert!(server.log().contains(&said), "{said}");
    }
    server.run("hassio info >/dev/null").good();
}

#[test]
fn a_connection_that_stands_still_loses_its_session_alone() {
    let server = Server::start();
    let others: Vec<u32> = server.processes().iter().map(|other| other.pid).collect();
    let _session = server.background("sleep 100");
    let front = server.role("front").unwrap();
    let program = server.find("sleep 100");
    let all = server.processes();
    let connection = all
        .iter()
        .find(|process| process.line == front.line && !others.contains(&process.pid))
        .unwrap();
    let _other = server.background("sleep 101");
    let other = server.find("sleep 101");
    kill(Pid::from_raw(connection.pid as i32), Signal::SIGSTOP).unwrap();
    eventually("it is ended", || {
        let gone = !Process::lives(connection.pid) && !Process::lives(program.pid);
        gone.then_some(())
    });
    assert!(server.log().contains("has not given a sign of life"));
    assert!(Process::lives(other.pid));
    eventually("its end is on record", || {
        server.records_of("session.close").pop()
    });
    assert_eq!(
        server.records_of("session.close")[0]["d"]["reason"],
        "limit"
    );
}

#[test]
fn a_connection_that_stands_still_does_not_outlive_the_server() {
    let mut server = Server::start();
    let _session = server.background("sleep 100");
    let front = server.role("front").unwrap();
    let program = server.find("sleep 100");
    let all = server.processes();
    let connection = all
        .iter()
        .find(|process| process.line == front.line && process.pid != front.pid)
        .unwrap();
    kill(Pid::from_raw(connection.pid as i32), Signal::SIGSTOP).unwrap();
    server.kill();
    let gone = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        !Process::lives(connection.pid) && !Process::lives(program.pid)
    });
    if !gone {
        // A test that fails leaves nothing behind either.
        end(connection);
    }
    assert!(gone, "it is there, or its session");
}

#[test]
fn a_new_front_counts_the_connections_of_the_one_before() {
    let server = Server::start();
    server.run("true").good();
    let _session = server.background("sleep 100");
    let front = server.role("front").unwrap();
    let connections = || {
        let all = server.processes();
        let fronts = all.iter().filter(|process| process.line == front.line);
        fronts.count() - 1
    };
    let connect = || {
        let stream = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        // It speaks first, once it is there.
        std::io::Read::read_exact(&mut &stream, &mut [0; 4]).unwrap();
        stream
    };
    let mut all: Vec<_> = (0..20).map(|_| connect()).collect();
    assert_eq!(connections(), 21);
    end(&front);
    eventually("it is back", || {
        server.role("front").filter(|after| after.pid != front.pid)
    });
    // 32 may be there that have not logged in (policy/ssh.toml).
    all.extend((0..20).map(|_| connect()));
    within(Duration::from_secs(2), "some made room", || {
        connections() == 33
    });
    let closed = |stream: &std::net::TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let mut bytes = [0; 4096];
        loop {
            match std::io::Read::read(&mut &*stream, &mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    };
    let closed: Vec<bool> = all.iter().map(closed).collect();
    assert_eq!(closed.iter().filter(|closed| **closed).count(), 8);
    server.find("sleep 100");
}

#[test]
fn a_session_whose_init_is_killed_ends_alone() {
    let server = Server::start();
    let _other = server.background("sleep 101");
    server.find("sleep 101");
    let mut session = server.background("sleep 102");
    let victim = server.find("sleep 102");
    let init = server
        .session_processes()
        .into_iter()
        .find(|process| process.uid == victim.uid && process.line == "session-init");
    end(&init.unwrap());
    eventually("the client is told", || session.child.try_wait().unwrap());
    assert!(
        server
            .session_processes()
            .iter()
            .any(|process| process.line == "sleep 101")
    );
}
