use serde::Deserialize;

use super::parameter::{Parameter, entity, time};
use super::percent;
use crate::model::escape;

/// The longest query looked at.
const QUERY_BYTES: usize = 2048;

/// What a value holds as it is, beside letters and digits: nothing of it means anything in a query.
const VALUE_BYTES: &[u8] = b"-._~:,";

/// How much of a name that is not known is said.
const SHOWN_NAME_BYTES: usize = 64;

/// The longest name of a file; NAME_MAX of Linux.
const FILENAME_BYTES: usize = 255;

/// The longest text that is looked for.
const TEXT_BYTES: usize = 200;

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
    /// Whose sessions: the user.
    User,
    /// Whose: a part of the key's fingerprint or comment.
    Key,
    /// From where: an address, or a network.
    Source,
    /// Not before.
    Since,
    /// Not after.
    Until,
    /// Types of records, separated by commas.
    Type,
    /// A part of a record's text.
    Text,
    /// Whether upper and lower case are the same in it.
    IgnoreCase,
    /// How many, of the newest.
    Newest,
    /// Text for people, or JSON.
    Format,
}

impl Query {
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
            Self::User => "user",
            Self::Key => "key",
            Self::Source => "source",
            Self::Since => "since",
            Self::Until => "until",
            Self::Type => "type",
            Self::Text => "text",
            Self::IgnoreCase => "ignore_case",
            Self::Newest => "newest",
            Self::Format => "format",
        }
    }

    /// What a value of it is, in words.
    #[must_use]
    pub fn grammar(self) -> &'static str {
        match self {
            Self::Lines => "a number of at most 6 digits",
            Self::MaxDepth => "a number of at most 2 digits",
            Self::Verbose
            | Self::NoColors
            | Self::MinimalResponse
            | Self::NoAttributes
            | Self::ReturnResponse
            | Self::IgnoreCase => "empty, 1 or true",
            Self::SignificantChangesOnly => "0 or 1",
            Self::Location => ".local, or the name of a mount",
            Self::Filename => {
                "a file's name that ends in .tar, without slashes, backslashes, % and controls, at most 255 bytes"
            }
            Self::FilterEntityId => "ids of at most 64 entities, separated by commas",
            Self::Entity => Parameter::Entity.grammar(),
            Self::EndTime | Self::Start | Self::End => Parameter::Time.grammar(),
            Self::User | Self::Key | Self::Text => "a text without controls, at most 200 bytes",
            Self::Source => "an address, or a network such as 192.0.2.0/24",
            Self::Since | Self::Until => {
                "a moment: a date, with a time of day if wanted, today, yesterday, or how long ago, such as 2h"
            }
            Self::Type => "types of records, separated by commas, such as exec,sftp.",
            Self::Newest => "a number of at most 5 digits",
            Self::Format => "text or json",
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
            | Self::ReturnResponse
            | Self::IgnoreCase => ["", "1", "true"].contains(&value),
            Self::SignificantChangesOnly => ["0", "1"].contains(&value),
            Self::Location => value == ".local" || Parameter::Mount.takes(value),
            // The Supervisor's own, `^[^\\/]+\.tar$`, without what drives a terminal or could be decoded once more.
            Self::Filename => {
                let stem = value.strip_suffix(".tar").unwrap_or_default();
                let shown = escape(value.as_bytes(), usize::MAX);
                (1..=FILENAME_BYTES - 4).contains(&stem.len())
                    && !stem.contains(['/', '\\', '%'])
                    && shown == value
            }
            Self::FilterEntityId => {
                value.split(',').count() <= ENTITIES && value.split(',').all(entity)
            }
            Self::Entity => entity(value),
            Self::EndTime | Self::Start | Self::End => time(value),
            Self::User | Self::Key | Self::Text => {
                let shown = escape(value.as_bytes(), usize::MAX);
                (1..=TEXT_BYTES).contains(&value.len()) && shown == value.replace('\\', "\\\\")
            }
            // What is a moment, a network or a type is for the reader to say.
            Self::Source => plain(value, "./:"),
            Self::Since | Self::Until => plain(value, "-:+. "),
            Self::Type => plain(value, ".,*"),
            Self::Newest => number(1..=5),
            Self::Format => ["text", "json"].contains(&value),
        }
    }
}

/// Letters and digits of ASCII, and `more`.
fn plain(value: &str, more: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || more.as_bytes().contains(&b);
    (1..=TEXT_BYTES).contains(&value.len()) && value.bytes().all(fits)
}

/// What is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryFault {
    /// It is longer than any that is asked for.
    #[error("the query is longer than {QUERY_BYTES} bytes")]
    TooLong,
    /// A name that the endpoint does not list, in whatever spelling.
    #[error("the query has a name that is not known here: {0}")]
    Unknown(String),
    /// A name that may be there once.
    #[error("the parameter {} is there twice", .0.name())]
    Twice(Query),
    /// A value outside its grammar, or encoded where none is needed.
    #[error("the parameter {} has to be {}", .0.name(), .0.grammar())]
    Value(Query),
}

/// What the query says: nothing but `listed` names and values of their grammar, decoded.
pub(super) fn read(listed: &[Query], query: &str) -> Result<Vec<(Query, String)>, QueryFault> {
    if query.len() > QUERY_BYTES {
        return Err(QueryFault::TooLong);
    }
    let mut seen: Vec<(Query, String)> = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = |query: &&Query| query.name() == name;
        let unknown = || QueryFault::Unknown(escape(name.as_bytes(), SHOWN_NAME_BYTES));
        let query = *listed.iter().find(known).ok_or_else(unknown)?;
        if seen.iter().any(|(known, _)| *known == query) && !query.repeats() {
            return Err(QueryFault::Twice(query));
        }
        // A plus is a blank for some readers; and what is not ASCII is always escaped.
        let raw = value.is_ascii() && !value.contains('+');
        let value = percent::decoded(value, |_| true).filter(|value| raw && query.takes(value));
        let value = value.ok_or(QueryFault::Value(query))?;
        seen.push((query, value.into_owned()));
    }
    Ok(seen)
}

/// It, written anew.
pub(super) fn written(query: &[(Query, String)]) -> String {
    let pairs = query
        .iter()
        .map(|(query, value)| format!("{}={}", query.name(), percent::encoded(value, VALUE_BYTES)));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of them.
    const ALL: [Query; 25] = [
        Query::Lines,
        Query::Verbose,
        Query::NoColors,
        Query::Location,
        Query::Filename,
        Query::MaxDepth,
        Query::FilterEntityId,
        Query::Entity,
        Query::EndTime,
        Query::Start,
        Query::End,
        Query::MinimalResponse,
        Query::NoAttributes,
        Query::SignificantChangesOnly,
        Query::ReturnResponse,
        Query::User,
        Query::Key,
        Query::Source,
        Query::Since,
        Query::Until,
        Query::Type,
        Query::Text,
        Query::IgnoreCase,
        Query::Newest,
        Query::Format,
    ];

    fn rebuild(listed: &[Query], query: &str) -> Result<String, QueryFault> {
        read(listed, query).map(|query| written(&query))
    }

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
                "filename=S%C3%A4nna%20%2824.8.%29%2Bdb.tar&location=nas",
                "filename=S%C3%A4nna%20%2824.8.%29%2Bdb.tar&location=nas",
            ),
            ("filename=.a'b.tar", "filename=.a%27b.tar"),
            (
                "end_time=2026-08-24T00%3A00:00%2B02:00",
                "end_time=2026-08-24T00:00:00%2B02:00",
            ),
            (
                "filter_entity_id=light.a%2Clight.b",
                "filter_entity_id=light.a,light.b",
            ),
            (
                "text=rm%20-rf%20%2F%20%5C%26&since=2026-08-24%2007:00&newest=50&format=json",
                "text=rm%20-rf%20%2F%20%5C%26&since=2026-08-24%2007:00&newest=50&format=json",
            ),
            (
                "source=2001:db8::%2F32&type=exec,sftp.&ignore_case",
                "source=2001:db8::%2F32&type=exec,sftp.&ignore_case=",
            ),
        ] {
            assert_eq!(rebuild(&ALL, given).as_deref(), Ok(out), "{given}");
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
            "filename=a.zip",
            "filename=a+b.tar",
            "filename=a%0A.tar",
            "filename=ä.tar",
            "filename=a%5Cb.tar",
            "filename=a%252Fb.tar",
            "filename=a%C2%9B.tar",
            "filename=a%E2%80%AE.tar",
            "filename=%61.tar",
            "end_time=2026-08-24T00:00:00+02:00",
            "verbose=yes",
            "return_response=%",
            "return_response=%2",
            "return_response=%+1",
            "text=",
            "text=a%0Ab",
            "user=%1B",
            "key=%E2%80%AE",
            "source=x%20y",
            "since=%28",
            "type=EXEC%27",
            "newest=123456",
            "newest=-1",
            "format=yaml",
        ] {
            assert!(rebuild(&ALL, bad).is_err(), "{bad}");
        }
        let long = format!("filename={}.tar", "a".repeat(252));
        assert_eq!(
            rebuild(&ALL, &long),
            Err(QueryFault::Value(Query::Filename))
        );
        let many = format!("filter_entity_id={}", ["a.b"; 65].join(","));
        assert!(rebuild(&ALL, &many).is_err());
        let unknown = rebuild(&[Query::Lines], "verbose").unwrap_err();
        assert_eq!(unknown, QueryFault::Unknown("verbose".to_owned()));
    }
}
