//! Control groups of both versions: cgroups(7).

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::mount::{Attribute, Mount};

/// A directory of a control group file system.
#[derive(Debug)]
pub struct Group(OwnedFd);

impl Group {
    /// The version 2 hierarchy as this cgroup namespace sees it, mounted for this process alone.
    ///
    /// # Errors
    /// EPERM, or EACCES under AppArmor; ENODEV.
    pub fn hierarchy_v2() -> nix::Result<Self> {
        let attributes = [Attribute::NoSuid, Attribute::NoDev, Attribute::NoExec];
        Mount::filesystem("cgroup2", &[], &attributes).map(|mount| Self(mount.into_fd()))
    }

    /// The version 1 hierarchy of controllers, all that are mounted together; likewise.
    ///
    /// # Errors
    /// As above; EBUSY if a controller is in version 2's hands, or another is mounted with them.
    pub fn hierarchy_v1(controllers: &[String]) -> nix::Result<Self> {
        let attributes = [Attribute::NoSuid, Attribute::NoDev, Attribute::NoExec];
        let options: Vec<(&str, Option<&str>)> = controllers
            .iter()
            .map(|name| (name.as_str(), None))
            .collect();
        Mount::filesystem("cgroup", &options, &attributes).map(|mount| Self(mount.into_fd()))
    }

    /// The group below this one at a relative path without `..`.
    ///
    /// # Errors
    /// ENOENT.
    pub fn descend(&self, path: &str) -> nix::Result<Self> {
        let path = path.trim_matches('/');
        let path = if path.is_empty() { "." } else { path };
        openat(
            &self.0,
            path,
            OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY,
            Mode::empty(),
        )
        .map(Self)
    }

    /// Makes the group `name` below this one, or opens it if it is there.
    ///
    /// # Errors
    /// EPERM, EROFS, EAGAIN at cgroup.max.descendants.
    pub fn make(&self, name: &str) -> nix::Result<Self> {
        match mkdirat(&self.0, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => self.descend(name),
            Err(errno) => Err(errno),
        }
    }

    /// Removes the group `name` below this one.
    ///
    /// # Errors
    /// EBUSY while a process, even a zombie, is in it; ENOENT.
    pub fn remove(&self, name: &str) -> nix::Result<()> {
        unlinkat(&self.0, name, UnlinkatFlags::RemoveDir)
    }

    /// The names of the groups below this one.
    ///
    /// # Errors
    /// EIO; not seen.
    pub fn children(&self) -> nix::Result<Vec<String>> {
        let mut directory = nix::dir::Dir::openat(
            &self.0,
            ".",
            OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry?;
            if entry.file_type() == Some(nix::dir::Type::Directory)
                && let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Writes one of its control files.
    ///
    /// # Errors
    /// ENOENT where the controller is not enabled; EINVAL.
    pub fn write(&self, file: &str, value: &str) -> nix::Result<()> {
        let fd = openat(
            &self.0,
            file,
            OFlag::O_WRONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        let written = fs::File::from(fd).write(value.as_bytes());
        written
            .map(drop)
            .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }

    /// Reads one of its control files.
    ///
    /// # Errors
    /// ENOENT where the controller is not enabled.
    pub fn read(&self, file: &str) -> nix::Result<String> {
        let fd = openat(
            &self.0,
            file,
            OFlag::O_RDONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        let text = super::descriptor::contents(fd.as_fd(), 1 << 20)?;
        String::from_utf8(text).map_err(|_| Errno::EILSEQ)
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Group {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

/// The path of this process's group in a hierarchy: `""` for version 2, else the name of one of its controllers.
///
/// # Errors
/// ENOENT if /proc/self/cgroup does not name it.
pub fn own_path(controller: &str) -> nix::Result<String> {
    hierarchy_of(&own_groups()?, controller).map(|(_, path)| path)
}

/// The controllers of the hierarchy that has this one, itself included: often `cpu` and `cpuacct` share one.
///
/// # Errors
/// As above.
pub fn mounted_with(controller: &str) -> nix::Result<Vec<String>> {
    hierarchy_of(&own_groups()?, controller).map(|(controllers, _)| controllers)
}

fn own_groups() -> nix::Result<String> {
    fs::read_to_string("/proc/self/cgroup")
        .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}

fn hierarchy_of(groups: &str, controller: &str) -> nix::Result<(Vec<String>, String)> {
    let found = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers: Vec<String> = fields.next()?.split(',').map(str::to_owned).collect();
        let path = fields.next()?;
        controllers
            .iter()
            .any(|name| name == controller)
            .then(|| (controllers, path.to_owned()))
    });
    found.ok_or(Errno::ENOENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_that_share_a_hierarchy_are_found_together() {
        let groups = "4:memory:/a:b\n3:cpu,cpuacct:/c\n1:name=systemd:/\n0::/d\n";
        let of = |controller| hierarchy_of(groups, controller);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(of("cpu"), Ok((names(&["cpu", "cpuacct"]), "/c".to_owned())));
        assert_eq!(of("memory"), Ok((names(&["memory"]), "/a:b".to_owned())));
        assert_eq!(of(""), Ok((names(&[""]), "/d".to_owned())));
        assert_eq!(of("pids"), Err(Errno::ENOENT));
    }
}
