//! Packets of SFTP version 3, draft-ietf-secsh-filexfer-02 §3, cut out of a stream without being stored.

/// What OpenSSH's sftp-server and clients accept (SFTP_MAX_MSG_LENGTH, sftp-common.h).
const LONGEST: u32 = 256 * 1024;
/// How much of a packet without bulk is kept: two paths of PATH_MAX, and attributes. What lies behind is of no interest.
const HEAD: usize = 2 * 4096 + 1024;
/// The longest handle, draft §6.2.
pub(super) const HANDLE: u32 = 256;

/// The types that matter here, draft §3.
pub(super) mod kind {
    pub(in crate::connection::sftp) const INIT: u8 = 1;
    pub(in crate::connection::sftp) const VERSION: u8 = 2;
    pub(in crate::connection::sftp) const OPEN: u8 = 3;
    pub(in crate::connection::sftp) const CLOSE: u8 = 4;
    pub(in crate::connection::sftp) const READ: u8 = 5;
    pub(in crate::connection::sftp) const WRITE: u8 = 6;
    pub(in crate::connection::sftp) const LSTAT: u8 = 7;
    pub(in crate::connection::sftp) const FSTAT: u8 = 8;
    pub(in crate::connection::sftp) const SETSTAT: u8 = 9;
    pub(in crate::connection::sftp) const FSETSTAT: u8 = 10;
    pub(in crate::connection::sftp) const OPENDIR: u8 = 11;
    pub(in crate::connection::sftp) const READDIR: u8 = 12;
    pub(in crate::connection::sftp) const REMOVE: u8 = 13;
    pub(in crate::connection::sftp) const MKDIR: u8 = 14;
    pub(in crate::connection::sftp) const RMDIR: u8 = 15;
    pub(in crate::connection::sftp) const REALPATH: u8 = 16;
    pub(in crate::connection::sftp) const STAT: u8 = 17;
    pub(in crate::connection::sftp) const RENAME: u8 = 18;
    pub(in crate::connection::sftp) const READLINK: u8 = 19;
    pub(in crate::connection::sftp) const SYMLINK: u8 = 20;
    pub(in crate::connection::sftp) const STATUS: u8 = 101;
    pub(in crate::connection::sftp) const HANDLE: u8 = 102;
    pub(in crate::connection::sftp) const DATA: u8 = 103;
    pub(in crate::connection::sftp) const EXTENDED: u8 = 200;
}

/// Why a stream cannot be followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// A packet is empty, or longer than anybody accepts.
    Length,
    /// A packet ends before its fields do.
    Fields,
    /// More is open, or unanswered, than is kept track of.
    TooMuch,
}

impl Unreadable {
    /// For the record.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Length => "a packet of impossible length",
            Self::Fields => "a packet that ends too early",
            Self::TooMuch => "too much at the same time",
        }
    }
}

/// A part of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Its beginning, from the type on: all of it but bulk data, or [`HEAD`] bytes.
    Head(&'a [u8]),
    /// Bulk data of WRITE or DATA.
    Bulk(&'a [u8]),
}

/// One direction of a channel.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The length field, then the head, as far as they have come.
    kept: Vec<u8>,
    at: At,
}

#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    Length,
    Head {
        length: u32,
    },
    Rest {
        left: u32,
        bulk: bool,
    },
}

impl Stream {
    /// Hands each piece of what passes to `each`.
    pub(super) fn pass(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Piece<'_>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        loop {
            match self.at {
                At::Length => {
                    if !self.keep(&mut bytes, 4) {
                        return Ok(());
                    }
                    let length = Fields(&self.kept).u32().ok_or(Unreadable::Length)?;
                    if length == 0 || length > LONGEST {
                        return Err(Unreadable::Length);
                    }
                    self.kept.clear();
                    self.at = At::Head { length };
                }
                At::Head { length } => {
                    let needed = needed(&self.kept, length)?;
                    if !self.keep(&mut bytes, needed) {
                        return Ok(());
                    }
                    // A length inside may have become known.
                    if self.kept.len() < self::needed(&self.kept, length)? {
                        continue;
                    }
                    each(Piece::Head(&self.kept))?;
                    let bulk = matches!(self.kept.first(), Some(&(kind::WRITE | kind::DATA)));
                    let kept = u32::try_from(self.kept.len()).unwrap_or(u32::MAX);
                    let left = length.saturating_sub(kept);
                    self.kept.clear();
                    self.at = At::Rest { left, bulk };
                }
                At::Rest { left: 0, .. } => self.at = At::Length,
                At::Rest { left, bulk } => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX);
                    let (piece, after) = bytes.split_at_checked(most).unwrap_or((bytes, &[]));
                    if piece.is_empty() {
                        return Ok(());
                    }
                    if bulk {
                        each(Piece::Bulk(piece))?;
                    }
                    let passed = u32::try_from(piece.len()).unwrap_or(u32::MAX);
                    self.at = At::Rest {
                        left: left.saturating_sub(passed),
                        bulk,
                    };
                    bytes = after;
                }
            }
        }
    }

    /// Whether `needed` bytes are kept now.
    fn keep(&mut self, bytes: &mut &[u8], needed: usize) -> bool {
        let missing = needed.saturating_sub(self.kept.len());
        let (more, after) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.kept.extend_from_slice(more);
        *bytes = after;
        self.kept.len() >= needed
    }
}

/// How much of a packet of `length` is its head, as far as `kept` tells.
fn needed(kept: &[u8], length: u32) -> Result<usize, Unreadable> {
    let fields = match kept.first() {
        None => 1,
        // Type, id, handle, offset, and the length of the data.
        Some(&kind::WRITE) => match Fields(kept.get(5..).unwrap_or_default()).u32() {
            None => 9,
            Some(handle) if handle > HANDLE => return Err(Unreadable::Fields),
            Some(handle) => handle + 9 + 12,
        },
        Some(&kind::DATA) => 9,
        Some(_) => u32::try_from(HEAD).unwrap_or(u32::MAX),
    };
    Ok(usize::try_from(fields.min(length)).unwrap_or(HEAD))
}

/// What is left of a packet's fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*first))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*first))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&length, body].concat()
    }

    fn pieces(stream: &mut Stream, bytes: &[u8]) -> Result<(Vec<Vec<u8>>, Vec<u8>), Unreadable> {
        let (mut heads, mut bulk) = (Vec::new(), Vec::new());
        stream.pass(bytes, |piece| {
            match piece {
                Piece::Head(head) => heads.push(head.to_vec()),
                Piece::Bulk(more) => bulk.extend_from_slice(more),
            }
            Ok(())
        })?;
        Ok((heads, bulk))
    }

    #[test]
    fn packets_are_the_same_however_they_are_cut() {
        let write = [
            &[kind::WRITE, 0, 0, 0, 9, 0, 0, 0, 2, b'h', b'i'][..],
            &7u64.to_be_bytes(),
            &5u32.to_be_bytes(),
            b"hello",
        ]
        .concat();
        let stream = [
            packet(&write),
            packet(&[kind::REMOVE, 0, 0, 0, 1, 0, 0, 0, 1, b'x']),
            packet(&[kind::DATA, 0, 0, 0, 9, 0, 0, 0, 3, 1, 2, 3]),
        ]
        .concat();
        let whole = pieces(&mut Stream::default(), &stream).unwrap();
        assert_eq!(whole.0.len(), 3);
        assert_eq!(whole.0.first().map(Vec::len), Some(write.len() - 5));
        assert_eq!(whole.1, b"hello\x01\x02\x03");
        for size in 1..stream.len() {
            let mut cut = Stream::default();
            let mut all = (Vec::new(), Vec::new());
            for chunk in stream.chunks(size) {
                let (heads, bulk) = pieces(&mut cut, chunk).unwrap();
                all.0.extend(heads);
                all.1.extend(bulk);
            }
            assert_eq!(all, whole, "{size}");
        }
    }

    #[test]
    fn nothing_is_kept_by_a_peers_word() {
        let mut stream = Stream::default();
        assert_eq!(
            pieces(&mut stream, &u32::MAX.to_be_bytes()),
            Err(Unreadable::Length)
        );
        assert_eq!(
            pieces(&mut Stream::default(), &[0; 4]),
            Err(Unreadable::Length)
        );
        // A long packet of no interest: its head is kept, the rest passes.
        let mut stream = Stream::default();
        let long = packet(&vec![kind::REALPATH; 200_000]);
        let (heads, bulk) = pieces(&mut stream, &long).unwrap();
        assert_eq!((heads.first().map(Vec::len), bulk.len()), (Some(HEAD), 0));
        assert!(stream.kept.capacity() <= 2 * HEAD);
        let handle = [kind::WRITE, 0, 0, 0, 1, 0, 0, 1, 1];
        let long = [&1000u32.to_be_bytes()[..], &handle].concat();
        assert_eq!(
            pieces(&mut Stream::default(), &long),
            Err(Unreadable::Fields)
        );
    }
}
