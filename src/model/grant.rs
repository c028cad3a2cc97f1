use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::forwarding::Forwarding;
use super::permits::Permits;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The peer's address; IPv4 addresses are never in their mapped form.
    pub ip: IpAddr,
    /// The peer's TCP port.
    pub port: u16,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.ip, self.port)
    }
}

/// The name of a policy role: what a key may ask of the API, never a process and never a capability.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Role(String);

/// Why a word is no role name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a role name is 1 to 32 characters of a-z, 0-9, - and _, and begins with a letter")]
pub struct RoleError;

impl Role {
    /// The role's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(name: &str) -> Result<Self, RoleError> {
        let letters =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
        if begins && name.len() <= 32 && name.chars().all(letters) {
            Ok(Self(name.to_owned()))
        } else {
            Err(RoleError)
        }
    }
}

impl TryFrom<String> for Role {
    type Error = RoleError;

    fn try_from(name: String) -> Result<Self, RoleError> {
        name.parse()
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a session may see `/config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigAccess {
    /// As a whole, for reading and writing.
    ReadWrite,
    /// For reading, with `.storage` and `secrets.yaml` hidden.
    ReadOnly,
    /// Not at all.
    Absent,
}

/// Which network a session sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// The container's own.
    Shared,
    /// An empty one, with a loopback interface.
    None,
}

/// What of a session's terminals and commands is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingMode {
    /// Nothing. Records are made all the same.
    Off,
    /// What it shows.
    Output,
    /// What is typed, too, but for what a terminal does not show.
    Input,
}

impl RecordingMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Output, Self::Input];

    /// Its name in options and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Output => "output",
            Self::Input => "input",
        }
    }
}

/// What becomes of a session whose records cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditFailure {
    /// It does not begin, makes no changing call, and ends.
    Closed,
    /// It goes on, and what is lost is counted.
    Open,
}

impl AuditFailure {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Closed, Self::Open];

    /// Its name in options.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

/// Which key proved a login, as the audit record names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyIdentity {
    /// `SHA256:` and the unpadded base64 of the key blob's digest, as ssh-keygen(1) prints it.
    pub fingerprint: String,
    /// The key's algorithm name, such as `ssh-ed25519`.
    pub algorithm: String,
    /// The comment of the key's line in the options, escaped and cut.
    pub comment: String,
}

/// How a user proved who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Login {
    /// RFC 4252 §7.
    PublicKey(KeyIdentity),
    /// RFC 4252 §8.
    Password,
}

/// What an authenticated login may do: decided by `keys`, carried out by the warden and the broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The SSH user name.
    pub user: String,
    /// What was proved.
    pub login: Login,
    /// The policy role.
    pub role: Role,
    /// How `/config` is seen.
    pub config: ConfigAccess,
    /// Which network is seen.
    pub network: Network,
    /// What is forwarded.
    pub forwarding: Forwarding,
    /// What is recorded.
    pub recording: RecordingMode,
    /// What becomes of it when its records cannot be kept.
    pub audit_failure: AuditFailure,
    /// The one command that it runs, whatever is asked for; none where the client chooses.
    pub command: Option<String>,
    /// What is set for its programs beside what policy sets: names and values.
    pub environment: Vec<(String, String)>,
    /// What it may do beside running programs.
    pub permits: Permits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_names_are_short_lower_case_words() {
        for good in ["operator", "a", "read-only_2"] {
            assert_eq!(good.parse::<Role>().map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "Admin", "2nd", "a b", "ä", "-x", &"x".repeat(33)] {
            assert_eq!(bad.parse::<Role>(), Err(RoleError), "{bad:?}");
        }
    }
}
