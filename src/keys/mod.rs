//! Holds the secrets of authentication: the host key, the password, the authorized keys. Signs exchange hashes, verifies
//! logins, says who it is and which role they have.
//!
//! The process `keys` runs it, without files and without a network, on one thread. It must never let a secret out,
//! never believe a word of a connection beyond what a signature covers, and never wait for a connection.
#![forbid(unsafe_code)]

mod authority;
mod connection;
mod error;
mod host;
mod memory;
mod pace;
mod proof;
mod refusals;
pub mod request;
mod serve;
mod trail;

pub use error::KeysError;
pub use host::{HOST_KEY, make_host_key};
pub use serve::{Keys, load, run};
