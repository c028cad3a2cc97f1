//! keys in a thread; the test is the warden, audit, and connections that lie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as the test itself does"
)]

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::thread::JoinHandle;

use hassio_sshd::keys::{self, KeysError};
use hassio_sshd::model::{ConfigAccess, ConnectionId, Grant, Login, Network, Peer};
use hassio_sshd::sys::random;
use hassio_sshd::wire::{
    AuditToPeer, AuthorizedKey, ConnectionToKeys, Event, Fault, KeysConfig, KeysToConnection,
    KeysToWarden, Link, LinkError, Phase, Record, ReportToAudit, WardenToKeys,
};
use sha2::{Digest, Sha256};
use signature::{Signer, Verifier};
use ssh_key::encoding::Encode;
use ssh_key::private::{EcdsaKeypair, Ed25519Keypair, KeypairData, RsaKeypair};
use ssh_key::{EcdsaCurve, HashAlg, PrivateKey, PublicKey, Signature};

type Guest = Link<ConnectionToKeys, KeysToConnection>;

/// The kernel's generator as the crates want it; for tests only.
struct Kernel;

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

fn ed25519() -> PrivateKey {
    let mut seed = [0; 32];
    random::fill(&mut seed).unwrap();
    PrivateKey::new(Ed25519Keypair::from_seed(&seed).into(), "test").unwrap()
}

fn blob(key: &PrivateKey) -> Vec<u8> {
    key.public_key().to_bytes().unwrap()
}

fn authorized(blob: Vec<u8>) -> AuthorizedKey {
    let key = PublicKey::from_bytes(&blob).unwrap();
    AuthorizedKey {
        algorithm: key.algorithm().as_str().to_owned(),
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        blob,
        comment: "test".to_owned(),
        role: "observer".parse().unwrap(),
        config: ConfigAccess::ReadOnly,
        network: Network::None,
    }
}

/// keys, with the test in the place of all its peers.
struct Server {
    warden: Option<Link<WardenToKeys, KeysToWarden>>,
    audit: Link<AuditToPeer, ReportToAudit>,
    host: PublicKey,
    data_dir: PathBuf,
    thread: Option<JoinHandle<Result<(), KeysError>>>,
    seen: Mutex<Vec<Record>>,
}

impl Server {
    fn new(keys: Vec<AuthorizedKey>, password: Option<&str>) -> Self {
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
        };
        let (warden, wardens) = Link::pair().unwrap();
        let (audit, audits) = Link::pair().unwrap();
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

    fn warden(&self) -> &Link<WardenToKeys, KeysToWarden> {
        self.warden.as_ref().unwrap()
    }

    fn connect_as(&self, phase: Phase) -> (ConnectionId, Guest) {
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
    fn connect(&self) -> Client {
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

    fn granted(&self) -> (ConnectionId, Grant) {
        match self.warden().recv().unwrap() {
            KeysToWarden::Granted { cid, grant } => (cid, grant),
            other => panic!("{other:?}"),
        }
    }

    fn nothing_was_granted(&self) {
        self.warden().set_nonblocking().unwrap();
        let heard = self.warden().recv();
        assert!(
            heard.as_ref().is_err_and(LinkError::would_block),
            "{heard:?}"
        );
    }

    /// All records so far.
    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.audit.set_nonblocking().unwrap();
        let mut seen = self.seen.lock().unwrap();
        while let Ok(report) = self.audit.recv() {
            seen.push(report.record);
        }
        seen
    }

    /// The reasons of all `auth.attempt` so far.
    fn reasons(&self) -> Vec<String> {
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

struct Client {
    cid: ConnectionId,
    link: Guest,
    id: Vec<u8>,
}

fn sign(hash: &[u8]) -> ConnectionToKeys {
    ConnectionToKeys::Sign {
        exchange_hash: hash.to_vec(),
    }
}

fn request(user: &str, algorithm: &str, blob: &[u8]) -> Vec<u8> {
    publickey(1, user, algorithm, blob)
}

/// SSH_MSG_USERAUTH_REQUEST by publickey, up to the signature if there is one.
fn publickey(has_signature: u8, user: &str, algorithm: &str, blob: &[u8]) -> Vec<u8> {
    let mut bytes = vec![50];
    for part in [user.as_bytes(), b"ssh-connection", b"publickey"] {
        part.encode(&mut bytes).unwrap();
    }
    bytes.push(has_signature);
    algorithm.as_bytes().encode(&mut bytes).unwrap();
    blob.encode(&mut bytes).unwrap();
    bytes
}

fn offer(user: &str, key: &PrivateKey) -> ConnectionToKeys {
    let request = publickey(0, user, key.algorithm().as_str(), &blob(key));
    ConnectionToKeys::Offer { request }
}

fn signed(id: &[u8], request: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    id.encode(&mut bytes).unwrap();
    bytes.extend(request);
    bytes
}

fn evidence(id: &[u8], request: Vec<u8>, signature: &[u8]) -> ConnectionToKeys {
    ConnectionToKeys::PublicKey {
        session_id: id.to_vec(),
        request,
        signature: signature.to_vec(),
    }
}

impl Client {
    fn ask(&self, message: &ConnectionToKeys) -> KeysToConnection {
        self.link.send(message).unwrap();
        self.link.recv().unwrap()
    }

    /// The right evidence of `key` for this connection: request and signature.
    fn prove(&self, key: &PrivateKey) -> (Vec<u8>, Vec<u8>) {
        let request = request("root", key.algorithm().as_str(), &blob(key));
        let signature: Signature = key.try_sign(&signed(&self.id, &request)).unwrap();
        (request, signature.encode_vec().unwrap())
    }

    fn log_in(&self, key: &PrivateKey) -> KeysToConnection {
        let (request, signature) = self.prove(key);
        self.ask(&evidence(&self.id, request, &signature))
    }

    fn is_closed_by(&self, message: &ConnectionToKeys) {
        // The link may be closed before this is sent, which is as good.
        self.link.send(message).ok();
        let heard = self.link.recv();
        assert!(matches!(heard, Err(LinkError::Closed)), "{heard:?}");
    }
}

fn password(user: &str, password: &str) -> ConnectionToKeys {
    ConnectionToKeys::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

fn failed(method: &str, fault: Fault) -> ConnectionToKeys {
    ConnectionToKeys::Failed {
        user: "root".to_owned(),
        method: method.to_owned(),
        fault,
    }
}

#[test]
fn an_ed25519_and_an_ecdsa_key_log_in_and_may_then_rekey() {
    let curves = [
        EcdsaCurve::NistP256,
        EcdsaCurve::NistP384,
        EcdsaCurve::NistP521,
    ];
    let ecdsa = curves.map(|curve| {
        let pair = EcdsaKeypair::random(&mut Kernel, curve).unwrap();
        PrivateKey::new(KeypairData::from(pair), "test").unwrap()
    });
    for key in ecdsa.into_iter().chain([ed25519()]) {
        let server = Server::new(vec![authorized(blob(&key))], None);
        let client = server.connect();
        let answer = client.ask(&offer("root", &key));
        assert_eq!(answer, KeysToConnection::Acceptable);
        assert_eq!(client.log_in(&key), KeysToConnection::Granted);
        let (cid, grant) = server.granted();
        assert_eq!(cid, client.cid);
        assert_eq!(
            (grant.user.as_str(), grant.role.as_str(), grant.config),
            ("root", "observer", ConfigAccess::ReadOnly)
        );
        let Login::PublicKey(identity) = grant.login else {
            panic!()
        };
        assert_eq!(
            identity.fingerprint,
            key.fingerprint(HashAlg::Sha256).to_string()
        );
        for n in 0..3u8 {
            assert!(matches!(
                client.ask(&sign(&[n; 32])),
                KeysToConnection::Signed(_)
            ));
        }
        assert_eq!(server.reasons(), ["good signature"]);
    }
}

#[test]
fn an_rsa_key_logs_in_by_sha2_and_never_by_sha1() {
    let pair = RsaKeypair::random(&mut Kernel, 2048).unwrap();
    let key = PrivateKey::new(KeypairData::from(pair.clone()), "test").unwrap();
    let server = Server::new(vec![authorized(blob(&key))], None);
    for (hash, name) in [
        (HashAlg::Sha256, "rsa-sha2-256"),
        (HashAlg::Sha512, "rsa-sha2-512"),
    ] {
        let client = server.connect();
        let sign_as = |algorithm: &str| {
            let request = request("root", algorithm, &blob(&key));
            let signature: Signature = (&pair, Some(hash))
                .try_sign(&signed(&client.id, &request))
                .unwrap();
            (request, signature.encode_vec().unwrap())
        };
        let (sha1, good) = sign_as("ssh-rsa");
        assert_eq!(
            client.ask(&evidence(&client.id, sha1.clone(), &good)),
            KeysToConnection::Refused
        );
        // The signature too says SHA-1.
        let mut named = Vec::new();
        b"ssh-rsa".as_slice().encode(&mut named).unwrap();
        named.extend(&good[4 + name.len()..]);
        assert_eq!(
            client.ask(&evidence(&client.id, sha1, &named)),
            KeysToConnection::Refused
        );
        let (other, good) = sign_as(if name.ends_with("256") {
            "rsa-sha2-512"
        } else {
            "rsa-sha2-256"
        });
        assert_eq!(
            client.ask(&evidence(&client.id, other, &good)),
            KeysToConnection::Refused
        );
        let (request, good) = sign_as(name);
        assert_eq!(
            client.ask(&evidence(&client.id, request, &good)),
            KeysToConnection::Granted
        );
        server.granted();
    }
}

#[test]
fn a_login_cannot_be_claimed_or_borrowed() {
    let (key, stranger) = (ed25519(), ed25519());
    let server = Server::new(vec![authorized(blob(&key))], None);
    let victim = server.connect();
    let (request_of_victim, signature_of_victim) = victim.prove(&key);

    // Nothing to show.
    let liar = server.connect();
    assert_eq!(
        liar.ask(&evidence(&liar.id, Vec::new(), &[])),
        KeysToConnection::Refused
    );
    // A key that is not authorized, and its signature under the name of one that is.
    assert_eq!(liar.log_in(&stranger), KeysToConnection::Refused);
    let request = request("root", "ssh-ed25519", &blob(&key));
    let forged: Signature = stranger.try_sign(&signed(&liar.id, &request)).unwrap();
    assert_eq!(
        liar.ask(&evidence(&liar.id, request, &forged.encode_vec().unwrap())),
        KeysToConnection::Refused
    );
    // Another connection's evidence, under its identifier and under the liar's.
    for id in [&victim.id, &liar.id] {
        let replayed = evidence(id, request_of_victim.clone(), &signature_of_victim);
        assert_eq!(liar.ask(&replayed), KeysToConnection::Refused);
    }
    server.nothing_was_granted();
    assert_eq!(
        server.reasons(),
        [
            "not a publickey request",
            "unknown key",
            "wrong signature",
            "signed for another session",
            "wrong signature"
        ]
    );
}

#[test]
fn a_wrong_user_is_refused_like_a_wrong_key() {
    let key = ed25519();
    let server = Server::new(vec![authorized(blob(&key))], None);
    let client = server.connect();
    for user in ["admin", "", "root\0", &"x".repeat(5000)] {
        let request = request(user, "ssh-ed25519", &blob(&key));
        let signature: Signature = key.try_sign(&signed(&client.id, &request)).unwrap();
        let answer = client.ask(&evidence(
            &client.id,
            request,
            &signature.encode_vec().unwrap(),
        ));
        assert_eq!(answer, KeysToConnection::Refused);
    }
    let answer = client.ask(&offer("admin", &key));
    assert_eq!(answer, KeysToConnection::Refused);
    server.nothing_was_granted();
}

#[test]
fn one_bit_anywhere_and_the_evidence_is_worth_nothing() {
    let pair = EcdsaKeypair::random(&mut Kernel, EcdsaCurve::NistP256).unwrap();
    let keys = [
        ed25519(),
        PrivateKey::new(KeypairData::from(pair), "test").unwrap(),
    ];
    let server = Server::new(keys.iter().map(|key| authorized(blob(key))).collect(), None);
    for key in &keys {
        let mut client = server.connect();
        let mut asked = 0;
        let lengths = {
            let (r, s) = client.prove(key);
            [r.len(), s.len()]
        };
        for (part, length) in lengths.into_iter().enumerate() {
            for at in 0..length {
                // A connection may fail five times.
                if asked % 5 == 4 {
                    client = server.connect();
                }
                asked += 1;
                let (mut request, mut signature) = client.prove(key);
                let bytes = if part == 0 {
                    &mut request
                } else {
                    &mut signature
                };
                // An ECDSA signature's length may differ by a byte or two from one to the next.
                let Some(byte) = bytes.get_mut(at) else {
                    continue;
                };
                *byte ^= 1 << (asked % 8);
                let answer = client.ask(&evidence(&client.id, request, &signature));
                assert_eq!(answer, KeysToConnection::Refused, "part {part}, byte {at}");
            }
        }
        let client = server.connect();
        let (request, signature) = client.prove(key);
        let longer = [&signature[..], &[0]].concat();
        assert_eq!(
            client.ask(&evidence(&client.id, request, &longer)),
            KeysToConnection::Refused
        );
    }
    server.nothing_was_granted();
}

#[test]
fn a_security_key_must_be_touched() {
    let device = ed25519();
    let KeypairData::Ed25519(pair) = device.key_data() else {
        panic!()
    };
    let mut sk_blob = Vec::new();
    b"sk-ssh-ed25519@openssh.com"
        .as_slice()
        .encode(&mut sk_blob)
        .unwrap();
    pair.public.0.as_slice().encode(&mut sk_blob).unwrap();
    b"ssh:".as_slice().encode(&mut sk_blob).unwrap();
    let server = Server::new(vec![authorized(sk_blob.clone())], None);
    let client = server.connect();
    for (flags, answer) in [
        (0u8, KeysToConnection::Refused),
        (4, KeysToConnection::Refused),
        (1, KeysToConnection::Granted),
    ] {
        let request = request("root", "sk-ssh-ed25519@openssh.com", &sk_blob);
        // PROTOCOL.u2f: application's digest, flags, counter, message's digest.
        let trailer = [&[flags][..], &7u32.to_be_bytes()].concat();
        let message = [
            &Sha256::digest(b"ssh:")[..],
            &trailer,
            &Sha256::digest(signed(&client.id, &request))[..],
        ]
        .concat();
        let inner: Signature = device.try_sign(&message).unwrap();
        let mut signature = Vec::new();
        b"sk-ssh-ed25519@openssh.com"
            .as_slice()
            .encode(&mut signature)
            .unwrap();
        inner.as_bytes().encode(&mut signature).unwrap();
        signature.extend(trailer);
        assert_eq!(
            client.ask(&evidence(&client.id, request, &signature)),
            answer,
            "flags {flags}"
        );
    }
    server.granted();
    let never = "the security key was not touched";
    assert_eq!(server.reasons(), [never, never, "good signature"]);
}

#[test]
fn what_the_state_does_not_permit_closes_the_link() {
    let key = ed25519();
    let server = Server::new(vec![authorized(blob(&key))], None);
    let fresh = || {
        let (cid, link) = server.connect_as(Phase::Fresh);
        Client {
            cid,
            link,
            id: vec![9; 32],
        }
    };
    fresh().is_closed_by(&password("root", "x"));
    fresh().is_closed_by(&offer("root", &key));
    fresh().is_closed_by(&failed("none", Fault::Method));
    for length in [0, 16, 31, 33, 65] {
        fresh().is_closed_by(&sign(&vec![1; length]));
    }
    server.connect().is_closed_by(&sign(&[2; 32]));

    // A first hash that another connection had, even one that is gone, or as a rekey.
    let first = server.connect();
    fresh().is_closed_by(&sign(&first.id));
    assert_eq!(first.log_in(&key), KeysToConnection::Granted);
    server.granted();
    assert!(matches!(
        first.ask(&sign(&[3; 64])),
        KeysToConnection::Signed(_)
    ));
    fresh().is_closed_by(&sign(&[3; 64]));
    let (request, signature) = first.prove(&key);
    first.is_closed_by(&evidence(&first.id, request, &signature));
    fresh().is_closed_by(&sign(&first.id));

    let (cid, link) = server.connect_as(Phase::Established);
    let old = Client {
        cid,
        link,
        id: vec![4; 32],
    };
    assert!(matches!(
        old.ask(&sign(&old.id)),
        KeysToConnection::Signed(_)
    ));
    let (request, signature) = old.prove(&key);
    old.is_closed_by(&evidence(&old.id, request, &signature));
    server.nothing_was_granted();
}

#[test]
fn a_link_that_speaks_another_language_is_closed_alone() {
    let key = ed25519();
    let server = Server::new(vec![authorized(blob(&key))], None);
    let good = server.connect();
    let (_, link) = server.connect_as(Phase::Fresh);
    let babble = Link::<Vec<u64>, u8>::from_fd(link.into_fd()).unwrap();
    babble.send(&vec![u64::MAX; 100]).unwrap();
    assert!(matches!(babble.recv(), Err(LinkError::Closed)));
    let (_, link) = server.connect_as(Phase::Fresh);
    link.send_with(&sign(&[5; 32]), &[link.as_fd()]).unwrap();
    assert!(matches!(link.recv(), Err(LinkError::Closed)));
    assert_eq!(good.log_in(&key), KeysToConnection::Granted);
}

#[test]
fn passwords_count_only_without_keys() {
    let server = Server::new(Vec::new(), Some("right"));
    let client = server.connect();
    for (user, word) in [
        ("root", "wrong"),
        ("admin", "right"),
        ("root", ""),
        ("root", &"x".repeat(9000)),
    ] {
        assert_eq!(client.ask(&password(user, word)), KeysToConnection::Refused);
    }
    assert_eq!(
        client.ask(&password("root", "right")),
        KeysToConnection::Granted
    );
    let (_, grant) = server.granted();
    assert_eq!(
        (grant.login, grant.role.as_str()),
        (Login::Password, "operator")
    );
    assert_eq!(
        server.reasons(),
        [
            "wrong password",
            "unknown user",
            "wrong password",
            "wrong password",
            "good password"
        ]
    );

    let server = Server::new(vec![authorized(blob(&ed25519()))], Some("right"));
    assert_eq!(
        server.connect().ask(&password("root", "right")),
        KeysToConnection::Refused
    );
    assert_eq!(server.reasons(), ["passwords are off"]);
}

#[test]
fn six_failures_or_twenty_offers_are_enough() {
    let key = ed25519();
    let server = Server::new(vec![authorized(blob(&key))], None);
    let client = server.connect();
    let stranger = offer("root", &ed25519());
    for _ in 0..20 {
        assert_eq!(client.ask(&stranger), KeysToConnection::Refused);
    }
    assert_eq!(client.ask(&stranger), KeysToConnection::TooMany);
    assert_eq!(
        client.log_in(&key),
        KeysToConnection::TooMany,
        "the right key comes too late"
    );

    let client = server.connect();
    for _ in 0..19 {
        assert_eq!(
            client.ask(&stranger),
            KeysToConnection::Refused,
            "an agent's keys are no failures"
        );
    }
    for _ in 0..5 {
        assert_eq!(
            client.ask(&password("root", "x")),
            KeysToConnection::Refused
        );
    }
    assert_eq!(
        client.ask(&password("root", "x")),
        KeysToConnection::TooMany
    );
    assert_eq!(client.log_in(&key), KeysToConnection::TooMany);
    assert_eq!(client.log_in(&key), KeysToConnection::TooMany);
    client.is_closed_by(&stranger);
    server.nothing_was_granted();
    let lockouts = server
        .reasons()
        .iter()
        .filter(|reason| reason.starts_with("lockout"))
        .count();
    assert_eq!(lockouts, 2);
}

#[test]
fn six_attempts_of_any_kind_are_enough_and_each_is_on_record() {
    let (key, stranger) = (ed25519(), ed25519());
    let server = Server::new(vec![authorized(blob(&key))], None);
    let client = server.connect();
    let (request, _) = client.prove(&key);
    let forged: Signature = stranger.try_sign(&signed(&client.id, &request)).unwrap();
    let attempts = [
        evidence(&client.id, request, &forged.encode_vec().unwrap()),
        failed("none", Fault::Method),
        failed("keyboard-interactive", Fault::Method),
        failed("x\x1b]0;\u{202e}", Fault::Method),
        failed("password", Fault::PasswordChange),
        failed("password", Fault::Length),
    ];
    let answers: Vec<_> = attempts.iter().map(|attempt| client.ask(attempt)).collect();
    assert!(answers[..5].iter().all(|a| *a == KeysToConnection::Refused));
    assert_eq!(answers[5], KeysToConnection::TooMany);
    assert_eq!(client.log_in(&key), KeysToConnection::TooMany);
    server.nothing_was_granted();

    let mut found = Vec::new();
    for record in server.records().iter() {
        if let Event::AuthAttempt {
            method, reason, n, ..
        } = &record.event
        {
            assert_eq!(record.cid, Some(client.cid));
            found.push((*n, method.clone(), reason.clone()));
        }
    }
    let expected = [
        (1, "publickey", "wrong signature"),
        (2, "none", "the method is not offered"),
        (3, "keyboard-interactive", "the method is not offered"),
        (4, "x\\x1b]0;\\u{202e}", "the method is not offered"),
        (5, "password", "passwords are not changed here"),
        (6, "password", "longer than what is looked at"),
    ];
    let expected = expected.map(|(n, method, reason)| (n, method.to_owned(), reason.to_owned()));
    assert_eq!(found, expected);
}

#[test]
fn a_certificate_is_refused_by_its_name_even_for_an_authorized_key() {
    let (key, authority) = (ed25519(), ed25519());
    let mut builder = ssh_key::certificate::Builder::new(
        vec![0; 16],
        key.public_key().key_data().clone(),
        0,
        u64::MAX,
    )
    .unwrap();
    builder.key_id("test").unwrap();
    builder.valid_principal("root").unwrap();
    let certificate = builder.sign(&authority).unwrap();
    let algorithm = certificate.algorithm().to_certificate_type();
    let certificate = certificate.to_bytes().unwrap();

    let server = Server::new(vec![authorized(blob(&key))], None);
    let client = server.connect();
    let request = publickey(0, "root", &algorithm, &certificate);
    let answer = client.ask(&ConnectionToKeys::Offer { request });
    assert_eq!(answer, KeysToConnection::Refused);
    let request = publickey(1, "root", &algorithm, &certificate);
    let signature: Signature = key.try_sign(&signed(&client.id, &request)).unwrap();
    let signature = signature.encode_vec().unwrap();
    let answer = client.ask(&evidence(&client.id, request, &signature));
    assert_eq!(answer, KeysToConnection::Refused);
    server.nothing_was_granted();

    for record in server.records().iter() {
        let Event::AuthAttempt {
            fingerprint,
            key_type,
            reason,
            ..
        } = &record.event
        else {
            panic!("{record:?}");
        };
        let shown = key.fingerprint(HashAlg::Sha256).to_string();
        assert_eq!(fingerprint.as_ref(), Some(&shown));
        assert_eq!(key_type.as_ref(), Some(&algorithm));
        assert_eq!(reason, "certificates are not taken");
    }
    assert_eq!(server.records().len(), 2);
}

#[test]
fn logins_go_on_while_audit_is_replaced_and_no_record_is_lost() {
    let key = ed25519();
    let mut server = Server::new(vec![authorized(blob(&key))], None);
    assert_eq!(
        server.connect().ask(&password("root", "x")),
        KeysToConnection::Refused
    );
    assert_eq!(server.reasons().len(), 1);
    let (audit, theirs) = Link::pair().unwrap();
    server.audit = audit;
    assert_eq!(
        server.connect().ask(&password("root", "x")),
        KeysToConnection::Refused
    );
    let theirs: Link<ReportToAudit, AuditToPeer> = theirs;
    server
        .warden()
        .send_with(&WardenToKeys::Audit, &[theirs.as_fd()])
        .unwrap();
    assert_eq!(server.connect().log_in(&key), KeysToConnection::Granted);
    assert_eq!(
        server.reasons(),
        ["passwords are off", "passwords are off", "good signature"]
    );
}

#[test]
fn rekeys_come_as_fast_as_a_client_needs_and_no_faster() {
    let key = ed25519();
    let server = Server::new(vec![authorized(blob(&key))], None);
    let client = server.connect();
    assert_eq!(client.log_in(&key), KeysToConnection::Granted);
    let begin = std::time::Instant::now();
    for n in 0..96u32 {
        let hash = Sha256::digest(n.to_be_bytes());
        assert!(matches!(
            client.ask(&sign(&hash)),
            KeysToConnection::Signed(_)
        ));
    }
    // 64 at once, the other 32 one each 31 ms.
    assert!(
        begin.elapsed() >= std::time::Duration::from_millis(900),
        "{:?}",
        begin.elapsed()
    );
}
