//! The chain of a recording: every so often a line that follows from all before it. `docs/audit.md` defines it.

use sha2::{Digest, Sha256};

use crate::audit::chain::{self, Head};

const DOMAIN: &[u8] = b"hassio-sshd recording 1\0";
const BEGINNING: &str = "# head ";
/// How much stands between two heads: what is lost of the proof where a file is cut in the middle.
const APART_BYTES: u64 = 64 * 1024;

/// The heads of one recording, up to where it was read or written.
#[derive(Clone)]
pub(super) struct Heads {
    id: String,
    last: Head,
    hash: Sha256,
    since: u64,
}

impl Heads {
    /// Of the file `id` at its beginning.
    pub(super) fn new(id: &str) -> Self {
        let mut heads = Self {
            id: id.to_owned(),
            last: chain::START,
            hash: Sha256::new(),
            since: 0,
        };
        heads.begin();
        heads
    }

    fn begin(&mut self) {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(self.id.as_bytes());
        hash.update(self.last);
        (self.hash, self.since) = (hash, 0);
    }

    /// Takes what stands in the file and is no head.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.since += u64::try_from(bytes.len()).unwrap_or(0);
    }

    /// Whether it is time for a head.
    pub(super) fn is_due(&self) -> bool {
        self.since >= APART_BYTES
    }

    /// Whether nothing stands after the last head.
    pub(super) fn is_closed(&self) -> bool {
        self.since == 0
    }

    /// The head over all up to here.
    pub(super) fn next(&mut self) -> Head {
        let hash = std::mem::take(&mut self.hash);
        self.last = hash.finalize().into();
        self.begin();
        self.last
    }

    /// The last one.
    pub(super) fn last(&self) -> Head {
        self.last
    }
}

/// The line of a head.
pub(super) fn line(head: &Head) -> Vec<u8> {
    format!("{BEGINNING}{}\n", chain::text(head)).into_bytes()
}

/// A line without its end, if it is one of a head.
pub(super) fn from_line(line: &[u8]) -> Option<Head> {
    chain::from_text(line.strip_prefix(BEGINNING.as_bytes())?)
}
