use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde_json::Value;

use crate::wire::limits::API_BODY_NODES;

/// How serde_json names what is no object: a number that keeps its digits is handed over as one with such a name. In a text, a
/// name that begins so would make a number, or raw text, of what others read as an object.
const PRIVATE: &str = "$serde_json::private::";

/// Reads a JSON object in which no name occurs twice: readers differ in which of the two counts, so one that checks
/// and one that acts could see different things. Numbers stay as they were written. Nesting is bounded by serde_json (128),
/// and so are the values, before there is a tree of them: each takes many times the memory of its two bytes of text.
///
/// # Errors
/// What is no such object, with the place; what has more than `API_BODY_NODES` values.
pub(super) fn object(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let nodes = Cell::new(0);
    Look(&nodes).deserialize(&mut deserializer)?;
    deserializer.end()?;
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

/// Looks at one value with all that is in it, and counts; nothing is kept of it.
#[derive(Clone, Copy)]
struct Look<'c>(&'c Cell<usize>);

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let nodes = self.0.get() + 1;
        if nodes > API_BODY_NODES {
            let error = format!("more than {API_BODY_NODES} values");
            return Err(D::Error::custom(error));
        }
        self.0.set(nodes);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    /// An object; or a number, which serde_json hands over as an object with one name of its own.
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            match name.starts_with(PRIVATE) {
                true => members.next_value_seed(Digits)?,
                false => members.next_value_seed(self)?,
            }
            if !names.insert(name) {
                return Err(de::Error::custom("a name occurs twice"));
            }
        }
        Ok(())
    }
}

/// The digits of a number. They come as a `String` that serde_json made; a string of the text never does, since it is read
/// from a slice.
struct Digits;

impl<'de> DeserializeSeed<'de> for Digits {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Digits {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no name that begins with {PRIVATE}")
    }

    fn visit_string<E>(self, _: String) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        Err(E::invalid_type(Unexpected::Str(text), &self))
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
    fn a_name_that_serde_json_takes_for_its_own_is_refused() {
        for bad in [
            r#"{"$serde_json::private::Number":"7"}"#,
            r#"{"a":{"$serde_json::private::Number":"7"}}"#,
            r#"{"a":{"\u0024serde_json::private::Number":"7"}}"#,
            r#"{"a":{"$serde_json::private::Number":"\u0037"}}"#,
            r#"{"a":{"$serde_json::private::Number":7}}"#,
            r#"{"a":{"$serde_json::private::Number":{"$serde_json::private::Number":"7"}}}"#,
            r#"{"a":[{"$serde_json::private::RawValue":"7"}]}"#,
            r#"{"a":{"b":1,"$serde_json::private::Number":"7"}}"#,
        ] {
            let error = object(bad.as_bytes()).unwrap_err().to_string();
            assert!(
                error.contains("no name that begins with $"),
                "{bad}: {error}"
            );
        }
    }

    #[test]
    fn values_are_counted_before_there_is_a_tree_of_them() {
        let list = |count| format!("{{\"a\":[{}0]}}", "0,".repeat(count - 1));
        // Beside the items, the object and its list; a number is one.
        assert!(object(list(API_BODY_NODES - 2).as_bytes()).is_ok());
        let names: String = (0..API_BODY_NODES)
            .map(|n| format!("\"{n}\":[],"))
            .collect();
        let names = format!("{{{names}\"x\":0}}");
        for bad in [list(API_BODY_NODES - 1), list(500_000), names] {
            let error = object(bad.as_bytes()).unwrap_err().to_string();
            let most = format!("more than {API_BODY_NODES} values");
            assert!(error.contains(&most), "{error}");
        }
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
