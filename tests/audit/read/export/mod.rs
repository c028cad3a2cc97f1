//! The trail in other programs' formats.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;

use hassio_sshd::audit::record::{Entry, Moment, Who};

use super::*;

mod asciicast;
mod ocsf;
mod samples;

/// What the types are called: the source says it in one place, and cannot leave one out.
fn kinds() -> BTreeSet<String> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/wire/audit.rs");
    let source = fs::read_to_string(source).unwrap();
    let (_, all) = source.split_once("fn kind(&self)").unwrap();
    let (all, _) = all.split_once("\n    }\n").unwrap();
    let kinds = all.lines().filter_map(|line| line.split_once("=> \""));
    kinds
        .map(|(_, rest)| rest.split('"').next().unwrap().to_owned())
        .collect()
}

/// Writes a file of the trail as audit does, a second between records.
fn write(directory: &Directory, id: &str, who: &Who, events: Vec<(Option<bool>, Event)>) {
    let path = directory.0.join(id);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let (mut head, mut all) = (chain::START, Vec::new());
    let start: jiff::Timestamp = "2026-11-24T08:37:20.123456Z".parse().unwrap();
    for (seq, (ok, event)) in (0i64..).zip(&events) {
        let of_nobody = Who::default();
        let who = match event.kind().split('.').next() {
            Some("conn" | "auth") => who,
            _ if id.starts_with("ledger/") => &of_nobody,
            _ => who,
        };
        let channel = (!id.starts_with("ledger/")).then_some(ChannelNumber(3));
        let mut entry = Entry::new(who.clone(), channel, *ok, event);
        entry.moment = Moment {
            wall: start + jiff::SignedDuration::from_secs(seq),
            mono: 1_000_000_000 * u64::try_from(seq).unwrap(),
        };
        let (line, next) = entry.line(id, u64::try_from(seq).unwrap(), "0123abcd-1", &head);
        head = next;
        all.extend(line);
    }
    fs::write(path, all).unwrap();
}

/// A trail with a record of every type, and the session in it.
fn every_type() -> (Directory, SessionId) {
    let directory = Directory::new();
    let facts = facts();
    let who = Who {
        cid: Some(facts.cid.to_string()),
        src: Some(peer()),
        ..Who::default()
    };
    write(
        &directory,
        "ledger/000001.jsonl",
        &who,
        samples::of_the_ledger(),
    );
    let day = jiff::Timestamp::now().strftime("%Y/%m/%d").to_string();
    let id = format!("sessions/{day}/{}.jsonl", facts.sid);
    let who = Who {
        sid: Some(facts.sid.to_string()),
        ..who.granted(&facts.grant)
    };
    write(&directory, &id, &who, samples::of_a_session());
    (directory, facts.sid)
}

/// What it exports of all types, whatever its status.
fn all(reader: &Reader) -> String {
    let kinds: Vec<String> = kinds().into_iter().collect();
    let output = reader.run(&["export", "--format", "ocsf", "--type", &kinds.join(",")]);
    // The first line alone: all would be megabytes.
    let bad = |bytes: &[u8]| {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        lines.find(|line| !harmless(line)).map(text)
    };
    assert_eq!((bad(&output.stdout), bad(&output.stderr)), (None, None));
    text(&output.stdout)
}
