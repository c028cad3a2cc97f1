//! The host key proves itself, and signs nothing else in doing so.

use hassio_sshd::wire::limits::{HOST_KEYS, PROOFS};
use hassio_sshd::wire::{ConnectionToKeys, KeysToConnection, Phase};
use signature::{Signer, Verifier};
use ssh_key::encoding::Encode;
use ssh_key::{PrivateKey, Signature};

use crate::harness::{Client, Server, authorized, blob, ed25519, evidence, sign, signed};

fn prove(host_keys: Vec<Vec<u8>>) -> ConnectionToKeys {
    ConnectionToKeys::Prove { host_keys }
}

/// A client that has logged in.
fn logged_in() -> (Server, Client, Vec<u8>) {
    let key = ed25519();
    let server = Server::new(vec![authorized(blob(&key))], None);
    let client = server.connect();
    let granted = client.log_in(&key);
    assert!(
        matches!(granted, KeysToConnection::Granted(_)),
        "{granted:?}"
    );
    let host = server.host.to_bytes().unwrap();
    (server, client, host)
}

#[test]
fn a_proof_is_of_this_session_and_this_key() {
    let (server, client, host) = logged_in();
    // A rekey changes no session identifier.
    assert!(matches!(
        client.ask(&sign(&[1; 32])),
        KeysToConnection::Signed(_)
    ));
    let KeysToConnection::Proven(proofs) = client.ask(&prove(vec![host.clone(), host.clone()]))
    else {
        panic!("it was not proven");
    };
    assert_eq!(proofs.len(), 2);
    let signed = |session_id: &[u8], host: &[u8]| {
        let mut message = Vec::new();
        for part in [&b"hostkeys-prove-00@openssh.com"[..], session_id, host] {
            part.encode(&mut message).unwrap();
        }
        message
    };
    for proof in proofs {
        let proof = Signature::try_from(proof.as_slice()).unwrap();
        let good = |message: &[u8]| server.host.key_data().verify(message, &proof).is_ok();
        assert!(good(&signed(&client.id, &host)));
        // Neither for what a connection may choose, nor for another session.
        assert!(!good(&signed(&[1; 32], &host)) && !good(&client.id) && !good(&host));
    }
}

#[test]
fn no_other_key_is_proven_and_one_wrong_key_spoils_all() {
    let (_server, client, host) = logged_in();
    let other = blob(&ed25519());
    for asked in [
        vec![other.clone()],
        vec![host.clone(), other],
        vec![[host.as_slice(), &[0]].concat()],
        vec![Vec::new()],
    ] {
        assert_eq!(client.ask(&prove(asked)), KeysToConnection::Unproven);
    }
}

#[test]
fn proofs_are_bounded() {
    let (_server, client, host) = logged_in();
    for _ in 0..PROOFS {
        let answer = client.ask(&prove(vec![host.clone(); HOST_KEYS]));
        assert!(matches!(answer, KeysToConnection::Proven(proofs) if proofs.len() == HOST_KEYS));
    }
    client.is_closed_by(&prove(vec![host]));
    for wrong in [0, HOST_KEYS + 1] {
        let (_server, client, host) = logged_in();
        client.is_closed_by(&prove(vec![host; wrong]));
    }
}

#[test]
fn before_the_login_nothing_is_proven() {
    let server = Server::new(vec![authorized(blob(&ed25519()))], None);
    let host = server.host.to_bytes().unwrap();
    server.connect().is_closed_by(&prove(vec![host.clone()]));
    let (_, link) = server.connect_as(Phase::Fresh);
    link.send(&prove(vec![host])).unwrap();
    assert!(link.recv().is_err(), "nor before the first exchange");
}

#[test]
fn after_a_restart_of_keys_nothing_is_proven_and_rekeys_go_on() {
    let server = Server::new(vec![authorized(blob(&ed25519()))], None);
    let host = server.host.to_bytes().unwrap();
    let (_, link) = server.connect_as(Phase::Established);
    for _ in 0..2 {
        link.send(&prove(vec![host.clone()])).unwrap();
        assert_eq!(link.recv().unwrap(), KeysToConnection::Unproven);
        // A rekey's hash does not become the session identifier either.
        let hash: Vec<u8> = ed25519().public_key().to_bytes().unwrap()[19..].to_vec();
        link.send(&sign(&hash)).unwrap();
        assert!(matches!(link.recv().unwrap(), KeysToConnection::Signed(_)));
    }
}

/// A request bound to a host key, up to its signature.
fn bound(flag: u8, key: &PrivateKey, host: &[u8]) -> Vec<u8> {
    let mut request = vec![50];
    for part in [
        "root",
        "ssh-connection",
        "publickey-hostbound-v00@openssh.com",
    ] {
        part.encode(&mut request).unwrap();
    }
    request.push(flag);
    key.algorithm().as_str().encode(&mut request).unwrap();
    blob(key).encode(&mut request).unwrap();
    host.encode(&mut request).unwrap();
    request
}

#[test]
fn a_login_bound_to_another_host_key_is_none() {
    let key = ed25519();
    let server = Server::new(vec![authorized(blob(&key))], None);
    let host = server.host.to_bytes().unwrap();
    let other = blob(&ed25519());
    let client = server.connect();
    let send = |request: &[u8], covers: &[u8]| {
        let signature: Signature = key.try_sign(&signed(&client.id, covers)).unwrap();
        client.ask(&evidence(
            &client.id,
            request.to_vec(),
            &signature.encode_vec().unwrap(),
        ))
    };
    let offer = |request| client.ask(&ConnectionToKeys::Offer { request });
    assert_eq!(offer(bound(0, &key, &other)), KeysToConnection::Refused);
    assert_eq!(offer(bound(0, &key, &host)), KeysToConnection::Acceptable);
    let [theirs, ours] = [&other, &host].map(|host| bound(1, &key, host));
    assert_eq!(send(&theirs, &theirs), KeysToConnection::Refused);
    assert_eq!(
        send(&bound(1, &key, b""), &bound(1, &key, b"")),
        KeysToConnection::Refused
    );
    assert_eq!(send(&ours, &theirs), KeysToConnection::Refused);
    let granted = send(&ours, &ours);
    assert!(
        matches!(granted, KeysToConnection::Granted(_)),
        "{granted:?}"
    );
    let reasons = server.reasons();
    let expected = [
        "signed for another host key",
        "signed for another host key",
        "signed for another host key",
        "wrong signature",
        "good signature",
    ];
    assert_eq!(reasons, expected);
}
