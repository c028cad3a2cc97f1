use std::fmt;

use super::parameter::Parameter;

/// The longest path looked at; the longest of a template is far below.
const PATH_BYTES: usize = 512;

/// What a segment may hold beside letters and digits; each parameter takes some of it.
const SEGMENT_BYTES: &[u8] = b"-_.:+@";

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

/// The segments of a path, each nothing but letters, digits and [`SEGMENT_BYTES`]. Nothing is decoded: a path that needs
/// decoding is refused, so that nobody behind us can decode it to something else.
pub(super) fn segments(path: &str) -> Result<Vec<&str>, PathFault> {
    if path.len() > PATH_BYTES {
        return Err(PathFault::TooLong);
    }
    let rest = path.strip_prefix('/').ok_or(PathFault::Relative)?;
    rest.split('/').map(segment).collect()
}

fn segment(text: &str) -> Result<&str, PathFault> {
    let strange = |b: &u8| !(b.is_ascii_alphanumeric() || SEGMENT_BYTES.contains(b));
    match text {
        "" => Err(PathFault::EmptySegment),
        "." | ".." => Err(PathFault::DotSegment),
        _ => text
            .bytes()
            .find(strange)
            .map_or(Ok(text), |b| Err(PathFault::Byte(b))),
    }
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
                None => Segment::Literal(segment(part).map_err(TemplateError::Path)?.to_owned()),
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
            path.push_str(match segment {
                Segment::Literal(literal) => literal,
                Segment::Parameter(parameter) => {
                    values.next().filter(|value| parameter.takes(value))?
                }
            });
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
