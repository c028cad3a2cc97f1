//! Commands whose request the table cannot say by itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::CliError;
use super::client::Request;
use super::confirm;
use super::context::Context;
use super::given::Given;
use super::output::{Format, note};
use super::settings::truth;
use super::tree::{Call, Opt, get, post, switch};

/// What is asked for otherwise.
pub(super) const YES: Opt = switch("yes", "Do not ask").short('y');

/// `session`: the calls by area, where a person reads it.
pub(super) fn session(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    context.inside()?;
    let answer = context.ask(given, given.request()?)?;
    if context.printer.format != Format::Table || context.printer.query.is_some() {
        return context.printer.answer(&answer);
    }
    let mut data = answer.data()?;
    if let Some(calls) = data.get_mut("calls") {
        let mut areas: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for name in calls
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            let (area, call) = name.split_once('.').unwrap_or(("", name));
            areas.entry(area.to_owned()).or_default().push(call.into());
        }
        *calls = json!(areas);
    }
    context.printer.data(&data)
}

/// `audio volume`: louder, or silent, which is another call.
pub(super) fn volume(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let muted = match (given.on("mute"), given.on("unmute")) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    };
    if muted.is_none() && given.number("volume").is_none() {
        return Err(CliError::usage(
            "nothing to change",
            "give --volume, --mute or --unmute",
        ));
    }
    let mut body = given.body().unwrap_or_else(|| json!({}));
    if let (Some(muted), Some(members)) = (muted, body.as_object_mut()) {
        members.insert("active".to_owned(), muted.into());
    }
    // In the order of the table: the device, its program; both once more for silence.
    let index = usize::from(given.on("application")) + 2 * usize::from(muted.is_some());
    let call = given.node.calls.get(index).copied().unwrap_or(get("/"));
    send(context, given, given.request_by(call)?.with(&body))
}

/// `supervisor options`: flags of features are an object.
pub(super) fn supervisor_options(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let mut flags = Map::new();
    for flag in given.list("feature-flag") {
        let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
        let value = truth(value).ok_or_else(|| {
            CliError::usage(
                format!("--feature-flag {flag} is neither true nor false"),
                "write NAME or NAME=false",
            )
        })?;
        flags.insert(name.to_owned(), value.into());
    }
    let flags_given = !flags.is_empty();
    let mut body = given.body().unwrap_or_else(|| json!({}));
    if let (true, Some(members)) = (flags_given, body.as_object_mut()) {
        members.insert("feature_flags".to_owned(), Value::Object(flags));
    }
    let request = match flags_given {
        true => given.request_by(post("/supervisor/options"))?.with(&body),
        false => given.request()?,
    };
    send(context, given, request)
}

/// `docker registries add`: the host is a name in the body.
pub(super) fn add_registry(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let text = |name| given.text(name).unwrap_or_default();
    let account = json!({ "username": text("username"), "password": text("password") });
    let body = json!({ text("hostname"): account });
    send(context, given, given.request()?.with(&body))
}

/// `os boot-slot`: `other` is the one that the system did not start from.
pub(super) fn boot_slot(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let wanted = given.text("slot").unwrap_or_default();
    let slot = match wanted.to_ascii_uppercase().as_str() {
        slot @ ("A" | "B") => slot.to_owned(),
        "OTHER" => {
            let info = context.client.ask(Request::get("/os/info"))?.data()?;
            let slots = info.get("boot_slots").and_then(Value::as_object);
            let inactive = |(_, slot): &(&String, &Value)| {
                slot.get("state").and_then(Value::as_str) != Some("booted")
            };
            let other = slots.and_then(|slots| slots.iter().find(inactive));
            let (name, _) = other
                .ok_or_else(|| CliError::Failed("this system has no other boot slot".to_owned()))?;
            name.clone()
        }
        _ => {
            return Err(CliError::usage(
                format!("'{wanted}' is no boot slot"),
                "it is A, B or other",
            ));
        }
    };
    let request = given.request_by(post("/os/boot-slot"))?;
    send(context, given, request.with(&json!({ "boot_slot": slot })))
}

const FIRMWARE: Call = get("/os/boards/raspberrypi/firmware");

/// `os boards raspberrypi firmware`: its versions are times.
pub(super) fn firmware(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let answer = context.ask(given, given.request_by(FIRMWARE)?)?;
    if context.printer.format == Format::Raw {
        return context.printer.answer(&answer);
    }
    let mut data = answer.data()?;
    for (name, value) in data.as_object_mut().into_iter().flatten() {
        if let (true, Some(second)) = (name.contains("version"), value.as_i64())
            && let Ok(time) = jiff::Timestamp::from_second(second)
        {
            *value = time.to_string().into();
        }
    }
    context.printer.data(&data)
}

/// `os boards raspberrypi firmware update`: looks first whether there is anything to do.
pub(super) fn update_firmware(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let status = context.client.ask(given.request_by(FIRMWARE)?)?.data()?;
    let is = |word: &str| {
        let members = status.as_object();
        members.into_iter().flatten().any(|(name, value)| {
            let state = name.ends_with("status") || name.ends_with("state");
            (name.contains(word) && value.as_bool() == Some(true))
                || (state && value.as_str().is_some_and(|value| value.contains(word)))
        })
    };
    if is("blocked") {
        return Err(CliError::Failed(
            "the firmware cannot be updated on this board".to_owned(),
        ));
    }
    if is("pending") {
        note("the update is already prepared: it happens at the machine's next start");
        return Ok(());
    }
    let newest = status.get("update_available").and_then(Value::as_bool) == Some(false);
    if newest || is("up_to_date") || is("up-to-date") {
        note("the firmware is up to date");
        return Ok(());
    }
    context.confirm(
        "This writes new firmware at the machine's next start. A power cut at that moment can leave the board unusable.",
        given,
    )?;
    send(
        context,
        given,
        given.request_by(post("/os/boards/raspberrypi/firmware/update"))?,
    )
}

const USERS: Call = get("/auth/list");

const RESET: Call = post("/auth/reset");

const CONSOLE_ONLY: &str =
    "the Supervisor keeps this from apps: it works on the host's console only";

/// `authentication list`.
pub(super) fn list_users(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let answer = context.ask(given, given.request_by(USERS)?)?;
    context.printer.answer(&answer).map_err(console_only)
}

/// `authentication reset`: asks for what was not given.
pub(super) fn reset_password(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    if context.is_refused(RESET) {
        let answer = context.ask(given, given.request_by(RESET)?)?;
        return context.printer.answer(&answer);
    }
    let interactive = given.on("interactive");
    let missing = |name| {
        CliError::usage(
            format!("--{name} is missing"),
            "or let it ask, with --interactive",
        )
    };
    let username = match given.text("username") {
        Some(username) => username.to_owned(),
        None if interactive => {
            let users = context
                .client
                .ask(given.request_by(USERS)?)?
                .data()
                .map_err(console_only)?;
            let names: Vec<_> = users
                .pointer("/users")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|user| user.get("username").and_then(Value::as_str))
                .collect();
            note(&format!("users: {}", names.join(", ")));
            asked(confirm::line("Username: ")?)?
        }
        None => return Err(missing("username")),
    };
    let password = match given.text("password") {
        Some(password) => password.to_owned(),
        None if interactive => {
            let first = asked(confirm::secret("New password: ")?)?;
            let again = asked(confirm::secret("Once more: ")?)?;
            if first != again {
                return Err(CliError::Failed(
                    "the two are not the same: nothing was done".to_owned(),
                ));
            }
            first
        }
        None => return Err(missing("password")),
    };
    let body = json!({ "username": username, "password": password });
    let answer = context.ask(given, given.request_by(RESET)?.with(&body))?;
    context.printer.answer(&answer).map_err(console_only)
}

fn asked(typed: Option<String>) -> Result<String, CliError> {
    typed
        .filter(|text| !text.is_empty())
        .ok_or_else(|| CliError::Failed("aborted: nothing was done".to_owned()))
}

fn console_only(error: CliError) -> CliError {
    match error {
        // Not a refusal of our own server's, which says more.
        CliError::Answer {
            message,
            status: 403,
            fault: None,
            ..
        } => CliError::Answer {
            message,
            status: 403,
            fault: None,
            hint: Some(CONSOLE_ONLY.to_owned()),
        },
        error => error,
    }
}

fn send(context: &Context, given: &Given<'_>, request: Request) -> Result<(), CliError> {
    let answer = context.ask(given, request)?;
    context.finish(given, &answer)
}
