//! Disks that are full: what goes on, what waits, what ends, and what heals.

use std::ffi::CStr;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::*;

/// A directory that is a small file system of its own; none where that cannot be made. /proc/self/mounts of the test alone.
fn small(options: &CStr) -> Option<Directory> {
    let directory = Directory::new();
    let flags = rustix::mount::MountFlags::empty();
    let mounted = rustix::mount::mount("tmpfs", &directory.0, "tmpfs", flags, Some(options));
    if mounted.is_err() {
        assert!(
            std::env::var_os("REQUIRE_ALL").is_none(),
            "needs root, to mount a small file system"
        );
        eprintln!("skipped: needs root");
        return None;
    }
    Some(directory)
}

/// Uses up all blocks and all inodes; the files that do it.
fn fill(directory: &Directory) -> Vec<PathBuf> {
    let mut files = vec![directory.0.join("filler")];
    let mut file = fs::File::create(&files[0]).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    for n in 0.. {
        let path = directory.0.join(format!("inode-{n}"));
        match fs::File::create(&path) {
            Ok(_) => files.push(path),
            Err(_) => break,
        }
    }
    files
}

/// How many files wait for their use.
fn waiting(directory: &Directory) -> usize {
    fs::read_dir(directory.0.join("spare")).unwrap().count() / 2
}

/// Waits until there are as many as there will be.
fn reserve(directory: &Directory) -> usize {
    let (mut before, end) = (0, Instant::now() + Duration::from_secs(10));
    loop {
        let now = waiting(directory);
        if now == before && now > 0 {
            return now;
        }
        assert!(Instant::now() < end, "{now} files");
        before = now;
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn exec() -> Record {
    Record::new(Event::Exec {
        command: "rm /config/too-much".to_owned(),
        bytes: 1,
        sha256: "y".repeat(64),
        pid: 1,
        asked: None,
    })
}

#[test]
fn on_a_full_disk_logins_go_on_in_the_room_that_is_kept() {
    let Some(directory) = small(c"size=16m,nr_inodes=600") else {
        return;
    };
    let server = Server::start(&directory);
    server.server_start();
    let before = facts();
    opened(server.open(&before), before.sid);
    closed(server.close(before.sid), before.sid);
    let kept = reserve(&directory);
    assert!(kept >= 8, "{kept}");
    fill(&directory);
    let session = |server: &Server| {
        let facts = facts();
        let connection = server.connect(facts.cid, None);
        opened(server.open(&facts), facts.sid);
        for _ in 0..5 {
            assert_eq!(tell_durably(&connection, exec()), AuditToPeer::Durable(7));
        }
        closed(server.close(facts.sid), facts.sid);
    };
    session(&server);
    server.stop();
    // A start needs a segment of the ledger, which is one of the files that wait.
    let server = Server::start(&directory);
    server.server_start();
    for _ in 0..kept - 3 {
        session(&server);
    }
    server.stop();
    let report = directory.verify();
    assert_eq!(report.exit_code(), 0, "{}", report.to_text());
    assert!(
        directory
            .files()
            .iter()
            .any(|file| *file == directory.session(before.sid))
    );
}

#[test]
fn when_no_room_is_left_no_session_begins_and_freed_space_heals() {
    let Some(directory) = small(c"size=16m,nr_inodes=600") else {
        return;
    };
    let server = Server::start(&directory);
    server.server_start();
    let kept = reserve(&directory);
    let files = fill(&directory);
    let mut open = Vec::new();
    let refused = loop {
        let facts = facts();
        match server.open(&facts) {
            AuditToWarden::Opened(_) => open.push(facts),
            other => break other,
        }
        assert!(open.len() <= kept, "{}", open.len());
    };
    assert!(
        matches!(&refused, AuditToWarden::Failed { reason, .. } if reason.contains("space")),
        "{refused:?}"
    );
    assert!(open.len() + 1 >= kept, "{} of {kept}", open.len());
    for file in files {
        fs::remove_file(file).unwrap();
    }
    let facts = facts();
    opened(server.open(&facts), facts.sid);
    for facts in open.iter().chain([&facts]) {
        closed(server.close(facts.sid), facts.sid);
    }
    // By itself: nothing is said meanwhile.
    let end = Instant::now() + Duration::from_secs(20);
    while waiting(&directory) < kept {
        assert!(Instant::now() < end, "the reserve is not made again");
        std::thread::sleep(Duration::from_millis(100));
    }
    server.stop();
    let report = directory.verify();
    assert_eq!(report.exit_code(), 0, "{}", report.to_text());
}

#[test]
fn a_closed_session_holds_no_more_of_the_disk_than_its_records() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    let facts = facts();
    opened(server.open(&facts), facts.sid);
    let path = directory.0.join(directory.session(facts.sid));
    let held = fs::metadata(&path).unwrap().blocks() * 512;
    assert!(held >= 256 * 1024, "{held}");
    closed(server.close(facts.sid), facts.sid);
    server.stop();
    let about = fs::metadata(&path).unwrap();
    assert!(
        about.blocks() * 512 <= about.len() + 4096,
        "{} of {}",
        about.blocks(),
        about.len()
    );
}

#[test]
fn a_full_disk_fails_the_receipts_and_is_tried_again() {
    let Some(directory) = small(c"size=256k") else {
        return;
    };
    let server = Server::start(&directory);
    let facts = facts();
    let connection = server.connect(facts.cid, None);
    opened(server.open(&facts), facts.sid);
    let filler = directory.0.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let long = Record::new(Event::Exec {
        command: "x".repeat(4000),
        bytes: 1,
        sha256: "y".repeat(4000),
        pid: 1,
        asked: None,
    });
    // What room was kept for it is used up first.
    let mut kept = 0;
    while tell_durably(&connection, long.clone()) == AuditToPeer::Durable(7) {
        kept += 1;
        assert!(kept < 10, "the disk is full");
    }
    // As is what waits for the next sessions.
    let mut others = Vec::new();
    let refused = loop {
        let facts = crate::facts();
        match server.open(&facts) {
            AuditToWarden::Opened(sid) if others.len() < 5 => others.push(sid),
            other => break other,
        }
    };
    assert!(
        matches!(refused, AuditToWarden::Failed { .. }),
        "{refused:?}"
    );
    drop(file);
    fs::remove_file(&filler).unwrap();
    assert_eq!(tell_durably(&connection, long), AuditToPeer::Durable(7));
    // The end of a session is not given up: it is said when the disk has it.
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    for size in [1, 1, 1, 1, 1, 1, 1, 1] {
        // What is left of the page that the session's file has begun.
        let event = Event::Exec {
            command: "x".repeat(4000),
            bytes: size,
            sha256: String::new(),
            pid: 1,
            asked: None,
        };
        tell(&connection, Record::new(event));
    }
    let event = Event::SessionClose {
        reason: SessionEnd::Client,
        duration_ms: 5,
        by: None,
    };
    let close = WardenToAudit::CloseSession {
        sid: facts.sid,
        event,
    };
    server.warden.send(&close).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    drop(file);
    fs::remove_file(&filler).unwrap();
    closed(server.warden.recv().unwrap(), facts.sid);
    for sid in others {
        closed(server.close(sid), sid);
    }
    server.stop();
    let report = directory.verify();
    assert_eq!(
        (report.exit_code(), report.unfinished.len()),
        (0, 0),
        "{}",
        report.to_text()
    );
    let types = directory.types(&directory.session(facts.sid));
    assert_eq!(
        (types.len(), types.last().map(String::as_str)),
        (kept + 12, Some("session.close"))
    );
}

#[test]
fn what_breaks_the_glass_goes_on_without_a_record_and_is_counted() {
    let Some(directory) = small(c"size=16m,nr_inodes=600") else {
        return;
    };
    let server = Server::start(&directory);
    server.server_start();
    reserve(&directory);
    let files = fill(&directory);
    let mut closed_ones = Vec::new();
    while let AuditToWarden::Opened(sid) = server.open(&facts()) {
        closed_ones.push(sid);
    }
    let mut open = facts();
    open.grant.audit_failure = AuditFailure::Open;
    let connection = server.connect(open.cid, None);
    opened(server.open(&open), open.sid);
    for _ in 0..3 {
        assert_eq!(tell_durably(&connection, exec()), AuditToPeer::Waived(7));
    }
    closed(server.close(open.sid), open.sid);
    for file in files {
        fs::remove_file(file).unwrap();
    }
    for sid in closed_ones {
        closed(server.close(sid), sid);
    }
    server.stop();
    let report = directory.verify();
    assert_eq!(report.exit_code(), 0, "{}", report.to_text());
    let lost = |record: &Value| record["d"]["resource"] == "records lost to a full disk";
    let records = directory.records("ledger/000001.jsonl");
    // Its opening, what was said with a receipt, its end.
    let counted = records
        .iter()
        .find(|record| lost(record))
        .expect("nothing is counted");
    assert_eq!(counted["d"]["limit"], 5, "{counted}");
}

#[test]
fn a_session_that_may_goes_on_when_its_own_room_is_used_up() {
    let Some(directory) = small(c"size=512k") else {
        return;
    };
    let server = Server::start(&directory);
    let mut facts = facts();
    facts.grant.audit_failure = AuditFailure::Open;
    let connection = server.connect(facts.cid, None);
    opened(server.open(&facts), facts.sid);
    let files = fill(&directory);
    let long = Record::new(Event::Exec {
        command: "x".repeat(4000),
        bytes: 1,
        sha256: "y".repeat(4000),
        pid: 1,
        asked: None,
    });
    let mut answers = Vec::new();
    // More than its room and all that waits in memory.
    for _ in 0..100 {
        answers.push(tell_durably(&connection, long.clone()));
    }
    assert_eq!(answers.last(), Some(&AuditToPeer::Waived(7)));
    assert!(!answers.contains(&AuditToPeer::Failed(7)), "{answers:?}");
    for file in files {
        fs::remove_file(file).unwrap();
    }
    closed(server.close(facts.sid), facts.sid);
    server.stop();
    let records = directory.records(&directory.session(facts.sid));
    let close = records.last().unwrap();
    assert_eq!(close["type"], "session.close");
    assert!(close["d"]["dropped"].as_u64() > Some(0), "{close}");
    assert_eq!(directory.verify().exit_code(), 0);
}

#[test]
fn a_start_on_a_full_disk_follows_the_chain_and_mends_when_there_is_room() {
    let Some(directory) = small(c"size=16m,nr_inodes=600") else {
        return;
    };
    let server = Server::start(&directory);
    server.server_start();
    let facts = facts();
    opened(server.open(&facts), facts.sid);
    reserve(&directory);
    let session = directory.session(facts.sid);
    server.stop();
    // What a kill in the middle of a record leaves, where nothing can be made any more.
    let half = |file: &str| {
        let mut open = fs::File::options()
            .append(true)
            .open(directory.0.join(file))
            .unwrap();
        open.write_all(b"{\"v\":1,\"se").unwrap();
    };
    half("ledger/000001.jsonl");
    half(&session);
    let files = fill(&directory);
    let server = Server::start(&directory);
    server.server_start();
    assert_eq!(
        directory.marks(),
        [facts.sid.to_string()],
        "it is tried again"
    );
    for file in files {
        fs::remove_file(file).unwrap();
    }
    let end = Instant::now() + Duration::from_secs(40);
    while !directory.marks().is_empty() {
        assert!(Instant::now() < end, "{:?}", directory.files());
        std::thread::sleep(Duration::from_millis(50));
    }
    server.stop();
    let last = directory.everything(&session).pop().unwrap();
    assert_eq!(
        (&last["type"], &last["d"]["reason"]),
        (&"session.close".into(), &"crash".into())
    );
    let report = directory.verify();
    assert_eq!(report.exit_code(), 13, "{}", report.to_text());
    assert_eq!(report.integrity(), verify::Integrity::Intact);
    assert!(report.unfinished.is_empty(), "{}", report.to_text());
    if let Some((code, said)) = tamper::documented(&directory.0, None) {
        assert_eq!(code, 13, "{said}");
    }
}

#[test]
fn a_segment_that_a_full_disk_left_empty_is_passed_over() {
    let (directory, server) = {
        let directory = Directory::new();
        let server = Server::start(&directory);
        (directory, server)
    };
    server.server_start();
    let facts = facts();
    opened(server.open(&facts), facts.sid);
    closed(server.close(facts.sid), facts.sid);
    server.stop();
    // As two starts leave them that could not write anything.
    for number in [2, 3] {
        fs::write(directory.0.join(format!("ledger/00000{number}.jsonl")), "").unwrap();
    }
    let server = Server::start(&directory);
    server.server_start();
    server.stop();
    assert!(
        directory
            .files()
            .contains(&"ledger/000004.jsonl".to_owned())
    );
    directory.must_be("with empty segments", 0, "");
}
