//! What passes through an open file or directory.

use std::time::Instant;

/// An open handle.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) path: Vec<u8>,
    pub(super) what: What,
    pub(super) flags: Flags,
    pub(super) since: Instant,
    pub(super) read: Flow,
    pub(super) written: Flow,
    /// It was asked to be closed: what comes after that may be for another file.
    pub(super) closing: bool,
    /// The first status that was not good.
    pub(super) failed: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    File,
    Directory,
}

/// The `pflags` of an OPEN, draft §6.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(pub(super) u32);

const APPEND: u32 = 4;
const CREATE: u32 = 8;
const TRUNCATE: u32 = 0x10;
const EXCLUSIVE: u32 = 0x20;

impl Flags {
    /// For the record.
    pub(super) fn words(self) -> Vec<String> {
        let words = [
            (1, "read"),
            (2, "write"),
            (APPEND, "append"),
            (CREATE, "create"),
            (TRUNCATE, "truncate"),
            (EXCLUSIVE, "exclusive"),
        ];
        let set = words.into_iter().filter(|(bit, _)| self.0 & bit != 0);
        set.map(|(_, word)| word.to_owned()).collect()
    }

    /// What opening alone does to a file. open(2) does it without the flag for writing as well.
    pub(super) fn change(self) -> Option<&'static str> {
        let has = |bits| self.0 & bits == bits;
        match () {
            () if has(CREATE | EXCLUSIVE) => Some("create"),
            // One that is made is empty as well: which of both it was the answer does not tell.
            () if has(TRUNCATE) => Some("truncate"),
            () if has(CREATE) => Some("create"),
            () => None,
        }
    }

    /// The same, or that nothing was done but to open it.
    pub(super) fn as_done(self) -> &'static str {
        self.change().unwrap_or("open")
    }
}

/// One direction of an open file.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) bytes: u64,
    digest: Digest,
}

/// Of all bytes from the beginning on, as long as they come in their order.
#[derive(Debug, Default)]
enum Digest {
    #[default]
    Nothing,
    Running {
        next: u64,
        hasher: Box<blake3::Hasher>,
    },
    OutOfOrder,
}

impl Open {
    pub(super) fn new(path: Vec<u8>, what: What, flags: Flags) -> Self {
        Self {
            path,
            what,
            flags,
            since: Instant::now(),
            read: Flow::default(),
            written: Flow::default(),
            closing: false,
            failed: None,
        }
    }

    /// What was really done with it.
    pub(super) fn done(&self) -> &'static str {
        match (self.what, self.read.bytes, self.written.bytes) {
            (What::Directory, ..) => "list",
            (What::File, _, 0) if self.flags.change().is_some() => self.flags.as_done(),
            (What::File, 0, 0) => "open",
            (What::File, _, 0) => "read",
            (What::File, 0, _) => "write",
            (What::File, _, _) => "read-write",
        }
    }
}

impl Open {
    /// Whether something is different from before.
    pub(super) fn has_changed(&self) -> bool {
        self.written.bytes > 0 || self.flags.change().is_some()
    }
}

impl Flow {
    /// Bytes at `offset` of the file, or more of those.
    pub(super) fn pass(&mut self, offset: u64, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
        if matches!(self.digest, Digest::Nothing) && offset == 0 {
            self.digest = Digest::Running {
                next: 0,
                hasher: Box::default(),
            };
        }
        match &mut self.digest {
            Digest::Running { next, hasher } if *next == offset => {
                hasher.update(bytes);
                *next = offset.saturating_add(length);
            }
            other => *other = Digest::OutOfOrder,
        }
    }

    /// Bytes that were not looked at.
    pub(super) fn count(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.digest = Digest::OutOfOrder;
    }

    /// Something of it failed: what is in the file is not what passed.
    pub(super) fn spoil(&mut self) {
        self.digest = Digest::OutOfOrder;
    }

    /// The hex BLAKE3 of all of it, if it came in order from the beginning.
    pub(super) fn blake3(&self) -> Option<String> {
        match &self.digest {
            Digest::Running { hasher, .. } => Some(hasher.finalize().to_hex().to_string()),
            Digest::Nothing | Digest::OutOfOrder => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_all_bytes_in_order_or_there_is_none() {
        let mut flow = Flow::default();
        assert_eq!(flow.blake3(), None);
        flow.pass(0, b"ab");
        flow.pass(2, b"c");
        assert_eq!(
            flow.blake3().unwrap(),
            blake3::hash(b"abc").to_hex().as_str()
        );
        flow.pass(2, b"c");
        assert_eq!((flow.blake3(), flow.bytes), (None, 4));
        let mut late = Flow::default();
        late.pass(1, b"x");
        late.pass(0, b"x");
        assert_eq!(late.blake3(), None);
    }
}
