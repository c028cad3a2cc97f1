//! What gets printed, and how.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value;

use super::CliError;
use super::client::Answer;
use super::query::Query;
use crate::model::escape;

mod json;
mod log;
mod table;
mod units;
mod yaml;

pub(super) use log::{Fit, From, Lines};
pub(super) use units::{bytes, seconds};

/// How much of a message is shown.
const MESSAGE_BYTES: usize = 4 * 1024;

/// What a call without data says.
const DONE: &str = "Command completed successfully.";

/// How data is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Tables and aligned lines, for people.
    Table,
    /// As `ha` prints it.
    Yaml,
    /// One document, indented.
    Json,
    /// The answer's bytes.
    Raw,
}

/// Where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Screen {
    /// A program reads it, or a file.
    Pipe,
    /// A terminal, and its width.
    Terminal { columns: usize, colour: Colour },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    On,
    Off,
}

impl Screen {
    /// What standard output is.
    pub(super) fn of_stdout(colour: Colour) -> Self {
        const USUAL: usize = 80;
        let stdout = io::stdout();
        if !stdout.is_terminal() {
            return Self::Pipe;
        }
        let columns =
            rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
        Self::Terminal {
            columns: if columns == 0 { USUAL } else { columns },
            colour,
        }
    }

    pub(super) fn is_terminal(self) -> bool {
        matches!(self, Self::Terminal { .. })
    }
}

/// Prints what the user wants to see, as it is wanted.
pub(super) struct Printer {
    pub(super) format: Format,
    pub(super) query: Option<Query>,
    pub(super) screen: Screen,
}

impl Printer {
    /// Prints an answer in the Supervisor's envelope; an error in it is an error.
    pub(super) fn answer(&self, answer: &Answer) -> Result<(), CliError> {
        self.shown(answer, answer.data())
    }

    /// Prints an answer of Core's own API.
    pub(super) fn plain(&self, answer: &Answer) -> Result<(), CliError> {
        self.shown(answer, answer.plain())
    }

    fn shown(&self, answer: &Answer, data: Result<Value, CliError>) -> Result<(), CliError> {
        if self.format == Format::Raw
            && serde_json::from_slice::<serde::de::IgnoredAny>(&answer.bytes).is_ok()
        {
            self.raw(&answer.bytes)?;
            return data.map(drop);
        }
        self.data(&data?)
    }

    /// Prints data.
    pub(super) fn data(&self, data: &Value) -> Result<(), CliError> {
        let Some(query) = &self.query else {
            return print(self.rendered(data).as_bytes());
        };
        let mut text = String::new();
        for value in query.apply(data)? {
            match (&value, self.format) {
                // As jq -r: what scripts ask for is the text.
                (Value::String(value), Format::Table | Format::Yaml)
                    if self.screen.is_terminal() =>
                {
                    text.push_str(&lines(value));
                }
                (Value::String(value), Format::Table | Format::Yaml) => text.push_str(value),
                (Value::Null | Value::Bool(_) | Value::Number(_), _) => {
                    text.push_str(&value.to_string())
                }
                _ => text.push_str(self.rendered(&value).trim_end_matches('\n')),
            }
            text.push('\n');
        }
        print(text.as_bytes())
    }

    /// Whether an answer without data is said in words.
    pub(super) fn is_in_words(&self) -> bool {
        self.query.is_none() && matches!(self.format, Format::Table | Format::Yaml)
    }

    fn rendered(&self, data: &Value) -> String {
        let empty = match data {
            Value::Null => true,
            Value::Object(members) => members.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
        };
        match self.format {
            Format::Raw => json::compact(data, self.screen),
            Format::Json => json::indented(data, self.screen),
            Format::Table | Format::Yaml if empty => format!("{DONE}\n"),
            Format::Table => table::rendered(data, self.screen),
            Format::Yaml => yaml::to_string(data),
        }
    }

    /// Prints bytes of JSON as they came; on a terminal, what would drive it is written in JSON's other spelling.
    fn raw(&self, bytes: &[u8]) -> Result<(), CliError> {
        match (self.screen, std::str::from_utf8(bytes)) {
            (Screen::Terminal { .. }, Ok(text)) => print(json::harmless(text).as_bytes()),
            _ => print(bytes),
        }
    }

    /// Prints text that somebody else wrote.
    pub(super) fn text(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut shown = if self.screen.is_terminal() {
            lines(&String::from_utf8_lossy(bytes)).into_bytes()
        } else {
            bytes.to_vec()
        };
        if !shown.ends_with(b"\n") {
            shown.push(b'\n');
        }
        print(&shown)
    }
}

/// Text of several lines, each made harmless.
fn lines(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .map(|line| shown(&line.replace('\t', "    ")))
        .collect();
    lines.join("\n")
}

/// Text made harmless for a terminal. A backslash stays one: a table is for people.
fn shown(text: &str) -> String {
    escape(text.as_bytes(), usize::MAX).replace("\\\\", "\\")
}

pub(super) fn print(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(CliError::Write)
}

/// Says what went wrong. Text from elsewhere is escaped: it is for a terminal.
pub(super) fn error(error: &CliError) {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    let word = if io::stderr().is_terminal() {
        "\u{1b}[1;31mError:\u{1b}[0m"
    } else {
        "Error:"
    };
    let mut lines = format!("{word} {}\n", one_line(&text));
    if let Some(hint) = error.hint() {
        lines.push_str(&format!("hint: {}\n", one_line(hint)));
    }
    to_stderr(&lines);
}

/// Says something beside the matter.
pub(super) fn note(text: &str) {
    say("note", text);
}

/// Says something on standard error, with a word before it.
pub(super) fn say(word: &str, text: &str) {
    to_stderr(&format!("{word}: {}\n", one_line(text)));
}

fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    escape(lines.join(" ").as_bytes(), MESSAGE_BYTES)
}

pub(super) fn to_stderr(text: &str) {
    // There is nobody left to tell if this fails; the exit code still does.
    io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn printer(format: Format) -> Printer {
        Printer {
            format,
            query: None,
            screen: Screen::Pipe,
        }
    }

    #[test]
    fn no_data_is_said_in_words() {
        for data in [json!({}), Value::Null] {
            assert_eq!(printer(Format::Yaml).rendered(&data), format!("{DONE}\n"));
            assert_eq!(printer(Format::Table).rendered(&data), format!("{DONE}\n"));
        }
        assert_eq!(printer(Format::Yaml).rendered(&json!("text")), "text\n");
        assert_eq!(printer(Format::Json).rendered(&json!({})), "{}\n");
    }

    #[test]
    fn a_backslash_is_shown_as_one_and_a_control_is_not_sent() {
        assert_eq!(shown("C:\\x\u{1b}[2J"), "C:\\x\\x1b[2J");
    }
}
