//! Keys: one for a day, and what somebody can do who has today's.

use super::*;

#[test]
fn yesterday_cannot_be_signed_with_the_key_of_today() {
    let (directory, sessions) = lives();
    let first_key = fs::read_to_string(directory.0.join("keys/current")).unwrap();
    tamper::make_yesterdays(&directory.0);
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
    let (today, private) = tamper::signing_key(&held);
    let mutant = directory.copy();
    let mut lines = mutant.lines(&sessions[0]);
    lines[2] = String::from_utf8(lines[2].clone())
        .unwrap()
        .replace("\"pid\":2", "\"pid\":3")
        .into();
    mutant.rechain(&sessions[0], &lines, chain::START);
    tamper::resign(&mutant.0, &today, &private, str::to_owned);
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
    tamper::resign(&mutant.0, &yesterday, &private, str::to_owned);
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
