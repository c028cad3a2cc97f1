//! Marks: up to where a file of the trail is on the disk. What is missing before that place was taken away; what is missing
//! after it was lost in a crash.

use std::fmt;

use super::chain::{self, Head};

/// The longest that is read.
pub(super) const MARK_BYTES: u64 = 256;

/// Written over itself after each sync: records, bytes, the last record's hash, the file's id. Always as long, so that what
/// is read during a crash is one or the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) id: String,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) head: Head,
}

impl Mark {
    /// Of a file that is to begin after `head`.
    pub(super) fn at_start(id: String, head: Head) -> Self {
        Self {
            id,
            records: 0,
            bytes: 0,
            head,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mark = Self {
            records: words.next()?.parse().ok()?,
            bytes: words.next()?.parse().ok()?,
            head: chain::from_text(words.next()?.as_bytes())?,
            id: words.next()?.to_owned(),
        };
        words.next().is_none().then_some(mark)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            records,
            bytes,
            head,
        } = self;
        writeln!(f, "{records:>20} {bytes:>20} {} {id}", chain::text(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = Mark {
            id: "ledger/000001.jsonl".to_owned(),
            records: 3,
            bytes: u64::MAX,
            head: [9; 32],
        };
        let text = mark.to_string();
        assert_eq!(Mark::parse(&text), Some(mark.clone()));
        assert_eq!(
            text.len(),
            Mark {
                records: u64::MAX,
                ..mark
            }
            .to_string()
            .len()
        );
        for bad in ["", "1 2", &text[..40], &format!("{text} more")] {
            assert_eq!(Mark::parse(bad), None, "{bad}");
        }
    }
}
