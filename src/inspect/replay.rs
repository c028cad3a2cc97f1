use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use hassio_sshd::audit::read::replay::{
    Cast, Ending, Go, Header, Pace, Recording, play, recordings,
};
use hassio_sshd::audit::read::{ReadError, SessionFile, Trail, shown};
use hassio_sshd::config::ReplayArguments;
use hassio_sshd::sys::wait;
use nix::sys::signal::Signal;

use super::{Failure, look, open, problems, say, stdout};
use crate::FAILURE;

/// `audit replay`.
pub(super) fn replay(arguments: &ReplayArguments) -> Result<u8, Failure> {
    let trail = open(&arguments.trail)?;
    let file = trail.find(&arguments.session)?;
    let found = chosen(&trail, file, arguments.channel.as_deref())?;
    let seconds = |value: f64| Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX);
    let pace = Pace {
        speed: arguments.speed,
        idle_limit: seconds(arguments.idle_limit),
        most: arguments.max.map(seconds),
    };
    // From here on Ctrl-C is read, so that the terminal is left as it should be.
    let signals = wait::signals(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])
        .map_err(io::Error::from)?;
    let is_terminal = io::stdout().is_terminal();
    let pause = |how_long: Duration| {
        let until = if is_terminal {
            Instant::now().checked_add(how_long)
        } else {
            Some(Instant::now())
        };
        let ended = wait::readable(&[signals.as_fd()], until)?;
        Ok(match ended.as_slice() {
            [true, ..] => Go::Stop,
            _ => Go::On,
        })
    };
    let mut status = 0;
    for recording in &found {
        let mut cast = match Cast::open(&trail, recording) {
            Ok(cast) => cast,
            Err(error) => {
                say(&error.to_string());
                status = FAILURE;
                continue;
            }
        };
        announce(recording, &cast.header);
        let mut out = stdout();
        let ending = play(&mut cast, &pace, &mut out, pause)?;
        drop(out);
        match ending {
            Ending::Whole(Some(exit)) => say(&format!("ended with status {}", shown(&exit))),
            Ending::Whole(None) => say("has no end: it is still recorded, or was cut off"),
            Ending::Stopped => break,
            Ending::Damaged(at, why) => {
                let id = recording.id();
                say(&format!(
                    "{id}: damaged at byte {at}: {why}; nothing after that is played"
                ));
                status = FAILURE;
            }
        }
    }
    Ok(problems(&trail).max(status))
}

/// The recordings that are asked for; at least one.
pub(super) fn chosen(
    trail: &Trail,
    file: SessionFile,
    channel: Option<&str>,
) -> Result<Vec<Recording>, ReadError> {
    let mut found = recordings(trail, file);
    if let Some(channel) = channel {
        found.retain(|recording| recording.name() == channel);
    }
    if found.is_empty() {
        let what = match channel {
            Some(channel) => format!("channel {} of session {}", shown(channel), file.sid),
            None => format!("session {}", file.sid),
        };
        return Err(ReadError::NoRecording(what));
    }
    Ok(found)
}

fn announce(recording: &Recording, header: &Header) {
    let mut text = format!(
        "channel {}, {}x{}",
        recording.name(),
        header.columns,
        header.rows
    );
    if let Some(command) = &header.command {
        text.push_str(&format!(": {}", shown(command)));
    }
    if look()
        .columns
        .is_some_and(|columns| columns < usize::from(header.columns))
    {
        text.push_str("; this terminal is narrower, so it will look wrong where lines are long");
    }
    say(&text);
    io::stderr().flush().ok();
}
