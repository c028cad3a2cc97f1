//! Records of connections that have not logged in: whole up to a rate, and counts of what is beyond it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::record::Entry;
use super::rights::Haste;
use crate::wire::Event;

/// In so long, ...
const WINDOW: Duration = Duration::from_secs(60);
/// ... so many connections of one source have their records whole. People do not make mistakes that fast.
const WHOLE: u32 = 10;
/// So many sources are told apart in a window; all others are counted as one.
const SOURCES: usize = 256;
/// In so long, ...
const HOUR: Duration = Duration::from_secs(3600);
/// ... those who have not logged in add so much to the ledger: 96 MiB a day.
const HOUR_BYTES: u64 = 4 * 1024 * 1024;
/// So many records of a connection wait for its login. keys ends one after 26 attempts.
pub(super) const HELD_RECORDS: usize = 64;
/// So many records of keys wait until the warden has told of their connection.
pub(super) const EARLY_RECORDS: usize = 1024;
/// So many reasons are told apart; they are words of connections, which are not believed.
const REASONS: usize = 12;
const OTHER: &str = "other";

/// Where connections come from, as they are counted: an IPv4 address, or the network of an IPv6 one, since whoever has
/// one address of a /64 has all of them (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    V4(Ipv4Addr),
    /// The first 64 bits.
    V6(u64),
}

impl From<IpAddr> for Source {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => {
                let [high, ..] = split(v6);
                Self::V6(high)
            }
        }
    }
}

fn split(v6: Ipv6Addr) -> [u64; 2] {
    let low = v6.to_bits() & u128::from(u64::MAX);
    let high = v6.to_bits() >> 64;
    [high, low].map(|half| u64::try_from(half).unwrap_or(u64::MAX))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(v4) => v4.fmt(f),
            Self::V6(high) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*high) << 64)),
        }
    }
}

/// What becomes of a connection's records.
#[derive(Debug)]
pub(super) enum Standing {
    /// They are written as they come.
    Whole,
    /// They wait: if it logs in they are written, if it ends they are counted.
    Held(Vec<(Entry, Haste)>),
    /// It has logged in: they are written, whatever the rate.
    LoggedIn,
}

/// What was left out, from one source in one window.
#[derive(Debug, Default)]
struct Tally {
    whole: u32,
    connections: u64,
    attempts: u64,
    records: u64,
    reasons: BTreeMap<String, u64>,
    span: Option<(Timestamp, Timestamp)>,
}

/// The counts of this window, and how much was written in this hour.
#[derive(Debug, Default)]
pub(super) struct Folds {
    window_ends: Option<Instant>,
    sources: BTreeMap<Source, Tally>,
    others: Tally,
    hour_ends: Option<Instant>,
    hour_bytes: u64,
}

/// What a charge came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charge {
    Fits,
    /// This one was the last of this hour; the limit in bytes.
    WasLast(u64),
}

impl Folds {
    /// A new connection: whether its records are written as they come.
    pub(super) fn admit(&mut self, source: Source, now: Instant) -> Standing {
        let full = self.is_full(now);
        let tally = self.tally(source, now);
        if tally.whole < WHOLE && !full {
            tally.whole += 1;
            Standing::Whole
        } else {
            Standing::Held(Vec::new())
        }
    }

    /// Whether this hour takes no more whole records.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        if self.hour_ends.is_some_and(|ends| ends <= now) {
            (self.hour_ends, self.hour_bytes) = (None, 0);
        }
        self.hour_bytes >= HOUR_BYTES
    }

    /// Counts what was written for one that has not logged in.
    pub(super) fn charge(&mut self, bytes: u64, now: Instant) -> Charge {
        let before = self.is_full(now);
        self.hour_ends.get_or_insert(now + HOUR);
        self.hour_bytes = self.hour_bytes.saturating_add(bytes);
        if !before && self.hour_bytes >= HOUR_BYTES {
            Charge::WasLast(HOUR_BYTES)
        } else {
            Charge::Fits
        }
    }

    /// A connection has ended whose records were held.
    pub(super) fn end(&mut self, source: Source, held: &[(Entry, Haste)], now: Instant) {
        let reason = held
            .iter()
            .rev()
            .find(|(entry, _)| entry.kind == "conn.close")
            .and_then(|(entry, _)| entry.d.get("reason"))
            .and_then(Value::as_str);
        let tally = self.tally(source, now);
        tally.connections += 1;
        *tally.reason(reason.unwrap_or("without a word")) += 1;
        held.iter().for_each(|(entry, _)| tally.count(entry));
    }

    /// Begins a window, if there is none.
    pub(super) fn begin(&mut self, now: Instant) {
        self.window_ends.get_or_insert(now + WINDOW);
    }

    /// A record of a connection that nobody knows any more.
    pub(super) fn late(&mut self, entry: &Entry) {
        self.others.count(entry);
    }

    /// When the counts are to be written.
    pub(super) fn due(&self) -> Option<Instant> {
        self.window_ends
    }

    /// The counts of the window, which is over. When the hour is full they are one.
    pub(super) fn take(&mut self, now: Instant) -> Vec<Event> {
        self.window_ends = None;
        let sources = std::mem::take(&mut self.sources);
        let mut others = std::mem::take(&mut self.others);
        let mut events = Vec::new();
        if self.is_full(now) {
            sources.into_values().for_each(|tally| others.add(tally));
        } else {
            events.extend(
                sources
                    .into_iter()
                    .filter_map(|(source, tally)| tally.event(source.to_string())),
            );
        }
        events.extend(others.event(OTHER.to_owned()));
        events
    }

    fn tally(&mut self, source: Source, now: Instant) -> &mut Tally {
        self.begin(now);
        if self.sources.len() >= SOURCES && !self.sources.contains_key(&source) {
            &mut self.others
        } else {
            self.sources.entry(source).or_default()
        }
    }
}

impl Tally {
    fn count(&mut self, entry: &Entry) {
        let at = entry.moment.wall;
        self.records += 1;
        self.attempts += u64::from(entry.kind == "auth.attempt");
        self.spans(at, at);
    }

    fn spans(&mut self, first: Timestamp, last: Timestamp) {
        self.span = Some(
            self.span
                .map_or((first, last), |(a, b)| (a.min(first), b.max(last))),
        );
    }

    /// The counter of a reason: of its first words, where there is a colon.
    fn reason(&mut self, text: &str) -> &mut u64 {
        let word = text.split(':').next().unwrap_or_default();
        let plain = |c: char| c.is_ascii_lowercase() || c == ' ';
        let known = self.reasons.contains_key(word);
        let fits = word.len() <= 32 && word.chars().all(plain) && self.reasons.len() < REASONS;
        let word = if known || fits { word } else { OTHER };
        self.reasons.entry(word.to_owned()).or_default()
    }

    fn add(&mut self, more: Self) {
        self.connections += more.connections;
        self.attempts += more.attempts;
        self.records += more.records;
        for (reason, count) in more.reasons {
            *self.reason(&reason) += count;
        }
        if let Some((first, last)) = more.span {
            self.spans(first, last);
        }
    }

    fn event(self, from: String) -> Option<Event> {
        let nothing = self.connections == 0 && self.records == 0;
        let (first, last) = self
            .span
            .map(|(first, last)| (format!("{first:.6}"), format!("{last:.6}")))
            .unzip();
        (!nothing).then_some(Event::ConnFolded {
            from,
            connections: self.connections,
            attempts: self.attempts,
            records: self.records,
            reasons: self.reasons,
            first,
            last,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Who;
    use super::*;

    fn v4(n: u8) -> Source {
        IpAddr::from([192, 0, 2, n]).into()
    }

    fn entry(event: &Event) -> (Entry, Haste) {
        let entry = Entry::new(Who::default(), None, Some(false), event);
        (entry, Haste::Soon)
    }

    fn ended(reason: &str) -> Vec<(Entry, Haste)> {
        let attempt = Event::AuthAttempt {
            method: "password".to_owned(),
            user: "root".to_owned(),
            fingerprint: None,
            key_type: None,
            reason: "wrong".to_owned(),
            n: 1,
        };
        let close = Event::ConnClose {
            reason: reason.to_owned(),
            duration_ms: 1,
            attempts: 1,
        };
        vec![entry(&attempt), entry(&close)]
    }

    fn held(standing: &Standing) -> bool {
        matches!(standing, Standing::Held(_))
    }

    #[test]
    fn a_source_is_an_address_or_a_network() {
        let source = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1:2:3"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("2001:db8::1").to_string(), "2001:db8::/64");
        assert_eq!(source("192.0.2.1").to_string(), "192.0.2.1");
    }

    #[test]
    fn the_first_of_each_source_are_whole_and_the_rest_is_counted() {
        let mut folds = Folds::default();
        let now = Instant::now();
        for n in 0..WHOLE + 5 {
            assert_eq!(held(&folds.admit(v4(1), now)), n >= WHOLE, "{n}");
        }
        assert!(!held(&folds.admit(v4(2), now)), "another one has its own");
        for reason in ["client", "client", "protocol: x", "protocol: y", "\u{1b}"] {
            folds.end(v4(1), &ended(reason), now);
        }
        assert_eq!(folds.due(), Some(now + WINDOW));
        let events = folds.take(now + WINDOW);
        let [
            Event::ConnFolded {
                from,
                connections: 5,
                attempts: 5,
                records: 10,
                reasons,
                ..
            },
        ] = events.as_slice()
        else {
            panic!("{events:?}");
        };
        assert_eq!(from, "192.0.2.1");
        let reasons: Vec<(&str, u64)> = reasons.iter().map(|(w, n)| (w.as_str(), *n)).collect();
        assert_eq!(reasons, [("client", 2), (OTHER, 1), ("protocol", 2)]);
        assert_eq!(folds.due(), None);
        assert!(!held(&folds.admit(v4(1), now)), "a new window");
    }

    #[test]
    fn what_is_kept_of_a_flood_is_bounded() {
        let mut folds = Folds::default();
        let now = Instant::now();
        let mut whole = 0;
        for n in 0..20_000u32 {
            let source = IpAddr::from(n.to_be_bytes()).into();
            match folds.admit(source, now) {
                Standing::Held(_) => folds.end(source, &ended(&format!("reason {n}")), now),
                Standing::Whole | Standing::LoggedIn => whole += 1,
            }
        }
        for n in 'a'..='z' {
            folds.end(v4(1), &ended(&n.to_string()), now);
        }
        assert_eq!(folds.sources.len(), SOURCES);
        assert!(folds.others.reasons.len() <= REASONS + 1);
        assert_eq!(whole, SOURCES + usize::try_from(WHOLE).unwrap());
        let events = folds.take(now);
        let counted: u64 = events
            .iter()
            .map(|event| match event {
                Event::ConnFolded {
                    connections,
                    reasons,
                    ..
                } => {
                    assert_eq!(reasons.values().sum::<u64>(), *connections);
                    *connections
                }
                _ => 0,
            })
            .sum();
        assert_eq!(counted, 20_000 + 26 - u64::try_from(whole).unwrap());
    }

    #[test]
    fn an_hour_takes_so_much_and_says_once_that_it_is_full() {
        let mut folds = Folds::default();
        let now = Instant::now();
        assert_eq!(folds.charge(HOUR_BYTES - 1, now), Charge::Fits);
        assert!(!held(&folds.admit(v4(1), now)));
        assert_eq!(folds.charge(1, now), Charge::WasLast(HOUR_BYTES));
        assert_eq!(folds.charge(1, now), Charge::Fits);
        assert!(held(&folds.admit(v4(3), now)));
        folds.end(v4(3), &[], now);
        folds.end(v4(4), &[], now);
        let events = folds.take(now);
        assert!(
            matches!(
                events.as_slice(),
                [Event::ConnFolded { from, connections: 2, .. }] if from == OTHER
            ),
            "{events:?}"
        );
        assert!(!held(&folds.admit(v4(3), now + HOUR)));
    }
}
