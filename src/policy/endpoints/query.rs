use serde::Deserialize;

use super::parameter::{Parameter, entity, time};

/// The longest query looked at.
const QUERY_BYTES: usize = 2048;

/// The most entities of which a history may be asked for at once.
const ENTITIES: usize = 64;

/// A name that a query string may hold, with the grammar of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// How many lines of a log: 1 to 6 digits.
    Lines,
    /// Whether each line of a log says who wrote it.
    Verbose,
    /// Whether colours are taken out of a log.
    NoColors,
    /// Where a backup lies: `.local` or a mount; may be given several times.
    Location,
    /// The name of a backup's file.
    Filename,
    /// How far down a disk's use is told.
    MaxDepth,
    /// Entities of Core, separated by commas.
    FilterEntityId,
    /// An entity of Core.
    Entity,
    /// Until when.
    EndTime,
    /// Since when.
    Start,
    /// Until when.
    End,
    /// A flag of Core's history.
    MinimalResponse,
    /// A flag of Core's history.
    NoAttributes,
    /// A flag of Core's history: 0 or 1.
    SignificantChangesOnly,
    /// A flag of Core's services.
    ReturnResponse,
}

impl Query {
    const ALL: [Self; 15] = [
        Self::Lines,
        Self::Verbose,
        Self::NoColors,
        Self::Location,
        Self::Filename,
        Self::MaxDepth,
        Self::FilterEntityId,
        Self::Entity,
        Self::EndTime,
        Self::Start,
        Self::End,
        Self::MinimalResponse,
        Self::NoAttributes,
        Self::SignificantChangesOnly,
        Self::ReturnResponse,
    ];

    /// As in a query string.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Verbose => "verbose",
            Self::NoColors => "no_colors",
            Self::Location => "location",
            Self::Filename => "filename",
            Self::MaxDepth => "max_depth",
            Self::FilterEntityId => "filter_entity_id",
            Self::Entity => "entity",
            Self::EndTime => "end_time",
            Self::Start => "start",
            Self::End => "end",
            Self::MinimalResponse => "minimal_response",
            Self::NoAttributes => "no_attributes",
            Self::SignificantChangesOnly => "significant_changes_only",
            Self::ReturnResponse => "return_response",
        }
    }

    fn repeats(self) -> bool {
        self == Self::Location
    }

    /// Whether the decoded `value` can be one of it.
    fn takes(self, value: &str) -> bool {
        let number = |digits: std::ops::RangeInclusive<usize>| {
            digits.contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit())
        };
        match self {
            Self::Lines => number(1..=6),
            Self::MaxDepth => number(1..=2),
            // Their presence alone counts.
            Self::Verbose
            | Self::NoColors
            | Self::MinimalResponse
            | Self::NoAttributes
            | Self::ReturnResponse => ["", "1", "true"].contains(&value),
            Self::SignificantChangesOnly => ["0", "1"].contains(&value),
            Self::Location => value == ".local" || Parameter::Mount.takes(value),
            Self::Filename => {
                let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_. ".contains(&b);
                value.strip_suffix(".tar").is_some_and(|stem| {
                    (1..=128).contains(&stem.len())
                        && !stem.starts_with('.')
                        && stem.bytes().all(fits)
                })
            }
            Self::FilterEntityId => {
                value.split(',').count() <= ENTITIES && value.split(',').all(entity)
            }
            Self::Entity => entity(value),
            Self::EndTime | Self::Start | Self::End => time(value),
        }
    }
}

/// The query with nothing but `listed` names and values of their grammar, written anew; `None` if there is anything else.
pub(super) fn rebuild(listed: &[Query], query: &str) -> Option<String> {
    if query.len() > QUERY_BYTES {
        return None;
    }
    let mut seen = Vec::new();
    let mut rebuilt = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let query = Query::ALL.into_iter().find(|query| query.name() == name)?;
        let value = decoded(value)?;
        let again = seen.contains(&query) && !query.repeats();
        if again || !listed.contains(&query) || !query.takes(&value) {
            return None;
        }
        seen.push(query);
        rebuilt.push(format!("{name}={}", encoded(&value)));
    }
    Some(rebuilt.join("&"))
}

/// Percent-encoding taken off where it is needed. Who encodes what needs none, or encodes twice, hides something.
fn decoded(value: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = value;
    while let Some(first) = rest.chars().next() {
        let (c, length) = match first {
            '%' => {
                let byte = u8::from_str_radix(rest.get(1..3)?, 16).ok()?;
                (Some(char::from(byte)).filter(|c| ":+, ".contains(*c))?, 3)
            }
            // A blank for some readers and a plus for others.
            '+' => return None,
            c => (c, c.len_utf8()),
        };
        text.push(c);
        rest = rest.get(length..)?;
    }
    Some(text)
}

fn encoded(value: &str) -> String {
    let mut text = String::new();
    for c in value.chars() {
        match c {
            '+' => text.push_str("%2B"),
            ' ' => text.push_str("%20"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_to_their_grammar_and_are_written_anew() {
        for (given, out) in [
            ("lines=20&verbose", "lines=20&verbose="),
            (
                "location=.local&location=nas",
                "location=.local&location=nas",
            ),
            ("filename=my%20backup.tar", "filename=my%20backup.tar"),
            (
                "end_time=2026-08-24T00%3A00:00%2B02:00",
                "end_time=2026-08-24T00:00:00%2B02:00",
            ),
            (
                "filter_entity_id=light.a%2Clight.b",
                "filter_entity_id=light.a,light.b",
            ),
        ] {
            assert_eq!(rebuild(&Query::ALL, given).as_deref(), Some(out), "{given}");
        }
        for bad in [
            "",
            "&",
            "lines=1&",
            "lines=%35",
            "lines=%2535",
            "lines=1&lines=2",
            "LINES=1",
            "l%69nes=1",
            "location=.cloud_backup",
            "location=..",
            "location=a/b",
            "filename=a/b.tar",
            "filename=..%2Fb.tar",
            "filename=.tar",
            "filename=..tar",
            "filename=a.zip",
            "filename=a+b.tar",
            "filename=a%0A.tar",
            "filename=ä.tar",
            "end_time=2026-08-24T00:00:00+02:00",
            "verbose=yes",
            "return_response=%",
            "return_response=%2",
            "return_response=%+1",
        ] {
            assert_eq!(rebuild(&Query::ALL, bad), None, "{bad}");
        }
        let many = format!("filter_entity_id={}", ["a.b"; 65].join(","));
        assert_eq!(rebuild(&Query::ALL, &many), None);
        assert_eq!(rebuild(&[Query::Lines], "verbose"), None);
    }
}
