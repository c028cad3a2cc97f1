//! What a client signs to log in with a key, RFC 4252 §7. Public for its fuzz target alone.

use crate::wire::limits::AUTH_BLOB_BYTES;

/// SSH_MSG_USERAUTH_REQUEST, RFC 4252 §6.
const USERAUTH_REQUEST: u8 = 50;

/// What a request says; RFC 4252 §7.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'b> {
    /// The user name, as sent.
    pub user: &'b [u8],
    /// By what it is signed, such as `rsa-sha2-256`.
    pub algorithm: &'b str,
    /// The public key or certificate.
    pub blob: &'b [u8],
    /// The host key that the client saw, where it says so: OpenSSH's PROTOCOL, section 3.1.
    pub host_key: Option<&'b [u8]>,
}

/// Whether a signature comes with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The question whether a key would do.
    Query,
    /// What is signed.
    Signed,
}

impl<'b> Request<'b> {
    /// Reads a request for the service `ssh-connection` by the method `publickey`, or by the same bound to a host key, in this
    /// form, and nothing else. None for anything more, less or longer than `AUTH_BLOB_BYTES`.
    #[must_use]
    pub fn parse(bytes: &'b [u8], form: Form) -> Option<Self> {
        if bytes.len() > AUTH_BLOB_BYTES {
            return None;
        }
        let (&[USERAUTH_REQUEST], rest) = bytes.split_first_chunk()? else {
            return None;
        };
        let (user, rest) = string(rest)?;
        let (b"ssh-connection", rest) = string(rest)? else {
            return None;
        };
        let (bound, rest) = match string(rest)? {
            (b"publickey", rest) => (false, rest),
            (b"publickey-hostbound-v00@openssh.com", rest) => (true, rest),
            _ => return None,
        };
        // TRUE is 1: what other non-zero values mean is left open by RFC 4251 §5, and no client sends them.
        let rest = match (form, rest.split_first_chunk()?) {
            (Form::Query, ([0], rest)) | (Form::Signed, ([1], rest)) => rest,
            (Form::Query | Form::Signed, _) => return None,
        };
        let (algorithm, rest) = string(rest)?;
        let (blob, rest) = string(rest)?;
        let (host_key, rest) = match bound {
            true => string(rest).map(|(host_key, rest)| (Some(host_key), rest))?,
            false => (None, rest),
        };
        let algorithm = std::str::from_utf8(algorithm).ok()?;
        rest.is_empty().then_some(Self {
            user,
            algorithm,
            blob,
            host_key,
        })
    }
}

/// The bytes of a string and what follows it; RFC 4251 §5.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// What the signature covers: the session identifier as a string, then the request.
pub(super) fn signed_bytes(session_id: &[u8], request: &[u8]) -> Vec<u8> {
    let length = u32::try_from(session_id.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), session_id, request].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(parts: [&[u8]; 5], flag: u8) -> Vec<u8> {
        let mut bytes = vec![50];
        for (i, part) in parts.iter().enumerate() {
            if i == 3 {
                bytes.push(flag);
            }
            bytes.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            bytes.extend(*part);
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Request<'_>> {
        Request::parse(bytes, Form::Signed)
    }

    #[test]
    fn only_a_whole_publickey_request_is_read() {
        let parts: [&[u8]; 5] = [
            b"root",
            b"ssh-connection",
            b"publickey",
            b"ssh-ed25519",
            b"blob",
        ];
        let good = request(parts, 1);
        let right = Request {
            user: b"root",
            algorithm: "ssh-ed25519",
            blob: b"blob",
            host_key: None,
        };
        assert_eq!(parse(&good).as_ref(), Some(&right));
        for end in 0..good.len() {
            assert_eq!(parse(&good[..end]), None, "cut at {end}");
        }
        assert_eq!(
            parse(&[&good[..], &[0]].concat()),
            None,
            "something after it"
        );
        let query = request(parts, 0);
        assert_eq!(parse(&query), None, "a query without a signature");
        assert_eq!(Request::parse(&query, Form::Query), Some(right));
        assert_eq!(Request::parse(&good, Form::Query), None);
        for form in [Form::Query, Form::Signed] {
            assert_eq!(Request::parse(&request(parts, 2), form), None);
        }
        for (i, other) in [(1, &b"ssh-userauth"[..]), (2, b"password"), (3, b"\xff")] {
            let mut parts = parts;
            parts[i] = other;
            assert_eq!(parse(&request(parts, 1)), None, "{i}");
        }
        let mut huge = good.clone();
        huge[1..5].copy_from_slice(&[0xff; 4]);
        assert_eq!(parse(&huge), None);
        let bound = [
            parts[0],
            parts[1],
            b"publickey-hostbound-v00@openssh.com",
            parts[3],
            parts[4],
        ];
        let bound = [&request(bound, 1)[..], b"\0\0\0\x04host"].concat();
        let to_host = Request {
            host_key: Some(b"host"),
            ..Request::parse(&good, Form::Signed).unwrap()
        };
        assert_eq!(parse(&bound), Some(to_host));
        for end in 0..bound.len() {
            assert_eq!(parse(&bound[..end]), None, "bound, cut at {end}");
        }
        assert_eq!(parse(&[&bound[..], &[0]].concat()), None);
        let long = vec![0; AUTH_BLOB_BYTES];
        let long: [&[u8]; 5] = [b"root", parts[1], parts[2], parts[3], &long];
        assert_eq!(parse(&request(long, 1)), None, "longer than what is read");
    }
}
