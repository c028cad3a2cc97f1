//! hassio-sshd: an SSH server for Home Assistant in which every login is a sandbox.
//!
//! The rooms, from the nouns up to the processes. `tests/layering.rs` holds who may import whom.

#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
pub mod broker;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod confine;
#[cfg(feature = "server")]
pub mod connection;
pub mod forward;
#[cfg(feature = "server")]
pub mod front;
#[cfg(feature = "server")]
pub mod keys;
pub mod model;
#[cfg(feature = "server")]
pub mod policy;
#[cfg(feature = "server")]
pub mod sandbox;
pub mod sys;
#[cfg(feature = "server")]
pub mod warden;
pub mod wire;
