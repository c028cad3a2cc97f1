use std::fmt::Write as _;

use serde_json::Value;

use super::Screen;

/// One line.
pub(super) fn compact(value: &Value, screen: Screen) -> String {
    finished(value.to_string(), screen)
}

/// Indented by two.
pub(super) fn indented(value: &Value, screen: Screen) -> String {
    finished(format!("{value:#}"), screen)
}

fn finished(mut text: String, screen: Screen) -> String {
    text.push('\n');
    match screen {
        Screen::Terminal { .. } => harmless(&text),
        Screen::Pipe => text,
    }
}

/// The same JSON with `\u` for what JSON lets stand in a string and a terminal would obey: DEL, C1 controls, and what
/// reorders text (UAX #9).
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Between two tokens; in a string it would not be JSON.
            '\r' => shown.push(' '),
            '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}' => {
                // Writing to a String cannot fail.
                write!(shown, "\\u{:04x}", u32::from(c)).unwrap_or_default();
            }
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_spelled_in_the_other_way() {
        let text = "{\"a\":\"\u{9b}2J\u{202e}\u{7f}ok\"}";
        let shown = harmless(text);
        assert!(shown.is_ascii(), "{shown}");
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parse(&shown), parse(text));
    }
}
