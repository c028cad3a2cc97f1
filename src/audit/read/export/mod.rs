//! The trail in other programs' formats: its recordings as asciicast v2.
//!
//! What is written drives no terminal.

mod asciicast;

pub use asciicast::asciicast_v2;
