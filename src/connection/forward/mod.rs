//! Forwarding, RFC 4254 §7 and OpenSSH's PROTOCOL: channels that lead into the session, by its forwarder, and out of it.
//!
//! Nothing is forwarded that the login's grant does not name. What is reached is reached from inside the session, by a process
//! that has no more rights than its programs.

mod forwarder;
mod remote;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use russh::ChannelOpenFailure;
use russh::server::{ChannelOpenHandle, Handle};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use self::forwarder::{Forwarder, ForwarderLink, NoForward};
use self::remote::Listeners;
pub(super) use self::remote::Wish;
use super::channel::Channel;
use super::hold;
use super::io::{self, Meter, Writer};
use super::report::Rate;
use super::run::Shared;
use super::session::{Progress, Session};
use crate::model::{ChannelNumber, escape};
use crate::policy::ssh::Limits;
use crate::sys::{Errno, descriptor};
use crate::wire::{Event, ForwardFault, Outcome, Record, Target};

/// How long a request waits for its session, as programs do.
const SESSION: Duration = Duration::from_secs(15);
/// How many forwarded channels and listeners are recorded in a second, and how many of a connection: a browser behind
/// `ssh -D` makes thousands, and a session's records have a limit. Others are counted.
const RECORDED: u32 = 200;
/// See [`RECORDED`].
const RECORDED_IN_ALL: u32 = 10_000;
/// How much of a peer's word a record keeps.
const WORD_BYTES: usize = 256;

/// What a connection forwards.
pub(super) struct Forwards {
    forwarder: OnceCell<Option<Arc<Forwarder>>>,
    /// One for each channel.
    places: Arc<Semaphore>,
    channels: usize,
    pub(super) window_bytes: u32,
    listeners: Listeners,
    rate: Mutex<Rate>,
    recorded: AtomicU32,
}

/// Why something is not forwarded.
#[derive(Debug)]
pub(super) struct Refusal {
    /// For the record.
    reason: String,
    /// For the client.
    failure: ChannelOpenFailure,
}

impl Refusal {
    fn prohibited(reason: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            failure: ChannelOpenFailure::AdministrativelyProhibited,
        }
    }

    fn short(reason: String) -> Self {
        Self {
            reason,
            failure: ChannelOpenFailure::ResourceShortage,
        }
    }
}

impl From<NoForward> for Refusal {
    fn from(why: NoForward) -> Self {
        let reason = match why {
            NoForward::Gone => "the session's forwarder does not answer".to_owned(),
            NoForward::Fault(ForwardFault::Errno(errno)) => {
                Errno::from_raw(errno).desc().to_lowercase()
            }
            NoForward::Fault(ForwardFault::NoAddress) => "the name has no address".to_owned(),
            NoForward::Fault(ForwardFault::TimedOut) => "no answer in time".to_owned(),
            NoForward::Fault(ForwardFault::Foreign) => {
                return Self::prohibited("no program of this session listens there");
            }
            NoForward::Fault(ForwardFault::TooMany) => {
                return Self::short("the session's forwarder has too many".to_owned());
            }
            NoForward::Fault(ForwardFault::GivenUp) => "given up".to_owned(),
        };
        Self {
            reason,
            failure: ChannelOpenFailure::ConnectFailed,
        }
    }
}

impl Forwards {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            forwarder: OnceCell::new(),
            places: Arc::new(Semaphore::new(limits.forwarded_channels)),
            channels: limits.forwarded_channels,
            window_bytes: limits.window_bytes,
            listeners: Listeners::new(limits.forward_listeners),
            rate: Mutex::new(Rate::per_second(RECORDED)),
            recorded: AtomicU32::new(0),
        }
    }

    /// Room for one more channel.
    fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| Refusal::short(format!("more than {} forwarded channels", self.channels)))
    }

    /// Whether one more is put on record.
    fn admits_record(&self) -> bool {
        hold(&self.rate).admits(Instant::now())
            && self.recorded.fetch_add(1, Ordering::Relaxed) < RECORDED_IN_ALL
    }

    /// The session's forwarder, which is started the first time.
    async fn forwarder(
        &self,
        shared: &Arc<Shared>,
        session: &Session,
    ) -> Result<&Arc<Forwarder>, NoForward> {
        let start = || async {
            let (near, far) = ForwarderLink::pair().ok()?;
            let (forwarder, serving) = Forwarder::new(near, shared.ending.clone()).ok()?;
            if !session.start_forwarder(far.into_fd()) {
                return None;
            }
            shared.spawn(serving);
            Some(forwarder)
        };
        let forwarder = self.forwarder.get_or_init(start).await;
        forwarder.as_ref().ok_or(NoForward::Gone)
    }
}

/// The session, once there is one.
async fn session(shared: &Shared) -> Result<Arc<Session>, Refusal> {
    let mut progress = shared.progress.subscribe();
    let settled = progress.wait_for(|progress| !matches!(progress, Progress::Pending));
    let settled = timeout(SESSION, settled).await;
    match settled.map(|settled| settled.map(|progress| progress.clone())) {
        Ok(Ok(Progress::Ready(session))) => Ok(session),
        Ok(Ok(Progress::Refused(_))) => Err(Refusal::prohibited("no session")),
        Ok(Ok(Progress::Pending) | Err(_)) | Err(_) => {
            Err(Refusal::prohibited("the session did not start in time"))
        }
    }
}

/// A channel that the client wants to lead into the session: `direct-tcpip`, `direct-streamlocal@openssh.com`.
pub(super) struct Direct {
    pub(super) shared: Arc<Shared>,
    pub(super) handle: Handle,
    pub(super) channel: Arc<Channel>,
    pub(super) writer: Writer,
    pub(super) reply: ChannelOpenHandle,
    pub(super) kind: &'static str,
    /// None where what the client said cannot be one.
    pub(super) to: Option<Target>,
    /// Whom the client opens it for, as it says.
    pub(super) origin: Option<String>,
}

impl Direct {
    /// Takes its place among the forwarded channels, and runs.
    pub(super) async fn run(self) {
        let shown = self.to.as_ref().map(shown);
        let reached = async {
            let place = self.shared.forwards.place()?;
            let ends = self.reach().await?;
            Ok((place, ends))
        };
        let reached = tokio::select! {
            biased;
            _ = self.shared.ending.wait() => {
                self.shared.forget(self.channel.id);
                return;
            }
            reached = reached => reached,
        };
        let Self {
            shared,
            handle,
            channel,
            writer,
            reply,
            kind,
            origin,
            ..
        } = self;
        match reached {
            Ok((_place, ends)) => {
                let carried = Carried {
                    kind,
                    target: shown,
                    origin,
                };
                let recorded = carried.report(&shared, channel.number()).await;
                reply.accept().await;
                carry(&shared, &handle, &channel, &writer, ends, recorded).await;
            }
            Err(Refusal { reason, failure }) => {
                shared.forget(channel.id);
                let number = Some(channel.number());
                report_refusal(&shared, number, kind, shown, reason).await;
                reply.reject(failure).await;
            }
        }
    }

    async fn reach(&self) -> Result<Ends, Refusal> {
        let session = session(&self.shared).await?;
        if !session.forwarding.local {
            return Err(Refusal::prohibited("local forwarding is not offered"));
        }
        let Some(to) = self.to.clone() else {
            return Err(Refusal::prohibited("not a target"));
        };
        let place = match &to {
            Target::Tcp { host, port } => Some((host.as_str(), *port)),
            Target::Unix(_) => None,
        };
        if !self
            .shared
            .permits()
            .is_some_and(|permits| permits.may_open(place))
        {
            return Err(Refusal::prohibited("not among the key's permitopen"));
        }
        let forwards = &self.shared.forwards;
        let forwarder = forwards.forwarder(&self.shared, &session).await?;
        let held = forwarder.dial(to).await?;
        let (ends, theirs) = pipes()?;
        forwarder.take(held, theirs).await?;
        Ok(ends)
    }
}

/// Our ends of the pipes to the forwarder.
struct Ends {
    to: io::End,
    from: io::End,
}

/// Two pipes, and the forwarder's ends of them: what it reads from, what it writes to.
fn pipes() -> Result<(Ends, [OwnedFd; 2]), Refusal> {
    let make = || -> Result<_, Errno> {
        let (their_input, to) = descriptor::pipe()?;
        let (from, their_output) = descriptor::pipe()?;
        let ends = Ends {
            to: io::end(to)?,
            from: io::end(from)?,
        };
        Ok((ends, [their_input, their_output]))
    };
    make().map_err(|errno| Refusal::short(format!("no pipe: {}", errno.desc())))
}

/// What is known of a channel that is carried.
struct Carried {
    kind: &'static str,
    target: Option<String>,
    origin: Option<String>,
}

impl Carried {
    /// Puts the channel's beginning on record; false where it is only counted.
    async fn report(self, shared: &Shared, channel: ChannelNumber) -> bool {
        if !shared.forwards.admits_record() {
            shared.omit(|omitted| omitted.channels += 1);
            return false;
        }
        shared.report_omitted().await;
        let event = Event::ChannelOpen {
            kind: self.kind.to_owned(),
            target: self.target,
            origin: self.origin,
        };
        let record = Record::new(event).outcome(Outcome::Good);
        shared.reports.report(record.in_channel(channel)).await;
        true
    }
}

/// Carries bytes both ways until both have ended. Once the client has closed the channel nothing more is sent to it, and what it
/// sent before still arrives; who does not read it holds a place among the channels until the connection ends.
async fn carry(
    shared: &Shared,
    handle: &Handle,
    channel: &Channel,
    writer: &Writer,
    ends: Ends,
    recorded: bool,
) {
    let id = channel.id;
    let (mut inward, mut outward) = (Meter::default(), Meter::default());
    let Ends { to, from } = ends;
    let delivered = AtomicBool::new(false);
    let mut incoming = std::pin::pin!(async {
        io::feed(
            &channel.input,
            Arc::new(to),
            handle,
            id,
            &mut inward,
            None,
            None,
        )
        .await;
        delivered.store(true, Ordering::Relaxed);
    });
    let closed = {
        let outgoing = async {
            io::drain(from, None, writer, &mut outward).await;
            // Err: the connection is over.
            handle.eof(id).await.ok();
        };
        tokio::select! {
            biased;
            _ = shared.ending.wait() => false,
            () = channel.closed.notified() => true,
            _ = async { tokio::join!(outgoing, incoming.as_mut()) } => false,
        }
    };
    if closed && !delivered.load(Ordering::Relaxed) {
        tokio::select! {
            biased;
            _ = shared.ending.wait() => {}
            () = incoming => {}
        }
    }
    if !closed {
        handle.close(id).await.ok();
        shared.forget(id);
    }
    // There is nobody left to credit.
    let _uncredited = channel.input.close();
    if recorded {
        let event = Event::ChannelClose {
            bytes_in: channel.received.load(Ordering::Relaxed),
            bytes_out: outward.bytes(),
        };
        let record = Record::new(event).in_channel(channel.number());
        shared.reports.report(record).await;
    }
}

/// Puts on record what was not forwarded, up to a rate.
async fn report_refusal(
    shared: &Shared,
    channel: Option<ChannelNumber>,
    kind: &str,
    target: Option<String>,
    reason: String,
) {
    if !shared.forwards.admits_record() {
        shared.omit(|omitted| omitted.requests += 1);
        return;
    }
    shared.report_omitted().await;
    let event = Event::ChannelRefuse {
        kind: kind.to_owned(),
        reason,
        target,
    };
    let record = Record::new(event).outcome(Outcome::Bad);
    let record = match channel {
        Some(channel) => record.in_channel(channel),
        None => record,
    };
    shared.reports.report(record).await;
}

/// A target as records have it: `localhost:80`, `[::1]:80`, `/run/x`.
fn shown(target: &Target) -> String {
    match target {
        Target::Tcp { host, port } => endpoint(host, u32::from(*port)),
        Target::Unix(path) => escape(path.as_bytes(), WORD_BYTES),
    }
}

/// A host and a port as records have them.
pub(super) fn endpoint(host: &str, port: u32) -> String {
    let host = escape(host.as_bytes(), WORD_BYTES);
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
