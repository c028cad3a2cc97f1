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
use crate::policy::endpoints::Body;
use crate::wire::limits::{API_BODY_BYTES, REPLY};

/// How long a client that uploads may send nothing: a phone that changes networks takes less.
const STALL: Duration = Duration::from_secs(300);

/// The longest boundary of a multipart body; RFC 2046 §5.1.1.
const BOUNDARY_BYTES: usize = 70;

/// What goes out beside the head.
pub(super) enum Outgoing {
    /// Nothing.
    Nothing,
    /// A JSON object, to be written anew.
    Json(Value),
    /// Bytes as they came.
    Bytes(Bytes),
    /// A stream.
    Upload(Upload, HeaderValue),
}

impl Outgoing {
    /// The JSON object, if it is one.
    pub(super) fn value(&self) -> Option<&Value> {
        match self {
            Self::Json(value) => Some(value),
            Self::Nothing | Self::Bytes(_) | Self::Upload(..) => None,
        }
    }

    /// The bytes that go out, if they are known.
    pub(super) fn bytes(&self) -> Option<Bytes> {
        match self {
            Self::Json(value) => Some(value.to_string().into()),
            Self::Bytes(bytes) => Some(bytes.clone()),
            Self::Nothing | Self::Upload(..) => None,
        }
    }
}

/// The body as it goes out, or what is wrong with it.
pub(super) async fn read(
    body: Incoming,
    kind: Body,
    headers: &HeaderMap,
    slot: Arc<Slot>,
) -> Result<Outgoing, String> {
    if kind == Body::Upload {
        let kind = headers.get(CONTENT_TYPE).and_then(multipart);
        let kind = kind.ok_or("the body has to be multipart/form-data with a plain boundary")?;
        return Ok(Outgoing::Upload(Upload::new(body, slot), kind));
    }
    let collected = timeout(REPLY, Limited::new(body, API_BODY_BYTES).collect()).await;
    let bytes = match collected {
        Ok(Ok(collected)) => {
            slot.has_read();
            collected.to_bytes()
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(format!("the body is longer than {API_BODY_BYTES} bytes"));
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
        Body::Json => json::object(&bytes).map(Outgoing::Json).map_err(|error| {
            let text = format!("the body is not usable: {error}");
            escape(text.as_bytes(), 200)
        }),
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
    slot: Arc<Slot>,
}

impl Upload {
    fn new(body: Incoming, slot: Arc<Slot>) -> Self {
        Self {
            body,
            digest: Sha256::new(),
            stall: Box::pin(sleep(STALL)),
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
                this.stall.as_mut().reset(Instant::now() + STALL);
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
            Poll::Pending => match this.stall.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(UploadFault::Stall(STALL)))),
                Poll::Pending => Poll::Pending,
            },
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
    use super::*;

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
