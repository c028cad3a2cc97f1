//! Makes the seeds anew, of a trail that a server left: `scripts/fuzz-seeds` calls it.

use std::fs;
use std::path::{Path, PathBuf};

use hassio_sshd::audit::chain;
use hassio_sshd::audit::recording::check::unsealed;
use hassio_sshd::wire::{Event, Record, encode, encode_config};
use serde::Serialize;
use serde_json::{Value, json};

use super::bodies::codec::TYPES;

mod logins;
mod messages;

/// As in `fuzz/bodies/trail.rs`.
const SESSION: &str = "sessions/2026/11/24/01a20d03-2a16-71e0-99c8-e18f83c37608.jsonl";
/// Types whose reports are seeds: the fuzzer finds the others from these.
const REPORTED: [&str; 6] = [
    "server.start",
    "auth.attempt",
    "session.open",
    "exec.end",
    "api.request",
    "checkpoint",
];
/// What no program of an honest session writes.
const HOSTILE: &str = "a\u{1b}]0;title\u{7}b\u{1b}]52;c;cm0=\u{1b}\\\u{1b}[6n\u{1b}[?1000h\u{1b}[?1049hc\u{1b}[3J\u{1b}[2;3s\
    \u{1b}P$q\"p\u{1b}\\\u{1b}_G\u{1b}\\\u{1b}(0lqk\u{1b}(B\u{9b}31m\u{202e}\u{1b}[38:2::1:2:3mé\u{1b}[99999Ad\u{1b}#8\u{1b}[5T\u{1b}c";

#[test]
#[ignore = "writes into fuzz/seeds; run by scripts/fuzz-seeds"]
fn seeds_are_written() {
    let audit = PathBuf::from(std::env::var_os("SEEDS_FROM").unwrap());
    let mut files = Vec::new();
    walk(&audit, &mut files);
    files.sort();
    records(&audit, &files);
    recordings(&files);
}

#[test]
#[ignore = "writes into fuzz/seeds; run by scripts/fuzz-seeds"]
fn seeds_that_need_no_trail_are_written() {
    messages::written();
    logins::written();
}

fn walk(at: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn put(target: &str, name: &str, parts: &[&[u8]]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    fs::write(folder.join(target).join(name), parts.concat()).unwrap();
}

/// A message as the target reads it: which type, then the bytes.
fn message<T: Serialize>(of: &str, name: &str, message: &T) {
    let at = TYPES.iter().position(|known| known.name == of).unwrap();
    let bytes = if of.ends_with("Config") {
        encode_config(message).unwrap()
    } else {
        encode(message).unwrap()
    };
    let which = u8::try_from(at).unwrap();
    put("codec", &format!("{of}-{name}"), &[&[which], &bytes]);
}

fn records(audit: &Path, files: &[PathBuf]) {
    let is = |path: &&PathBuf, folder: &str| {
        path.starts_with(audit.join(folder))
            && path.extension().is_some_and(|end| end == "jsonl")
            && fs::metadata(path).unwrap().len() > 0
    };
    let of = |folder: &str| -> Vec<Vec<u8>> {
        let paths = files.iter().filter(|path| is(path, folder));
        paths.map(|path| fs::read(path).unwrap()).collect()
    };
    let (ledger, mut sessions) = (of("ledger"), of("sessions"));
    sessions.sort_by_key(Vec::len);
    put("record", "file-session", &[b"f", &sessions[0]]);
    let mut kinds: Vec<String> = Vec::new();
    let (mut members, mut notes) = (Vec::new(), Vec::new());
    for line in ledger.iter().chain(&sessions).flat_map(|file| lines(file)) {
        let record: Value = serde_json::from_slice(line).unwrap();
        let kind = record["type"].as_str().unwrap().to_owned();
        if kind == "checkpoint" {
            let note = record["d"]["note"].as_array().unwrap().clone();
            notes = note
                .iter()
                .map(|line| line.as_str().unwrap().to_owned())
                .collect();
        }
        if kinds.contains(&kind) {
            continue;
        }
        members.push(its_own(line));
        kinds.push(kind.clone());
        if !REPORTED.contains(&kind.as_str()) {
            continue;
        }
        let reported = Record {
            cid: record["cid"].as_str().map(|id| id.parse().unwrap()),
            sid: record["sid"].as_str().map(|id| id.parse().unwrap()),
            channel: serde_json::from_value(record["ch"].clone()).unwrap(),
            ok: record["ok"].as_bool(),
            event: event(&kind, &record["d"]),
        };
        let written = encode(&reported).unwrap();
        put("record", &format!("written-{kind}"), &[b"w", &written]);
        let name = format!("Record-{kind}");
        let report = hassio_sshd::wire::ReportToAudit::Record {
            record: reported,
            receipt: Some(7),
        };
        message("ReportToAudit", &name, &report);
    }
    assert!(kinds.len() > 15, "the trail is too small: {kinds:?}");
    let members: Vec<&[u8]> = members.iter().map(Vec::as_slice).collect();
    put("record", "chain-of-all", &[b"c", &members.join(&b'\n')]);
    let note = format!("{}\n", notes.join("\n"));
    put("record", "note", &[b"n", note.as_bytes()]);
    trail(&ledger[0], &sessions[0]);
}

fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// A record's line from its type on, without what chains it.
fn its_own(line: &[u8]) -> Vec<u8> {
    let (body, ..) = chain::parts(line).unwrap();
    let text = std::str::from_utf8(body).unwrap();
    let from = text.find("\"type\":").unwrap();
    let to = text.rfind(",\"prev\":").unwrap();
    text.as_bytes()[from..to].to_vec()
}

/// The event that a record was made of: its kind with the words put together.
fn event(kind: &str, d: &Value) -> Event {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    let variant: String = kind.split('.').map(word).collect();
    let value = json!({ variant: d });
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{kind}: {error}: {d}"))
}

/// The session of a trail, and of its ledger what it needs, so that a chain can be made of them anew.
fn trail(ledger: &[u8], session: &[u8]) {
    let tape = |line: &&[u8]| !String::from_utf8_lossy(line).contains("\"type\":\"recording.");
    let own: Vec<Vec<u8>> = lines(session).filter(tape).map(its_own).collect();
    let anchor = format!(
        "\"type\":\"anchor\",\"ok\":null,\"d\":{{\"file\":\"{SESSION}\",\"records\":{},\"head\":\"@head\",\"last\":true}}",
        own.len()
    );
    let opening = |number: u32, records: usize| {
        format!(
            "\"type\":\"segment.open\",\"ok\":null,\"d\":{{\"number\":{number},\"records\":{records},\"key\":\"@key\"}}"
        )
    };
    let note = "\"type\":\"checkpoint\",\"ok\":null,\"d\":{\"note\":@note}";
    let wanted = ["server.start", "auth.attempt", "conn.open", "conn.close"];
    let others = lines(ledger).map(its_own).filter(|line| {
        let text = String::from_utf8_lossy(line);
        let begins = |kind: &&str| text.starts_with(&format!("\"type\":\"{kind}\""));
        wanted.iter().any(begins)
    });
    let mut first = vec![opening(1, 0).into_bytes()];
    first.extend(others);
    first.extend([anchor.into_bytes(), note.into()]);
    let second = [opening(2, first.len()).into_bytes(), note.into()];
    let parts: Vec<&[u8]> = vec![b"t"];
    let file = |lines: &[Vec<u8>]| lines.join(&b'\n');
    let files = [file(&first), file(&own), file(&second)].join(&b"\n=\n"[..]);
    put("record", "trail", &[parts, vec![&files]].concat());
}

fn recordings(files: &[PathBuf]) {
    let is_sealed = |path: &&PathBuf| path.extension().is_some_and(|end| end == "zst");
    let mut terminals = 0;
    for path in files.iter().filter(is_sealed) {
        let sealed = fs::read(path).unwrap();
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut unsealed(sealed.as_slice()).unwrap(), &mut plain).unwrap();
        let text = String::from_utf8(plain.clone()).unwrap();
        let of_terminal = text.lines().next().unwrap().contains("\"type\":");
        let name = if of_terminal { "terminal" } else { "command" };
        terminals += u8::from(of_terminal);
        put("recording", &format!("sealed-{name}"), &[b"s", &sealed]);
        put("recording", &format!("plain-{name}"), &[b"p", &plain]);
        let events = text
            .lines()
            .filter_map(|line| serde_json::from_str::<(f64, String, String)>(line).ok());
        let shown = events.filter(|(_, code, _)| code == "o");
        let shown: String = shown.map(|(_, _, text)| text).collect();
        put(
            "recording",
            &format!("output-{name}"),
            &[b"o\x01", shown.as_bytes()],
        );
    }
    assert!(terminals > 0, "no terminal was recorded");
    put(
        "recording",
        "output-hostile",
        &[b"o\x02", HOSTILE.as_bytes()],
    );
}
