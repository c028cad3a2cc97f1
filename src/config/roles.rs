use crate::model::{ConfigAccess, Network, Role};
use crate::policy::roles::{RoleRules, Roles, RolesError};

/// How a role sees the system, beside what it may ask of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleView {
    /// The role's name.
    pub name: Role,
    /// How it sees `/config`.
    pub config: ConfigAccess,
    /// Which network it sees if neither the options nor the key's line say otherwise.
    pub network: Network,
}

/// The roles of `policy/roles.toml`.
///
/// # Errors
/// None, as a unit test of policy shows.
pub fn known_roles() -> Result<Vec<RoleView>, RolesError> {
    let view = |(name, rules): (&Role, &RoleRules)| RoleView {
        name: name.clone(),
        config: rules.config,
        network: rules.network,
    };
    Ok(Roles::shipped()?.iter().map(view).collect())
}

/// The role of that name.
pub(super) fn find<'r>(roles: &'r [RoleView], name: &str) -> Option<&'r RoleView> {
    roles.iter().find(|role| role.name.as_str() == name)
}

/// The names, as an error message lists them.
pub(super) fn names(roles: &[RoleView]) -> String {
    let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    names.join(", ")
}
