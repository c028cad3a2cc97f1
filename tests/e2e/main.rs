//! The whole server with real clients: one binary, one harness.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::as_conversions,
    unreachable_pub,
    clippy::zombie_processes,
    reason = "a test says what is wrong by failing"
)]

mod audit;
mod auth;
mod budget;
mod clients;
mod compatibility;
mod conformance;
mod escape;
mod extensions;
mod flood;
mod forwarding;
mod full_disk;
mod harness;
mod hostile;
mod kills;
mod layers;
mod login;
mod options;
mod processes;
mod recordings;
mod sessions;
mod sftp;
mod supervisor;
#[path = "../tamper/mod.rs"]
mod tamper;
mod tampering;
mod types;
