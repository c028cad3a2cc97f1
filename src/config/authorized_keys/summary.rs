use jiff::Timestamp;

use crate::model::{Endpoint, Network, escape};
use crate::wire::AuthorizedKey;

/// How much of a forced command is shown.
const COMMAND_BYTES: usize = 100;

/// What a key may do, in one line: its role, and wherein it differs from a line without options.
#[must_use]
pub fn summary(key: &AuthorizedKey) -> String {
    let network = match key.network {
        Network::Shared => "shared",
        Network::None => "no",
    };
    let mut parts = vec![format!("as {}, {network} network", key.role)];
    if let Some(from) = &key.from {
        parts.push(format!("from {from} only"));
    }
    if let Some(at) = key.expires.and_then(|at| Timestamp::from_second(at).ok()) {
        let past = if at < Timestamp::now() {
            "EXPIRED at"
        } else {
            "until"
        };
        parts.push(format!("{past} {at}"));
    }
    if let Some(command) = &key.command {
        parts.push(format!(
            "runs \"{}\" alone",
            escape(command.as_bytes(), COMMAND_BYTES)
        ));
    }
    if !key.environment.is_empty() {
        let names: Vec<&str> = key
            .environment
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        parts.push(format!("sets {}", names.join(", ")));
    }
    let permits = &key.permits;
    let off = [
        (permits.pty, "terminal"),
        (permits.port_forwarding, "port forwarding"),
        (permits.agent_forwarding, "agent forwarding"),
        (permits.x11_forwarding, "X11 forwarding"),
    ];
    let off: Vec<&str> = off
        .iter()
        .filter(|(on, _)| !on)
        .map(|(_, name)| *name)
        .collect();
    if !off.is_empty() {
        parts.push(format!("no {}", off.join(", no ")));
    }
    for (what, places) in [("to", &permits.open), ("on", &permits.listen)] {
        if !places.is_empty() && permits.port_forwarding {
            let places: Vec<String> = places.iter().map(Endpoint::to_string).collect();
            parts.push(format!("forwarding {what} {} only", places.join(", ")));
        }
    }
    if key.algorithm.starts_with("sk-") {
        parts.extend((!key.touch).then(|| "without a touch".to_owned()));
        parts.extend(key.verify.then(|| "with PIN or fingerprint".to_owned()));
    }
    if let Some(mode) = key.recording {
        parts.push(format!("recording {}", mode.as_str()));
    }
    if key.break_glass {
        parts.push("breaks the glass".to_owned());
    }
    let comment = if key.comment.is_empty() { "" } else { " " };
    format!(
        "{}{comment}{}: {}",
        key.fingerprint,
        key.comment,
        parts.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{KEY, lines, security_key};
    use super::*;

    fn told(line: &str) -> String {
        let read = lines(&[line]);
        let text = summary(&read.keys[0]);
        let (name, rest) = text.split_once(": ").unwrap();
        assert!(name.starts_with("SHA256:"), "{text}");
        rest.to_owned()
    }

    #[test]
    fn a_key_is_told_in_one_line() {
        assert_eq!(told(KEY), "as operator, shared network");
        let text = told(&format!(
            "role=observer,command=\"echo \\\"a\tb\\\"\",from=\"10.0.0.0/8,!10.0.0.1\",expiry-time=\"20990101Z\",\
             environment=\"KEY_A=b\",recording=off,break-glass {KEY} me"
        ));
        assert_eq!(
            text,
            "as observer, no network; from 10.0.0.0/8,!10.0.0.1 only; until 2099-01-01T00:00:00Z; runs \"echo \"a\\x09b\"\" alone; \
             sets KEY_A; no terminal, no port forwarding, no agent forwarding, no X11 forwarding; recording off; breaks the glass"
        );
        assert!(told(&format!("expiry-time=20200101Z {KEY}")).contains("EXPIRED at 2020-01-01"));
        let open = told(&format!(
            "permitopen=\"[::1]:80\",permitopen=\"a:*\",permitlisten=8080 {KEY}"
        ));
        assert!(
            open.ends_with("; forwarding to [::1]:80, a:* only; forwarding on *:8080 only"),
            "{open}"
        );
        let token = told(&format!(
            "no-touch-required,verify-required {}",
            security_key()
        ));
        assert!(
            token.ends_with("; without a touch; with PIN or fingerprint"),
            "{token}"
        );
    }
}
