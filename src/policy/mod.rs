//! The facts in `policy/*.toml` as typed tables, compiled in; and the verdicts that follow from them. Pure.
//!
//! A file that does not parse, or names something unknown, fails a unit test.
#![forbid(unsafe_code)]

pub mod endpoints;
pub mod login;
pub mod roles;
pub mod sandbox;
pub mod seccomp;
pub mod ssh;

/// A policy file that is not what its reader expects.
#[derive(Debug, thiserror::Error)]
#[error("policy/{file} is not valid")]
pub struct PolicyError {
    file: &'static str,
    source: toml::de::Error,
}

fn parse<T: serde::de::DeserializeOwned>(file: &'static str, text: &str) -> Result<T, PolicyError> {
    toml::from_str(text).map_err(|source| PolicyError { file, source })
}

/// Hex SHA-256 of all policy files as they were compiled in: names what was in force, for the records.
#[must_use]
pub fn digest() -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for text in [
        include_str!("../../policy/endpoints.toml"),
        include_str!("../../policy/login.toml"),
        include_str!("../../policy/roles.toml"),
        include_str!("../../policy/sandbox.toml"),
        include_str!("../../policy/seccomp.toml"),
        include_str!("../../policy/ssh.toml"),
    ] {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize())
}

/// The first eight hex digits of a SHA-256: a short name for something long.
#[must_use]
pub fn short_digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let mut text = hex(&Sha256::digest(bytes));
    text.truncate(8);
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
