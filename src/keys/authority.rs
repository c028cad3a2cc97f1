use std::net::IpAddr;

use sha2::{Digest, Sha256};
use signature::Verifier;
use ssh_key::encoding::{Decode, Reader};
use ssh_key::{Certificate, HashAlg, PublicKey, Signature};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::error::KeysError;
use super::request::{Form, Request, signed_bytes};
use crate::model::{AuditFailure, Grant, KeyIdentity, Login, Permits, escape};
use crate::wire::limits::{AUTH_BLOB_BYTES, PASSWORD_BYTES};
use crate::wire::{AuthorizedKey, Fault, KeysConfig};

/// The user was present, and is known to the security key; PROTOCOL.u2f of OpenSSH, "flags".
const FIDO_TOUCHED: u8 = 0x01;
const FIDO_VERIFIED: u8 = 0x04;
/// What names of certificate algorithms end in; PROTOCOL.certkeys of OpenSSH.
const CERTIFICATE: &str = "-cert-v01@openssh.com";
/// Flags and counter after a FIDO signature.
const FIDO_TRAILER_BYTES: usize = 5;

/// Who may log in, and as what.
pub(super) struct Authority {
    username: String,
    keys: Vec<(AuthorizedKey, PublicKey)>,
    password: Option<Zeroizing<[u8; 32]>>,
    of_password: Grant,
}

/// Whether evidence is good.
#[must_use]
pub(super) enum Verdict {
    /// It is, for this.
    Grant(Box<Grant>),
    /// It is not. For the record; the peer is told nothing of it.
    Refuse(Reason),
}

/// What a login's key may ask for beside a signature: where it comes from, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    pub(super) address: IpAddr,
    /// Seconds since 1970.
    pub(super) now: i64,
}

/// Why evidence is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Malformed,
    OtherSession,
    OtherHost,
    UnknownKey,
    Certificate,
    Algorithm,
    Signature,
    NotTouched,
    NotVerified,
    From,
    Expired,
    User,
    Password,
    PasswordsOff,
    Fault(Fault),
}

impl Reason {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "not a publickey request",
            Self::OtherSession => "signed for another session",
            Self::OtherHost => "signed for another host key",
            Self::UnknownKey => "unknown key",
            Self::Certificate => "certificates are not taken",
            Self::Algorithm => "the algorithm does not fit the key",
            Self::Signature => "wrong signature",
            Self::NotTouched => "the security key was not touched",
            Self::NotVerified => "the security key did not verify its user",
            Self::From => "from",
            Self::Expired => "the key has expired",
            Self::User => "unknown user",
            Self::Password => "wrong password",
            Self::PasswordsOff => "passwords are off",
            Self::Fault(Fault::Method) => "the method is not offered",
            Self::Fault(Fault::PasswordChange) => "passwords are not changed here",
            Self::Fault(Fault::Length) => "longer than what is looked at",
            Self::Fault(Fault::Answers) => "not one answer to the one question",
        }
    }
}

impl Authority {
    /// Takes the secrets out of `config`; the password stays as its digest only.
    pub(super) fn new(config: &mut KeysConfig) -> Result<Self, KeysError> {
        let password = config.password.take().map(Zeroizing::new);
        let keys: Vec<AuthorizedKey> = std::mem::take(&mut config.authorized_keys);
        let keys = keys
            .into_iter()
            .map(|key| match PublicKey::from_bytes(&key.blob) {
                Ok(public) => Ok((key, public)),
                Err(source) => Err(KeysError::AuthorizedKey {
                    fingerprint: key.fingerprint,
                    source,
                }),
            });
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        // Keys win, whatever else is configured.
        let password = password
            .filter(|password| keys.is_empty() && !password.is_empty())
            .map(|password| digest(&password));
        if keys.is_empty() && password.is_none() {
            return Err(KeysError::NoLogin);
        }
        Ok(Self {
            keys,
            password,
            of_password: Grant {
                user: config.username.clone(),
                login: Login::Password,
                role: config.default_role.clone(),
                config: config.default_config,
                network: config.default_network,
                forwarding: config.forwarding,
                recording: config.recording,
                audit_failure: config.audit_failure,
                command: None,
                environment: Vec::new(),
                permits: Permits::all(),
            },
            username: std::mem::take(&mut config.username),
        })
    }

    /// The one user name that is right.
    pub(super) fn username(&self) -> &str {
        &self.username
    }

    fn key(&self, blob: &[u8]) -> Option<&(AuthorizedKey, PublicKey)> {
        self.keys.iter().find(|(key, _)| key.blob == blob)
    }

    fn known(&self, said: &Request<'_>) -> Result<&(AuthorizedKey, PublicKey), Reason> {
        self.key(said.blob)
            .ok_or(match said.algorithm.ends_with(CERTIFICATE) {
                true => Reason::Certificate,
                false => Reason::UnknownKey,
            })
    }

    /// How records name a blob: its fingerprint and type, if it is a key at all. A certificate has its key's.
    pub(super) fn name(&self, blob: &[u8]) -> (Option<String>, Option<String>) {
        if let Some((key, _)) = self.key(blob) {
            return (Some(key.fingerprint.clone()), Some(key.algorithm.clone()));
        }
        // As a public key, a certificate would be one of an unknown kind.
        let certificate = Certificate::from_bytes(blob).map(|certificate| {
            let name = certificate.algorithm().to_certificate_type();
            (certificate.public_key().fingerprint(HashAlg::Sha256), name)
        });
        let named = certificate.or_else(|_| {
            let key = PublicKey::from_bytes(blob)?;
            let name = key.algorithm().as_str().to_owned();
            Ok::<_, ssh_key::Error>((key.fingerprint(HashAlg::Sha256), name))
        });
        match named {
            Ok((fingerprint, name)) => (
                Some(fingerprint.to_string()),
                Some(escape(name.as_bytes(), 64)),
            ),
            Err(_) => (None, None),
        }
    }

    /// Whether a signature by this key would be worth making.
    pub(super) fn offer(&self, request: &[u8], around: Circumstances) -> Result<(), Reason> {
        let said = Request::parse(request, Form::Query).ok_or(Reason::Malformed)?;
        let (key, _) = self.known(&said)?;
        if !fits(&key.algorithm, said.algorithm) {
            return Err(Reason::Algorithm);
        }
        permitted(key, around)?;
        if said.user == self.username.as_bytes() {
            Ok(())
        } else {
            Err(Reason::User)
        }
    }

    /// Judges a signed request that came on the connection whose session identifier is `ours`.
    pub(super) fn public_key(
        &self,
        ours: &[u8],
        theirs: &[u8],
        request: &[u8],
        signature: &[u8],
        around: Circumstances,
    ) -> Verdict {
        match self.signer(ours, theirs, request, signature, around) {
            Ok(key) => Verdict::Grant(Box::new(Grant {
                user: self.username.clone(),
                login: Login::PublicKey(KeyIdentity {
                    fingerprint: key.fingerprint.clone(),
                    algorithm: key.algorithm.clone(),
                    comment: key.comment.clone(),
                }),
                role: key.role.clone(),
                config: key.config,
                network: key.network,
                forwarding: self.of_password.forwarding.within(&key.permits),
                recording: key.recording.unwrap_or(self.of_password.recording),
                audit_failure: match key.break_glass {
                    true => AuditFailure::Open,
                    false => self.of_password.audit_failure,
                },
                command: key.command.clone(),
                environment: key.environment.clone(),
                permits: key.permits.clone(),
            })),
            Err(reason) => Verdict::Refuse(reason),
        }
    }

    fn signer(
        &self,
        ours: &[u8],
        theirs: &[u8],
        request: &[u8],
        signature: &[u8],
        around: Circumstances,
    ) -> Result<&AuthorizedKey, Reason> {
        if signature.len() > AUTH_BLOB_BYTES {
            return Err(Reason::Malformed);
        }
        let said = Request::parse(request, Form::Signed).ok_or(Reason::Malformed)?;
        let (key, public) = self.known(&said)?;
        if ours != theirs {
            return Err(Reason::OtherSession);
        }
        if !fits(&key.algorithm, said.algorithm) {
            return Err(Reason::Algorithm);
        }
        let signature = decode(signature).ok_or(Reason::Signature)?;
        if signature.algorithm().as_str() != said.algorithm {
            return Err(Reason::Algorithm);
        }
        let verified = public
            .key_data()
            .verify(&signed_bytes(ours, request), &signature);
        // Looked at last, so that a wrong name takes as long as the right one.
        let right_user = said.user == self.username.as_bytes();
        verified.map_err(|_| Reason::Signature)?;
        if key.algorithm.starts_with("sk-") {
            let flags = fido_flags(&signature);
            if key.touch && flags & FIDO_TOUCHED == 0 {
                return Err(Reason::NotTouched);
            }
            if key.verify && flags & FIDO_VERIFIED == 0 {
                return Err(Reason::NotVerified);
            }
        }
        // After the signature: of who has the private half, the record then says so.
        permitted(key, around)?;
        if right_user {
            Ok(key)
        } else {
            Err(Reason::User)
        }
    }

    /// Judges a password. Does the same work whatever is wrong.
    pub(super) fn password(&self, user: &str, password: &str) -> Verdict {
        let never = Zeroizing::new([0u8; 32]);
        let right = self.password.as_ref().unwrap_or(&never);
        let short_enough = password.len() <= PASSWORD_BYTES;
        let given = digest(password);
        let same_password = given.as_slice().ct_eq(right.as_slice());
        let same_user = digest(user)
            .as_slice()
            .ct_eq(digest(&self.username).as_slice());
        let good = bool::from(same_password & same_user) && short_enough && self.password.is_some();
        if good {
            Verdict::Grant(Box::new(self.of_password.clone()))
        } else if self.password.is_none() {
            Verdict::Refuse(Reason::PasswordsOff)
        } else if bool::from(same_user) {
            Verdict::Refuse(Reason::Password)
        } else {
            Verdict::Refuse(Reason::User)
        }
    }
}

fn digest(text: &str) -> Zeroizing<[u8; 32]> {
    let mut hash = Sha256::digest(text.as_bytes());
    let digest = Zeroizing::new(hash.into());
    hash.zeroize();
    digest
}

/// Whether a key of this type signs by this algorithm. `ssh-rsa` as a way to sign means SHA-1: never. RFC 8332 §3.
fn fits(key_type: &str, algorithm: &str) -> bool {
    match key_type {
        "ssh-rsa" => matches!(algorithm, "rsa-sha2-256" | "rsa-sha2-512"),
        other => other == algorithm,
    }
}

/// One signature, and nothing after it.
fn decode(mut bytes: &[u8]) -> Option<Signature> {
    let signature = Signature::decode(&mut bytes).ok()?;
    bytes.is_finished().then_some(signature)
}

/// Whether the key's line lets it in from there, and still.
fn permitted(key: &AuthorizedKey, around: Circumstances) -> Result<(), Reason> {
    if key.expires.is_some_and(|at| at < around.now) {
        Err(Reason::Expired)
    } else if key
        .from
        .as_ref()
        .is_some_and(|from| !from.admit(around.address))
    {
        Err(Reason::From)
    } else {
        Ok(())
    }
}

/// The flags of a FIDO signature, none set where there are none.
fn fido_flags(signature: &Signature) -> u8 {
    let bytes = signature.as_bytes();
    let at = bytes.len().checked_sub(FIDO_TRAILER_BYTES);
    at.and_then(|at| bytes.get(at)).copied().unwrap_or(0)
}
