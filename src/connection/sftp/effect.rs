//! What is on record of an operation, and which ones changed something.

use super::PATH;
use super::request::TOO_LONG;
use crate::model::escape;
use crate::wire::SftpOp;

/// What is said of a request whose answer never came: whether it was done is not known.
pub(super) const NO_ANSWER: &str = "no answer";
/// What is said of what was never closed.
pub(super) const INTERRUPTED: &str = "interrupted";
/// How much of a handle that stands for nothing known is in a record, in bytes.
const NAMED: usize = 16;

/// An operation without what passed.
pub(super) fn named(op: &str, path: &[u8], to: Option<&[u8]>, error: Option<&str>) -> SftpOp {
    SftpOp {
        op: op.to_owned(),
        path: escape(path, PATH),
        to: to.map(|to| escape(to, PATH)),
        flags: None,
        bytes_read: None,
        bytes_written: None,
        read_blake3: None,
        written_blake3: None,
        duration_ms: None,
        error: error.map(str::to_owned),
    }
}

/// Whether something was changed or moved, or may have been: nothing that a client does in great number hides that.
pub(super) fn has_effect(op: &SftpOp) -> bool {
    let moved = |bytes: Option<u64>| bytes.is_some_and(|bytes| bytes > 0);
    let changes = !LOOKING.contains(&op.op.as_str());
    let done = match op.error.as_deref() {
        None | Some(NO_ANSWER | INTERRUPTED) => changes,
        // sftp-server sets one after the other, whatever becomes of those before.
        Some(_) => matches!(op.op.as_str(), "setstat" | "truncate") && several(op),
    };
    done || moved(op.bytes_read) || moved(op.bytes_written)
}

fn several(op: &SftpOp) -> bool {
    op.flags.as_ref().is_some_and(|flags| flags.len() > 1)
}

/// What changes nothing by itself. Every other look is on record only where it failed.
const LOOKING: [&str; 3] = ["open", "list", "read"];

/// What a handle is called that stands for nothing known.
pub(super) fn unknown(handle: &[u8]) -> Vec<u8> {
    if handle.len() == TOO_LONG {
        return b"(handle that is too long)".to_vec();
    }
    let first = handle.iter().take(NAMED);
    let hex: String = first.map(|byte| format!("{byte:02x}")).collect();
    format!("(handle {hex})").into_bytes()
}
