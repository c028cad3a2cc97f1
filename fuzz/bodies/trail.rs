//! A whole trail, written with chains and signatures that are right, so that what is behind them is reached.
//!
//! The input is files, each of lines without the members that a chain has, and between two files a line `=`: the ledger's
//! first segment, a session, the ledger's second segment; then the ledger's mark, as it is. In a line `@head` is the hash of
//! the session's last record, `@key` the key that signs, and `@note` the checkpoint of that place, signed.

use std::fs;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use hassio_sshd::audit::chain::{self, Head};
use hassio_sshd::audit::note::{Checkpoint, Key};
use hassio_sshd::audit::read::{self, Filter, Follow, Look, Trail};
use hassio_sshd::audit::verify::{self, Report, Wanted};
use jiff::tz::TimeZone;

use super::record::{harmless, in_place};

/// Where the session lies whose file the second one is: its id was made on that day.
const SESSION: &str = "sessions/2026/11/24/01a20d03-2a16-71e0-99c8-e18f83c37608.jsonl";
const SEGMENTS: [&str; 2] = ["ledger/000001.jsonl", "ledger/000002.jsonl"];
const MARK: &str = "open/ledger";

thread_local! {
    static SCRATCH: Scratch = Scratch::new();
}

/// A folder of this thread's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("hassio-sshd-fuzz-{}", hassio_sshd::model::SessionId::new());
        let path = std::env::temp_dir().join(name);
        for file in [SESSION, SEGMENTS[0], MARK] {
            fs::create_dir_all(path.join(file).parent().unwrap()).unwrap();
        }
        Self(path)
    }

    /// None: there is no such file.
    fn put(&self, file: &str, content: Option<&[u8]>) {
        let path = self.0.join(file);
        match content {
            Some(content) => fs::write(path, content).unwrap(),
            None if path.exists() => fs::remove_file(path).unwrap(),
            None => {}
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Verifies the trail, and shows all that can be shown of it.
pub(super) fn run(data: &[u8]) {
    SCRATCH.with(|scratch| {
        put(scratch, data);
        let report = verified(&scratch.0);
        assert!([0, 1, 10, 11, 12, 13].contains(&report.exit_code()));
        lines(report.to_text().as_bytes());
        let json = report.to_json();
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        shown(&scratch.0);
    });
}

/// The exit status of `audit verify` of such a trail: for a test, that this file makes good ones.
pub fn exit_code(data: &[u8]) -> u8 {
    SCRATCH.with(|scratch| {
        put(scratch, data);
        verified(&scratch.0).exit_code()
    })
}

fn verified(root: &Path) -> Report {
    verify::directory(root, &Wanted::default())
}

fn put(scratch: &Scratch, data: &[u8]) {
    let parts = parts(data);
    let mut parts = parts.into_iter();
    let [first, session, second, mark] = [(); 4].map(|()| parts.next());
    let mut place = Place::default();
    let session = session.map(|lines| file(SESSION, &lines, &mut place));
    place.session = place.head;
    (place.head, place.records) = (chain::START, 0);
    let first = first.map(|lines| file(SEGMENTS[0], &lines, &mut place));
    let second = second.map(|lines| file(SEGMENTS[1], &lines, &mut place));
    scratch.put(SEGMENTS[0], first.as_deref());
    scratch.put(SEGMENTS[1], second.as_deref());
    scratch.put(SESSION, session.as_deref());
    scratch.put(MARK, mark.map(|lines| lines.join(&b'\n')).as_deref());
}

/// The lines of each file.
fn parts(data: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut parts = vec![Vec::new()];
    for line in data.split(|byte| *byte == b'\n') {
        match (line, parts.last_mut()) {
            (b"=", _) => parts.push(Vec::new()),
            (line, Some(part)) => part.push(line),
            (_, None) => {}
        }
    }
    parts
}

/// Where a chain is.
#[derive(Default)]
struct Place {
    head: Head,
    /// Of all files before and this one.
    records: u64,
    /// The session's last head.
    session: Head,
}

fn file(id: &str, lines: &[&[u8]], place: &mut Place) -> Vec<u8> {
    let mut whole = Vec::new();
    for (seq, members) in (0..).zip(lines) {
        let members = filled(members, place);
        let (line, head) = in_place(id, place.head, seq, &members);
        whole.extend(line);
        place.head = head;
        place.records += 1;
    }
    whole
}

fn filled(members: &[u8], place: &Place) -> Vec<u8> {
    if !members.contains(&b'@') {
        return members.to_vec();
    }
    let Ok(text) = std::str::from_utf8(members) else {
        return members.to_vec();
    };
    let private = SigningKey::from_bytes(&[7; 32]);
    let key = Key::first(private.verifying_key());
    let note = || {
        let checkpoint = Checkpoint {
            trail: key.trail.clone(),
            records: place.records,
            head: place.head,
            next: None,
        };
        serde_json::to_string(&checkpoint.sign(&key, &private).lines()).unwrap()
    };
    let text = text.replacen("@head", &chain::text(&place.session), 4);
    let text = text.replacen("@key", &key.to_string(), 4);
    // Signing takes long: only where it is asked for.
    if text.contains("@note") {
        text.replacen("@note", &note(), 1).into_bytes()
    } else {
        text.into_bytes()
    }
}

/// All that `audit list`, `show` and `tail` print.
fn shown(root: &Path) {
    let trail = Trail::open(root).unwrap();
    let filter = Filter::default();
    let look = Look {
        zone: TimeZone::UTC,
        columns: Some(80),
    };
    let mut out = Vec::new();
    let sessions = read::sessions(&trail, &filter);
    out.extend(read::sessions_table(&sessions, &look).into_bytes());
    out.extend(read::failed_table(&read::failed(&trail, &filter), &look).into_bytes());
    for file in trail.sessions() {
        // A session whose first record is none has nothing to be shown.
        read::show(&trail, file, &look, &mut out).ok();
        read::show_json(&trail, file, &mut out).ok();
    }
    let seen = read::records(&trail, &filter, None, None, |seen| {
        out.extend(read::record_line(seen.record, &look).into_bytes());
        out.push(b'\n');
        Ok::<(), ()>(())
    });
    assert_eq!(seen, Ok(()));
    let mut follow = Follow::new(&trail);
    follow.pass_over(&std::collections::HashMap::new());
    let _new = follow.next(&filter);
    let (problems, _) = trail.problems();
    for problem in problems {
        harmless(&problem.to_string());
    }
    lines(&out);
}

/// Nothing in these lines drives a terminal.
fn lines(out: &[u8]) {
    for line in std::str::from_utf8(out).unwrap().split('\n') {
        harmless(line);
    }
}
