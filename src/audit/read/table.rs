//! Lists for people: a line for each session, record or failed login.

use jiff::tz::TimeZone;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::describe::describe;
use super::failed::Failed;
use super::line::{Record, shown};
use super::sessions::Summary;
use super::when::{self, length};

/// How lists are shown.
#[derive(Clone, Debug)]
pub struct Look {
    /// The reader's.
    pub zone: TimeZone,
    /// The width of the terminal, if it is one: lines are cut there.
    pub columns: Option<usize>,
}

impl Look {
    /// A text that is a line's, cut where the terminal ends.
    fn fitted(&self, line: &str) -> String {
        let line = line.trim_end();
        let Some(columns) = self.columns.filter(|columns| line.width() > *columns) else {
            return line.to_owned();
        };
        let (mut kept, mut used) = (String::new(), 1);
        for c in line.chars() {
            used += c.width().unwrap_or(0);
            if used > columns {
                break;
            }
            kept.push(c);
        }
        kept.push('…');
        kept
    }
}

/// How much of a session's id stands in lists: its time, which no other has unless it began in the same millisecond.
const SHORT_ID: usize = 13;

/// Enough of each id that it names its session among these.
fn short_ids(ids: &[String]) -> Vec<String> {
    let short = |id: &String| id.get(..SHORT_ID).unwrap_or(id).to_owned();
    let mut found: Vec<String> = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        let one = short(id);
        let before = index.checked_sub(1).and_then(|before| ids.get(before));
        let neighbours = [before, ids.get(index + 1)];
        let twice = neighbours
            .into_iter()
            .flatten()
            .any(|other| short(other) == one);
        found.push(if twice { id.clone() } else { one });
    }
    found
}

/// A line for each session; the ids in it are enough for `show`.
#[must_use]
pub fn sessions_table(sessions: &[Summary], look: &Look) -> String {
    let ids: Vec<String> = sessions.iter().map(|one| one.sid.to_string()).collect();
    let head = [
        "SESSION", "STARTED", "FOR", "USER", "ROLE", "FROM", "ENDED", "RUN", "API", "DENIED",
        "FILES", "KEY", "FIRST",
    ];
    let rows = sessions.iter().zip(short_ids(&ids)).map(|(one, id)| {
        [
            id,
            when::shown(one.started, &look.zone),
            length(one.duration_ms),
            shown(&one.user),
            shown(&one.role),
            shown(&one.ip),
            shown(one.end.word()),
            one.programs.to_string(),
            one.api_calls.to_string(),
            one.denials.to_string(),
            one.sftp_operations.to_string(),
            shown(&short_key(&one.key)),
            shown(one.first.as_deref().unwrap_or_default()),
        ]
    });
    table(head, rows.collect(), look)
}

/// A key by its comment, or the beginning of its fingerprint.
fn short_key(key: &str) -> String {
    match key.split_once(' ') {
        Some((_, comment)) => comment.to_owned(),
        None if key.is_empty() => "(password)".to_owned(),
        None => key.chars().take(20).chain(['…']).collect(),
    }
}

/// A line for each login that failed.
#[must_use]
pub fn failed_table(failed: &[Failed], look: &Look) -> String {
    let head = [
        "WHEN",
        "FROM",
        "CONNECTIONS",
        "ATTEMPTS",
        "USER",
        "METHOD",
        "WHY",
    ];
    let rows = failed.iter().map(|one| {
        [
            when::shown(one.first, &look.zone),
            shown(&one.from),
            one.connections.to_string(),
            one.attempts.to_string(),
            shown(&one.users.join(", ")),
            shown(&one.methods.join(", ")),
            shown(&one.reasons.join("; ")),
        ]
    });
    table(head, rows.collect(), look)
}

/// A record in a line.
#[must_use]
pub fn record_line(record: &Record, look: &Look) -> String {
    let sid = record.text("sid");
    let channel = record
        .channel()
        .map_or_else(String::new, |channel| format!("#{channel}"));
    let line = format!(
        "{}  {:SHORT_ID$}  {:<3} {:<15} {}",
        when::shown(record.at(), &look.zone),
        shown(sid.get(..SHORT_ID).unwrap_or(sid)),
        channel,
        shown(record.kind()),
        describe(record)
    );
    look.fitted(&line)
}

fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>, look: &Look) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut widths = head.map(|cell| cell.width());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width()).min(WIDEST);
        }
    }
    let mut text = String::new();
    let line = |cells: &[String; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| {
            let missing = width.saturating_sub(cell.width());
            format!("{cell}{}", " ".repeat(missing))
        });
        let padded: Vec<String> = padded.collect();
        look.fitted(&padded.join("  "))
    };
    for row in std::iter::once(&head.map(str::to_owned)).chain(&rows) {
        text.push_str(&line(row));
        text.push('\n');
    }
    text
}

/// Wider columns are not made for others' sake.
const WIDEST: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_as_long_as_they_must_be() {
        let ids = [
            "0193a000-0001-7aaa-8aaa-aaaaaaaaaaaa",
            "0193a000-0002-7aaa-8aaa-aaaaaaaaaaaa",
            "0193a000-0002-7bbb-8aaa-aaaaaaaaaaaa",
        ]
        .map(str::to_owned);
        assert_eq!(
            short_ids(&ids),
            ["0193a000-0001", ids[1].as_str(), ids[2].as_str()]
        );
    }

    #[test]
    fn lines_end_where_the_terminal_does() {
        let look = Look {
            zone: TimeZone::UTC,
            columns: Some(5),
        };
        assert_eq!(look.fitted("12345  "), "12345");
        assert_eq!(look.fitted("123456"), "1234…");
        assert_eq!(look.fitted("漢漢漢"), "漢漢…");
    }
}
