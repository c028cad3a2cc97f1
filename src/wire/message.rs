use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::audit::{Event, Record};
use super::disagreement::Disagreement;
use super::recording::RecordingPart;
use crate::model::{
    ChannelNumber, ConnectionId, Exit, Grant, Peer, Permits, SessionId, Signal, Usage,
};

/// What the front says to the warden.
#[derive(Debug, Serialize, Deserialize)]
pub enum FrontToWarden {
    /// A connection process was forked. Descriptors: its pidfd, then the far ends of its links to the warden, to keys
    /// and to audit.
    Accepted {
        /// The new connection.
        cid: ConnectionId,
        /// Where it comes from.
        peer: Peer,
    },
    /// Connections were closed unasked.
    Refused {
        /// Where the last one came from.
        peer: Peer,
        /// How many since the last message of this reason.
        count: u64,
        /// Which limit.
        reason: Refusal,
    },
}

/// Why a connection was closed unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// There are as many as may be.
    TooMany,
    /// It had not logged in, as many others had not: it made room for a new one.
    MadeRoom,
    /// The warden has too much to do.
    Busy,
    /// It comes from where nobody may come from.
    NotAllowed,
    /// Its source made too many that did not log in.
    TooFast,
    /// Its source is refused for a while, for what it did before.
    Penalised,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooMany => "too many connections",
            Self::MadeRoom => "too many that have not logged in, one made room",
            Self::Busy => "the warden has too much to do",
            Self::NotAllowed => "not from where \"allow_from\" lets anybody in",
            Self::TooFast => "too many from there in a short time that did not log in",
            Self::Penalised => {
                "too many logins from there failed, nobody from there is let in for a while"
            }
        })
    }
}

/// What the warden says to the front.
#[derive(Debug, Serialize, Deserialize)]
pub enum WardenToFront {
    /// The public host key as an SSH blob (RFC 4253 §6.6). Until it comes, nothing is accepted.
    HostKey(Vec<u8>),
    /// The connection logged in: it no longer counts as pre-authentication.
    Authenticated(ConnectionId),
    /// A connection of a front before this one, to be counted. Descriptor: its pidfd. These come before `HostKey`.
    Running {
        /// The connection.
        cid: ConnectionId,
        /// Where it comes from.
        peer: Peer,
        /// Whether it logged in.
        authenticated: bool,
    },
    /// Accept nothing until `Resume`: keys or audit does not keep up, and clients wait in the kernel's backlog.
    Pause,
    /// See `Pause`.
    Resume,
    /// A connection from there was refused a login, and has ended.
    LoginRefused(IpAddr),
}

/// What a connection says to the warden: nothing but that it lives, and its end, which are the link's.
#[derive(Debug, Serialize, Deserialize)]
pub enum ConnectionToWarden {}

/// What the warden says to a connection.
#[derive(Debug, Serialize, Deserialize)]
pub enum WardenToConnection {
    /// The session's sandbox is there and its opening is on record. Descriptors: session-init's control socket, and a
    /// detached mount of the session's devpts.
    SessionReady {
        /// The session.
        sid: SessionId,
        /// What it was granted.
        grant: Box<Grant>,
    },
    /// No sandbox could be made; the reason is for the user.
    SessionRefused(String),
    /// Keys was restarted: the new link. One descriptor.
    Keys,
    /// Audit was restarted: the new link. One descriptor.
    Audit,
}

/// What a connection asks of keys.
#[derive(Debug, Serialize, Deserialize)]
pub enum ConnectionToKeys {
    /// Sign this exchange hash (RFC 4253 §8). The first one of a link is its session identifier.
    Sign {
        /// 20, 32, 48 or 64 bytes.
        exchange_hash: Vec<u8>,
    },
    /// Would this key do? RFC 4252 §7, without a signature.
    Offer {
        /// All of `SSH_MSG_USERAUTH_REQUEST`.
        request: Vec<u8>,
    },
    /// A signed request. Nothing but these bytes counts.
    PublicKey {
        /// The session identifier that the connection believes in.
        session_id: Vec<u8>,
        /// From `SSH_MSG_USERAUTH_REQUEST` up to the signature, RFC 4252 §7.
        request: Vec<u8>,
        /// The encoded signature.
        signature: Vec<u8>,
    },
    /// A password; RFC 4252 §8, RFC 4256.
    Password {
        /// The user name of the request.
        user: String,
        /// As sent.
        password: String,
        /// How it was asked for.
        by: PasswordMethod,
    },
    /// An attempt of which nothing is to be verified. It failed, and counts.
    Failed {
        /// The user name of the request.
        user: String,
        /// The method's name, as the client said it.
        method: String,
        /// Why there is nothing to verify.
        fault: Fault,
    },
    /// Prove that these host keys are this server's, to a client that has logged in; `hostkeys-prove-00@openssh.com` of
    /// OpenSSH's PROTOCOL. keys composes what is signed.
    Prove {
        /// SSH blobs, RFC 4253 §6.6: one at least, and no more than `limits::HOST_KEYS`.
        host_keys: Vec<Vec<u8>>,
    },
    /// The first key exchange failed. Once, before anything else, and not answered.
    Disagreed(Disagreement),
}

/// How a client gives a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PasswordMethod {
    /// In its request, RFC 4252 §8.
    Password,
    /// As the answer to a question, RFC 4256.
    KeyboardInteractive,
}

impl PasswordMethod {
    /// The method's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::KeyboardInteractive => "keyboard-interactive",
        }
    }
}

/// What is wrong with an attempt by itself, whoever makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The method is not one of those that are offered.
    Method,
    /// It would have changed the password, RFC 4252 §8.
    PasswordChange,
    /// It is longer than what is looked at.
    Length,
    /// It answers one question with none, several, or no text; RFC 4256 §3.4.
    Answers,
}

/// What keys answers to a connection: one answer to each request, in order.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeysToConnection {
    /// The encoded signature of the exchange hash.
    Signed(Vec<u8>),
    /// To an offer.
    Acceptable,
    /// The login is good; the warden has been told. What it may do beside running programs.
    Granted(Permits),
    /// An offer or an attempt that does not do. The peer may try again.
    Refused,
    /// It may not: too many.
    TooMany,
    /// The encoded signatures that prove host keys: one for each that was asked about, in order.
    Proven(Vec<Vec<u8>>),
    /// One of them is not this server's, or keys was restarted and does not know the session identifier.
    Unproven,
}

/// Whether a connection may still log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Just accepted.
    Fresh,
    /// Logged in before keys was restarted: exchange hashes are signed for it, evidence is not taken.
    Established,
}

/// What the warden says to keys.
#[derive(Debug, Serialize, Deserialize)]
pub enum WardenToKeys {
    /// A connection's link. One descriptor.
    Connection {
        /// Whose.
        cid: ConnectionId,
        /// Where it comes from.
        peer: Peer,
        /// Whether it may still log in.
        phase: Phase,
    },
    /// The link to audit. One descriptor.
    Audit,
}

/// What keys says to the warden.
#[derive(Debug, Serialize, Deserialize)]
pub enum KeysToWarden {
    /// Once, at start: the public host key as an SSH blob, and its fingerprint.
    HostKey {
        /// RFC 4253 §6.6.
        blob: Vec<u8>,
        /// `SHA256:…`
        fingerprint: String,
    },
    /// This connection proved a login.
    Granted {
        /// Which connection.
        cid: ConnectionId,
        /// What it may do.
        grant: Box<Grant>,
    },
    /// A connection from there was refused a login, and has ended.
    LoginRefused(IpAddr),
}

/// What audit must know of a session to name it in its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// The session.
    pub sid: SessionId,
    /// Its connection.
    pub cid: ConnectionId,
    /// Where it comes from.
    pub peer: Peer,
    /// What it was granted.
    pub grant: Grant,
}

/// What the warden says to audit.
#[derive(Debug, Serialize, Deserialize)]
pub enum WardenToAudit {
    /// A connection's link. One descriptor.
    Connection {
        /// Whose.
        cid: ConnectionId,
        /// Where it comes from.
        peer: Peer,
        /// Its session, where audit was restarted under it.
        session: Option<SessionFacts>,
    },
    /// The link of keys or of the broker. One descriptor.
    Reporter(Reporter),
    /// Begin the session's file. Answered by `AuditToWarden::Opened` once durable.
    OpenSession {
        /// Who and what.
        facts: SessionFacts,
        /// The `session.open` record's own members.
        event: Event,
    },
    /// End the session's file.
    CloseSession {
        /// Which.
        sid: SessionId,
        /// The `session.close` record's own members.
        event: Event,
    },
    /// A record that belongs to no session.
    Record(Record),
}

/// Which process reports on a link, besides connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reporter {
    /// `auth.*`
    Keys,
    /// `api.*`
    Broker,
}

/// What audit says to the warden.
#[derive(Debug, Serialize, Deserialize)]
pub enum AuditToWarden {
    /// It has the trail and writes: said once, before all else.
    Ready,
    /// The session's first record is on the disk.
    Opened(SessionId),
    /// The session's last record is on the disk.
    Closed(SessionId),
    /// The session's record could not be begun, or its budget is used up: it must end.
    Failed {
        /// Which.
        sid: SessionId,
        /// Why, for the log and the user.
        reason: String,
    },
}

/// What connections, keys and the broker say to audit.
#[derive(Debug, Serialize, Deserialize)]
pub enum ReportToAudit {
    /// For a file of records.
    Record {
        /// What happened.
        record: Record,
        /// If given: answer with this once the record is on the disk.
        receipt: Option<u64>,
    },
    /// For a recording; of connections alone.
    Recording(RecordingPart),
}

/// What audit answers to them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditToPeer {
    /// The record with this receipt is on the disk.
    Durable(u64),
    /// It could not be written.
    Failed(u64),
    /// It could not be written, and the session goes on all the same: its key or the options say so.
    Waived(u64),
    /// Nothing more of this recording is taken. Said to connections alone.
    RecordingStopped(u32),
}

/// What the warden says to the broker.
#[derive(Debug, Serialize, Deserialize)]
pub enum WardenToBroker {
    /// Serve a session. One descriptor: its listening Unix socket.
    OpenSession {
        /// Which.
        sid: SessionId,
        /// Its connection.
        cid: ConnectionId,
        /// The only uid that may connect.
        uid: u32,
        /// Who it is and what it may do.
        grant: Box<Grant>,
    },
    /// Close the session's socket and all its connections, then answer `Closed`.
    CloseSession(SessionId),
    /// The link to audit. One descriptor.
    Audit,
}

/// What the broker says to the warden.
#[derive(Debug, Serialize, Deserialize)]
pub enum BrokerToWarden {
    /// Start a reader of the audit trail. One descriptor: its link, from which it reads its question.
    Read,
    /// End a session: another one, or the same, asked for it and may.
    Kill {
        /// Which.
        sid: SessionId,
        /// Who asked.
        by: SessionId,
    },
    /// Nothing of the session is left in the broker.
    Closed(SessionId),
}

/// A program to start in a session.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawn {
    /// The channel it belongs to.
    pub channel: ChannelNumber,
    /// The file to execute, an absolute path inside the sandbox.
    pub path: String,
    /// Its arguments, the zeroth included. No NUL.
    pub arguments: Vec<Vec<u8>>,
    /// All of its environment, `NAME=value`. No NUL.
    pub environment: Vec<Vec<u8>>,
    /// Where to start, `/` if it cannot be entered.
    pub directory: String,
    /// Descriptors beside the message: with a terminal its one end; else those that become 0, 1 and 2.
    pub terminal: bool,
}

/// What a connection says to session-init.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionToInit {
    /// Start a program.
    Spawn(Spawn),
    /// Signal a channel's program and its process group.
    Signal {
        /// Whose.
        channel: ChannelNumber,
        /// Which.
        signal: Signal,
    },
    /// Start the session's forwarder; once. Descriptor: its link to the connection.
    Forward,
}

/// What session-init says: input from the session, believed for what it costs the session alone.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitToConnection {
    /// The program runs.
    Started {
        /// Whose.
        channel: ChannelNumber,
        /// Inside the session's PID namespace.
        pid: i32,
    },
    /// It could not be started.
    Failed {
        /// Whose.
        channel: ChannelNumber,
        /// errno(3).
        errno: i32,
    },
    /// It ended.
    Ended {
        /// Whose.
        channel: ChannelNumber,
        /// How.
        exit: Exit,
        /// What it used.
        usage: Usage,
    },
}
