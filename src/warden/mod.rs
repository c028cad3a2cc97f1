//! The warden: makes sandboxes, hands descriptors on, starts and restarts the other processes, reaps.
//!
//! The only process with privileges once the server runs. One thread, no waiting on anybody: every link is
//! non-blocking, what is not read waits up to a bound, and then that peer is ended. It reads messages of our own
//! processes alone, never a byte that came from the network or out of a session.
#![forbid(unsafe_code)]

mod connections;
mod messages;
mod outbox;
mod pulse;
mod readers;
mod restart;
mod run;
mod servers;
mod sessions;
mod spare;
mod terms;

pub use run::{Handover, WardenError, run};
pub use servers::FINAL;
