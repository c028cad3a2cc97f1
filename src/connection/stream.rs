use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::hold;
use crate::sys::net;

/// How many reads are acknowledged at once. During the key exchange the client has Nagle's algorithm on, and waits for
/// our acknowledgement before it sends its next packet: 55 ms a login without this, 14 with it. Once at the start is not
/// enough, since the kernel goes back by itself (docs/performance.md).
const QUICK_READS: u32 = 64;

/// What is kept of the stream's beginning: identification and KEXINIT (RFC 4253 §4.2 and §7.1) are shorter.
const HEAD_BYTES: usize = 16 * 1024;

/// The TCP stream as russh sees it.
#[derive(Debug)]
pub(super) struct Stream {
    tcp: TcpStream,
    quick_reads: u32,
    watch: Watch,
}

/// What is seen of the stream from outside of russh.
#[derive(Clone, Debug)]
pub(super) struct Watch(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    /// The first bytes received; none once they were looked at.
    head: Mutex<Option<Vec<u8>>>,
    shut: Notify,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream) -> Self {
        let seen = Seen {
            head: Mutex::new(Some(Vec::new())),
            shut: Notify::new(),
        };
        Self {
            tcp,
            quick_reads: QUICK_READS,
            watch: Watch(Arc::new(seen)),
        }
    }

    pub(super) fn watch(&self) -> Watch {
        self.watch.clone()
    }
}

impl Watch {
    /// The first bytes received, the first time; nothing more is kept from then on.
    pub(super) fn take_head(&self) -> Option<Vec<u8>> {
        hold(&self.0.head).take()
    }

    /// Looks at the first bytes received, if they are still there.
    pub(super) fn with_head<T>(&self, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        hold(&self.0.head).as_deref().map(look)
    }

    /// Waits until russh has sent its last byte. It then waits for the client to close, for ever.
    pub(super) async fn shut(&self) {
        self.0.shut.notified().await;
    }

    fn note(&self, bytes: &[u8]) {
        if let Some(head) = &mut *hold(&self.0.head) {
            let room = HEAD_BYTES.saturating_sub(head.len());
            head.extend(bytes.iter().take(room));
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = result
            && self.quick_reads > 0
        {
            self.quick_reads -= 1;
            // Only a matter of speed.
            net::quick_ack(self.tcp.as_fd()).ok();
            self.watch
                .note(buf.filled().get(before..).unwrap_or_default());
        }
        result
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.tcp).poll_shutdown(cx);
        if result.is_ready() {
            self.watch.0.shut.notify_one();
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}
