//! Killed, or without power: what is lost, and what is said about it.

use hassio_sshd::wire::{RecordingEvent, RecordingPart, RecordingStart};

use super::*;

/// A trail whose server was killed with sessions open, and up to where its files are on the disk.
struct Crashed {
    directory: Directory,
    files: Vec<(String, u64)>,
}

/// A kill leaves what was written, so the directory is copied while the server runs.
fn crash(records: usize) -> Crashed {
    let running = Directory::new();
    let server = Server::start(&running);
    server.server_start();
    let (first, second, third) = (facts(), facts(), facts());
    let links: Vec<Guest> = [&first, &second, &third]
        .into_iter()
        .map(|facts| {
            let link = server.connect(facts.cid, None);
            opened(server.open(facts), facts.sid);
            link
        })
        .collect();
    for n in 0..records {
        tell(&links[n % 2], shell());
    }
    for link in &links {
        assert_eq!(tell_durably(link, shell()), AuditToPeer::Durable(7));
    }
    closed(server.close(third.sid), third.sid);
    let directory = running.copy();
    server.stop();
    let mut files = vec![("ledger/000001.jsonl".to_owned(), "ledger".to_owned())];
    for facts in [&first, &second] {
        files.push((directory.session(facts.sid), facts.sid.to_string()));
    }
    let marked = |(file, mark): (String, String)| {
        let text = fs::read_to_string(directory.0.join("open").join(mark)).unwrap();
        let bytes = text.split_whitespace().nth(1).unwrap().parse().unwrap();
        let length = fs::metadata(directory.0.join(&file)).unwrap().len();
        assert!(bytes <= length, "a mark is never ahead of its file");
        (file, bytes)
    };
    let files = files.into_iter().map(marked).collect();
    Crashed { directory, files }
}

/// What a start makes of it, and what both verifiers say then.
fn after_restart(directory: &Directory) -> (u8, Value) {
    let server = Server::start(directory);
    server.server_start();
    server.stop();
    let report = directory.verify();
    let (code, text) = (report.exit_code(), report.to_json());
    if let Some((second, said)) = tamper::documented(&directory.0, None) {
        assert_eq!(second, code, "the documented verifier says {said}");
    }
    (code, serde_json::from_str(&text).unwrap())
}

#[test]
fn a_kill_loses_nothing_and_sessions_are_closed_as_crashed() {
    let crashed = crash(20);
    assert_eq!(
        crashed.directory.verify().exit_code(),
        0,
        "before the restart"
    );
    assert_eq!(crashed.directory.verify().unfinished.len(), 2);
    let (code, report) = after_restart(&crashed.directory);
    assert_eq!(
        (code, &report["unfinished"]),
        (0, &serde_json::json!([])),
        "{report}"
    );
    for (file, _) in &crashed.files[1..] {
        let last = crashed.directory.records(file).pop().unwrap();
        assert_eq!(last["d"]["reason"], "crash", "{last}");
    }
    let again = after_restart(&crashed.directory);
    assert_eq!(again.0, 0, "{}", again.1);
}

/// POWER_CUTS says how many points are tried; the places come from a fixed seed.
#[test]
fn a_power_cut_past_what_was_on_the_disk_is_explained_and_a_cut_before_it_is_not() {
    let points: u64 =
        std::env::var_os("POWER_CUTS").map_or(60, |n| n.to_str().unwrap().parse().unwrap());
    let crashed = crash(60);
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: u64| {
        // xorshift64
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for point in 0..points {
        let cut = crashed.directory.copy();
        let (file, mut synced) = crashed.files[usize::try_from(point % 3).unwrap()].clone();
        let path = cut.0.join(&file);
        let before = fs::read(&path).unwrap();
        // As if the last records had not been synced: the mark is that of a moment before.
        let lines: Vec<usize> = (0..before.len())
            .filter(|at| before[*at] == b'\n')
            .map(|at| at + 1)
            .collect();
        let kept = lines.len() - usize::try_from(next(5)).unwrap().min(lines.len() - 1);
        if file.starts_with("sessions/") {
            synced = u64::try_from(lines[kept - 1]).unwrap();
            let name = file
                .rsplit('/')
                .next()
                .unwrap()
                .strip_suffix(".jsonl")
                .unwrap();
            let hash: Value = serde_json::from_slice(
                before[..lines[kept - 1]]
                    .split_inclusive(|b| *b == b'\n')
                    .next_back()
                    .unwrap(),
            )
            .unwrap();
            let hash = hash["hash"].as_str().unwrap().to_owned();
            let mark = format!("{kept:>20} {synced:>20} {hash} {file}\n");
            fs::write(cut.0.join("open").join(name), mark).unwrap();
        }
        let length = next(u64::try_from(before.len()).unwrap() + 1);
        let length = usize::try_from(length).unwrap();
        fs::write(&path, &before[..length]).unwrap();
        let (code, report) = after_restart(&cut);
        let whole = length == 0 || before[length - 1] == b'\n';
        let expected = match u64::try_from(length).unwrap() >= synced {
            true if whole => 0,
            true => 13,
            false => 11,
        };
        assert_eq!(
            code,
            expected,
            "{file} cut to {length} of {} ({synced} synced): {report:#}",
            before.len()
        );
    }
}

#[test]
fn a_file_that_is_gone_when_the_server_starts_is_missing() {
    let crashed = crash(5);
    for (file, _) in &crashed.files {
        let cut = crashed.directory.copy();
        fs::remove_file(cut.0.join(file)).unwrap();
        let (code, report) = after_restart(&cut);
        assert_eq!(code, 11, "{file}: {report:#}");
    }
}

#[test]
fn a_recording_that_a_crash_came_upon_may_be_lost_and_one_that_ended_may_not() {
    let running = Directory::new();
    let server = Server::start(&running);
    server.server_start();
    let facts = facts();
    let connection = server.connect(facts.cid, None);
    opened(server.open(&facts), facts.sid);
    let start = RecordingStart {
        channel: ChannelNumber(3),
        terminal: Some(("xterm".to_owned(), 80, 24)),
        command: None,
    };
    let part = |event| {
        let part = RecordingPart {
            recording: 1,
            at_ns: 0,
            event,
        };
        connection.send(&ReportToAudit::Recording(part)).unwrap();
        assert_eq!(tell_durably(&connection, shell()), AuditToPeer::Durable(7));
    };
    part(RecordingEvent::Start(start));
    let before = running.copy();
    part(RecordingEvent::End { exit: None });
    let after = running.copy();
    server.stop();
    for (directory, expected) in [(before, 0), (after, 11)] {
        // Not the folder of marks.
        fs::remove_dir_all(directory.0.join("recordings")).unwrap();
        let (code, report) = after_restart(&directory);
        assert_eq!(code, expected, "{report:#}");
    }
}

#[test]
fn a_recording_of_which_nothing_was_written_is_not_missed_when_its_session_goes_on() {
    let running = Directory::new();
    let server = Server::start(&running);
    server.server_start();
    let facts = facts();
    let connection = server.connect(facts.cid, None);
    opened(server.open(&facts), facts.sid);
    let part = RecordingPart {
        recording: 1,
        at_ns: 0,
        event: RecordingEvent::Start(RecordingStart {
            channel: ChannelNumber(3),
            terminal: Some(("xterm".to_owned(), 80, 24)),
            command: None,
        }),
    };
    connection.send(&ReportToAudit::Recording(part)).unwrap();
    assert_eq!(tell_durably(&connection, shell()), AuditToPeer::Durable(7));
    // As it is when audit alone is killed within a second.
    let killed = running.copy();
    server.stop();
    let cast = killed.files();
    let cast = cast.iter().find(|file| file.ends_with("/3.cast")).unwrap();
    assert_eq!(fs::metadata(killed.0.join(cast)).unwrap().len(), 0);

    let server = Server::start(&killed);
    let _connection = server.connect(facts.cid, Some(facts.clone()));
    closed(server.close(facts.sid), facts.sid);
    server.stop();
    let session = killed.session(facts.sid);
    let types = [
        "session.open",
        "recording.start",
        "shell",
        "recording.fail",
        "session.close",
    ];
    assert_eq!(killed.types(&session), types);
    assert_eq!(killed.records(&session)[3]["d"]["file"], cast.as_str());
    tamper::must_be(&killed.0, "after the restart", 0, "", None);
}
