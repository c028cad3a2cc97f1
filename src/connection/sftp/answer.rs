//! What the server says, as far as the record needs it.

use super::packet::{Fields, HANDLE, kind};
use super::request::{Handle, Request};

/// SSH_FX_OK, SSH_FX_EOF, SSH_FX_OP_UNSUPPORTED; draft §7.
pub(super) const OK: u32 = 0;
pub(super) const EOF: u32 = 1;
pub(super) const NOT_SUPPORTED: u32 = 8;

/// An answer, without its data.
#[derive(Debug)]
pub(super) enum Answer {
    Status(u32),
    Handle(Handle),
    Data,
    Other,
}

impl Answer {
    /// None: it is shorter than its fields, or its handle longer than any may be.
    pub(super) fn read(kind: u8, mut fields: Fields<'_>) -> Option<Self> {
        let longest = usize::try_from(HANDLE).unwrap_or(usize::MAX);
        Some(match kind {
            kind::STATUS => Self::Status(fields.u32()?),
            kind::HANDLE => {
                let handle = fields.string()?;
                Self::Handle((handle.len() <= longest).then(|| handle.to_vec())?)
            }
            kind::DATA => Self::Data,
            _ => Self::Other,
        })
    }

    /// Whether that can be answered so.
    pub(super) fn fits(&self, request: &Request) -> bool {
        match (self, request) {
            (Self::Status(status), Request::Open { .. } | Request::Read(..)) => *status != OK,
            (Self::Status(_), _)
            | (Self::Handle(_), Request::Open { .. })
            | (Self::Data, Request::Read(..))
            | (Self::Other, Request::Look { .. }) => true,
            // With what an extension answers that is not known, nobody here knows either.
            (Self::Other, Request::Change(change)) => change.is_extension(),
            (Self::Handle(_) | Self::Data | Self::Other, _) => false,
        }
    }
}

/// A status in words.
pub(super) fn word(status: u32) -> &'static str {
    match status {
        OK => "ok",
        EOF => "end of file",
        2 => "no such file",
        3 => "permission denied",
        4 => "failure",
        5 => "bad message",
        6 => "no connection",
        7 => "connection lost",
        NOT_SUPPORTED => "not supported",
        _ => "unknown status",
    }
}
