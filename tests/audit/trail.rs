//! What is in the trail, and what the verifier finds.

use super::*;

#[test]
fn a_session_has_a_file_and_all_else_is_in_the_ledger() {
    let (directory, facts) = trail();
    let session = directory.session(facts.sid);
    let files = [
        "keys/current",
        "ledger/000001.jsonl",
        "open/ledger",
        &session,
    ];
    assert_eq!(directory.files(), files);
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
    let report = directory.verify();
    assert_eq!(
        (report.exit_code(), report.files, report.records),
        (0, 2, 17),
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
