//! What a person starts: `serve` up to the moment when it becomes the warden, and `check`.

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use hassio_sshd::config::{
    Configs, Environment, Offered, Options, ServeArguments, key_summary, time_zone,
};
use hassio_sshd::keys;
use hassio_sshd::policy::sandbox::Sandbox;
use hassio_sshd::sys::directory::Directory;
use hassio_sshd::sys::net::{self, Listening};
use hassio_sshd::sys::{Errno, descriptor, lock, process, wait};
use hassio_sshd::wire::{self, KeysConfig};
use nix::unistd::{Gid, Uid, fchown};

use crate::folders::{self, FolderError};
use crate::process::Role;
use crate::{FAILURE, USAGE, line};

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error(
        "this needs root, to make the sandboxes of sessions: run it as root, or as an app of Home Assistant"
    )]
    NotRoot,
    #[error("cannot listen on {address}")]
    Listen {
        address: std::net::SocketAddr,
        source: Errno,
    },
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(
        "{path} is in use by another server{}; its host key and audit trail are one server's alone",
        Holder(*holder)
    )]
    InUse { path: String, holder: Option<u32> },
    #[error("cannot lock {path}")]
    Lock { path: String, source: Errno },
    #[error("cannot use {path}")]
    Data {
        path: String,
        source: std::io::Error,
    },
    #[error(
        "{path} belongs to uid {owner}; the audit trail's folder must belong to uid {expected}, or not be there"
    )]
    Foreign {
        path: String,
        owner: u32,
        expected: u32,
    },
    #[error(transparent)]
    HostKey(#[from] keys::KeysError),
    #[error("cannot open {path}, which belongs beside hassio-sshd")]
    Program {
        path: String,
        source: std::io::Error,
    },
    #[error("cannot hand over the configuration")]
    Handover(#[source] Errno),
    #[error("cannot encode the configuration")]
    Encode(#[from] wire::CodecError),
    #[error("cannot read the policy")]
    Policy(#[from] hassio_sshd::policy::PolicyError),
    #[error("cannot open the log's pipe once more")]
    Log(#[source] Errno),
    #[error("cannot become the warden")]
    Become(#[source] Errno),
}

struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, ", process {pid}"))
    }
}

/// In the data folder: whoever has locked it is the folder's one server. It is empty and stays.
const LOCK: &str = "hassio-sshd.lock";

/// Reads everything, opens what the warden needs, and becomes it. Returns only on failure.
pub(crate) fn serve(arguments: &ServeArguments) -> u8 {
    let Some(configs) = read_options(arguments) else {
        return USAGE;
    };
    match become_warden(arguments, &configs) {
        Ok(never) => match never {},
        Err(error) => {
            tracing::error!("{}", line(&error));
            error.status()
        }
    }
}

impl LaunchError {
    /// 2 where another command line would do.
    fn status(&self) -> u8 {
        match self {
            Self::Folder(_) | Self::NotRoot => USAGE,
            _ => FAILURE,
        }
    }
}

/// Says what would be in force.
pub(crate) fn check(arguments: &ServeArguments) -> u8 {
    let Some(configs) = read_options(arguments) else {
        return USAGE;
    };
    if let Err(error) = inspect(arguments, &configs) {
        tracing::error!("{}", line(&error));
        return error.status();
    }
    say_logins(&configs.keys);
    let data_dir = configs.warden.data_dir.clone();
    let prepared = open_init().map_err(|error| line(&error)).and_then(|init| {
        let tag = format!("hassio-sshd-check-{}", std::process::id());
        crate::process::prepare(&configs.warden, init, tag)
    });
    match prepared {
        Ok(host) => {
            host.retire();
            let mut out = std::io::stdout().lock();
            let mut say = |mark: &str, text: String| writeln!(out, "{mark} {text}").is_ok();
            host.in_force().into_iter().for_each(|text| {
                say("in force:    ", text);
            });
            host.not_in_force().into_iter().for_each(|text| {
                say("NOT in force:", text);
            });
            // Last: before a server is restarted, this alone stands against it.
            match look_at_lock(&data_dir) {
                Ok(()) => 0,
                Err(error) => {
                    tracing::error!("{}", line(&error));
                    error.status()
                }
            }
        }
        Err(why) => {
            tracing::error!("{why}");
            FAILURE
        }
    }
}

/// Who may log in, and what each of them may do.
fn say_logins(keys: &KeysConfig) {
    let mut out = std::io::stdout().lock();
    let mut say = |mark: &str, text: String| writeln!(out, "{mark} {text}").is_ok();
    for key in &keys.authorized_keys {
        say("key:         ", key_summary(key));
    }
    if keys.password.is_some() {
        say("password:    ", format!("as {}", keys.default_role));
    }
}

/// What `serve` finds on its way, and its processes after it; nothing is changed.
fn inspect(arguments: &ServeArguments, configs: &Configs) -> Result<(), LaunchError> {
    if !Uid::effective().is_root() {
        return Err(LaunchError::NotRoot);
    }
    folders::check(arguments, configs)?;
    match fs::symlink_metadata(&configs.audit.directory) {
        Ok(found) => audit_folder_is_audits(&configs.audit.directory, &found)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(LaunchError::Data {
                path: configs.audit.directory.display().to_string(),
                source,
            });
        }
    }
    // Where there is none, `serve` makes it.
    if fs::symlink_metadata(configs.warden.data_dir.join(keys::HOST_KEY)).is_ok() {
        keys::load(configs.keys.clone())?;
    }
    Ok(())
}

/// Whether another server holds the lock, without making its file.
fn look_at_lock(data_dir: &Path) -> Result<(), LaunchError> {
    match Directory::open(data_dir).and_then(|folder| folder.read(LOCK)) {
        Ok(file) => lock(data_dir, file).map(drop),
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(LaunchError::Data {
            path: data_dir.join(LOCK).display().to_string(),
            source: errno.into(),
        }),
    }
}

/// Reads the options; says what is wrong with them once, on stderr.
fn read_options(arguments: &ServeArguments) -> Option<Configs> {
    let offered = match Offered::shipped() {
        Ok(offered) => offered,
        Err(error) => {
            start_log("info");
            tracing::error!("{}", line(&error));
            return None;
        }
    };
    let environment = Environment::read();
    let zone = time_zone(environment.timezone.as_deref());
    match Options::read(&arguments.options, &offered, &zone) {
        Ok(read) => {
            start_log(read.options.log_level.as_str());
            for warning in read.warnings {
                tracing::warn!("{}: {warning}", arguments.options.display());
            }
            for warning in &environment.warnings {
                tracing::warn!("{warning}");
            }
            Some(read.options.into_configs(&arguments.places(), environment))
        }
        Err(error) => {
            start_log("info");
            tracing::error!("{}", line(&error));
            None
        }
    }
}

/// Makes stderr, where it is a pipe, a description that is this server's alone and does not wait for its reader. All the
/// processes inherit it.
fn own_stderr() -> Result<(), LaunchError> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let own = descriptor::pipe_without_waiting(stderr.as_fd()).map_err(LaunchError::Log)?;
    match own {
        Some(own) => descriptor::standard([stdin.as_fd(), stdout.as_fd(), own.as_fd()])
            .map_err(LaunchError::Log),
        None => Ok(()),
    }
}

fn become_warden(arguments: &ServeArguments, configs: &Configs) -> Result<Infallible, LaunchError> {
    if !Uid::effective().is_root() {
        return Err(LaunchError::NotRoot);
    }
    own_stderr()?;
    folders::check(arguments, configs)?;
    let lock = lock_data(&configs.warden.data_dir)?;
    make_audit_folder(&configs.audit.directory)?;
    keys::make_host_key(&configs.keys.data_dir)?;
    let init = open_init()?;
    let program = open_program("hassio-sshd", Path::new("/proc/self/exe"))?;
    let Listening {
        listeners,
        held,
        shared,
    } = net::listen_tcp(&configs.warden.listen)
        .map_err(|(address, source)| LaunchError::Listen { address, source })?;
    for address in listeners.iter().flat_map(net::local_address) {
        tracing::info!("listening on {address}");
    }
    for address in shared {
        tracing::warn!(
            "port {} is in use by others on some address: sessions may take it on those that are free",
            address.port()
        );
    }
    let sealed =
        |name, bytes: Vec<u8>| descriptor::sealed(name, &bytes).map_err(LaunchError::Handover);
    let front = sealed("front", wire::encode_config(&configs.front)?)?;
    let keys = sealed("keys", wire::encode_config(&configs.keys)?)?;
    let broker = sealed("broker", wire::encode_config(&configs.broker)?)?;
    let audit = sealed("audit", wire::encode_config(&configs.audit)?)?;
    let reader = sealed("reader", wire::encode_config(&configs.reader)?)?;
    let warden = sealed("warden", wire::encode_config(&configs.warden)?)?;

    let mut fds: Vec<BorrowedFd<'_>> = [
        &warden, &program, &init, &front, &keys, &broker, &audit, &reader, &lock,
    ]
    .into_iter()
    .map(AsFd::as_fd)
    .collect();
    fds.extend(listeners.iter().chain(&held).map(AsFd::as_fd));
    let again = descriptor::raised(program.as_fd()).map_err(LaunchError::Become)?;
    descriptor::arrange(&fds).map_err(LaunchError::Become)?;
    // A fresh image without any environment: the token was in this one's.
    let arguments = [c"hassio-sshd", Role::Warden.name()];
    process::execute::<_, &std::ffi::CStr>(again.as_fd(), &arguments, &[])
        .map_err(LaunchError::Become)
}

/// How long the last processes of a server that was killed may take to end.
const REMAINS: Duration = Duration::from_secs(2);
/// How soon the lock is tried again meanwhile.
const LOCK_AGAIN: Duration = Duration::from_millis(20);

/// Makes this server the folder's only one, for as long as the warden or audit holds the descriptor.
fn lock_data(data_dir: &Path) -> Result<OwnedFd, LaunchError> {
    let file = Directory::open(data_dir)
        .and_then(|folder| folder.ensure(LOCK))
        .map_err(|errno| LaunchError::Data {
            path: data_dir.join(LOCK).display().to_string(),
            source: errno.into(),
        })?;
    lock(data_dir, file)
}

fn lock(data_dir: &Path, mut file: fs::File) -> Result<OwnedFd, LaunchError> {
    let path = || data_dir.display().to_string();
    let until = Instant::now() + REMAINS;
    loop {
        match lock::exclusive(file) {
            Ok(lock) => return Ok(lock),
            Err((held, Errno::EWOULDBLOCK)) if Instant::now() < until => {
                file = held;
                std::thread::sleep(LOCK_AGAIN);
            }
            Err((held, Errno::EWOULDBLOCK)) => {
                return Err(LaunchError::InUse {
                    path: path(),
                    holder: lock::holder(&held),
                });
            }
            Err((_, source)) => {
                return Err(LaunchError::Lock {
                    path: path(),
                    source,
                });
            }
        }
    }
}

/// The trail's folder belongs to the process that writes it, and to nobody else.
fn make_audit_folder(path: &Path) -> Result<(), LaunchError> {
    let failed = |source| LaunchError::Data {
        path: path.display().to_string(),
        source,
    };
    let expected = Sandbox::shipped()?.identity.audit_uid;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            let folder = fs::File::open(path).map_err(failed)?;
            let owner = (Some(Uid::from_raw(expected)), Some(Gid::from_raw(expected)));
            fchown(&folder, owner.0, owner.1).map_err(|errno| failed(errno.into()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            audit_folder_is_audits(path, &fs::symlink_metadata(path).map_err(failed)?)
        }
        Err(error) => Err(failed(error)),
    }
}

fn audit_folder_is_audits(path: &Path, found: &fs::Metadata) -> Result<(), LaunchError> {
    let expected = Sandbox::shipped()?.identity.audit_uid;
    if !found.is_dir() {
        return Err(LaunchError::Data {
            path: path.display().to_string(),
            source: std::io::ErrorKind::NotADirectory.into(),
        });
    }
    match found.uid() {
        owner if owner == expected => Ok(()),
        owner => Err(LaunchError::Foreign {
            path: path.display().to_string(),
            owner,
            expected,
        }),
    }
}

fn open_init() -> Result<OwnedFd, LaunchError> {
    let failed = |source| LaunchError::Program {
        path: "session-init".to_owned(),
        source,
    };
    let own = std::env::current_exe().map_err(failed)?;
    open_program("session-init", &own.with_file_name("session-init"))
}

fn open_program(name: &str, path: &Path) -> Result<OwnedFd, LaunchError> {
    let opened = fs::File::open(path).map(OwnedFd::from);
    opened.map_err(|source| LaunchError::Program {
        path: format!("{name} ({})", path.display()),
        source,
    })
}

/// Diagnostics on stderr. Libraries' own messages are left out: they print what peers send.
pub(crate) fn start_log(level: &str) {
    let level = level.parse().unwrap_or(tracing::Level::INFO);
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| Patient)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // A second start in one process changes nothing.
    log.try_init().ok();
}

/// Writes a line to stderr if there is room for it, and drops it if not: who does not read the log, and a full disk under
/// it, do not stop the server.
struct Patient;

/// What a pipe takes whole or not at all: PIPE_BUF, pipe(7).
const LINE_BYTES: usize = 4096;

impl Write for Patient {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let stderr = std::io::stderr();
        // A pipe does not wait by itself (see `own_stderr`); this is for terminals and sockets.
        if wait::writable(stderr.as_fd()).unwrap_or(true) {
            let written = match line.get(..LINE_BYTES - 1) {
                Some(cut) if line.len() > LINE_BYTES => {
                    stderr.lock().write_all(&[cut, b"\n"].concat())
                }
                _ => stderr.lock().write_all(line),
            };
            // An error here would be printed to where nothing can be printed, and that is a panic.
            written.ok();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
