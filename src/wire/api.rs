use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{ConfigAccess, KeyIdentity, Network, Role, SessionId};

/// Where a session finds the broker; `HASSIO_SOCKET` names another place.
pub const HASSIO_SOCKET: &str = "/run/hassio.sock";

/// The server's own route that says who one is; it never goes to the Supervisor.
pub const SESSION_PATH: &str = "/sshd/session";

/// What it says: the `data` of its JSON envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoAmI {
    /// The session.
    pub sid: SessionId,
    /// The name that was logged in with.
    pub user: String,
    /// The key that was; none for a password.
    pub key: Option<KeyIdentity>,
    /// What may be asked of the API.
    pub role: Role,
    /// Its permissions, as `policy/roles.toml` names them. A role of the options may name single calls beside.
    pub permissions: Vec<String>,
    /// How the session sees `/config`.
    pub config: ConfigAccess,
    /// Which network it sees.
    pub network: Network,
    /// The endpoints that it may call, as `policy/endpoints.toml` names them; no other.
    pub calls: Vec<String>,
}

/// Why an answer comes from this server and not from the Supervisor: the `error_key` of its JSON envelope. What the
/// reader can do about it is in `extra_fields.hint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiFault {
    /// No rule lets this role make this call.
    Refused,
    /// The request is not one: a body that is no JSON object, too long, or where none belongs.
    Unfit,
    /// The server runs without a token.
    NoSupervisor,
    /// The Supervisor does not answer, or not in time.
    Unreachable,
    /// The Supervisor does not take the server's own token, or not for this call.
    TokenRefused,
    /// The Supervisor's answer is none.
    BadAnswer,
    /// The call could not be put on record, so it was not made.
    Unrecorded,
    /// The session makes too many calls, at a time or in a second.
    TooMany,
    /// Of what is this server's own, there is none like that.
    NotThere,
}

impl ApiFault {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Refused,
        Self::Unfit,
        Self::NoSupervisor,
        Self::Unreachable,
        Self::TokenRefused,
        Self::BadAnswer,
        Self::Unrecorded,
        Self::TooMany,
        Self::NotThere,
    ];

    /// As in the envelope.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "sshd_refused",
            Self::Unfit => "sshd_unfit",
            Self::NoSupervisor => "sshd_no_supervisor",
            Self::Unreachable => "sshd_unreachable",
            Self::TokenRefused => "sshd_token_refused",
            Self::BadAnswer => "sshd_bad_answer",
            Self::Unrecorded => "sshd_unrecorded",
            Self::TooMany => "sshd_too_many",
            Self::NotThere => "sshd_not_there",
        }
    }

    /// The fault with that key; `None` for the Supervisor's own keys.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == key)
    }
}

impl fmt::Display for ApiFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_its_key() {
        for fault in ApiFault::ALL {
            assert_eq!(ApiFault::from_key(fault.as_str()), Some(fault));
        }
        assert_eq!(ApiFault::from_key("addon_not_running_error"), None);
    }
}
