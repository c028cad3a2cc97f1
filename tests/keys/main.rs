//! keys as it runs, in a thread; the test is the warden, audit, and connections that lie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as the test itself does"
)]

mod bounds;
mod harness;
mod logins;
mod proofs;
mod refusals;
