use std::io::{self, Write};
use std::time::Duration;

use super::cast::{Cast, Next};
use super::screen::Screen;

/// How fast, and how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How many times as fast as it was.
    pub speed: f64,
    /// The longest wait for what comes next.
    pub idle_limit: Duration,
    /// The end comes after so long.
    pub most: Option<Duration>,
}

/// Why a recording is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There is no more. With how the program ended, if that is known.
    Whole(Option<String>),
    /// Somebody wants no more.
    Stopped,
    /// It is damaged at this byte.
    Damaged(u64, String),
}

/// Whether to go on after a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// With the next event.
    On,
    /// Nothing more is to be shown.
    Stop,
}

/// Plays a recording on `out`. `wait` waits, or does not, and says whether to go on.
///
/// # Errors
/// What writing and waiting give.
pub fn play(
    cast: &mut Cast,
    pace: &Pace,
    out: &mut impl Write,
    mut wait: impl FnMut(Duration) -> io::Result<Go>,
) -> io::Result<Ending> {
    let mut screen = Screen::new();
    let ending = events(cast, pace, &mut screen, out, &mut wait);
    // Also where something failed: the terminal is the reader's.
    out.write_all(screen.restore().as_bytes())?;
    out.flush()?;
    ending
}

fn events(
    cast: &mut Cast,
    pace: &Pace,
    screen: &mut Screen,
    out: &mut impl Write,
    wait: &mut impl FnMut(Duration) -> io::Result<Go>,
) -> io::Result<Ending> {
    let mut left = pace.most;
    let mut exit = None;
    // Of events that are not shown.
    let mut owed = Duration::ZERO;
    loop {
        let event = match cast.next_event() {
            Next::End => return Ok(Ending::Whole(exit)),
            Next::Damaged(at, why) => return Ok(Ending::Damaged(at, why)),
            Next::Event(event) => event,
        };
        owed = owed.saturating_add(event.after);
        match event.code.as_str() {
            "o" => {
                let due = owed.min(pace.idle_limit).div_f64(pace.speed);
                owed = Duration::ZERO;
                if left.is_some_and(|left| left < due) {
                    return Ok(Ending::Stopped);
                }
                left = left.map(|left| left.saturating_sub(due));
                if !due.is_zero() {
                    out.flush()?;
                    if wait(due)? == Go::Stop {
                        return Ok(Ending::Stopped);
                    }
                }
                out.write_all(screen.pass(&event.text).as_bytes())?;
            }
            "x" => exit = Some(event.text),
            // Input, sizes, markers, the exact bytes of what is no UTF-8.
            _ => {}
        }
    }
}
