//! How often, how fast, and in what order.

use std::os::fd::AsFd;

use hassio_sshd::model::Permits;
use hassio_sshd::wire::{
    AlgorithmKind, AuditToPeer, ConnectionToKeys, Disagreement, Disjoint, Event, Fault,
    KeysToConnection, Link, LinkError, Phase, Remedy, ReportToAudit, WardenToKeys,
};
use sha2::{Digest, Sha256};
use signature::Signer;
use ssh_key::Signature;
use ssh_key::encoding::Encode;

use crate::harness::{
    Client, Server, authorized, blob, ed25519, evidence, failed, offer, password, sign, signed,
};

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
    assert_eq!(
        first.log_in(&key),
        KeysToConnection::Granted(Permits::all())
    );
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
    assert_eq!(good.log_in(&key), KeysToConnection::Granted(Permits::all()));
}

#[test]
fn rekeys_come_as_fast_as_a_client_needs_and_no_faster() {
    let key = ed25519();
    let server = Server::new(vec![authorized(blob(&key))], None);
    let client = server.connect();
    assert_eq!(
        client.log_in(&key),
        KeysToConnection::Granted(Permits::all())
    );
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
    assert_eq!(
        server.connect().log_in(&key),
        KeysToConnection::Granted(Permits::all())
    );
    assert_eq!(
        server.reasons(),
        ["passwords are off", "passwords are off", "good signature"]
    );
}

#[test]
fn a_refused_login_is_told_of_once_when_it_is_over_and_one_that_works_never() {
    let key = ed25519();
    let server = Server::new(vec![authorized(blob(&key))], None);
    let client = server.connect();
    assert_eq!(
        client.ask(&offer("root", &ed25519())),
        KeysToConnection::Refused
    );
    let granted = client.log_in(&key);
    assert!(
        matches!(granted, KeysToConnection::Granted(_)),
        "{granted:?}"
    );
    server.granted();
    drop(client);
    let client = server.connect();
    for _ in 0..3 {
        assert_eq!(
            client.ask(&offer("root", &ed25519())),
            KeysToConnection::Refused
        );
    }
    assert!(server.refused().is_empty(), "it goes on");
    drop(client);
    drop(server.connect());
    let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
    let mut told = server.refused();
    while told.is_empty() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(10));
        told = server.refused();
    }
    assert_eq!(told, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn a_disagreement_is_said_once_and_before_all_else() {
    let key = ed25519();
    let server = Server::new(vec![authorized(blob(&key))], None);
    let of = |lists: usize| {
        let list = Disjoint {
            kind: AlgorithmKind::Mac,
            client: "hmac-md5".to_owned(),
            server: String::new(),
        };
        ConnectionToKeys::Disagreed(Disagreement {
            lists: vec![list; lists],
            remedy: Remedy::None,
        })
    };
    // After an exchange, after a login, of too many lists or of none.
    server.connect().is_closed_by(&of(1));
    let client = server.connect();
    let granted = client.log_in(&key);
    assert!(
        matches!(granted, KeysToConnection::Granted(_)),
        "{granted:?}"
    );
    client.is_closed_by(&of(1));
    for (before, lists) in [(0, 0), (0, AlgorithmKind::COUNT + 1), (1, 1)] {
        let (_, link) = server.connect_as(Phase::Fresh);
        for _ in 0..before {
            link.send(&of(1)).unwrap();
        }
        link.send(&of(lists)).unwrap();
        let heard = link.recv();
        assert!(matches!(heard, Err(LinkError::Closed)), "{heard:?}");
    }
}
