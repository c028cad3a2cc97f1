//! The lines of a recording: asciicast v3, with an event of our own for bytes that are no UTF-8. Pure; `docs/audit.md`
//! defines them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::model::{Exit, cut, is_hostile};
use crate::wire::limits::RECORDED_COMMAND_BYTES;
use crate::wire::{RecordingStart, Stream};

/// The size that the format wants where there is no terminal: the usual one.
const NO_TERMINAL: (u16, u16) = (80, 24);
/// A part that is older than this is not believed to be.
const OLDEST_NS: u64 = 60_000_000_000;
/// How much of a marker's text is kept.
const MARKER_BYTES: usize = 256;

/// What writes the lines of one recording.
pub(super) struct Cast {
    start_ns: u64,
    /// When the last event was, from the start.
    last_us: u64,
    streams: BTreeMap<Source, Unfinished>,
    line_ends: LineEnds,
}

/// A character whose end has not come yet, at most three bytes.
type Unfinished = Vec<u8>;

/// Where bytes come from: each has characters of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Program(Stream),
    User,
}

impl Source {
    fn code(self) -> char {
        match self {
            Self::Program(_) => 'o',
            Self::User => 'i',
        }
    }
}

/// What becomes of a line's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnds {
    /// A terminal has made what it shows of it already.
    AsTheyAre,
    /// Without a terminal LF becomes CR LF, as a terminal would have made it: players move down and not back.
    AsShown,
}

/// What is said of a recording in its first line.
pub(super) struct Title<'a> {
    pub(super) start: &'a RecordingStart,
    /// Which session, and who.
    pub(super) text: &'a str,
    /// Seconds since 1970.
    pub(super) unix: i64,
}

impl Cast {
    /// Begins one, with its first line.
    pub(super) fn new(title: &Title<'_>, moment: Moment) -> (Self, Vec<u8>) {
        let line_ends = match title.start.terminal {
            Some(_) => LineEnds::AsTheyAre,
            None => LineEnds::AsShown,
        };
        let cast = Self {
            start_ns: believable(moment),
            last_us: 0,
            streams: BTreeMap::new(),
            line_ends,
        };
        (cast, header(title))
    }

    /// What a program wrote.
    pub(super) fn output(&mut self, stream: Stream, bytes: &[u8], moment: Moment) -> Vec<u8> {
        self.bytes(Source::Program(stream), bytes, moment)
    }

    /// What the user typed.
    pub(super) fn input(&mut self, bytes: &[u8], moment: Moment) -> Vec<u8> {
        self.bytes(Source::User, bytes, moment)
    }

    /// The user typed something that is not shown.
    pub(super) fn masked(&mut self, moment: Moment) -> Vec<u8> {
        let mut lines = self.flush(moment);
        self.event(&mut lines, 'i', "*", LineEnds::AsTheyAre, moment);
        lines
    }

    /// The terminal has a new size.
    pub(super) fn resize(&mut self, columns: u16, rows: u16, moment: Moment) -> Vec<u8> {
        let mut lines = Vec::new();
        let (columns, rows) = shown(columns, rows);
        let size = format!("{columns}x{rows}");
        self.event(&mut lines, 'r', &size, LineEnds::AsTheyAre, moment);
        lines
    }

    /// Something to find again.
    pub(super) fn marker(&mut self, text: &str, moment: Moment) -> Vec<u8> {
        let mut lines = Vec::new();
        let text = cut(text, MARKER_BYTES);
        self.event(&mut lines, 'm', text, LineEnds::AsTheyAre, moment);
        lines
    }

    /// Something is left out here: what comes next does not go on with what came before.
    pub(super) fn gap(&mut self, text: &str, moment: Moment) -> Vec<u8> {
        let mut lines = self.flush(moment);
        lines.extend(self.marker(text, moment));
        lines
    }

    /// The end. A signal is written as shells tell it.
    pub(super) fn end(&mut self, exit: Option<Exit>, moment: Moment) -> Vec<u8> {
        let mut lines = self.flush(moment);
        let status = exit.map(|exit| match exit {
            Exit::Status(status) => i32::from(status),
            Exit::Signal { number, .. } => number.saturating_add(128),
        });
        if let Some(status) = status {
            let status = status.to_string();
            self.event(&mut lines, 'x', &status, LineEnds::AsTheyAre, moment);
        }
        lines
    }

    fn bytes(&mut self, from: Source, bytes: &[u8], moment: Moment) -> Vec<u8> {
        let mut all = self.streams.remove(&from).unwrap_or_default();
        all.extend(bytes);
        let whole = all.len() - unfinished(&all);
        let rest = all.split_off(whole);
        if !rest.is_empty() {
            self.streams.insert(from, rest);
        }
        let mut lines = Vec::new();
        self.whole(&mut lines, from, &all, moment);
        lines
    }

    /// What is unfinished will not be finished any more.
    fn flush(&mut self, moment: Moment) -> Vec<u8> {
        let mut lines = Vec::new();
        for (from, rest) in std::mem::take(&mut self.streams) {
            self.whole(&mut lines, from, &rest, moment);
        }
        lines
    }

    fn whole(&mut self, lines: &mut Vec<u8>, from: Source, bytes: &[u8], moment: Moment) {
        if bytes.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            let exact = STANDARD.encode(bytes);
            self.event(lines, 'b', &exact, LineEnds::AsTheyAre, moment);
        }
        let line_ends = match from {
            Source::Program(_) => self.line_ends,
            Source::User => LineEnds::AsTheyAre,
        };
        self.event(lines, from.code(), &text, line_ends, moment);
    }

    fn event(
        &mut self,
        lines: &mut Vec<u8>,
        code: char,
        text: &str,
        line_ends: LineEnds,
        moment: Moment,
    ) {
        let at_ns = believable(moment);
        let at_us = at_ns.saturating_sub(self.start_ns) / 1000;
        let interval = at_us.saturating_sub(self.last_us);
        self.last_us += interval;
        let (seconds, micros) = (interval / 1_000_000, interval % 1_000_000);
        let mut line = format!("[{seconds}.{micros:06},\"{code}\",");
        push_text(&mut line, text, line_ends);
        line.push_str("]\n");
        lines.extend(line.into_bytes());
    }
}

/// When something was, and when it is written; by CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at_ns: u64,
    pub(super) now_ns: u64,
}

/// Whoever says when something was may lie, but not about the future.
fn believable(moment: Moment) -> u64 {
    let Moment { at_ns, now_ns } = moment;
    at_ns.clamp(now_ns.saturating_sub(OLDEST_NS), now_ns)
}

fn header(title: &Title<'_>) -> Vec<u8> {
    let RecordingStart {
        terminal, command, ..
    } = title.start;
    let (columns, rows) = terminal
        .as_ref()
        .map_or(NO_TERMINAL, |(_, columns, rows)| shown(*columns, *rows));
    let mut line = format!("{{\"version\":3,\"term\":{{\"cols\":{columns},\"rows\":{rows}");
    let mut member = |name: &str, text: &str, after: &str| {
        // Writing to a String cannot fail.
        write!(line, ",\"{name}\":").unwrap_or_default();
        push_text(&mut line, text, LineEnds::AsTheyAre);
        line.push_str(after);
    };
    match terminal {
        Some((term, ..)) => member("type", cut(term, MARKER_BYTES), "}"),
        None => line.push('}'),
    }
    write!(line, ",\"timestamp\":{}", title.unix).unwrap_or_default();
    let mut member = |name: &str, text: &str| {
        write!(line, ",\"{name}\":").unwrap_or_default();
        push_text(&mut line, text, LineEnds::AsTheyAre);
    };
    if let Some(command) = command {
        member("command", cut(command, RECORDED_COMMAND_BYTES));
    }
    member("title", title.text);
    line.push_str("}\n");
    line.into_bytes()
}

/// Clients without a terminal of their own say that it has no size, of which players make nothing.
fn shown(columns: u16, rows: u16) -> (u16, u16) {
    match (columns, rows) {
        (0, _) | (_, 0) => NO_TERMINAL,
        size => size,
    }
}

/// How many bytes at the end are the beginning of a character that may still become one.
fn unfinished(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last();
    let invalid = last.map_or(&[][..], |chunk| chunk.invalid());
    match std::str::from_utf8(invalid) {
        Err(error) if error.error_len().is_none() => invalid.len(),
        Ok(_) | Err(_) => 0,
    }
}

/// Adds a JSON string that drives nobody's terminal, even where the file itself is printed.
fn push_text(line: &mut String, text: &str, line_ends: LineEnds) {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' if line_ends == LineEnds::AsShown => line.push_str("\\r\\n"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            // All of these are below U+10000.
            c if c.is_control() || is_hostile(c) => {
                write!(line, "\\u{:04x}", u32::from(c)).unwrap_or_default();
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::ChannelNumber;

    fn begun(terminal: Option<(&str, u16, u16)>) -> (Cast, Value) {
        let start = RecordingStart {
            channel: ChannelNumber(0),
            terminal: terminal.map(|(term, columns, rows)| (term.to_owned(), columns, rows)),
            command: Some("printf '\u{1b}[31m\u{202e}'".to_owned()),
        };
        let title = Title {
            start: &start,
            text: "session",
            unix: 1_700_000_000,
        };
        let (cast, header) = Cast::new(&title, at(0));
        assert!(is_harmless(&header), "{header:?}");
        (cast, serde_json::from_slice(&header).unwrap())
    }

    fn terminal() -> Cast {
        begun(Some(("xterm", 132, 43))).0
    }

    const START_NS: u64 = 100_000_000_000;

    fn at(ms: u64) -> Moment {
        let at_ns = START_NS + ms * 1_000_000;
        Moment {
            at_ns,
            now_ns: at_ns,
        }
    }

    /// Nothing in it drives a terminal.
    fn is_harmless(lines: &[u8]) -> bool {
        let text = std::str::from_utf8(lines).unwrap();
        text.chars()
            .all(|c| c == '\n' || (!c.is_control() && !is_hostile(c)))
    }

    fn events(lines: &[u8]) -> Vec<(f64, String, String)> {
        assert!(is_harmless(lines), "{lines:?}");
        assert!(lines.is_empty() || lines.ends_with(b"\n"));
        let lines = lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    /// As docs/audit.md says that it is done.
    fn bytes(all: &[u8], line_ends: LineEnds) -> Vec<u8> {
        let (mut bytes, mut exact) = (Vec::new(), None);
        for (_, code, text) in events(all) {
            match code.as_str() {
                "b" => exact = Some(STANDARD.decode(text).unwrap()),
                "o" => bytes.extend(exact.take().unwrap_or_else(|| match line_ends {
                    LineEnds::AsTheyAre => text.into_bytes(),
                    LineEnds::AsShown => text.replace("\r\n", "\n").into_bytes(),
                })),
                _ => exact = None,
            }
        }
        bytes
    }

    #[test]
    fn the_first_line_is_asciicasts() {
        let (_, header) = begun(Some(("xterm", 132, 43)));
        let expected = json!({
            "version": 3, "term": {"cols": 132, "rows": 43, "type": "xterm"}, "timestamp": 1_700_000_000,
            "command": "printf '\u{1b}[31m\u{202e}'", "title": "session",
        });
        assert_eq!(header, expected);
        let (_, header) = begun(None);
        assert_eq!(header["term"], json!({"cols": 80, "rows": 24}));
    }

    #[test]
    fn intervals_are_from_one_event_to_the_next_and_never_negative() {
        let mut cast = terminal();
        let mut lines = cast.output(Stream::Stdout, b"a", at(1500));
        lines.extend(cast.resize(100, 30, at(1750)));
        // Somebody else's clock.
        lines.extend(cast.marker("m", at(1000)));
        lines.extend(cast.input(b"i", at(2000)));
        // Who lies about the future is not believed.
        let lie = Moment {
            at_ns: u64::MAX,
            now_ns: START_NS + 3_000_000_000,
        };
        lines.extend(cast.end(Some(Exit::Status(7)), lie));
        let of = |time, code: &str, text: &str| (time, code.to_owned(), text.to_owned());
        let expected = [
            of(1.5, "o", "a"),
            of(0.25, "r", "100x30"),
            of(0.0, "m", "m"),
            of(0.25, "i", "i"),
            of(1.0, "x", "7"),
        ];
        assert_eq!(events(&lines), expected);
    }

    #[test]
    fn a_character_is_put_together_wherever_it_was_split() {
        let text = "aé€😀\u{10ffff}b\u{7f}\u{9b}\u{0}\"\\\r\n\t\u{2028}";
        for first in 0..text.len() {
            for second in first..text.len() {
                let mut cast = terminal();
                let (head, rest) = text.as_bytes().split_at(first);
                let (middle, tail) = rest.split_at(second - first);
                let mut lines = Vec::new();
                for part in [head, middle, tail] {
                    lines.extend(cast.output(Stream::Stdout, part, at(1)));
                }
                lines.extend(cast.end(None, at(2)));
                let shown: String = events(&lines)
                    .into_iter()
                    .map(|(_, _, text)| text)
                    .collect();
                assert_eq!(shown, text);
                assert!(events(&lines).iter().all(|(_, code, _)| code == "o"));
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_can_be_had_again_exactly() {
        // Every way in which UTF-8 can be wrong, and then anything at all.
        let mut cases: Vec<Vec<u8>> = [
            &b"\xff"[..],
            b"\xc3",
            b"\xe2\x82",
            b"\xf0\x9f\x98",
            b"\xf0\x9f\x98a",
            b"\xc0\x80",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\x80\x80",
            b"a\r\n\xffb\n\r\n",
        ]
        .map(<[u8]>::to_vec)
        .into();
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u8::try_from(seed >> 24).unwrap()
        };
        for _ in 0..200 {
            cases.push((0..next()).map(|_| next()).collect());
        }
        for case in cases {
            for line_ends in [LineEnds::AsTheyAre, LineEnds::AsShown] {
                for size in [1, 2, 3, 7, 300] {
                    let term = (line_ends == LineEnds::AsTheyAre).then_some(("xterm", 80, 24));
                    let mut cast = begun(term).0;
                    let mut lines = Vec::new();
                    for part in case.chunks(size) {
                        lines.extend(cast.output(Stream::Stdout, part, at(1)));
                    }
                    lines.extend(cast.end(None, at(2)));
                    assert_eq!(bytes(&lines, line_ends), case, "{size}");
                }
            }
        }
    }

    #[test]
    fn streams_have_characters_of_their_own_and_a_gap_ends_them() {
        let mut cast = begun(None).0;
        let mut lines = cast.output(Stream::Stdout, b"\xc3", at(1));
        lines.extend(cast.output(Stream::Stderr, b"\xa4", at(2)));
        lines.extend(cast.output(Stream::Stdout, b"\xbc", at(3)));
        lines.extend(cast.output(Stream::Stdout, b"\xe2", at(4)));
        lines.extend(cast.gap("gap", at(5)));
        lines.extend(cast.output(Stream::Stdout, b"\x82\xac", at(6)));
        let codes: Vec<String> = events(&lines)
            .into_iter()
            .map(|(_, code, text)| format!("{code} {text}"))
            .collect();
        let expected = [
            "b pA==",
            "o \u{fffd}",
            "o ü",
            "b 4g==",
            "o \u{fffd}",
            "m gap",
            "b gqw=",
            "o \u{fffd}\u{fffd}",
        ];
        assert_eq!(codes, expected);
    }

    #[test]
    fn no_line_is_longer_than_a_reader_takes() {
        use crate::wire::limits::RECORDING_PART_BYTES;
        for byte in [0, 0xff, b'\n', b'"', 0x9b] {
            let mut cast = begun(None).0;
            let lines = cast.output(Stream::Stdout, &vec![byte; RECORDING_PART_BYTES], at(1));
            let longest = lines.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
            let limit = usize::try_from(super::super::check::LINE_BYTES).unwrap();
            assert!(longest.unwrap() < limit, "{byte}: {longest:?}");
        }
    }
}
