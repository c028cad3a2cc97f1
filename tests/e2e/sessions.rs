//! `hassio session`: what somebody sees of sessions from inside one, of whose, and that looking is on record.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{
    Done, Process, Server, Setup, eventually, finish, folder, make_key, public, within,
};

/// A server with three keys: `key`, an operator's, `admin` and `observer`.
fn server() -> Server {
    let dir = folder();
    fs::create_dir_all(dir.join("client")).unwrap();
    let key = |name: &str, kind: &str| {
        let path = dir.join("client").join(name);
        make_key(&path, kind, &[]);
        public(&path)
    };
    let lines = [
        key("key", "ed25519"),
        format!("role=\"admin\" {}", key("admin", "ed25519")),
        format!("role=\"observer\" {}", key("observer", "ed25519")),
    ];
    let setup = Setup {
        options: json!({ "authorized_keys": lines }),
        supervisor: true,
        zone: Some("Asia/Tokyo"),
        ..Setup::default()
    };
    Server::at(dir, setup)
}

/// Runs a line as another key than the usual one.
#[track_caller]
fn run_as(server: &Server, name: &str, line: &str) -> Done {
    let mut ssh = server.client("ssh");
    let key = server.dir.join("client").join(name);
    let usual = server.dir.join("client/key").display().to_string();
    let options = server.ssh_options().into_iter();
    let options = options.map(|option| match option == usual {
        true => key.display().to_string(),
        false => option,
    });
    ssh.args(options).args(["root@127.0.0.1", "--", line]);
    finish(ssh)
}

/// The sessions that `name` sees.
#[track_caller]
fn seen(server: &Server, name: &str, more: &str) -> Vec<Value> {
    let line = format!("hassio session list --output json {more}");
    let done = run_as(server, name, &line);
    let data: Value = serde_json::from_str(done.good()).unwrap();
    data["sessions"].as_array().unwrap().clone()
}

fn roles(sessions: &[Value]) -> Vec<&str> {
    sessions
        .iter()
        .map(|one| one["role"].as_str().unwrap())
        .collect()
}

/// The id of the session whose first program begins so, once it is over.
#[track_caller]
fn sid(server: &Server, first: &str) -> String {
    eventually("the session is closed", || {
        let begun = |record: &&Value| {
            let command = record["d"]["command"].as_str();
            command.is_some_and(|command| command.starts_with(first))
        };
        let records = server.records();
        let sid = records.iter().find(begun)?["sid"].as_str()?.to_owned();
        let closed = |record: &Value| record["type"] == "session.close" && record["sid"] == *sid;
        records.iter().any(closed).then_some(sid)
    })
}

#[test]
fn one_sees_the_sessions_of_ones_own_key_and_admin_those_of_all() {
    let server = server();
    server.run("echo of-key").good();
    run_as(&server, "admin", "echo of-admin").good();
    run_as(&server, "observer", "echo of-observer").good();
    let (of_key, of_admin) = (sid(&server, "echo of-key"), sid(&server, "echo of-admin"));
    sid(&server, "echo of-observer");

    let own = seen(&server, "key", "");
    assert!(
        own.len() >= 2 && roles(&own).iter().all(|role| *role == "operator"),
        "{own:#?}"
    );
    assert!(
        own.iter()
            .any(|one| one["sid"] == *of_key && one["first"] == "echo of-key")
    );
    assert_eq!(
        own.last().unwrap()["end"],
        "running",
        "one's own session is there too"
    );
    let observers = seen(&server, "observer", "");
    assert!(
        roles(&observers).iter().all(|role| *role == "observer"),
        "{observers:#?}"
    );
    let all = seen(&server, "admin", "");
    for role in ["operator", "admin", "observer"] {
        assert!(roles(&all).contains(&role), "{all:#?}");
    }
    let found = seen(
        &server,
        "admin",
        "--text of-observer --type exec --until 1m --since today",
    );
    assert!(found.is_empty(), "{found:#?}");
    // Nothing is said of others' but that there is no such session.
    for command in ["show", "replay", "kill"] {
        let done = run_as(
            &server,
            "observer",
            &format!("hassio session {command} {of_admin}"),
        );
        assert_eq!(done.code(), 1, "{done:?}");
        assert!(
            done.stderr.contains("begins with") && done.stderr.contains("your own key alone"),
            "{done:?}"
        );
        assert!(!done.stdout.contains("of-admin"), "{done:?}");
    }
    // The last one is another's than whoever asks.
    let last = run_as(&server, "admin", "hassio session show last");
    assert!(
        !last.good().contains("hassio session show last"),
        "{last:?}"
    );
    let done = run_as(&server, "admin", &format!("hassio session show {of_key}"));
    assert!(done.stdout.contains("+09:00"), "{done:?}");
    assert!(
        done.good().contains("$ echo of-key") && done.stdout.contains("login"),
        "{done:?}"
    );
    let done = run_as(
        &server,
        "key",
        &format!("hassio session show --output json {of_key}"),
    );
    let lines: Vec<Value> = done
        .good()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["sid"], *of_key);
    assert!(lines.iter().any(|line| line["type"] == "session.close"));

    // Wrong words say what is wrong.
    for (line, code, says) in [
        ("hassio session list --since never", 2, "is no moment"),
        ("hassio session list --source x", 2, "no address"),
        ("hassio session show zz", 2, "session"),
        (
            "hassio session show 0123",
            1,
            "no session's id begins with 0123",
        ),
        ("hassio session replay last 77", 1, "no recording"),
        ("hassio session kill last", 1, "begins with last"),
    ] {
        let done = run_as(&server, "admin", line);
        assert_eq!(done.code(), code, "{line}: {done:?}");
        assert!(done.stderr.contains(says), "{line}: {done:?}");
    }
}

#[test]
fn a_recording_is_replayed_and_drives_no_terminal() {
    let server = server();
    let hostile =
        "printf 'shown\\033]0;title\\007\\033[6n\\033[31mred\\033]52;c;AAAA\\007\\n'; exit 3";
    assert_eq!(server.run(hostile).code(), 3);
    let sid = sid(&server, "printf");
    let done = run_as(&server, "admin", &format!("hassio session replay {sid}"));
    let text = done.good();
    assert!(text.contains("shown\u{1b}[31mred"), "{done:?}");
    assert!(
        !text.contains("]0;") && !text.contains("]52") && !text.contains("[6n"),
        "{done:?}"
    );
    assert_eq!(
        text.matches("\u{1b}[r").count(),
        1,
        "put right once: {done:?}"
    );
    assert!(done.stderr.contains("ended with status 3"), "{done:?}");
    // As asciicast: escaped as JSON, and harmless once it is not.
    let done = run_as(
        &server,
        "key",
        &format!("hassio session replay --raw-json {sid}"),
    );
    let mut lines = done.good().lines();
    let header: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(header["version"], 3);
    let output: String = lines
        .map(|line| serde_json::from_str::<(f64, String, String)>(line).unwrap())
        .filter(|(_, code, _)| code == "o")
        .map(|(_, _, text)| text)
        .collect();
    assert!(
        output.contains("shown\u{1b}[31mred") && !output.contains("\u{1b}]"),
        "{output:?}"
    );
}

#[test]
fn looking_is_on_record_before_anything_is_shown() {
    let server = server();
    server.run("echo secret").good();
    let seen = sid(&server, "echo secret");
    run_as(&server, "admin", &format!("hassio session show {seen}")).good();
    run_as(&server, "admin", &format!("hassio session replay {seen}")).good();
    let records = server.records();
    let of_admin = |record: &&Value| record["role"] == "admin";
    let called = |name: &str| {
        let its = |record: &&Value| record["d"]["endpoint"] == name;
        let found = records.iter().filter(of_admin).find(its);
        found
            .unwrap_or_else(|| panic!("{name}: {records:#?}"))
            .clone()
    };
    assert_eq!(called("sessions.show")["ok"], true);
    assert!(
        called("sessions.show")["d"]["path"]
            .as_str()
            .unwrap()
            .contains(&seen)
    );
    called("sessions.replay");
    let mut views = records
        .iter()
        .filter(|record| record["type"] == "recording.view");
    let view = views.next().unwrap();
    assert_eq!(view["d"]["session"], *seen);
    assert!(
        view["d"]["file"]
            .as_str()
            .unwrap()
            .contains(&format!("{seen}/"))
    );
    assert!(view["role"] == "admin" && view["sid"] != *seen, "{view}");
}

#[test]
fn a_session_is_killed_by_its_own_key_or_an_admin_and_by_nobody_else() {
    let server = server();
    let running = |command: &str| {
        eventually("it runs", || {
            let begun = |record: &&Value| {
                let text = record["d"]["command"].as_str();
                text.is_some_and(|text| text.contains(command))
            };
            let sid = server.records().iter().find(begun)?["sid"]
                .as_str()?
                .to_owned();
            Some(sid)
        })
    };
    let mut first = server.background("sleep 1001");
    let sid = running("sleep 1001");
    let denied = run_as(&server, "observer", &format!("hassio session kill {sid}"));
    assert_eq!(denied.code(), 1, "{denied:?}");
    server.find("sleep 1001");
    let done = run_as(
        &server,
        "admin",
        &format!("hassio session kill --output json {sid}"),
    );
    let answer: Value = serde_json::from_str(done.good()).unwrap();
    assert_eq!(
        (&answer["session"], &answer["state"]),
        (&json!(sid), &json!("ended"))
    );
    let left = |process: &Process| process.line == "sleep 1001";
    assert!(
        !server.session_processes().iter().any(left),
        "it runs still"
    );
    eventually("the client learns it", || first.child.try_wait().unwrap());
    let close = eventually("the end is on record", || {
        let mut closes = server.records_of("session.close").into_iter();
        closes.find(|record| record["sid"] == *sid)
    });
    assert_eq!(close["d"]["reason"], "killed");
    let by = close["d"]["by"].as_str().unwrap();
    let killer = server
        .records_of("session.open")
        .into_iter()
        .find(|record| record["sid"] == by);
    assert_eq!(killer.unwrap()["role"], "admin");

    let _second = server.background("sleep 1002");
    let sid = running("sleep 1002");
    server
        .run(&format!("hassio session kill {}", &sid[..30]))
        .good();
    // One's own, too.
    let me = "hassio session kill $(hassio session --query .sid); sleep 60; echo still-here";
    let done = server.run(me);
    assert!(
        done.code() != 0 && !done.stdout.contains("still-here"),
        "{done:?}"
    );
}

/// A reader that waits for its client: the recording is longer than what fits between them.
fn stuck(server: &Server) -> (crate::harness::Session, Process) {
    let mut ssh = server.ssh();
    ssh.args(["-tt", "root@127.0.0.1", "--", "seq 1 300000"]);
    finish(ssh).good();
    let sid = sid(server, "seq");
    let script = format!(
        "import socket,os,time\ns=socket.socket(socket.AF_UNIX)\ns.connect(os.environ['HASSIO_SOCKET'])\n\
         s.sendall(b'GET /sshd/sessions/{sid}?format=json HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n\
         s.setsockopt(socket.SOL_SOCKET,socket.SO_RCVBUF,1)\ntime.sleep(60)\n"
    );
    let start = server
        .records_of("recording.start")
        .into_iter()
        .find(|record| record["sid"] == *sid);
    let channel = start.unwrap()["ch"].to_string();
    let script = script.replace("?format=json", &format!("/recordings/{channel}"));
    let session = server.background(&format!("python3 -c \"{}\"", script));
    let reader = eventually("a reader runs", || {
        let mut all = server.processes().into_iter();
        all.find(|process| process.line == "hassio-sshd reader" && process.field("Seccomp") == "2")
    });
    (session, reader)
}

#[test]
fn a_reader_has_nothing_but_the_trail_and_cannot_change_it() {
    let server = server();
    let (_session, reader) = stuck(&server);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(reader.field(set), "0000000000000000", "{set}");
    }
    assert_eq!(reader.field("NoNewPrivs"), "1");
    assert_eq!(reader.field("Threads"), "1");
    assert_eq!(reader.uid, 0x7003_0003);
    let root = PathBuf::from(format!("/proc/{}/root", reader.pid));
    let keys = fs::read_dir(root.join("keys")).unwrap().count();
    assert_eq!(keys, 0, "the keys that sign the trail are there");
    assert!(
        fs::read_dir(server.dir.join("data/audit/keys"))
            .unwrap()
            .count()
            > 0
    );
    assert!(root.join("ledger").exists() && !root.join("etc").exists());
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", reader.pid)).unwrap();
    for line in mounts.lines() {
        let options = line.split(' ').nth(5).unwrap();
        assert!(
            options.split(',').any(|option| option == "ro"),
            "writable: {line}"
        );
    }
    let devices = fs::read_to_string(format!("/proc/{}/net/dev", reader.pid)).unwrap();
    assert!(
        devices
            .lines()
            .skip(2)
            .all(|line| line.trim_start().starts_with("lo:")),
        "{devices}"
    );
    let open = fs::read_dir(format!("/proc/{}/fd", reader.pid)).unwrap();
    for entry in open.flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        let target = target.display().to_string();
        let known = [
            "socket:",
            "pipe:",
            "/dev/null",
            "/recordings/",
            "/",
            "/memfd:",
        ];
        assert!(
            known.iter().any(|start| target.starts_with(start)),
            "{target}"
        );
        assert!(!target.contains("keys"), "{target}");
    }
}

#[test]
fn a_session_asks_one_question_at_a_time_and_a_stuck_one_harms_nobody() {
    let server = server();
    let (session, reader) = stuck(&server);
    // Another session's question is answered meanwhile.
    assert!(!seen(&server, "admin", "").is_empty());
    drop(session);
    within(
        std::time::Duration::from_secs(10),
        "the reader ends with its client",
        || Process::read(reader.pid).is_none_or(|process| process.line != reader.line),
    );
    let many = "for i in 1 2 3 4 5 6 7 8; do hassio session list -n 1 >/dev/null 2>>/tmp/e & done; wait; cat /tmp/e";
    let done = server.run(many);
    assert!(
        done.stdout.is_empty() || done.stdout.contains("too many questions"),
        "{done:?}"
    );
    assert!(
        !server
            .log()
            .contains("reader of the audit trail was ended by"),
        "{}",
        server.log()
    );
}

#[test]
fn a_password_sees_the_sessions_of_the_password() {
    let server = Server::with(Setup {
        options: json!({ "authorized_keys": [], "password": "correct horse battery" }),
        ..Setup::default()
    });
    let Some(python) = crate::clients::python() else {
        return;
    };
    let script = "
import paramiko,sys
c=paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect('127.0.0.1',int(sys.argv[1]),'root','correct horse battery',allow_agent=False,look_for_keys=False)
i,o,e=c.exec_command('hassio session list --output json --query .found')
print(o.read().decode()+e.read().decode())
";
    let mut command = server.client(python);
    command.args(["-c", script, &server.port.to_string()]);
    assert_eq!(finish(command).good().trim(), "1");
}
