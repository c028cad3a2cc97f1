//! Sessions, records, failed logins, and one session as a timeline.

use super::*;

#[test]
fn sessions_are_listed_with_what_was_done_in_them() {
    let (directory, facts) = trail();
    let reader = Reader::of(&directory);
    let list = reader.good(&["list"]);
    let sid = facts.sid.to_string();
    for part in [
        &sid[..13],
        "root",
        "operator",
        "192.0.2.7",
        "me@home",
        "client",
        "(shell)",
    ] {
        assert!(list.contains(part), "{part} in {list}");
    }
    let all = json_lines(&reader.good(&["list", "--json"]));
    let expected = json!({"sid": sid, "user": "root", "ip": "192.0.2.7", "port": 50_000, "end": "client", "programs": 1,
        "api_calls": 2, "denials": 1, "sftp_operations": 0, "records": 7, "duration_ms": 5});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&all[0][name], value, "{name}");
    }
    for fits in [
        &["--user", "root"][..],
        &["--key", "me@"],
        &["--source", "192.0.2.0/24"],
        &["--since", "1h"],
        &["--since", "today", "--until", "today"],
        &["--type", "api."],
        &["--text", "/info"],
        &["--session", &sid],
        &["--session", "last"],
        &["-n", "1"],
    ] {
        assert!(
            reader
                .good(&[&["list"], fits].concat())
                .contains(&sid[..13]),
            "{fits:?}"
        );
    }
    for other in [
        &["--user", "roo"][..],
        &["--key", "you@"],
        &["--source", "2001:db8::/32"],
        &["--until", "1h"],
        &["--type", "sftp."],
        &["--text", "nowhere"],
        // One record must fit both.
        &["--type", "shell", "--text", "/info"],
        &["-n", "0"],
    ] {
        assert_eq!(reader.good(&[&["list"], other].concat()), "", "{other:?}");
    }
}

#[test]
fn records_are_listed_as_they_were_written() {
    let (directory, facts) = trail();
    let reader = Reader::of(&directory);
    let all = reader.good(&["list", "--records", "--json"]);
    let file = fs::read_to_string(directory.0.join(directory.session(facts.sid))).unwrap();
    for line in file.lines() {
        assert!(all.lines().any(|listed| listed == line), "{line}");
    }
    let kinds: Vec<String> = json_lines(&all)
        .iter()
        .map(|record| record["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds.first().map(String::as_str), Some("server.start"));
    assert!(!kinds.iter().any(|kind| kind == "anchor"), "{kinds:?}");
    let anchors = reader.good(&[
        "list",
        "--records",
        "--type",
        "anchor,segment.open",
        "--json",
    ]);
    assert!(json_lines(&anchors).len() >= 2, "{anchors}");
    let denied = reader.good(&["list", "--records", "--text", "/info", "-n", "1"]);
    assert!(denied.contains("REFUSED: api GET /info"), "{denied}");
    assert_eq!(denied.lines().count(), 1);
}

#[test]
fn a_session_is_shown_as_a_timeline_with_its_login() {
    let (directory, facts) = trail();
    let reader = Reader::of(&directory);
    let sid = facts.sid.to_string();
    for name in [&sid, &sid[..20], "last"] {
        let shown = reader.good(&["show", name]);
        let order = [
            sid.as_str(),
            "root as operator, with key SHA256:abc me@home",
            "connected from 192.0.2.7",
            "login accepted: publickey for root",
            "session opened",
            "#1  channel opened: session",
            "#1    shell",
            "api GET /info",
            "REFUSED: api GET /info",
            "session closed: client",
            "connection closed",
        ];
        let at: Vec<usize> = order
            .iter()
            .map(|part| {
                shown
                    .find(part)
                    .unwrap_or_else(|| panic!("{part} in {shown}"))
            })
            .collect();
        assert!(at.is_sorted(), "{shown}");
    }
    let lines = json_lines(&reader.good(&["show", &sid, "--json"]));
    assert_eq!(lines[0]["sid"], sid.as_str());
    assert_eq!(lines.len(), 1 + 2 + 7 + 1);
    for nobody in ["nobody", "00000000-0000-7000-8000-000000000000"] {
        let output = reader.run(&["show", nobody]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text(&output.stderr).contains("no session's id"),
            "{output:?}"
        );
    }
    let more = trail();
    let both = Reader::of(&more.0);
    for file in directory
        .files()
        .iter()
        .filter(|file| file.starts_with("sessions/"))
    {
        fs::copy(directory.0.join(file), more.0.0.join(file)).unwrap();
    }
    let output = both.run(&["show", "0"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains(&sid) && said.contains(&more.1.sid.to_string()),
        "{said}"
    );
}

#[test]
fn logins_that_failed_are_listed_and_others_are_not() {
    let (directory, facts) = trail();
    let server = Server::start(&directory);
    let keys = server.reporter(Reporter::Keys);
    let cid = ConnectionId::new();
    let connection = server.connect(cid, None);
    for (n, user) in ["admin", "pi", "admin"].into_iter().enumerate() {
        let attempt = Event::AuthAttempt {
            method: "password".to_owned(),
            user: user.to_owned(),
            fingerprint: None,
            key_type: None,
            reason: "wrong password".to_owned(),
            n: u32::try_from(n).unwrap(),
        };
        let record = Record::new(attempt)
            .of_connection(cid)
            .outcome(Outcome::Bad);
        tell_durably(&keys, record);
    }
    drop(connection);
    server.stop();
    let reader = Reader::of(&directory);
    let failed = json_lines(&reader.good(&["list", "--failed", "--json"]));
    assert_eq!(failed.len(), 1, "{failed:?}: {}", facts.cid);
    assert_eq!(failed[0]["cid"], cid.to_string());
    assert_eq!(failed[0]["attempts"], 3);
    assert_eq!(failed[0]["users"], json!(["admin", "pi"]));
    assert_eq!(failed[0]["from"], "192.0.2.7");
    let table = reader.good(&["list", "--failed", "--user", "pi"]);
    assert!(table.contains("wrong password"), "{table}");
    assert_eq!(reader.good(&["list", "--failed", "--user", "root"]), "");
}

#[test]
fn who_has_read_enough_is_no_failure() {
    let (directory, _) = trail();
    let reader = Reader::of(&directory);
    let mut command = reader.command(&["list", "--records"]);
    let (out, into) = std::io::pipe().unwrap();
    drop(out);
    let output = command
        .stdout(Stdio::from(into))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(0), String::new())
    );
}
