use serde::{Deserialize, Serialize};

/// Why client and server could not agree on algorithms, RFC 4253 §7.1. Said by a connection, for the log; what the client
/// offers is as it came, and cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disagreement {
    /// The lists that have nothing in common: one at least, and none twice.
    pub lists: Vec<Disjoint>,
    /// What would let the client in.
    pub remedy: Remedy,
}

/// Two lists that have nothing in common, names separated by commas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disjoint {
    /// Of what.
    pub kind: AlgorithmKind,
    /// What the client offers.
    pub client: String,
    /// What this server does.
    pub server: String,
}

/// What there is a list of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlgorithmKind {
    /// How keys are agreed on.
    KeyExchange,
    /// What the host key signs by.
    HostKey,
    /// What encrypts.
    Cipher,
    /// What authenticates what a cipher does not by itself.
    Mac,
}

impl AlgorithmKind {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// The name, as RFC 4253 says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyExchange => "key exchange",
            Self::HostKey => "host key",
            Self::Cipher => "cipher",
            Self::Mac => "MAC",
        }
    }
}

/// What would let a client in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remedy {
    /// The option `compatibility_mode`.
    CompatibilityMode,
    /// Nothing that this server has.
    None,
}
