//! What the log says of logins that were refused: to the owner, who wants to know what to change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::authority::Reason;
use crate::model::{Peer, escape};
use crate::wire::limits::ALGORITHMS_BYTES;
use crate::wire::{Disagreement, Disjoint, Fault, Remedy};

/// How many lines there are of one reason in an [`INTERVAL`]: whoever can reach the port can cause them.
const LINES: u32 = 3;
const INTERVAL: Duration = Duration::from_secs(60);
/// How many addresses there is a line of in an [`INTERVAL`] because they know no algorithm of ours.
const STRANGERS: usize = 16;
/// How many attempts of one connection are told one by one.
const TOLD: usize = 3;

/// One attempt that was refused. All texts are escaped.
pub(super) struct Attempt<'a> {
    pub(super) reason: Reason,
    pub(super) method: &'a str,
    pub(super) user: &'a str,
    pub(super) fingerprint: Option<&'a str>,
}

impl Attempt<'_> {
    /// What was wrong, and what would be right.
    fn explained(&self, username: &str) -> String {
        let user = self.user;
        let key = self.fingerprint.unwrap_or("of a kind that is not known");
        let wrong = match self.reason {
            Reason::User => {
                return format!("wrong user name `{user}`: the user name is `{username}`");
            }
            Reason::UnknownKey => {
                format!("key {key} is not in authorized_keys: add its public half there")
            }
            Reason::OtherHost => format!(
                "key {key} signed for another host key than this server's: find out who is between it and the client"
            ),
            Reason::Certificate => format!(
                "key {key} came as a certificate, and these are not taken: add the key itself to authorized_keys"
            ),
            Reason::Algorithm => format!(
                "key {key} was to sign by an algorithm that does not fit it (SHA-1 never does): use a newer client"
            ),
            Reason::Signature => {
                format!("wrong signature of key {key}: the client does not have its private half")
            }
            Reason::NotTouched => format!(
                "security key {key} was not touched: touch it, and make it without no-touch-required; or write no-touch-required before its line"
            ),
            Reason::NotVerified => format!(
                "security key {key} did not ask for its PIN or fingerprint, as verify-required wants: make it with -O verify-required"
            ),
            Reason::From => format!(
                "key {key} may not log in from there: \"from\" of its line names other addresses"
            ),
            Reason::Expired => format!(
                "key {key} has expired: give its line another expiry-time, or use a new key"
            ),
            Reason::Password => {
                "wrong password: the right one is \"password\" of the options".to_owned()
            }
            Reason::PasswordsOff => {
                "a password, and these are off while there are authorized_keys: log in with one of the keys"
                    .to_owned()
            }
            Reason::Fault(Fault::Method) => format!(
                "method `{}` is not offered: log in with a key of authorized_keys, or with the password where there is none",
                self.method
            ),
            Reason::Fault(Fault::PasswordChange) => {
                "a change of password: change \"password\" of the options".to_owned()
            }
            Reason::Malformed
            | Reason::OtherSession
            | Reason::Fault(Fault::Length | Fault::Answers) => {
                format!("{}: no client that works does this", self.reason.as_str())
            }
        };
        if user == username {
            wrong
        } else {
            format!("{wrong}; and the user name is `{username}`, not `{user}`")
        }
    }
}

/// What one connection was refused since it came, or since it was told.
#[derive(Default)]
pub(super) struct Tried {
    first: Vec<(Reason, String)>,
    more: u32,
    lockout: Option<&'static str>,
}

impl Tried {
    pub(super) fn add(&mut self, attempt: &Attempt<'_>, username: &str) {
        let text = attempt.explained(username);
        if self.first.iter().any(|(_, told)| *told == text) || self.first.len() >= TOLD {
            self.more += 1;
        } else {
            self.first.push((attempt.reason, text));
        }
    }

    /// Whether there was anything.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    pub(super) fn lock_out(&mut self, why: &'static str) {
        self.lockout = Some(why);
    }

    fn line(&self, peer: Peer) -> String {
        let mut texts: Vec<&str> = self.first.iter().map(|(_, text)| text.as_str()).collect();
        let more = format!("{} more of the like", self.more);
        if self.more > 0 {
            texts.push(&more);
        }
        texts.extend(self.lockout);
        format!("login from {peer} refused: {}", texts.join("; "))
    }
}

fn disjoint(lists: &Disjoint) -> String {
    let [client, server] =
        [&lists.client, &lists.server].map(|list| escape(list.as_bytes(), ALGORITHMS_BYTES));
    let kind = lists.kind.as_str();
    format!("{kind}: it offers {client}, this server {server}")
}

/// How many lines there were lately.
#[derive(Default)]
pub(super) struct Refusals {
    until: Option<Instant>,
    lines: BTreeMap<&'static str, u32>,
    strangers: BTreeSet<IpAddr>,
    left_out: u64,
}

impl Refusals {
    /// The line about what `peer` tried, if there is something to say and room for it.
    pub(super) fn line(&mut self, peer: Peer, tried: &Tried, now: Instant) -> Option<String> {
        let (reason, _) = tried.first.first()?;
        if self.until.is_none() {
            self.until = Some(now + INTERVAL);
        }
        let lines = self.lines.entry(reason.as_str()).or_default();
        if *lines < LINES {
            *lines += 1;
            Some(tried.line(peer))
        } else {
            self.left_out += 1;
            None
        }
    }

    /// The line about what `peer` and the server have not in common, the first time in an [`INTERVAL`] and if there is room
    /// for it.
    pub(super) fn disagreement(
        &mut self,
        peer: Peer,
        disagreement: &Disagreement,
        now: Instant,
    ) -> Option<String> {
        if self.until.is_none() {
            self.until = Some(now + INTERVAL);
        }
        if self.strangers.len() >= STRANGERS || !self.strangers.insert(peer.ip) {
            self.left_out += 1;
            return None;
        }
        let lists: Vec<String> = disagreement.lists.iter().map(disjoint).collect();
        let remedy = match disagreement.remedy {
            Remedy::CompatibilityMode => {
                "\"compatibility_mode\": true in the options would let it in"
            }
            Remedy::None => "no option would let it in: use a newer client",
        };
        Some(format!(
            "{} could not agree with this server on a {}; {remedy}",
            peer.ip,
            lists.join(", nor on a ")
        ))
    }

    /// When the number of those left out is to be said.
    pub(super) fn due(&self) -> Option<Instant> {
        self.until.filter(|_| self.left_out > 0)
    }

    /// Begins anew once it is time; the line about those left out, if there were any.
    pub(super) fn turn(&mut self, now: Instant) -> Option<String> {
        if self.until.is_none_or(|until| until > now) {
            return None;
        }
        let left_out = std::mem::take(self).left_out;
        (left_out > 0).then(|| {
            format!("{left_out} more connections were refused a login in the last minute: the audit trail has them")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::AlgorithmKind;

    const PEER: Peer = Peer {
        ip: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        port: 1,
    };

    fn tried(reason: Reason, users: &[&str]) -> Tried {
        let mut tried = Tried::default();
        for user in users {
            let attempt = Attempt {
                reason,
                method: "publickey",
                user,
                fingerprint: Some("SHA256:x"),
            };
            tried.add(&attempt, "root");
        }
        tried
    }

    #[test]
    fn each_reason_has_its_remedy_once() {
        let now = Instant::now();
        let line = |tried| Refusals::default().line(PEER, &tried, now).unwrap();
        let said = line(tried(Reason::User, &["admin", "admin"]));
        assert_eq!(
            said,
            "login from 127.0.0.1 port 1 refused: wrong user name `admin`: the user name is `root`; 1 more of the like"
        );
        let said = line(tried(Reason::UnknownKey, &["root"]));
        assert!(
            said.ends_with("key SHA256:x is not in authorized_keys: add its public half there")
        );
        let said = line(tried(Reason::UnknownKey, &["pi"]));
        assert!(said.ends_with("; and the user name is `root`, not `pi`"));
        let many: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let mut all = tried(Reason::User, &many);
        all.lock_out("too many keys were offered");
        let said = line(all);
        assert!(said.ends_with("; 17 more of the like; too many keys were offered"));
        assert!(
            Refusals::default()
                .line(PEER, &Tried::default(), now)
                .is_none()
        );
    }

    #[test]
    fn a_client_too_old_is_told_of_once_with_the_remedy() {
        let now = Instant::now();
        let about = |client: &str, remedy| Disagreement {
            lists: vec![
                Disjoint {
                    kind: AlgorithmKind::KeyExchange,
                    client: client.to_owned(),
                    server: "curve25519-sha256".to_owned(),
                },
                Disjoint {
                    kind: AlgorithmKind::Mac,
                    client: "hmac-sha1".to_owned(),
                    server: "hmac-sha2-256".to_owned(),
                },
            ],
            remedy,
        };
        let mut refusals = Refusals::default();
        let old = about("ecdh-sha2-nistp256", Remedy::CompatibilityMode);
        assert_eq!(
            refusals.disagreement(PEER, &old, now).unwrap(),
            "127.0.0.1 could not agree with this server on a key exchange: it offers ecdh-sha2-nistp256, this server \
             curve25519-sha256, nor on a MAC: it offers hmac-sha1, this server hmac-sha2-256; \
             \"compatibility_mode\": true in the options would let it in"
        );
        let other = Peer { port: 2, ..PEER };
        assert_eq!(refusals.disagreement(other, &old, now), None);
        let at = |n: u8| Peer {
            ip: [192, 0, 2, n].into(),
            port: 1,
        };
        let hostile = about(&"\u{1b}]0;x".repeat(10_000), Remedy::None);
        let lines: Vec<String> = (0..255)
            .filter_map(|n| refusals.disagreement(at(n), &hostile, now))
            .collect();
        assert_eq!(lines.len(), STRANGERS - 1);
        for line in lines {
            assert!(line.len() < 2048 && !line.contains('\u{1b}'), "{line}");
            assert!(line.ends_with("no option would let it in: use a newer client"));
        }
        let said = refusals.turn(now + INTERVAL).unwrap();
        assert!(said.starts_with("241 more"), "{said}");
        assert!(refusals.disagreement(PEER, &old, now).is_some());
    }

    #[test]
    fn lines_are_few_and_what_is_left_out_is_counted() {
        let now = Instant::now();
        let mut refusals = Refusals::default();
        let say = |refusals: &mut Refusals, reason| {
            refusals
                .line(PEER, &tried(reason, &["root"]), now)
                .is_some()
        };
        let lines = (0..1000).filter(|_| say(&mut refusals, Reason::UnknownKey));
        assert_eq!(lines.count(), 3);
        // Another reason is not drowned by it.
        assert!(say(&mut refusals, Reason::Password));
        assert_eq!(refusals.due(), Some(now + INTERVAL));
        assert_eq!(refusals.turn(now), None);
        let said = refusals.turn(now + INTERVAL).unwrap();
        assert!(said.starts_with("997 more connections"), "{said}");
        assert_eq!(
            (refusals.due(), refusals.turn(now + INTERVAL)),
            (None, None)
        );
        assert!(say(&mut refusals, Reason::UnknownKey));
    }
}
