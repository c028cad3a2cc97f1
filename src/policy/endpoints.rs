//! `policy/endpoints.toml`: the only list of Supervisor calls, and the verdict on a request.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::roles::Permission;

mod parameter;
mod percent;
mod query;
mod template;
mod verdict;

pub use parameter::Parameter;
pub use query::{Query, QueryFault};
pub use template::{PathFault, Template, TemplateError};
pub use verdict::{Call, Reason, Request, Verdict};

const SHIPPED: &str = include_str!("../../policy/endpoints.toml");

/// An HTTP method that some endpoint has; RFC 9110 §9.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are RFC 9110's")]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// As in a request line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// Who may make a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Roles with this permission, or with the call itself.
    Needs(Permission),
    /// Nobody; this is what the refusal says.
    Never(String),
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
    /// Bytes, as many as a JSON object may have.
    Bytes,
    /// A `multipart/form-data` stream of any length; RFC 7578.
    Upload,
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
    /// Bytes, passed on as they come.
    File,
    /// What Core says, JSON or text without an envelope, passed on as it comes.
    Core,
}

/// Whether a call changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does not.
    Reads,
    /// It does: it is on record durably before it is sent.
    Changes,
}

/// Whether a call may be about this app itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Own {
    /// It may.
    Allowed,
    /// It may not, nor where it is not known which app is this one.
    Refused,
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
    /// 1 h, as `ha` waits for the download of a container or of an operating system.
    Hour,
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
            Self::Hour => Some(Duration::from_secs(3600)),
            Self::None => None,
        }
    }
}

/// The endpoint that sets an app's options: who may make it sees them too.
pub const SETS_OPTIONS: &str = "addons.options";

/// One call of the Supervisor's API, or of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `AREA.VERB`, as the audit record and the command tree name it.
    pub name: String,
    /// Its method.
    pub method: Method,
    /// The path that goes out.
    pub path: Template,
    /// Who may make it.
    pub access: Access,
    /// What the request carries.
    pub body: Body,
    /// What the response carries.
    pub answer: Answer,
    /// Whether it changes anything.
    pub effect: Effect,
    /// Whether it may be about this app itself.
    pub own: Own,
    /// Members of the body that hold slugs of apps.
    pub apps_in: Vec<String>,
    /// Members of the body that hold names of folders.
    pub folders_in: Vec<String>,
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
    /// Whether this server answers it by itself.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.path.begins(&["sshd"])
    }

    /// Whether it takes some requests out of another one, which they would match too: it is for nobody, and its path says
    /// more.
    fn excepts(&self, other: &Self) -> bool {
        let nobody = |endpoint: &Self| match endpoint.access {
            Access::Never(_) => true,
            Access::Needs(_) => false,
        };
        nobody(self) && !nobody(other) && self.path.narrows(&other.path)
    }
}

/// All endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    list: Vec<Endpoint>,
    /// Beginnings of paths that stand for others.
    spellings: Vec<Spelling>,
}

/// The segments that a path may begin with, and those that go out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spelling {
    other: Vec<String>,
    own: Vec<String>,
}

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
    /// Neither `needs` nor `never`, or both.
    #[error("endpoint {0} has to have either needs or never")]
    Access(String),
    /// A beginning of paths is none, or no endpoint begins so, or one begins with the other spelling.
    #[error("{0} is no other spelling of the beginning of a path")]
    Spelling(String),
    /// A request could mean either of two, and neither is an exception for nobody from the other.
    #[error("endpoints {0} and {1} answer the same request")]
    Ambiguous(String, String),
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
        let file: File = toml::from_str(text).map_err(EndpointsError::Parse)?;
        let mut list = Vec::new();
        for (area, entries) in file.areas {
            for (verb, entry) in entries {
                list.push(entry.typed(format!("{area}.{verb}"))?);
            }
        }
        for (i, one) in list.iter().enumerate() {
            for other in list.iter().skip(i + 1) {
                let meet = one.method == other.method && one.path.overlaps(&other.path);
                if meet && !one.excepts(other) && !other.excepts(one) {
                    return Err(EndpointsError::Ambiguous(
                        one.name.clone(),
                        other.name.clone(),
                    ));
                }
            }
        }
        let spellings = file.spellings.into_iter();
        let spellings = spellings
            .map(|(other, own)| Spelling::typed(&other, &own, &list))
            .collect::<Result<_, _>>()?;
        Ok(Self { list, spellings })
    }

    /// The endpoint of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Endpoint> {
        self.iter().find(|endpoint| endpoint.name == name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.list.iter()
    }
}

impl Spelling {
    fn typed(other: &str, own: &str, list: &[Endpoint]) -> Result<Self, EndpointsError> {
        let bad = |_| EndpointsError::Spelling(other.to_owned());
        let from = template::literals(other).map_err(bad)?;
        let to = template::literals(own).map_err(bad)?;
        let begins = |prefix: &[&str]| list.iter().any(|endpoint| endpoint.path.begins(prefix));
        if begins(&from) || !begins(&to) {
            return Err(EndpointsError::Spelling(other.to_owned()));
        }
        let owned = |segments: Vec<&str>| segments.into_iter().map(str::to_owned).collect();
        Ok(Self {
            other: owned(from),
            own: owned(to),
        })
    }

    /// The segments in our spelling, if they are in the other one.
    fn translated<'s>(&'s self, segments: &[&'s str]) -> Option<Vec<&'s str>> {
        let (begin, rest) = segments.split_at_checked(self.other.len())?;
        (begin == self.other).then(|| {
            let own = self.own.iter().map(String::as_str);
            own.chain(rest.iter().copied()).collect()
        })
    }
}

/// The file as it is spelled.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    spellings: BTreeMap<String, String>,
    #[serde(flatten)]
    areas: BTreeMap<String, BTreeMap<String, Entry>>,
}

/// An endpoint as the file spells it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    method: Method,
    path: String,
    needs: Option<Permission>,
    never: Option<String>,
    #[serde(default)]
    body: Body,
    #[serde(default)]
    answer: Answer,
    #[serde(default)]
    changes: bool,
    own: Option<Own>,
    #[serde(default)]
    apps_in: Vec<String>,
    #[serde(default)]
    folders_in: Vec<String>,
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
        let path = Template::parse(&self.path).map_err(|source| EndpointsError::Template {
            name: name.clone(),
            source,
        })?;
        let access = match (self.needs, self.never) {
            (Some(permission), None) => Access::Needs(permission),
            (None, Some(says)) => Access::Never(says),
            (Some(_), Some(_)) | (None, None) => return Err(EndpointsError::Access(name)),
        };
        let (effect, own) = match self.changes {
            true => (Effect::Changes, Own::Refused),
            false => (Effect::Reads, Own::Allowed),
        };
        Ok(Endpoint {
            method: self.method,
            path,
            access,
            body: self.body,
            answer: self.answer,
            effect,
            own: self.own.unwrap_or(own),
            apps_in: self.apps_in,
            folders_in: self.folders_in,
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
