//! The session behind the connection: what the warden says of it, and its PID 1.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ending::{End, Ending};
use super::hold;
use super::keys::KeysLink;
use super::links::{AsyncLink, Slot};
use super::report::AuditLink;
use crate::model::{ChannelNumber, Exit, Forwarding, RecordingMode, Usage};
use crate::wire::{
    ConnectionToInit, ConnectionToWarden, InitToConnection, Link, LinkError, WardenToConnection,
};

type InitLink = Link<ConnectionToInit, InitToConnection>;

/// How long session-init may take to read a message, or to start a program.
const INIT: Duration = Duration::from_secs(10);
/// Messages on their way to session-init; who sends more waits.
const OUTBOX: usize = 64;

/// How far the session is.
#[derive(Clone, Debug)]
pub(super) enum Progress {
    /// Nobody logged in yet, or the sandbox is being made.
    Pending,
    /// Programs can be started.
    Ready(Arc<Session>),
    /// There will be none; the reason is for the user.
    Refused(String),
}

/// A login's sandbox, as far as a connection has to do with it.
#[derive(Debug)]
pub(super) struct Session {
    /// A detached mount of the session's devpts.
    pub(super) terminals: OwnedFd,
    /// What is recorded of it.
    pub(super) recording: RecordingMode,
    /// The one command that it runs, if its key says so. session-init knows it too, and runs no other.
    pub(super) command: Option<String>,
    /// What its key sets.
    pub(super) environment: Vec<(String, String)>,
    /// What it may forward.
    pub(super) forwarding: Forwarding,
    outbox: mpsc::Sender<(ConnectionToInit, Vec<OwnedFd>)>,
    programs: Mutex<BTreeMap<ChannelNumber, Expected>>,
}

/// What session-init is still to say of a program.
#[derive(Debug)]
enum Expected {
    Start(
        oneshot::Sender<Result<i32, i32>>,
        oneshot::Sender<(Exit, Usage)>,
    ),
    End(oneshot::Sender<(Exit, Usage)>),
}

/// A program that runs: how it ends, or an error where that will never be known.
pub(super) type Ended = oneshot::Receiver<(Exit, Usage)>;

/// Why a program did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoStart {
    /// session-init says so: errno(3).
    Failed(i32),
    /// session-init says nothing any more.
    Gone,
}

impl Session {
    /// Starts a program. The descriptors are its ends.
    pub(super) async fn start(
        &self,
        channel: ChannelNumber,
        message: ConnectionToInit,
        fds: Vec<OwnedFd>,
    ) -> Result<(i32, Ended), NoStart> {
        let (started, start) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        hold(&self.programs).insert(channel, Expected::Start(started, ended));
        let answer = timeout(INIT, async {
            self.outbox.send((message, fds)).await.ok()?;
            start.await.ok()
        });
        match answer.await {
            Ok(Some(Ok(pid))) => Ok((pid, end)),
            Ok(Some(Err(errno))) => Err(NoStart::Failed(errno)),
            Ok(None) | Err(_) => Err(NoStart::Gone),
        }
    }

    /// Sends a message for which nobody waits. It is lost where session-init does not read.
    pub(super) fn tell(&self, message: ConnectionToInit) {
        if self.outbox.try_send((message, Vec::new())).is_err() {
            tracing::debug!("session-init does not read: a message is lost");
        }
    }

    /// Starts the forwarder, which has `link`; false where session-init does not read.
    pub(super) fn start_forwarder(&self, link: OwnedFd) -> bool {
        let message = (ConnectionToInit::Forward, vec![link]);
        self.outbox.try_send(message).is_ok()
    }

    /// What session-init says; false where it may not say that.
    fn hear(&self, message: &InitToConnection) -> bool {
        let mut programs = hold(&self.programs);
        let (InitToConnection::Started { channel, .. }
        | InitToConnection::Failed { channel, .. }
        | InitToConnection::Ended { channel, .. }) = message;
        match (message, programs.remove(channel)) {
            (InitToConnection::Started { pid, .. }, Some(Expected::Start(started, ended))) => {
                // Nobody waits: the client closed the channel meanwhile.
                started.send(Ok(*pid)).ok();
                programs.insert(*channel, Expected::End(ended));
                true
            }
            (InitToConnection::Failed { errno, .. }, Some(Expected::Start(started, _))) => {
                started.send(Err(*errno)).ok();
                true
            }
            (InitToConnection::Ended { exit, usage, .. }, Some(Expected::End(ended))) => {
                ended.send((*exit, *usage)).ok();
                true
            }
            _ => false,
        }
    }
}

/// What the warden's messages go to.
#[derive(Debug)]
pub(super) struct Warden {
    pub(super) link: AsyncLink<ConnectionToWarden, WardenToConnection>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) keys: Slot<KeysLink>,
    pub(super) audit: Slot<AuditLink>,
    pub(super) ending: Ending,
}

impl Warden {
    /// Listens to the warden until it closes its link, which ends the connection.
    pub(super) async fn hear(self) {
        let mut tasks = JoinSet::new();
        let error = loop {
            let heard = match self.link.recv().await {
                Ok((message, fds)) => self.obey(message, fds, &mut tasks),
                Err(error) => Err(error),
            };
            if let Err(error) = heard {
                break error;
            }
        };
        if !matches!(error, LinkError::Closed) {
            tracing::warn!("cannot follow the warden: {error}");
        }
        self.ending.end(End::Warden);
        // What session-init still has to say of programs is heard until the connection is gone.
        std::future::pending::<()>().await;
    }

    fn obey(
        &self,
        message: WardenToConnection,
        fds: Vec<OwnedFd>,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), LinkError> {
        match message {
            WardenToConnection::SessionReady { sid, grant } => {
                let [control, terminals] = InitLink::exactly(fds)?;
                let link = AsyncLink::new(InitLink::from_fd(control)?)?;
                let (outbox, messages) = mpsc::channel(OUTBOX);
                let session = Arc::new(Session {
                    terminals,
                    recording: grant.recording,
                    command: grant.command,
                    environment: grant.environment,
                    forwarding: grant.forwarding,
                    outbox,
                    programs: Mutex::default(),
                });
                tracing::debug!("session {sid} is ready");
                tasks.spawn(serve(
                    link,
                    Arc::clone(&session),
                    messages,
                    self.ending.clone(),
                ));
                self.progress.send_replace(Progress::Ready(session));
            }
            WardenToConnection::SessionRefused(reason) => {
                let [] = InitLink::exactly(fds)?;
                self.progress.send_replace(Progress::Refused(reason));
            }
            WardenToConnection::Keys => {
                let [fd] = KeysLink::exactly(fds)?;
                self.keys.put(Link::from_fd(fd)?);
            }
            WardenToConnection::Audit => {
                let [fd] = AuditLink::exactly(fds)?;
                self.audit.put(Link::from_fd(fd)?);
            }
        }
        Ok(())
    }
}

/// Speaks with session-init until it is gone or misbehaves, which ends the connection.
async fn serve(
    link: AsyncLink<ConnectionToInit, InitToConnection>,
    session: Arc<Session>,
    mut outbox: mpsc::Receiver<(ConnectionToInit, Vec<OwnedFd>)>,
    ending: Ending,
) {
    let hearing = async {
        loop {
            match link.recv().await {
                Ok((message, fds)) if fds.is_empty() && session.hear(&message) => {}
                Ok((message, _)) => {
                    tracing::warn!("session-init may not say {message:?}");
                    return;
                }
                Err(LinkError::Closed) => return,
                Err(error) => {
                    tracing::warn!("cannot hear session-init: {error}");
                    return;
                }
            }
        }
    };
    let speaking = async {
        while let Some((message, fds)) = outbox.recv().await {
            let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
            match timeout(INIT, link.send(&message, &borrowed)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    };
    tokio::select! {
        () = hearing => {}
        () = speaking => {}
    }
    // Whoever waits for a program's start or end learns that there will be no word of it.
    hold(&session.programs).clear();
    outbox.close();
    ending.end(End::Session);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        session: Arc<Session>,
        init: Link<InitToConnection, ConnectionToInit>,
        ending: Ending,
        _tasks: JoinSet<()>,
    }

    fn bench() -> Bench {
        let (link, init) = InitLink::pair().unwrap();
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let session = Arc::new(Session {
            terminals: crate::sys::descriptor::null().unwrap(),
            recording: RecordingMode::Off,
            command: None,
            environment: Vec::new(),
            forwarding: Forwarding::default(),
            outbox,
            programs: Mutex::default(),
        });
        let ending = Ending::new();
        let mut tasks = JoinSet::new();
        let link = AsyncLink::new(link).unwrap();
        tasks.spawn(serve(link, Arc::clone(&session), messages, ending.clone()));
        Bench {
            session,
            init,
            ending,
            _tasks: tasks,
        }
    }

    const CHANNEL: ChannelNumber = ChannelNumber(3);

    fn hang_up() -> ConnectionToInit {
        ConnectionToInit::Signal {
            channel: CHANNEL,
            signal: crate::model::Signal::Hup,
        }
    }

    #[tokio::test]
    async fn a_program_starts_and_ends() {
        let bench = bench();
        let channel = CHANNEL;
        bench
            .init
            .send(&InitToConnection::Started { channel, pid: 7 })
            .unwrap();
        let (pid, ended) = bench
            .session
            .start(channel, hang_up(), vec![])
            .await
            .unwrap();
        assert_eq!((pid, bench.init.recv().unwrap()), (7, hang_up()));
        let (exit, usage) = (Exit::Status(4), Usage::default());
        bench
            .init
            .send(&InitToConnection::Ended {
                channel,
                exit,
                usage,
            })
            .unwrap();
        assert_eq!(ended.await.unwrap(), (exit, usage));
    }

    #[tokio::test]
    async fn what_session_init_may_not_say_ends_the_connection() {
        let bench = bench();
        let (exit, usage) = (Exit::Status(0), Usage::default());
        let lie = InitToConnection::Ended {
            channel: CHANNEL,
            exit,
            usage,
        };
        bench.init.send(&lie).unwrap();
        assert_eq!(bench.ending.wait().await, End::Session);
        let start = bench.session.start(CHANNEL, hang_up(), vec![]).await;
        assert_eq!(start.unwrap_err(), NoStart::Gone);
    }

    #[tokio::test]
    async fn the_end_of_session_init_is_the_end_of_its_programs() {
        let bench = bench();
        let channel = CHANNEL;
        bench
            .init
            .send(&InitToConnection::Started { channel, pid: 7 })
            .unwrap();
        let start = bench.session.start(channel, hang_up(), vec![]).await;
        let (_, ended) = start.unwrap();
        drop(bench.init);
        assert!(ended.await.is_err());
        assert_eq!(bench.ending.wait().await, End::Session);
    }
}
