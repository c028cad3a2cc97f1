//! What is in the trail, and what the verifier finds.

use super::*;

#[test]
fn a_session_has_a_file_and_all_else_is_in_the_ledger() {
    let (directory, facts) = trail();
    let session = directory.session(facts.sid);
    assert_eq!(
        directory.files(),
        ["ledger/000001.jsonl".to_owned(), session.clone()]
    );
    assert_eq!(
        directory.types("ledger/000001.jsonl"),
        ["server.start", "conn.open", "auth.attempt", "conn.close"]
    );
    let expected = [
        "session.open",
        "channel.open",
        "shell",
        "channel.close",
        "api.request",
        "api.request",
        "session.close",
    ];
    assert_eq!(directory.types(&session), expected);
    let records = directory.records(&session);
    for (seq, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], seq);
        assert_eq!(
            (&record["user"], &record["role"]),
            (&"root".into(), &"operator".into())
        );
        assert_eq!(record["key"], "SHA256:abc me@home");
        assert_eq!(record["src"]["ip"], "192.0.2.7");
        assert_eq!(record["boot"], "0123abcd-1");
        assert_eq!(record["cid"], facts.cid.to_string());
        assert_eq!(record["sid"], facts.sid.to_string());
    }
    let totals = &records[6]["d"];
    for (name, value) in [
        ("records", 6),
        ("channels", 1),
        ("api_calls", 2),
        ("denials", 1),
        ("bytes_in", 3),
        ("bytes_out", 40),
    ] {
        assert_eq!(totals[name], value, "{name}");
    }
    let ledger = directory.records("ledger/000001.jsonl");
    assert_eq!(ledger[1]["d"]["client"], "SSH-2.0-\\x1b]0;x\\x07");
    assert_eq!(ledger[1]["src"]["port"], 50_000);
    assert_eq!(ledger[2]["cid"], facts.cid.to_string());
    let mode = |path: &str| {
        fs::metadata(directory.0.join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(
        (
            mode(&session),
            mode("ledger/000001.jsonl"),
            mode("ledger"),
            mode("sessions")
        ),
        (0o600, 0o600, 0o700, 0o700)
    );
    let report = verify::directory(&directory.0);
    assert_eq!(
        (report.exit_code(), report.files, report.records),
        (0, 2, 11),
        "{}",
        report.to_text()
    );
}

#[test]
fn what_was_said_before_a_session_ended_is_in_its_record() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    for _ in 0..50 {
        let facts = facts();
        let connection = server.connect(facts.cid, None);
        opened(server.open(&facts), facts.sid);
        tell(&connection, shell());
        tell(&connection, shell());
        drop(connection);
        closed(server.close(facts.sid), facts.sid);
        let types = directory.types(&directory.session(facts.sid));
        assert_eq!(types, ["session.open", "shell", "shell", "session.close"]);
    }
    server.stop();
}

#[test]
fn every_change_to_the_trail_is_found_and_named() {
    let (directory, facts) = trail();
    let session = directory.session(facts.sid);
    let path = directory.0.join(&session);
    let good = fs::read(&path).unwrap();
    let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
    // One bit at every 13th byte, each line removed, doubled, swapped with the next.
    let mut mutants: Vec<Vec<u8>> = (0..good.len() - 1)
        .step_by(13)
        .map(|at| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        })
        .collect();
    for at in 0..lines.len() - 1 {
        let without: Vec<&[u8]> = lines
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != at)
            .map(|(_, line)| *line)
            .collect();
        mutants.push(without.concat());
        mutants.push([&lines[..=at], &lines[at..]].concat().concat());
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        mutants.push(swapped.concat());
    }
    for (n, mutant) in mutants.iter().enumerate() {
        fs::write(&path, mutant).unwrap();
        let report = verify::directory(&directory.0);
        assert_eq!(report.exit_code(), 10, "mutant {n}: {}", report.to_text());
        assert_eq!(report.broken[0].0, session);
    }
    // One file in the place of another.
    fs::write(&path, &good).unwrap();
    fs::copy(&path, directory.0.join("ledger/000002.jsonl")).unwrap();
    let report = verify::directory(&directory.0);
    assert_eq!(report.exit_code(), 10);
    assert!(
        report.to_text().contains("ledger/000002.jsonl, record 0"),
        "{}",
        report.to_text()
    );
    assert!(report.to_json().contains("\"exit_code\":10"));
}

#[test]
fn the_verifier_of_the_documentation_agrees() {
    let (directory, facts) = trail();
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")).unwrap();
    let (_, rest) = text.split_once("```python\n").unwrap();
    let (program, _) = rest.split_once("```").unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test starts what a reader would"
    )]
    let python = || {
        let mut command = std::process::Command::new("python3");
        command.arg("-c").arg(program).arg(&directory.0);
        command.output()
    };
    let Ok(run) = python() else {
        assert!(std::env::var_os("REQUIRE_ALL").is_none(), "needs python3");
        eprintln!("skipped: needs python3");
        return;
    };
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let path = directory.0.join(directory.session(facts.sid));
    let good = fs::read(&path).unwrap();
    for at in [1, good.len() / 2, good.len() - 10] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(python().unwrap().status.code(), Some(10), "byte {at}");
    }
    let second_line = good.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(&path, &good[second_line..]).unwrap();
    let run = python().unwrap();
    assert_eq!(run.status.code(), Some(10));
    assert!(
        String::from_utf8_lossy(&run.stdout).contains("record 0"),
        "{run:?}"
    );
}
