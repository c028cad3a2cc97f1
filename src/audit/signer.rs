//! The day's private key, on the disk and in memory. A key that has certified its follower is overwritten: who takes the
//! machine over today cannot sign as of yesterday.

use std::io::Read;
use std::os::unix::fs::FileExt;

use ed25519_dalek::SigningKey;
use zeroize::{Zeroize, Zeroizing};

use super::chain::Head;
use super::error::AuditError;
use super::note::{Checkpoint, Key, Note};
use crate::policy::sandbox::AUDIT_KEYS;
use crate::sys::directory::Directory;
use crate::sys::{Errno, random};

const DIRECTORY: &str = AUDIT_KEYS;
const CURRENT: &str = "current";
const NEXT: &str = "next";
/// The first line of a key's file.
const HEADING: &str = "hassio-sshd audit key 1";
/// More than a key's file holds.
const FILE_BYTES: u64 = 1024;

/// What signs checkpoints.
pub(super) struct Signer {
    directory: Directory,
    held: Held,
    /// That follows on the disk once its certificate is there.
    follower: Option<Held>,
}

/// A private key, and what its file says about it.
struct Held {
    private: SigningKey,
    key: Key,
    /// The day (UTC, `YYYY-MM-DD`) on which it was made.
    day: String,
}

impl Signer {
    /// Reads the key, or makes the first one. `certified`: what the ledger says of the last key that it knows.
    ///
    /// # Errors
    /// `Keys`.
    pub(super) fn new(
        root: &Directory,
        certified: Option<&Key>,
        today: &str,
    ) -> Result<Self, AuditError> {
        let fail = |source| AuditError::Keys { source };
        let directory = root.descend_making(DIRECTORY).map_err(fail)?;
        let current = read(&directory, CURRENT).map_err(fail)?;
        let next = read(&directory, NEXT).map_err(fail)?;
        let held = match (current, next) {
            // A crash came between the certificate and the change of keys.
            (current, Some(next)) if current.is_none() || certified == Some(&next.key) => {
                erase(&directory, CURRENT).map_err(fail)?;
                directory.rename(NEXT, &directory, CURRENT).map_err(fail)?;
                directory.sync().map_err(fail)?;
                next
            }
            (Some(current), next) => {
                if next.is_some() {
                    erase(&directory, NEXT).map_err(fail)?;
                }
                current
            }
            (None, _) => {
                let private = generate().map_err(fail)?;
                let key = Key::first(private.verifying_key());
                let held = Held::new(private, key, today);
                // Files that cannot be read as keys: one of them is in the way of the new one.
                erase(&directory, CURRENT).map_err(fail)?;
                erase(&directory, NEXT).map_err(fail)?;
                write(&directory, CURRENT, &held).map_err(fail)?;
                held
            }
        };
        if certified.is_some_and(|certified| *certified != held.key) {
            tracing::error!(
                "the key of the audit trail is not the one that its ledger names: what was signed before is not followed \
                 by what is signed now, and verification will say so"
            );
        }
        Ok(Self {
            directory,
            held,
            follower: None,
        })
    }

    /// The key that signs now.
    pub(super) fn key(&self) -> &Key {
        match &self.follower {
            Some(follower) => &follower.key,
            None => &self.held.key,
        }
    }

    /// Whether the key was made on another day. None is changed before the last change is on the disk.
    pub(super) fn is_stale(&self, today: &str) -> bool {
        self.follower.is_none() && self.held.day != today
    }

    /// A signed checkpoint.
    pub(super) fn sign(&self, records: u64, head: Head) -> Note {
        let held = self.follower.as_ref().unwrap_or(&self.held);
        held.sign(records, head, None)
    }

    /// A signed checkpoint that certifies a new key, which is on the disk and signs from now on. The old one stays until
    /// [`Signer::follow`].
    ///
    /// # Errors
    /// What the disk or the generator gives; the old key goes on.
    pub(super) fn certify(&mut self, records: u64, head: Head, today: &str) -> Result<Note, Errno> {
        let private = generate()?;
        let key = self.held.key.next(private.verifying_key());
        let follower = Held::new(private, key.clone(), today);
        erase(&self.directory, NEXT)?;
        write(&self.directory, NEXT, &follower)?;
        self.follower = Some(follower);
        Ok(self.held.sign(records, head, Some(key)))
    }

    /// The certificate has found no place in the ledger: the old key goes on.
    pub(super) fn withdraw(&mut self) {
        self.follower = None;
    }

    /// The certificate is on the disk: the old key is erased.
    pub(super) fn follow(&mut self) {
        let Some(follower) = self.follower.take() else {
            return;
        };
        self.held = follower;
        let changed = erase(&self.directory, CURRENT)
            .and_then(|()| self.directory.rename(NEXT, &self.directory, CURRENT))
            .and_then(|()| self.directory.sync());
        if let Err(errno) = changed {
            // The next start ends what could not be ended here.
            tracing::error!(%errno, "the old key of the audit trail cannot be erased");
        }
    }
}

impl Held {
    fn new(private: SigningKey, key: Key, today: &str) -> Self {
        Self {
            private,
            key,
            day: today.to_owned(),
        }
    }

    fn sign(&self, records: u64, head: Head, next: Option<Key>) -> Note {
        let checkpoint = Checkpoint {
            trail: self.key.trail.clone(),
            records,
            head,
            next,
        };
        checkpoint.sign(&self.key, &self.private)
    }
}

fn generate() -> Result<SigningKey, Errno> {
    let mut seed = Zeroizing::new([0; 32]);
    random::fill(seed.as_mut_slice())?;
    Ok(SigningKey::from_bytes(&seed))
}

/// Heading, day, public key as verifiers know it, the seed in hexadecimal digits; a line each.
fn write(directory: &Directory, name: &str, held: &Held) -> Result<(), Errno> {
    let mut seed = held.private.to_bytes();
    let digits: Zeroizing<String> =
        Zeroizing::new(seed.iter().map(|byte| format!("{byte:02x}")).collect());
    seed.zeroize();
    let text = Zeroizing::new(format!(
        "{HEADING}\n{}\n{}\n{}\n",
        held.day,
        held.key,
        digits.as_str()
    ));
    let file = directory.create(name)?;
    // One write: it is shorter than a block.
    let written = std::io::Write::write_all(&mut &file, text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw));
    match written {
        Ok(()) => directory.sync(),
        Err(errno) => {
            erase(directory, name)?;
            Err(errno)
        }
    }
}

/// The key in a file; none where there is no file, or none that was written whole.
fn read(directory: &Directory, name: &str) -> Result<Option<Held>, Errno> {
    let file = match directory.read(name) {
        Ok(file) => file,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let mut text = Zeroizing::new(String::new());
    if file.take(FILE_BYTES).read_to_string(&mut text).is_err() {
        return Ok(None);
    }
    Ok(parse(&text))
}

fn parse(text: &str) -> Option<Held> {
    let mut lines = text.lines();
    if lines.next()? != HEADING {
        return None;
    }
    let (day, key, digits) = (lines.next()?, Key::parse(lines.next()?)?, lines.next()?);
    let mut seed = Zeroizing::new([0; 32]);
    if digits.len() != 2 * seed.len() {
        return None;
    }
    for (at, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    let private = SigningKey::from_bytes(&seed);
    (private.verifying_key() == key.public).then(|| Held::new(private, key, day))
}

/// Overwrites and removes a key's file. What a disk that maps its blocks anew keeps of it is beyond us.
fn erase(directory: &Directory, name: &str) -> Result<(), Errno> {
    match directory.overwrite(name) {
        Ok(file) => {
            let length = file
                .metadata()
                .map_or(0, |about| about.len())
                .min(FILE_BYTES);
            let zeros = vec![0; usize::try_from(length).unwrap_or(0)];
            let gone = file.write_all_at(&zeros, 0).and_then(|()| file.sync_all());
            if let Err(error) = gone {
                tracing::warn!(%error, "an old key of the audit trail cannot be overwritten");
            }
        }
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => tracing::warn!(%errno, "an old key of the audit trail cannot be overwritten"),
    }
    directory.remove(name)?;
    directory.sync()
}
