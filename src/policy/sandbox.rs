//! What a session sees, and how much of it: `policy/sandbox.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::PolicyError;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the members are explained in policy/sandbox.toml, their one home"
)]
pub struct Sandbox {
    pub identity: Identity,
    pub root: Root,
    pub files: BTreeMap<PathBuf, String>,
    pub current: Current,
    pub shown: BTreeMap<PathBuf, PathBuf>,
    pub hostname: Hostname,
    pub dev: Dev,
    pub proc: Proc,
    pub scratch: Vec<Scratch>,
    pub run: Run,
    pub config: Config,
    pub limits: Limits,
    pub servers: Servers,
    pub environment: BTreeMap<String, String>,
    pub accepted_environment: AcceptedEnvironment,
    pub programs: Programs,
    pub capabilities: Capabilities,
}

/// `[identity]`: outer user ids.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct Identity {
    pub session_uid: u32,
    pub slots: u32,
    pub slots_of_one_login: usize,
    pub foreign_uid: u32,
    pub front_uid: u32,
    pub keys_uid: u32,
    pub broker_uid: u32,
    pub audit_uid: u32,
}

/// `[root]`: the template of a session's root.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct Root {
    pub staging: PathBuf,
    pub size: String,
    pub inodes: u32,
    pub image: Vec<PathBuf>,
    pub etc: Vec<PathBuf>,
}

/// `[current]`: names below `/etc`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct Current {
    pub at: PathBuf,
    pub files: Vec<String>,
    pub limit: Size,
}

/// `[hostname]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct Hostname {
    pub name: String,
}

/// `[dev]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct Dev {
    pub nodes: Vec<String>,
    pub terminals: u32,
    pub shm_size: String,
}

/// `[proc]`: names below `/proc`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct Proc {
    pub null: Vec<String>,
    pub empty: Vec<String>,
    pub read_only: Vec<String>,
}

/// `[[scratch]]`: a private writable file system.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct Scratch {
    pub at: PathBuf,
    pub size: String,
    pub inodes: u32,
    pub mode: String,
}

/// `[run]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct Run {
    pub at: PathBuf,
    pub size: String,
    pub inodes: u32,
    pub socket: String,
}

/// `[config]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct Config {
    pub at: PathBuf,
    pub also: PathBuf,
    pub hidden_directories: Vec<PathBuf>,
    pub hidden_files: Vec<PathBuf>,
}

/// `[limits]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct Limits {
    pub processes: u64,
    pub open_files: u64,
    pub memory: Size,
    pub locked_memory: Size,
    pub pending_signals: u64,
    pub cpu_weight: u64,
    pub nice: i32,
    pub all_processes: u64,
    pub all_memory_percent: u64,
    pub all_cpu_weight: u64,
}

/// `[servers]`: limits of the server's own processes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct Servers {
    pub warden: ServerLimits,
    pub front: ServerLimits,
    pub keys: ServerLimits,
    pub broker: ServerLimits,
    pub audit: ServerLimits,
    pub reader: ServerLimits,
}

/// Where the private keys lie that sign the audit trail, below its folder: for the process that writes the trail alone.
pub const AUDIT_KEYS: &str = "keys";

/// `[servers.*]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct ServerLimits {
    pub open_files: u64,
    pub data: Option<Size>,
}

/// A number of bytes, written with `k`, `m` or `g` for powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let unit = text.chars().last().and_then(|c| match c {
            'k' => Some(1 << 10),
            'm' => Some(1 << 20),
            'g' => Some(1 << 30),
            _ => None,
        });
        let digits = if unit.is_some() {
            text.trim_end_matches(['k', 'm', 'g'])
        } else {
            &text
        };
        let number = digits.parse::<u64>().ok();
        number
            .and_then(|n| n.checked_mul(unit.unwrap_or(1)))
            .map(Self)
            .ok_or_else(|| format!("{text} is no size"))
    }
}

/// `[accepted_environment]`, and `[key_environment]` of `policy/login.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct AcceptedEnvironment {
    pub names: Vec<String>,
}

impl AcceptedEnvironment {
    /// Whether the variable `name` may be set.
    #[must_use]
    pub fn admits(&self, name: &str) -> bool {
        let plain =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        plain
            && self.names.iter().any(|rule| match rule.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == rule,
            })
    }
}

/// `[programs]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct Programs {
    pub shell: String,
    pub tools: PathBuf,
    pub sftp_server: Vec<String>,
}

/// `[capabilities]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Sandbox")]
pub struct Capabilities {
    pub warden: Vec<String>,
}

impl Sandbox {
    /// The policy that this build carries.
    ///
    /// # Errors
    /// When the file does not parse; a test excludes it.
    pub fn shipped() -> Result<Self, PolicyError> {
        super::parse("sandbox.toml", include_str!("../../policy/sandbox.toml"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_policy_parses() {
        let policy = Sandbox::shipped().unwrap();
        assert_eq!(policy.limits.locked_memory, Size(65_536));
    }

    #[test]
    fn no_two_purposes_share_an_outer_uid() {
        let identity = Sandbox::shipped().unwrap().identity;
        let mut ranges = vec![
            (identity.session_uid, identity.slots),
            (identity.foreign_uid, 65_535),
            (identity.front_uid, 1),
            (identity.keys_uid, 1),
            (identity.broker_uid, 1),
            (identity.audit_uid, 1),
        ];
        ranges.sort_unstable();
        assert!(
            ranges
                .windows(2)
                .all(|pair| pair[0].0 + pair[0].1 <= pair[1].0),
            "{ranges:?}"
        );
        assert!(
            ranges[0].0 >= 0x7000_0000,
            "systemd-nspawn hands out ids below"
        );
    }

    #[test]
    fn a_client_sets_only_what_is_on_the_list() {
        let accepted = Sandbox::shipped().unwrap().accepted_environment;
        assert!(
            ["LANG", "LC_ALL", "LC_TIME"]
                .into_iter()
                .all(|name| accepted.admits(name))
        );
        for name in [
            "",
            "PATH",
            "LD_PRELOAD",
            "BASH_ENV",
            "LC_A=B",
            "LANGUAGE",
            "HASSIO_SOCKET",
            "LC_\u{e9}",
        ] {
            assert!(!accepted.admits(name), "{name:?}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(Size::try_from("3m".to_owned()), Ok(Size(3 << 20)));
        assert!(
            ["", "m", "3x", "-1", "99999999999g"]
                .into_iter()
                .all(|bad| Size::try_from(bad.to_owned()).is_err())
        );
    }
}
