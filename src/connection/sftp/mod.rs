//! What an SFTP channel does, read from the bytes that pass: draft-ietf-secsh-filexfer-02 and OpenSSH's extensions
//! (PROTOCOL, section 4), as its sftp-server answers them.
//!
//! Requests are read before the server has them, and answers before the client has them. What cannot be followed is not let
//! through: that is said, once, and the channel ends.

mod answer;
mod effect;
mod file;
mod observer;
mod packet;
mod request;

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use self::answer::{Answer, EOF, NOT_SUPPORTED, OK, word};
use self::effect::{INTERRUPTED, NO_ANSWER, has_effect, named, unknown};
use self::file::{Open, What};
pub(super) use self::observer::{Observer, Refused};
use self::packet::{Fields, Piece, Stop, Stream, Unreadable, kind};
use self::request::{Attributes, Change, Handle, Named, Request, Write};
use crate::connection::report::Rate;
use crate::model::escape;
use crate::wire::{Event, Outcome, Record, SftpOp, SftpSummary};

/// Requests without an answer: a client with more waits. Clients send 64 (sftp) to some hundreds ahead.
const PENDING: usize = 4096;
/// Their paths together, in bytes, but for those of the last one.
const PENDING_BYTES: usize = 1 << 20;
/// Open handles; sftp-server itself may open as many files as a session.
const OPEN: usize = 4096;
/// What changed nothing, or moved nothing, has so many records a second, and ...
const LOOKS_A_SECOND: u32 = 200;
/// ... so many of a channel: the rest is in the totals.
const LOOKS: u64 = 10_000;
/// Of changes and of files that were read or written, so many are on record; then the channel ends. A session may cause 32 MiB of
/// records, and with paths of the usual length these are some 26 MiB.
const CHANGES: u64 = 40_000;
/// A path in a record, in bytes; PATH_MAX.
const PATH: usize = 4096;

/// Follows one channel.
#[derive(Debug)]
pub struct Watch {
    client: Stream,
    server: Stream,
    state: State,
    /// Why the client is not followed any more, ...
    refused: Option<Unreadable>,
    /// ... and why the server is not.
    lost: Option<Unreadable>,
}

#[derive(Debug)]
struct State {
    pending: VecDeque<(u32, Request)>,
    pending_bytes: usize,
    open: HashMap<Handle, Open>,
    /// Whether data that passes belongs to the last of `pending`.
    writing: bool,
    /// Whose data passes to the client, and where in the file.
    reading: Option<(Handle, u64)>,
    records: Vec<Record>,
    rate: Rate,
    /// Records of what changed nothing, and of what did.
    looks: u64,
    changes: u64,
    totals: SftpSummary,
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Watch {
    /// Of a channel that nothing has passed through yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            client: Stream::default(),
            server: Stream::default(),
            state: State {
                pending: VecDeque::new(),
                pending_bytes: 0,
                open: HashMap::new(),
                writing: false,
                reading: None,
                records: Vec::new(),
                rate: Rate::per_second(LOOKS_A_SECOND),
                looks: 0,
                changes: 0,
                totals: SftpSummary::default(),
            },
            refused: None,
            lost: None,
        }
    }

    /// How many of these bytes, which the client has sent, the server is to be given. What is left is to be shown again once
    /// the server has sent something; where [`Self::unreadable`] says so, the server is not to be given anything any more.
    #[must_use]
    pub fn client_sends(&mut self, bytes: &[u8]) -> usize {
        if self.unreadable().is_some() {
            return 0;
        }
        let state = &mut self.state;
        let (taken, stop) = self.client.pass(bytes, |piece| match piece {
            Piece::Begin => state.begin(),
            Piece::Head(head) => state.request(head).map_err(Stop::Lost),
            Piece::Bulk(more) => {
                state.write(more);
                Ok(())
            }
        });
        if let Some(Stop::Lost(why)) = stop {
            self.refused = Some(why);
        }
        taken
    }

    /// What the client is about to be given.
    pub fn server_sent(&mut self, bytes: &[u8]) {
        // What the client is refused changes nothing about what the server was given before.
        if self.lost.is_some() {
            return;
        }
        let state = &mut self.state;
        let (_, stop) = self.server.pass(bytes, |piece| match piece {
            Piece::Begin => Ok(()),
            Piece::Head(head) => state.answer(head).map_err(Stop::Lost),
            Piece::Bulk(more) => {
                state.read(more);
                Ok(())
            }
        });
        if let Some(Stop::Lost(why)) = stop {
            self.lost = Some(why);
        }
    }

    /// Records that are due.
    pub fn records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.state.records)
    }

    /// Why nothing more is let through, if so.
    #[must_use]
    pub fn unreadable(&self) -> Option<&'static str> {
        self.refused.or(self.lost).map(Unreadable::as_str)
    }

    /// The rest, and the totals, when the channel is over.
    #[must_use]
    pub fn finish(mut self) -> Vec<Record> {
        self.state.give_up();
        let unreadable = self.unreadable().map(str::to_owned);
        let mut records = self.state.records;
        let mut totals = self.state.totals;
        totals.unreadable = unreadable;
        records.push(Record::new(Event::SftpSummary(totals)));
        records
    }
}

impl State {
    /// Whether there may be another request.
    fn begin(&self) -> Result<(), Stop> {
        if self.changes >= CHANGES {
            Err(Stop::Lost(Unreadable::UsedUp))
        } else if self.pending.len() >= PENDING || self.pending_bytes >= PENDING_BYTES {
            Err(Stop::Full)
        } else {
            Ok(())
        }
    }

    /// A packet from the client.
    fn request(&mut self, packet: Fields<'_>) -> Result<(), Unreadable> {
        self.writing = false;
        let kind = { packet }.u8().ok_or(Unreadable::Fields)?;
        if kind == kind::INIT {
            return Ok(());
        }
        let (id, request) = Request::read(packet).ok_or(Unreadable::Fields)?;
        let Some(mut request) = request else {
            self.op("unknown", &[kind], None, Some(word(NOT_SUPPORTED)));
            return Ok(());
        };
        match &mut request {
            Request::Close(handle) => {
                if let Some(open) = self.open.get_mut(handle) {
                    open.closing = true;
                }
            }
            Request::Write(write) => {
                // Until it is closed a handle stands for the same file.
                let open = self.open.get(&write.handle);
                write.counted = open.is_some_and(|open| !open.closing);
                self.writing = true;
            }
            _ => {}
        }
        self.pending_bytes += request.bytes();
        self.pending.push_back((id, request));
        Ok(())
    }

    /// Data of the WRITE that was asked for last.
    fn write(&mut self, data: &[u8]) {
        let Some((_, Request::Write(write))) = self.pending.back_mut().filter(|_| self.writing)
        else {
            return;
        };
        if write.counted
            && let Some(open) = self.open.get_mut(&write.handle)
        {
            let offset = write.offset.saturating_add(write.bytes);
            open.written.pass(offset, data);
        }
        write.bytes = write.bytes.saturating_add(length(data));
    }

    /// A packet from the server.
    fn answer(&mut self, mut fields: Fields<'_>) -> Result<(), Unreadable> {
        let kind = fields.u8().ok_or(Unreadable::Fields)?;
        if kind == kind::VERSION {
            return Ok(());
        }
        let id = fields.u32().ok_or(Unreadable::Fields)?;
        // sftp-server answers one after the other, so it is the first; an id may be in use twice.
        let mut pending = self.pending.iter();
        let at = pending.position(|(known, _)| *known == id);
        let at = at.ok_or(Unreadable::Unasked)?;
        let answer = Answer::read(kind, fields).ok_or(Unreadable::Fields)?;
        // What it does not fit stays without an answer.
        let asked = self.pending.get(at).filter(|(_, of)| answer.fits(of));
        asked.ok_or(Unreadable::Unasked)?;
        let (_, request) = self.pending.remove(at).ok_or(Unreadable::Unasked)?;
        self.pending_bytes -= request.bytes();
        self.writing &= at < self.pending.len();
        self.reading = None;
        match (answer, request) {
            (Answer::Handle(handle), Request::Open { path, what, flags }) => {
                self.opened(handle, Open::new(path, what, flags));
            }
            (Answer::Data, Request::Read(handle, offset)) => self.reading = Some((handle, offset)),
            (Answer::Status(status), request) => self.status(request, status),
            // Of a look that is nothing.
            (Answer::Other, request) => self.status(request, OK),
            (Answer::Handle(_) | Answer::Data, _) => {}
        }
        Ok(())
    }

    fn opened(&mut self, handle: Handle, open: Open) {
        self.totals.opened += 1;
        if let Some(before) = self.open.remove(&handle) {
            // sftp-server does not do that.
            self.closed(&before, Some(INTERRUPTED));
        }
        // Beyond the bound what is done with it is not known to be: the totals alone tell of it.
        if self.open.len() < OPEN {
            self.open.insert(handle, open);
        } else {
            self.totals.operations += 1;
            self.totals.left_out += 1;
            self.totals.changes += u64::from(open.flags.change().is_some());
        }
    }

    fn status(&mut self, request: Request, status: u32) {
        let error = (status != OK).then(|| word(status));
        match request {
            Request::Close(handle) => {
                if let Some(open) = self.open.remove(&handle) {
                    self.closed(&open, error);
                }
            }
            Request::Write(write) => self.wrote(&write, status),
            Request::Read(handle, _) => {
                if status != EOF
                    && let Some(open) = self.open.get_mut(&handle)
                {
                    open.failed.get_or_insert(status);
                }
            }
            Request::Open {
                path,
                what: What::File,
                flags,
            } => self.op_with("open", &path, None, error, Some(flags.words())),
            Request::Open {
                path,
                what: What::Directory,
                ..
            } => self.op("list", &path, None, error),
            Request::Change(change) => {
                self.totals.changes += u64::from(status == OK);
                self.change(&change, error);
            }
            Request::Look { op, of } => {
                if status != EOF && error.is_some() {
                    self.op(op, &self.path_of(&of), None, error);
                }
            }
        }
    }

    /// A WRITE was answered.
    fn wrote(&mut self, write: &Write, status: u32) {
        let Some(open) = self.open.get_mut(&write.handle) else {
            let error = (status != OK).then(|| word(status));
            return self.wrote_elsewhere(&write.handle, write.bytes, error);
        };
        if !write.counted {
            open.written.count(write.bytes);
        }
        if status != OK {
            open.written.spoil();
            open.failed.get_or_insert(status);
        }
    }

    /// What was written to a file that is not known.
    fn wrote_elsewhere(&mut self, handle: &[u8], bytes: u64, error: Option<&str>) {
        let was_done = error.is_none_or(|error| error == NO_ANSWER);
        if was_done {
            self.totals.bytes_written = self.totals.bytes_written.saturating_add(bytes);
        }
        self.record(SftpOp {
            bytes_written: Some(bytes).filter(|_| was_done),
            ..named("write", &unknown(handle), None, error)
        });
    }

    /// The channel is over: what is not answered may have been done all the same.
    fn give_up(&mut self) {
        let mut written: HashMap<Handle, u64> = HashMap::new();
        for (_, request) in std::mem::take(&mut self.pending) {
            match request {
                Request::Close(handle) => {
                    if let Some(open) = self.open.remove(&handle) {
                        self.closed(&open, Some(INTERRUPTED));
                    }
                }
                Request::Write(write) if !write.counted && write.bytes > 0 => {
                    let sum = written.entry(write.handle).or_default();
                    *sum = sum.saturating_add(write.bytes);
                }
                Request::Open {
                    path,
                    what: What::File,
                    flags,
                } => {
                    let words = Some(flags.words());
                    self.op_with(flags.as_done(), &path, None, Some(NO_ANSWER), words);
                }
                Request::Change(change) => self.change(&change, Some(NO_ANSWER)),
                Request::Write(_)
                | Request::Read(..)
                | Request::Open { .. }
                | Request::Look { .. } => {}
            }
        }
        for (handle, bytes) in written {
            self.wrote_elsewhere(&handle, bytes, Some(NO_ANSWER));
        }
        for (_, open) in std::mem::take(&mut self.open) {
            self.closed(&open, Some(INTERRUPTED));
        }
    }

    /// A change, and what became of it.
    fn change(&mut self, change: &Change, error: Option<&str>) {
        let path = self.path_of(&change.of);
        let to = change.to.as_ref().map(|to| self.path_of(to));
        let flags = change.attributes.map(Attributes::words);
        self.op_with(change.op, &path, to.as_deref(), error, flags);
    }

    /// The path that a request means.
    fn path_of(&self, named: &Named) -> Vec<u8> {
        match named {
            Named::Path(path) => path.clone(),
            Named::Handle(handle) => {
                let open = self.open.get(handle);
                open.map_or_else(|| unknown(handle), |open| open.path.clone())
            }
        }
    }

    fn op(&mut self, op: &str, path: &[u8], to: Option<&[u8]>, error: Option<&str>) {
        self.record(named(op, path, to, error));
    }

    fn op_with(
        &mut self,
        op: &str,
        path: &[u8],
        to: Option<&[u8]>,
        error: Option<&str>,
        flags: Option<Vec<String>>,
    ) {
        self.record(SftpOp {
            flags,
            ..named(op, path, to, error)
        });
    }

    /// An open file or directory is closed.
    fn closed(&mut self, open: &Open, error: Option<&'static str>) {
        self.totals.bytes_read = self.totals.bytes_read.saturating_add(open.read.bytes);
        self.totals.bytes_written = self.totals.bytes_written.saturating_add(open.written.bytes);
        self.totals.changes += u64::from(open.has_changed());
        let moved = |bytes: u64| (open.what == What::File).then_some(bytes);
        self.record(SftpOp {
            op: open.done().to_owned(),
            path: escape(&open.path, PATH),
            to: None,
            flags: (open.what == What::File).then(|| open.flags.words()),
            bytes_read: moved(open.read.bytes),
            bytes_written: moved(open.written.bytes),
            read_blake3: open.read.blake3(),
            written_blake3: open.written.blake3(),
            duration_ms: Some(u64::try_from(open.since.elapsed().as_millis()).unwrap_or(u64::MAX)),
            error: error.or(open.failed.map(word)).map(str::to_owned),
        });
    }

    fn record(&mut self, op: SftpOp) {
        self.totals.operations += 1;
        self.totals.failed += u64::from(op.error.is_some());
        if has_effect(&op) {
            // Those that were under way when it was used up are on record as well.
            self.changes += 1;
            if self.changes == CHANGES {
                let event = Event::LimitHit {
                    resource: "changes over SFTP in a channel".to_owned(),
                    limit: CHANGES,
                };
                self.records.push(Record::new(event).outcome(Outcome::Bad));
            }
        } else if self.looks >= LOOKS || !self.rate.admits(Instant::now()) {
            self.totals.left_out += 1;
            return;
        } else {
            self.looks += 1;
        }
        let outcome = if op.error.is_some() {
            Outcome::Bad
        } else {
            Outcome::Good
        };
        let record = Record::new(Event::SftpOp(Box::new(op))).outcome(outcome);
        self.records.push(record);
    }

    /// Data of the READ that was answered last.
    fn read(&mut self, data: &[u8]) {
        let Some((handle, offset)) = &mut self.reading else {
            return;
        };
        match self.open.get_mut(handle) {
            Some(open) => open.read.pass(*offset, data),
            None => {
                let all = &mut self.totals.bytes_read;
                *all = all.saturating_add(length(data));
            }
        }
        *offset = offset.saturating_add(length(data));
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
