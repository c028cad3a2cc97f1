use std::ffi::OsString;

use clap::ArgMatches;
use serde_json::{Map, Value, json};

use super::CliError;
use super::client::Request;
use super::context::parameters;
use super::tree::{Call, Kind, Needed, Node, Send, To};
use crate::policy::endpoints::Parameter;

/// What was typed for a command, by the names in its table.
pub(super) struct Given<'g> {
    pub(super) node: &'static Node,
    pub(super) matches: &'g ArgMatches,
}

impl Given<'_> {
    /// The text of an argument or option; not one that is missing.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let given = self.matches.try_get_one::<String>(name).ok().flatten();
        let otherwise = || {
            let argument = self.node.arguments.iter().find(|a| a.name == name)?;
            match argument.needed {
                Needed::Else(text) => Some(text),
                Needed::Yes | Needed::No | Needed::Many => None,
            }
        };
        given.map(String::as_str).or_else(otherwise)
    }

    /// All values of a list; commas divide as well.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let values = self.matches.try_get_many::<String>(name).ok().flatten();
        values
            .into_iter()
            .flatten()
            .flat_map(|value| value.split(','))
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// All values of an argument that may be there many times, as they are.
    pub(super) fn many(&self, name: &str) -> Vec<&str> {
        let values = self.matches.try_get_many::<String>(name).ok().flatten();
        values.into_iter().flatten().map(String::as_str).collect()
    }

    /// A switch, if it was given.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.matches
            .try_get_one::<bool>(name)
            .ok()
            .flatten()
            .copied()
    }

    /// Whether a switch is on.
    pub(super) fn on(&self, name: &str) -> bool {
        self.switch(name).unwrap_or(false)
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.matches
            .try_get_one::<i64>(name)
            .ok()
            .flatten()
            .copied()
    }

    /// The command's request: the first of its calls whose parameters are all given, and the body of its table.
    pub(super) fn request(&self) -> Result<Request, CliError> {
        let path = self
            .node
            .calls
            .iter()
            .find_map(|call| Some((*call, self.path(*call)?)));
        let (call, path) =
            path.ok_or_else(|| CliError::usage("something is missing", "see --help"))?;
        let request = Request::new(call.method, path?).within(self.node.limit);
        match self.body() {
            Some(body) => Ok(request.with(&body)),
            // It would be answered with success, and nothing would have changed.
            None if self.node.word() == "options" => Err(CliError::usage(
                "nothing to change",
                format!("see `hassio {} --help`", self.node.path),
            )),
            None => Ok(request),
        }
    }

    /// A request by one of the command's calls, with this body.
    pub(super) fn request_by(&self, call: Call) -> Result<Request, CliError> {
        let path = self
            .path(call)
            .ok_or_else(|| CliError::usage("something is missing", "see --help"))?;
        Ok(Request::new(call.method, path?).within(self.node.limit))
    }

    /// The call's path with what was given for its parameters; `None` if one is missing.
    fn path(&self, call: Call) -> Option<Result<String, CliError>> {
        let given: Option<Vec<(&str, &str)>> = call
            .parameters()
            .map(|name| Some((self.shown(name), self.text(name)?)))
            .collect();
        Some(fill(call, &given?))
    }

    /// As help shows an argument.
    fn shown(&self, name: &'static str) -> &'static str {
        let mut arguments = self.node.arguments.iter();
        let found = arguments.find(|argument| argument.name == name);
        found.map_or(name, |argument| argument.shown)
    }

    /// What the table says of the body; `None` where that is nothing.
    pub(super) fn body(&self) -> Option<Value> {
        let mut body = Map::new();
        for argument in self.node.arguments {
            if let (To::Body, Some(text)) = (argument.to, self.text(argument.name)) {
                put(&mut body, argument.name, text.into());
            }
        }
        for option in self.node.options {
            if let Some(value) = self.value(option.name, option.kind, option.send) {
                put(&mut body, option.field, value);
            }
        }
        (!body.is_empty()).then_some(Value::Object(body))
    }

    fn value(&self, name: &str, kind: Kind, send: Send) -> Option<Value> {
        match send {
            Send::Own => None,
            Send::Always => Some(self.on(name).into()),
            Send::Opposite => Some((!self.on(name)).into()),
            Send::WhenOn(value) => self.on(name).then_some(value.into()),
            Send::AlwaysElse(otherwise) => {
                let text = self.text(name).filter(|text| !text.is_empty());
                Some(text.unwrap_or(otherwise).into())
            }
            Send::NotNegative => self.number(name).filter(|n| *n >= 0).map(Value::from),
            // Whole percents have an exact decimal form with two digits.
            Send::Percent => self
                .number(name)
                .map(|percent| json!(f64::from(i32::try_from(percent).unwrap_or(100)) / 100.0)),
            Send::Given | Send::NotEmpty | Send::Nullable => {
                let value = match kind {
                    Kind::Switch => self.switch(name)?.into(),
                    Kind::Text | Kind::TextOr(_) => self.text(name)?.into(),
                    Kind::List | Kind::ListOr(_) => self.list(name).into(),
                    Kind::Number { .. } | Kind::NumberOrZero { .. } => self.number(name)?.into(),
                };
                match (send, is_empty(&value)) {
                    (Send::NotEmpty, true) => None,
                    (Send::Nullable, true) => Some(Value::Null),
                    _ => Some(value),
                }
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Number(number) => number.as_i64().is_some_and(|number| number <= 0),
        Value::Null | Value::Bool(_) | Value::Object(_) => false,
    }
}

/// Puts a value at `a.b`.
fn put(body: &mut Map<String, Value>, field: &str, value: Value) {
    match field.split_once('.') {
        None => {
            body.insert(field.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = body
                .entry(first)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// The path of a call with these parameters, in order: how the user knows each, and what was given for it.
///
/// # Errors
/// `Usage` for a value that no such parameter has: the server would refuse it as a path that is none.
pub(super) fn fill(call: Call, given: &[(&str, &str)]) -> Result<String, CliError> {
    let grammars = match given {
        [] => Vec::new(),
        [_, ..] => parameters(call),
    };
    let (mut grammars, mut given) = (grammars.into_iter(), given.iter());
    let mut path = String::new();
    for part in call.path.split('/').skip(1) {
        path.push('/');
        if !part.starts_with('{') {
            path.push_str(part);
            continue;
        }
        let (name, value) = given
            .next()
            .ok_or_else(|| CliError::usage("something is missing", "see --help"))?;
        path.push_str(&match grammars.next() {
            Some(parameter) => segment(parameter, name, value)?,
            None => encoded(name, value)?,
        });
    }
    Ok(path)
}

/// A value as one segment of a path; `name` is what the user knows the parameter by.
///
/// # Errors
/// `Usage` if it is no value of the parameter.
pub(super) fn segment(parameter: Parameter, name: &str, value: &str) -> Result<String, CliError> {
    if parameter.takes(value) {
        return encoded(name, value);
    }
    Err(CliError::usage(
        format!("'{value}' is no {name}"),
        format!("it has to be {}", parameter.grammar()),
    ))
}

fn encoded(name: &str, value: &str) -> Result<String, CliError> {
    // Percent-encoded or not, these lead elsewhere (WHATWG URL, double-dot path segment).
    if matches!(value, "" | "." | "..") {
        return Err(CliError::usage(
            format!("'{value}' is no {name}"),
            "it may not be empty, and not a dot or two",
        ));
    }
    Ok(percent_encoding::utf8_percent_encode(value, SEGMENT).to_string())
}

/// What is not a letter, a digit or one of those that a segment may hold as they are (RFC 3986 §3.3).
const SEGMENT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// A value of a query string.
pub(super) fn query_value(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, QUERY).to_string()
}

/// Likewise, without what divides a query string.
const QUERY: &percent_encoding::AsciiSet = &SEGMENT.add(b'&').add(b'=').add(b'+').add(b'$');

/// Words of a command line as text, for looking at; what is no UTF-8 is not found in any table.
pub(super) fn lossy(words: &[OsString]) -> Vec<String> {
    words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}
