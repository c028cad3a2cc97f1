//! What of a program's output may reach the reader's terminal: text, colours, the movement of the cursor, erasing.
//!
//! It is a list of what passes. Whatever is not on it is dropped: titles and clipboard (OSC), questions that the terminal
//! would answer as if the reader typed (DSR, DA, DECRQM), strings (DCS, APC, PM, SOS), modes, tab stops, resets, links.
//! What passes is written anew from what was understood, never copied.

use std::fmt::Write as _;

use vte::{Params, Parser, Perform};

use crate::model::is_hostile;

/// The greatest number that is passed on: more than any terminal has lines or columns, and quick where it repeats.
const MOST: u16 = 2000;

/// Turns what a program wrote into what may be shown.
pub struct Screen {
    parser: Parser,
    filter: Allowed,
}

/// What a terminal must be brought back from.
#[derive(Default)]
struct Allowed {
    out: String,
    /// G0 and G1: whether they are the line-drawing set. No terminal is switched to it: characters are translated.
    drawing: [bool; 2],
    /// Which of the two is in use.
    shifted: bool,
    /// Whether the cursor was put somewhere.
    moved: bool,
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

impl Screen {
    /// One that nothing was shown on yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            parser: Parser::new(),
            filter: Allowed::default(),
        }
    }

    /// What may be shown of `text`. A sequence may begin in one text and end in another.
    pub fn pass(&mut self, text: &str) -> String {
        self.parser.advance(&mut self.filter, text.as_bytes());
        std::mem::take(&mut self.filter.out)
    }

    /// What leaves the terminal as it should be: no colours, all of it scrolls, the cursor below what was shown.
    #[must_use]
    pub fn restore(&self) -> String {
        // Setting the margins moves the cursor, so it is kept over that (DECSC, DECSTBM, DECRC).
        let mut text = "\u{1b}[0m\u{1b}7\u{1b}[r\u{1b}8".to_owned();
        if self.filter.moved {
            text.push_str("\u{1b}[999;1H");
        }
        text.push_str("\r\n");
        text
    }
}

impl Allowed {
    fn push(&mut self, sequence: &str) {
        self.out.push_str(sequence);
    }

    /// A control sequence with the numbers that were understood.
    fn control(&mut self, params: &Params, limit: Option<u16>, action: char) {
        self.out.push_str("\u{1b}[");
        for (index, param) in params.iter().enumerate() {
            if index > 0 {
                self.out.push(';');
            }
            for (nth, value) in param.iter().enumerate() {
                let colon = if nth > 0 { ":" } else { "" };
                let value = limit.map_or(*value, |limit| limit.min(*value));
                // Writing to a String cannot fail.
                write!(self.out, "{colon}{value}").unwrap_or_default();
            }
        }
        self.out.push(action);
    }

    /// The alternate screen is not entered; what it begins and ends with is an empty one.
    fn mode(&mut self, params: &Params) {
        let alternate = params
            .iter()
            .any(|param| matches!(param, [47 | 1047 | 1049]));
        if alternate {
            self.moved = true;
            self.push("\u{1b}[0m\u{1b}[r\u{1b}[2J\u{1b}[H");
        }
    }
}

impl Perform for Allowed {
    fn print(&mut self, c: char) {
        let drawing = if self.shifted {
            self.drawing[1]
        } else {
            self.drawing[0]
        };
        match drawn(c).filter(|_| drawing) {
            Some(line) => self.out.push(line),
            None if c.is_control() || is_hostile(c) => {}
            None => self.out.push(c),
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.out.push('\r'),
            // VT and FF are line feeds to a terminal.
            b'\n' | 0x0b | 0x0c => self.out.push('\n'),
            b'\t' => self.out.push('\t'),
            0x08 => self.out.push('\u{8}'),
            0x0e => self.shifted = true,
            0x0f => self.shifted = false,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if ignore {
            return;
        }
        match (intermediates, action) {
            // SGR.
            ([], 'm') => self.control(params, None, action),
            // CUU CUD CUF CUB CNL CPL CHA CHT CBT HPA HPR VPA VPR: movement within the line or by lines.
            ([], 'A'..='G' | 'I' | 'Z' | '`' | 'a' | 'd' | 'e') => {
                self.control(params, Some(MOST), action);
            }
            // CUP HVP; DECSTBM, which is taken back at the end; SCOSC SCORC without numbers: with them it is a margin.
            ([], 'H' | 'f' | 'r') => {
                self.moved = true;
                self.control(params, Some(MOST), action);
            }
            ([], 's' | 'u') if params.len() <= 1 => {
                self.push(if action == 's' { "\u{1b}7" } else { "\u{1b}8" });
            }
            // ED but for 3, which would erase what the reader had on the screen before; EL ECH.
            ([], 'J') if params.iter().all(|param| matches!(param, [0..=2])) => {
                self.control(params, Some(MOST), action);
            }
            // EL ECH ICH DCH IL DL SU SD REP.
            ([], 'K' | 'X' | '@' | 'P' | 'L' | 'M' | 'S' | 'b') => {
                self.control(params, Some(MOST), action);
            }
            // With more numbers it begins the tracking of the mouse.
            ([], 'T') if params.len() <= 1 => self.control(params, Some(MOST), action),
            ([b'?'], 'h' | 'l') => self.mode(params),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], ignore: bool, byte: u8) {
        if ignore {
            return;
        }
        match (intermediates, byte) {
            // DECSC DECRC IND NEL RI.
            ([], b'7') => self.push("\u{1b}7"),
            ([], b'8') => self.push("\u{1b}8"),
            ([], b'D') => self.push("\u{1b}D"),
            ([], b'E') => self.push("\u{1b}E"),
            ([], b'M') => self.push("\u{1b}M"),
            (b"(", set) => self.drawing[0] = set == b'0',
            (b")", set) => self.drawing[1] = set == b'0',
            _ => {}
        }
    }
}

/// The line-drawing set of the VT100.
fn drawn(c: char) -> Option<char> {
    Some(match c {
        '`' => '◆',
        'a' => '▒',
        'f' => '°',
        'g' => '±',
        'j' => '┘',
        'k' => '┐',
        'l' => '┌',
        'm' => '└',
        'n' => '┼',
        'o' => '⎺',
        'p' => '⎻',
        'q' => '─',
        'r' => '⎼',
        's' => '⎽',
        't' => '├',
        'u' => '┤',
        'v' => '┴',
        'w' => '┬',
        'x' => '│',
        'y' => '≤',
        'z' => '≥',
        '{' => 'π',
        '|' => '≠',
        '}' => '£',
        '~' => '·',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(text: &str) -> String {
        Screen::new().pass(text)
    }

    #[test]
    fn text_colours_movement_and_erasing_pass() {
        for text in [
            "grüße 漢字 🙂\r\n\ttab\u{8}",
            "\u{1b}[1;31mred\u{1b}[0m",
            "\u{1b}[38;2;1;2;3mx\u{1b}[48;5;200my",
            "\u{1b}[4:3mcurly",
            "\u{1b}[2J\u{1b}[0H\u{1b}[10;20Hx\u{1b}[3A\u{1b}[0K",
            "\u{1b}[5L\u{1b}[2M\u{1b}[3P\u{1b}[4@\u{1b}[2;20r",
            "\u{1b}7\u{1b}[1;1Hx\u{1b}8\u{1b}M",
        ] {
            assert_eq!(pass(text), text);
        }
        // A number that is left out is 0, which means the same.
        assert_eq!(pass("\u{1b}[m\u{1b}[H"), "\u{1b}[0m\u{1b}[0H");
        assert_eq!(pass("\u{1b}(0lqk\u{1b}(Bq\u{1b})0\u{e}x\u{f}x"), "┌─┐q│x");
        assert_eq!(pass("\u{1b}[60000A"), "\u{1b}[2000A");
    }

    #[test]
    fn nothing_else_does() {
        for hostile in [
            "\u{1b}]0;title\u{7}",
            "\u{1b}]2;title\u{1b}\\",
            "\u{1b}]52;c;cm0gLXJmIC8=\u{7}",
            "\u{1b}]8;;https://example.org\u{1b}\\",
            "\u{1b}]50;font\u{7}",
            "\u{1b}]1337;File=:AAAA\u{7}",
            "\u{9d}0;title\u{9c}",
            "\u{1b}[6n",
            "\u{1b}[5n",
            "\u{1b}[c",
            "\u{1b}[>c",
            "\u{1b}[=c",
            "\u{1b}[?6n",
            "\u{1b}[x",
            "\u{1b}[21t",
            "\u{1b}[3;0;0t",
            "\u{1b}[?2026$p",
            "\u{1b}[>4;2m",
            "\u{1b}[>1u",
            "\u{1b}[?1000h",
            "\u{1b}[?1006l",
            "\u{1b}[?2004h",
            "\u{1b}[?25l",
            "\u{1b}[?7l",
            "\u{1b}[4h",
            "\u{1b}[20h",
            "\u{1b}[3J",
            "\u{1b}[2;3s",
            "\u{1b}[1;2;3;4;5T",
            "\u{1b}[!p",
            "\u{1b}[61\"p",
            "\u{1b}[5 q",
            "\u{1b}[3g",
            "\u{1b}[i",
            "\u{1b}[5i",
            "\u{1b}[1;2'z",
            "\u{1b}[1;1;1;1;1$r",
            "\u{1b}c",
            "\u{1b}H",
            "\u{1b}Z",
            "\u{1b}=",
            "\u{1b}>",
            "\u{1b}n",
            "\u{1b}#8",
            "\u{1b}%G",
            "\u{1b}*0",
            "\u{1b}P$q\"p\u{1b}\\",
            "\u{1b}Pq#0;2;0;0;0~\u{1b}\\",
            "\u{1b}P+q544e\u{1b}\\",
            "\u{1b}_Gi=1;AAAA\u{1b}\\",
            "\u{1b}^private\u{1b}\\",
            "\u{1b}Xstring\u{1b}\\",
            "\u{7}",
            "\u{5}",
            "\u{0}",
            "\u{7f}",
            "\u{9b}6n",
            "\u{90}q\u{9c}",
            "\u{85}",
            "\u{202e}\u{2066}\u{200f}\u{feff}\u{2028}",
        ] {
            let passed = pass(hostile);
            // Without the controls that begin and end it, what is left is text to be seen.
            assert!(
                passed.chars().all(|c| !c.is_control() && !is_hostile(c)),
                "{hostile:?} gave {passed:?}"
            );
            // And what follows it is not taken for a part of it.
            let after = pass(&format!("{hostile}\u{1b}[31mred"));
            assert!(after.ends_with("\u{1b}[31mred"), "{hostile:?}: {after:?}");
        }
    }

    #[test]
    fn a_sequence_in_pieces_is_one_sequence() {
        let text = "\u{1b}]0;a title\u{7}x\u{1b}[1;31mred\u{1b}[6n\u{1b}[?1049hé";
        let whole = pass(text);
        let mut screen = Screen::new();
        let pieces: String = text.chars().map(|c| screen.pass(&c.to_string())).collect();
        assert_eq!(pieces, whole);
        assert_eq!(whole, "x\u{1b}[1;31mred\u{1b}[0m\u{1b}[r\u{1b}[2J\u{1b}[Hé");
    }

    #[test]
    fn an_endless_string_takes_no_memory_and_shows_nothing() {
        let mut screen = Screen::new();
        assert_eq!(screen.pass("\u{1b}]0;"), "");
        for _ in 0..2000 {
            assert_eq!(screen.pass(&"x".repeat(10_000)), "");
        }
        assert_eq!(screen.pass("\u{1b}\\after"), "after");
    }

    #[test]
    fn whatever_is_shown_is_on_the_list() {
        // All pairs of an introducer with every byte, and every final byte with every private mark.
        let mut screen = Screen::new();
        for first in 0u8..=255 {
            for second in 0u8..=255 {
                let text: String = [
                    '\u{1b}',
                    char::from(first),
                    char::from(second),
                    'z',
                    '\u{18}',
                ]
                .into_iter()
                .collect();
                listed(&screen.pass(&text));
                let text: String = [
                    '\u{1b}',
                    '[',
                    char::from(first),
                    '1',
                    ';',
                    '9',
                    char::from(second),
                    '\u{18}',
                ]
                .into_iter()
                .collect();
                listed(&screen.pass(&text));
            }
        }
    }

    /// Text, the controls that move, and nothing but these sequences.
    fn listed(text: &str) {
        let mut rest = text;
        while let Some(escape) = rest.find('\u{1b}') {
            plain(&rest[..escape]);
            let sequence = &rest[escape + 1..];
            let length = if let Some(control) = sequence.strip_prefix('[') {
                let end = control
                    .find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')
                    .unwrap();
                let last = control[end..].chars().next().unwrap();
                assert!("mABCDEFGIZ`adeHfrJKX@PLMSTb".contains(last), "{text:?}");
                end + 2
            } else {
                assert!(sequence.starts_with(['7', '8', 'D', 'E', 'M']), "{text:?}");
                1
            };
            rest = &sequence[length..];
        }
        plain(rest);
    }

    fn plain(text: &str) {
        let fine = |c: char| "\r\n\t\u{8}".contains(c) || (!c.is_control() && !is_hostile(c));
        assert!(text.chars().all(fine), "{text:?}");
    }
}
