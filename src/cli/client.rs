use std::cell::RefCell;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::blocking;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_RANGE, RANGE};
use serde_json::Value;

use super::CliError;
use super::error::Effect;
use super::output;
use super::settings::Level;
use super::tree::{Limit, Method};
use crate::model::escape;
use crate::wire::limits::{API_ANSWER_BYTES, API_ERROR_BYTES};

mod upload;

pub(super) use upload::Upload;

/// How long a connection may take: whoever it is to is on the same machine or network.
const CONNECT: Duration = Duration::from_secs(5);

/// The broker has time limits of its own, and says more when one is over: it gets this much more time.
const BROKERS_TIME: Duration = Duration::from_secs(15);

const USER_AGENT: &str = concat!("hassio/", env!("CARGO_PKG_VERSION"));

/// Where requests go.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// The session's socket to the broker, which has its own idea of who we are.
    Socket(PathBuf),
    /// The Supervisor, without a broker: `http://HOST[:PORT]`.
    Address(String),
}

/// The way to the Supervisor. Nothing is opened before the first request.
pub(super) struct Client {
    place: Place,
    token: Option<String>,
    level: Level,
    /// One for each limit: reqwest's blocking client waits so long for the answer's beginning and for each piece of it, while a
    /// limit on the request itself would count up to the answer's end, however steadily it comes.
    http: RefCell<Vec<(Option<Duration>, blocking::Client)>>,
}

/// One request.
pub(super) struct Request {
    pub(super) method: Method,
    /// Path and query, encoded.
    pub(super) path: String,
    pub(super) accept: &'static str,
    pub(super) range: Option<String>,
    /// What has to be unchanged for the range to be sent, and not all.
    pub(super) if_range: Option<String>,
    pub(super) body: Body,
    /// How long its answer, or the next piece of it, is waited for.
    pub(super) limit: Option<Duration>,
}

/// What a request carries.
pub(super) enum Body {
    None,
    /// A JSON object.
    Json(Value),
    /// Anything.
    Bytes(Vec<u8>),
}

impl Request {
    pub(super) fn new(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            accept: "application/json",
            range: None,
            if_range: None,
            body: Body::None,
            limit: Limit::Short.duration(),
        }
    }

    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path.into())
    }

    pub(super) fn within(mut self, limit: Limit) -> Self {
        self.limit = limit.duration();
        self
    }

    pub(super) fn at_most(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    pub(super) fn with(mut self, body: &Value) -> Self {
        self.body = Body::Json(body.clone());
        self
    }

    fn effect(&self) -> Effect {
        match self.method {
            Method::Get => Effect::Looks,
            Method::Post | Method::Put | Method::Delete => Effect::Changes,
        }
    }
}

/// The bytes of an answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Its media type, without parameters.
    pub(super) kind: String,
    pub(super) retry_after: Option<String>,
    pub(super) bytes: Vec<u8>,
    pub(super) effect: Effect,
}

/// An answer whose body is still to be read.
pub(super) struct Streamed {
    pub(super) response: blocking::Response,
    limit: Option<Duration>,
    effect: Effect,
}

impl Client {
    pub(super) fn new(place: Place, token: Option<String>, level: Level) -> Self {
        Self {
            place,
            token,
            level,
            http: RefCell::default(),
        }
    }

    /// One of the same kind, for another thread.
    pub(super) fn another(&self) -> Self {
        Self::new(self.place.clone(), self.token.clone(), self.level)
    }

    /// Whether our own server is before the Supervisor, and can be asked what it lets through.
    pub(super) fn has_broker(&self) -> bool {
        matches!(self.place, Place::Socket(_))
    }

    /// Makes a call and reads its answer whole.
    pub(super) fn ask(&self, request: Request) -> Result<Answer, CliError> {
        self.stream(request)?.whole()
    }

    /// Makes a call, and leaves its answer to be read.
    pub(super) fn stream(&self, request: Request) -> Result<Streamed, CliError> {
        let began = Instant::now();
        let effect = request.effect();
        let limit = match self.place {
            Place::Socket(_) => request.limit.map(|limit| limit + BROKERS_TIME),
            Place::Address(_) => request.limit,
        };
        self.debug(|| {
            format!(
                "{} {}{}",
                request.method.as_str(),
                request.path,
                described(&request.body)
            )
        });
        let http = self.http(limit)?;
        let origin = match &self.place {
            Place::Socket(_) => "http://hassio",
            Place::Address(address) => address.as_str(),
        };
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut sent = http
            .request(method, format!("{origin}{}", request.path))
            .header(ACCEPT, request.accept);
        if let Some(value) = self.authorization()? {
            sent = sent.header(AUTHORIZATION, value);
        }
        if let Some(range) = &request.range {
            sent = sent.header(RANGE, range);
        }
        if let Some(same) = &request.if_range {
            sent = sent.header(IF_RANGE, same);
        }
        sent = match request.body {
            Body::None => sent,
            Body::Json(body) => sent
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string()),
            Body::Bytes(bytes) => sent
                .header(CONTENT_TYPE, "application/octet-stream")
                .body(bytes),
        };
        let response = sent
            .send()
            .map_err(|error| self.failed(&error, limit, effect))?;
        self.debug(|| {
            format!(
                "status {} after {} ms",
                response.status().as_u16(),
                began.elapsed().as_millis()
            )
        });
        Ok(Streamed {
            response,
            limit,
            effect,
        })
    }

    /// The token goes to an address only.
    fn authorization(&self) -> Result<Option<HeaderValue>, CliError> {
        let (Place::Address(_), Some(token)) = (&self.place, &self.token) else {
            return Ok(None);
        };
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
            CliError::usage(
                "the token has a character that no token has",
                "see --api-token",
            )
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn http(&self, limit: Option<Duration>) -> Result<blocking::Client, CliError> {
        let mut made = self.http.borrow_mut();
        if let Some((_, http)) = made.iter().find(|(of, _)| *of == limit) {
            return Ok(http.clone());
        }
        let builder = blocking::Client::builder()
            .no_proxy()
            .timeout(limit)
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            .user_agent(USER_AGENT);
        let builder = match &self.place {
            Place::Socket(path) => builder.unix_socket(path.clone()),
            Place::Address(_) => builder,
        };
        let http = builder
            .build()
            .map_err(|error| self.unreachable(cause(&error)))?;
        made.push((limit, http.clone()));
        Ok(http)
    }

    fn failed(&self, error: &reqwest::Error, limit: Option<Duration>, effect: Effect) -> CliError {
        if error.is_connect() {
            return self.unreachable(cause(error));
        }
        lost(error.is_timeout(), cause(error), limit, effect)
    }

    fn unreachable(&self, cause: String) -> CliError {
        let (place, hint) = match &self.place {
            Place::Socket(path) => (
                path.display().to_string(),
                "this command works inside a session of hassio-sshd; HASSIO_SOCKET names its socket, and --endpoint \
                 and --api-token reach a Supervisor from elsewhere",
            ),
            Place::Address(address) => (
                address.clone(),
                "--endpoint says where the Supervisor is; it may also be restarting: try again in a minute",
            ),
        };
        CliError::Connect { place, cause, hint }
    }

    /// Says something to who looks for an error; never a token, nor what a body holds.
    fn debug(&self, text: impl FnOnce() -> String) {
        if self.level >= Level::Debug {
            output::say("debug", &text());
        }
    }
}

/// What a body is, without what is in it: passwords are.
fn described(body: &Body) -> String {
    match body {
        Body::None => String::new(),
        Body::Json(Value::Object(members)) => {
            let names: Vec<_> = members.keys().map(String::as_str).collect();
            format!(" with {}", names.join(", "))
        }
        Body::Json(_) => " with JSON".to_owned(),
        Body::Bytes(bytes) => format!(" with {} bytes", bytes.len()),
    }
}

impl Streamed {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    }

    /// Its media type, without parameters.
    pub(super) fn kind(&self) -> String {
        media_type(self.header("content-type").unwrap_or_default())
    }

    /// Reads all of it.
    pub(super) fn whole(mut self) -> Result<Answer, CliError> {
        let (status, effect, limit) = (self.status(), self.effect, self.limit);
        let kind = self.kind();
        let retry_after = self.header("retry-after").map(str::to_owned);
        let mut bytes = Vec::new();
        let most = u64::try_from(API_ANSWER_BYTES).unwrap_or(u64::MAX);
        let read = (&mut self.response).take(most + 1).read_to_end(&mut bytes);
        if let Err(error) = read {
            return Err(broken(&error, limit, effect));
        }
        if bytes.len() > API_ANSWER_BYTES {
            return Err(CliError::Unexpected {
                status,
                what: "it is longer than any answer of the Supervisor".to_owned(),
                effect,
            });
        }
        Ok(Answer {
            status,
            kind,
            retry_after,
            bytes,
            effect,
        })
    }

    /// The next bytes; none at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, CliError> {
        loop {
            match self.response.read(buffer) {
                Ok(length) => return Ok(length),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error, self.limit, self.effect)),
            }
        }
    }
}

/// A `Content-Type` without parameters.
fn media_type(kind: &str) -> String {
    let kind = kind.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

fn broken(error: &std::io::Error, limit: Option<Duration>, effect: Effect) -> CliError {
    let late = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<reqwest::Error>())
        .is_some_and(reqwest::Error::is_timeout);
    lost(late, cause(error), limit, effect)
}

fn lost(late: bool, cause: String, limit: Option<Duration>, effect: Effect) -> CliError {
    match (late, limit) {
        (true, Some(limit)) => CliError::Late {
            seconds: limit.as_secs(),
            effect,
        },
        _ => CliError::BrokeOff { cause, effect },
    }
}

/// The innermost reason: `No such file or directory (os error 2)`.
fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    escape(inner.to_string().as_bytes(), API_ERROR_BYTES)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that sends an answer's head, then ten pieces with such a pause before each.
    fn trickle(pause: Duration) -> (Client, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).unwrap() > 0);
            let answer =
                "HTTP/1.1 200 OK\r\nContent-Type: application/tar\r\nContent-Length: 10\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
            for _ in 0..10 {
                thread::sleep(pause);
                // Whoever waits no longer has gone.
                if stream.write_all(b"x").is_err() {
                    return;
                }
            }
        });
        let client = Client::new(Place::Address(address), None, Level::Error);
        (client, server)
    }

    #[test]
    fn a_limit_is_that_of_each_piece_and_not_of_the_whole() {
        let limit = Duration::from_millis(800);
        let (client, server) = trickle(limit / 4);
        let answer = client.ask(Request::get("/x").at_most(limit)).unwrap();
        assert_eq!(answer.bytes, b"xxxxxxxxxx");
        server.join().unwrap();
    }

    #[test]
    fn an_answer_that_stands_still_is_late() {
        let (client, server) = trickle(Duration::from_millis(600));
        let limit = Duration::from_millis(150);
        let late = client.ask(Request::get("/x").at_most(limit)).err().unwrap();
        assert!(matches!(late, CliError::Late { .. }), "{late:?}");
        server.join().unwrap();
    }
}
