use super::value::Value;
use crate::model::{ConfigAccess, Network, Role, escape, nearest};
use crate::policy::PolicyError;
use crate::policy::endpoints::{Endpoints, EndpointsError};
use crate::policy::login::Login;
use crate::policy::roles::{MayError, Permission, RoleRules, Roles, RolesError};
use crate::wire::OwnRole;

/// What a role of the options may say of itself.
const MEMBERS: [&str; 3] = ["may", "config", "network"];

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

/// What policy offers, for the options to choose among.
#[derive(Clone, Debug)]
pub struct Offered {
    /// The roles that ship.
    pub roles: Vec<RoleView>,
    /// What keys may set, and which passwords are none.
    pub login: Login,
    endpoints: Endpoints,
}

/// Why policy cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OfferedError {
    /// `policy/roles.toml`
    #[error("cannot use the table of roles")]
    Roles(#[source] RolesError),
    /// `policy/endpoints.toml`
    #[error("cannot use the table of endpoints")]
    Endpoints(#[source] EndpointsError),
    /// `policy/login.toml`
    #[error("cannot use the rules for logins")]
    Login(#[source] PolicyError),
}

impl Offered {
    /// What is compiled in.
    ///
    /// # Errors
    /// None, as unit tests of policy show.
    pub fn shipped() -> Result<Self, OfferedError> {
        let view = |(name, rules): (&Role, &RoleRules)| RoleView {
            name: name.clone(),
            config: rules.config,
            network: rules.network,
        };
        let roles = Roles::shipped().map_err(OfferedError::Roles)?;
        Ok(Self {
            roles: roles.iter().map(view).collect(),
            login: Login::shipped().map_err(OfferedError::Login)?,
            endpoints: Endpoints::shipped().map_err(OfferedError::Endpoints)?,
        })
    }
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

/// What is wrong with a role of the options, and what would be right.
pub(super) struct Wrong {
    pub(super) value: String,
    pub(super) right: String,
}

/// A role as the options write it: `{"may": [...], "config": "absent", "network": "none"}`.
pub(super) fn own(name: &str, value: &Value, offered: &Offered) -> Result<OwnRole, Wrong> {
    let shown = format!("\"{}\"", escape(name.as_bytes(), 64));
    let wrong = |value: String, right: String| Wrong { value, right };
    let role: Role = name
        .parse()
        .map_err(|error| wrong(shown.clone(), format!("another name: {error}")))?;
    if find(&offered.roles, name).is_some() {
        let right = format!("another name: {} are there already", names(&offered.roles));
        return Err(wrong(shown, right));
    }
    let Value::Table(members) = value else {
        let right = "a table with may, config and network".to_owned();
        return Err(wrong(format!("{shown} as {}", value.shown()), right));
    };
    if let Some((other, _)) = members
        .iter()
        .find(|(name, _)| !MEMBERS.contains(&name.as_str()))
    {
        let right = match nearest(other, &MEMBERS) {
            Some(near) => near.to_owned(),
            None => MEMBERS.join(", "),
        };
        let other = escape(other.as_bytes(), 64);
        return Err(wrong(format!("{shown} with \"{other}\""), right));
    }
    let member = |name: &str| {
        let found = members.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value)
            .filter(|value| **value != Value::Null)
    };
    let bad = |name: &str, right: &str| {
        let value = member(name).map_or("null".to_owned(), Value::shown);
        wrong(format!("{shown} with {name} {value}"), right.to_owned())
    };
    let config = match member("config") {
        None => ConfigAccess::Absent,
        Some(Value::Text(text)) if text == "absent" => ConfigAccess::Absent,
        Some(Value::Text(text)) if text == "read-only" => ConfigAccess::ReadOnly,
        Some(Value::Text(text)) if text == "read-write" => ConfigAccess::ReadWrite,
        _ => return Err(bad("config", "read-write, read-only or absent")),
    };
    let network = match member("network") {
        None => Network::None,
        Some(Value::Text(text)) if text == "none" => Network::None,
        Some(Value::Text(text)) if text == "shared" => Network::Shared,
        _ => return Err(bad("network", "shared or none")),
    };
    let text = |value: &Value| match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let may: Option<Vec<String>> = match member("may") {
        Some(Value::List(list)) => list.iter().map(text).collect(),
        _ => None,
    };
    let may = may.ok_or_else(|| bad("may", &format!("a list of texts: {}", right_words(None))))?;
    // What it may is the broker's to know; here it is only looked at.
    match RoleRules::own(&may, config, network, &offered.endpoints) {
        Ok(_) => Ok(OwnRole {
            name: role,
            may,
            config,
            network,
        }),
        Err(error) => {
            let (MayError::Permission(word) | MayError::Call(word) | MayError::Never(word)) =
                &error;
            let value = format!("{shown} with may \"{}\"", escape(word.as_bytes(), 64));
            let right = match &error {
                MayError::Permission(word) => right_words(nearest(word, &permissions())),
                MayError::Call(word) => right_words(nearest(word, &calls(&offered.endpoints))),
                MayError::Never(_) => "without it: that call is let through for nobody".to_owned(),
            };
            Err(wrong(value, right))
        }
    }
}

fn permissions() -> Vec<&'static str> {
    Permission::ALL.iter().map(|word| word.as_str()).collect()
}

fn calls(endpoints: &Endpoints) -> Vec<&str> {
    endpoints.iter().map(|it| it.name.as_str()).collect()
}

fn right_words(near: Option<&str>) -> String {
    match near {
        Some(near) => format!("perhaps \"{near}\""),
        None => format!(
            "permissions ({}) and names of calls such as core.restart or core.*",
            permissions().join(", ")
        ),
    }
}
