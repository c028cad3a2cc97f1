//! What is done afterwards to the trail of a real server, and what both verifiers find.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use hassio_sshd::audit::note::Note;
use hassio_sshd::audit::verify;

use crate::harness::{Server, Setup, eventually, feed, finish, make_key};
use crate::tamper;

mod places;
mod signed;

/// Two lives of a server with sessions of many kinds in them, the second with a new key, and what left the machine.
struct Evidence {
    server: Server,
    /// A copy of the trail that may be changed.
    mutant: PathBuf,
    /// The trail after the first life.
    old: PathBuf,
    /// The key of the first life, as it lay there.
    first_key: String,
    /// The last checkpoint of each life, from the log.
    notes: Vec<Note>,
}

fn last_note(server: &Server) -> Note {
    let log = server.log();
    let signed = log
        .lines()
        .rfind(|line| line.contains("the audit trail is signed"));
    Note::find(signed.unwrap()).unwrap()
}

fn live(server: &mut Server) -> Note {
    server.run("hassio info >/dev/null; hassio os datadisk wipe; echo out; printf '\\xff'; exit 7");
    server.type_in("echo typed; exit\n").good();
    let mut sftp = server.client("sftp");
    sftp.args(server.ssh_options())
        .args(["-q", "-b", "-", "root@127.0.0.1"]);
    feed(sftp, b"put key.pub /config/f\nrm /config/f\n").good();
    make_key(&server.dir.join("client/wrong"), "ed25519", &[]);
    let options = server.ssh_options();
    let mut wrong = server.client("ssh");
    wrong
        .args(["-F", "none", "-i"])
        .arg(server.dir.join("client/wrong"))
        .args(&options[4..]);
    assert_eq!(
        finish({
            wrong.args(["root@127.0.0.1", "true"]);
            wrong
        })
        .code(),
        255
    );
    eventually("all is sealed", || {
        let unsealed = fs::read_dir(server.dir.join("data/audit/recordings/unsealed")).ok()?;
        (unsealed.count() == 0).then_some(())
    });
    assert!(server.stop().success());
    fs::remove_file(server.dir.join("client/wrong")).unwrap();
    last_note(server)
}

impl Evidence {
    fn new() -> Self {
        let setup = || Setup {
            supervisor: true,
            ..Setup::default()
        };
        let mut server = Server::with(setup());
        let first = live(&mut server);
        let trail = server.dir.join("data/audit");
        let old = server.dir.join("old");
        tamper::copy(&trail, &old);
        let first_key = fs::read_to_string(trail.join("keys/current")).unwrap();
        tamper::make_yesterdays(&trail);
        let dir = server.into_dir();
        let mut server = Server::at(dir, setup());
        let second = live(&mut server);
        let mutant = server.dir.join("mutant");
        tamper::copy(&server.dir.join("data/audit"), &mutant);
        Self {
            server,
            mutant,
            old,
            first_key,
            notes: vec![first, second],
        }
    }

    fn trail(&self) -> PathBuf {
        self.server.dir.join("data/audit")
    }

    /// A fresh copy to change.
    fn mutant(&self) -> &Path {
        tamper::copy(&self.trail(), &self.mutant);
        &self.mutant
    }

    fn of(&self, folder: &str) -> Vec<String> {
        let its = |file: &String| file.starts_with(folder);
        tamper::files(&self.trail())
            .into_iter()
            .filter(its)
            .collect()
    }
}

/// What is done to a byte, and what is in its place then.
type Change = (&'static str, fn(u8) -> Vec<u8>);

const CHANGES: [Change; 4] = [
    ("one bit is turned", |byte| vec![byte ^ 1]),
    ("it is the next letter", |byte| vec![byte.wrapping_add(1)]),
    ("it is taken out", |_| vec![]),
    ("it is doubled", |byte| vec![byte, byte]),
];

#[test]
fn each_kind_of_place_in_a_real_trail_is_guarded() {
    let evidence = Evidence::new();
    let root = evidence.mutant();
    tamper::must_be(root, "as it was written", 0, "", None);
    let ledgers = evidence.of("ledger/");
    let (mut cases, mut seen) = (0, BTreeMap::<String, ()>::new());
    for file in ledgers.iter().chain(&evidence.of("sessions/")) {
        let lines = tamper::lines(root, file);
        let whole = fs::read(root.join(file)).unwrap();
        let starts: Vec<usize> = lines
            .iter()
            .scan(0, |at, line| {
                Some(std::mem::replace(at, *at + line.len() + 1))
            })
            .collect();
        // What follows a segment tells of its end as well.
        let is_followed = file.starts_with("ledger/") && Some(file) != ledgers.last();
        for (kind, (line, at)) in places::of_lines(&lines) {
            let folder = file.split('/').next().unwrap();
            if seen
                .insert(format!("{folder} {is_followed} {kind}"), ())
                .is_some()
            {
                continue;
            }
            let byte = whole[starts[line] + at];
            for (change, changed) in CHANGES {
                // Members of `d` are hashed as all others are: for them one change shows it.
                let in_envelope = ["first ", "inner ", "last "]
                    .iter()
                    .any(|place| kind.starts_with(place));
                if !in_envelope && change != CHANGES[0].0 {
                    continue;
                }
                let mut bytes = whole.clone();
                bytes.splice(starts[line] + at..=starts[line] + at, changed(byte));
                fs::write(root.join(file), &bytes).unwrap();
                let what = format!("{file}, line {line}: {kind}: {change}");
                let lost_end = kind == "last newline" && change != "it is doubled";
                if lost_end && !is_followed {
                    tamper::must_be(root, &what, 11, &format!("cut {file} {line}"), None);
                } else if lost_end {
                    tamper::judged(root, &what, 10, None);
                } else {
                    let report = tamper::judged(root, &what, 10, None);
                    let next = usize::from(kind.ends_with("newline") && change == "it is doubled");
                    let there = format!("{file} {}", line + next);
                    let places = tamper::places(&report);
                    let found = places.iter().any(|place| place.ends_with(&there));
                    assert!(found, "{what}: {places:#?}");
                }
                cases += 1;
            }
        }
        fs::write(root.join(file), whole).unwrap();
    }
    println!("{cases} changes of {} kinds of places", seen.len());
    assert!(cases > 1000, "{cases}");
    tamper::must_be(root, "put back", 0, "", None);
}

#[test]
fn lines_and_files_that_are_dropped_doubled_exchanged_or_cut_are_found() {
    let evidence = Evidence::new();
    let root = evidence.mutant();
    let (ledgers, sessions) = (evidence.of("ledger/"), evidence.of("sessions/"));
    let recordings: Vec<String> = evidence.of("recordings/");
    for (file, others) in ledgers
        .iter()
        .map(|file| (file, &ledgers))
        .chain(sessions.iter().map(|file| (file, &sessions)))
    {
        let whole = fs::read(root.join(file)).unwrap();
        let good = tamper::lines(root, file);
        let is_followed = file.starts_with("ledger/") && Some(file) != ledgers.last();
        // What follows a segment contradicts its end; else it is what the ledger or the mark know of it.
        let cut = if is_followed { 10 } else { 11 };
        for at in 0..good.len() {
            let what = |what: &str| format!("{file}, line {at}: {what}");
            tamper::write(root, file, &good[..at]);
            tamper::judged(root, &what("and all after it cut off"), cut, None);
            let mut torn = fs::read(root.join(file)).unwrap();
            torn.extend(&good[at][..good[at].len() / 2]);
            fs::write(root.join(file), torn).unwrap();
            tamper::judged(root, &what("cut in the middle"), cut, None);
            if at + 1 == good.len() {
                continue;
            }
            let (mut without, mut doubled, mut swapped) =
                (good.clone(), good.clone(), good.clone());
            without.remove(at);
            doubled.insert(at, good[at].clone());
            swapped.swap(at, at + 1);
            for (name, lines, found) in [
                ("dropped", without, format!("seq {file} {at}")),
                ("doubled", doubled, format!("seq {file} {}", at + 1)),
                ("swapped", swapped, format!("seq {file} {at}")),
            ] {
                tamper::write(root, file, &lines);
                tamper::must_be(root, &what(name), 10, &found, None);
            }
        }
        for other in others.iter().filter(|other| *other != file) {
            fs::copy(evidence.trail().join(other), root.join(file)).unwrap();
            tamper::judged(root, &format!("{other} in the place of {file}"), 10, None);
        }
        fs::remove_file(root.join(file)).unwrap();
        tamper::must_be(
            root,
            &format!("without {file}"),
            11,
            &format!("missing {file}"),
            None,
        );
        fs::write(root.join(file), &whole).unwrap();
        let stranger = file.replace(".jsonl", ".txt");
        fs::write(root.join(&stranger), &whole).unwrap();
        tamper::must_be(root, &stranger, 1, &format!("stranger {stranger}"), None);
        fs::remove_file(root.join(stranger)).unwrap();
    }
    for file in &recordings {
        let id = file.strip_suffix(".zst").unwrap();
        for other in recordings.iter().filter(|other| *other != file) {
            fs::copy(evidence.trail().join(other), root.join(file)).unwrap();
            tamper::must_be(
                root,
                &format!("{other} in the place of {file}"),
                10,
                &format!("recording {id}"),
                None,
            );
        }
        fs::remove_file(root.join(file)).unwrap();
        tamper::must_be(
            root,
            &format!("without {file}"),
            11,
            &format!("missing {id}"),
            None,
        );
        fs::copy(evidence.trail().join(file), root.join(file)).unwrap();
    }
    tamper::must_be(root, "put back", 0, "", None);
}

#[test]
fn no_byte_of_a_recording_can_be_changed() {
    let evidence = Evidence::new();
    let root = evidence.mutant();
    // One of a command, one of a terminal.
    for file in evidence.of("recordings/").into_iter().take(2) {
        let id = file.strip_suffix(".zst").unwrap();
        let there = format!("recording {id}");
        let (sealed, plain) = (root.join(&file), root.join(id));
        let whole = fs::read(&sealed).unwrap();
        let content = zstd::decode_all(&whole[..]).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&sealed, &bytes).unwrap();
            let what = format!("{file}, byte {at} of {}", whole.len());
            // Some bits of the compressed form mean nothing, to one version of zstd or to all: where what comes out is the
            // same, nothing was changed of what is on record. The table is another matter.
            let in_table = at >= whole.len() - TABLE_BYTES;
            let is_same = |now: Option<Vec<u8>>| now.is_some_and(|now| now == content) && !in_table;
            let code = |same: bool| if same { 0 } else { 10 };
            let ours = code(is_same(zstd::decode_all(&bytes[..]).ok()));
            let mut program = std::process::Command::new("zstd");
            let decoded = feed_bytes(program.args(["-dcq"]), &bytes);
            let report = verify::directory(root, &verify::Wanted::default());
            assert_eq!(report.exit_code(), ours, "{what}: {}", report.to_text());
            if let Some((second, said)) = tamper::documented(root, None) {
                assert_eq!(second, code(is_same(decoded)), "{what}: {said}");
            }
        }
        for length in [
            0,
            1,
            whole.len() / 2,
            whole.len() - TABLE_BYTES,
            whole.len() - 1,
        ] {
            fs::write(&sealed, &whole[..length]).unwrap();
            tamper::must_be(root, &format!("{file}, cut to {length}"), 10, &there, None);
        }
        for more in [whole.as_slice(), b"x"] {
            fs::write(&sealed, [&whole, more].concat()).unwrap();
            tamper::must_be(root, &format!("{file}, and more"), 10, &there, None);
        }
        fs::remove_file(&sealed).unwrap();
        fs::write(&plain, &content).unwrap();
        tamper::must_be(root, &format!("{id}, as it was"), 0, "", None);
        for at in 0..content.len() {
            let mut bytes = content.clone();
            bytes[at] ^= 1;
            fs::write(&plain, &bytes).unwrap();
            tamper::must_be(root, &format!("{id}, byte {at}"), 10, &there, None);
        }
        let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
        for at in 0..lines.len() {
            let mut without = lines.clone();
            without.remove(at);
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at]);
            let half = &lines[at][..lines[at].len() / 2];
            for bytes in [
                lines[..at].concat(),
                [&lines[..at].concat(), half].concat(),
                without.concat(),
                doubled.concat(),
            ] {
                fs::write(&plain, &bytes).unwrap();
                tamper::must_be(root, &format!("{id}, line {at}"), 10, &there, None);
            }
        }
        for more in [&b"x"[..], b"\n", b"[0.1, \"o\", \"more\"]\n"] {
            fs::write(&plain, [&content, more].concat()).unwrap();
            tamper::must_be(root, &format!("{id}, and more"), 10, &there, None);
        }
        fs::remove_file(&plain).unwrap();
        fs::write(&sealed, &whole).unwrap();
    }
    tamper::must_be(root, "put back", 0, "", None);
}

/// What a program makes of this; nothing if it fails.
fn feed_bytes(command: &mut std::process::Command, bytes: &[u8]) -> Option<Vec<u8>> {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // It may end before it has read all of it.
    child.stdin.take().unwrap().write_all(bytes).ok();
    let done = child.wait_with_output().unwrap();
    done.status.success().then_some(done.stdout)
}

/// Of a recording of one frame: a header of eight bytes, two numbers for the frame, and nine bytes more.
const TABLE_BYTES: usize = 8 + 8 + 9;
