//! Files below a directory descriptor: names are relative to it, symbolic links are never followed, what is made is
//! readable by its owner alone. openat(2).

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, open, openat, renameat2};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, fsync, geteuid, unlinkat};

const PRIVATE_DIRECTORY: Mode = Mode::S_IRWXU;
const PRIVATE_FILE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
const COMMON: OFlag = OFlag::O_CLOEXEC.union(OFlag::O_NOFOLLOW);

/// An open directory. The names given to its methods are single components, unless a method says otherwise.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Directory {
    /// Opens `path`; links on the way to it are followed, as its giver meant them.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR, EACCES.
    pub fn open(path: &Path) -> nix::Result<Self> {
        open(
            path,
            OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .map(Self)
    }

    /// Takes an open descriptor of a directory.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Opens the directory at `path` below this one, component by component.
    ///
    /// # Errors
    /// ENOENT; ENOTDIR or ELOOP where a component is something else.
    pub fn descend(&self, path: &str) -> nix::Result<Self> {
        let mut at = Self::from_fd(self.0.try_clone().map_err(|_| Errno::EMFILE)?);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = at.step(name)?;
        }
        Ok(at)
    }

    /// As [`Directory::descend`], making what is missing. A new entry is on the disk when this returns.
    ///
    /// # Errors
    /// As there; ENOSPC.
    pub fn descend_making(&self, path: &str) -> nix::Result<Self> {
        let mut at = Self::from_fd(self.0.try_clone().map_err(|_| Errno::EMFILE)?);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match mkdirat(&at.0, name, PRIVATE_DIRECTORY) {
                Ok(()) => at.sync()?,
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
            at = at.step(name)?;
        }
        Ok(at)
    }

    /// As [`Directory::descend_making`], but a new entry is on the disk only once its directory is synced.
    ///
    /// # Errors
    /// As there.
    pub fn descend_making_later(&self, path: &str) -> nix::Result<Self> {
        let mut at = Self::from_fd(self.0.try_clone().map_err(|_| Errno::EMFILE)?);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match mkdirat(&at.0, name, PRIVATE_DIRECTORY) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
            at = at.step(name)?;
        }
        Ok(at)
    }

    fn step(&self, name: &str) -> nix::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | COMMON;
        openat(&self.0, name, flags, Mode::empty()).map(Self)
    }

    /// Makes a file that can only grow.
    ///
    /// # Errors
    /// EEXIST, also for a link; ENOSPC.
    pub fn create(&self, name: &str) -> nix::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL | COMMON;
        openat(&self.0, name, flags, PRIVATE_FILE).map(File::from)
    }

    /// Opens a file to write to it, and makes it where it is missing.
    ///
    /// # Errors
    /// ELOOP for a link; ENXIO for a FIFO; ENOSPC; EROFS.
    pub fn ensure(&self, name: &str) -> nix::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NONBLOCK | COMMON;
        openat(&self.0, name, flags, PRIVATE_FILE).map(File::from)
    }

    /// Opens a file to write over what is in it.
    ///
    /// # Errors
    /// ENOENT; ELOOP for a link; ENXIO for a FIFO.
    pub fn overwrite(&self, name: &str) -> nix::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | COMMON;
        openat(&self.0, name, flags, Mode::empty()).map(File::from)
    }

    /// Opens a file to read it and to append to it.
    ///
    /// # Errors
    /// ENOENT; ELOOP for a link.
    pub fn append(&self, name: &str) -> nix::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NONBLOCK | COMMON;
        openat(&self.0, name, flags, Mode::empty()).map(File::from)
    }

    /// Opens a file to read it. Never waits, whatever the name stands for.
    ///
    /// # Errors
    /// ENOENT; ELOOP for a link.
    pub fn read(&self, name: &str) -> nix::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | COMMON;
        openat(&self.0, name, flags, Mode::empty()).map(File::from)
    }

    /// Opens a regular file to read it.
    ///
    /// # Errors
    /// As [`Self::read`]; EINVAL where it is something else.
    pub fn read_regular(&self, name: &str) -> nix::Result<File> {
        let file = self.read(name)?;
        match file.metadata() {
            Ok(about) if about.is_file() => Ok(file),
            Ok(_) => Err(Errno::EINVAL),
            Err(error) => Err(Errno::try_from(error).unwrap_or(Errno::EIO)),
        }
    }

    /// Removes a file.
    ///
    /// # Errors
    /// ENOENT.
    pub fn remove(&self, name: &str) -> nix::Result<()> {
        unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// ENOTEMPTY; ENOENT.
    pub fn remove_directory(&self, name: &str) -> nix::Result<()> {
        unlinkat(&self.0, name, UnlinkatFlags::RemoveDir)
    }

    /// Moves a file; never onto another. renameat2(2), RENAME_NOREPLACE.
    ///
    /// # Errors
    /// ENOENT; EEXIST; EINVAL where the file system cannot promise that.
    pub fn rename(&self, name: &str, to: &Self, new_name: &str) -> nix::Result<()> {
        renameat2(
            &self.0,
            name,
            &to.0,
            new_name,
            RenameFlags::RENAME_NOREPLACE,
        )
    }

    /// The names of at most `limit` entries, in no order; `.` and `..` and what is not UTF-8 left out.
    ///
    /// # Errors
    /// What getdents64(2) gives.
    pub fn names(&self, limit: usize) -> nix::Result<Vec<String>> {
        self.entries(limit, |name| name.to_str().ok().map(str::to_owned))
    }

    /// The same with those that are not UTF-8: what is wrong in them is U+FFFD, and nothing can be opened by such a name.
    ///
    /// # Errors
    /// As [`Self::names`].
    pub fn all_names(&self, limit: usize) -> nix::Result<Vec<String>> {
        self.entries(limit, |name| Some(name.to_string_lossy().into_owned()))
    }

    fn entries(
        &self,
        limit: usize,
        named: impl Fn(&CStr) -> Option<String>,
    ) -> nix::Result<Vec<String>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut directory = Dir::openat(&self.0, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry?;
            if [c".", c".."].contains(&entry.file_name()) {
                continue;
            }
            names.extend(named(entry.file_name()));
            if names.len() >= limit {
                break;
            }
        }
        Ok(names)
    }

    /// Whether there is an entry of this name, whatever it is.
    ///
    /// # Errors
    /// EACCES.
    pub fn has(&self, name: &str) -> nix::Result<bool> {
        match fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// How much of the file system that it lies on is free for this process, and how large that is. fstatvfs(3).
    ///
    /// # Errors
    /// EIO; ENOSYS.
    pub fn space(&self) -> nix::Result<Space> {
        let found = rustix::fs::fstatvfs(&self.0).map_err(super::errno)?;
        Ok(Space {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            all_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    /// Brings the directory's entries to the disk. fsync(2).
    ///
    /// # Errors
    /// EIO.
    pub fn sync(&self) -> nix::Result<()> {
        match fsync(&self.0) {
            // Some file systems have nothing to sync for a directory.
            Err(Errno::EINVAL) => Ok(()),
            other => other,
        }
    }
}

/// The room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What is left for those who are not root.
    pub free_bytes: u64,
    /// All of it.
    pub all_bytes: u64,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The uid by which this process is judged. geteuid(2).
#[must_use]
pub fn effective_uid() -> u32 {
    geteuid().as_raw()
}
