//! What a word that the Supervisor does not know was probably meant to be.

use std::time::Duration;

use super::client::Client;
use super::completion::live;
use super::context::subject;
use super::given::Given;
use super::tree::{Live, Values};
use crate::model::close;

/// How long a list may take: the error is ready to be shown.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many are named.
const NAMED: usize = 3;

pub(super) fn hint(client: &Client, given: &Given<'_>) -> Option<String> {
    let (argument, word) = subject(given)?;
    let Values::Live(kind) = argument.values else {
        return None;
    };
    let known = live::values(client, whole(kind), PATIENCE)?;
    let known: Vec<&str> = known.iter().map(|(value, _)| value.as_str()).collect();
    if known.contains(&word) {
        return None;
    }
    let mut likely = close(word, &known);
    // `mosquitto` for core_mosquitto.
    let inside = known
        .iter()
        .filter(|known| word.len() > 2 && known.to_lowercase().contains(&word.to_lowercase()));
    likely.extend(inside.copied());
    let mut named: Vec<&str> = Vec::new();
    for one in likely {
        if !named.contains(&one) && named.len() < NAMED {
            named.push(one);
        }
    }
    (!named.is_empty()).then(|| format!("did you mean {}?", named.join(" or ")))
}

/// All of a kind: an app that is not running is close to one that was meant as well.
fn whole(kind: Live) -> Live {
    match kind {
        Live::StartedApps | Live::StoppedApps | Live::UpdatableApps | Live::BuiltApps => Live::Apps,
        other => other,
    }
}
