use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::wire::limits::API_HEAD_BYTES;

/// The head of a connection's one request, as it came. hyper takes what RFC 9112 §6.1 lets a server repair, such as a
/// length beside a transfer coding, and does not tell; here that is refused. So is a head that is not seen whole: what
/// hyper reads at once may reach beyond the bytes that are kept.
#[derive(Debug, Default)]
pub(super) struct Head(Mutex<Seen>);

/// Why a request's head is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadFault {
    /// It is longer than what is looked at.
    #[error("its head is longer than {API_HEAD_BYTES} bytes")]
    TooLong,
    /// It could be read in two ways.
    #[error("{0}")]
    Ambiguous(&'static str),
}

#[derive(Debug, Default)]
struct Seen {
    bytes: Vec<u8>,
    whole: bool,
}

impl Head {
    fn see(&self, bytes: &[u8]) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in bytes {
            if seen.whole || seen.bytes.len() >= API_HEAD_BYTES {
                return;
            }
            seen.bytes.push(*byte);
            seen.whole = seen.bytes.ends_with(b"\n\r\n") || seen.bytes.ends_with(b"\n\n");
        }
    }

    /// What is wrong with it, once hyper has read it.
    pub(super) fn fault(&self) -> Option<HeadFault> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.whole {
            true => fault(&seen.bytes).map(HeadFault::Ambiguous),
            false => Some(HeadFault::TooLong),
        }
    }
}

fn fault(head: &[u8]) -> Option<&'static str> {
    // hyper skips empty lines before a request (RFC 9112 §2.2); the first of them would end the head here.
    if head.starts_with(b"\r") || head.starts_with(b"\n") {
        return Some("an empty line is before it");
    }
    let (mut lengths, mut codings, mut hosts) = (0, 0, 0);
    for line in head.split_inclusive(|byte| *byte == b'\n').skip(1) {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Some("a line of its head does not end in CR LF");
        };
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        match name.to_ascii_lowercase().as_slice() {
            b"content-length" => lengths += 1,
            b"host" => hosts += 1,
            b"transfer-encoding" => {
                codings += 1;
                let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Some("it has a transfer coding other than chunked");
                }
            }
            _ => {}
        }
    }
    match (lengths, codings, hosts) {
        (1.., 1.., _) => Some("it has a length and a transfer coding"),
        (2.., _, _) | (_, 2.., _) => Some("it has two lengths or transfer codings"),
        (_, _, 2..) => Some("it has two hosts"),
        (..) => None,
    }
}

/// A session's connection, whose request's head is kept.
pub(super) struct Watched {
    stream: UnixStream,
    head: Arc<Head>,
}

impl Watched {
    pub(super) fn new(stream: UnixStream, head: Arc<Head>) -> Self {
        Self { stream, head }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.head
            .see(buffer.filled().get(before..).unwrap_or_default());
        polled
    }
}

impl AsyncWrite for Watched {
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
    use super::*;

    #[test]
    fn a_head_with_two_meanings_is_seen() {
        let good =
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX: Transfer-Encoding: a\r\n\r\n";
        assert_eq!(fault(good), None);
        assert_eq!(
            fault(b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"),
            None
        );
        for bad in [
            &b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nCONTENT-LENGTH:2\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            b"\r\n\r\n",
            b"\n\n",
        ] {
            assert!(fault(bad).is_some(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn what_follows_a_head_is_not_part_of_it() {
        let head = Head::default();
        head.see(b"GET / HTTP/1.1\r\nHo");
        head.see(b"st: x\r\n\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\n\n");
        assert_eq!(head.fault(), None);
        let endless = Head::default();
        (0..100).for_each(|_| endless.see(&[b'a'; 4096]));
        assert_eq!(endless.fault(), Some(HeadFault::TooLong));
        let seen = endless.0.lock().unwrap();
        assert_eq!(seen.bytes.len(), API_HEAD_BYTES);
    }

    #[test]
    fn a_head_is_looked_at_to_its_last_byte() {
        let head = |padding: usize| {
            let head = Head::default();
            head.see(b"POST / HTTP/1.1\r\nX: ");
            head.see(&vec![b'a'; padding]);
            head.see(b"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
            head.fault()
        };
        assert!(matches!(head(1000), Some(HeadFault::Ambiguous(_))));
        assert_eq!(head(API_HEAD_BYTES), Some(HeadFault::TooLong));
    }
}
