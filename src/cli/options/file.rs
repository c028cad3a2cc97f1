//! A file with options: YAML, or JSON, which is YAML as well. Of numbers and truth values it keeps what was written: YAML
//! reads 0123, 1_000 and yes as something that the app may not mean, and numbers of many digits as others.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;

use super::{CliError, Kind, kind_of};

/// What a file says.
#[derive(Debug)]
pub(in crate::cli) struct OptionsFile(Node);

#[derive(Debug)]
enum Node {
    /// Text or nothing.
    Plain(Value),
    /// A number or a truth value, and how it was written.
    Written(Value, String),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

impl OptionsFile {
    /// # Errors
    /// Why it is no YAML, or not a table of options, in one line.
    pub(in crate::cli) fn read(text: &str) -> Result<Self, String> {
        let tree: Result<Spanned<Tree>, _> = serde_saphyr::from_str(text);
        // Further lines show the place in the file, which may hold passwords.
        let reason = |error: serde_saphyr::Error| {
            let text = error.to_string();
            let first = text.lines().find(|line| !line.trim().is_empty());
            first.unwrap_or("it cannot be read").trim().to_owned()
        };
        let tree = tree.map_err(reason)?;
        match tree.value.with_text(tree.defined, text) {
            Some(node @ Node::Table(_)) => Ok(Self(node)),
            Some(_) => Err("it is no table of options".to_owned()),
            None => Err("a value in it is somewhere else than it says".to_owned()),
        }
    }

    /// The options, each as the app's schema says that it is, else as it was written.
    ///
    /// # Errors
    /// `Usage` for a number that YAML and the app could take for two.
    pub(in crate::cli) fn options(&self, schema: &Value) -> Result<Value, CliError> {
        self.0.value(&mut Vec::new(), schema)
    }
}

impl Node {
    fn value(&self, key: &mut Vec<String>, schema: &Value) -> Result<Value, CliError> {
        let mut inside = |name: String, node: &Self| {
            key.push(name);
            let value = node.value(key, schema);
            key.pop();
            value
        };
        match self {
            Self::Plain(value) => Ok(value.clone()),
            Self::List(items) => {
                let items = items.iter().enumerate();
                items
                    .map(|(index, item)| inside(index.to_string(), item))
                    .collect()
            }
            Self::Table(members) => members
                .iter()
                .map(|(name, node)| Ok((name.clone(), inside(name.clone(), node)?)))
                .collect(),
            Self::Written(value, text) => match (kind_of(schema, key), value) {
                (Kind::Text, _) => Ok(text.as_str().into()),
                (_, Value::Number(number)) => {
                    as_written(number, text, kind_of(schema, key)).ok_or_else(|| {
                        CliError::usage(
                            format!(
                                "{} is {text} in the file, which is a number to some and text to others",
                                key.join(".")
                            ),
                            "write a number as JSON does, and put text in quotation marks",
                        )
                    })
                }
                (_, value) => Ok(value.clone()),
            },
        }
    }
}

/// The number that both YAML and who wrote it mean.
fn as_written(number: &Number, text: &str, kind: Kind) -> Option<Value> {
    // As JSON has it, it goes out as it is.
    if let Ok(Value::Number(number)) = serde_json::from_str(text) {
        return Some(number.into());
    }
    let digits = text.trim_start_matches(['+', '-']);
    let octal = digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let is_number = matches!(kind, Kind::Integer | Kind::Float);
    (is_number && !octal).then(|| number.clone().into())
}

/// What YAML makes of a text, with the places in it.
enum Tree {
    Plain(Value),
    Written(Value),
    List(Vec<Spanned<Tree>>),
    Table(Vec<(String, Spanned<Tree>)>),
}

impl Tree {
    fn with_text(self, place: serde_saphyr::Location, text: &str) -> Option<Node> {
        let node = |tree: Spanned<Self>| tree.value.with_text(tree.defined, text);
        Some(match self {
            Self::Plain(value) => Node::Plain(value),
            Self::Written(value) => {
                let span = place.span();
                let begin = usize::try_from(span.byte_offset()?).ok()?;
                let length = usize::try_from(span.byte_len()?).ok()?;
                let written = text.get(begin..begin.checked_add(length)?)?;
                Node::Written(value, written.trim().to_owned())
            }
            Self::List(items) => Node::List(items.into_iter().map(node).collect::<Option<_>>()?),
            Self::Table(members) => {
                let members = members.into_iter();
                let members = members.map(|(name, tree)| Some((name, node(tree)?)));
                Node::Table(members.collect::<Option<_>>()?)
            }
        })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyTree)
    }
}

struct AnyTree;

impl<'de> Visitor<'de> for AnyTree {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Plain(Value::Null))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Plain(value.into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Written(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Written(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Written(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Written(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Table(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<String, String> {
        let schema = json!([
            { "name": "pin", "type": "string" },
            { "name": "port", "type": "integer" },
            { "name": "rate", "type": "float" },
            { "name": "tls", "type": "boolean" },
            { "name": "logins", "type": "schema", "multiple": true, "schema": [{ "name": "pin", "type": "string" }] },
        ]);
        let file = OptionsFile::read(text).map_err(|_| "none")?;
        let options = file.options(&schema).map_err(|error| error.to_string())?;
        Ok(options.to_string())
    }

    #[test]
    fn a_number_is_what_was_written() {
        for (text, options) in [
            (
                "x: 12345678901234567890123",
                r#"{"x":12345678901234567890123}"#,
            ),
            (
                "x: 1e5\ny: 1.50 # so\nz: -0",
                r#"{"x":1e+5,"y":1.50,"z":-0}"#,
            ),
            ("{\"x\": [1e5, 2], \"é\": 1.0}", r#"{"x":[1e+5,2],"é":1.0}"#),
            (
                "é: ü\npin: 0123\nlogins:\n- pin: 1_000\n- {pin: yes}\n",
                r#"{"logins":[{"pin":"1_000"},{"pin":"yes"}],"pin":"0123","é":"ü"}"#,
            ),
            (
                "pin: &a 007\nx: *a\n",
                "x is 007 in the file, which is a number to some and text to others",
            ),
            (
                "port: 0x1F\nrate: .5\ntls: yes",
                r#"{"port":31,"rate":0.5,"tls":true}"#,
            ),
            ("port: 1_000", r#"{"port":1000}"#),
            (
                "x: ~\ny: 'a'\nz: \"007\"",
                r#"{"x":null,"y":"a","z":"007"}"#,
            ),
        ] {
            let read = read(text).unwrap_or_else(|error| error);
            assert_eq!(read, options, "{text}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused_by_its_name() {
        for text in [
            "a: {b: 0123}",
            "a: {b: 0o17}",
            "a: {b: 1_000}",
            "a: {b: 0x1F}",
            "a: {b: +5}",
            "a: {b: .5}",
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with("a.b is "), "{text}: {error}");
        }
        assert!(read("port: 0123").unwrap_err().starts_with("port is 0123 "));
        for text in ["", "x", "- a", "a: [", "a: 1\na: 2", "a: .nan"] {
            assert_eq!(read(text), Err("none".to_owned()), "{text}");
        }
    }
}
