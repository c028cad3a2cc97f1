//! The broker as it runs, between a session's socket and the simulated Supervisor, and the real `hassio` before it. The
//! test plays the warden and audit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod answers;
mod calls;
mod harness;
mod life;
mod limits;
mod outcome;
mod own;
mod process;
mod refusals;
mod roles;
mod sessions;
mod smuggle;
mod streams;
