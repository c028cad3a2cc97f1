//! What somebody does to a trail who wants to change the past, and what the verifiers find: ours, and that of the
//! documentation, which shares no code with it.

use hassio_sshd::audit::chain::{self, Head};
use hassio_sshd::audit::note::{Key, Note};

use super::*;

mod forged;
mod keys;

const LEDGER: &str = "ledger/000001.jsonl";

/// A trail of three lives of the server, with two sessions in each, and what left the machine: every checkpoint.
fn lives() -> (Directory, Vec<String>) {
    let directory = Directory::new();
    for _ in 0..3 {
        let server = Server::start(&directory);
        server.server_start();
        for _ in 0..2 {
            let facts = facts();
            let connection = server.connect(facts.cid, None);
            opened(server.open(&facts), facts.sid);
            for _ in 0..3 {
                tell(&connection, shell());
            }
            assert_eq!(tell_durably(&connection, shell()), AuditToPeer::Durable(7));
            closed(server.close(facts.sid), facts.sid);
        }
        server.stop();
    }
    let sessions = |file: &String| file.starts_with("sessions/");
    let sessions = directory.files().into_iter().filter(sessions).collect();
    (directory, sessions)
}

impl Directory {
    pub(super) fn lines(&self, file: &str) -> Vec<Vec<u8>> {
        tamper::lines(&self.0, file)
    }

    fn write(&self, file: &str, lines: &[Vec<u8>]) {
        tamper::write(&self.0, file, lines);
    }

    /// Numbers and chains lines anew, as somebody does who knows the format.
    pub(super) fn rechain(&self, file: &str, lines: &[Vec<u8>], start: Head) {
        tamper::rechain(&self.0, file, lines, start);
    }

    /// Asks both verifiers; they must agree.
    #[track_caller]
    pub(super) fn must_be(&self, what: &str, code: u8, at: &str) -> Value {
        tamper::must_be(&self.0, what, code, at, None)
    }

    #[track_caller]
    fn must_be_against(&self, what: &str, code: u8, at: &str, note: Option<&Note>) -> Value {
        tamper::must_be(&self.0, what, code, at, note)
    }
}

/// The last checkpoint of a ledger segment: its note, as it went to the log.
fn note(directory: &Directory, file: &str) -> Note {
    let records = directory.everything(file);
    let last = records
        .iter()
        .rfind(|record| record["type"] == "checkpoint");
    hassio_sshd::audit::note::of_record(last.unwrap()).unwrap()
}

fn seq_of(directory: &Directory, file: &str, kind: &str) -> usize {
    let records = directory.everything(file);
    records
        .iter()
        .rposition(|record| record["type"] == kind)
        .unwrap()
}

#[test]
fn the_ledger_attests_each_session_and_is_signed() {
    let (directory, sessions) = lives();
    let ledger = directory.everything(LEDGER);
    let types: Vec<&str> = ledger
        .iter()
        .map(|record| record["type"].as_str().unwrap())
        .collect();
    assert_eq!((types[0], types[1]), ("segment.open", "server.start"));
    assert_eq!(types[types.len() - 2..], ["segment.seal", "checkpoint"]);
    assert_eq!(
        (&ledger[0]["d"]["number"], &ledger[0]["d"]["records"]),
        (&1.into(), &0.into())
    );
    let key = Key::parse(ledger[0]["d"]["key"].as_str().unwrap()).unwrap();
    assert!(key.is_sound());
    for file in &sessions[..2] {
        let last = directory.everything(file).pop().unwrap();
        let its =
            |record: &&Value| record["type"] == "anchor" && record["d"]["file"] == file.as_str();
        let anchors: Vec<&Value> = ledger.iter().filter(its).collect();
        let end = anchors.last().unwrap();
        assert_eq!(
            (&end["d"]["last"], &end["d"]["records"]),
            (&true.into(), &6.into())
        );
        assert_eq!(
            (&end["d"]["head"], &end["sid"]),
            (&last["hash"], &last["sid"])
        );
    }
    let signed = note(&directory, LEDGER);
    assert!(signed.is_signed_by(&key));
    let checkpoint = signed.checkpoint().unwrap();
    assert_eq!(checkpoint.records, u64::try_from(ledger.len() - 1).unwrap());
    assert_eq!(
        chain::text(&checkpoint.head),
        ledger.last().unwrap()["prev"].as_str().unwrap()
    );
    let second = directory.everything("ledger/000002.jsonl");
    assert_eq!(second[0]["d"]["records"], ledger.len());
    assert_eq!(
        second[0]["d"]["key"], ledger[0]["d"]["key"],
        "the same day, the same key"
    );
    let report = directory.must_be("as it was written", 0, "");
    assert_eq!(
        (&report["integrity"], &report["completeness"]),
        (&"intact".into(), &"complete".into())
    );
    assert_eq!(
        (&report["unsigned"], &report["trail"]),
        (&0.into(), &key.trail.to_string().into())
    );
    // At least at the end of each session that did not end together with another, and of each life.
    assert!(report["checkpoints"].as_u64().unwrap() >= 6, "{report}");
}

#[test]
fn every_change_of_bytes_and_lines_is_found_and_named() {
    let (directory, sessions) = lives();
    for file in [LEDGER, "ledger/000003.jsonl", &sessions[0], &sessions[5]] {
        let good = directory.lines(file);
        let mutant = directory.copy();
        // One bit at every 13th byte.
        let bytes = good.join(&b'\n');
        for at in (0..bytes.len()).step_by(13) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            fs::write(mutant.0.join(file), [bytes.as_slice(), b"\n"].concat()).unwrap();
            tamper::judged(&mutant.0, &format!("{file}, byte {at}"), 10, None);
        }
        for at in 0..good.len() - 1 {
            let mut without = good.clone();
            without.remove(at);
            let mut doubled = good.clone();
            doubled.insert(at, good[at].clone());
            let mut swapped = good.clone();
            swapped.swap(at, at + 1);
            let place = |what: &str, seq: usize| format!("{what} {file} {seq}");
            for (what, lines, found) in [
                ("dropped", without, place("seq", at)),
                ("inserted", doubled, place("seq", at + 1)),
                ("swapped", swapped, place("seq", at)),
            ] {
                mutant.write(file, &lines);
                let report = tamper::judged(&mutant.0, &format!("line {at} {what}"), 10, None);
                assert_eq!(tamper::places(&report)[0], found, "{what}");
            }
        }
    }
}

#[test]
fn both_verifiers_name_what_was_done() {
    let (directory, sessions) = lives();
    let outside = note(&directory, "ledger/000003.jsonl");
    let (first, last) = (&sessions[0], &sessions[5]);
    let attack = |what: &str, code: u8, at: &str, change: &dyn Fn(&Directory)| {
        let mutant = directory.copy();
        change(&mutant);
        mutant.must_be(what, code, at)
    };
    attack("an edit", 10, &format!("hash {first} 2"), &|mutant| {
        let mut lines = mutant.lines(first);
        let text = String::from_utf8(lines[2].clone()).unwrap();
        lines[2] = text.replace("\"pid\":2", "\"pid\":3").into_bytes();
        mutant.write(first, &lines);
    });
    attack(
        "an edit that is chained anew",
        10,
        &format!("anchor {first} 5"),
        &|mutant| {
            let mut lines = mutant.lines(first);
            let text = String::from_utf8(lines[2].clone()).unwrap();
            lines[2] = text.replace("\"pid\":2", "\"pid\":3").into_bytes();
            mutant.rechain(first, &lines, chain::START);
        },
    );
    attack(
        "a record taken out, chained anew",
        11,
        &format!("cut {first} 5"),
        &|mutant| {
            let mut lines = mutant.lines(first);
            lines.remove(2);
            mutant.rechain(first, &lines, chain::START);
        },
    );
    attack(
        "a record put in, chained anew",
        10,
        &format!("after-end {first} 6"),
        &|mutant| {
            let mut lines = mutant.lines(first);
            lines.insert(2, lines[2].clone());
            mutant.rechain(first, &lines, chain::START);
        },
    );
    attack("an end cut off", 11, &format!("cut {last} 4"), &|mutant| {
        mutant.write(last, &mutant.lines(last)[..4]);
    });
    attack(
        "an end cut off in a record",
        11,
        &format!("cut {last} 5"),
        &|mutant| {
            let bytes = fs::read(mutant.0.join(last)).unwrap();
            fs::write(mutant.0.join(last), &bytes[..bytes.len() - 9]).unwrap();
        },
    );
    attack(
        "a file taken away",
        11,
        &format!("missing {first}"),
        &|mutant| {
            fs::remove_file(mutant.0.join(first)).unwrap();
        },
    );
    attack(
        "a file put in",
        11,
        &format!("unknown {}", first.replace(".jsonl", "x.jsonl")),
        &|mutant| {
            // Chained well: only the ledger does not know it.
            let id = first.replace(".jsonl", "x.jsonl");
            mutant.rechain(&id, &mutant.lines(first), chain::START);
        },
    );
    attack(
        "a file in the place of another",
        10,
        &format!("hash {last} 0"),
        &|mutant| {
            fs::copy(mutant.0.join(first), mutant.0.join(last)).unwrap();
        },
    );
    attack(
        "a segment taken away",
        11,
        "missing ledger/000002.jsonl",
        &|mutant| {
            fs::remove_file(mutant.0.join("ledger/000002.jsonl")).unwrap();
        },
    );
    attack(
        "the last segment taken away",
        11,
        "missing ledger/000003.jsonl",
        &|mutant| {
            fs::remove_file(mutant.0.join("ledger/000003.jsonl")).unwrap();
        },
    );
    attack(
        "and its mark as well",
        11,
        &format!("unknown {last}"),
        &|mutant| {
            fs::remove_file(mutant.0.join("ledger/000003.jsonl")).unwrap();
            fs::remove_file(mutant.0.join("open/ledger")).unwrap();
        },
    );
    let end = seq_of(&directory, "ledger/000003.jsonl", "anchor");
    attack(
        "the ledger's end cut off",
        11,
        &format!("cut ledger/000003.jsonl {end}"),
        &|mutant| {
            mutant.write(
                "ledger/000003.jsonl",
                &mutant.lines("ledger/000003.jsonl")[..end],
            );
        },
    );
    let at = seq_of(&directory, LEDGER, "segment.seal");
    attack(
        "the ledger chained anew",
        10,
        &format!("checkpoint {LEDGER} {}", at + 1),
        &|mutant| {
            let mut lines = mutant.lines(LEDGER);
            let text = String::from_utf8(lines[at].clone()).unwrap();
            lines[at] = text.replace("\"ok\":null", "\"ok\":true").into_bytes();
            mutant.rechain(LEDGER, &lines, chain::START);
        },
    );
    attack("nothing", 0, "", &|_| {});
    // Sessions alone: another one's fault is not this one's.
    let mutant = directory.copy();
    fs::remove_file(mutant.0.join(first)).unwrap();
    let sid = last
        .rsplit('/')
        .next()
        .unwrap()
        .strip_suffix(".jsonl")
        .unwrap();
    let wanted = |sid: &str| verify::Wanted {
        session: Some(sid.parse().unwrap()),
        against: None,
    };
    assert_eq!(verify::directory(&mutant.0, &wanted(sid)).exit_code(), 0);
    let sid = first
        .rsplit('/')
        .next()
        .unwrap()
        .strip_suffix(".jsonl")
        .unwrap();
    assert_eq!(verify::directory(&mutant.0, &wanted(sid)).exit_code(), 11);
    // What left the machine is what shows that all of it was taken back.
    directory.must_be_against("against its last checkpoint", 0, "", Some(&outside));
    directory.must_be_against(
        "against an earlier one",
        0,
        "",
        Some(&note(&directory, LEDGER)),
    );
    let (stranger, _) = lives();
    stranger.must_be_against(
        "against another trail's",
        12,
        "signature the note given",
        Some(&outside),
    );
    // A note that nobody signed.
    let text = outside.to_string();
    let records = outside.checkpoint().unwrap().records;
    let fewer = format!("\n{}\n", records - 1);
    let forged = Note::parse(&text.replacen(&format!("\n{records}\n"), &fewer, 1)).unwrap();
    directory.must_be_against(
        "a forged note",
        12,
        "signature the note given",
        Some(&forged),
    );
}

#[test]
fn a_whole_trail_taken_back_shows_against_what_left_the_machine() {
    let (directory, _) = lives();
    let old = directory.copy();
    let server = Server::start(&directory);
    let facts = facts();
    opened(server.open(&facts), facts.sid);
    closed(server.close(facts.sid), facts.sid);
    server.stop();
    let outside = note(&directory, "ledger/000004.jsonl");
    directory.must_be_against("all of it", 0, "", Some(&outside));
    // Keys, marks and all.
    directory.restore(&old);
    directory.must_be("an older copy, by itself", 0, "");
    let total: usize = (1..=3)
        .map(|n| directory.lines(&format!("ledger/00000{n}.jsonl")).len())
        .sum();
    directory.must_be_against(
        "an older copy",
        11,
        &format!("cut ledger {total}"),
        Some(&outside),
    );
    // And gone on with, until it is as long as it was: the server itself signs that, but not what had left.
    for _ in 0..2 {
        let server = Server::start(&directory);
        let facts = crate::facts();
        opened(server.open(&facts), facts.sid);
        closed(server.close(facts.sid), facts.sid);
        server.stop();
    }
    let at = outside.checkpoint().unwrap().records;
    let place = format!("checkpoint the note given {at}");
    directory.must_be_against("gone on with", 10, &place, Some(&outside));
}
