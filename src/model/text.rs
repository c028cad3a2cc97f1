use std::fmt::Write as _;

/// Makes text from a peer fit for a log, a record or a terminal: controls (C0, DEL, C1), line and paragraph
/// separators, bidirectional controls and backslashes are written as `\xNN` or `\u{N}`; the rest stays. At most
/// `limit_bytes` of the result are kept, then an ellipsis follows.
#[must_use]
pub fn escape(bytes: &[u8], limit_bytes: usize) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if out.len() >= limit_bytes {
                return ellipsis(out);
            }
            match c {
                '\\' => out.push_str("\\\\"),
                c if c.is_ascii_control() => {
                    push_hex(&mut out, &[u8::try_from(u32::from(c)).unwrap_or(b'?')])
                }
                c if is_hostile(c) => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        }
        if out.len() >= limit_bytes && !chunk.invalid().is_empty() {
            return ellipsis(out);
        }
        push_hex(&mut out, chunk.invalid());
    }
    out
}

/// The longest prefix of `text` that is at most `limit_bytes` long and ends at a character's border.
#[must_use]
pub fn cut(text: &str, limit_bytes: usize) -> &str {
    let end = (0..=limit_bytes.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

fn ellipsis(mut out: String) -> String {
    out.push('…');
    out
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        write!(out, "\\x{byte:02x}").unwrap_or_default();
    }
}

/// C1 controls, separators that end a line for some readers, and what reorders text (UAX #9).
#[must_use]
pub fn is_hostile(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_cannot_drive_a_terminal() {
        assert_eq!(
            escape(b"a\x1b]0;x\x07\r\n\xff\x7f", 100),
            r"a\x1b]0;x\x07\x0d\x0a\xff\x7f"
        );
        assert_eq!(
            escape("a\u{9b}\u{202e}b\\".as_bytes(), 100),
            r"a\u{9b}\u{202e}b\\"
        );
        assert_eq!(escape("grüße".as_bytes(), 100), "grüße");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(escape(&[b'x'; 50], 10), format!("{}…", "x".repeat(10)));
        assert!(escape(&[0xff; 5000], 10).len() < 30_000);
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("abc", 9), "abc");
    }
}
