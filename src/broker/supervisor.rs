use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use reqwest::{Client, Method, Response, Url};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use super::BrokerError;
use super::answer::Answer;
use super::slot::Source;
use super::token::ApiToken;
use crate::model::escape;
use crate::policy::endpoints::{self, AppOptions, Call, Deadline, Endpoint};
use crate::wire::limits::{API_ANSWER_BYTES, API_ERROR_BYTES};
use crate::wire::{ApiFault, BrokerConfig};

/// How long the Supervisor may take to accept a connection: it is on the same machine.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an unused connection is kept; aiohttp's server closes them after 75 s.
const KEEP: Duration = Duration::from_secs(30);

/// The longest `Range` header passed on; `entries=` with a journal cursor is below 200 bytes.
const RANGE_BYTES: usize = 512;

/// The cursor of a log's first line.
const FIRST_CURSOR: HeaderName = HeaderName::from_static("x-first-cursor");

/// The way to the Supervisor.
pub(super) struct Supervisor {
    /// `http://HOST:PORT`, without a path.
    address: String,
    client: Client,
    token: Option<ApiToken>,
    own_slug: OnceCell<String>,
}

/// Who asks for an answer that may hold options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MaySee {
    /// Its role may set them.
    Options,
    /// It may not.
    NoOptions,
}

impl Supervisor {
    pub(super) fn new(config: BrokerConfig) -> Result<Self, BrokerError> {
        let token = config.token.map(ApiToken::new).transpose()?;
        let address = address(&config.supervisor).ok_or(BrokerError::Address(config.supervisor))?;
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT)
            .pool_idle_timeout(KEEP)
            .pool_max_idle_per_host(4)
            .http1_only()
            .user_agent(concat!("hassio-sshd/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(BrokerError::Client)?;
        Ok(Self {
            address,
            client,
            token,
            own_slug: OnceCell::new(),
        })
    }

    /// Makes a call that policy allowed. `body` is JSON.
    pub(super) async fn call(
        &self,
        call: &Call<'_>,
        asked: &HeaderMap,
        body: Option<Vec<u8>>,
        may_see: MaySee,
    ) -> Result<Answer, Answer> {
        let endpoint = call.endpoint();
        let strip = match endpoint.options {
            AppOptions::Absent => false,
            AppOptions::Stripped => {
                may_see == MaySee::NoOptions || self.may_be_us(call.slug()).await
            }
        };
        let headers = request_headers(endpoint, asked, body.is_some());
        let response = self.send(endpoint, call.target(), headers, body).await?;
        let status = response.status();
        match (endpoint.answer, is_json(&response)) {
            (endpoints::Answer::Json, true) if strip && status.is_success() => {
                stripped(response).await
            }
            (endpoints::Answer::Json, true) => Ok(passed(response)),
            (endpoints::Answer::Text, false) if status.is_success() => Ok(passed(response)),
            // An error of a text route in the envelope of the others.
            (endpoints::Answer::Text, true) if !status.is_success() => Ok(passed(response)),
            (endpoints::Answer::Json, false) | (endpoints::Answer::Text, _) => {
                Err(in_envelope(response).await)
            }
        }
    }

    /// Whether the app is our own, or could be because we do not know our name.
    async fn may_be_us(&self, slug: Option<&str>) -> bool {
        let own = self.own_slug.get_or_try_init(|| self.ask_own_slug()).await;
        match (own, slug) {
            (Ok(own), Some(slug)) => slug == "self" || slug.eq_ignore_ascii_case(own),
            (Err(_), _) | (_, None) => true,
        }
    }

    async fn ask_own_slug(&self) -> Result<String, Answer> {
        const OWN_INFO: &str = "/addons/self/info";
        let mut response = self
            .request(
                Method::GET,
                OWN_INFO,
                HeaderMap::new(),
                None,
                Deadline::Short,
            )
            .await?;
        let bytes = whole(&mut response, API_ANSWER_BYTES).await?;
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let slug = answer.pointer("/data/slug").and_then(Value::as_str);
        slug.map(str::to_owned)
            .ok_or_else(|| bad_answer("it does not say which app we are"))
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        target: &str,
        headers: HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Result<Response, Answer> {
        let method = match endpoint.method {
            endpoints::Method::Get => Method::GET,
            endpoints::Method::Post => Method::POST,
        };
        // A text answer is waited for until it begins; then it takes as long as its reader.
        match (endpoint.answer, endpoint.deadline.duration()) {
            (endpoints::Answer::Text, Some(wait)) => {
                let request = self.request(method, target, headers, body, Deadline::None);
                let late = |_| self.unreachable(&format!("no answer within {} s", wait.as_secs()));
                tokio::time::timeout(wait, request).await.map_err(late)?
            }
            (endpoints::Answer::Text, None) | (endpoints::Answer::Json, _) => {
                self.request(method, target, headers, body, endpoint.deadline)
                    .await
            }
        }
    }

    async fn request(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Option<Vec<u8>>,
        deadline: Deadline,
    ) -> Result<Response, Answer> {
        let Some(token) = &self.token else {
            return Err(Answer::fault(
                ApiFault::NoSupervisor,
                "no Supervisor is configured",
                "this server runs outside Home Assistant, or was started without SUPERVISOR_TOKEN",
            ));
        };
        let mut request = self
            .client
            .request(method, format!("{}{target}", self.address))
            .headers(headers)
            .header(AUTHORIZATION, token.authorization());
        if let Some(body) = body {
            request = request.body(body);
        }
        if let Some(wait) = deadline.duration() {
            request = request.timeout(wait);
        }
        request
            .send()
            .await
            .map_err(|error| self.unreachable(&cause(&error)))
    }

    fn unreachable(&self, cause: &str) -> Answer {
        Answer::fault(
            ApiFault::Unreachable,
            &format!("cannot reach the Supervisor at {}: {cause}", self.address),
            "it may be restarting: try again in a minute; its log is under Settings > System > Logs",
        )
    }
}

/// The origin of an `http` URL that has nothing but an origin.
fn address(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    (url.scheme() == "http" && url.has_host() && bare && anonymous)
        .then(|| url.origin().ascii_serialization())
}

/// The headers that go out, beside the token: what a client sends chooses among them.
fn request_headers(endpoint: &Endpoint, asked: &HeaderMap, has_body: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let accept = match endpoint.answer {
        endpoints::Answer::Json => "application/json",
        endpoints::Answer::Text if asked.get(ACCEPT).is_some_and(|a| a == "text/x-log") => {
            "text/x-log"
        }
        endpoints::Answer::Text => "text/plain",
    };
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let (endpoints::Answer::Text, Some(range)) = (endpoint.answer, asked.get(RANGE))
        && range.len() <= RANGE_BYTES
        && range.to_str().is_ok()
    {
        headers.insert(RANGE, range.clone());
    }
    headers
}

fn is_json(response: &Response) -> bool {
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.and_then(|kind| kind.split(';').next()).map(str::trim) == Some("application/json")
}

/// The response as it comes.
fn passed(response: Response) -> Answer {
    let mut headers = HeaderMap::new();
    for name in [CONTENT_TYPE, FIRST_CURSOR] {
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
        *options = json!({});
    }
    Ok(Answer::json(status, &Value::Object(envelope)))
}

/// A plain text error in the envelope that every other error has.
async fn in_envelope(mut response: Response) -> Answer {
    let status = response.status();
    let app = "the app's log and its settings `hassio_api` and `hassio_role` in config.yaml";
    match status {
        StatusCode::UNAUTHORIZED => Answer::fault(
            ApiFault::TokenRefused,
            "the Supervisor did not take this server's token (401)",
            "restart the app: each start gets a new token",
        ),
        StatusCode::FORBIDDEN => Answer::fault(
            ApiFault::TokenRefused,
            "the Supervisor does not let this app make the call (403)",
            &format!("look at {app}; some calls work on the host's console only"),
        ),
        status if status.is_success() || status.is_redirection() || status.is_informational() => {
            bad_answer(&format!(
                "status {} without what was asked for",
                status.as_u16()
            ))
        }
        status => {
            let bytes = whole(&mut response, API_ANSWER_BYTES)
                .await
                .unwrap_or_default();
            let text = escape(bytes.trim_ascii(), API_ERROR_BYTES);
            let message = if text.is_empty() {
                format!("status {}", status.as_u16())
            } else {
                text
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

fn bad_answer(what: &str) -> Answer {
    let message = format!("the Supervisor's answer makes no sense: {what}");
    Answer::fault(
        ApiFault::BadAnswer,
        &message,
        "its log is under Settings > System > Logs",
    )
}

/// All bytes of a response, if they are at most `limit_bytes`.
async fn whole(response: &mut Response, limit_bytes: usize) -> Result<Bytes, Answer> {
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
fn cause(error: &reqwest::Error) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_origin_and_nothing_more() {
        assert_eq!(
            address("http://supervisor").as_deref(),
            Some("http://supervisor")
        );
        assert_eq!(
            address("http://127.0.0.1:8080/").as_deref(),
            Some("http://127.0.0.1:8080")
        );
        for bad in [
            "",
            "supervisor",
            "https://x",
            "http://x/y",
            "http://u:p@x",
            "http://x?y",
            "file:///x",
        ] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
