//! `hassio-sshd`: the command line, and the entry of each of the server's processes.
#![forbid(unsafe_code)]

mod folders;
mod inspect;
mod launch;
mod process;

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::Parser;
use hassio_sshd::config::{Arguments, Command};

/// Something went wrong at run time.
const FAILURE: u8 = 1;
/// The command line or the options cannot be used.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    // The server starts itself as each of its processes, with descriptors that nobody else has to give.
    let role = std::env::args_os()
        .nth(1)
        .and_then(|word| process::Role::from_name(&word));
    if let Some(role) = role.filter(|_| std::env::args_os().len() == 2) {
        return ExitCode::from(process::run(role));
    }
    let status = match Arguments::parse().command {
        Command::Serve(arguments) => launch::serve(&arguments),
        Command::Check(arguments) => launch::check(&arguments),
        Command::Audit(audit) => inspect::run(&audit.command),
    };
    ExitCode::from(status)
}

/// An error and its causes, in one line. A cause that the error before it has said already is not said again.
fn line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

/// A word of the command line for a message.
fn shown(word: &OsStr) -> String {
    hassio_sshd::model::escape(word.as_encoded_bytes(), 100)
}
