//! `session list|show|replay|kill`: what the audit trail has of sessions, by way of the broker. Others than one's own are
//! there only for roles that may see them; that is the server's to say.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::CliError;
use super::client::{Request, Streamed};
use super::context::Context;
use super::given::{Given, query_value};
use super::output::{Format, note, print};
use super::player::{self, Pace};
use super::tree::{Call, Method, get, post};
use crate::wire::ApiFault;
use crate::wire::limits::RECORDING_SESSION_BYTES;

pub(super) const LIST: Call = get("/sshd/sessions");
pub(super) const SHOW: Call = get("/sshd/sessions/{session}");
pub(super) const REPLAY: Call = get("/sshd/sessions/{session}/recordings/{recording}");
pub(super) const KILL: Call = post("/sshd/sessions/{session}/kill");

/// What a filter is called, as an option and in a query.
const FILTERS: [&str; 7] = ["user", "key", "source", "since", "until", "type", "text"];

/// How much of an id is shown where that names one session alone.
const SHORT_ID: usize = 13;

/// `session list`.
pub(super) fn list(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    context.inside()?;
    let mut request = given.request_by(LIST)?;
    let mut query = Vec::new();
    for name in FILTERS {
        let value = given.text(name).filter(|value| !value.is_empty());
        query.extend(value.map(|value| format!("{name}={}", query_value(value))));
    }
    if given.on("ignore-case") {
        query.push("ignore_case=".to_owned());
    }
    query.extend(given.number("newest").map(|n| format!("newest={n}")));
    if !query.is_empty() {
        request.path = format!("{}?{}", request.path, query.join("&"));
    }
    let answer = context.ask(given, request)?;
    if context.printer.format == Format::Raw {
        return context.printer.answer(&answer);
    }
    let data = answer.data()?;
    for place in data
        .get("not_read")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        note(&format!("not read: {}", place.as_str().unwrap_or_default()));
    }
    let sessions = data.get("sessions").and_then(Value::as_array);
    let shown = sessions.map_or(0, Vec::len);
    let found = data.get("found").and_then(Value::as_u64).unwrap_or(0);
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    if context.printer.format != Format::Table || context.printer.query.is_some() {
        return context.printer.data(&data);
    }
    if shown < found {
        note(&format!(
            "the newest {shown} of {found}; --newest shows more"
        ));
    }
    if shown == 0 {
        note("no session fits");
        return Ok(());
    }
    let rows = sessions.map(|sessions| rows(sessions)).unwrap_or_default();
    context.printer.data(&json!({ "sessions": rows }))
}

/// The columns that a person looks for.
fn rows(sessions: &[Value]) -> Vec<Value> {
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    let text = |session: &Value, name: &str| {
        let text = session.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let short = |session: &Value| {
        let sid = text(session, "sid");
        sid.get(..SHORT_ID).unwrap_or(&sid).to_owned()
    };
    let (mut seen, mut twice) = (HashSet::new(), HashSet::new());
    for session in sessions {
        let id = short(session);
        if !seen.insert(id.clone()) {
            twice.insert(id);
        }
    }
    let row = |session: &Value| {
        let id = short(session);
        let started = text(session, "started").parse::<Timestamp>();
        let started = started.map(|at| {
            let at = zone.to_datetime(at);
            at.strftime("%Y-%m-%d %H:%M:%S").to_string()
        });
        let count = |name: &str| session.get(name).cloned().unwrap_or_default();
        let key = text(session, "key");
        let key = key
            .split_once(' ')
            .map_or(key.as_str(), |(_, comment)| comment);
        let seconds = session
            .get("duration_ms")
            .and_then(Value::as_u64)
            .unwrap_or(0)
            / 1000;
        let mut row = Map::new();
        let mut put = |name: &str, value: Value| row.insert(name.to_owned(), value);
        put(
            "session",
            if twice.contains(&id) {
                text(session, "sid")
            } else {
                id
            }
            .into(),
        );
        put("started", started.unwrap_or_default().into());
        put("seconds", seconds.into());
        put("role", text(session, "role").into());
        put("from", text(session, "ip").into());
        put("key", key.into());
        put("ended", text(session, "end").into());
        put("calls", count("api_calls"));
        put("refused", count("denials"));
        put("first", session.get("first").cloned().unwrap_or_default());
        Value::Object(row)
    };
    sessions.iter().map(row).collect()
}

/// `session show`.
pub(super) fn show(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    context.inside()?;
    if context.printer.query.is_some() {
        return Err(CliError::usage(
            "--query is for answers that are one value",
            "--output json gives JSON Lines, which jq reads",
        ));
    }
    let json = matches!(context.printer.format, Format::Json | Format::Raw);
    let form = if json { "json" } else { "text" };
    let text = fetch(context, asked(given, form)?)?;
    context.printer.text(&text)
}

fn asked(given: &Given<'_>, form: &str) -> Result<Request, CliError> {
    let mut request = given.request_by(SHOW)?;
    request.path = format!("{}?format={form}", request.path);
    Ok(request)
}

/// All of an answer that is no JSON envelope: as long as a session's records or recordings may be.
fn fetch(context: &Context, request: Request) -> Result<Vec<u8>, CliError> {
    let mut opened: Streamed = context.client.stream(request)?;
    if opened.status() != 200 {
        return Err(opened.whole()?.error());
    }
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 * 1024];
    loop {
        match opened.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => bytes.extend_from_slice(buffer.get(..read).unwrap_or_default()),
        }
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > 2 * RECORDING_SESSION_BYTES {
            return Err(CliError::Failed(
                "it is longer than a session may be".to_owned(),
            ));
        }
    }
}

/// `session replay`.
pub(super) fn replay(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    context.inside()?;
    let pace = Pace {
        speed: number(given, "speed", 0.01..=1000.0)?.unwrap_or(1.0),
        idle_limit: number(given, "idle-limit", 0.0..=1e6)?.unwrap_or(2.0),
        most: number(given, "max", 0.0..=1e6)?,
    };
    let session = given.text("session").unwrap_or_default();
    let one = given.text("recording").map(str::to_owned);
    let all = one.is_none();
    let names = match one {
        Some(name) => vec![name],
        None => recordings(context, given)?,
    };
    let (mut gone, mut shown) = (None, 0);
    for name in names {
        let path = super::given::fill(REPLAY, &[("session", session), ("recording", &name)])?;
        let cast = match fetch(context, Request::new(Method::Get, path)) {
            // Kept for a shorter time than the record of it, or deleted.
            Err(error) if all && is_gone(&error) => {
                gone = Some(error);
                continue;
            }
            fetched => fetched?,
        };
        shown += 1;
        if context.printer.format == Format::Raw {
            print(&cast)?;
            continue;
        }
        match player::play(&cast, &name, &pace)? {
            player::Ending::Over | player::Ending::Enough => {}
            player::Ending::Stopped => break,
        }
    }
    match gone {
        Some(error) if shown == 0 => Err(error),
        Some(_) => {
            note("further recordings of it are not kept any more");
            Ok(())
        }
        None => Ok(()),
    }
}

fn is_gone(error: &CliError) -> bool {
    matches!(
        error,
        CliError::Answer {
            fault: Some(ApiFault::NotThere),
            ..
        }
    )
}

/// The names of all recordings that a session has on record, as they began.
fn recordings(context: &Context, given: &Given<'_>) -> Result<Vec<String>, CliError> {
    let lines = fetch(context, asked(given, "json")?)?;
    let mut names = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Ok(record) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        if record.get("type").and_then(Value::as_str) == Some("recording.start")
            && let Some(file) = record.pointer("/d/file").and_then(Value::as_str)
            && let Some(name) = file
                .rsplit('/')
                .next()
                .and_then(|name| name.strip_suffix(".cast"))
        {
            names.push(name.to_owned());
        }
    }
    match names.is_empty() {
        true => Err(CliError::Failed(
            "nothing of this session was recorded".to_owned(),
        )),
        false => Ok(names),
    }
}

fn number(
    given: &Given<'_>,
    name: &'static str,
    range: std::ops::RangeInclusive<f64>,
) -> Result<Option<f64>, CliError> {
    let Some(text) = given.text(name) else {
        return Ok(None);
    };
    let number = text
        .parse::<f64>()
        .ok()
        .filter(|number| range.contains(number));
    let number = number.ok_or_else(|| {
        CliError::usage(
            format!("--{name} {text} is no number that would do"),
            format!("it is from {} to {}", range.start(), range.end()),
        )
    })?;
    Ok(Some(number))
}

/// `session kill`.
pub(super) fn kill(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    context.inside()?;
    let answer = context.ask(given, given.request_by(KILL)?)?;
    context.finish(given, &answer)
}
