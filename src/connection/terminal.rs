//! What a `pty-req` asks for: the terminal's name, its size, and its modes (RFC 4254 §6.2 and §8).

use russh::Pty;

use crate::model::WindowSize;
use crate::sys::pty::{
    ControlModes, InputModes, LocalModes, OutputModes, SpecialCodeIndex as Code, Termios,
};

/// A terminal as the client wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TerminalRequest {
    /// `TERM`, checked.
    pub(super) term: String,
    pub(super) size: WindowSize,
    pub(super) modes: Vec<(Pty, u32)>,
}

/// The longest `TERM`; terminfo's names are far shorter.
const TERM_BYTES: usize = 64;
/// RFC 4254 §8: the code for "no character"; Linux has 0 for that (termios(3), _POSIX_VDISABLE).
const NO_CHARACTER: u32 = 255;

/// `term`, or `dumb` for what is no terminal's name.
pub(super) fn checked_term(term: &str) -> &str {
    let good = (1..=TERM_BYTES).contains(&term.len()) && term.bytes().all(|b| b.is_ascii_graphic());
    if good { term } else { "dumb" }
}

/// Changes `settings` as `modes` say. What Linux does not have is left out, and so are speeds: a pseudo-terminal has
/// none.
pub(super) fn apply(modes: &[(Pty, u32)], settings: &mut Termios) {
    for (mode, value) in modes {
        let on = *value != 0;
        if let Some(code) = special_code(*mode) {
            let character = if *value == NO_CHARACTER { 0 } else { *value };
            if let Ok(character) = u8::try_from(character) {
                settings.special_codes[code] = character;
            }
        } else if let Some(flag) = input_mode(*mode) {
            settings.input_modes.set(flag, on);
        } else if let Some(flag) = local_mode(*mode) {
            settings.local_modes.set(flag, on);
        } else if let Some(flag) = output_mode(*mode) {
            settings.output_modes.set(flag, on);
        } else {
            control_mode(*mode, on, &mut settings.control_modes);
        }
    }
}

fn special_code(mode: Pty) -> Option<Code> {
    Some(match mode {
        Pty::VINTR => Code::VINTR,
        Pty::VQUIT => Code::VQUIT,
        Pty::VERASE => Code::VERASE,
        Pty::VKILL => Code::VKILL,
        Pty::VEOF => Code::VEOF,
        Pty::VEOL => Code::VEOL,
        Pty::VEOL2 => Code::VEOL2,
        Pty::VSTART => Code::VSTART,
        Pty::VSTOP => Code::VSTOP,
        Pty::VSUSP => Code::VSUSP,
        Pty::VREPRINT => Code::VREPRINT,
        Pty::VWERASE => Code::VWERASE,
        Pty::VLNEXT => Code::VLNEXT,
        Pty::VSWTCH => Code::VSWTC,
        Pty::VDISCARD => Code::VDISCARD,
        _ => return None,
    })
}

fn input_mode(mode: Pty) -> Option<InputModes> {
    Some(match mode {
        Pty::IGNPAR => InputModes::IGNPAR,
        Pty::PARMRK => InputModes::PARMRK,
        Pty::INPCK => InputModes::INPCK,
        Pty::ISTRIP => InputModes::ISTRIP,
        Pty::INLCR => InputModes::INLCR,
        Pty::IGNCR => InputModes::IGNCR,
        Pty::ICRNL => InputModes::ICRNL,
        Pty::IUCLC => InputModes::IUCLC,
        Pty::IXON => InputModes::IXON,
        Pty::IXANY => InputModes::IXANY,
        Pty::IXOFF => InputModes::IXOFF,
        Pty::IMAXBEL => InputModes::IMAXBEL,
        Pty::IUTF8 => InputModes::IUTF8,
        _ => return None,
    })
}

fn local_mode(mode: Pty) -> Option<LocalModes> {
    Some(match mode {
        Pty::ISIG => LocalModes::ISIG,
        Pty::ICANON => LocalModes::ICANON,
        Pty::XCASE => LocalModes::XCASE,
        Pty::ECHO => LocalModes::ECHO,
        Pty::ECHOE => LocalModes::ECHOE,
        Pty::ECHOK => LocalModes::ECHOK,
        Pty::ECHONL => LocalModes::ECHONL,
        Pty::NOFLSH => LocalModes::NOFLSH,
        Pty::TOSTOP => LocalModes::TOSTOP,
        Pty::IEXTEN => LocalModes::IEXTEN,
        Pty::ECHOCTL => LocalModes::ECHOCTL,
        Pty::ECHOKE => LocalModes::ECHOKE,
        Pty::PENDIN => LocalModes::PENDIN,
        _ => return None,
    })
}

fn output_mode(mode: Pty) -> Option<OutputModes> {
    Some(match mode {
        Pty::OPOST => OutputModes::OPOST,
        Pty::OLCUC => OutputModes::OLCUC,
        Pty::ONLCR => OutputModes::ONLCR,
        Pty::OCRNL => OutputModes::OCRNL,
        Pty::ONOCR => OutputModes::ONOCR,
        Pty::ONLRET => OutputModes::ONLRET,
        _ => return None,
    })
}

fn control_mode(mode: Pty, on: bool, modes: &mut ControlModes) {
    match mode {
        // One field with four values, of which a client can name two.
        Pty::CS7 | Pty::CS8 if on => {
            modes.remove(ControlModes::CSIZE);
            modes.insert(if mode == Pty::CS7 {
                ControlModes::CS7
            } else {
                ControlModes::CS8
            });
        }
        Pty::PARENB => modes.set(ControlModes::PARENB, on),
        Pty::PARODD => modes.set(ControlModes::PARODD, on),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::pty;

    /// A real terminal's settings; there is no other way to a `Termios`.
    fn settings() -> Termios {
        let dev = std::fs::File::open("/dev/pts").unwrap();
        let master = pty::open_master(dev.as_fd()).unwrap();
        pty::settings(pty::open_peer(master.as_fd()).unwrap().as_fd()).unwrap()
    }

    #[test]
    fn the_modes_of_a_request_are_applied() {
        let mut settings = settings();
        apply(
            &[
                (Pty::VINTR, 7),
                (Pty::VSUSP, 255),
                (Pty::VEOF, 70_000),
                (Pty::ECHO, 0),
                (Pty::IUTF8, 1),
                (Pty::ONLCR, 0),
                (Pty::CS8, 0),
                (Pty::CS7, 1),
                (Pty::TTY_OP_ISPEED, 9600),
                (Pty::VSTATUS, 1),
            ],
            &mut settings,
        );
        assert_eq!(settings.special_codes[Code::VINTR], 7);
        assert_eq!(settings.special_codes[Code::VSUSP], 0);
        assert_eq!(settings.special_codes[Code::VEOF], 4);
        assert!(!settings.local_modes.contains(LocalModes::ECHO));
        assert!(settings.local_modes.contains(LocalModes::ICANON));
        assert!(settings.input_modes.contains(InputModes::IUTF8));
        assert!(!settings.output_modes.contains(OutputModes::ONLCR));
        assert_eq!(
            settings.control_modes & ControlModes::CSIZE,
            ControlModes::CS7
        );
    }

    #[test]
    fn a_term_that_is_no_name_is_dumb() {
        assert_eq!(checked_term("xterm-256color"), "xterm-256color");
        for bad in ["", "a b", "x\x1b[0m", "grün", &"x".repeat(65)] {
            assert_eq!(checked_term(bad), "dumb", "{bad:?}");
        }
    }
}
