//! The child's side: from a copy of the warden, root and powerful, to session-init, which can do nothing. In the middle it
//! waits for somebody to log in: a spare. Until then it reads nothing, and of its life the warden alone can know.
//!
//! The order of the steps is the security argument; each says why it stands where it does.

use std::convert::Infallible;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::fcntl::{OFlag, openat};
use nix::sys::resource::Resource;
use nix::sys::stat::Mode;

use super::cgroups::SessionGroup;
use super::error::SandboxError;
use super::host::write_new;
use super::order::Order;
use super::plan::{self, Access, Owner, Step};
use crate::model::Network;
use crate::policy::sandbox::{Limits, Sandbox};
use crate::sys::mount::{Attribute, Mount};
use crate::sys::namespace::{Namespaces, enter_new, enter_user_namespace};
use crate::sys::packet::PacketSocket;
use crate::sys::seccomp::Filters;
use crate::sys::{Errno, capability, descriptor, mount, net, process, wait};

/// What the child reads in its copy of the warden's memory.
pub(super) struct Child<'a> {
    pub(super) policy: &'a Sandbox,
    pub(super) folders: &'a [(PathBuf, PathBuf)],
    pub(super) filters: &'a Filters,
    pub(super) uid: u32,
    pub(super) group: &'a SessionGroup,
}

/// What it holds.
pub(super) struct Held {
    pub(super) report: PacketSocket,
    pub(super) control: PacketSocket,
    pub(super) run: Mount,
    pub(super) user_namespace: OwnedFd,
    pub(super) init: OwnedFd,
}

impl Held {
    /// Closes everything else that came with the fork: as long as it waits, it has neither the ends of others' links nor
    /// anybody's configuration.
    fn alone(self) -> Result<Self, Errno> {
        let (report, control) = (self.report.into_fd(), self.control.into_fd());
        let fds = [
            report,
            control,
            self.run.into_fd(),
            self.user_namespace,
            self.init,
        ];
        let [report, control, run, user_namespace, init] = descriptor::keep(fds)?;
        Ok(Self {
            report: PacketSocket::from_fd(report)?,
            control: PacketSocket::from_fd(control)?,
            run: Mount::from_fd(run),
            user_namespace,
            init,
        })
    }
}

/// Ends in session-init, or says which step failed and ends.
pub(super) fn enter(child: &Child<'_>, held: Held) -> ! {
    if let Err(error) = join(child.group) {
        end(&held.report, &error)
    }
    let Ok(held) = held.alone() else {
        process::exit_now(71)
    };
    match prepare(child, &held) {
        Err(error) => end(&held.report, &error),
        Ok(limits) => match Order::receive(&held.report) {
            Ok(Some(order)) => match complete(child, &held, &order, &limits) {
                Ok(never) => match never {},
                Err(error) => end(&held.report, &error),
            },
            // The server ends.
            Ok(None) => process::exit_now(0),
            Err(source) => end(
                &held.report,
                &SandboxError::Step {
                    action: "understand its order",
                    source,
                },
            ),
        },
    }
}

fn end(report: &PacketSocket, error: &SandboxError) -> ! {
    // If the warden is gone, nobody wants to know.
    report.send(error.line().as_bytes(), &[]).ok();
    process::exit_now(70)
}

fn join(group: &SessionGroup) -> Result<(), SandboxError> {
    let step = SandboxError::step;
    process::die_with_parent().map_err(step("ask to end with the warden"))?;
    process::set_name(c"session-spare").map_err(step("take a name"))?;
    group
        .enter()
        .map_err(step("enter the session's control group"))?;
    // Only now that this process is in its group: the namespace's root is the group of whoever makes it.
    enter_new(Namespaces::CLONE_NEWCGROUP).map_err(step("make the cgroup namespace"))
}

/// What does not depend on who logs in.
fn prepare(child: &Child<'_>, held: &Held) -> Result<NamespaceLimits, SandboxError> {
    let step = SandboxError::step;
    // The mounts: with the warden's own powers, so that the session, whose user namespace comes later, has none over
    // them.
    let staging = &child.policy.root.staging;
    mount::make_private().map_err(step("make the mounts private"))?;
    let mut namespace_limits = None;
    for item in plan::spare(child.policy) {
        match &item {
            Step::Run(at) => {
                attach(&held.run, &inside(staging, at))?;
            }
            Step::Scratch {
                at,
                size,
                inodes,
                mode,
                owner,
            } => {
                let target = inside(staging, at);
                scratch(&target, size, *inodes, mode, *owner, child.uid)?;
            }
            Step::Processes(at) => {
                here(&item, staging)?;
                // Before /proc/sys becomes read-only: a later open for writing would be refused.
                namespace_limits = Some(NamespaceLimits::open(
                    &inside(staging, at).join("sys/user"),
                )?);
            }
            Step::Terminals { at, limit } => {
                let target = inside(staging, at);
                terminals(&target, *limit, child.uid)?;
                let copy = Mount::copy_of(&target).map_err(|source| failed(&target, source))?;
                held.report
                    .send(b"terminals", &[copy.as_fd()])
                    .map_err(step("hand over the terminals"))?;
            }
            other => here(other, staging)?,
        }
    }
    namespace_limits.ok_or(SandboxError::Policy("no /proc".to_owned()))
}

/// What does, and then the way from the warden's powers to none.
fn complete(
    child: &Child<'_>,
    held: &Held,
    order: &Order,
    namespace_limits: &NamespaceLimits,
) -> Result<Infallible, SandboxError> {
    let step = SandboxError::step;
    let staging = &child.policy.root.staging;
    if order.network == Network::None {
        enter_new(Namespaces::CLONE_NEWNET).map_err(step("make an empty network"))?;
    }
    fs::write("/proc/self/oom_score_adj", "1000")
        .map_err(|e| io_step("offer itself to the OOM killer", &e))?;
    for item in plan::granted(child.policy, order.access, child.folders) {
        match &item {
            Step::Config { at, access } => {
                let target = inside(staging, at);
                let config = order
                    .config
                    .as_ref()
                    .ok_or(SandboxError::Policy("no folder for /config".to_owned()))?;
                attach(config, &target)?;
                // Said twice: the parent's view of the grant, and the plan's.
                if *access == Access::ReadOnly {
                    mount::restrict_at(&target, &[Attribute::ReadOnly])
                        .map_err(|source| failed(&target, source))?;
                }
            }
            other => here(other, staging)?,
        }
    }
    mount::change_root(staging).map_err(step("change the root"))?;

    nix::unistd::sethostname(&child.policy.hostname.name).map_err(step("set the host name"))?;
    if order.network == Network::None && capability::held(capability::Capability::CAP_NET_ADMIN) {
        net::loopback_up().map_err(step("bring up the loopback interface"))?;
    }
    match process::new_session_keyring() {
        Ok(()) | Err(Errno::ENOSYS) => {}
        Err(source) => {
            return Err(SandboxError::Step {
                action: "leave root's keyring",
                source,
            });
        }
    }

    // The descriptors, while /dev/null of the outside could still be reached by nobody else.
    let null = descriptor::null().map_err(step("open /dev/null"))?;
    descriptor::standard([null.as_fd(), null.as_fd(), null.as_fd()])
        .map_err(step("close the standard streams"))?;

    // The identity. Groups first: the user namespace denies setgroups(2). Capabilities afterwards: entering a user
    // namespace fills the bounding set again and resets securebits.
    nix::unistd::setgroups(&[]).map_err(step("leave all groups"))?;
    enter_user_namespace(held.user_namespace.as_fd()).map_err(step("enter the user namespace"))?;
    process::become_identity(0, 0).map_err(step("become the session's uid"))?;
    namespace_limits.forbid()?;
    process::be_nice(child.policy.limits.nice).map_err(step("let the server go first"))?;
    limits(&child.policy.limits)?;
    capability::lock().map_err(step("lock the capabilities"))?;
    capability::clear().map_err(step("renounce all capabilities"))?;
    process::no_new_privileges().map_err(step("forbid new privileges"))?;

    // A change of credentials has cleared it; and the warden may be gone meanwhile.
    process::die_with_parent().map_err(step("ask to end with the warden"))?;
    let gone = wait::readable(&[held.report.as_fd()], Some(Instant::now()))
        .map_err(step("look for the warden"))?;
    if gone.contains(&true) {
        return Err(SandboxError::Step {
            action: "go on without the warden",
            source: Errno::EPIPE,
        });
    }
    // 3 is the control socket; all others end at the exec.
    descriptor::arrange(&[held.control.as_fd()]).map_err(step("arrange descriptors"))?;
    child
        .filters
        .apply()
        .map_err(step("put the filter in force"))?;
    // Sheds the copy of the warden's memory.
    process::execute::<_, &std::ffi::CStr>(held.init.as_fd(), &[c"session-init"], &[])
        .map_err(step("execute session-init"))
}

/// Does a step that needs nothing but the staging folder.
pub(super) fn here(step: &Step, staging: &Path) -> Result<(), SandboxError> {
    let made = |target: PathBuf| move |source| SandboxError::Make { target, source };
    match step {
        Step::Directory(at) => {
            let target = inside(staging, at);
            mount::make_directory(&target).map_err(made(target))
        }
        Step::File { at, text } => {
            let target = inside(staging, at);
            write_new(&target, text.as_bytes()).map_err(made(target))
        }
        Step::Link { at, to } => {
            let target = inside(staging, at);
            let linked = nix::unistd::symlinkat(to, nix::fcntl::AT_FDCWD, &target);
            linked.map_err(made(target))
        }
        Step::Image { from, at } => image(from, &inside(staging, at)),
        Step::Shown { from, at } => {
            let target = inside(staging, at);
            if let Some(folder) = target.parent() {
                mount::make_directory(folder).map_err(made(folder.to_owned()))?;
            }
            write_new(&target, b"").map_err(made(target.clone()))?;
            let attributes = [Attribute::ReadOnly, Attribute::NoSuid, Attribute::NoDev];
            bind(&inside(staging, from), &target, &attributes)
        }
        Step::Copies {
            at,
            from,
            limit_bytes,
        } => copies(&inside(staging, at), from, *limit_bytes),
        Step::Device { from, at } => {
            let target = inside(staging, at);
            write_new(&target, b"").map_err(made(target.clone()))?;
            bind(from, &target, &[Attribute::NoSuid, Attribute::NoExec])
        }
        Step::Processes(at) => {
            let target = inside(staging, at);
            let attributes = [Attribute::NoSuid, Attribute::NoDev, Attribute::NoExec];
            let mounted =
                Mount::filesystem("proc", &[], &attributes).and_then(|proc| proc.attach(&target));
            mounted.map_err(|source| failed(&target, source))
        }
        Step::Null(at) => {
            let target = inside(staging, at);
            if exists(&target) {
                bind(
                    Path::new("/dev/null"),
                    &target,
                    &[Attribute::ReadOnly, Attribute::NoSuid, Attribute::NoExec],
                )?;
            }
            Ok(())
        }
        Step::Empty(at) => {
            let target = inside(staging, at);
            if exists(&target) {
                empty(&target)?;
            }
            Ok(())
        }
        Step::Frozen(at) => {
            let target = inside(staging, at);
            if exists(&target) {
                let attributes = [
                    Attribute::ReadOnly,
                    Attribute::NoSuid,
                    Attribute::NoDev,
                    Attribute::NoExec,
                ];
                bind(&target, &target, &attributes)?;
            }
            Ok(())
        }
        Step::Seal(at) => {
            let target = inside(staging, at);
            mount::restrict_at(&target, &[Attribute::ReadOnly])
                .map_err(|source| failed(&target, source))
        }
        Step::HiddenFile { below, name } => hide(staging, below, name, Hidden::File),
        Step::HiddenDirectory { below, name } => hide(staging, below, name, Hidden::Directory),
        Step::Scratch { .. } | Step::Terminals { .. } | Step::Config { .. } | Step::Run(_) => Err(
            SandboxError::Policy("a session's own step in the template".to_owned()),
        ),
    }
}

/// `/etc/passwd` as `<staging>/etc/passwd`.
fn inside(staging: &Path, at: &Path) -> PathBuf {
    staging.join(at.strip_prefix("/").unwrap_or(at))
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn failed(target: &Path, source: Errno) -> SandboxError {
    SandboxError::Mount {
        target: target.to_owned(),
        source,
    }
}

fn io_step(action: &'static str, error: &std::io::Error) -> SandboxError {
    SandboxError::Step {
        action,
        source: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
    }
}

fn attach(mount: &Mount, target: &Path) -> Result<(), SandboxError> {
    mount
        .attach(target)
        .map_err(|source| failed(target, source))
}

fn bind(from: &Path, target: &Path, attributes: &[Attribute]) -> Result<(), SandboxError> {
    let copied = Mount::copy_of(from).and_then(|copy| copy.restrict(attributes).map(|()| copy));
    attach(&copied.map_err(|source| failed(target, source))?, target)
}

/// Sealed once all are in it: then the session cannot change them, nor whoever changes the originals.
fn copies(target: &Path, from: &[PathBuf], limit_bytes: u64) -> Result<(), SandboxError> {
    let count = u64::try_from(from.len()).unwrap_or(u64::MAX);
    // A file takes whole pages, which have up to 64 KiB.
    let size = (limit_bytes + 65_536).saturating_mul(count).to_string();
    let inodes = count.saturating_add(1).to_string();
    let options = [
        ("size", Some(size.as_str())),
        ("nr_inodes", Some(inodes.as_str())),
        ("mode", Some("0755")),
    ];
    let attributes = [Attribute::NoSuid, Attribute::NoDev, Attribute::NoExec];
    let made = Mount::filesystem("tmpfs", &options, &attributes);
    attach(&made.map_err(|source| failed(target, source))?, target)?;
    for path in from {
        let Some(name) = path.file_name() else {
            continue;
        };
        let copy = target.join(name);
        let copied = match present(path, limit_bytes) {
            Ok(Some(bytes)) => write_new(&copy, &bytes),
            Ok(None) => Ok(()),
            Err(source) => Err(source),
        };
        copied.map_err(|source| SandboxError::Make {
            target: copy,
            source,
        })?;
    }
    mount::restrict_at(target, &[Attribute::ReadOnly]).map_err(|source| failed(target, source))
}

/// What a file outside says, wherever links lead; none where there is no file.
fn present(path: &Path, limit_bytes: u64) -> Result<Option<Vec<u8>>, Errno> {
    match path.metadata() {
        Ok(found) if found.is_file() => {}
        Ok(_) | Err(_) => return Ok(None),
    }
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    match nix::fcntl::open(path, flags, Mode::empty()) {
        Ok(file) => descriptor::contents(file.as_fd(), limit_bytes).map(Some),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A part of the image, or nothing where the image has none.
fn image(from: &Path, target: &Path) -> Result<(), SandboxError> {
    let Ok(found) = from.symlink_metadata() else {
        return Ok(());
    };
    let made = |source| SandboxError::Make {
        target: target.to_owned(),
        source,
    };
    if found.is_symlink() {
        let to = fs::read_link(from)
            .map_err(|e| made(e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))?;
        // `localtime` and the like lead into /usr, which is there; what leads elsewhere leads nowhere inside.
        return nix::unistd::symlinkat(&to, nix::fcntl::AT_FDCWD, target).map_err(made);
    }
    if found.is_dir() {
        mount::make_directory(target).map_err(made)?;
    } else if !exists(target) {
        write_new(target, b"").map_err(made)?;
    }
    bind(
        from,
        target,
        &[Attribute::ReadOnly, Attribute::NoSuid, Attribute::NoDev],
    )
}

fn scratch(
    target: &Path,
    size: &str,
    inodes: u32,
    mode: &str,
    owner: Owner,
    uid: u32,
) -> Result<(), SandboxError> {
    let owner = match owner {
        Owner::Server => 0,
        Owner::Session => uid,
    }
    .to_string();
    let inodes = inodes.to_string();
    let options = [
        ("size", Some(size)),
        ("nr_inodes", Some(inodes.as_str())),
        ("mode", Some(mode)),
        ("uid", Some(owner.as_str())),
        ("gid", Some(owner.as_str())),
    ];
    let made = Mount::filesystem("tmpfs", &options, &[Attribute::NoSuid, Attribute::NoDev]);
    attach(&made.map_err(|source| failed(target, source))?, target)
}

/// Ids in its options are those of the mounter's user namespace: the warden's.
fn terminals(target: &Path, limit: u32, uid: u32) -> Result<(), SandboxError> {
    let (uid, limit) = (uid.to_string(), limit.to_string());
    let options = [
        ("uid", Some(uid.as_str())),
        ("gid", Some(uid.as_str())),
        ("mode", Some("0620")),
        ("ptmxmode", Some("0666")),
        ("max", Some(limit.as_str())),
    ];
    let made = Mount::filesystem("devpts", &options, &[Attribute::NoSuid, Attribute::NoExec]);
    attach(&made.map_err(|source| failed(target, source))?, target)
}

fn empty(target: &Path) -> Result<(), SandboxError> {
    let attributes = [
        Attribute::ReadOnly,
        Attribute::NoSuid,
        Attribute::NoDev,
        Attribute::NoExec,
    ];
    let options = [
        ("size", Some("4k")),
        ("nr_inodes", Some("1")),
        ("mode", Some("0555")),
    ];
    let made = Mount::filesystem("tmpfs", &options, &attributes);
    attach(&made.map_err(|source| failed(target, source))?, target)
}

#[derive(Clone, Copy)]
enum Hidden {
    File,
    Directory,
}

/// Covers a name in `/config`. A symbolic link there is not followed: it leads to something that the session can or
/// cannot read by its own path.
fn hide(staging: &Path, below: &Path, name: &Path, what: Hidden) -> Result<(), SandboxError> {
    let target = inside(staging, below).join(name);
    let Ok(found) = target.symlink_metadata() else {
        return Ok(());
    };
    match what {
        Hidden::Directory if found.is_dir() => empty(&target),
        Hidden::File if found.is_file() => bind(
            Path::new("/dev/null"),
            &target,
            &[Attribute::ReadOnly, Attribute::NoSuid, Attribute::NoExec],
        ),
        Hidden::Directory | Hidden::File => Ok(()),
    }
}

/// The folder whose files bound how many namespaces a user namespace may hold.
struct NamespaceLimits(OwnedFd);

impl NamespaceLimits {
    /// By a descriptor without rights of its own: writing is allowed to whoever holds CAP_SYS_RESOURCE in the user
    /// namespace that opens a file, which the warden does not.
    fn open(directory: &Path) -> Result<Self, SandboxError> {
        let opened = mount::open_path(directory);
        opened
            .map(Self)
            .map_err(SandboxError::step("open the limits of namespaces"))
    }

    /// The limits are those of the opener's user namespace: the session's, entered just before.
    fn forbid(&self) -> Result<(), SandboxError> {
        for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"] {
            let name = format!("max_{kind}_namespaces");
            let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            openat(&self.0, name.as_str(), flags, Mode::empty())
                .and_then(|file| nix::unistd::write(file, b"0"))
                .map_err(SandboxError::step("forbid nested namespaces"))?;
        }
        Ok(())
    }
}

fn limits(limits: &Limits) -> Result<(), SandboxError> {
    let all = [
        (Resource::RLIMIT_NPROC, limits.processes),
        (Resource::RLIMIT_NOFILE, limits.open_files),
        // One byte, not none: a core_pattern that is a pipe ignores 0 (core(5)).
        (Resource::RLIMIT_CORE, 1),
        (Resource::RLIMIT_MEMLOCK, limits.locked_memory.0),
        (Resource::RLIMIT_MSGQUEUE, 0),
        (Resource::RLIMIT_SIGPENDING, limits.pending_signals),
        (Resource::RLIMIT_NICE, 0),
        (Resource::RLIMIT_RTPRIO, 0),
    ];
    all.into_iter()
        .try_for_each(|(resource, value)| process::limit(resource, value))
        .map_err(SandboxError::step("set limits"))
}
