use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::parser::Progress;

/// What takes less is not worth a line.
const QUIET: Duration = Duration::from_secs(1);

/// How often the line is drawn.
const FRAME: Duration = Duration::from_millis(125);

const FRAMES: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// A line on standard error that says that something takes long, until it is ended.
pub(super) struct Line(Option<(Sender<()>, JoinHandle<()>)>);

impl Line {
    /// Begins to wait; nothing is drawn where nobody would see it.
    pub(super) fn begin(progress: Progress) -> Self {
        let shown = progress == Progress::Shown && io::stderr().is_terminal();
        Self(shown.then(|| {
            let (done, waiting) = mpsc::channel();
            let draw = move || {
                let began = Instant::now();
                let mut wait = QUIET;
                for frame in FRAMES.iter().cycle() {
                    match waiting.recv_timeout(wait) {
                        Err(RecvTimeoutError::Timeout) => {}
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                    }
                    wait = FRAME;
                    to_stderr(&format!(
                        "\r{frame} Processing... {} s",
                        began.elapsed().as_secs()
                    ));
                }
                if wait == FRAME {
                    to_stderr("\r\u{1b}[K");
                }
            };
            (done, thread::spawn(draw))
        }))
    }

    /// Takes the line away; it must be gone before anything else is printed.
    pub(super) fn end(self) {
        if let Some((done, thread)) = self.0 {
            drop(done);
            // A thread that panicked draws no more either.
            thread.join().unwrap_or_default();
        }
    }
}

fn to_stderr(text: &str) {
    // Only decoration.
    io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}
