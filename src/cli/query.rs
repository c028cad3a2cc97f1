//! `--query`: a filter of jq's language over the answer's data. It is carried out by a process of its own, since a filter that
//! goes too deep uses up the stack, and that ends a process without a word.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use serde_json::Value;

use super::{CliError, Exit};
use crate::model::cut;

mod filter;

use filter::Fault;

/// The longest filter that is read.
const QUERY_BYTES: usize = 16 * 1024;

/// How deep its brackets may go: people write a few.
const NESTED: usize = 200;

/// How much of a filter, and of what is wrong with it, is shown.
const SHOWN_BYTES: usize = 200;

/// The word by which the program is told to be that process.
pub(super) const WORD: &str = "__query";

/// A filter.
pub(super) struct Query(String);

impl Query {
    /// # Errors
    /// That it is none.
    pub(super) fn parse(text: &str) -> Result<Self, CliError> {
        if text.len() > QUERY_BYTES {
            return Err(no_filter(text, "it is too long"));
        }
        if nested(text) > NESTED {
            return Err(no_filter(text, "it goes too deep"));
        }
        let query = Self(text.to_owned());
        // Compiled for the message, before anything is asked; once more with the data.
        query.run(None).map(|_| query)
    }

    /// What the filter makes of the data.
    pub(super) fn apply(&self, data: &Value) -> Result<Vec<Value>, CliError> {
        let text = self.run(Some(data))?;
        let values = text.lines().map(serde_json::from_str);
        values
            .collect::<Result<_, _>>()
            .map_err(|_| no_filter(&self.0, "its result is no JSON, or goes too deep"))
    }

    /// What the other process says.
    fn run(&self, data: Option<&Value>) -> Result<String, CliError> {
        let (status, text) = self.ask(data).map_err(|source| CliError::File {
            what: "run",
            path: ITSELF.into(),
            source,
        })?;
        match status.code() {
            Some(DONE) => Ok(text),
            Some(NO_FILTER) => Err(no_filter(&self.0, &text)),
            Some(FAILED) => Err(CliError::Failed(format!("--query: {}", shown(&text)))),
            // By a signal, mostly.
            _ => Err(no_filter(
                &self.0,
                "it goes too deep, or needs too much memory",
            )),
        }
    }

    fn ask(&self, data: Option<&Value>) -> io::Result<(ExitStatus, String)> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the program starts itself, with its own rights and nothing else"
        )]
        let mut child = Command::new(ITSELF)
            .arg0("hassio")
            .arg(WORD)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut text = serde_json::to_string(&self.0)?;
        text.push('\n');
        if let Some(data) = data {
            text.push_str(&data.to_string());
        }
        if let Some(mut stdin) = child.stdin.take() {
            // It reads all of it before it says anything; one that is dead shows that by its status.
            stdin.write_all(text.as_bytes()).unwrap_or_default();
        }
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status, said))
    }
}

/// The program that is running, also where its file was replaced meanwhile.
const ITSELF: &str = "/proc/self/exe";

const DONE: i32 = 0;
const FAILED: i32 = 1;
const NO_FILTER: i32 = 2;

/// `hassio __query`, as [`Query`] calls it: the filter is the first line of standard input, as JSON, the data is the rest. On
/// standard output come values, one in a line, or what is wrong.
pub(super) fn answer() -> ExitCode {
    // What is in a crashed one is the answer, which is no matter for a core file; neither is worth an error.
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).unwrap_or_default();
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap_or_default();
    let done = || -> Result<Vec<String>, Fault> {
        let unread = |why: &dyn std::fmt::Display| Fault::Data(why.to_string());
        let mut input = Vec::new();
        io::stdin()
            .read_to_end(&mut input)
            .map_err(|error| unread(&error))?;
        let end = input.iter().position(|byte| *byte == b'\n');
        let (filter, data) = input.split_at(end.unwrap_or(input.len()));
        let filter: String = serde_json::from_slice(filter).map_err(|error| unread(&error))?;
        let data = data.trim_ascii();
        filter::run(&filter, (!data.is_empty()).then_some(data))
    };
    let (exit, text) = match done() {
        Ok(values) => (Exit::Done, values.join("\n")),
        Err(Fault::Data(why)) => (Exit::Failed, why),
        Err(Fault::Filter(why)) => (Exit::Usage, why),
    };
    let written = io::stdout().write_all(text.as_bytes());
    match written {
        Ok(()) => exit.into(),
        Err(_) => Exit::Unreachable.into(),
    }
}

/// How deep the brackets in a text go, wherever they stand.
fn nested(text: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

fn no_filter(text: &str, why: &str) -> CliError {
    CliError::usage(
        format!("'{}' is no filter: {}", shown(text), shown(why)),
        "--query takes a jq filter, as in .version or '.addons[] | select(.state == \"started\") | .slug'",
    )
}

fn shown(text: &str) -> String {
    let begin = cut(text, SHOWN_BYTES);
    let dots = if begin.len() < text.len() { "…" } else { "" };
    format!("{begin}{dots}")
}
