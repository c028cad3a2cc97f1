//! Where the folders of the command line may lie: not where sessions see what is not theirs, and not where the server
//! puts roots together.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hassio_sshd::config::{Configs, ServeArguments};
use hassio_sshd::policy::PolicyError;
use hassio_sshd::policy::sandbox::Sandbox;
use nix::unistd::{AccessFlags, access};

/// Why a folder cannot be what the command line wants it to be. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("{path} is not a folder; --{option} says where it is")]
    NoFolder {
        path: String,
        option: &'static str,
        source: std::io::Error,
    },
    #[error(
        "{path} lies in {folder}, which sessions see: its secrets would be theirs; name another place with --{option}"
    )]
    Shown {
        path: String,
        folder: String,
        option: &'static str,
    },
    #[error(
        "{path} lies in {staging}, where the server puts the roots of sessions together, over all that is there; {remedy}"
    )]
    Staged {
        path: String,
        staging: String,
        remedy: String,
    },
    #[error(
        "nothing can be written to {path}, where the host key and the audit trail are kept: make it writable, or name \
         another folder with --data-dir"
    )]
    ReadOnly {
        path: String,
        source: nix::errno::Errno,
    },
    #[error("cannot read the policy")]
    Policy(#[from] PolicyError),
}

/// Looks at the folders, and changes nothing.
///
/// # Errors
/// The first that cannot be used.
pub(crate) fn check(arguments: &ServeArguments, configs: &Configs) -> Result<(), FolderError> {
    let policy = Sandbox::shipped()?;
    let (config_dir, data_dir) = (&configs.warden.config_dir, &configs.warden.data_dir);
    is_folder(config_dir, "config-dir")?;
    is_folder(data_dir, "data-dir")?;

    let folders = configs.warden.folders.iter().map(|(outside, _)| outside);
    let image = policy.root.image.iter().map(PathBuf::as_path);
    let shown: Vec<(&Path, Identity)> = std::iter::once(config_dir.as_path())
        .chain(folders.map(PathBuf::as_path))
        .chain(image)
        .filter_map(|folder| Some((folder, identity(folder)?)))
        .collect();
    for (path, option) in [(data_dir, "data-dir"), (&arguments.options, "options")] {
        let above = all_above(path);
        if let Some((folder, _)) = shown.iter().find(|(_, shown)| above.contains(shown)) {
            return Err(FolderError::Shown {
                path: path.display().to_string(),
                folder: folder.display().to_string(),
                option,
            });
        }
    }

    let staging = policy.root.staging.as_path();
    let program = std::env::current_exe().unwrap_or_default();
    for (path, remedy) in [
        (config_dir, "name another place with --config-dir"),
        (data_dir, "name another place with --data-dir"),
        (&program, "install the program somewhere else"),
    ] {
        if identity(staging).is_some_and(|staging| all_above(path).contains(&staging)) {
            return Err(FolderError::Staged {
                path: path.display().to_string(),
                staging: staging.display().to_string(),
                remedy: remedy.to_owned(),
            });
        }
    }
    access(data_dir, AccessFlags::W_OK).map_err(|source| FolderError::ReadOnly {
        path: data_dir.display().to_string(),
        source,
    })
}

fn is_folder(path: &Path, option: &'static str) -> Result<(), FolderError> {
    let found = fs::metadata(path).and_then(|found| match found.is_dir() {
        true => Ok(()),
        false => Err(std::io::Error::from(std::io::ErrorKind::NotADirectory)),
    });
    found.map_err(|source| FolderError::NoFolder {
        path: path.display().to_string(),
        option,
        source,
    })
}

/// Device and inode: the same for one folder under two names, by a link or a bind mount.
type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// What is at `path`, and all folders above it; also those above the name itself, where that is a link: who can write
/// there could turn it elsewhere.
fn all_above(path: &Path) -> Vec<Identity> {
    let real = fs::canonicalize(path).ok();
    let absolute = std::path::absolute(path).ok();
    let named = absolute
        .as_deref()
        .and_then(Path::parent)
        .and_then(|parent| fs::canonicalize(parent).ok());
    let all = [real, named].into_iter().flatten();
    all.flat_map(|path| path.ancestors().filter_map(identity).collect::<Vec<_>>())
        .collect()
}
