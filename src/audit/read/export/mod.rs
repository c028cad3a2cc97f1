//! The trail in other programs' formats: its records as events of the OCSF schema, its recordings as asciicast v2.
//!
//! What is written drives no terminal.

mod asciicast;
mod ocsf;

pub use asciicast::asciicast_v2;
pub use ocsf::{Ocsf, VERSION as OCSF_VERSION};
