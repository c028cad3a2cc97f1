use std::path::PathBuf;

use crate::sys::Errno;
use crate::sys::seccomp::FilterError;

#[expect(missing_docs, reason = "the members are what the messages name")]
/// A step that could not be done. There is no second way: the session does not begin.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Making or attaching a mount.
    #[error("cannot mount {target}")]
    Mount { target: PathBuf, source: Errno },
    /// Making a directory, file or link in the root.
    #[error("cannot make {target}")]
    Make { target: PathBuf, source: Errno },
    /// Showing a folder with other owners.
    #[error("cannot id-map {folder}: its file system does not allow it")]
    IdMap { folder: PathBuf, source: Errno },
    /// A call that has no object but this process.
    #[error("cannot {action}")]
    Step { action: &'static str, source: Errno },
    /// Making the socket of the session.
    #[error("cannot listen on the session's socket")]
    Listen { source: std::io::Error },
    /// The filter of sessions.
    #[error("cannot make the session's filter")]
    Filter { source: FilterError },
    /// What a file should hold.
    #[error("policy/sandbox.toml: {0}")]
    Policy(String),
}

impl SandboxError {
    pub(super) fn step(action: &'static str) -> impl FnOnce(Errno) -> Self {
        move |source| Self::Step { action, source }
    }

    /// The message and its causes in one line, for the process that made this one.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}
