//! Who logs in, and with what.

use std::time::{SystemTime, UNIX_EPOCH};

use hassio_sshd::model::{AuditFailure, ConfigAccess, Login, Permits, RecordingMode};
use hassio_sshd::wire::{
    AuthorizedKey, ConnectionToKeys, Event, Fault, KeysToConnection, PasswordMethod,
};
use sha2::{Digest, Sha256};
use signature::Signer;
use ssh_key::encoding::Encode;
use ssh_key::private::{EcdsaKeypair, KeypairData, RsaKeypair};
use ssh_key::{EcdsaCurve, HashAlg, PrivateKey, Signature};

use crate::harness::{
    Client, Kernel, Server, authorized, blob, ed25519, evidence, failed, offer, password, request,
    sign, signed,
};

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
        assert_eq!(
            client.log_in(&key),
            KeysToConnection::Granted(Permits::all())
        );
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
fn only_the_key_for_it_breaks_the_glass() {
    let (safe, daily) = (ed25519(), ed25519());
    let mut line = authorized(blob(&safe));
    line.break_glass = true;
    let server = Server::new(vec![line, authorized(blob(&daily))], None);
    for (key, expected) in [(safe, AuditFailure::Open), (daily, AuditFailure::Closed)] {
        let client = server.connect();
        assert_eq!(
            client.log_in(&key),
            KeysToConnection::Granted(Permits::all())
        );
        assert_eq!(server.granted().1.audit_failure, expected);
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
            KeysToConnection::Granted(Permits::all())
        );
        server.granted();
    }
}

/// Security keys in software, with the flags that a test wants.
enum Token {
    Ed25519(Box<PrivateKey>),
    P256(EcdsaKeypair),
}

impl Token {
    fn both() -> [Self; 2] {
        let pair = EcdsaKeypair::random(&mut Kernel, EcdsaCurve::NistP256).unwrap();
        [Self::Ed25519(Box::new(ed25519())), Self::P256(pair)]
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "sk-ssh-ed25519@openssh.com",
            Self::P256(_) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    /// PROTOCOL.u2f of OpenSSH, "SSH U2F Key formats".
    fn blob(&self) -> Vec<u8> {
        let parts: Vec<Vec<u8>> = match self {
            Self::Ed25519(key) => {
                let KeypairData::Ed25519(pair) = key.key_data() else {
                    panic!()
                };
                vec![pair.public.0.to_vec()]
            }
            Self::P256(pair) => vec![b"nistp256".to_vec(), pair.public_key_bytes().to_vec()],
        };
        let mut blob = Vec::new();
        self.algorithm().as_bytes().encode(&mut blob).unwrap();
        for part in parts {
            part.as_slice().encode(&mut blob).unwrap();
        }
        b"ssh:".as_slice().encode(&mut blob).unwrap();
        blob
    }

    /// PROTOCOL.u2f, "SSH U2F signatures".
    fn sign(&self, flags: u8, signed: &[u8]) -> Vec<u8> {
        let trailer = [&[flags][..], &7u32.to_be_bytes()].concat();
        let message = [
            &Sha256::digest(b"ssh:")[..],
            &trailer,
            &Sha256::digest(signed)[..],
        ]
        .concat();
        let inner: Signature = match self {
            Self::Ed25519(key) => key.try_sign(&message).unwrap(),
            Self::P256(pair) => pair.try_sign(&message).unwrap(),
        };
        let mut signature = Vec::new();
        self.algorithm().as_bytes().encode(&mut signature).unwrap();
        inner.as_bytes().encode(&mut signature).unwrap();
        signature.extend(trailer);
        signature
    }

    fn log_in(&self, client: &Client, flags: u8) -> KeysToConnection {
        let request = request("root", self.algorithm(), &self.blob());
        let signature = self.sign(flags, &signed(&client.id, &request));
        client.ask(&evidence(&client.id, request, &signature))
    }
}

#[test]
fn a_security_key_is_touched_and_knows_its_user_as_its_line_says() {
    let (untouched, unverified) = (
        "the security key was not touched",
        "the security key did not verify its user",
    );
    for token in Token::both() {
        for (touch, verify, flags, refusal) in [
            (true, false, 0, Some(untouched)),
            (true, false, 4, Some(untouched)),
            (true, false, 1, None),
            (true, false, 5, None),
            (false, false, 0, None),
            (false, false, 1, None),
            (true, true, 1, Some(unverified)),
            (true, true, 4, Some(untouched)),
            (true, true, 5, None),
            (false, true, 0, Some(unverified)),
            (false, true, 1, Some(unverified)),
            (false, true, 4, None),
            // Other bits mean nothing here.
            (true, true, 0xfa, Some(untouched)),
            (false, true, 0xfb, Some(unverified)),
        ] {
            let line = AuthorizedKey {
                touch,
                verify,
                ..authorized(token.blob())
            };
            let server = Server::new(vec![line], None);
            let answer = token.log_in(&server.connect(), flags);
            let case = format!(
                "{} touch {touch} verify {verify} flags {flags}",
                token.algorithm()
            );
            match refusal {
                None => {
                    assert_eq!(answer, KeysToConnection::Granted(Permits::all()), "{case}");
                    server.granted();
                }
                Some(reason) => {
                    assert_eq!(answer, KeysToConnection::Refused, "{case}");
                    assert_eq!(server.reasons(), [reason], "{case}");
                    server.nothing_was_granted();
                }
            }
        }
    }
}

/// The harness's connections come from 192.0.2.1.
#[test]
fn a_key_logs_in_only_from_where_its_line_says() {
    for (from, refused) in [
        ("192.0.2.1", false),
        ("192.0.2.0/24,!192.0.2.2", false),
        ("*", false),
        ("192.0.2.2", true),
        ("192.0.2.0/24,!192.0.2.1", true),
        ("::/0", true),
    ] {
        let key = ed25519();
        let line = AuthorizedKey {
            from: Some(from.parse().unwrap()),
            ..authorized(blob(&key))
        };
        let server = Server::new(vec![line], None);
        lets_in(&server, &key, refused.then_some("from"));
    }
}

#[test]
fn a_key_that_has_expired_is_none() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    for (expires, refused) in [
        (now + 60, false),
        (now - 1, true),
        (0, true),
        (i64::MIN, true),
    ] {
        let key = ed25519();
        let line = AuthorizedKey {
            expires: Some(expires),
            ..authorized(blob(&key))
        };
        let server = Server::new(vec![line], None);
        lets_in(&server, &key, refused.then_some("the key has expired"));
    }
}

/// An offer of it and a login with it; both are refused for this reason, if one is given.
fn lets_in(server: &Server, key: &PrivateKey, refusal: Option<&str>) {
    let client = server.connect();
    let (offered, proved) = (client.ask(&offer("root", key)), client.log_in(key));
    match refusal {
        None => {
            assert_eq!(offered, KeysToConnection::Acceptable);
            assert_eq!(proved, KeysToConnection::Granted(Permits::all()));
            server.granted();
        }
        Some(reason) => {
            assert_eq!(
                (offered, proved),
                (KeysToConnection::Refused, KeysToConnection::Refused)
            );
            assert_eq!(server.reasons(), [reason, reason]);
            server.nothing_was_granted();
        }
    }
}

#[test]
fn what_a_line_says_is_granted() {
    let key = ed25519();
    let mut permits = Permits::all();
    permits.restrict();
    let line = AuthorizedKey {
        recording: Some(RecordingMode::Input),
        command: Some("hassio info".to_owned()),
        environment: vec![("KEY_A".to_owned(), "b".to_owned())],
        permits: permits.clone(),
        ..authorized(blob(&key))
    };
    let server = Server::new(vec![line], None);
    let answer = server.connect().log_in(&key);
    assert_eq!(answer, KeysToConnection::Granted(permits.clone()));
    let (_, grant) = server.granted();
    assert_eq!(
        (grant.recording, grant.permits),
        (RecordingMode::Input, permits)
    );
    assert_eq!(grant.command.as_deref(), Some("hassio info"));
    assert_eq!(grant.environment, [("KEY_A".to_owned(), "b".to_owned())]);
}

/// The one question of RFC 4256 is the password's.
#[test]
fn an_answer_is_judged_as_a_password_and_named_as_an_answer() {
    let server = Server::new(Vec::new(), Some("right"));
    let client = server.connect();
    let answer = |word: &str| {
        client.ask(&ConnectionToKeys::Password {
            user: "root".to_owned(),
            password: word.to_owned(),
            by: PasswordMethod::KeyboardInteractive,
        })
    };
    assert_eq!(answer("wrong"), KeysToConnection::Refused);
    let none = failed("keyboard-interactive", Fault::Answers);
    assert_eq!(client.ask(&none), KeysToConnection::Refused);
    assert_eq!(answer("right"), KeysToConnection::Granted(Permits::all()));
    server.granted();
    let methods: Vec<_> = server
        .records()
        .iter()
        .map(|record| match &record.event {
            Event::AuthAttempt { method, n, .. } => (method.clone(), *n),
            other => panic!("{other:?}"),
        })
        .collect();
    let method = || "keyboard-interactive".to_owned();
    assert_eq!(methods, [(method(), 1), (method(), 2), (method(), 3)]);
    let reasons = server.reasons();
    assert_eq!(
        reasons,
        [
            "wrong password",
            "not one answer to the one question",
            "good password"
        ]
    );

    // Both ways count together.
    let server = Server::new(Vec::new(), Some("right"));
    let client = server.connect();
    for n in 0..6 {
        let by = [
            PasswordMethod::Password,
            PasswordMethod::KeyboardInteractive,
        ][n % 2];
        let (user, password) = ("root".to_owned(), "wrong".to_owned());
        let answer = client.ask(&ConnectionToKeys::Password { user, password, by });
        let expected = if n < 5 {
            KeysToConnection::Refused
        } else {
            KeysToConnection::TooMany
        };
        assert_eq!(answer, expected, "{n}");
    }
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
        KeysToConnection::Granted(Permits::all())
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
