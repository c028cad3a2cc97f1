//! Passwords as the answer to a question: RFC 4256, which is all that some apps speak.

use serde_json::{Value, json};

use super::with_answer;
use crate::harness::{Done, Server, Setup, eventually, feed, finish, have};

const PASSWORD: &str = "correct horse battery";

fn server() -> Server {
    Server::with(Setup {
        options: json!({ "authorized_keys": null, "password": PASSWORD }),
        ..Setup::default()
    })
}

/// `ssh` by this method alone.
fn interactive(server: &Server, user: &str, password: &str) -> Done {
    with_answer(server, "keyboard-interactive", user, password)
}

#[test]
fn an_answer_logs_in_and_is_judged_like_a_password() {
    let server = server();
    let done = interactive(&server, "root", PASSWORD);
    assert_eq!(done.good(), "in", "{done:?} {}", server.log());
    assert!(
        std::fs::read_to_string(server.dir.join("client/asked"))
            .unwrap()
            .ends_with("Password: \n")
    );
    for (user, password) in [("root", "wrong horse"), ("root", ""), ("admin", PASSWORD)] {
        let done = interactive(&server, user, password);
        assert_eq!(done.code(), 255, "{user} {password}");
        assert!(done.stderr.contains("Permission denied"), "{done:?}");
    }
    let attempts = eventually("four attempts on record", || {
        let attempts = server.records_of("auth.attempt");
        (attempts.len() == 4).then_some(attempts)
    });
    let told: Vec<(&Value, &Value)> = attempts
        .iter()
        .map(|record| (&record["d"]["method"], &record["d"]["reason"]))
        .collect();
    let reasons = [
        "good password",
        "wrong password",
        "wrong password",
        "unknown user",
    ]
    .map(Value::from);
    let method = json!("keyboard-interactive");
    assert_eq!(
        told,
        reasons
            .iter()
            .map(|reason| (&method, reason))
            .collect::<Vec<_>>()
    );
    let text = std::fs::read_to_string(server.dir.join("data/audit/ledger/000001.jsonl"))
        .unwrap_or_default()
        + &server.log();
    assert!(
        !text.contains("horse"),
        "a password is in the log or on record"
    );
}

#[test]
fn with_a_key_there_is_no_question() {
    let both = Server::with(Setup {
        options: json!({ "password": PASSWORD }),
        ..Setup::default()
    });
    let done = interactive(&both, "root", PASSWORD);
    assert!(
        done.code() == 255 && done.stderr.contains("(publickey)"),
        "{done:?}"
    );
    assert!(!both.dir.join("client/asked").exists(), "nothing is asked");
}

#[test]
fn other_clients_answer() {
    let server = server();
    let port = server.port.to_string();
    if have("plink") {
        let mut plink = server.plink();
        plink.args(["-pw", PASSWORD]);
        plink.args(["root@127.0.0.1", "cat; exit 4"]);
        let done = feed(plink, b"through\n");
        assert_eq!(
            (done.code(), done.stdout.as_str()),
            (4, "through\n"),
            "{done:?}"
        );
    }
    let Some(python) = crate::clients::python() else {
        return;
    };
    let script = "
import asyncio, asyncssh, paramiko, sys
port, password = int(sys.argv[1]), sys.argv[2]
t = paramiko.Transport(('127.0.0.1', port)); t.start_client(timeout=20)
asked = []
t.auth_interactive('root', lambda title, text, prompts: asked.append((title, text, prompts)) or [password])
print(asked, t.is_authenticated()); t.close()
class Client(asyncssh.SSHClient):
    def kbdint_auth_requested(self): return ''
    def kbdint_challenge_received(self, name, instructions, lang, prompts): return [password]
async def main():
    options = dict(known_hosts=None, username='root', client_factory=Client, config=None, client_keys=None, agent_path=None)
    async with asyncssh.connect('127.0.0.1', port, preferred_auth='keyboard-interactive', **options) as c:
        print((await c.run('echo in')).stdout.strip())
asyncio.run(main())
";
    let mut command = server.client(python);
    command.args(["-c", script, &port, PASSWORD]);
    assert_eq!(
        finish(command).good(),
        "[('', '', [('Password: ', False)])] True\nin"
    );
}

/// Speaks by hand: however an answer is wrong, it is refused as a wrong password is, and counts.
#[test]
fn answers_that_are_none_are_refused_alike_and_count() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = server();
    let script = r"
import paramiko, queue, sys, time
from paramiko.message import Message
class Raw:
    banner = None
    def __init__(self, q): self._handler_table = {n: (lambda n: lambda m: q.put((n, m.asbytes())))(n) for n in (6, 51, 52, 60)}
    def is_authenticated(self): return False
    def abort(self): pass
def connect():
    global t, q
    q = queue.Queue(); t = paramiko.Transport(('127.0.0.1', int(sys.argv[1]))); t.start_client(timeout=20); t.auth_handler = Raw(q)
    say(b'\x05', b'ssh-userauth'); q.get(timeout=20)
def say(first, *parts):
    m = Message(); m.add_bytes(first)
    for part in parts: m.add_int(part) if isinstance(part, int) else m.add_string(part)
    t._send_message(m)
def ask(): say(b'\x32', b'root', b'ssh-connection', b'keyboard-interactive', b'', b''); return q.get(timeout=20)
def answer(name, *parts):
    since = time.monotonic(); say(b'\x3d', *parts); n, body = q.get(timeout=20)
    print(name, n, body.hex(), time.monotonic() - since > 0.14, flush=True)
for name, parts in (('none', (0,)), ('two', (2, b'correct horse battery', b'')), ('long', (1, b'x' * 30000)), ('no text', (1, b'\xff\xfe')),
                    ('wrong', (1, b'wrong horse'))):
    connect(); n, question = ask()
    if name == 'none': print(n, question.hex())
    answer(name, *parts); t.close()
connect(); answer('unasked', 1, b'correct horse battery')
print(t.is_active())
for n in range(6): ask(); say(b'\x3d', 2, b'a', b'b'); q.get(timeout=20)
until = time.monotonic() + 20
while t.is_active() and time.monotonic() < until: time.sleep(0.01)
print(t.is_active())
connect(); ask(); ask(); answer('right', 1, b'correct horse battery')
";
    let mut command = server.client(python);
    command.args(["-c", script, &server.port.to_string()]);
    let failure =
        "000000277075626c69636b65792c70617373776f72642c6b6579626f6172642d696e74657261637469766500";
    let done = finish(command);
    let lines: Vec<&str> = done.good().lines().collect();
    let question =
        "0000000000000000000000000000000100000 00a50617373776f72643a2000".replace(' ', "");
    assert_eq!(lines[0], format!("60 {question}"));
    for (line, name) in lines[1..6]
        .iter()
        .zip(["none", "two", "long", "no text", "wrong"])
    {
        assert_eq!(*line, format!("{name} 51 {failure} True"));
    }
    // What answers nothing is no attempt, and no login.
    assert!(
        lines[6].starts_with(&format!("unasked 51 {failure}")),
        "{}",
        lines[6]
    );
    assert_eq!(lines[7..], ["True", "False", "right 52  False"]);
    let reasons: Vec<Value> = eventually("twelve on record", || {
        let attempts = server.records_of("auth.attempt");
        let attempts: Vec<Value> = attempts
            .into_iter()
            .map(|record| record["d"]["reason"].clone())
            .collect();
        attempts
            .contains(&json!("good password"))
            .then_some(attempts)
    });
    let count = |reason: &str| reasons.iter().filter(|known| **known == reason).count();
    let answers = "not one answer to the one question";
    assert_eq!(
        (
            count(answers),
            count("longer than what is looked at"),
            count("wrong password")
        ),
        (9, 1, 1),
        "{reasons:?}"
    );
}
