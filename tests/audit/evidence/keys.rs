//! Keys: one for a day, and what somebody can do who has today's.

use super::*;

#[test]
fn yesterday_cannot_be_signed_with_the_key_of_today() {
    let (directory, sessions) = lives();
    let first_key = fs::read_to_string(directory.0.join("keys/current")).unwrap();
    make_yesterdays(&directory);
    let server = Server::start(&directory);
    let facts = facts();
    opened(server.open(&facts), facts.sid);
    closed(server.close(facts.sid), facts.sid);
    server.stop();
    directory.must_be("two keys", 0, "");
    let records = directory.everything("ledger/000004.jsonl");
    let notes: Vec<Note> = records
        .iter()
        .filter_map(hassio_sshd::audit::note::of_record)
        .collect();
    let next = notes[0]
        .checkpoint()
        .unwrap()
        .next
        .expect("the next key is certified");
    assert_eq!(next.number, 2);
    assert!(notes[1].is_signed_by(&next) && !notes[0].is_signed_by(&next));
    assert!(
        directory
            .files()
            .iter()
            .all(|file| !file.ends_with("keys/next"))
    );
    let secret = first_key.lines().nth(3).unwrap();
    let held = fs::read_to_string(directory.0.join("keys/current")).unwrap();
    assert!(
        !held.contains(secret) && held.contains("/2+"),
        "the old key is gone"
    );

    // Who has today's key changes yesterday: the session, its anchors, and the checkpoint over them, signed anew.
    let (today, private) = signing_key(&held);
    let mutant = directory.copy();
    let mut lines = mutant.lines(&sessions[0]);
    lines[2] = String::from_utf8(lines[2].clone())
        .unwrap()
        .replace("\"pid\":2", "\"pid\":3")
        .into();
    mutant.rechain(&sessions[0], &lines, chain::START);
    resign(&mutant, &today, &private, str::to_owned);
    let records = mutant.everything(LEDGER);
    let at = records
        .iter()
        .position(|record| record["type"] == "checkpoint")
        .unwrap();
    mutant.must_be(
        "signed with today's key",
        12,
        &format!("signature {LEDGER} {at}"),
    );
    // And says that it is yesterday's.
    let mutant = directory.copy();
    mutant.rechain(&sessions[0], &lines, chain::START);
    let yesterday = Key::parse(first_key.lines().nth(2).unwrap()).unwrap();
    resign(&mutant, &yesterday, &private, str::to_owned);
    mutant.must_be(
        "in the name of yesterday's",
        12,
        &format!("signature {LEDGER} {at}"),
    );
    // Or begins the trail with the key that he has: then it is another trail.
    let mutant = directory.copy();
    fs::remove_file(mutant.0.join("keys/current")).unwrap();
    let server = Server::start(&mutant);
    server.stop();
    mutant.must_be("a key of nobody's", 12, "key ledger/000005.jsonl 0");
}

/// As if the key had been made the day before.
fn make_yesterdays(directory: &Directory) {
    let path = directory.0.join("keys/current");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1] = "2001-01-01";
    fs::write(path, format!("{}\n", lines.join("\n"))).unwrap();
}

pub(crate) fn signing_key(file: &str) -> (Key, ed25519_dalek::SigningKey) {
    let lines: Vec<&str> = file.lines().collect();
    let mut seed = [0; 32];
    for (at, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&lines[3][2 * at..2 * at + 2], 16).unwrap();
    }
    let private = ed25519_dalek::SigningKey::from_bytes(&seed);
    (Key::parse(lines[2]).unwrap(), private)
}

/// Chains the ledger anew, with the heads in it that the sessions' files have now, and signs its checkpoints with this key.
pub(crate) fn resign(
    directory: &Directory,
    key: &Key,
    private: &ed25519_dalek::SigningKey,
    change: impl Fn(&str) -> String,
) {
    let ledgers = |file: &String| file.starts_with("ledger/");
    let mut start = chain::START;
    for segment in directory.files().into_iter().filter(ledgers) {
        let mut lines: Vec<Vec<u8>> = Vec::new();
        for line in directory.lines(&segment) {
            let mut record: Value = serde_json::from_slice(&line).unwrap();
            let text = change(&String::from_utf8(line).unwrap());
            let text = match record["type"].as_str().unwrap() {
                "anchor" => {
                    let session = directory.everything(record["d"]["file"].as_str().unwrap());
                    let records =
                        usize::try_from(record["d"]["records"].as_u64().unwrap()).unwrap();
                    let head = session[records - 1]["hash"].as_str().unwrap();
                    text.replace(record["d"]["head"].as_str().unwrap(), head)
                }
                "checkpoint" => {
                    directory.rechain(&segment, &lines, start);
                    let note = hassio_sshd::audit::note::of_record(&record).unwrap();
                    let mut checkpoint = note.checkpoint().unwrap();
                    checkpoint.head = head(directory, &segment);
                    let old = record["d"]["note"].take().to_string();
                    let new = serde_json::json!(checkpoint.sign(key, private).lines()).to_string();
                    assert!(text.contains(&old));
                    text.replace(&old, &new)
                }
                _ => text,
            };
            lines.push(text.into_bytes());
        }
        directory.rechain(&segment, &lines, start);
        start = head(directory, &segment);
    }
}

/// The hash of a file's last record.
fn head(directory: &Directory, file: &str) -> Head {
    let last = directory.everything(file).pop().unwrap();
    chain::from_text(last["hash"].as_str().unwrap().as_bytes()).unwrap()
}
