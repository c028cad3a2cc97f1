//! What is made, in which order. Pure: the steps are a value that tests look at.

use std::path::{Path, PathBuf};

use crate::model::ConfigAccess;
use crate::policy::sandbox::Sandbox;

/// Whether something can be written through a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// No.
    ReadOnly,
    /// Yes, by its owner.
    ReadWrite,
}

/// Who owns the root of a new file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The outer uid 0.
    Server,
    /// The session's outer uid.
    Session,
}

#[expect(
    missing_docs,
    reason = "the members are what the variants' comments speak of"
)]
/// One thing to make. Paths are those inside the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A directory.
    Directory(PathBuf),
    /// A file with this text.
    File { at: PathBuf, text: String },
    /// A symbolic link.
    Link { at: PathBuf, to: PathBuf },
    /// A file or directory from outside, read-only, nosuid, nodev, without what is mounted below. A symbolic link is
    /// made again; what is not there is left out.
    Image { from: PathBuf, at: PathBuf },
    /// A file of the sandbox at one more place, whose folder is made; read-only.
    Shown { from: PathBuf, at: PathBuf },
    /// A new read-only tmpfs with copies of files from outside, as they are now and each at most so long. What is not
    /// there is left out.
    Copies {
        at: PathBuf,
        from: Vec<PathBuf>,
        limit_bytes: u64,
    },
    /// A device from outside.
    Device { from: PathBuf, at: PathBuf },
    /// A new tmpfs: nosuid, nodev.
    Scratch {
        at: PathBuf,
        size: String,
        inodes: u32,
        mode: String,
        owner: Owner,
    },
    /// The processes of this PID namespace.
    Processes(PathBuf),
    /// A new instance of devpts.
    Terminals { at: PathBuf, limit: u32 },
    /// Home Assistant's folder, id-mapped, nosuid, nodev.
    Config { at: PathBuf, access: Access },
    /// An empty read-only file over a name in `/config` that must not be read.
    HiddenFile { below: PathBuf, name: PathBuf },
    /// The same with an empty directory.
    HiddenDirectory { below: PathBuf, name: PathBuf },
    /// The file system that holds the broker's socket.
    Run(PathBuf),
    /// `/dev/null` over a file that is there.
    Null(PathBuf),
    /// An empty directory over one that is there.
    Empty(PathBuf),
    /// What is there, once more, read-only.
    Frozen(PathBuf),
    /// No change any more through the mount at this path.
    Seal(PathBuf),
}

/// The part of the root that all sessions share: made once, in a tmpfs that becomes read-only at the end. `tool` is where
/// the `hassio` program lies outside.
#[must_use]
pub fn template(policy: &Sandbox, folders: &[PathBuf], tool: &Path) -> Vec<Step> {
    let mut steps = Vec::new();
    let image = |path: &Path| Step::Image {
        from: path.to_owned(),
        at: path.to_owned(),
    };
    steps.extend(policy.root.image.iter().map(|path| image(path)));
    let etc = Path::new("/etc");
    steps.push(Step::Directory(etc.to_owned()));
    for name in &policy.root.etc {
        if let Some(parent) = name
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            steps.push(Step::Directory(etc.join(parent)));
        }
        steps.push(image(&etc.join(name)));
    }
    let tools = &policy.programs.tools;
    let above = tools.ancestors().filter(|path| path.parent().is_some());
    let above: Vec<&Path> = above.collect();
    steps.extend(
        above
            .into_iter()
            .rev()
            .map(|path| Step::Directory(path.to_owned())),
    );
    steps.push(Step::Directory(policy.current.at.clone()));
    steps.extend(policy.current.files.iter().map(|name| Step::Link {
        at: etc.join(name),
        to: policy.current.at.join(name),
    }));
    steps.extend(policy.files.iter().map(|(at, text)| Step::File {
        at: at.clone(),
        text: text.clone(),
    }));

    steps.push(Step::Image {
        from: tool.to_owned(),
        at: tools.join("hassio"),
    });
    steps.push(Step::Link {
        at: tools.join("ha"),
        to: "hassio".into(),
    });

    steps.push(Step::Directory("/dev".into()));
    for node in &policy.dev.nodes {
        let at = Path::new("/dev").join(node);
        steps.push(Step::Device {
            from: at.clone(),
            at,
        });
    }
    for (at, to) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/ptmx", "pts/ptmx"),
    ] {
        steps.push(Step::Link {
            at: at.into(),
            to: to.into(),
        });
    }
    let points = ["/dev/pts", "/dev/shm", "/proc"]
        .into_iter()
        .map(PathBuf::from);
    let points = points.chain(policy.scratch.iter().map(|scratch| scratch.at.clone()));
    let points = points
        .chain([policy.run.at.clone(), policy.config.at.clone()])
        .chain(folders.iter().cloned());
    steps.extend(points.map(Step::Directory));
    steps.push(Step::Link {
        at: policy.config.also.clone(),
        to: policy.config.at.clone(),
    });
    steps.push(Step::Seal("/".into()));
    steps
}

/// What each session has for itself on top of the template, whoever it is for: so it can be made before anybody has
/// logged in.
#[must_use]
pub fn spare(policy: &Sandbox) -> Vec<Step> {
    let mut steps = vec![Step::Processes("/proc".into())];
    let proc = |name: &String| Path::new("/proc").join(name);
    steps.extend(policy.proc.null.iter().map(proc).map(Step::Null));
    steps.extend(policy.proc.empty.iter().map(proc).map(Step::Empty));
    steps.extend(policy.proc.read_only.iter().map(proc).map(Step::Frozen));
    steps.push(Step::Terminals {
        at: "/dev/pts".into(),
        limit: policy.dev.terminals,
    });
    steps.push(Step::Scratch {
        at: "/dev/shm".into(),
        size: policy.dev.shm_size.clone(),
        inodes: 4096,
        mode: "1777".into(),
        owner: Owner::Session,
    });
    steps.extend(policy.scratch.iter().map(|scratch| Step::Scratch {
        at: scratch.at.clone(),
        size: scratch.size.clone(),
        inodes: scratch.inodes,
        mode: scratch.mode.clone(),
        owner: Owner::Session,
    }));
    steps.extend(policy.shown.iter().map(|(at, from)| Step::Shown {
        from: from.clone(),
        at: at.clone(),
    }));
    steps.push(Step::Run(policy.run.at.clone()));
    steps
}

/// What is shown to a session of what lies outside: a matter of who has logged in.
#[must_use]
pub fn granted(
    policy: &Sandbox,
    config: ConfigAccess,
    folders: &[(PathBuf, PathBuf)],
) -> Vec<Step> {
    let current = &policy.current;
    let mut steps = vec![Step::Copies {
        at: current.at.clone(),
        from: current
            .files
            .iter()
            .map(|name| Path::new("/etc").join(name))
            .collect(),
        limit_bytes: current.limit.0,
    }];
    let at = policy.config.at.clone();
    match config {
        ConfigAccess::Absent => {}
        ConfigAccess::ReadWrite => {
            steps.push(Step::Config {
                at,
                access: Access::ReadWrite,
            });
            steps.extend(folders.iter().map(|(from, at)| Step::Image {
                from: from.clone(),
                at: at.clone(),
            }));
        }
        ConfigAccess::ReadOnly => {
            steps.push(Step::Config {
                at: at.clone(),
                access: Access::ReadOnly,
            });
            let below = |name: &PathBuf| (at.clone(), name.clone());
            let directories = policy.config.hidden_directories.iter().map(below);
            steps.extend(directories.map(|(below, name)| Step::HiddenDirectory { below, name }));
            let files = policy.config.hidden_files.iter().map(below);
            steps.extend(files.map(|(below, name)| Step::HiddenFile { below, name }));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(config: ConfigAccess) -> Vec<Step> {
        let policy = Sandbox::shipped().unwrap();
        let folders = [(PathBuf::from("/share"), PathBuf::from("/share"))];
        let mut steps = template(&policy, &["/share".into()], Path::new("/usr/bin/hassio"));
        steps.extend(spare(&policy));
        steps.extend(granted(&policy, config, &folders));
        steps
    }

    #[test]
    fn config_is_all_that_can_be_written_and_stays() {
        let lasting = |step: &Step| {
            matches!(
                step,
                Step::Config {
                    access: Access::ReadWrite,
                    ..
                }
            )
        };
        assert_eq!(
            steps(ConfigAccess::ReadWrite)
                .into_iter()
                .filter(lasting)
                .count(),
            1
        );
        assert_eq!(
            steps(ConfigAccess::ReadOnly)
                .into_iter()
                .filter(lasting)
                .count(),
            0
        );
        assert!(
            !steps(ConfigAccess::Absent)
                .iter()
                .any(|step| matches!(step, Step::Config { .. }))
        );
    }

    #[test]
    fn nothing_of_the_servers_own_data_is_shown() {
        for step in steps(ConfigAccess::ReadWrite) {
            let all = match &step {
                Step::Image { from, .. } | Step::Device { from, .. } => std::slice::from_ref(from),
                Step::Copies { from, .. } => from,
                _ => continue,
            };
            for from in all.iter().map(|from| from.to_string_lossy()) {
                let good = ["/usr", "/bin", "/sbin", "/lib", "/etc/", "/dev/", "/share"];
                assert!(
                    good.iter().any(|prefix| from.starts_with(prefix)),
                    "{step:?}"
                );
                for bad in [
                    "shadow",
                    "ssh_host",
                    "/etc/ssh",
                    "private",
                    "data",
                    "sudoers",
                    "machine-id",
                ] {
                    assert!(!from.contains(bad), "{step:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_outside_is_in_a_spare() {
        let outside = |step: &&Step| {
            matches!(
                step,
                Step::Config { .. }
                    | Step::Image { .. }
                    | Step::Copies { .. }
                    | Step::Device { .. }
            )
        };
        let policy = Sandbox::shipped().unwrap();
        assert_eq!(spare(&policy).iter().find(outside), None);
    }

    #[test]
    fn the_shared_root_is_sealed_last() {
        assert_eq!(
            template(&Sandbox::shipped().unwrap(), &[], Path::new("/x")).last(),
            Some(&Step::Seal("/".into()))
        );
    }

    #[test]
    fn secrets_are_hidden_where_config_is_read_only() {
        let hidden =
            |step: &&Step| matches!(step, Step::HiddenFile { .. } | Step::HiddenDirectory { .. });
        assert_eq!(
            steps(ConfigAccess::ReadOnly).iter().filter(hidden).count(),
            2
        );
    }
}
