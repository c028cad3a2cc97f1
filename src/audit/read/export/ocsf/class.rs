//! What a record is in the schema: the table of `docs/audit.md`.

use crate::audit::read::line::Record;

/// A class of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Base,
    FileSystem,
    Process,
    EventLog,
    Authentication,
    Ssh,
    Lifecycle,
    Api,
}

impl Class {
    /// Its `class_uid`. The thousands are its category.
    pub(super) fn uid(self) -> u32 {
        match self {
            Self::Base => 0,
            Self::FileSystem => 1001,
            Self::Process => 1007,
            Self::EventLog => 1008,
            Self::Authentication => 3002,
            Self::Ssh => 4007,
            Self::Lifecycle => 6002,
            Self::Api => 6003,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Base => "Base Event",
            Self::FileSystem => "File System Activity",
            Self::Process => "Process Activity",
            Self::EventLog => "Event Log Activity",
            Self::Authentication => "Authentication",
            Self::Ssh => "SSH Activity",
            Self::Lifecycle => "Application Lifecycle",
            Self::Api => "API Activity",
        }
    }

    /// The class of a type of records; none for a type that is not known.
    pub(super) fn of(kind: &str) -> Option<Self> {
        Some(match kind {
            "server.start" | "server.stop" => Self::Lifecycle,
            "conn.open" | "conn.refuse" | "conn.close" | "conn.folded" => Self::Ssh,
            // Authentication is about a user; of this one none is known.
            "auth.lockout" => Self::Ssh,
            "auth.attempt" | "session.close" => Self::Authentication,
            // The logon was the attempt that went well: it is counted once.
            "session.open" => Self::Ssh,
            "channel.open" | "channel.refuse" | "channel.close" | "channel.folded" => Self::Ssh,
            "forward.open" | "forward.close" => Self::Ssh,
            "pty" | "resize" | "env" | "signal" => Self::Ssh,
            "shell" | "exec" | "subsystem" | "exec.end" => Self::Process,
            "sftp.op" => Self::FileSystem,
            // It is about no one file.
            "sftp.summary" => Self::Ssh,
            "api.request" | "api.response" | "policy.deny" => Self::Api,
            "recording.start" | "recording.end" | "recording.truncate" | "recording.delete"
            | "recording.fail" | "recording.view" => Self::EventLog,
            "recovery" | "segment.open" | "segment.seal" | "anchor" | "checkpoint" | "expire" => {
                Self::EventLog
            }
            "limit.hit" | "clock.step" => Self::Base,
            _ => return None,
        })
    }
}

/// What was done: `activity_id`, and its name in the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Activity<'r>(pub(super) u32, pub(super) &'r str);

/// An activity that the class has no number for: it is named as the trail names it.
const OTHER: u32 = 99;

impl<'r> Activity<'r> {
    /// What the record tells of.
    pub(super) fn of(record: &'r Record) -> Self {
        let kind = record.kind();
        match kind {
            "server.start" => Self(3, "Start"),
            "server.stop" => Self(4, "Stop"),
            "conn.open" => Self(1, "Open"),
            "conn.close" => Self(2, "Close"),
            "conn.refuse" => Self(5, "Refuse"),
            // A key without a signature: whoever shows it asks whether it would do.
            "auth.attempt" if record.member_text("method") == "offer" => Self(6, "Preauth"),
            "auth.attempt" => Self(1, "Logon"),
            "session.close" => Self(2, "Logoff"),
            "shell" | "exec" | "subsystem" => Self(1, "Launch"),
            "exec.end" => Self(2, "Terminate"),
            "sftp.op" => Self::with_file(record.member_text("op")),
            "api.request" => Self::with_api(record.member_text("method")),
            "segment.open" => Self(5, "Rotate"),
            "expire" | "recording.delete" => Self(2, "Delete"),
            kind => Self(OTHER, kind),
        }
    }

    fn with_file(op: &'r str) -> Self {
        match op {
            "mkdir" | "symlink" | "link" | "create" => Self(1, "Create"),
            "read" | "list" | "readdir" | "readlink" => Self(2, "Read"),
            "write" | "read-write" | "truncate" => Self(3, "Update"),
            "remove" | "rmdir" => Self(4, "Delete"),
            "rename" => Self(5, "Rename"),
            "setstat" => Self(6, "Set Attributes"),
            "stat" | "lstat" | "fstat" => Self(8, "Get Attributes"),
            "open" => Self(14, "Open"),
            op => Self(OTHER, op),
        }
    }

    /// Most of what is posted to the Supervisor changes something that is there.
    fn with_api(method: &'r str) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" => Self(2, "Read"),
            "POST" | "PUT" | "PATCH" => Self(3, "Update"),
            "DELETE" => Self(4, "Delete"),
            method => Self(OTHER, method),
        }
    }
}

/// `severity_id`: 1 informational; 2 low: something was refused or failed; 3 medium: something has no record, or no
/// recording; 4 high: records are gone.
pub(super) fn severity(record: &Record) -> u32 {
    match record.kind() {
        "recovery" if record.number("missing_bytes") != Some(0) => 4,
        "recovery" | "limit.hit" | "recording.fail" => 3,
        "conn.refuse" | "auth.lockout" | "channel.refuse" | "policy.deny" => 2,
        _ if record.ok() == Some(false) => 2,
        _ => 1,
    }
}

/// Whether a rule decided about what is told, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Allowed,
    Denied,
}

impl Decision {
    pub(super) fn of(record: &Record) -> Option<Self> {
        match (record.kind(), record.member_text("decision")) {
            ("api.request", "allow") => Some(Self::Allowed),
            ("api.request", "deny") => Some(Self::Denied),
            ("conn.refuse" | "auth.lockout" | "channel.refuse" | "policy.deny", _) => {
                Some(Self::Denied)
            }
            _ => None,
        }
    }

    /// `action_id` and `disposition_id`: allowed and allowed, or denied and blocked.
    pub(super) fn id(self) -> u32 {
        match self {
            Self::Allowed => 1,
            Self::Denied => 2,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        }
    }
}
