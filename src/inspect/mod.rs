//! What a person asks of the audit trail: `hassio-sshd audit ...`.

mod erase;
mod export;
mod list;
mod replay;
mod show;
mod tail;
mod verify;

use std::io::{self, BufWriter, Write};

use hassio_sshd::audit::read::{Filter, Look, ReadError, SearchFault, Trail};
use hassio_sshd::config::{AuditCommand, FilterArguments, TrailArguments};
use hassio_sshd::wire::Search;
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
        AuditCommand::Erase(arguments) => erase::erase(arguments),
        AuditCommand::Export(arguments) => export::export(arguments),
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
                Failure::Read(_) | Failure::Create { .. } => FAILURE,
                Failure::Usage(_) => USAGE,
            }
        }
    }
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot make {path}")]
    Create { path: String, source: io::Error },
    #[error("--{0}")]
    Usage(#[from] SearchFault),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(ReadError::Write(error))
    }
}

impl Failure {
    fn usage(option: &'static str, value: &str, why: impl ToString) -> Self {
        Self::Usage(SearchFault {
            option,
            value: value.to_owned(),
            why: why.to_string(),
        })
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

/// What is looked for.
fn filter(arguments: &FilterArguments, look: &Look) -> Result<Filter, Failure> {
    let now = ZonedDateTime::now().with_time_zone(look.zone.clone());
    let types = (!arguments.types.is_empty()).then(|| arguments.types.join(","));
    let search = Search {
        user: arguments.user.clone(),
        key: arguments.key.clone(),
        source: arguments.source.clone(),
        since: arguments.since.clone(),
        until: arguments.until.clone(),
        types,
        text: arguments.text.clone(),
        ignore_case: arguments.ignore_case,
        newest: None,
    };
    Ok(Filter::of(&search, &now)?)
}
