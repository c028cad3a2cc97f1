use std::borrow::Cow;
use std::fmt::Write as _;

/// Text with its percent-encoding taken off (RFC 3986 §2.1), where each escaped character is one of `fits`. Letters, digits
/// and what else needs no escape in any place (§2.3) must have none: who encodes that, or encodes twice, hides something.
pub(super) fn decoded(text: &str, fits: impl Fn(char) -> bool) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, escapes)) = rest.split_once('%') {
        out.push_str(before);
        let (c, length) = character(escapes)?;
        if is_unreserved(c) || !fits(c) {
            return None;
        }
        out.push(c);
        rest = escapes.get(length..)?;
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// The character whose UTF-8 begins behind a `%`, and how much of the text its escapes take.
fn character(escapes: &str) -> Option<(char, usize)> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    for escape in escapes.split('%').take(4) {
        let digits = escape.get(..2)?;
        // from_str_radix takes a sign.
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        length += 2;
        if let Ok(text) = std::str::from_utf8(&bytes) {
            return Some((text.chars().next()?, length));
        }
        if escape.len() > 2 {
            return None;
        }
        length += 1;
    }
    None
}

/// RFC 3986 §2.3.
fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~".contains(c)
}

/// Text in which everything but letters, digits and `plain` is escaped.
pub(super) fn encoded(text: &str, plain: &[u8]) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            true => out.push(char::from(byte)),
            // Writing to a String cannot fail.
            false => write!(out, "%{byte:02X}").unwrap_or_default(),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        for text in ["", "abc", "a b", "[1]", "ä€😀", "100% of a/b", "a+b=c&d"] {
            let encoded = encoded(text, b"");
            assert!(encoded.is_ascii(), "{encoded}");
            assert_eq!(decoded(&encoded, |_| true).as_deref(), Some(text));
        }
        assert_eq!(encoded("a:b c", b":"), "a:b%20c");
        assert_eq!(decoded("%c3%a4%5b", |_| true).as_deref(), Some("ä["));
    }

    #[test]
    fn an_escape_that_is_none_or_hides_something_is_refused() {
        for bad in [
            "%",
            "%2",
            "%2x",
            "%+1",
            "a%",
            "%%20",
            "%41",
            "%2e",
            "%7E",
            "%c3",
            "%c3a4",
            "%c3%28",
            "%a4",
            "%c0%af",
            "%ed%a0%80",
            "%f0%9f%98",
            "%f8%88%80%80%80",
        ] {
            assert_eq!(decoded(bad, |_| true), None, "{bad}");
        }
        assert_eq!(decoded("a%2Fb", |c| c != '/'), None);
    }
}
