use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher as _};

use super::{Colour, Screen, print};
use crate::cli::CliError;
use crate::model::escape;

/// A line that is longer is printed in pieces.
const LINE_BYTES: usize = 1024 * 1024;

/// The longest colour that is let through: `ESC [ 38;2;255;255;255;48;2;255;255;255 m` is shorter.
const COLOUR_BYTES: usize = 48;

/// How many lines are known again. Of those since a place in the journal this many may be further lines of an entry of several,
/// and the log still goes on without asking for all of them.
const TAIL_LINES: usize = 256;

/// Prints a log line by line, so that a line that came in part, or that came before, is never printed twice.
pub(in crate::cli) struct Lines {
    screen: Screen,
    pending: Vec<u8>,
    /// Whether the beginning of the pending line is printed already.
    begun: bool,
    /// Whole lines that were printed.
    pub(in crate::cli) printed: u64,
    /// What the last of them were; [`TAIL_LINES`] at most.
    tail: VecDeque<u64>,
    /// A place in the journal, and how many lines were printed since.
    place: Option<String>,
    count: usize,
    repeats: Repeats,
}

/// From where a log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum From {
    /// From before its last lines: an entry has a line at least, so whoever leaves out some entries less than there were lines
    /// gets one of these, unless entries have so many lines that none is left.
    Tail,
    /// From the place: all lines since then come again.
    Place,
    /// From its end.
    End,
}

/// Whether an answer goes on with what was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::cli) enum Fit {
    Yes,
    /// It does not, and nothing of it was printed.
    No,
}

/// What of an answer was printed before.
enum Repeats {
    /// Nothing more.
    None,
    /// Some of the tail; what came so far, and the place where the answer begins.
    Tail {
        lines: Vec<(u64, Vec<u8>)>,
        place: Option<String>,
    },
    /// All lines since the place; so many came so far.
    Place(usize),
}

impl Lines {
    pub(in crate::cli) fn new(screen: Screen) -> Self {
        Self {
            screen,
            pending: Vec::new(),
            begun: false,
            printed: 0,
            tail: VecDeque::new(),
            place: None,
            count: 0,
            repeats: Repeats::None,
        }
    }

    /// Where the log can go on, as the Supervisor takes it; `None` if it never said where it was.
    pub(in crate::cli) fn range(&self, from: From) -> Option<String> {
        let skip = match from {
            From::Tail => self.count - self.known(),
            From::Place => 0,
            From::End => return Some("entries=:-1:".to_owned()),
        };
        let place = self.place.as_ref()?;
        Some(format!("entries={place}:{skip}:"))
    }

    /// Whether the lines that are known repeat each other so that where one goes on cannot be told from them: an app that
    /// prints the same again and again.
    pub(in crate::cli) fn repeats_itself(&self) -> bool {
        let known: Vec<u64> = self.tail.iter().rev().take(self.known()).copied().collect();
        (1..=known.len() / 2).any(|shift| {
            let shifted = known.get(shift..).unwrap_or_default();
            known.iter().zip(shifted).all(|(one, other)| one == other)
        })
    }

    /// How many of the lines since the place are known again.
    fn known(&self) -> usize {
        self.tail.len().min(self.count)
    }

    /// An answer begins, at a place that has a name perhaps.
    pub(in crate::cli) fn begin(
        &mut self,
        from: From,
        place: Option<String>,
    ) -> Result<(), CliError> {
        self.pending.clear();
        self.repeats = match from {
            From::Tail if self.known() > 0 => Repeats::Tail {
                lines: Vec::new(),
                place,
            },
            From::Place if self.known() > 0 => Repeats::Place(0),
            From::Tail | From::Place => {
                // Nothing was printed since the place.
                self.place = place.or(self.place.take());
                Repeats::None
            }
            From::End => {
                (self.place, self.count) = (place, 0);
                Repeats::None
            }
        };
        if std::mem::take(&mut self.begun) {
            print(b"\n")?;
        }
        Ok(())
    }

    /// Takes the next bytes and prints the lines that they end.
    pub(in crate::cli) fn push(&mut self, bytes: &[u8]) -> Result<Fit, CliError> {
        self.pending.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
            let rest = self.pending.split_off(end + 1);
            let line = std::mem::replace(&mut self.pending, rest);
            if self.sift(line, &mut out) == Fit::No {
                return Ok(Fit::No);
            }
        }
        if self.pending.len() > LINE_BYTES {
            if !matches!(self.repeats, Repeats::None) {
                // Printed in pieces, it is not known again.
                return Ok(Fit::No);
            }
            let piece = std::mem::take(&mut self.pending);
            out.extend(self.shown(&piece));
            self.begun = true;
        }
        if !out.is_empty() {
            print(&out)?;
        }
        Ok(Fit::Yes)
    }

    /// Tells a line that was printed from one that is new.
    fn sift(&mut self, line: Vec<u8>, out: &mut Vec<u8>) -> Fit {
        let (known, before) = (self.known(), self.tail.len() - self.known());
        match &mut self.repeats {
            Repeats::None => {
                self.take(line, out);
                Fit::Yes
            }
            Repeats::Place(seen) => {
                let at = *seen;
                *seen += 1;
                // The oldest of them are no longer known.
                let was = at.checked_sub(self.count - known);
                let was = was.and_then(|at| self.tail.get(before + at));
                if was.is_some_and(|was| *was != hash(&line)) {
                    return Fit::No;
                }
                if at + 1 >= self.count {
                    self.repeats = Repeats::None;
                }
                Fit::Yes
            }
            Repeats::Tail { lines, place } => {
                lines.push((hash(&line), line));
                // The answer begins with some line of the tail, and goes on as that does; where several would do, the first counts.
                let same = |from: &usize| {
                    let tail = self.tail.iter().skip(*from);
                    tail.zip(lines.iter()).all(|(was, (is, _))| was == is)
                };
                let Some(from) = (before..self.tail.len()).find(same) else {
                    return Fit::No;
                };
                let repeated = self.tail.len() - from;
                if lines.len() >= repeated {
                    let (lines, place) = (std::mem::take(lines), place.take());
                    self.repeats = Repeats::None;
                    if place.is_some() {
                        (self.place, self.count) = (place, repeated);
                    }
                    for (_, line) in lines.into_iter().skip(repeated) {
                        self.take(line, out);
                    }
                }
                Fit::Yes
            }
        }
    }

    /// A line that was not there yet.
    fn take(&mut self, line: Vec<u8>, out: &mut Vec<u8>) {
        self.count += 1;
        self.printed += 1;
        if self.tail.len() >= TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(hash(&line));
        out.extend(self.shown(&line));
        self.begun = false;
    }

    /// The log is over: what has no end is printed as well.
    pub(in crate::cli) fn end(&mut self) -> Result<(), CliError> {
        let rest = std::mem::take(&mut self.pending);
        print(&self.shown(&rest))
    }

    fn shown(&self, line: &[u8]) -> Vec<u8> {
        match self.screen {
            Screen::Pipe => line.to_vec(),
            Screen::Terminal { colour, .. } => harmless(line, colour),
        }
    }
}

fn hash(line: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(line);
    hasher.finish()
}

/// A line for a terminal: colours stay, and end with the line; every other control is escaped.
fn harmless(line: &[u8], colour: Colour) -> Vec<u8> {
    let (text, end) = match line.strip_suffix(b"\n") {
        Some(text) => (text.strip_suffix(b"\r").unwrap_or(text), "\n"),
        None => (line, ""),
    };
    let mut out = String::new();
    let mut coloured = false;
    let mut rest = text;
    while let Some(at) = rest.iter().position(|b| matches!(b, 0x1b | b'\t')) {
        let (before, from) = rest.split_at(at);
        push(&mut out, before);
        if let Some(after) = from.strip_prefix(b"\t") {
            out.push('\t');
            rest = after;
        } else if let Some(length) = sgr(from) {
            let (code, after) = from.split_at(length);
            if colour == Colour::On {
                out.push_str(&String::from_utf8_lossy(code));
                coloured = code != b"\x1b[0m" && code != b"\x1b[m";
            }
            rest = after;
        } else {
            out.push_str("\\x1b");
            rest = from.get(1..).unwrap_or_default();
        }
    }
    push(&mut out, rest);
    if coloured {
        out.push_str("\u{1b}[0m");
    }
    out.push_str(end);
    out.into_bytes()
}

/// A backslash in a log stays one.
fn push(out: &mut String, bytes: &[u8]) {
    out.push_str(&escape(bytes, usize::MAX).replace("\\\\", "\\"));
}

/// The length of a colour (ECMA-48 SGR) at the beginning.
fn sgr(bytes: &[u8]) -> Option<usize> {
    let parameters = bytes.strip_prefix(b"\x1b[")?;
    let length = parameters
        .iter()
        .take(COLOUR_BYTES)
        .position(|b| !(b.is_ascii_digit() || matches!(b, b';' | b':')))?;
    (parameters.get(length) == Some(&b'm')).then_some(length + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(line: &str) -> String {
        String::from_utf8(harmless(line.as_bytes(), Colour::On)).unwrap()
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_to_be_known_again() {
        for from in [From::Tail, From::Place] {
            let mut lines = Lines::new(Screen::Pipe);
            lines.take(b"known\n".to_vec(), &mut Vec::new());
            lines.begin(from, Some("s=1".to_owned())).unwrap();
            assert_eq!(lines.push(&vec![b'x'; LINE_BYTES]).unwrap(), Fit::Yes);
            assert_eq!(lines.push(b"x").unwrap(), Fit::No, "{from:?}");
        }
    }

    #[test]
    fn colours_pass_and_nothing_else_does() {
        for (line, expected) in [
            ("plain\n", "plain\n"),
            ("\u{1b}[32mgreen\u{1b}[0m\n", "\u{1b}[32mgreen\u{1b}[0m\n"),
            ("\u{1b}[1;31mred\n", "\u{1b}[1;31mred\u{1b}[0m\n"),
            ("a\tb\r\n", "a\tb\n"),
            ("\u{1b}[2Jx\n", "\\x1b[2Jx\n"),
            ("\u{1b}]0;title\u{7}\n", "\\x1b]0;title\\x07\n"),
            ("\u{9b}2J\u{202e}\n", "\\u{9b}2J\\u{202e}\n"),
            (
                "\u{1b}[6n\u{1b}[?1049h\u{1b}c\n",
                "\\x1b[6n\\x1b[?1049h\\x1bc\n",
            ),
            ("\u{1b}[31", "\\x1b[31"),
            ("a\rb", "a\\x0db"),
            ("C:\\x", "C:\\x"),
        ] {
            assert_eq!(on(line), expected);
        }
        assert_eq!(harmless(b"\x1b[32mx\x1b[0m", Colour::Off), b"x");
    }
}
