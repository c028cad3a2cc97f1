//! Plays a recording that the server has made harmless: waits, and writes.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use serde_json::Value;

use super::CliError;
use super::output::note;

/// How fast, and how much; in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// How many times as fast as it was.
    pub(super) speed: f64,
    /// The longest wait for what comes next.
    pub(super) idle_limit: f64,
    /// The end comes after so long.
    pub(super) most: Option<f64>,
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// There is no more of it.
    Over,
    /// No more is wanted of this one.
    Enough,
    /// Somebody wants no more of any.
    Stopped,
}

/// What ends the playing: Ctrl-C, Ctrl-D, q.
const STOPS: [u8; 3] = [3, 4, b'q'];

/// What leaves a terminal as it should be: no colours, all of it scrolls. DECSTBM moves the cursor, so it is kept over that.
const RESTORED: &str = "\u{1b}[0m\u{1b}7\u{1b}[r\u{1b}8\r\n";

/// The keyboard, read key by key while this lives.
struct Keys {
    before: Option<Termios>,
}

impl Keys {
    /// Nobody waits where output is no terminal, and nobody types where input is none.
    fn begin() -> Self {
        let stdin = io::stdin();
        let both = stdin.is_terminal() && io::stdout().is_terminal();
        let before = both.then(|| tcgetattr(&stdin).ok()).flatten();
        if let Some(before) = &before {
            let mut single = before.clone();
            // Without ISIG, Ctrl-C comes as a byte, so that the terminal is put right before the end.
            single
                .local_modes
                .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
            single.special_codes[SpecialCodeIndex::VMIN] = 0;
            single.special_codes[SpecialCodeIndex::VTIME] = 0;
            tcsetattr(&stdin, OptionalActions::Now, &single).ok();
        }
        Self { before }
    }

    fn end(self) {
        if let Some(before) = self.before {
            tcsetattr(io::stdin(), OptionalActions::Now, &before).ok();
        }
    }

    /// Waits, or does not where nobody looks; whether somebody wants no more.
    fn wait(&self, how_long: Duration) -> io::Result<bool> {
        if !io::stdout().is_terminal() {
            return Ok(false);
        }
        let until = std::time::Instant::now().checked_add(how_long);
        loop {
            let left = until.map_or(Duration::MAX, |until| {
                until.saturating_duration_since(std::time::Instant::now())
            });
            if self.before.is_none() {
                std::thread::sleep(left);
                return Ok(false);
            }
            let stdin = io::stdin();
            let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
            let timeout = Timespec::try_from(left).ok();
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => {
                    let mut keys = [0; 64];
                    // Not by way of the standard library's buffer, which poll does not see.
                    let read = rustix::io::read(&stdin, &mut keys)?;
                    let pressed = keys.get(..read).unwrap_or_default();
                    // A terminal that is gone is ready without end.
                    if read == 0 || pressed.iter().any(|key| STOPS.contains(key)) {
                        return Ok(true);
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Plays a recording, all of which is in `cast`: asciicast, version 3.
pub(super) fn play(cast: &[u8], name: &str, pace: &Pace) -> Result<Ending, CliError> {
    let mut lines = cast.split(|byte| *byte == b'\n');
    let header: Value = lines
        .next()
        .and_then(|line| serde_json::from_slice(line).ok())
        .ok_or_else(|| CliError::Failed("the recording does not begin as one".to_owned()))?;
    let size = |pointer| header.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let command = header.get("command").and_then(Value::as_str);
    let command = command.map(|command| format!(": {command}"));
    note(&format!(
        "channel {name}, {}x{}{}",
        size("/term/cols"),
        size("/term/rows"),
        command.unwrap_or_default()
    ));
    let keys = Keys::begin();
    let ended = events(lines, pace, &keys);
    let mut stdout = io::stdout().lock();
    // What was played to its end ends so by itself.
    let restored = match ended {
        Ok((Ending::Over, _)) => Ok(()),
        Ok((Ending::Stopped | Ending::Enough, _)) | Err(_) => stdout.write_all(RESTORED.as_bytes()),
    };
    let restored = restored.and_then(|()| stdout.flush());
    keys.end();
    let (ending, exit) = ended.map_err(CliError::Write)?;
    restored.map_err(CliError::Write)?;
    match exit {
        Some(exit) => note(&format!("ended with status {exit}")),
        None if ending == Ending::Over => note("has no end: it is still recorded, or was cut off"),
        None => {}
    }
    Ok(ending)
}

fn events<'c>(
    lines: impl Iterator<Item = &'c [u8]>,
    pace: &Pace,
    keys: &Keys,
) -> io::Result<(Ending, Option<String>)> {
    let mut stdout = io::stdout().lock();
    let mut left = pace.most.unwrap_or(f64::INFINITY);
    let (mut owed, mut exit) = (0.0, None);
    for line in lines {
        let Ok((after, code, text)) = serde_json::from_slice::<(f64, String, String)>(line) else {
            continue;
        };
        owed += after;
        match code.as_str() {
            "o" => {
                let due = (owed / pace.speed).min(pace.idle_limit / pace.speed);
                owed = 0.0;
                left -= due;
                if left < 0.0 {
                    return Ok((Ending::Enough, None));
                }
                let due = Duration::try_from_secs_f64(due).unwrap_or_default();
                if !due.is_zero() {
                    stdout.flush()?;
                    if keys.wait(due)? {
                        return Ok((Ending::Stopped, None));
                    }
                }
                stdout.write_all(text.as_bytes())?;
            }
            "x" => exit = Some(text),
            "m" if text.starts_with("damaged ") => note(&format!("{text}; there is no more")),
            _ => {}
        }
    }
    Ok((Ending::Over, exit))
}
