use std::net::IpAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use zeroize::Zeroize;

use super::authority::{Authority, Circumstances, Reason, Verdict};
use super::memory::SignedHashes;
use super::pace::Pace;
use super::refusals::{Attempt, Tried};
use super::request::{Form, Request};
use crate::model::{ConnectionId, Grant, Login, escape};
use crate::wire::limits::{HOST_KEYS, METHOD_BYTES, PROOFS};
use crate::wire::{
    AlgorithmKind, ConnectionToKeys, Disagreement, Event, KeysToConnection, Outcome, Phase,
};

/// Attempts of any kind; MaxAuthTries of sshd_config(5).
const FAILURES: u32 = 6;
/// Offers of keys that do not do: agents hold many.
const OFFERS: u32 = 20;
/// How often it is said that it was too many, before the link is closed.
const TOO_MANY: u32 = 3;
/// SHA-1, SHA-256, SHA-384, SHA-512: what key exchanges hash with.
const HASH_LENGTHS: [usize; 4] = [20, 32, 48, 64];

/// What is known of one connection.
pub(super) struct Connection {
    cid: ConnectionId,
    address: IpAddr,
    host_key: Vec<u8>,
    session_id: Option<Vec<u8>>,
    stage: Stage,
    failures: u32,
    offers: u32,
    too_many: u32,
    attempts: u32,
    proofs: u32,
    tried: Tried,
    disagreement: Option<Disagreement>,
    pace: Pace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Has to log in, and may try.
    Login,
    /// May not try any more.
    LockedOut,
    /// Is logged in: may rekey, and nothing else.
    Established,
}

/// What is to be done about a message, in this order: record, tell the warden, answer.
pub(super) struct Outcomes {
    pub(super) records: Vec<(Outcome, Event)>,
    pub(super) granted: Option<Box<Grant>>,
    pub(super) then: Then,
}

/// The last thing to do about a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing.
    Wait,
    /// Answer.
    Answer(KeysToConnection),
    /// Sign, but not before this time.
    Sign(Vec<u8>, Instant),
    /// Prove these host keys to the connection with this session identifier.
    Prove {
        session_id: Vec<u8>,
        host_keys: Vec<Vec<u8>>,
    },
    /// Close the link: it was told often enough.
    Close(KeysToConnection),
}

/// A message that the sender's state does not permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("an exchange hash of {0} bytes")]
    HashLength(usize),
    #[error("an exchange hash that was signed before")]
    HashAgain,
    #[error("a second key exchange before the login")]
    EarlyRekey,
    #[error("evidence before the first key exchange")]
    EarlyEvidence,
    #[error("evidence after the login")]
    LateEvidence,
    #[error("a disagreement after a key exchange")]
    LateDisagreement,
    #[error("a disagreement about {0} lists")]
    Lists(usize),
    #[error("a request for proof of host keys before the login")]
    EarlyProof,
    #[error("a request for proof of {0} host keys")]
    HostKeys(usize),
    #[error("too many requests for proof of host keys")]
    Proofs,
}

impl Connection {
    /// `host_key`: the server's, as an SSH blob.
    pub(super) fn new(cid: ConnectionId, address: IpAddr, phase: Phase, host_key: Vec<u8>) -> Self {
        Self {
            cid,
            address,
            host_key,
            session_id: None,
            stage: match phase {
                Phase::Fresh => Stage::Login,
                Phase::Established => Stage::Established,
            },
            failures: 0,
            offers: 0,
            too_many: 0,
            attempts: 0,
            proofs: 0,
            tried: Tried::default(),
            disagreement: None,
            pace: Pace::default(),
        }
    }

    pub(super) fn cid(&self) -> ConnectionId {
        self.cid
    }

    /// What it was refused, for the log; once.
    pub(super) fn take_tried(&mut self) -> Tried {
        std::mem::take(&mut self.tried)
    }

    /// What it could not agree on, for the log; once.
    pub(super) fn take_disagreement(&mut self) -> Option<Disagreement> {
        self.disagreement.take()
    }

    /// Decides about one message. `recordable`: whether what it does can be put on record; evidence is not looked at
    /// otherwise.
    pub(super) fn hear(
        &mut self,
        message: ConnectionToKeys,
        authority: &Authority,
        signed: &mut SignedHashes,
        recordable: Recordable,
        now: Instant,
    ) -> Result<Outcomes, Violation> {
        match message {
            ConnectionToKeys::Sign { exchange_hash } => self.sign(exchange_hash, signed, now),
            ConnectionToKeys::Offer { request } => {
                self.evidence()?;
                Ok(self.offer(&request, authority, recordable))
            }
            ConnectionToKeys::PublicKey {
                session_id,
                request,
                signature,
            } => {
                let ours = self.evidence()?.to_owned();
                if let Some(outcomes) = self.locked_out(recordable) {
                    return Ok(outcomes);
                }
                let verdict = if self.is_for_another_host(&request, Form::Signed) {
                    Verdict::Refuse(Reason::OtherHost)
                } else {
                    let around = self.circumstances();
                    authority.public_key(&ours, &session_id, &request, &signature, around)
                };
                let shown = Shown::of(&request, Form::Signed, authority);
                Ok(self.judged(verdict, "publickey", shown, authority))
            }
            ConnectionToKeys::Password {
                user,
                mut password,
                by,
            } => {
                let permitted = self.evidence().map(drop);
                let outcomes = permitted.map(|()| {
                    self.locked_out(recordable).unwrap_or_else(|| {
                        let verdict = authority.password(&user, &password);
                        self.judged(verdict, by.name(), Shown::by(user.as_bytes()), authority)
                    })
                });
                password.zeroize();
                outcomes
            }
            ConnectionToKeys::Failed {
                user,
                method,
                fault,
            } => {
                self.evidence()?;
                Ok(self.locked_out(recordable).unwrap_or_else(|| {
                    let method = escape(method.as_bytes(), METHOD_BYTES);
                    let verdict = Verdict::Refuse(Reason::Fault(fault));
                    self.judged(verdict, &method, Shown::by(user.as_bytes()), authority)
                }))
            }
            ConnectionToKeys::Prove { host_keys } => self.prove(host_keys),
            ConnectionToKeys::Disagreed(disagreement) => self.disagreed(disagreement),
        }
    }

    fn sign(
        &mut self,
        hash: Vec<u8>,
        signed: &mut SignedHashes,
        now: Instant,
    ) -> Result<Outcomes, Violation> {
        if !HASH_LENGTHS.contains(&hash.len()) {
            return Err(Violation::HashLength(hash.len()));
        }
        let first = self.session_id.is_none() && self.stage == Stage::Login;
        if !first && self.stage != Stage::Established {
            return Err(Violation::EarlyRekey);
        }
        // Rekeys are remembered too: their hashes must not begin a second connection either.
        if !signed.add(&hash) {
            return Err(Violation::HashAgain);
        }
        let due = if first {
            self.session_id = Some(hash.clone());
            now
        } else {
            self.pace.take(now)
        };
        Ok(Outcomes::only(Then::Sign(hash, due)))
    }

    /// Where it comes from, and what time it is. A clock that stands before 1970 lets no key that expires in.
    fn circumstances(&self) -> Circumstances {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since
            .ok()
            .and_then(|since| i64::try_from(since.as_secs()).ok());
        Circumstances {
            address: self.address,
            now: seconds.unwrap_or(i64::MAX),
        }
    }

    fn disagreed(&mut self, disagreement: Disagreement) -> Result<Outcomes, Violation> {
        let first = self.stage == Stage::Login && self.session_id.is_none();
        if !first || self.disagreement.is_some() {
            return Err(Violation::LateDisagreement);
        }
        if !(1..=AlgorithmKind::COUNT).contains(&disagreement.lists.len()) {
            return Err(Violation::Lists(disagreement.lists.len()));
        }
        self.disagreement = Some(disagreement);
        Ok(Outcomes::only(Then::Wait))
    }

    fn prove(&mut self, host_keys: Vec<Vec<u8>>) -> Result<Outcomes, Violation> {
        if self.stage != Stage::Established {
            return Err(Violation::EarlyProof);
        }
        if !(1..=HOST_KEYS).contains(&host_keys.len()) {
            return Err(Violation::HostKeys(host_keys.len()));
        }
        if self.proofs >= PROOFS {
            return Err(Violation::Proofs);
        }
        self.proofs += 1;
        Ok(Outcomes::only(match &self.session_id {
            Some(session_id) => Then::Prove {
                session_id: session_id.clone(),
                host_keys,
            },
            None => Then::Answer(KeysToConnection::Unproven),
        }))
    }

    /// The session identifier, if this connection may show evidence now.
    fn evidence(&self) -> Result<&[u8], Violation> {
        match (self.stage, &self.session_id) {
            (Stage::Established, _) => Err(Violation::LateEvidence),
            (Stage::Login | Stage::LockedOut, None) => Err(Violation::EarlyEvidence),
            (Stage::Login | Stage::LockedOut, Some(id)) => Ok(id),
        }
    }

    fn offer(&mut self, request: &[u8], authority: &Authority, recordable: Recordable) -> Outcomes {
        if let Some(outcomes) = self.locked_out(recordable) {
            return outcomes;
        }
        let judged = if self.is_for_another_host(request, Form::Query) {
            Err(Reason::OtherHost)
        } else {
            authority.offer(request, self.circumstances())
        };
        let Err(reason) = judged else {
            return Outcomes::only(Then::Answer(KeysToConnection::Acceptable));
        };
        self.offers += 1;
        let shown = Shown::of(request, Form::Query, authority);
        let attempt = self.refused("offer", shown, reason, authority);
        if self.offers > OFFERS {
            self.lock_out(attempt, "too many keys were offered")
        } else {
            Outcomes {
                records: vec![(Outcome::Bad, attempt)],
                ..Outcomes::only(Then::Answer(KeysToConnection::Refused))
            }
        }
    }

    /// Whether the client bound its request to a host key that is not this server's.
    fn is_for_another_host(&self, request: &[u8], form: Form) -> bool {
        let host_key = Request::parse(request, form).and_then(|said| said.host_key);
        host_key.is_some_and(|host_key| host_key != self.host_key)
    }

    fn judged(
        &mut self,
        verdict: Verdict,
        method: &str,
        shown: Shown<'_>,
        authority: &Authority,
    ) -> Outcomes {
        match verdict {
            Verdict::Grant(grant) => {
                self.stage = Stage::Established;
                if self.failures == 0 {
                    // Agents offer one key after the other: nothing was refused that matters.
                    self.tried = Tried::default();
                }
                let reason = match grant.login {
                    Login::PublicKey(_) => "good signature",
                    Login::Password => "good password",
                };
                let attempt = self.attempt(method, shown, reason);
                let permits = grant.permits.clone();
                Outcomes {
                    records: vec![(Outcome::Good, attempt)],
                    granted: Some(grant),
                    then: Then::Answer(KeysToConnection::Granted(permits)),
                }
            }
            Verdict::Refuse(reason) => {
                self.failures += 1;
                let attempt = self.refused(method, shown, reason, authority);
                if self.failures >= FAILURES {
                    self.lock_out(attempt, "too many failures")
                } else {
                    Outcomes {
                        records: vec![(Outcome::Bad, attempt)],
                        ..Outcomes::only(Then::Answer(KeysToConnection::Refused))
                    }
                }
            }
        }
    }

    /// Takes note of it for the log too.
    fn refused(
        &mut self,
        method: &str,
        shown: Shown<'_>,
        reason: Reason,
        authority: &Authority,
    ) -> Event {
        let user = escape(shown.user, 64);
        let attempt = Attempt {
            reason,
            method,
            user: &user,
            fingerprint: shown.fingerprint.as_deref(),
        };
        self.tried.add(&attempt, authority.username());
        self.attempt(method, shown, reason.as_str())
    }

    fn attempt(&mut self, method: &str, shown: Shown<'_>, reason: &str) -> Event {
        self.attempts += 1;
        Event::AuthAttempt {
            method: method.to_owned(),
            user: escape(shown.user, 64),
            fingerprint: shown.fingerprint,
            key_type: shown.key_type,
            reason: reason.to_owned(),
            n: self.attempts,
        }
    }

    fn lock_out(&mut self, attempt: Event, reason: &'static str) -> Outcomes {
        self.stage = Stage::LockedOut;
        self.tried.lock_out(reason);
        self.too_many = 1;
        let lockout = Event::AuthLockout {
            reason: reason.to_owned(),
            n: self.attempts,
        };
        Outcomes {
            records: vec![(Outcome::Bad, attempt), (Outcome::Bad, lockout)],
            ..Outcomes::only(Then::Answer(KeysToConnection::TooMany))
        }
    }

    /// What to say without looking, if that is so.
    fn locked_out(&mut self, recordable: Recordable) -> Option<Outcomes> {
        match (self.stage, recordable) {
            (Stage::Login, Recordable::Yes) => return None,
            (Stage::Login | Stage::LockedOut | Stage::Established, _) => {}
        }
        self.too_many += 1;
        Some(Outcomes::only(if self.too_many >= TOO_MANY {
            Then::Close(KeysToConnection::TooMany)
        } else {
            Then::Answer(KeysToConnection::TooMany)
        }))
    }
}

/// What a record says of who tried. Nothing of a password is in it.
struct Shown<'b> {
    user: &'b [u8],
    fingerprint: Option<String>,
    key_type: Option<String>,
}

impl<'b> Shown<'b> {
    fn by(user: &'b [u8]) -> Self {
        Self {
            user,
            fingerprint: None,
            key_type: None,
        }
    }

    /// As far as the request can be read.
    fn of(request: &'b [u8], form: Form, authority: &Authority) -> Self {
        let Some(said) = Request::parse(request, form) else {
            return Self::by(b"");
        };
        let (fingerprint, key_type) = authority.name(said.blob);
        Self {
            user: said.user,
            fingerprint,
            key_type,
        }
    }
}

/// Whether there is room for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recordable {
    Yes,
    No,
}

impl Outcomes {
    fn only(then: Then) -> Self {
        Self {
            records: Vec::new(),
            granted: None,
            then,
        }
    }
}
