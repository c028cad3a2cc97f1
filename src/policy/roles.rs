//! `policy/roles.toml`: what each role may ask of the API, and how its sessions see `/config` and the network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use crate::model::{ConfigAccess, Network, Role};

const SHIPPED: &str = include_str!("../../policy/roles.toml");

/// A kind of call. Endpoints need one; roles are lists of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// States and infos.
    Read,
    /// Logs.
    Logs,
    /// List and make backups.
    Backups,
    /// Start, stop, restart, rebuild, check, reload, update; reboot and shut down the host.
    Operate,
    /// See and set the options of other apps.
    Options,
}

impl Permission {
    /// The word in `policy/`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Logs => "logs",
            Self::Backups => "backups",
            Self::Operate => "operate",
            Self::Options => "options",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleRules {
    /// What it may ask for.
    pub may: BTreeSet<Permission>,
    /// How its sessions see `/config`.
    pub config: ConfigAccess,
    /// Which network they see, where no option says otherwise.
    pub network: Network,
    /// What the role is for.
    pub why: String,
}

/// All roles.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    default: Role,
    role: BTreeMap<Role, RoleRules>,
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
        let roles: Self = toml::from_str(text).map_err(RolesError::Parse)?;
        if roles.role.contains_key(&roles.default) {
            Ok(roles)
        } else {
            Err(RolesError::Default(roles.default))
        }
    }

    /// The role of a key whose line names none, and of password logins.
    #[must_use]
    pub fn default_role(&self) -> &Role {
        &self.default
    }

    /// What `role` may do, if there is such a role.
    #[must_use]
    pub fn rules(&self, role: &Role) -> Option<&RoleRules> {
        self.role.get(role)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Role, &RoleRules)> {
        self.role.iter()
    }

    /// The role with `permission` that may do least beside.
    #[must_use]
    pub fn least_with(&self, permission: Permission) -> Option<&Role> {
        let able = self
            .iter()
            .filter(|(_, rules)| rules.may.contains(&permission));
        able.min_by_key(|(_, rules)| rules.may.len())
            .map(|(role, _)| role)
    }
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
        let roles = Roles::shipped().unwrap();
        let admin = roles.rules(&"admin".parse().unwrap()).unwrap();
        for (role, rules) in roles.iter() {
            assert!(rules.may.is_subset(&admin.may), "{role}");
            assert!(!rules.why.is_empty(), "{role}");
        }
    }

    #[test]
    fn the_least_role_is_named() {
        let roles = Roles::shipped().unwrap();
        let least = |permission| roles.least_with(permission).unwrap().as_str();
        assert_eq!(least(Permission::Read), "observer");
        assert_eq!(least(Permission::Backups), "backup");
        assert_eq!(least(Permission::Operate), "operator");
        assert_eq!(least(Permission::Options), "admin");
    }

    #[test]
    fn a_bad_table_is_refused() {
        let good = "default = 'a'\n[role.a]\nmay = ['read']\nconfig = 'absent'\nnetwork = 'none'\nwhy = 'x'\n";
        assert!(Roles::parse(good).is_ok());
        assert!(Roles::parse(&format!("{good}extra = 1")).is_err());
        assert!(Roles::parse(&good.replace("read", "fly")).is_err());
        assert!(Roles::parse(&good.replace("role.a", "role.A")).is_err());
        let default = Roles::parse(&good.replace("'a'", "'b'"));
        assert!(matches!(default, Err(RolesError::Default(_))));
    }
}
