//! What is in an answer: data, or who said no.

use serde_json::Value;

use super::CliError;
use super::client::Answer;
use crate::model::cut;
use crate::wire::ApiFault;
use crate::wire::limits::API_ERROR_BYTES;

impl Answer {
    /// The data of the Supervisor's envelope.
    pub(super) fn data(&self) -> Result<Value, CliError> {
        let envelope = self.json()?;
        match envelope.get("result").and_then(Value::as_str) {
            Some("ok") if self.is_success() => Ok(match envelope {
                Value::Object(mut members) => members.remove("data").unwrap_or(Value::Null),
                _ => Value::Null,
            }),
            Some(_) => Err(self.said_no(&envelope)),
            None => Err(self.unexpected("JSON, but not the Supervisor's")),
        }
    }

    /// The JSON of Core's own API, which has no envelope; what comes from before Core has one.
    pub(super) fn plain(&self) -> Result<Value, CliError> {
        let value = self.json()?;
        match value.get("result").and_then(Value::as_str) {
            Some("error") => Err(self.said_no(&value)),
            _ if self.is_success() => Ok(value),
            _ => Err(self.said_no(&value)),
        }
    }

    /// Text, as it came.
    pub(super) fn text(&self) -> Result<&[u8], CliError> {
        if self.is_success() && is_text(&self.kind) {
            Ok(&self.bytes)
        } else {
            Err(self.error())
        }
    }

    /// Why an answer is none: what it says itself, if it is a JSON error.
    pub(super) fn error(&self) -> CliError {
        match self.json() {
            Ok(value) if self.is_success() && value.get("message").is_none() => {
                self.unexpected("JSON, where there should be text")
            }
            Ok(value) => self.said_no(&value),
            Err(error) => error,
        }
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn json(&self) -> Result<Value, CliError> {
        serde_json::from_slice(&self.bytes).map_err(|error| self.no_json(&error))
    }

    fn said_no(&self, envelope: &Value) -> CliError {
        let text = |pointer| envelope.pointer(pointer).and_then(Value::as_str);
        let hint = text("/extra_fields/hint").filter(|hint| !hint.is_empty());
        let again = || {
            let seconds = self.retry_after.as_deref()?;
            Some(format!("try again in {seconds} s"))
        };
        CliError::Answer {
            message: text("/message")
                .filter(|message| !message.is_empty())
                .unwrap_or("the Supervisor gave no reason; its log may (`hassio supervisor logs`)")
                .to_owned(),
            status: self.status,
            fault: text("/error_key").and_then(ApiFault::from_key),
            hint: hint.map(str::to_owned).or_else(again),
        }
    }

    fn no_json(&self, error: &serde_json::Error) -> CliError {
        let begins_like_json = self.bytes.trim_ascii_start().starts_with(b"{");
        if begins_like_json && error.is_eof() {
            return CliError::BrokeOff {
                cause: "it ends in the middle".to_owned(),
                effect: self.effect,
            };
        }
        let no = |message: &str, hint: &str| CliError::Answer {
            message: message.to_owned(),
            status: self.status,
            fault: None,
            hint: Some(hint.to_owned()),
        };
        match (self.status, self.kind.as_str()) {
            (401, _) => no(
                "the Supervisor did not take the token (401)",
                "each start of an app gets a new one; see --api-token",
            ),
            (403, _) => no(
                "the Supervisor does not let this token make the call (403)",
                "an app's `hassio_role` says what it may; some calls work on the host's console only",
            ),
            (404 | 405, kind) if kind != "text/html" => no(
                &format!("the Supervisor does not know this call ({})", self.status),
                "it may be too old for it: `hassio supervisor update`",
            ),
            (_, "text/html") => self.unexpected("a web page, not the Supervisor's JSON"),
            (502..=504, _) => self.unexpected("something before the Supervisor cannot reach it"),
            (400..=499, _) if !self.bytes.trim_ascii().is_empty() => CliError::Answer {
                message: self.said(),
                status: self.status,
                fault: None,
                hint: None,
            },
            // As aiohttp answers where the Supervisor crashed: it may have got far before.
            (500, _) => self.unexpected(&format!(
                "{}; the Supervisor's log says why: `hassio supervisor logs`",
                self.said()
            )),
            _ => self.unexpected(&self.said()),
        }
    }

    /// The beginning of its text, which is escaped when it is shown.
    fn said(&self) -> String {
        let text = String::from_utf8_lossy(self.bytes.trim_ascii());
        match cut(&text, API_ERROR_BYTES) {
            "" => "nothing".to_owned(),
            begin if begin.len() < text.len() => format!("{begin}…"),
            whole => whole.to_owned(),
        }
    }

    fn unexpected(&self, what: &str) -> CliError {
        CliError::Unexpected {
            status: self.status,
            what: what.to_owned(),
            effect: self.effect,
        }
    }
}

/// Whether an answer of that type can be somebody's text; a page of a proxy is not.
pub(super) fn is_text(kind: &str) -> bool {
    !["text/html", "application/json"].contains(&kind)
}
