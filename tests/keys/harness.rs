//! keys in a thread; the test is the warden, audit, and connections that lie.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::thread::JoinHandle;

use hassio_sshd::keys::{self, KeysError};
use hassio_sshd::model::{
    AuditFailure, ConfigAccess, ConnectionId, Grant, Network, Peer, Permits, RecordingMode,
};
use hassio_sshd::sys::random;
use hassio_sshd::wire::{
    AuditToPeer, AuthorizedKey, ConnectionToKeys, Event, Fault, KeysConfig, KeysToConnection,
    KeysToWarden, Link, LinkError, PasswordMethod, Phase, Record, ReportToAudit, WardenToKeys,
};
use signature::{Signer, Verifier};
use ssh_key::encoding::Encode;
use ssh_key::private::Ed25519Keypair;
use ssh_key::{HashAlg, PrivateKey, PublicKey, Signature};

pub(crate) type Guest = Link<ConnectionToKeys, KeysToConnection>;

/// The kernel's generator as the crates want it; for tests only.
pub(crate) struct Kernel;

impl ssh_key::rand_core::TryRng for Kernel {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        random::fill(bytes).unwrap();
        Ok(())
    }
}

impl ssh_key::rand_core::TryCryptoRng for Kernel {}

pub(crate) fn ed25519() -> PrivateKey {
    let mut seed = [0; 32];
    random::fill(&mut seed).unwrap();
    PrivateKey::new(Ed25519Keypair::from_seed(&seed).into(), "test").unwrap()
}

pub(crate) fn blob(key: &PrivateKey) -> Vec<u8> {
    key.public_key().to_bytes().unwrap()
}

pub(crate) fn authorized(blob: Vec<u8>) -> AuthorizedKey {
    let key = PublicKey::from_bytes(&blob).unwrap();
    AuthorizedKey {
        algorithm: key.algorithm().as_str().to_owned(),
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        blob,
        comment: "test".to_owned(),
        role: "observer".parse().unwrap(),
        config: ConfigAccess::ReadOnly,
        network: Network::None,
        recording: None,
        break_glass: false,
        from: None,
        expires: None,
        command: None,
        environment: Vec::new(),
        permits: Permits::all(),
        touch: true,
        verify: false,
    }
}

/// keys, with the test in the place of all its peers.
pub(crate) struct Server {
    warden: Option<Link<WardenToKeys, KeysToWarden>>,
    pub(crate) audit: Link<AuditToPeer, ReportToAudit>,
    pub(crate) host: PublicKey,
    data_dir: PathBuf,
    thread: Option<JoinHandle<Result<(), KeysError>>>,
    seen: Mutex<Vec<Record>>,
}

impl Server {
    pub(crate) fn new(keys: Vec<AuthorizedKey>, password: Option<&str>) -> Self {
        let data_dir =
            std::env::temp_dir().join(format!("hassio-sshd-keys-{}", ConnectionId::new()));
        std::fs::create_dir(&data_dir).unwrap();
        let config = KeysConfig {
            log_level: "info".to_owned(),
            data_dir: data_dir.clone(),
            username: "root".to_owned(),
            authorized_keys: keys,
            password: password.map(str::to_owned),
            default_role: "operator".parse().unwrap(),
            default_config: ConfigAccess::ReadWrite,
            default_network: Network::Shared,
            forwarding: hassio_sshd::model::Forwarding::default(),
            recording: RecordingMode::Output,
            audit_failure: AuditFailure::Closed,
        };
        let (warden, wardens) = Link::pair().unwrap();
        let (audit, audits) = Link::pair().unwrap();
        keys::make_host_key(&data_dir).unwrap();
        let loaded = keys::load(config).unwrap();
        let thread = std::thread::spawn(move || keys::run(loaded, wardens, audits));
        let KeysToWarden::HostKey { blob, fingerprint } = warden.recv().unwrap() else {
            panic!("the host key does not come first");
        };
        let host = PublicKey::from_bytes(&blob).unwrap();
        assert_eq!(host.fingerprint(HashAlg::Sha256).to_string(), fingerprint);
        Self {
            warden: Some(warden),
            audit,
            host,
            data_dir,
            thread: Some(thread),
            seen: Mutex::default(),
        }
    }

    pub(crate) fn warden(&self) -> &Link<WardenToKeys, KeysToWarden> {
        self.warden.as_ref().unwrap()
    }

    pub(crate) fn connect_as(&self, phase: Phase) -> (ConnectionId, Guest) {
        let (ours, theirs) = Guest::pair().unwrap();
        let cid = ConnectionId::new();
        let peer = Peer {
            ip: [192, 0, 2, 1].into(),
            port: 1,
        };
        let message = WardenToKeys::Connection { cid, peer, phase };
        self.warden()
            .send_with(&message, &[theirs.as_fd()])
            .unwrap();
        (cid, ours)
    }

    /// A new connection after its first key exchange.
    pub(crate) fn connect(&self) -> Client {
        let (cid, link) = self.connect_as(Phase::Fresh);
        let mut id = vec![0; 32];
        random::fill(&mut id).unwrap();
        let client = Client { cid, link, id };
        let KeysToConnection::Signed(signature) = client.ask(&sign(&client.id)) else {
            panic!("the first hash was not signed");
        };
        let signature = Signature::try_from(signature.as_slice()).unwrap();
        Verifier::verify(self.host.key_data(), &client.id, &signature).unwrap();
        client
    }

    pub(crate) fn granted(&self) -> (ConnectionId, Grant) {
        loop {
            match self.warden().recv().unwrap() {
                KeysToWarden::Granted { cid, grant } => return (cid, *grant),
                KeysToWarden::LoginRefused(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn nothing_was_granted(&self) {
        self.refused();
    }

    /// From where logins were said to be refused so far; nothing else was said.
    pub(crate) fn refused(&self) -> Vec<IpAddr> {
        self.warden().set_nonblocking().unwrap();
        let mut from = Vec::new();
        loop {
            match self.warden().recv() {
                Ok(KeysToWarden::LoginRefused(ip)) => from.push(ip),
                Err(error) if error.would_block() => return from,
                other => panic!("{other:?}"),
            }
        }
    }

    /// All records so far.
    pub(crate) fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.audit.set_nonblocking().unwrap();
        let mut seen = self.seen.lock().unwrap();
        while let Ok(report) = self.audit.recv() {
            let ReportToAudit::Record { record, .. } = report else {
                panic!("{report:?}");
            };
            seen.push(record);
        }
        seen
    }

    /// The reasons of all `auth.attempt` so far.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let seen = self.records();
        let reason = |record: &Record| match &record.event {
            Event::AuthAttempt { reason, .. } => Some(reason.clone()),
            Event::AuthLockout { reason, .. } => Some(format!("lockout: {reason}")),
            other => panic!("{other:?}"),
        };
        seen.iter().filter_map(reason).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.warden.take());
        let ended = self.thread.take().unwrap().join();
        std::fs::remove_dir_all(&self.data_dir).ok();
        if !std::thread::panicking() {
            ended
                .unwrap()
                .expect("keys ends well when the warden's link is closed");
        }
    }
}

pub(crate) struct Client {
    pub(crate) cid: ConnectionId,
    pub(crate) link: Guest,
    pub(crate) id: Vec<u8>,
}

pub(crate) fn sign(hash: &[u8]) -> ConnectionToKeys {
    ConnectionToKeys::Sign {
        exchange_hash: hash.to_vec(),
    }
}

pub(crate) fn request(user: &str, algorithm: &str, blob: &[u8]) -> Vec<u8> {
    publickey(1, user, algorithm, blob)
}

/// SSH_MSG_USERAUTH_REQUEST by publickey, up to the signature if there is one.
pub(crate) fn publickey(has_signature: u8, user: &str, algorithm: &str, blob: &[u8]) -> Vec<u8> {
    let mut bytes = vec![50];
    for part in [user.as_bytes(), b"ssh-connection", b"publickey"] {
        part.encode(&mut bytes).unwrap();
    }
    bytes.push(has_signature);
    algorithm.as_bytes().encode(&mut bytes).unwrap();
    blob.encode(&mut bytes).unwrap();
    bytes
}

pub(crate) fn offer(user: &str, key: &PrivateKey) -> ConnectionToKeys {
    let request = publickey(0, user, key.algorithm().as_str(), &blob(key));
    ConnectionToKeys::Offer { request }
}

pub(crate) fn signed(id: &[u8], request: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    id.encode(&mut bytes).unwrap();
    bytes.extend(request);
    bytes
}

pub(crate) fn evidence(id: &[u8], request: Vec<u8>, signature: &[u8]) -> ConnectionToKeys {
    ConnectionToKeys::PublicKey {
        session_id: id.to_vec(),
        request,
        signature: signature.to_vec(),
    }
}

impl Client {
    pub(crate) fn ask(&self, message: &ConnectionToKeys) -> KeysToConnection {
        self.link.send(message).unwrap();
        self.link.recv().unwrap()
    }

    /// The right evidence of `key` for this connection: request and signature.
    pub(crate) fn prove(&self, key: &PrivateKey) -> (Vec<u8>, Vec<u8>) {
        let request = request("root", key.algorithm().as_str(), &blob(key));
        let signature: Signature = key.try_sign(&signed(&self.id, &request)).unwrap();
        (request, signature.encode_vec().unwrap())
    }

    pub(crate) fn log_in(&self, key: &PrivateKey) -> KeysToConnection {
        let (request, signature) = self.prove(key);
        self.ask(&evidence(&self.id, request, &signature))
    }

    pub(crate) fn is_closed_by(&self, message: &ConnectionToKeys) {
        // The link may be closed before this is sent, which is as good.
        self.link.send(message).ok();
        let heard = self.link.recv();
        assert!(matches!(heard, Err(LinkError::Closed)), "{heard:?}");
    }
}

pub(crate) fn password(user: &str, password: &str) -> ConnectionToKeys {
    ConnectionToKeys::Password {
        user: user.to_owned(),
        password: password.to_owned(),
        by: PasswordMethod::Password,
    }
}

pub(crate) fn failed(method: &str, fault: Fault) -> ConnectionToKeys {
    ConnectionToKeys::Failed {
        user: "root".to_owned(),
        method: method.to_owned(),
        fault,
    }
}
