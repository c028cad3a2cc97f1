//! Records as events.

use std::io::Write as _;

use hassio_sshd::audit::read::export::OCSF_VERSION;

use std::path::Path;

use super::*;

/// A Python with the schema, made by scripts/python-clients.
fn python() -> Option<PathBuf> {
    let program = std::env::var_os("TEST_PYTHON").filter(|path| !path.is_empty());
    if program.is_none() {
        assert!(
            std::env::var_os("REQUIRE_ALL").is_none(),
            "TEST_PYTHON is not set: run scripts/test"
        );
        eprintln!(
            "not tried: TEST_PYTHON is not set to a Python with the OCSF schema, which scripts/python-clients makes"
        );
    }
    program.map(PathBuf::from)
}

/// What the schema has against these events.
fn faults(python: &Path, events: &str) -> String {
    let program = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/audit/read/export/ocsf.py"
    );
    #[expect(clippy::disallowed_methods, reason = "the test starts what judges")]
    let mut judge = Command::new(python);
    let mut judge = judge
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = judge.stdin.take().unwrap();
    let events = events.to_owned();
    let writing = std::thread::spawn(move || input.write_all(events.as_bytes()));
    let output = judge.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

fn of_kind<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    let of = |event: &&Value| event["metadata"]["event_code"] == kind;
    events.iter().filter(of).collect()
}

#[test]
fn every_type_of_records_has_the_class_that_the_page_says() {
    let (directory, _) = every_type();
    let reader = Reader::of(&directory);
    let events = json_lines(&all(&reader));
    let records = samples::of_the_ledger().len() + samples::of_a_session().len();
    assert_eq!(events.len(), records, "each record is one event");
    let mut exported = BTreeMap::new();
    for event in &events {
        let kind = event["metadata"]["event_code"].as_str().unwrap().to_owned();
        let class = event["class_uid"].as_u64().unwrap();
        assert_eq!(*exported.entry(kind).or_insert(class), class);
    }
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")).unwrap();
    let (_, section) = page.split_once("## Exporting it").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let help = reader.good(&["export", "--help"]);
    assert!(section.contains(OCSF_VERSION) && help.contains(OCSF_VERSION));
    let mut told = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let class: u64 = cells[1].split(' ').next().unwrap().parse().unwrap();
        for kind in cells[0].split('`').skip(1).step_by(2) {
            assert_eq!(told.insert(kind.to_owned(), class), None, "{kind}");
        }
    }
    assert_eq!(exported, told);
    // A new type must be decided: it needs a sample, a class and a row.
    let known: BTreeSet<String> = told.into_keys().collect();
    assert_eq!(known, kinds());
}

#[test]
fn the_schema_has_nothing_against_any_event() {
    let Some(python) = python() else { return };
    let (directory, sid) = every_type();
    let reader = Reader::of(&directory);
    let events = all(&reader);
    let count = events.lines().count();
    assert_eq!(faults(&python, &events), format!("{count} events\n"));
    // Nor against a trail that audit itself wrote.
    let (real, _) = trail();
    let real = all(&Reader::of(&real));
    let count = real.lines().count();
    assert!(count > 10, "{real}");
    assert_eq!(faults(&python, &real), format!("{count} events\n"));
    // And it would say so: each of these is a fault of its own.
    let events = json_lines(&events);
    let event = |kind: &str| of_kind(&events, kind)[0].clone();
    let faulty = |kind: &str, spoil: &dyn Fn(&mut Value)| {
        let mut event = event(kind);
        spoil(&mut event);
        let said = faults(&python, &event.to_string());
        assert!(said.lines().count() > 1, "{kind}: {said}");
    };
    faulty("exec", &|event| {
        event.as_object_mut().unwrap().remove("process");
    });
    faulty("sftp.op", &|event| event["file"]["surprise"] = 1.into());
    faulty("api.request", &|event| {
        event["metadata"]["profiles"] = json!([])
    });
    faulty("auth.attempt", &|event| event["activity_id"] = 12.into());
    faulty("conn.open", &|event| {
        event["src_endpoint"]["ip"] = "x".into()
    });
    faulty("exec.end", &|event| {
        event["exit_code"] = 3_000_000_000u64.into()
    });
    faulty("session.close", &|event| {
        event["activity_name"] = "Logon".into()
    });
    assert_eq!(
        of_kind(&events, "exec")[0]["actor"]["session"]["uid"],
        sid.to_string()
    );
}

#[test]
fn an_event_holds_all_that_its_record_says_and_leads_back_to_it() {
    let (directory, _) = every_type();
    let reader = Reader::of(&directory);
    let events = json_lines(&all(&reader));
    fn leaves(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => drop(found.insert(number.to_string())),
            Value::String(text) => drop(found.insert(text.clone())),
            Value::Array(list) => list.iter().for_each(|value| leaves(value, found)),
            Value::Object(members) => members.values().for_each(|value| leaves(value, found)),
        }
    }
    let name = format!("hassio-sshd/{}", samples::key().trail);
    for event in &events {
        let metadata = &event["metadata"];
        let (file, seq) = metadata["original_event_uid"]
            .as_str()
            .unwrap()
            .split_once('#')
            .unwrap();
        assert_eq!(metadata["log_source"], file);
        assert_eq!(metadata["uid"], format!("{name}/{file}#{seq}"));
        assert_eq!(metadata["product"]["version"], "3.2.1");
        assert_eq!(event["device"]["uid"], name);
        let lines = fs::read_to_string(directory.0.join(file)).unwrap();
        let line = lines.lines().nth(seq.parse().unwrap()).unwrap();
        let record: Value = serde_json::from_str(line).unwrap();
        for member in ["seq", "mono", "boot", "cid", "sid", "ch", "prev", "hash"] {
            assert_eq!(
                event["unmapped"][member], record[member],
                "{member}: {event}"
            );
        }
        let (mut said, mut kept) = (BTreeSet::new(), BTreeSet::new());
        leaves(&record, &mut said);
        leaves(event, &mut kept);
        let missing: Vec<String> = said.difference(&kept).cloned().collect();
        // These are in two parts, in another word, or in milliseconds.
        let expected: &[&str] = match record["type"].as_str().unwrap() {
            "api.request" if record["d"]["id"] == 5 => &["/core/restart?safe=true", "allow"],
            "api.request" => &["deny"],
            "conn.folded" => &["2026-11-24T08:37:20.123456Z", "2026-11-24T08:37:59.123456Z"],
            _ => &[],
        };
        assert_eq!(missing, expected, "{event}");
        let millisecond = record["ts"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap();
        assert_eq!(event["time"], millisecond.as_millisecond());
    }
}

#[test]
fn events_say_what_was_done() {
    let (directory, sid) = every_type();
    let reader = Reader::of(&directory);
    let events = json_lines(&all(&reader));
    let first = |kind: &str| of_kind(&events, kind)[0];
    let attempts = of_kind(&events, "auth.attempt");
    let types: Vec<&Value> = attempts.iter().map(|event| &event["type_uid"]).collect();
    assert_eq!(types, [300_206, 300_201, 300_201]);
    let good: Vec<&Value> = attempts.iter().map(|event| &event["status_id"]).collect();
    assert_eq!(good, [1, 1, 2]);
    assert_eq!(attempts[1]["session"]["credential_uid"], "SHA256:attempted");
    assert_eq!(attempts[2]["auth_protocol"], "password");
    let logoff = first("session.close");
    assert_eq!(logoff["type_uid"], 300_202);
    assert_eq!(
        logoff["user"],
        json!({"name": "root", "groups": [{"name": "operator", "type": "role"}]})
    );
    assert_eq!(
        logoff["session"],
        json!({"uid": sid.to_string(), "is_remote": true, "credential_uid": "SHA256:abc"})
    );
    assert_eq!(first("session.open")["auth_type_id"], 6);
    // An end is told with what it ends.
    let end = first("exec.end");
    assert_eq!(end["type_uid"], 100_702);
    assert_eq!(end["process"], first("exec")["process"]);
    assert_eq!(end["process"]["cmd_line"], "cat /config/secrets.yaml");
    assert_eq!(
        (&end["process"]["pid"], &end["exit_code"]),
        (&json!(44), &json!(137))
    );
    let calls = of_kind(&events, "api.request");
    assert_eq!(
        calls[0]["http_request"]["url"],
        json!({"path": "/core/restart", "query_string": "safe=true"})
    );
    let answer = first("api.response");
    assert_eq!(answer["type_uid"], 600_303);
    assert_eq!(answer["http_request"], calls[0]["http_request"]);
    assert_eq!(answer["api"]["operation"], "core.restart");
    assert_eq!(answer["http_response"]["code"], 502);
    // What is refused is found by one attribute.
    let denied = |event: &&Value| event["action_id"] == 2 && event["disposition_id"] == 2;
    let denied: BTreeSet<&str> = events
        .iter()
        .filter(denied)
        .map(|event| event["metadata"]["event_code"].as_str().unwrap())
        .collect();
    let expected = [
        "api.request",
        "auth.lockout",
        "channel.refuse",
        "conn.refuse",
        "policy.deny",
    ];
    assert_eq!(denied, BTreeSet::from(expected));
    assert_eq!(
        calls[1]["authorizations"],
        json!([{"decision": "denied", "policy": {"name": "no rule fits"}}])
    );
    // What does not fit 32 bits stays as it is.
    assert_eq!(calls[1]["unmapped"]["d"]["body_bytes"], 5_000_000_000u64);
    let closed = &first("channel.close")["traffic"];
    assert_eq!(
        *closed,
        json!({"bytes_out": 3, "bytes_in": 5_000_000_000u64, "bytes": 5_000_000_003u64})
    );
    let files: BTreeMap<&str, u64> = of_kind(&events, "sftp.op")
        .iter()
        .map(|event| {
            (
                event["file"]["name"].as_str().unwrap(),
                event["activity_id"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("copy.yaml", 99),
        ("create.yaml", 1),
        ("extended.yaml", 99),
        ("fstat.yaml", 8),
        ("link.yaml", 1),
        ("list.yaml", 2),
        ("lstat.yaml", 8),
        ("mkdir.yaml", 1),
        ("open.yaml", 14),
        ("read-write.yaml", 3),
        ("read.yaml", 2),
        ("readdir.yaml", 2),
        ("readlink.yaml", 2),
        ("realpath.yaml", 99),
        ("remove.yaml", 4),
        ("rename.yaml", 5),
        ("rmdir.yaml", 4),
        ("setstat.yaml", 6),
        ("stat.yaml", 8),
        ("symlink.yaml", 1),
        ("truncate.yaml", 3),
        ("unknown.yaml", 99),
        ("write.yaml", 3),
    ];
    assert_eq!(files, BTreeMap::from(expected));
    // A file is somewhere else only once it is there.
    let renamed: Vec<&Value> = of_kind(&events, "sftp.op")
        .into_iter()
        .filter(|event| event["activity_id"] == 5)
        .collect();
    assert_eq!(renamed[0]["file_result"]["path"], "/config/new");
    assert_eq!(
        (
            &renamed[1]["file_result"],
            &renamed[1]["unmapped"]["d"]["to"]
        ),
        (&Value::Null, &json!("/config/new"))
    );
}

#[test]
fn filters_choose_records_and_a_file_is_made_once() {
    let (directory, facts) = trail();
    let reader = Reader::of(&directory);
    let export = |words: &[&str]| {
        let words = [&["export", "--format", "ocsf"], words].concat();
        json_lines(&reader.good(&words))
    };
    let everything = export(&[]);
    let listed = json_lines(&reader.good(&["list", "--records", "--json"]));
    assert_eq!(everything.len(), listed.len());
    let same = everything.iter().zip(&listed);
    assert!(same.clone().count() > 10);
    for (event, record) in same {
        assert_eq!(event["unmapped"]["hash"], record["hash"]);
    }
    let sid = facts.sid.to_string();
    for (words, expected) in [
        (&["--type", "api."][..], 2),
        (&["--type", "api.", "--source", "2001:db8::/32"], 0),
        (&["--session", &sid, "--type", "shell"], 1),
        (&["--text", "/info"], 2),
        (&["--until", "1h"], 0),
        (&["--key", "me@", "--type", "session."], 2),
    ] {
        assert_eq!(export(words).len(), expected, "{words:?}");
    }
    let out = reader.data.join("events.jsonl");
    let words = ["export", "--format", "ocsf", "--out", out.to_str().unwrap()];
    assert_eq!(reader.good(&words), "");
    let written = fs::read_to_string(&out).unwrap();
    assert_eq!(json_lines(&written), everything);
    assert_eq!(
        fs::metadata(&out).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    // Neither over a file nor through a link.
    let link = reader.data.join("link.jsonl");
    symlink(reader.data.join("nothing"), &link).unwrap();
    for taken in [&out, &link] {
        let words = [
            "export",
            "--format",
            "ocsf",
            "--out",
            taken.to_str().unwrap(),
        ];
        let again = reader.run(&words);
        assert_eq!(again.status.code(), Some(1), "{again:?}");
        assert!(text(&again.stderr).contains("cannot make"), "{again:?}");
    }
    assert_eq!(fs::read_to_string(&out).unwrap(), written);
    assert!(!reader.data.join("nothing").exists());
    for wrong in [
        &["export"][..],
        &["export", "--format", "csv"],
        &["export", "--format", "ocsf", "last"],
        &["export", "--format", "ocsf", "--since", "x"],
        &["export", "--format", "asciicast-v2"],
        &[
            "export",
            "--format",
            "asciicast-v2",
            "last",
            "--user",
            "root",
        ],
    ] {
        assert_eq!(reader.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    // Nothing is made for what cannot be.
    let none = reader.data.join("none");
    let words = ["export", "--format", "ocsf", "--session", "ffff", "--out"];
    let output = reader.run(&[&words[..], &[none.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(!none.exists());
}

/// As nobody but who changes files can write it.
#[test]
fn whatever_a_record_says_its_event_is_one_and_drives_no_terminal() {
    let (good, _) = every_type();
    let mut files: Vec<(String, Vec<Value>)> = Vec::new();
    for id in good.files() {
        files.push((id.clone(), good.everything(&id)));
    }
    let strange = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!(HOSTILE),
        json!(["x"]),
        json!({"ip": HOSTILE, "port": 70_000, "Status": "x", "Signal": {"number": u64::MAX}}),
    ];
    let directory = Directory::new();
    for (n, value) in (1..).zip(&strange) {
        let id = format!("ledger/{n:06}.jsonl");
        let (mut head, mut all) = (chain::START, Vec::new());
        for record in files.iter().flat_map(|(_, records)| records) {
            // All of d, then all of the envelope.
            for part in ["d", "envelope"] {
                let mut record = record.as_object().unwrap().clone();
                let spoil = |members: &mut serde_json::Map<String, Value>| {
                    members
                        .values_mut()
                        .for_each(|member| *member = value.clone());
                    members.insert(HOSTILE.to_owned(), value.clone());
                };
                let text = |name: &str| record[name].as_str().unwrap().to_owned();
                let (kind, ts) = (text("type"), text("ts"));
                for member in ["v", "seq", "ts", "mono", "boot", "type", "prev", "hash"] {
                    record.remove(member);
                }
                match part {
                    "d" => spoil(record["d"].as_object_mut().unwrap()),
                    _ => spoil(&mut record),
                }
                let rest = Value::from(record).to_string();
                let rest = rest
                    .replace("\\u009b", "\u{9b}")
                    .replace("\\u202e", "\u{202e}");
                let body = format!(
                    "{{\"v\":1,\"seq\":5,\"ts\":\"{ts}\",\"mono\":\"5\",\"boot\":\"0-1\",\"type\":\"{kind}\",{}",
                    &rest[1..rest.len() - 1]
                );
                let (line, next) = chain::seal(&id, &head, body.into_bytes());
                head = next;
                all.extend(line);
            }
        }
        let path = directory.0.join(id);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, all).unwrap();
    }
    let reader = Reader::of(&directory);
    let events = all(&reader);
    let records: usize = files.iter().map(|(_, records)| records.len()).sum();
    let count = strange.len() * 2 * records;
    assert_eq!(events.lines().count(), count);
    assert!(
        json_lines(&events)
            .iter()
            .any(|event| event["unmapped"][HOSTILE] == HOSTILE)
    );
    if let Some(python) = python() {
        assert_eq!(faults(&python, &events), format!("{count} events\n"));
    }
}
