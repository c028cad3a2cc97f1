//! Recordings for players that know version 2 alone.

use super::*;

/// A recording with one of each event.
fn one_of_each() -> Vec<u8> {
    let lines = [
        json!({"version": 3, "term": {"cols": 132, "rows": 43, "type": "xterm"}, "timestamp": 1_700_000_000, "title": "t", "command": "c"}),
        json!([0.5, "o", "one \u{1b}[31mtwo\r\n"]),
        json!([0.25, "i", "x"]),
        json!([1.000_001, "r", "100x30"]),
        json!([0.1, "b", "/w=="]),
        json!([0.0, "o", "no\u{fffd}text"]),
        json!([0.2, "m", "api GET /info"]),
        json!([10, "?", "of a later version"]),
        json!([0.0, "r", "0x30"]),
        json!([0.0, "r", "wide"]),
        json!([0.0, "o", HOSTILE]),
        json!([2.5, "x", "7"]),
    ];
    let mut all = String::new();
    for (n, line) in lines.iter().enumerate() {
        all.push_str(&format!("{line}\n"));
        if n == 3 {
            all.push_str("# head abc\n");
        }
    }
    all.into_bytes()
}

/// As version 2 has it.
fn expected() -> Vec<Value> {
    vec![
        json!({"version": 2, "width": 132, "height": 43, "timestamp": 1_700_000_000, "title": "t", "command": "c", "env": {"TERM": "xterm"}}),
        event("0.500000", "o", "one \u{1b}[31mtwo\r\n"),
        event("0.750000", "i", "x"),
        event("1.750001", "r", "100x30"),
        event("1.850001", "o", "no\u{fffd}text"),
        event("2.050001", "m", "api GET /info"),
        event("12.050001", "o", HOSTILE),
        event("14.550001", "m", "exit 7"),
    ]
}

/// Numbers are compared as they are written.
fn event(time: &str, code: &str, text: &str) -> Value {
    serde_json::from_str(&format!("[{time},{},{}]", json!(code), json!(text))).unwrap()
}

#[test]
fn recordings_are_exported_plain_and_sealed() {
    let (directory, facts) = trail();
    let reader = Reader::of(&directory);
    let sid = facts.sid.to_string();
    fn export<'w>(sid: &'w str, words: &[&'w str]) -> Vec<&'w str> {
        [&["export", "--format", "asciicast-v2", sid], words].concat()
    }
    let nothing = reader.run(&export(&sid, &[]));
    assert_eq!(nothing.status.code(), Some(1));
    assert!(
        text(&nothing.stderr).contains("no recording"),
        "{nothing:?}"
    );
    record(&directory, facts.sid, "0.cast", &one_of_each());
    for only in [&[][..], &["0"]] {
        let exported = reader.good(&export(&sid, only));
        assert!(harmless(exported.as_bytes()));
        assert_eq!(json_lines(&exported), expected());
    }
    // Of several one must be chosen.
    record(&directory, facts.sid, "1.cast.zst", &sealed(&one_of_each()));
    record(&directory, facts.sid, "1.1.cast", &cast(&["second"]));
    let several = reader.run(&export(&sid, &[]));
    assert_eq!(several.status.code(), Some(1));
    assert!(several.stdout.is_empty());
    assert!(
        text(&several.stderr).contains("say which channel: 0, 1, 1.1"),
        "{several:?}"
    );
    assert_eq!(json_lines(&reader.good(&export(&sid, &["1"]))), expected());
    assert!(reader.good(&export(&sid, &["1.1"])).contains("second"));
    assert_eq!(reader.run(&export(&sid, &["2"])).status.code(), Some(1));
    let out = reader.data.join("one.cast");
    assert_eq!(
        reader.good(&export(&sid, &["1", "--out", out.to_str().unwrap()])),
        ""
    );
    assert_eq!(json_lines(&fs::read_to_string(&out).unwrap()), expected());
    assert_eq!(
        fs::metadata(&out).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    let again = reader.run(&export(&sid, &["1.1", "--out", out.to_str().unwrap()]));
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(json_lines(&fs::read_to_string(&out).unwrap()), expected());
}

#[test]
fn a_recording_is_exported_up_to_where_it_is_damaged() {
    let (directory, facts) = trail();
    let reader = Reader::of(&directory);
    let whole = cast(&["first", "second"]);
    let cut = text(&whole).find("[0.1, \"o\", \"second").unwrap();
    let damaged = [&whole[..cut], b"[nonsense\n", &whole[cut..]].concat();
    record(&directory, facts.sid, "0.cast", &damaged);
    record(&directory, facts.sid, "1.cast", &whole[..cut + 5]);
    record(&directory, facts.sid, "2.cast", b"");
    record(
        &directory,
        facts.sid,
        "3.cast",
        b"{\"version\":3,\"term\":{\"cols\":0,\"rows\":9},\"timestamp\":-1}\n",
    );
    let export = |channel: &str| {
        let output = reader.run(&["export", "--format", "asciicast-v2", "last", channel]);
        assert!(harmless(&output.stdout) && harmless(&output.stderr));
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (status, exported, said) = export("0");
    assert_eq!(status, Some(1));
    assert!(
        exported.contains("first") && !exported.contains("second"),
        "{exported}"
    );
    assert!(said.contains(&format!("damaged at byte {cut}")), "{said}");
    // What is being written is no damage.
    let (status, exported, said) = export("1");
    assert_eq!(status, Some(0));
    assert!(
        exported.contains("first") && said.contains("has no end"),
        "{exported}"
    );
    // What is no recording makes no file.
    let out = reader.data.join("none.cast");
    let words = [
        "export",
        "--format",
        "asciicast-v2",
        "last",
        "2",
        "--out",
        out.to_str().unwrap(),
    ];
    assert_eq!(reader.run(&words).status.code(), Some(1));
    assert!(!out.exists());
    let (_, exported, _) = export("3");
    assert_eq!(
        json_lines(&exported),
        [json!({"version": 2, "width": 80, "height": 24})]
    );
}
