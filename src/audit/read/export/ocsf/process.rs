//! Programs of a session.

use serde_json::{Value, json};

use super::began::Began;
use super::draft::{Draft, integer, put, text};

/// Gives an event what Process Activity has.
pub(super) fn event(draft: &mut Draft<'_>, programs: &mut Began<Value>) {
    let record = draft.record;
    let (sid, channel) = (record.text("sid"), record.channel());
    if record.kind() == "exec.end" {
        let program = channel.and_then(|channel| programs.end(sid, channel));
        let program = program.unwrap_or_else(|| program_of(draft));
        draft.set("process", program);
        ended(draft);
        return;
    }
    let program = program_of(draft);
    draft.set("process", program.clone());
    // Fork and exec in one.
    draft.set("launch_type_id", 1);
    if let Some(channel) = channel {
        programs.remember(sid, channel, program);
    }
}

/// The program that a record tells of. It is named after its channel: there is one in each.
fn program_of(draft: &mut Draft<'_>) -> Value {
    let record = draft.record;
    let channel = record.channel().map(|channel| channel.to_string());
    let uid = format!("{}/{}", record.text("sid"), channel.unwrap_or_default());
    let mut program = json!({"uid": uid});
    if !record.text("user").is_empty() {
        put(&mut program, "user", json!({"name": record.text("user")}));
    }
    // What could not be started has 0.
    let started = |pid: &Value| integer(pid).filter(|pid| *pid > 0);
    if let Some(pid) = draft.inner("pid", started) {
        put(&mut program, "pid", pid);
    }
    match record.kind() {
        "shell" => put(&mut program, "name", "shell"),
        "exec" => {
            let command = draft.inner("command", text).unwrap_or_default();
            put(&mut program, "cmd_line", command);
        }
        "subsystem" => {
            if let Some(name) = draft.inner("name", text) {
                put(&mut program, "name", name);
            }
        }
        _ => {}
    }
    program
}

/// With its status, or as shells tell of a signal: 128 and the signal's number. Which of the two it was stays.
fn ended(draft: &mut Draft<'_>) {
    let exit = draft.record.member(&["exit"]);
    let status = exit.and_then(|exit| integer(exit.get("Status")?));
    let signal = exit.and_then(|exit| integer(exit.get("Signal")?.get("number")?));
    let code = status.or_else(|| signal?.checked_add(128));
    if let Some(code) = code {
        draft.set("exit_code", code);
    }
}
