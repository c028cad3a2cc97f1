mod reader;

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use self::reader::Reader;
use super::authorized_keys::{self, Rules};
use super::language::{digest, parse, position};
use super::problem::{ConfigError, Problem, Warning};
use super::roles::{self, Offered, RoleView};
use super::value::Value;
use crate::model::{AddressBlock, AuditFailure, Forwarding, Network, RecordingMode, Role};
use crate::wire::{AuthorizedKey, OwnRole};

/// The largest options file that is read.
pub(super) const FILE_BYTES: u64 = 1024 * 1024;

/// The one user name.
const USERNAME: &str = "root";
/// How many days records may be kept, and are if nothing is said.
const DAYS: std::ops::RangeInclusive<u32> = 7..=3650;
const RECORD_DAYS: u32 = 365;
/// The same of recordings, and how many MiB of them.
const RECORDING_DAYS: u32 = 30;
const RECORDING_MIB: u32 = 1024;

/// The options' names.
pub(super) const NAMES: [&str; 23] = [
    "authorized_keys",
    "password",
    "username",
    "default_role",
    "roles",
    "backup_download",
    "network",
    "folders",
    "sftp",
    "forwarding",
    "gateway_ports",
    "shell",
    "recording",
    "audit_failure",
    "record_days",
    "recording_days",
    "recording_mib",
    "banner",
    "allow_from",
    "penalty_exempt",
    "compatibility_mode",
    "log_level",
    "read_only_without_idmap",
];

/// The options, all of them checked.
pub struct Options {
    /// The keys that may log in.
    pub authorized_keys: Vec<AuthorizedKey>,
    /// The password; none if there are keys.
    pub password: Option<Zeroizing<String>>,
    /// The one user name.
    pub username: String,
    /// The role of keys that name none, and of password logins.
    pub default_role: Role,
    /// How that role sees the system.
    pub default_view: RoleView,
    /// Roles beside those that ship.
    pub own_roles: Vec<OwnRole>,
    /// Whether the role `backup` may fetch backups.
    pub backup_download: bool,
    /// Which network sessions see, where the options say so for all roles.
    pub network: Option<Network>,
    /// What is shown beside `/config`.
    pub folders: Vec<Folder>,
    /// Whether the sftp subsystem is served.
    pub sftp: bool,
    /// What sessions may forward.
    pub forwarding: Forwarding,
    /// What is recorded of sessions.
    pub recording: RecordingMode,
    /// How many days records are kept.
    pub record_days: u32,
    /// How many days recordings are kept.
    pub recording_days: u32,
    /// And how many MiB of them.
    pub recording_mib: u32,
    /// What becomes of a session whose records cannot be kept.
    pub audit_failure: AuditFailure,
    /// Shown before authentication; empty for none.
    pub banner: String,
    /// Where clients may come from; all, if empty.
    pub allow_from: Vec<AddressBlock>,
    /// From where what does not log in is not held against anybody.
    pub penalty_exempt: Vec<AddressBlock>,
    /// Whether old clients are let in.
    pub compatibility_mode: bool,
    /// How much is logged.
    pub log_level: LogLevel,
    /// Whether a `/config` that cannot be id-mapped is shown read-only instead of refusing sessions.
    pub read_only_without_idmap: bool,
    /// Hex SHA-256 of names and values; of the password only whether there is one, since the digest goes into records.
    pub digest: String,
}

/// Options that can be used, and what should be known of them.
pub struct Read {
    /// The options.
    pub options: Options,
    /// To be logged, each once.
    pub warnings: Vec<Warning>,
}

/// A folder of Home Assistant that sessions may see read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// `/share`
    Share,
    /// `/media`
    Media,
}

impl Folder {
    /// Where it lies, outside and inside.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Share => "/share",
            Self::Media => "/media",
        }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are tracing's")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    const ALL: [Self; 5] = [
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// The level's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Options {
    /// Reads the options in `path`, JSON unless its ending says `.yaml`, `.yml` or `.toml`. Times in them are in `zone`.
    ///
    /// # Errors
    /// `Unreadable`; `NoFile`; `TooLarge`; `Syntax`; `Options` with everything that is wrong, not only the first.
    pub fn read(path: &Path, offered: &Offered, zone: &TimeZone) -> Result<Read, ConfigError> {
        let bytes = contents(path)?;
        let syntax = |(line, column, reason)| ConfigError::Syntax {
            path: path.to_owned(),
            line,
            column,
            reason,
        };
        // What some editors begin a file with (U+FEFF); none of the three languages has it.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let good = std::str::from_utf8(good).unwrap_or_default();
            let (line, column) = position(good, good.len());
            syntax((line, column, "this byte is no UTF-8".to_owned()))
        })?;
        let ending = path.extension().and_then(|ending| ending.to_str());
        let value = parse(text, ending).map_err(syntax)?;
        Self::from_value(value, offered, zone).map_err(|problems| ConfigError::Options {
            path: path.to_owned(),
            problems,
        })
    }

    fn from_value(
        mut value: Value,
        offered: &Offered,
        zone: &TimeZone,
    ) -> Result<Read, Vec<Problem>> {
        let table = match &mut value {
            Value::Table(table) => std::mem::take(table),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                Vec::new()
            }
        };
        let digest = digest(&table);
        let mut reader = Reader::new(table);
        let own_roles = reader.roles(offered);
        let own_views = own_roles.iter().map(|role| RoleView {
            name: role.name.clone(),
            config: role.config,
            network: role.network,
        });
        let known_roles: Vec<RoleView> = offered.roles.iter().cloned().chain(own_views).collect();
        let known_roles = known_roles.as_slice();
        let role_name = reader.one_of(
            "default_role",
            "operator",
            |name| roles::find(known_roles, name).cloned(),
            &roles::names(known_roles),
        );
        let backup_download = reader.bool("backup_download").unwrap_or(false);
        let network = reader.network();
        let password = reader.password();
        let lines = reader.texts("authorized_keys", "a list of lines, each one public key");
        reader.one_of(
            "username",
            USERNAME,
            |name| (name == USERNAME).then_some(()),
            USERNAME,
        );
        reader.one_of(
            "shell",
            "bash",
            |name| (name == "bash").then_some(()),
            "bash, the only shell that is supported so far",
        );
        let folders = reader.folders();
        let sftp = reader.bool("sftp").unwrap_or(true);
        let forwarding = reader.forwarding();
        let recording = reader.recording();
        let audit_failure = reader.one_of(
            "audit_failure",
            "closed",
            |name| {
                AuditFailure::ALL
                    .into_iter()
                    .find(|failure| failure.as_str() == name)
            },
            "closed or open",
        );
        let record_days = reader.whole("record_days", DAYS, RECORD_DAYS, "a number of days");
        let recording_days = reader.whole(
            "recording_days",
            1..=3650,
            RECORDING_DAYS,
            "a number of days",
        );
        let recording_mib = reader.whole(
            "recording_mib",
            16..=1_000_000,
            RECORDING_MIB,
            "a number of MiB",
        );
        // What is wrong is among the problems.
        let audit_failure = audit_failure.unwrap_or(AuditFailure::Closed);
        let banner = reader.banner();
        let allow_from = reader.blocks("allow_from");
        let penalty_exempt = reader.blocks("penalty_exempt");
        let compatibility_mode = reader.bool("compatibility_mode").unwrap_or(false);
        let log_level = reader.one_of(
            "log_level",
            "info",
            |name| {
                LogLevel::ALL
                    .into_iter()
                    .find(|level| level.as_str() == name)
            },
            "error, warn, info, debug or trace",
        );
        let read_only_without_idmap = reader.bool("read_only_without_idmap").unwrap_or(false);

        let mut problems = reader.problems;
        let mut warnings = Vec::new();
        // The role may itself be a problem; its keys are looked at all the same.
        let default_view = role_name.or_else(|| roles::find(known_roles, "operator").cloned());
        let Some(default_view) = default_view else {
            return Err(problems);
        };
        let rules = Rules {
            role: &default_view,
            network: network.flatten(),
            roles: known_roles,
            environment: &offered.login.key_environment,
            zone,
            now: Timestamp::now(),
        };
        let keys = lines.map(|lines| authorized_keys::parse(&lines, &rules));
        let (authorized_keys, has_lines) = match keys {
            Some(keys) => {
                let has_lines = !keys.keys.is_empty() || !keys.refused.is_empty();
                if keys.keys.is_empty() && has_lines {
                    problems.push(Problem::NoKey {
                        lines: keys.refused,
                    });
                } else {
                    warnings.extend(keys.refused.into_iter().map(Warning::KeyLine));
                }
                warnings.extend(keys.warnings);
                (keys.keys, has_lines)
            }
            // A list that cannot be read is a problem already, and no reason to ask for keys.
            None => (Vec::new(), true),
        };
        let password = match password {
            Some(Some(_)) if has_lines => {
                warnings.push(Warning::PasswordIgnored);
                None
            }
            Some(Some(password)) => {
                let rules = &offered.login.password;
                problems.extend(rules.weakness(&password, USERNAME).map(Problem::Weak));
                warnings.push(Warning::PasswordLogin);
                Some(password)
            }
            Some(None) if !has_lines => {
                problems.push(Problem::NoLogin);
                None
            }
            Some(None) | None => None,
        };
        match (network, folders, recording, banner, log_level) {
            (Some(network), Some(folders), Some(recording), Some(banner), Some(log_level))
                if problems.is_empty() =>
            {
                Ok(Read {
                    options: Self {
                        authorized_keys,
                        password,
                        username: USERNAME.to_owned(),
                        default_role: default_view.name.clone(),
                        default_view,
                        own_roles,
                        backup_download,
                        network,
                        folders,
                        sftp,
                        forwarding,
                        recording,
                        record_days,
                        recording_days,
                        recording_mib,
                        audit_failure,
                        banner,
                        allow_from,
                        penalty_exempt,
                        compatibility_mode,
                        log_level,
                        read_only_without_idmap,
                        digest,
                    },
                    warnings,
                })
            }
            _ => Err(problems),
        }
    }
}

/// What is in the file. Never waits, whatever the name stands for.
fn contents(path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(ConfigError::NoFile {
            path: path.to_owned(),
        });
    }
    // As large as it can get at once: a buffer that grows leaves copies of the password behind.
    let most = FILE_BYTES + 1;
    let room = about.len().saturating_add(1).min(most);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room.try_into().unwrap_or(0)));
    let count = file
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(count).is_ok_and(|count| count > FILE_BYTES) {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
