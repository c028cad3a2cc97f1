//! The real `hassio` against a server that records what it is asked and answers as the test says: real HTTP over a Unix
//! socket or TCP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by failing"
)]

mod apps;
mod backups;
mod bad_input;
mod completion;
mod harness;
mod jobs;
mod logs;
mod output;
mod outside;
mod recorder;
mod simulated;
mod uploads;
mod walk;
