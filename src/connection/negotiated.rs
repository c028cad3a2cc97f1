//! What client and server agree on, read from the client's first bytes: russh does not tell its server side.

use crate::model::escape;
use crate::policy::ssh::Algorithms;

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

/// Reads `head`: the first bytes that the client sent, in clear.
pub(super) fn read(head: &[u8], offered: &Algorithms) -> Negotiated {
    let end = head.iter().position(|byte| *byte == b'\n');
    let (line, rest) = match end.and_then(|end| head.split_at_checked(end + 1)) {
        Some((line, rest)) => (line, rest),
        None => (head, &[][..]),
    };
    let [key_exchange, cipher] = lists(rest)
        .map(|[kex, cipher]| {
            [
                agreed(kex, &offered.key_exchange),
                agreed(cipher, &offered.cipher),
            ]
        })
        .unwrap_or_default();
    Negotiated {
        client: escape(line.trim_ascii_end(), CLIENT_BYTES),
        key_exchange,
        cipher,
    }
}

/// The lists of key exchanges and of ciphers from client to server, RFC 4253 §7.1.
fn lists(packet: &[u8]) -> Option<[&[u8]; 2]> {
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
    let key_exchange = next()?;
    next()?;
    Some([key_exchange, next()?])
}

/// The client's first choice that the server offers.
fn agreed(client: &[u8], offered: &[String]) -> String {
    let mut names = client.split(|byte| *byte == b',');
    let found = names.find_map(|name| offered.iter().find(|o| o.as_bytes() == name));
    found.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ssh::Ssh;

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
    fn whatever_comes_is_read_without_panic() {
        let offered = Ssh::shipped().unwrap().algorithms;
        let full = head("SSH-2.0-x\n", &["curve25519-sha256", "k", "aes256-ctr"]);
        for length in 0..full.len() {
            read(&full[..length], &offered);
        }
        let mut huge = head("SSH-2.0-x\n", &[]);
        huge.extend([0xff; 40]);
        assert_eq!(read(&huge, &offered).key_exchange, "");
        assert_eq!(read(b"GET / HTTP/1.1", &offered).client, "GET / HTTP/1.1");
    }
}
