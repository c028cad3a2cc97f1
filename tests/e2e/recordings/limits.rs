//! Who prints for ever stops a recording, and nothing else.

use super::*;
use crate::harness::within;
use std::time::Duration;

#[test]
fn a_long_commands_beginning_and_end_are_kept() {
    let server = Server::start();
    let done = server.run("seq 1 200000; echo error >&2; echo end");
    assert_eq!(done.stdout.len(), 1_288_895 + 4);
    let cast = only(&server);
    let output = cast.output();
    let whole = done.stdout.as_bytes();
    assert_eq!(output[..256 * 1024], whole[..256 * 1024]);
    assert_eq!(output.len(), (256 + 64) * 1024);
    let tail = String::from_utf8_lossy(&output[256 * 1024..]).replace("error\n", "");
    assert!(
        done.stdout.ends_with(&tail) && tail.ends_with("200000\nend\n"),
        "{tail}"
    );
    let left_out = whole.len() + 6 - 320 * 1024;
    assert_eq!(
        cast.of("m"),
        [format!("gap: {left_out} bytes are not recorded")]
    );
    let end = server.records_of("recording.end").pop().unwrap();
    assert_eq!(end["d"]["left_out"], left_out);
    let truncated = server.records_of("recording.truncate");
    assert_eq!(
        (
            truncated.len(),
            &truncated[0]["d"]["limit"],
            &truncated[0]["d"]["reason"]
        ),
        (1, &json!(320 * 1024), &json!("bytes of a command's output"))
    );
}

#[test]
fn a_flood_leaves_a_gap_and_the_recording_goes_on_after_it() {
    let server = Server::start();
    let mut ssh = server.ssh();
    ssh.args(["-tt", "root@127.0.0.1", "--"]);
    ssh.arg("echo begun; head -c 30000000 /dev/zero | base64; sleep 2.5; echo after; exit 4");
    let done = finish(ssh);
    assert_eq!(done.code(), 4);
    // The terminal itself was not disturbed: base64 of so much, with CR LF.
    assert!(done.stdout.len() > 40_000_000, "{}", done.stdout.len());
    let cast = only(&server);
    let shown = cast.shown();
    assert!(shown.starts_with("begun\r\n"));
    assert!(shown.contains("after\r\n"), "{:?}", cast.events.last());
    let gaps = cast.of("m");
    assert!(
        !gaps.is_empty() && gaps.iter().all(|gap| gap.starts_with("gap: ")),
        "{gaps:?}"
    );
    let end = server.records_of("recording.end").pop().unwrap();
    let left_out = end["d"]["left_out"].as_u64().unwrap();
    assert_eq!(shown.len() as u64 + left_out, done.stdout.len() as u64);
    assert!(cast.plain.len() < 20_000_000, "{}", cast.plain.len());
    let truncated = server.records_of("recording.truncate");
    let by_rate = |record: &Value| record["d"]["reason"] == "bytes in a second";
    assert!(truncated.iter().any(by_rate), "{truncated:?}");
    assert_eq!(cast.of("x"), ["4"]);
}

#[test]
fn noise_is_kept_exactly() {
    let server = Server::start();
    let mut ssh = server.ssh();
    // Raw, so that the terminal changes nothing.
    ssh.args(["-tt", "root@127.0.0.1", "--"]);
    ssh.arg("stty raw; head -c 300000 /dev/urandom | tee /config/noise; exit");
    assert_eq!(finish(ssh).code(), 0);
    let cast = only(&server);
    assert!(cast.output() == fs::read(server.config("noise")).unwrap());
}

#[test]
fn a_sessions_recordings_have_an_end_and_the_session_goes_on() {
    let server = Server::start();
    // Each NUL is written as six bytes, so 64 MiB are full within the burst and a few seconds.
    let mut ssh = server.ssh();
    ssh.args(["-tt", "root@127.0.0.1", "--"]);
    ssh.arg("stty raw; for n in {1..40}; do head -c 500000 /dev/zero; sleep 0.2; done; echo last; exit 6");
    let done = finish(ssh);
    assert_eq!(done.code(), 6);
    assert!(done.stdout.ends_with("last\n"));
    let cast = only(&server);
    assert!(
        (64 << 20..66 << 20).contains(&cast.plain.len()),
        "{}",
        cast.plain.len()
    );
    assert_eq!(
        cast.of("m").last(),
        Some(&"gap: nothing more is recorded of this session")
    );
    assert!(!cast.shown().contains("last"));
    let truncated = server.records_of("recording.truncate").pop().unwrap();
    assert_eq!(truncated["d"]["limit"], 64 << 20);
    let size = fs::metadata(&cast.path).unwrap().len();
    assert!(size < 1 << 20, "{size} bytes sealed");
}

#[test]
fn an_endless_flood_harms_nobody() {
    let server = Server::start();
    let mut ssh = server.ssh();
    ssh.args(["-tt", "root@127.0.0.1", "--", "cat /dev/urandom"]);
    let mut child = ssh
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("it is truncated", || {
        server.records_of("recording.truncate").pop()
    });
    // Others log in meanwhile, and are recorded.
    within(
        Duration::from_secs(15),
        "another session is recorded",
        || server.run("echo other").good() == "other",
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let casts = sealed(&server, 2);
    let flood: u64 = casts.iter().map(|cast| cast.plain.len() as u64).sum();
    assert!(flood < 66 << 20, "{flood}");
    assert!(casts.iter().any(|cast| cast.shown() == "other\n"));
}
