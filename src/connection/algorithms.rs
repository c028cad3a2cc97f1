use std::borrow::Cow;
use std::time::Duration;

use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};
use ssh_key::{Algorithm, PublicKey};

use crate::policy::ssh::{Algorithms, Limits};

/// A name in policy/ssh.toml that russh does not know.
#[derive(Debug, thiserror::Error)]
#[error("{kind} {name} is unknown")]
pub struct UnknownAlgorithm {
    kind: &'static str,
    name: String,
}

/// What the server calls itself, RFC 4253 §4.2: neither its version nor its library is a stranger's business.
const IDENTITY: &str = "SSH-2.0-hassio-sshd";

/// What signatures of users are announced (RFC 8308 §3.1): russh announces the host key list, which alone would keep
/// users of RSA keys out. As host keys these are not offered, since none of them is held.
const USER_SIGNATURES: [&str; 7] = [
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// Refusals of all kinds on one connection. keys has lower limits of its own; this one bounds what never reaches it:
/// answers to questions that nobody asked (RFC 4256 §3.4).
const REFUSALS: usize = 100;

/// russh's configuration.
pub(super) fn configure(
    offered: &Algorithms,
    limits: &Limits,
    host_key: PublicKey,
    methods: MethodSet,
) -> Result<Config, UnknownAlgorithm> {
    Ok(Config {
        server_id: SshId::Standard(Cow::Borrowed(IDENTITY)),
        methods,
        // The least that any refusal takes; the handler adds more where it decides.
        auth_rejection_time: Duration::from_millis(limits.offer_delay_ms),
        auth_rejection_time_initial: Some(Duration::ZERO),
        public_keys: vec![host_key],
        window_size: limits.window_bytes,
        window_by_credit: true,
        maximum_packet_size: limits.packet_bytes,
        preferred: preferred(offered)?,
        max_auth_attempts: REFUSALS,
        // It would end quiet sessions; the login's time limit and keepalives do its work.
        inactivity_timeout: None,
        keepalive_interval: Some(Duration::from_secs(limits.keepalive_s)),
        keepalive_max: limits.keepalive_missed,
        nodelay: true,
        // Without them OpenSSH's client does not hide the rhythm of what is typed.
        answer_pings: true,
        // Keys that an agent restricts to certain servers sign nothing else. keys compares the host key as well.
        hostbound: true,
        ..Config::default()
    })
}

/// The methods that are announced, RFC 4252 §5.
pub(super) fn methods(password: bool) -> MethodSet {
    let all = [
        MethodKind::PublicKey,
        MethodKind::Password,
        MethodKind::KeyboardInteractive,
    ];
    MethodSet::from(if password { &all[..] } else { &all[..1] })
}

fn preferred(names: &Algorithms) -> Result<Preferred, UnknownAlgorithm> {
    let mut key = all("host key", &names.host_key, |name| name.parse().ok())?;
    for name in USER_SIGNATURES {
        let algorithm: Algorithm = one("signature", name, |name| name.parse().ok())?;
        if !key.contains(&algorithm) {
            key.push(algorithm);
        }
    }
    Ok(Preferred {
        kex: all("key exchange", &names.key_exchange, key_exchange)?.into(),
        key: key.into(),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: all("cipher", &names.cipher, |name| {
            cipher::Name::try_from(name).ok()
        })?
        .into(),
        mac: all("mac", &names.mac, |name| mac::Name::try_from(name).ok())?.into(),
        compression: Cow::Borrowed(&[compression::NONE]),
    })
}

/// The extension markers are no key exchanges, so russh does not find them by name.
fn key_exchange(name: &str) -> Option<kex::Name> {
    let markers = [
        kex::EXTENSION_SUPPORT_AS_CLIENT,
        kex::EXTENSION_SUPPORT_AS_SERVER,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
    ];
    let marker = markers.into_iter().find(|marker| marker.as_ref() == name);
    marker.or_else(|| kex::Name::try_from(name).ok())
}

fn all<T>(
    kind: &'static str,
    names: &[String],
    find: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, UnknownAlgorithm> {
    names.iter().map(|name| one(kind, name, &find)).collect()
}

fn one<T>(
    kind: &'static str,
    name: &str,
    find: impl Fn(&str) -> Option<T>,
) -> Result<T, UnknownAlgorithm> {
    find(name).ok_or_else(|| UnknownAlgorithm {
        kind,
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ssh::{Offer, Ssh};

    #[test]
    fn every_name_of_the_compatible_ones_is_known() {
        let all = Ssh::shipped().unwrap().offered(Offer::Compatible);
        let preferred = preferred(&all).unwrap();
        assert_eq!((preferred.kex.len(), preferred.mac.len()), (13, 4));
    }

    #[test]
    fn every_name_in_the_policy_is_known() {
        let preferred = preferred(&Ssh::shipped().unwrap().algorithms).unwrap();
        assert_eq!(preferred.kex.len(), 9);
        assert!(
            preferred
                .key
                .iter()
                .all(|algorithm| !matches!(algorithm, Algorithm::Other(_)))
        );
        assert_eq!(preferred.key.first(), Some(&Algorithm::Ed25519));
    }

    #[test]
    fn an_unknown_name_is_named() {
        let mut policy = Ssh::shipped().unwrap();
        policy.algorithms.cipher.push("rot13".to_owned());
        let error = preferred(&policy.algorithms).unwrap_err();
        assert_eq!(error.to_string(), "cipher rot13 is unknown");
    }

    #[test]
    fn passwords_are_announced_only_where_they_are_a_way_in() {
        assert_eq!(&*methods(false), &[MethodKind::PublicKey]);
        let with = methods(true);
        assert!(with.contains(&MethodKind::Password));
        assert!(with.contains(&MethodKind::KeyboardInteractive));
    }
}
