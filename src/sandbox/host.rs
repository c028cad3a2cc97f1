//! The warden's side: what is made once, and the start of each session's child.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::cgroups::Cgroups;
use super::enter::{Child as Entrant, Held, enter, here};
use super::error::SandboxError;
use super::order::Order;
use super::plan::{self, Access};
use super::spare::{Launched, Spare};
use crate::model::{ConfigAccess, Grant};
use crate::policy::sandbox::Sandbox;
use crate::sys::capability::{Capability, held};
use crate::sys::mount::{Attribute, Mount};
use crate::sys::namespace::{IdRange, Namespaces, user_namespace};
use crate::sys::packet;
use crate::sys::process::{Forked, fork_into};
use crate::sys::seccomp::Filters;
use crate::sys::{Errno, mount, net};

/// What the options say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Home Assistant's folder lies outside.
    pub config_dir: PathBuf,
    /// More folders, read-only: outside, inside.
    pub folders: Vec<(PathBuf, PathBuf)>,
    /// Where the `hassio` program lies outside.
    pub tool: PathBuf,
    /// Whether a folder that cannot be id-mapped is shown read-only rather than not at all.
    pub read_only_without_idmap: bool,
    /// Names the control group of this server's sessions.
    pub tag: String,
}

/// Whether files in `/config` can be shown as the session's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdMap {
    InForce,
    /// And the option accepts a read-only view.
    ReadOnlyInstead,
    /// No session can have `/config`.
    Refused,
}

/// All that sessions have in common.
#[derive(Debug)]
pub struct Host {
    policy: Sandbox,
    settings: Settings,
    init: OwnedFd,
    filters: Filters,
    cgroups: Cgroups,
    idmap: IdMap,
    /// By slot: the session's user namespace and the one that id-maps its `/config`.
    namespaces: BTreeMap<u32, (OwnedFd, OwnedFd)>,
    forked: u64,
}

impl Host {
    /// Makes the template of all sessions' roots and finds out what this kernel can do. The caller is in a mount
    /// namespace of its own.
    ///
    /// # Errors
    /// The step that could not be done: no session can be started then.
    pub fn prepare(
        policy: Sandbox,
        settings: Settings,
        init: OwnedFd,
        filters: Filters,
    ) -> Result<Self, SandboxError> {
        mount::make_private().map_err(SandboxError::step("make the mounts private"))?;
        let cgroups = Cgroups::probe(&settings.tag, &policy.limits);
        cgroups.clean();
        let staging = policy.root.staging.clone();
        let size = [
            ("size", Some(policy.root.size.as_str())),
            ("nr_inodes", Some(&policy.root.inodes.to_string())),
            ("mode", Some("0755")),
        ];
        let root = Mount::filesystem("tmpfs", &size, &[Attribute::NoSuid, Attribute::NoDev]);
        let attached = root.and_then(|root| root.attach(&staging));
        attached.map_err(|source| SandboxError::Mount {
            target: staging.clone(),
            source,
        })?;
        let folders: Vec<PathBuf> = settings.folders.iter().map(|(_, at)| at.clone()).collect();
        for step in plan::template(&policy, &folders, &settings.tool) {
            here(&step, &staging)?;
        }
        // A set-id file or a device that somebody leaves in the folder is neither for the warden.
        let folder = settings.config_dir.clone();
        let own_view = Mount::copy_of(&folder).and_then(|copy| {
            copy.restrict(&[Attribute::NoSuid, Attribute::NoDev])?;
            copy.attach(&folder)
        });
        own_view.map_err(|source| SandboxError::Mount {
            target: folder,
            source,
        })?;
        let mut host = Self {
            policy,
            settings,
            init,
            filters,
            cgroups,
            idmap: IdMap::InForce,
            namespaces: BTreeMap::new(),
            forked: 0,
        };
        host.idmap = match (
            host.config_mount(0, Access::ReadWrite),
            host.settings.read_only_without_idmap,
        ) {
            (Ok(_), _) => IdMap::InForce,
            (Err(SandboxError::IdMap { .. }), true) => IdMap::ReadOnlyInstead,
            (Err(SandboxError::IdMap { .. }), false) => IdMap::Refused,
            (Err(error), _) => return Err(error),
        };
        Ok(host)
    }

    /// One line for each layer: what holds a session here.
    #[must_use]
    pub fn in_force(&self) -> Vec<String> {
        let mut lines = vec![
            "namespaces: mount, pid, user, ipc, uts, cgroup; network by role".to_owned(),
            "no capabilities, no_new_privs, seccomp allow-list".to_owned(),
            format!("control groups: {}", self.cgroups.describe()),
        ];
        if self.idmap == IdMap::InForce {
            lines.push("/config id-mapped".to_owned());
        }
        lines
    }

    /// What does not hold here, and why.
    #[must_use]
    pub fn not_in_force(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let folder = self.settings.config_dir.display();
        match self.idmap {
            IdMap::InForce => {}
            IdMap::ReadOnlyInstead => {
                lines.push(format!("{folder} cannot be id-mapped: sessions see it read-only, as the option accepts"));
            }
            IdMap::Refused => lines.push(format!(
                "{folder} cannot be id-mapped (a network share or overlay?): sessions are refused; put it on a local \
                 disk, or set read_only_without_idmap to see it read-only"
            )),
        }
        if let Cgroups::None(why) = &self.cgroups {
            lines.push(format!("no control groups ({why}): memory is bounded per file system only, processes by uid"));
        }
        if !self.cgroups.weighs() {
            lines.push(
                "no control group for cpu: sessions have a nice value, and no share of their own"
                    .to_owned(),
            );
        }
        if !held(Capability::CAP_NET_ADMIN) {
            lines.push(
                "no CAP_NET_ADMIN: the loopback interface of sessions without network stays down"
                    .to_owned(),
            );
        }
        lines
    }

    /// The rules that sessions are made by.
    #[must_use]
    pub fn policy(&self) -> &Sandbox {
        &self.policy
    }

    /// The control groups' description, for the record.
    #[must_use]
    pub fn cgroup_description(&self) -> String {
        self.cgroups.describe()
    }

    /// How a session sees `/config` here, which may be less than it was granted.
    #[must_use]
    pub fn config_access(&self, granted: ConfigAccess) -> ConfigAccess {
        match (granted, self.idmap) {
            (ConfigAccess::ReadWrite, IdMap::ReadOnlyInstead) => ConfigAccess::ReadOnly,
            (granted, _) => granted,
        }
    }

    /// Removes the control group of all sessions, where there is none: for whoever only looked.
    pub fn retire(&self) {
        self.cgroups.retire(&self.settings.tag);
    }

    /// Forks a child for `slot`, which nothing living has. It makes all of a sandbox that does not depend on who logs in,
    /// and waits.
    ///
    /// # Errors
    /// The step that could not be done.
    pub fn spare(&mut self, slot: u32) -> Result<Spare, SandboxError> {
        let uid = self.policy.identity.session_uid + slot;
        let (run, socket) = self.run_mount()?;
        let (setup, report) =
            packet::pair().map_err(SandboxError::step("make the setup socket"))?;
        setup
            .set_nonblocking()
            .map_err(SandboxError::step("make the setup socket"))?;
        let (control, init_end) =
            packet::pair().map_err(SandboxError::step("make the control socket"))?;
        let held = |fd: &OwnedFd| fd.try_clone().map_err(|_| clone_error());
        let user_namespace = held(&self.slot(slot)?.0)?;
        let init = held(&self.init)?;
        self.forked += 1;
        let name = format!("{}-{}-{slot}", std::process::id(), self.forked);
        let group = self
            .cgroups
            .make(name, &self.policy.limits)
            .map_err(SandboxError::step("make the session's control group"))?;
        let namespaces = Namespaces::CLONE_NEWNS
            | Namespaces::CLONE_NEWPID
            | Namespaces::CLONE_NEWIPC
            | Namespaces::CLONE_NEWUTS;
        let forked = fork_into(namespaces, group.born_into.as_ref().map(AsFd::as_fd));
        let child = match forked {
            Ok(Forked::Parent(child)) => child,
            Ok(Forked::Child) => {
                let child = Entrant {
                    policy: &self.policy,
                    folders: &self.settings.folders,
                    filters: &self.filters,
                    uid,
                    group: &group,
                };
                let held = Held {
                    report,
                    control: init_end,
                    run,
                    user_namespace,
                    init,
                };
                enter(&child, held)
            }
            Err(source) => {
                // Nobody is in it.
                let _gone = self.cgroups.remove(&group);
                return Err(SandboxError::Step {
                    action: "fork into new namespaces",
                    source,
                });
            }
        };
        Ok(Spare(Launched {
            slot,
            child,
            setup,
            control: control.into_fd(),
            socket,
            uid,
            group,
        }))
    }

    /// Makes a spare the sandbox of whoever has logged in. It reports on its socket. On an error no use can be made of it
    /// any more.
    ///
    /// # Errors
    /// The step that could not be done.
    pub fn order(&mut self, spare: &Spare, grant: &Grant) -> Result<(), SandboxError> {
        let access = self.config_access(grant.config);
        let slot = spare.0.slot;
        let config = match access {
            ConfigAccess::Absent => None,
            ConfigAccess::ReadOnly => Some(self.config_mount(slot, Access::ReadOnly)?),
            ConfigAccess::ReadWrite => Some(self.config_mount(slot, Access::ReadWrite)?),
        };
        let order = Order {
            network: grant.network,
            access,
            config,
        };
        let sent = order.send(&spare.0.setup);
        sent.map_err(SandboxError::step("say what the session may see"))
    }

    /// Removes what a session, all of whose processes are gone, leaves in the kernel. False: try again in a moment.
    #[must_use]
    pub fn clear(&self, launched: &Launched) -> bool {
        self.cgroups.remove(&launched.group)
    }

    fn slot(&mut self, slot: u32) -> Result<&(OwnedFd, OwnedFd), SandboxError> {
        let identity = &self.policy.identity;
        let own = IdRange {
            inside: 0,
            outside: identity.session_uid + slot,
            count: 1,
        };
        let foreign = IdRange {
            inside: 1,
            outside: identity.foreign_uid,
            count: 65_535,
        };
        match self.namespaces.entry(slot) {
            Entry::Occupied(made) => Ok(made.into_mut()),
            Entry::Vacant(none) => {
                let make = |map: &[IdRange]| {
                    user_namespace(map).map_err(SandboxError::step("make a user namespace"))
                };
                Ok(none.insert((make(&[own])?, make(&[own, foreign])?)))
            }
        }
    }

    /// Home Assistant's folder as the session in `slot` will see it, not yet attached.
    fn config_mount(&mut self, slot: u32, access: Access) -> Result<Mount, SandboxError> {
        let folder = self.settings.config_dir.clone();
        let failed = |source| SandboxError::Mount {
            target: folder.clone(),
            source,
        };
        let mount = Mount::copy_of(&folder).map_err(failed)?;
        let mut attributes = vec![Attribute::NoSuid, Attribute::NoDev];
        if access == Access::ReadOnly || self.idmap == IdMap::ReadOnlyInstead {
            attributes.push(Attribute::ReadOnly);
        }
        mount.restrict(&attributes).map_err(failed)?;
        if self.idmap != IdMap::ReadOnlyInstead {
            let map = self.slot(slot)?.1.as_fd();
            mount.map_ids(map).map_err(|source| SandboxError::IdMap {
                folder: folder.clone(),
                source,
            })?;
        }
        Ok(mount)
    }

    /// The file system with the session's socket: it has no path outside the session at all.
    fn run_mount(&self) -> Result<(Mount, OwnedFd), SandboxError> {
        let run = &self.policy.run;
        let options = [
            ("size", Some(run.size.as_str())),
            ("nr_inodes", Some(&run.inodes.to_string())),
            ("mode", Some("0755")),
        ];
        let mount = Mount::filesystem(
            "tmpfs",
            &options,
            &[Attribute::NoSuid, Attribute::NoDev, Attribute::NoExec],
        )
        .map_err(|source| SandboxError::Mount {
            target: run.at.clone(),
            source,
        })?;
        let socket = net::listen_unix(mount.as_fd(), &run.socket)
            .map_err(|source| SandboxError::Listen { source })?;
        mount
            .restrict(&[Attribute::ReadOnly])
            .map_err(|source| SandboxError::Mount {
                target: run.at.clone(),
                source,
            })?;
        Ok((mount, socket))
    }
}

fn clone_error() -> SandboxError {
    SandboxError::Step {
        action: "hold the slot's namespaces",
        source: Errno::EMFILE,
    }
}

/// Writes a new file below the template.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Errno> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}
