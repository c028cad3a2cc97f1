use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;

use memchr::{memchr, memrchr};

use crate::wire::limits::RECORD_BYTES;

/// How much of a file is looked at in one piece: many records, and little enough to stay in a processor's cache.
const PIECE_BYTES: usize = 512 * 1024;

/// Reads files in pieces that end where a line ends. One reader serves many files, one after another.
pub(super) struct Lines {
    buffer: Vec<u8>,
}

/// Whole lines, one after another, each with its newline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'b> {
    /// Where in the file it begins.
    pub(super) at: u64,
    pub(super) bytes: &'b [u8],
}

impl<'b> Piece<'b> {
    /// Its lines without their newlines, and where each begins in the file.
    pub(super) fn lines(self) -> impl Iterator<Item = (u64, &'b [u8])> {
        let mut rest = self.bytes;
        let mut at = self.at;
        std::iter::from_fn(move || {
            let end = memchr(b'\n', rest)?;
            let (line, after) = rest.split_at_checked(end)?;
            let here = at;
            at += length_of(line.len()) + 1;
            rest = after.get(1..).unwrap_or_default();
            Some((here, line))
        })
    }

    /// The line in which the byte `index` is, and where it begins in the file; and the index of what follows it.
    pub(super) fn line_around(self, index: usize) -> (u64, &'b [u8], usize) {
        let before = self.bytes.get(..index).unwrap_or_default();
        let start = memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        let rest = self.bytes.get(start..).unwrap_or_default();
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        let at = self.at + length_of(start);
        (at, line, start + end + 1)
    }
}

/// What is wrong with a file's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overlong {
    /// Where the line begins that is longer than any record.
    pub(super) at: u64,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; PIECE_BYTES],
        }
    }

    /// Shows `visit` all whole lines of the file from where it stands, `at`, until it breaks off. Gives where the last
    /// of them ends, and the first line that was left out. What is behind the last newline is being written, or torn;
    /// zero bytes between lines are room that nothing was written to.
    pub(super) fn read(
        &mut self,
        file: &mut File,
        at: u64,
        mut visit: impl FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> io::Result<(u64, Option<Overlong>)> {
        let (mut at, mut last, mut overlong) = (at, at, None);
        let mut kept = 0;
        // Whether the beginning of the buffer is the middle of a line that is left out.
        let mut skipping = false;
        loop {
            let room = self.buffer.get_mut(kept..).unwrap_or_default();
            let got = match file.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if got == 0 {
                return Ok((last, overlong));
            }
            let all = self.buffer.get(..kept + got).unwrap_or_default();
            let mut start = if skipping {
                memchr(b'\n', all).map_or(all.len(), |newline| newline + 1)
            } else {
                zeros(all)
            };
            skipping &= start == all.len();
            let end = memrchr(b'\n', all).map_or(start, |newline| newline + 1);
            if let Some(bytes) = all.get(start..end).filter(|bytes| !bytes.is_empty()) {
                last = at + length_of(end);
                let at = at + length_of(start);
                if visit(Piece { at, bytes }).is_break() {
                    return Ok((last, overlong));
                }
                start = end;
            }
            let rest = all.get(start..).unwrap_or_default();
            if zeros(rest) == rest.len() {
                start = all.len();
            } else if rest.len() > RECORD_BYTES {
                overlong = overlong.or(Some(Overlong {
                    at: at + length_of(start),
                }));
                skipping = true;
                start = all.len();
            }
            at += length_of(start);
            kept = all.len() - start;
            self.buffer.copy_within(start..start + kept, 0);
        }
    }
}

/// How many bytes at the beginning are zero.
fn zeros(bytes: &[u8]) -> usize {
    let written = bytes.iter().position(|byte| *byte != 0);
    written.unwrap_or(bytes.len())
}

fn length_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    fn read(content: &[u8]) -> (Vec<(u64, usize)>, u64, Option<Overlong>) {
        let path = std::env::temp_dir().join(format!("lines-{}", crate::model::SessionId::new()));
        let mut file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        std::fs::remove_file(path).unwrap();
        file.write_all(content).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut found = Vec::new();
        let (end, overlong) = Lines::new()
            .read(&mut file, 0, |piece| {
                for (at, line) in piece.lines() {
                    found.push((at, line.len()));
                    let index = usize::try_from(at - piece.at).unwrap() + line.len() / 2;
                    let (around, same, _) = piece.line_around(index);
                    assert_eq!((around, same), (at, line));
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        (found, end, overlong)
    }

    #[test]
    fn lines_are_found_wherever_pieces_end() {
        let mut content = Vec::new();
        let mut expected = Vec::new();
        for n in 0..20_000 {
            let length = n * 7 % 301;
            expected.push((u64::try_from(content.len()).unwrap(), length));
            content.extend(vec![b'x'; length]);
            content.push(b'\n');
        }
        assert!(content.len() > 3 * PIECE_BYTES);
        let end = u64::try_from(content.len()).unwrap();
        content.extend(b"torn");
        assert_eq!(read(&content), (expected, end, None));
    }

    #[test]
    fn what_is_too_long_is_left_out_and_what_follows_is_read() {
        let mut content = b"first\n".to_vec();
        content.extend(vec![b'x'; 3 * PIECE_BYTES]);
        content.extend(b"\nlast\n");
        let end = u64::try_from(content.len()).unwrap();
        let (found, at, overlong) = read(&content);
        assert_eq!(found, [(0, 5), (end - 5, 4)]);
        assert_eq!((at, overlong), (end, Some(Overlong { at: 6 })));
    }

    #[test]
    fn room_that_was_allocated_ahead_is_no_line() {
        let mut content = b"one\ntwo\n".to_vec();
        content.extend(vec![0; 2 * PIECE_BYTES]);
        assert_eq!(read(&content), (vec![(0, 3), (4, 3)], 8, None));
        assert_eq!(read(&[0; 100]), (vec![], 0, None));
        content.extend(b"three\n");
        let at = u64::try_from(content.len()).unwrap() - 6;
        assert_eq!(
            read(&content),
            (vec![(0, 3), (4, 3), (at, 5)], at + 6, None)
        );
    }
}
