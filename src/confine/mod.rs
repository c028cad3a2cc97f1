//! How each of the server's own processes gives up what it does not need, before it reads its first byte from outside.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use nix::sys::resource::Resource;

use crate::policy::PolicyError;
use crate::policy::sandbox::{AUDIT_KEYS, Identity, Sandbox, ServerLimits, Servers, Size};
use crate::policy::seccomp::{Seccomp, Subject};
use crate::sys::mount::{Attribute, Mount};
use crate::sys::namespace::{Namespaces, enter_new};
use crate::sys::seccomp::{FilterError, Filters};
use crate::sys::{Errno, capability, mount, process};

/// What a process may still see and be; see the table in docs/architecture.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Station {
    /// Empty root, no network but the listening sockets it inherits.
    Front,
    /// Empty root, no network.
    Keys,
    /// A root with what resolving names needs; the container's network.
    Broker,
    /// Its directory as its root, no network.
    Audit(PathBuf),
    /// The same directory as audit, read-only and without its keys; no network.
    Reader(PathBuf),
}

/// A step that could not be done: the process must not go on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the members are what the messages name")]
pub enum ConfineError {
    #[error("cannot {action}")]
    Step { action: &'static str, source: Errno },
    #[error("cannot put {path} into the root")]
    Root { path: PathBuf, source: Errno },
    #[error("cannot make the filter")]
    Filter(#[from] FilterError),
    #[error("cannot read the policy")]
    Policy(#[from] PolicyError),
}

/// Files that getaddrinfo(3) reads.
const RESOLVER: [&str; 5] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
];

/// Confines this process for good. What it holds open stays open.
///
/// # Errors
/// The first step that could not be done.
pub fn confine(station: &Station) -> Result<(), ConfineError> {
    let step = |action| move |source| ConfineError::Step { action, source };
    let policy = Sandbox::shipped()?;
    let filters = filters(station.subject())?;
    let mut namespaces =
        Namespaces::CLONE_NEWNS | Namespaces::CLONE_NEWIPC | Namespaces::CLONE_NEWUTS;
    if *station != Station::Broker {
        namespaces |= Namespaces::CLONE_NEWNET;
    }
    enter_new(namespaces).map_err(step("enter new namespaces"))?;
    mount::make_private().map_err(step("make the mounts private"))?;
    root(station, &policy.root.staging)?;
    mount::change_root(&policy.root.staging).map_err(step("change the root"))?;

    // The bounding set needs a capability to be narrowed, so it goes before the uid.
    capability::lock().map_err(step("lock the capabilities"))?;
    let uid = station.uid(&policy.identity);
    process::become_user(uid, uid).map_err(step("change the uid"))?;
    capability::clear().map_err(step("renounce all capabilities"))?;
    process::limit(Resource::RLIMIT_CORE, 1).map_err(step("limit core files"))?;
    limit(station.limits(&policy.servers)).map_err(step("set limits"))?;
    process::undumpable().map_err(step("forbid looking into it"))?;
    process::no_new_privileges().map_err(step("forbid new privileges"))?;
    // After the change of credentials, which clears it.
    process::die_with_parent().map_err(step("ask to end with the warden"))?;
    filters.apply().map_err(step("put the filter in force"))
}

/// Puts a server process's limits in force, as far as the system lets it have so much.
///
/// # Errors
/// See [`process::narrow`].
pub fn limit(limits: ServerLimits) -> Result<(), Errno> {
    let given = process::narrow(Resource::RLIMIT_NOFILE, limits.open_files)?;
    if given < limits.open_files {
        tracing::warn!(
            "the system allows {given} open files and {} may be wanted: with many connections some will fail",
            limits.open_files
        );
    }
    if let Some(Size(data)) = limits.data {
        process::narrow(Resource::RLIMIT_DATA, data)?;
    }
    Ok(())
}

/// The compiled filter of a process.
///
/// # Errors
/// When the policy is not what it should be; tests exclude it.
pub fn filters(subject: Subject) -> Result<Filters, ConfineError> {
    let rules = Seccomp::shipped()?.rules(subject, std::env::consts::ARCH);
    Ok(Filters::compile(rules.names, &rules.json)?)
}

impl Station {
    fn subject(&self) -> Subject {
        match self {
            Self::Front => Subject::Front,
            Self::Keys => Subject::Keys,
            Self::Broker => Subject::Broker,
            Self::Audit(_) => Subject::Audit,
            Self::Reader(_) => Subject::Reader,
        }
    }

    fn limits(&self, servers: &Servers) -> ServerLimits {
        match self {
            Self::Front => servers.front,
            Self::Keys => servers.keys,
            Self::Broker => servers.broker,
            Self::Audit(_) => servers.audit,
            Self::Reader(_) => servers.reader,
        }
    }

    fn uid(&self, identity: &Identity) -> u32 {
        match self {
            Self::Front => identity.front_uid,
            Self::Keys => identity.keys_uid,
            Self::Broker => identity.broker_uid,
            // Nobody else may read the files. Neither may signal or look into the other: see their lists of calls.
            Self::Audit(_) | Self::Reader(_) => identity.audit_uid,
        }
    }
}

fn root(station: &Station, staging: &Path) -> Result<(), ConfineError> {
    let failed = |path: &Path, source| ConfineError::Root {
        path: path.to_owned(),
        source,
    };
    let attributes = [Attribute::NoSuid, Attribute::NoDev, Attribute::NoExec];
    let empty_at = |path: &Path| {
        let options = [
            ("size", Some("64k")),
            ("nr_inodes", Some("16")),
            ("mode", Some("0555")),
        ];
        let empty =
            Mount::filesystem("tmpfs", &options, &attributes).and_then(|root| root.attach(path));
        empty.map_err(|source| failed(path, source))
    };
    if let Station::Audit(directory) | Station::Reader(directory) = station {
        let attach = || {
            let copy = Mount::copy_of(directory)?;
            copy.restrict(&attributes)?;
            copy.attach(staging)
        };
        attach().map_err(|source| failed(directory, source))?;
        let Station::Reader(_) = station else {
            return Ok(());
        };
        // What signs the trail is nobody's to read, whatever a recording makes of who reads it.
        let keys = staging.join(AUDIT_KEYS);
        empty_at(&keys)?;
        read_only(&keys)?;
        return read_only(staging);
    }
    empty_at(staging)?;
    if *station == Station::Broker {
        let etc = staging.join("etc");
        mount::make_directory(&etc).map_err(|source| failed(&etc, source))?;
        for path in RESOLVER
            .map(Path::new)
            .into_iter()
            .filter(|path| path.exists())
        {
            let target = staging.join(path.strip_prefix("/").unwrap_or(path));
            std::fs::write(&target, "")
                .map_err(|e| failed(path, e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))?;
            let copy = std::fs::canonicalize(path)
                .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
                .and_then(|real| Mount::copy_of(&real));
            let bound = copy.and_then(|copy| {
                copy.restrict(&[
                    Attribute::ReadOnly,
                    Attribute::NoSuid,
                    Attribute::NoDev,
                    Attribute::NoExec,
                ])?;
                copy.attach(&target)
            });
            bound.map_err(|source| failed(path, source))?;
        }
    }
    read_only(staging)
}

fn read_only(path: &Path) -> Result<(), ConfineError> {
    let done = mount::restrict_at(path, &[Attribute::ReadOnly]);
    done.map_err(|source| ConfineError::Root {
        path: path.to_owned(),
        source,
    })
}
