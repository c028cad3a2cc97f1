use crate::sys::Errno;
use crate::wire::LinkError;

/// What keeps audit from starting, or ends it. A file that cannot be written is none of these: it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The directory cannot be prepared.
    #[error("cannot prepare {path} in the audit directory")]
    Prepare {
        /// Which part.
        path: String,
        /// Why.
        source: Errno,
    },
    /// No ledger segment can be begun.
    #[error("cannot begin the ledger segment {path}")]
    Ledger {
        /// Which.
        path: String,
        /// Why.
        source: Errno,
    },
    /// The keys that sign checkpoints can be neither read nor made.
    #[error("cannot prepare the keys of the audit trail")]
    Keys {
        /// Why.
        source: Errno,
    },
    /// The warden's link failed, or it said what it may not.
    #[error("cannot speak with the warden")]
    Warden(#[source] LinkError),
    /// The warden sent an event of another kind than its message calls for.
    #[error("the warden reported {kind}, which is not its to report there")]
    NotTheWardens {
        /// The record's type.
        kind: &'static str,
    },
    /// poll(2) failed.
    #[error("cannot wait for messages")]
    Wait(#[source] Errno),
}
