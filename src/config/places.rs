use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::environment::Environment;
use super::options::Options;
use super::roles::RoleView;
use crate::model::AddressBlock;
use crate::wire::{AuditConfig, BrokerConfig, FrontConfig, KeysConfig, ReaderConfig, WardenConfig};

/// Where things are, as the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Home Assistant's configuration.
    pub config_dir: PathBuf,
    /// Host key and audit trail.
    pub data_dir: PathBuf,
    /// What to listen on.
    pub listen: Vec<SocketAddr>,
    /// The Supervisor.
    pub supervisor: Supervisor,
}

/// The Supervisor's address: `http://host` or `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor(String);

/// Why a text is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Supervisor's address is http://HOST or http://HOST:PORT, with nothing after it")]
pub struct SupervisorError;

impl FromStr for Supervisor {
    type Err = SupervisorError;

    fn from_str(text: &str) -> Result<Self, SupervisorError> {
        let authority = text
            .strip_prefix("http://")
            .map(|rest| rest.strip_suffix('/').unwrap_or(rest))
            .ok_or(SupervisorError)?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_';
        let bracketed = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let good_host = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(name),
        };
        let good_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
        if good_host && good_port {
            Ok(Self(format!("http://{authority}")))
        } else {
            Err(SupervisorError)
        }
    }
}

impl fmt::Display for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What each process is told.
pub struct Configs {
    /// For the warden.
    pub warden: WardenConfig,
    /// For the front and its connections.
    pub front: FrontConfig,
    /// For keys.
    pub keys: KeysConfig,
    /// For the broker.
    pub broker: BrokerConfig,
    /// For audit.
    pub audit: AuditConfig,
    /// For readers of its trail.
    pub reader: ReaderConfig,
}

impl Options {
    /// Hands each process its part, and no process another's.
    #[must_use]
    pub fn into_configs(self, places: &Places, environment: Environment) -> Configs {
        let log_level = self.log_level.as_str().to_owned();
        let RoleView {
            config, network, ..
        } = self.default_view;
        let folders = self.folders.iter().map(|folder| {
            let path = PathBuf::from(folder.path());
            (path.clone(), path)
        });
        let zone = environment.timezone.clone();
        let environment_of_channels = environment
            .timezone
            .map(|zone| ("TZ".to_owned(), zone))
            .into_iter()
            .collect();
        Configs {
            warden: WardenConfig {
                config_dir: places.config_dir.clone(),
                data_dir: places.data_dir.clone(),
                folders: folders.collect(),
                options_digest: self.digest,
                read_only_without_idmap: self.read_only_without_idmap,
                log_level: log_level.clone(),
                listen: places.listen.clone(),
            },
            front: FrontConfig {
                log_level: log_level.clone(),
                environment: environment_of_channels,
                password: self.password.is_some(),
                shell: "/bin/bash".to_owned(),
                sftp: self.sftp,
                banner: self.banner,
                allow_from: self.allow_from,
                penalty_exempt: self
                    .penalty_exempt
                    .into_iter()
                    .chain(environment.gateways.into_iter().map(AddressBlock::from))
                    .collect(),
                compatibility_mode: self.compatibility_mode,
            },
            keys: KeysConfig {
                log_level: log_level.clone(),
                data_dir: places.data_dir.clone(),
                username: self.username,
                authorized_keys: self.authorized_keys,
                password: self.password.map(|password| password.to_string()),
                default_role: self.default_role,
                default_config: config,
                default_network: self.network.unwrap_or(network),
                forwarding: self.forwarding,
                recording: self.recording,
                audit_failure: self.audit_failure,
            },
            broker: BrokerConfig {
                log_level: log_level.clone(),
                supervisor: places.supervisor.to_string(),
                token: environment.token.map(|token| token.to_string()),
                own_roles: self.own_roles,
                backup_download: self.backup_download,
            },
            reader: ReaderConfig {
                log_level: log_level.clone(),
                directory: places.data_dir.join("audit"),
                zone,
            },
            audit: AuditConfig {
                log_level,
                directory: places.data_dir.join("audit"),
                record_days: self.record_days,
                recording_days: self.recording_days,
                recording_bytes: u64::from(self.recording_mib) * 1024 * 1024,
                boot: environment.boot,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_supervisor_is_an_address_and_nothing_else() {
        for good in [
            "http://supervisor",
            "http://127.0.0.1:8080",
            "http://[::1]:80",
            "http://[::1]",
        ] {
            assert_eq!(good.parse::<Supervisor>().unwrap().to_string(), good);
        }
        assert_eq!(
            "http://supervisor/"
                .parse::<Supervisor>()
                .unwrap()
                .to_string(),
            "http://supervisor"
        );
        for bad in [
            "https://supervisor",
            "supervisor",
            "http://",
            "http://a/b",
            "http://u@a",
            "http://a:0",
            "http://a:x",
            "http://[::g]",
            "http://a b",
        ] {
            assert_eq!(bad.parse::<Supervisor>(), Err(SupervisorError), "{bad}");
        }
    }
}
