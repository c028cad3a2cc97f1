//! A sealed recording, read: all of its frames, and whether its table is that of these frames.
//!
//! The decoder of zeekstd is for files that are known to be whole: where one ends before its table says, it reads on for ever.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};

use zstd::stream::read::Decoder;

/// 2 to this power is the most that a frame may look back: our frames have 64 KiB.
const WINDOW_LOG: u32 = 23;
/// zstd's seekable format: what the table begins with, as a frame that others skip, and what ends it.
const SKIPPABLE: u32 = 0x184D_2A5E;
const SEEKABLE: u32 = 0x8F92_EAB1;
/// Beside its entries: the head of the skippable frame; and the number of entries, flags, and the mark of the end.
const HEAD_BYTES: u64 = 8;
const FOOT_BYTES: u64 = 9;
/// How long a frame is in the file, and what it holds, four bytes each. There are no checksums: the frames have their own.
const ENTRY_BYTES: u64 = 8;

/// Gives what was sealed. Ends in an error where the table says something else.
pub(in crate::audit) struct Sealed {
    frames: Decoder<'static, BufReader<Take<File>>>,
    /// What the table says is still to come.
    left: u64,
}

impl Sealed {
    /// Begins to read.
    ///
    /// # Errors
    /// `InvalidData` where the file does not end in a table that fits its length; what reading gives.
    pub(in crate::audit) fn open(mut file: File) -> io::Result<Self> {
        let (frames, content) = table(&mut file)?;
        file.rewind()?;
        let mut frames = Decoder::new(file.take(frames))?;
        frames.window_log_max(WINDOW_LOG)?;
        Ok(Self {
            frames,
            left: content,
        })
    }
}

impl Read for Sealed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.frames.read(buffer)?;
        let passed = u64::try_from(length).unwrap_or(u64::MAX);
        let is_end = length == 0 && !buffer.is_empty();
        match self.left.checked_sub(passed) {
            Some(left) if !is_end || left == 0 => self.left = left,
            Some(_) | None => return Err(strange("its table is not that of its frames")),
        }
        Ok(length)
    }
}

/// How long all frames are, and what they hold.
fn table(file: &mut File) -> io::Result<(u64, u64)> {
    let length = file.metadata()?.len();
    let foot = length.checked_sub(FOOT_BYTES);
    file.seek(SeekFrom::Start(
        foot.ok_or_else(|| strange("it is too short"))?,
    ))?;
    let entries = number(file)?;
    let mut flags = [0];
    file.read_exact(&mut flags)?;
    if (flags, number(file)?) != ([0], SEEKABLE) {
        return Err(strange("it does not end in a table"));
    }
    let bytes = u64::from(entries) * ENTRY_BYTES + FOOT_BYTES;
    let frames = length.checked_sub(bytes + HEAD_BYTES);
    let frames = frames.ok_or_else(|| strange("its table is longer than all of it"))?;
    file.seek(SeekFrom::Start(frames))?;
    let mut table = BufReader::new(file);
    if (number(&mut table)?, u64::from(number(&mut table)?)) != (SKIPPABLE, bytes) {
        return Err(strange("its table does not begin as it should"));
    }
    let (mut compressed, mut content) = (0u64, 0u64);
    for _ in 0..entries {
        // So many numbers of 32 bits do not overflow 64.
        compressed += u64::from(number(&mut table)?);
        content += u64::from(number(&mut table)?);
    }
    if compressed != frames {
        return Err(strange("its table is not that of its frames"));
    }
    Ok((compressed, content))
}

fn number(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn strange(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zeekstd::{EncodeOptions, FrameSizePolicy};

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let name = format!("hassio-sshd-sealed-{}", uuid::Uuid::now_v7());
        let path = std::env::temp_dir().join(name);
        let mut file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        std::fs::remove_file(path).unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn unsealed(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Sealed::open(file(bytes))?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn what_was_sealed_is_read_and_nothing_that_is_damaged_is_waited_for() {
        let content: Vec<u8> = (0..2000u32).flat_map(u32::to_be_bytes).collect();
        let mut sealed = Vec::new();
        let mut encoder = EncodeOptions::new()
            .checksum_flag(true)
            .frame_size_policy(FrameSizePolicy::Uncompressed(1024))
            .into_encoder(&mut sealed)
            .unwrap();
        encoder.compress(&content).unwrap();
        encoder.finish().unwrap();
        assert_eq!(unsealed(&sealed).unwrap(), content);
        for length in 0..sealed.len() {
            assert!(unsealed(&sealed[..length]).is_err(), "cut to {length}");
        }
        let table = sealed.len() - 17 - 8 * 8;
        for at in 0..sealed.len() {
            for bit in [1, 4, 0x80] {
                let mut damaged = sealed.clone();
                damaged[at] ^= bit;
                let read = unsealed(&damaged);
                // A bit that nobody uses may be another one; but none of the table.
                let same = read.is_ok_and(|read| read == content);
                assert!(!same || at < table, "bit {bit} of byte {at}");
            }
        }
    }
}
