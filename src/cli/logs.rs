//! Logs: copied as they come, and followed across a cut.
//!
//! The Supervisor hands the journal's own paging through (systemd-journal-gatewayd(8)): `Range: entries=CURSOR:SKIP:COUNT`,
//! and says the cursor of the first line it sends. So the place to go on from is that cursor and the number of lines since.

use std::thread;
use std::time::{Duration, Instant};

use super::CliError;
use super::answer::is_text;
use super::client::{Request, Streamed};
use super::context::Context;
use super::given::{Given, segment};
use super::output::{Lines, note};
use super::tree::Limit;
use crate::policy::endpoints::Parameter;

/// How much is read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// How long is waited before the first attempt to go on, and at most between two.
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// How long a log is tried to be gone on with: an update of the Supervisor takes minutes.
const GIVE_UP: Duration = Duration::from_secs(10 * 60);

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
    let mut place = None;
    let opened = open(context, request(range)).map_err(|error| context.helpful(given, error))?;
    let mut ended = read(opened, &mut printed, &mut place);
    if !follow {
        return ended.and_then(|()| printed.end());
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
        if !std::mem::replace(&mut said, true) {
            note(match place {
                Some(_) => "the log broke off; going on from the last line",
                None => "the log broke off; some lines may be missing or repeated",
            });
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST);
        // From the last line once more: it is there for sure, and a journal that is asked for what comes after its
        // end gives its last line again.
        let skip = printed.count.saturating_sub(1);
        let range = match &place {
            Some(cursor) => format!("entries={cursor}:{skip}:"),
            None => "entries=:-1:".to_owned(),
        };
        ended = open(context, request(Some(range))).and_then(|opened| {
            printed.resume(skip)?;
            read(opened, &mut printed, &mut place)
        });
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
fn read(
    mut opened: Streamed,
    printed: &mut Lines,
    place: &mut Option<String>,
) -> Result<(), CliError> {
    let cursor = opened.header("x-first-cursor").map(str::to_owned);
    let usable = |cursor: &String| {
        cursor.len() <= CURSOR_BYTES
            && cursor
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b':' && b != b',')
    };
    if let Some(cursor) = cursor.filter(usable) {
        *place = Some(cursor);
        printed.count = 0;
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = opened.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        printed.push(chunk.get(..length).unwrap_or_default())?;
    }
}
