//! A filter of jq's language, by jaq. Nothing in it reads anything but its data: there are no files, no environment and no
//! clock. It may use up the stack, which ends the process without a word.

use std::fmt::Write as _;

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Ctx, Vars, data, unwrap_valr};
use jaq_json::Val;

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

/// Why there are no values.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is no filter.
    Filter(String),
    /// It does not go with this data.
    Data(String),
}

/// What the filter makes of JSON, each value as JSON in one line; of no data nothing, but it is looked at.
///
/// # Errors
/// What is wrong with the filter, or what went wrong in it.
pub(super) fn run(filter: &str, data: Option<&[u8]>) -> Result<Vec<String>, Fault> {
    let arena = Arena::default();
    let program = File {
        code: filter,
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
        .map_err(|errors| Fault::Filter(syntax(&errors)))?;
    let filter = jaq_core::Compiler::default()
        .with_funs(functions)
        .compile(modules)
        .map_err(|errors| {
            let unknown = errors.iter().flat_map(|(_, errors)| errors).next();
            let why = unknown.map_or_else(String::new, |(name, _)| format!("there is no {name}"));
            Fault::Filter(why)
        })?;
    let Some(data) = data else {
        return Ok(Vec::new());
    };
    let failed = |why: &dyn std::fmt::Display| Fault::Data(why.to_string());
    let input = jaq_json::read::parse_single(data).map_err(|error| failed(&error))?;
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
        values.push(text);
    }
    Ok(values)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn asked(query: &str) -> Result<Vec<Value>, Fault> {
        let data = json!({ "a": [{ "slug": "x", "n": 1, "on": true }, { "slug": "y", "n": 2.5, "on": false }], "v": "1.2" });
        let values = run(query, Some(data.to_string().as_bytes()))?;
        let parsed = values
            .iter()
            .map(|value| serde_json::from_str(value).unwrap());
        Ok(parsed.collect())
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
            ("def f: .v; f", json!("1.2")),
            ("\"\\(def f: 1; f)\"", json!("1")),
            (
                "def sum(f): reduce f as $x (0; . + $x); sum(.a[].n)",
                json!(3.5),
            ),
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
            "def f: 1",
        ] {
            match asked(query) {
                Err(Fault::Filter(_)) => {}
                other => panic!("{query}: {other:?}"),
            }
        }
        assert!(matches!(asked(".a | .b"), Err(Fault::Data(_))));
        match asked("range(200000)") {
            Err(Fault::Data(what)) => assert!(what.contains("more than"), "{what}"),
            other => panic!("{other:?}"),
        }
    }
}
