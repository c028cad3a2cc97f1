//! What is done to recordings afterwards is found, by our verifier and by that of the documentation.

use std::process::Command;

use super::*;
use crate::harness::app;

fn verify(server: &Server) -> (i32, String) {
    let data = server.dir.join("data");
    let mut ours = Command::new(app().join("hassio-sshd"));
    ours.args(["audit", "verify", "--data-dir"]).arg(&data);
    let ours = finish(ours);
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")).unwrap();
    let (_, rest) = page.split_once("```python\n").unwrap();
    let (program, _) = rest.split_once("```").unwrap();
    let mut theirs = Command::new("python3");
    theirs.arg("-c").arg(program).arg(data.join("audit"));
    let theirs = finish(theirs);
    assert_eq!(theirs.code(), ours.code(), "{theirs:?} {ours:?}");
    (ours.code(), ours.stdout)
}

#[test]
fn a_recording_that_was_changed_or_taken_away_is_found() {
    let mut server = Server::start();
    assert_eq!(server.run("echo secret; seq 1 20000").code(), 0);
    let cast = only(&server);
    assert!(is_sealed(&cast.path), "{}", cast.path.display());
    assert!(server.stop().success());
    let (code, said) = verify(&server);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("1 recordings"), "{said}");

    let good = fs::read(&cast.path).unwrap();
    let text = String::from_utf8(cast.plain.clone()).unwrap();
    let changed = text.replacen("secret", "nought", 1);
    let plain = cast.path.with_extension("");
    assert!(plain.to_str().unwrap().ends_with(".cast"));
    // In the place of the sealed one, and sealed as well.
    fs::remove_file(&cast.path).unwrap();
    fs::write(&plain, &changed).unwrap();
    let (code, said) = verify(&server);
    assert_eq!(code, 10, "{said}");
    assert!(said.contains("is not the recording"), "{said}");
    let mut zstd = Command::new("zstd");
    zstd.args(["-q", "--rm"]).arg(&plain);
    finish(zstd).good();
    assert_eq!(verify(&server).0, 10);
    fs::remove_file(&cast.path).unwrap();
    let (code, said) = verify(&server);
    assert_eq!(code, 11, "{said}");
    // As it was, not compressed.
    fs::write(&plain, &text).unwrap();
    assert_eq!(verify(&server).0, 0);
    fs::remove_file(&plain).unwrap();
    fs::write(&cast.path, good).unwrap();
    assert_eq!(verify(&server).0, 0);
}

#[test]
fn a_password_that_was_shown_is_erased_while_the_server_runs() {
    let mut server = Server::start();
    server.run("echo hunter2").good();
    let shown = only(&server);
    server.run("echo harmless").good();
    let two = sealed(&server, 2);
    let other = two.iter().find(|cast| cast.path != shown.path).unwrap();
    let sid = shown.path.parent().unwrap().file_name().unwrap();
    let audit = |words: &[&str]| {
        let mut command = Command::new(app().join("hassio-sshd"));
        command.arg("audit").args(words).arg("--data-dir");
        command.arg(server.dir.join("data"));
        finish(command)
    };
    let sid = sid.to_str().unwrap();
    let done = audit(&["erase", sid, "--yes"]);
    assert_eq!(done.good(), "1 recording deleted");
    assert_eq!(files(&server), std::slice::from_ref(&other.path));
    let told = audit(&["replay", sid]);
    assert_ne!(told.code(), 0, "{told:?}");
    assert!(!told.stdout.contains("hunter2"), "{told:?}");
    // What is told of the session says that there was one.
    let told = audit(&["show", sid]);
    assert!(told.good().contains("echo hunter2"), "{told:?}");
    assert!(told.stdout.contains("in 2.cast, deleted since"), "{told:?}");
    let [record] = &server.records_of("recording.delete")[..] else {
        panic!("{:?}", server.records_of("recording.delete"));
    };
    assert_eq!(record["d"]["reason"], "asked", "{record}");
    assert!(server.stop().success());
    let (code, said) = verify(&server);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("1 expired"), "{said}");
}
