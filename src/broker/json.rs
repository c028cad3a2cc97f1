use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads a JSON object in which no name occurs twice: readers differ in which of the two counts, so one that checks
/// and one that acts could see different things. Nesting is bounded by serde_json (128).
pub(super) fn object(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    match serde_json::from_slice(bytes)? {
        Unambiguous(value @ Value::Object(_)) => Ok(value),
        Unambiguous(_) => Err(de::Error::custom("not a JSON object")),
    }
}

struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unambiguous(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Unambiguous(value))) = members.next_entry::<String, Unambiguous>()? {
            if map.insert(name, value).is_some() {
                return Err(de::Error::custom("a name occurs twice"));
            }
        }
        Ok(Value::Object(map))
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
        let text = r#"{"a":[1,-2,1.5,true,null,"ä\n"],"b":{}}"#;
        assert_eq!(object(text.as_bytes()).unwrap().to_string(), text);
    }
}
