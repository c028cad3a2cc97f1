//! A connection: one SSH transport, from its first byte to its last.
//!
//! Owns the socket, the SSH protocol, and the pipes and terminals of its session's channels. Run by the connection
//! process: forked by the front, one per TCP connection, confined before it reads its first byte, asynchronous on one
//! thread. It must never decide who may log in (keys does), open or start anything itself (session-init does), or wait
//! for anybody without a deadline.
#![forbid(unsafe_code)]

mod algorithms;
mod authentication;
mod channel;
mod ending;
mod exit;
mod extensions;
mod forward;
mod handler;
mod io;
mod keys;
mod links;
mod negotiated;
mod program;
mod recorder;
mod report;
mod rsync;
mod run;
mod running;
mod session;
pub mod sftp;
mod stream;
mod terminal;
mod transfer;

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::algorithms::UnknownAlgorithm;
pub use self::run::run;
use crate::model::{ConnectionId, Peer};
use crate::policy::sandbox::Sandbox;
use crate::policy::ssh::Ssh;
use crate::sys::Errno;
use crate::wire::{
    AuditToPeer, ConnectionToKeys, ConnectionToWarden, KeysToConnection, Link, LinkError,
    ReportToAudit, WardenToConnection,
};

/// What a connection process is given.
#[derive(Debug)]
pub struct Start {
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

/// The policy that a connection goes by, parsed before the fork.
#[derive(Debug)]
pub struct Policy {
    /// What is offered on the wire.
    pub ssh: Ssh,
    /// What a session's environment is made of.
    pub sandbox: Sandbox,
    /// Where `sftp-server` lies inside a session; none where the image has none.
    pub sftp_server: Option<String>,
}

/// Why a connection could not even begin. What a peer does ends a connection without an error.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the members are what the messages name")]
pub enum ConnectionError {
    #[error("cannot start the runtime")]
    Runtime(#[source] std::io::Error),
    #[error("cannot {action}")]
    Socket { action: &'static str, source: Errno },
    #[error("cannot watch the socket")]
    Watch(#[source] std::io::Error),
    #[error("cannot use the link to {to}")]
    Link { to: &'static str, source: LinkError },
    #[error("the host key is none")]
    HostKey(#[source] ssh_key::Error),
    #[error("cannot offer what policy/ssh.toml names")]
    Algorithm(#[from] UnknownAlgorithm),
}

/// Locks; a panic elsewhere while it was locked does not make the value unusable.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
