//! What is damaged, strange or hostile in a trail.

use super::*;

#[test]
fn what_is_damaged_or_strange_is_named_and_hides_nothing_else() {
    let (directory, facts) = trail();
    let day = directory.session(facts.sid);
    let (day, _) = day.rsplit_once('/').unwrap();
    let folder = directory.0.join(day);
    // Bytes within a session, a file of nobody, one that waits for ever, and one that is somebody else's.
    let other = trail();
    let damaged = other.0.session(other.1.sid);
    let mut bytes = fs::read(other.0.0.join(&damaged)).unwrap();
    let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[second..second + 40].fill(0xff);
    bytes.extend(b"torn");
    let third = trail();
    fs::create_dir_all(directory.0.join(&damaged).parent().unwrap()).unwrap();
    fs::write(directory.0.join(&damaged), &bytes).unwrap();
    fs::write(folder.join("notes.txt"), "x").unwrap();
    let fifo = folder.join(format!("{}.jsonl", SessionId::new()));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let link = folder.join(format!("{}.jsonl", third.1.sid));
    symlink(third.0.0.join(third.0.session(third.1.sid)), link).unwrap();
    let reader = Reader::of(&directory);
    for words in [
        &["list"][..],
        &["list", "--records"],
        &["list", "--text", "/info"],
        &["tail"],
        &["export", "--format", "ocsf"],
    ] {
        let begun = Instant::now();
        let output = reader.run(words);
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        let (shown, said) = (text(&output.stdout), text(&output.stderr));
        assert!(
            shown.contains(&facts.sid.to_string()[..13]),
            "{words:?}: {shown}"
        );
        assert!(
            !shown.contains(&third.1.sid.to_string()[..13]),
            "a link was followed: {shown}"
        );
        assert!(
            said.contains("notes.txt: is no file of the trail"),
            "{words:?}: {said}"
        );
        let fifo = fifo.file_name().unwrap().to_str().unwrap();
        assert!(said.contains(fifo), "{words:?}: {said}");
        if words != ["list", "--text", "/info"] {
            let place = format!("{damaged}: at byte {second}: is no record");
            assert!(said.contains(&place), "{words:?}: {said}");
        }
    }
    // All else of the damaged one is there.
    let shown = reader.run(&["show", &other.1.sid.to_string()]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(text(&shown.stdout).contains("REFUSED: api GET /info"));
    // And of no trail there is nothing.
    let output = reader.run(&["list", "--source", "x"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    fs::remove_file(reader.data.join("audit")).unwrap();
    assert_eq!(reader.run(&["list"]).status.code(), Some(1));
}

#[test]
fn nothing_that_is_printed_drives_a_terminal() {
    let directory = Directory::new();
    let sid = SessionId::new();
    // As nobody but who changes files can write it: audit itself escapes.
    let hostile = json!(HOSTILE).to_string();
    let raw = hostile
        .replace("\\u009b", "\u{9b}")
        .replace("\\u202e", "\u{202e}");
    assert!(
        raw.contains('\u{9b}') && raw.contains('\u{202e}'),
        "raw in JSON: {raw}"
    );
    let kinds = [
        "session.open",
        "exec",
        "exec.end",
        "sftp.op",
        "api.request",
        "policy.deny",
        "env",
        "a.b",
        "session.close",
    ];
    let day = jiff::Timestamp::now().strftime("%Y/%m/%d").to_string();
    let id = format!("sessions/{day}/{sid}.jsonl");
    let write = |id: &str, kinds: &[&str]| {
        let path = directory.0.join(id);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let (mut head, mut all) = (chain::START, Vec::new());
        for (seq, kind) in kinds.iter().enumerate() {
            let names = [
                "command", "path", "op", "reason", "method", "rule", "layer", "name", "value",
                "user", "client", "from",
            ];
            let d: Vec<String> = names
                .iter()
                .map(|name| format!("\"{name}\":{raw}"))
                .collect();
            let body = format!(
                "{{\"v\":1,\"seq\":{seq},\"ts\":\"2026-11-24T08:37:20.123456Z\",\"mono\":\"5\",\"boot\":\"0-1\",\"type\":\"{kind}\",\"cid\":{raw},\"sid\":{raw},\"user\":{raw},\"key\":{raw},\"role\":{raw},\"src\":{{\"ip\":{raw},\"port\":1}},\"ok\":false,\"d\":{{{},{raw}:{raw}}}",
                d.join(",")
            );
            let (line, next) = chain::seal(id, &head, body.into_bytes());
            head = next;
            all.extend(line);
        }
        // And what is no record at all.
        all.extend(HOSTILE.replace('\n', "").as_bytes());
        all.push(b'\n');
        fs::write(path, all).unwrap();
    };
    write(&id, &kinds);
    write(
        "ledger/000001.jsonl",
        &["conn.open", "auth.attempt", "conn.folded", "auth.lockout"],
    );
    let strange = directory
        .0
        .join("sessions")
        .join(HOSTILE.replace(['/', '\u{0}'], ""));
    fs::create_dir_all(strange).unwrap();
    let reader = Reader::of(&directory);
    let nowhere = format!("/nowhere/{HOSTILE}");
    let sid = sid.to_string();
    for words in [
        &["list"][..],
        &["list", "--json"],
        &["list", "--records"],
        &["list", "--records", "--json"],
        &["list", "--failed"],
        &["list", "--failed", "--json"],
        &["show", &sid],
        &["show", &sid, "--json"],
        &["tail"],
        &["tail", "--json"],
        &["export", "--format", "ocsf"],
        &["export", "--format", "ocsf", "--session", HOSTILE],
        &["export", "--format", "asciicast-v2", &sid, HOSTILE],
        &["export", "--format", "ocsf", "--out", &nowhere],
        &["show", HOSTILE],
        &["list", "--since", HOSTILE],
        &["list", "--source", HOSTILE],
        &["list", "--type", HOSTILE],
        &["replay", &sid, HOSTILE],
    ] {
        let output = reader.run(words);
        assert!(
            harmless(&output.stdout),
            "{words:?}: {:?}",
            text(&output.stdout)
        );
        assert!(
            harmless(&output.stderr),
            "{words:?}: {:?}",
            text(&output.stderr)
        );
    }
    assert!(text(&reader.run(&["list"]).stdout).contains("\\x1b]0;owned\\x07"));
}
