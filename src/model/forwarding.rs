use serde::{Deserialize, Serialize};

use super::permits::Permits;

/// What of RFC 4254 §7, and of its cousins for Unix sockets and agents, a login may have: nothing, unless it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarding {
    /// The client may reach what the session reaches: `ssh -L`, `-D`, `-W`, `-J`.
    pub local: bool,
    /// The session may reach what the client lets it reach: `ssh -R`.
    pub remote: bool,
    /// The session may use the client's agent: `ssh -A`.
    pub agent: bool,
    /// Remote forwarding may listen elsewhere than on the loopback interface.
    pub gateway_ports: bool,
}

impl Forwarding {
    /// Whether there is anything.
    #[must_use]
    pub fn any(self) -> bool {
        self.local || self.remote || self.agent
    }

    /// What of it is left to a key whose line permits so much.
    #[must_use]
    pub fn within(self, permits: &Permits) -> Self {
        Self {
            local: self.local && permits.port_forwarding,
            remote: self.remote && permits.port_forwarding,
            agent: self.agent && permits.agent_forwarding,
            gateway_ports: self.gateway_ports,
        }
    }
}
