use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value;

use super::CliError;
use super::client::Answer;
use super::parser::Format;
use super::yaml;
use crate::model::escape;
use crate::wire::ApiFault;

/// How much of a message is shown.
const MESSAGE_BYTES: usize = 4 * 1024;

/// What a call without data says.
const DONE: &str = "Command completed successfully.\n";

/// Prints an answer; an error in it is an error.
pub(super) fn answer(answer: &Answer, format: Format) -> Result<(), CliError> {
    let envelope: Option<Value> = serde_json::from_slice(&answer.bytes).ok();
    let raw = match (format, &envelope) {
        (Format::RawJson, Some(_)) => Some(answer.bytes.as_slice()),
        (Format::RawJson, None) | (Format::Yaml, _) => None,
    };
    if let Some(raw) = raw {
        print(raw)?;
    }
    let envelope = envelope.ok_or(CliError::Unexpected(answer.status))?;
    let text = |pointer| envelope.pointer(pointer).and_then(Value::as_str);
    match text("/result") {
        Some("ok") if raw.is_some() => Ok(()),
        Some("ok") => print(rendered(envelope.get("data"), answer.status)?.as_bytes()),
        _ => Err(CliError::Answer {
            message: text("/message")
                .unwrap_or("the Supervisor gave no reason")
                .to_owned(),
            fault: text("/error_key").and_then(ApiFault::from_key),
            hint: text("/extra_fields/hint")
                .filter(|hint| !hint.is_empty())
                .map(str::to_owned),
        }),
    }
}

/// Data as `ha` prints it: YAML, names in order.
fn rendered(data: Option<&Value>, status: u16) -> Result<String, CliError> {
    let empty = match data {
        None | Some(Value::Null) => true,
        Some(Value::Object(members)) => members.is_empty(),
        Some(_) => false,
    };
    match data {
        Some(data) if !empty => {
            // What came out of a JSON parser goes into YAML; the error is for other types.
            yaml::to_string(data).map_err(|_| CliError::Unexpected(status))
        }
        _ => Ok(DONE.to_owned()),
    }
}

fn print(bytes: &[u8]) -> Result<(), CliError> {
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
        lines = format!("{lines}hint: {}\n", one_line(hint));
    }
    to_stderr(&lines);
}

/// Says something beside the matter.
pub(super) fn note(text: &str) {
    to_stderr(&format!("note: {}\n", one_line(text)));
}

fn one_line(text: &str) -> String {
    escape(
        text.lines().collect::<Vec<_>>().join(" ").as_bytes(),
        MESSAGE_BYTES,
    )
}

fn to_stderr(text: &str) {
    // There is nobody left to tell if this fails; the exit code still does.
    io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(data: &Value) -> String {
        rendered(Some(data), 200).unwrap()
    }

    #[test]
    fn no_data_is_said_in_words() {
        assert_eq!(shown(&json!({})), DONE);
        assert_eq!(rendered(None, 200).unwrap(), DONE);
        assert_eq!(shown(&json!("text")), "text\n");
    }

    #[test]
    fn an_error_of_the_server_is_told_from_the_supervisors() {
        let exit = |text: &str| {
            let bytes = text.as_bytes().to_vec();
            answer(&Answer { status: 403, bytes }, Format::Yaml)
                .unwrap_err()
                .exit()
        };
        use super::super::Exit;
        assert_eq!(
            exit(r#"{"result":"error","message":"x","error_key":"sshd_refused"}"#),
            Exit::Refused
        );
        assert_eq!(
            exit(r#"{"result":"error","message":"x","error_key":"app_error"}"#),
            Exit::Failed
        );
        assert_eq!(
            exit(r#"{"result":"error","message":"x","error_key":"sshd_unreachable"}"#),
            Exit::Unreachable
        );
        assert_eq!(exit("403: Forbidden"), Exit::Failed);
    }
}
