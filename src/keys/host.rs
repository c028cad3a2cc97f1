use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ssh_key::private::Ed25519Keypair;
use ssh_key::{Algorithm, LineEnding, PrivateKey};
use zeroize::Zeroizing;

use super::error::KeysError;
use crate::sys::directory::{Directory, effective_uid};
use crate::sys::{Errno, random};

/// The file with the host key, in the data folder.
pub const HOST_KEY: &str = "ssh_host_ed25519_key";
/// Where a new key is written before it gets its name; a crash leaves this and no half key.
const NEW_NAME: &str = "ssh_host_ed25519_key.new";
/// An OpenSSH file of an ed25519 key is 400 bytes long, with a long comment 1.5 KiB.
const FILE_BYTES: u64 = 16 * 1024;

/// Makes the host key in `data_dir` where there is none. For the server's start, as root: a server that runs keeps the key
/// that it has. An existing file is never changed.
///
/// # Errors
/// `DataDir`, `Open`, `Generate`, `Encode`, `Store`.
pub fn make_host_key(data_dir: &Path) -> Result<(), KeysError> {
    let (directory, path) = place(data_dir)?;
    match directory.read(HOST_KEY) {
        // Whether it will do is found out by who uses it.
        Ok(_) => Ok(()),
        Err(Errno::ENOENT) => make(&directory, path),
        Err(source) => Err(KeysError::Open { path, source }),
    }
}

/// Reads the host key in `data_dir`.
pub(super) fn load(data_dir: &Path) -> Result<PrivateKey, KeysError> {
    let (directory, path) = place(data_dir)?;
    match directory.read(HOST_KEY) {
        Ok(file) => read(file, path),
        Err(Errno::ENOENT) => Err(KeysError::Gone { path }),
        Err(source) => Err(KeysError::Open { path, source }),
    }
}

fn place(data_dir: &Path) -> Result<(Directory, PathBuf), KeysError> {
    match Directory::open(data_dir) {
        Ok(directory) => Ok((directory, data_dir.join(HOST_KEY))),
        Err(source) => Err(KeysError::DataDir {
            path: data_dir.to_owned(),
            source,
        }),
    }
}

fn read(file: File, path: PathBuf) -> Result<PrivateKey, KeysError> {
    let about = match file.metadata() {
        Ok(about) => about,
        Err(source) => return Err(KeysError::Read { path, source }),
    };
    let right = effective_uid();
    if !about.is_file() {
        return Err(KeysError::NoFile { path });
    }
    if about.uid() != right {
        let uid = about.uid();
        return Err(KeysError::Owner { path, uid, right });
    }
    if about.mode() & 0o077 != 0 {
        let mode = about.mode() & 0o7777;
        return Err(KeysError::Mode { path, mode });
    }
    // As large as it can get at once: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(
        about.size().min(FILE_BYTES).try_into().unwrap_or(0),
    ));
    if let Err(source) = file.take(FILE_BYTES).read_to_end(&mut text) {
        return Err(KeysError::Read { path, source });
    }
    let key = match PrivateKey::from_openssh(text.as_slice()) {
        Ok(key) => key,
        Err(source) => return Err(KeysError::Format { path, source }),
    };
    if key.is_encrypted() {
        let found = "protected by a passphrase".to_owned();
        return Err(KeysError::Kind { path, found });
    }
    if key.algorithm() != Algorithm::Ed25519 {
        let found = format!("of type {}", key.algorithm().as_str());
        return Err(KeysError::Kind { path, found });
    }
    Ok(key)
}

fn make(directory: &Directory, path: PathBuf) -> Result<(), KeysError> {
    let mut seed = Zeroizing::new([0u8; 32]);
    random::fill(seed.as_mut()).map_err(|source| KeysError::Generate { source })?;
    let key = PrivateKey::new(Ed25519Keypair::from_seed(&seed).into(), "hassio-sshd")
        .map_err(|source| KeysError::Encode { source })?;
    let text = key
        .to_openssh(LineEnding::LF)
        .map_err(|source| KeysError::Encode { source })?;
    store(directory, text.as_bytes()).map_err(|source| KeysError::Store { path, source })
}

fn store(directory: &Directory, text: &[u8]) -> std::io::Result<()> {
    match directory.remove(NEW_NAME) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut file = directory.create(NEW_NAME)?;
    file.write_all(text)?;
    file.sync_all()?;
    directory.rename(NEW_NAME, directory, HOST_KEY)?;
    directory.sync()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use ssh_key::HashAlg;

    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("hassio-sshd-host-{}-{name}", std::process::id()));
            fs::remove_dir_all(&path).ok();
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn put(&self, bytes: &[u8], mode: u32) -> PathBuf {
            let path = self.0.join(HOST_KEY);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn a_key_is_made_once_and_is_private() {
        let dir = Temporary::new("made");
        fs::write(dir.0.join(NEW_NAME), "left by a crash").unwrap();
        assert!(matches!(load(&dir.0), Err(KeysError::Gone { .. })));
        make_host_key(&dir.0).unwrap();
        let first = load(&dir.0).unwrap();
        let mode = fs::metadata(dir.0.join(HOST_KEY)).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert!(!dir.0.join(NEW_NAME).exists());
        make_host_key(&dir.0).unwrap();
        let again = load(&dir.0).unwrap();
        assert_eq!(
            first.fingerprint(HashAlg::Sha256),
            again.fingerprint(HashAlg::Sha256)
        );
        let other = Temporary::new("other");
        make_host_key(&other.0).unwrap();
        let other = load(&other.0).unwrap();
        assert_ne!(
            first.fingerprint(HashAlg::Sha256),
            other.fingerprint(HashAlg::Sha256)
        );
    }

    #[test]
    fn what_is_not_a_private_key_of_ours_is_refused_and_left_alone() {
        let dir = Temporary::new("refused");
        let path = dir.put(b"garbage", 0o600);
        assert!(matches!(load(&dir.0), Err(KeysError::Format { .. })));
        dir.put(b"", 0o600);
        assert!(matches!(load(&dir.0), Err(KeysError::Format { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"");
        dir.put(b"garbage", 0o640);
        assert!(matches!(
            load(&dir.0),
            Err(KeysError::Mode { mode: 0o640, .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), b"garbage");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(load(&dir.0), Err(KeysError::NoFile { .. })));
        fs::remove_dir(&path).unwrap();
        symlink("/etc/hostname", &path).unwrap();
        let Err(KeysError::Open { source, .. }) = load(&dir.0) else {
            panic!("the link was followed")
        };
        assert_eq!(source, Errno::ELOOP);
        fs::remove_file(&path).unwrap();
        assert!(matches!(
            load(&dir.0.join("absent")),
            Err(KeysError::DataDir { .. })
        ));
    }

    #[test]
    fn a_key_of_somebody_else_is_refused() {
        if effective_uid() != 0 {
            assert!(
                std::env::var_os("REQUIRE_ALL").is_none(),
                "needs root, to give a file away"
            );
            return;
        }
        let dir = Temporary::new("owner");
        let path = dir.put(b"", 0o600);
        std::os::unix::fs::chown(&path, Some(1234), None).unwrap();
        assert!(matches!(
            load(&dir.0),
            Err(KeysError::Owner {
                uid: 1234,
                right: 0,
                ..
            })
        ));
    }
}
