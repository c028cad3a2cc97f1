//! What a person asks of the audit trail: `hassio-sshd audit ...`.

mod list;
mod replay;
mod show;
mod tail;
mod verify;

use std::io::{self, BufWriter, Write};

use hassio_sshd::audit::read::{
    Bound, Case, Filter, Look, ReadError, Text, Trail, moment, shown as shown_text,
};
use hassio_sshd::config::{AuditCommand, FilterArguments, TrailArguments};
use jiff::ZonedDateTime;
use jiff::tz::TimeZone;

use crate::{FAILURE, USAGE, line};

/// Does it, and gives the exit status.
pub(crate) fn run(command: &AuditCommand) -> u8 {
    let done = match command {
        AuditCommand::Verify(arguments) => return verify::verify(arguments),
        AuditCommand::List(arguments) => list::list(arguments),
        AuditCommand::Show(arguments) => show::show(arguments),
        AuditCommand::Tail(arguments) => tail::tail(arguments),
        AuditCommand::Replay(arguments) => replay::replay(arguments),
    };
    match done {
        Ok(status) => status,
        // Whoever read it has had enough.
        Err(Failure::Read(ReadError::Write(error)))
            if error.kind() == io::ErrorKind::BrokenPipe =>
        {
            0
        }
        Err(failure) => {
            say(&line(&failure));
            match failure {
                Failure::Read(_) => FAILURE,
                Failure::Usage { .. } => USAGE,
            }
        }
    }
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("--{option} {value:?} {why}")]
    Usage {
        option: &'static str,
        value: String,
        why: String,
    },
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(ReadError::Write(error))
    }
}

impl Failure {
    fn usage(option: &'static str, value: &str, why: impl ToString) -> Self {
        Self::Usage {
            option,
            value: shown_text(value),
            why: why.to_string(),
        }
    }
}

fn open(arguments: &TrailArguments) -> Result<Trail, ReadError> {
    Trail::open(&arguments.data_dir.join("audit"))
}

/// Names what could not be read. The exit status.
fn problems(trail: &Trail) -> u8 {
    let (problems, more) = trail.problems();
    for problem in &problems {
        say(&problem.to_string());
    }
    if more > 0 {
        say(&format!("and {more} more such places"));
    }
    if problems.is_empty() { 0 } else { FAILURE }
}

fn say(text: &str) {
    // Nobody is left to be told if this fails.
    writeln!(io::stderr(), "hassio-sshd: {text}").ok();
}

/// How this reader sees lists.
fn look() -> Look {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    Look {
        zone: TimeZone::try_system().unwrap_or(TimeZone::UTC),
        columns: size
            .ok()
            .map(|size| usize::from(size.ws_col))
            .filter(|columns| *columns > 0),
    }
}

fn stdout() -> BufWriter<io::StdoutLock<'static>> {
    BufWriter::with_capacity(64 * 1024, io::stdout().lock())
}

/// What is looked for, and the session if it is one alone.
fn filter(arguments: &FilterArguments, look: &Look) -> Result<Filter, Failure> {
    let now = ZonedDateTime::now().with_time_zone(look.zone.clone());
    let when = |option, text: &Option<String>, bound| {
        text.as_deref()
            .map(|text| {
                moment(text, bound, &now).ok_or_else(|| {
                    let why = "is no moment: give RFC 3339, a date such as 2026-11-24, or how long ago, such as 2h or 3d";
                    Failure::usage(option, text, why)
                })
            })
            .transpose()
    };
    let source = arguments.source.as_deref().map(|text| {
        text.parse()
            .map_err(|error| Failure::usage("source", text, error))
    });
    let types = arguments.types.iter().map(|text| {
        text.parse()
            .map_err(|error| Failure::usage("type", text, error))
    });
    let case = if arguments.ignore_case {
        Case::Ignored
    } else {
        Case::Differs
    };
    Ok(Filter {
        user: arguments.user.clone(),
        key: arguments.key.clone(),
        source: source.transpose()?,
        since: when("since", &arguments.since, Bound::Since)?,
        until: when("until", &arguments.until, Bound::Until)?,
        types: types.collect::<Result<_, _>>()?,
        text: arguments.text.as_deref().map(|text| Text::new(text, case)),
    })
}
