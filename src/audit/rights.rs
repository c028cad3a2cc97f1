use crate::wire::{ApiDecision, Event, Reporter};

/// Who reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    Warden,
    Connection,
    Keys,
    Broker,
    /// Audit itself; nobody may send what only it can know.
    Audit,
}

impl From<Reporter> for Witness {
    fn from(reporter: Reporter) -> Self {
        match reporter {
            Reporter::Keys => Self::Keys,
            Reporter::Broker => Self::Broker,
        }
    }
}

impl Witness {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Warden => "warden",
            Self::Connection => "connection",
            Self::Keys => "keys",
            Self::Broker => "broker",
            Self::Audit => "audit",
        }
    }

    /// Whose the event is to report: each has one witness.
    pub(super) fn of(event: &Event) -> Self {
        match event {
            Event::ConnOpen { .. }
            | Event::ConnClose { .. }
            | Event::ChannelOpen { .. }
            | Event::ChannelRefuse { .. }
            | Event::ChannelClose { .. }
            | Event::ChannelFolded { .. }
            | Event::ForwardOpen { .. }
            | Event::ForwardClose { .. }
            | Event::Pty { .. }
            | Event::Resize { .. }
            | Event::Env { .. }
            | Event::Signal { .. }
            | Event::Shell { .. }
            | Event::Exec { .. }
            | Event::Subsystem { .. }
            | Event::ExecEnd(_)
            | Event::SftpOp(_)
            | Event::SftpSummary(_)
            | Event::LimitHit { .. } => Self::Connection,
            Event::AuthAttempt { .. } | Event::AuthLockout { .. } => Self::Keys,
            Event::ApiRequest { .. }
            | Event::ApiResponse { .. }
            | Event::PolicyDeny { .. }
            | Event::RecordingView { .. } => Self::Broker,
            Event::ServerStart { .. }
            | Event::ServerStop { .. }
            | Event::ConnRefuse { .. }
            | Event::SessionOpen { .. }
            | Event::SessionClose { .. } => Self::Warden,
            Event::Recovery { .. }
            | Event::ConnFolded { .. }
            | Event::SegmentOpen { .. }
            | Event::SegmentSeal { .. }
            | Event::Anchor { .. }
            | Event::Checkpoint { .. }
            | Event::Expire { .. }
            | Event::ClockStep { .. }
            | Event::RecordingStart { .. }
            | Event::RecordingEnd { .. }
            | Event::RecordingTruncate { .. }
            | Event::RecordingDelete { .. }
            | Event::RecordingFail { .. } => Self::Audit,
        }
    }
}

/// How soon a record must be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Haste {
    /// Within half a second, or 64 KiB.
    Soon,
    /// Before anything else is done.
    Now,
}

/// A login that worked, what begins and ends, and what was refused, are synced at once. Refused connections are not:
/// anybody on the network can cause those.
pub(super) fn haste(event: &Event, ok: Option<bool>) -> Haste {
    match event {
        Event::ServerStart { .. }
        | Event::ServerStop { .. }
        | Event::SessionOpen { .. }
        | Event::SessionClose { .. }
        | Event::PolicyDeny { .. }
        | Event::RecordingView { .. }
        | Event::ChannelRefuse { .. }
        | Event::LimitHit { .. }
        | Event::Recovery { .. }
        | Event::SegmentOpen { .. }
        | Event::SegmentSeal { .. }
        | Event::Checkpoint { .. } => Haste::Now,
        Event::AuthAttempt { .. } if ok == Some(true) => Haste::Now,
        Event::ApiRequest {
            decision: ApiDecision::Deny,
            ..
        } => Haste::Now,
        Event::ApiRequest {
            decision: ApiDecision::Allow,
            ..
        }
        | Event::AuthAttempt { .. }
        | Event::AuthLockout { .. }
        | Event::ApiResponse { .. }
        | Event::ConnOpen { .. }
        | Event::ConnRefuse { .. }
        | Event::ConnClose { .. }
        | Event::ConnFolded { .. }
        | Event::Anchor { .. }
        | Event::Expire { .. }
        | Event::ClockStep { .. }
        | Event::ChannelOpen { .. }
        | Event::ChannelClose { .. }
        | Event::ChannelFolded { .. }
        | Event::ForwardOpen { .. }
        | Event::ForwardClose { .. }
        | Event::Pty { .. }
        | Event::Resize { .. }
        | Event::Env { .. }
        | Event::Signal { .. }
        | Event::Shell { .. }
        | Event::Exec { .. }
        | Event::Subsystem { .. }
        | Event::ExecEnd(_)
        | Event::SftpOp(_)
        | Event::SftpSummary(_)
        | Event::RecordingStart { .. }
        | Event::RecordingEnd { .. }
        | Event::RecordingTruncate { .. }
        | Event::RecordingDelete { .. }
        | Event::RecordingFail { .. } => Haste::Soon,
    }
}
