use sha2::{Digest, Sha256};

use super::value::Value;

/// Reads one of the three languages. The error: line, column, reason.
pub(super) fn parse(text: &str, ending: Option<&str>) -> Result<Value, (u64, u64, String)> {
    let value: Value = match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("yaml" | "yml") => serde_saphyr::from_str(text).map_err(|e| {
            let (line, column) = e.location().map_or((1, 1), |at| (at.line(), at.column()));
            // The crate's own words may quote the text.
            (
                line,
                column,
                "no YAML that can be read, or a name twice".to_owned(),
            )
        })?,
        Some("toml") => toml::from_str(text).map_err(|e: toml::de::Error| {
            let (line, column) = e.span().map_or((1, 1), |span| position(text, span.start));
            (line, column, "no TOML, or a name twice".to_owned())
        })?,
        _ => serde_json::from_str(text).map_err(|e| {
            let words = e.to_string();
            let reason = words.split(" at line ").next().unwrap_or_default();
            let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
            (
                number(e.line()).max(1),
                number(e.column()).max(1),
                format!("no JSON: {reason}"),
            )
        })?,
    };
    match value {
        Value::Table(_) => Ok(value),
        other => {
            let reason = format!("{} where the table of options should be", other.kind());
            Err((1, 1, reason))
        }
    }
}

/// Line and column of an offset, both from 1.
pub(super) fn position(text: &str, offset: usize) -> (u64, u64) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    (number(line), number(column))
}

/// One value for one meaning: sorted by name, each value in JSON's form with lengths before texts.
pub(super) fn digest(table: &[(String, Value)]) -> String {
    let mut sorted: Vec<&(String, Value)> = table.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut hash = Sha256::new();
    for (name, value) in sorted {
        feed_text(&mut hash, name);
        match value {
            Value::Text(text) if name == "password" => {
                feed_text(&mut hash, if text.is_empty() { "none" } else { "set" });
            }
            value => feed(&mut hash, value),
        }
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn feed_text(hash: &mut Sha256, text: &str) {
    hash.update(text.len().to_string());
    hash.update(":");
    hash.update(text);
}

fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hash.update("null"),
        Value::Bool(value) => hash.update(value.to_string()),
        Value::Number(value) | Value::Text(value) => feed_text(hash, value),
        Value::List(list) => {
            hash.update("[");
            list.iter().for_each(|value| feed(hash, value));
            hash.update("]");
        }
        Value::Table(table) => {
            hash.update("{");
            for (name, value) in table {
                feed_text(hash, name);
                feed(hash, value);
            }
            hash.update("}");
        }
    }
}
