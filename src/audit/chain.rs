//! The hash chain of a file. `docs/audit.md` defines it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

const DOMAIN: &[u8] = b"hassio-sshd audit 1\0";
const BEFORE_HASH: &[u8] = b",\"hash\":\"";
const BEFORE_PREV: &[u8] = b",\"prev\":\"";
/// The length of 32 bytes in base64 without padding.
const TEXT_LENGTH: usize = 43;

/// A record's hash, and the `prev` of the next one.
pub type Head = [u8; 32];

/// What the first record of a session's file follows.
pub const START: Head = [0; 32];

/// The hash of the record whose line is `body` up to its hash, in the file `id`, after `prev`.
#[must_use]
pub fn next(id: &str, prev: &Head, body: &[u8]) -> Head {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(id.as_bytes());
    hash.update(prev);
    hash.update(body);
    hash.finalize().into()
}

/// As records write it.
#[must_use]
pub fn text(head: &Head) -> String {
    URL_SAFE_NO_PAD.encode(head)
}

/// As records write it, read.
#[must_use]
pub fn from_text(text: &[u8]) -> Option<Head> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// Adds `prev` and `hash` to a record that is written up to there, without its closing brace.
#[must_use]
pub fn seal(id: &str, prev: &Head, mut body: Vec<u8>) -> (Vec<u8>, Head) {
    body.extend(BEFORE_PREV);
    body.extend(text(prev).as_bytes());
    body.push(b'"');
    let head = next(id, prev, &body);
    body.extend(BEFORE_HASH);
    body.extend(text(&head).as_bytes());
    body.extend(b"\"}\n");
    (body, head)
}

/// What [`seal`] adds.
pub const SEAL_BYTES: usize = BEFORE_PREV.len() + BEFORE_HASH.len() + 2 * TEXT_LENGTH + 4;

/// A line without its newline, taken apart: the bytes that are hashed, the `prev` and the `hash` that it claims.
#[must_use]
pub fn parts(line: &[u8]) -> Option<(&[u8], Head, Head)> {
    let (body, claimed) = tail(line.strip_suffix(b"}")?, BEFORE_HASH)?;
    let (_, prev) = tail(body, BEFORE_PREV)?;
    Some((body, prev, claimed))
}

/// Splits `bytes` before `mark`, if a text of a hash's length and a quotation mark follow it and are all that does.
fn tail<'b>(bytes: &'b [u8], mark: &[u8]) -> Option<(&'b [u8], Head)> {
    let quoted = bytes.strip_suffix(b"\"")?;
    let (rest, text) = quoted.split_at_checked(quoted.len().checked_sub(TEXT_LENGTH)?)?;
    Some((rest.strip_suffix(mark)?, from_text(text)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_taken_apart_again() {
        let prev = [7; 32];
        let (line, head) = seal("ledger/000001.jsonl", &prev, b"{\"v\":1".to_vec());
        assert_eq!(line.len(), 6 + SEAL_BYTES);
        let line = line.strip_suffix(b"\n").unwrap();
        let (body, found_prev, found_head) = parts(line).unwrap();
        assert_eq!((found_prev, found_head), (prev, head));
        assert_eq!(next("ledger/000001.jsonl", &prev, body), head);
        assert_ne!(
            next("ledger/000002.jsonl", &prev, body),
            head,
            "a file cannot stand for another"
        );
        assert!(parts(&line[1..line.len() - 1]).is_none());
        assert!(parts(b"}").is_none());
        assert!(parts(b"").is_none());
    }

    #[test]
    fn the_hash_is_the_one_of_the_documentation() {
        // Computed with Python's hashlib from the words of docs/audit.md.
        let head = next("ledger/000001.jsonl", &START, b"{\"v\":1");
        assert_eq!(text(&head), "MFPTFelNCC1DeJx54cP16DZrfmy6IEZOmb_iKJPi1ro");
    }
}
