//! What is added to a trail: sessions that never were, deletions that no rule asked for, and files that are none.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

/// Appends records to a file as the server would, and its mark.
fn append(directory: &Directory, file: &str, mark: &str, records: &[String]) {
    let mut lines = directory.lines(file);
    lines.extend(records.iter().map(|record| {
        // The chain's members are put right below.
        let (line, _) = chain::seal(file, &chain::START, record.clone().into_bytes());
        line.strip_suffix(b"\n").unwrap().to_vec()
    }));
    let start = chain::parts(&lines[0]).unwrap().1;
    directory.rechain(file, &lines, start);
    put_mark(directory, file, mark);
}

/// The mark of a file as it is.
fn put_mark(directory: &Directory, file: &str, mark: &str) {
    let lines = directory.lines(file);
    let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
    let head = chain::text(&tamper::head(&directory.0, file));
    let text = format!("{:>20} {bytes:>20} {head} {file}\n", lines.len());
    fs::write(directory.0.join("open").join(mark), text).unwrap();
}

/// A session that is said to have been one of three days ago: its id, its file.
fn put_in(directory: &Directory, like: &str, with_mark: bool) -> (String, String) {
    let sid = like
        .rsplit('/')
        .next()
        .unwrap()
        .strip_suffix(".jsonl")
        .unwrap();
    let millis = u64::from_str_radix(&sid.replace('-', "")[..12], 16).unwrap() - 3 * 86_400_000;
    let begin = format!("{millis:012x}");
    let forged = format!("{}-{}{}", &begin[..8], &begin[8..], &sid[13..]);
    let day = jiff::Timestamp::from_millisecond(millis.try_into().unwrap()).unwrap();
    let file = format!("{}/{forged}.jsonl", day.strftime("sessions/%Y/%m/%d"));
    fs::create_dir_all(directory.0.join(&file).parent().unwrap()).unwrap();
    let lines: Vec<Vec<u8>> = directory
        .lines(like)
        .iter()
        .map(|line| {
            let text = String::from_utf8(line.clone())
                .unwrap()
                .replace(sid, &forged);
            let at = text.find("\"ts\":\"").unwrap() + 6;
            format!(
                "{}{}{}",
                &text[..at],
                day.strftime("%Y-%m-%d"),
                &text[at + 10..]
            )
            .into_bytes()
        })
        .collect();
    directory.rechain(&file, &lines, chain::START);
    if with_mark {
        put_mark(directory, &file, &forged);
    }
    (forged, file)
}

fn newest_ledger(directory: &Directory) -> String {
    let mut files = directory.files().into_iter();
    files.rfind(|file| file.starts_with("ledger/")).unwrap()
}

/// How many records a file has, and its head.
fn counted(directory: &Directory, file: &str) -> (usize, String) {
    let head = tamper::head(&directory.0, file);
    (directory.lines(file).len(), chain::text(&head))
}

#[test]
fn a_session_that_is_put_into_the_past_is_found_and_never_signed() {
    let (directory, sessions) = lives();
    let mutant = directory.copy();
    let (sid, file) = put_in(&mutant, &sessions[0], true);
    mutant.must_be(
        "a session of three days ago",
        11,
        &format!("unknown {file}"),
    );
    let server = Server::start(&mutant);
    server.server_start();
    server.stop();
    assert!(!mutant.0.join(&file).exists() && mutant.marks().is_empty());
    mutant.must_be(
        "and the server",
        10,
        &format!("quarantined quarantine/{}", file.replace('/', "-")),
    );
    for segment in mutant
        .files()
        .iter()
        .filter(|file| file.starts_with("ledger/"))
    {
        let names = |record: &Value| record["type"] == "anchor" && record["sid"] == sid.as_str();
        assert!(!mutant.everything(segment).iter().any(names), "{segment}");
    }
    // One that really was open when the server was killed is of a moment ago.
    let server = Server::start(&directory);
    let facts = facts();
    opened(server.open(&facts), facts.sid);
    let crashed = directory.copy();
    closed(server.close(facts.sid), facts.sid);
    server.stop();
    let server = Server::start(&crashed);
    server.server_start();
    server.stop();
    let report = crashed.verify();
    assert!(
        [0, 13].contains(&report.exit_code()),
        "{}",
        report.to_text()
    );
    assert!(report.unfinished.is_empty(), "{}", report.to_text());
}

#[test]
fn a_session_that_the_ledger_names_too_late_is_found() {
    let (directory, sessions) = lives();
    let (sid, file) = put_in(&directory, &sessions[0], false);
    let ledger = newest_ledger(&directory);
    // As whoever could make the server, or its key, attest it.
    let (count, head) = counted(&directory, &file);
    let last = directory.everything(&ledger).pop().unwrap();
    let anchor = format!(
        "{{\"v\":1,\"seq\":0,\"ts\":{},\"mono\":{},\"boot\":{},\"type\":\"anchor\",\"sid\":\"{sid}\",\"ok\":null,\"d\":{{\"file\":\"{file}\",\
         \"head\":\"{head}\",\"last\":true,\"records\":{count}}}",
        last["ts"], last["mono"], last["boot"]
    );
    append(&directory, &ledger, "ledger", &[anchor]);
    directory.must_be("an anchor of today", 10, &format!("late {file}"));
}

#[test]
fn a_young_session_does_not_expire() {
    let (directory, sessions) = lives();
    let gone = &sessions[0];
    let ledger = newest_ledger(&directory);
    let (count, head) = counted(&directory, gone);
    let last = directory.everything(&ledger).pop().unwrap();
    let now = jiff::Timestamp::now();
    let later = now + jiff::SignedDuration::from_hours(9 * 24);
    for (reason, ts) in [
        ("age", last["ts"].as_str().unwrap().to_owned()),
        ("space", last["ts"].as_str().unwrap().to_owned()),
        ("age", later.to_string()),
        ("age", "x".to_owned()),
    ] {
        let mutant = directory.copy();
        let expire = format!(
            "{{\"v\":1,\"seq\":0,\"ts\":\"{ts}\",\"mono\":{},\"boot\":{},\"type\":\"expire\",\"ok\":null,\"d\":{{\"file\":\"{gone}\",\
             \"head\":\"{head}\",\"reason\":\"{reason}\",\"records\":{count}}}",
            last["mono"], last["boot"]
        );
        append(&mutant, &ledger, "ledger", &[expire]);
        fs::remove_file(mutant.0.join(gone)).unwrap();
        mutant.must_be(&format!("{reason} {ts}"), 11, &format!("early {gone}"));
    }
}

#[test]
fn what_is_no_regular_file_is_none_and_holds_up_nobody() {
    let (directory, sessions) = lives();
    let session = &sessions[0];
    let day = session.rsplit_once('/').unwrap().0.to_owned();
    let replace = |what: &str, at: &str, code: u8, make: &dyn Fn(&Path)| {
        let mutant = directory.copy();
        let path = mutant.0.join(session);
        let outside = std::env::temp_dir().join(format!("outside-{}", std::process::id()));
        fs::rename(&path, &outside).unwrap();
        make(&path);
        mutant.must_be(what, code, at);
        fs::remove_file(outside).unwrap();
    };
    let unreadable = format!("unreadable {session}");
    let outside = std::env::temp_dir().join(format!("outside-{}", std::process::id()));
    replace("a link to it", &unreadable, 1, &|path| {
        symlink(&outside, path).unwrap()
    });
    replace("a pipe", &unreadable, 1, &|path| {
        mkfifo(path, Mode::S_IRWXU).unwrap()
    });
    replace("a folder", &unreadable, 1, &|path| {
        fs::create_dir(path).unwrap()
    });
    // A folder that lies elsewhere.
    for folder in ["sessions", "ledger"] {
        let mutant = directory.copy();
        let outside = std::env::temp_dir().join(format!("folder-{}", std::process::id()));
        fs::rename(mutant.0.join(folder), &outside).unwrap();
        symlink(&outside, mutant.0.join(folder)).unwrap();
        let code = mutant.verify().exit_code();
        assert_ne!(code, 0, "{folder}");
        if let Some((theirs, said)) = tamper::documented(&mutant.0, None) {
            assert_eq!(theirs, code, "{folder}: {said}");
        }
        fs::remove_dir_all(outside).unwrap();
    }
    // Names that are no UTF-8.
    for (name, code) in [(&b"\xff.jsonl"[..], 1), (b"a\xff", 1)] {
        let mutant = directory.copy();
        let name = std::ffi::OsStr::from_bytes(name);
        fs::write(mutant.0.join(&day).join(name), "").unwrap();
        let shown = format!("unreadable {day}/{}", name.to_string_lossy());
        mutant.must_be("a name that is none", code, &shown);
    }
    // What is put there drives nobody's terminal.
    let mutant = directory.copy();
    fs::write(mutant.0.join(&day).join("x\x1b]0;title\x07"), "").unwrap();
    mutant.must_be(
        "a name that is a sequence",
        1,
        &format!("stranger {day}/x\x1b]0;title\x07"),
    );
    if let Some((_, said)) = tamper::documented(&mutant.0, None) {
        assert!(
            said.contains("title") && !said.contains(['\x1b', '\x07']),
            "{said:?}"
        );
    }
}

#[test]
fn a_session_that_never_was_is_not_verified() {
    let (directory, _) = lives();
    let wanted = verify::Wanted {
        session: Some(SessionId::new()),
        against: None,
    };
    assert_eq!(verify::directory(&directory.0, &wanted).exit_code(), 11);
}

#[test]
fn a_server_that_works_meanwhile_is_no_fault() {
    let (directory, _) = lives();
    let server = Server::start(&directory);
    server.server_start();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while !stop.load(std::sync::atomic::Ordering::Relaxed)
                && std::time::Instant::now() < until
            {
                let facts = facts();
                opened(server.open(&facts), facts.sid);
                closed(server.close(facts.sid), facts.sid);
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        let mut wrong = Vec::new();
        for _ in 0..8 {
            let report = directory.verify();
            if report.exit_code() != 0 {
                wrong.push(report.to_text());
            }
            if let Some((code, said)) =
                tamper::documented(&directory.0, None).filter(|(code, _)| *code != 0)
            {
                wrong.push(format!("{code}: {said}"));
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
    server.stop();
}
