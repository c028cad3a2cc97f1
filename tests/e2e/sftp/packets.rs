//! Clients that make their packets themselves: what is on record is what became of the files.

use std::fs;

use serde_json::{Value, json};

use super::{hash, records};
use crate::clients::python;
use crate::harness::{Server, Setup, finish};

/// Packets of SFTP, and a channel to send them through.
const PACKETS: &str = "
import paramiko, struct, sys, time
t = paramiko.Transport(('127.0.0.1', int(sys.argv[1]))); t.start_client()
t.auth_publickey('root', paramiko.Ed25519Key.from_private_key_file(sys.argv[2]))
def pk(kind, body): return struct.pack('>IB', len(body) + 1, kind) + body
def st(text): return struct.pack('>I', len(text)) + text
def n(*all): return b''.join(struct.pack('>I', one) for one in all)
H = n(0)
def O(i, path, flags): return pk(3, n(i) + st(path) + n(flags, 0))
def C(i, h=H): return pk(4, n(i) + st(h))
def R(i, h=H): return pk(5, n(i) + st(h) + n(0, 0, 1000))
def W(i, data, h=H): return pk(6, n(i) + st(h) + n(0, 0) + st(data))
def chmod(i, h=H): return pk(10, n(i) + st(h) + n(4, 0o600))
def remove(i, path): return pk(13, n(i) + st(path))
def lstat(i, path): return pk(7, n(i) + st(path))
READ, WRITE, NEW = 1, 2, 0x1a
class Channel:
    def __init__(self, start=lambda ch: ch.invoke_subsystem('sftp')):
        self.ch = t.open_session(); self.ch.settimeout(20); start(self.ch); self.kept = b''
        self.ch.sendall(pk(1, n(3))); assert self.packet()[0] == 2
    def packet(self):
        while len(self.kept) < 4 or len(self.kept) < 4 + struct.unpack('>I', self.kept[:4])[0]:
            more = self.ch.recv(65536)
            if not more: return None
            self.kept += more
        end = 4 + struct.unpack('>I', self.kept[:4])[0]
        packet, self.kept = self.kept[4:end], self.kept[end:]
        return packet
    # Sends it all at once, and returns the codes of so many answers: 0 where there is another answer than a status.
    def burst(self, answers, *packets):
        self.ch.sendall(b''.join(packets))
        got = [self.packet() for _ in range(answers)]
        return [struct.unpack('>I', p[5:9])[0] if p and p[0] == 101 else 0 if p else None for p in got]
    def end(self):
        self.ch.close()
";

#[track_caller]
fn talk(server: &Server, program: &str) {
    let mut command = server.client(python().unwrap());
    let port = server.port.to_string();
    command.args(["-c", &format!("{PACKETS}{program}"), &port]);
    command.arg(server.dir.join("client/key"));
    assert_eq!(finish(command).good(), "ok");
}

/// The members `op`, `path`, `bytes_read`, `bytes_written`, `error` of each.
fn rows(ops: &[Value]) -> Vec<Value> {
    let of = |record: &Value, name: &str| record["d"][name].clone();
    let names = ["op", "path", "bytes_read", "bytes_written", "error"];
    let row = |record| names.map(|name| of(record, name)).into();
    ops.iter().map(row).collect()
}

#[test]
fn a_file_is_named_as_what_its_handle_stood_for() {
    if python().is_none() {
        return;
    }
    let server = Server::start();
    fs::write(server.config("secrets.yaml"), "secret").unwrap();
    talk(
        &server,
        "
c = Channel()
assert c.burst(1, O(1, b'/config/innocent', NEW)) == [0]
again = O(3, b'/config/automations.yaml', NEW)
assert c.burst(5, C(2), again, W(4, b'malicious'), chmod(5), C(6)) == [0] * 5
assert c.burst(1, O(1, b'/config/innocent', READ)) == [0]
assert c.burst(4, C(2), O(3, b'/config/secrets.yaml', READ), R(4), C(5)) == [0] * 4
# A handle that is guessed.
assert c.burst(4, O(1, b'/config/evil.yaml', NEW), W(2, b'evil'), chmod(3), C(4)) == [0] * 4
assert c.burst(1, W(1, b'nowhere')) == [4]
# sftp-server does not answer what it does not know.
c.ch.sendall(pk(22, n(9))); time.sleep(.3)
assert c.burst(1, remove(9, b'/config/evil.yaml')) == [0]
c.end(); t.close(); print('ok')
",
    );
    let written = fs::read_to_string(server.config("automations.yaml")).unwrap();
    assert_eq!(written, "malicious");
    let (ops, totals) = records(&server, 1);
    let (real, secret) = ("/config/automations.yaml", "/config/secrets.yaml");
    let kept: Vec<Value> = rows(&ops)
        .into_iter()
        .filter(|row| row[1] != "/config/innocent")
        .collect();
    let none = Value::Null;
    let expected = [
        json!(["setstat", real, none, none, none]),
        json!(["write", real, 0, 9, none]),
        json!(["read", secret, 6, 0, none]),
        json!(["setstat", "/config/evil.yaml", none, none, none]),
        json!(["write", "/config/evil.yaml", 0, 4, none]),
        json!(["write", "(handle 00000000)", none, none, "failure"]),
        json!(["unknown", "\\x16", none, none, "not supported"]),
        json!(["remove", "/config/evil.yaml", none, none, none]),
    ];
    assert_eq!(kept, expected);
    let innocent = ops
        .iter()
        .filter(|op| op["d"]["path"] == "/config/innocent");
    for op in innocent {
        let moved = (&op["d"]["bytes_read"], &op["d"]["bytes_written"]);
        assert_eq!(moved, (&json!(0), &json!(0)), "{op}");
    }
    let read = ops.iter().find(|op| op["d"]["op"] == "read").unwrap();
    assert_eq!(read["d"]["read_blake3"], hash(b"secret"));
    let totals = &totals[0]["d"];
    assert_eq!(
        (&totals["bytes_written"], &totals["bytes_read"]),
        (&json!(13), &json!(6))
    );
    assert_eq!(totals["unreadable"], Value::Null);
}

#[test]
fn who_does_not_wait_for_an_answer_is_on_record() {
    if python().is_none() {
        return;
    }
    let server = Server::start();
    fs::write(server.config("victim"), "x").unwrap();
    talk(
        &server,
        "
c = Channel()
# Closed before anything of it can have been answered.
c.ch.sendall(O(1, b'/config/evil', NEW) + W(2, b'evil') + remove(3, b'/config/victim'))
c.end(); time.sleep(.5); t.close(); print('ok')
",
    );
    let (ops, _) = records(&server, 1);
    let said = |path: &str| ops.iter().any(|op| op["d"]["path"] == path);
    let is_there = |name: &str| server.config(name).exists();
    assert!(!is_there("evil") || said("/config/evil"), "{ops:#?}");
    assert!(is_there("victim") || said("/config/victim"), "{ops:#?}");
}

#[test]
fn what_cannot_be_read_never_reaches_the_server() {
    if python().is_none() {
        return;
    }
    let server = Server::start();
    for name in ["victim", "other"] {
        fs::write(server.config(name), "x").unwrap();
    }
    talk(
        &server,
        "
# Its path is behind its end: sftp-server would look for it there.
c = Channel()
assert c.burst(1, struct.pack('>IB', 5, 13) + n(1) + st(b'/config/victim') + lstat(2, b'/')) == [None]
assert b'nothing more is done' in c.ch.recv_stderr(1000)
c = Channel()
short = struct.pack('>IB', 1 + 4 + 8 + 8 + 4, 6) + n(2) + st(H) + n(0, 0) + st(b'evil')
assert c.burst(1, O(1, b'/config/short', NEW)) == [0]
assert c.burst(1, short) == [None]
# What is too long is refused by the server alone, and hides nothing that comes after it.
c = Channel()
assert c.burst(2, O(1, b'/' + b'a' * 12000, NEW), remove(2, b'/config/other')) == [5, 0]
c.end(); t.close(); print('ok')
",
    );
    assert!(server.config("victim").exists() && !server.config("other").exists());
    assert_eq!(fs::read(server.config("short")).unwrap(), b"");
    let (ops, totals) = records(&server, 3);
    let why: Vec<&Value> = totals.iter().map(|one| &one["d"]["unreadable"]).collect();
    let early = json!("a packet that ends too early");
    assert_eq!(why, [&early, &early, &Value::Null]);
    let rows = rows(&ops);
    let removed = json!(["remove", "/config/other", null, null, null]);
    assert!(rows.contains(&removed), "{rows:#?}");
    let cut = rows.iter().find(|row| row[4] == "bad message").unwrap();
    assert!(cut[1].as_str().unwrap().ends_with("aaa…"), "{cut}");
}

#[test]
fn a_file_that_is_emptied_by_opening_it_is_on_record() {
    if python().is_none() {
        return;
    }
    let server = Server::start();
    fs::write(server.config("configuration.yaml"), "all of it").unwrap();
    talk(
        &server,
        "
c = Channel()
assert c.burst(2, O(1, b'/config/configuration.yaml', NEW), C(2)) == [0, 0]
assert c.burst(2, O(3, b'/config/new', WRITE | 8 | 0x20), C(4)) == [0, 0]
c.end(); t.close(); print('ok')
",
    );
    assert_eq!(fs::read(server.config("configuration.yaml")).unwrap(), b"");
    let (ops, totals) = records(&server, 1);
    let said = ops.iter().map(|op| (&op["d"]["op"], &op["d"]["flags"]));
    let expected = [
        (json!("truncate"), json!(["write", "create", "truncate"])),
        (json!("create"), json!(["write", "create", "exclusive"])),
    ];
    assert!(
        said.eq(expected.iter().map(|(op, flags)| (op, flags))),
        "{ops:#?}"
    );
    assert_eq!(totals[0]["d"]["changes"], json!(2));
}

#[test]
fn a_flood_of_failures_hides_no_change() {
    if python().is_none() {
        return;
    }
    let server = Server::start();
    fs::write(server.config("victim"), "x").unwrap();
    fs::write(server.config("secrets.yaml"), "secret").unwrap();
    talk(
        &server,
        "
c = Channel()
flood = b''.join(lstat(i, b'/n%d' % i) for i in range(1000))
assert c.burst(1001, flood, remove(9999, b'/config/victim'))[-1] == 0
assert c.burst(1002, flood, O(1, b'/config/secrets.yaml', READ), R(2))[-2:] == [0, 0]
assert c.burst(1, C(3)) == [0]
c.end(); t.close(); print('ok')
",
    );
    assert!(!server.config("victim").exists());
    let (ops, totals) = records(&server, 1);
    let rows = rows(&ops);
    let removed = json!(["remove", "/config/victim", null, null, null]);
    let read = json!(["read", "/config/secrets.yaml", 6, 0, null]);
    assert!(rows.contains(&removed) && rows.contains(&read), "{rows:#?}");
    assert!(totals[0]["d"]["left_out"].as_u64().unwrap() > 500);
}

#[test]
fn sftp_server_as_a_command_leaves_the_same_records() {
    if python().is_none() {
        return;
    }
    let server = Server::with(Setup {
        options: json!({ "sftp": false }),
        ..Setup::default()
    });
    talk(
        &server,
        "
for terminal in [False, True]:
    def start(ch):
        # What a client writes is echoed: a reader could take it for an answer.
        if terminal: ch.get_pty()
        ch.exec_command('/usr/lib/openssh/sftp-server')
    c = Channel(start)
    assert c.burst(3, O(1, b'/config/f', NEW), W(2, b'text'), C(3)) == [0] * 3
    c.end()
t.close(); print('ok')
",
    );
    assert_eq!(fs::read(server.config("f")).unwrap(), b"text");
    let (ops, totals) = records(&server, 2);
    let row = json!(["write", "/config/f", 0, 4, null]);
    assert_eq!(rows(&ops), [row.clone(), row]);
    assert!(totals.iter().all(|one| one["d"]["unreadable"].is_null()));
}
