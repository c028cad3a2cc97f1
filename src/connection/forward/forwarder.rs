//! The session's forwarder as the connection sees it: a process of the session, so nothing that it says is believed for more
//! than its own stream.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::connection::ending::Ending;
use crate::connection::hold;
use crate::connection::links::AsyncLink;
use crate::wire::limits::{DIAL, FORWARDED};
use crate::wire::{
    ConnectionToForwarder, ForwardFault, ForwarderToConnection, Link, LinkError, Place, Target,
};

/// The connection's end of the link.
pub(super) type ForwarderLink = Link<ConnectionToForwarder, ForwarderToConnection>;

/// How long the forwarder may take for what does not depend on others.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pairs of pipes on their way at the same time: what is on its way in sockets is counted for all connections together
/// (policy/sandbox.toml, servers.front).
const ON_THEIR_WAY: usize = 4;
/// Messages that wait to be sent: more than there are streams and listeners, so that none is ever lost.
const OUTBOX: usize = 4 * FORWARDED;

/// Why the forwarder did not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoForward {
    /// It says so.
    Fault(ForwardFault),
    /// It says nothing any more.
    Gone,
}

/// The link to the forwarder, and who waits for what on it.
#[derive(Debug)]
pub(super) struct Forwarder {
    outbox: mpsc::Sender<(ConnectionToForwarder, Vec<OwnedFd>)>,
    expected: Mutex<BTreeMap<u32, Expected>>,
    next: AtomicU32,
    taking: Semaphore,
}

/// What the forwarder is still to say of a number.
#[derive(Debug)]
enum Expected {
    Dial(oneshot::Sender<Result<(), ForwardFault>>),
    Listen(oneshot::Sender<Result<u16, ForwardFault>>),
    Accept(oneshot::Sender<Option<SocketAddr>>),
    Take(oneshot::Sender<()>),
}

/// A stream without pipes, or a listener. Once this is gone, so is that.
#[derive(Debug)]
pub(super) struct Held {
    of: Arc<Forwarder>,
    id: u32,
    given_up: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.given_up {
            let message = ConnectionToForwarder::Drop { id: self.id };
            if self.of.outbox.try_send((message, Vec::new())).is_err() {
                tracing::debug!("the forwarder does not read: a message is lost");
            }
        }
    }
}

impl Forwarder {
    /// A forwarder behind `link`, and the task that serves it.
    pub(super) fn new(
        link: ForwarderLink,
        ending: Ending,
    ) -> Result<(Arc<Self>, impl Future<Output = ()>), LinkError> {
        let link = AsyncLink::new(link)?;
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let forwarder = Arc::new(Self {
            outbox,
            expected: Mutex::default(),
            next: AtomicU32::new(0),
            taking: Semaphore::new(ON_THEIR_WAY),
        });
        let serving = serve(link, Arc::clone(&forwarder), messages, ending);
        Ok((forwarder, serving))
    }

    /// Connects to `to`.
    pub(super) async fn dial(self: &Arc<Self>, to: Target) -> Result<Held, NoForward> {
        let (answered, answer) = oneshot::channel();
        let held = self.held(Expected::Dial(answered));
        let id = held.id;
        // A little more than the forwarder takes by itself.
        let limit = DIAL + PATIENCE;
        let message = ConnectionToForwarder::Dial { id, to };
        match self.ask(message, Vec::new(), answer, limit).await? {
            Ok(()) => Ok(held),
            Err(fault) => Err(held.none(fault)),
        }
    }

    /// Listens at `at`; on which port.
    pub(super) async fn listen(self: &Arc<Self>, at: Place) -> Result<(Held, u16), NoForward> {
        let (answered, answer) = oneshot::channel();
        let held = self.held(Expected::Listen(answered));
        let message = ConnectionToForwarder::Listen { id: held.id, at };
        match self.ask(message, Vec::new(), answer, PATIENCE).await? {
            Ok(port) => Ok((held, port)),
            Err(fault) => Err(held.none(fault)),
        }
    }

    /// Waits for somebody who connects to a listener, and says who.
    pub(super) async fn accept(
        self: &Arc<Self>,
        listener: &Held,
    ) -> Result<(Held, Option<SocketAddr>), NoForward> {
        let (answered, answer) = oneshot::channel();
        let held = self.held(Expected::Accept(answered));
        let message = ConnectionToForwarder::Accept {
            id: held.id,
            listener: listener.id,
        };
        self.send(message, Vec::new()).await?;
        let from = answer.await.map_err(|_| NoForward::Gone)?;
        Ok((held, from))
    }

    /// Has a stream carried between two pipes.
    pub(super) async fn take(
        self: &Arc<Self>,
        mut held: Held,
        pipes: [OwnedFd; 2],
    ) -> Result<(), NoForward> {
        let permit = timeout(PATIENCE, self.taking.acquire()).await;
        let Ok(Ok(_permit)) = permit else {
            return Err(NoForward::Gone);
        };
        let (answered, answer) = oneshot::channel();
        let id = held.id;
        hold(&self.expected).insert(id, Expected::Take(answered));
        held.given_up = false;
        let message = ConnectionToForwarder::Take { id };
        self.ask(message, pipes.into(), answer, PATIENCE).await
    }

    fn held(self: &Arc<Self>, expected: Expected) -> Held {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        hold(&self.expected).insert(id, expected);
        Held {
            of: Arc::clone(self),
            id,
            given_up: true,
        }
    }

    async fn send(
        &self,
        message: ConnectionToForwarder,
        fds: Vec<OwnedFd>,
    ) -> Result<(), NoForward> {
        match timeout(PATIENCE, self.outbox.send((message, fds))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NoForward::Gone),
        }
    }

    async fn ask<T>(
        &self,
        message: ConnectionToForwarder,
        fds: Vec<OwnedFd>,
        answer: oneshot::Receiver<T>,
        limit: Duration,
    ) -> Result<T, NoForward> {
        self.send(message, fds).await?;
        match timeout(limit, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(NoForward::Gone),
            Err(_) => Err(NoForward::Fault(ForwardFault::TimedOut)),
        }
    }

    /// What the forwarder says; false where it may not say that. Who waited for it may have gone: then what it is about has
    /// been dropped already.
    fn hear(&self, message: &ForwarderToConnection) -> bool {
        let (ForwarderToConnection::Connected { id }
        | ForwarderToConnection::Failed { id, .. }
        | ForwarderToConnection::Listening { id, .. }
        | ForwarderToConnection::Incoming { id, .. }
        | ForwarderToConnection::Taken { id }) = message;
        let expected = hold(&self.expected).remove(id);
        match (message, expected) {
            (ForwarderToConnection::Connected { .. }, Some(Expected::Dial(answer))) => {
                answer.send(Ok(())).ok();
            }
            (ForwarderToConnection::Failed { fault, .. }, Some(Expected::Dial(answer))) => {
                answer.send(Err(*fault)).ok();
            }
            (ForwarderToConnection::Failed { fault, .. }, Some(Expected::Listen(answer))) => {
                answer.send(Err(*fault)).ok();
            }
            (ForwarderToConnection::Listening { port, .. }, Some(Expected::Listen(answer))) => {
                answer.send(Ok(*port)).ok();
            }
            (ForwarderToConnection::Incoming { from, .. }, Some(Expected::Accept(answer))) => {
                answer.send(*from).ok();
            }
            (ForwarderToConnection::Taken { .. }, Some(Expected::Take(answer))) => {
                answer.send(()).ok();
            }
            _ => return false,
        }
        true
    }
}

impl Held {
    /// There is nothing to be dropped: the forwarder did not make it.
    fn none(mut self, fault: ForwardFault) -> NoForward {
        self.given_up = false;
        NoForward::Fault(fault)
    }
}

/// Speaks with the forwarder until it is gone or misbehaves, which ends this session's forwarding and nothing else.
async fn serve(
    link: AsyncLink<ConnectionToForwarder, ForwarderToConnection>,
    forwarder: Arc<Forwarder>,
    mut outbox: mpsc::Receiver<(ConnectionToForwarder, Vec<OwnedFd>)>,
    ending: Ending,
) {
    let hearing = async {
        loop {
            match link.recv().await {
                Ok((message, fds)) if fds.is_empty() && forwarder.hear(&message) => {}
                Ok((message, _)) => {
                    tracing::warn!("a session's forwarder may not say {message:?}");
                    return;
                }
                Err(LinkError::Closed) => return,
                Err(error) => {
                    tracing::warn!("cannot hear a session's forwarder: {error}");
                    return;
                }
            }
        }
    };
    let speaking = async {
        while let Some((message, fds)) = outbox.recv().await {
            let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
            match timeout(PATIENCE, link.send(&message, &borrowed)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    };
    tokio::select! {
        () = hearing => {}
        () = speaking => {}
        _ = ending.wait() => {}
    }
    outbox.close();
    // Whoever waits learns that there will be no answer.
    hold(&forwarder.expected).clear();
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    struct Bench {
        forwarder: Arc<Forwarder>,
        far: Link<ForwarderToConnection, ConnectionToForwarder>,
        tasks: JoinSet<()>,
    }

    fn bench() -> Bench {
        let (near, far) = ForwarderLink::pair().unwrap();
        let (forwarder, serving) = Forwarder::new(near, Ending::new()).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serving);
        Bench {
            forwarder,
            far,
            tasks,
        }
    }

    fn target() -> Target {
        Target::Unix("/x".to_owned())
    }

    #[tokio::test]
    async fn a_stream_that_nobody_takes_is_dropped() {
        let bench = bench();
        bench
            .far
            .send(&ForwarderToConnection::Connected { id: 0 })
            .unwrap();
        let held = bench.forwarder.dial(target()).await.unwrap();
        let dial = ConnectionToForwarder::Dial {
            id: 0,
            to: target(),
        };
        assert_eq!(bench.far.recv().unwrap(), dial);
        drop(held);
        tokio::task::yield_now().await;
        let dropped = ConnectionToForwarder::Drop { id: 0 };
        assert_eq!(bench.far.recv().unwrap(), dropped);
    }

    #[tokio::test]
    async fn a_dial_that_is_given_up_is_dropped_and_its_answer_is_no_lie() {
        let mut bench = bench();
        let dialling = timeout(Duration::from_millis(20), bench.forwarder.dial(target()));
        assert!(dialling.await.is_err());
        tokio::task::yield_now().await;
        bench.far.recv().unwrap();
        let dropped = ConnectionToForwarder::Drop { id: 0 };
        assert_eq!(bench.far.recv().unwrap(), dropped);
        let fault = ForwardFault::GivenUp;
        bench
            .far
            .send(&ForwarderToConnection::Failed { id: 0, fault })
            .unwrap();
        let alive = timeout(Duration::from_millis(50), bench.tasks.join_next());
        assert!(alive.await.is_err(), "it was taken for a lie");
    }

    #[tokio::test]
    async fn a_forwarder_that_lies_ends_forwarding() {
        for lie in [
            ForwarderToConnection::Connected { id: 0 },
            ForwarderToConnection::Taken { id: 0 },
            ForwarderToConnection::Listening { id: 7, port: 22 },
            ForwarderToConnection::Incoming { id: 0, from: None },
        ] {
            let mut bench = bench();
            if matches!(lie, ForwarderToConnection::Incoming { .. }) {
                let forwarder = Arc::clone(&bench.forwarder);
                bench.tasks.spawn(async move {
                    assert_eq!(forwarder.dial(target()).await.unwrap_err(), NoForward::Gone);
                });
                tokio::task::yield_now().await;
            }
            bench.far.send(&lie).unwrap();
            let ended = timeout(Duration::from_secs(5), async {
                while bench.tasks.join_next().await.is_some() {}
            });
            ended.await.expect("it was believed");
            let dial = bench.forwarder.dial(target()).await;
            assert_eq!(dial.unwrap_err(), NoForward::Gone);
        }
    }

    #[tokio::test]
    async fn descriptors_of_a_session_end_forwarding() {
        let mut bench = bench();
        let forwarder = Arc::clone(&bench.forwarder);
        bench.tasks.spawn(async move {
            assert!(forwarder.dial(target()).await.is_err());
        });
        tokio::task::yield_now().await;
        let null = crate::sys::descriptor::null().unwrap();
        let message = ForwarderToConnection::Connected { id: 0 };
        bench.far.send_with(&message, &[null.as_fd()]).unwrap();
        let ended = timeout(Duration::from_secs(5), async {
            while bench.tasks.join_next().await.is_some() {}
        });
        ended.await.expect("it was taken");
    }
}
