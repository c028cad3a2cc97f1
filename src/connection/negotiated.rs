//! What client and server agree on, read from the client's first bytes: russh does not tell its server side.

use crate::model::escape;
use crate::policy::ssh::Algorithms;
use crate::wire::limits::ALGORITHMS_BYTES;
use crate::wire::{AlgorithmKind, Disagreement, Disjoint, Remedy};

/// What a `conn.open` record says of a transport. What is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Negotiated {
    /// The client's identification line, escaped.
    pub(super) client: String,
    pub(super) key_exchange: String,
    pub(super) cipher: String,
}

/// How much of an identification line a record keeps; RFC 4253 §4.2 allows 255.
const CLIENT_BYTES: usize = 255;
/// SSH_MSG_KEXINIT, RFC 4253 §12.
const KEXINIT: u8 = 20;

/// Names in the list of key exchanges that are none, RFC 8308 §2.1 and OpenSSH's PROTOCOL §1.10.
const MARKERS: [&str; 4] = [
    "ext-info-c",
    "ext-info-s",
    "kex-strict-c-v00@openssh.com",
    "kex-strict-s-v00@openssh.com",
];
/// What ciphers that need no MAC end in.
const AUTHENTICATED: [&str; 2] = ["-gcm@openssh.com", "-poly1305@openssh.com"];

/// Reads `head`: the first bytes that the client sent, in clear.
pub(super) fn read(head: &[u8], offered: &Algorithms) -> Negotiated {
    let (line, rest) = parts(head);
    let [key_exchange, cipher] = lists(rest)
        .map(|lists| {
            [
                agreed(lists.key_exchange, &offered.key_exchange),
                agreed(lists.cipher, &offered.cipher),
            ]
        })
        .unwrap_or_default()
        .map(|name| name.unwrap_or_default().to_owned());
    Negotiated {
        client: escape(line.trim_ascii_end(), CLIENT_BYTES),
        key_exchange,
        cipher,
    }
}

/// What the client that sent `head` has not in common with what is offered `now`, and whether it would have with the `most`
/// that can be. None where nothing is missing.
pub(super) fn disagreement(
    head: &[u8],
    now: &Algorithms,
    most: &Algorithms,
) -> Option<Disagreement> {
    let lists = lists(parts(head).1)?;
    let missing = lists.missing(now);
    let remedy = if lists.missing(most).is_empty() {
        Remedy::CompatibilityMode
    } else {
        Remedy::None
    };
    (!missing.is_empty()).then_some(Disagreement {
        lists: missing,
        remedy,
    })
}

/// The identification line and what follows it.
fn parts(head: &[u8]) -> (&[u8], &[u8]) {
    let end = head.iter().position(|byte| *byte == b'\n');
    match end.and_then(|end| head.split_at_checked(end + 1)) {
        Some(parts) => parts,
        None => (head, &[]),
    }
}

/// What a client offers, RFC 4253 §7.1, as far as it is looked at. russh uses one cipher both ways: the client's.
struct Lists<'h> {
    key_exchange: &'h [u8],
    host_key: &'h [u8],
    cipher: &'h [u8],
    /// From client to server, and back.
    macs: [&'h [u8]; 2],
}

impl Lists<'_> {
    /// Those that have nothing in common with what is offered.
    fn missing(&self, offered: &Algorithms) -> Vec<Disjoint> {
        let cipher = agreed(self.cipher, &offered.cipher);
        let needs_mac =
            cipher.is_some_and(|name| !AUTHENTICATED.iter().any(|end| name.ends_with(end)));
        let [to_server, to_client] = self.macs;
        let mac = if agreed(to_server, &offered.mac).is_none() {
            to_server
        } else {
            to_client
        };
        [
            (
                AlgorithmKind::KeyExchange,
                self.key_exchange,
                &offered.key_exchange,
            ),
            (AlgorithmKind::HostKey, self.host_key, &offered.host_key),
            (AlgorithmKind::Cipher, self.cipher, &offered.cipher),
            (AlgorithmKind::Mac, mac, &offered.mac),
        ]
        .into_iter()
        .filter(|(kind, client, server)| {
            (*kind != AlgorithmKind::Mac || needs_mac) && agreed(client, server).is_none()
        })
        .map(|(kind, client, server)| Disjoint {
            kind,
            client: named(client.split(|byte| *byte == b',')),
            server: named(server.iter().map(String::as_bytes)),
        })
        .collect()
    }
}

/// The names, without those that are none, and cut.
fn named<'n>(names: impl Iterator<Item = &'n [u8]>) -> String {
    let names = names.filter(|name| !MARKERS.iter().any(|marker| marker.as_bytes() == *name));
    let mut bytes = names.collect::<Vec<_>>().join(&b',');
    bytes.truncate(ALGORITHMS_BYTES);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn lists(packet: &[u8]) -> Option<Lists<'_>> {
    // Length and padding length, RFC 4253 §6; then the message's byte and the cookie.
    let message = packet.get(5..)?;
    let (KEXINIT, mut rest) = (*message.first()?, message.get(17..)?) else {
        return None;
    };
    let mut next = || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (list, after) = after.split_at_checked(length)?;
        rest = after;
        Some(list)
    };
    let [key_exchange, host_key, cipher] = [next()?, next()?, next()?];
    next()?;
    Some(Lists {
        key_exchange,
        host_key,
        cipher,
        macs: [next()?, next()?],
    })
}

/// The client's first choice that the server offers.
fn agreed<'o>(client: &[u8], offered: &'o [String]) -> Option<&'o str> {
    let offered = |name: &[u8]| {
        let mut offered = offered.iter().map(String::as_str);
        offered.find(|o| o.as_bytes() == name && !MARKERS.contains(o))
    };
    client.split(|byte| *byte == b',').find_map(offered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ssh::{Offer, Ssh};

    fn head(line: &str, lists: &[&str]) -> Vec<u8> {
        let mut head = line.as_bytes().to_vec();
        head.extend([0, 0, 0, 99, 4, KEXINIT]);
        head.extend([7; 16]);
        for list in lists {
            head.extend(u32::try_from(list.len()).unwrap().to_be_bytes());
            head.extend(list.as_bytes());
        }
        head
    }

    #[test]
    fn the_clients_first_choice_that_is_offered_is_agreed_on() {
        let lists = [
            "sntrup761x25519-sha512,curve25519-sha256,mlkem768x25519-sha256",
            "ssh-ed25519",
            "aes128-cbc,aes256-gcm@openssh.com",
            "",
            "hmac-sha1",
            "hmac-sha1",
        ];
        let head = head("SSH-2.0-OpenSSH_9.2p1 \x1b[31m\r\n", &lists);
        let offered = Ssh::shipped().unwrap().algorithms;
        let expected = Negotiated {
            client: r"SSH-2.0-OpenSSH_9.2p1 \x1b[31m".to_owned(),
            key_exchange: "curve25519-sha256".to_owned(),
            cipher: "aes256-gcm@openssh.com".to_owned(),
        };
        assert_eq!(read(&head, &offered), expected);
    }

    #[test]
    fn what_is_missing_is_named_and_what_would_help() {
        let ssh = Ssh::shipped().unwrap();
        let [now, most] = [Offer::Hardened, Offer::Compatible].map(|offer| ssh.offered(offer));
        let (gcm, etm) = ("aes256-gcm@openssh.com", "hmac-sha2-256-etm@openssh.com");
        let (x, ed) = ("curve25519-sha256", "ssh-ed25519");
        // Key exchange, host key, cipher, both MACs; then what is missing, and whether the option helps.
        for (lists, missing, helps) in [
            ([x, ed, gcm, "hmac-md5", "hmac-md5"], vec![], true),
            ([x, ed, "aes256-ctr", etm, etm], vec![], true),
            (
                [x, ed, "aes256-ctr", etm, "hmac-sha2-256"],
                vec!["MAC"],
                true,
            ),
            ([x, ed, "aes256-ctr", "hmac-sha1", etm], vec!["MAC"], false),
            (
                ["ecdh-sha2-nistp256,ext-info-c", ed, gcm, "", ""],
                vec!["key exchange"],
                true,
            ),
            (["ext-info-c", ed, gcm, "", ""], vec!["key exchange"], false),
            (
                ["ecdh-sha2-nistp384", "ssh-rsa", gcm, "", ""],
                vec!["key exchange", "host key"],
                false,
            ),
            (
                [x, ed, "aes128-ctr", "hmac-sha2-256", "hmac-sha2-256"],
                vec!["cipher"],
                true,
            ),
            (
                [x, ed, "aes128-cbc,3des-cbc", "", ""],
                vec!["cipher"],
                false,
            ),
        ] {
            let [kex, host_key, cipher, to_server, to_client] = lists;
            let head = head(
                "SSH-2.0-x\r\n",
                &[kex, host_key, cipher, cipher, to_server, to_client],
            );
            let found = disagreement(&head, &now, &most);
            let kinds = |found: &Disagreement| {
                found
                    .lists
                    .iter()
                    .map(|list| list.kind.as_str())
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                found.as_ref().map(kinds).unwrap_or_default(),
                missing,
                "{lists:?}"
            );
            let remedy = if helps {
                Remedy::CompatibilityMode
            } else {
                Remedy::None
            };
            assert!(
                found.is_none_or(|found| found.remedy == remedy),
                "{lists:?}"
            );
        }
        let long = "x,".repeat(4000);
        let head = head("SSH-2.0-x\r\n", &[&long, ed, gcm, gcm, "", ""]);
        let found = disagreement(&head, &now, &most).unwrap();
        assert_eq!(found.lists[0].client.len(), ALGORITHMS_BYTES);
        assert!(!found.lists[0].server.contains("kex-strict"));
    }

    #[test]
    fn whatever_comes_is_read_without_panic() {
        let offered = Ssh::shipped().unwrap().algorithms;
        let full = head(
            "SSH-2.0-x\n",
            &["curve25519-sha256", "k", "aes256-ctr", "", "m", ""],
        );
        for length in 0..full.len() {
            read(&full[..length], &offered);
            assert_eq!(disagreement(&full[..length], &offered, &offered), None);
        }
        assert!(disagreement(&full, &offered, &offered).is_some());
        let mut huge = head("SSH-2.0-x\n", &[]);
        huge.extend([0xff; 40]);
        assert_eq!(read(&huge, &offered).key_exchange, "");
        assert_eq!(read(b"GET / HTTP/1.1", &offered).client, "GET / HTTP/1.1");
    }
}
