use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::server::conn::http1::{self, Parts};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Broker;
use super::answer::Answer;
use super::call;
use super::head::{Head, Rewound};
use super::pace::{Pace, Tally, TooMany};
use super::slot::Slot;
use crate::model::{ConnectionId, Grant, Role, SessionId, escape};
use crate::policy::roles::Limits;
use crate::wire::limits::{API_CONNECTIONS, API_HEAD, API_HEAD_BYTES, REPLY};
use crate::wire::{Event, Outcome, Record};

/// How long connections of a closed session may take to hand over their last records.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a client whose request was answered before it was read may go on sending.
const LINGER: Duration = Duration::from_secs(10);

/// How much of it is read and thrown away. Who looks for an answer only after gigabytes finds the connection closed.
const LINGER_BYTES: u64 = 64 * 1024 * 1024;

/// How long accepting pauses when the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// One session, as the warden described it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) sid: SessionId,
    cid: ConnectionId,
    uid: u32,
    pub(super) grant: Grant,
    pub(super) pace: Pace,
    /// The right to ask about sessions: one question at a time.
    pub(super) reading: Arc<Semaphore>,
    /// The right to a large body.
    large: Arc<Semaphore>,
    tally: Tally,
    calls: AtomicU64,
}

impl Session {
    pub(super) fn new(
        sid: SessionId,
        cid: ConnectionId,
        uid: u32,
        grant: Grant,
        limits: Limits,
    ) -> Self {
        Self {
            sid,
            cid,
            uid,
            grant,
            pace: Pace::new(limits),
            reading: Arc::new(Semaphore::new(1)),
            large: Arc::new(Semaphore::new(1)),
            tally: Tally::default(),
            calls: AtomicU64::new(0),
        }
    }

    /// What it may ask for.
    pub(super) fn role(&self) -> &Role {
        &self.grant.role
    }

    /// A number that no other call of the session has.
    pub(super) fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Puts a record of the session into audit's hands.
    pub(super) async fn record(&self, broker: &Broker, record: Record) -> Result<(), Answer> {
        broker
            .audit
            .report(self.mine(record))
            .await
            .map_err(|_| Answer::unrecorded())
    }

    /// The same, and waits until it is on the disk.
    pub(super) async fn durable(&self, broker: &Broker, record: Record) -> Result<(), Answer> {
        broker
            .audit
            .durable(self.mine(record))
            .await
            .map_err(|_| Answer::unrecorded())
    }

    /// What a call that is not made is answered with, once that is on the disk.
    pub(super) async fn refused(&self, broker: &Broker, record: Record, answer: Answer) -> Answer {
        match self.durable(broker, record).await {
            Ok(()) => answer,
            Err(unrecorded) => unrecorded,
        }
    }

    /// Records what has happened already: nothing can be taken back if audit does not take it.
    pub(super) async fn report(&self, broker: &Broker, event: Event) {
        let outcome = match &event {
            Event::ApiResponse { status, error, .. } if *status < 400 && error.is_none() => {
                Outcome::Good
            }
            _ => Outcome::Bad,
        };
        let record = self.mine(Record::new(event).outcome(outcome));
        if let Err(error) = broker.audit.report(record).await {
            tracing::warn!(sid = %self.sid, "a record is lost: {error}");
        }
    }

    /// Waits for the session's other large body, so that what all sessions hold has a bound that is far below what the broker
    /// may have.
    pub(super) async fn large_body(&self, broker: &Broker) -> Result<OwnedSemaphorePermit, Answer> {
        match timeout(REPLY, self.large.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            // Nobody closes it.
            Ok(Err(_)) | Err(_) => {
                let too_many = TooMany {
                    resource: "calls with a large body at once",
                    limit: 1,
                    after: Duration::from_secs(1),
                };
                Err(self.too_many(broker, &too_many).await)
            }
        }
    }

    /// What a session is told that wants more than it may have; it goes on record once a second.
    pub(super) async fn too_many(&self, broker: &Broker, too_many: &TooMany) -> Answer {
        let strange = limit(too_many.resource, too_many.limit);
        self.note(broker, strange).await;
        Answer::too_many(too_many)
    }

    /// Puts on record what the session may cause as often as it likes: once a second, with how many were left out.
    async fn note(&self, broker: &Broker, strange: Strange) {
        let Some(left_out) = self.tally.count(strange.kind, Instant::now()) else {
            return;
        };
        let more = match left_out {
            0 => String::new(),
            left_out => format!("; {left_out} more before were left out"),
        };
        let rule = format!("{}{more}", strange.rule);
        self.report(broker, denied(strange.object, rule)).await;
    }

    /// Records how many were left out of what will not come again.
    async fn note_rest(&self, broker: &Broker) {
        for (kind, left_out) in self.tally.rest() {
            let rule = format!("{left_out} more were left out");
            self.report(broker, denied(kind.to_owned(), rule)).await;
        }
    }

    fn mine(&self, record: Record) -> Record {
        record.of_session(self.sid).of_connection(self.cid)
    }
}

/// Serves a session's socket until `stopped` says so; then closes it and all its connections.
pub(super) async fn serve(
    broker: Arc<Broker>,
    session: Arc<Session>,
    listener: UnixListener,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = said(&mut stopped) => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(sid = %session.sid, "a connection's task ended by itself: {error}");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => match objection(&session, &stream, connections.len()) {
                    None => {
                        let (broker, session) = (broker.clone(), session.clone());
                        let arrived = session.pace.arrive(Instant::now());
                        connections.spawn(converse(broker, session, stream, arrived, stopped.clone()));
                    }
                    Some(strange) => {
                        drop(stream);
                        session.note(&broker, strange).await;
                    }
                },
                Err(error) => {
                    tracing::warn!(sid = %session.sid, "cannot accept: {error}");
                    sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let farewell = async { while connections.join_next().await.is_some() {} };
    if timeout(FAREWELL, farewell).await.is_err() {
        connections.shutdown().await;
    }
    session.note_rest(&broker).await;
}

/// What a session should not do, and can do all the time.
struct Strange {
    /// What is counted as one.
    kind: &'static str,
    object: String,
    rule: String,
}

fn denied(object: String, rule: String) -> Event {
    Event::PolicyDeny {
        layer: "broker".to_owned(),
        object,
        rule,
    }
}

/// Why a connection may not stay, and is closed without a byte.
fn objection(session: &Session, stream: &UnixStream, open: usize) -> Option<Strange> {
    let peer = stream.peer_cred().ok();
    if peer.is_none_or(|peer| peer.uid() != session.uid) {
        let uid = peer.map_or("unknown".to_owned(), |peer| peer.uid().to_string());
        return Some(Strange {
            kind: "connections of another uid",
            object: format!("uid {uid}"),
            rule: format!(
                "only uid {} may connect to the session's socket",
                session.uid
            ),
        });
    }
    (open >= API_CONNECTIONS).then(|| limit("connections to the broker", API_CONNECTIONS))
}

/// A session wants more than it may have.
fn limit(resource: &'static str, limit: impl fmt::Display) -> Strange {
    Strange {
        kind: resource,
        object: resource.to_owned(),
        rule: format!("a session may have {limit}"),
    }
}

/// One connection, for one request: whatever follows it is not read.
async fn converse(
    broker: Arc<Broker>,
    session: Arc<Session>,
    stream: UnixStream,
    arrived: Result<(), TooMany>,
    mut stopped: watch::Receiver<bool>,
) {
    let read = tokio::select! {
        biased;
        () = said(&mut stopped) => return,
        read = timeout(API_HEAD, Head::read(stream)) => read,
    };
    // Who goes, or takes too long, before a head is there has asked for nothing.
    let Ok(Ok(Some((head, stream)))) = read else {
        return;
    };
    let (slot, head) = (Arc::new(Slot::default()), Arc::new(head));
    let mut unread = None;
    let unfinished = {
        let service = service_fn(|request| {
            let (broker, session) = (broker.clone(), session.clone());
            let (slot, head, arrived) = (slot.clone(), head.clone(), arrived.clone());
            call::respond(broker, session, slot, head, arrived, request)
        });
        let connection = http1::Builder::new()
            .max_buf_size(API_HEAD_BYTES)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection.without_shutdown());
        loop {
            tokio::select! {
                biased;
                () = said(&mut stopped) => break "the session was closed",
                () = slot.ended() => {
                    if let Some(event) = slot.take_ended() {
                        session.report(&broker, event).await;
                    }
                }
                ended = connection.as_mut() => {
                    if let Some(strange) = strange(&ended, &slot) {
                        session.note(&broker, strange).await;
                    }
                    // An error took the stream with it.
                    unread = ended.ok().filter(|_| !slot.read_whole());
                    break "the client went away";
                }
            }
        }
    };
    // Nobody reads or writes any more; the call may not be over.
    if let Some(event) = slot.take(unfinished) {
        session.report(&broker, event).await;
    }
    if let Some(parts) = unread {
        tokio::select! {
            () = said(&mut stopped) => {}
            () = linger(parts.io.into_inner()) => {}
        }
    }
}

/// Takes leave of a client whose request was answered before all of it was read. Linux resets a socket that is closed with
/// bytes unread, as TCP does (RFC 1122 §4.2.2.13), and who still writes would see that in place of the answer.
async fn linger(mut stream: Rewound) {
    let farewell = async {
        stream.shutdown().await?;
        copy(&mut stream.take(LINGER_BYTES), &mut sink()).await
    };
    // Whether the client went in time is no matter any more.
    drop(timeout(LINGER, farewell).await);
}

/// What a connection that is over has shown beside a request.
fn strange<S>(ended: &hyper::Result<Parts<TokioIo<Rewound>, S>>, slot: &Slot) -> Option<Strange> {
    let (kind, rule) = match ended {
        // What is left may as well be a body that was not looked at.
        Ok(parts) if parts.read_buf.is_empty() || !slot.read_whole() => return None,
        Ok(_) => (
            "bytes behind a request",
            "a connection is for one request".to_owned(),
        ),
        Err(error) if error.is_parse() => ("head of a request", error.to_string()),
        // The client went away, or was too slow.
        Err(_) => return None,
    };
    Some(Strange {
        kind,
        object: kind.to_owned(),
        rule: escape(rule.as_bytes(), 200),
    })
}

/// Waits for the word to stop.
async fn said(stopped: &mut watch::Receiver<bool>) {
    // An error means that the whole broker ends, which is a word as well.
    drop(stopped.wait_for(|stopped| *stopped).await);
}
