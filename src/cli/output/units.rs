//! Numbers as people read them, by the name of what they are.

use serde_json::{Number, Value};

/// A number with its unit; `None` where its name says nothing about it.
pub(super) fn with_unit(name: &str, number: &Number) -> Option<String> {
    let float = number.as_f64()?;
    let whole = number.as_u64();
    let bytes_of = |names: &[&str]| names.contains(&name) || name.ends_with("_bytes");
    if name.ends_with("_percent") || ["disk_life_time", "life_time", "progress"].contains(&name) {
        return Some(format!("{} %", short(float)));
    }
    if bytes_of(&[
        "memory_usage",
        "memory_limit",
        "network_rx",
        "network_tx",
        "blk_read",
        "blk_write",
    ]) {
        return whole.map(bytes);
    }
    match name {
        "disk_free" | "disk_total" | "disk_used" => Some(format!("{} GB", short(float))),
        // Of a backup in megabytes, of a disk in bytes.
        "size" if number.is_f64() => Some(format!("{} MB", short(float))),
        "size" => whole.filter(|size| *size >= 1_000_000).map(bytes),
        "startup_time" => Some(format!("{} s", short(float))),
        "days_until_stale" => Some(format!("{number} days")),
        "signal" => Some(format!("{number} %")),
        "boot_timestamp" | "dt_timestamp" => {
            let stamp = jiff::Timestamp::from_microsecond(number.as_i64()?).ok()?;
            Some(stamp.to_string())
        }
        _ => None,
    }
}

/// What the names of a scalar's siblings say of it does not count: it is shown alone.
pub(super) fn scalar(name: &str, value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("-".to_owned()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => {
            Some(with_unit(name, number).unwrap_or_else(|| number.to_string()))
        }
        Value::String(text) if text.is_empty() => Some("\"\"".to_owned()),
        Value::String(text) => Some(super::shown(text)),
        Value::Array(items) if items.is_empty() => Some("-".to_owned()),
        Value::Object(members) if members.is_empty() => Some("-".to_owned()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn short(float: f64) -> String {
    let text = format!("{float:.1}");
    text.strip_suffix(".0")
        .map_or_else(|| text.clone(), str::to_owned)
}

/// 412.2 MiB
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "one digit behind the point is shown"
)]
pub(in crate::cli) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut amount = count as f64;
    let mut unit = "B";
    for next in UNITS {
        if amount < 1024.0 {
            break;
        }
        amount /= 1024.0;
        unit = next;
    }
    format!("{amount:.1} {unit}")
}

/// 59 s, 2:05 min, 1:02:05 h
pub(in crate::cli) fn seconds(all: u64) -> String {
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes}:{seconds:02} min"),
        (hours, minutes) => format!("{hours}:{minutes:02}:{seconds:02} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_have_their_units() {
        for (name, value, expected) in [
            ("memory_usage", json!(432_185_344), "412.2 MiB"),
            ("cpu_percent", json!(1.34), "1.3 %"),
            ("disk_free", json!(21.4), "21.4 GB"),
            ("disk_total", json!(30.0), "30 GB"),
            ("size_bytes", json!(999), "999 B"),
            ("size", json!(12.34), "12.3 MB"),
            ("port", json!(8123), "8123"),
            (
                "boot_timestamp",
                json!(1_787_500_000_000_000_u64),
                "2026-08-23T15:46:40Z",
            ),
            ("x", Value::Null, "-"),
        ] {
            assert_eq!(scalar(name, &value).unwrap(), expected, "{name}");
        }
        assert_eq!(
            [59, 125, 3725].map(seconds),
            ["59 s", "2:05 min", "1:02:05 h"]
        );
    }
}
