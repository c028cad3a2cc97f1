//! `--query`: a filter of jq's language over the answer's data, by jaq. Nothing in it reads anything but that data: there
//! are no files, no environment and no clock.

use std::fmt::Write as _;

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Ctx, Vars, data, unwrap_valr};
use jaq_json::Val;
use serde_json::Value;

use super::CliError;
use crate::model::escape;

/// The longest filter that is read.
const QUERY_BYTES: usize = 16 * 1024;

/// The most values that a filter may give.
const VALUES: usize = 100_000;

/// Definitions of jaq's that need its crates for regular expressions, dates, encodings and mathematics, which we leave
/// out, or that would end the program.
const LEFT_OUT: &[&str] = &[
    "stderr",
    "debug",
    "halt",
    "halt_error",
    "logb",
    "significand",
    "pow10",
    "drem",
    "nexttoward",
    "scalb",
    "gamma",
    "test",
    "scan_",
    "match",
    "capture",
    "splits",
    "sub",
    "gsub",
    "scan",
    "todate",
    "fromdate",
    "date",
    "dateadd",
    "datesub",
    "capture_of_match",
    "@html",
    "@htmld",
    "@uri",
    "@urid",
    "@base64",
    "@base64d",
    "@sh",
];

/// A filter.
pub(super) struct Query(String);

impl Query {
    /// # Errors
    /// That it is none.
    pub(super) fn parse(text: &str) -> Result<Self, CliError> {
        if text.len() > QUERY_BYTES {
            return Err(no_filter(text, "it is too long"));
        }
        let query = Self(text.to_owned());
        if defines(text) {
            return Err(no_filter(
                text,
                "it defines filters of its own, which could call themselves for ever",
            ));
        }
        // Compiled for the message, before anything is asked; once more with the data.
        query.run(&Value::Null, Mode::Check).map(|_| query)
    }

    /// What the filter makes of the data.
    pub(super) fn apply(&self, data: &Value) -> Result<Vec<Value>, CliError> {
        self.run(data, Mode::Apply)
    }

    fn run(&self, data: &Value, mode: Mode) -> Result<Vec<Value>, CliError> {
        let arena = Arena::default();
        let program = File {
            code: self.0.as_str(),
            path: (),
        };
        let kept = jaq_std::defs().filter(|def| {
            let by_expression = def.name == "split" && def.args.len() == 2;
            !(by_expression || LEFT_OUT.contains(&def.name))
        });
        let definitions = jaq_core::defs().chain(kept).chain(jaq_json::defs());
        let functions = jaq_core::funs::<data::JustLut<Val>>()
            .chain(jaq_std::base_funs())
            .chain(jaq_json::funs());
        let modules = Loader::new(definitions)
            .load(&arena, program)
            .map_err(|errors| no_filter(&self.0, &syntax(&errors)))?;
        let filter = jaq_core::Compiler::default()
            .with_funs(functions)
            .compile(modules)
            .map_err(|errors| {
                let unknown = errors.iter().flat_map(|(_, errors)| errors).next();
                no_filter(
                    &self.0,
                    &unknown.map_or_else(String::new, |(name, _)| format!("there is no {name}")),
                )
            })?;
        if mode == Mode::Check {
            return Ok(Vec::new());
        }
        let failed = |why: &dyn std::fmt::Display| {
            CliError::Failed(escape(format!("--query: {why}").as_bytes(), 500))
        };
        let input = jaq_json::read::parse_single(data.to_string().as_bytes())
            .map_err(|error| failed(&error))?;
        let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
        let mut values = Vec::new();
        for value in filter.id.run((context, input)).map(unwrap_valr) {
            if values.len() >= VALUES {
                return Err(failed(&format!("it gives more than {VALUES} values")));
            }
            let mut text = String::new();
            let value = value.map_err(|error| failed(&error))?;
            // Writing to a String cannot fail.
            write!(text, "{value}").unwrap_or_default();
            values.push(serde_json::from_str(&text).map_err(|_| failed(&"the result is no JSON"))?);
        }
        Ok(values)
    }
}

/// Whether a word `def` stands in the filter, outside of texts and names. An endless recursion would use up the stack, and
/// that ends a program without a word.
fn defines(text: &str) -> bool {
    let mut quoted = false;
    let mut word = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            // What is in a text may be a filter again: `"\\(def f: f; f)"`.
            '\\' if quoted => quoted = characters.next() != Some('('),
            '"' => quoted = !quoted,
            _ if quoted => continue,
            c if c.is_alphanumeric() || "_.$@".contains(c) => {
                word.push(c);
                continue;
            }
            _ => {}
        }
        if std::mem::take(&mut word) == "def" {
            return true;
        }
    }
    word == "def"
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Check,
    Apply,
}

fn syntax(errors: &jaq_core::load::Errors<&str, ()>) -> String {
    use jaq_core::load::Error;
    let near = errors.iter().find_map(|(_, error)| match error {
        Error::Lex(found) => found.first().map(|(_, rest)| *rest),
        Error::Parse(found) => found.first().map(|(_, rest)| *rest),
        Error::Io(_) => None,
    });
    match near {
        Some(rest) if !rest.is_empty() => format!("it cannot be read from '{rest}' on"),
        Some(_) => "it ends too early".to_owned(),
        None => "it cannot be read".to_owned(),
    }
}

fn no_filter(text: &str, why: &str) -> CliError {
    CliError::usage(
        escape(format!("'{text}' is no filter: {why}").as_bytes(), 300),
        "--query takes a jq filter, as in .version or '.addons[] | select(.state == \"started\") | .slug'",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(query: &str) -> Result<Vec<Value>, CliError> {
        let data = json!({ "a": [{ "slug": "x", "n": 1, "on": true }, { "slug": "y", "n": 2.5, "on": false }], "v": "1.2" });
        Query::parse(query)?.apply(&data)
    }

    #[test]
    fn what_people_use_of_jq_works() {
        for (query, expected) in [
            (".", 1),
            (".a[]", 2),
            (".a | length", 1),
            ("to_entries", 1),
            (".a | keys", 1),
            ("empty", 0),
        ] {
            assert_eq!(asked(query).unwrap().len(), expected, "{query}");
        }
        for (query, expected) in [
            (".v", json!("1.2")),
            (".a[0].slug", json!("x")),
            (".a | map(select(.on)) | length", json!(1)),
            (".a | sort_by(-.n) | .[0].slug", json!("y")),
            ("[.a[].slug] | join(\",\")", json!("x,y")),
            (".v | split(\".\")", json!(["1", "2"])),
            (".v | startswith(\"1\")", json!(true)),
            (".missing", Value::Null),
            ("{v, n: (.a | length)}", json!({ "v": "1.2", "n": 2 })),
            (".a | group_by(.on) | length", json!(2)),
            ("\"\\(.v) ok\"", json!("1.2 ok")),
            (".def", Value::Null),
            ("\"def f\"", json!("def f")),
        ] {
            assert_eq!(asked(query).unwrap(), [expected], "{query}");
        }
    }

    #[test]
    fn wrong_filters_say_what_is_wrong() {
        for query in [
            ".a[",
            "nonsense",
            "halt",
            "env",
            "$ENV",
            "input",
            "now",
            ". |",
            "",
            "import \"x\" as x; .",
            "def f: 1 + f; f",
            "\"\\(def f: 1 + f; f)\"",
        ] {
            match asked(query) {
                Err(CliError::Usage { what, .. }) => {
                    assert!(what.contains("is no filter: "), "{what}")
                }
                other => panic!("{query}: {other:?}"),
            }
        }
        assert!(matches!(asked(".a | .b"), Err(CliError::Failed(_))));
        match asked("range(200000)") {
            Err(CliError::Failed(what)) => assert!(what.contains("more than"), "{what}"),
            other => panic!("{other:?}"),
        }
    }
}
