use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Reads a JSON object in which no name occurs twice: readers differ in which of the two counts, so one that checks
/// and one that acts could see different things. Numbers stay as they were written. Nesting is bounded by serde_json (128).
pub(super) fn object(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let Unambiguous = serde_json::from_slice(bytes)?;
    match serde_json::from_slice(bytes)? {
        value @ Value::Object(_) if in_range(&value) => Ok(value),
        Value::Object(_) => Err(de::Error::custom("a number out of range")),
        _ => Err(de::Error::custom("not a JSON object")),
    }
}

/// Whether every number is one for whoever reads it as a float.
fn in_range(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(f64::is_finite),
        Value::Array(items) => items.iter().all(in_range),
        Value::Object(members) => members.values().all(in_range),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// JSON without a name that occurs twice; nothing is kept of it.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unambiguous, A::Error> {
        while let Some(Unambiguous) = items.next_element()? {}
        Ok(Unambiguous)
    }

    /// An object; or a number, which serde_json hands over as an object with one name of its own.
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unambiguous, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let Unambiguous = members.next_value()?;
            if !names.insert(name) {
                return Err(de::Error::custom("a name occurs twice"));
            }
        }
        Ok(Unambiguous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_occurs_twice_is_refused_at_any_depth() {
        for bad in [r#"{"a":1,"a":2}"#, r#"{"x":[{"a":1,"\u0061":2}]}"#] {
            assert!(
                object(bad.as_bytes())
                    .unwrap_err()
                    .to_string()
                    .contains("twice"),
                "{bad}"
            );
        }
    }

    #[test]
    fn only_one_whole_object_is_taken() {
        for bad in [
            "",
            "[]",
            "1",
            "null",
            "{",
            "{} {}",
            "{a:1}",
            "{\"a\":1e999}",
            "\u{feff}{}",
        ] {
            assert!(object(bad.as_bytes()).is_err(), "{bad}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert!(object(deep.as_bytes()).is_err());
    }

    #[test]
    fn what_is_read_means_the_same() {
        for text in [
            r#"{"a":[1,-2,1.5,true,null,"ä\n"],"b":{}}"#,
            r#"{"a":12345678901234567890123,"b":-0,"c":[1e+5,1.50,0.30000000000000004]}"#,
        ] {
            assert_eq!(object(text.as_bytes()).unwrap().to_string(), text);
        }
    }
}
