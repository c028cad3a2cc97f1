//! What one session may put on record, and what becomes of it then.

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};

use serde_json::json;

use crate::harness::{Server, app, eventually, finish};
use crate::sftp::long_renames;

/// docs/audit.md.
const BUDGET: u64 = 32 << 20;

#[test]
fn a_session_that_floods_its_record_ends_and_no_other_does() {
    let mut server = Server::start();
    let kept = server.background("sleep 100");
    server.find("sleep 100");
    let socket = server.dir.join("client/master");
    let socket = socket.to_str().unwrap();
    let mut master = server.ssh();
    master.args(["-M", "-N", "-S", socket, "root@127.0.0.1"]);
    let mut master = master.stdin(Stdio::null()).spawn().unwrap();
    eventually("the master is there", || {
        fs::exists(socket).unwrap().then_some(())
    });
    // Each renames as fast as a channel is recorded: 200 records of 8 KiB a second.
    let mut floods: Vec<Child> = (0..8)
        .map(|_| {
            let mut ssh = server.client("ssh");
            ssh.args(["-F", "none", "-S", socket, "-s", "root@127.0.0.1", "sftp"]);
            ssh.stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let mut child = ssh.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            std::thread::spawn(move || {
                // A little more slowly than that: what is beyond is only counted.
                let all = long_renames(2000);
                for part in all.chunks(all.len() / 200) {
                    if stdin.write_all(part).is_err() {
                        return;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(60));
                }
            });
            child
        })
        .collect();
    eventually("its connection ends", || master.try_wait().unwrap());
    for flood in &mut floods {
        flood.wait().unwrap();
    }
    let hit = eventually("it is on record", || server.records_of("limit.hit").pop());
    assert_eq!(
        hit["d"],
        json!({"resource": "records of the session in bytes", "limit": BUDGET})
    );
    let its = |record: &serde_json::Value| record["sid"] == hit["sid"];
    let close = eventually("its session is closed", || {
        server.records_of("session.close").into_iter().find(its)
    });
    assert_eq!(close["d"]["reason"], "audit");
    assert!(close["d"]["dropped"].as_u64().unwrap() > 0, "{close}");
    let sid = hit["sid"].as_str().unwrap();
    let files = crate::tamper::files(&server.dir.join("data/audit"));
    let file = files
        .iter()
        .find(|file| file.ends_with(&format!("{sid}.jsonl")))
        .unwrap();
    let bytes = fs::metadata(server.dir.join("data/audit").join(file))
        .unwrap()
        .len();
    assert!((BUDGET..BUDGET + (64 << 10)).contains(&bytes), "{bytes}");

    server.find("sleep 100");
    assert_eq!(server.run("echo on").good(), "on");
    drop(kept);
    assert!(server.stop().success());
    let mut verify = std::process::Command::new(app().join("hassio-sshd"));
    verify
        .args(["audit", "verify", "--data-dir"])
        .arg(server.dir.join("data"));
    finish(verify).good();
}
