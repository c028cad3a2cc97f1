//! What OpenSSH added to the requests that concern a connection as a whole (RFC 4254 §4): its file PROTOCOL, sections
//! 2.2 and 2.5.

use ssh_key::encoding::{Decode, Reader};

use crate::wire::limits::{AUTH_BLOB_BYTES, HOST_KEYS as MOST_HOST_KEYS, PROOFS};

/// The server's host keys, told to a client that has logged in.
pub(super) const HOST_KEYS: &str = "hostkeys-00@openssh.com";
/// The client wants those that are new to it proven.
pub(super) const PROVE_HOST_KEYS: &str = "hostkeys-prove-00@openssh.com";
/// The client will open no more sessions, and none is to be opened for who takes over its connection.
pub(super) const NO_MORE_SESSIONS: &str = "no-more-sessions@openssh.com";

/// What is known of one connection's.
#[derive(Debug)]
pub(super) struct Extensions {
    host_keys: Vec<Vec<u8>>,
    proofs: u32,
    more_sessions: bool,
}

impl Extensions {
    /// `host_keys`: SSH blobs, RFC 4253 §6.6.
    pub(super) fn new(host_keys: Vec<Vec<u8>>) -> Self {
        Self {
            host_keys,
            proofs: 0,
            more_sessions: true,
        }
    }

    /// What [`HOST_KEYS`] says.
    pub(super) fn announcement(&self) -> Vec<u8> {
        strings(&self.host_keys)
    }

    /// The host keys that [`PROVE_HOST_KEYS`] asks about, if keys is to be asked at all.
    pub(super) fn asked_to_prove(&mut self, data: &[u8]) -> Option<Vec<Vec<u8>>> {
        if self.proofs >= PROOFS {
            return None;
        }
        self.proofs += 1;
        let mut rest = data;
        let mut host_keys = Vec::new();
        while !rest.is_finished() {
            let host_key = Vec::<u8>::decode(&mut rest).ok()?;
            if host_keys.len() >= MOST_HOST_KEYS || host_key.len() > AUTH_BLOB_BYTES {
                return None;
            }
            host_keys.push(host_key);
        }
        (!host_keys.is_empty()).then_some(host_keys)
    }

    /// For good.
    pub(super) fn end_sessions(&mut self) {
        self.more_sessions = false;
    }

    pub(super) fn more_sessions(&self) -> bool {
        self.more_sessions
    }
}

/// Strings one after the other, RFC 4251 §5.
pub(super) fn strings(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        bytes.extend(length.to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_can_be_asked_about() {
        let keys = vec![b"one".to_vec(), b"other".to_vec()];
        let mut extensions = Extensions::new(keys.clone());
        let said = extensions.announcement();
        assert_eq!(said, b"\0\0\0\x03one\0\0\0\x05other");
        assert_eq!(extensions.asked_to_prove(&said), Some(keys));
    }

    #[test]
    fn what_is_asked_is_bounded_and_whole() {
        let asked = |data: &[u8]| Extensions::new(vec![]).asked_to_prove(data);
        let key = vec![7; AUTH_BLOB_BYTES];
        let most = vec![key; MOST_HOST_KEYS];
        assert_eq!(asked(&strings(&most)).as_ref(), Some(&most));
        let more = [&most[..], &[vec![7]]].concat();
        for data in [
            strings(&more),
            strings(&[vec![7; AUTH_BLOB_BYTES + 1]]),
            b"\0\0\0\x02x".to_vec(),
            b"\0\0\0\x01xy".to_vec(),
            b"\xff\xff\xff\xff".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(asked(&data), None);
        }
    }

    #[test]
    fn proofs_are_few_however_they_are_asked_for() {
        let mut extensions = Extensions::new(vec![]);
        assert_eq!(extensions.asked_to_prove(b"torn"), None);
        for _ in 1..PROOFS {
            assert!(extensions.asked_to_prove(b"\0\0\0\x01x").is_some());
        }
        assert_eq!(extensions.asked_to_prove(b"\0\0\0\x01x"), None);
    }

    #[test]
    fn the_last_session_stays_the_last() {
        let mut extensions = Extensions::new(vec![]);
        assert!(extensions.more_sessions());
        extensions.end_sessions();
        extensions.end_sessions();
        assert!(!extensions.more_sessions());
    }
}
