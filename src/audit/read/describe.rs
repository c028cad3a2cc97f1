//! A record in a line for people.

use serde_json::Value;

use super::line::{Record, shown};
use super::when::{bytes, length};

/// What happened, without when and to whom. Types that are not known yet are told by their members.
#[must_use]
pub fn describe(record: &Record) -> String {
    let text = match record.kind() {
        "server.start" => format!("server {} started", record.member_text("version")),
        "server.stop" => format!("server stopped: {}", record.member_text("reason")),
        "conn.open" => join([
            "connected".to_owned(),
            from(record),
            named("with", record, "client"),
            named("cipher", record, "cipher"),
        ]),
        "conn.refuse" => format!(
            "connections refused: {}, {} ({})",
            count(record, "count"),
            record.member_text("reason"),
            record.member_text("ip")
        ),
        "conn.close" => join([
            "connection closed".to_owned(),
            parenthesised(record.member_text("reason")),
            after(record, "duration_ms"),
        ]),
        "conn.folded" => format!(
            "{} connections of {} with {} attempts, counted together",
            count(record, "connections"),
            record.member_text("from"),
            count(record, "attempts")
        ),
        "auth.attempt" => join([
            match record.ok() {
                Some(true) => "login accepted:".to_owned(),
                _ => "login refused:".to_owned(),
            },
            record.member_text("method").to_owned(),
            named("for", record, "user"),
            record.member_text("fingerprint").to_owned(),
            parenthesised(record.member_text("reason")),
            from(record),
        ]),
        "auth.lockout" => format!(
            "no further attempts: {} {}",
            record.member_text("reason"),
            from(record)
        ),
        "session.open" => join([
            "session opened:".to_owned(),
            labelled("/config", path_text(record, &["sandbox", "config"])),
            labelled("network", path_text(record, &["sandbox", "network"])),
        ]),
        "session.close" => join([
            format!("session closed: {}", record.member_text("reason")),
            labelled("by session", record.member_text("by")),
            after(record, "duration_ms"),
        ]),
        "channel.open" => join([
            format!("channel opened: {}", record.member_text("kind")),
            named("to", record, "target"),
            named("from", record, "origin"),
        ]),
        "channel.refuse" => {
            let to = labelled(" to", record.member_text("target"));
            let (kind, reason) = (record.member_text("kind"), record.member_text("reason"));
            format!("REFUSED: channel {kind}{to}: {reason}")
        }
        "channel.close" => format!(
            "channel closed: {} in, {} out",
            size(record, "bytes_in"),
            size(record, "bytes_out")
        ),
        "channel.folded" => format!(
            "{} channels and {} requests left no record",
            count(record, "channels"),
            count(record, "requests")
        ),
        "forward.open" => join([
            format!("listens: {}", record.member_text("kind")),
            named("at", record, "at"),
        ]),
        "forward.close" => join([
            format!("listens no more: {}", record.member_text("kind")),
            named("at", record, "at"),
            format!("({} came)", count(record, "accepted")),
        ]),
        "pty" => format!("terminal {} {}", record.member_text("term"), window(record)),
        "resize" => format!("terminal is now {}", window(record)),
        "env" => match record.member(&["value"]).and_then(Value::as_str) {
            Some(value) => format!("{}={value}", record.member_text("name")),
            None => format!("{}: not let in", record.member_text("name")),
        },
        "signal" => format!("signal {}", record.member_text("name")),
        "shell" => join(["shell".to_owned(), failure(record)]),
        "exec" => join([
            format!("$ {}", record.member_text("command")),
            asked(record),
            failure(record),
        ]),
        "subsystem" => join([
            format!("subsystem {}", record.member_text("name")),
            failure(record),
        ]),
        "exec.end" => exec_end(record),
        "sftp.op" => sftp(record),
        "sftp.summary" => join([
            format!(
                "sftp in all: {} operations, {} failed, {} read, {} written",
                count(record, "operations"),
                count(record, "failed"),
                size(record, "bytes_read"),
                size(record, "bytes_written")
            ),
            match record.number("left_out") {
                None | Some(0) => String::new(),
                Some(n) => format!("({n} without a record of their own)"),
            },
            labelled("not followed to its end:", record.member_text("unreadable")),
        ]),
        "api.request" => join([
            match record.member_text("decision") {
                "deny" => "REFUSED: api".to_owned(),
                _ => "api".to_owned(),
            },
            record.member_text("method").to_owned(),
            record.member_text("path").to_owned(),
            parenthesised(record.member_text("rule")),
        ]),
        "api.response" => api_response(record),
        "policy.deny" => join([
            "REFUSED:".to_owned(),
            record.member_text("layer").to_owned(),
            record.member_text("object").to_owned(),
            parenthesised(record.member_text("rule")),
        ]),
        "limit.hit" => format!(
            "LIMIT: {} ({})",
            record.member_text("resource"),
            count(record, "limit")
        ),
        "recording.start" => format!("recording {}", name(record)),
        "recording.end" => join([
            format!("recorded {} in {}", size(record, "bytes"), name(record)),
            match record.number("left_out") {
                None | Some(0) => String::new(),
                Some(left_out) => format!("({} left out)", bytes(left_out)),
            },
        ]),
        "recording.truncate" | "recording.fail" => join([
            "RECORDING ENDS:".to_owned(),
            name(record),
            parenthesised(record.member_text("reason")),
        ]),
        "recording.view" => format!("looked at a recording: {}", record.member_text("file")),
        "clock.step" => format!(
            "the wall clock was set by {} ms",
            record
                .member(&["step_ms"])
                .and_then(Value::as_i64)
                .unwrap_or(0)
        ),
        "anchor" => format!(
            "{} has {} records",
            record.member_text("file"),
            count(record, "records")
        ),
        kind => join([kind.to_owned(), members(record)]),
    };
    shown(text.trim_end())
}

fn join<const N: usize>(parts: [String; N]) -> String {
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

fn parenthesised(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!("({text})"),
    }
}

fn labelled(label: &str, text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!("{label} {text}"),
    }
}

fn named(label: &str, record: &Record, member: &str) -> String {
    labelled(label, record.member_text(member))
}

fn path_text<'r>(record: &'r Record, path: &[&str]) -> &'r str {
    record
        .member(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn from(record: &Record) -> String {
    labelled("from", record.ip().unwrap_or_default())
}

fn count(record: &Record, member: &str) -> u64 {
    record.number(member).unwrap_or(0)
}

fn size(record: &Record, member: &str) -> String {
    bytes(count(record, member))
}

fn after(record: &Record, member: &str) -> String {
    record
        .number(member)
        .map_or_else(String::new, |milliseconds| {
            format!("after {}", length(milliseconds))
        })
}

fn failure(record: &Record) -> String {
    match record.ok() {
        Some(false) => "(was not started)".to_owned(),
        Some(true) | None => String::new(),
    }
}

fn window(record: &Record) -> String {
    let side = |name: &str| {
        let side = record.member(&["size", name]).and_then(Value::as_u64);
        side.unwrap_or(0)
    };
    format!("{}x{}", side("columns"), side("rows"))
}

/// The recording's file without the folders, which follow from the session.
fn name(record: &Record) -> String {
    let file = record.member_text("file");
    file.rsplit('/').next().unwrap_or(file).to_owned()
}

/// How a program ended: a number or a signal.
pub(super) fn exit(record: &Record) -> Option<String> {
    let exit = record.member(&["exit"])?;
    if let Some(status) = exit.get("Status").and_then(Value::as_u64) {
        return Some(format!("exit {status}"));
    }
    let number = exit.get("Signal")?.get("number")?.as_i64()?;
    Some(format!("killed by signal {number}"))
}

/// What was asked for, where the key had another command run.
fn asked(record: &Record) -> String {
    let word = |name| record.member(&["asked", name]).and_then(Value::as_str);
    match (word("request"), word("command").unwrap_or_default()) {
        (None, _) => String::new(),
        (Some(request), "") => format!("(forced by the key; asked for: {request})"),
        (Some("exec"), command) => format!("(forced by the key; asked for: {command})"),
        (Some(request), name) => format!("(forced by the key; asked for: {request} {name})"),
    }
}

fn exec_end(record: &Record) -> String {
    let stream = |name: &str| {
        let passed = record.member(&[name, "bytes"]).and_then(Value::as_u64);
        match passed {
            None | Some(0) => String::new(),
            Some(passed) => format!(", {name} {}", bytes(passed)),
        }
    };
    format!(
        "{} {}{}{}{}",
        exit(record).unwrap_or_else(|| "ended".to_owned()),
        after(record, "duration_ms"),
        stream("stdin"),
        stream("stdout"),
        stream("stderr")
    )
}

fn sftp(record: &Record) -> String {
    let passed = |label: &str, member: &str| match record.number(member) {
        None | Some(0) => String::new(),
        Some(passed) => format!("{label} {}", bytes(passed)),
    };
    join([
        format!("sftp {}", record.member_text("op")),
        record.member_text("path").to_owned(),
        named("to", record, "to"),
        parenthesised(&changing(record)),
        passed("read", "bytes_read"),
        passed("wrote", "bytes_written"),
        labelled("FAILED:", record.member_text("error")),
    ])
}

/// What a file was opened for but to read and to write it, or which attributes were set.
fn changing(record: &Record) -> String {
    let flags = record.member(&["flags"]).and_then(Value::as_array);
    let words = flags.into_iter().flatten().filter_map(Value::as_str);
    let words: Vec<&str> = words
        .filter(|word| !["read", "write"].contains(word))
        .collect();
    words.join(", ")
}

fn api_response(record: &Record) -> String {
    join([
        "  ->".to_owned(),
        record
            .number("status")
            .map_or_else(String::new, |status| status.to_string()),
        record.number("bytes").map_or_else(String::new, bytes),
        record
            .number("duration_ms")
            .map_or_else(String::new, |ms| format!("in {ms} ms")),
        labelled("FAILED:", record.member_text("error")),
    ])
}

/// All members of what a type adds.
fn members(record: &Record) -> String {
    let members = record.d().into_iter().flatten();
    let texts: Vec<String> = members
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            value => format!("{name}={value}"),
        })
        .collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::line::tests::line;
    use super::*;
    use crate::model::is_hostile;

    #[test]
    fn records_are_told_in_a_line() {
        for (kind, more, expected) in [
            (
                "exec",
                json!({"ok": true, "d": {"command": "ls \\\\x1b", "pid": 3}}),
                "$ ls \\\\x1b",
            ),
            (
                "exec",
                json!({"ok": false, "d": {"command": "x"}}),
                "$ x (was not started)",
            ),
            (
                "exec",
                json!({"ok": true, "d": {"command": "hassio info", "asked": {"request": "exec", "command": "ls"}}}),
                "$ hassio info (forced by the key; asked for: ls)",
            ),
            (
                "exec",
                json!({"ok": false, "d": {"command": "x", "asked": {"request": "shell", "command": ""}}}),
                "$ x (forced by the key; asked for: shell) (was not started)",
            ),
            (
                "exec",
                json!({"ok": true, "d": {"command": "x", "asked": null}}),
                "$ x",
            ),
            (
                "exec.end",
                json!({"d": {"exit": {"Status": 7}, "duration_ms": 1200, "stdout": {"bytes": 2048}, "stderr": {"bytes": 0}}}),
                "exit 7 after 1.2s, stdout 2.0 KiB",
            ),
            (
                "exec.end",
                json!({"d": {"exit": {"Signal": {"number": 9, "core": false}}}}),
                "killed by signal 9",
            ),
            (
                "api.request",
                json!({"ok": false, "d": {"decision": "deny", "method": "POST", "path": "/x", "rule": "no rule"}}),
                "REFUSED: api POST /x (no rule)",
            ),
            (
                "sftp.op",
                json!({"d": {"op": "rename", "path": "/a", "to": "/b", "error": "no such file"}}),
                "sftp rename /a to /b FAILED: no such file",
            ),
            (
                "sftp.op",
                json!({"d": {"op": "write", "path": "/a", "flags": ["write", "create", "truncate"], "bytes_written": 3}}),
                "sftp write /a (create, truncate) wrote 3 B",
            ),
            (
                "new.thing",
                json!({"d": {"a": "b c", "n": 1}}),
                "new.thing a=b c n=1",
            ),
            ("pty", json!({}), "terminal  0x0"),
        ] {
            let record = Record::read(&line(kind, &more)).unwrap();
            assert_eq!(describe(&record), expected);
        }
    }

    #[test]
    fn no_member_of_any_type_drives_a_terminal() {
        let hostile = "\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n\u{7f}";
        let names = [
            "version",
            "reason",
            "client",
            "cipher",
            "ip",
            "from",
            "method",
            "user",
            "fingerprint",
            "kind",
            "target",
            "origin",
            "at",
            "term",
            "name",
            "value",
            "command",
            "op",
            "path",
            "to",
            "error",
            "layer",
            "object",
            "rule",
            "resource",
            "file",
            "unreadable",
            "decision",
            hostile,
        ];
        let d: serde_json::Map<String, Value> = names
            .iter()
            .map(|name| ((*name).to_owned(), hostile.into()))
            .collect();
        let kinds = [
            "server.start",
            "server.stop",
            "conn.open",
            "conn.refuse",
            "conn.close",
            "conn.folded",
            "auth.attempt",
            "auth.lockout",
            "session.open",
            "session.close",
            "channel.open",
            "channel.refuse",
            "channel.close",
            "channel.folded",
            "forward.open",
            "forward.close",
            "pty",
            "resize",
            "env",
            "signal",
            "shell",
            "exec",
            "subsystem",
            "exec.end",
            "sftp.op",
            "sftp.summary",
            "api.request",
            "api.response",
            "policy.deny",
            "limit.hit",
            "recording.start",
            "recording.end",
            "recording.fail",
            "recording.view",
            "recovery",
            "anchor",
            "clock.step",
            "a.new.one",
        ];
        for kind in kinds {
            let line = line(kind, &json!({"src": {"ip": hostile, "port": 1}, "d": d}));
            let text = describe(&Record::read(&line).unwrap());
            assert!(
                text.chars().all(|c| !c.is_control() && !is_hostile(c)),
                "{kind}: {text:?}"
            );
        }
    }
}
