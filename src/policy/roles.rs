//! `policy/roles.toml`: what each role may ask of the API, and how its sessions see `/config` and the network; and roles
//! that the options add.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use super::endpoints::{Access, Endpoint, Endpoints};
use crate::model::{ConfigAccess, Network, Role};

const SHIPPED: &str = include_str!("../../policy/roles.toml");

/// A kind of call. Endpoints need one; roles are lists of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// Infos and states.
    Read,
    /// Logs.
    Logs,
    /// Reading Core's REST API.
    CoreApi,
    /// The state of one job.
    Jobs,
    /// List backups.
    BackupList,
    /// Make backups.
    BackupMake,
    /// Fetch backups.
    BackupDownload,
    /// Start, stop, restart, rebuild, check, reload, update; reboot and shut down the host.
    Operate,
    /// Install and remove apps and repositories.
    Apps,
    /// See and set the options of other apps, and write to their standard input.
    Options,
    /// Settings of everything but apps.
    Settings,
    /// The host's network.
    Network,
    /// Mounts and disks.
    Storage,
    /// Apply what the resolution center proposes.
    Resolution,
    /// Upload, restore and delete backups.
    Restore,
    /// Call Core's services.
    CoreServices,
    /// Look at the sessions of the same key, and end them.
    OwnSessions,
    /// Look at everybody's sessions, and end them.
    Sessions,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Read,
        Self::Logs,
        Self::CoreApi,
        Self::Jobs,
        Self::BackupList,
        Self::BackupMake,
        Self::BackupDownload,
        Self::Operate,
        Self::Apps,
        Self::Options,
        Self::Settings,
        Self::Network,
        Self::Storage,
        Self::Resolution,
        Self::Restore,
        Self::CoreServices,
        Self::OwnSessions,
        Self::Sessions,
    ];

    /// The word in `policy/` and in the options.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Logs => "logs",
            Self::CoreApi => "core-api",
            Self::Jobs => "jobs",
            Self::BackupList => "backup-list",
            Self::BackupMake => "backup-make",
            Self::BackupDownload => "backup-download",
            Self::Operate => "operate",
            Self::Apps => "apps",
            Self::Options => "options",
            Self::Settings => "settings",
            Self::Network => "network",
            Self::Storage => "storage",
            Self::Resolution => "resolution",
            Self::Restore => "restore",
            Self::CoreServices => "core-services",
            Self::OwnSessions => "own-sessions",
            Self::Sessions => "sessions",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|permission| permission.as_str() == word)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names endpoints: `core.restart` one, `core.*` all of an area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    fn matches(&self, endpoint: &Endpoint) -> bool {
        match self.0.strip_suffix('*') {
            Some(area) => endpoint.name.starts_with(area),
            None => endpoint.name == self.0,
        }
    }
}

/// One role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRules {
    /// What it may ask for.
    pub may: BTreeSet<Permission>,
    /// Which calls beside.
    pub calls: Vec<Pattern>,
    /// How its sessions see `/config`.
    pub config: ConfigAccess,
    /// Which network they see, where no option says otherwise.
    pub network: Network,
    /// What the role is for.
    pub why: String,
}

/// Why a word means nothing in a list of what a role may do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MayError {
    /// No permission of that name.
    #[error("\"{0}\" is no permission")]
    Permission(String),
    /// No endpoint of that name, or in that area.
    #[error("\"{0}\" names no call")]
    Call(String),
    /// It names calls, and all of them are refused to everybody.
    #[error("\"{0}\" is let through for nobody")]
    Never(String),
}

impl RoleRules {
    /// A role as the options write it: permissions, and names of endpoints such as `core.info` or `core.*`.
    ///
    /// # Errors
    /// A word that is neither.
    pub fn own(
        words: &[String],
        config: ConfigAccess,
        network: Network,
        endpoints: &Endpoints,
    ) -> Result<Self, MayError> {
        let (mut may, mut calls) = (BTreeSet::new(), Vec::new());
        for word in words {
            let star = word.strip_suffix(".*");
            if !word.contains('.') {
                let known = Permission::named(word);
                may.insert(known.ok_or_else(|| MayError::Permission(word.clone()))?);
                continue;
            }
            // A star stands for all of one area, and for nothing else.
            if word.contains('*') && star.is_none_or(|area| area.contains(['*', '.'])) {
                return Err(MayError::Call(word.clone()));
            }
            let pattern = Pattern(word.clone());
            let named: Vec<_> = endpoints.iter().filter(|e| pattern.matches(e)).collect();
            let offered = |endpoint: &&Endpoint| matches!(endpoint.access, Access::Needs(_));
            if named.is_empty() {
                return Err(MayError::Call(word.clone()));
            }
            if !named.iter().any(offered) {
                return Err(MayError::Never(word.clone()));
            }
            calls.push(pattern);
        }
        // Everybody's are one's own too.
        if may.contains(&Permission::Sessions) {
            may.insert(Permission::OwnSessions);
        }
        let why = "written in the options".to_owned();
        Ok(Self {
            may,
            calls,
            config,
            network,
            why,
        })
    }

    /// Whether the role may make that call: never one that nobody may make.
    #[must_use]
    pub fn allows(&self, endpoint: &Endpoint) -> bool {
        match &endpoint.access {
            Access::Never(_) => false,
            Access::Needs(permission) => {
                self.may.contains(permission)
                    || self.calls.iter().any(|pattern| pattern.matches(endpoint))
            }
        }
    }
}

/// What one session may ask, whatever its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Calls at a time.
    pub calls_at_once: u16,
    /// Calls a second, over time.
    pub calls_a_second: u16,
    /// Calls that may be saved up.
    pub calls_in_a_burst: u16,
}

/// All roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    default: Role,
    limits: Limits,
    permissions: BTreeMap<Permission, String>,
    roles: BTreeMap<Role, RoleRules>,
    download: Vec<(Role, BTreeSet<Permission>)>,
}

/// Why a role table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RolesError {
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("cannot read the roles")]
    Parse(#[source] toml::de::Error),
    /// The default names no role.
    #[error("the default role {0} is not in the table")]
    Default(Role),
    /// A limit that lets nothing through.
    #[error("a limit is zero")]
    Limit,
    /// A permission that is not explained.
    #[error("the table does not say what the permission {0} is for")]
    Permission(Permission),
    /// A role of the options has the name of one that is there already.
    #[error("there is a role {0} already")]
    Taken(Role),
    /// A role of the options lists what there is not.
    #[error("the role {role} cannot be used")]
    May {
        /// Which.
        role: Role,
        /// What it lists.
        source: MayError,
    },
}

impl Roles {
    /// The table that is compiled in.
    ///
    /// # Errors
    /// None, as a unit test shows.
    pub fn shipped() -> Result<Self, RolesError> {
        Self::parse(SHIPPED)
    }

    fn parse(text: &str) -> Result<Self, RolesError> {
        let file: File = toml::from_str(text).map_err(RolesError::Parse)?;
        if !file.role.contains_key(&file.default) {
            return Err(RolesError::Default(file.default));
        }
        let limits = file.limits;
        if [
            limits.calls_at_once,
            limits.calls_a_second,
            limits.calls_in_a_burst,
        ]
        .contains(&0)
        {
            return Err(RolesError::Limit);
        }
        let explained = |permission: &Permission| file.permission.contains_key(permission);
        if let Some(missing) = Permission::ALL.into_iter().find(|p| !explained(p)) {
            return Err(RolesError::Permission(missing));
        }
        let (mut roles, mut download) = (BTreeMap::new(), Vec::new());
        for (name, entry) in file.role {
            download.push((name.clone(), entry.may_download));
            let rules = RoleRules {
                may: entry.may,
                calls: Vec::new(),
                config: entry.config,
                network: entry.network,
                why: entry.why,
            };
            roles.insert(name, rules);
        }
        Ok(Self {
            default: file.default,
            limits: file.limits,
            permissions: file.permission,
            roles,
            download,
        })
    }

    /// The same with the option `backup_download`.
    #[must_use]
    pub fn with_backup_download(mut self) -> Self {
        for (name, more) in &self.download {
            if let Some(rules) = self.roles.get_mut(name) {
                rules.may.extend(more);
            }
        }
        self
    }

    /// The same with a role of the options.
    ///
    /// # Errors
    /// `Taken`: what ships is not replaced.
    pub fn with(mut self, name: Role, rules: RoleRules) -> Result<Self, RolesError> {
        if self.roles.contains_key(&name) {
            return Err(RolesError::Taken(name));
        }
        self.roles.insert(name, rules);
        Ok(self)
    }

    /// The role of a key whose line names none, and of password logins.
    #[must_use]
    pub fn default_role(&self) -> &Role {
        &self.default
    }

    /// What one session may ask.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What `role` may do, if there is such a role.
    #[must_use]
    pub fn rules(&self, role: &Role) -> Option<&RoleRules> {
        self.roles.get(role)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Role, &RoleRules)> {
        self.roles.iter()
    }

    /// What a permission is for.
    pub fn permissions(&self) -> impl Iterator<Item = (Permission, &str)> {
        self.permissions
            .iter()
            .map(|(permission, why)| (*permission, why.as_str()))
    }

    /// The role that may make the call and least beside.
    #[must_use]
    pub fn least_for(&self, endpoint: &Endpoint) -> Option<&Role> {
        let able = self.iter().filter(|(_, rules)| rules.allows(endpoint));
        able.min_by_key(|(_, rules)| rules.may.len() + rules.calls.len())
            .map(|(role, _)| role)
    }
}

/// The file as it is spelled.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Role,
    limits: Limits,
    permission: BTreeMap<Permission, String>,
    role: BTreeMap<Role, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    may: BTreeSet<Permission>,
    #[serde(default)]
    may_download: BTreeSet<Permission>,
    config: ConfigAccess,
    network: Network,
    why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_roles_are_the_four_and_operator_is_the_default() {
        let roles = Roles::shipped().unwrap();
        let names: Vec<_> = roles.iter().map(|(role, _)| role.as_str()).collect();
        assert_eq!(names, ["admin", "backup", "observer", "operator"]);
        assert_eq!(roles.default_role().as_str(), "operator");
    }

    #[test]
    fn the_network_is_shared_with_who_may_write_config_and_with_nobody_else() {
        for (role, rules) in Roles::shipped().unwrap().iter() {
            let shared = rules.network == Network::Shared;
            assert_eq!(shared, rules.config == ConfigAccess::ReadWrite, "{role}");
        }
    }

    #[test]
    fn admin_may_all_that_anybody_may() {
        let roles = Roles::shipped().unwrap().with_backup_download();
        let admin = roles.rules(&"admin".parse().unwrap()).unwrap();
        for (role, rules) in roles.iter() {
            assert!(rules.may.is_subset(&admin.may), "{role}");
            assert!(!rules.why.is_empty(), "{role}");
        }
        assert_eq!(admin.may.len(), Permission::ALL.len());
    }

    #[test]
    fn every_permission_has_its_word() {
        for permission in Permission::ALL {
            assert_eq!(Permission::named(permission.as_str()), Some(permission));
        }
    }

    #[test]
    fn the_least_role_is_named() {
        let (roles, endpoints) = (Roles::shipped().unwrap(), Endpoints::shipped().unwrap());
        let least = |name| {
            let role = roles.least_for(endpoints.named(name).unwrap());
            role.map(Role::as_str)
        };
        assert_eq!(least("core.info"), Some("observer"));
        assert_eq!(least("backups.list"), Some("backup"));
        assert_eq!(least("core.restart"), Some("operator"));
        assert_eq!(least("addons.options"), Some("admin"));
        assert_eq!(least("backups.download"), Some("admin"));
        assert_eq!(least("auth.list"), None);
    }

    fn own(words: &[&str]) -> Result<RoleRules, MayError> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let endpoints = Endpoints::shipped().unwrap();
        RoleRules::own(&words, ConfigAccess::Absent, Network::None, &endpoints)
    }

    #[test]
    fn a_role_of_the_options_may_what_it_lists_and_nothing_that_is_for_nobody() {
        let rules = own(&["logs", "addons.restart", "os.*"]).unwrap();
        for endpoint in Endpoints::shipped().unwrap().iter() {
            let listed = endpoint.access == Access::Needs(Permission::Logs)
                || endpoint.name == "addons.restart"
                || endpoint.name.starts_with("os.") && endpoint.name != "os.datadisk-wipe";
            assert_eq!(rules.allows(endpoint), listed, "{}", endpoint.name);
        }
    }

    #[test]
    fn a_role_of_the_options_cannot_list_what_there_is_not() {
        for bad in ["reed", "*", "", "READ"] {
            assert_eq!(
                own(&[bad]),
                Err(MayError::Permission(bad.to_owned())),
                "{bad}"
            );
        }
        for bad in [
            "core.fly", "cor.*", "core.*.*", "*.info", "co*.info", "core.i*", ".*", "core.", ".",
        ] {
            assert_eq!(own(&[bad]), Err(MayError::Call(bad.to_owned())), "{bad}");
        }
        for bad in ["auth.list", "discovery.*"] {
            assert_eq!(own(&[bad]), Err(MayError::Never(bad.to_owned())), "{bad}");
        }
        let shipped = Roles::shipped().unwrap();
        let taken = shipped.with("observer".parse().unwrap(), own(&["logs"]).unwrap());
        assert!(matches!(taken, Err(RolesError::Taken(_))));
    }

    #[test]
    fn a_bad_table_is_refused() {
        let explained: String = Permission::ALL.map(|p| format!("{p} = 'x'\n")).concat();
        let good = format!(
            "default = 'a'\n[role.a]\nmay = ['read']\nconfig = 'absent'\nnetwork = 'none'\nwhy = 'x'\n\
             [limits]\ncalls_at_once = 1\ncalls_a_second = 1\ncalls_in_a_burst = 1\n[permission]\n{explained}"
        );
        assert!(Roles::parse(&good).is_ok());
        assert!(Roles::parse(&format!("{good}extra = 'x'")).is_err());
        assert!(Roles::parse(&good.replace("['read']", "['fly']")).is_err());
        assert!(Roles::parse(&good.replace("why", "extra = 1\nwhy")).is_err());
        assert!(Roles::parse(&good.replace("role.a", "role.A")).is_err());
        let default = Roles::parse(&good.replace("'a'", "'b'"));
        assert!(matches!(default, Err(RolesError::Default(_))));
        let zero = Roles::parse(&good.replace("burst = 1", "burst = 0"));
        assert!(matches!(zero, Err(RolesError::Limit)));
        let missing = Roles::parse(&good.replace("jobs = 'x'\n", ""));
        assert!(matches!(
            missing,
            Err(RolesError::Permission(Permission::Jobs))
        ));
    }
}
