use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::json;
use super::slot::Slot;
use crate::model::escape;
use crate::policy::endpoints::{Body, Endpoint};
use crate::wire::limits::{API_BODY_BYTES, API_SMALL_BODY_BYTES, REPLY};

/// How long a client that uploads may send nothing: a phone that changes networks takes less.
const STALL: Duration = Duration::from_secs(300);

/// The longest boundary of a multipart body; RFC 2046 §5.1.1.
const BOUNDARY_BYTES: usize = 70;

/// What goes out beside the head.
pub(super) enum Outgoing {
    /// Nothing.
    Nothing,
    /// A JSON object.
    Json(Object),
    /// Bytes as they came.
    Bytes(Bytes),
    /// A stream.
    Upload(Upload, HeaderValue),
}

/// A JSON object, written anew. A tree of it takes far more memory than its text, so only what is looked at later is kept as
/// one while the Supervisor is waited for.
pub(super) struct Object {
    bytes: Bytes,
    members: Value,
}

impl Object {
    fn new(value: &Value, endpoint: &Endpoint) -> Self {
        let looked_at = endpoint.apps_in.iter().chain(&endpoint.folders_in);
        let kept = looked_at.filter_map(|name| Some((name.clone(), value.get(name)?.clone())));
        Self {
            bytes: value.to_string().into(),
            members: Value::Object(kept.collect()),
        }
    }
}

/// Whether a session may have but one such body at a time: it is long, or does not say how long it is.
pub(super) fn is_large(body: &Incoming, kind: Body) -> bool {
    match kind {
        Body::Upload => false,
        Body::None | Body::Json | Body::Bytes => {
            let most = http_body::Body::size_hint(body).upper();
            let most = most.and_then(|most| usize::try_from(most).ok());
            most.is_none_or(|most| most > API_SMALL_BODY_BYTES)
        }
    }
}

impl Outgoing {
    /// Of the JSON object, if it is one, what policy looks at.
    pub(super) fn members(&self) -> Option<&Value> {
        match self {
            Self::Json(object) => Some(&object.members),
            Self::Nothing | Self::Bytes(_) | Self::Upload(..) => None,
        }
    }

    /// The bytes that go out, if they are known.
    pub(super) fn bytes(&self) -> Option<Bytes> {
        match self {
            Self::Json(object) => Some(object.bytes.clone()),
            Self::Bytes(bytes) => Some(bytes.clone()),
            Self::Nothing | Self::Upload(..) => None,
        }
    }
}

/// The body as it goes out, or what is wrong with it.
pub(super) async fn read(
    body: Incoming,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    slot: Arc<Slot>,
) -> Result<Outgoing, String> {
    let kind = endpoint.body;
    if kind == Body::Upload {
        let kind = headers.get(CONTENT_TYPE).and_then(multipart);
        let kind = kind.ok_or("the body has to be multipart/form-data with a plain boundary")?;
        return Ok(Outgoing::Upload(Upload::new(body, slot), kind));
    }
    let too_long = || format!("the body is longer than {API_BODY_BYTES} bytes");
    // What says so itself is not waited for.
    let least = usize::try_from(http_body::Body::size_hint(&body).lower());
    if least.is_ok_and(|least| least > API_BODY_BYTES) {
        return Err(too_long());
    }
    let collected = timeout(REPLY, Limited::new(body, API_BODY_BYTES).collect()).await;
    let bytes = match collected {
        Ok(Ok(collected)) => {
            slot.has_read();
            collected.to_bytes()
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(too_long());
        }
        Ok(Err(_)) => return Err("the body broke off".to_owned()),
        Err(_) => {
            return Err(format!(
                "the body did not come within {} s",
                REPLY.as_secs()
            ));
        }
    };
    match kind {
        Body::Bytes => Ok(Outgoing::Bytes(bytes)),
        Body::None | Body::Json | Body::Upload if bytes.trim_ascii().is_empty() => {
            Ok(Outgoing::Nothing)
        }
        Body::None | Body::Upload => Err("this call takes no body".to_owned()),
        Body::Json => match json::object(&bytes) {
            Ok(value) => Ok(Outgoing::Json(Object::new(&value, endpoint))),
            Err(error) => {
                let text = format!("the body is not usable: {error}");
                Err(escape(text.as_bytes(), 200))
            }
        },
    }
}

/// `multipart/form-data; boundary=...`, written anew, if that is what it is.
fn multipart(given: &HeaderValue) -> Option<HeaderValue> {
    let (kind, boundary) = given.to_str().ok()?.split_once(';')?;
    let boundary = boundary.trim().strip_prefix("boundary=")?;
    let boundary = boundary
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(boundary);
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&b);
    let good = kind.trim().eq_ignore_ascii_case("multipart/form-data")
        && (1..=BOUNDARY_BYTES).contains(&boundary.len())
        && boundary.bytes().all(fits);
    let text = format!("multipart/form-data; boundary=\"{boundary}\"");
    good.then(|| HeaderValue::from_str(&text).ok()).flatten()
}

/// Why an upload has no more bytes, and is not over.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadFault {
    /// Its client sends nothing.
    #[error("the upload stood still for {} s", .0.as_secs())]
    Stall(Duration),
    /// Its client is gone, or sends what is no body.
    #[error("the upload broke off")]
    BrokenOff(#[source] hyper::Error),
}

/// What ended a request, if it was its upload.
pub(super) fn upload_fault(error: &reqwest::Error) -> Option<&UploadFault> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref() {
            return Some(fault);
        }
        cause = error.source();
    }
    None
}

/// A stream from a session to the Supervisor. It is read as fast as that takes it, and counted and digested on its way.
pub(super) struct Upload {
    body: Incoming,
    digest: Sha256,
    stall: Pin<Box<Sleep>>,
    /// Whether its client is what is waited for: a Supervisor that does not ask for more is not the client's fault.
    waits: bool,
    slot: Arc<Slot>,
}

impl Upload {
    fn new(body: Incoming, slot: Arc<Slot>) -> Self {
        Self {
            body,
            digest: Sha256::new(),
            stall: Box::pin(sleep(STALL)),
            waits: false,
            slot,
        }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = UploadFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadFault>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.waits = false;
                // Trailers of a session go nowhere.
                let bytes = frame.into_data().unwrap_or_default();
                this.digest.update(&bytes);
                this.slot.uploaded(bytes.len());
                if this.body.is_end_stream() {
                    this.slot
                        .uploaded_whole(this.digest.finalize_reset().as_slice());
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(UploadFault::BrokenOff(error)))),
            Poll::Ready(None) => {
                this.slot
                    .uploaded_whole(this.digest.finalize_reset().as_slice());
                Poll::Ready(None)
            }
            Poll::Pending => {
                if !std::mem::replace(&mut this.waits, true) {
                    this.stall.as_mut().reset(Instant::now() + STALL);
                }
                match this.stall.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(UploadFault::Stall(STALL)))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::advance;

    use super::*;

    /// An upload as hyper hands it over, and the client's end of its connection.
    async fn upload() -> (Upload, DuplexStream) {
        let (mut client, server) = duplex(4096);
        let (found, mut taken) = tokio::sync::mpsc::channel(1);
        let service = service_fn(move |request: http::Request<Incoming>| {
            let found = found.clone();
            async move {
                found.send(request.into_body()).await.unwrap();
                std::future::pending::<Result<http::Response<String>, hyper::Error>>().await
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(server), service));
        let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n";
        client.write_all(head).await.unwrap();
        let body = taken.recv().await.unwrap();
        (Upload::new(body, Arc::new(Slot::default())), client)
    }

    // On a clock that runs on whenever nothing else can be done.
    #[tokio::test(start_paused = true)]
    async fn an_upload_that_stands_still_is_ended_at_the_limit() {
        let (mut upload, mut client) = upload().await;
        client.write_all(b"ab").await.unwrap();
        assert!(upload.frame().await.unwrap().is_ok());
        let since = Instant::now();
        let ended = upload.frame().await.unwrap();
        assert!(matches!(ended, Err(UploadFault::Stall(STALL))), "{ended:?}");
        let after = since.elapsed();
        assert!(after.abs_diff(STALL) < Duration::from_secs(1), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn each_byte_of_an_upload_and_a_supervisor_that_pauses_begin_the_limit_anew() {
        let (mut upload, mut client) = upload().await;
        let nearly = STALL - Duration::from_secs(1);
        for byte in b"abcd" {
            let (read, ()) = tokio::join!(upload.frame(), async {
                tokio::time::sleep(nearly).await;
                client.write_all(&[*byte]).await.unwrap();
            });
            assert!(read.unwrap().is_ok());
        }
        // Nobody asks for more meanwhile.
        advance(STALL * 3).await;
        let (read, ()) = tokio::join!(upload.frame(), async {
            tokio::time::sleep(nearly).await;
            client.write_all(b"efgh").await.unwrap();
        });
        assert!(read.unwrap().is_ok());
        assert!(upload.slot.read_whole());
    }

    #[test]
    fn a_multipart_header_is_that_and_nothing_more() {
        let read = |text| multipart(&HeaderValue::from_static(text));
        let good = HeaderValue::from_static("multipart/form-data; boundary=\"aB-1_\"");
        for text in [
            "multipart/form-data; boundary=aB-1_",
            "Multipart/Form-Data;boundary=\"aB-1_\"",
        ] {
            assert_eq!(read(text).as_ref(), Some(&good), "{text}");
        }
        for bad in [
            "multipart/form-data",
            "multipart/mixed; boundary=a",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=a; charset=x",
            "multipart/form-data; boundary=\"a",
            "multipart/form-data; boundary=a\"b",
            "application/json",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        assert_eq!(multipart(&HeaderValue::from_str(&long).unwrap()), None);
    }
}
