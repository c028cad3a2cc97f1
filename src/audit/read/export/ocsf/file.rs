//! Files: those of a session that SFTP reached, and the trail's own.

use serde_json::{Value, json};

use super::PRODUCT;
use super::draft::{Draft, text};
use super::network::client;

const UNKNOWN: u32 = 0;
const REGULAR: u32 = 1;
const FOLDER: u32 = 2;
const LINK: u32 = 7;

/// Gives an event what File System Activity has.
pub(super) fn operation(draft: &mut Draft<'_>) {
    let record = draft.record;
    let op = record.member_text("op");
    let kind = match op {
        "read" | "write" | "read-write" | "create" | "truncate" | "copy" => REGULAR,
        "list" | "readdir" | "mkdir" | "rmdir" => FOLDER,
        "symlink" | "readlink" => LINK,
        _ => UNKNOWN,
    };
    let path = draft.inner("path", text).unwrap_or_default();
    draft.set("file", file(&path, kind));
    // Where something is made, and there it is then.
    if matches!(op, "rename" | "copy")
        && record.ok() == Some(true)
        && let Some(to) = draft.inner("to", text)
    {
        draft.set("file_result", file(&to, kind));
    }
}

/// Gives an event what Event Log Activity has: what became of the trail.
pub(super) fn log(draft: &mut Draft<'_>) {
    client(draft);
    let name = match draft.record.kind().starts_with("recording.") {
        true => "recordings",
        false => "audit",
    };
    draft.set("log_name", name);
    draft.set("log_provider", PRODUCT);
    // An application's.
    draft.set("log_type_id", 2);
    if let Some(path) = draft.inner("file", text) {
        draft.set("file", file(&path, REGULAR));
    }
}

fn file(path: &str, kind: u32) -> Value {
    let end = path.trim_end_matches('/');
    let name = end.rsplit('/').next().filter(|name| !name.is_empty());
    json!({"name": name.unwrap_or(path), "path": path, "type_id": kind})
}
