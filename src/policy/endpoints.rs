//! `policy/endpoints.toml`: the only list of Supervisor calls, and the verdict on a request.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::roles::{Permission, Roles};
use crate::model::Role;

mod template;

pub use template::{PathFault, Template, TemplateError};

const SHIPPED: &str = include_str!("../../policy/endpoints.toml");

/// An HTTP method that some endpoint has; RFC 9110 §9.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are RFC 9110's")]
pub enum Method {
    Get,
    Post,
}

impl Method {
    /// As in a request line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// What a request carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// Nothing.
    #[default]
    None,
    /// A JSON object, or nothing.
    Json,
}

/// What a successful response carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The Supervisor's JSON envelope.
    #[default]
    Json,
    /// `text/plain`, passed on as it comes.
    Text,
}

/// Whether a call changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does not.
    Reads,
    /// It does: it is on record durably before it is sent.
    Changes,
}

/// Who sees the `options` in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppOptions {
    /// The answer has none.
    Absent,
    /// Roles that may set them; nobody where the app is our own.
    Stripped,
}

/// How long an answer is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deadline {
    /// 30 s, as `ha` waits for most calls.
    #[default]
    Short,
    /// 10 min, as `ha` waits for an operation on a container.
    Long,
    /// Without end.
    None,
}

impl Deadline {
    /// As a length of time.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Short => Some(Duration::from_secs(30)),
            Self::Long => Some(Duration::from_secs(600)),
            Self::None => None,
        }
    }
}

/// A name that a query string may hold, with the grammar of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Query {
    /// How many lines of a log: 1 to 6 digits.
    Lines,
}

impl Query {
    fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
        }
    }

    fn takes(self, value: &str) -> bool {
        match self {
            Self::Lines => {
                (1..=6).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit())
            }
        }
    }
}

/// One call of the Supervisor's API that can be let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `AREA.NAME`, as the audit record and the command tree name it.
    pub name: String,
    /// Its method.
    pub method: Method,
    /// The path that goes out.
    pub path: Template,
    /// Other spellings that are answered.
    pub also: Vec<Template>,
    /// Which permission a role needs.
    pub needs: Permission,
    /// What the request carries.
    pub body: Body,
    /// What the response carries.
    pub answer: Answer,
    /// Whether it changes anything.
    pub effect: Effect,
    /// Who sees the options in the response.
    pub options: AppOptions,
    /// How long the response is waited for.
    pub deadline: Deadline,
    /// What the query string may hold.
    pub query: Vec<Query>,
    /// Why it needs that permission.
    pub why: String,
}

impl Endpoint {
    fn templates(&self) -> impl Iterator<Item = &Template> {
        std::iter::once(&self.path).chain(&self.also)
    }
}

/// All endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints(Vec<Endpoint>);

/// Why a table of endpoints cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointsError {
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("cannot read the endpoints")]
    Parse(#[source] toml::de::Error),
    /// A path is no template.
    #[error("the path of endpoint {name} is no template")]
    Template {
        /// Which endpoint's.
        name: String,
        /// What is wrong with it.
        source: TemplateError,
    },
    /// A spelling has other parameters than the path that goes out.
    #[error("the spellings of endpoint {0} differ in their parameters")]
    Parameters(String),
    /// A request could mean either of two.
    #[error("endpoints {0} and {1} answer the same request")]
    Ambiguous(String, String),
}

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
    slug: Option<String>,
    target: String,
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
        self.slug.as_deref()
    }

    /// Path and query, rebuilt from the template, its parameters and the listed names.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The rule, as the record names it.
    #[must_use]
    pub fn rule(&self) -> String {
        format!(
            "endpoint {} needs {}",
            self.endpoint.name, self.endpoint.needs
        )
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
    /// The query holds a name that the endpoint does not list, or a value outside its grammar.
    Query(&'p Endpoint),
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
            Self::Query(endpoint) | Self::Permission { endpoint, .. } => Some(endpoint),
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
            Self::Query(endpoint) => {
                write!(f, "endpoint {} does not take this query", endpoint.name)
            }
            Self::Permission { endpoint, .. } => {
                write!(f, "endpoint {} needs {}", endpoint.name, endpoint.needs)
            }
        }
    }
}

impl Endpoints {
    /// The table that is compiled in.
    ///
    /// # Errors
    /// None, as a unit test shows.
    pub fn shipped() -> Result<Self, EndpointsError> {
        Self::parse(SHIPPED)
    }

    fn parse(text: &str) -> Result<Self, EndpointsError> {
        let areas: BTreeMap<String, BTreeMap<String, Entry>> =
            toml::from_str(text).map_err(EndpointsError::Parse)?;
        let mut endpoints = Vec::new();
        for (area, entries) in areas {
            for (name, entry) in entries {
                endpoints.push(entry.typed(format!("{area}.{name}"))?);
            }
        }
        for (i, one) in endpoints.iter().enumerate() {
            for other in endpoints.iter().skip(i + 1) {
                let meet = |a: &Template| other.templates().any(|b| a.overlaps(b));
                if one.method == other.method && one.templates().any(meet) {
                    return Err(EndpointsError::Ambiguous(
                        one.name.clone(),
                        other.name.clone(),
                    ));
                }
            }
        }
        Ok(Self(endpoints))
    }

    /// The endpoint of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Endpoint> {
        self.iter().find(|endpoint| endpoint.name == name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.iter()
    }

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
        let segments = template::segments(request.path).map_err(Reason::Path)?;
        let matches = |endpoint: &'p Endpoint| {
            let slug = endpoint
                .templates()
                .find_map(|template| template.matches(&segments))?;
            Some((endpoint, slug))
        };
        let of_path: Vec<_> = self.iter().filter_map(matches).collect();
        if of_path.is_empty() {
            return Err(Reason::Unlisted);
        }
        let methods = || {
            of_path
                .iter()
                .map(|(endpoint, _)| endpoint.method)
                .collect()
        };
        let found = of_path
            .iter()
            .find(|(endpoint, _)| endpoint.method.as_str() == request.method);
        let (endpoint, slug) = *found.ok_or_else(|| Reason::Method(methods()))?;
        if !rules.may.contains(&endpoint.needs) {
            let would_do = roles.least_with(endpoint.needs);
            return Err(Reason::Permission { endpoint, would_do });
        }
        let mut target = endpoint.path.fill(slug.unwrap_or_default());
        if let Some(query) = request.query.filter(|query| !query.is_empty()) {
            let query = rebuild_query(endpoint, query).ok_or(Reason::Query(endpoint))?;
            target.push('?');
            target.push_str(&query);
        }
        Ok(Call {
            endpoint,
            slug: slug.map(str::to_owned),
            target,
        })
    }
}

/// The query with nothing but listed names, each once, and values of their grammar.
fn rebuild_query(endpoint: &Endpoint, query: &str) -> Option<String> {
    let mut seen = Vec::new();
    let mut rebuilt = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=')?;
        let listed = endpoint
            .query
            .iter()
            .copied()
            .find(|query| query.name() == name)?;
        if seen.contains(&listed) || !listed.takes(value) {
            return None;
        }
        seen.push(listed);
        rebuilt.push(format!("{}={value}", listed.name()));
    }
    Some(rebuilt.join("&"))
}

/// An endpoint as the file spells it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    method: Method,
    path: String,
    #[serde(default)]
    also: Vec<String>,
    needs: Permission,
    #[serde(default)]
    body: Body,
    #[serde(default)]
    answer: Answer,
    #[serde(default)]
    changes: bool,
    #[serde(default)]
    strip_options: bool,
    #[serde(default)]
    deadline: Deadline,
    #[serde(default)]
    query: Vec<Query>,
    why: String,
}

impl Entry {
    fn typed(self, name: String) -> Result<Endpoint, EndpointsError> {
        let template = |text: &str| {
            Template::parse(text).map_err(|source| EndpointsError::Template {
                name: name.clone(),
                source,
            })
        };
        let path = template(&self.path)?;
        let also = self
            .also
            .iter()
            .map(|text| template(text))
            .collect::<Result<Vec<_>, _>>()?;
        if also.iter().any(|other| other.has_slug() != path.has_slug()) {
            return Err(EndpointsError::Parameters(name));
        }
        Ok(Endpoint {
            method: self.method,
            path,
            also,
            needs: self.needs,
            body: self.body,
            answer: self.answer,
            effect: if self.changes {
                Effect::Changes
            } else {
                Effect::Reads
            },
            options: if self.strip_options {
                AppOptions::Stripped
            } else {
                AppOptions::Absent
            },
            deadline: self.deadline,
            query: self.query,
            why: self.why,
            name,
        })
    }
}

#[cfg(test)]
mod tests;
