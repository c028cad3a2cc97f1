//! The broker process: between the sessions' sockets and the Supervisor. It owns the API token.
//!
//! A request gets a verdict, then a record, then goes out as what policy rebuilt it to; nothing that a session wrote
//! reaches the Supervisor but checked parameters, a re-serialised JSON body and three headers. It runs on its own uid,
//! without capabilities, in a root that holds `hosts` and `resolv.conf` only. It must never let a request through
//! without a rule and a record, follow a redirect or a proxy variable, or show the token to anybody.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinSet};

use crate::model::SessionId;
use crate::policy::endpoints::{Endpoints, EndpointsError};
use crate::policy::roles::{RoleRules, Roles, RolesError};
use crate::wire::{
    AuditToPeer, BrokerConfig, BrokerToWarden, Link, LinkError, ReportToAudit, WardenToBroker,
};

mod answer;
mod audit;
mod body;
mod call;
mod desk;
mod head;
mod headers;
mod json;
mod link;
mod own;
mod pace;
mod reply;
mod session;
mod slot;
mod supervisor;
mod token;

use audit::Audit;
use desk::{Ask, Desk};
use link::AsyncLink;
use session::Session;
use supervisor::Supervisor;

/// How long records may take to leave before a session is reported closed. The warden waits for that answer.
const FLUSH: Duration = Duration::from_secs(1);

/// Threads that look names up (getaddrinfo(3) blocks); calls wait for each other beyond that.
const RESOLVERS: usize = 2;

/// What ends the broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// `policy/endpoints.toml` as it was compiled in.
    #[error("cannot use the table of endpoints")]
    Endpoints(#[source] EndpointsError),
    /// `policy/roles.toml` as it was compiled in, with the roles of the options.
    #[error("cannot use the table of roles")]
    Roles(#[source] RolesError),
    /// It has characters that no header can hold.
    #[error("the Supervisor's token cannot be sent in a header")]
    Token,
    /// Not an `http` address of a host.
    #[error("{0:?} is no address of a Supervisor, such as http://supervisor")]
    Address(String),
    /// The HTTP client.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// epoll and its like.
    #[error("cannot start the event loop")]
    Runtime(#[source] std::io::Error),
    /// The link to the warden, which must never fail.
    #[error("cannot talk to the warden")]
    Warden(#[source] LinkError),
    /// The first link to audit.
    #[error("cannot use the link to audit")]
    Audit(#[source] LinkError),
    /// A session's listening socket.
    #[error("cannot listen for session {sid}")]
    Listen {
        /// Whose.
        sid: SessionId,
        /// Why.
        source: std::io::Error,
    },
    /// The warden said what its state does not permit.
    #[error("session {0} was opened twice")]
    Reopened(SessionId),
    /// A defect of ours: the task that writes to audit ended.
    #[error("the writer of records ended")]
    Writer,
}

/// What all sessions share.
struct Broker {
    endpoints: Endpoints,
    roles: Roles,
    supervisor: Supervisor,
    audit: Audit,
    desk: Desk,
}

/// Serves sessions until the warden closes its link. The process is already confined when this is called.
///
/// # Errors
/// A configuration that cannot work, or a warden that breaks the protocol.
pub fn run(
    config: BrokerConfig,
    warden: Link<BrokerToWarden, WardenToBroker>,
    audit: Link<ReportToAudit, AuditToPeer>,
) -> Result<(), BrokerError> {
    let endpoints = Endpoints::shipped().map_err(BrokerError::Endpoints)?;
    let roles = roles(&config, &endpoints).map_err(BrokerError::Roles)?;
    let supervisor = Supervisor::new(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(RESOLVERS)
        .build()
        .map_err(BrokerError::Runtime)?;
    let served = runtime.block_on(async {
        let warden = AsyncLink::new(warden).map_err(BrokerError::Warden)?;
        let link = AsyncLink::new(audit).map_err(BrokerError::Audit)?;
        let (audit, writer) = audit::channel(link);
        let (audit_links, links) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(writer.run(links));
        let (asks, mut asked) = mpsc::channel(desk::ASKS);
        let broker = Arc::new(Broker {
            endpoints,
            roles,
            supervisor,
            audit,
            desk: Desk::new(asks),
        });
        tokio::select! {
            served = Sessions::new(broker).serve(&warden, &audit_links, &mut asked) => served,
            _ = tasks.join_next() => Err(BrokerError::Writer),
        }
    });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    served
}

/// The sessions that are being served, each by one task.
struct Sessions {
    broker: Arc<Broker>,
    tasks: JoinSet<()>,
    open: HashMap<SessionId, Open>,
}

struct Open {
    stop: watch::Sender<bool>,
    task: task::Id,
}

impl Sessions {
    fn new(broker: Arc<Broker>) -> Self {
        Self {
            broker,
            tasks: JoinSet::new(),
            open: HashMap::new(),
        }
    }

    async fn serve(
        mut self,
        warden: &AsyncLink<BrokerToWarden, WardenToBroker>,
        audit_links: &mpsc::Sender<AsyncLink<ReportToAudit, AuditToPeer>>,
        asked: &mut mpsc::Receiver<Ask>,
    ) -> Result<(), BrokerError> {
        loop {
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id() => {
                    let task = match ended {
                        Ok((task, ())) => task,
                        Err(error) => {
                            tracing::error!("a session's task ended by itself: {error}");
                            error.id()
                        }
                    };
                    let closing = |open: &Open| open.task == task && *open.stop.borrow();
                    let sid = self.open.iter().find(|(_, open)| closing(open)).map(|(sid, _)| *sid);
                    if let Some(sid) = sid {
                        self.open.remove(&sid);
                        self.closed(warden, sid).await?;
                    }
                }
                Some(ask) = asked.recv() => {
                    let sent = match ask {
                        Ask::Read(link) => {
                            warden.send_with(&BrokerToWarden::Read, &[link.as_fd()]).await
                        }
                        Ask::Kill { sid, by } => warden.send(&BrokerToWarden::Kill { sid, by }).await,
                    };
                    sent.map_err(BrokerError::Warden)?;
                }
                message = warden.recv() => match message {
                    Ok((message, fds)) => self.obey(message, fds, warden, audit_links).await?,
                    Err(LinkError::Closed) => return Ok(()),
                    Err(error) => return Err(BrokerError::Warden(error)),
                },
            }
        }
    }

    async fn obey(
        &mut self,
        message: WardenToBroker,
        fds: Vec<OwnedFd>,
        warden: &AsyncLink<BrokerToWarden, WardenToBroker>,
        audit_links: &mpsc::Sender<AsyncLink<ReportToAudit, AuditToPeer>>,
    ) -> Result<(), BrokerError> {
        match message {
            WardenToBroker::OpenSession {
                sid,
                cid,
                uid,
                grant,
            } => {
                let [fd] = exactly(fds)?;
                if self.open.contains_key(&sid) {
                    return Err(BrokerError::Reopened(sid));
                }
                let listener = listen(fd).map_err(|source| BrokerError::Listen { sid, source })?;
                let session = Arc::new(Session::new(
                    sid,
                    cid,
                    uid,
                    *grant,
                    self.broker.roles.limits(),
                ));
                let (stop, stopped) = watch::channel(false);
                self.broker.desk.opened(&session, stopped.clone());
                let serve = session::serve(self.broker.clone(), session, listener, stopped);
                let task = self.tasks.spawn(serve).id();
                self.open.insert(sid, Open { stop, task });
            }
            WardenToBroker::CloseSession(sid) => {
                let [] = exactly(fds)?;
                let running = self.open.get(&sid).map(|open| open.stop.send(true).is_ok());
                // Not there, or its task is gone already: nothing is left of it.
                if running != Some(true) {
                    self.open.remove(&sid);
                    self.closed(warden, sid).await?;
                }
            }
            WardenToBroker::Audit => {
                let [fd] = exactly(fds)?;
                let link = Link::from_fd(fd)
                    .and_then(AsyncLink::new)
                    .map_err(BrokerError::Audit)?;
                audit_links
                    .send(link)
                    .await
                    .map_err(|_| BrokerError::Writer)?;
            }
        }
        Ok(())
    }

    /// Says that nothing of the session is left, after its last records.
    async fn closed(
        &self,
        warden: &AsyncLink<BrokerToWarden, WardenToBroker>,
        sid: SessionId,
    ) -> Result<(), BrokerError> {
        self.broker.desk.closed(sid);
        if tokio::time::timeout(FLUSH, self.broker.audit.flush())
            .await
            .is_err()
        {
            tracing::warn!(%sid, "the session's last records wait for audit");
        }
        warden
            .send(&BrokerToWarden::Closed(sid))
            .await
            .map_err(BrokerError::Warden)
    }
}

/// The roles that ship, and those of the options.
fn roles(config: &BrokerConfig, endpoints: &Endpoints) -> Result<Roles, RolesError> {
    let mut roles = Roles::shipped()?;
    if config.backup_download {
        roles = roles.with_backup_download();
    }
    for role in &config.own_roles {
        let rules = RoleRules::own(&role.may, role.config, role.network, endpoints);
        let rules = rules.map_err(|source| RolesError::May {
            role: role.name.clone(),
            source,
        })?;
        roles = roles.with(role.name.clone(), rules)?;
    }
    Ok(roles)
}

fn exactly<const N: usize>(fds: Vec<OwnedFd>) -> Result<[OwnedFd; N], BrokerError> {
    Link::<BrokerToWarden, WardenToBroker>::exactly(fds).map_err(BrokerError::Warden)
}

fn listen(fd: OwnedFd) -> std::io::Result<tokio::net::UnixListener> {
    let listener = UnixListener::from(fd);
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}
