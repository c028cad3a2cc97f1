use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::hold;
use crate::sys::Errno;
use crate::wire::{Link, LinkError};

/// A link whose waits do not hold up the others.
#[derive(Debug)]
pub(super) struct AsyncLink<Out, In>(AsyncFd<Link<Out, In>>);

impl<Out: Serialize, In: DeserializeOwned> AsyncLink<Out, In> {
    /// Takes over `link`.
    pub(super) fn new(link: Link<Out, In>) -> Result<Self, LinkError> {
        link.set_nonblocking()?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; a link keeps its descriptor until it is dropped"
        )]
        AsyncFd::new(link).map(Self).map_err(socket)
    }

    /// Sends one message with descriptors, waiting for room without a limit of its own.
    pub(super) async fn send(
        &self,
        message: &Out,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), LinkError> {
        loop {
            let mut ready = self.0.writable().await.map_err(socket)?;
            if let Ok(sent) = ready.try_io(|link| waited(link.get_ref().send_with(message, fds))) {
                return sent.map_err(socket)?;
            }
        }
    }

    /// Receives one message, waiting without a limit of its own. Nothing is lost if the wait is given up.
    pub(super) async fn recv(&self) -> Result<(In, Vec<OwnedFd>), LinkError> {
        loop {
            let mut ready = self.0.readable().await.map_err(socket)?;
            if let Ok(received) = ready.try_io(|link| waited(link.get_ref().recv_with())) {
                return received.map_err(socket)?;
            }
        }
    }
}

fn waited<T>(result: Result<T, LinkError>) -> io::Result<Result<T, LinkError>> {
    match result {
        Err(error) if error.would_block() => Err(io::ErrorKind::WouldBlock.into()),
        result => Ok(result),
    }
}

fn socket(error: io::Error) -> LinkError {
    LinkError::Socket(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}

/// Where the warden leaves the newest link to a process that it restarted.
#[derive(Debug)]
pub(super) struct Slot<T>(Arc<(Mutex<Option<T>>, Notify)>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Slot<T> {
    pub(super) fn new() -> Self {
        Self(Arc::new((Mutex::new(None), Notify::new())))
    }

    pub(super) fn put(&self, value: T) {
        *hold(&self.0.0) = Some(value);
        self.0.1.notify_one();
    }

    pub(super) fn take(&self) -> Option<T> {
        hold(&self.0.0).take()
    }

    /// Waits for something to take. One waiter at a time.
    pub(super) async fn wait(&self) -> T {
        loop {
            if let Some(value) = self.take() {
                return value;
            }
            self.0.1.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_full_link_waits_and_a_closed_one_says_so() {
        let (a, b) = Link::<Vec<u8>, u8>::pair().unwrap();
        let a = AsyncLink::new(a).unwrap();
        let mut sent = 0;
        while let Ok(result) =
            tokio::time::timeout(Duration::from_millis(50), a.send(&vec![0; 100_000], &[])).await
        {
            result.unwrap();
            sent += 1;
        }
        assert!(sent > 0);
        for _ in 0..sent {
            b.recv().unwrap();
        }
        a.send(&vec![1], &[]).await.unwrap();
        assert_eq!(b.recv().unwrap(), [1]);
        drop(b);
        assert!(matches!(a.recv().await, Err(LinkError::Closed)));
        assert!(matches!(a.send(&vec![], &[]).await, Err(LinkError::Closed)));
    }

    #[tokio::test]
    async fn a_slot_holds_the_newest() {
        let slot = Slot::new();
        slot.put(1);
        slot.put(2);
        assert_eq!(slot.wait().await, 2);
        assert_eq!(slot.take(), None);
    }
}
