use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, Request};
use super::context::{is_refused, subject};
use super::given::Given;
use super::output::seconds;
use super::tree::{Call, get};
use crate::model::escape;

/// What takes less is not worth a line.
const QUIET: Duration = Duration::from_secs(1);

/// How often the line is drawn.
const FRAME: Duration = Duration::from_millis(125);

/// How often somebody is asked how far it is.
const LOOK: Duration = Duration::from_secs(1);

const FRAMES: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Where it is said.
const JOBS: Call = get("/jobs/info");

/// How much of a job's stage is shown.
const STAGE_BYTES: usize = 40;

/// A line on standard error that says that something takes long, until it is ended.
pub(super) struct Line(Option<(Sender<()>, JoinHandle<()>)>);

impl Line {
    /// Begins to wait; `how_far` is asked about once a second. Nothing is drawn where nobody would see it.
    pub(super) fn begin(
        shown: bool,
        how_far: impl Fn() -> Option<String> + Send + 'static,
    ) -> Self {
        Self(shown.then(|| {
            let (done, waiting) = mpsc::channel();
            let draw = move || {
                let began = Instant::now();
                let mut wait = QUIET;
                let mut looked: Option<Instant> = None;
                let mut far = String::new();
                for frame in FRAMES.iter().cycle() {
                    match waiting.recv_timeout(wait) {
                        Err(RecvTimeoutError::Timeout) => {}
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                    }
                    wait = FRAME;
                    if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                        far = how_far().map_or_else(String::new, |far| format!(" {far}"));
                        looked = Some(Instant::now());
                    }
                    let elapsed = seconds(began.elapsed().as_secs());
                    to_stderr(&format!("\r\u{1b}[K{frame} Processing...{far} {elapsed}"));
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

/// The Supervisor's job that shows how far a command is.
pub(super) struct Watch {
    client: Client,
    parts: &'static [&'static str],
    reference: Option<String>,
    /// Whether our server refuses to say how far it is: it puts each question that it refuses on record, so what may be
    /// asked is looked up first.
    refused: OnceLock<bool>,
}

impl Watch {
    /// `None` for a command without a job.
    pub(super) fn of(given: &Given<'_>, client: &Client) -> Option<Self> {
        let parts = given.node.job;
        (!parts.is_empty()).then(|| Self {
            client: client.another(),
            parts,
            reference: subject(given).map(|(_, word)| word.to_owned()),
            refused: OnceLock::new(),
        })
    }

    /// How far it is, if the Supervisor knows and we may ask.
    pub(super) fn look(&self) -> Option<String> {
        if *self.refused.get_or_init(|| is_refused(&self.client, JOBS)) {
            return None;
        }
        let answer = self.client.ask(Request::get(JOBS.path).at_most(LOOK));
        let data = answer.and_then(|answer| answer.data()).ok()?;
        self.find(data.get("jobs")?).and_then(far)
    }

    fn find<'v>(&self, jobs: &'v Value) -> Option<&'v Value> {
        jobs.as_array()?.iter().find_map(|job| {
            let name = job.get("name").and_then(Value::as_str).unwrap_or_default();
            let reference = job.get("reference").and_then(Value::as_str);
            let ours = self.parts.iter().all(|part| name.contains(part))
                && job.get("done").and_then(Value::as_bool) == Some(false)
                && (reference.is_none()
                    || self.reference.is_none()
                    || reference == self.reference.as_deref());
            if ours {
                Some(job)
            } else {
                job.get("child_jobs")
                    .and_then(|children| self.find(children))
            }
        })
    }
}

/// `45 % docker_config`
pub(super) fn far(job: &Value) -> Option<String> {
    let percent = job.get("progress").and_then(Value::as_f64)?;
    let stage = job.get("stage").and_then(Value::as_str).unwrap_or_default();
    let text = format!("{percent:.0} % {}", escape(stage.as_bytes(), STAGE_BYTES));
    Some(text.trim_end().to_owned())
}

fn to_stderr(text: &str) {
    // Only decoration.
    io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}
