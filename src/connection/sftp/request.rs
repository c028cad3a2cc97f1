//! What a client asks for, as far as the record needs it.

use super::PATH;
use super::file::{Flags, What};
use super::packet::{Fields, HANDLE, kind};

/// As the server gave it.
pub(super) type Handle = Vec<u8>;

/// A request. What it names by a handle is looked up when it is answered: only then it is sure what the handle stands for,
/// since servers give a handle that was closed again, and clients need not wait for an answer.
#[derive(Debug)]
pub(super) enum Request {
    Open {
        path: Vec<u8>,
        what: What,
        flags: Flags,
    },
    Close(Handle),
    Read(Handle, u64),
    Write(Write),
    Change(Change),
    /// Changes nothing; worth a record only if it is refused.
    Look {
        op: &'static str,
        of: Named,
    },
}

/// What a request is about.
#[derive(Debug)]
pub(super) enum Named {
    Path(Vec<u8>),
    /// Something that is open.
    Handle(Handle),
}

/// Changes something.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) op: &'static str,
    pub(super) of: Named,
    pub(super) to: Option<Named>,
    pub(super) attributes: Option<Attributes>,
}

impl Change {
    /// Whether it is an extension that is not known, which may change something.
    pub(super) fn is_extension(&self) -> bool {
        self.op == EXTENDED
    }
}

const EXTENDED: &str = "extended";

/// Which attributes are to be set: the flags of ATTRS, draft §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attributes(u32);

const SIZE: u32 = 1;

impl Attributes {
    fn op(self) -> &'static str {
        match self.0 & SIZE {
            0 => "setstat",
            _ => "truncate",
        }
    }

    /// For the record.
    pub(super) fn words(self) -> Vec<String> {
        let words = [
            (SIZE, "size"),
            (2, "owner"),
            (4, "permissions"),
            (8, "times"),
        ];
        let set = words.into_iter().filter(|(bit, _)| self.0 & bit != 0);
        set.map(|(_, word)| word.to_owned()).collect()
    }
}

/// A WRITE.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) handle: Handle,
    pub(super) offset: u64,
    /// What has passed of its data.
    pub(super) bytes: u64,
    /// Whether that is counted and digested already, since it was sure which file it is for.
    pub(super) counted: bool,
}

impl Request {
    /// Reads a packet with an id.
    ///
    /// None: it is shorter than its fields. The request is none where it is of a type that nobody knows; sftp-server does not
    /// answer those.
    pub(super) fn read(mut fields: Fields<'_>) -> Option<(u32, Option<Self>)> {
        let kind = fields.u8()?;
        let id = fields.u32()?;
        let path = |fields: &mut Fields<'_>| fields.string().map(kept);
        let look = |op, path| Self::Look {
            op,
            of: Named::Path(path),
        };
        let request = match kind {
            kind::OPEN => Self::Open {
                path: path(&mut fields)?,
                what: What::File,
                flags: Flags(fields.u32()?),
            },
            kind::OPENDIR => Self::Open {
                path: path(&mut fields)?,
                what: What::Directory,
                flags: Flags::default(),
            },
            kind::CLOSE => Self::Close(handle(&mut fields)?),
            kind::READ => Self::Read(handle(&mut fields)?, fields.u64()?),
            kind::WRITE => {
                let (handle, offset) = (handle(&mut fields)?, fields.u64()?);
                let _length = fields.u32()?;
                Self::Write(Write {
                    handle,
                    offset,
                    bytes: 0,
                    counted: false,
                })
            }
            kind::REMOVE => change("remove", path(&mut fields)?, None),
            kind::MKDIR => change("mkdir", path(&mut fields)?, None),
            kind::RMDIR => change("rmdir", path(&mut fields)?, None),
            kind::SETSTAT => set(Named::Path(path(&mut fields)?), &mut fields)?,
            kind::FSETSTAT => set(Named::Handle(handle(&mut fields)?), &mut fields)?,
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
            kind::FSTAT => look_open("fstat", &mut fields)?,
            kind::READDIR => look_open("readdir", &mut fields)?,
            kind::REALPATH => look("realpath", path(&mut fields)?),
            kind::READLINK => look("readlink", path(&mut fields)?),
            kind::EXTENDED => Self::extended(&mut fields)?,
            _ => return Some((id, None)),
        };
        Some((id, Some(request)))
    }

    fn extended(fields: &mut Fields<'_>) -> Option<Self> {
        // sftp-server lets a text end with a NUL, and does not count it.
        let name = fields.string()?;
        let name = name.strip_suffix(b"\0").unwrap_or(name);
        Some(match name {
            b"posix-rename@openssh.com" => {
                let from = kept(fields.string()?);
                change("rename", from, Some(kept(fields.string()?)))
            }
            b"hardlink@openssh.com" => {
                let from = kept(fields.string()?);
                change("link", kept(fields.string()?), Some(from))
            }
            b"lsetstat@openssh.com" => set(Named::Path(kept(fields.string()?)), fields)?,
            b"copy-data" => {
                let from = handle(fields)?;
                let _offset_and_length = (fields.u64()?, fields.u64()?);
                Self::Change(Change {
                    op: "copy",
                    of: Named::Handle(from),
                    to: Some(Named::Handle(handle(fields)?)),
                    attributes: None,
                })
            }
            b"fsync@openssh.com" => look_open("fsync", fields)?,
            b"fstatvfs@openssh.com" => look_open("fstatvfs", fields)?,
            name if LOOKS.contains(&name) => Self::Look {
                op: "query",
                of: Named::Path(kept(name)),
            },
            name => change(EXTENDED, kept(name), None),
        })
    }

    /// How much memory its texts take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Open { path, .. } => path.len(),
            Self::Close(handle) | Self::Read(handle, _) => handle.len(),
            Self::Write(write) => write.handle.len(),
            Self::Change(Change { of, to, .. }) => of.len() + to.as_ref().map_or(0, Named::len),
            Self::Look { of, .. } => of.len(),
        }
    }
}

impl Named {
    fn len(&self) -> usize {
        match self {
            Self::Path(text) | Self::Handle(text) => text.len(),
        }
    }
}

/// Extensions that change nothing.
const LOOKS: [&[u8]; 5] = [
    b"statvfs@openssh.com",
    b"limits@openssh.com",
    b"expand-path@openssh.com",
    b"home-directory",
    b"users-groups-by-id@openssh.com",
];

/// By name.
fn change(op: &'static str, path: Vec<u8>, to: Option<Vec<u8>>) -> Request {
    Request::Change(Change {
        op,
        of: Named::Path(path),
        to: to.map(Named::Path),
        attributes: None,
    })
}

fn set(of: Named, fields: &mut Fields<'_>) -> Option<Request> {
    let attributes = Attributes(fields.u32()?);
    Some(Request::Change(Change {
        op: attributes.op(),
        of,
        to: None,
        attributes: Some(attributes),
    }))
}

fn look_open(op: &'static str, fields: &mut Fields<'_>) -> Option<Request> {
    let of = Named::Handle(handle(fields)?);
    Some(Request::Look { op, of })
}

/// A handle; in place of one that is too long one that no server gave.
fn handle(fields: &mut Fields<'_>) -> Option<Handle> {
    let length = { *fields }.u32()?;
    let handle = fields.string()?;
    Some(if length > HANDLE {
        vec![0; TOO_LONG]
    } else {
        handle.to_vec()
    })
}

/// The length of a handle in place of a longer one.
pub(super) const TOO_LONG: usize = 257;

/// A path, as much of it as is recorded, and a byte more where it is cut.
fn kept(path: &[u8]) -> Vec<u8> {
    first(path.strip_suffix(b"\0").unwrap_or(path), PATH + 1)
}

fn first(text: &[u8], most: usize) -> Vec<u8> {
    text.get(..most).unwrap_or(text).to_vec()
}
