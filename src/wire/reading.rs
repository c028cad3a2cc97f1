//! What the broker asks of a reader of the audit trail, and what that answers: one question, one answer, then both are
//! done with each other.

use serde::{Deserialize, Serialize};

use crate::model::SessionId;

/// The server's own routes that are about sessions begin so.
pub const SESSIONS_PATH: &str = "/sshd/sessions";

/// A question, and whose sessions the answer may be about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The session that asks.
    pub by: SessionId,
    /// Others are as if they were not there.
    pub whose: Whose,
    /// What is asked.
    pub what: Wanted,
}

/// Whose sessions somebody sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whose {
    /// All.
    Everybodys,
    /// Those of the key with this fingerprint, `SHA256:...`.
    OfKey(String),
    /// Those that logged in with the password.
    OfPassword,
}

/// What somebody wants to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// Which sessions there were.
    List(Search),
    /// What one did.
    Session {
        /// Its id, the beginning of one, or `last`: the last one but that which asks.
        session: String,
        /// How it is shown.
        form: Form,
    },
    /// What one of its terminals showed.
    Recording {
        /// As above.
        session: String,
        /// The channel, and which of that channel: `3`, `3.1`.
        recording: String,
    },
}

/// What sessions must be like. Everything that is given must fit; the texts are as somebody wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the members are named as `audit list` names its options"
)]
pub struct Search {
    pub user: Option<String>,
    pub key: Option<String>,
    pub source: Option<String>,
    pub since: Option<String>,
    pub until: Option<String>,
    /// Separated by commas.
    pub types: Option<String>,
    pub text: Option<String>,
    pub ignore_case: bool,
    /// How many at the most, of the newest.
    pub newest: Option<u32>,
}

/// How something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// For people.
    Text,
    /// JSON Lines.
    Json,
}

/// What a reader answers: `Found` and any number of `Bytes`, then `End`; or one of the others alone. Without an end the
/// answer is not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReaderToBroker {
    /// There is something, and its bytes follow. Nothing of them drives a terminal, but for what a recording is let show.
    Found(Subject),
    /// The next of them, at most [`READ_BYTES`].
    Bytes(Vec<u8>),
    /// That was all.
    End,
    /// There is no such thing; why is for whoever asked.
    NotThere(String),
    /// The question makes no sense; why is for whoever asked.
    Unfit(String),
}

/// How much of an answer is in one message.
pub const READ_BYTES: usize = 64 * 1024;

/// What an answer is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// Many sessions.
    Sessions,
    /// One.
    Session(SessionId),
    /// One's recording.
    Recording {
        /// Whose.
        sid: SessionId,
        /// The path below the audit folder.
        file: String,
    },
}
