//! Data for people: aligned lines for what is one thing, a table for what is many.

use serde_json::{Map, Value};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{Colour, Screen, units};

/// What is worth a column, by the list's name, the most wanted first; other lists show all their scalars.
const COLUMNS: &[(&str, &[&str])] = &[
    (
        "addons",
        &[
            "slug",
            "name",
            "version",
            "version_latest",
            "state",
            "update_available",
        ],
    ),
    (
        "available_updates",
        &["update_type", "name", "version_latest", "panel_path"],
    ),
    (
        "backups",
        &[
            "slug",
            "name",
            "date",
            "type",
            "size_bytes",
            "location",
            "protected",
        ],
    ),
    ("checks", &["slug", "enabled"]),
    ("devices", &["name", "dev_path", "subsystem"]),
    (
        "disks",
        &[
            "name", "dev_path", "size", "id", "vendor", "model", "serial",
        ],
    ),
    (
        "interfaces",
        &[
            "interface",
            "ipv4.address",
            "type",
            "connected",
            "enabled",
            "primary",
            "mac",
        ],
    ),
    ("issues", &["uuid", "type", "context", "reference"]),
    (
        "jobs",
        &["uuid", "name", "reference", "progress", "stage", "done"],
    ),
    (
        "mounts",
        &["name", "state", "type", "usage", "server", "share", "path"],
    ),
    ("repositories", &["slug", "name", "source", "maintainer"]),
    (
        "sessions",
        &[
            "session", "started", "role", "key", "from", "first", "ended", "seconds", "calls",
            "refused",
        ],
    ),
    ("suggestions", &["uuid", "type", "context", "reference"]),
    (
        "users",
        &["username", "name", "is_owner", "is_active", "local_only"],
    ),
    (
        "accesspoints",
        &["ssid", "signal", "frequency", "mode", "mac"],
    ),
];

/// Between two columns.
const GAP: usize = 2;

/// Text is cut to this before a column is left out, and no further.
const READABLE: usize = 24;

/// Where only so many columns are left, they are cut further rather than left out.
const FEWEST: usize = 2;

/// But no column is made narrower than this.
const NARROWEST: usize = 8;

/// How deep values are shown; what lies deeper is one line of JSON.
const DEPTH: usize = 6;

pub(super) fn rendered(data: &Value, screen: Screen) -> String {
    let mut out = Out {
        text: String::new(),
        screen,
    };
    match data {
        Value::Object(members) => out.top(members),
        Value::Array(items) => out.list("", items, 0),
        scalar => out.line(&units::scalar("", scalar).unwrap_or_default()),
    }
    out.text
}

struct Out {
    text: String,
    screen: Screen,
}

impl Out {
    /// An answer: what is one thing first, its lists below.
    fn top(&mut self, members: &Map<String, Value>) {
        if let (1, Some((name, Value::Array(items)))) = (members.len(), members.iter().next())
            && !items.is_empty()
        {
            return self.list(name, items, 0);
        }
        self.object(members, 0);
    }

    fn object(&mut self, members: &Map<String, Value>, depth: usize) {
        let mut members: Vec<_> = members.iter().collect();
        members.sort_by_key(|(name, _)| name.as_str());
        let (plain, nested): (Vec<_>, Vec<_>) = members
            .into_iter()
            .partition(|(name, value)| self.in_a_line(name, value, depth).is_some());
        let width = plain
            .iter()
            .map(|(name, _)| super::shown(name).width())
            .max()
            .unwrap_or(0);
        for (name, value) in plain {
            let text = self.in_a_line(name, value, depth).unwrap_or_default();
            let shown = super::shown(name);
            let gap = " ".repeat(width - shown.width() + 1);
            let text = self.coloured_value(name, value, text);
            self.line(&format!(
                "{}{}:{gap}{text}",
                indent(depth),
                self.strong(&shown)
            ));
        }
        for (name, value) in nested {
            self.line(&format!(
                "{}{}:",
                indent(depth),
                self.strong(&super::shown(name))
            ));
            match value {
                Value::Object(members) => self.object(members, depth + 1),
                Value::Array(items) => self.list(name, items, depth + 1),
                Value::String(text) => {
                    for line in text.lines() {
                        self.line(&format!(
                            "{}{}",
                            indent(depth + 1),
                            super::shown(&line.replace('\t', "    "))
                        ));
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
    }

    /// What a value is in one line, if it fits one.
    fn in_a_line(&self, name: &str, value: &Value, depth: usize) -> Option<String> {
        const LONG: usize = 60;
        match value {
            Value::String(text) if text.trim_end().contains('\n') => None,
            Value::Array(items)
                if items
                    .iter()
                    .all(|item| !item.is_array() && !item.is_object()) =>
            {
                let items: Vec<_> = items
                    .iter()
                    .filter_map(|item| units::scalar(name, item))
                    .collect();
                let text = if items.is_empty() {
                    "-".to_owned()
                } else {
                    items.join(", ")
                };
                (text.width() <= LONG || items.len() == 1).then_some(text)
            }
            value => units::scalar(name, value)
                .or_else(|| (depth >= DEPTH).then(|| super::shown(&value.to_string()))),
        }
    }

    fn list(&mut self, name: &str, items: &[Value], depth: usize) {
        let objects: Vec<_> = items.iter().filter_map(Value::as_object).collect();
        if objects.len() == items.len() {
            return self.table(name, &objects, depth);
        }
        for item in items {
            let text = units::scalar(name, item).unwrap_or_else(|| super::shown(&item.to_string()));
            self.line(&format!("{}{text}", indent(depth)));
        }
    }

    fn table(&mut self, name: &str, rows: &[&Map<String, Value>], depth: usize) {
        let names = columns(name, rows);
        let cell = |row: &Map<String, Value>, column: &str| {
            let value = column
                .split('.')
                .try_fold(None, |at: Option<&Value>, part| match at {
                    None => row.get(part).map(Some),
                    Some(value) => value.get(part).map(Some),
                })
                .flatten()
                .unwrap_or(&Value::Null);
            let last = column.rsplit('.').next().unwrap_or(column);
            self.in_a_line(last, value, DEPTH)
                .map_or_else(String::new, |text| self.short(text))
        };
        let cells: Vec<Vec<String>> = rows
            .iter()
            .map(|row| names.iter().map(|name| cell(row, name)).collect())
            .collect();
        let heads: Vec<String> = names.iter().map(|name| head(name)).collect();
        let mut widths: Vec<usize> = heads.iter().map(|head| head.width()).collect();
        for row in &cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let whole: Vec<bool> = names.iter().map(|name| is_whole(name)).collect();
        if let Screen::Terminal { columns, .. } = self.screen {
            let least: Vec<usize> = heads.iter().map(|head| head.width()).collect();
            widths = fit(&widths, &least, &whole, columns.saturating_sub(2 * depth));
        }
        // What did not fit at all: `widths` is shorter, and the cells are paired with it.
        let left_out = heads.get(widths.len()..).unwrap_or_default().join(", ");
        let line = |cells: Vec<String>| {
            let padded: Vec<_> = cells
                .into_iter()
                .zip(&widths)
                .map(|(cell, width)| padded(cut(&cell, *width), *width))
                .collect();
            format!("{}{}", indent(depth), padded.join(&" ".repeat(GAP)))
        };
        let head = line(heads.clone()).trim_end().to_owned();
        self.line(&self.strong(&head));
        for (row, values) in cells.into_iter().zip(rows) {
            let text: Vec<String> = row
                .into_iter()
                .zip(&widths)
                .zip(&names)
                .map(|((cell, width), name)| {
                    let cell = padded(cut(&cell, *width), *width);
                    let value = values.get(name.as_str()).unwrap_or(&Value::Null);
                    self.coloured_value(name, value, cell)
                })
                .collect();
            let text = format!("{}{}", indent(depth), text.join(&" ".repeat(GAP)));
            self.line(text.trim_end());
        }
        if !left_out.is_empty() {
            self.line(&format!(
                "{}(no room for {left_out}: see --output yaml)",
                indent(depth)
            ));
        }
    }

    /// Without the letters of a time that nobody reads in a table.
    fn short(&self, text: String) -> String {
        let looks_like_time = text.len() > 19
            && text.is_ascii()
            && text.as_bytes().get(10) == Some(&b'T')
            && text.as_bytes().get(4) == Some(&b'-');
        if looks_like_time {
            text.get(..16).unwrap_or(&text).replace('T', " ")
        } else {
            text
        }
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn strong(&self, text: &str) -> String {
        self.coloured("1", text)
    }

    /// States by their colour: good, bad, worth a look.
    fn coloured_value(&self, name: &str, value: &Value, text: String) -> String {
        let code = match (name, value) {
            ("state" | "status", Value::String(state)) => match state.as_str() {
                "started" | "running" | "active" | "good" | "booted" => "32",
                "error" | "failed" | "bad" => "31",
                "startup" | "activating" | "reloading" => "33",
                _ => "2",
            },
            ("update_available", Value::Bool(true)) => "33",
            ("healthy" | "supported", Value::Bool(false)) => "31",
            (_, Value::Null) => "2",
            _ => return text,
        };
        self.coloured(code, &text)
    }

    fn coloured(&self, code: &str, text: &str) -> String {
        match self.screen {
            Screen::Terminal {
                colour: Colour::On, ..
            } => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Screen::Terminal {
                colour: Colour::Off,
                ..
            }
            | Screen::Pipe => text.to_owned(),
        }
    }
}

fn indent(depth: usize) -> String {
    "  ".repeat(depth)
}

fn head(column: &str) -> String {
    let name = column.rsplit('.').next().unwrap_or(column);
    let name = name.strip_suffix("_bytes").unwrap_or(name);
    super::shown(&name.to_uppercase().replace('_', " "))
}

/// The listed columns that some row has, or all scalars of the rows.
fn columns(list: &str, rows: &[&Map<String, Value>]) -> Vec<String> {
    let listed = COLUMNS
        .iter()
        .find(|(name, _)| *name == list)
        .map(|(_, columns)| *columns);
    let there = |name: &&&str| {
        let first = name.split('.').next().unwrap_or(name);
        rows.iter().any(|row| row.contains_key(first))
    };
    let listed: Vec<String> = listed
        .unwrap_or_default()
        .iter()
        .filter(there)
        .map(|name| (*name).to_owned())
        .collect();
    if !listed.is_empty() {
        return listed;
    }
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        for (name, value) in *row {
            let plain = !value.is_object()
                && !value
                    .as_array()
                    .is_some_and(|items| items.iter().any(|i| i.is_object()));
            if plain && !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    // What names a row comes first, then how it is; moments, and what is only true or false, come last.
    let first = ["uuid", "slug", "entity_id", "name", "state"];
    let is_truth = |name: &str| {
        let mut values = rows.iter().filter_map(|row| row.get(name));
        values.all(|value| value.is_boolean() || value.is_null())
    };
    let rank = |name: &String| match first.iter().position(|first| first == name) {
        Some(rank) => rank,
        None if is_truth(name) => first.len() + 2,
        None if is_moment(name) => first.len() + 1,
        None => first.len(),
    };
    names.sort_by_key(rank);
    names
}

/// Whether half of the column's value is none: other commands take it, or it is an address or a moment.
fn is_whole(column: &str) -> bool {
    const WHOLE: &[&str] = &[
        "uuid",
        "slug",
        "entity_id",
        "id",
        "mac",
        "address",
        "from",
        "serial",
        "dev_path",
    ];
    let last = column.rsplit('.').next().unwrap_or(column);
    WHOLE.contains(&last) || is_moment(last)
}

/// Whether the column holds moments, by its name.
fn is_moment(column: &str) -> bool {
    let ends = ["_updated", "_changed", "_reported", "_at"];
    ["date", "created", "started"].contains(&column) || ends.iter().any(|end| column.ends_with(end))
}

/// How wide each column is, so that all fit; those that are missing at the end have no room. Long text is cut, but not the
/// first column, those that are `whole`, and `least`, which is a head.
fn fit(widths: &[usize], least: &[usize], whole: &[bool], columns: usize) -> Vec<usize> {
    for count in (1..=widths.len()).rev() {
        let narrowest = match count > FEWEST {
            true => READABLE,
            false => NARROWEST,
        };
        let floors: Vec<usize> = widths
            .iter()
            .zip(least)
            .zip(whole)
            .enumerate()
            .map(
                |(index, ((width, least), whole))| match index == 0 || *whole {
                    true => *width,
                    false => (*width).min(narrowest).max(*least),
                },
            )
            .collect();
        let mut fitting: Vec<usize> = widths.iter().take(count).copied().collect();
        let most = columns.saturating_sub(GAP * (count - 1));
        while fitting.iter().sum::<usize>() > most {
            let wide = fitting.iter_mut().zip(&floors);
            let narrowable = wide.filter(|(width, floor)| **width > **floor);
            match narrowable.map(|(width, _)| width).max() {
                Some(widest) => *widest -= 1,
                None => break,
            }
        }
        if fitting.iter().sum::<usize>() <= most || count == 1 {
            return fitting;
        }
    }
    Vec::new()
}

/// At most so wide; what is missing is shown to be.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

fn padded(mut text: String, width: usize) -> String {
    let missing = width.saturating_sub(text.width());
    text.extend(std::iter::repeat_n(' ', missing));
    text
}

#[cfg(test)]
mod tests;
