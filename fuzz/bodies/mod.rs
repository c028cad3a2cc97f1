//! What each fuzz target does with its bytes. The targets of `fuzz_targets/` call these under libFuzzer, `tests/fuzz.rs`
//! calls them with the seeds and with mutations of these. What is wrong with the code under test is a panic here.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a target says what is wrong by failing"
)]

pub mod authorized_keys;
pub mod codec;
mod heap;
mod input;
pub mod publickey;
pub mod record;
pub mod recording;
pub mod sftp;
pub mod trail;
