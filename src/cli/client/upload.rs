//! An upload, over a connection of its own that is watched for an answer while it is written. Who refuses an upload says so
//! before its end, and reqwest's blocking client loses an answer that comes so early.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use reqwest::Url;

use super::super::CliError;
use super::super::error::Effect;
use super::{Answer, CONNECT, Client, Place, USER_AGENT, cause, media_type};
use crate::wire::limits::{API_ANSWER_BYTES, API_HEAD_BYTES};

/// How much is read and sent at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// A file as the only part of a form (RFC 7578).
pub(in crate::cli) struct Upload {
    /// Path and query, encoded.
    pub(in crate::cli) path: String,
    /// The form's media type.
    pub(in crate::cli) kind: String,
    /// What comes before the file.
    pub(in crate::cli) head: String,
    pub(in crate::cli) file: File,
    /// How an error names it.
    pub(in crate::cli) name: PathBuf,
    /// The file's length in bytes, where that is known.
    pub(in crate::cli) length: Option<u64>,
    /// What comes after it.
    pub(in crate::cli) tail: String,
    /// How many bytes of the file were read.
    pub(in crate::cli) count: Arc<AtomicU64>,
}

impl Client {
    /// Sends a file, and reads the answer whole; one that comes early ends the sending.
    pub(in crate::cli) fn upload(&self, upload: Upload) -> Result<Answer, CliError> {
        let length = upload.whole_length();
        self.debug(|| {
            let length = length.map_or("a stream".to_owned(), |length| format!("{length} bytes"));
            format!("POST {} with {length}", upload.path)
        });
        let (host, socket) = self
            .connect()
            .map_err(|error| self.unreachable(cause(&error)))?;
        let head = self.head(&upload, &host, length)?;
        let mut answers = BufReader::new(Socket(socket));
        let sent = upload.send(head, &mut answers);
        let status = match sent {
            Ok(Some(head)) => Ok(head),
            Ok(None) => Head::read_final(&mut answers),
            // Who closes a connection may have said why.
            Err(Fault::Socket(error)) => Head::read_final(&mut answers).map_err(|_| error),
            Err(Fault::Source(error)) => return Err(error),
        };
        let answer = status.and_then(|head| {
            self.debug(|| format!("status {}", head.status));
            let bytes = head.body(&mut answers)?;
            Ok(Answer {
                status: head.status,
                kind: media_type(head.value("content-type").unwrap_or_default()),
                retry_after: head.value("retry-after").map(str::to_owned),
                bytes,
                effect: Effect::Changes,
            })
        });
        answer.map_err(|error| CliError::BrokeOff {
            cause: cause(&error),
            effect: Effect::Changes,
        })
    }

    /// A connection that does not block, and what `Host` says of it.
    fn connect(&self) -> io::Result<(String, File)> {
        match &self.place {
            Place::Socket(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(("hassio".to_owned(), File::from(OwnedFd::from(stream))))
            }
            Place::Address(address) => {
                let url = Url::parse(address).map_err(io::Error::other)?;
                let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
                for address in url.socket_addrs(|| None)? {
                    match TcpStream::connect_timeout(&address, CONNECT) {
                        Ok(stream) => {
                            stream.set_nonblocking(true)?;
                            let host = url.authority().to_owned();
                            return Ok((host, File::from(OwnedFd::from(stream))));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    fn head(&self, upload: &Upload, host: &str, length: Option<u64>) -> Result<Vec<u8>, CliError> {
        let framing = match length {
            Some(length) => format!("Content-Length: {length}"),
            None => "Transfer-Encoding: chunked".to_owned(),
        };
        let mut head = format!(
            "POST {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: application/json\r\n\
             Content-Type: {}\r\n{framing}\r\nConnection: close\r\n",
            upload.path, upload.kind
        )
        .into_bytes();
        if let Some(value) = self.authorization()? {
            head.extend_from_slice(b"Authorization: ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }
}

/// Why an upload is not over.
enum Fault {
    Socket(io::Error),
    Source(CliError),
}

impl Upload {
    fn whole_length(&self) -> Option<u64> {
        let frame = u64::try_from(self.head.len() + self.tail.len()).unwrap_or(u64::MAX);
        self.length.map(|length| length.saturating_add(frame))
    }

    /// Writes the request; the head of an answer that came before its end, which then is not sent.
    fn send(
        mut self,
        mut bytes: Vec<u8>,
        answers: &mut BufReader<Socket>,
    ) -> Result<Option<Head>, Fault> {
        self.framed(self.head.as_bytes(), &mut bytes);
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut left = self.length;
        loop {
            if let Some(head) = write(&bytes, answers).map_err(Fault::Socket)? {
                return Ok(Some(head));
            }
            bytes.clear();
            let most = left.map_or(CHUNK_BYTES, |left| {
                usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES))
            });
            if most == 0 {
                break;
            }
            // Whoever types an upload may be slower than who refuses it.
            if let Some(head) = await_source(&self.file, answers).map_err(Fault::Socket)? {
                return Ok(Some(head));
            }
            let piece = chunk.get_mut(..most).unwrap_or_default();
            let read = self.read(piece).map_err(Fault::Source)?;
            if read == 0 {
                break;
            }
            let count = u64::try_from(read).unwrap_or(0);
            self.count.fetch_add(count, Ordering::Relaxed);
            left = left.map(|left| left.saturating_sub(count));
            self.framed(chunk.get(..read).unwrap_or_default(), &mut bytes);
        }
        if left.is_some_and(|left| left > 0) {
            return Err(Fault::Source(CliError::Failed(format!(
                "{} became shorter while it was sent",
                self.name.display()
            ))));
        }
        self.framed(self.tail.as_bytes(), &mut bytes);
        if self.length.is_none() {
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
        write(&bytes, answers).map_err(Fault::Socket)
    }

    fn read(&mut self, piece: &mut [u8]) -> Result<usize, CliError> {
        loop {
            match self.file.read(piece) {
                Err(error)
                    if [ErrorKind::Interrupted, ErrorKind::WouldBlock].contains(&error.kind()) => {}
                read => {
                    return read.map_err(|source| CliError::File {
                        what: "read",
                        path: self.name.clone(),
                        source,
                    });
                }
            }
        }
    }

    /// Bytes as the request has them: as they are if their number was said, else in a chunk (RFC 9112 §7.1).
    fn framed(&self, piece: &[u8], to: &mut Vec<u8>) {
        if self.length.is_some() {
            to.extend_from_slice(piece);
            return;
        }
        to.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        to.extend_from_slice(piece);
        to.extend_from_slice(b"\r\n");
    }
}

/// Writes bytes unless an answer begins; then its head.
fn write(bytes: &[u8], answers: &mut BufReader<Socket>) -> io::Result<Option<Head>> {
    let mut left = bytes;
    while !left.is_empty() {
        let socket = answers.get_ref().0.as_fd();
        wait(&mut [PollFd::new(socket, PollFlags::POLLIN | PollFlags::POLLOUT)])?;
        if let Some(head) = early(answers)? {
            return Ok(Some(head));
        }
        match (&answers.get_ref().0).write(left) {
            Ok(length) => left = left.get(length..).unwrap_or_default(),
            Err(error)
                if [ErrorKind::Interrupted, ErrorKind::WouldBlock].contains(&error.kind()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Waits until there is more to send, or an answer.
fn await_source(source: &File, answers: &mut BufReader<Socket>) -> io::Result<Option<Head>> {
    let socket = answers.get_ref().0.as_fd();
    wait(&mut [
        PollFd::new(source.as_fd(), PollFlags::POLLIN),
        PollFd::new(socket, PollFlags::POLLIN),
    ])?;
    early(answers)
}

/// The head of an answer that has begun.
fn early(answers: &mut BufReader<Socket>) -> io::Result<Option<Head>> {
    loop {
        let socket = answers.get_ref().0.as_fd();
        if answers.buffer().is_empty() && !is_readable(socket)? {
            return Ok(None);
        }
        // An interim one, such as 100, is followed by another.
        let head = Head::read(answers)?;
        if !head.is_interim() {
            return Ok(Some(head));
        }
    }
}

fn is_readable(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut asked = [PollFd::new(socket, PollFlags::POLLIN)];
    loop {
        match poll(&mut asked, PollTimeout::ZERO) {
            Err(Errno::EINTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

fn wait(asked: &mut [PollFd<'_>]) -> io::Result<()> {
    loop {
        match poll(asked, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            ready => return Ok(ready.map(drop)?),
        }
    }
}

/// A connection that is waited for when it is read.
struct Socket(File);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wait(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)])?;
                }
                read => return read,
            }
        }
    }
}

/// The head of an answer (RFC 9112).
struct Head {
    status: u16,
    fields: Vec<(String, String)>,
}

impl Head {
    fn read_final(from: &mut BufReader<Socket>) -> io::Result<Self> {
        loop {
            let head = Self::read(from)?;
            if !head.is_interim() {
                return Ok(head);
            }
        }
    }

    fn read(from: &mut BufReader<Socket>) -> io::Result<Self> {
        let mut left = API_HEAD_BYTES;
        let first = line(from, &mut left)?;
        let status = first
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.split(' ').nth(1))
            .filter(|status| status.len() == 3)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| broken("what came is no HTTP"))?;
        let mut fields = Vec::new();
        loop {
            let field = line(from, &mut left)?;
            if field.is_empty() {
                return Ok(Self { status, fields });
            }
            let (name, value) = field
                .split_once(':')
                .ok_or_else(|| broken("its head is no HTTP"))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn is_interim(&self) -> bool {
        (100..200).contains(&self.status)
    }

    fn value(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let field = fields.find(|(other, _)| other == name);
        field.map(|(_, value)| value.as_str())
    }

    /// What follows it, at most as much as any answer has.
    fn body(&self, from: &mut BufReader<Socket>) -> io::Result<Vec<u8>> {
        let most = u64::try_from(API_ANSWER_BYTES).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        let chunked = self
            .value("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        if chunked {
            loop {
                let mut left = API_HEAD_BYTES;
                let size = line(from, &mut left)?;
                let size = size.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16)
                    .map_err(|_| broken("a chunk of it has no length"))?;
                if size == 0 {
                    return Ok(bytes);
                }
                exactly(from, size, most, &mut bytes)?;
                line(from, &mut left)?;
            }
        }
        match self.value("content-length") {
            Some(length) => {
                let length = length
                    .parse()
                    .map_err(|_| broken("its length is no number"))?;
                exactly(from, length, most, &mut bytes)?;
            }
            None => {
                from.take(most + 1).read_to_end(&mut bytes)?;
                if bytes.len() > API_ANSWER_BYTES {
                    return Err(broken(TOO_LONG));
                }
            }
        }
        Ok(bytes)
    }
}

const TOO_LONG: &str = "it is longer than any answer of the Supervisor";

/// So many bytes more, and not more than `most` in all.
fn exactly(
    from: &mut BufReader<Socket>,
    length: u64,
    most: u64,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    let had = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if had.saturating_add(length) > most {
        return Err(broken(TOO_LONG));
    }
    let read = from.take(length).read_to_end(bytes)?;
    if u64::try_from(read).is_ok_and(|read| read == length) {
        Ok(())
    } else {
        Err(ended())
    }
}

/// A line without its end, taken from what may be read of a head.
fn line(from: &mut BufReader<Socket>, left: &mut usize) -> io::Result<String> {
    let mut bytes = Vec::new();
    let most = u64::try_from(*left).unwrap_or(u64::MAX);
    from.take(most).read_until(b'\n', &mut bytes)?;
    *left = left.saturating_sub(bytes.len());
    let line = bytes.strip_suffix(b"\n").ok_or_else(|| match *left {
        0 => broken("its head is too long"),
        _ => ended(),
    })?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // What is no UTF-8 is in no field that is looked at.
    Ok(String::from_utf8_lossy(line).into_owned())
}

fn ended() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed")
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
