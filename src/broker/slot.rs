use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::call::hex;
use super::desk::ReadBody;
use crate::wire::{ApiUpload, Event};

/// The one call of a connection. Its record is written by the connection's task,
/// however the call ends: nothing here does more than count.
#[derive(Debug, Default)]
pub(super) struct Slot {
    call: Mutex<Option<OpenCall>>,
    ended: Notify,
    /// Whether the request's body was read to its end.
    read: AtomicBool,
}

#[derive(Debug)]
struct OpenCall {
    id: u64,
    began: Instant,
    status: u16,
    bytes: u64,
    sha256: Option<String>,
    upload: Option<ApiUpload>,
    error: Option<String>,
    over: bool,
}

impl OpenCall {
    fn into_event(self, unfinished: &str) -> Event {
        let cut_short = (!self.over).then(|| unfinished.to_owned());
        Event::ApiResponse {
            id: self.id,
            status: self.status,
            bytes: self.bytes,
            sha256: self.sha256,
            upload: self.upload,
            duration_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            error: self.error.or(cut_short),
        }
    }
}

impl Slot {
    /// The request has no more bytes.
    pub(super) fn has_read(&self) {
        self.read.store(true, Ordering::Relaxed);
    }

    /// Whether that is so.
    pub(super) fn read_whole(&self) -> bool {
        self.read.load(Ordering::Relaxed)
    }

    /// The call begins.
    pub(super) fn begin(&self, id: u64) {
        let began = Instant::now();
        let call = OpenCall {
            id,
            began,
            status: 0,
            bytes: 0,
            sha256: None,
            upload: None,
            error: None,
            over: false,
        };
        *self.call.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
    }

    /// The response begins.
    pub(super) fn answered(&self, status: u16, error: Option<String>) {
        self.change(|call| {
            call.status = status;
            call.error = error;
        });
    }

    /// Waits until a response was handed over whole.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// What `api.response` says of a call that is over.
    pub(super) fn take_ended(&self) -> Option<Event> {
        let mut call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        call.take_if(|call| call.over)
            .map(|call| call.into_event(""))
    }

    /// What it says of the call, over or not; `unfinished` is why it is not.
    pub(super) fn take(&self, unfinished: &str) -> Option<Event> {
        let mut call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        call.take().map(|call| call.into_event(unfinished))
    }

    fn count(&self, bytes: usize) {
        self.change(|call| call.bytes += u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// More of an upload went by.
    pub(super) fn uploaded(&self, bytes: usize) {
        self.change(|call| {
            let upload = call.upload.get_or_insert_default();
            upload.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        });
    }

    /// That was all of it.
    pub(super) fn uploaded_whole(&self, digest: &[u8]) {
        self.has_read();
        self.change(|call| {
            let upload = call.upload.get_or_insert_default();
            upload.sha256.get_or_insert_with(|| hex(digest));
        });
    }

    fn digested(&self, digest: &[u8]) {
        self.change(|call| {
            call.sha256.get_or_insert_with(|| hex(digest));
        });
    }

    fn end(&self, error: Option<String>) {
        self.change(|call| {
            call.over = true;
            call.error = call.error.take().or(error);
        });
        self.ended.notify_one();
    }

    fn change(&self, change: impl FnOnce(&mut OpenCall)) {
        let mut call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        call.as_mut().map(change);
    }
}

/// Where a response's bytes come from.
pub(super) enum Source {
    /// From here.
    Whole(Full<Bytes>),
    /// From the Supervisor, as they come, and digested: a client that does not read holds the Supervisor back.
    Passed(reqwest::Body),
    /// From a reader of the audit trail, likewise.
    Read(ReadBody),
}

/// Why a response breaks off.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyFault {
    /// The Supervisor's did.
    #[error("the Supervisor's answer broke off")]
    Supervisor(#[source] reqwest::Error),
    /// The reader ended before it was done.
    #[error("the reader of the audit trail broke off")]
    Reader,
}

/// A response's bytes, counted.
pub(super) struct CountedBody {
    source: Source,
    digest: Sha256,
    slot: Arc<Slot>,
    /// The session's right to make a call, for as long as this lasts.
    _permit: Option<OwnedSemaphorePermit>,
}

impl CountedBody {
    pub(super) fn new(
        source: Source,
        slot: Arc<Slot>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let digest = Sha256::new();
        let mut body = Self {
            source,
            digest,
            slot,
            _permit: permit,
        };
        // hyper asks nothing of a body that is over.
        if body.is_end_stream() {
            body.end();
        }
        body
    }

    fn end(&mut self) {
        match self.source {
            Source::Whole(_) => {}
            Source::Passed(_) | Source::Read(_) => {
                let digest = self.digest.finalize_reset();
                self.slot.digested(digest.as_slice());
            }
        }
        self.slot.end(None);
    }
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Whole(body) => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Source::Passed(body) => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(BodyFault::Supervisor))),
            Source::Read(body) => body.poll(context),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(&[][..], |data| data);
                this.slot.count(bytes.len());
                match this.source {
                    Source::Whole(_) => {}
                    Source::Passed(_) | Source::Read(_) => this.digest.update(bytes),
                }
                if this.is_end_stream() {
                    this.end();
                }
            }
            Poll::Ready(Some(Err(fault))) => this.slot.end(Some(fault.to_string())),
            Poll::Ready(None) => this.end(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(body) => body.is_end_stream(),
            Source::Passed(body) => body.is_end_stream(),
            Source::Read(body) => body.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(body) => body.size_hint(),
            Source::Passed(body) => body.size_hint(),
            Source::Read(_) => SizeHint::default(),
        }
    }
}
