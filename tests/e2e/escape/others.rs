//! Namespaces, other processes, keys and sockets.

use super::*;

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
