use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use crate::sys::Errno;
use crate::wire::{Link, LinkError};

/// A link whose waiting does not hold up other tasks. Both directions can be dropped while they wait.
#[derive(Debug)]
pub(super) struct AsyncLink<Out, In>(AsyncFd<Link<Out, In>>);

impl<Out: Serialize, In: DeserializeOwned> AsyncLink<Out, In> {
    /// Must be called inside the runtime.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, which only sys may be, and sys has no tokio; what it asks for holds: a Link \
                  owns its descriptor and never changes it"
    )]
    pub(super) fn new(link: Link<Out, In>) -> Result<Self, LinkError> {
        link.set_nonblocking()?;
        AsyncFd::new(link).map(Self).map_err(errno)
    }

    pub(super) async fn send(&self, message: &Out) -> Result<(), LinkError> {
        self.send_with(message, &[]).await
    }

    pub(super) async fn send_with(
        &self,
        message: &Out,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), LinkError> {
        loop {
            let mut ready = self.0.writable().await.map_err(errno)?;
            if let Some(sent) = attempt(&mut ready, |link| link.send_with(message, fds)) {
                return sent;
            }
        }
    }

    pub(super) async fn recv(&self) -> Result<(In, Vec<OwnedFd>), LinkError> {
        loop {
            let mut ready = self.0.readable().await.map_err(errno)?;
            if let Some(received) = attempt(&mut ready, Link::recv_with) {
                return received;
            }
        }
    }
}

/// `None` if the kernel was not ready after all.
fn attempt<L: std::os::fd::AsRawFd, T>(
    ready: &mut AsyncFdReadyGuard<'_, L>,
    act: impl FnOnce(&L) -> Result<T, LinkError>,
) -> Option<Result<T, LinkError>> {
    let result = act(ready.get_inner());
    if result.as_ref().is_err_and(LinkError::would_block) {
        ready.clear_ready();
        None
    } else {
        Some(result)
    }
}

fn errno(error: io::Error) -> LinkError {
    LinkError::Socket(
        error
            .raw_os_error()
            .map_or(Errno::UnknownErrno, Errno::from_raw),
    )
}
