//! A record as its line tells it: the beginning without parsing, all of it where it is shown.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::audit::record::harmless;
use crate::model::is_hostile;

/// What stands at the beginning of each record: in this order and form, since audit writes it so (`docs/audit.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head<'l> {
    pub(super) seq: u64,
    /// RFC 3339 in UTC with microseconds: they sort as texts.
    pub(super) ts: &'l str,
    pub(super) mono: u64,
    pub(super) boot: &'l str,
    pub(super) kind: &'l str,
}

impl<'l> Head<'l> {
    /// None for what is no record.
    pub(super) fn read(line: &'l [u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"{\"v\":1,\"seq\":")?;
        let (seq, rest) = until(rest, b',')?;
        let (ts, rest) = until(rest.strip_prefix(b"\"ts\":\"")?, b'"')?;
        let (mono, rest) = until(rest.strip_prefix(b",\"mono\":\"")?, b'"')?;
        let (boot, rest) = until(rest.strip_prefix(b",\"boot\":\"")?, b'"')?;
        let (kind, rest) = until(rest.strip_prefix(b",\"type\":\"")?, b'"')?;
        let whole = rest.starts_with(b",") && is_sealed(line) && ts.len() == TS_BYTES;
        whole.then_some(Self {
            seq: seq.parse().ok()?,
            ts,
            mono: mono.parse().ok()?,
            boot,
            kind,
        })
    }
}

/// Whether its hash is at its end. That it is the right one is for `verify` to say.
fn is_sealed(line: &[u8]) -> bool {
    const HASH: &[u8] = b",\"hash\":\"";
    const HASH_BYTES: usize = 43;
    let body = line
        .strip_suffix(b"\"}")
        .and_then(|rest| rest.get(..rest.len().checked_sub(HASH_BYTES)?));
    body.is_some_and(|body| body.ends_with(HASH))
}

/// `2026-11-24T08:37:20.123456Z`
const TS_BYTES: usize = 27;

fn until(bytes: &[u8], mark: u8) -> Option<(&str, &[u8])> {
    let end = bytes.iter().take(64).position(|byte| *byte == mark)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(text).ok()?, rest.get(1..)?))
}

/// A time as records write it.
pub(super) fn ts(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// All of a record.
#[derive(Clone, Debug)]
pub struct Record {
    members: Map<String, Value>,
    at: Timestamp,
}

impl Record {
    /// None for what is no record.
    #[must_use]
    pub fn read(line: &[u8]) -> Option<Self> {
        let head = Head::read(line)?;
        let at = head.ts.parse().ok()?;
        let members = serde_json::from_slice(line).ok()?;
        Some(Self { members, at })
    }

    /// When, by the wall clock.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// When, in nanoseconds of CLOCK_BOOTTIME.
    #[must_use]
    pub fn mono(&self) -> Option<u64> {
        self.text("mono").parse().ok()
    }

    /// Of which boot of the machine: without the start of the server.
    #[must_use]
    pub fn machine_boot(&self) -> &str {
        let boot = self.text("boot");
        boot.split_once('-').map_or(boot, |(machine, _)| machine)
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("type")
    }

    /// All of it.
    pub(super) fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// A text of the envelope; empty where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.members
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// How it went.
    #[must_use]
    pub fn ok(&self) -> Option<bool> {
        self.members.get("ok").and_then(Value::as_bool)
    }

    /// In which channel.
    #[must_use]
    pub fn channel(&self) -> Option<u64> {
        self.members.get("ch").and_then(Value::as_u64)
    }

    /// Its number in its file.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.members.get("seq").and_then(Value::as_u64).unwrap_or(0)
    }

    /// Where its peer is: the address.
    #[must_use]
    pub fn ip(&self) -> Option<&str> {
        self.members.get("src")?.get("ip")?.as_str()
    }

    /// Where its peer is: the port.
    #[must_use]
    pub fn port(&self) -> Option<u64> {
        self.members.get("src")?.get("port")?.as_u64()
    }

    /// All that its type adds.
    #[must_use]
    pub fn d(&self) -> Option<&Map<String, Value>> {
        self.members.get("d")?.as_object()
    }

    /// A member of what its type adds, by its path.
    #[must_use]
    pub fn member(&self, path: &[&str]) -> Option<&Value> {
        let d = self.members.get("d")?;
        path.iter().try_fold(d, |at, name| at.get(name))
    }

    /// A text of what its type adds; empty where there is none.
    #[must_use]
    pub fn member_text(&self, name: &str) -> &str {
        self.member(&[name])
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number of what its type adds.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.member(&[name]).and_then(Value::as_u64)
    }
}

/// A text of a record for a terminal. Whoever wrote the record escaped it, so backslashes stay as they are; whoever
/// changed the file since did not.
#[must_use]
pub fn shown(text: &str) -> String {
    if text.chars().all(|c| !c.is_control() && !is_hostile(c)) {
        return text.to_owned();
    }
    harmless(text, usize::MAX - 16)
}

/// JSON that is the same value, and drives no terminal: what could is escaped within its strings, and is a space
/// elsewhere, since nothing but white space can stand there.
#[must_use]
pub fn shown_json(json: &str) -> String {
    // As nearly all is, and looked at much faster so.
    if json.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\t' | '\r' | '\n' => out.push(' '),
            c if c.is_control() || is_hostile(c) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::chain;

    /// A record's line, without its newline.
    pub(in crate::audit::read) fn line(kind: &str, more: &Value) -> Vec<u8> {
        let mut text = format!(
            "{{\"v\":1,\"seq\":3,\"ts\":\"2026-11-24T08:37:20.123456Z\",\"mono\":\"5000000000\",\"boot\":\"0123abcd-1\",\"type\":\"{kind}\""
        );
        for (name, value) in more.as_object().unwrap() {
            text.push_str(&format!(",\"{name}\":{value}"));
        }
        let (mut line, _) = chain::seal("x", &chain::START, text.into_bytes());
        line.pop();
        line
    }

    #[test]
    fn a_head_is_read_and_nothing_else_is() {
        let good = line("exec", &json!({"ok": true, "d": {"type": "no"}}));
        let head = Head::read(&good).unwrap();
        assert_eq!(
            (head.seq, head.ts, head.mono, head.boot, head.kind),
            (
                3,
                "2026-11-24T08:37:20.123456Z",
                5_000_000_000,
                "0123abcd-1",
                "exec"
            )
        );
        for end in 0..good.len() {
            assert_eq!(Head::read(&good[..end]), None, "{end}");
        }
        assert_eq!(Head::read(&[0xff; 100]), None);
        assert_eq!(
            ts("2026-11-24T08:37:20.1Z".parse().unwrap()),
            "2026-11-24T08:37:20.100000Z"
        );
    }

    #[test]
    fn what_is_shown_drives_no_terminal_and_is_escaped_once() {
        assert_eq!(shown(r"a\\b \x1b]0;"), r"a\\b \x1b]0;");
        assert_eq!(
            shown("a\u{1b}[2J\u{202e}\u{9b}\n"),
            r"a\x1b[2J\u{202e}\u{9b}\x0a"
        );
        let value = json!({"a\u{9b}": "\u{1b}\u{7f}\u{202e}\u{feff}"});
        let text = format!("\t{value}\r");
        let safe = shown_json(&text);
        assert!(safe.chars().all(|c| !c.is_control() && !is_hostile(c)));
        assert_eq!(serde_json::from_str::<Value>(&safe).unwrap(), value);
    }
}
