use std::fmt;

/// The longest path looked at; the longest of a template is far below.
const PATH_BYTES: usize = 512;

/// The longest slug; Home Assistant's repositories name apps with far fewer.
const SLUG_BYTES: usize = 64;

/// The path of an endpoint: literal segments, and at most one `{slug}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Slug,
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

/// The segments of a path, each nothing but letters, digits, `-`, `_` and `.`. Nothing is decoded: a path that needs
/// decoding is refused, so that nobody behind us can decode it to something else.
pub(super) fn segments(path: &str) -> Result<Vec<&str>, PathFault> {
    if path.len() > PATH_BYTES {
        return Err(PathFault::TooLong);
    }
    let rest = path.strip_prefix('/').ok_or(PathFault::Relative)?;
    rest.split('/').map(segment).collect()
}

fn segment(text: &str) -> Result<&str, PathFault> {
    let strange = |b: &u8| !(b.is_ascii_alphanumeric() || b"-_.".contains(b));
    match text {
        "" => Err(PathFault::EmptySegment),
        "." | ".." => Err(PathFault::DotSegment),
        _ => text
            .bytes()
            .find(strange)
            .map_or(Ok(text), |b| Err(PathFault::Byte(b))),
    }
}

fn is_slug(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=SLUG_BYTES).contains(&text.len()) && text.bytes().all(letter)
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let rest = text
            .strip_prefix('/')
            .ok_or(TemplateError::Path(PathFault::Relative))?;
        let mut parsed = Vec::new();
        for part in rest.split('/') {
            let known = part == "{slug}" && !parsed.contains(&Segment::Slug);
            parsed.push(if known {
                Segment::Slug
            } else if part.starts_with('{') {
                return Err(TemplateError::Parameter(part.to_owned()));
            } else {
                Segment::Literal(segment(part).map_err(TemplateError::Path)?.to_owned())
            });
        }
        Ok(Self(parsed))
    }

    /// Whether a slug is part of it.
    #[must_use]
    pub fn has_slug(&self) -> bool {
        self.0.contains(&Segment::Slug)
    }

    /// `None` if the segments are another path; else the slug, where the template has one.
    pub(super) fn matches<'s>(&self, segments: &[&'s str]) -> Option<Option<&'s str>> {
        if self.0.len() != segments.len() {
            return None;
        }
        let mut slug = None;
        for (own, given) in self.0.iter().zip(segments) {
            match own {
                Segment::Literal(literal) if literal == given => {}
                Segment::Slug if is_slug(given) => slug = Some(*given),
                Segment::Literal(_) | Segment::Slug => return None,
            }
        }
        Some(slug)
    }

    /// Whether some path matches both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let meet = |pair: (&Segment, &Segment)| match pair {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Literal(text), Segment::Slug) | (Segment::Slug, Segment::Literal(text)) => {
                is_slug(text)
            }
            (Segment::Slug, Segment::Slug) => true,
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(meet)
    }

    /// The path with `slug` in its place.
    #[must_use]
    pub fn fill(&self, slug: &str) -> String {
        let mut path = String::new();
        for segment in &self.0 {
            path.push('/');
            path.push_str(match segment {
                Segment::Literal(literal) => literal,
                Segment::Slug => slug,
            });
        }
        path
    }
}
