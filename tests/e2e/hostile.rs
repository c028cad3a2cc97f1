//! What strangers and sessions choose, in every place where it comes on record, and what of it reaches the terminal of who
//! reads: nothing that drives it.

use std::fs;
use std::process::{Command, Stdio};

use hassio_sshd::model::is_hostile;
use serde_json::json;

use crate::clients::python;
use crate::harness::{Done, Server, Setup, app, eventually, finish, public};

/// A title, a question that the terminal answers, a clipboard, a link, erasing of what was scrolled away, a C1 introducer, text
/// that runs backwards, an end of line, and a backslash.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{1b}[6n\u{1b}]52;c;cm0=\u{7}\u{1b}]8;;http://x\u{1b}\\\u{1b}[3J\u{9b}31m\u{202e}\u{2066}\r\n\u{7f}\u{feff}\\";

/// Text and ends of lines.
#[track_caller]
fn harmless(what: &str, text: &str) {
    let bad = |c: char| c != '\n' && (c.is_control() || is_hostile(c));
    let at = text.find(bad);
    assert!(
        at.is_none(),
        "{what}: {:?}",
        text.get(at.unwrap().saturating_sub(100)..)
    );
}

/// Text, what moves the cursor, and no sequence but those that docs/audit.md lets pass.
#[track_caller]
fn only_shows(what: &str, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        plain(what, &rest[..at]);
        let sequence = &rest[at + 1..];
        let length = match sequence.strip_prefix('[') {
            Some(control) => {
                let end = control
                    .find(|c: char| !(c.is_ascii_digit() || c == ';' || c == ':'))
                    .unwrap();
                let last = control[end..].chars().next().unwrap();
                assert!(
                    "mABCDEFGIZ`adeHfrJKX@PLMSTb".contains(last),
                    "{what}: {control:.40?}"
                );
                assert!(
                    last != 'J' || !control[..end].contains('3'),
                    "{what}: {control:.40?}"
                );
                end + 2
            }
            None => {
                assert!(
                    sequence.starts_with(['7', '8', 'D', 'E', 'M']),
                    "{what}: {sequence:.40?}"
                );
                1
            }
        };
        rest = &sequence[length..];
    }
    plain(what, rest);
}

#[track_caller]
fn plain(what: &str, text: &str) {
    let fine = |c: char| "\r\n\t\u{8}".contains(c) || !(c.is_control() || is_hostile(c));
    assert!(text.chars().all(fine), "{what}: {text:?}");
}

fn audit(server: &Server, words: &[&str]) -> Done {
    let mut command = Command::new(app().join("hassio-sshd"));
    command
        .arg("audit")
        .args(words)
        .arg("--data-dir")
        .arg(server.dir.join("data"));
    finish({
        command.stdin(Stdio::null());
        command
    })
}

/// A session and a stranger who put it wherever there is room for a text of theirs.
const EVERYWHERE: &str = r#"
import os, paramiko, sys
from paramiko.message import Message
hostile = os.environ['HOSTILE']
port, key = int(sys.argv[1]), paramiko.Ed25519Key.from_private_key_file(sys.argv[2])
# Who is no user, with a client of a strange name.
t = paramiko.Transport(('127.0.0.1', port)); t.local_version = 'SSH-2.0-x' + hostile.replace('\r\n', '')
t.start_client(timeout=20)
for attempt in (lambda: t.auth_publickey(hostile, key), lambda: t.auth_password(hostile, hostile)):
    try: attempt()
    except paramiko.AuthenticationException: pass
t.close()
t = paramiko.Transport(('127.0.0.1', port)); t.start_client(timeout=20); t.auth_publickey('root', key)
def quiet(work):
    try: return work()
    except (paramiko.SSHException, EOFError): pass
quiet(lambda: t.open_channel('direct-tcpip', (hostile, 1), (hostile, 2)))
quiet(lambda: t.open_channel(hostile))
ch = t.open_session(); quiet(lambda: ch.invoke_subsystem(hostile))
ch = t.open_session()
ch.set_environment_variable(hostile, hostile); ch.set_environment_variable('LANG', hostile)
ch.get_pty(hostile, 80, 24)
m = Message(); m.add_byte(b'\x62'); m.add_int(ch.remote_chanid); m.add_string('signal'); m.add_boolean(False); m.add_string(hostile)
t._send_user_message(m)
ch.exec_command('printf %s "$0" ; : ' + hostile.replace('\r\n', '').replace('\\', '').replace("'", ''))
while ch.recv(10000): pass
s = paramiko.SFTPClient.from_transport(t)
for path in (hostile.encode(), b'\xff\xfe' + hostile.encode()):
    for work in (lambda: s.stat(path), lambda: s.mkdir(b'/config/' + path), lambda: s.rename(path, path), lambda: s.open(path)):
        try: work()
        except (IOError, UnicodeError): pass
t.close()
print('ok')
"#;

/// What a program in a session asks of the broker.
const ASK: &str = r#"python3 -c 'import os, socket
hostile = os.environ["LC_X"].encode()
for head in (hostile, b"GET /" + hostile + b" HTTP/1.1\r\nHost: x"):
    s = socket.socket(socket.AF_UNIX); s.connect(os.environ["HASSIO_SOCKET"])
    s.sendall(head + b"\r\n\r\n"); s.recv(10000)'"#;

#[test]
fn nothing_on_record_drives_the_terminal_of_who_reads_it() {
    let Some(python) = python() else { return };
    let server = Server::start();
    let comment = HOSTILE.replace("\r\n", " ");
    let line = public(&server.dir.join("client/key")).replace(" e2e", &format!(" {comment}"));
    let setup = Setup {
        options: json!({"authorized_keys": [line], "log_level": "debug"}),
        supervisor: true,
        ..Setup::default()
    };
    let mut server = Server::at(server.into_dir(), setup);
    fs::write(server.config("hostile"), HOSTILE).unwrap();
    // One that is shown while it is being written, and one of noise.
    let mut ssh = server.ssh();
    ssh.args([
        "-tt",
        "root@127.0.0.1",
        "--",
        "for n in 1 2 3; do cat /config/hostile; echo; done; sleep 100",
    ]);
    let mut open = ssh
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut command = server.client(python);
    command
        .args(["-c", EVERYWHERE, &server.port.to_string()])
        .arg(server.dir.join("client/key"));
    command.env("HOSTILE", HOSTILE);
    assert_eq!(finish(command).good(), "ok");
    let mut ssh = server.ssh();
    ssh.args([
        "-o",
        &format!("SetEnv=LC_X={}", HOSTILE.replace("\r\n", "")),
        "root@127.0.0.1",
        "--",
        ASK,
    ]);
    finish(ssh).good();
    let mut noise = server.ssh();
    noise.args([
        "-tt",
        "root@127.0.0.1",
        "--",
        "stty raw; cat /config/hostile; head -c 300000 /dev/urandom",
    ]);
    finish(noise);
    assert_eq!(server.run("cat /config/hostile").stdout, HOSTILE);

    eventually("all but one are closed", || {
        (server.records_of("session.close").len() == 4).then_some(())
    });
    let sessions = server.records_of("session.open");
    let mut sids: Vec<&str> = sessions
        .iter()
        .map(|record| record["sid"].as_str().unwrap())
        .collect();
    // By time: the first is the one that is open.
    sids.sort_unstable();
    assert_eq!(sids.len(), 5);
    let recording = |ending: &str| {
        let ending = ending.to_owned();
        crate::tamper::files(&server.dir.join("data/audit"))
            .into_iter()
            .filter(move |file| file.ends_with(&ending))
            .count()
    };
    eventually("one is plain, the others are compressed", || {
        (recording(".cast") == 1 && recording(".cast.zst") >= 3).then_some(())
    });
    eventually("it is written", || {
        let shown = audit(&server, &["replay", sids[0]]).stdout;
        (shown.lines().count() > 6).then_some(())
    });

    let mut lists: Vec<Vec<&str>> = vec![
        vec!["list"],
        vec!["list", "--json"],
        vec!["list", "--records"],
        vec!["list", "--records", "--json"],
        vec!["list", "--failed"],
        vec!["list", "--failed", "--json"],
        vec!["tail", "-n", "1000"],
        vec!["tail", "--json", "-n", "1000"],
        vec!["verify"],
        vec!["verify", "--json"],
        vec!["show", HOSTILE],
        vec!["replay", HOSTILE],
        vec!["list", "--user", HOSTILE],
    ];
    for sid in &sids {
        lists.push(vec!["show", sid]);
        lists.push(vec!["show", sid, "--json"]);
    }
    let mut all = String::new();
    for words in &lists {
        let done = audit(&server, words);
        harmless(&format!("{words:?}"), &done.stdout);
        harmless(&format!("{words:?}, stderr"), &done.stderr);
        all.push_str(&done.stdout);
    }
    // It was there, in each of these, escaped.
    for kind in [
        "conn.open",
        "auth.attempt",
        "subsystem",
        "env",
        "pty",
        "signal",
        "exec",
        "sftp.op",
        "api.request",
    ] {
        let records = server.records_of(kind);
        assert!(
            records
                .iter()
                .any(|record| record["d"].to_string().contains("x1b]0;owned")),
            "{kind}: {records:#?}"
        );
    }
    assert!(
        sessions[0]["key"]
            .as_str()
            .unwrap()
            .contains("\\x1b]0;owned")
    );
    assert!(
        all.matches("\\x1b]0;owned").count() > 30,
        "{}",
        all.matches("owned").count()
    );
    let (mut played, mut replays) = (String::new(), 0);
    for sid in &sids {
        let done = audit(
            &server,
            &["replay", sid, "--speed", "1000", "--idle-limit", "0.01"],
        );
        only_shows(&format!("a replay of {sid}"), &done.stdout);
        harmless(&format!("a replay of {sid}, stderr"), &done.stderr);
        replays += usize::from(done.code() == 0);
        played.push_str(&done.stdout);
    }
    // It was a recording of that, and all of the noise: text and colours are there.
    assert!(
        replays >= 4 && played.len() > 100_000,
        "{replays} of {}",
        played.len()
    );
    for (name, text) in [
        ("the log", server.log()),
        (
            "the trail",
            server
                .records()
                .iter()
                .map(|record| format!("{record}\n"))
                .collect(),
        ),
    ] {
        harmless(name, &text);
    }
    open.kill().unwrap();
    open.wait().unwrap();
    assert!(server.stop().success());
    let done = audit(&server, &["replay", sids[0], "--speed", "1000"]);
    only_shows("the same, compressed", &done.stdout);
    assert_eq!(done.code(), 0, "{done:?}");
}
