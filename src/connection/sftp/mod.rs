//! What an SFTP channel does, read from the bytes that pass: draft-ietf-secsh-filexfer-02 and OpenSSH's extensions
//! (PROTOCOL, section 4), as its sftp-server answers them.
//!
//! Nothing is held up or changed. What cannot be followed is counted and said, once, and the transfer goes on.

mod file;
mod observer;
mod packet;

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use self::file::{Open, What};
pub(super) use self::observer::{Observer, Way};
use self::packet::{Fields, HANDLE, Piece, Stream, Unreadable, kind};
use crate::connection::report::Rate;
use crate::model::escape;
use crate::wire::{Event, Outcome, Record, SftpOp, SftpSummary};

/// Requests without an answer. Clients send 64 (sftp) to some hundreds ahead.
const PENDING: usize = 4096;
/// Their paths together, in bytes.
const PENDING_BYTES: usize = 1 << 20;
/// Open handles; sftp-server itself may open as many files as a session.
const OPEN: usize = 4096;
/// So many records a second, and ...
const RECORDS_A_SECOND: u32 = 200;
/// ... so many of a channel: the rest is in the totals. A session may cause 32 MiB of records, and shall not end over a copy of
/// many small files.
const RECORDS: u64 = 10_000;
/// A path in a record, in bytes; PATH_MAX.
const PATH: usize = 4096;

/// SSH_FX_OK, SSH_FX_EOF; draft §7.
const OK: u32 = 0;
const EOF: u32 = 1;

/// Follows one channel.
#[derive(Debug)]
pub struct Watch {
    client: Stream,
    server: Stream,
    state: State,
    unreadable: Option<Unreadable>,
}

#[derive(Debug)]
struct State {
    pending: VecDeque<(u32, Request)>,
    pending_bytes: usize,
    open: HashMap<Vec<u8>, Open>,
    /// Whose bulk data passes, and where in the file.
    writing: Option<(Vec<u8>, u64)>,
    reading: Option<(Vec<u8>, u64)>,
    records: Vec<Record>,
    rate: Rate,
    totals: SftpSummary,
}

/// What the client asked for.
#[derive(Debug)]
enum Request {
    Open(Vec<u8>, What),
    Close(Vec<u8>),
    Read(Vec<u8>, u64),
    Write(Vec<u8>),
    /// Changes something by name.
    Change {
        op: &'static str,
        path: Vec<u8>,
        to: Option<Vec<u8>>,
    },
    /// Changes nothing; worth a record only if it is refused.
    Look {
        op: &'static str,
        path: Vec<u8>,
    },
}

impl Request {
    fn bytes(&self) -> usize {
        match self {
            Self::Open(text, _) | Self::Close(text) | Self::Read(text, _) | Self::Write(text) => {
                text.len()
            }
            Self::Change { path, to, .. } => path.len() + to.as_ref().map_or(0, Vec::len),
            Self::Look { path, .. } => path.len(),
        }
    }
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
                writing: None,
                reading: None,
                records: Vec::new(),
                rate: Rate::per_second(RECORDS_A_SECOND),
                totals: SftpSummary::default(),
            },
            unreadable: None,
        }
    }

    /// What the server has been given of the client's.
    pub fn client_sent(&mut self, bytes: &[u8]) {
        let state = &mut self.state;
        if self.unreadable.is_none() {
            let passed = self.client.pass(bytes, |piece| match piece {
                Piece::Head(head) => state.request(head),
                Piece::Bulk(more) => {
                    state.write(more);
                    Ok(())
                }
            });
            self.unreadable = passed.err();
        }
    }

    /// What the client is about to be given.
    pub fn server_sent(&mut self, bytes: &[u8]) {
        let state = &mut self.state;
        if self.unreadable.is_none() {
            let passed = self.server.pass(bytes, |piece| match piece {
                Piece::Head(head) => state.answer(head).ok_or(Unreadable::Fields),
                Piece::Bulk(more) => {
                    state.read(more);
                    Ok(())
                }
            });
            self.unreadable = passed.err();
        }
    }

    /// Records that are due.
    pub fn records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.state.records)
    }

    /// Why it is not followed any more, if it is not: what passes from then on is not looked at.
    #[must_use]
    pub fn unreadable(&self) -> Option<&'static str> {
        self.unreadable.map(Unreadable::as_str)
    }

    /// The rest, and the totals, when the channel is over.
    #[must_use]
    pub fn finish(mut self) -> Vec<Record> {
        for (_, open) in std::mem::take(&mut self.state.open) {
            self.state.closed(&open, Some("interrupted"));
        }
        let unreadable = self.unreadable().map(str::to_owned);
        let mut records = self.state.records;
        let mut totals = self.state.totals;
        totals.unreadable = unreadable;
        records.push(Record::new(Event::SftpSummary(totals)));
        records
    }
}

impl State {
    /// A packet from the client.
    fn request(&mut self, packet: &[u8]) -> Result<(), Unreadable> {
        if packet.first() == Some(&kind::INIT) {
            return Ok(());
        }
        let (id, request) = self.parse(packet).ok_or(Unreadable::Fields)?;
        self.pending_bytes += request.bytes();
        self.pending.push_back((id, request));
        if self.pending.len() <= PENDING && self.pending_bytes <= PENDING_BYTES {
            Ok(())
        } else {
            Err(Unreadable::TooMuch)
        }
    }

    /// None: it is shorter than its fields.
    fn parse(&mut self, packet: &[u8]) -> Option<(u32, Request)> {
        let mut fields = Fields(packet);
        let kind = fields.u8()?;
        let id = fields.u32()?;
        let path = |fields: &mut Fields<'_>| fields.string().map(kept);
        let change = |op, path, to| Request::Change { op, path, to };
        let look = |op, path| Request::Look { op, path };
        let request = match kind {
            kind::OPEN => Request::Open(path(&mut fields)?, What::File),
            kind::OPENDIR => Request::Open(path(&mut fields)?, What::Directory),
            kind::CLOSE => Request::Close(handle(&mut fields)?),
            kind::READ => Request::Read(handle(&mut fields)?, fields.u64()?),
            kind::WRITE => {
                let (handle, offset) = (handle(&mut fields)?, fields.u64()?);
                self.writing = Some((handle.clone(), offset));
                Request::Write(handle)
            }
            kind::REMOVE => change("remove", path(&mut fields)?, None),
            kind::MKDIR => change("mkdir", path(&mut fields)?, None),
            kind::RMDIR => change("rmdir", path(&mut fields)?, None),
            kind::SETSTAT => change("setstat", path(&mut fields)?, None),
            kind::FSETSTAT => change("setstat", self.path_of(&mut fields)?, None),
            kind::RENAME => {
                let from = path(&mut fields)?;
                change("rename", from, Some(path(&mut fields)?))
            }
            kind::SYMLINK => {
                // sftp-server has the two in the other order than the draft (PROTOCOL, section 4.1).
                let to = path(&mut fields)?;
                change("symlink", path(&mut fields)?, Some(to))
            }
            kind::STAT => look("stat", path(&mut fields)?),
            kind::LSTAT => look("lstat", path(&mut fields)?),
            kind::FSTAT => look("fstat", self.path_of(&mut fields)?),
            kind::READDIR => look("readdir", self.path_of(&mut fields)?),
            kind::REALPATH => look("realpath", path(&mut fields)?),
            kind::READLINK => look("readlink", path(&mut fields)?),
            kind::EXTENDED => self.extended(&mut fields)?,
            _ => look("unknown", vec![kind]),
        };
        Some((id, request))
    }

    fn extended(&self, fields: &mut Fields<'_>) -> Option<Request> {
        let change = |op, path, to| Request::Change { op, path, to };
        let name = fields.string()?;
        Some(match name {
            b"posix-rename@openssh.com" => {
                let from = kept(fields.string()?);
                change("rename", from, Some(kept(fields.string()?)))
            }
            b"hardlink@openssh.com" => {
                let from = kept(fields.string()?);
                change("link", kept(fields.string()?), Some(from))
            }
            b"lsetstat@openssh.com" => change("setstat", kept(fields.string()?), None),
            b"copy-data" => {
                let from = self.path_of(fields)?;
                let _offset_and_length = (fields.u64()?, fields.u64()?);
                change("copy", from, Some(self.path_of(fields)?))
            }
            name => Request::Look {
                op: "extended",
                path: kept(name),
            },
        })
    }

    /// A packet from the server.
    fn answer(&mut self, packet: &[u8]) -> Option<()> {
        let mut fields = Fields(packet);
        let kind = fields.u8()?;
        if kind == kind::VERSION {
            return Some(());
        }
        let id = fields.u32()?;
        // sftp-server answers one after the other, so it is the first; an id may be in use twice.
        let Some(at) = self.pending.iter().position(|(known, _)| *known == id) else {
            return Some(());
        };
        let (_, request) = self.pending.remove(at)?;
        self.pending_bytes -= request.bytes();
        match (kind, request) {
            (kind::HANDLE, Request::Open(path, what)) => {
                let handle = handle(&mut fields)?;
                self.totals.opened += 1;
                // Beyond the bound its reads and writes are not seen, nor its end: the totals alone tell of it.
                if self.open.len() < OPEN {
                    self.open.insert(handle, Open::new(path, what));
                } else {
                    self.totals.operations += 1;
                    self.totals.left_out += 1;
                }
            }
            (kind::DATA, Request::Read(handle, offset)) => self.reading = Some((handle, offset)),
            (kind::DATA, _) => self.reading = None,
            (kind::STATUS, request) => self.status(request, fields.u32()?),
            // What a look was answered with; and answers that do not fit their question.
            (_, _) => {}
        }
        Some(())
    }

    fn status(&mut self, request: Request, status: u32) {
        match request {
            Request::Close(handle) => {
                if let Some(open) = self.open.remove(&handle) {
                    self.closed(&open, (status != OK).then(|| word(status)));
                }
            }
            Request::Write(handle) if status != OK => {
                if let Some(open) = self.open.get_mut(&handle) {
                    open.written.spoil();
                    open.failed.get_or_insert(status);
                }
            }
            Request::Read(handle, _) if status != OK && status != EOF => {
                if let Some(open) = self.open.get_mut(&handle) {
                    open.failed.get_or_insert(status);
                }
            }
            Request::Write(_) | Request::Read(..) => {}
            Request::Open(path, What::File) => self.op("open", &path, None, Some(word(status))),
            Request::Open(path, What::Directory) => {
                self.op("list", &path, None, Some(word(status)));
            }
            Request::Change { op, path, to } => {
                self.totals.changes += u64::from(status == OK);
                self.op(
                    op,
                    &path,
                    to.as_deref(),
                    (status != OK).then(|| word(status)),
                );
            }
            Request::Look { op, path } => {
                if status != OK && status != EOF {
                    self.op(op, &path, None, Some(word(status)));
                }
            }
        }
    }

    fn op(&mut self, op: &str, path: &[u8], to: Option<&[u8]>, error: Option<&str>) {
        self.record(SftpOp {
            op: op.to_owned(),
            path: escape(path, PATH),
            to: to.map(|to| escape(to, PATH)),
            bytes_read: None,
            bytes_written: None,
            read_blake3: None,
            written_blake3: None,
            duration_ms: None,
            error: error.map(str::to_owned),
        });
    }

    /// An open file or directory is closed.
    fn closed(&mut self, open: &Open, error: Option<&'static str>) {
        self.totals.bytes_read = self.totals.bytes_read.saturating_add(open.read.bytes);
        self.totals.bytes_written = self.totals.bytes_written.saturating_add(open.written.bytes);
        let moved = |bytes: u64| (open.what == What::File).then_some(bytes);
        self.record(SftpOp {
            op: open.done().to_owned(),
            path: escape(&open.path, PATH),
            to: None,
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
        let recorded = self.totals.operations - self.totals.left_out;
        if recorded > RECORDS || !self.rate.admits(Instant::now()) {
            self.totals.left_out += 1;
            return;
        }
        let outcome = if op.error.is_some() {
            Outcome::Bad
        } else {
            Outcome::Good
        };
        let record = Record::new(Event::SftpOp(Box::new(op))).outcome(outcome);
        self.records.push(record);
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some((handle, offset)) = &mut self.writing
            && let Some(open) = self.open.get_mut(handle)
        {
            open.written.pass(*offset, bytes);
            *offset = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        if let Some((handle, offset)) = &mut self.reading
            && let Some(open) = self.open.get_mut(handle)
        {
            open.read.pass(*offset, bytes);
            *offset = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
    }

    /// The path behind the handle that comes next.
    fn path_of(&self, fields: &mut Fields<'_>) -> Option<Vec<u8>> {
        let handle = handle(fields)?;
        let open = self.open.get(&handle);
        Some(open.map_or_else(|| b"(no such handle)".to_vec(), |open| open.path.clone()))
    }
}

fn handle(fields: &mut Fields<'_>) -> Option<Vec<u8>> {
    let handle = fields.string()?;
    (handle.len() <= usize::try_from(HANDLE).unwrap_or(256)).then(|| handle.to_vec())
}

/// A path, as much of it as is recorded.
fn kept(path: &[u8]) -> Vec<u8> {
    path.get(..PATH).unwrap_or(path).to_vec()
}

/// draft §7.
fn word(status: u32) -> &'static str {
    match status {
        OK => "ok",
        EOF => "end of file",
        2 => "no such file",
        3 => "permission denied",
        4 => "failure",
        5 => "bad message",
        6 => "no connection",
        7 => "connection lost",
        8 => "not supported",
        _ => "unknown status",
    }
}

#[cfg(test)]
mod tests;
