use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::wire::ApiFault;

/// How a run of `hassio` ended; its number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Done,
    /// The Supervisor said no.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The broker said no: no rule lets this role do that.
    Refused,
    /// The call did not get to the Supervisor, or its answer did not come back whole.
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
pub(super) enum CliError {
    /// The command line, or a file that it names.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Nobody there.
    #[error("cannot reach the server at {place}: {cause}")]
    Connect {
        /// Where it was looked for.
        place: String,
        /// Why.
        cause: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The answer did not begin, or did not go on, in time.
    #[error("no answer within {seconds} s")]
    Late {
        /// How long it was waited for.
        seconds: u64,
        /// Whether anything was to be changed.
        effect: Effect,
    },
    /// The answer stopped in the middle, or never began.
    #[error("the answer broke off: {cause}")]
    BrokeOff {
        /// Why.
        cause: String,
        /// Whether anything was to be changed.
        effect: Effect,
    },
    /// Not what the Supervisor sends.
    #[error("unexpected answer (status {status}): {what}")]
    Unexpected {
        /// The HTTP status.
        status: u16,
        /// What came.
        what: String,
        /// Whether anything was to be changed.
        effect: Effect,
    },
    /// An error in the Supervisor's envelope.
    #[error("{message}")]
    Answer {
        /// Its message.
        message: String,
        /// The HTTP status.
        status: u16,
        /// Whether the server says it, and not the Supervisor.
        fault: Option<ApiFault>,
        /// What to do about it.
        hint: Option<String>,
    },
    /// It went wrong at the Supervisor, or was not to be done.
    #[error("{0}")]
    Failed(String),
    /// A file here.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Standard input.
    #[error("cannot read standard input")]
    Read(#[source] io::Error),
    /// Standard output.
    #[error("cannot write the output")]
    Write(#[source] io::Error),
}

/// What a request was to do; it decides what a lost answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Only to look.
    Looks,
    /// To change something: nobody knows whether it did.
    Changes,
}

const UNKNOWN_OUTCOME: &str =
    "the Supervisor may be doing it all the same: `hassio jobs` shows what runs";

impl CliError {
    /// The server took an app's options out of the answer.
    pub(super) fn hidden() -> Self {
        Self::Answer {
            message: "the options of this app are not shown here".to_owned(),
            status: 403,
            fault: Some(ApiFault::Refused),
            hint: Some(
                "those of this server itself are shown to nobody, those of others to a role with the permission `options`, such as admin"
                    .to_owned(),
            ),
        }
    }

    pub(super) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            what: what.into(),
            hint: Some(hint.into()),
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            // What is no answer of the Supervisor's is none, whoever sent it.
            Self::Connect { .. }
            | Self::Late { .. }
            | Self::BrokeOff { .. }
            | Self::Unexpected { .. } => Exit::Unreachable,
            Self::Failed(_) | Self::File { .. } | Self::Read(_) | Self::Write(_) => Exit::Failed,
            Self::Answer { fault: None, .. } => Exit::Failed,
            Self::Answer {
                fault: Some(fault), ..
            } => match fault {
                ApiFault::Refused => Exit::Refused,
                ApiFault::Unfit => Exit::Usage,
                ApiFault::TokenRefused | ApiFault::NotThere => Exit::Failed,
                ApiFault::BadAnswer
                | ApiFault::NoSupervisor
                | ApiFault::Unreachable
                | ApiFault::Unrecorded
                | ApiFault::TooMany => Exit::Unreachable,
            },
        }
    }

    /// Whether to ask again is of no use. A Supervisor that starts says all kinds of things until it is ready.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Answer { status, .. } => matches!(status, 401 | 403 | 404),
            Self::Unexpected { .. } => false,
            error => error.exit() != Exit::Unreachable,
        }
    }

    pub(super) fn hint(&self) -> Option<&str> {
        match self {
            Self::Usage { hint, .. } | Self::Answer { hint, .. } => hint.as_deref(),
            Self::Connect { hint, .. } => Some(hint),
            Self::Late { effect, .. }
            | Self::BrokeOff { effect, .. }
            | Self::Unexpected { effect, .. } => match effect {
                Effect::Changes => Some(UNKNOWN_OUTCOME),
                Effect::Looks => None,
            },
            Self::Failed(_) | Self::File { .. } | Self::Read(_) | Self::Write(_) => None,
        }
    }
}
