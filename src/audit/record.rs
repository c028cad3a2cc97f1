//! One record as a line of JSON: which members, in which order, how long. `docs/audit.md` defines it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::chain::{self, Head};
use crate::model::{ChannelNumber, Grant, KeyIdentity, Login, Peer, cut, escape};
use crate::wire::Event;
use crate::wire::limits::{RECORD_BYTES, RECORDED_COMMAND_BYTES};

/// Texts in `d` are cut to the first of these lengths that makes the record short enough.
const TEXT_BYTES: [usize; 5] = [RECORDED_COMMAND_BYTES, 1024, 256, 64, 16];
/// Texts of a record that waits in memory: a name of 256 bytes fits, however much of it is escaped.
const KEPT_TEXT_BYTES: usize = 1024;
/// The most elements of a list in `d`.
const LIST_LENGTH: usize = 64;

/// When a record is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the wall clock.
    pub wall: Timestamp,
    /// By CLOCK_BOOTTIME, in nanoseconds.
    pub mono: u64,
}

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Self {
        Self {
            wall: Timestamp::now(),
            mono: crate::sys::clock::boottime_ns(),
        }
    }
}

/// Whom a record is about: the envelope's members that are the same for a whole session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The connection.
    pub cid: Option<String>,
    /// The session.
    pub sid: Option<String>,
    /// The SSH user name.
    pub user: Option<String>,
    /// Fingerprint and comment.
    pub key: Option<String>,
    /// The policy role.
    pub role: Option<String>,
    /// Where it comes from.
    pub src: Option<Peer>,
}

impl Who {
    /// The same, with what a grant tells.
    #[must_use]
    pub fn granted(self, grant: &Grant) -> Self {
        let key = match &grant.login {
            Login::Password => None,
            Login::PublicKey(KeyIdentity {
                fingerprint,
                comment,
                ..
            }) => Some(format!("{fingerprint} {comment}").trim_end().to_owned()),
        };
        Self {
            user: Some(grant.user.clone()),
            key,
            role: Some(grant.role.to_string()),
            ..self
        }
    }

    /// What an earlier record tells.
    #[must_use]
    pub fn from_record(record: &Value) -> Self {
        let text = |name: &str| record.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            cid: text("cid"),
            sid: text("sid"),
            user: text("user"),
            key: text("key"),
            role: text("role"),
            src: record
                .get("src")
                .and_then(|src| serde_json::from_value(src.clone()).ok()),
        }
    }
}

/// A record before it has a place in a file.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub moment: Moment,
    /// About whom.
    pub who: Who,
    /// In which channel.
    pub channel: Option<ChannelNumber>,
    /// How it went.
    pub ok: Option<bool>,
    /// The record's type.
    pub kind: &'static str,
    /// What the type adds.
    pub d: Map<String, Value>,
}

impl Entry {
    /// Of an event that happens now.
    #[must_use]
    pub fn new(who: Who, channel: Option<ChannelNumber>, ok: Option<bool>, event: &Event) -> Self {
        Self {
            moment: Moment::now(),
            who,
            channel,
            ok,
            kind: event.kind(),
            d: members(event),
        }
    }

    /// The same, to be kept in memory for a while: what a peer said is cut to a length that no honest one needs.
    #[must_use]
    pub fn to_keep(self) -> Self {
        let d = self
            .d
            .iter()
            .map(|(name, value)| (name.clone(), shortened(value, KEPT_TEXT_BYTES)))
            .collect();
        Self { d, ..self }
    }

    /// The whole line with its newline, and the head after it. Never longer than [`RECORD_BYTES`].
    #[must_use]
    pub fn line(&self, id: &str, seq: u64, boot: &str, prev: &Head) -> (Vec<u8>, Head) {
        let short = TEXT_BYTES
            .iter()
            .map(|limit| self.body(seq, boot, *limit))
            .find(|body| body.len() + chain::SEAL_BYTES <= RECORD_BYTES);
        let body = short.unwrap_or_else(|| {
            let cut = Map::from_iter([("cut".to_owned(), Value::Bool(true))]);
            let cut = Self {
                d: cut,
                ..self.clone()
            };
            cut.body(seq, boot, 16)
        });
        chain::seal(id, prev, body)
    }

    /// The line up to the chain's members, without the closing brace.
    fn body(&self, seq: u64, boot: &str, text_bytes: usize) -> Vec<u8> {
        let who = &self.who;
        let clean = |text: &Option<String>| {
            text.as_ref()
                .map(|text| Value::from(harmless(text, 256.min(text_bytes))))
        };
        let always = |value: Value| Some(value);
        let members = [
            ("v", always(json!(1))),
            ("seq", always(json!(seq))),
            ("ts", always(json!(format!("{:.6}", self.moment.wall)))),
            ("mono", always(json!(self.moment.mono.to_string()))),
            ("boot", always(json!(boot))),
            ("type", always(json!(self.kind))),
            ("cid", who.cid.as_ref().map(|cid| json!(cut(cid, 36)))),
            ("sid", who.sid.as_ref().map(|sid| json!(cut(sid, 36)))),
            ("ch", self.channel.map(|channel| json!(channel.0))),
            ("user", clean(&who.user)),
            ("key", clean(&who.key)),
            ("role", clean(&who.role)),
            (
                "src",
                who.src.map(|src| json!({"ip": src.ip, "port": src.port})),
            ),
            ("ok", always(json!(self.ok))),
            (
                "d",
                always(shortened(&Value::Object(self.d.clone()), text_bytes)),
            ),
        ];
        let mut line = String::from("{");
        for (name, value) in members {
            if let Some(value) = value {
                let comma = if line.len() > 1 { "," } else { "" };
                line.push_str(&format!("{comma}\"{name}\":{value}"));
            }
        }
        line.into_bytes()
    }
}

/// The event's own members: the variant's name is gone, as are those that are null.
fn members(event: &Event) -> Map<String, Value> {
    let inner = match serde_json::to_value(event) {
        Ok(Value::Object(outer)) => outer.into_iter().next().map(|(_, inner)| inner),
        Ok(_) | Err(_) => None,
    };
    match inner {
        Some(Value::Object(members)) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect(),
        _ => Map::new(),
    }
}

fn shortened(value: &Value, text_bytes: usize) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(text) => Value::String(harmless(text, text_bytes)),
        Value::Array(list) => list
            .iter()
            .take(LIST_LENGTH)
            .map(|value| shortened(value, text_bytes))
            .collect(),
        Value::Object(table) => table
            .iter()
            .map(|(name, value)| (name.clone(), shortened(value, text_bytes)))
            .collect(),
    }
}

/// The text without what could drive a terminal. A reporter has escaped it already, so backslashes stay as they are:
/// what was escaped well comes through unchanged.
pub(super) fn harmless(text: &str, limit_bytes: usize) -> String {
    let parts: Vec<String> = text
        .split('\\')
        .map(|part| escape(part.as_bytes(), limit_bytes))
        .collect();
    let joined = parts.join("\\");
    if joined.len() <= limit_bytes + '…'.len_utf8() {
        joined
    } else {
        format!("{}…", cut(&joined, limit_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ConnectionId, Exit, Usage};
    use crate::wire::{ExecEnd, StreamFacts};

    fn line(event: Event) -> (String, Value) {
        let who = Who {
            cid: Some(ConnectionId::new().to_string()),
            ..Who::default()
        };
        let entry = Entry::new(who, Some(ChannelNumber(3)), Some(false), &event);
        let (line, _) = entry.line("ledger/000001.jsonl", 5, "0123abcd-1", &chain::START);
        assert!(line.len() <= RECORD_BYTES, "{}", line.len());
        let text = String::from_utf8(line).unwrap();
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    #[test]
    fn members_stand_in_their_order() {
        let (text, value) = line(Event::Env {
            name: "LANG".into(),
            value: None,
        });
        let order = [
            "v", "seq", "ts", "mono", "boot", "type", "cid", "ch", "ok", "d", "prev", "hash",
        ];
        let at: Vec<usize> = order
            .iter()
            .map(|name| text.find(&format!("\"{name}\":")).unwrap())
            .collect();
        assert!(at.is_sorted(), "{text}");
        assert_eq!(value["d"], json!({"name": "LANG"}), "null is left out");
        assert_eq!(
            (&value["seq"], &value["ch"], &value["ok"]),
            (&json!(5), &json!(3), &json!(false))
        );
        let ts = value["ts"].as_str().unwrap();
        assert!(ts.len() == 27 && ts.ends_with('Z'), "{ts}");
    }

    #[test]
    fn the_inner_members_of_a_wrapped_event_are_d() {
        let end = ExecEnd {
            exit: Some(Exit::Status(3)),
            duration_ms: 1,
            usage: Usage::default(),
            stdin: StreamFacts::default(),
            stdout: StreamFacts::default(),
            stderr: StreamFacts::default(),
        };
        assert_eq!(
            line(Event::ExecEnd(end)).1["d"]["exit"],
            json!({"Status": 3})
        );
    }

    #[test]
    fn no_record_is_too_long_and_none_drives_a_terminal() {
        let hostile = "\u{1b}]0;x\u{7}\u{202e}\\x1b\n";
        let (text, value) = line(Event::Exec {
            command: hostile.repeat(20_000),
            bytes: 1,
            sha256: hostile.to_owned(),
            pid: 1,
            asked: None,
        });
        assert!(
            text.trim_end()
                .chars()
                .all(|c| !c.is_control() && c != '\u{202e}')
        );
        assert_eq!(value["d"]["sha256"], "\\x1b]0;x\\x07\\u{202e}\\x1b\\x0a");
        let (_, value) = line(Event::ServerStart {
            version: "\u{1}".repeat(160_000),
            options_digest: "\"".repeat(160_000),
            host_key: "ä".repeat(80_000),
            isolation: vec!["\"\\".repeat(5_000); 100],
            recovered: vec!["x".repeat(100); 1000],
        });
        assert_eq!(value["type"], "server.start");
    }
}
