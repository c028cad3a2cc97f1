//! Room on a disk that is kept for a file.

use std::fs::File;

use nix::errno::Errno;
use rustix::fs::{FallocateFlags, fallocate};

use super::errno;

/// Takes `bytes` of the disk for the file beyond `from`; its length stays. fallocate(2), FALLOC_FL_KEEP_SIZE.
///
/// # Errors
/// ENOSPC; EDQUOT; EOPNOTSUPP where the file system cannot promise that.
pub fn reserve(file: &File, from: u64, bytes: u64) -> nix::Result<()> {
    fallocate(file, FallocateFlags::KEEP_SIZE, from, bytes).map_err(errno)
}

/// Gives back what was taken beyond `length`, which is the file's. ftruncate(2).
///
/// # Errors
/// EIO.
pub fn release(file: &File, length: u64) -> nix::Result<()> {
    file.set_len(length)
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_is_reserved_is_there_and_can_be_given_back() {
        let path = std::env::temp_dir().join(format!("hassio-sshd-space-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        file.write_all(b"abc").unwrap();
        match reserve(&file, 0, 1024 * 1024) {
            Err(Errno::EOPNOTSUPP) => {}
            Err(errno) => panic!("{errno}"),
            Ok(()) => {
                let about = file.metadata().unwrap();
                assert_eq!(about.len(), 3);
                assert!(about.blocks() * 512 >= 1024 * 1024, "{}", about.blocks());
                release(&file, 3).unwrap();
                let about = file.metadata().unwrap();
                assert!(
                    about.len() == 3 && about.blocks() * 512 < 64 * 1024,
                    "{}",
                    about.blocks()
                );
            }
        }
        std::fs::remove_file(&path).unwrap();
    }
}
