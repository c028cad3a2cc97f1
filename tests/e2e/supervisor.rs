//! `hassio` in a session, through the broker, to a Supervisor over real HTTP.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Server, Setup, TOKEN, public, within};

#[test]
fn hassio_shows_the_system_in_yaml_and_raw() {
    let server = Server::with_supervisor();
    let done = server.run("hassio info");
    assert!(
        done.good().contains("hostname: ") && done.stdout.contains("supervisor: "),
        "{done:?}"
    );
    let raw: Value = serde_json::from_str(server.run("ha info --raw-json").good()).unwrap();
    assert_eq!(raw["result"], "ok");
    assert!(server.run("hassio help").good().contains("core"));
    // Carried out by a process of its own, also where a session's limits hold.
    let picked = server.run("hassio info --query 'def f: .arch; f'");
    assert_eq!(picked.good(), "amd64");
    let deep = server.run("hassio info --query 'def f: 1 + f; f'");
    assert_eq!(deep.code(), 2, "{deep:?}");
    assert!(deep.stderr.contains("goes too deep"), "{deep:?}");
    for line in [
        "hassio core info",
        "hassio supervisor info",
        "hassio core logs",
        "hassio core check",
        "hassio addons",
        "hassio host info",
    ] {
        server.run(line).good();
    }
}

#[test]
fn exit_codes_tell_who_said_no() {
    let mut server = Server::with(Setup {
        supervisor: true,
        config: |config| fs::write(config.join("configuration.yaml"), "INVALID\n").unwrap(),
        ..Setup::default()
    });
    assert_eq!(server.run("hassio core check").code(), 1);
    assert_eq!(server.run("hassio no-such-word").code(), 2);
    server.stop_supervisor();
    let done = server.run("hassio info");
    assert_eq!(done.code(), 4, "{done:?}");
    assert!(done.stderr.contains("Supervisor"), "{done:?}");
}

#[test]
fn without_a_supervisor_logins_work_and_hassio_explains() {
    let server = Server::start();
    let done = server.run("hassio info");
    assert_eq!(done.code(), 4, "{done:?}");
    assert!(
        done.stderr.contains("no Supervisor is configured"),
        "{done:?}"
    );
}

#[test]
fn a_role_is_held_and_the_denial_is_on_record() {
    let server = Server::start();
    let line = format!(
        "role=\"observer\" {}",
        public(&server.dir.join("client/key"))
    );
    let setup = Setup {
        options: json!({ "authorized_keys": [line] }),
        supervisor: true,
        log_requests: true,
        config: |config| {
            fs::create_dir_all(config.join(".storage")).unwrap();
            fs::write(config.join(".storage/auth"), "secret").unwrap();
            fs::write(config.join("secrets.yaml"), "secret").unwrap();
            fs::write(config.join("configuration.yaml"), "visible").unwrap();
            for name in [".storage/auth", "secrets.yaml", "configuration.yaml"] {
                fs::set_permissions(
                    config.join(name),
                    std::os::unix::fs::PermissionsExt::from_mode(0o644),
                )
                .unwrap();
            }
        },
        ..Setup::default()
    };
    let server = Server::at(server.into_dir(), setup);
    server.run("hassio info").good();
    let done = server.run("hassio core restart");
    assert_eq!(done.code(), 3, "{done:?}");
    assert!(
        done.stderr.contains("observer") && done.stderr.contains("operator"),
        "{done:?}"
    );
    assert!(
        !fs::read_to_string(server.dir.join("requests"))
            .unwrap()
            .contains("restart")
    );
    let denied = server
        .records_of("api.request")
        .into_iter()
        .find(|record| record["d"]["decision"] == "deny")
        .unwrap();
    assert!(
        denied["ok"] == false && denied["role"] == "observer",
        "{denied}"
    );
    // Its /config is read-only, and masked.
    assert_eq!(
        server.run("cat /config/configuration.yaml").good(),
        "visible"
    );
    assert_ne!(server.run("touch /config/x").code(), 0);
    assert!(
        !server
            .run("cat /config/secrets.yaml /config/.storage/auth")
            .stdout
            .contains("secret")
    );
}

#[test]
fn options_that_are_not_shown_are_said_to_be() {
    let server = Server::with_supervisor();
    let done = server.run("hassio apps options get core_mosquitto");
    assert_eq!((done.code(), done.stdout.as_str()), (3, ""), "{done:?}");
    assert!(done.stderr.contains("not shown here"), "{done:?}");
    assert!(done.stderr.contains("admin"), "{done:?}");
}

#[test]
fn a_role_of_the_options_is_a_keys_role() {
    let server = Server::start();
    let line = format!(
        "role=\"monitor\" {}",
        public(&server.dir.join("client/key"))
    );
    let setup = Setup {
        options: json!({
            "authorized_keys": [line],
            "roles": { "monitor": { "may": ["logs", "core.info"], "config": "absent" } },
        }),
        supervisor: true,
        ..Setup::default()
    };
    let server = Server::at(server.into_dir(), setup);
    server.run("hassio core logs").good();
    server.run("hassio core info").good();
    let done = server.run("hassio supervisor info");
    assert_eq!(done.code(), 3, "{done:?}");
    assert!(done.stderr.contains("the role monitor"), "{done:?}");
    assert_ne!(server.run("ls /config/configuration.yaml").code(), 0);
    let who = server.run("curl -s --unix-socket $HASSIO_SOCKET http://x/sshd/session");
    let who: Value = serde_json::from_str(who.good()).unwrap();
    assert_eq!(who["data"]["role"], "monitor");
    assert_eq!(who["data"]["config"], "absent");
    assert!(
        who["data"]["key"]["fingerprint"]
            .as_str()
            .unwrap()
            .starts_with("SHA256:")
    );
    assert!(
        who["data"]["calls"]
            .as_array()
            .unwrap()
            .contains(&json!("host.logs-follow"))
    );
}

#[test]
fn too_many_connections_to_the_broker_do_not_cost_the_trail() {
    let server = Server::with_supervisor();
    let line = "python3 -c 'import socket,os\nk=[]\nfor i in range(40):\n  s=socket.socket(socket.AF_UNIX); \
                s.connect(os.environ[\"HASSIO_SOCKET\"]); k.append(s)\nprint(k[39].recv(1))'";
    assert_eq!(server.run(line).good().trim(), "b''");
    server.run("hassio info").good();
    let limit = |record: &Value| record["d"]["rule"] == "a session may have 32";
    within(Duration::from_secs(3), "it is on record", || {
        server.records_of("policy.deny").iter().any(limit)
    });
    let foreign = |record: &Value| record["d"]["layer"] == "audit";
    assert!(!server.records_of("policy.deny").iter().any(foreign));
}

#[test]
fn the_token_never_enters_a_session() {
    let server = Server::with(Setup {
        supervisor: true,
        log_requests: true,
        ..Setup::default()
    });
    let line = "hassio info; hassio supervisor info --raw-json; hassio addons info self; \
                curl -sv --unix-socket /run/hassio.sock http://x/info; env; cat /proc/*/environ; grep -r . /run /tmp /root";
    let done = server.run(line);
    assert!(!done.stdout.contains(TOKEN) && !done.stderr.contains(TOKEN));
    assert!(
        fs::read_to_string(server.dir.join("requests"))
            .unwrap()
            .lines()
            .count()
            > 2
    );
    assert!(!server.log().contains(TOKEN));
    assert!(
        server
            .records()
            .iter()
            .all(|record| !record.to_string().contains(TOKEN))
    );
}

#[test]
fn logs_are_followed_and_end_with_the_client() {
    let server = Server::with_supervisor();
    let mut session = server.background("hassio core logs --follow");
    let mut some = [0; 300];
    std::io::Read::read_exact(&mut session.out, &mut some).unwrap();
    drop(session);
    within(Duration::from_secs(2), "it is gone", || {
        server.session_processes().is_empty()
    });
}

#[test]
fn a_brokers_connection_does_not_outlive_its_session() {
    let server = Server::with_supervisor();
    // One session leaves a connected socket to another, by way of /config.
    let keeper = server.background(
        "python3 - <<'E'\nimport socket,array,time\ns=socket.socket(socket.AF_UNIX); s.bind('/config/pass'); s.listen(1)\n\
         c,_=s.accept(); m,a,_,_=c.recvmsg(1,socket.CMSG_SPACE(4)); fd=array.array('i',a[0][2])[0]\n\
         k=socket.socket(fileno=fd); k.send(b'GET /core/logs/follow HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); k.recv(10)\n\
         open('/config/got','w').close()\nwhile True:\n  try: d=k.recv(10)\n  except OSError: d=b''\n  \
         if not d: open('/config/dead','w').close(); break\nE",
    );
    crate::harness::eventually("it listens", || {
        server.config("pass").exists().then_some(())
    });
    let giver = server.background(
        "python3 - <<'E'\nimport socket,array,time\nb=socket.socket(socket.AF_UNIX); b.connect('/run/hassio.sock')\n\
         s=socket.socket(socket.AF_UNIX)\ntry: s.connect('/config/pass')\nexcept OSError: open('/config/refused','w').close(); raise\n\
         s.sendmsg([b'x'],[(socket.SOL_SOCKET,socket.SCM_RIGHTS,array.array('i',[b.fileno()]))]); time.sleep(100)\nE",
    );
    // Where the socket file of another session cannot be connected to, nothing can be passed at all.
    let passed = crate::harness::eventually("it was passed or refused", || {
        (server.config("got").exists() || server.config("refused").exists())
            .then(|| server.config("got").exists())
    });
    if passed {
        assert!(!server.config("dead").exists(), "it ended by itself");
    }
    drop(giver);
    if passed {
        within(Duration::from_secs(3), "the connection is dead", || {
            server.config("dead").exists()
        });
    }
    drop(keeper);
}

#[test]
fn another_sessions_uid_is_refused_by_the_broker() {
    // The socket has no path outside its session; the test reaches it as only root can, and is refused as root.
    let server = Server::with_supervisor();
    let _session = server.background("sleep 100");
    let pid = server.find("sleep 100").pid;
    let mut stream =
        std::os::unix::net::UnixStream::connect(format!("/proc/{pid}/root/run/hassio.sock"))
            .unwrap();
    std::io::Write::write_all(&mut stream, b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n").ok();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).ok();
    assert_eq!(answer, "");
    within(Duration::from_secs(3), "it is on record", || {
        !server.records_of("policy.deny").is_empty()
    });
}
