use serde::{Deserialize, Serialize};

/// A terminal's size, in characters and in pixels; RFC 4254 §6.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Columns of characters.
    pub columns: u16,
    /// Rows of characters.
    pub rows: u16,
    /// Width in pixels, 0 if unknown.
    pub width_px: u16,
    /// Height in pixels, 0 if unknown.
    pub height_px: u16,
}

impl WindowSize {
    /// From the four numbers of a request; what does not fit a kernel's `winsize` is held at its limit.
    #[must_use]
    pub fn from_request(columns: u32, rows: u32, width_px: u32, height_px: u32) -> Self {
        let hold = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
        Self {
            columns: hold(columns),
            rows: hold(rows),
            width_px: hold(width_px),
            height_px: hold(height_px),
        }
    }
}

/// What a channel runs; RFC 4254 §6.5.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// The login shell.
    Shell,
    /// A command line, given to the shell as `-c`. Any bytes but NUL.
    Command(Vec<u8>),
    /// OpenSSH's `sftp-server`.
    Sftp,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By itself, with this status.
    Status(u8),
    /// By a signal.
    Signal {
        /// The signal's number on this machine.
        number: i32,
        /// Whether a core file was written.
        core: bool,
    },
}

/// What a program used, from wait4(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time in microseconds.
    pub cpu_us: u64,
    /// Largest resident set in KiB.
    pub max_rss_kib: u64,
}

/// The signals that RFC 4254 §6.10 names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are signal(7)'s")]
pub enum Signal {
    Abrt,
    Alrm,
    Fpe,
    Hup,
    Ill,
    Int,
    Kill,
    Pipe,
    Quit,
    Segv,
    Term,
    Usr1,
    Usr2,
}

impl Signal {
    /// The name without `SIG`, as RFC 4254 §6.10 writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Abrt => "ABRT",
            Self::Alrm => "ALRM",
            Self::Fpe => "FPE",
            Self::Hup => "HUP",
            Self::Ill => "ILL",
            Self::Int => "INT",
            Self::Kill => "KILL",
            Self::Pipe => "PIPE",
            Self::Quit => "QUIT",
            Self::Segv => "SEGV",
            Self::Term => "TERM",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
        }
    }

    /// The signal of that name, if RFC 4254 names it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }

    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Abrt,
        Self::Alrm,
        Self::Fpe,
        Self::Hup,
        Self::Ill,
        Self::Int,
        Self::Kill,
        Self::Pipe,
        Self::Quit,
        Self::Segv,
        Self::Term,
        Self::Usr1,
        Self::Usr2,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_window_is_held_at_the_kernels_limit() {
        let size = WindowSize::from_request(u32::MAX, 24, 0, 70_000);
        assert_eq!(
            size,
            WindowSize {
                columns: 65_535,
                rows: 24,
                width_px: 0,
                height_px: 65_535
            }
        );
    }

    #[test]
    fn every_signal_is_found_by_its_name() {
        assert!(
            Signal::ALL
                .into_iter()
                .all(|signal| Signal::from_name(signal.name()) == Some(signal))
        );
        assert_eq!(Signal::from_name("STOP"), None);
    }
}
