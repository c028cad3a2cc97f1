//! The front: accepts, counts, forks a connection process for each socket. It never reads a byte of SSH.
//!
//! One thread, no privileges, an empty root and an empty network namespace: all it holds is the listening sockets. No
//! random generator and no hash table is used before the fork, so no two connections inherit the same state.
#![forbid(unsafe_code)]

mod penalties;
mod source;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use self::penalties::{Admission, Offence, Penalties};
use self::source::{Source, makes_room};
use crate::model::{AddressBlock, Allowance, ConnectionId, Peer};
use crate::policy::ssh::{Limits, Ssh};
use crate::sys::process::{self, Forked};
use crate::sys::{Errno, is_shortage, net, random, wait};
use crate::wire::{
    AuditToPeer, ConnectionToKeys, ConnectionToWarden, FrontToWarden, KeysToConnection, Link,
    LinkError, Refusal, ReportToAudit, WardenToConnection, WardenToFront,
};

/// What a connection process is given.
#[derive(Debug)]
pub struct Accepted {
    /// Its name.
    pub cid: ConnectionId,
    /// Where it comes from.
    pub peer: Peer,
    /// The TCP stream, non-blocking.
    pub stream: OwnedFd,
    /// The public host key as an SSH blob.
    pub host_key: Vec<u8>,
    /// To the warden.
    pub warden: Link<ConnectionToWarden, WardenToConnection>,
    /// To keys.
    pub keys: Link<ConnectionToKeys, KeysToConnection>,
    /// To audit.
    pub audit: Link<ReportToAudit, AuditToPeer>,
}

/// Why the front ends.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the members are what the messages name")]
pub enum FrontError {
    #[error("cannot speak to the warden")]
    Warden(#[from] LinkError),
    #[error("cannot {action}")]
    Step { action: &'static str, source: Errno },
}

/// How long accepting rests when descriptors or memory are short: what is there has to end first.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// How often refusals are reported: many in a row become one message.
const REPORT: Duration = Duration::from_secs(5);
/// How many lines about penalties there may be at once, and one more in each second.
const LINES: u64 = 10;

/// Where clients come from, and what of it counts.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// From where they may come; from everywhere, if empty.
    pub allow_from: &'a [AddressBlock],
    /// From where what does not log in is not held against anybody.
    pub penalty_exempt: &'a [AddressBlock],
}

impl Sources<'_> {
    fn allow(&self, ip: IpAddr) -> bool {
        self.allow_from.is_empty() || self.allow_from.iter().any(|block| block.contains(ip))
    }

    fn exempt(&self, ip: IpAddr) -> bool {
        self.penalty_exempt.iter().any(|block| block.contains(ip))
    }
}

struct Front<'a> {
    listeners: Vec<OwnedFd>,
    warden: Link<FrontToWarden, WardenToFront>,
    limits: &'a Limits,
    sources: Sources<'a>,
    penalties: Penalties<'a>,
    /// Lines about penalties: whoever can reach the port can cause them.
    lines: Allowance,
    host_key: Option<Vec<u8>>,
    connections: Vec<Running>,
    refusals: BTreeMap<Refusal, Refusals>,
    paused: bool,
    rests_until: Option<Instant>,
    /// It has rested since the last connection: that was said once.
    short: bool,
}

struct Running {
    cid: ConnectionId,
    peer: Peer,
    pidfd: OwnedFd,
    since: Instant,
    authenticated: bool,
}

/// Those of one reason that were not reported yet.
struct Refusals {
    last: Peer,
    count: u64,
    report_at: Instant,
}

/// Serves until the warden is gone. `connection` is what a forked child does; it ends
/// when that returns.
///
/// # Errors
/// When the warden's link breaks in another way, or the kernel refuses what must work.
pub fn run(
    listeners: Vec<OwnedFd>,
    warden: Link<FrontToWarden, WardenToFront>,
    policy: &Ssh,
    sources: Sources<'_>,
    connection: &dyn Fn(Accepted),
) -> Result<(), FrontError> {
    warden.set_nonblocking()?;
    let mut front = Front {
        listeners,
        warden,
        limits: &policy.limits,
        sources,
        penalties: Penalties::new(&policy.penalties),
        lines: Allowance::new(1, LINES, Instant::now()),
        host_key: None,
        connections: Vec::new(),
        refusals: BTreeMap::new(),
        paused: false,
        rests_until: None,
        short: false,
    };
    let accepted = loop {
        front.report_refusals();
        match front.turn() {
            Ok(None) => {}
            Ok(Some(accepted)) => break accepted,
            Err(FrontError::Warden(LinkError::Closed)) => return Ok(()),
            Err(error) => return Err(error),
        }
    };
    // This is a child now, and keeps nothing of the front's: not the listening sockets, not its word with the warden.
    drop(front);
    connection(accepted);
    Ok(())
}

impl Front<'_> {
    /// Something, in the child, when a connection was accepted.
    fn turn(&mut self) -> Result<Option<Accepted>, FrontError> {
        let rests = self.rests_until.is_some_and(|until| until > Instant::now());
        let accepting = self.host_key.is_some() && !self.paused && !rests;
        let listeners = if accepting {
            self.listeners.as_slice()
        } else {
            &[]
        };
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.warden.as_fd()];
        fds.extend(self.connections.iter().map(|running| running.pidfd.as_fd()));
        fds.extend(listeners.iter().map(AsFd::as_fd));
        let reports = self.refusals.values().map(|refusals| refusals.report_at);
        let until = reports
            .chain(rests.then_some(self.rests_until).flatten())
            .min();
        let ready = wait::readable(&fds, until).map_err(step("wait"))?;
        drop(fds);
        let mut ready = ready.into_iter();
        if ready.next().unwrap_or(false) {
            self.hear()?;
        }
        let ended: Vec<bool> = ready.by_ref().take(self.connections.len()).collect();
        self.remove(&ended);
        for (index, ready) in ready.enumerate() {
            if ready && let Some(accepted) = self.accept(index)? {
                return Ok(Some(accepted));
            }
        }
        Ok(None)
    }

    fn hear(&mut self) -> Result<(), FrontError> {
        loop {
            let (message, fds) = match self.warden.recv_with() {
                Ok(heard) => heard,
                Err(error) if error.would_block() => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            match message {
                WardenToFront::HostKey(blob) => self.host_key = Some(blob),
                WardenToFront::Running {
                    cid,
                    peer,
                    authenticated,
                } => {
                    let [pidfd] = Link::<(), ()>::exactly(fds)?;
                    self.connections.push(Running {
                        cid,
                        peer,
                        pidfd,
                        since: Instant::now(),
                        authenticated,
                    });
                }
                WardenToFront::Authenticated(cid) => {
                    let known = self
                        .connections
                        .iter_mut()
                        .find(|running| running.cid == cid);
                    if let Some(running) = known {
                        running.authenticated = true;
                        self.penalties.logged_in(running.peer.ip.into());
                    }
                }
                WardenToFront::LoginRefused(ip) => self.charge(ip, Offence::Refused),
                WardenToFront::Pause => self.paused = true,
                WardenToFront::Resume => self.paused = false,
            }
        }
    }

    fn accept(&mut self, index: usize) -> Result<Option<Accepted>, FrontError> {
        let Some(listener) = self.listeners.get(index) else {
            return Ok(None);
        };
        let stream = match net::accept(listener.as_fd()) {
            Ok(stream) => stream,
            Err(errno) if is_shortage(errno) => {
                self.rest();
                return Ok(None);
            }
            // Everything else concerns the one connection that was to be accepted (accept(2), ERRORS).
            Err(_) => return Ok(None),
        };
        let Ok(address) = net::peer(stream.as_fd()) else {
            return Ok(None);
        };
        let peer = Peer {
            ip: address.ip(),
            port: address.port(),
        };
        if let Some((refusal, why)) = self.turns_away(peer) {
            self.refused(peer, refusal);
            // Before its first line a server may say others (RFC 4253 §4.2). Whether they arrive is not waited for.
            std::fs::File::from(stream).write_all(why.as_bytes()).ok();
            return Ok(None);
        }
        let unauthenticated = self.unauthenticated();
        let own: Vec<(usize, Source)> = unauthenticated
            .iter()
            .copied()
            .filter(|(_, source)| *source == peer.ip.into())
            .collect();
        if own.len() >= self.limits.unauthenticated_of_source && !self.sources.exempt(peer.ip) {
            self.make_room(&own, peer)?;
        } else if unauthenticated.len() >= self.limits.unauthenticated {
            self.make_room(&unauthenticated, peer)?;
        } else if self.connections.len() >= self.limits.connections {
            self.refused(peer, Refusal::TooMany);
            return Ok(None);
        }
        self.fork(peer, stream)
    }

    /// Why a newcomer is not let in, and what it is told.
    fn turns_away(&mut self, peer: Peer) -> Option<(Refusal, &'static str)> {
        if !self.sources.allow(peer.ip) {
            return Some((Refusal::NotAllowed, "Not allowed from this address\r\n"));
        }
        if self.sources.exempt(peer.ip) {
            return None;
        }
        match self.penalties.admit(peer.ip.into(), Instant::now()) {
            Admission::Granted => None,
            Admission::TooFast => Some((
                Refusal::TooFast,
                "Too many connections from this address: try again in a few seconds\r\n",
            )),
            Admission::Penalised => Some((
                Refusal::Penalised,
                "Too many failed logins from this address: try again in some minutes\r\n",
            )),
        }
    }

    /// Forgets those that have ended. Who did not log in is charged.
    fn remove(&mut self, ended: &[bool]) {
        let grace = Duration::from_secs(self.limits.login_grace_s);
        let mut failed = Vec::new();
        let mut at = 0;
        self.connections.retain(|running| {
            let over = ended.get(at).copied().unwrap_or(false);
            at += 1;
            if over && !running.authenticated {
                failed.push((running.peer.ip, running.since.elapsed() >= grace));
            }
            !over
        });
        for (ip, lingered) in failed {
            self.charge(ip, Offence::Nothing);
            if lingered {
                self.charge(ip, Offence::Lingered);
            }
        }
    }

    fn charge(&mut self, ip: IpAddr, offence: Offence) {
        if self.sources.exempt(ip) {
            return;
        }
        let now = Instant::now();
        if let Some(ban) = self.penalties.charge(ip.into(), offence, now)
            && self.lines.take(1, now)
        {
            tracing::warn!(
                "nobody from {ip} is let in for {} s: too many connections from there did not log in. An address that is \
                 listed in \"penalty_exempt\" is never refused so",
                ban.lasts.as_secs()
            );
        }
    }

    /// Where those that have not logged in stand, and come from.
    fn unauthenticated(&self) -> Vec<(usize, Source)> {
        let all = self.connections.iter().enumerate();
        all.filter(|(_, running)| !running.authenticated)
            .map(|(at, running)| (at, running.peer.ip.into()))
            .collect()
    }

    /// Ends one of them: whoever holds connections open, or makes many, locks out nobody who comes from elsewhere.
    fn make_room(
        &mut self,
        unauthenticated: &[(usize, Source)],
        newcomer: Peer,
    ) -> Result<(), FrontError> {
        let mut chance = [0; 8];
        random::fill(&mut chance).map_err(step("draw lots"))?;
        let held: Vec<Source> = unauthenticated.iter().map(|(_, source)| *source).collect();
        let drawn = makes_room(&held, newcomer.ip.into(), u64::from_ne_bytes(chance));
        if let Some((at, _)) = drawn.and_then(|drawn| unauthenticated.get(drawn)) {
            let running = self.connections.remove(*at);
            // Gone already, if not.
            process::kill(running.pidfd.as_fd()).ok();
            self.refused(running.peer, Refusal::MadeRoom);
        }
        Ok(())
    }

    fn fork(&mut self, peer: Peer, stream: OwnedFd) -> Result<Option<Accepted>, FrontError> {
        let Some(host_key) = self.host_key.clone() else {
            return Ok(None);
        };
        let cid = ConnectionId::new();
        let links = || Ok((Link::pair()?, Link::pair()?, Link::pair()?));
        let ((warden, warden_end), (keys, keys_end), (audit, audit_end)): Links = match links() {
            Ok(links) => links,
            Err(LinkError::Socket(errno)) if is_shortage(errno) => {
                self.rest();
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        // A child of the warden's, not of this process: it ends when the warden does, whatever it is doing, and goes on
        // when this process is replaced. The warden reaps it; its end is seen here through its pidfd.
        let child = match process::fork_sibling() {
            Ok(Forked::Child) => {
                process::die_with_parent().map_err(step("ask to end with the warden"))?;
                return Ok(Some(Accepted {
                    cid,
                    peer,
                    stream,
                    host_key,
                    warden,
                    keys,
                    audit,
                }));
            }
            Ok(Forked::Parent(child)) => child,
            Err(errno) => {
                tracing::debug!("cannot fork for the connection from {peer}: {errno}");
                self.rest();
                return Ok(None);
            }
        };
        let fds = [
            child.pidfd.as_fd(),
            warden_end.as_fd(),
            keys_end.as_fd(),
            audit_end.as_fd(),
        ];
        match self
            .warden
            .send_with(&FrontToWarden::Accepted { cid, peer }, &fds)
        {
            Ok(()) => {
                self.short = false;
                self.connections.push(Running {
                    cid,
                    peer,
                    pidfd: child.pidfd,
                    since: Instant::now(),
                    authenticated: false,
                });
            }
            Err(error) if error.would_block() || error.is_shortage() => {
                // Nobody would end it at the grace limit.
                child
                    .kill()
                    .map_err(step("end a connection that the warden does not know"))?;
                self.refused(peer, Refusal::Busy);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(None)
    }

    /// Accepts nothing for a moment.
    fn rest(&mut self) {
        if !std::mem::replace(&mut self.short, true) {
            tracing::warn!("out of descriptors, memory or processes: new connections wait");
        }
        self.rests_until = Some(Instant::now() + EXHAUSTED);
    }

    fn refused(&mut self, peer: Peer, reason: Refusal) {
        let refusals = self.refusals.entry(reason).or_insert_with(|| Refusals {
            last: peer,
            count: 0,
            report_at: Instant::now(),
        });
        refusals.last = peer;
        refusals.count += 1;
    }

    /// The first at once, then at most one message each [`REPORT`] for each reason. What the warden does not take is
    /// counted on.
    fn report_refusals(&mut self) {
        let now = Instant::now();
        let warden = &self.warden;
        self.refusals.retain(|reason, refusals| {
            if refusals.report_at > now {
                return true;
            }
            if refusals.count == 0 {
                return false;
            }
            let message = FrontToWarden::Refused {
                peer: refusals.last,
                count: refusals.count,
                reason: *reason,
            };
            refusals.report_at = now + REPORT;
            match warden.send(&message) {
                Ok(()) => refusals.count = 0,
                Err(error) => tracing::warn!("the warden does not hear of refusals: {error}"),
            }
            true
        });
    }
}

/// The near and the far end of each link of a connection.
type Links = (
    (
        Link<ConnectionToWarden, WardenToConnection>,
        Link<WardenToConnection, ConnectionToWarden>,
    ),
    (
        Link<ConnectionToKeys, KeysToConnection>,
        Link<KeysToConnection, ConnectionToKeys>,
    ),
    (
        Link<ReportToAudit, AuditToPeer>,
        Link<AuditToPeer, ReportToAudit>,
    ),
);

fn step(action: &'static str) -> impl FnOnce(Errno) -> FrontError {
    move |source| FrontError::Step { action, source }
}
