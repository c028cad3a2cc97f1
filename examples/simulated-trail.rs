//! Writes an audit trail as a server leaves it after a long time: chained, anchored, signed. For tests and benchmarks.
//!
//! `simulated-trail DATA_DIR SESSIONS RECORDS_PER_SESSION`: the sessions are spread over the year before now. What is
//! in them depends on nothing but these numbers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "it is run by whoever develops; nobody sends it anything"
)]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use hassio_sshd::audit::chain::{self, Head};
use hassio_sshd::audit::note::{Checkpoint, Key};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [data_dir, sessions, records] = words.as_slice() else {
        panic!("usage: simulated-trail DATA_DIR SESSIONS RECORDS_PER_SESSION");
    };
    let (sessions, records): (u64, u64) = (sessions.parse().unwrap(), records.parse().unwrap());
    let root = PathBuf::from(data_dir).join("audit");
    fs::create_dir_all(&root).unwrap();
    let mut ledger = Ledger::new(&root);
    let now = Timestamp::now();
    let begin = now.checked_sub((365 * 24).hours()).unwrap();
    let apart = 365 * 24 * 3600 * 1000 / sessions.max(1);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for n in 0..sessions {
        let at = begin + i64::try_from(n * apart).unwrap().milliseconds();
        session(&root, &mut ledger, at, n, records, &mut dice);
    }
    ledger.finish();
}

/// xorshift64: the same numbers each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len() as u64) as usize]
    }

    fn hex(&mut self, digits: usize) -> String {
        (0..digits)
            .map(|_| format!("{:x}", self.roll(16)))
            .collect()
    }

    /// A UUIDv7 (RFC 9562 §5.7).
    fn id(&mut self, at: Timestamp) -> String {
        let time = format!("{:012x}", at.as_millisecond());
        let rest = self.hex(18);
        format!(
            "{}-{}-7{}-8{}-{}",
            &time[..8],
            &time[8..],
            &rest[..3],
            &rest[3..6],
            &rest[6..]
        )
    }
}

/// One file of the trail.
struct Chained {
    file: BufWriter<File>,
    id: String,
    head: Head,
    records: u64,
}

impl Chained {
    fn new(root: &Path, id: String, follows: Head) -> Self {
        let path = root.join(&id);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = BufWriter::new(File::create_new(path).unwrap());
        Self {
            file,
            id,
            head: follows,
            records: 0,
        }
    }

    fn write(&mut self, at: Timestamp, kind: &str, who: &str, ok: Value, d: &Value) {
        let mono = at.as_microsecond() * 1000;
        let body = format!(
            "{{\"v\":1,\"seq\":{},\"ts\":\"{at:.6}\",\"mono\":\"{mono}\",\"boot\":\"0123abcd-1\",\"type\":\"{kind}\"{who},\"ok\":{ok},\"d\":{d}",
            self.records
        );
        let (line, head) = chain::seal(&self.id, &self.head, body.into_bytes());
        self.file.write_all(&line).unwrap();
        self.head = head;
        self.records += 1;
    }
}

/// The ledger in segments of some ten thousand records.
struct Ledger {
    root: PathBuf,
    segment: Chained,
    number: u64,
    before: u64,
    last: Timestamp,
    key: Key,
    private: SigningKey,
}

impl Ledger {
    fn new(root: &Path) -> Self {
        let private = SigningKey::from_bytes(&[7; 32]);
        let key = Key::first(private.verifying_key());
        let segment = Chained::new(root, "ledger/000001.jsonl".to_owned(), chain::START);
        let mut ledger = Self {
            root: root.to_owned(),
            segment,
            number: 1,
            before: 0,
            last: Timestamp::now().checked_sub((365 * 24).hours()).unwrap(),
            key,
            private,
        };
        ledger.open();
        ledger
    }

    fn open(&mut self) {
        let (number, records) = (self.number, self.before);
        let key = self.key.to_string();
        let d = json!({"number": number, "records": records, "key": key});
        self.segment
            .write(self.last, "segment.open", "", Value::Null, &d);
    }

    fn write(&mut self, at: Timestamp, kind: &str, who: &str, ok: Value, d: &Value) {
        self.last = at;
        self.segment.write(at, kind, who, ok, d);
    }

    fn checkpoint(&mut self) {
        let checkpoint = Checkpoint {
            trail: self.key.trail.clone(),
            records: self.before + self.segment.records,
            head: self.segment.head,
            next: None,
        };
        let note = checkpoint.sign(&self.key, &self.private);
        let d = json!({"note": note.lines()});
        self.segment
            .write(self.last, "checkpoint", "", Value::Null, &d);
    }

    fn rotate(&mut self) {
        if self.segment.records < 20_000 {
            return;
        }
        let records = self.before + self.segment.records;
        self.segment.write(
            self.last,
            "segment.seal",
            "",
            Value::Null,
            &json!({"records": records}),
        );
        self.checkpoint();
        self.before += self.segment.records;
        self.number += 1;
        let id = format!("ledger/{:06}.jsonl", self.number);
        self.segment = Chained::new(&self.root, id, self.segment.head);
        self.open();
    }

    fn finish(mut self) {
        self.checkpoint();
        self.segment.file.flush().unwrap();
    }
}

fn session(root: &Path, ledger: &mut Ledger, at: Timestamp, n: u64, records: u64, dice: &mut Dice) {
    let (cid, sid) = (dice.id(at), dice.id(at));
    let (ip, port) = (
        format!("192.0.2.{}", 1 + dice.roll(200)),
        1024 + dice.roll(60_000),
    );
    let people = ["anna@desk", "ben@laptop", "backup@nas", "ci@runner"];
    let person = dice.roll(4) as usize;
    let fingerprint = format!("SHA256:{:043}", person + 1);
    let key = format!("{fingerprint} {}", people[person]);
    let src = format!(",\"src\":{{\"ip\":\"{ip}\",\"port\":{port}}}");
    let outside = format!(",\"cid\":\"{cid}\"{src}");
    let who = |channel: Option<u64>| {
        let channel = channel.map_or(String::new(), |n| format!(",\"ch\":{n}"));
        format!(
            ",\"cid\":\"{cid}\",\"sid\":\"{sid}\"{channel},\"user\":\"root\",\"key\":\"{key}\",\"role\":\"operator\"{src}"
        )
    };
    if n.is_multiple_of(5) {
        let other = dice.id(at);
        let from = format!(
            ",\"cid\":\"{other}\",\"src\":{{\"ip\":\"198.51.100.{}\",\"port\":4711}}",
            dice.roll(250)
        );
        ledger.write(at, "auth.attempt", &from, json!(false), &json!({"method": "password", "user": dice.pick(&["admin", "pi", "root"]), "reason": "no password is set", "n": 1}));
        ledger.write(
            at,
            "conn.close",
            &from,
            Value::Null,
            &json!({"reason": "client", "duration_ms": 900, "attempts": 1}),
        );
    }
    ledger.write(at, "conn.open", &outside, Value::Null, &json!({"client": "SSH-2.0-OpenSSH_9.2p1 Debian-2", "kex": "mlkem768x25519-sha256", "cipher": "chacha20-poly1305@openssh.com", "host_key_algorithm": "ssh-ed25519"}));
    ledger.write(at, "auth.attempt", &outside, json!(true), &json!({"method": "publickey", "user": "root", "fingerprint": fingerprint, "key_type": "ssh-ed25519", "reason": "good signature", "n": 1}));
    let day = at.strftime("%Y/%m/%d").to_string();
    let mut file = Chained::new(root, format!("sessions/{day}/{sid}.jsonl"), chain::START);
    file.write(at, "session.open", &who(None), Value::Null, &json!({"sandbox": {"uid": 1_879_048_193, "namespaces": ["mnt", "pid", "net"], "config": "read-write", "network": "shared", "cgroup": "v2", "not_in_force": []}, "policy_digest": dice.hex(64)}));
    let anchor = |file: &Chained, last: bool| json!({"file": file.id, "records": file.records, "head": chain::text(&file.head), "last": last});
    let first = anchor(&file, false);
    ledger.write(at, "anchor", "", Value::Null, &first);
    let mut now = at;
    let mut calls = 0;
    while file.records + 1 < records {
        now += i64::try_from(20 + dice.roll(2000)).unwrap().milliseconds();
        let channel = who(Some(dice.roll(4)));
        match dice.roll(8) {
            0 => file.write(now, "channel.open", &channel, Value::Null, &json!({"kind": "session"})),
            1 | 2 => {
                let command = format!("{} /config/{}.yaml", dice.pick(&["cat", "nano", "grep -n light", "ls -l"]), dice.hex(6));
                file.write(now, "exec", &channel, json!(true), &json!({"command": command, "bytes": command.len(), "sha256": dice.hex(64), "pid": dice.roll(9999)}));
            }
            3 => {
                let stream = |dice: &mut Dice| json!({"bytes": dice.roll(5000), "sha256_first_mib": dice.hex(64)});
                let (stdin, stdout, stderr) = (stream(dice), stream(dice), stream(dice));
                file.write(now, "exec.end", &channel, Value::Null, &json!({"exit": {"Status": dice.roll(2)}, "duration_ms": dice.roll(900), "usage": {"cpu_us": dice.roll(90_000), "max_rss_kib": 4000}, "stdin": stdin, "stdout": stdout, "stderr": stderr}));
            }
            4 | 5 => file.write(now, "sftp.op", &channel, json!(true), &json!({"op": dice.pick(&["read", "write", "list"]), "path": format!("/config/www/{}.js", dice.hex(8)), "bytes_read": dice.roll(100_000), "read_blake3": dice.hex(64), "duration_ms": dice.roll(50)})),
            6 => {
                calls += 1;
                let denied = dice.roll(20) == 0;
                file.write(now, "api.request", &who(None), json!(!denied), &json!({"id": calls, "endpoint": "addons.info", "method": "GET", "path": format!("/addons/{}/info", dice.hex(8)), "body_bytes": 0, "decision": if denied { "deny" } else { "allow" }, "rule": "operator.read"}));
            }
            _ => file.write(now, "api.response", &who(None), json!(true), &json!({"id": calls, "status": 200, "bytes": dice.roll(9000), "sha256": dice.hex(64), "duration_ms": dice.roll(40)})),
        }
    }
    let d = json!({"reason": "client", "duration_ms": now.as_millisecond() - at.as_millisecond(), "records": file.records, "channels": 1, "api_calls": calls, "denials": 0, "bytes_in": 1, "bytes_out": 1});
    file.write(now, "session.close", &who(None), Value::Null, &d);
    file.file.flush().unwrap();
    let last = anchor(&file, true);
    ledger.write(now, "anchor", "", Value::Null, &last);
    ledger.write(
        now,
        "conn.close",
        &outside,
        Value::Null,
        &json!({"reason": "client", "duration_ms": 5, "attempts": 1}),
    );
    if n.is_multiple_of(10) {
        ledger.checkpoint();
    }
    ledger.rotate();
}
