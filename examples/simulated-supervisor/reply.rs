//! Responses: the envelope, plain text, files, and logs that go on for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::{Sleep, sleep};

/// How often a followed log has a new line.
const LINE: Duration = Duration::from_millis(200);

/// How many lines there are of each log.
const HISTORY: usize = 300;

/// What a log shows if nobody says how much.
const USUAL: usize = 100;

/// What a file is made of.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A response's bytes.
pub(crate) enum Stream {
    Whole(Full<Bytes>),
    Log {
        first: Option<Bytes>,
        name: &'static str,
        next: usize,
        pause: Pin<Box<Sleep>>,
    },
    /// A file of zeros, counted as it leaves.
    Zeros {
        left: u64,
        sent: Arc<AtomicU64>,
    },
    /// The beginning of an answer, and then the connection's end.
    Cut(Option<Bytes>, Pin<Box<Sleep>>),
}

impl Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let bytes = match self.get_mut() {
            Self::Whole(body) => {
                let polled = Pin::new(body).poll_frame(context);
                return polled
                    .map(|frame| frame.map(|frame| frame.map_err(|never| match never {})));
            }
            Self::Log {
                first,
                name,
                next,
                pause,
            } => match first.take() {
                Some(bytes) => bytes,
                None => match pause.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => {
                        *pause = Box::pin(sleep(LINE));
                        let line = Bytes::from(line(name, *next));
                        *next += 1;
                        line
                    }
                },
            },
            Self::Zeros { left: 0, .. } => return Poll::Ready(None),
            Self::Zeros { left, sent } => {
                let now = usize::try_from(*left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
                let count = u64::try_from(now).unwrap_or(*left);
                *left -= count;
                sent.fetch_add(count, Ordering::Relaxed);
                Bytes::from_static(ZEROS.get(..now).unwrap_or_default())
            }
            Self::Cut(first, pause) => match first.take() {
                Some(bytes) => bytes,
                // The beginning has to leave before the connection does.
                None => match pause.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => {
                        return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                    }
                },
            },
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Zeros { left, .. } => *left == 0,
            Self::Log { .. } | Self::Cut(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Zeros { left, .. } => SizeHint::with_exact(*left),
            Self::Log { .. } | Self::Cut(..) => SizeHint::default(),
        }
    }
}

pub(crate) type Reply = Response<Stream>;

pub(crate) fn bytes(status: StatusCode, kind: &'static str, bytes: impl Into<Bytes>) -> Reply {
    let mut response = Response::new(Stream::Whole(Full::new(bytes.into())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Without an envelope, as aiohttp answers.
pub(crate) fn plain(status: StatusCode) -> Reply {
    let reason = status.canonical_reason().unwrap_or_default();
    text(status, &format!("{}: {reason}", status.as_u16()))
}

pub(crate) fn text(status: StatusCode, text: &str) -> Reply {
    bytes(status, "text/plain; charset=utf-8", text.to_owned())
}

/// JSON without an envelope, as Core answers.
pub(crate) fn bare(status: StatusCode, value: &Value) -> Reply {
    bytes(status, "application/json", value.to_string())
}

pub(crate) fn ok(data: &Value) -> Reply {
    let envelope = format!(r#"{{"result":"ok","data":{data}}}"#);
    bytes(StatusCode::OK, "application/json; charset=utf-8", envelope)
}

pub(crate) fn error(status: StatusCode, message: &str) -> Reply {
    let envelope = format!(r#"{{"result":"error","message":{}}}"#, json!(message));
    bytes(status, "application/json; charset=utf-8", envelope)
}

/// An answer of which only a part comes.
pub(crate) fn cut() -> Reply {
    let mut response = Response::new(Stream::Cut(
        Some(Bytes::from_static(b"{\"result\":\"ok\",")),
        Box::pin(sleep(LINE)),
    ));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("500"));
    response
}

/// A file of zeros, or the part of it that was asked for.
pub(crate) fn file(name: &str, size: u64, headers: &HeaderMap, sent: Arc<AtomicU64>) -> Reply {
    let range = headers.get("range").and_then(|range| range.to_str().ok());
    let (first, last) = match range.map(|range| wanted_bytes(range, size)) {
        None => (0, size.saturating_sub(1)),
        Some(Some(range)) => range,
        Some(None) => {
            let mut reply = plain(StatusCode::RANGE_NOT_SATISFIABLE);
            let length = HeaderValue::from_str(&format!("bytes */{size}")).ok();
            let headers = reply.headers_mut();
            headers.extend(length.map(|length| (CONTENT_RANGE, length)));
            return reply;
        }
    };
    let left = if size == 0 { 0 } else { last - first + 1 };
    let mut response = Response::new(Stream::Zeros { left, sent });
    let text = |text: String| HeaderValue::from_str(&text).ok();
    let head = response.headers_mut();
    head.insert(CONTENT_TYPE, HeaderValue::from_static("application/tar"));
    head.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    head.extend(text(format!("attachment; filename={name}.tar")).map(|v| (CONTENT_DISPOSITION, v)));
    if range.is_some() {
        head.extend(text(format!("bytes {first}-{last}/{size}")).map(|v| (CONTENT_RANGE, v)));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// `bytes=FIRST-[LAST]`
fn wanted_bytes(range: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first = first.parse().ok().filter(|first| *first < size)?;
    let last = match last {
        "" => size - 1,
        last => last.parse::<u64>().ok()?.min(size - 1),
    };
    (first <= last).then_some((first, last))
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
    let begin = match after_cursor(headers) {
        Some(begin) => begin,
        None => HISTORY - wanted_lines(headers, query).min(HISTORY),
    };
    // Whoever has a cursor has seen what it names: there is so much by now.
    let end = HISTORY.max(begin + 1);
    let lines: String = (begin..end).map(|n| line(name, n)).collect();
    let mut response = match follow {
        Follow::No => text(StatusCode::OK, &lines),
        Follow::Yes => {
            let mut response = text(StatusCode::OK, "");
            let pause = Box::pin(sleep(LINE));
            *response.body_mut() = Stream::Log {
                first: Some(lines.into()),
                name,
                next: end,
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

/// Where `Range: entries=CURSOR:SKIP:COUNT` begins, of a cursor of ours and with a SKIP that leads on.
fn after_cursor(headers: &HeaderMap) -> Option<usize> {
    let range = headers.get("range")?.to_str().ok()?;
    let mut parts = range.strip_prefix("entries=")?.split(':');
    let (cursor, skip) = (parts.next()?, parts.next()?);
    let index = cursor.split(';').find_map(|part| part.strip_prefix("i="))?;
    let index = usize::from_str_radix(index, 16).ok()?;
    // Beyond anything that was ever sent there is nothing.
    index
        .checked_add(skip.parse().ok()?)
        .filter(|begin| *begin < 1_000_000)
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
    let mut pairs = query.split('&');
    let of_query = pairs
        .find_map(|pair| pair.strip_prefix("lines="))
        .and_then(|lines| lines.parse().ok());
    of_range.or(of_query).unwrap_or(USUAL)
}

fn line(name: &str, n: usize) -> String {
    let (minute, second) = (n / 60 % 60, n % 60);
    format!("2026-08-24 09:{minute:02}:{second:02}.000 INFO (MainThread) [{name}] line {n}\n")
}
