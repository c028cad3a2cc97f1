//! Bytes between a channel and its program: what came in is buffered in one place and credited once it was taken, what
//! goes out is read no faster than its own channel's window allows.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use russh::ChannelId;
use russh::server::{Handle, Msg};
use sha2::{Digest, Sha256};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::hold;
use super::recorder::{Echo, Tape};
use super::sftp::{Observer, Refused};
use crate::sys::pty::{self, LocalModes};
use crate::sys::{Errno, descriptor};
use crate::wire::{Stream, StreamFacts};

/// Our end of a pipe or terminal, never blocking.
pub(super) type End = AsyncFd<File>;
/// A channel's way to the client.
pub(super) type Writer = russh::ChannelWriteHalf<Msg>;

/// How much is read at once: a packet of the usual `maximum packet size`.
const READ_BYTES: usize = 32 * 1024;
/// Larger buffers are not kept for reuse.
const KEPT_BYTES: usize = 64 * 1024;
/// How much of a stream its digest covers (docs/audit.md).
const DIGESTED_BYTES: u64 = 1 << 20;
/// SSH_EXTENDED_DATA_STDERR, RFC 4254 §5.2.
pub(super) const STDERR: u32 = 1;

/// After a terminal's program ended a background job may hold the terminal open: then this silence ends its output, ...
const SILENCE: Duration = Duration::from_millis(200);
/// ... or waiting this long altogether, ...
const PATIENCE: Duration = Duration::from_secs(1);
/// ... or more than the kernel can have held at the program's end (64 KiB, tty_buffer.c, and a line).
const HELD_BYTES: usize = 128 * 1024;

/// Makes `fd` one that is waited for without blocking.
pub(super) fn end(fd: OwnedFd) -> Result<End, Errno> {
    descriptor::nonblocking(fd.as_fd())?;
    #[expect(
        deprecated,
        reason = "its successor is unsafe; a File keeps its descriptor until it is dropped"
    )]
    AsyncFd::new(File::from(fd))
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}

async fn read(from: &End, into: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut ready = from.readable().await?;
        match ready.try_io(|end| end.get_ref().read(into)) {
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(result) => return result,
            Err(_would_block) => {}
        }
    }
}

async fn write(to: &End, bytes: &[u8]) -> io::Result<usize> {
    loop {
        let mut ready = to.writable().await?;
        match ready.try_io(|end| end.get_ref().write(bytes)) {
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(result) => return result,
            Err(_would_block) => {}
        }
    }
}

/// What came from the client and was not taken yet. The window bounds it, since credit is only given for what was.
#[derive(Debug)]
pub(super) struct Input {
    state: Mutex<Buffered>,
    changed: Notify,
    /// Credit is given in steps of this.
    step: u32,
}

#[derive(Debug, Default)]
struct Buffered {
    bytes: Vec<u8>,
    open: bool,
    eof: bool,
    /// Taken or thrown away, and not credited yet.
    owed: u32,
}

impl Input {
    /// Takes nothing until it is opened: what comes is thrown away.
    pub(super) fn new(window_bytes: u32) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            step: (window_bytes / 4).max(1),
        }
    }

    /// There will be a program that reads.
    pub(super) fn open(&self) {
        let mut state = hold(&self.state);
        state.open = !state.eof;
    }

    /// Keeps `bytes`, or throws them away. Returns what is to be credited now.
    #[must_use]
    pub(super) fn push(&self, bytes: &[u8]) -> u32 {
        let mut state = hold(&self.state);
        if state.open && !state.eof {
            state.bytes.extend_from_slice(bytes);
            drop(state);
            self.changed.notify_one();
            0
        } else {
            self.due(&mut state, bytes.len())
        }
    }

    /// Nothing more will come.
    pub(super) fn finish(&self) {
        hold(&self.state).eof = true;
        self.changed.notify_one();
    }

    /// Nobody will take any more. Returns what is to be credited now.
    #[must_use]
    pub(super) fn close(&self) -> u32 {
        let mut state = hold(&self.state);
        state.open = false;
        let dropped = std::mem::take(&mut state.bytes).len();
        self.due(&mut state, dropped)
    }

    /// Counts what was taken. Returns what is to be credited now.
    #[must_use]
    fn taken(&self, bytes: usize) -> u32 {
        self.due(&mut hold(&self.state), bytes)
    }

    /// What is owed, once it is worth a message. What is held back stays below a quarter of the window, so that the
    /// client never waits for it.
    fn due(&self, state: &mut Buffered, more: usize) -> u32 {
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        state.owed = state.owed.saturating_add(more);
        // Who has said that nothing more comes needs none; and the channel's number may be another's by then.
        if state.owed >= self.step && !state.eof {
            std::mem::take(&mut state.owed)
        } else {
            0
        }
    }

    /// Waits for bytes and swaps them into `into`, which is empty. False at the end.
    async fn take(&self, into: &mut Vec<u8>) -> bool {
        loop {
            {
                let mut state = hold(&self.state);
                if !state.bytes.is_empty() {
                    std::mem::swap(&mut state.bytes, into);
                    return true;
                }
                if state.eof || !state.open {
                    return false;
                }
            }
            self.changed.notified().await;
        }
    }
}

/// Writes what comes in to `to`, until the client has no more, nobody reads there any more, or `gate` lets no more through: then
/// it says why. `to` is closed then, unless somebody else holds it.
pub(super) async fn feed(
    input: &Input,
    to: Arc<End>,
    handle: &Handle,
    channel: ChannelId,
    meter: &mut Meter,
    typed: Option<&Tape>,
    gate: Option<&Observer>,
) -> Option<Refused> {
    let credit = |amount| {
        if amount > 0 {
            // False: the connection is over.
            handle.credit(channel, amount);
        }
    };
    let mut bytes = Vec::new();
    while input.take(&mut bytes).await {
        let mut rest = bytes.as_slice();
        let mut admitted = 0;
        while !rest.is_empty() {
            if admitted == 0 {
                admitted = match gate {
                    None => rest.len(),
                    Some(gate) => match gate.admit(rest).await {
                        Ok(admitted) => admitted,
                        Err(refused) => {
                            credit(input.taken(rest.len()));
                            credit(input.close());
                            return Some(refused);
                        }
                    },
                };
            }
            let before = typed.map(|_| echo(&to));
            match write(&to, rest.get(..admitted).unwrap_or(rest)).await {
                Ok(length) if length > 0 => {
                    let (written, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                    admitted = admitted.saturating_sub(length);
                    meter.count(written).await;
                    if let Some(tape) = typed {
                        // Its program may have changed it in between, to either.
                        let hidden = before == Some(Echo::Off) || echo(&to) == Echo::Off;
                        tape.input(written, if hidden { Echo::Off } else { Echo::On });
                    }
                    credit(input.taken(written.len()));
                    rest = after;
                }
                Ok(_) | Err(_) => {
                    credit(input.taken(rest.len()));
                    credit(input.close());
                    return None;
                }
            }
        }
        bytes.clear();
        if bytes.capacity() > KEPT_BYTES {
            bytes = Vec::new();
        }
    }
    None
}

/// Whether what is typed into a terminal is hidden from who looks at it. Editors switch ECHO off as well, but read single
/// characters (ICANON is off), and show what is typed themselves.
fn echo(master: &End) -> Echo {
    match pty::settings(master.get_ref().as_fd()) {
        Ok(settings) => {
            let modes = settings.local_modes;
            let hidden = modes.contains(LocalModes::ICANON) && !modes.contains(LocalModes::ECHO);
            if hidden { Echo::Off } else { Echo::On }
        }
        Err(_) => Echo::Off,
    }
}

/// Sends what a program writes to a pipe, until nobody can write there any more.
pub(super) async fn drain(from: End, stream: Option<u32>, writer: &Writer, meter: &mut Meter) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(length) = read(&from, &mut buffer).await {
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() || send(bytes, stream, writer, meter).await.is_err() {
            break;
        }
    }
}

/// Sends what is written to a terminal, until it has no user any more, or its program ended and no more can be of it.
/// Returns what `ended` gives.
pub(super) async fn drain_terminal<T>(
    from: &End,
    writer: &Writer,
    meter: &mut Meter,
    ended: impl Future<Output = T>,
) -> T {
    let mut ended = std::pin::pin!(ended);
    let mut buffer = vec![0; READ_BYTES];
    let outcome = loop {
        tokio::select! {
            biased;
            length = read(from, &mut buffer) => match length {
                Ok(length) if length > 0 => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    if send(bytes, None, writer, meter).await.is_err() {
                        return ended.await;
                    }
                }
                // EIO: every other end is closed (pty(7)).
                Ok(_) | Err(_) => return ended.await,
            },
            outcome = &mut ended => break outcome,
        }
    };
    let (mut waited, mut sent) = (Duration::ZERO, 0);
    while waited < PATIENCE && sent < HELD_BYTES {
        let since = Instant::now();
        match timeout(SILENCE, read(from, &mut buffer)).await {
            Ok(Ok(length)) if length > 0 => {
                waited += since.elapsed();
                sent += length;
                let bytes = buffer.get(..length).unwrap_or_default();
                if send(bytes, None, writer, meter).await.is_err() {
                    break;
                }
            }
            Ok(Ok(_) | Err(_)) | Err(_) => break,
        }
    }
    outcome
}

/// Waits for the channel's own window, and for no other's.
async fn send(
    bytes: &[u8],
    stream: Option<u32>,
    writer: &Writer,
    meter: &mut Meter,
) -> Result<(), russh::Error> {
    meter.count(bytes).await;
    let bytes = Bytes::copy_from_slice(bytes);
    match stream {
        None => writer.data_bytes(bytes).await,
        Some(stream) => writer.extended_data_bytes(stream, bytes).await,
    }
}

/// Counts a stream for its record, and shows what sftp-server says to who watches it.
#[derive(Debug, Default)]
pub(super) struct Meter {
    bytes: u64,
    digest: Sha256,
    watched: Option<Arc<Observer>>,
    recorded: Option<(Tape, Stream)>,
}

impl Meter {
    pub(super) fn watched(observer: &Arc<Observer>) -> Self {
        Self {
            watched: Some(Arc::clone(observer)),
            ..Self::default()
        }
    }

    /// From now on what is counted is also recorded, as what a program writes to `stream`.
    pub(super) fn record(&mut self, tape: &Tape, stream: Stream) {
        self.recorded = Some((tape.clone(), stream));
    }

    async fn count(&mut self, bytes: &[u8]) {
        let digestible = DIGESTED_BYTES.saturating_sub(self.bytes);
        let digestible = usize::try_from(digestible).unwrap_or(usize::MAX);
        self.digest.update(bytes.get(..digestible).unwrap_or(bytes));
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(observer) = &self.watched {
            observer.server_sent(bytes).await;
        }
        if let Some((tape, stream)) = &self.recorded {
            tape.output(*stream, bytes);
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn facts(&self) -> StreamFacts {
        StreamFacts {
            bytes: self.bytes,
            sha256_first_mib: hex(&self.digest.clone().finalize()),
        }
    }
}

/// The hex SHA-256 of `bytes`.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_is_credited() {
        let input = Input::new(400);
        assert_eq!(input.push(&[0; 99]), 0);
        assert_eq!(input.push(&[0; 1]), 100);
        input.open();
        assert_eq!(input.push(&[0; 300]), 0);
        assert_eq!(input.close(), 300);
        assert_eq!(input.push(&[0; 100]), 100);
    }

    #[test]
    fn after_its_end_a_channel_is_not_credited() {
        let input = Input::new(400);
        input.open();
        assert_eq!(input.push(&[0; 300]), 0);
        input.finish();
        assert_eq!(input.close(), 0);
        assert_eq!(input.push(&[0; 100]), 0);
    }

    #[tokio::test]
    async fn tiny_packets_become_one_buffer() {
        let input = Input::new(400);
        input.open();
        for byte in 0..3 {
            assert_eq!(input.push(&[byte]), 0);
        }
        input.finish();
        let mut bytes = Vec::new();
        assert!(input.take(&mut bytes).await);
        assert_eq!(bytes, [0, 1, 2]);
        bytes.clear();
        assert!(!input.take(&mut bytes).await);
    }

    #[tokio::test]
    async fn a_digest_covers_the_first_mebibyte() {
        let mut whole = Meter::default();
        let mut pieces = Meter::default();
        whole.count(&[7; 1 << 20]).await;
        for _ in 0..3 {
            pieces.count(&[7; 700_000]).await;
        }
        assert_eq!(
            pieces.facts().sha256_first_mib,
            whole.facts().sha256_first_mib
        );
        assert_eq!(pieces.bytes(), 2_100_000);
        assert_eq!(
            sha256(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[tokio::test]
    async fn an_end_reads_and_writes_without_blocking() {
        let (reader, writer) = descriptor::pipe().unwrap();
        let (reader, writer) = (end(reader).unwrap(), end(writer).unwrap());
        let mut buffer = [0; 8];
        let nothing = timeout(Duration::from_millis(20), read(&reader, &mut buffer)).await;
        assert!(nothing.is_err());
        assert_eq!(write(&writer, b"abc").await.unwrap(), 3);
        assert_eq!(read(&reader, &mut buffer).await.unwrap(), 3);
        drop(writer);
        assert_eq!(read(&reader, &mut buffer).await.unwrap(), 0);
    }
}
