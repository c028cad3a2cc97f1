//! What is on record of SFTP, whoever speaks it.

use std::fs;

use serde_json::{Value, json};

use crate::clients::python;
use crate::harness::{Server, eventually, feed, finish};

mod packets;
mod patterns;

/// The records of SFTP, once there are this many summaries.
fn records(server: &Server, channels: usize) -> (Vec<Value>, Vec<Value>) {
    eventually("the totals are on record", || {
        let totals = server.records_of("sftp.summary");
        (totals.len() == channels).then(|| (server.records_of("sftp.op"), totals))
    })
}

/// What is always in an `sftp.op`: op, path, error.
fn rows(ops: &[Value]) -> Vec<(&str, &str, Option<&str>)> {
    let text = |op: &Value, name| op["d"][name].as_str().map(str::to_owned);
    let row = |op| (text(op, "op"), text(op, "path"), text(op, "error"));
    let rows = ops.iter().map(row).collect::<Vec<_>>();
    let keep = |text: String| &*text.leak();
    rows.into_iter()
        .map(|(op, path, error)| (keep(op.unwrap()), keep(path.unwrap()), error.map(keep)))
        .collect()
}

/// The bytes of a client that asks for so many renames, of names as long as they may be: two of them fill more than half of
/// a record.
pub fn long_renames(count: u32) -> Vec<u8> {
    let packet =
        |body: &[u8]| [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat();
    let text = |text: &[u8]| packet(text);
    let name = [b"/config/".as_slice(), &[b'x'; 4000]].concat();
    let mut all = packet(&[1, 0, 0, 0, 3]);
    for id in 0..count {
        let rename = [&[18][..], &id.to_be_bytes(), &text(&name), &text(&name)].concat();
        all.extend(packet(&rename));
    }
    all
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[test]
fn each_operation_of_sftp_is_on_record_with_what_was_moved() {
    let server = Server::start();
    let text = (0..200_000u32)
        .flat_map(u32::to_be_bytes)
        .collect::<Vec<_>>();
    fs::write(server.dir.join("client/up"), &text).unwrap();
    let mut sftp = server.client("sftp");
    sftp.args(server.ssh_options())
        .args(["-q", "-b", "-", "root@127.0.0.1"]);
    let script = b"mkdir /config/d\nput up /config/d/f\nchmod 600 /config/d/f\nrename /config/d/f /config/d/g\n\
        symlink g /config/d/l\nln /config/d/g /config/d/h\nget /config/d/g down\n-rm /config/none\nrm /config/d/h\n\
        rm /config/d/l\nls /config/d\n-put up /usr/x\n-get /etc/shadow\nrm /config/d/g\nrmdir /config/d\n";
    feed(sftp, script).good();
    assert_eq!(fs::read(server.dir.join("client/down")).unwrap(), text);
    let (ops, totals) = records(&server, 1);
    let seen = rows(&ops);
    for expected in [
        ("mkdir", "/config/d", None),
        ("write", "/config/d/f", None),
        ("setstat", "/config/d/f", None),
        ("rename", "/config/d/f", None),
        ("symlink", "/config/d/l", None),
        ("link", "/config/d/h", None),
        ("read", "/config/d/g", None),
        ("remove", "/config/none", Some("no such file")),
        ("remove", "/config/d/h", None),
        ("remove", "/config/d/l", None),
        ("list", "/config/d/", None),
        ("open", "/usr/x", Some("failure")),
        ("remove", "/config/d/g", None),
        ("rmdir", "/config/d", None),
    ] {
        assert!(seen.contains(&expected), "{expected:?} in {seen:#?}");
    }
    let find = |op: &str, path: &str| {
        let named = |record: &&Value| record["d"]["op"] == op && record["d"]["path"] == path;
        ops.iter().find(named).unwrap()
    };
    let (sent, fetched) = (find("write", "/config/d/f"), find("read", "/config/d/g"));
    assert_eq!(sent["d"]["bytes_written"], json!(text.len()));
    assert_eq!(sent["d"]["written_blake3"], hash(&text));
    assert_eq!(sent["d"]["bytes_read"], json!(0));
    assert_eq!(fetched["d"]["bytes_read"], json!(text.len()));
    assert_eq!(fetched["d"]["read_blake3"], hash(&text));
    assert!(fetched["d"]["duration_ms"].is_u64());
    assert_eq!(fetched["ok"], true);
    assert_eq!(find("rename", "/config/d/f")["d"]["to"], "/config/d/g");
    assert_eq!(find("symlink", "/config/d/l")["d"]["to"], "g");
    assert_eq!(find("link", "/config/d/h")["d"]["to"], "/config/d/g");
    assert_eq!(find("open", "/usr/x")["ok"], false);
    let totals = &totals.first().unwrap()["d"];
    assert_eq!(totals["bytes_read"], json!(text.len()));
    assert_eq!(totals["bytes_written"], json!(text.len()));
    assert_eq!(totals["operations"], json!(ops.len()));
    assert_eq!(totals["left_out"], json!(0));
    assert_eq!(totals["unreadable"], Value::Null);
    // All of it is in the channel's record, before its end.
    let records = server.records();
    let at = |kind: &str| {
        records
            .iter()
            .position(|record| record["type"] == kind)
            .unwrap()
    };
    assert!(at("subsystem") < at("sftp.op") && at("sftp.summary") < at("exec.end"));
    assert!(
        ops.iter()
            .all(|op| op["ch"] == ops[0]["ch"] && op["ch"].is_u64())
    );
}

#[test]
fn scp_leaves_the_same_records() {
    let server = Server::start();
    fs::write(server.dir.join("client/f"), "text").unwrap();
    let scp = |from: &str, to: &str| {
        let mut scp = server.client("scp");
        scp.args(server.ssh_options()).args(["-s", "-q", from, to]);
        finish(scp).good();
    };
    scp("f", "root@127.0.0.1:/config/f");
    scp("root@127.0.0.1:/config/f", "g");
    let (ops, totals) = records(&server, 2);
    for op in ["read", "write"] {
        let found = ops.iter().find(|record| record["d"]["op"] == op).unwrap();
        assert_eq!(found["d"]["path"], "/config/f");
        let digest = &found["d"][if op == "read" {
            "read_blake3"
        } else {
            "written_blake3"
        }];
        assert_eq!(digest, &json!(hash(b"text")));
    }
    assert!(
        totals
            .iter()
            .all(|totals| totals["d"]["unreadable"].is_null())
    );
}

#[test]
fn overlapping_reads_random_writes_and_64_open_files_are_followed() {
    let Some(python) = python() else { return };
    let server = Server::start();
    let script = "
import paramiko,sys,os,time
c=paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect('127.0.0.1',int(sys.argv[1]),'root',key_filename=sys.argv[2],allow_agent=False,look_for_keys=False)
s=c.open_sftp()
many=[s.open('/config/m%d'%n,'w') for n in range(64)]
for n,f in enumerate(many): f.write('x'*n)
for f in many: f.close()
f=s.open('/config/big','wb'); f.set_pipelined(True)
for n in range(40): f.write(bytes([n])*30000)
f.close()
f=s.open('/config/big','rb'); f.prefetch(40*30000)
# Its thread may be slower than who reads, and that would then ask out of order.
while len(f._prefetch_extents)<37: time.sleep(.01)
assert len(f.read())==40*30000; f.close()
f=s.open('/config/big','r+b'); f.seek(100); f.write(b'middle'); f.seek(0); f.read(10); f.close()
print('ok')
";
    let mut command = server.client(python);
    command
        .args(["-c", script, &server.port.to_string()])
        .arg(server.dir.join("client/key"));
    assert_eq!(finish(command).good(), "ok");
    let (ops, totals) = records(&server, 1);
    let of = |path: &str| -> Vec<&Value> {
        let named = |record: &&Value| record["d"]["path"] == path;
        let ops = ops.iter().filter(named).map(|record| &record["d"]);
        ops.filter(|d| {
            ["read", "write", "read-write", "truncate"].contains(&d["op"].as_str().unwrap())
        })
        .collect()
    };
    for n in 0..64 {
        let [d] = of(&format!("/config/m{n}"))[..] else {
            panic!("m{n}: {ops:#?}");
        };
        assert_eq!(d["bytes_written"], json!(n));
    }
    let big: Vec<u8> = (0..40u8).flat_map(|n| vec![n; 30000]).collect();
    let [written, read, both] = of("/config/big")[..] else {
        panic!("{ops:#?}");
    };
    assert_eq!(
        (&written["op"], &written["written_blake3"]),
        (&json!("write"), &json!(hash(&big)))
    );
    assert_eq!(
        (&read["op"], &read["read_blake3"]),
        (&json!("read"), &json!(hash(&big)))
    );
    assert_eq!(
        (&both["op"], &both["bytes_written"]),
        (&json!("read-write"), &json!(6))
    );
    assert_eq!(both["written_blake3"], Value::Null);
    assert_eq!(totals[0]["d"]["unreadable"], Value::Null);
}

#[test]
fn a_client_that_talks_nonsense_is_on_record() {
    let server = Server::start();
    let mut ssh = server.ssh();
    ssh.args(["-s", "root@127.0.0.1", "sftp"]);
    // INIT, then a packet that claims 4 GiB: sftp-server ends over it, by itself.
    let done = feed(ssh, b"\0\0\0\x05\x01\0\0\0\x03\xff\xff\xff\xffxxxx");
    assert_ne!(done.code(), 255, "{done:?}");
    let (_, totals) = records(&server, 1);
    assert_eq!(
        totals[0]["d"]["unreadable"],
        "a packet of impossible length"
    );
}
