use std::time::Duration;

use tokio::sync::watch;

use crate::wire::Disagreement;

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client said so, or closed its stream.
    Client,
    /// The client does not answer.
    Silent,
    /// What came was not SSH, or not allowed; text of russh's.
    Protocol(String),
    /// It has no algorithm in common with the server.
    Disagreed(Disagreement),
    /// It did not log in in time.
    Grace,
    /// It may not try again.
    TooMany,
    /// keys does not answer as it should.
    Keys,
    /// No session could be made for it.
    Refused,
    /// session-init is gone or does not behave.
    Session,
    /// The warden closed its link.
    Warden,
    /// Its record cannot be kept.
    Audit,
}

impl End {
    /// The word of the record.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Client => "client".to_owned(),
            Self::Silent => "client does not answer".to_owned(),
            Self::Protocol(error) => format!("protocol: {error}"),
            Self::Disagreed(disagreement) => disagreed(disagreement),
            Self::Grace => "not logged in in time".to_owned(),
            Self::TooMany => "too many attempts".to_owned(),
            Self::Keys => "keys does not answer".to_owned(),
            Self::Refused => "no session".to_owned(),
            Self::Session => "session ended".to_owned(),
            Self::Warden => "server stop".to_owned(),
            Self::Audit => "audit".to_owned(),
        }
    }

    /// What the client is told, where there is something it can use.
    pub(super) fn farewell(&self) -> Option<&'static str> {
        match self {
            Self::TooMany => Some("Too many authentication failures"),
            Self::Refused => Some("No session could be made"),
            Self::Session => Some("The session has ended"),
            Self::Warden => Some("The session was ended by the server"),
            Self::Audit => Some("The session cannot be recorded"),
            Self::Client
            | Self::Silent
            | Self::Protocol(_)
            | Self::Disagreed(_)
            | Self::Grace
            | Self::Keys => None,
        }
    }

    /// How long the client may take to leave by itself, having been told why on its channels.
    pub(super) fn courtesy(&self) -> Duration {
        match self {
            Self::Refused | Self::Session => Duration::from_millis(500),
            Self::Client
            | Self::Silent
            | Self::Protocol(_)
            | Self::Disagreed(_)
            | Self::Grace
            | Self::TooMany
            | Self::Keys
            | Self::Warden
            | Self::Audit => Duration::ZERO,
        }
    }

    /// How long the client may take to receive what is on its way.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Refused | Self::Session | Self::TooMany | Self::Audit => Duration::from_secs(1),
            Self::Warden => Duration::from_millis(100),
            Self::Client
            | Self::Silent
            | Self::Protocol(_)
            | Self::Disagreed(_)
            | Self::Grace
            | Self::Keys => Duration::ZERO,
        }
    }
}

/// The first list is enough: records are short, and the log has all of them.
fn disagreed(disagreement: &Disagreement) -> String {
    match disagreement.lists.first() {
        Some(list) => {
            let kind = list.kind.as_str();
            format!("no common {kind}: the client offers {}", list.client)
        }
        None => "nothing in common".to_owned(),
    }
}

/// The end of the connection as all its tasks see it. The first reason stays.
#[derive(Clone, Debug)]
pub(super) struct Ending(watch::Sender<Option<End>>);

impl Ending {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Ends the connection.
    pub(super) fn end(&self, end: End) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(end);
            }
            first
        });
    }

    /// Waits for the end.
    pub(super) async fn wait(&self) -> End {
        let mut watching = self.0.subscribe();
        match watching.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(end)) => end.clone(),
            // The sender is in `self`.
            Ok(None) | Err(_) => End::Client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays() {
        let ending = Ending::new();
        ending.end(End::Grace);
        ending.end(End::Client);
        assert_eq!(ending.wait().await, End::Grace);
    }
}
