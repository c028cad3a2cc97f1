use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::CliError;
use super::client::Request;
use super::context::Context;
use super::given::Given;
use super::output::note;
use super::progress::{Line, far};

/// How long is waited before the second look, and at most between two.
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(2);
/// How long the Supervisor may be away meanwhile: it starts anew in a minute or two.
const AWAY: Duration = Duration::from_secs(300);

/// `jobs wait`: until it is done.
pub(super) fn wait(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let began = Instant::now();
    let end = given
        .number("timeout")
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(Duration::from_secs);
    let shown = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&shown);
    let line = Line::begin(context.progress, move || {
        seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    });
    let mut pause = FIRST;
    let (mut known, mut away) = (false, None::<Instant>);
    let job = loop {
        let request: Request = match given.request() {
            Ok(request) => request,
            Err(error) => break Err(error),
        };
        match context.client.ask(request).and_then(|answer| answer.data()) {
            Ok(job) if job.get("done").and_then(Value::as_bool) == Some(true) => {
                break Ok(Some(job));
            }
            Ok(job) => *shown.lock().unwrap_or_else(PoisonError::into_inner) = far(&job),
            // The Supervisor forgets most jobs when they end.
            Err(CliError::Answer { status: 404, .. }) if known => break Ok(None),
            // The Supervisor updates itself and starts, or the network hiccups: a job that is known is asked for again for a
            // while.
            Err(error) if known && !error.is_final() => {
                let since = *away.get_or_insert_with(Instant::now);
                if since.elapsed() >= AWAY || end.is_some_and(|end| began.elapsed() >= end) {
                    break Err(error);
                }
                *shown.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some("the Supervisor is away".to_owned());
                thread::sleep(LONGEST);
                continue;
            }
            Err(error) => break Err(error),
        }
        (known, away) = (true, None);
        if let Some(end) = end.filter(|end| began.elapsed() >= *end) {
            break Err(CliError::Failed(format!(
                "the job is not done after {} s; it goes on",
                end.as_secs()
            )));
        }
        let left = end.map_or(LONGEST, |end| end.saturating_sub(began.elapsed()));
        thread::sleep(pause.min(left).max(Duration::from_millis(10)));
        pause = (pause * 2).min(LONGEST);
    };
    line.end();
    let Some(job) = job.map_err(|error| context.helpful(given, error))? else {
        // It removes most jobs as they end, however they end. Of one that failed the reason was in its log.
        note("the job has ended, and the Supervisor keeps no outcome: look at what it was to do");
        let uuid = given.text("uuid").unwrap_or_default();
        return context
            .printer
            .data(&json!({ "uuid": uuid, "done": true, "outcome": "unknown" }));
    };
    match failure(&job) {
        Some(message) => Err(CliError::Failed(message)),
        None => context.printer.data(&job),
    }
}

/// Why a job that is done failed.
fn failure(job: &Value) -> Option<String> {
    let errors = job.get("errors").and_then(Value::as_array)?;
    let first = errors.first()?;
    let name = job.get("name").and_then(Value::as_str).unwrap_or("the job");
    let message = first
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or("it gave no reason");
    Some(format!("{name} failed: {message}"))
}
