//! How a program's end is told to the client: RFC 4254 §6.10.

use nix::sys::signal::Signal as Kernel;
use russh::Sig;

use crate::model::{Exit, Signal};

/// Session-init ends by SIGKILL alone.
pub(super) const KILLED: Exit = Exit::Signal {
    number: 9,
    core: false,
};

/// What the client is told of an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Status(u32),
    /// And whether there is a core.
    Signal(Signal, bool),
}

/// Signals that RFC 4254 does not name become what a shell would make of them.
pub(super) fn answer(exit: Exit) -> Answer {
    match exit {
        Exit::Status(status) => Answer::Status(status.into()),
        Exit::Signal { number, core } => {
            let name = Kernel::try_from(number).ok().map(Kernel::as_str);
            let named = name
                .and_then(|name| name.strip_prefix("SIG"))
                .and_then(Signal::from_name);
            match named {
                Some(signal) => Answer::Signal(signal, core),
                None => Answer::Status(u32::try_from(number).unwrap_or(0).saturating_add(128)),
            }
        }
    }
}

/// As russh has it.
pub(super) fn signal_of(signal: Signal) -> Sig {
    match signal {
        Signal::Abrt => Sig::ABRT,
        Signal::Alrm => Sig::ALRM,
        Signal::Fpe => Sig::FPE,
        Signal::Hup => Sig::HUP,
        Signal::Ill => Sig::ILL,
        Signal::Int => Sig::INT,
        Signal::Kill => Sig::KILL,
        Signal::Pipe => Sig::PIPE,
        Signal::Quit => Sig::QUIT,
        Signal::Segv => Sig::SEGV,
        Signal::Term => Sig::TERM,
        Signal::Usr1 => Sig::USR1,
        Signal::Usr2 => Sig::Custom("USR2".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_told_as_rfc_4254_has_it() {
        let core = false;
        let cases = [
            (Exit::Status(0), Answer::Status(0)),
            (Exit::Status(255), Answer::Status(255)),
            (
                Exit::Signal { number: 15, core },
                Answer::Signal(Signal::Term, false),
            ),
            (
                Exit::Signal {
                    number: 11,
                    core: true,
                },
                Answer::Signal(Signal::Segv, true),
            ),
            (Exit::Signal { number: 7, core }, Answer::Status(135)),
            (Exit::Signal { number: 40, core }, Answer::Status(168)),
            (Exit::Signal { number: -1, core }, Answer::Status(128)),
        ];
        for (exit, expected) in cases {
            assert_eq!(answer(exit), expected, "{exit:?}");
        }
    }
}
