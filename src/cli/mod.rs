//! The `hassio` command: a table of commands, and one HTTP request over the session's socket to the broker.
//!
//! It runs inside a session with nothing but the session's rights. It judges nothing: what the broker refuses, it says.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::policy::endpoints::{Endpoints, EndpointsError};
use crate::wire::{ApiFault, HASSIO_SOCKET};

mod client;
mod commands;
mod output;
mod parser;
mod progress;
mod yaml;

use commands::Output;
use parser::{Invocation, Parsed};

/// How a run of `hassio` ended; its number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Done.
    Done,
    /// The Supervisor said no.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The broker said no: no rule lets this role do that.
    Refused,
    /// The call did not get to the Supervisor, or its answer did not come back.
    Unreachable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Unreachable => 4,
        })
    }
}

/// What went wrong, as the user reads it.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// The command line; the second is what to do about it.
    #[error("{0}")]
    Usage(String, Option<String>),
    /// The endpoint table that was compiled in.
    #[error("cannot read the table of endpoints")]
    Endpoints(#[source] EndpointsError),
    /// A command without an endpoint; a unit test shows that there is none.
    #[error("the command has no endpoint")]
    NoEndpoint,
    /// No broker.
    #[error("cannot reach the server at {}: {cause}", socket.display())]
    Connect {
        /// Where it was looked for.
        socket: PathBuf,
        /// Why.
        cause: String,
    },
    /// The answer stopped in the middle.
    #[error("the answer broke off: {0}")]
    BrokeOff(String),
    /// Neither JSON nor a log.
    #[error("unexpected answer (status {0})")]
    Unexpected(u16),
    /// An error in the Supervisor's envelope.
    #[error("{message}")]
    Answer {
        /// Its message.
        message: String,
        /// Whether the server says it, and not the Supervisor.
        fault: Option<ApiFault>,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Standard output.
    #[error("cannot write the output")]
    Write(#[source] io::Error),
}

impl CliError {
    fn exit(&self) -> Exit {
        match self {
            Self::Usage(..) => Exit::Usage,
            Self::Endpoints(_) | Self::NoEndpoint | Self::Unexpected(_) | Self::Write(_) => {
                Exit::Failed
            }
            Self::Connect { .. } | Self::BrokeOff(_) => Exit::Unreachable,
            Self::Answer { fault: None, .. } => Exit::Failed,
            Self::Answer {
                fault: Some(fault), ..
            } => match fault {
                ApiFault::Refused => Exit::Refused,
                ApiFault::Unfit | ApiFault::TokenRefused | ApiFault::BadAnswer => Exit::Failed,
                ApiFault::NoSupervisor
                | ApiFault::Unreachable
                | ApiFault::Unrecorded
                | ApiFault::TooMany => Exit::Unreachable,
            },
        }
    }

    fn hint(&self) -> Option<&str> {
        match self {
            Self::Usage(_, hint) | Self::Answer { hint, .. } => hint.as_deref(),
            Self::Connect { .. } => Some(
                "this command works inside a session of hassio-sshd; HASSIO_SOCKET names its socket",
            ),
            Self::Endpoints(_)
            | Self::NoEndpoint
            | Self::BrokeOff(_)
            | Self::Unexpected(_)
            | Self::Write(_) => None,
        }
    }
}

/// Runs `hassio` with a command line, its own name first.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let exit = match attempt(&arguments) {
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
    let endpoints = Endpoints::shipped().map_err(CliError::Endpoints)?;
    match parser::parse(arguments, &endpoints)? {
        Parsed::Help(text) => io::stdout()
            .write_all(text.as_bytes())
            .map_err(CliError::Write),
        Parsed::Invocation(invocation) => perform(&invocation),
    }
}

fn perform(invocation: &Invocation) -> Result<(), CliError> {
    if let Some((old, new)) = &invocation.renamed {
        output::note(&format!("'{old}' is the old word for '{new}'"));
    }
    match invocation.output {
        Output::Data => {
            let line = progress::Line::begin(invocation.progress);
            let answer = client::ask(&socket(), invocation);
            line.end();
            output::answer(&answer?, invocation.format)
        }
        Output::Text => client::copy(&socket(), invocation),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "hassio has no other configuration, and this is where it is read"
)]
fn socket() -> PathBuf {
    std::env::var("HASSIO_SOCKET").map_or_else(|_| PathBuf::from(HASSIO_SOCKET), PathBuf::from)
}
