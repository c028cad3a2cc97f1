use std::collections::BTreeMap;
use std::future::Future;
use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use russh::server::{Config, RunningSession, run_stream};
use russh::{ChannelId, Disconnect};
use ssh_key::PublicKey;
use tokio::runtime::Builder;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::algorithms;
use super::channel::Channel;
use super::ending::{End, Ending};
use super::forward::Forwards;
use super::handler::{Callbacks, TransportError};
use super::keys::{Keys, KeysLink};
use super::links::{AsyncLink, Slot};
use super::negotiated;
use super::program::{self, Settings};
use super::recorder::Recorder;
use super::report::{self, Reports};
use super::session::{Progress, Warden};
use super::stream::{Stream, Watch};
use super::{ConnectionError, Policy, Start, hold};
use crate::model::{Permits, escape};
use crate::policy::ssh::{Algorithms, Offer};
use crate::sys::net;
use crate::wire::limits::CHANNELS;
use crate::wire::{
    ConnectionToKeys, Disagreement, Event, FrontConfig, Link, LinkError, Outcome, Record,
};

/// The warden kills what has not logged in at the grace limit; ending a little before leaves a record.
const BEFORE_GRACE: Duration = Duration::from_millis(500);
/// How long a client may take to close its stream after the last byte was sent.
const CLOSING: Duration = Duration::from_secs(2);
/// How long the programs' tasks may take to report.
const LAST_REPORTS: Duration = Duration::from_millis(500);
/// How long audit may take for what is still in the queue.
const LAST_RECORDS: Duration = Duration::from_secs(2);
/// How much of an error's text a record keeps.
const REASON_BYTES: usize = 256;

/// What the tasks of a connection share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) reports: Reports,
    pub(super) recorder: Recorder,
    pub(super) ending: Ending,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) authenticated: Notify,
    permits: OnceLock<Permits>,
    /// Credentials that were shown.
    pub(super) attempts: AtomicU32,
    pub(super) forwards: Forwards,
    channels: Mutex<BTreeMap<u32, Arc<Channel>>>,
    programs: Mutex<JoinSet<()>>,
    omitted: Mutex<Omitted>,
    offers: Offers,
    watch: Watch,
}

/// What can be negotiated.
pub(super) struct Offers {
    /// With this server's options.
    now: Algorithms,
    /// With those that offer the most.
    most: Algorithms,
}

/// What a client did too often to be recorded each time.
#[derive(Debug, Default)]
pub(super) struct Omitted {
    /// Opened and closed again without a program or any other request on record.
    pub(super) channels: u64,
    /// Refusals, variables, signals.
    pub(super) requests: u64,
}

impl Shared {
    pub(super) fn channel(&self, id: ChannelId) -> Option<Arc<Channel>> {
        hold(&self.channels).get(&id.number()).cloned()
    }

    /// What the login may do: there is one, and the first word counts.
    pub(super) fn permit(&self, permits: Permits) {
        self.permits.set(permits).ok();
    }

    /// What the login may do beside running programs; none before it.
    pub(super) fn permits(&self) -> Option<&Permits> {
        self.permits.get()
    }

    /// False where there are too many already.
    pub(super) fn remember(&self, channel: Arc<Channel>) -> bool {
        let mut channels = hold(&self.channels);
        let sessions = channels.values().filter(|of| !of.is_forwarded);
        let fits = sessions.count() < CHANNELS;
        if fits {
            channels.insert(channel.id.number(), channel);
        }
        fits
    }

    /// A forwarded channel, which is known from now on.
    pub(super) fn opened(&self, id: ChannelId) -> Arc<Channel> {
        let mut channels = hold(&self.channels);
        let channel = channels
            .entry(id.number())
            .or_insert_with(|| Arc::new(Channel::forwarded(id, self.forwards.window_bytes)));
        Arc::clone(channel)
    }

    pub(super) fn forget(&self, id: ChannelId) {
        hold(&self.channels).remove(&id.number());
    }

    /// Runs a program's task.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut programs = hold(&self.programs);
        while let Some(ended) = programs.try_join_next() {
            if let Err(error) = ended {
                tracing::error!("a channel's task broke: {error}");
            }
        }
        programs.spawn(task);
    }

    /// Reports the beginning, once.
    pub(super) async fn report_open(&self, host_key_algorithm: String) {
        let Some(head) = self.watch.take_head() else {
            return;
        };
        let negotiated = negotiated::read(&head, &self.offers.now);
        let event = Event::ConnOpen {
            client: negotiated.client,
            kex: negotiated.key_exchange,
            cipher: negotiated.cipher,
            host_key_algorithm,
        };
        self.reports.report(Record::new(event)).await;
    }

    /// Puts a channel's beginning on record, once, before whatever else is recorded of it.
    pub(super) async fn report_channel(&self, of: &Channel) {
        if of.put_on_record() {
            let event = Event::ChannelOpen {
                kind: "session".to_owned(),
                target: None,
                origin: None,
            };
            let record = Record::new(event).outcome(Outcome::Good);
            self.reports.report(record.in_channel(of.number())).await;
        }
    }

    /// Forgets a channel that never had a program: its end is on record if its beginning is.
    pub(super) async fn close_idle(&self, of: &Channel) {
        self.forget(of.id);
        if of.is_on_record() {
            let event = Event::ChannelClose {
                bytes_in: of.received.load(Ordering::Relaxed),
                bytes_out: 0,
            };
            self.reports
                .report(Record::new(event).in_channel(of.number()))
                .await;
        } else {
            self.omit(|omitted| omitted.channels += 1);
        }
    }

    /// Counts what is not recorded.
    pub(super) fn omit(&self, count: impl FnOnce(&mut Omitted)) {
        count(&mut hold(&self.omitted));
    }

    /// Reports how much was not recorded since the last time, if anything.
    pub(super) async fn report_omitted(&self) {
        let Omitted { channels, requests } = std::mem::take(&mut *hold(&self.omitted));
        if channels > 0 || requests > 0 {
            let event = Event::ChannelFolded { channels, requests };
            self.reports.report(Record::new(event)).await;
        }
    }

    fn end_of(&self, result: Result<(), TransportError>) -> End {
        match result {
            Ok(()) => End::Client,
            Err(TransportError::Keys(error)) => {
                tracing::warn!("keys does not answer as it should: {error}");
                End::Keys
            }
            Err(TransportError::Ssh(error)) => match error {
                russh::Error::KeepaliveTimeout => End::Silent,
                russh::Error::IO(error) if error.kind() == ErrorKind::TimedOut => End::Silent,
                russh::Error::HUP | russh::Error::Disconnect | russh::Error::IO(_) => End::Client,
                russh::Error::NoCommonAlgo { .. } => match self.disagreement() {
                    Some(disagreement) => End::Disagreed(disagreement),
                    None => End::Protocol("nothing in common".to_owned()),
                },
                error => End::Protocol(error.to_string()),
            },
        }
    }

    /// What the client's first offer lacks. None once that is on record: a later exchange is between those who have agreed
    /// before.
    fn disagreement(&self) -> Option<Disagreement> {
        let Offers { now, most } = &self.offers;
        self.watch
            .with_head(|head| negotiated::disagreement(head, now, most))?
    }

    async fn report_close(&self, end: &End, since: Instant) {
        // Of one that did not come to a key exchange.
        self.report_open(String::new()).await;
        let left = std::mem::take(&mut *hold(&self.channels));
        for of in left.values().filter(|of| of.is_idle()) {
            self.close_idle(of).await;
        }
        self.report_omitted().await;
        let event = Event::ConnClose {
            reason: escape(end.reason().as_bytes(), REASON_BYTES),
            duration_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
            attempts: self.attempts.load(Ordering::Relaxed),
        };
        let outcome = if *end == End::Client {
            Outcome::Good
        } else {
            Outcome::Bad
        };
        self.reports
            .report(Record::new(event).outcome(outcome))
            .await;
    }
}

/// Speaks SSH on `start.stream` until the connection ends, for whatever reason.
///
/// # Errors
/// Only where it could not begin.
pub fn run(start: Start, config: &FrontConfig, policy: &Policy) -> Result<(), ConnectionError> {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime
        .enable_io()
        .enable_time()
        .build()
        .map_err(ConnectionError::Runtime)?;
    let served = runtime.block_on(serve(start, config, policy));
    runtime.shutdown_background();
    served
}

async fn serve(start: Start, config: &FrontConfig, policy: &Policy) -> Result<(), ConnectionError> {
    let since = Instant::now();
    let link = |to| move |source: LinkError| ConnectionError::Link { to, source };
    net::no_delay(start.stream.as_fd()).map_err(|source| ConnectionError::Socket {
        action: "send small packets at once",
        source,
    })?;
    let unacknowledged = Duration::from_secs(policy.ssh.limits.unacknowledged_s);
    net::user_timeout(start.stream.as_fd(), unacknowledged).map_err(|source| {
        ConnectionError::Socket {
            action: "bound how long output waits",
            source,
        }
    })?;
    let tcp = TcpStream::from(start.stream);
    let cut = tcp.try_clone().map_err(ConnectionError::Watch)?;
    let tcp = tokio::net::TcpStream::from_std(tcp).map_err(ConnectionError::Watch)?;
    let host_key = PublicKey::from_bytes(&start.host_key).map_err(ConnectionError::HostKey)?;
    let methods = algorithms::methods(config.password);
    let offers = Offers {
        now: policy.ssh.offered(match config.compatibility_mode {
            true => Offer::Compatible,
            false => Offer::Hardened,
        }),
        most: policy.ssh.offered(Offer::Compatible),
    };
    let limits = &policy.ssh.limits;
    let transport = algorithms::configure(&offers.now, limits, host_key, methods.clone())?;

    let ending = Ending::new();
    let (keys_slot, audit_slot) = (Slot::new(), Slot::new());
    // For the last word to keys, where russh ended with the handler and its link.
    let last_word = start.keys.as_fd().try_clone_to_owned();
    let last_word = Link::from_fd(last_word.map_err(ConnectionError::Watch)?);
    let last_word: KeysLink = last_word.map_err(link("keys"))?;
    let keys = Keys::new(start.keys, keys_slot.clone()).map_err(link("keys"))?;
    let progress = watch::Sender::new(Progress::Pending);
    let recorder = Recorder::default();
    let queue = report::queue(
        start.audit,
        audit_slot.clone(),
        progress.subscribe(),
        &ending,
        recorder.clone(),
    );
    let (reports, reporter) = queue.map_err(link("audit"))?;
    let warden = Warden {
        link: AsyncLink::new(start.warden.answering()).map_err(link("the warden"))?,
        progress: progress.clone(),
        keys: keys_slot,
        audit: audit_slot,
        ending: ending.clone(),
    };
    let settings = Settings::new(config, policy, program::ends(start.peer, &tcp)?);
    let stream = Stream::new(tcp);
    let shared = Arc::new(Shared {
        settings,
        reports,
        recorder,
        ending: ending.clone(),
        progress,
        authenticated: Notify::new(),
        permits: OnceLock::new(),
        attempts: AtomicU32::new(0),
        forwards: Forwards::new(&policy.ssh.limits),
        channels: Mutex::default(),
        programs: Mutex::default(),
        omitted: Mutex::default(),
        offers,
        watch: stream.watch(),
    });

    let mut tasks = JoinSet::new();
    tasks.spawn(warden.hear());
    let mut recording = JoinSet::new();
    recording.spawn(reporter.run());

    let callbacks = Callbacks::new(
        Arc::clone(&shared),
        keys,
        methods,
        start.host_key,
        &config.banner,
        &policy.ssh.limits,
    );
    let grace = Duration::from_secs(policy.ssh.limits.login_grace_s);
    let grace = grace.saturating_sub(BEFORE_GRACE);
    let end = converse(transport, stream, callbacks, &shared, grace).await;
    if let End::Disagreed(disagreement) = &end {
        last_word
            .send(&ConnectionToKeys::Disagreed(disagreement.clone()))
            .ok();
    }
    ending.end(end.clone());
    tracing::debug!("connection {} ends: {}", start.cid, end.reason());
    // russh may still hold the stream; what is in the kernel's hands is sent all the same.
    cut.shutdown(Shutdown::Both).ok();

    let mut programs = std::mem::take(&mut *hold(&shared.programs));
    // Late ones are cut off: their records are all that is lost.
    let reported = async { while programs.join_next().await.is_some() {} };
    timeout(LAST_REPORTS, reported).await.ok();
    let recorded = async {
        shared.report_close(&end, since).await;
        shared.reports.finish();
        recording.join_next().await
    };
    if timeout(LAST_RECORDS, recorded).await.is_err() {
        tracing::warn!("the last records of connection {} are lost", start.cid);
    }
    Ok(())
}

/// The conversation with the client, until either side ends it.
async fn converse(
    transport: Config,
    stream: Stream,
    callbacks: Callbacks,
    shared: &Shared,
    grace: Duration,
) -> End {
    let ending = &shared.ending;
    let late = late(shared, grace);
    let mut late = std::pin::pin!(late);
    let closed = async {
        shared.watch.shut().await;
        sleep(CLOSING).await;
    };
    let mut running: RunningSession<Callbacks> = tokio::select! {
        biased;
        end = ending.wait() => return end,
        () = &mut late => return End::Grace,
        begun = run_stream(Arc::new(transport), stream, callbacks) => match begun {
            Ok(running) => running,
            Err(error) => return shared.end_of(Err(error)),
        },
    };
    let end = tokio::select! {
        biased;
        end = ending.wait() => end,
        () = &mut late => return End::Grace,
        ended = &mut running => return shared.end_of(ended),
        () = closed => return End::Client,
    };
    if let Some(farewell) = end.farewell() {
        let reason = match end {
            End::TooMany => Disconnect::NoMoreAuthMethodsAvailable,
            _ => Disconnect::ByApplication,
        };
        let handle = running.handle();
        // OpenSSH's client throws away what it has not yet shown when it is disconnected; after the end of its last
        // channel it goes by itself.
        if let Ok(ended) = timeout(end.courtesy(), &mut running).await {
            tracing::debug!("the client left: {:?}", shared.end_of(ended));
            return end;
        }
        let told = async {
            handle
                .disconnect(reason, farewell.to_owned(), String::new())
                .await?;
            (&mut running).await
        };
        // A client that does not listen is not waited for.
        timeout(end.patience(), told).await.ok();
    }
    end
}

/// Ready when the time to log in is over and nobody has.
async fn late(shared: &Shared, grace: Duration) {
    tokio::select! {
        () = sleep(grace) => {}
        () = shared.authenticated.notified() => std::future::pending().await,
    }
}
