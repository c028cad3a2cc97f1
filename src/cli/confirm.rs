//! What is asked of the person at the terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};

use super::CliError;
use super::given::Given;
use super::output::to_stderr;

/// How often one may answer otherwise.
const TRIES: usize = 2;

/// The longest line that is read.
const LINE_BYTES: u64 = 4096;

/// Asks for YES, unless `--yes` says it.
pub(super) fn ask(question: &str, given: &Given<'_>) -> Result<(), CliError> {
    if given.on("yes") {
        return Ok(());
    }
    to_stderr(&format!("{question}\n"));
    for _ in 0..TRIES {
        match line("Type YES to go on: ")?.as_deref().map(str::trim) {
            Some(answer) if answer.eq_ignore_ascii_case("yes") => return Ok(()),
            Some(answer) if !answer.to_ascii_lowercase().starts_with('n') => {}
            _ => break,
        }
    }
    Err(CliError::Failed("aborted: nothing was done".to_owned()))
}

/// A line of standard input; `None` at its end.
pub(super) fn line(prompt: &str) -> Result<Option<String>, CliError> {
    to_stderr(prompt);
    let mut text = String::new();
    let read = io::stdin().lock().take(LINE_BYTES).read_line(&mut text);
    match read.map_err(CliError::Read)? {
        0 => {
            to_stderr("\n");
            Ok(None)
        }
        _ => Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned())),
    }
}

/// A line that is not shown while it is typed.
pub(super) fn secret(prompt: &str) -> Result<Option<String>, CliError> {
    let stdin = io::stdin();
    let terminal = stdin
        .is_terminal()
        .then(|| tcgetattr(&stdin).ok())
        .flatten();
    let Some(before) = terminal else {
        return line(prompt);
    };
    let mut silent = before.clone();
    // Without ISIG, Ctrl-C comes as a byte, so that the terminal is put right before the end.
    silent
        .local_modes
        .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    silent.special_codes[SpecialCodeIndex::VMIN] = 1;
    silent.special_codes[SpecialCodeIndex::VTIME] = 0;
    let set = |modes| {
        tcsetattr(&stdin, OptionalActions::Flush, modes)
            .map_err(|error| CliError::Read(error.into()))
    };
    set(&silent)?;
    to_stderr(prompt);
    let typed = typed();
    let restored = set(&before);
    to_stderr("\n");
    restored?;
    typed
}

fn typed() -> Result<Option<String>, CliError> {
    const INTERRUPT: u8 = 3;
    const END: u8 = 4;
    const BACKSPACES: [u8; 2] = [8, 127];
    let mut bytes = Vec::new();
    for byte in io::stdin().lock().bytes().take(4096) {
        match byte.map_err(CliError::Read)? {
            INTERRUPT => return Err(CliError::Failed("aborted: nothing was done".to_owned())),
            END if bytes.is_empty() => return Ok(None),
            b'\n' | b'\r' => return Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            byte if BACKSPACES.contains(&byte) => {
                // The last character, however many bytes it has.
                while let Some(last) = bytes.pop() {
                    if last & 0xc0 != 0x80 {
                        break;
                    }
                }
            }
            byte => bytes.push(byte),
        }
    }
    Ok(None)
}
