//! The record of what happened: files that only grow, each record chained to the one before it, and their verification.
//!
//! The process `audit` runs it, on one thread, in a root that is the audit directory. It must never be writable but by
//! messages, never wait for a peer, and never say that a record is durable before it is. The format's one home is
//! `docs/audit.md`.
#![forbid(unsafe_code)]

pub mod chain;
pub mod erasure;
mod error;
mod evidence;
mod file;
mod fold;
mod mark;
pub mod note;
mod outbox;
pub mod read;
pub mod reader;
pub mod record;
pub mod recording;
mod recovery;
mod reserve;
mod retention;
mod rights;
mod room;
mod serve;
mod sessions;
mod settle;
mod signer;
mod store;
mod sweep;
mod totals;
mod unrecorded;
pub mod verify;

pub use error::AuditError;
pub use serve::run;
