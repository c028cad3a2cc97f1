//! Data as `ha` prints it, so that what reads its output reads ours: names in order, and quotes only around text that
//! would otherwise be read as something else. By YAML 1.1 alone serde-saphyr would quote versions and addresses as well.

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::Value;
use serde_saphyr::{DoubleQuoted, ser_options};

/// Lines are not folded below this length: a line is what grep(1) finds.
const LINE_CHARS: usize = 1_000_000;

/// Writes a value, with a newline at its end.
pub(super) fn to_string(value: &Value) -> String {
    let options = ser_options! {
        yaml_12: true,
        no_lang_directive: true,
        folded_wrap_chars: LINE_CHARS,
    };
    // What came out of a JSON parser goes into YAML, and JSON is YAML should it not.
    serde_saphyr::to_string_with_options(&Printed(value), options)
        .unwrap_or_else(|_| format!("{value}\n"))
}

struct Printed<'v>(&'v Value);

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(number) => match (number.as_i128(), number.as_f64()) {
                (Some(whole), _) => serializer.serialize_i128(whole),
                (None, Some(value)) => serializer.serialize_f64(value),
                (None, None) => serializer.serialize_str(&number.to_string()),
            },
            Value::String(text) => {
                let shown = harmless(text);
                if is_yaml_1_1(&shown) {
                    DoubleQuoted(shown).serialize(serializer)
                } else {
                    serializer.serialize_str(&shown)
                }
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Self(item))?;
                }
                list.end()
            }
            Value::Object(members) => {
                // Another crate's wish for serde_json to keep the order it read would hold here as well.
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| name.as_str());
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(&harmless(name), &Self(value))?;
                }
                map.end()
            }
        }
    }
}

/// Text that readers of YAML 1.1 take for a truth value or a date.
fn is_yaml_1_1(text: &str) -> bool {
    let truth = ["y", "n", "yes", "no", "on", "off"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    let date = match text.as_bytes() {
        [a, b, c, d, b'-', e, ..] => [a, b, c, d, e].iter().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    truth || date
}

/// Without what reorders text on a screen (UAX #9), which YAML leaves as it is. Controls it escapes itself.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                shown.extend(c.escape_unicode());
            }
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn yaml(data: &Value) -> String {
        to_string(data)
    }

    #[test]
    fn data_is_printed_as_ha_does() {
        let data = json!({
            "version": "2026.8.1", "ip_address": "172.30.32.2", "arch": "amd64", "boot": true, "port": 8123,
            "none": null, "quoted": "8123", "half": "1.5", "list": [{ "b": 1, "a": "x" }, "y"], "empty": [],
            "nothing": {}, "nested": { "z": 1.5, "c": "yes" }, "date": "2026-08-24", "text": "a: b", "void": "",
            "mac": "DC:A6:32:00:11:22", "net": "192.168.1.20/24", "long": "word ".repeat(40),
        });
        let expected = [
            "arch: amd64",
            "boot: true",
            "date: \"2026-08-24\"",
            "empty: []",
            "half: \"1.5\"",
            "ip_address: 172.30.32.2",
            "list:",
            "- a: x",
            "  b: 1",
            "- \"y\"",
            &format!("long: \"{}\"", "word ".repeat(40)),
            "mac: DC:A6:32:00:11:22",
            "nested:",
            "  c: \"yes\"",
            "  z: 1.5",
            "net: 192.168.1.20/24",
            "none: null",
            "nothing: {}",
            "port: 8123",
            "quoted: \"8123\"",
            "text: \"a: b\"",
            "version: 2026.8.1",
            "void: \"\"",
        ];
        assert_eq!(yaml(&data).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_text_drives_the_terminal() {
        let text = yaml(
            &json!({ "name": "a\u{1b}]0;x\u{7}\u{9b}2J\u{202e}b\r", "\u{1b}[2J": "x\n\u{1b}y\n" }),
        );
        let hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(hostile), "{text:?}");
    }
}
