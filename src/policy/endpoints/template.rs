use std::borrow::Cow;
use std::fmt;

use super::parameter::{IDENTIFIER_BYTES, PLAIN_BYTES, Parameter};
use super::percent;

/// The longest path looked at; the longest of a template is far below.
const PATH_BYTES: usize = 512;

/// The path of an endpoint: literal segments and parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter(Parameter),
}

/// Why text is no template.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Its literal parts would be refused in a request.
    #[error("it {0}")]
    Path(PathFault),
    /// A parameter that has no grammar, or a second one.
    #[error("the parameter {0} is not known, or is there twice")]
    Parameter(String),
}

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// It does not begin with a slash.
    Relative,
    /// It is longer than any we send.
    TooLong,
    /// Two slashes in a row, or one at the end.
    EmptySegment,
    /// `.` or `..`
    DotSegment,
    /// A byte that no path of ours has: `%`, backslash, a control, one outside ASCII, punctuation.
    Byte(u8),
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relative => f.write_str("does not begin with a slash"),
            Self::TooLong => write!(f, "is longer than {PATH_BYTES} bytes"),
            Self::EmptySegment => f.write_str("has an empty segment"),
            Self::DotSegment => f.write_str("has a dot segment"),
            Self::Byte(byte) => write!(f, "has the byte 0x{byte:02x}"),
        }
    }
}

/// The segments of a path, decoded. The only escapes are of what an identifier of the journal may hold, which means nothing
/// to whoever reads a path: any other is refused, so that nobody behind us can decode the path to something else.
pub(super) fn segments(path: &str) -> Result<Vec<Cow<'_, str>>, PathFault> {
    if path.len() > PATH_BYTES {
        return Err(PathFault::TooLong);
    }
    let rest = path.strip_prefix('/').ok_or(PathFault::Relative)?;
    rest.split('/').map(segment).collect()
}

fn segment(text: &str) -> Result<Cow<'_, str>, PathFault> {
    match text {
        "" => return Err(PathFault::EmptySegment),
        "." | ".." => return Err(PathFault::DotSegment),
        _ => {}
    }
    // As RFC 3986 §3.3 has them: brackets and blanks only come as escapes.
    let raw = |b: &u8| plain(b) || (IDENTIFIER_BYTES.contains(b) && !b" []".contains(b));
    if let Some(strange) = text.bytes().find(|b| !raw(b) && *b != b'%') {
        return Err(PathFault::Byte(strange));
    }
    let escaped = |c: char| {
        let byte = u8::try_from(c).unwrap_or_default();
        PLAIN_BYTES.contains(&byte) || IDENTIFIER_BYTES.contains(&byte)
    };
    percent::decoded(text, escaped).ok_or(PathFault::Byte(b'%'))
}

/// The segments of a path that has no escapes.
pub(super) fn literals(path: &str) -> Result<Vec<&str>, PathFault> {
    let rest = path.strip_prefix('/').ok_or(PathFault::Relative)?;
    rest.split('/').map(literal).collect()
}

/// A segment that is the same for every reader.
fn literal(text: &str) -> Result<&str, PathFault> {
    let strange = text.bytes().find(|b| !plain(b)).map(PathFault::Byte);
    segment(text)?;
    strange.map_or(Ok(text), Err)
}

fn plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || PLAIN_BYTES.contains(byte)
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let rest = text
            .strip_prefix('/')
            .ok_or(TemplateError::Path(PathFault::Relative))?;
        let mut parsed = Vec::new();
        for part in rest.split('/') {
            let name = part
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            let segment = match name {
                Some(name) => Parameter::named(name)
                    .map(Segment::Parameter)
                    .filter(|parameter| !parsed.contains(parameter))
                    .ok_or_else(|| TemplateError::Parameter(part.to_owned()))?,
                None => Segment::Literal(literal(part).map_err(TemplateError::Path)?.to_owned()),
            };
            parsed.push(segment);
        }
        Ok(Self(parsed))
    }

    /// Its parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = Parameter> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(parameter) => Some(*parameter),
        })
    }

    /// Whether a slug is part of it.
    #[must_use]
    pub fn has_slug(&self) -> bool {
        self.parameters().any(|p| p == Parameter::Slug)
    }

    /// `None` if the segments are another path; else the value of each parameter, in order.
    pub(super) fn matches<'s>(&self, segments: &[&'s str]) -> Option<Vec<&'s str>> {
        if self.0.len() != segments.len() {
            return None;
        }
        let mut values = Vec::new();
        for (own, given) in self.0.iter().zip(segments) {
            match own {
                Segment::Literal(literal) if literal == given => {}
                Segment::Parameter(parameter) if parameter.takes(given) => values.push(*given),
                Segment::Literal(_) | Segment::Parameter(_) => return None,
            }
        }
        Some(values)
    }

    /// The first parameter whose segment is none of it, where all else matches.
    pub(super) fn unfit(&self, segments: &[&str]) -> Option<Parameter> {
        let of_literals = |pair: (&Segment, &&str)| match pair {
            (Segment::Literal(literal), given) => literal == given,
            (Segment::Parameter(_), _) => true,
        };
        let pairs = || self.0.iter().zip(segments);
        if self.0.len() != segments.len() || !pairs().all(of_literals) {
            return None;
        }
        pairs().find_map(|(own, given)| match own {
            Segment::Parameter(parameter) if !parameter.takes(given) => Some(*parameter),
            Segment::Literal(_) | Segment::Parameter(_) => None,
        })
    }

    /// Whether some path could match both. Two parameters are taken to meet.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let meet = |pair: (&Segment, &Segment)| match pair {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Literal(text), Segment::Parameter(parameter))
            | (Segment::Parameter(parameter), Segment::Literal(text)) => parameter.takes(text),
            (Segment::Parameter(_), Segment::Parameter(_)) => true,
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(meet)
    }

    /// Whether each path that matches it matches the other as well, where they overlap at all.
    pub(super) fn narrows(&self, other: &Self) -> bool {
        let within = |pair: (&Segment, &Segment)| match pair {
            (Segment::Literal(_), Segment::Literal(_) | Segment::Parameter(_)) => true,
            (Segment::Parameter(own), Segment::Parameter(other)) => own == other,
            (Segment::Parameter(_), Segment::Literal(_)) => false,
        };
        self.0.iter().zip(&other.0).all(within)
    }

    /// Whether the path begins with these segments.
    pub(super) fn begins(&self, prefix: &[&str]) -> bool {
        let literal =
            |pair: (&Segment, &&str)| matches!(pair.0, Segment::Literal(text) if text == pair.1);
        self.0.len() >= prefix.len() && self.0.iter().zip(prefix).all(literal)
    }

    /// The path with `values` in place of the parameters, in order; `None` if one is missing, too many are given, or one
    /// is outside its grammar.
    #[must_use]
    pub fn render(&self, values: &[&str]) -> Option<String> {
        let mut values = values.iter();
        let mut path = String::new();
        for segment in &self.0 {
            path.push('/');
            match segment {
                Segment::Literal(literal) => path.push_str(literal),
                Segment::Parameter(parameter) => {
                    let value = values.next().filter(|value| parameter.takes(value))?;
                    path.push_str(&percent::encoded(value, PLAIN_BYTES));
                }
            }
        }
        values.next().is_none().then_some(path)
    }

    /// The path with `value` in place of each parameter, as it is.
    #[must_use]
    pub fn fill(&self, value: &str) -> String {
        let mut path = String::new();
        for segment in &self.0 {
            path.push('/');
            path.push_str(match segment {
                Segment::Literal(literal) => literal,
                Segment::Parameter(_) => value,
            });
        }
        path
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|segment| match segment {
            Segment::Literal(literal) => write!(f, "/{literal}"),
            Segment::Parameter(parameter) => write!(f, "/{{{}}}", parameter.name()),
        })
    }
}
