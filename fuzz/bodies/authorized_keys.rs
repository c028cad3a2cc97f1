//! The lines of `authorized_keys`: the owner's own, and what they paste.
//!
//! The input is the text of one element of the list.

use std::sync::OnceLock;

use hassio_sshd::config::{Offered, Rules, key_summary, parse_authorized_keys};
use hassio_sshd::model::is_hostile;
use hassio_sshd::wire::limits::MESSAGE_BYTES;
use hassio_sshd::wire::{AuthorizedKey, encode};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::heap;

/// What the parser may take for each byte: a line of one character is one that is refused, with its reason.
const TAKEN_FOR_EACH: usize = 1024;
const TAKEN_ALWAYS: usize = 1024 * 1024;

/// Reads the lines, and holds what comes of them against what was written.
pub fn run(data: &[u8]) {
    static OFFERED: OnceLock<Offered> = OnceLock::new();
    let offered = OFFERED.get_or_init(|| Offered::shipped().unwrap());
    let text = String::from_utf8_lossy(data).into_owned();
    let rules = Rules {
        role: &offered.roles[0],
        network: None,
        roles: &offered.roles,
        environment: &offered.login.key_environment,
        zone: &TimeZone::UTC,
        now: Timestamp::UNIX_EPOCH,
    };
    let lines = [text];
    let (read, taken) = heap::most(|| parse_authorized_keys(&lines, &rules));
    let limit = TAKEN_ALWAYS + TAKEN_FOR_EACH * data.len();
    assert!(taken <= limit, "{taken} bytes for {}", data.len());
    let [text] = lines;
    for refused in &read.refused {
        shown(&refused.to_string());
    }
    for warning in &read.warnings {
        shown(&warning.to_string());
    }
    for key in &read.keys {
        shown(&key_summary(key));
        held(key, &text, rules);
    }
}

/// Nothing of what was written drives a terminal.
fn shown(text: &str) {
    let bad = |c: char| c.is_control() || is_hostile(c);
    assert!(!text.contains(bad), "{text:?}");
    assert!(text.len() < 64 * 1024);
}

/// No restriction is lost, and nothing gets in that is on no list.
fn held(key: &AuthorizedKey, text: &str, rules: Rules<'_>) {
    let small = text.to_ascii_lowercase();
    let has = |word: &str| small.contains(word);
    let permits = &key.permits;
    let restricted = key.command.is_some() || !permits.agent_forwarding;
    // One text may hold several lines: what none of them says, no key has.
    assert!(!restricted || has("command") || has("restrict") || has("no-"));
    if key.command.is_some() && !has("pty") {
        assert!(!permits.pty);
    }
    assert!(key.touch || has("no-touch-required"));
    assert!(!key.verify || has("verify-required"));
    assert!(!key.verify || key.algorithm.starts_with("sk-"));
    let fine = |value: &str| !value.contains(|c: char| c.is_control() && c != '\t');
    assert!(
        key.command
            .as_deref()
            .is_none_or(|command| fine(command) && !command.trim().is_empty())
    );
    for (i, (name, value)) in key.environment.iter().enumerate() {
        assert!(rules.environment.admits(name) && fine(value));
        assert!(
            !key.environment[..i]
                .iter()
                .any(|(before, _)| before == name)
        );
    }
    assert!(encode(key).unwrap().len() < MESSAGE_BYTES);
    let lines = small
        .split(['\n', '\r'])
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    if lines.count() == 1 {
        for word in ["cert-authority", "principals"] {
            // Inside a value or a comment it is but a word.
            assert!(
                !small
                    .trim_start_matches(['\u{feff}', ' ', '\t'])
                    .starts_with(word)
            );
        }
    }
}
