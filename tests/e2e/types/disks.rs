//! What a full disk leaves on record.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::proof::{Proved, Trail};
use crate::full_disk::{Small, fill};
use crate::harness::{Server, Setup, eventually};
use crate::sftp::long_renames;

/// Recordings stop, records are lost, and both are said, once there is room to say it.
pub fn a_full_disk() -> Proved {
    let small = Small::new();
    let setup = Setup {
        options: json!({"audit_failure": "open"}),
        ..Setup::default()
    };
    let mut server = Server::at(small.path().to_owned(), setup);
    let talking = server.background("while :; do echo more; sleep 0.1; done");
    let mut ssh = server.ssh();
    ssh.args(["-s", "root@127.0.0.1", "sftp"]);
    let mut sftp = ssh
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("both are there", || {
        (server.records_of("session.open").len() == 2).then_some(())
    });
    fill(&server);
    server.run("echo not recorded").good();
    let failed = |server: &Server| server.records_of("recording.fail").len();
    eventually("recordings end", || (failed(&server) >= 2).then_some(()));
    // More than fits into what the file has ahead of it, and into memory.
    let mut stdin = sftp.stdin.take().unwrap();
    stdin.write_all(&long_renames(120)).unwrap();
    for _ in 0..200 {
        server.run("true").good();
        if server.log().contains("GOES ON WITHOUT A RECORD") {
            break;
        }
    }
    assert!(server.log().contains("GOES ON WITHOUT A RECORD"));
    fs::remove_file(server.config("zeros")).unwrap();
    // The ledger says it before the next thing that it is told.
    server.run("true").good();
    eventually("what is lost is said", || {
        server.records_of("limit.hit").pop()
    });
    let lost = |record: &Value| record["d"]["dropped"].is_u64();
    drop(stdin);
    sftp.wait().unwrap();
    drop(talking);
    eventually("it is closed", || {
        server.records_of("session.close").into_iter().find(lost)
    });
    assert!(server.stop().success());

    let trail = Trail::of(&server);
    let reason = "No space left on device";
    trail.has("recording.fail", json!(false), json!({"reason": reason}));
    trail.has(
        "recording.fail",
        json!(false),
        json!({"file": "<recording>", "reason": reason}),
    );
    trail.has(
        "limit.hit",
        json!(false),
        json!({"resource": "records lost to a full disk", "limit": "<n+>"}),
    );
    trail.has("session.close", Value::Null, json!({
        "reason": "client", "duration_ms": "<n>", "records": "<n+>", "channels": 1, "api_calls": 0, "denials": 0,
        "bytes_in": "<n>", "bytes_out": "<n>", "dropped": "<n+>",
    }));
    trail.proved()
}
