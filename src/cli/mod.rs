//! The `hassio` command: a table of commands, and HTTP over the session's socket to the broker, or to a Supervisor.
//!
//! It runs with nothing but the user's rights. It judges nothing: what the broker refuses, it says.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::ExitCode;

mod answer;
mod apps;
mod backups;
mod banner;
mod client;
mod commands;
mod completion;
mod confirm;
mod context;
mod core_api;
mod docs;
mod error;
mod given;
mod jobs;
mod legacy;
mod logs;
mod options;
mod output;
mod own;
mod parse;
mod player;
mod progress;
mod query;
mod sessions;
mod settings;
mod suggest;
mod tree;

use context::Context;
use error::{CliError, Exit};
use given::Given;
use parse::Parsed;
use tree::Act;

/// Runs `hassio` with a command line, its own name first.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let hidden = arguments.get(1).and_then(|word| word.to_str());
    let done = match hidden {
        Some("__complete") => return completion::answer(arguments.get(2..).unwrap_or_default()),
        Some(query::WORD) => return query::answer(),
        Some("__docs") => docs::print_page(),
        _ => attempt(&arguments),
    };
    let exit = match done {
        Ok(()) => Exit::Done,
        // Whoever read the output has seen enough.
        Err(CliError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            output::error(&error);
            error.exit()
        }
    };
    exit.into()
}

fn attempt(arguments: &[OsString]) -> Result<(), CliError> {
    let (node, matches, notes) = match parse::parse(arguments)? {
        Parsed::Help(text) => {
            return io::stdout()
                .write_all(text.as_bytes())
                .map_err(CliError::Write);
        }
        Parsed::Invocation {
            node,
            matches,
            notes,
        } => (node, matches, notes),
    };
    for (old, new) in notes {
        output::note(&format!("'{old}' is the old word for '{new}'"));
    }
    let given = Given {
        node,
        matches: &matches,
    };
    let is_text = matches!(node.act, Act::Text | Act::Log);
    if is_text && (given.text("query").is_some() || given.text("output").is_some()) {
        return Err(CliError::usage(
            "this prints text, not data",
            "it takes neither --query nor --output",
        ));
    }
    let context = Context::new(&given)?;
    match node.act {
        // Help has been shown.
        Act::Group => Ok(()),
        Act::Ask => context.perform(&given),
        Act::Text => {
            let answer = context.ask(&given, given.request()?)?;
            let text = answer
                .text()
                .map_err(|error| context.helpful(&given, error))?;
            context.printer.text(text)
        }
        Act::Log => logs::copy(&context, &given),
        Act::Own(act) => act(&context, &given),
    }
}

/// A file of the user's, if it is no longer than this.
fn read_file(path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
    read_limited(File::open(path)?, limit_bytes)
}

fn read_limited(from: impl Read, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit_bytes.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit_bytes) {
        Ok(bytes)
    } else {
        let what = format!("it is longer than {limit_bytes} bytes");
        Err(io::Error::new(io::ErrorKind::FileTooLarge, what))
    }
}
