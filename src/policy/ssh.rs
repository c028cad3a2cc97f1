//! What the server offers on the wire: `policy/ssh.toml`.

use serde::Deserialize;

use super::PolicyError;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the members are explained in policy/ssh.toml, their one home"
)]
pub struct Ssh {
    pub algorithms: Algorithms,
    pub compatible: Algorithms,
    pub limits: Limits,
    pub penalties: Penalties,
}

/// Which clients are to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Those of today.
    Hardened,
    /// Old ones too: the option `compatibility_mode`.
    Compatible,
}

/// `[algorithms]` and `[compatible]`, first choice first.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Ssh")]
pub struct Algorithms {
    pub key_exchange: Vec<String>,
    pub host_key: Vec<String>,
    pub cipher: Vec<String>,
    pub mac: Vec<String>,
}

/// `[limits]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Ssh")]
pub struct Limits {
    pub login_grace_s: u64,
    pub unauthenticated: usize,
    pub unauthenticated_of_source: usize,
    pub connections: usize,
    pub window_bytes: u32,
    pub packet_bytes: u32,
    pub keepalive_s: u64,
    pub keepalive_missed: usize,
    pub unacknowledged_s: u64,
    pub failure_delay_ms: u64,
    pub offer_delay_ms: u64,
    pub forwarded_channels: usize,
    pub forward_listeners: usize,
}

/// `[penalties]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Ssh")]
pub struct Penalties {
    pub refused_s: u64,
    pub lingered_s: u64,
    pub nothing_s: u64,
    pub limit_s: u64,
    pub ban_s: u64,
    pub longest_ban_s: u64,
    pub ban_forgotten_s: u64,
    pub connections_at_once: u64,
    pub connections_per_s: u64,
    pub sources: usize,
}

impl Ssh {
    /// What is offered.
    #[must_use]
    pub fn offered(&self, offer: Offer) -> Algorithms {
        let mut all = self.algorithms.clone();
        match offer {
            Offer::Hardened => {}
            Offer::Compatible => {
                let more = self.compatible.clone();
                all.key_exchange.extend(more.key_exchange);
                all.host_key.extend(more.host_key);
                all.cipher.extend(more.cipher);
                all.mac.extend(more.mac);
            }
        }
        all
    }

    /// The policy that this build carries.
    ///
    /// # Errors
    /// When the file does not parse; a test excludes it.
    pub fn shipped() -> Result<Self, PolicyError> {
        super::parse("ssh.toml", include_str!("../../policy/ssh.toml"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_gone_has_as_long_with_output_as_without() {
        let limits = Ssh::shipped().unwrap().limits;
        let missed = u64::try_from(limits.keepalive_missed).unwrap();
        // The last one is missed when the next is due.
        let silent = limits.keepalive_s * (missed + 1);
        assert_eq!(limits.unacknowledged_s, silent);
    }

    #[test]
    fn even_old_clients_are_offered_nothing_broken() {
        let ssh = Ssh::shipped().unwrap();
        let all = ssh.offered(Offer::Compatible);
        assert_eq!(
            all.key_exchange.first(),
            ssh.algorithms.key_exchange.first()
        );
        let names = [all.key_exchange, all.host_key, all.cipher, all.mac].concat();
        for name in &names {
            let same = names.iter().filter(|other| *other == name).count();
            assert_eq!(same, 1, "{name}");
            for broken in [
                "sha1",
                "group1-",
                "cbc",
                "3des",
                "arcfour",
                "none",
                "md5",
                "ssh-rsa",
                "dss",
                "group-exchange",
                "umac-64",
            ] {
                assert!(!name.contains(broken), "{name}");
            }
        }
        let hardened = ssh.offered(Offer::Hardened);
        assert_eq!(hardened.mac, ssh.algorithms.mac);
    }

    #[test]
    fn strict_key_exchange_is_on_and_nothing_weak_is_offered() {
        let algorithms = Ssh::shipped().unwrap().algorithms;
        assert!(
            algorithms
                .key_exchange
                .iter()
                .any(|name| name == "kex-strict-s-v00@openssh.com")
        );
        let all = [
            algorithms.key_exchange,
            algorithms.host_key,
            algorithms.cipher,
            algorithms.mac,
        ]
        .concat();
        for weak in [
            "sha1",
            "group14",
            "cbc",
            "3des",
            "none",
            "md5",
            "ssh-rsa",
            "dss",
            "group-exchange",
        ] {
            assert!(!all.iter().any(|name| name.contains(weak)), "{weak}");
        }
        assert!(
            all.iter()
                .filter(|name| name.starts_with("hmac"))
                .all(|name| name.contains("-etm@"))
        );
    }
}
