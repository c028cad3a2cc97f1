//! What a session leaves on record, read as an owner would the next day.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::clients::python;
use crate::harness::{Done, Server, app, eventually, feed, finish, make_key};

fn verify(server: &Server) -> Done {
    let mut command = Command::new(app().join("hassio-sshd"));
    command
        .args(["audit", "verify", "--data-dir"])
        .arg(server.dir.join("data"));
    finish(command)
}

/// The records of the one session, once it is closed.
fn session(server: &Server) -> Vec<Value> {
    eventually("the session is closed on record", || {
        let close = server.records_of("session.close").pop()?;
        let sid = close["sid"].as_str().unwrap().to_owned();
        Some(
            server
                .records()
                .into_iter()
                .filter(|record| record["sid"] == sid.as_str() && record["type"] != "anchor")
                .collect(),
        )
    })
}

#[test]
fn a_session_is_on_record_from_login_to_logout() {
    let mut server = Server::with_supervisor();
    assert_eq!(
        server
            .run("hassio info > /dev/null; echo out; echo err >&2; exit 7")
            .code(),
        7
    );
    let records = session(&server);
    let kinds: Vec<&str> = records
        .iter()
        .map(|record| record["type"].as_str().unwrap())
        .collect();
    for expected in [
        "session.open",
        "channel.open",
        "exec",
        "api.request",
        "api.response",
        "exec.end",
        "channel.close",
        "session.close",
    ] {
        assert!(kinds.contains(&expected), "{expected} in {kinds:?}");
    }
    assert_eq!(
        (kinds.first(), kinds.last()),
        (Some(&"session.open"), Some(&"session.close"))
    );
    let get = |kind: &str| {
        records
            .iter()
            .find(|record| record["type"] == kind)
            .unwrap()
    };
    let open = get("session.open");
    assert_eq!(
        (
            open["user"].as_str(),
            open["role"].as_str(),
            open["src"]["ip"].as_str()
        ),
        (Some("root"), Some("operator"), Some("127.0.0.1"))
    );
    assert!(
        open["key"]
            .as_str()
            .is_some_and(|key| key.starts_with("SHA256:") && key.contains("e2e")),
        "{open}"
    );
    assert!(
        get("exec")["d"]["command"]
            .as_str()
            .unwrap()
            .contains("exit 7")
    );
    let end = &get("exec.end")["d"];
    assert_eq!(
        (
            end["exit"]["Status"].as_u64(),
            end["stdout"]["bytes"].as_u64(),
            end["stderr"]["bytes"].as_u64()
        ),
        (Some(7), Some(4), Some(4)),
        "{end}"
    );

    assert_eq!(end["stdout"]["sha256_first_mib"], sha256("out\n").as_str());
    assert_eq!(get("api.request")["d"]["path"], "/info");
    assert!(server.stop().success());
    assert_eq!(verify(&server).code(), 0, "{:?}", verify(&server));
}

#[test]
fn what_a_session_leaves_is_exported_as_the_schema_has_it() {
    let Some(python) = python() else { return };
    let server = Server::with_supervisor();
    let done =
        server.run("hassio info >/dev/null; hassio os datadisk wipe; curl -s 127.0.0.1:1; exit 7");
    assert_eq!(done.code(), 7);
    let mut sftp = server.client("sftp");
    sftp.args(server.ssh_options())
        .args(["-b", "-", "root@127.0.0.1"]);
    let script = "mkdir /config/new\nput /etc/hostname /config/new/a\nrename /config/new/a /config/new/b\n-get /config/none /tmp\n";
    feed(sftp, script.as_bytes()).good();
    let mut ssh = server.ssh();
    ssh.args(["-W", "127.0.0.1:1", "root@127.0.0.1"]);
    assert_ne!(finish(ssh).code(), 0, "a forwarding was let through");
    eventually("all sessions are closed on record", || {
        (server.records_of("session.close").len() == 3).then_some(())
    });
    let mut export = Command::new(app().join("hassio-sshd"));
    export
        .args(["audit", "export", "--format", "ocsf", "--data-dir"])
        .arg(server.dir.join("data"));
    let exported = finish(export);
    let events = exported.good();
    let lines: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let seen: BTreeSet<u64> = lines
        .iter()
        .map(|event| event["class_uid"].as_u64().unwrap())
        .collect();
    let all = [1001, 1007, 1008, 3002, 4007, 6002, 6003];
    assert_eq!(seen, BTreeSet::from(all));
    for refused in ["api.request", "channel.refuse"] {
        let found = lines.iter().any(|event| {
            event["metadata"]["event_code"] == refused && event["disposition_id"] == 2
        });
        assert!(found, "{refused}");
    }
    let mut judge = Command::new(python);
    judge.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/audit/read/export/ocsf.py"
    ));
    let judged = feed(judge, events.as_bytes());
    assert_eq!(judged.good(), format!("{} events", lines.len()));
}

fn sha256(text: &str) -> String {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &format!(
            "printf '{}' | sha256sum | cut -d' ' -f1",
            text.replace('\n', "\\n")
        ),
    ]);
    finish(command).good().to_owned()
}

#[test]
fn a_channel_is_on_record_from_its_beginning_to_its_end_or_counted() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = Server::start();
    let script = "
import paramiko,sys
c=paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect('127.0.0.1',int(sys.argv[1]),'root',key_filename=sys.argv[2],allow_agent=False,look_for_keys=False)
t=c.get_transport()
for n in range(300):
  ch=t.open_session()
  if n==299: ch.exec_command('true'); assert ch.recv_exit_status()==0
  ch.close()
left=t.open_session()
c.close()
print('ok')
";
    let mut command = server.client(python);
    command
        .args(["-c", script, &server.port.to_string()])
        .arg(server.dir.join("client/key"));
    assert_eq!(finish(command).good(), "ok");
    let records = session(&server);
    let channels = |kind: &str| {
        let of_kind = records.iter().filter(|record| record["type"] == kind);
        of_kind
            .map(|record| record["ch"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let (opened, mut closed) = (channels("channel.open"), channels("channel.close"));
    // The last one's end is reported at the connection's.
    closed.sort_unstable();
    assert_eq!(opened, closed);
    let folded: u64 = records
        .iter()
        .filter(|record| record["type"] == "channel.folded")
        .filter_map(|record| record["d"]["channels"].as_u64())
        .sum();
    assert!(folded > 0, "all were on record: {}", opened.len());
    assert_eq!(opened.len() as u64 + folded, 301);
    assert!(opened.contains(&channels("exec")[0]));
}

#[test]
fn a_terminals_session_records_its_shape() {
    let server = Server::start();
    server.type_in("exit\n").good();
    let records = session(&server);
    let kinds: Vec<&str> = records
        .iter()
        .map(|record| record["type"].as_str().unwrap())
        .collect();
    for expected in ["pty", "shell", "exec.end"] {
        assert!(kinds.contains(&expected), "{expected} in {kinds:?}");
    }
}

#[test]
fn failed_logins_are_on_record() {
    let server = Server::start();
    make_key(&server.dir.join("client/wrong"), "ed25519", &[]);
    let mut ssh = server.client("ssh");
    let options = server.ssh_options();
    ssh.args(["-F", "none", "-i"])
        .arg(server.dir.join("client/wrong"))
        .args(&options[4..])
        .args(["root@127.0.0.1", "--", "true"]);
    assert_eq!(finish(ssh).code(), 255);
    let attempt = eventually("it is on record", || {
        server
            .records_of("auth.attempt")
            .into_iter()
            .find(|record| record["ok"] == false)
    });
    assert!(
        attempt["d"]["fingerprint"]
            .as_str()
            .is_some_and(|text| text.starts_with("SHA256:")),
        "{attempt}"
    );
    eventually("the connection's end is on record", || {
        server.records_of("conn.close").pop()
    });
}

#[test]
fn a_changed_record_is_found() {
    let mut server = Server::start();
    server.run("true").good();
    session(&server);
    server.stop();
    assert_eq!(verify(&server).code(), 0);
    let ledger = server.dir.join("data/audit/ledger");
    let file = fs::read_dir(ledger)
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("server.start", "server.stort", 1)).unwrap();
    let done = verify(&server);
    assert_eq!(done.code(), 10, "{done:?}");
}

#[test]
fn a_session_cannot_reach_its_record() {
    let server = Server::start();
    let dir = server.dir.join("data/audit").display().to_string();
    assert_ne!(server.run(&format!("ls {dir}")).code(), 0);
    assert_eq!(server.run("find / -name '*.jsonl' 2>/dev/null").stdout, "");
}

#[test]
fn a_crash_closes_open_sessions_on_record() {
    let mut server = Server::start();
    let _session = server.background("sleep 100");
    server.kill();
    let dir = std::mem::take(&mut server.dir);
    let mut server = Server::at(dir, crate::harness::Setup::default());
    let close = eventually("it is closed", || {
        server
            .records_of("session.close")
            .into_iter()
            .find(|r| r["d"]["reason"] == "crash")
    });
    assert!(close["sid"].is_string());
    server.stop();
    let code = verify(&server).code();
    assert!([0, 13].contains(&code), "{:?}", verify(&server));
}
