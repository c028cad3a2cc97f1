//! The reader of publickey requests in `keys`: what a connection passes on, and a client signed.

use hassio_sshd::keys::request::{Form, Request};
use hassio_sshd::wire::limits::AUTH_BLOB_BYTES;

use super::heap;

/// Reads a request in both forms. What is read is all that was written: there is one way to write it.
pub fn run(data: &[u8]) {
    let (read, taken) =
        heap::most(|| [Form::Query, Form::Signed].map(|form| Request::parse(data, form)));
    assert_eq!(taken, 0, "it borrows");
    let [query, signed] = read;
    assert!(query.is_none() || signed.is_none());
    let has_signature = u8::from(signed.is_some());
    let Some(Request {
        user,
        algorithm,
        blob,
        host_key,
    }) = query.or(signed)
    else {
        return;
    };
    assert!(data.len() <= AUTH_BLOB_BYTES);
    let mut again = vec![50];
    let mut put = |part: &[u8]| {
        again.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        again.extend(part);
    };
    put(user);
    put(b"ssh-connection");
    put(match host_key {
        Some(_) => b"publickey-hostbound-v00@openssh.com",
        None => b"publickey",
    });
    again.push(has_signature);
    for part in [Some(algorithm.as_bytes()), Some(blob), host_key]
        .into_iter()
        .flatten()
    {
        again.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        again.extend(part);
    }
    assert_eq!(again, data);
}
