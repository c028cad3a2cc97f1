//! Responses: the envelope, plain text, and logs that go on for ever.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::{Sleep, sleep};

/// How often a followed log has a new line.
const LINE: Duration = Duration::from_millis(200);

/// How many lines there are of each log.
const HISTORY: usize = 300;

/// What a log shows if nobody says how much.
const USUAL: usize = 100;

/// A response's bytes.
pub(crate) enum Stream {
    Whole(Full<Bytes>),
    Log {
        first: Option<Bytes>,
        name: &'static str,
        next: usize,
        pause: Pin<Box<Sleep>>,
    },
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context),
            Self::Log {
                first,
                name,
                next,
                pause,
            } => {
                let bytes = match first.take() {
                    Some(bytes) => bytes,
                    None => match pause.as_mut().poll(context) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(()) => {
                            *pause = Box::pin(sleep(LINE));
                            *next += 1;
                            Bytes::from(line(name, *next))
                        }
                    },
                };
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Log { .. } => false,
        }
    }
}

pub(crate) type Reply = Response<Stream>;

fn reply(status: StatusCode, kind: &'static str, text: String) -> Reply {
    let mut response = Response::new(Stream::Whole(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Without an envelope, as aiohttp answers.
pub(crate) fn plain(status: StatusCode) -> Reply {
    let reason = status.canonical_reason().unwrap_or_default();
    reply(
        status,
        "text/plain; charset=utf-8",
        format!("{}: {reason}", status.as_u16()),
    )
}

pub(crate) fn text(status: StatusCode, text: &str) -> Reply {
    reply(status, "text/plain; charset=utf-8", text.to_owned())
}

pub(crate) fn ok(data: &Value) -> Reply {
    let envelope = format!(r#"{{"result":"ok","data":{data}}}"#);
    reply(StatusCode::OK, "application/json; charset=utf-8", envelope)
}

pub(crate) fn error(status: StatusCode, message: &str) -> Reply {
    let envelope = format!(r#"{{"result":"error","message":{}}}"#, json!(message));
    reply(status, "application/json; charset=utf-8", envelope)
}

/// Whether a log ends where it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    Yes,
    No,
}

pub(crate) fn log(name: &'static str, follow: Follow, headers: &HeaderMap, query: &str) -> Reply {
    let accept = headers
        .get("accept")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("*/*");
    if !["text/plain", "text/x-log", "*/*"].contains(&accept) {
        let message =
            "Invalid content type requested. Only text/plain and text/x-log supported for now.";
        return text(StatusCode::BAD_REQUEST, message);
    }
    let count = wanted_lines(headers, query).min(HISTORY);
    let begin = HISTORY - count;
    let lines: String = (begin..HISTORY).map(|n| line(name, n)).collect();
    let mut response = match follow {
        Follow::No => text(StatusCode::OK, &lines),
        Follow::Yes => {
            let mut response = text(StatusCode::OK, "");
            let pause = Box::pin(sleep(LINE));
            *response.body_mut() = Stream::Log {
                first: Some(lines.into()),
                name,
                next: HISTORY,
                pause,
            };
            response
        }
    };
    let cursor = format!(
        "s=83fee99ca0c3466db5fc120d52ca7dd8;i={begin:x};b=f5a5c442fa6548cf97474d2d57c920b3"
    );
    if let Ok(cursor) = HeaderValue::from_str(&cursor) {
        response.headers_mut().insert("x-first-cursor", cursor);
    }
    response
}

/// `Range: entries=CURSOR:SKIP:COUNT`, or `?lines=N`.
fn wanted_lines(headers: &HeaderMap, query: &str) -> usize {
    let range = headers.get("range").and_then(|value| value.to_str().ok());
    let skip = range.and_then(|range| {
        range
            .strip_prefix("entries=")?
            .split(':')
            .nth(1)?
            .strip_prefix('-')
    });
    let of_range = skip
        .and_then(|skip| skip.parse().ok())
        .map(|skip: usize| skip.saturating_add(1));
    let of_query = query
        .strip_prefix("lines=")
        .and_then(|lines| lines.parse().ok());
    of_range.or(of_query).unwrap_or(USUAL)
}

fn line(name: &str, n: usize) -> String {
    let (minute, second) = (n / 60 % 60, n % 60);
    format!("2026-08-24 09:{minute:02}:{second:02}.000 INFO (MainThread) [{name}] line {n}\n")
}
