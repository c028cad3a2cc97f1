use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::Refusal;
use crate::model::{
    ChannelNumber, ConnectionId, Exit, RecordingMode, SessionId, Usage, WindowSize,
};

/// Something that happened, as its witness reports it to audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whose connection, where the link does not say (links of connections do).
    pub cid: Option<ConnectionId>,
    /// Which session, where the link does not say.
    pub sid: Option<SessionId>,
    /// Which channel, if one.
    pub channel: Option<ChannelNumber>,
    /// Whether it was allowed or went well; none where the question makes no sense.
    pub ok: Option<bool>,
    /// What happened.
    pub event: Event,
}

impl Record {
    /// Of an event that the link itself places.
    #[must_use]
    pub fn new(event: Event) -> Self {
        Self {
            cid: None,
            sid: None,
            channel: None,
            ok: None,
            event,
        }
    }

    /// The same, in a channel.
    #[must_use]
    pub fn in_channel(self, channel: ChannelNumber) -> Self {
        Self {
            channel: Some(channel),
            ..self
        }
    }

    /// The same, with its outcome.
    #[must_use]
    pub fn outcome(self, ok: Outcome) -> Self {
        Self {
            ok: Some(ok == Outcome::Good),
            ..self
        }
    }

    /// The same, of a connection.
    #[must_use]
    pub fn of_connection(self, cid: ConnectionId) -> Self {
        Self {
            cid: Some(cid),
            ..self
        }
    }

    /// The same, of a session.
    #[must_use]
    pub fn of_session(self, sid: SessionId) -> Self {
        Self {
            sid: Some(sid),
            ..self
        }
    }
}

/// What a client asked for, where its key runs one command whatever that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The kind of request: `shell`, `exec` or `subsystem`; RFC 4254 §6.5.
    pub request: String,
    /// The command line, or the subsystem's name; empty for a shell.
    pub command: Field,
    /// Its length.
    pub bytes: u64,
    /// Hex, of all of it.
    pub sha256: String,
}

/// How a recorded thing went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Allowed, or done.
    Good,
    /// Refused, or failed.
    Bad,
}

/// Text from a peer in a record: escaped and cut by its reporter, and again by audit.
pub type Field = String;

/// The record types and what each adds in `d`. In JSON the variant's name is gone and its members are `d`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the members are documented in docs/audit.md, the format's one home"
)]
pub enum Event {
    ServerStart {
        version: String,
        options_digest: String,
        host_key: String,
        isolation: Vec<String>,
        recovered: Vec<String>,
    },
    ServerStop {
        reason: String,
    },
    ConnOpen {
        client: Field,
        kex: String,
        cipher: String,
        host_key_algorithm: String,
    },
    ConnRefuse {
        reason: Refusal,
        count: u64,
        ip: String,
    },
    ConnClose {
        reason: Field,
        duration_ms: u64,
        attempts: u32,
    },
    ConnFolded {
        from: String,
        connections: u64,
        attempts: u64,
        records: u64,
        reasons: BTreeMap<String, u64>,
        first: Option<String>,
        last: Option<String>,
    },
    AuthAttempt {
        method: String,
        user: Field,
        fingerprint: Option<String>,
        key_type: Option<Field>,
        reason: String,
        n: u32,
    },
    AuthLockout {
        reason: String,
        n: u32,
    },
    SessionOpen {
        sandbox: SandboxFacts,
        policy_digest: String,
    },
    SessionClose {
        reason: SessionEnd,
        duration_ms: u64,
        by: Option<SessionId>,
    },
    ChannelOpen {
        kind: String,
        target: Option<Field>,
        origin: Option<Field>,
    },
    ChannelRefuse {
        kind: Field,
        reason: String,
        target: Option<Field>,
    },
    ChannelClose {
        bytes_in: u64,
        bytes_out: u64,
    },
    ChannelFolded {
        channels: u64,
        requests: u64,
    },
    ForwardOpen {
        kind: String,
        at: Option<Field>,
    },
    ForwardClose {
        kind: String,
        at: Option<Field>,
        accepted: u64,
    },
    Pty {
        term: Field,
        size: WindowSize,
    },
    Resize {
        size: WindowSize,
    },
    Env {
        name: Field,
        value: Option<Field>,
    },
    Signal {
        name: Field,
    },
    Shell {
        pid: i32,
    },
    Exec {
        command: Field,
        bytes: u64,
        sha256: String,
        pid: i32,
        asked: Option<Asked>,
    },
    Subsystem {
        name: Field,
        pid: Option<i32>,
    },
    ExecEnd(ExecEnd),
    SftpOp(Box<SftpOp>),
    SftpSummary(SftpSummary),
    ApiRequest {
        id: u64,
        endpoint: Option<String>,
        method: Field,
        path: Field,
        body_bytes: u64,
        body_sha256: Option<String>,
        decision: ApiDecision,
        rule: String,
    },
    ApiResponse {
        id: u64,
        status: u16,
        bytes: u64,
        sha256: Option<String>,
        upload: Option<ApiUpload>,
        duration_ms: u64,
        error: Option<String>,
    },
    PolicyDeny {
        layer: String,
        object: Field,
        rule: String,
    },
    LimitHit {
        resource: String,
        limit: u64,
    },
    RecordingStart {
        file: String,
        mode: RecordingMode,
    },
    RecordingEnd {
        file: String,
        bytes: u64,
        sha256: String,
        head: String,
        left_out: Option<u64>,
    },
    RecordingTruncate {
        file: String,
        reason: String,
        limit: Option<u64>,
    },
    RecordingDelete {
        file: String,
        bytes: u64,
        reason: String,
    },
    RecordingFail {
        file: Option<String>,
        reason: String,
    },
    RecordingView {
        session: SessionId,
        file: String,
    },
    Recovery {
        file: String,
        records: u64,
        torn_bytes: u64,
        missing_bytes: u64,
        moved_to: Option<String>,
    },
    SegmentOpen {
        number: u64,
        records: u64,
        key: String,
    },
    SegmentSeal {
        records: u64,
    },
    Anchor {
        file: String,
        records: u64,
        head: String,
        last: bool,
    },
    Checkpoint {
        note: Vec<String>,
    },
    Expire {
        file: String,
        records: u64,
        head: String,
        reason: String,
    },
    ClockStep {
        step_ms: i64,
    },
}

impl Event {
    /// The record's `type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ServerStart { .. } => "server.start",
            Self::ServerStop { .. } => "server.stop",
            Self::ConnOpen { .. } => "conn.open",
            Self::ConnRefuse { .. } => "conn.refuse",
            Self::ConnClose { .. } => "conn.close",
            Self::ConnFolded { .. } => "conn.folded",
            Self::AuthAttempt { .. } => "auth.attempt",
            Self::AuthLockout { .. } => "auth.lockout",
            Self::SessionOpen { .. } => "session.open",
            Self::SessionClose { .. } => "session.close",
            Self::ChannelOpen { .. } => "channel.open",
            Self::ChannelRefuse { .. } => "channel.refuse",
            Self::ChannelClose { .. } => "channel.close",
            Self::ChannelFolded { .. } => "channel.folded",
            Self::ForwardOpen { .. } => "forward.open",
            Self::ForwardClose { .. } => "forward.close",
            Self::Pty { .. } => "pty",
            Self::Resize { .. } => "resize",
            Self::Env { .. } => "env",
            Self::Signal { .. } => "signal",
            Self::Shell { .. } => "shell",
            Self::Exec { .. } => "exec",
            Self::Subsystem { .. } => "subsystem",
            Self::ExecEnd(_) => "exec.end",
            Self::SftpOp(_) => "sftp.op",
            Self::SftpSummary(_) => "sftp.summary",
            Self::ApiRequest { .. } => "api.request",
            Self::ApiResponse { .. } => "api.response",
            Self::PolicyDeny { .. } => "policy.deny",
            Self::LimitHit { .. } => "limit.hit",
            Self::RecordingStart { .. } => "recording.start",
            Self::RecordingEnd { .. } => "recording.end",
            Self::RecordingTruncate { .. } => "recording.truncate",
            Self::RecordingDelete { .. } => "recording.delete",
            Self::RecordingFail { .. } => "recording.fail",
            Self::RecordingView { .. } => "recording.view",
            Self::Recovery { .. } => "recovery",
            Self::SegmentOpen { .. } => "segment.open",
            Self::SegmentSeal { .. } => "segment.seal",
            Self::Anchor { .. } => "anchor",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Expire { .. } => "expire",
            Self::ClockStep { .. } => "clock.step",
        }
    }
}

/// How a program ended and what went through it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in docs/audit.md")]
pub struct ExecEnd {
    pub exit: Option<Exit>,
    pub duration_ms: u64,
    pub usage: Usage,
    pub stdin: StreamFacts,
    pub stdout: StreamFacts,
    pub stderr: StreamFacts,
}

/// What was done with a file or directory over SFTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in docs/audit.md")]
pub struct SftpOp {
    pub op: String,
    pub path: Field,
    pub to: Option<Field>,
    pub flags: Option<Vec<String>>,
    pub bytes_read: Option<u64>,
    pub bytes_written: Option<u64>,
    pub read_blake3: Option<String>,
    pub written_blake3: Option<String>,
    pub duration_ms: Option<u64>,
    pub error: Option<String>,
}

/// What an SFTP channel came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in docs/audit.md")]
pub struct SftpSummary {
    pub operations: u64,
    pub opened: u64,
    pub changes: u64,
    pub failed: u64,
    pub left_out: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub unreadable: Option<String>,
}

/// One stream of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFacts {
    /// All that went through.
    pub bytes: u64,
    /// Hex SHA-256 of the first MiB of it.
    pub sha256_first_mib: String,
}

/// What a session sent as a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiUpload {
    /// All that went through.
    pub bytes: u64,
    /// Hex SHA-256 of it, if it came whole.
    pub sha256: Option<String>,
}

/// What a session's sandbox is made of, and what is not in force here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in docs/audit.md")]
pub struct SandboxFacts {
    pub uid: u32,
    pub namespaces: Vec<String>,
    pub config: String,
    pub network: String,
    pub cgroup: String,
    pub not_in_force: Vec<String>,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionEnd {
    /// Its connection ended.
    Client,
    /// Its PID 1 ended.
    Init,
    /// A limit was reached.
    Limit,
    /// The server is stopping.
    ServerStop,
    /// Found open at the next start.
    Crash,
    /// Its audit record could not be kept.
    Audit,
    /// Somebody who may ended it, from another session or the same.
    Killed,
}

/// What the broker decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiDecision {
    /// Sent on.
    Allow,
    /// Answered with a refusal.
    Deny,
}
