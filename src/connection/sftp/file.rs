//! What passes through an open file or directory.

use std::time::Instant;

/// An open handle.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) path: Vec<u8>,
    pub(super) what: What,
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
    pub(super) fn new(path: Vec<u8>, what: What) -> Self {
        Self {
            path,
            what,
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
            (What::File, 0, 0) => "open",
            (What::File, _, 0) => "read",
            (What::File, 0, _) => "write",
            (What::File, _, _) => "read-write",
        }
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
