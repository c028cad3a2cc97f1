//! What is signed, what has left the machine, and what is no evidence.

use hassio_sshd::audit::chain;
use hassio_sshd::audit::note::Key;
use serde_json::json;

use super::*;
use crate::harness::{Done, app};

#[test]
fn what_is_signed_cannot_be_changed_and_what_left_the_machine_shows_the_rest() {
    let evidence = Evidence::new();
    let root = evidence.mutant();
    let ledgers = evidence.of("ledger/");
    let sessions = evidence.of("sessions/");
    let last = ledgers.last().unwrap();
    // Each line of the note that ends the trail, in a record that is chained anew.
    let lines = tamper::lines(root, last);
    let seq = lines.len() - 1;
    let note = tamper::records(root, last).pop().unwrap()["d"]["note"].clone();
    let note: Vec<&str> = note
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    let start = tamper::head(root, &ledgers[0]);
    for at in 0..note.len() {
        for place in [
            0,
            note[at].len() / 2,
            note[at].len().saturating_sub(2),
            note[at].len().saturating_sub(1),
        ] {
            let mut changed: Vec<String> = note.iter().map(|line| (*line).to_owned()).collect();
            let Some((before, byte)) = note[at].get(..place).zip(note[at].as_bytes().get(place))
            else {
                continue;
            };
            if !byte.is_ascii() {
                continue;
            }
            let next = char::from(byte + 1);
            changed[at] = format!("{before}{next}{}", &note[at][place + 1..]);
            let text = String::from_utf8(lines[seq].clone()).unwrap();
            let text = text.replace(&json!(note).to_string(), &json!(changed).to_string());
            let mut all = lines.clone();
            all[seq] = text.into_bytes();
            tamper::rechain(root, last, &all, start);
            let what = format!("line {at} of the note, {next} at {place}");
            tamper::must_be(root, &what, 12, &format!("signature {last} {seq}"), None);
        }
        let mut fewer = note.clone();
        fewer.remove(at);
        let text = String::from_utf8(lines[seq].clone()).unwrap();
        let mut all = lines.clone();
        all[seq] = text
            .replace(&json!(note).to_string(), &json!(fewer).to_string())
            .into_bytes();
        tamper::rechain(root, last, &all, start);
        tamper::must_be(
            root,
            &format!("without line {at} of the note"),
            12,
            &format!("signature {last} {seq}"),
            None,
        );
    }

    // An edit of the first life, signed with the key of the second, in its own name and in that of the first.
    let (first, second) = (&evidence.notes[0], &evidence.notes[1]);
    let held = fs::read_to_string(evidence.trail().join("keys/current")).unwrap();
    let (today, private) = tamper::signing_key(&held);
    let yesterday = Key::parse(evidence.first_key.lines().nth(2).unwrap()).unwrap();
    assert_eq!((yesterday.number, today.number), (1, 2));
    let of_life = |number: u64| {
        let its = |file: &&String| {
            let boot = tamper::records(&evidence.trail(), file)[0]["boot"].to_string();
            boot.ends_with(&format!("-{number}\""))
        };
        sessions
            .iter()
            .filter(its)
            .cloned()
            .collect::<Vec<String>>()
    };
    let edit = |root: &Path, file: &str| {
        let mut lines = tamper::lines(root, file);
        let text = String::from_utf8(lines[1].clone()).unwrap();
        assert!(text.contains("\"kind\":\"session\""), "{text}");
        lines[1] = text
            .replace("\"kind\":\"session\"", "\"kind\":\"another\"")
            .into_bytes();
        tamper::rechain(root, file, &lines, chain::START);
    };
    for key in [&today, &yesterday] {
        let root = evidence.mutant();
        edit(root, &of_life(1)[0]);
        tamper::judged(root, "an edit, chained anew", 10, None);
        tamper::resign(root, key, &private, str::to_owned);
        tamper::judged(root, "signed with a newer key", 12, None);
    }
    // Of the second life that is not found: but against what has left the machine.
    let root = evidence.mutant();
    edit(root, of_life(2).last().unwrap());
    tamper::judged(root, "an edit of today, chained anew", 10, None);
    tamper::resign(root, &today, &private, str::to_owned);
    tamper::judged(root, "signed with the key of the day", 0, None);
    let records = second.checkpoint().unwrap().records;
    let there = format!("checkpoint the note given {records}");
    tamper::must_be(
        root,
        "against the last checkpoint",
        10,
        &there,
        Some(second),
    );
    tamper::must_be(root, "against one before", 0, "", Some(first));

    // The whole folder, and parts of it, as they were.
    let trail = evidence.trail();
    tamper::must_be(&trail, "all of it", 0, "", Some(second));
    tamper::must_be(&evidence.old, "an older copy, by itself", 0, "", None);
    tamper::must_be(&evidence.old, "against its own time", 0, "", Some(first));
    let total = tamper::lines(&evidence.old, &ledgers[0]).len();
    tamper::must_be(
        &evidence.old,
        "an older copy",
        11,
        &format!("cut ledger {total}"),
        Some(second),
    );
    for (folder, code) in [
        ("ledger", 11),
        ("sessions", 11),
        ("recordings", 11),
        ("open", 0),
        ("keys", 0),
    ] {
        let root = evidence.mutant();
        fs::remove_dir_all(root.join(folder)).unwrap();
        tamper::copy(&evidence.old.join(folder), &root.join(folder));
        tamper::judged(root, &format!("an older {folder}"), code, None);
    }
    tamper::must_be(
        evidence.mutant(),
        "against another trail's",
        12,
        "signature the note given",
        Some(&Evidence::new().notes[0]),
    );
}

/// Our program, which reads the note by itself.
fn against(data: &Path, note: &Path) -> Done {
    let mut command = std::process::Command::new(app().join("hassio-sshd"));
    command
        .args(["audit", "verify", "--data-dir"])
        .arg(data)
        .arg("--against")
        .arg(note);
    finish(command)
}

#[test]
fn a_note_that_was_changed_is_refused_by_both() {
    let evidence = Evidence::new();
    let (data, file) = (
        evidence.server.dir.join("data"),
        evidence.server.dir.join("note"),
    );
    let note = evidence.notes[1].to_string();
    for (place, c) in note.char_indices() {
        if place % 7 != 0 && c.is_ascii_alphanumeric() {
            continue;
        }
        let next = char::from_u32(u32::from(c) + 1).unwrap();
        for changed in [next.to_string(), String::new()] {
            let text = format!(
                "{}{changed}{}",
                &note[..place],
                &note[place + c.len_utf8()..]
            );
            fs::write(&file, text).unwrap();
            let ours = against(&data, &file);
            let is_last = place + 1 == note.len();
            // Its last end of line may be missing: editors and mail do that.
            let fine = is_last && changed.is_empty();
            assert!(
                if fine {
                    ours.code() == 0
                } else {
                    [2, 12].contains(&ours.code())
                },
                "{place} {c:?}: {ours:?}"
            );
            if let Some((code, said)) = tamper::documented_against(&data.join("audit"), Some(&file))
            {
                assert_eq!(
                    i32::from(code),
                    ours.code(),
                    "{place} {c:?} {changed:?}: {said} {ours:?}"
                );
            }
        }
    }
}

#[test]
fn a_mark_that_was_changed_is_read_alike_by_both() {
    let evidence = Evidence::new();
    let root = evidence.mutant();
    let path = root.join("open/ledger");
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for (change, changed) in CHANGES {
            let mut bytes = whole.clone();
            bytes.splice(at..=at, changed(whole[at]));
            fs::write(&path, &bytes).unwrap();
            // It is no evidence: what it says of more than is there is missing, all else it only says of itself.
            let what = format!("the mark, byte {at}: {change}");
            let code = verify::directory(root, &verify::Wanted::default()).exit_code();
            assert!([0, 11].contains(&code), "{what}: {code}");
            tamper::judged(root, &what, code, None);
        }
    }
}
