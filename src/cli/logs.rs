//! Logs: copied as they come, and followed across a cut.
//!
//! The Supervisor hands the journal's own paging through (systemd-journal-gatewayd(8)): `Range: entries=CURSOR:SKIP:COUNT`,
//! and says the cursor of the first entry it sends. SKIP is a number of entries, and an entry may have several lines, such as a
//! traceback: what is sent is their text, so how many entries were printed is not known, only that there were no more than
//! lines. A log that goes on is asked for from before its last lines, therefore, and these are looked for in what comes.

use std::thread;
use std::time::{Duration, Instant};

use super::CliError;
use super::answer::is_text;
use super::client::{Request, Streamed};
use super::context::Context;
use super::given::{Given, segment};
use super::output::{Fit, From, Lines, note};
use super::tree::Limit;
use crate::policy::endpoints::Parameter;

/// How much is read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// How long is waited before the first attempt to go on, and at most between two.
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// How long a log is tried to be gone on with: an update of the Supervisor takes minutes.
const GIVE_UP: Duration = Duration::from_secs(10 * 60);

const GAP: &str = "the log no longer has what was printed; some lines may be missing or repeated";

/// The longest cursor that is believed; the journal's are below 200 bytes.
const CURSOR_BYTES: usize = 512;

/// Copies the log that was asked for.
pub(super) fn copy(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let follow = given.on("follow");
    let path = path(given, follow)?;
    let request = |range: Option<String>| {
        let limit = if follow {
            Limit::None
        } else {
            Limit::Operation
        };
        let mut request = Request::get(path.clone()).within(limit);
        request.accept = if given.on("verbose") {
            "text/x-log"
        } else {
            "text/plain"
        };
        request.range = range;
        request
    };
    let lines = given.number("lines").filter(|lines| *lines > 0);
    // From the end; the last one counts.
    let range = lines.map(|lines| format!("entries=:-{}:", lines - 1));
    let mut printed = Lines::new(context.printer.screen);
    let opened = open(context, request(range)).map_err(|error| context.helpful(given, error))?;
    let mut ended = read(opened, &mut printed, From::End);
    if !follow {
        return ended.and_then(|_| printed.end());
    }
    let (mut pause, mut lost, mut said) = (FIRST, Instant::now(), false);
    let mut before = 0;
    loop {
        if let Err(error) = ended
            && (error.is_final() || lost.elapsed() > GIVE_UP)
        {
            return Err(error);
        }
        if printed.printed > before {
            (before, pause, lost, said) = (printed.printed, FIRST, Instant::now(), false);
        } else if lost.elapsed() > GIVE_UP {
            return Err(CliError::Failed("the log ends again and again".to_owned()));
        }
        let known = printed.range(From::Tail).is_some();
        let from = match known {
            true if printed.repeats_itself() => From::Place,
            true => From::Tail,
            false => From::End,
        };
        if !std::mem::replace(&mut said, true) {
            note(match known {
                true => "the log broke off; going on from the last line",
                false => "the log broke off; some lines may be missing or repeated",
            });
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST);
        let mut go_on = |from| match printed.range(from) {
            Some(range) => {
                let opened = open(context, request(Some(range)))?;
                read(opened, &mut printed, from)
            }
            None => Ok(Fit::No),
        };
        ended = go_on(from);
        // Entries of very many lines are between: all since the place, once more.
        if let Ok(Fit::No) = ended {
            ended = go_on(From::Place);
        }
        if let Ok(Fit::No) = ended {
            note(GAP);
            ended = go_on(From::End);
        }
    }
}

fn path(given: &Given<'_>, follow: bool) -> Result<String, CliError> {
    let call = given.node.calls.first().copied();
    let mut path = match call {
        Some(call) => given.request_by(call)?.path,
        None => String::new(),
    };
    if let Some(boot) = given.text("boot").filter(|boot| !boot.is_empty()) {
        path = format!("{path}/boots/{}", segment(Parameter::Boot, "--boot", boot)?);
    }
    if let Some(identifier) = given
        .text("identifier")
        .filter(|identifier| !identifier.is_empty())
    {
        path = format!(
            "{path}/identifiers/{}",
            segment(Parameter::Identifier, "--identifier", identifier)?
        );
    }
    if follow {
        path.push_str("/follow");
    }
    Ok(path)
}

fn open(context: &Context, request: Request) -> Result<Streamed, CliError> {
    let opened = context.client.stream(request)?;
    if (200..300).contains(&opened.status()) && is_text(&opened.kind()) {
        Ok(opened)
    } else {
        Err(opened.whole()?.error())
    }
}

/// Prints until the log ends or breaks off.
fn read(mut opened: Streamed, printed: &mut Lines, from: From) -> Result<Fit, CliError> {
    let cursor = opened.header("x-first-cursor").map(str::to_owned);
    let usable = |cursor: &String| {
        cursor.len() <= CURSOR_BYTES
            && cursor
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b':' && b != b',')
    };
    printed.begin(from, cursor.filter(usable))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = opened.read(&mut chunk)?;
        if length == 0 {
            return Ok(Fit::Yes);
        }
        if printed.push(chunk.get(..length).unwrap_or_default())? == Fit::No {
            return Ok(Fit::No);
        }
    }
}
