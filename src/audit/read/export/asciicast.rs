//! Recordings as asciicast v2, which players knew before v3: docs.asciinema.org/manual/asciicast/v2.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::audit::read::line::shown_json;
use crate::audit::read::replay::{Cast, Ending, Event, Header, Next};

/// What a player takes for a size where the recording has none.
const NO_SIZE: (u16, u16) = (80, 24);

/// Writes a recording as asciicast v2, up to its end or to where it is damaged. Nothing that is written drives a terminal.
///
/// Times are from the beginning. How the program ended becomes a marker, since version 2 has no event for it; the exact
/// bytes of what is no UTF-8 (`b`), comments, and events that version 2 does not know are left out.
///
/// # Errors
/// What writing gives.
pub fn asciicast_v2(cast: &mut Cast, out: &mut impl Write) -> io::Result<Ending> {
    line(out, &header(&cast.header).to_string())?;
    let (mut at, mut exit) = (Duration::ZERO, None);
    loop {
        let event = match cast.next_event() {
            Next::End => return Ok(Ending::Whole(exit)),
            Next::Damaged(at, why) => return Ok(Ending::Damaged(at, why)),
            Next::Event(event) => event,
        };
        // Also of what is left out.
        at = at.saturating_add(event.after);
        if event.code == "x" {
            exit = Some(event.text.clone());
        }
        if let Some((code, text)) = known(event) {
            let (seconds, micros) = (at.as_secs(), at.subsec_micros());
            let text = Value::from(text);
            line(out, &format!("[{seconds}.{micros:06}, \"{code}\", {text}]"))?;
        }
    }
}

fn line(out: &mut impl Write, json: &str) -> io::Result<()> {
    writeln!(out, "{}", shown_json(json))
}

fn header(header: &Header) -> Value {
    let (width, height) = match (header.columns, header.rows) {
        (0, _) | (_, 0) => NO_SIZE,
        size => size,
    };
    let mut first = json!({"version": 2, "width": width, "height": height});
    let mut put = |name: &str, value: Option<Value>| {
        if let (Value::Object(members), Some(value)) = (&mut first, value) {
            members.insert(name.to_owned(), value);
        }
    };
    // Players want none before 1970.
    put(
        "timestamp",
        header.timestamp.filter(|at| *at >= 0).map(Value::from),
    );
    put("command", header.command.clone().map(Value::from));
    put("title", header.title.clone().map(Value::from));
    put(
        "env",
        header.term.as_ref().map(|term| json!({"TERM": term})),
    );
    first
}

/// The event in version 2; none where that has none.
fn known(event: Event) -> Option<(char, String)> {
    match event.code.as_str() {
        "o" => Some(('o', event.text)),
        "i" => Some(('i', event.text)),
        "m" => Some(('m', event.text)),
        "r" => size(&event.text).map(|(columns, rows)| ('r', format!("{columns}x{rows}"))),
        "x" => Some(('m', format!("exit {}", event.text))),
        _ => None,
    }
}

/// Players stop at what is no size.
fn size(text: &str) -> Option<(u16, u16)> {
    let (columns, rows) = text.split_once('x')?;
    let size = (columns.parse().ok()?, rows.parse().ok()?);
    (size.0 > 0 && size.1 > 0).then_some(size)
}
