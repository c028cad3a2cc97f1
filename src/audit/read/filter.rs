//! What somebody looks for.

use jiff::{Timestamp, ZonedDateTime};
use memchr::memmem::Finder;
use serde_json::Value;

use super::line::{Head, Record, ts};
use super::lines::Piece;
use super::when::{Bound, moment};
use crate::model::{AddressBlock, AddressBlockError, escape};
use crate::wire::Search;

/// What a record or a session must be like. Everything that is given must fit.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The SSH user, exactly.
    pub user: Option<String>,
    /// A part of the key's fingerprint or comment.
    pub key: Option<String>,
    /// Where the client is.
    pub source: Option<AddressBlock>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// One of these types.
    pub types: Vec<Kind>,
    /// A text of the record.
    pub text: Option<Text>,
}

/// Something to look for that is not of the form it should have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} {value:?} {why}", value = escape(value.as_bytes(), 100))]
pub struct SearchFault {
    /// What it is given as, such as `since`.
    pub option: &'static str,
    /// What was given.
    pub value: String,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

const NO_MOMENT: &str =
    "is no moment: give RFC 3339, a date such as 2026-11-24, or how long ago, such as 2h or 3d";

impl Filter {
    /// What somebody wrote; times of day are meant in the zone of `now`.
    ///
    /// # Errors
    /// The first of it that cannot be understood.
    pub fn of(search: &Search, now: &ZonedDateTime) -> Result<Self, SearchFault> {
        let fault = |option, value: &str, why: String| SearchFault {
            option,
            value: value.to_owned(),
            why,
        };
        let when = |option, text: &Option<String>, bound| match text {
            None => Ok(None),
            Some(text) => match moment(text, bound, now) {
                Some(at) => Ok(Some(at)),
                None => Err(fault(option, text, NO_MOMENT.to_owned())),
            },
        };
        let source = search.source.as_deref().map(|text| {
            text.parse()
                .map_err(|error: AddressBlockError| fault("source", text, error.to_string()))
        });
        let types = search.types.iter().flat_map(|types| types.split(','));
        let types = types.map(|text| {
            text.parse()
                .map_err(|error: KindError| fault("type", text, error.to_string()))
        });
        let case = match search.ignore_case {
            true => Case::Ignored,
            false => Case::Differs,
        };
        Ok(Self {
            user: search.user.clone(),
            key: search.key.clone(),
            source: source.transpose()?,
            since: when("since", &search.since, Bound::Since)?,
            until: when("until", &search.until, Bound::Until)?,
            types: types.collect::<Result<_, _>>()?,
            text: search.text.as_deref().map(|text| Text::new(text, case)),
        })
    }
}

/// A type of records, or several by what their names begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This one.
    Is(String),
    /// Those that begin so: a name and a dot.
    Begins(String),
}

/// Why a word is no type of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no type of records: those are like `exec` or `sftp.op`, or `sftp.` for all that begin so"
)]
pub struct KindError;

impl std::str::FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        let name = text.strip_suffix('*').unwrap_or(text);
        let plain = |c: u8| c.is_ascii_lowercase() || c == b'.';
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(KindError);
        }
        if name.ends_with('.') || name.len() < text.len() {
            Ok(Self::Begins(name.to_owned()))
        } else {
            Ok(Self::Is(name.to_owned()))
        }
    }
}

impl Kind {
    fn fits(&self, kind: &str) -> bool {
        match self {
            Self::Is(name) => name == kind,
            Self::Begins(start) => kind.starts_with(start),
        }
    }
}

/// Whether a record's address is in `block`: folded records name the /64 of an IPv6 address.
fn is_in(block: AddressBlock, text: &str) -> bool {
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    address.parse().is_ok_and(|address| block.contains(address))
}

/// A text to look for in records.
#[derive(Clone, Debug)]
pub struct Text {
    /// What the texts of a record may hold: as it is given, and as it is escaped in records.
    wanted: Vec<String>,
    /// The same as it stands in the bytes of a line.
    finders: Vec<Finder<'static>>,
    case: Case,
}

/// Whether upper and lower case of ASCII letters are different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// They are.
    Differs,
    /// They are not.
    Ignored,
}

impl Text {
    /// Looks for `text`.
    #[must_use]
    pub fn new(text: &str, case: Case) -> Self {
        let mut wanted = vec![text.to_owned(), escape(text.as_bytes(), usize::MAX)];
        if case == Case::Ignored {
            wanted
                .iter_mut()
                .for_each(|text| text.make_ascii_lowercase());
        }
        wanted.dedup();
        let finders = wanted.iter().map(|text| {
            let quoted = Value::from(text.as_str()).to_string();
            let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
            Finder::new(inner.as_bytes()).into_owned()
        });
        Self {
            finders: finders.collect(),
            wanted,
            case,
        }
    }

    /// The lines of a piece in whose bytes the text is, and where they begin in the file.
    pub(super) fn lines<'p>(&self, piece: Piece<'p>, mut visit: impl FnMut(u64, &'p [u8])) {
        let lower;
        let bytes = match self.case {
            Case::Differs => piece.bytes,
            Case::Ignored => {
                lower = piece.bytes.to_ascii_lowercase();
                lower.as_slice()
            }
        };
        // Where each text is next; a text that is nowhere is looked for once.
        let next = |finder: &Finder<'_>, from: usize| {
            let found = finder.find(bytes.get(from..)?)?;
            Some(from + found)
        };
        let mut places: Vec<Option<usize>> = self.finders.iter().map(|f| next(f, 0)).collect();
        while let Some(index) = places.iter().flatten().min().copied() {
            let (at, line, after) = piece.line_around(index);
            visit(at, line);
            for (place, finder) in places.iter_mut().zip(&self.finders) {
                if place.is_some_and(|place| place < after) {
                    *place = next(finder, after);
                }
            }
        }
    }

    fn fits(&self, record: &Record) -> bool {
        let envelope = ["user", "key", "role"].map(|name| record.text(name));
        envelope.into_iter().any(|text| self.is_in(text))
            || record.member(&[]).is_some_and(|d| self.is_in_value(d))
    }

    fn is_in_value(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.is_in(text),
            Value::Array(list) => list.iter().any(|value| self.is_in_value(value)),
            Value::Object(members) => members.values().any(|value| self.is_in_value(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn is_in(&self, text: &str) -> bool {
        let holds = |text: &str| self.wanted.iter().any(|wanted| text.contains(wanted));
        match self.case {
            Case::Differs => holds(text),
            Case::Ignored => holds(&text.to_ascii_lowercase()),
        }
    }
}

/// The types by which audit vouches for the trail itself. Who looks for what happened does not look for these.
const OWN: [&str; 4] = ["anchor", "checkpoint", "segment.open", "segment.seal"];

impl Filter {
    /// The first and the last moment as records write them.
    pub(super) fn span(&self) -> (Option<String>, Option<String>) {
        (self.since.map(ts), self.until.map(ts))
    }

    /// Whether a single record's type or text is asked for.
    pub(super) fn asks_for_records(&self) -> bool {
        !self.types.is_empty() || self.text.is_some()
    }

    /// Whether a record is of a type that is looked for.
    pub(super) fn fits_kind(&self, kind: &str) -> bool {
        if self.types.is_empty() {
            !OWN.contains(&kind)
        } else {
            self.types.iter().any(|wanted| wanted.fits(kind))
        }
    }

    /// Whether who and where fit; a record that does not say fits only if it is not asked for.
    pub(super) fn fits_who(&self, user: &str, key: &str, ip: &str) -> bool {
        self.user.as_ref().is_none_or(|wanted| wanted == user)
            && self.key.as_ref().is_none_or(|wanted| key.contains(wanted))
            && self.source.is_none_or(|wanted| is_in(wanted, ip))
    }

    /// Whether a record's own type and text fit, without its time and without who it is about.
    pub(super) fn fits_content(&self, record: &Record) -> bool {
        self.fits_kind(record.kind()) && self.text.as_ref().is_none_or(|text| text.fits(record))
    }

    /// Whether all of a record fits.
    #[must_use]
    pub fn fits(&self, record: &Record) -> bool {
        let first =
            |one: &'_ str, other: &'_ str| if one.is_empty() { other } else { one }.to_owned();
        let user = first(record.text("user"), record.member_text("user"));
        let key = first(record.text("key"), record.member_text("fingerprint"));
        let at = record.at();
        let there = first(record.member_text("ip"), record.member_text("from"));
        let ip = first(record.ip().unwrap_or_default(), &there);
        self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at <= until)
            && self.fits_who(&user, &key, &ip)
            && self.fits_content(record)
    }

    /// Shows `visit` the lines of a piece that may fit, by their bytes alone.
    pub(super) fn candidates<'p>(
        &self,
        span: &(Option<String>, Option<String>),
        piece: Piece<'p>,
        mut visit: impl FnMut(u64, Result<Head<'p>, ()>, &'p [u8]),
    ) {
        let mut look = |at, line: &'p [u8]| match Head::read(line) {
            None => visit(at, Err(()), line),
            Some(head) => {
                let (since, until) = span;
                let fits = self.fits_kind(head.kind)
                    && since.as_ref().is_none_or(|since| head.ts >= since.as_str())
                    && until.as_ref().is_none_or(|until| head.ts <= until.as_str());
                if fits {
                    visit(at, Ok(head), line);
                }
            }
        };
        match &self.text {
            Some(text) => text.lines(piece, look),
            None => piece.lines().for_each(|(at, line)| look(at, line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::line::tests::line;
    use super::*;

    fn filter(change: impl FnOnce(&mut Filter)) -> Filter {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    }

    #[test]
    fn each_filter_lets_through_what_fits_and_nothing_else() {
        let exec = line(
            "exec",
            &json!({"user": "root", "key": "SHA256:abc me@home", "src": {"ip": "192.0.2.7", "port": 5}, "ok": true,
                "d": {"command": "echo \"grüße\" C:\\\\x", "pid": 7}}),
        );
        let exec = Record::read(&exec).unwrap();
        let text = |text, case| Some(Text::new(text, case));
        let good: Vec<Filter> = vec![
            Filter::default(),
            filter(|f| f.user = Some("root".into())),
            filter(|f| f.key = Some("me@".into())),
            filter(|f| f.key = Some("SHA256:ab".into())),
            filter(|f| f.source = "192.0.2.0/24".parse().ok()),
            filter(|f| f.source = "::ffff:192.0.2.7".parse().ok()),
            filter(|f| f.since = "2026-11-24T08:37:20.123456Z".parse().ok()),
            filter(|f| f.until = "2026-11-24T08:37:20.123456Z".parse().ok()),
            filter(|f| f.types = vec!["sftp.".parse().unwrap(), "exec".parse().unwrap()]),
            filter(|f| f.types = vec!["ex*".parse().unwrap()]),
            filter(|f| f.text = text("\"grü", Case::Differs)),
            filter(|f| f.text = text("C:\\x", Case::Differs)),
            filter(|f| f.text = text("C:\\\\x", Case::Differs)),
            filter(|f| f.text = text("ECHO", Case::Ignored)),
            filter(|f| f.text = text("me@home", Case::Differs)),
        ];
        for good in good {
            assert!(good.fits(&exec), "{good:?}");
        }
        let bad: Vec<Filter> = vec![
            filter(|f| f.user = Some("roo".into())),
            filter(|f| f.key = Some("you".into())),
            filter(|f| f.source = "192.0.2.8/31".parse().ok()),
            filter(|f| f.source = "2001:db8::/32".parse().ok()),
            filter(|f| f.source = "::/0".parse().ok()),
            filter(|f| f.since = "2026-11-24T08:37:20.123457Z".parse().ok()),
            filter(|f| f.until = "2026-11-24T08:37:20.123455Z".parse().ok()),
            filter(|f| f.types = vec!["exec.".parse().unwrap()]),
            filter(|f| f.types = vec!["exe".parse().unwrap()]),
            filter(|f| f.text = text("ECHO", Case::Differs)),
            filter(|f| f.text = text("command", Case::Differs)),
            filter(|f| f.text = text("0123abcd", Case::Differs)),
        ];
        for bad in bad {
            assert!(!bad.fits(&exec), "{bad:?}");
        }
    }

    #[test]
    fn bytes_are_looked_through_for_what_parsing_would_find() {
        let commands = [
            "plain",
            "with \"quotes\"",
            "back\\\\slash",
            "grüße",
            "\\x1b[2J",
            "PLAIN",
        ];
        let mut content = Vec::new();
        for command in commands {
            content.extend(line("exec", &json!({"d": {"command": command}})));
            content.push(b'\n');
        }
        let piece = Piece {
            at: 0,
            bytes: &content,
        };
        let find = |text: &Text| {
            let mut found = Vec::new();
            text.lines(piece, |at, line| {
                let same = piece.lines().find(|(other, _)| *other == at).unwrap();
                assert_eq!(same.1, line);
                let record = Record::read(line).unwrap();
                // Bytes may also be found in what is no text.
                if text.fits(&record) {
                    found.push(record.member_text("command").to_owned());
                }
            });
            found
        };
        for wanted in ["with \"quotes\"", "back\\slash", "grüße", "\u{1b}[2J"] {
            assert_eq!(find(&Text::new(wanted, Case::Differs)).len(), 1, "{wanted}");
        }
        assert_eq!(find(&Text::new("plain", Case::Differs)), ["plain"]);
        assert_eq!(find(&Text::new("plAin", Case::Ignored)), ["plain", "PLAIN"]);
        assert_eq!(find(&Text::new("l", Case::Differs)).len(), 2);
        assert!(find(&Text::new("nowhere", Case::Ignored)).is_empty());
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in ["", ".", "a b", "EXEC", "exec\u{1b}", "*"] {
            assert!(bad.parse::<Kind>().is_err(), "{bad}");
        }
    }
}
