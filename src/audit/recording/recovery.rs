//! What a start finds of recordings that were being made, or sealed, when audit last ended.

use std::io::{self, Write};

use super::WAITING;
use super::check::{Found, read};
use super::file::Ended;
use super::heads;
use super::name::Name;
use super::seal::Plain;
use crate::sys::Errno;
use crate::sys::directory::Directory;

/// A recording that is not sealed. Its file ends with a whole line now.
pub(super) struct Leftover {
    pub(super) plain: Plain,
    pub(super) ended: Ended,
    /// What was cut off.
    pub(super) torn_bytes: u64,
}

/// What is found of one.
pub(super) enum Recovered {
    /// It is to be ended, and sealed.
    Leftover(Leftover),
    /// Not even its first line had been written.
    Lost(Name),
}

/// Looks at all that are marked. What cannot be brought in order stays where it is, and never stops the others.
pub(super) fn run(root: &Directory) -> Vec<Recovered> {
    let marked = Name::marked(root, WAITING);
    let mend = |name: Name| match mend(root, &name) {
        Ok(Mended::Whole(leftover)) => Some(Recovered::Leftover(leftover)),
        Ok(Mended::Empty) => {
            name.unmark(root);
            Some(Recovered::Lost(name))
        }
        Ok(Mended::Done) => {
            name.unmark(root);
            None
        }
        Err(error) => {
            tracing::error!(file = name.id(), %error, "a recording cannot be brought in order");
            None
        }
    };
    marked.into_iter().filter_map(mend).collect()
}

/// What became of a file.
enum Mended {
    Whole(Leftover),
    Empty,
    /// It is sealed, or there is none.
    Done,
}

fn mend(root: &Directory, name: &Name) -> io::Result<Mended> {
    let directory = match root.descend(&name.directory()) {
        Ok(directory) => directory,
        Err(Errno::ENOENT) => return Ok(Mended::Done),
        Err(errno) => return Err(errno.into()),
    };
    let mut file = match directory.append(&name.plain()) {
        Ok(file) => file,
        Err(Errno::ENOENT) => return Ok(Mended::Done),
        Err(errno) => return Err(errno.into()),
    };
    if directory.has(&name.sealed())? {
        // It has that name only once it was read back and is on the disk.
        directory.remove(&name.plain())?;
        directory.sync()?;
        return Ok(Mended::Done);
    }
    let Found {
        mut sum,
        torn_bytes,
        broken_at,
    } = read(&file, &name.id())?;
    if sum.bytes == 0 {
        directory.remove(&name.plain())?;
        return Ok(Mended::Empty);
    }
    if torn_bytes > 0 {
        file.set_len(sum.bytes)?;
    }
    if let Some(at) = broken_at {
        tracing::error!(file = name.id(), at, "a recording is damaged");
    }
    if !sum.heads.is_closed() {
        let line = heads::line(&sum.heads.clone().next());
        match file.write_all(&line) {
            Ok(()) => {
                sum.heads.next();
                sum.add_head(&line);
            }
            // Its end is proved by the record alone.
            Err(_) => file.set_len(sum.bytes)?,
        }
    }
    file.sync_all()?;
    directory.sync()?;
    let ended = sum.end();
    Ok(Mended::Whole(Leftover {
        plain: Plain {
            name: name.clone(),
            sha256: ended.sha256.clone(),
        },
        ended,
        torn_bytes,
    }))
}
