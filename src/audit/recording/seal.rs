//! What has ended is compressed, a slice at a time: into frames of 64 KiB, each of which can be read by itself, with a table of
//! where they are (zstd's seekable format). The plain file goes once the sealed one is read back, found equal, and on the disk.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use zeekstd::{EncodeOptions, Encoder, FrameSizePolicy};

use super::hex;
use super::name::Name;
use super::sealed::Sealed;
use crate::sys::Errno;
use crate::sys::directory::Directory;

/// What a frame holds, and a slice of the work is about: at most a millisecond on a slow board.
const FRAME_BYTES: u32 = 64 * 1024;
/// So much is written before it is synced: the disk is not to have all of it to do at once.
const SYNC_BYTES: usize = 1024 * 1024;
/// zstd's own default: half the size of level 1 costs less than twice its time.
const LEVEL: i32 = 3;
/// What a sealed recording is called before it is known to be good.
const PART: &str = ".zst.part";

/// A recording that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plain {
    pub(super) name: Name,
    /// Hex, of all of it.
    pub(super) sha256: String,
}

/// Why one stays as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    #[error("cannot {action}")]
    File {
        action: &'static str,
        source: io::Error,
    },
    #[error("cannot compress it")]
    Compress(#[source] zeekstd::Error),
    #[error("cannot read it back")]
    Read(#[source] io::Error),
    #[error("it is not what was recorded")]
    Changed,
}

impl SealError {
    /// Whether a later attempt may fare better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::File { .. } | Self::Compress(_) | Self::Read(_) => true,
            Self::Changed => false,
        }
    }
}

/// The work on one of them.
pub(super) struct Seal {
    plain: Plain,
    directory: Directory,
    state: State,
    buffer: Vec<u8>,
}

enum State {
    Compressing {
        from: File,
        to: Encoder<'static, Arc<File>>,
        file: Arc<File>,
        unsynced: usize,
    },
    Reading {
        from: Box<Sealed>,
        digest: Sha256,
    },
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    More,
    Done,
}

impl Seal {
    /// Begins.
    pub(super) fn new(plain: Plain, root: &Directory) -> Result<Self, SealError> {
        let open = |action| move |errno: Errno| failed(action)(errno.into());
        let directory = root.descend(&plain.name.directory());
        let directory = directory.map_err(open("find its directory"))?;
        let name = plain.name.plain();
        let from = directory.read(&name).map_err(open("open it"))?;
        let part = format!("{name}{PART}");
        // Of a server that ended in the middle of it.
        match directory.remove(&part) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(open("make room for it")(errno)),
        }
        let file = Arc::new(directory.create(&part).map_err(open("make its file"))?);
        let options = EncodeOptions::try_new().ok_or_else(|| open("have memory")(Errno::ENOMEM))?;
        let to = options
            .compression_level(LEVEL)
            .checksum_flag(true)
            .frame_size_policy(FrameSizePolicy::Uncompressed(FRAME_BYTES))
            .into_encoder(Arc::clone(&file))
            .map_err(SealError::Compress)?;
        Ok(Self {
            plain,
            directory,
            state: State::Compressing {
                from,
                to,
                file,
                unsynced: 0,
            },
            buffer: vec![0; usize::try_from(FRAME_BYTES).unwrap_or(0)],
        })
    }

    pub(super) fn plain(&self) -> &Plain {
        &self.plain
    }

    /// Does a slice. After an error there is nothing of it but the plain file, as it was.
    pub(super) fn step(self) -> Result<(Step, Option<Self>), (Plain, SealError)> {
        let Self {
            plain,
            directory,
            state,
            mut buffer,
        } = self;
        let name = plain.name.plain();
        let stepped = match state {
            State::Compressing {
                from,
                to,
                file,
                unsynced,
            } => compress(from, to, file, unsynced, &mut buffer, &directory, &name),
            State::Reading { from, digest } => {
                read_back(from, digest, &mut buffer, &plain, &directory)
            }
        };
        match stepped {
            Ok(Some(state)) => Ok((
                Step::More,
                Some(Self {
                    plain,
                    directory,
                    state,
                    buffer,
                }),
            )),
            Ok(None) => Ok((Step::Done, None)),
            Err(error) => {
                // If it stays, the next attempt begins with taking it away.
                directory.remove(&format!("{name}{PART}")).ok();
                Err((plain, error))
            }
        }
    }
}

fn compress(
    mut from: File,
    mut to: Encoder<'static, Arc<File>>,
    file: Arc<File>,
    mut unsynced: usize,
    buffer: &mut [u8],
    directory: &Directory,
    name: &str,
) -> Result<Option<State>, SealError> {
    let length = from.read(buffer).map_err(failed("read it"))?;
    let bytes = buffer.get(..length).unwrap_or_default();
    if !bytes.is_empty() {
        to.compress(bytes).map_err(SealError::Compress)?;
        unsynced += length;
        if unsynced >= SYNC_BYTES {
            file.sync_data().map_err(failed("sync it"))?;
            unsynced = 0;
        }
        return Ok(Some(State::Compressing {
            from,
            to,
            file,
            unsynced,
        }));
    }
    to.finish().map_err(SealError::Compress)?;
    file.sync_all().map_err(failed("sync it"))?;
    let sealed = directory.read(&format!("{name}{PART}"));
    let sealed = sealed.map_err(|errno| failed("open it again")(errno.into()))?;
    let from = Sealed::open(sealed).map_err(SealError::Read)?;
    Ok(Some(State::Reading {
        from: Box::new(from),
        digest: Sha256::new(),
    }))
}

fn read_back(
    mut from: Box<Sealed>,
    mut digest: Sha256,
    buffer: &mut [u8],
    plain: &Plain,
    directory: &Directory,
) -> Result<Option<State>, SealError> {
    let length = from.read(buffer).map_err(SealError::Read)?;
    let bytes = buffer.get(..length).unwrap_or_default();
    if !bytes.is_empty() {
        digest.update(bytes);
        return Ok(Some(State::Reading { from, digest }));
    }
    if hex(&digest.finalize()) != plain.sha256 {
        return Err(SealError::Changed);
    }
    let name = plain.name.plain();
    let swap = || -> Result<(), Errno> {
        let part = format!("{name}{PART}");
        directory.rename(&part, directory, &plain.name.sealed())?;
        directory.sync()?;
        directory.remove(&name)?;
        directory.sync()
    };
    swap().map_err(|errno| failed("put it in its place")(errno.into()))?;
    Ok(None)
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> SealError {
    move |source| SealError::File { action, source }
}
