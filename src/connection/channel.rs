use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use russh::ChannelId;
use tokio::sync::Notify;

use super::hold;
use super::io::{End, Input, Writer};
use super::recorder::Tape;
use super::report::Rate;
use super::terminal::TerminalRequest;
use crate::model::{ChannelNumber, WindowSize};
use crate::policy::sandbox::AcceptedEnvironment;
use crate::wire::limits::{COMMAND_BYTES, ENV_BYTES, ENV_COUNT, ENV_TOTAL_BYTES};

/// How many resizes of a channel are recorded in a second (docs/audit.md).
const RECORDED_RESIZES: u32 = 4;
/// How many signals a channel passes on in a second.
const SIGNALS: u32 = 16;

/// One channel: of type `session`, RFC 4254 §6.1, or one that is forwarded, which has no program and takes no request.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: ChannelId,
    pub(super) input: Input,
    /// The client closed it.
    pub(super) closed: Notify,
    /// What came from the client.
    pub(super) received: AtomicU64,
    on_record: AtomicBool,
    pub(super) is_forwarded: bool,
    requests: Mutex<Requests>,
}

/// What the client asked for so far.
#[derive(Debug)]
struct Requests {
    /// Taken by the one program that a channel may have.
    writer: Option<Writer>,
    environment: Vec<(String, String)>,
    terminal: Option<TerminalRequest>,
    /// The terminal's master, while the program has it.
    master: Option<Arc<End>>,
    /// Its recording.
    tape: Option<Tape>,
    resizes: Rate,
    signals: Rate,
}

/// What a program begins with.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) writer: Writer,
    pub(super) environment: Vec<(String, String)>,
    pub(super) terminal: Option<TerminalRequest>,
}

/// What became of an `env` request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// It will be set.
    Set,
    /// It will not.
    Refused,
}

/// What became of a new size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resized {
    /// Done, and worth a record.
    Recorded,
    /// Done.
    Unrecorded,
    /// There is no terminal.
    NoTerminal,
}

impl Channel {
    pub(super) fn new(id: ChannelId, writer: Writer, window_bytes: u32) -> Self {
        Self::with(id, Some(writer), window_bytes)
    }

    /// One that is forwarded. What comes is kept from the beginning.
    pub(super) fn forwarded(id: ChannelId, window_bytes: u32) -> Self {
        let channel = Self::with(id, None, window_bytes);
        channel.input.open();
        channel
    }

    fn with(id: ChannelId, writer: Option<Writer>, window_bytes: u32) -> Self {
        // Of forwarded ones their own task reports.
        let is_forwarded = writer.is_none();
        Self {
            id,
            input: Input::new(window_bytes),
            closed: Notify::new(),
            received: AtomicU64::new(0),
            on_record: AtomicBool::new(is_forwarded),
            is_forwarded,
            requests: Mutex::new(Requests {
                writer,
                environment: Vec::new(),
                terminal: None,
                master: None,
                tape: None,
                resizes: Rate::per_second(RECORDED_RESIZES),
                signals: Rate::per_second(SIGNALS),
            }),
        }
    }

    pub(super) fn number(&self) -> ChannelNumber {
        ChannelNumber(self.id.number())
    }

    /// Whether its beginning is on record.
    pub(super) fn is_on_record(&self) -> bool {
        self.on_record.load(Ordering::Relaxed)
    }

    /// Its beginning is put on record; true the first time.
    pub(super) fn put_on_record(&self) -> bool {
        !self.on_record.swap(true, Ordering::Relaxed)
    }

    /// Counts and keeps what came. Returns what is to be credited now.
    #[must_use]
    pub(super) fn push(&self, bytes: &[u8]) -> u32 {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.received.fetch_add(length, Ordering::Relaxed);
        self.input.push(bytes)
    }

    /// Takes a variable into the program's environment, if policy and limits admit it.
    pub(super) fn set(&self, name: &str, value: &str, accepted: &AcceptedEnvironment) -> Setting {
        let mut requests = hold(&self.requests);
        let held = requests.environment.iter();
        let held: usize = held.map(|(name, value)| name.len() + value.len()).sum();
        let fits = requests.environment.len() < ENV_COUNT
            && held + name.len() + value.len() <= ENV_TOTAL_BYTES
            && name.len() <= ENV_BYTES
            && value.len() <= ENV_BYTES
            && !value.contains('\0');
        if requests.writer.is_some() && fits && accepted.admits(name) {
            requests
                .environment
                .push((name.to_owned(), value.to_owned()));
            Setting::Set
        } else {
            Setting::Refused
        }
    }

    /// Sets a variable of the server's own in the program's environment; false where the program runs.
    pub(super) fn set_own(&self, name: &str, value: String) -> bool {
        let mut requests = hold(&self.requests);
        let fits = requests.writer.is_some();
        if fits {
            requests.environment.push((name.to_owned(), value));
        }
        fits
    }

    /// Takes the wish for a terminal; false where there is one already, or the program runs.
    pub(super) fn want_terminal(&self, terminal: TerminalRequest) -> bool {
        let mut requests = hold(&self.requests);
        let fits = requests.writer.is_some() && requests.terminal.is_none();
        if fits {
            requests.terminal = Some(terminal);
        }
        fits
    }

    /// What the program begins with; none where there was one already.
    pub(super) fn begin(&self) -> Option<Beginning> {
        let mut requests = hold(&self.requests);
        let writer = requests.writer.take()?;
        self.input.open();
        Some(Beginning {
            writer,
            environment: std::mem::take(&mut requests.environment),
            terminal: requests.terminal.clone(),
        })
    }

    /// Whether no program was ever asked for.
    pub(super) fn is_idle(&self) -> bool {
        hold(&self.requests).writer.is_some()
    }

    /// The size that the terminal is to have by now; none without one.
    pub(super) fn size(&self) -> Option<WindowSize> {
        hold(&self.requests)
            .terminal
            .as_ref()
            .map(|terminal| terminal.size)
    }

    /// Where new sizes go from now on.
    pub(super) fn set_master(&self, master: Option<Arc<End>>) {
        hold(&self.requests).master = master;
    }

    /// Whether its program runs in a terminal.
    pub(super) fn has_terminal(&self) -> bool {
        hold(&self.requests).master.is_some()
    }

    /// Where new sizes are recorded from now on.
    pub(super) fn set_tape(&self, tape: Option<Tape>) {
        hold(&self.requests).tape = tape;
    }

    /// Changes the terminal's size, or that which it will have.
    pub(super) fn resize(&self, size: WindowSize) -> Resized {
        let mut requests = hold(&self.requests);
        let Some(terminal) = &mut requests.terminal else {
            return Resized::NoTerminal;
        };
        terminal.size = size;
        if let Some(master) = &requests.master {
            resize(master, size);
        }
        if let Some(tape) = &requests.tape {
            tape.resize(size.columns, size.rows);
        }
        if requests.resizes.admits(Instant::now()) {
            Resized::Recorded
        } else {
            Resized::Unrecorded
        }
    }

    /// Whether one more signal is passed on.
    pub(super) fn admits_signal(&self) -> bool {
        hold(&self.requests).signals.admits(Instant::now())
    }
}

/// Sets a terminal's size.
pub(super) fn resize(master: &End, size: WindowSize) {
    use std::os::fd::AsFd;
    let fd = master.get_ref().as_fd();
    let done = crate::sys::pty::resize(fd, size.columns, size.rows, size.width_px, size.height_px);
    if let Err(errno) = done {
        tracing::debug!("cannot set a terminal's size: {errno}");
    }
}

/// Whether a command can be an argument at all.
pub(super) fn is_runnable(command: &[u8]) -> bool {
    command.len() <= COMMAND_BYTES && !command.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_no_nul_and_a_limit() {
        assert!(is_runnable(b"") && is_runnable(&vec![b'x'; COMMAND_BYTES]));
        assert!(!is_runnable(b"a\0b") && !is_runnable(&vec![b'x'; COMMAND_BYTES + 1]));
    }
}
