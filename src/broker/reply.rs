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
use crate::model::{cut, escape};
use crate::policy::endpoints::{Answer as Kind, Effect, Endpoint};
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
    endpoint: &Endpoint,
    options: Options,
    response: Response,
) -> Result<Answer, Answer> {
    let good = response.status().is_success();
    match (endpoint.effect, endpoint.answer, is_json(&response)) {
        (Effect::Changes, kind, _) => settled(kind, response).await,
        (Effect::Reads, Kind::Json, true) if good && options == Options::Stripped => {
            stripped(response).await
        }
        (Effect::Reads, Kind::Json, true) => Ok(passed(response)),
        (Effect::Reads, Kind::Text, false) | (Effect::Reads, Kind::Core, _) if good => {
            Ok(passed(response))
        }
        (Effect::Reads, Kind::File, _) if good && is_file(&response) => Ok(passed(response)),
        // An error of a text route in the envelope of the others.
        (Effect::Reads, Kind::Text | Kind::File, true) if !good => Ok(passed(response)),
        (Effect::Reads, Kind::Json, false)
        | (Effect::Reads, Kind::Text | Kind::File | Kind::Core, _) => {
            let read = Read::whole(response, Effect::Reads).await?;
            Err(read.in_envelope(Effect::Reads))
        }
    }
}

fn is_json(response: &Response) -> bool {
    content_type(response.headers()) == Some("application/json")
}

/// Whether it is a backup or a picture, and not a page or an answer of whoever is in the Supervisor's place.
fn is_file(response: &Response) -> bool {
    let kind = content_type(response.headers()).unwrap_or_default();
    kind == "application/tar" || kind.starts_with("image/")
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    kind.split(';').next().map(str::trim)
}

/// What of a response's head a session gets to see.
fn shown(response: &Response) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in HEADERS {
        if let Some(value) = response.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    if let Some(length) = response.content_length() {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    headers
}

/// The response as it comes.
fn passed(response: Response) -> Answer {
    let (status, headers) = (response.status(), shown(&response));
    let source = Source::Passed(http::Response::<reqwest::Body>::from(response).into_body());
    Answer {
        status,
        headers,
        source,
        error: said(status),
    }
}

/// What the record keeps of a response that is an error.
fn said(status: StatusCode) -> Option<String> {
    (!status.is_success()).then(|| format!("the Supervisor said {}", status.as_u16()))
}

/// The response to a call that changes something. It is read whole before any of it is passed on: a part of it would not
/// say what became of the call.
async fn settled(kind: Kind, response: Response) -> Result<Answer, Answer> {
    let read = Read::whole(response, Effect::Changes).await?;
    let usable = match kind {
        Kind::Json => read.is_envelope(),
        Kind::Text | Kind::File | Kind::Core => read.status.is_success(),
    };
    match usable {
        true => Ok(read.into_answer()),
        false => Err(read.in_envelope(Effect::Changes)),
    }
}

/// A response that was read whole.
struct Read {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Read {
    async fn whole(mut response: Response, effect: Effect) -> Result<Self, Answer> {
        let (status, headers) = (response.status(), shown(&response));
        let bytes = whole(&mut response, API_ANSWER_BYTES, effect).await?;
        Ok(Self {
            status,
            headers,
            bytes,
        })
    }

    /// Whether it is the Supervisor's envelope, of a success or of an error.
    fn is_envelope(&self) -> bool {
        let json = content_type(&self.headers) == Some("application/json");
        let envelope: Option<Map<String, Value>> = serde_json::from_slice(&self.bytes).ok();
        let result = envelope
            .as_ref()
            .and_then(|envelope| envelope.get("result"));
        let known = result.is_some_and(|result| result == "ok" || result == "error");
        json && known
    }

    fn into_answer(self) -> Answer {
        Answer {
            status: self.status,
            headers: self.headers,
            source: Source::Whole(self.bytes.into()),
            error: said(self.status),
        }
    }

    /// An error without the Supervisor's envelope, in the envelope that every other error has.
    fn in_envelope(self, effect: Effect) -> Answer {
        let status = self.status;
        if !status.is_client_error() && !status.is_server_error()
            || [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status)
        {
            return no_answer(status, effect);
        }
        let code = status.as_u16();
        let kind = content_type(&self.headers);
        if kind == Some("text/html") {
            let what = format!("status {code}, and a web page instead of a reason");
            return bad_answer(&what, effect);
        }
        let message = match (kind, status.is_server_error()) {
            (Some("application/json"), _) => message(&self.bytes),
            (_, true) => None,
            (_, false) => text(&self.bytes),
        };
        match (message, status.is_server_error()) {
            (None, true) => {
                let text = text(&self.bytes).map(|text| format!(": {text}"));
                let text = text.unwrap_or_default();
                bad_answer(&format!("status {code} without a reason{text}"), effect)
            }
            (message, _) => {
                let message = message.unwrap_or_else(|| format!("status {code}"));
                let envelope = json!({ "result": "error", "message": message });
                let mut answer = Answer::json(status, &envelope);
                // How long it is, for who wants what is behind its end.
                if let (StatusCode::RANGE_NOT_SATISFIABLE, Some(range)) =
                    (status, self.headers.get(CONTENT_RANGE))
                {
                    answer.headers.insert(CONTENT_RANGE, range.clone());
                }
                answer.error = said(status);
                answer
            }
        }
    }
}

/// The response without options.
async fn stripped(mut response: Response) -> Result<Answer, Answer> {
    let status = response.status();
    let bytes = whole(&mut response, API_ANSWER_BYTES, Effect::Reads).await?;
    let mut envelope: Map<String, Value> = serde_json::from_slice(&bytes)
        .map_err(|_| bad_answer("it is no JSON object", Effect::Reads))?;
    let data = envelope.get_mut("data").and_then(Value::as_object_mut);
    if let Some(options) = data.and_then(|data| data.get_mut("options")) {
        // Not an empty table: that would be an app without options.
        *options = Value::Null;
    }
    Ok(Answer::json(status, &Value::Object(envelope)))
}

/// An error of the Supervisor's, in its words. One without a status of an error is none of its own.
pub(super) fn said_no(status: StatusCode, message: &str) -> Answer {
    let status = match status.is_client_error() || status.is_server_error() {
        true => status,
        false => StatusCode::BAD_GATEWAY,
    };
    let message = cut(message, API_ERROR_BYTES);
    Answer {
        error: said(status),
        ..Answer::json(status, &json!({ "result": "error", "message": message }))
    }
}

/// A response that has nothing of what was asked for, and no reason in the Supervisor's words.
pub(super) fn no_answer(status: StatusCode, effect: Effect) -> Answer {
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
            bad_answer(&format!("status {code} without what was asked for"), effect)
        }
    }
}

/// The `message` of Core's JSON.
fn message(bytes: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    text(value.get("message")?.as_str()?.as_bytes())
}

/// Text in one line: whoever shows it escapes it once more, and a line's end is nothing to show.
fn text(bytes: &[u8]) -> Option<String> {
    let lines: Vec<&[u8]> = bytes
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .collect();
    let text = lines.join(&b' ');
    (!text.is_empty()).then(|| escape(&text, API_ERROR_BYTES))
}

/// The answer is none. A call that changes something may have been carried out.
pub(super) fn bad_answer(what: &str, effect: Effect) -> Answer {
    let message = format!("the Supervisor's answer makes no sense: {what}");
    let hint = "its log is under Settings > System > Logs";
    Answer::lost(ApiFault::BadAnswer, &message, hint, effect)
}

/// All bytes of a response, if they are at most `limit_bytes`.
pub(super) async fn whole(
    response: &mut Response,
    limit_bytes: usize,
    effect: Effect,
) -> Result<Bytes, Answer> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= limit_bytes => {
                bytes.extend_from_slice(&chunk)
            }
            Ok(Some(_)) => return Err(bad_answer("it is too long", effect)),
            Ok(None) => return Ok(bytes.into()),
            Err(error) => {
                let what = format!("it broke off: {}", cause(&error));
                return Err(bad_answer(&what, effect));
            }
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
