//! What clients do and try.

use std::fs;
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};

use super::proof::{Proved, Trail};
use crate::clients::python;
use crate::harness::{Server, Setup, eventually, feed, finish, make_key, public};

/// Hex SHA-256.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(bytes.as_ref());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A Python program that speaks to the server: its port and the client's key are its arguments.
#[track_caller]
pub fn run_python(server: &Server, program: &str) {
    let mut command = server.client(python().unwrap());
    command
        .args(["-c", program, &server.port.to_string()])
        .arg(server.dir.join("client/key"));
    assert_eq!(finish(command).good(), "ok");
}

/// The fingerprint of a key's public half.
pub fn fingerprint(server: &Server, key: &str) -> String {
    let mut keygen = Command::new("ssh-keygen");
    keygen.arg("-lf").arg(server.dir.join("client").join(key));
    let done = finish(keygen);
    done.good().split(' ').nth(1).unwrap().to_owned()
}

/// Waits until so many sessions have ended on record.
#[track_caller]
pub fn closed(server: &Server, sessions: usize) {
    eventually("the sessions are closed", || {
        (server.records_of("session.close").len() == sessions).then_some(())
    });
}

const TERMINAL: &str = "
import asyncio, asyncssh, sys
async def main():
    to = dict(username='root', client_keys=[sys.argv[2]], known_hosts=None, config=None, agent_path=None)
    async with asyncssh.connect('127.0.0.1', int(sys.argv[1]), **to) as c:
        p = await c.create_process(term_type='vt220', term_size=(100, 30, 700, 300))
        p.change_terminal_size(120, 40, 0, 0)
        p.stdin.write('exit 3\\n')
        assert (await p.wait()).exit_status == 3
        p = await c.create_process('echo begun; exec sleep 100')
        assert await p.stdout.readline() == 'begun\\n'
        p.send_signal('TERM')
        assert (await p.wait()).exit_signal[0] == 'TERM'
asyncio.run(main())
print('ok')
";

const PARAMIKO: &str = "
import paramiko, sys
c = paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect('127.0.0.1', int(sys.argv[1]), 'root', key_filename=sys.argv[2], allow_agent=False, look_for_keys=False)
t = c.get_transport()
";

/// What was asked for where the key's line says what runs.
pub fn what_a_forced_command_leaves() -> Proved {
    let server = Server::start();
    let key = public(&server.dir.join("client/key"));
    let mut server = Server::at(
        server.into_dir(),
        Setup {
            options: json!({ "authorized_keys": [format!("command=\"exit 3\" {key}")] }),
            ..Setup::default()
        },
    );
    assert_eq!(server.run("echo x").code(), 3);
    closed(&server, 1);
    assert!(server.stop().success());
    let trail = Trail::of(&server);
    let asked =
        json!({"request": "exec", "command": "echo x", "bytes": 6, "sha256": sha256("echo x")});
    trail.has("exec", json!(true), json!({
        "command": "exit 3", "bytes": 6, "sha256": sha256("exit 3"), "pid": "<n+>", "asked": asked,
    }));
    trail.proved()
}

/// Programs, terminals, variables, signals, files, and what is refused of a client that has logged in.
pub fn what_clients_do() -> Proved {
    let mut server = Server::with(Setup {
        options: json!({ "forwarding": ["local", "remote"] }),
        ..Setup::default()
    });
    let key = fingerprint(&server, "key");
    let mut ssh = server.ssh();
    ssh.args([
        "-o",
        "KexAlgorithms=curve25519-sha256",
        "-o",
        "Ciphers=aes256-gcm@openssh.com",
    ]);
    ssh.args(["-o", "SetEnv=LANG=C.UTF-8 SECRET=x"]);
    let line = "printf out; printf error >&2; cat >/dev/null; exit 7";
    ssh.args(["root@127.0.0.1", "--", line]);
    assert_eq!(feed(ssh, b"input").code(), 7);
    let stopped = server.run("seq 1 200000 >&2; kill -9 $$");
    assert_eq!(stopped.code(), 255, "{stopped:?}");
    run_python(&server, TERMINAL);

    fs::write(server.dir.join("client/up"), "text").unwrap();
    let mut sftp = server.client("sftp");
    sftp.args(server.ssh_options())
        .args(["-q", "-b", "-", "root@127.0.0.1"]);
    let script = b"put up /config/f\nget /config/f down\nrename /config/f /config/g\n-rm /config/none\nls /config\n";
    feed(sftp, script).good();
    let mut nonsense = server.ssh();
    nonsense.args(["-s", "root@127.0.0.1", "sftp"]);
    feed(nonsense, b"\0\0\0\x05\x01\0\0\0\x03\xff\xff\xff\xffxxxx");
    let mut unknown = server.ssh();
    unknown.args(["-s", "root@127.0.0.1", "netconf"]);
    assert_ne!(finish(unknown).code(), 0);
    let mut forward = server.ssh();
    forward.args(["-W", "127.0.0.1:1", "root@127.0.0.1"]);
    assert_eq!(finish(forward).code(), 255);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let reached = listener.local_addr().unwrap().to_string();
    let mut forward = server.ssh();
    forward.args(["-W", &reached, "root@127.0.0.1"]);
    let answering = std::thread::spawn(move || drop(listener.accept().unwrap()));
    assert_eq!(finish(forward).code(), 0);
    answering.join().unwrap();
    let mut forward = server.ssh();
    forward.args(["-R", "0:127.0.0.1:1", "root@127.0.0.1", "--", "true"]);
    assert_eq!(finish(forward).code(), 0);

    let flood = "
for n in range(100):
  ch = t.open_session()
  ch.close()
ch = t.open_session()
try: ch.exec_command('x' * 140000)
except paramiko.SSHException: print('ok')
c.close()
";
    run_python(&server, &format!("{PARAMIKO}{flood}"));
    let many = "
for n in range(50):
  ch = t.open_session(); ch.exec_command('echo %d' % n); assert ch.recv_exit_status() == 0
c.close(); print('ok')
";
    run_python(&server, &format!("{PARAMIKO}{many}"));
    closed(&server, 11);
    assert!(server.stop().success());

    let trail = Trail::of(&server);
    let mut version = Command::new("ssh");
    let version = finish({
        version.arg("-V");
        version
    })
    .stderr;
    let client = format!("SSH-2.0-{}", version.split(',').next().unwrap());
    let open = trail.has("conn.open", Value::Null, json!({
        "client": client, "kex": "curve25519-sha256", "cipher": "aes256-gcm@openssh.com", "host_key_algorithm": "ssh-ed25519",
    }));
    let login = json!({
        "method": "publickey", "user": "root", "fingerprint": key, "key_type": "ssh-ed25519", "reason": "<text>", "n": 1,
    });
    assert_eq!(
        trail.has("auth.attempt", json!(true), login)["cid"],
        open["cid"]
    );
    trail.has("session.open", json!(true), json!({
        "sandbox": {
            "uid": "<n+>", "namespaces": "<texts>", "config": "read-write", "network": "shared", "cgroup": "<text>",
            "not_in_force": "<list>",
        },
        "policy_digest": "<hex>",
    }));
    trail.has("channel.open", json!(true), json!({"kind": "session"}));
    trail.has(
        "env",
        json!(true),
        json!({"name": "LANG", "value": "C.UTF-8"}),
    );
    trail.has("env", json!(false), json!({"name": "SECRET"}));
    let exec = json!({"command": line, "bytes": line.len(), "sha256": sha256(line), "pid": "<n+>"});
    let exec = trail.has("exec", json!(true), exec);
    let stream = |bytes: &str| json!({"bytes": bytes.len(), "sha256_first_mib": sha256(bytes)});
    let usage = json!({"cpu_us": "<n>", "max_rss_kib": "<n+>"});
    let end = trail.has(
        "exec.end",
        Value::Null,
        json!({
            "exit": {"Status": 7}, "duration_ms": "<n>", "usage": usage,
            "stdin": stream("input"), "stdout": stream("out"), "stderr": stream("error"),
        }),
    );
    assert_eq!(
        (&end["sid"], &end["ch"], &exec["cid"]),
        (&exec["sid"], &exec["ch"], &open["cid"])
    );
    let seq: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    trail.has("exec.end", Value::Null, json!({
        "exit": {"Signal": {"number": 9, "core": false}}, "duration_ms": "<n>", "usage": usage, "stdin": stream(""),
        "stdout": stream(""), "stderr": {"bytes": seq.len(), "sha256_first_mib": sha256(&seq[..1 << 20])},
    }));
    trail.has(
        "channel.close",
        Value::Null,
        json!({"bytes_in": 5, "bytes_out": 8}),
    );
    trail.has(
        "conn.close",
        json!(true),
        json!({"reason": "client", "duration_ms": "<n>", "attempts": "<n>"}),
    );

    trail.has("pty", json!(true), json!({
        "term": "vt220", "size": {"columns": 100, "rows": 30, "width_px": 700, "height_px": 300},
    }));
    trail.has(
        "resize",
        json!(true),
        json!({"size": {"columns": 120, "rows": 40, "width_px": 0, "height_px": 0}}),
    );
    trail.has("shell", json!(true), json!({"pid": "<n+>"}));
    trail.has("signal", json!(true), json!({"name": "TERM"}));

    trail.has(
        "subsystem",
        json!(true),
        json!({"name": "sftp", "pid": "<n+>"}),
    );
    trail.has("subsystem", json!(false), json!({"name": "netconf"}));
    let hash = blake3::hash(b"text").to_hex().to_string();
    trail.has("sftp.op", json!(true), json!({
        "op": "write", "path": "/config/f", "flags": ["write", "create", "truncate"], "bytes_read": 0, "bytes_written": 4, "written_blake3": hash, "duration_ms": "<n>",
    }));
    trail.has("sftp.op", json!(true), json!({
        "op": "read", "path": "/config/f", "flags": ["read"], "bytes_read": 4, "bytes_written": 0, "read_blake3": hash, "duration_ms": "<n>",
    }));
    trail.has(
        "sftp.op",
        json!(true),
        json!({"op": "rename", "path": "/config/f", "to": "/config/g"}),
    );
    trail.has(
        "sftp.op",
        json!(true),
        json!({"op": "list", "path": "/config/", "duration_ms": "<n>"}),
    );
    trail.has(
        "sftp.op",
        json!(false),
        json!({"op": "remove", "path": "/config/none", "error": "no such file"}),
    );
    trail.has("sftp.summary", Value::Null, json!({
        "operations": "<n+>", "opened": 3, "changes": 2, "failed": "<n+>", "left_out": 0, "bytes_read": 4, "bytes_written": 4,
    }));
    trail.has("sftp.summary", Value::Null, json!({
        "operations": 0, "opened": 0, "changes": 0, "failed": 0, "left_out": 0, "bytes_read": 0, "bytes_written": 0,
        "unreadable": "a packet of impossible length",
    }));
    trail.has(
        "channel.refuse",
        json!(false),
        json!({"kind": "direct-tcpip", "target": "127.0.0.1:1", "reason": "<text>"}),
    );
    trail.has(
        "channel.open",
        json!(true),
        json!({"kind": "direct-tcpip", "target": reached, "origin": "<text>"}),
    );
    trail.has(
        "forward.open",
        json!(true),
        json!({"kind": "tcpip-forward", "at": "<text>"}),
    );
    trail.has(
        "forward.close",
        Value::Null,
        json!({"kind": "tcpip-forward", "at": "<text>", "accepted": "<n>"}),
    );
    trail.has(
        "channel.folded",
        Value::Null,
        json!({"channels": "<n+>", "requests": "<n>"}),
    );
    trail.has(
        "limit.hit",
        json!(false),
        json!({"resource": "command", "limit": 128 * 1024 - 1}),
    );

    let start = trail.has(
        "recording.start",
        json!(true),
        json!({"file": "<recording>", "mode": "output"}),
    );
    let folder = start["d"]["file"].as_str().unwrap().rsplit('/').nth(1);
    assert_eq!(folder, start["sid"].as_str());
    trail.has(
        "recording.end",
        json!(true),
        json!({
            "file": "<recording>", "bytes": "<n+>", "sha256": "<hex>", "head": "<hash>",
        }),
    );
    let left_out = seq.len() - 320 * 1024;
    trail.has("recording.end", json!(true), json!({
        "file": "<recording>", "bytes": "<n+>", "sha256": "<hex>", "head": "<hash>", "left_out": left_out,
    }));
    trail.has(
        "recording.truncate",
        json!(false),
        json!({
            "file": "<recording>", "reason": "bytes of a command's output", "limit": 320 * 1024,
        }),
    );
    trail.has("session.close", Value::Null, json!({
        "reason": "client", "duration_ms": "<n>", "records": "<n+>", "channels": 1, "api_calls": 0, "denials": 0,
        "bytes_in": 5, "bytes_out": 8, "recordings": [{"file": "<text>", "bytes": "<n+>", "sha256": "<hex>"}],
    }));
    let many = |record: &&Value| record["d"]["more_recordings"] == 2;
    let many = trail
        .all()
        .iter()
        .find(many)
        .expect("no session with more than 48 recordings");
    assert_eq!(many["d"]["recordings"].as_array().unwrap().len(), 48);
    trail.has("session.close", Value::Null, json!({
        "reason": "client", "duration_ms": "<n>", "records": "<n+>", "channels": 50, "api_calls": 0, "denials": 0,
        "bytes_in": 0, "bytes_out": 140, "recordings": many["d"]["recordings"], "more_recordings": 2,
    }));

    trail.has("server.start", Value::Null, json!({
        "version": env!("CARGO_PKG_VERSION"), "options_digest": "<hex>", "host_key": "<fingerprint>",
        "isolation": "<texts>", "recovered": [],
    }));
    trail.has("server.stop", Value::Null, json!({"reason": "signal"}));
    trail.has(
        "segment.open",
        Value::Null,
        json!({"number": 1, "records": 0, "key": "<text>"}),
    );
    let ledger = trail
        .all()
        .iter()
        .rfind(|record| record["type"] == "segment.seal")
        .unwrap();
    trail.has(
        "segment.seal",
        Value::Null,
        json!({"records": ledger["seq"]}),
    );
    let close = trail
        .all()
        .iter()
        .find(|record| record["type"] == "session.close")
        .unwrap();
    let anchor = trail.has("anchor", Value::Null, json!({
        "file": "<session>", "records": close["seq"].as_u64().unwrap() + 1, "head": close["hash"], "last": true,
    }));
    assert_eq!(anchor["sid"], close["sid"]);
    trail.has(
        "checkpoint",
        Value::Null,
        json!({"note": ["<text>", "<digits>", "<text>", "", "<text>"]}),
    );
    trail.proved()
}

/// Keys that do not do, connections that say nothing, and more of both than are recorded one by one.
pub fn who_does_not_log_in() -> Proved {
    let mut server = Server::start();
    let mut ssh = server.client("ssh");
    ssh.args(["-F", "none"]);
    for n in 0..25 {
        let name = format!("k{n}");
        make_key(&server.dir.join("client").join(&name), "ed25519", &[]);
        ssh.arg("-i").arg(server.dir.join("client").join(name));
    }
    ssh.args(&server.ssh_options()[4..])
        .args(["root@127.0.0.1", "--", "true"]);
    assert_eq!(finish(ssh).code(), 255);
    let all: Vec<TcpStream> = (0..60)
        .filter_map(|_| TcpStream::connect(("127.0.0.1", server.port)).ok())
        .collect();
    eventually("some made room", || server.records_of("conn.refuse").pop());
    drop(all);
    // Of these something would be on record, if they were not so many.
    (0..15).for_each(|_| crate::flood::knock(server.port));
    assert!(server.stop().success());

    let trail = Trail::of(&server);
    trail.has("auth.attempt", json!(false), json!({
        "method": "offer", "user": "root", "fingerprint": fingerprint(&server, "k3"), "key_type": "ssh-ed25519",
        "reason": "<text>", "n": 4,
    }));
    trail.has(
        "auth.lockout",
        json!(false),
        json!({"reason": "too many keys were offered", "n": "<n+>"}),
    );
    trail.has(
        "conn.close",
        json!(false),
        json!({"reason": "too many attempts", "duration_ms": "<n>", "attempts": 0}),
    );
    trail.has(
        "conn.refuse",
        json!(false),
        json!({"reason": "made-room", "count": "<n+>", "ip": "127.0.0.1"}),
    );
    let folded = trail
        .all()
        .iter()
        .find(|record| record["type"] == "conn.folded")
        .expect("nothing was counted");
    let reasons = folded["d"]["reasons"].as_object().unwrap();
    let sum: u64 = reasons.values().map(|count| count.as_u64().unwrap()).sum();
    trail.has("conn.folded", json!(false), json!({
        "from": "127.0.0.1", "connections": sum, "attempts": 0, "records": "<n>", "reasons": reasons,
        "first": "<time>", "last": "<time>",
    }));
    trail.proved()
}

/// Calls to the Supervisor: allowed, refused, with a body, with an upload, answered with an error, and none at all.
pub fn what_the_broker_is_asked() -> Proved {
    let server = Server::start();
    let line = format!("role=\"admin\" {}", public(&server.dir.join("client/key")));
    let setup = Setup {
        options: json!({"authorized_keys": [line]}),
        supervisor: true,
        ..Setup::default()
    };
    let mut server = Server::at(server.into_dir(), setup);
    let info: Value = serde_json::from_str(server.run("hassio info --raw-json").good()).unwrap();
    assert_eq!(info["result"], "ok");
    let body = r#"{"name":"today"}"#;
    let post = format!(
        "curl -s --unix-socket $HASSIO_SOCKET -H 'Content-Type: application/json' -d '{body}' http://x/backups/new/full"
    );
    server.run(&post).good();
    server
        .run("head -c 100000 /dev/zero > /tmp/b.tar; hassio backups upload /tmp/b.tar")
        .good();
    assert_eq!(server.run("hassio os datadisk wipe --yes").code(), 3);
    server
        .run("curl -s --unix-socket $HASSIO_SOCKET http://x/nowhere")
        .good();
    let raw = "python3 -c 'import os,socket\nfor b in b\"no request\\r\\n\\r\\n\", b\"GET /info HTTP/1.1\\r\\n\\r\\nmore\":\n \
               s=socket.socket(socket.AF_UNIX)\n s.connect(os.environ[\"HASSIO_SOCKET\"])\n s.sendall(b)\n s.recv(1000)'";
    server.run(raw).good();
    closed(&server, 6);
    assert!(server.stop().success());

    let trail = Trail::of(&server);
    let request = trail.has("api.request", json!(true), json!({
        "id": 1, "endpoint": "general.info", "method": "GET", "path": "/info", "body_bytes": 0, "decision": "allow",
        "rule": "<text>",
    }));
    let its = |record: &&Value| record["type"] == "api.response" && record["sid"] == request["sid"];
    let answer = trail.all().iter().find(its).unwrap();
    assert_eq!(answer["d"]["id"], request["d"]["id"]);
    trail.has("api.response", json!(true), json!({
        "id": 1, "status": 200, "bytes": "<n+>", "upload": {"bytes": "<n+>", "sha256": "<hex>"}, "duration_ms": "<n>",
    }));
    trail.has(
        "api.response",
        json!(false),
        json!({
            "id": 2, "status": 403, "bytes": "<n+>", "duration_ms": "<n>", "error": "<text>",
        }),
    );
    trail.has(
        "api.response",
        json!(true),
        json!({
            "id": 1, "status": 200, "bytes": "<n+>", "sha256": "<hex>", "duration_ms": "<n>",
        }),
    );
    trail.has("api.request", json!(true), json!({
        "id": 1, "endpoint": "backups.new-full", "method": "POST", "path": "/backups/new/full", "body_bytes": body.len(),
        "body_sha256": sha256(body), "decision": "allow", "rule": "<text>",
    }));
    trail.has("api.request", json!(false), json!({
        "id": "<n+>", "endpoint": "os.datadisk-wipe", "method": "POST", "path": "/os/datadisk/wipe", "body_bytes": 0,
        "decision": "deny", "rule": "<text>",
    }));
    trail.has("api.request", json!(false), json!({
        "id": 1, "method": "GET", "path": "/nowhere", "body_bytes": 0, "decision": "deny", "rule": "<text>",
    }));
    trail.has(
        "policy.deny",
        json!(false),
        json!({"layer": "broker", "object": "bytes behind a request", "rule": "<text>"}),
    );
    trail.has("api.request", json!(false), json!({
        "id": 1, "method": "no", "path": "request", "body_bytes": 0, "decision": "deny", "rule": "<text>",
    }));
    trail.proved()
}

/// A look at what a session showed, and a session that another one ends.
pub fn who_looks_and_who_kills() -> Proved {
    let mut server = Server::start();
    server.run("echo shown").good();
    closed(&server, 1);
    server.run("hassio session replay last").good();
    closed(&server, 2);
    let mut victim = server.background("sleep 1000");
    let seen = server.records_of("session.open");
    let newest = seen
        .iter()
        .max_by_key(|record| record["sid"].as_str().map(str::to_owned));
    let victims = newest.unwrap()["sid"].as_str().unwrap().to_owned();
    server.run(&format!("hassio session kill {victims}")).good();
    eventually("the client learns it", || victim.child.try_wait().unwrap());
    closed(&server, 4);
    assert!(server.stop().success());

    let trail = Trail::of(&server);
    let echo = |record: &&Value| record["d"]["command"] == "echo shown";
    let shown = trail.all().iter().find(echo);
    let shown = shown.unwrap()["sid"].clone();
    let view = trail.has(
        "recording.view",
        json!(true),
        json!({"session": shown, "file": "<text>"}),
    );
    let file = view["d"]["file"]
        .as_str()
        .unwrap_or_else(|| panic!("{view}"));
    let sid = shown.as_str().unwrap_or_else(|| panic!("{shown}"));
    assert!(
        file.starts_with("recordings/2") && file.contains(sid),
        "{view}"
    );
    assert_ne!(view["sid"], shown);
    let killed = |record: &&Value| record["d"]["reason"] == "killed";
    let close = trail.all().iter().find(killed).unwrap();
    assert_eq!(close["sid"], *victims);
    let by = close["d"]["by"].clone();
    let asked = |record: &&Value| record["d"]["endpoint"] == "sessions.kill";
    assert_eq!(trail.all().iter().find(asked).unwrap()["sid"], by);
    trail.has("session.close", close["ok"].clone(), json!({
        "reason": "killed", "duration_ms": "<n>", "by": by, "records": "<n+>", "channels": 1, "api_calls": 0, "denials": 0,
        "bytes_in": "<n>", "bytes_out": "<n>", "recordings": close["d"]["recordings"],
    }));
    trail.proved()
}
