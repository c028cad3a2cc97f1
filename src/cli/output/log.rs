use super::{Colour, Screen, print};
use crate::cli::CliError;
use crate::model::escape;

/// A line that is longer is printed in pieces.
const LINE_BYTES: usize = 1024 * 1024;

/// The longest colour that is let through: `ESC [ 38;2;255;255;255;48;2;255;255;255 m` is shorter.
const COLOUR_BYTES: usize = 48;

/// Prints a log line by line, so that a line that came in part is never printed twice.
pub(in crate::cli) struct Lines {
    screen: Screen,
    pending: Vec<u8>,
    /// Whether the beginning of the pending line is printed already.
    begun: bool,
    /// Whole lines that came, since this was last set.
    pub(in crate::cli) count: u64,
    /// Whole lines that were printed.
    pub(in crate::cli) printed: u64,
    last: Vec<u8>,
    /// The next line is left out if it is the last one again.
    expect_last: bool,
}

impl Lines {
    pub(in crate::cli) fn new(screen: Screen) -> Self {
        Self {
            screen,
            pending: Vec::new(),
            begun: false,
            count: 0,
            printed: 0,
            last: Vec::new(),
            expect_last: false,
        }
    }

    /// Takes the next bytes and prints the lines that they end.
    pub(in crate::cli) fn push(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.pending.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
            let rest = self.pending.split_off(end + 1);
            let line = std::mem::replace(&mut self.pending, rest);
            self.count += 1;
            let again = std::mem::take(&mut self.expect_last) && line == self.last;
            if !again {
                self.printed += 1;
                out.extend(self.shown(&line));
                self.last = line;
            }
            self.begun = false;
        }
        if self.pending.len() > LINE_BYTES {
            let piece = std::mem::take(&mut self.pending);
            out.extend(self.shown(&piece));
            self.begun = true;
        }
        if out.is_empty() { Ok(()) } else { print(&out) }
    }

    /// The log is over: what has no end is printed as well.
    pub(in crate::cli) fn end(&mut self) -> Result<(), CliError> {
        let rest = std::mem::take(&mut self.pending);
        print(&self.shown(&rest))
    }

    /// The log goes on from the last whole line, or from that line itself.
    pub(in crate::cli) fn resume(&mut self, count: u64) -> Result<(), CliError> {
        self.pending.clear();
        self.expect_last = self.printed > 0;
        self.count = count;
        if std::mem::take(&mut self.begun) {
            print(b"\n")?;
        }
        Ok(())
    }

    fn shown(&self, line: &[u8]) -> Vec<u8> {
        match self.screen {
            Screen::Pipe => line.to_vec(),
            Screen::Terminal { colour, .. } => harmless(line, colour),
        }
    }
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
