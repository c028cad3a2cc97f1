//! The entry of each of the server's processes: takes its descriptors, confines itself, runs its room.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;

use hassio_sshd::audit;
use hassio_sshd::broker;
use hassio_sshd::config::time_zone;
use hassio_sshd::confine::{self, Station};
use hassio_sshd::connection;
use hassio_sshd::front;
use hassio_sshd::keys;
use hassio_sshd::policy::sandbox::Sandbox;
use hassio_sshd::policy::seccomp::Subject;
use hassio_sshd::policy::ssh::Ssh;
use hassio_sshd::sandbox::{Host, Settings};
use hassio_sshd::sys::capability::Capability;
use hassio_sshd::sys::namespace::{Namespaces, enter_new};
use hassio_sshd::sys::{Errno, capability, descriptor, mount, process};
use hassio_sshd::warden::{self, Handover};
use hassio_sshd::wire::{
    self, AuditConfig, BrokerConfig, FrontConfig, KeysConfig, Link, ReaderConfig, WardenConfig,
};
use serde::de::DeserializeOwned;

use crate::launch::start_log;
use crate::{FAILURE, USAGE, line, shown};

/// Which of the server's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Warden,
    Front,
    Keys,
    Broker,
    Audit,
    Reader,
}

impl Role {
    const ALL: [Self; 6] = [
        Self::Warden,
        Self::Front,
        Self::Keys,
        Self::Broker,
        Self::Audit,
        Self::Reader,
    ];

    /// The one argument by which the server starts it.
    pub(crate) fn name(self) -> &'static CStr {
        match self {
            Self::Warden => c"warden",
            Self::Front => c"front",
            Self::Keys => c"keys",
            Self::Broker => c"broker",
            Self::Audit => c"audit-writer",
            Self::Reader => c"reader",
        }
    }

    pub(crate) fn from_name(word: &OsStr) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|role| role.name().to_bytes() == word.as_encoded_bytes())
    }
}

/// Numbers of inherited descriptors.
const CONFIG: RawFd = 3;
const LINK: RawFd = 4;
const FIRST: RawFd = 5;

/// An error that ends the process, ready to be logged.
type Fatal = String;

fn fatal<E: std::error::Error>(error: E) -> Fatal {
    line(&error)
}

/// Runs the process and returns its exit status.
pub(crate) fn run(role: Role) -> u8 {
    if descriptor::inherited(CONFIG).map(std::mem::forget).is_err() {
        start_log("info");
        let word = shown(OsStr::new(&*role.name().to_string_lossy()));
        tracing::error!("`{word}` is started by the server itself; see hassio-sshd --help");
        return USAGE;
    }
    let result = match role {
        Role::Warden => run_warden().map(|()| 0),
        Role::Front => run_front().map(|()| 0),
        Role::Keys => run_keys(),
        Role::Broker => run_broker().map(|()| 0),
        Role::Audit => run_audit().map(|()| 0),
        Role::Reader => run_reader().map(|()| 0),
    };
    match result {
        Ok(status) => status,
        Err(why) => {
            tracing::error!("{why}");
            FAILURE
        }
    }
}

/// The configuration, and the log as it says.
fn config<T: DeserializeOwned>(level: impl FnOnce(&T) -> &str) -> Result<T, Fatal> {
    /// Keys' configuration holds all authorized keys.
    const LIMIT: u64 = 4 << 20;
    let file = descriptor::inherited(CONFIG).map_err(fatal)?;
    let bytes = descriptor::contents(file.as_fd(), LIMIT).map_err(fatal)?;
    let config = wire::decode(&bytes).map_err(fatal)?;
    start_log(level(&config));
    Ok(config)
}

fn inherited(number: RawFd) -> Result<OwnedFd, Fatal> {
    descriptor::inherited(number).map_err(fatal)
}

fn link<Out: serde::Serialize, In: DeserializeOwned>(
    number: RawFd,
) -> Result<Link<Out, In>, Fatal> {
    Link::from_fd(inherited(number)?).map_err(fatal)
}

fn run_warden() -> Result<(), Fatal> {
    let config: WardenConfig = config(|config: &WardenConfig| &config.log_level)?;
    let _span = tracing::error_span!("warden").entered();
    let program = inherited(4)?;
    let init = inherited(5)?;
    let (front, keys, broker, audit) = (inherited(6)?, inherited(7)?, inherited(8)?, inherited(9)?);
    let (reader, lock) = (inherited(10)?, inherited(11)?);
    let count = RawFd::try_from(config.listen.len()).unwrap_or(RawFd::MAX - 12);
    let listeners = (12..12 + count)
        .map(inherited)
        .collect::<Result<Vec<_>, _>>()?;
    // Those that keep sessions from the same ports on other addresses, for as long as the server runs.
    let mut held = Vec::new();
    while let Ok(fd) = descriptor::inherited(12 + count + RawFd::try_from(held.len()).unwrap_or(0))
    {
        held.push(fd);
    }
    process::undumpable().map_err(fatal)?;
    // The same at the next start, so that it finds what this one left; another for a server with other data.
    let data_dir = config.data_dir.as_os_str().as_encoded_bytes();
    let tag = format!(
        "hassio-sshd-{}",
        hassio_sshd::policy::short_digest(data_dir)
    );
    let host = prepare(&config, init, tag)?;
    host.in_force()
        .into_iter()
        .for_each(|text| tracing::info!("in force: {text}"));
    host.not_in_force()
        .into_iter()
        .for_each(|text| tracing::warn!("not in force: {text}"));
    let Sandbox {
        identity, servers, ..
    } = Sandbox::shipped().map_err(fatal)?;
    confine::limit(servers.warden).map_err(fatal)?;
    let handover = Handover {
        program,
        front,
        keys,
        broker,
        audit,
        reader,
        lock,
        listeners,
        options_digest: config.options_digest,
        policy_digest: hassio_sshd::policy::digest(),
        slots: identity.slots,
        slots_of_one_login: identity.slots_of_one_login,
        ssh: Ssh::shipped().map_err(fatal)?,
    };
    warden::run(host, handover).map_err(fatal)
}

/// Keeps the warden's capabilities alone, enters a mount namespace of its own, and makes ready for sessions, whose
/// control group is called `tag`.
pub(crate) fn prepare(config: &WardenConfig, init: OwnedFd, tag: String) -> Result<Host, Fatal> {
    let policy = Sandbox::shipped().map_err(fatal)?;
    let keep = policy
        .capabilities
        .warden
        .iter()
        .map(|name| name.parse::<Capability>().map_err(fatal))
        .collect::<Result<Vec<_>, _>>()?;
    capability::keep(&keep).map_err(|errno| format!("cannot give up capabilities: {errno}"))?;
    enter_new(Namespaces::CLONE_NEWNS).map_err(|errno| match errno {
        Errno::EPERM => "cannot make a mount namespace: the container lacks SYS_ADMIN".to_owned(),
        errno => format!("cannot make a mount namespace: {errno}"),
    })?;
    mount::make_private().map_err(|errno| match errno {
        Errno::EACCES => "cannot make the mounts private: AppArmor refuses it; is the app's own profile in force?".to_owned(),
        errno => format!("cannot make the mounts private: {errno}"),
    })?;
    let folders = config
        .folders
        .iter()
        .filter(|(outside, _)| outside.is_dir())
        .cloned()
        .collect();
    // Mounts go to a place, not to a link that leads there; the link is the owner's, who named it.
    let config_dir = std::fs::canonicalize(&config.config_dir)
        .map_err(|error| format!("cannot use {}: {error}", config.config_dir.display()))?;
    let own = std::env::current_exe().map_err(fatal)?;
    let settings = Settings {
        tool: own.with_file_name("hassio"),
        config_dir,
        folders,
        read_only_without_idmap: config.read_only_without_idmap,
        tag,
    };
    let filters = confine::filters(Subject::Session).map_err(fatal)?;
    Host::prepare(policy, settings, init, filters).map_err(fatal)
}

fn run_front() -> Result<(), Fatal> {
    let config: FrontConfig = config(|config: &FrontConfig| &config.log_level)?;
    let _span = tracing::error_span!("front").entered();
    let warden = link(LINK)?.answering();
    let mut listeners = Vec::new();
    while let Ok(fd) = descriptor::inherited(
        FIRST + RawFd::try_from(listeners.len()).unwrap_or(RawFd::MAX - FIRST),
    ) {
        listeners.push(fd);
    }
    let sandbox = Sandbox::shipped().map_err(fatal)?;
    let sftp_server = sandbox
        .programs
        .sftp_server
        .iter()
        .find(|path| std::path::Path::new(path).exists())
        .cloned();
    let policy = connection::Policy {
        ssh: Ssh::shipped().map_err(fatal)?,
        sandbox,
        sftp_server,
    };
    let stricter = confine::filters(Subject::Connection).map_err(fatal)?;
    confine::confine(&Station::Front).map_err(fatal)?;
    front::run(
        listeners,
        warden,
        &policy.ssh,
        front::Sources {
            allow_from: &config.allow_from,
            penalty_exempt: &config.penalty_exempt,
        },
        &|accepted: front::Accepted| {
            let front::Accepted {
                cid,
                peer,
                stream,
                host_key,
                warden,
                keys,
                audit,
            } = accepted;
            let _span = tracing::error_span!("connection", %cid).entered();
            let start = connection::Start {
                cid,
                peer,
                stream,
                host_key,
                warden,
                keys,
                audit,
            };
            let done = stricter
                .apply()
                .map_err(fatal)
                .and_then(|()| connection::run(start, &config, &policy).map_err(fatal));
            if let Err(why) = done {
                tracing::info!("{peer}: {why}");
            }
        },
    )
    .map_err(fatal)
}

fn run_keys() -> Result<u8, Fatal> {
    let config: KeysConfig = config(|config: &KeysConfig| &config.log_level)?;
    let _span = tracing::error_span!("keys").entered();
    let (warden, reports) = (link(LINK)?.answering(), link(FIRST)?);
    let keys = match keys::load(config) {
        Ok(keys) => keys,
        Err(error) if error.is_final() => {
            tracing::error!("{}", line(&error));
            return Ok(warden::FINAL);
        }
        Err(error) => return Err(fatal(error)),
    };
    confine::confine(&Station::Keys).map_err(fatal)?;
    keys::run(keys, warden, reports).map_err(fatal)?;
    Ok(0)
}

fn run_broker() -> Result<(), Fatal> {
    let config: BrokerConfig = config(|config: &BrokerConfig| &config.log_level)?;
    let _span = tracing::error_span!("broker").entered();
    let (warden, reports) = (link(LINK)?.answering(), link(FIRST)?);
    confine::confine(&Station::Broker).map_err(fatal)?;
    broker::run(config, warden, reports).map_err(fatal)
}

fn run_audit() -> Result<(), Fatal> {
    let config: AuditConfig = config(|config: &AuditConfig| &config.log_level)?;
    let _span = tracing::error_span!("audit").entered();
    let warden = link(LINK)?.answering();
    // Nobody else may write here before this process has ended, also where the warden ended first.
    let _lock = inherited(FIRST)?;
    confine::confine(&Station::Audit(config.directory.clone())).map_err(fatal)?;
    let directory = std::fs::File::open("/").map_err(fatal)?;
    audit::run(config, directory.into(), warden).map_err(fatal)
}

/// Nobody waits for a reader but who asked: all others come first.
const READER_NICE: i32 = 10;

fn run_reader() -> Result<(), Fatal> {
    let config: ReaderConfig = config(|config: &ReaderConfig| &config.log_level)?;
    let _span = tracing::error_span!("reader").entered();
    let broker = link(LINK)?;
    // Zones are files of the system, which is gone afterwards.
    let zone = time_zone(config.zone.as_deref());
    process::be_nice(READER_NICE).map_err(fatal)?;
    confine::confine(&Station::Reader(config.directory)).map_err(fatal)?;
    audit::reader::run(Path::new("/"), zone, &broker).map_err(fatal)
}
