//! An app's options: changing single ones in the whole, and showing what changed. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

use super::CliError;
use super::settings::truth;

mod file;

pub(super) use file::OptionsFile;

/// `KEY=VALUE`, `KEY:=JSON` or `KEY-`.
#[derive(Debug, PartialEq)]
pub(super) struct Assignment {
    key: Vec<String>,
    change: Change,
}

#[derive(Debug, PartialEq)]
enum Change {
    /// What the app's schema says that it is; where that says nothing, JSON if it reads as JSON and what was there is no text.
    Guess(String),
    Json(Value),
    Remove,
}

impl Assignment {
    pub(super) fn parse(text: &str) -> Result<Self, CliError> {
        let wrong = |what: &str| {
            CliError::usage(
                format!("'{text}' {what}"),
                "write KEY=VALUE, KEY:=JSON or KEY-",
            )
        };
        let (key, change) = match text.split_once('=') {
            Some((key, json)) if key.ends_with(':') => {
                let value =
                    serde_json::from_str(json).map_err(|_| wrong("has no JSON behind :="))?;
                (key.trim_end_matches(':'), Change::Json(value))
            }
            Some((key, value)) => (key, Change::Guess(value.to_owned())),
            None => match text.strip_suffix('-') {
                Some(key) => (key, Change::Remove),
                None => return Err(wrong("is no change")),
            },
        };
        let key: Vec<String> = key.split('.').map(str::to_owned).collect();
        if key.iter().any(String::is_empty) {
            return Err(wrong("has no key, or an empty part in it"));
        }
        Ok(Self { key, change })
    }

    /// Puts it into data.
    ///
    /// # Errors
    /// `Usage` where the data has no such place.
    pub(super) fn apply(&self, data: &mut Value, schema: &Value) -> Result<(), CliError> {
        let kind = kind_of(schema, &self.key);
        let Some((last, parents)) = self.key.split_last() else {
            return Ok(());
        };
        let mut at = data;
        for part in parents {
            at = self.step(at, part)?;
        }
        match (at, &self.change) {
            (Value::Object(members), Change::Remove) => members
                .remove(last)
                .map(drop)
                .ok_or_else(|| self.wrong("there is no such option")),
            (Value::Object(members), change) => {
                let value = change.value(members.get(last), kind);
                members.insert(last.clone(), value);
                Ok(())
            }
            (Value::Array(items), change) => {
                let index: usize = last
                    .parse()
                    .map_err(|_| self.wrong("it is a list: use a number"))?;
                match (index.cmp(&items.len()), change) {
                    (std::cmp::Ordering::Less, Change::Remove) => drop(items.remove(index)),
                    (std::cmp::Ordering::Less, change) => {
                        let value = change.value(items.get(index), kind);
                        if let Some(item) = items.get_mut(index) {
                            *item = value;
                        }
                    }
                    (std::cmp::Ordering::Equal, Change::Guess(_) | Change::Json(_)) => {
                        items.push(change.value(None, kind))
                    }
                    (std::cmp::Ordering::Equal | std::cmp::Ordering::Greater, _) => {
                        return Err(self.wrong(&format!("the list has {} items", items.len())));
                    }
                }
                Ok(())
            }
            _ => Err(self.wrong("what it is in is neither a list nor has names")),
        }
    }

    /// One part deeper; what is not there yet becomes an object, at the end of a list a new item.
    fn step<'v>(&self, at: &'v mut Value, part: &str) -> Result<&'v mut Value, CliError> {
        match at {
            Value::Object(members) => Ok(members
                .entry(part.to_owned())
                .or_insert_with(|| Value::Object(Map::new()))),
            Value::Array(items) => {
                let count = items.len();
                let index: usize = part
                    .parse()
                    .map_err(|_| self.wrong("it is a list: use a number"))?;
                if index == count {
                    items.push(Value::Object(Map::new()));
                }
                items
                    .get_mut(index)
                    .ok_or_else(|| self.wrong(&format!("the list has {count} items")))
            }
            _ => Err(self.wrong("what it is in is neither a list nor has names")),
        }
    }

    fn wrong(&self, why: &str) -> CliError {
        CliError::usage(
            format!("cannot change {}: {why}", self.key.join(".")),
            "`hassio apps options get SLUG` shows them",
        )
    }
}

impl Change {
    fn value(&self, before: Option<&Value>, kind: Kind) -> Value {
        match self {
            Self::Json(value) => value.clone(),
            Self::Remove => Value::Null,
            Self::Guess(text) => guess(text, before, kind),
        }
    }
}

fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether that is how a number of 64 bits is written.
fn is_usual(number: &Number, text: &str) -> bool {
    let whole = number.as_i64().map(|whole| whole.to_string());
    let whole = whole.or_else(|| number.as_u64().map(|whole| whole.to_string()));
    let usual = whole.or_else(|| number.as_f64().map(|float| Value::from(float).to_string()));
    usual.as_deref() == Some(text)
}

/// What an app's schema says of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Float,
    Truth,
    Unknown,
}

/// What does not fit its kind stays text, and the app's own rules refuse it.
fn guess(text: &str, before: Option<&Value>, kind: Kind) -> Value {
    let as_text = || Value::String(text.to_owned());
    match (kind, serde_json::from_str::<Value>(text)) {
        (Kind::Text | Kind::Unknown, Ok(Value::String(text))) => Value::String(text),
        (Kind::Text, _) => as_text(),
        // A number goes out as it was written.
        (Kind::Integer, Ok(Value::Number(number))) if is_whole(text) => number.into(),
        (Kind::Float, Ok(Value::Number(number))) => number.into(),
        (Kind::Integer, _) => text.parse::<i64>().map_or_else(|_| as_text(), Value::from),
        (Kind::Float, _) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => number.into(),
            Ok(_) | Err(_) => as_text(),
        },
        (Kind::Truth, _) => truth(text).map_or_else(as_text, Value::from),
        // A password of digits stays text, and so does a number that few would write so: 1e5, or one of too many digits.
        (Kind::Unknown, Ok(Value::Number(number))) if !is_usual(&number, text) => as_text(),
        (Kind::Unknown, Ok(value)) if !matches!(before, Some(Value::String(_))) => value,
        (Kind::Unknown, _) => as_text(),
    }
}

/// What the Supervisor's form of a schema says of the option with that key: a list of `{name, type, multiple, schema}`.
fn kind_of(schema: &Value, key: &[String]) -> Kind {
    let mut at = schema;
    let mut found = Kind::Unknown;
    let mut in_list = false;
    for part in key {
        if std::mem::take(&mut in_list) && part.parse::<usize>().is_ok() {
            continue;
        }
        let named = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some(part);
        let Some(entry) = at.as_array().and_then(|entries| entries.iter().find(named)) else {
            return Kind::Unknown;
        };
        found = match entry.get("type").and_then(Value::as_str) {
            Some("string" | "select" | "password") => Kind::Text,
            Some("integer") => Kind::Integer,
            Some("float") => Kind::Float,
            Some("boolean") => Kind::Truth,
            Some(_) | None => Kind::Unknown,
        };
        in_list = entry.get("multiple").and_then(Value::as_bool) == Some(true);
        at = entry.get("schema").unwrap_or(&Value::Null);
    }
    // All of a list.
    if in_list { Kind::Unknown } else { found }
}

/// The value at `a.0.b`.
pub(super) fn at<'v>(data: &'v Value, key: &str) -> Option<&'v Value> {
    key.split('.').try_fold(data, |value, part| match value {
        Value::Object(members) => members.get(part),
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// The names that a schema says are passwords, at whatever depth.
pub(super) fn secrets(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(schema, &mut found, 0);
    found
}

fn collect(schema: &Value, found: &mut BTreeSet<String>, depth: usize) {
    const DEPTH: usize = 16;
    match schema {
        Value::Array(items) if depth < DEPTH => {
            for item in items {
                collect(item, found, depth + 1);
            }
        }
        Value::Object(members) if depth < DEPTH => {
            let text = |name| members.get(name).and_then(Value::as_str);
            let secret = text("format") == Some("password") || text("type") == Some("password");
            if let (true, Some(name)) = (secret, text("name")) {
                found.insert(name.to_owned());
            }
            if let Some(inner) = members.get("schema") {
                collect(inner, found, depth + 1);
            }
        }
        _ => {}
    }
}

/// What changed, a line for each: `- key: old`, `+ key: new`. Passwords are not shown.
pub(super) fn difference(before: &Value, after: &Value, secrets: &BTreeSet<String>) -> Vec<String> {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    flatten(before, String::new(), &mut old);
    flatten(after, String::new(), &mut new);
    let mut lines = Vec::new();
    let find = |list: &[(String, Value)], key: &str| {
        list.iter()
            .find(|(other, _)| other == key)
            .map(|(_, value)| value.clone())
    };
    for (key, value) in &old {
        match find(&new, key) {
            Some(other) if other == *value => {}
            other => {
                lines.push(format!("- {key}: {}", shown(key, value, secrets)));
                if let Some(other) = other {
                    lines.push(format!("+ {key}: {}", shown(key, &other, secrets)));
                }
            }
        }
    }
    for (key, value) in &new {
        if find(&old, key).is_none() {
            lines.push(format!("+ {key}: {}", shown(key, value, secrets)));
        }
    }
    lines
}

fn shown(key: &str, value: &Value, secrets: &BTreeSet<String>) -> String {
    let secret = key.split('.').any(|part| secrets.contains(part));
    if secret {
        "(a password)".to_owned()
    } else {
        value.to_string()
    }
}

fn flatten(value: &Value, key: String, out: &mut Vec<(String, Value)>) {
    let inside = |name: &str| {
        if key.is_empty() {
            name.to_owned()
        } else {
            format!("{key}.{name}")
        }
    };
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                flatten(value, inside(name), out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                flatten(value, inside(&index.to_string()), out);
            }
        }
        leaf => out.push((key, leaf.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(data: &Value, assignments: &[&str]) -> Result<Value, CliError> {
        let mut data = data.clone();
        for text in assignments {
            Assignment::parse(text)?.apply(&mut data, &Value::Null)?;
        }
        Ok(data)
    }

    #[test]
    fn single_options_are_changed_and_the_others_stay() {
        let data = json!({ "logins": [{ "username": "a", "password": "1" }], "port": 1883, "tls": false, "name": "x" });
        for (assignments, expected) in [
            (&["port=1884"][..], json!({ "port": 1884 })),
            (&["tls=true"], json!({ "tls": true })),
            (&["name=12345"], json!({ "name": "12345" })),
            (&["name:=12345"], json!({ "name": 12345 })),
            (&["name=\"quoted\""], json!({ "name": "quoted" })),
            (&["name="], json!({ "name": "" })),
            (&["new=hello world"], json!({ "new": "hello world" })),
            (&["new=[1,2]"], json!({ "new": [1, 2] })),
            (
                &["logins.0.password=007"],
                json!({ "logins": [{ "username": "a", "password": "007" }] }),
            ),
            (
                &["logins.1.username=b", "logins.1.password:=\"2\""],
                json!({ "logins": [{ "username": "a", "password": "1" }, { "username": "b", "password": "2" }] }),
            ),
            (&["logins.0-"], json!({ "logins": [] })),
            (&["deep.er.x=1"], json!({ "deep": { "er": { "x": 1 } } })),
        ] {
            let mut wanted = data.clone();
            wanted
                .as_object_mut()
                .unwrap()
                .extend(expected.as_object().unwrap().clone());
            assert_eq!(set(&data, assignments).unwrap(), wanted, "{assignments:?}");
        }
        assert_eq!(
            set(&json!({ "a": 1, "b": 2 }), &["a-"]).unwrap(),
            json!({ "b": 2 })
        );
    }

    #[test]
    fn a_value_is_what_the_schema_says() {
        let as_is = |text: &str| Value::Number(text.parse().unwrap());
        let schema = json!([
            { "name": "code", "type": "string" },
            { "name": "mode", "type": "select", "options": ["1", "2"] },
            { "name": "port", "type": "integer" },
            { "name": "rate", "type": "float" },
            { "name": "tls", "type": "boolean" },
            { "name": "names", "type": "string", "multiple": true },
            { "name": "logins", "type": "schema", "multiple": true, "schema": [{ "name": "pin", "type": "string" }] },
        ]);
        for (assignment, expected) in [
            ("code=0123", json!({ "code": "0123" })),
            (
                "code=12345678901234567890123",
                json!({ "code": "12345678901234567890123" }),
            ),
            ("code=true", json!({ "code": "true" })),
            ("mode=1", json!({ "mode": "1" })),
            ("port=8080", json!({ "port": 8080 })),
            ("port=1e5", json!({ "port": "1e5" })),
            ("rate=1.50", json!({ "rate": as_is("1.50") })),
            ("rate=nan", json!({ "rate": "nan" })),
            ("rate=.5", json!({ "rate": 0.5 })),
            (
                "port=12345678901234567890123",
                json!({ "port": as_is("12345678901234567890123") }),
            ),
            ("any:=1e5", json!({ "any": as_is("1e5") })),
            (
                "any:=[12345678901234567890123]",
                json!({ "any": [as_is("12345678901234567890123")] }),
            ),
            ("tls=on", json!({ "tls": true })),
            ("names=[\"a\"]", json!({ "names": ["a"] })),
            ("unknown=1e5", json!({ "unknown": "1e5" })),
            (
                "unknown=99999999999999999999",
                json!({ "unknown": "99999999999999999999" }),
            ),
            ("unknown=7", json!({ "unknown": 7 })),
        ] {
            let mut data = json!({});
            Assignment::parse(assignment)
                .unwrap()
                .apply(&mut data, &schema)
                .unwrap();
            assert_eq!(data, expected, "{assignment}");
        }
        let mut data = json!({ "names": ["x"], "logins": [{ "pin": "x" }] });
        for assignment in ["names.0=007", "logins.0.pin=42"] {
            Assignment::parse(assignment)
                .unwrap()
                .apply(&mut data, &schema)
                .unwrap();
        }
        assert_eq!(
            data,
            json!({ "names": ["007"], "logins": [{ "pin": "42" }] })
        );
    }

    #[test]
    fn what_cannot_be_changed_is_said() {
        let data = json!({ "list": [1], "port": 1 });
        for wrong in [
            "x",
            "=1",
            "a..b=1",
            "list.x=1",
            "list.5=1",
            "port.x=1",
            "gone-",
            "a:=nonsense",
            "list.1-",
            "list.9.x=1",
        ] {
            assert!(
                matches!(set(&data, &[wrong]), Err(CliError::Usage { .. })),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_difference_names_what_changed_and_shows_no_password() {
        let schema = json!([
            { "name": "logins", "type": "schema", "schema": [{ "name": "password", "type": "string", "format": "password" }] },
            { "name": "port", "type": "integer" },
        ]);
        let before = json!({ "logins": [{ "password": "old-secret", "username": "a" }], "port": 1, "gone": [] });
        let after = json!({ "logins": [{ "password": "new-secret", "username": "a" }], "port": 2, "new": "x" });
        assert_eq!(
            difference(&before, &after, &secrets(&schema)),
            [
                "- gone: []",
                "- logins.0.password: (a password)",
                "+ logins.0.password: (a password)",
                "- port: 1",
                "+ port: 2",
                "+ new: \"x\"",
            ]
        );
        assert!(difference(&after, &after, &BTreeSet::new()).is_empty());
    }
}
