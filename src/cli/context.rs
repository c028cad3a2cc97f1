use std::io::{self, IsTerminal as _};

use serde_json::Value;

use super::client::{Answer, Client, Request};
use super::given::Given;
use super::output::{Colour, Format, Printer, Screen, note};
use super::progress::{Line, Watch};
use super::query::Query;
use super::settings::{Environment, Settings};
use super::tree::{Call, Needed, To};
use super::{CliError, confirm, suggest};
use crate::policy::endpoints::{Endpoint, Endpoints, Parameter};
use crate::wire::SESSION_PATH;

/// What a command works with.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) printer: Printer,
    /// Whether waiting is shown.
    pub(super) progress: bool,
    pub(super) colour: Colour,
}

impl Context {
    pub(super) fn new(given: &Given<'_>) -> Result<Self, CliError> {
        let settings = Settings::new(given, &Environment::read())?;
        let colour = if settings.colour {
            Colour::On
        } else {
            Colour::Off
        };
        let screen = Screen::of_stdout(colour);
        let (output, query) = (given.text("output"), given.text("query"));
        if given.on("raw-json") && (output.is_some() || query.is_some()) {
            return Err(CliError::usage(
                "--raw-json is the answer untouched",
                "it goes with neither --output nor --query",
            ));
        }
        let format = match output {
            Some("table") => Format::Table,
            Some("yaml") => Format::Yaml,
            Some("json") => Format::Json,
            Some(other) => {
                return Err(CliError::usage(
                    format!("'{other}' is no way to show an answer"),
                    "--output is table, yaml or json",
                ));
            }
            None if settings.raw_json && query.is_none() => Format::Raw,
            None if screen.is_terminal() => Format::Table,
            None => Format::Yaml,
        };
        Ok(Self {
            client: Client::new(settings.place, settings.token, settings.level),
            printer: Printer {
                format,
                query: query.map(Query::parse).transpose()?,
                screen,
            },
            progress: settings.progress && io::stderr().is_terminal(),
            colour,
        })
    }

    /// # Errors
    /// Outside a session, where nobody can be asked about one.
    pub(super) fn inside(&self) -> Result<(), CliError> {
        match self.client.has_broker() {
            true => Ok(()),
            false => Err(CliError::usage(
                "there is no session here: the Supervisor is asked without a broker",
                "this command works inside a session of hassio-sshd, without --endpoint",
            )),
        }
    }

    /// Makes a call of the command, with a line that says so if it takes long.
    pub(super) fn ask(&self, given: &Given<'_>, request: Request) -> Result<Answer, CliError> {
        let watch = Watch::of(given, &self.client).filter(|_| self.progress);
        let line = Line::begin(self.progress, move || watch.as_ref().and_then(Watch::look));
        let answer = self.client.ask(request);
        line.end();
        answer
    }

    /// Does what a command of the table does that has no code of its own.
    pub(super) fn perform(&self, given: &Given<'_>) -> Result<(), CliError> {
        if let Some(question) = given.node.confirm {
            self.confirm(question, given)?;
        }
        let answer = self.ask(given, given.request()?)?;
        self.finish(given, &answer)
    }

    /// Asks whether it is meant, unless our server refuses it anyway: then its own words are the answer.
    pub(super) fn confirm(&self, question: &str, given: &Given<'_>) -> Result<(), CliError> {
        match given.node.calls.last() {
            Some(call) if self.is_refused(*call) => Ok(()),
            Some(_) | None => confirm::ask(question, given),
        }
    }

    /// Whether our server says that this role, or nobody, may make the call. Where it cannot be asked, it does not say so.
    pub(super) fn is_refused(&self, call: Call) -> bool {
        is_refused(&self.client, call)
    }

    /// Prints the answer to a command's call.
    pub(super) fn finish(&self, given: &Given<'_>, answer: &Answer) -> Result<(), CliError> {
        if let (Some(text), true) = (given.node.note, answer.is_success()) {
            note(text);
        }
        if given.on("background") && lacks_job(answer) {
            note("started; the Supervisor gave no job's id: `hassio jobs` lists what runs");
            if self.printer.is_in_words() {
                return Ok(());
            }
        }
        let shown = self.printer.answer(answer);
        shown.map_err(|error| self.helpful(given, error))
    }

    /// The error, with close slugs where the one that was given does not exist.
    pub(super) fn helpful(&self, given: &Given<'_>, error: CliError) -> CliError {
        match error {
            CliError::Answer {
                message,
                status: status @ (400 | 404),
                fault: None,
                hint: None,
            } => {
                let hint = suggest::hint(&self.client, given);
                CliError::Answer {
                    message,
                    status,
                    fault: None,
                    hint,
                }
            }
            error => error,
        }
    }
}

/// Whether what was to be done in the background has begun, and by which job is not said.
fn lacks_job(answer: &Answer) -> bool {
    let job = |data: Value| {
        data.get("job_id")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    answer.data().is_ok_and(|data| job(data).is_none())
}

/// As [`Context::is_refused`].
pub(super) fn is_refused(client: &Client, call: Call) -> bool {
    if !client.has_broker() {
        return false;
    }
    let Some(name) = endpoint(call) else {
        return false;
    };
    let session = client.ask(Request::get(SESSION_PATH));
    let calls = session
        .and_then(|answer| answer.data())
        .ok()
        .and_then(|session| session.get("calls").cloned());
    let calls = calls.as_ref().and_then(Value::as_array);
    calls.is_some_and(|calls| !calls.iter().any(|call| call.as_str() == Some(&name)))
}

/// What policy calls a call.
pub(super) fn endpoint(call: Call) -> Option<String> {
    listed(call, |endpoint| endpoint.name.clone())
}

/// What fills the parameters of a call's path, in order; nothing of a call that policy does not know.
pub(super) fn parameters(call: Call) -> Vec<Parameter> {
    listed(call, |endpoint| endpoint.path.parameters().collect()).unwrap_or_default()
}

fn listed<T>(call: Call, take: impl FnOnce(&Endpoint) -> T) -> Option<T> {
    // Whatever the parameters are called.
    let any = |segment: &'static str| {
        if segment.starts_with('{') {
            "*"
        } else {
            segment
        }
    };
    let path: Vec<&str> = call.path.split('/').map(any).collect();
    let endpoints = Endpoints::shipped().ok()?;
    let mut all = endpoints.iter();
    let is_it = |endpoint: &&Endpoint| {
        endpoint.method.as_str() == call.method.as_str()
            && endpoint.path.fill("*") == path.join("/")
    };
    all.find(is_it).map(take)
}

/// The argument that names something of the Supervisor's, and what was given for it.
pub(super) fn subject<'g>(
    given: &'g Given<'_>,
) -> Option<(&'static super::tree::Argument, &'g str)> {
    given.node.arguments.iter().find_map(|argument| {
        let inside = matches!(argument.to, To::Slug | To::Path) && argument.needed != Needed::Many;
        Some((argument, given.text(argument.name)?)).filter(|_| inside)
    })
}
