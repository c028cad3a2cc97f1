//! The new mount API: mounts are descriptors until they are put somewhere. Linux 5.2; attributes and id-maps 5.12.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use super::errno;

/// A mount that is not attached anywhere yet (or a copy of one that is).
#[derive(Debug)]
pub struct Mount(OwnedFd);

/// What may not be done through a mount; mount_setattr(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// MOUNT_ATTR_RDONLY
    ReadOnly,
    /// MOUNT_ATTR_NOSUID
    NoSuid,
    /// MOUNT_ATTR_NODEV
    NoDev,
    /// MOUNT_ATTR_NOEXEC
    NoExec,
}

impl Attribute {
    fn flag(self) -> MountAttrFlags {
        match self {
            Self::ReadOnly => MountAttrFlags::MOUNT_ATTR_RDONLY,
            Self::NoSuid => MountAttrFlags::MOUNT_ATTR_NOSUID,
            Self::NoDev => MountAttrFlags::MOUNT_ATTR_NODEV,
            Self::NoExec => MountAttrFlags::MOUNT_ATTR_NOEXEC,
        }
    }

    fn flags(attributes: &[Self]) -> MountAttrFlags {
        attributes
            .iter()
            .fold(MountAttrFlags::empty(), |flags, attribute| {
                flags | attribute.flag()
            })
    }
}

impl Mount {
    /// A new instance of a file system. Options without a value are flags. fsopen(2).
    ///
    /// # Errors
    /// ENODEV for an unknown type; EINVAL for a bad option; EPERM, or EACCES under AppArmor.
    pub fn filesystem(
        kind: &str,
        options: &[(&str, Option<&str>)],
        attributes: &[Attribute],
    ) -> nix::Result<Self> {
        let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(errno)?;
        for (key, value) in options {
            match value {
                Some(value) => rustix::mount::fsconfig_set_string(&context, *key, *value),
                None => rustix::mount::fsconfig_set_flag(&context, *key),
            }
            .map_err(errno)?;
        }
        rustix::mount::fsconfig_create(&context).map_err(errno)?;
        let flags = FsMountFlags::FSMOUNT_CLOEXEC;
        rustix::mount::fsmount(&context, flags, Attribute::flags(attributes))
            .map(Self)
            .map_err(errno)
    }

    /// A copy of the mount at `path` alone, without those below it. open_tree(2).
    ///
    /// # Errors
    /// ENOENT; EINVAL if it lies in another mount namespace.
    pub fn copy_of(path: &Path) -> nix::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        rustix::mount::open_tree(CWD, path, flags)
            .map(Self)
            .map_err(errno)
    }

    /// Narrows what may be done through it. mount_setattr(2), Linux 5.12.
    ///
    /// # Errors
    /// EPERM for a locked attribute.
    pub fn restrict(&self, attributes: &[Attribute]) -> nix::Result<()> {
        set_attributes(
            self.0.as_fd(),
            u64::from(Attribute::flags(attributes).bits()),
            None,
        )
    }

    /// Shows the owners of files as `user_namespace` maps them. Only before it is attached. Linux 5.12.
    ///
    /// # Errors
    /// EINVAL where the file system cannot (overlay, network shares); EPERM if it is id-mapped already.
    pub fn map_ids(&self, user_namespace: BorrowedFd<'_>) -> nix::Result<()> {
        set_attributes(
            self.0.as_fd(),
            u64::from(MountAttrFlags::MOUNT_ATTR_IDMAP.bits()),
            Some(user_namespace),
        )
    }

    /// Puts it at `path`, without following a symbolic link there. move_mount(2).
    ///
    /// # Errors
    /// ENOENT; ENOTDIR when a directory should cover a file, or the other way round; EACCES under AppArmor.
    pub fn attach(&self, path: &Path) -> nix::Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&self.0, "", CWD, path, flags).map_err(errno)
    }

    /// A mount that another process made and handed on with [`Mount::into_fd`].
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// The descriptor, to be handed on.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for Mount {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Narrows what may be done through the mount at `path`.
///
/// # Errors
/// EINVAL if `path` is no mount point.
pub fn restrict_at(path: &Path, attributes: &[Attribute]) -> nix::Result<()> {
    let at = open_path(path)?;
    set_attributes(
        at.as_fd(),
        u64::from(Attribute::flags(attributes).bits()),
        None,
    )
}

/// A descriptor that names `path` and can do nothing else; a symbolic link at its end is not followed.
///
/// # Errors
/// ENOENT, EACCES.
pub fn open_path(path: &Path) -> nix::Result<OwnedFd> {
    rustix::fs::open(
        path,
        OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )
    .map_err(errno)
}

/// `struct mount_attr`, linux/mount.h.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn set_attributes(
    mount: BorrowedFd<'_>,
    set: u64,
    user_namespace: Option<BorrowedFd<'_>>,
) -> nix::Result<()> {
    let user_namespace = user_namespace
        .map_or(Ok(0), |fd| u64::try_from(fd.as_raw_fd()))
        .map_err(|_| Errno::EBADF)?;
    let attributes = MountAttributes {
        set,
        clear: 0,
        propagation: 0,
        user_namespace,
    };
    let empty: &CStr = c"";
    // SAFETY: the path and `attributes` outlive the call, and the size given is that of the structure.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            empty.as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Stops mounts and unmounts from travelling between this mount namespace and its origin.
///
/// # Errors
/// EINVAL where `/` is no mount point (a plain chroot).
pub fn make_private() -> nix::Result<()> {
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )
    .map_err(errno)
}

/// Makes the mount at `new_root` the root and lets go of the old one, with all below it: not hidden, gone.
/// pivot_root(2), NOTES.
///
/// # Errors
/// EINVAL if `new_root` is no mount point.
pub fn change_root(new_root: &Path) -> nix::Result<()> {
    rustix::process::chdir(new_root).map_err(errno)?;
    rustix::process::pivot_root(".", ".").map_err(errno)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(errno)?;
    rustix::process::chdir("/").map_err(errno)
}

/// Makes a directory, mode 0755.
///
/// # Errors
/// EEXIST if there is something that is no directory.
pub fn make_directory(path: &Path) -> nix::Result<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Err(rustix::io::Errno::EXIST) if is_directory(path) => Ok(()),
        result => result.map_err(errno),
    }
}

fn is_directory(path: &Path) -> bool {
    let found = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}
