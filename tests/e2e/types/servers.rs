//! What happens to servers: a kill, and time.

use std::fs;
use std::io::Write;
use std::process::Command;

use serde_json::{Value, json};

use super::clients::closed;
use super::proof::{Proved, Trail};
use crate::harness::{Server, Setup, app, eventually, finish, folder};

/// policy/sandbox.toml.
const AUDIT_UID: &str = "1879244803:1879244803";

#[track_caller]
fn verify(server: &Server, code: i32) {
    let mut command = Command::new(app().join("hassio-sshd"));
    command
        .args(["audit", "verify", "--data-dir"])
        .arg(server.dir.join("data"));
    let done = finish(command);
    assert_eq!(done.code(), code, "{done:?}");
}

/// A kill of the whole server in the middle of a record.
pub fn a_crash_and_what_is_mended() -> Proved {
    let mut server = Server::start();
    let _session = server.background("sleep 100");
    let recording = eventually("it is recorded", || {
        server.records_of("recording.start").pop()
    });
    let recording = recording["d"]["file"].as_str().unwrap().to_owned();
    let audit = server.dir.join("data/audit");
    eventually("the recording is written", || {
        fs::metadata(audit.join(&recording))
            .is_ok_and(|file| file.len() > 0)
            .then_some(())
    });
    let open = server.records_of("session.open").remove(0);
    server.kill();
    let session = recording.replace("recordings/", "sessions/");
    let session = format!("{}.jsonl", session.rsplit_once('/').unwrap().0);
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(audit.join(&session))
        .unwrap();
    file.write_all(b"{\"v\":1,\"seq\":").unwrap();
    let records = fs::read_to_string(audit.join(&session))
        .unwrap()
        .lines()
        .count()
        - 1;

    let dir = std::mem::take(&mut server.dir);
    let mut server = Server::at(dir, Setup::default());
    closed(&server, 1);
    assert!(server.stop().success());
    let trail = Trail::of(&server);
    trail.has("recovery", Value::Null, json!({
        "file": session, "records": records, "torn_bytes": 13, "missing_bytes": 0, "moved_to": format!("{session}.torn"),
    }));
    trail.has("server.start", Value::Null, json!({
        "version": "<text>", "options_digest": "<hex>", "host_key": "<fingerprint>", "isolation": "<texts>",
        "recovered": "<texts>",
    }));
    let end = trail.has(
        "recording.end",
        json!(true),
        json!({
            "file": recording, "bytes": "<n+>", "sha256": "<hex>", "head": "<hash>",
        }),
    );
    let close = trail.has("session.close", Value::Null, json!({
        "reason": "crash", "duration_ms": "<n>", "records": "<n+>", "channels": 1, "api_calls": 0, "denials": 0,
        "bytes_in": 0, "bytes_out": "<n>",
        "recordings": [{"file": "2.cast", "bytes": end["d"]["bytes"], "sha256": end["d"]["sha256"]}],
    }));
    let sid = close["sid"].clone();
    let proved = trail.proved();
    assert_eq!(sid, open["sid"]);
    verify(&server, 13);
    proved
}

/// Sessions of the last year, of which only a week is kept; and more recordings than there is to be room for.
pub fn what_has_been_kept_for_long_enough() -> Proved {
    let dir = folder();
    fs::create_dir(dir.join("data")).unwrap();
    let mut year = Command::new(app().join("simulated-trail"));
    year.arg(dir.join("data")).args(["12", "20"]);
    finish(year).good();
    let mut chown = Command::new("chown");
    chown.args(["-R", AUDIT_UID]).arg(dir.join("data/audit"));
    finish(chown).good();
    let setup = || Setup {
        options: json!({"record_days": 7, "recording_mib": 16}),
        ..Setup::default()
    };
    let mut server = Server::at(dir, setup());
    let old = |server: &Server| server.records_of("expire").len();
    eventually("all of the year has expired", || {
        (old(&server) == 13).then_some(())
    });
    // Each is of some 8 MiB, less where audit is busy with something else.
    let audit = server.dir.join("data/audit");
    let sealed = || {
        let all = crate::tamper::files(&audit).into_iter();
        let sealed = all.filter(|file| file.ends_with(".zst"));
        sealed.map(|file| fs::metadata(audit.join(file)).unwrap().len())
    };
    for sessions in 1.. {
        assert!(
            sessions < 20,
            "so little is recorded: {:?}",
            sealed().collect::<Vec<_>>()
        );
        let mut ssh = server.ssh();
        let noise = "stty raw; head -c 8000000 /dev/urandom";
        ssh.args(["-tt", "root@127.0.0.1", "--", noise]);
        finish(ssh);
        closed(&server, sessions);
        eventually("it is compressed", || {
            (fs::read_dir(audit.join("recordings/unsealed"))
                .ok()?
                .count()
                == 0)
                .then_some(())
        });
        if sealed().sum::<u64>() > 17 << 20 {
            break;
        }
    }
    assert!(server.stop().success());
    let dir = std::mem::take(&mut server.dir);
    let mut server = Server::at(dir, setup());
    let gone = eventually("a recording is deleted", || {
        server.records_of("recording.delete").pop()
    });
    let gone = server
        .dir
        .join("data/audit")
        .join(format!("{}.zst", gone["d"]["file"].as_str().unwrap()));
    eventually("and gone", || (!gone.exists()).then_some(()));
    assert!(server.stop().success());
    let trail = Trail::of(&server);
    trail.has(
        "expire",
        Value::Null,
        json!({
            "file": "<session>", "records": "<n+>", "head": "<hash>", "reason": "age",
        }),
    );
    trail.has(
        "expire",
        Value::Null,
        json!({
            "file": "ledger/000001.jsonl", "records": "<n+>", "head": "<hash>", "reason": "age",
        }),
    );
    trail.has(
        "recording.delete",
        Value::Null,
        json!({"file": "<recording>", "bytes": "<n+>", "reason": "size"}),
    );
    verify(&server, 0);
    trail.proved()
}
