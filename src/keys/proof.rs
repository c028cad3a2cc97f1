//! What a host key signs so that a client believes that it is this server's.

use ssh_key::encoding::Encode;

/// The request's name, which is also how what is signed begins; OpenSSH's PROTOCOL, section 2.5.
const PROVE: &str = "hostkeys-prove-00@openssh.com";

/// The message: the name, the session identifier and the host key, each as a string (RFC 4251 §5). It is composed here, of
/// nothing that a connection says, and is longer than the longest exchange hash: neither can be taken for the other.
pub(super) fn message(session_id: &[u8], host_key: &[u8]) -> Result<Vec<u8>, ssh_key::Error> {
    let mut message = Vec::new();
    for part in [PROVE.as_bytes(), session_id, host_key] {
        part.encode(&mut message)?;
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_three_strings_and_never_as_long_as_an_exchange_hash() {
        let expected = [
            &[0, 0, 0, 29][..],
            b"hostkeys-prove-00@openssh.com",
            &[0, 0, 0, 3],
            b"sid",
            &[0, 0, 0, 4],
            b"blob",
        ];
        assert_eq!(message(b"sid", b"blob").unwrap(), expected.concat());
        // The shortest that there can be: SHA-1, and a key of which nothing but its type is left.
        let shortest = message(&[0; 20], b"\0\0\0\x0bssh-ed25519").unwrap();
        assert!(shortest.len() > 64, "{}", shortest.len());
    }
}
