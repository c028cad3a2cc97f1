use std::fmt;

use super::parameter::Parameter;
use super::query::{self, Query, QueryFault};
use super::template::{self, PathFault};
use super::{Access, Endpoint, Endpoints, Method};
use crate::model::Role;
use crate::policy::roles::Roles;

/// A request as it came in, nothing of it checked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The method of the request line.
    pub method: &'r str,
    /// The path of its target.
    pub path: &'r str,
    /// What follows the question mark, if there is one.
    pub query: Option<&'r str>,
}

/// The answer to: may this role make this request?
#[derive(Debug)]
#[must_use]
pub enum Verdict<'p> {
    /// It may; the call says by which rule, and is what goes out.
    Allow(Call<'p>),
    /// It may not.
    Deny(Reason<'p>),
}

/// A call that may go out: only [`Endpoints::judge`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Call<'p> {
    endpoint: &'p Endpoint,
    values: Vec<(Parameter, String)>,
    query: Vec<(Query, String)>,
    target: String,
    rule: String,
}

impl<'p> Call<'p> {
    /// The rule that says yes.
    #[must_use]
    pub fn endpoint(&self) -> &'p Endpoint {
        self.endpoint
    }

    /// The app it is about, if it is about one.
    #[must_use]
    pub fn slug(&self) -> Option<&str> {
        self.value(Parameter::Slug)
    }

    /// What fills a parameter of its path.
    #[must_use]
    pub fn value(&self, parameter: Parameter) -> Option<&str> {
        let found = self.values.iter().find(|(known, _)| *known == parameter);
        found.map(|(_, value)| value.as_str())
    }

    /// What its query string says of a name.
    #[must_use]
    pub fn asked(&self, query: Query) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| *known == query);
        found.map(|(_, value)| value.as_str())
    }

    /// Path and query, rebuilt from the template, its parameters and the listed names.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The rule, as the record names it.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

/// Why a request is refused, as the record keeps it.
#[derive(Debug, PartialEq, Eq)]
pub enum Reason<'p> {
    /// The session's role is not in the table.
    UnknownRole,
    /// The path has something in it that no path we send has.
    Path(PathFault),
    /// No endpoint has this path.
    Unlisted,
    /// One has, with other methods.
    Method(Vec<Method>),
    /// A parameter of the path is outside its grammar.
    Parameter(&'p Endpoint, Parameter),
    /// The query holds a name that the endpoint does not list, or a value outside its grammar.
    Query(&'p Endpoint, QueryFault),
    /// Nobody may, for the reason that is said.
    Never(&'p Endpoint, &'p str),
    /// The role lacks the permission.
    Permission {
        /// What was asked for.
        endpoint: &'p Endpoint,
        /// The least role that would do.
        would_do: Option<&'p Role>,
    },
}

impl Reason<'_> {
    /// The endpoint that was asked for, where it is known.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::UnknownRole | Self::Path(_) | Self::Unlisted | Self::Method(_) => None,
            Self::Parameter(endpoint, _)
            | Self::Query(endpoint, _)
            | Self::Never(endpoint, _)
            | Self::Permission { endpoint, .. } => Some(endpoint),
        }
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRole => f.write_str("the role is not in the table"),
            Self::Path(fault) => write!(f, "the path {fault}"),
            Self::Unlisted => f.write_str("no endpoint has this path"),
            Self::Method(methods) => {
                let methods: Vec<_> = methods.iter().map(|method| method.as_str()).collect();
                write!(f, "the endpoint takes {}", methods.join(" and "))
            }
            Self::Parameter(_, parameter) => {
                let (name, grammar) = (parameter.name(), parameter.grammar());
                write!(f, "the parameter {name} has to be {grammar}")
            }
            Self::Query(_, fault) => fault.fmt(f),
            Self::Never(endpoint, _) => write!(f, "endpoint {} is for nobody", endpoint.name),
            Self::Permission { endpoint, .. } => match &endpoint.access {
                Access::Needs(permission) => {
                    write!(f, "endpoint {} needs {permission}", endpoint.name)
                }
                Access::Never(_) => write!(f, "endpoint {} is for nobody", endpoint.name),
            },
        }
    }
}

impl Endpoints {
    /// Whether a session of `role` may make `request`, and what then goes out.
    pub fn judge<'p>(&'p self, roles: &'p Roles, role: &Role, request: Request<'_>) -> Verdict<'p> {
        match self.find(roles, role, request) {
            Ok(call) => Verdict::Allow(call),
            Err(reason) => Verdict::Deny(reason),
        }
    }

    fn find<'p>(
        &'p self,
        roles: &'p Roles,
        role: &Role,
        request: Request<'_>,
    ) -> Result<Call<'p>, Reason<'p>> {
        let rules = roles.rules(role).ok_or(Reason::UnknownRole)?;
        let decoded = template::segments(request.path).map_err(Reason::Path)?;
        let segments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
        let mut spellings = self.spellings.iter();
        let segments = spellings
            .find_map(|spelling| spelling.translated(&segments))
            .unwrap_or(segments);
        let (endpoint, values) = self.of_path(&segments, request.method)?;
        let rule = match &endpoint.access {
            Access::Never(says) => return Err(Reason::Never(endpoint, says)),
            Access::Needs(permission) if rules.may.contains(permission) => {
                format!("endpoint {} needs {permission}", endpoint.name)
            }
            Access::Needs(_) if rules.allows(endpoint) => {
                format!("role {role} names endpoint {}", endpoint.name)
            }
            Access::Needs(_) => {
                let would_do = roles.least_for(endpoint);
                return Err(Reason::Permission { endpoint, would_do });
            }
        };
        let values = values.map_err(|parameter| Reason::Parameter(endpoint, parameter))?;
        // The values were taken by the same template; another outcome would be a defect, and no call.
        let mut target = endpoint.path.render(&values).ok_or(Reason::Unlisted)?;
        let mut asked = Vec::new();
        if let Some(query) = request.query.filter(|query| !query.is_empty()) {
            let read = query::read(&endpoint.query, query);
            asked = read.map_err(|fault| Reason::Query(endpoint, fault))?;
            target.push('?');
            target.push_str(&query::written(&asked));
        }
        let values = values.iter().map(|value| (*value).to_owned());
        Ok(Call {
            endpoint,
            values: endpoint.path.parameters().zip(values).collect(),
            query: asked,
            target,
            rule,
        })
    }
    /// The endpoint that is asked for, with the values of its parameters, or the one that is outside its grammar.
    fn of_path<'p, 's>(
        &'p self,
        segments: &[&'s str],
        method: &str,
    ) -> Result<(&'p Endpoint, Result<Vec<&'s str>, Parameter>), Reason<'p>> {
        let of_path: Vec<_> = self
            .iter()
            .filter_map(|endpoint| Some((endpoint, endpoint.path.matches(segments)?)))
            .collect();
        let asked = |endpoint: &Endpoint| endpoint.method.as_str() == method;
        let methods = of_path.iter().map(|(endpoint, _)| endpoint.method);
        let methods: Vec<_> = methods.collect();
        let found = of_path.into_iter().filter(|(endpoint, _)| asked(endpoint));
        // Of two, one is an exception from the other, for nobody.
        let found = found.max_by_key(|(endpoint, _)| match endpoint.access {
            Access::Never(_) => 1,
            Access::Needs(_) => 0,
        });
        match found {
            Some((endpoint, values)) => Ok((endpoint, Ok(values))),
            None if !methods.is_empty() => Err(Reason::Method(methods)),
            None => {
                let alike = self.iter().filter(|endpoint| asked(endpoint));
                let alike = alike
                    .filter_map(|endpoint| Some((endpoint, endpoint.path.unfit(segments)?)))
                    .min_by_key(|(endpoint, _)| endpoint.path.parameters().count());
                let (endpoint, parameter) = alike.ok_or(Reason::Unlisted)?;
                Ok((endpoint, Err(parameter)))
            }
        }
    }
}
