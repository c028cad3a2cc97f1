use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use reqwest::{Body, Client, Method, Response, Url};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::BrokerError;
use super::answer::Answer;
use super::body::Outgoing;
use super::reply::{self, Options, cause, whole};
use super::token::ApiToken;
use super::{body, headers, own};
use crate::policy::endpoints::{
    self, Answer as Kind, AppOptions, Call, Deadline, Effect, Endpoint,
};
use crate::wire::limits::API_ANSWER_BYTES;
use crate::wire::{ApiFault, BrokerConfig};

/// How long the Supervisor may take to accept a connection: it is on the same machine.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an unused connection is kept; aiohttp's server closes them after 75 s.
const KEEP: Duration = Duration::from_secs(30);

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

    /// Makes a call that policy allowed.
    pub(super) async fn call(
        &self,
        call: &Call<'_>,
        asked: &HeaderMap,
        body: Outgoing,
        may_see: MaySee,
    ) -> Result<Answer, Answer> {
        let endpoint = call.endpoint();
        let stripped = match (endpoint.options, may_see) {
            (AppOptions::Absent, _) => false,
            (AppOptions::Stripped, MaySee::NoOptions) => true,
            (AppOptions::Stripped, MaySee::Options) => own::may_be_us(self, call.slug()).await,
        };
        let options = match stripped {
            true => Options::Stripped,
            false => Options::Kept,
        };
        let headers = headers::outgoing(endpoint, asked, &body);
        let response = self.send(endpoint, call.target(), headers, body).await?;
        reply::answer(endpoint, options, response).await
    }

    /// Which app this is, if the Supervisor says so; asked once, and again as long as it does not.
    pub(super) async fn own_slug(&self) -> Result<Option<&str>, Answer> {
        if self.own_slug.get().is_none() {
            let info = self.ask("/addons/self/info", no_such_app).await?;
            if let Some(slug) = info.pointer("/data/slug").and_then(Value::as_str) {
                // Another call may have been first, with the same answer.
                self.own_slug.set(slug.to_owned()).unwrap_or_default();
            }
        }
        Ok(self.own_slug.get().map(String::as_str))
    }

    /// A question of the broker's own: the envelope of the answer. Only an error that `told` takes for one is an answer, as
    /// that there is nothing of the kind. A Supervisor that is away, starting or broken, or has something else in its
    /// place, has not answered; what it says instead is passed on.
    pub(super) async fn ask(
        &self,
        path: &str,
        told: fn(StatusCode, &str) -> bool,
    ) -> Result<Value, Answer> {
        let headers = HeaderMap::new();
        let mut response = self
            .request(Method::GET, path, headers, None, Deadline::Short)
            .await
            .map_err(|error| self.unanswered(&error, Effect::Reads))?;
        let status = response.status();
        let bytes = whole(&mut response, API_ANSWER_BYTES, Effect::Reads).await?;
        let envelope: Option<Map<String, Value>> = serde_json::from_slice(&bytes).ok();
        let text = |name| envelope.as_ref()?.get(name)?.as_str();
        match (text("result"), text("message")) {
            (Some("ok"), _) if status.is_success() => {}
            (Some("error"), Some(message)) if told(status, message) => {}
            (Some("error"), Some(message)) => return Err(reply::said_no(status, message)),
            _ => return Err(reply::no_answer(status, Effect::Reads)),
        }
        Ok(envelope.map_or(Value::Null, Value::Object))
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        target: &str,
        headers: HeaderMap,
        body: Outgoing,
    ) -> Result<Response, Answer> {
        let method = match endpoint.method {
            endpoints::Method::Get => Method::GET,
            endpoints::Method::Post => Method::POST,
            endpoints::Method::Put => Method::PUT,
            endpoints::Method::Delete => Method::DELETE,
        };
        let body = match body {
            Outgoing::Upload(stream, _) => Some(Body::wrap(stream)),
            known => known.bytes().map(Body::from),
        };
        // An answer that is passed on is waited for until it begins; then it takes as long as its reader.
        let streams = match (endpoint.effect, endpoint.answer) {
            (Effect::Changes, _) | (Effect::Reads, Kind::Json) => false,
            (Effect::Reads, Kind::Text | Kind::File | Kind::Core) => true,
        };
        let sent = match endpoint.deadline.duration().filter(|_| streams) {
            Some(wait) => {
                let request = self.request(method, target, headers, body, Deadline::None);
                let answered = tokio::time::timeout(wait, request).await;
                answered.unwrap_or(Err(Unanswered::Late(wait)))
            }
            None => {
                self.request(method, target, headers, body, endpoint.deadline)
                    .await
            }
        };
        sent.map_err(|error| self.unanswered(&error, endpoint.effect))
    }

    async fn request(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Option<Body>,
        deadline: Deadline,
    ) -> Result<Response, Unanswered> {
        let token = self.token.as_ref().ok_or(Unanswered::NoSupervisor)?;
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
        request.send().await.map_err(Unanswered::Failed)
    }

    fn unanswered(&self, error: &Unanswered, effect: Effect) -> Answer {
        let (cause, effect) = match error {
            Unanswered::NoSupervisor => {
                return Answer::fault(
                    ApiFault::NoSupervisor,
                    "no Supervisor is configured",
                    "this server runs outside Home Assistant, or was started without SUPERVISOR_TOKEN",
                );
            }
            Unanswered::Late(wait) => (format!("no answer within {} s", wait.as_secs()), effect),
            // Without a connection nothing was sent.
            Unanswered::Failed(error) if error.is_connect() => (cause(error), Effect::Reads),
            Unanswered::Failed(error) => match body::upload_fault(error) {
                // The Supervisor was not told that this is all, and takes no part.
                Some(fault) => return Answer::unfit(&fault.to_string()),
                None => (cause(error), effect),
            },
        };
        Answer::lost(
            ApiFault::Unreachable,
            &format!("cannot reach the Supervisor at {}: {cause}", self.address),
            "it may be restarting: try again in a minute; its log is under Settings > System > Logs",
            effect,
        )
    }
}

/// Whether the Supervisor says that whoever asks is no app of its own, and not that it cannot say.
fn no_such_app(status: StatusCode, message: &str) -> bool {
    let gone = status == StatusCode::NOT_FOUND || status == StatusCode::BAD_REQUEST;
    // "App self does not exist", "Addon self does not exist"; "Self is not an App".
    gone && (message.ends_with(" does not exist") || message.starts_with("Self is not "))
}

/// Why there is no response.
enum Unanswered {
    /// Nobody to ask.
    NoSupervisor,
    /// It did not begin in time.
    Late(Duration),
    /// No connection, or not to its end.
    Failed(reqwest::Error),
}

/// The origin of an `http` URL that has nothing but an origin.
fn address(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    (url.scheme() == "http" && url.has_host() && bare && anonymous)
        .then(|| url.origin().ascii_serialization())
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
