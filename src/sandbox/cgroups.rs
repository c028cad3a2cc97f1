//! Limits by control groups: version 2 where it is delegated, version 1 where not, none where neither can be used.

use crate::policy::sandbox::Limits;
use crate::sys::Errno;
use crate::sys::cgroup::{Group, mounted_with, own_path};

/// The warden and its processes, since an inner node of version 2 may hold none.
const SERVER: &str = "server";

/// What is in force on this machine.
#[derive(Debug)]
pub enum Cgroups {
    /// One hierarchy; children are born into their group.
    V2 {
        /// The group of all sessions.
        parent: Group,
        /// Whether `cpu` is there too.
        cpu: bool,
    },
    /// A hierarchy for each controller; the child is moved before it goes on.
    V1 {
        /// `pids`, where there is one.
        pids: Option<Group>,
        /// `memory`, where there is one.
        memory: Option<Group>,
        /// `cpu`, where there is one.
        cpu: Option<Group>,
    },
    /// Only rlimits and the sizes of file systems hold.
    None(String),
}

/// The group of one session.
#[derive(Debug)]
pub struct SessionGroup {
    name: String,
    /// Version 2: where a child is born.
    pub born_into: Option<Group>,
    moved_into: Vec<Group>,
}

impl Cgroups {
    /// Finds out what can be used, and sets the limits over all sessions. `parent` names the group that holds them all;
    /// the same at the next start of the same server, another for another one.
    #[must_use]
    pub fn probe(parent: &str, limits: &Limits) -> Self {
        let v2 = match version_2(parent, limits) {
            Ok(group) => return group,
            Err(v2) => v2,
        };
        let one =
            |controller, file, limit: String| version_1(parent, controller, file, &limit).ok();
        let pids = version_1(
            parent,
            "pids",
            "pids.max",
            &limits.all_processes.to_string(),
        );
        let memory = one("memory", "memory.limit_in_bytes", all_memory(limits));
        let cpu = one("cpu", "cpu.shares", shares(limits.all_cpu_weight));
        match (pids, memory, cpu) {
            (Err(v1), None, None) => Self::None(format!("version 2: {v2}; version 1: {v1}")),
            (pids, memory, cpu) => Self::V1 {
                pids: pids.ok(),
                memory,
                cpu,
            },
        }
    }

    /// What is in force, for the log and the record.
    #[must_use]
    pub fn describe(&self) -> String {
        let (version, held) = match self {
            Self::V2 { cpu, .. } => (2, [true, true, *cpu]),
            Self::V1 { pids, memory, cpu } => {
                (1, [pids.is_some(), memory.is_some(), cpu.is_some()])
            }
            Self::None(_) => return "none".to_owned(),
        };
        let held: Vec<&str> = ["processes", "memory", "cpu"]
            .into_iter()
            .zip(held)
            .filter_map(|(name, held)| held.then_some(name))
            .collect();
        format!("version {version}: {}", held.join(", "))
    }

    /// Whether sessions have a share of the processors that is small beside the server's.
    #[must_use]
    pub fn weighs(&self) -> bool {
        match self {
            Self::V2 { cpu, .. } => *cpu,
            Self::V1 { cpu, .. } => cpu.is_some(),
            Self::None(_) => false,
        }
    }

    /// The groups that hold those of sessions, one for each hierarchy.
    fn parents(&self) -> Vec<&Group> {
        match self {
            Self::V2 { parent, .. } => vec![parent],
            Self::V1 { pids, memory, cpu } => pids.iter().chain(memory).chain(cpu).collect(),
            Self::None(_) => Vec::new(),
        }
    }

    /// Removes what an earlier life, ended by SIGKILL, left behind: empty groups. Others still end by themselves.
    pub fn clean(&self) {
        for parent in self.parents() {
            for name in parent.children().unwrap_or_default() {
                // Busy ones are of processes that are ending.
                parent.remove(&name).ok();
            }
        }
    }

    /// Makes a session's group with its limits.
    ///
    /// # Errors
    /// What the kernel gives; EBUSY does not occur, since names are not used twice.
    pub fn make(&self, name: String, limits: &Limits) -> Result<SessionGroup, Errno> {
        let memory_bytes = limits.memory.0.to_string();
        match self {
            Self::V2 { parent, cpu } => {
                let group = parent.make(&name)?;
                group.write("pids.max", &limits.processes.to_string())?;
                group.write("memory.max", &memory_bytes)?;
                // Absent without swap accounting.
                optional(group.write("memory.swap.max", "0"))?;
                group.write("memory.oom.group", "1")?;
                if *cpu {
                    group.write("cpu.weight", &limits.cpu_weight.to_string())?;
                }
                Ok(SessionGroup {
                    name,
                    born_into: Some(group),
                    moved_into: Vec::new(),
                })
            }
            Self::V1 { pids, memory, cpu } => {
                let mut moved_into = Vec::new();
                if let Some(parent) = pids {
                    let group = parent.make(&name)?;
                    group.write("pids.max", &limits.processes.to_string())?;
                    moved_into.push(group);
                }
                if let Some(parent) = memory {
                    let group = parent.make(&name)?;
                    group.write("memory.limit_in_bytes", &memory_bytes)?;
                    optional(group.write("memory.memsw.limit_in_bytes", &memory_bytes))?;
                    moved_into.push(group);
                }
                if let Some(parent) = cpu {
                    let group = parent.make(&name)?;
                    group.write("cpu.shares", &shares(limits.cpu_weight))?;
                    moved_into.push(group);
                }
                Ok(SessionGroup {
                    name,
                    born_into: None,
                    moved_into,
                })
            }
            Self::None(_) => Ok(SessionGroup {
                name,
                born_into: None,
                moved_into: Vec::new(),
            }),
        }
    }

    /// Removes the group that holds all sessions, if it is empty.
    pub(super) fn retire(&self, parent: &str) {
        for group in self.parents() {
            // Where a session is left, the next start cleans up.
            group
                .descend("..")
                .and_then(|above| above.remove(parent))
                .ok();
        }
    }

    /// Removes a session's group; true once it is gone. The kernel may take a moment after the last process.
    #[must_use]
    pub fn remove(&self, group: &SessionGroup) -> bool {
        let gone =
            |parent: &Group| matches!(parent.remove(&group.name), Ok(()) | Err(Errno::ENOENT));
        // Each is tried, also after one that is not gone.
        self.parents()
            .into_iter()
            .filter(|parent| !gone(parent))
            .count()
            == 0
    }
}

impl SessionGroup {
    /// Moves this process into the group (version 1), for which the kernel takes some ten milliseconds.
    ///
    /// # Errors
    /// None but what the kernel gives for a group that is there.
    pub fn enter(&self) -> Result<(), Errno> {
        self.moved_into
            .iter()
            .try_for_each(|group| group.write("cgroup.procs", "0"))
    }
}

fn version_2(parent: &str, limits: &Limits) -> Result<Cgroups, Errno> {
    let path = own_path("")?;
    // Where an earlier life of this server moved its surroundings.
    let path = path
        .strip_suffix(SERVER)
        .filter(|above| above.ends_with('/'))
        .unwrap_or(&path);
    let here = Group::hierarchy_v2()?.descend(path)?;
    let controllers = here.read("cgroup.controllers")?;
    if !["pids", "memory"]
        .iter()
        .all(|name| controllers.split_whitespace().any(|c| c == *name))
    {
        return Err(Errno::ENODEV);
    }
    // A group that gives controllers to its children may hold no process itself. A container's is all the app's own;
    // elsewhere others may live here, and then it stays as it is and the last step is refused.
    let server = here.make(SERVER)?;
    let own = std::process::id().to_string();
    for pid in here
        .read("cgroup.procs")?
        .lines()
        .filter(|pid| path == "/" || *pid == own)
    {
        optional(server.write("cgroup.procs", pid))?;
    }
    here.write("cgroup.subtree_control", "+pids +memory")?;
    // Some kernels refuse it while threads have real-time priorities (cgroup-v2, CPU); then it is not in force.
    let cpu = here.write("cgroup.subtree_control", "+cpu").is_ok();
    let parent = here.make(parent)?;
    parent.write("pids.max", &limits.all_processes.to_string())?;
    parent.write("memory.max", &all_memory(limits))?;
    parent.write("cgroup.subtree_control", "+pids +memory")?;
    if cpu {
        parent.write("cpu.weight", &limits.all_cpu_weight.to_string())?;
        parent.write("cgroup.subtree_control", "+cpu")?;
    }
    Ok(Cgroups::V2 { parent, cpu })
}

fn version_1(parent: &str, controller: &str, file: &str, limit: &str) -> Result<Group, Errno> {
    let here = Group::hierarchy_v1(&mounted_with(controller)?)?.descend(&own_path(controller)?)?;
    let parent = here.make(parent)?;
    if controller == "memory" {
        parent.write("memory.use_hierarchy", "1").ok();
    }
    parent.write(file, limit)?;
    Ok(parent)
}

/// A weight of version 2, where 100 is everybody's, in the unit of version 1, where 1024 is, and 2 is the least.
fn shares(weight: u64) -> String {
    (weight * 1024 / 100).max(2).to_string()
}

fn all_memory(limits: &Limits) -> String {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total_kib = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or(1 << 20);
    (total_kib / 100 * limits.all_memory_percent * 1024).to_string()
}

/// Some files are there only with some kernel configurations.
fn optional(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EACCES | Errno::ESRCH) => Ok(()),
        result => result,
    }
}
