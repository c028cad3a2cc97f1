//! Who logs in, and with what.

use hassio_sshd::model::{AuditFailure, ConfigAccess, Login};
use hassio_sshd::wire::KeysToConnection;
use sha2::{Digest, Sha256};
use signature::Signer;
use ssh_key::encoding::Encode;
use ssh_key::private::{EcdsaKeypair, KeypairData, RsaKeypair};
use ssh_key::{EcdsaCurve, HashAlg, PrivateKey, Signature};

use crate::harness::{
    Kernel, Server, authorized, blob, ed25519, evidence, offer, password, request, sign, signed,
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
fn only_the_key_for_it_breaks_the_glass() {
    let (safe, daily) = (ed25519(), ed25519());
    let mut line = authorized(blob(&safe));
    line.break_glass = true;
    let server = Server::new(vec![line, authorized(blob(&daily))], None);
    for (key, expected) in [(safe, AuditFailure::Open), (daily, AuditFailure::Closed)] {
        let client = server.connect();
        assert_eq!(client.log_in(&key), KeysToConnection::Granted);
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
            KeysToConnection::Granted
        );
        server.granted();
    }
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
