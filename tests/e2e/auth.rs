//! Who gets in, and what everybody else learns.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    Done, Server, Setup, eventually, finish, make_key, public, server_command, within,
};

/// ssh with this key file alone.
fn with_key(server: &Server, user: &str, key: &str, more: &[&str]) -> Done {
    let mut ssh = server.client("ssh");
    let options = server.ssh_options();
    let key = server.dir.join("client").join(key);
    ssh.args(["-F", "none", "-i", key.to_str().unwrap()])
        .args(&options[4..])
        .args(more);
    ssh.args([&format!("{user}@127.0.0.1"), "--", "true"]);
    finish(ssh)
}

#[test]
fn every_accepted_kind_of_key_logs_in() {
    let server = Server::start();
    let kinds: [(&str, &str, &[&str]); 6] = [
        ("e", "ed25519", &[]),
        ("c256", "ecdsa", &["-b", "256"]),
        ("c384", "ecdsa", &["-b", "384"]),
        ("c521", "ecdsa", &["-b", "521"]),
        ("r2048", "rsa", &["-b", "2048"]),
        ("r3072", "rsa", &["-b", "3072"]),
    ];
    let client = server.dir.join("client");
    let mut lines = vec![public(&client.join("key"))];
    for (name, kind, more) in kinds {
        make_key(&client.join(name), kind, more);
        lines.push(public(&client.join(name)));
    }
    let server = Server::at(
        server.into_dir(),
        Setup {
            options: json!({ "authorized_keys": lines }),
            ..Setup::default()
        },
    );
    for (name, _, _) in kinds {
        assert_eq!(
            with_key(&server, "root", name, &[]).code(),
            0,
            "{name}: {}",
            server.log()
        );
    }
    assert!(
        server.log().contains("2048 bits"),
        "a weak key is warned of: {}",
        server.log()
    );
    // SHA-1 signatures are not.
    let done = with_key(
        &server,
        "root",
        "r2048",
        &["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"],
    );
    assert_eq!(done.code(), 255);
}

#[test]
fn wrong_keys_users_and_methods_get_the_same_answer_in_the_same_time() {
    let server = Server::start();
    make_key(&server.dir.join("client/wrong"), "ed25519", &[]);
    let mut answers = Vec::new();
    for (user, key) in [
        ("root", "wrong"),
        ("nobody", "key"),
        ("nobody", "wrong"),
        ("admin", "wrong"),
    ] {
        let since = Instant::now();
        let done = with_key(&server, user, key, &[]);
        answers.push((
            done.code(),
            done.stderr.replace(user, "USER"),
            since.elapsed(),
        ));
    }
    assert_eq!(answers[0].0, 255);
    for answer in &answers {
        assert_eq!((answer.0, &answer.1), (answers[0].0, &answers[0].1));
    }
    server.run("true").good();
}

/// Speaks the authentication protocol by hand. Says of each attempt: its name, the answer, after how many milliseconds.
const ATTEMPTS: &str = r#"
import itertools, os, paramiko, queue, socket, sys, time
from paramiko.message import Message
port, key, mode = int(sys.argv[1]), paramiko.Ed25519Key.from_private_key_file(sys.argv[2]), sys.argv[3]
other = paramiko.RSAKey.generate(2048)
hosts = itertools.count(1)

class Raw:
    banner = None
    def __init__(self, answers):
        self._handler_table = {n: (lambda n: lambda m: answers.put((n, m.asbytes())))(n) for n in (6, 51, 52, 60)}
    def is_authenticated(self): return False
    def abort(self): pass

class Client:
    def __init__(self):
        # Each from a host of its own: the records of many from one are folded.
        source = (f'127.0.0.{next(hosts)}', 0)
        self.t = paramiko.Transport(socket.create_connection(('127.0.0.1', port), source_address=source))
        self.t.start_client(timeout=20)
        self.answers = queue.Queue(); self.t.auth_handler = Raw(self.answers)
        self.ask('service', b'\x05', b'ssh-userauth')
    def ask(self, name, first, *parts):
        m = Message(); m.add_bytes(first)
        for part in parts:
            m.add_string(part) if isinstance(part, bytes) else m.add_boolean(part)
        since = time.monotonic(); self.t._send_message(m)
        n, body = self.answers.get(timeout=20)
        if n != 6: print(name, body.hex(), int((time.monotonic() - since) * 1000), flush=True)
    def request(self, name, user, method, *parts):
        self.ask(name, b'\x32', user, b'ssh-connection', method, *parts)
    def signed(self, name, user, key, algorithm, forge=False, offer=False):
        m = Message(); m.add_string(self.t.session_id); m.add_bytes(b'\x32')
        for part in (user, b'ssh-connection', b'publickey'): m.add_string(part)
        m.add_boolean(not offer); m.add_string(algorithm); m.add_string(key.asbytes())
        data = m.asbytes() + (b'!' if forge else b'')
        signature = key.sign_ssh_data(data, 'rsa-sha2-256') if isinstance(key, paramiko.RSAKey) else key.sign_ssh_data(data)
        more = [] if offer else [signature.asbytes()]
        self.request(name, user, b'publickey', not offer, algorithm, key.asbytes(), *more)

ed, rsa = b'ssh-ed25519', b'rsa-sha2-256'
if mode == 'forge':
    c = Client()
    for n in range(6): c.signed('forged', b'root', key, ed, forge=True)
    until = time.monotonic() + 20
    while c.t.is_active() and time.monotonic() < until: time.sleep(0.01)
    print('ended' if not c.t.is_active() else 'goes on')
else:
    Client().signed('wrong-signature', b'root', key, ed, forge=True)
    Client().signed('wrong-key', b'root', other, rsa)
    Client().signed('sha1', b'root', other, b'ssh-rsa')
    Client().signed('wrong-algorithm', b'root', key, rsa)
    Client().signed('unknown-algorithm', b'root', key, b'x@y')
    Client().signed('wrong-user', b'nobody', key, ed)
    Client().signed('wrong-user-and-signature', b'nobody', key, ed, forge=True)
    Client().request('wrong-password', b'root', b'password', False, b'correct horse')
    Client().request('wrong-user-password', b'nobody', b'password', False, b'correct horse')
    Client().request('long-password', b'root', b'password', False, b'correct horse' * 5000)
    Client().request('password-change', b'root', b'password', True, b'correct horse', b'battery horse')
    Client().request('keyboard-interactive', b'root', b'keyboard-interactive', b'', b'')
    Client().request('hostbased', b'root', b'hostbased', b'ssh-rsa', b'x', b'host', b'user', b'sig')
    Client().request('unknown', b'root', b'x' * 5000)
    c = Client(); c.request('first-none', b'root', b'none'); c.request('later-none', b'root', b'none')
    c = Client(); c.signed('offer-known', b'root', key, ed, offer=True)
    c.signed('offer', b'root', other, rsa, offer=True); c.signed('offer-user', b'nobody', key, ed, offer=True)
    c.signed('offer-algorithm', b'root', key, b'x@y', offer=True)
"#;

/// What [`ATTEMPTS`] says: name, answer, milliseconds.
fn attempts(server: &Server, python: &Path, mode: &str) -> Vec<(String, String, u64)> {
    let mut command = server.client(python);
    command
        .args(["-c", ATTEMPTS, &server.port.to_string()])
        .arg(server.dir.join("client/key"))
        .arg(mode);
    let done = finish(command);
    let lines = done.good().lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [name, answer, time] => (name.to_owned(), answer.to_owned(), time.parse().unwrap()),
            _ => (line.to_owned(), String::new(), 0),
        }
    });
    lines.collect()
}

/// SSH_MSG_USERAUTH_FAILURE's body: "publickey" can continue, no partial success.
const FAILURE: &str = "000000097075626c69636b657900";
/// policy/ssh.toml.
const FAILURE_DELAY_MS: u64 = 150;

#[test]
fn whatever_is_wrong_gets_the_same_answer_after_the_same_time_and_is_on_record() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = Server::start();
    let answers = attempts(&server, &python, "all");
    assert_eq!(answers.len(), 20, "{answers:?}");
    for (name, answer, time) in &answers {
        if name != "offer-known" {
            assert_eq!(answer, FAILURE, "{name}");
        }
        if name.starts_with("offer") || name == "first-none" {
            assert!(*time < FAILURE_DELAY_MS, "{name}: {time} ms");
        } else {
            // Not sooner; later only as far as a busy machine is late.
            let usual = FAILURE_DELAY_MS..FAILURE_DELAY_MS + 500;
            assert!(usual.contains(time), "{name}: {time} ms");
        }
    }
    let expected = [
        ("hostbased", "the method is not offered"),
        ("keyboard-interactive", "the method is not offered"),
        ("none", "the method is not offered"),
        ("offer", "unknown key"),
        ("offer", "the algorithm does not fit the key"),
        ("offer", "unknown user"),
        ("password", "longer than what is looked at"),
        ("password", "passwords are not changed here"),
        ("password", "passwords are off"),
        ("password", "passwords are off"),
        ("publickey", "the algorithm does not fit the key"),
        ("publickey", "the algorithm does not fit the key"),
        ("publickey", "unknown key"),
        ("publickey", "unknown key"),
        ("publickey", "unknown user"),
        ("publickey", "wrong signature"),
        ("publickey", "wrong signature"),
        (&"x".repeat(64), "the method is not offered"),
    ];
    let mut expected = expected.map(|(method, reason)| format!("{method}: {reason}"));
    expected.sort();
    let mut found = Vec::new();
    eventually("each attempt is on record", || {
        let records = server.records_of("auth.attempt");
        found = records
            .iter()
            .map(|record| {
                let word = |name| record["d"][name].as_str().unwrap().to_owned();
                format!("{}: {}", word("method"), word("reason"))
            })
            .collect();
        (found.len() >= expected.len()).then_some(())
    });
    found.sort();
    assert_eq!(found, expected);
    let text: String = server.records().iter().map(ToString::to_string).collect();
    assert!(!text.contains("horse"), "a password is on record");
    server.run("true").good();
}

#[test]
fn six_forged_signatures_end_the_connection_and_each_is_on_record() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = Server::start();
    let answers = attempts(&server, &python, "forge");
    let (ended, answers) = answers.split_last().unwrap();
    assert_eq!(ended.0, "ended");
    assert_eq!(answers.len(), 6, "{answers:?}");
    for (_, answer, time) in answers {
        assert_eq!(answer, FAILURE);
        assert!(*time >= FAILURE_DELAY_MS, "{time} ms");
    }
    eventually("the end is on record", || {
        (!server.records_of("conn.close").is_empty()).then_some(())
    });
    let attempts = server.records_of("auth.attempt");
    let numbers: Vec<_> = attempts
        .iter()
        .map(|record| record["d"]["n"].as_u64())
        .collect();
    assert_eq!(numbers, (1..=6).map(Some).collect::<Vec<_>>());
    for record in &attempts {
        assert_eq!(record["d"]["method"], "publickey");
        assert_eq!(record["d"]["reason"], "wrong signature");
        assert_eq!(record["d"]["user"], "root");
        let fingerprint = record["d"]["fingerprint"].as_str();
        assert!(fingerprint.is_some_and(|text| text.starts_with("SHA256:")));
    }
    assert_eq!(server.records_of("auth.lockout").len(), 1);
    assert!(server.records_of("session.open").is_empty());
    let close = &server.records_of("conn.close")[0];
    assert_eq!(close["d"]["reason"], "too many attempts");
    assert_eq!(close["d"]["attempts"], 6);
    server.run("true").good();
}

// paramiko asks for the service before each attempt.
#[test]
fn a_client_that_tries_one_key_after_the_other_logs_in() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = Server::start();
    make_key(&server.dir.join("client/wrong"), "ed25519", &[]);
    make_key(&server.dir.join("client/other"), "ecdsa", &[]);
    let script = "
import paramiko,sys
c=paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect('127.0.0.1',int(sys.argv[1]),'root',key_filename=sys.argv[2:],allow_agent=False,look_for_keys=False)
print(c.exec_command('echo in')[1].read().decode().strip())
";
    let mut command = server.client(python);
    command.args(["-c", script, &server.port.to_string()]);
    command.args(["wrong", "other", "key"].map(|name| server.dir.join("client").join(name)));
    let since = Instant::now();
    assert_eq!(finish(command).good(), "in");
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "{:?}",
        since.elapsed()
    );
    let numbers = || {
        let attempts = server.records_of("auth.attempt");
        let numbers = attempts.iter().map(|record| record["d"]["n"].as_u64());
        numbers.flatten().collect::<Vec<_>>()
    };
    eventually("all are counted", || (numbers() == [1, 2, 3]).then_some(()));
}

#[test]
fn a_client_that_tries_one_password_after_the_other_logs_in() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = Server::with(Setup {
        options: json!({ "authorized_keys": null, "password": "correct horse battery" }),
        ..Setup::default()
    });
    let script = "
import paramiko,sys
t=paramiko.Transport(('127.0.0.1',int(sys.argv[1]))); t.start_client(timeout=20)
for word in ('wrong','wrong','correct horse battery'):
    try: t.auth_password('root',word,fallback=False); print('in')
    except paramiko.AuthenticationException: print('refused')
t.close()
";
    let mut command = server.client(python);
    command.args(["-c", script, &server.port.to_string()]);
    let since = Instant::now();
    assert_eq!(finish(command).good(), "refused\nrefused\nin");
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "{:?}",
        since.elapsed()
    );
}

#[test]
fn what_the_server_does_not_know_is_answered_with_its_number() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = Server::start();
    let script = "
import paramiko,queue,sys
from paramiko.message import Message
class Raw:
    banner=None
    def __init__(self,q): self._handler_table={n:(lambda n:lambda m:q.put((n,m.asbytes())))(n) for n in (3,6)}
    def is_authenticated(self): return False
    def abort(self): pass
def ask(first,*parts):
    m=Message(); m.add_bytes(first)
    for part in parts: m.add_string(part)
    sent=t.packetizer._Packetizer__sequence_number_out; t._send_message(m)
    n,body=q.get(timeout=10); return n,body[-4:]==sent.to_bytes(4,'big')
q=queue.Queue(); t=paramiko.Transport(('127.0.0.1',int(sys.argv[1]))); t.start_client(timeout=20)
t.auth_handler=Raw(q)
print(ask(b'\\xc0'), ask(b'\\x05',b'ssh-userauth')[0], ask(b'\\x05',b'ssh-userauth')[0], ask(b'\\x50'), ask(b'\\xff'))
m=Message(); m.add_bytes(b'\\x05'); m.add_string(b'ssh-connection'); t._send_message(m)
t.join(10); print(t.is_alive())
";
    let mut command = server.client(python);
    command.args(["-c", script, &server.port.to_string()]);
    assert_eq!(
        finish(command).good(),
        "(3, True) 6 6 (3, True) (3, True)\nFalse"
    );
}

#[test]
fn an_agent_with_many_keys_gets_in() {
    let server = Server::start();
    let client = server.dir.join("client");
    let mut ssh = server.client("ssh");
    ssh.args(["-F", "none"]);
    for n in 0..15 {
        let name = client.join(format!("k{n}"));
        make_key(&name, "ed25519", &[]);
        ssh.arg("-i").arg(name);
    }
    let options = server.ssh_options();
    ssh.arg("-i")
        .arg(client.join("key"))
        .args(&options[4..])
        .args(["root@127.0.0.1", "--", "true"]);
    finish(ssh).good();
    assert!(!server.log().contains("refused"), "{}", server.log());
}

/// A connection with a password from asyncssh or, here, from ssh through SSH_ASKPASS.
fn with_password(server: &Server, user: &str, password: &str) -> Done {
    let ask = server.dir.join("client/ask");
    std::fs::write(&ask, format!("#!/bin/sh\necho '{password}'\n")).unwrap();
    std::fs::set_permissions(&ask, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut ssh = server.client("ssh");
    let options = server.ssh_options();
    ssh.env("SSH_ASKPASS", &ask)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .args(["-F", "none"])
        .args(&options[4..]);
    ssh.args([
        "-o",
        "PreferredAuthentications=password",
        "-o",
        "NumberOfPasswordPrompts=1",
        "-o",
        "IdentitiesOnly=no",
    ]);
    ssh.args([&format!("{user}@127.0.0.1"), "--", "echo in"]);
    finish(ssh)
}

#[test]
fn a_password_logs_in_where_no_key_is_configured() {
    let options = json!({ "authorized_keys": null, "password": "correct horse battery" });
    let server = Server::with(Setup {
        options,
        ..Setup::default()
    });
    assert_eq!(
        with_password(&server, "root", "correct horse battery").good(),
        "in"
    );
    for (user, password) in [
        ("root", "wrong"),
        ("root", ""),
        ("admin", "correct horse battery"),
    ] {
        assert_eq!(
            with_password(&server, user, password).code(),
            255,
            "{user} {password}"
        );
    }
    assert!(
        !server.log().contains("correct horse"),
        "the password is in the log"
    );
    let text: String = server.records().iter().map(ToString::to_string).collect();
    assert!(!text.contains("correct horse"), "the password is on record");
}

#[test]
fn a_password_is_no_way_in_where_keys_are_configured() {
    let server = Server::with(Setup {
        options: json!({ "password": "correct horse battery" }),
        ..Setup::default()
    });
    assert_eq!(
        with_password(&server, "root", "correct horse battery").code(),
        255
    );
    server.run("true").good();
    assert_eq!(
        server
            .log()
            .matches("both \"authorized_keys\" and \"password\" are set")
            .count(),
        1
    );
}

#[test]
fn the_host_key_is_made_once_and_kept_closed() {
    let mut server = Server::start();
    server.run("true").good();
    let key = server.dir.join("data/ssh_host_ed25519_key");
    let found = std::fs::metadata(&key).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&found) & 0o7777, 0o600);
    let before = std::fs::read(&key).unwrap();
    assert!(server.stop().success());
    let server = Server::at(std::mem::take(&mut server.dir), Setup::default());
    assert_eq!(before, std::fs::read(&key).unwrap());
    // The client's known_hosts agrees.
    server.run("true").good();
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-lf"]).arg(&key);
    let fingerprint = String::from_utf8(keygen.output().unwrap().stdout).unwrap();
    assert!(
        server
            .log()
            .contains(fingerprint.split(' ').nth(1).unwrap()),
        "{}",
        server.log()
    );
}

#[test]
fn only_hardened_algorithms_are_offered() {
    let server = Server::start();
    for bad in [
        "KexAlgorithms=diffie-hellman-group14-sha256",
        "KexAlgorithms=diffie-hellman-group-exchange-sha256",
        "Ciphers=aes128-cbc",
        "MACs=hmac-sha2-256",
        "HostKeyAlgorithms=rsa-sha2-512",
    ] {
        let done = with_key(
            &server,
            "root",
            "key",
            &["-o", bad, "-o", "Ciphers=aes256-ctr"],
        );
        assert_eq!(done.code(), 255, "{bad}");
    }
    for good in [
        "Ciphers=chacha20-poly1305@openssh.com",
        "Ciphers=aes128-gcm@openssh.com",
        "Ciphers=aes256-gcm@openssh.com",
        "Ciphers=aes256-ctr",
    ] {
        assert_eq!(
            with_key(&server, "root", "key", &["-o", good]).code(),
            0,
            "{good}"
        );
    }
    for good in ["curve25519-sha256", "diffie-hellman-group16-sha512"] {
        assert_eq!(
            with_key(
                &server,
                "root",
                "key",
                &["-o", &format!("KexAlgorithms={good}")]
            )
            .code(),
            0,
            "{good}"
        );
    }
}

#[test]
fn silence_and_garbage_end_at_the_grace_limit_and_a_good_login_goes_on() {
    let server = Server::start();
    let connect = || TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let mut silent = connect();
    let mut garbage: Vec<TcpStream> = (0..10).map(|_| connect()).collect();
    for stream in &mut garbage {
        stream
            .write_all(b"SSH-2.0-x\r\n\xff\xff\xff\xff garbage garbage garbage")
            .unwrap();
    }
    let since = Instant::now();
    server.run("true").good();
    assert!(since.elapsed() < Duration::from_secs(5));
    silent
        .set_read_timeout(Some(Duration::from_secs(45)))
        .unwrap();
    let mut all = Vec::new();
    silent
        .read_to_end(&mut all)
        .expect("the silent connection was not closed");
    assert!(
        (25..40).contains(&since.elapsed().as_secs()),
        "{:?}",
        since.elapsed()
    );
    drop(garbage);
    within(Duration::from_secs(2), "their processes are gone", || {
        server
            .processes()
            .iter()
            .filter(|process| process.line.ends_with("front"))
            .count()
            == 1
    });
}

#[test]
fn connections_that_do_not_log_in_are_bounded_and_lock_nobody_out() {
    let server = Server::start();
    let all: Vec<TcpStream> = (0..60)
        .filter_map(|_| TcpStream::connect(("127.0.0.1", server.port)).ok())
        .collect();
    eventually("those that made room are on record", || {
        (!server.records_of("conn.refuse").is_empty()).then_some(())
    });
    let count = || {
        server
            .processes()
            .iter()
            .filter(|process| process.line.ends_with("front"))
            .count()
    };
    within(Duration::from_secs(3), "they are bounded", || count() <= 33);
    server.run("true").good();
    drop(all);
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let server = Server::start();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    // A server of its own, with the first one's keys.
    let dir = server.dir.join("unread");
    for name in ["config", "data"] {
        std::fs::create_dir_all(dir.join(name)).unwrap();
    }
    std::fs::copy(server.dir.join("options.json"), dir.join("options.json")).unwrap();
    let mut command = server_command("serve", &dir);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    let mut unread = command.stderr(Stdio::piped()).spawn().unwrap();
    let pipe = unread.stderr.take().unwrap();
    nix::fcntl::fcntl(&pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    within(Duration::from_secs(10), "it listens", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    // Each login is two lines of more than a hundred bytes.
    for _ in 0..30 {
        let mut ssh = server.ssh();
        ssh.args([
            "-o",
            "StrictHostKeyChecking=no",
            "root@127.0.0.1",
            "--",
            "true",
        ]);
        let words: Vec<String> = ssh
            .get_args()
            .map(|word| {
                word.to_str()
                    .unwrap()
                    .replace(&format!("Port={}", server.port), &format!("Port={port}"))
            })
            .collect();
        let mut ssh = server.client("ssh");
        ssh.args(words);
        finish(ssh).good();
    }
    unread.kill().unwrap();
    unread.wait().unwrap();
    drop(pipe);
}

#[test]
fn one_login_cannot_take_all_sessions() {
    let server = Server::start();
    let held: Vec<_> = (0..16).map(|_| server.background("sleep 100")).collect();
    let done = server.run("true");
    assert_eq!(done.code(), 254, "{done:?}");
    assert!(
        done.stderr.contains("too many sessions with this key"),
        "{done:?}"
    );
    drop(held);
    within(Duration::from_secs(5), "a login works again", || {
        server.run("true").code() == 0
    });
}

#[test]
fn no_two_connections_share_a_random_number() {
    let server = Server::start();
    // The cookie of KEXINIT: sixteen bytes after packet length, padding length and message number, RFC 4253 §7.1.
    let cookie = || {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.write_all(b"SSH-2.0-test\r\n").unwrap();
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let n = stream.read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..n]);
            if let Some(line) = bytes.iter().position(|byte| *byte == b'\n')
                && bytes.len() >= line + 1 + 22
            {
                assert_eq!(bytes[line + 6], 20);
                return bytes[line + 7..line + 23].to_vec();
            }
        }
    };
    let mut cookies: Vec<Vec<u8>> = (0..20).map(|_| cookie()).collect();
    cookies.sort();
    cookies.dedup();
    assert_eq!(cookies.len(), 20);
}

#[test]
fn the_banner_is_shown_before_the_login() {
    let server = Server::with(Setup {
        options: json!({ "banner": "authorised people only" }),
        ..Setup::default()
    });
    let mut ssh = server.talking_ssh();
    ssh.args(["root@127.0.0.1", "--", "true"]);
    assert!(finish(ssh).stderr.contains("authorised people only"));
}

/// Lines of the log about refused logins, without time and address; once there are so many.
fn refusals(server: &Server, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    eventually("the log says it", || {
        let log = server.log();
        let after = |line: &str| Some(line.split_once(" refused: ")?.1.to_owned());
        lines = log.lines().filter_map(after).collect();
        (lines.len() >= count).then_some(())
    });
    lines
}

#[test]
fn the_log_says_why_a_login_was_refused_and_what_would_be_right() {
    let server = Server::start();
    make_key(&server.dir.join("client/wrong"), "ed25519", &[]);
    let mut keygen = Command::new("ssh-keygen");
    keygen.arg("-lf").arg(server.dir.join("client/wrong"));
    let fingerprint = finish(keygen).good().split(' ').nth(1).unwrap().to_owned();
    let user = "wrong user name `admin`: the user name is `root`";
    let key = format!("key {fingerprint} is not in authorized_keys: add its public half there");
    assert_eq!(with_key(&server, "admin", "key", &[]).code(), 255);
    assert_eq!(refusals(&server, 1), [user]);
    assert_eq!(with_key(&server, "root", "wrong", &[]).code(), 255);
    assert_eq!(refusals(&server, 2), [user, key.as_str()]);
    assert!(server.log().contains("login from 127.0.0.1 port "));
    // Whoever knocks on and on does not fill it.
    for _ in 0..6 {
        assert_eq!(with_key(&server, "root", "wrong", &[]).code(), 255);
    }
    server.run("true").good();
    assert_eq!(refusals(&server, 4).len(), 4);
}

#[test]
fn the_log_says_who_was_locked_out_and_never_a_password() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = Server::with(Setup {
        options: json!({ "authorized_keys": null, "password": "correct horse battery" }),
        ..Setup::default()
    });
    let script = "
import paramiko,sys
def try_all(user,words):
    t=paramiko.Transport(('127.0.0.1',int(sys.argv[1]))); t.start_client(timeout=20)
    for word in words:
        try: t.auth_password(user,word,fallback=False)
        except paramiko.SSHException: pass
    t.close()
try_all('root',['wrong horse','correct horse battery'])
try_all('x\\x1b]0;evil\\x07',['wrong horse']*6)
";
    let mut command = server.client(python);
    command.args(["-c", script, &server.port.to_string()]);
    finish(command).good();
    let said = refusals(&server, 2);
    assert_eq!(
        said[0],
        "wrong password: the right one is \"password\" of the options"
    );
    assert_eq!(
        said[1],
        "wrong user name `x\\x1b]0;evil\\x07`: the user name is `root`; 5 more of the like; too many failures"
    );
    assert!(!server.log().contains("horse"), "{}", server.log());
    assert!(!server.log().contains('\u{1b}'));
}

#[test]
fn a_terminal_control_in_a_user_name_does_not_reach_the_log() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = Server::start();
    let script = "
import paramiko,sys
t=paramiko.Transport(('127.0.0.1',int(sys.argv[1]))); t.start_client()
try: t.auth_publickey('x\\x1b]0;evil\\x07\\x9b', paramiko.Ed25519Key.from_private_key_file(sys.argv[2]))
except paramiko.AuthenticationException: print('refused')
";
    let mut command = server.client(python);
    command
        .args(["-c", script, &server.port.to_string()])
        .arg(server.dir.join("client/key"));
    assert_eq!(finish(command).good(), "refused");
    eventually("the attempt is on record", || {
        server
            .records_of("auth.attempt")
            .iter()
            .any(|record| record.to_string().contains("evil"))
            .then_some(())
    });
    assert!(!server.log().contains('\u{1b}') && !server.log().contains('\u{7}'));
    assert!(
        server
            .records()
            .iter()
            .all(|record| !record.to_string().contains("\\u001b"))
    );
}
