//! What apps can be told: options and input.

use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::client::{Body, Request};
use super::context::Context;
use super::given::Given;
use super::options::{Assignment, OptionsFile, at, difference, secrets};
use super::output::{Colour, Screen, note, to_stderr};
use super::tree::{Call, get as call_get, post};
use super::{CliError, read_file, read_limited};
use crate::model::escape;
use crate::wire::limits::API_BODY_BYTES;

const INFO: Call = call_get("/addons/{slug}/info");
const OPTIONS: Call = post("/addons/{slug}/options");
const VALIDATE: Call = post("/addons/{slug}/options/validate");
const STDIN: Call = post("/addons/{slug}/stdin");

/// How much of a line of the difference is shown.
const LINE_BYTES: usize = 500;

/// What is set now, and which of it are passwords.
struct Now {
    options: Value,
    schema: Value,
}

impl Now {
    fn ask(context: &Context, given: &Given<'_>) -> Result<Self, CliError> {
        let answer = context.ask(given, given.request_by(INFO)?)?;
        let mut info = answer
            .data()
            .map_err(|error| context.helpful(given, error))?;
        let options = match info.get_mut("options").map(Value::take) {
            Some(options @ Value::Object(_)) => options,
            Some(Value::Null) => return Err(CliError::hidden()),
            _ => {
                let message = "the answer does not hold the options";
                return Err(CliError::Failed(message.to_owned()));
            }
        };
        Ok(Self {
            options,
            schema: info.get_mut("schema").map(Value::take).unwrap_or_default(),
        })
    }
}

/// `apps options get`.
pub(super) fn get(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let now = Now::ask(context, given)?;
    match given.text("key") {
        None => context.printer.data(&now.options),
        Some(key) => {
            let missing = || CliError::Failed(format!("there is no option {key}"));
            context
                .printer
                .data(at(&now.options, key).ok_or_else(missing)?)
        }
    }
}

/// `apps options set`: the whole is read, changed, checked and written, since the Supervisor replaces the whole.
pub(super) fn set(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    if given.many("assignments").is_empty() && given.text("file").is_none() {
        return Err(CliError::usage(
            "nothing to change",
            "name options as KEY=VALUE, or a file with all of them: --file x.yaml",
        ));
    }
    let changes = assignments(given)?;
    let file = from_file(given)?;
    let now = Now::ask(context, given)?;
    let after = changed(&now, file, &changes)?;
    let lines = difference(&now.options, &after, &secrets(&now.schema));
    if lines.is_empty() {
        note("these options are set already");
        return Ok(());
    }
    show(context, &lines);
    check(context, given, &after)?;
    if given.on("dry-run") {
        note("nothing was written: --dry-run");
        return Ok(());
    }
    let request = given
        .request_by(OPTIONS)?
        .with(&json!({ "options": after }));
    let answer = context.ask(given, request)?;
    context.printer.answer(&answer)?;
    let slug = given.text("slug").unwrap_or_default();
    note(&format!(
        "the app uses them when it starts the next time: `hassio apps restart {slug}`"
    ));
    Ok(())
}

/// `apps options validate`.
pub(super) fn validate(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let changes = assignments(given)?;
    let now = Now::ask(context, given);
    let options = match (from_file(given)?, now) {
        // A whole can be checked by a role that may not see what is set.
        (Some(file), Err(_)) if changes.is_empty() => file.options(&Value::Null)?,
        (file, now) => changed(&now?, file, &changes)?,
    };
    let verdict = check(context, given, &options)?;
    context.printer.data(&verdict)
}

fn assignments(given: &Given<'_>) -> Result<Vec<Assignment>, CliError> {
    given
        .many("assignments")
        .into_iter()
        .map(Assignment::parse)
        .collect()
}

fn from_file(given: &Given<'_>) -> Result<Option<OptionsFile>, CliError> {
    let Some(path) = given.text("file") else {
        return Ok(None);
    };
    let bytes = read_input(path)?;
    let unusable = |why: &str| {
        CliError::usage(
            format!("{path} is no YAML or JSON object: {why}"),
            "it holds all options of the app, by their names",
        )
    };
    let text = String::from_utf8(bytes).map_err(|_| unusable("it is not in UTF-8"))?;
    let file = OptionsFile::read(&text).map_err(|why| unusable(&why))?;
    Ok(Some(file))
}

fn read_input(path: &str) -> Result<Vec<u8>, CliError> {
    let limit = u64::try_from(API_BODY_BYTES).unwrap_or(u64::MAX);
    if path == "-" {
        return read_limited(io::stdin().lock(), limit).map_err(CliError::Read);
    }
    read_file(Path::new(path), limit).map_err(|source| CliError::File {
        what: "read",
        path: path.into(),
        source,
    })
}

fn changed(
    now: &Now,
    file: Option<OptionsFile>,
    changes: &[Assignment],
) -> Result<Value, CliError> {
    let mut after = match file {
        Some(file) => file.options(&now.schema)?,
        None => now.options.clone(),
    };
    for change in changes {
        change.apply(&mut after, &now.schema)?;
    }
    Ok(after)
}

/// The app's own rules; what they say, if it is yes.
fn check(context: &Context, given: &Given<'_>, options: &Value) -> Result<Value, CliError> {
    let request = given.request_by(VALIDATE)?.with(options);
    let answer = context.ask(given, request)?;
    let verdict = answer
        .data()
        .map_err(|error| context.helpful(given, error))?;
    if verdict.get("pwned").and_then(Value::as_bool) == Some(true) {
        note("a password in it is in lists of known leaks");
    }
    if verdict.get("valid").and_then(Value::as_bool) == Some(true) {
        return Ok(verdict);
    }
    let message = verdict
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or("no reason was given");
    Err(CliError::Failed(format!(
        "the app does not take these options: {message}"
    )))
}

/// The difference, on standard error: standard output is for the answer.
fn show(context: &Context, lines: &[String]) {
    for line in lines {
        let text = escape(line.as_bytes(), LINE_BYTES).replace("\\\\", "\\");
        let code = if line.starts_with('-') { "31" } else { "32" };
        let coloured = context.progress
            && context.colour == Colour::On
            && context.printer.screen != Screen::Pipe;
        to_stderr(&if coloured {
            format!("\u{1b}[{code}m{text}\u{1b}[0m\n")
        } else {
            format!("{text}\n")
        });
    }
}

/// `apps stdin`.
pub(super) fn stdin(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let bytes = read_input(given.text("file").unwrap_or("-"))?;
    let request = Request {
        body: Body::Bytes(bytes),
        ..given.request_by(STDIN)?
    };
    let answer = context.ask(given, request)?;
    context.finish(given, &answer)
}
