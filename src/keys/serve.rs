use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use signature::Signer;
use ssh_key::encoding::Encode;
use ssh_key::{HashAlg, PrivateKey};

use super::authority::Authority;
use super::connection::{Connection, Outcomes, Recordable, Then};
use super::error::KeysError;
use super::host;
use super::memory::{REMEMBERED, SignedHashes};
use super::proof;
use super::refusals::Refusals;
use super::trail::Trail;
use crate::model::Peer;
use crate::sys::wait::{any, readable};
use crate::wire::{
    AuditToPeer, ConnectionToKeys, KeysConfig, KeysToConnection, KeysToWarden, Link, LinkError,
    ReportToAudit, WardenToKeys,
};

/// How soon records that audit did not take are offered again.
const AUDIT_AGAIN: Duration = Duration::from_millis(20);
/// The warden waits for nobody: if its link is full for so long, it is not there any more in any sense that helps.
const WARDEN: Duration = Duration::from_secs(5);

type ConnectionLink = Link<KeysToConnection, ConnectionToKeys>;

/// The secrets, in memory. They are zeroed when it is dropped.
pub struct Keys {
    host: PrivateKey,
    authority: Authority,
}

/// Reads the host key, and takes over what config gives. For the time before confinement, as root.
///
/// # Errors
/// The host key's, each naming the file and what would be right; `AuthorizedKey`; `NoLogin`.
pub fn load(mut config: KeysConfig) -> Result<Keys, KeysError> {
    let authority = Authority::new(&mut config)?;
    let host = host::load(&config.data_dir)?;
    Ok(Keys { host, authority })
}

/// Serves until the warden closes its link. For the time after confinement: opens nothing, connects nowhere.
///
/// # Errors
/// `Warden`, `Wait`, `Encode`. A connection's faults close that connection's link and are no error.
pub fn run(
    keys: Keys,
    warden: Link<KeysToWarden, WardenToKeys>,
    audit: Link<ReportToAudit, AuditToPeer>,
) -> Result<(), KeysError> {
    let mut room = Room {
        keys,
        warden,
        trail: Trail::new(),
        signed: SignedHashes::new(REMEMBERED),
        guests: Vec::new(),
        refusals: Refusals::default(),
    };
    if let Err(error) = room.trail.connect(audit) {
        tracing::warn!(%error, "audit is away");
    }
    // A sign of life that is asked for is no message: receiving must come back without one.
    room.warden.set_nonblocking().map_err(KeysError::Warden)?;
    room.introduce()?;
    while room.turn()? == Turn::Again {}
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Turn {
    Again,
    End,
}

struct Room {
    keys: Keys,
    warden: Link<KeysToWarden, WardenToKeys>,
    trail: Trail,
    signed: SignedHashes,
    guests: Vec<Guest>,
    refusals: Refusals,
}

/// A connection and its link.
struct Guest {
    link: ConnectionLink,
    peer: Peer,
    state: Connection,
    /// A signature that is put off. Nothing is read from the link meanwhile, so there is never a second one.
    waits: Option<(Vec<u8>, Instant)>,
}

/// A link that is to be closed.
struct Leave;

/// Whether a connection was refused anything since it was last told of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refused {
    No,
    Yes,
}

impl Room {
    /// The public host key as an SSH blob.
    fn host_key(&self) -> Result<Vec<u8>, KeysError> {
        let blob = self.keys.host.public_key().to_bytes();
        blob.map_err(|source| KeysError::Encode { source })
    }

    fn introduce(&self) -> Result<(), KeysError> {
        let public = self.keys.host.public_key();
        let blob = self.host_key()?;
        let fingerprint = public.fingerprint(HashAlg::Sha256).to_string();
        self.tell_warden(&KeysToWarden::HostKey { blob, fingerprint })
    }

    fn tell_warden(&self, message: &KeysToWarden) -> Result<(), KeysError> {
        let until = Instant::now() + WARDEN;
        loop {
            match self.warden.send(message) {
                Err(error) if error.would_block() && Instant::now() < until => {
                    any(&[], &[self.warden.as_fd()], Some(until)).map_err(KeysError::Wait)?;
                }
                sent => return sent.map_err(KeysError::Warden),
            }
        }
    }

    /// Waits for something and does it.
    fn turn(&mut self) -> Result<Turn, KeysError> {
        let (ready, listening) = self.wait()?;
        let mut ready = ready.into_iter();
        let warden_ready = ready.next().unwrap_or(false);
        if self.trail.link().is_some() && ready.next().unwrap_or(false) {
            self.trail.hear();
        }
        self.trail.flush();
        if let Some(line) = self.refusals.turn(Instant::now()) {
            tracing::warn!("{line}");
        }
        let mut heard = vec![false; self.guests.len()];
        for (guest, ready) in listening.into_iter().zip(ready) {
            if let Some(heard) = heard.get_mut(guest) {
                *heard = ready;
            }
        }
        self.hear_guests(&heard)?;
        if warden_ready {
            return self.hear_warden();
        }
        Ok(Turn::Again)
    }

    /// What is ready: the warden, audit if it is there, then the guests of the second list.
    fn wait(&self) -> Result<(Vec<bool>, Vec<usize>), KeysError> {
        let mut fds = vec![self.warden.as_fd()];
        fds.extend(self.trail.link().map(AsFd::as_fd));
        let mut listening = Vec::new();
        let again = self.trail.is_behind().then(|| Instant::now() + AUDIT_AGAIN);
        let mut until = again.into_iter().chain(self.refusals.due()).min();
        for (i, guest) in self.guests.iter().enumerate() {
            match &guest.waits {
                Some((_, due)) => until = Some(until.map_or(*due, |until| until.min(*due))),
                None => {
                    fds.push(guest.link.as_fd());
                    listening.push(i);
                }
            }
        }
        let ready = readable(&fds, until).map_err(KeysError::Wait)?;
        Ok((ready, listening))
    }

    fn hear_warden(&mut self) -> Result<Turn, KeysError> {
        match self.warden.recv_with() {
            Err(error) if error.would_block() => Ok(Turn::Again),
            Err(LinkError::Closed) => Ok(Turn::End),
            Err(error) => Err(KeysError::Warden(error)),
            Ok((WardenToKeys::Audit, fds)) => {
                let link = one_link(fds).map_err(KeysError::Warden)?;
                if let Err(error) = self.trail.connect(link) {
                    tracing::warn!(%error, "audit is away");
                }
                Ok(Turn::Again)
            }
            Ok((WardenToKeys::Connection { cid, peer, phase }, fds)) => {
                let link: ConnectionLink = one_link(fds).map_err(KeysError::Warden)?;
                let host_key = self.host_key()?;
                match link.set_nonblocking() {
                    Ok(()) => self.guests.push(Guest {
                        link,
                        peer,
                        state: Connection::new(cid, peer.ip, phase, host_key),
                        waits: None,
                    }),
                    Err(error) => tracing::warn!(%cid, %peer, %error, "a link cannot be used"),
                }
                Ok(Turn::Again)
            }
        }
    }

    fn hear_guests(&mut self, ready: &[bool]) -> Result<(), KeysError> {
        let now = Instant::now();
        let guests = std::mem::take(&mut self.guests);
        for (i, mut guest) in guests.into_iter().enumerate() {
            let stays = if guest.waits.as_ref().is_some_and(|(_, due)| *due <= now) {
                match guest.waits.take() {
                    Some((hash, _)) => self.answer_hash(&guest, &hash)?,
                    None => Ok(()),
                }
            } else if ready.get(i).copied().unwrap_or(false) {
                self.hear_guest(&mut guest, now)?
            } else {
                Ok(())
            };
            if stays.is_ok() {
                self.guests.push(guest);
            } else if self.tell(&mut guest, now) == Refused::Yes {
                // Who counts these can do without one: that is no reason to wait.
                let refused = KeysToWarden::LoginRefused(guest.peer.ip);
                if let Err(error) = self.warden.send(&refused) {
                    tracing::debug!(%error, "the warden does not hear of a refused login");
                }
            }
        }
        Ok(())
    }

    /// One message of a connection. The inner error closes its link, the outer one ends keys.
    fn hear_guest(
        &mut self,
        guest: &mut Guest,
        now: Instant,
    ) -> Result<Result<(), Leave>, KeysError> {
        let cid = guest.state.cid();
        let message = match guest.link.recv() {
            Ok(message) => message,
            Err(error) if error.would_block() => return Ok(Ok(())),
            Err(LinkError::Closed) => return Ok(Err(Leave)),
            Err(error) => {
                tracing::warn!(%cid, %error, "a connection does not speak as it should: closed");
                return Ok(Err(Leave));
            }
        };
        // An attempt that locks out makes two records; the second one is only counted if there is no room for it.
        let recordable = if self.trail.has_room() {
            Recordable::Yes
        } else {
            Recordable::No
        };
        let heard = guest.state.hear(
            message,
            &self.keys.authority,
            &mut self.signed,
            recordable,
            now,
        );
        let Outcomes {
            records,
            granted,
            then,
        } = match heard {
            Ok(outcomes) => outcomes,
            Err(violation) => {
                tracing::warn!(%cid, %violation, "a connection said what it may not: closed");
                return Ok(Err(Leave));
            }
        };
        for (outcome, event) in records {
            self.trail.record(cid, outcome, event);
        }
        if let Some(grant) = granted {
            self.tell(guest, now);
            self.tell_warden(&KeysToWarden::Granted { cid, grant })?;
        }
        match then {
            Then::Wait => Ok(Ok(())),
            Then::Answer(answer) => Ok(answer_with(guest, &answer)),
            Then::Close(answer) => {
                // The link is closed whether or not the peer still reads.
                drop(answer_with(guest, &answer));
                Ok(Err(Leave))
            }
            Then::Sign(hash, due) if due <= now => self.answer_hash(guest, &hash),
            Then::Prove {
                session_id,
                host_keys,
            } => {
                let answer = self.prove(&session_id, &host_keys)?;
                Ok(answer_with(guest, &answer))
            }
            Then::Sign(hash, due) => {
                guest.waits = Some((hash, due));
                Ok(Ok(()))
            }
        }
    }

    /// Says in the log what the connection was refused, now that it is in or gone.
    fn tell(&mut self, guest: &mut Guest, now: Instant) -> Refused {
        let tried = guest.state.take_tried();
        let refused = if tried.is_empty() {
            Refused::No
        } else {
            Refused::Yes
        };
        if let Some(line) = self.refusals.line(guest.peer, &tried, now) {
            tracing::warn!("{line}");
        }
        if let Some(disagreement) = guest.state.take_disagreement()
            && let Some(line) = self.refusals.disagreement(guest.peer, &disagreement, now)
        {
            tracing::warn!("{line}");
        }
        refused
    }

    fn answer_hash(&self, guest: &Guest, hash: &[u8]) -> Result<Result<(), Leave>, KeysError> {
        let signature = self.signature(hash)?;
        Ok(answer_with(guest, &KeysToConnection::Signed(signature)))
    }

    /// Signs for each of `host_keys`, if all are this server's.
    fn prove(
        &self,
        session_id: &[u8],
        host_keys: &[Vec<u8>],
    ) -> Result<KeysToConnection, KeysError> {
        let encode = |source| KeysError::Encode { source };
        let ours = self.host_key()?;
        let mut signatures = Vec::new();
        for host_key in host_keys {
            if *host_key != ours {
                return Ok(KeysToConnection::Unproven);
            }
            let message = proof::message(session_id, &ours).map_err(encode)?;
            signatures.push(self.signature(&message)?);
        }
        Ok(KeysToConnection::Proven(signatures))
    }

    /// The encoded signature of the host key.
    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, KeysError> {
        let signed = self.keys.host.try_sign(message);
        signed
            .map_err(|_| ssh_key::Error::Crypto)
            .and_then(|signature| Ok(signature.encode_vec()?))
            .map_err(|source| KeysError::Encode { source })
    }
}

/// Answers, and never waits for it to be read.
fn answer_with(guest: &Guest, answer: &KeysToConnection) -> Result<(), Leave> {
    guest.link.send(answer).map_err(|error| {
        let cid = guest.state.cid();
        tracing::debug!(%cid, %error, "a connection does not take its answer: closed");
        Leave
    })
}

fn one_link<Out: serde::Serialize, In: serde::de::DeserializeOwned>(
    fds: Vec<OwnedFd>,
) -> Result<Link<Out, In>, LinkError> {
    let [fd] = Link::<Out, In>::exactly(fds)?;
    Link::from_fd(fd)
}
