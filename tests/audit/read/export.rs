//! The trail as others read it.

use super::*;

#[test]
fn what_is_exported_is_what_was_recorded() {
    let (directory, facts) = trail();
    let reader = Reader::of(&directory);
    let sid = facts.sid.to_string();
    let own = fs::read_to_string(directory.0.join(directory.session(facts.sid))).unwrap();
    let jsonl = reader.good(&["export", &sid, "--format", "jsonl"]);
    assert!(jsonl.contains(&own), "{jsonl}");
    let kinds: Vec<Value> = json_lines(&jsonl)
        .iter()
        .map(|record| record["type"].clone())
        .collect();
    assert_eq!(kinds[..2], ["conn.open", "auth.attempt"]);
    assert_eq!(kinds.last().unwrap(), "conn.close");
    let classes = |text: &str| -> Vec<u64> {
        let events = json_lines(text);
        events
            .iter()
            .map(|event| event["class_uid"].as_u64().unwrap())
            .collect()
    };
    let ocsf = reader.good(&["export", &sid, "--format", "ocsf"]);
    assert_eq!(
        classes(&ocsf),
        [4007, 3002, 4007, 4007, 1007, 4007, 6003, 6003, 4007, 4007]
    );
    let login = &json_lines(&ocsf)[1];
    assert_eq!(
        (&login["user"]["name"], &login["status_id"]),
        (&json!("root"), &json!(1))
    );
    let all = reader.good(&["export", "--all", "--format", "ocsf"]);
    assert_eq!(classes(&all).len(), classes(&ocsf).len());
    let everything = reader.good(&["export", "--all", "--format", "jsonl"]);
    assert_eq!(everything.lines().count(), 17);
    record(&directory, facts.sid, "0.cast", &cast(&["a", "b\u{1b}[6n"]));
    let exported = reader.good(&["export", &sid, "--format", "asciicast2"]);
    assert!(harmless(exported.as_bytes()));
    let lines = json_lines(&exported);
    assert_eq!(
        (&lines[0]["version"], &lines[0]["width"]),
        (&json!(2), &json!(80))
    );
    let outputs: Vec<&Value> = lines[1..].iter().filter(|event| event[1] == "o").collect();
    // Times count from the beginning, and all is kept: a file is no terminal.
    assert_eq!(
        outputs,
        [&json!([0.1, "o", "a"]), &json!([0.2, "o", "b\u{1b}[6n"])]
    );
    record(&directory, facts.sid, "1.cast", &cast(&["c"]));
    let several = reader.run(&["export", &sid, "--format", "asciicast2"]);
    assert_eq!(several.status.code(), Some(1));
    assert!(text(&several.stderr).contains("0, 1"), "{several:?}");
    let not_all = reader.run(&["export", "--all", "--format", "asciicast2"]);
    assert_eq!(not_all.status.code(), Some(2));
}
