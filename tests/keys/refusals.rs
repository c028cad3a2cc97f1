//! What proves nothing, whoever shows it.

use hassio_sshd::wire::{ConnectionToKeys, Event, KeysToConnection};
use signature::Signer;
use ssh_key::encoding::Encode;
use ssh_key::private::{EcdsaKeypair, KeypairData};
use ssh_key::{EcdsaCurve, HashAlg, PrivateKey, Signature};

use crate::harness::{
    Kernel, Server, authorized, blob, ed25519, evidence, offer, publickey, request, signed,
};

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
