//! Packets of SFTP version 3, draft-ietf-secsh-filexfer-02 §3, cut out of a stream without being stored.

/// What OpenSSH's sftp-server and clients accept (SFTP_MAX_MSG_LENGTH, sftp-common.h).
const LONGEST: u32 = 256 * 1024;
/// How much of a packet without bulk is kept: two paths of PATH_MAX, and attributes. With a longer path nothing can be done.
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
    /// A packet ends before its fields do. sftp-server reads the rest of them from what comes after it, and acts on that.
    Fields,
    /// The server answers what it was not asked, or not as that is answered.
    Unasked,
    /// As many changes are on record as a channel may cause.
    UsedUp,
}

impl Unreadable {
    /// For the record.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Length => "a packet of impossible length",
            Self::Fields => "a packet that ends too early",
            Self::Unasked => "an answer to no question",
            Self::UsedUp => "too many changes",
        }
    }
}

/// A part of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Nothing yet: one begins.
    Begin,
    /// Its beginning, from the type on.
    Head(Fields<'a>),
    /// Bulk data of WRITE or DATA.
    Bulk(&'a [u8]),
}

/// Why not all bytes were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// There is no room for another packet for now.
    Full,
    /// Never again.
    Lost(Unreadable),
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
    Begin,
    Length,
    Head {
        length: u32,
    },
    Bulk {
        left: u32,
        /// What comes after it in the packet: nobody reads it.
        after: u32,
    },
    After {
        left: u32,
    },
}

impl Stream {
    /// Hands each piece of what passes to `each`. Returns how many bytes were taken: all of them, or those before the packet
    /// that is the reason why not.
    pub(super) fn pass(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Piece<'_>) -> Result<(), Stop>,
    ) -> (usize, Option<Stop>) {
        let mut rest = bytes;
        let mut begin = 0;
        loop {
            if matches!(self.at, At::Begin) {
                begin = bytes.len().saturating_sub(rest.len());
            }
            match self.step(&mut rest, &mut each) {
                Ok(true) => {}
                Ok(false) => return (bytes.len(), None),
                Err(stop) => return (begin, Some(stop)),
            }
        }
    }

    /// False where more bytes are needed.
    fn step(
        &mut self,
        rest: &mut &[u8],
        each: &mut impl FnMut(Piece<'_>) -> Result<(), Stop>,
    ) -> Result<bool, Stop> {
        match self.at {
            At::Begin if rest.is_empty() => return Ok(false),
            At::Begin => {
                each(Piece::Begin)?;
                self.at = At::Length;
            }
            At::Length => {
                if !self.keep(rest, 4) {
                    return Ok(false);
                }
                let length = Fields::new(&self.kept, 0).u32();
                let possible = |length: &u32| (1..=LONGEST).contains(length);
                let length = length.filter(possible);
                let length = length.ok_or(Stop::Lost(Unreadable::Length))?;
                self.kept.clear();
                self.at = At::Head { length };
            }
            At::Head { length } => {
                if !self.keep(rest, needed(&self.kept, length)) {
                    return Ok(false);
                }
                // A length inside may have become known.
                if self.kept.len() < needed(&self.kept, length) {
                    return Ok(true);
                }
                let kept = u32::try_from(self.kept.len()).unwrap_or(u32::MAX);
                let beyond = length.saturating_sub(kept);
                let bulk = bulk(&self.kept);
                let after = beyond.checked_sub(bulk);
                let after = after.ok_or(Stop::Lost(Unreadable::Fields))?;
                each(Piece::Head(Fields::new(&self.kept, beyond)))?;
                self.kept.clear();
                self.at = At::Bulk { left: bulk, after };
            }
            At::Bulk { left: 0, after } => self.at = At::After { left: after },
            At::Bulk { left, after } => {
                let piece = some_of(rest, left);
                if piece.is_empty() {
                    return Ok(false);
                }
                each(Piece::Bulk(piece))?;
                let left = left.saturating_sub(u32::try_from(piece.len()).unwrap_or(u32::MAX));
                self.at = At::Bulk { left, after };
            }
            At::After { left: 0 } => self.at = At::Begin,
            At::After { left } => {
                let piece = some_of(rest, left);
                if piece.is_empty() {
                    return Ok(false);
                }
                let left = left.saturating_sub(u32::try_from(piece.len()).unwrap_or(u32::MAX));
                self.at = At::After { left };
            }
        }
        Ok(true)
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

/// The next bytes, at most so many.
fn some_of<'a>(rest: &mut &'a [u8], most: u32) -> &'a [u8] {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let (piece, after) = rest.split_at_checked(most).unwrap_or((rest, &[]));
    *rest = after;
    piece
}

/// Type, id, and the length of the handle or of the data.
const UP_TO_LENGTH: u32 = 9;
/// The offset, and the length of the data.
const UP_TO_DATA: u32 = 12;

/// How much of a packet of `length` is its head, as far as `kept` tells.
fn needed(kept: &[u8], length: u32) -> usize {
    let fields = match kept.first() {
        None => 1,
        Some(&kind::WRITE) => match handle_length(kept) {
            // One that is too long names nothing: what is written to it goes nowhere.
            None => UP_TO_LENGTH,
            Some(handle) => UP_TO_LENGTH + handle + UP_TO_DATA,
        },
        Some(&kind::DATA) => UP_TO_LENGTH,
        Some(_) => u32::try_from(HEAD).unwrap_or(u32::MAX),
    };
    usize::try_from(fields.min(length)).unwrap_or(HEAD)
}

/// The length of the handle in the head of a WRITE, if it is known and may be one.
fn handle_length(head: &[u8]) -> Option<u32> {
    let length = Fields::new(head.get(5..)?, 0).u32()?;
    (length <= HANDLE).then_some(length)
}

/// How much data comes after this head: what its last field says, which may be less than the packet holds.
fn bulk(head: &[u8]) -> u32 {
    let whole = match head.first() {
        Some(&kind::WRITE) => handle_length(head).map(|handle| UP_TO_LENGTH + handle + UP_TO_DATA),
        Some(&kind::DATA) => Some(UP_TO_LENGTH),
        _ => None,
    };
    // One that is shorter lacks fields, and whoever reads them finds that out.
    let is_whole = whole.is_some_and(|whole| usize::try_from(whole) == Ok(head.len()));
    let last = head.last_chunk().filter(|_| is_whole);
    last.map_or(0, |last| u32::from_be_bytes(*last))
}

/// What is left of a packet's fields. Of a long packet only the beginning is there: a text that goes on behind that is cut, and
/// a number that lies there reads 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    here: &'a [u8],
    /// How many bytes of the packet are not here.
    beyond: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(here: &'a [u8], beyond: u32) -> Self {
        Self {
            here,
            beyond: usize::try_from(beyond).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.number().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.number().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.number().map(u64::from_be_bytes)
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        match self.here.split_at_checked(length) {
            Some((text, rest)) => {
                self.here = rest;
                Some(text)
            }
            None => self.leave_behind(length),
        }
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        if let Some((first, rest)) = self.here.split_first_chunk() {
            self.here = rest;
            return Some(*first);
        }
        self.leave_behind(N).map(|_| [0; N])
    }

    /// What is here of a field that is longer than that; none if it is longer than the packet.
    fn leave_behind(&mut self, length: usize) -> Option<&'a [u8]> {
        let missing = length.checked_sub(self.here.len())?;
        self.beyond = self.beyond.checked_sub(missing)?;
        Some(std::mem::take(&mut self.here))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&length, body].concat()
    }

    fn pieces(stream: &mut Stream, bytes: &[u8]) -> Result<(Vec<Vec<u8>>, Vec<u8>), Stop> {
        let (mut heads, mut bulk) = (Vec::new(), Vec::new());
        let (taken, stop) = stream.pass(bytes, |piece| {
            match piece {
                Piece::Begin => {}
                Piece::Head(head) => heads.push(head.here.to_vec()),
                Piece::Bulk(more) => bulk.extend_from_slice(more),
            }
            Ok(())
        });
        assert!(stop.is_some() || taken == bytes.len());
        stop.map_or(Ok((heads, bulk)), Err)
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
        let lost = |why| Err(Stop::Lost(why));
        let mut stream = Stream::default();
        assert_eq!(
            pieces(&mut stream, &u32::MAX.to_be_bytes()),
            lost(Unreadable::Length)
        );
        assert_eq!(
            pieces(&mut Stream::default(), &[0; 4]),
            lost(Unreadable::Length)
        );
        // A long packet: its head is kept, the rest passes.
        let mut stream = Stream::default();
        let long = packet(&vec![kind::REALPATH; 200_000]);
        let (heads, bulk) = pieces(&mut stream, &long).unwrap();
        assert_eq!((heads.first().map(Vec::len), bulk.len()), (Some(HEAD), 0));
        assert!(stream.kept.capacity() <= 2 * HEAD);
        // So does one to a handle that is none.
        let handle = [kind::WRITE, 0, 0, 0, 1, 0, 0, 1, 1];
        let long = packet(&[&handle[..], &[0; 1000]].concat());
        let (heads, bulk) = pieces(&mut Stream::default(), &long).unwrap();
        assert_eq!((heads, bulk), (vec![handle.to_vec()], vec![]));
    }

    fn write(length: u32, data: &[u8]) -> Vec<u8> {
        let fields = [&[kind::WRITE, 0, 0, 0, 9, 0, 0, 0, 1, b'h'][..], &[0; 8]].concat();
        packet(&[&fields, &length.to_be_bytes()[..], data].concat())
    }

    #[test]
    fn bulk_is_as_long_as_its_own_length_says() {
        let two = [write(3, b"abc and what nobody reads"), write(2, b"de")].concat();
        let (heads, bulk) = pieces(&mut Stream::default(), &two).unwrap();
        assert_eq!((heads.len(), bulk.as_slice()), (2, b"abcde".as_slice()));
        let long = [write(3, b"abc"), write(4, b"abc")].concat();
        let (taken, stop) = Stream::default().pass(&long, |_| Ok(()));
        assert_eq!(taken, write(3, b"abc").len());
        assert_eq!(stop, Some(Stop::Lost(Unreadable::Fields)));
    }

    #[test]
    fn what_is_not_taken_begins_with_a_packet() {
        let two = [write(3, b"abc"), write(3, b"def")].concat();
        let first = two.len() / 2;
        let mut stream = Stream::default();
        let mut room = 1;
        let mut each = |piece: Piece<'_>| match piece {
            Piece::Begin if room == 0 => Err(Stop::Full),
            Piece::Begin => {
                room -= 1;
                Ok(())
            }
            Piece::Head(_) | Piece::Bulk(_) => Ok(()),
        };
        let (begun, rest) = two.split_at(5);
        assert_eq!(stream.pass(begun, &mut each), (5, None));
        assert_eq!(stream.pass(rest, &mut each), (first - 5, Some(Stop::Full)));
        let (heads, bulk) = pieces(&mut stream, &two[first..]).unwrap();
        assert_eq!((heads.len(), bulk.as_slice()), (1, b"def".as_slice()));
    }

    #[test]
    fn a_field_may_go_on_behind_the_head_and_not_behind_the_packet() {
        let here = [0, 0, 0, 9, b'a', b'b'];
        let mut fields = Fields::new(&here, 11);
        assert_eq!(fields.string(), Some(b"ab".as_slice()));
        assert_eq!((fields.u32(), fields.u8()), (Some(0), None));
        assert_eq!(Fields::new(&here, 6).string(), None);
    }
}
