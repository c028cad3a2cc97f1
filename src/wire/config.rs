use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{
    AddressBlock, AuditFailure, ConfigAccess, Forwarding, Network, Permits, RecordingMode, Role,
    Sources,
};

/// What `serve` hands to the warden when it turns into it, in a sealed memory file: already parsed, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WardenConfig {
    /// Where Home Assistant's configuration lies outside.
    pub config_dir: PathBuf,
    /// Where host key and audit trail lie.
    pub data_dir: PathBuf,
    /// Folders that sessions see read-only beside `/config`: where each lies outside, and its name inside.
    pub folders: Vec<(PathBuf, PathBuf)>,
    /// Hex SHA-256 of the options as they were read.
    pub options_digest: String,
    /// Whether a `/config` that cannot be id-mapped is shown read-only instead of refusing sessions.
    pub read_only_without_idmap: bool,
    /// How much is logged: `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: String,
    /// What the server listens on; the sockets follow as descriptors.
    pub listen: Vec<SocketAddr>,
}

/// What the warden hands to the front, and each connection thereby has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontConfig {
    /// As in [`WardenConfig::log_level`].
    pub log_level: String,
    /// What every channel's environment begins with, beside what policy sets: `TZ`.
    pub environment: Vec<(String, String)>,
    /// Whether passwords are a way in; with keys configured they are not.
    pub password: bool,
    /// The login shell, an absolute path inside.
    pub shell: String,
    /// Whether the `sftp` subsystem is served.
    pub sftp: bool,
    /// Shown before authentication; empty for none.
    pub banner: String,
    /// Where clients may come from; all, if empty.
    pub allow_from: Vec<AddressBlock>,
    /// From where what does not log in is not held against anybody.
    pub penalty_exempt: Vec<AddressBlock>,
    /// Whether old clients are let in.
    pub compatibility_mode: bool,
}

/// What keys needs, in a sealed memory file that nobody else reads.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysConfig {
    /// As in [`WardenConfig::log_level`].
    pub log_level: String,
    /// Where the host key lies.
    pub data_dir: PathBuf,
    /// The one user name.
    pub username: String,
    /// Keys that may log in.
    pub authorized_keys: Vec<AuthorizedKey>,
    /// The password, if no key is configured.
    pub password: Option<String>,
    /// The role of password logins.
    pub default_role: Role,
    /// How that role sees `/config`.
    pub default_config: ConfigAccess,
    /// Which network it sees.
    pub default_network: Network,
    /// What sessions may forward.
    pub forwarding: Forwarding,
    /// What is recorded of sessions.
    pub recording: RecordingMode,
    /// What becomes of a session whose records cannot be kept, unless its key is for breaking the glass.
    pub audit_failure: AuditFailure,
}

/// One good line of `authorized_keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizedKey {
    /// The public key's blob, RFC 4253 §6.6.
    pub blob: Vec<u8>,
    /// Its algorithm name.
    pub algorithm: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// The rest of the line, escaped and cut.
    pub comment: String,
    /// What it may ask of the API.
    pub role: Role,
    /// How it sees `/config`.
    pub config: ConfigAccess,
    /// Which network it sees.
    pub network: Network,
    /// What is recorded of its sessions, where the line says so.
    pub recording: Option<RecordingMode>,
    /// Whether it logs in when nothing can be put on record any more.
    pub break_glass: bool,
    /// Where it may log in from; none for anywhere.
    pub from: Option<Sources>,
    /// Until when it logs in, in seconds since 1970.
    pub expires: Option<i64>,
    /// The one command that its sessions run. No control character but tabs.
    pub command: Option<String>,
    /// What is set for its programs: names and values. No control character but tabs.
    pub environment: Vec<(String, String)>,
    /// What it may do beside running programs.
    pub permits: Permits,
    /// Of a security key: whether it has to be touched.
    pub touch: bool,
    /// Of a security key: whether it has to know by PIN or fingerprint who touches it.
    pub verify: bool,
}

/// What the broker needs, in a sealed memory file that nobody else reads.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerConfig {
    /// As in [`WardenConfig::log_level`].
    pub log_level: String,
    /// The Supervisor's address, such as `http://supervisor`.
    pub supervisor: String,
    /// Its token; none where the server runs outside Home Assistant.
    pub token: Option<String>,
    /// Roles that the options add to `policy/roles.toml`.
    pub own_roles: Vec<OwnRole>,
    /// Whether the role `backup` may fetch backups.
    pub backup_download: bool,
}

/// A role of the options, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnRole {
    /// Its name.
    pub name: Role,
    /// Permissions and names of endpoints.
    pub may: Vec<String>,
    /// How it sees `/config`.
    pub config: ConfigAccess,
    /// Which network it sees.
    pub network: Network,
}

/// What each reader of the audit trail needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderConfig {
    /// As in [`WardenConfig::log_level`].
    pub log_level: String,
    /// As in [`AuditConfig::directory`].
    pub directory: PathBuf,
    /// The zone in which times are shown, as `TZ` names it; none for this machine's.
    pub zone: Option<String>,
}

/// What audit needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditConfig {
    /// As in [`WardenConfig::log_level`].
    pub log_level: String,
    /// Where its files lie: `<data-dir>/audit`.
    pub directory: PathBuf,
    /// How many days records are kept.
    pub record_days: u32,
    /// How many days recordings are kept.
    pub recording_days: u32,
    /// And how many bytes of them.
    pub recording_bytes: u64,
    /// The first eight hexadecimal digits of the kernel's boot id; `audit` itself adds which start it is.
    pub boot: String,
}
