use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::wire::limits::{API_HEAD_BYTES, API_HEAD_LINES};

/// How much is read at once.
const CHUNK_BYTES: usize = 4096;

/// The head of a connection's one request, as it came. It is judged before hyper reads it: hyper takes what RFC 9112 §6.1 lets
/// a server repair, such as a length beside a transfer coding, and does not tell; what it does not take, it answers with a
/// status alone.
#[derive(Debug)]
pub(super) struct Head {
    method: String,
    target: String,
    fault: Option<HeadFault>,
}

/// Why a request's head is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadFault {
    /// It is longer than what is looked at.
    #[error("its head is longer than {API_HEAD_BYTES} bytes")]
    TooLong,
    /// It has more lines than hyper takes.
    #[error("its head has more than {API_HEAD_LINES} lines")]
    TooManyLines,
    /// It is none, or could be read in two ways.
    #[error("{0}")]
    Unfit(&'static str),
}

impl Head {
    /// Reads a head, and what comes with it; `None` if the client goes before its end. What is to be read next is the head and
    /// the rest; in place of one at fault, a request that is answered in its place.
    ///
    /// # Errors
    /// Those of read(2).
    pub(super) async fn read(mut stream: UnixStream) -> io::Result<Option<(Self, Rewound)>> {
        let mut bytes = Vec::new();
        let end = loop {
            let before = bytes.len();
            bytes.reserve(CHUNK_BYTES);
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
            match end(&bytes, before) {
                Some(end) => break Some(end),
                None if bytes.len() >= API_HEAD_BYTES => break None,
                None => {}
            }
        };
        let whole = end
            .filter(|end| *end <= API_HEAD_BYTES)
            .and_then(|end| bytes.get(..end));
        let fault = match whole {
            Some(head) => fault(head),
            None => Some(HeadFault::TooLong),
        };
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or(&[]);
        let mut words = first.trim_ascii_end().split(|byte| *byte == b' ');
        let mut word = || String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
        let (method, target) = (word(), word());
        if fault.is_some() {
            bytes = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        }
        let head = Self {
            method,
            target,
            fault,
        };
        let rewound = Rewound {
            before: bytes,
            taken: 0,
            stream,
        };
        Ok(Some((head, rewound)))
    }

    /// What is wrong with it.
    pub(super) fn fault(&self) -> Option<HeadFault> {
        self.fault
    }

    /// Its method, as it came.
    pub(super) fn method(&self) -> &str {
        &self.method
    }

    /// Its target, as it came.
    pub(super) fn target(&self) -> &str {
        &self.target
    }
}

/// Where a head ends, if `bytes` has its end; it is not in the first `seen` of them. An empty line before a request, which a
/// server may skip (RFC 9112 §2.2), is the end of a head that is none.
fn end(bytes: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(2);
    let rest = bytes.get(from..)?;
    let ends = |at: &usize| {
        let to = bytes.get(..*at).unwrap_or_default();
        to.ends_with(b"\n\r\n") || to.ends_with(b"\n\n") || [&b"\r\n"[..], b"\n"].contains(&to)
    };
    let ends_of_lines = rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends_of_lines.map(|(at, _)| from + at + 1).find(ends)
}

fn fault(head: &[u8]) -> Option<HeadFault> {
    let mut lines = Vec::new();
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Some(HeadFault::Unfit("a line of its head does not end in CR LF"));
        };
        lines.push(line);
    }
    // The last one is empty.
    lines.pop();
    let Some((first, fields)) = lines.split_first() else {
        return Some(HeadFault::Unfit("an empty line is before it"));
    };
    if fields.len() > API_HEAD_LINES {
        return Some(HeadFault::TooManyLines);
    }
    let version = match request_line(first) {
        Ok(version) => version,
        Err(what) => return Some(HeadFault::Unfit(what)),
    };
    let (mut lengths, mut codings, mut hosts) = (0, 0, 0);
    for line in fields {
        let (name, value) = match field(line) {
            Ok(field) => field,
            Err(what) => return Some(HeadFault::Unfit(what)),
        };
        match name.as_str() {
            "content-length" if !is_length(value) => {
                return Some(HeadFault::Unfit("its length is no number of bytes"));
            }
            "content-length" => lengths += 1,
            "host" => hosts += 1,
            "transfer-encoding" if !value.eq_ignore_ascii_case(b"chunked") => {
                return Some(HeadFault::Unfit(
                    "it has a transfer coding other than chunked",
                ));
            }
            "transfer-encoding" => codings += 1,
            _ => {}
        }
    }
    let what = match (lengths, codings, hosts) {
        (1.., 1.., _) => "it has a length and a transfer coding",
        (2.., _, _) | (_, 2.., _) => "it has two lengths or transfer codings",
        (_, _, 2..) => "it has two hosts",
        (_, 1.., _) if version == Version::Http10 => "HTTP/1.0 has no transfer codings",
        (..) => return None,
    };
    Some(HeadFault::Unfit(what))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// Looks at `METHOD /PATH HTTP/1.1`; RFC 9112 §3. A target with a host of its own (§3.2.2) would make the field `Host` a second
/// one, and a fragment is for the client alone.
fn request_line(line: &[u8]) -> Result<Version, &'static str> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words.as_slice() else {
        return Err(
            "its first line is not a method, a target and a version, with one blank between",
        );
    };
    if Method::from_bytes(method).is_err() {
        return Err("its method is no word");
    }
    if !target.starts_with(b"/") {
        return Err("its target does not begin with a slash");
    }
    if target.contains(&b'#') {
        return Err("its target has a fragment");
    }
    if PathAndQuery::try_from(*target).is_err() {
        return Err("its target is no path");
    }
    match *version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        _ => Err("its version is not HTTP/1.1"),
    }
}

/// The name and the value of `NAME: VALUE`; RFC 9112 §5. There is no blank before the colon, and none at the line's beginning.
fn field(line: &[u8]) -> Result<(HeaderName, &[u8]), &'static str> {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = colon
        .and_then(|colon| line.split_at_checked(colon))
        .ok_or("a line of its head has no name")?;
    let name = HeaderName::from_bytes(name).map_err(|_| "a line of its head has no name")?;
    let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
    HeaderValue::from_bytes(value).map_err(|_| "a line of its head has a control in it")?;
    Ok((name, value))
}

/// Whether it is what a file can be long: 19 digits at most.
fn is_length(value: &[u8]) -> bool {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse::<i64>().ok());
    digits && number.is_some()
}

/// A session's connection, of which some bytes were read and are read again.
#[derive(Debug)]
pub(super) struct Rewound {
    before: Vec<u8>,
    taken: usize,
    stream: UnixStream,
}

impl AsyncRead for Rewound {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let left = this.before.get(this.taken..).unwrap_or_default();
        if left.is_empty() {
            this.before = Vec::new();
            this.taken = 0;
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let now = left.get(..buffer.remaining()).unwrap_or(left);
        buffer.put_slice(now);
        this.taken += now.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[test]
    fn a_head_with_two_meanings_is_seen() {
        for good in [
            &b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX: Transfer-Encoding: a\r\n\r\n"
                [..],
            b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n",
            b"GET /a%20b?c=d&e HTTP/1.0\r\nX:\r\nY: \ta\tb \r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(fault(good), None, "{}", good.escape_ascii());
        }
        for bad in [
            &b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nCONTENT-LENGTH:2\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 2, 2\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: \r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length : 2\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            b"POST / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
            b"POST / HTTP/1.1\r\nX: a\rb\r\n\r\n",
            b"POST / HTTP/1.1\r\nX: a\0b\r\n\r\n",
            b"POST / HTTP/1.1\r\nX\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"GET\t/ HTTP/1.1\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"GET /a b HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1 \r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET http://evil/info HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET //evil#x HTTP/1.1\r\n\r\n",
            b"GET /info#frag HTTP/1.1\r\n\r\n",
            b"GET info HTTP/1.1\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\n\r\n",
            b"CONNECT a:80 HTTP/1.1\r\n\r\n",
            b"\r\n",
            b"\n",
        ] {
            let found = fault(bad);
            assert!(
                matches!(found, Some(HeadFault::Unfit(_))),
                "{}",
                bad.escape_ascii()
            );
        }
        let lines = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert_eq!(fault(lines(API_HEAD_LINES).as_bytes()), None);
        let more = fault(lines(API_HEAD_LINES + 1).as_bytes());
        assert_eq!(more, Some(HeadFault::TooManyLines));
    }

    #[test]
    fn a_head_ends_at_its_first_empty_line() {
        assert_eq!(end(b"GET / HTTP/1.1\r\nHo", 0), None);
        for (bytes, at) in [
            (&b"G\r\n\r\nX\r\n\r\n"[..], 5),
            (b"G\n\nX", 3),
            (b"G\n\r\nX", 4),
            (b"\r\nG\r\n\r\n", 2),
            (b"\nG\n\n", 1),
        ] {
            for seen in 0..at {
                assert_eq!(
                    end(bytes, seen),
                    Some(at),
                    "{} {seen}",
                    bytes.escape_ascii()
                );
            }
        }
    }

    /// What becomes of bytes that come piece by piece.
    async fn read(pieces: &[&[u8]]) -> (Head, Vec<u8>) {
        let (mut client, server) = UnixStream::pair().unwrap();
        let (read, ()) = tokio::join!(Head::read(server), async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let (head, mut rewound) = read.unwrap().unwrap();
        drop(client);
        let mut bytes = Vec::new();
        rewound.read_to_end(&mut bytes).await.unwrap();
        (head, bytes)
    }

    #[tokio::test]
    async fn what_was_read_with_a_head_is_read_again() {
        let (head, bytes) = read(&[
            b"POST /x HTTP/1.1\r",
            b"\nHo",
            b"st: a\r\n\r\n{\"a\"",
            b":1}",
        ])
        .await;
        assert_eq!(head.fault(), None);
        assert_eq!(bytes, b"POST /x HTTP/1.1\r\nHost: a\r\n\r\n{\"a\":1}");
    }

    #[tokio::test]
    async fn a_head_is_looked_at_to_its_last_byte_and_no_further() {
        for (padding, fault) in [
            (
                1000,
                HeadFault::Unfit("it has a length and a transfer coding"),
            ),
            (API_HEAD_BYTES, HeadFault::TooLong),
        ] {
            let padding = "a".repeat(padding);
            let text = format!(
                "POST /x HTTP/1.1\r\nX: {padding}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            let (head, _) = read(&[text.as_bytes()]).await;
            assert_eq!(head.fault(), Some(fault));
            assert_eq!((head.method(), head.target()), ("POST", "/x"));
        }
    }
}
