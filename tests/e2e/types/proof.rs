//! Holds the records of a trail against the page: the envelope of each, and `d` member by member.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use hassio_sshd::audit::chain;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

use super::page;
use crate::harness::Server;

/// The members of a record, in the page's order.
const ORDER: [&str; 17] = [
    "v", "seq", "ts", "mono", "boot", "type", "cid", "sid", "ch", "user", "key", "role", "src",
    "ok", "d", "prev", "hash",
];
/// Those that every record has.
const ALWAYS: [&str; 10] = [
    "v", "seq", "ts", "mono", "boot", "type", "ok", "d", "prev", "hash",
];

/// All records of a trail, each checked as far as that goes without knowing what was done.
pub struct Trail {
    records: Vec<Value>,
    documented: BTreeMap<String, BTreeSet<String>>,
    proved: RefCell<Proved>,
    missing: RefCell<Vec<String>>,
}

/// Of which types and members the values have been checked.
#[derive(Debug, Default)]
pub struct Proved(pub BTreeMap<String, BTreeSet<String>>);

impl Proved {
    pub fn add(&mut self, other: Self) {
        for (kind, members) in other.0 {
            self.0.entry(kind).or_default().extend(members);
        }
    }
}

impl Trail {
    /// Of a server that has stopped, or does nothing.
    pub fn of(server: &Server) -> Self {
        let root = server.dir.join("data/audit");
        let mut trail = Self {
            records: Vec::new(),
            documented: page::documented(),
            proved: RefCell::default(),
            missing: RefCell::default(),
        };
        let (mut ledger, mut sessions) = (Vec::new(), Vec::new());
        walk(&root, &root, &mut |file| match file.split('/').next() {
            Some("ledger") => ledger.push(file.to_owned()),
            Some("sessions") if file.ends_with(".jsonl") => sessions.push(file.to_owned()),
            _ => {}
        });
        ledger.sort();
        let mut head = chain::START;
        for file in &ledger {
            head = trail.read(&root, file, head);
        }
        for file in &sessions {
            trail.read(&root, file, chain::START);
        }
        trail
    }

    /// Reads a file, checks the envelope and the chain of its records. Returns the last one's hash.
    fn read(&mut self, root: &Path, file: &str, mut head: chain::Head) -> chain::Head {
        let text = fs::read_to_string(root.join(file)).unwrap();
        assert!(text.ends_with('\n'), "{file}");
        let mut first: Option<Value> = None;
        let mut mono = 0;
        for (seq, line) in text.lines().enumerate() {
            let at = format!("{file}, record {seq}: {line}");
            let record: Value = serde_json::from_str(line).unwrap();
            assert!(line.len() < 16 * 1024, "{at}");
            self.envelope(file, seq, line, &record, first.as_ref(), &at);
            let (_, prev, hash) = chain::parts(line.as_bytes()).unwrap_or_else(|| panic!("{at}"));
            assert!(
                prev == head || (seq == 0 && file.starts_with("ledger/")),
                "{at}"
            );
            head = hash;
            let now: u64 = record["mono"].as_str().unwrap().parse().unwrap();
            assert!(now >= mono || file.starts_with("ledger/"), "{at}");
            mono = now;
            first.get_or_insert_with(|| record.clone());
            if record["type"] == "session.close" {
                totals(&record, &self.records[self.records.len() - seq..]);
            }
            self.records.push(record);
        }
        head
    }

    fn envelope(
        &self,
        file: &str,
        seq: usize,
        line: &str,
        record: &Value,
        first: Option<&Value>,
        at: &str,
    ) {
        let keys = serde_json::from_str::<Keys>(line).unwrap().0;
        let places: Vec<usize> = keys
            .iter()
            .map(|key| {
                ORDER
                    .iter()
                    .position(|name| name == key)
                    .unwrap_or_else(|| panic!("{key} in {at}"))
            })
            .collect();
        assert!(places.is_sorted_by(|a, b| a < b), "{at}");
        let kind = record["type"].as_str().unwrap();
        let mut expected: BTreeSet<&str> = ALWAYS.into();
        expected.extend(identity(file, kind, record));
        let keys: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(keys, expected, "{at}");

        for (name, form) in [
            ("v", json!(1)),
            ("seq", json!(seq)),
            ("ts", json!("<time>")),
            ("mono", json!("<digits>")),
            ("boot", json!("<boot>")),
            ("cid", json!("<uuid>")),
            ("sid", json!("<uuid>")),
            ("ch", json!("<n>")),
            ("user", json!("root")),
            ("key", json!("<key>")),
            ("role", json!("<text>")),
            ("src", json!({"ip": "<ip>", "port": "<n>"})),
            ("prev", json!("<hash>")),
            ("hash", json!("<hash>")),
        ] {
            if let Some(value) = record.get(name) {
                assert!(fits(value, &form), "{name} in {at}");
            }
        }
        assert!(record["ok"].is_boolean() || record["ok"].is_null(), "{at}");
        if file.starts_with("sessions/") {
            assert!(
                file.ends_with(&format!("/{}.jsonl", record["sid"].as_str().unwrap())),
                "{at}"
            );
            // All of a session's records say the same of it.
            for name in ["cid", "sid", "user", "key", "role", "src"] {
                let same = first.is_none_or(|first| first.get(name) == record.get(name));
                assert!(same, "{name} in {at}");
            }
        }
        let members = self
            .documented
            .get(kind)
            .unwrap_or_else(|| panic!("{kind} is not documented: {at}"));
        for (name, value) in record["d"].as_object().unwrap() {
            assert!(members.contains(name), "{name} is not documented: {at}");
            assert!(!value.is_null(), "{name} in {at}");
        }
    }

    /// There is a record of this type with this outcome, and these members and no others in `d`. A text in angle brackets
    /// stands for a value of its form.
    pub fn has(&self, kind: &str, ok: Value, d: Value) -> &Value {
        let of_kind = self.records.iter().filter(|record| record["type"] == kind);
        let (near, far): (Vec<&Value>, Vec<&Value>) =
            of_kind.partition(|record| fits(&record["d"], &d));
        let found = near.iter().find(|record| record["ok"] == ok);
        if let Some(found) = found {
            let mut proved = self.proved.borrow_mut();
            let names = d.as_object().unwrap().keys().cloned();
            proved.0.entry(kind.to_owned()).or_default().extend(names);
            return found;
        }
        // Those with another outcome first.
        let others = near.into_iter().chain(far).take(5);
        let others =
            others.map(|record| format!("  {} {:.700}", record["ok"], record["d"].to_string()));
        let others: Vec<String> = others.collect();
        let missing = format!("{kind} {ok} {d}, but\n{}", others.join("\n"));
        self.missing.borrow_mut().push(missing);
        &Value::Null
    }

    /// What was checked by [`Self::has`].
    ///
    /// # Panics
    /// Where something was not there: all of it is said at once.
    pub fn proved(self) -> Proved {
        let missing = self.missing.into_inner();
        assert!(
            missing.is_empty(),
            "there is no {}",
            missing.join("\nand no ")
        );
        self.proved.into_inner()
    }

    pub fn all(&self) -> &[Value] {
        &self.records
    }
}

/// What a session's last record says of those before it.
fn totals(close: &Value, before: &[Value]) {
    let d = &close["d"];
    let of = |kind: &'static str| before.iter().filter(move |record| record["type"] == kind);
    let sum = |name: &str| {
        of("channel.close")
            .map(|record| record["d"][name].as_u64().unwrap())
            .sum::<u64>()
    };
    let denied = of("api.request")
        .filter(|record| record["d"]["decision"] == "deny")
        .count();
    let expected = json!({
        "records": before.len(), "channels": of("channel.open").count(), "api_calls": of("api.request").count(),
        "denials": denied + of("policy.deny").count() + of("channel.refuse").count(),
        "bytes_in": sum("bytes_in"), "bytes_out": sum("bytes_out"),
    });
    for (name, expected) in expected.as_object().unwrap() {
        assert_eq!(&d[name], expected, "{name} in {close}");
    }
    let ended = of("recording.end").take(48).map(|record| {
        let d = &record["d"];
        let (_, file) = d["file"].as_str().unwrap().rsplit_once('/').unwrap();
        json!({"file": file, "bytes": d["bytes"], "sha256": d["sha256"]})
    });
    let ended: Vec<Value> = ended.collect();
    assert_eq!(
        d["recordings"].as_array().unwrap_or(&Vec::new()),
        &ended,
        "{close}"
    );
}

/// Which members beside [`ALWAYS`] a record has: whom it is about.
fn identity(file: &str, kind: &str, record: &Value) -> Vec<&'static str> {
    let is_in_channel = [
        "channel.open",
        "channel.close",
        "channel.refuse",
        "pty",
        "resize",
        "env",
        "signal",
        "shell",
        "exec",
        "subsystem",
        "exec.end",
        "sftp.op",
        "sftp.summary",
        "recording.start",
        "recording.end",
        "recording.truncate",
        "recording.fail",
    ];
    let of = |name: &'static str| record.get(name).is_some().then_some(name);
    match file.starts_with("sessions/") {
        true => {
            let mut names = vec!["cid", "sid", "user", "role", "src"];
            // Of a login with a password there is none.
            names.extend(of("key"));
            if is_in_channel.contains(&kind) {
                names.push("ch");
            } else if kind == "limit.hit" {
                // Of what was too much in a channel, or in all of the session.
                names.extend(of("ch"));
            }
            names
        }
        false if kind == "anchor" => vec!["sid"],
        // Of a connection before its session, after it, or in place of one.
        false
            if kind.starts_with("auth.")
                || ["conn.open", "conn.close", "channel.folded"].contains(&kind) =>
        {
            vec!["cid", "src"]
        }
        false if is_in_channel.contains(&kind) => vec!["cid", "src", "ch"],
        false => vec![],
    }
}

/// Whether a value is as expected.
pub fn fits(value: &Value, form: &Value) -> bool {
    let all = |text: &str, length: usize, fine: fn(char) -> bool| {
        text.len() == length && text.chars().all(fine)
    };
    match (form, value) {
        (Value::Object(forms), Value::Object(values)) => {
            forms.len() == values.len()
                && forms
                    .iter()
                    .all(|(name, form)| values.get(name).is_some_and(|value| fits(value, form)))
        }
        (Value::Array(forms), Value::Array(values)) => {
            forms.len() == values.len()
                && forms
                    .iter()
                    .zip(values)
                    .all(|(form, value)| fits(value, form))
        }
        (Value::String(form), Value::Number(number)) => match form.as_str() {
            "<n>" => number.is_u64(),
            "<n+>" => number.as_u64().is_some_and(|n| n > 0),
            _ => false,
        },
        (Value::String(form), Value::Array(values)) if form == "<list>" => {
            values.iter().all(Value::is_string)
        }
        (Value::String(form), Value::Array(values)) if form == "<texts>" => {
            !values.is_empty()
                && values
                    .iter()
                    .all(|value| value.as_str().is_some_and(|text| !text.is_empty()))
        }
        (Value::String(form), Value::String(text)) => match form.as_str() {
            "<text>" => !text.is_empty(),
            "<digits>" => !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()),
            "<hex>" => all(text, 64, is_hex),
            "<hash>" => all(text, 43, is_base64url),
            "<key>" => text
                .strip_prefix("SHA256:")
                .is_some_and(|rest| rest.len() > 43 && rest.as_bytes()[43] == b' '),
            "<fingerprint>" => text
                .strip_prefix("SHA256:")
                .is_some_and(|rest| all(rest, 43, |c| !c.is_whitespace())),
            "<uuid>" => uuid::Uuid::parse_str(text).is_ok_and(|id| id.get_version_num() == 7),
            "<ip>" => text.parse::<std::net::IpAddr>().is_ok(),
            "<time>" => {
                text.len() == 27 && text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
            }
            "<boot>" => text
                .split_once('-')
                .is_some_and(|(id, segment)| all(id, 8, is_hex) && segment.parse::<u32>().is_ok()),
            "<session>" => is_of_day(text, "sessions/") && text.ends_with(".jsonl"),
            "<recording>" => is_of_day(text, "recordings/") && text.ends_with(".cast"),
            form => form == text,
        },
        (form, value) => form == value,
    }
}

/// Whether this is a path in the folder of a day, and of a session in it.
fn is_of_day(path: &str, folder: &str) -> bool {
    let Some(rest) = path.strip_prefix(folder) else {
        return false;
    };
    let parts: Vec<&str> = rest.split(['/', '.']).collect();
    let date = parts
        .iter()
        .zip([4, 2, 2])
        .all(|(part, digits)| part.len() == digits && part.parse::<u32>().is_ok());
    date && parts
        .get(3)
        .is_some_and(|sid| fits(&json!(sid), &json!("<uuid>")))
}

fn is_hex(c: char) -> bool {
    c.is_ascii_digit() || ('a'..='f').contains(&c)
}

fn is_base64url(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_".contains(c)
}

fn walk(at: &Path, root: &Path, found: &mut dyn FnMut(&str)) {
    for entry in fs::read_dir(at).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, root, found);
        } else {
            found(path.strip_prefix(root).unwrap().to_str().unwrap());
        }
    }
}

/// The names of an object's members in their order.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Keys;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Keys(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}
