//! Whatever is wrong gets the same answer.

use super::*;

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
print(ask(b'\\xc8'), ask(b'\\x05',b'ssh-userauth')[0], ask(b'\\x05',b'ssh-userauth')[0], ask(b'\\x50'), ask(b'\\xff'))
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
