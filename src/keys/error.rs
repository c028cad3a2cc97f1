use std::path::PathBuf;

use crate::sys::Errno;
use crate::wire::LinkError;

/// What keeps keys from starting, or ends it.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The data directory cannot be opened.
    #[error("cannot open the data directory {}", path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// The host key is there and cannot be opened. It is never replaced by another.
    #[error("cannot open the host key {}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// ELOOP for a symbolic link.
        source: Errno,
    },
    /// The host key was there when the server started.
    #[error("the host key {} is not there any more: put it back, or restart the server for a new one, which clients will warn of",
        path.display())]
    Gone {
        /// Which.
        path: PathBuf,
    },
    /// The host key cannot be read.
    #[error("cannot read the host key {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something else has the host key's name.
    #[error("the host key {} is not a regular file", path.display())]
    NoFile {
        /// Which.
        path: PathBuf,
    },
    /// Somebody else could have put it there.
    #[error("the host key {} belongs to uid {uid}; right would be uid {right}", path.display())]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
        /// Whose it should be.
        right: u32,
    },
    /// Others could have read it.
    #[error("the host key {} has mode {mode:04o}, so others may have read it; right would be 0600, and another key",
        path.display())]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no private key in OpenSSH's format.
    #[error("the host key {} is damaged or in another format than OpenSSH's; restore it, or move it away to get a new one",
        path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ssh_key::Error,
    },
    /// It is a private key that is not fit.
    #[error("the host key {} is {found}; right would be an ed25519 key without a passphrase", path.display())]
    Kind {
        /// Which.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// A new host key cannot be made.
    #[error("cannot make a host key")]
    Generate {
        /// Why.
        source: Errno,
    },
    /// A new host key cannot be encoded.
    #[error("cannot encode the host key")]
    Encode {
        /// Why.
        source: ssh_key::Error,
    },
    /// A new host key cannot be stored.
    #[error("cannot store the host key {}", path.display())]
    Store {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An authorized key that config let through is none.
    #[error("the authorized key {fingerprint} cannot be used")]
    AuthorizedKey {
        /// Which.
        fingerprint: String,
        /// Why.
        source: ssh_key::Error,
    },
    /// Neither a key nor a password is configured.
    #[error("neither a key nor a password is configured")]
    NoLogin,
    /// The warden's link failed.
    #[error("cannot speak with the warden")]
    Warden(#[source] LinkError),
    /// poll(2) failed.
    #[error("cannot wait for messages")]
    Wait(#[source] Errno),
}

impl KeysError {
    /// Whether it lies in what keys was given, so that another start meets it again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Gone { .. }
            | Self::NoFile { .. }
            | Self::Owner { .. }
            | Self::Mode { .. }
            | Self::Format { .. }
            | Self::Kind { .. }
            | Self::AuthorizedKey { .. }
            | Self::NoLogin => true,
            Self::DataDir { .. }
            | Self::Open { .. }
            | Self::Read { .. }
            | Self::Generate { .. }
            | Self::Encode { .. }
            | Self::Store { .. }
            | Self::Warden(_)
            | Self::Wait(_) => false,
        }
    }
}
