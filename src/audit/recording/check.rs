//! Reads a recording, and says whether it is as it was written.

use std::io::{self, BufRead, BufReader, Read};

use super::file::{Ended, Sum};
use super::heads;
use crate::audit::chain::Head;

/// The longest line: a part of 16 KiB in which each byte is escaped, and more.
pub(super) const LINE_BYTES: u64 = 128 * 1024;

/// What a recording holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Up to the end of the last whole line.
    pub whole_bytes: u64,
    /// After it.
    pub torn_bytes: u64,
    /// Hex SHA-256 of all whole lines.
    pub sha256: String,
    /// The head over all whole lines.
    pub head: Head,
    /// Whether that is the last line, so that the end is proved.
    pub closed: bool,
    /// At which byte the first head stands that does not follow from what is before it.
    pub broken_at: Option<u64>,
}

/// 2 to this power is the most that a frame may look back: sealed recordings have frames of 64 KiB.
const WINDOW_LOG: u32 = 23;

/// Reads what is compressed, frame by frame as it comes. The table of the frames at its end is passed over: it is there for
/// others, and would have to be believed.
///
/// # Errors
/// Where there is no memory for it.
pub fn unsealed<R: Read>(sealed: R) -> io::Result<impl Read + use<R>> {
    let mut decoder = zstd::stream::read::Decoder::new(sealed)?;
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(decoder)
}

/// Reads all of the recording whose file is called `id`.
///
/// # Errors
/// What reading gives.
pub fn check(reader: impl Read, id: &str) -> io::Result<Checked> {
    let found = read(reader, id)?;
    let closed = found.sum.heads.is_closed();
    let Ended {
        bytes,
        sha256,
        head,
    } = found.sum.end();
    Ok(Checked {
        whole_bytes: bytes,
        torn_bytes: found.torn_bytes,
        sha256,
        head,
        closed,
        broken_at: found.broken_at,
    })
}

/// What was read.
pub(super) struct Found {
    /// Of the whole lines.
    pub(super) sum: Sum,
    pub(super) torn_bytes: u64,
    pub(super) broken_at: Option<u64>,
}

/// Reads all of it.
pub(super) fn read(reader: impl Read, id: &str) -> io::Result<Found> {
    let mut reader = BufReader::with_capacity(64 * 1024, reader);
    let (mut sum, mut torn_bytes, mut broken_at) = (Sum::new(id), 0, None);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = reader.by_ref().take(LINE_BYTES);
        let length = limited.read_until(b'\n', &mut line)?;
        let Some(text) = line.strip_suffix(b"\n") else {
            torn_bytes += u64::try_from(length).unwrap_or(u64::MAX);
            break;
        };
        match heads::from_line(text) {
            Some(claimed) => {
                if sum.heads.next() != claimed {
                    broken_at = broken_at.or(Some(sum.bytes));
                }
                sum.add_head(&line);
            }
            None => sum.add(&line),
        }
    }
    // What is behind an overlong line belongs to it.
    torn_bytes += io::copy(&mut reader, &mut io::sink())?;
    Ok(Found {
        sum,
        torn_bytes,
        broken_at,
    })
}
