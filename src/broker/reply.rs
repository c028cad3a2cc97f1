use std::error::Error as _;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, StatusCode};
use reqwest::Response;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::slot::Source;
use crate::model::escape;
use crate::policy::endpoints;
use crate::wire::ApiFault;
use crate::wire::limits::{API_ANSWER_BYTES, API_ERROR_BYTES};

/// The cursor of a log's first line.
const FIRST_CURSOR: HeaderName = HeaderName::from_static("x-first-cursor");

/// What of the response's head a session gets to see.
const HEADERS: [HeaderName; 7] = [
    CONTENT_TYPE,
    FIRST_CURSOR,
    CONTENT_DISPOSITION,
    CONTENT_RANGE,
    ACCEPT_RANGES,
    ETAG,
    LAST_MODIFIED,
];

/// Who sees the options of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Options {
    /// Who asks.
    Kept,
    /// Nobody.
    Stripped,
}

/// What the session gets of the Supervisor's response.
pub(super) async fn answer(
    kind: endpoints::Answer,
    options: Options,
    response: Response,
) -> Result<Answer, Answer> {
    let good = response.status().is_success();
    match (kind, is_json(&response)) {
        (endpoints::Answer::Json, true) if good && options == Options::Stripped => {
            stripped(response).await
        }
        (endpoints::Answer::Json, true) => Ok(passed(response)),
        (endpoints::Answer::Text, false)
        | (endpoints::Answer::File | endpoints::Answer::Core, _)
            if good =>
        {
            Ok(passed(response))
        }
        // An error of a text route in the envelope of the others.
        (endpoints::Answer::Text | endpoints::Answer::File, true) if !good => Ok(passed(response)),
        (endpoints::Answer::Json, false)
        | (endpoints::Answer::Text | endpoints::Answer::File | endpoints::Answer::Core, _) => {
            Err(in_envelope(response).await)
        }
    }
}

fn is_json(response: &Response) -> bool {
    content_type(response) == Some("application/json")
}

fn content_type(response: &Response) -> Option<&str> {
    let kind = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    kind.split(';').next().map(str::trim)
}

/// The response as it comes.
fn passed(response: Response) -> Answer {
    let mut headers = HeaderMap::new();
    for name in HEADERS {
        if let Some(value) = response.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    if let Some(length) = response.content_length() {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    let status = response.status();
    let error = (!status.is_success()).then(|| format!("the Supervisor said {}", status.as_u16()));
    let source = Source::Passed(http::Response::<reqwest::Body>::from(response).into_body());
    Answer {
        status,
        headers,
        source,
        error,
    }
}

/// The response without options.
async fn stripped(mut response: Response) -> Result<Answer, Answer> {
    let status = response.status();
    let bytes = whole(&mut response, API_ANSWER_BYTES).await?;
    let mut envelope: Map<String, Value> =
        serde_json::from_slice(&bytes).map_err(|_| bad_answer("it is no JSON object"))?;
    let data = envelope.get_mut("data").and_then(Value::as_object_mut);
    if let Some(options) = data.and_then(|data| data.get_mut("options")) {
        // Not an empty table: that would be an app without options.
        *options = Value::Null;
    }
    Ok(Answer::json(status, &Value::Object(envelope)))
}

/// An error without the Supervisor's envelope, in the envelope that every other error has.
async fn in_envelope(mut response: Response) -> Answer {
    let status = response.status();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => no_answer(status),
        status if status.is_success() || status.is_redirection() || status.is_informational() => {
            no_answer(status)
        }
        status => {
            let message = match content_type(&response) {
                Some("text/html") => {
                    format!(
                        "status {}, and a web page instead of a reason",
                        status.as_u16()
                    )
                }
                kind => {
                    let json = kind == Some("application/json");
                    let bytes = whole(&mut response, API_ANSWER_BYTES)
                        .await
                        .unwrap_or_default();
                    reason(&bytes, json).unwrap_or_else(|| format!("status {}", status.as_u16()))
                }
            };
            let envelope = json!({ "result": "error", "message": message });
            let error = Some(format!("the Supervisor said {}", status.as_u16()));
            Answer {
                error,
                ..Answer::json(status, &envelope)
            }
        }
    }
}

/// A response that has nothing of what was asked for, and no reason in the Supervisor's words.
pub(super) fn no_answer(status: StatusCode) -> Answer {
    let app = "the app's log and its settings `hassio_api`, `hassio_role` and `homeassistant_api` in config.yaml";
    match status {
        StatusCode::UNAUTHORIZED => Answer::fault(
            ApiFault::TokenRefused,
            "the Supervisor did not take this server's token (401)",
            "restart the app: each start gets a new token; Core's API also needs `homeassistant_api` in config.yaml",
        ),
        StatusCode::FORBIDDEN => Answer::fault(
            ApiFault::TokenRefused,
            "the Supervisor does not let this app make the call (403)",
            &format!("look at {app}; some calls work on the host's console only"),
        ),
        status => {
            let code = status.as_u16();
            bad_answer(&format!("status {code} without what was asked for"))
        }
    }
}

/// What an error says: its text, or the `message` of Core's JSON.
fn reason(bytes: &[u8], json: bool) -> Option<String> {
    let value = json
        .then(|| serde_json::from_slice::<Value>(bytes).ok())
        .flatten();
    let message = value.as_ref().and_then(|value| value.get("message"));
    let text = match message.and_then(Value::as_str) {
        Some(message) => message.as_bytes(),
        None => bytes.trim_ascii(),
    };
    (!text.is_empty()).then(|| escape(text, API_ERROR_BYTES))
}

pub(super) fn bad_answer(what: &str) -> Answer {
    let message = format!("the Supervisor's answer makes no sense: {what}");
    Answer::fault(
        ApiFault::BadAnswer,
        &message,
        "its log is under Settings > System > Logs",
    )
}

/// All bytes of a response, if they are at most `limit_bytes`.
pub(super) async fn whole(response: &mut Response, limit_bytes: usize) -> Result<Bytes, Answer> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= limit_bytes => {
                bytes.extend_from_slice(&chunk)
            }
            Ok(Some(_)) => return Err(bad_answer("it is too long")),
            Ok(None) => return Ok(bytes.into()),
            Err(error) => return Err(bad_answer(&format!("it broke off: {}", cause(&error)))),
        }
    }
}

/// The innermost reason, without the address: `Connection refused (os error 111)`.
pub(super) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let text = match error.source() {
        Some(_) => inner.to_string(),
        None => "the request could not be sent".to_owned(),
    };
    escape(text.as_bytes(), API_ERROR_BYTES)
}
