//! Connections, logins and sessions: whose they are, and where from.

use serde_json::{Value, json};

use super::PRODUCT;
use super::draft::{Draft, address, endpoint, integer, long, moment, put, text};
use super::origin::Origin;
use crate::audit::read::line::Record;

/// Gives an event what SSH Activity has.
pub(super) fn ssh(draft: &mut Draft<'_>, origin: &Origin) {
    let record = draft.record;
    client(draft);
    draft.set("dst_endpoint", server(origin));
    if !record.text("cid").is_empty() {
        let connection = json!({
            "uid": record.text("cid"), "direction_id": 1, "protocol_num": 6, "protocol_name": "tcp",
        });
        draft.set("connection_info", connection);
    }
    match record.kind() {
        "conn.refuse" => draft.moved("count", integer, "count"),
        "conn.folded" => {
            draft.moved("connections", integer, "count");
            draft.moved("first", moment, "start_time");
            draft.moved("last", moment, "end_time");
        }
        // A password has no key.
        "session.open" if record.text("key").is_empty() => draft.set("auth_type_id", 5),
        "session.open" => draft.set("auth_type_id", 6),
        "channel.close" => traffic(draft),
        _ => {}
    }
}

/// The schema sees it from the source, which is the client: what we received is out.
fn traffic(draft: &mut Draft<'_>) {
    let number = |name: &str| draft.record.member(&[name]).and_then(long);
    let (Some(received), Some(sent)) = (number("bytes_in"), number("bytes_out")) else {
        return;
    };
    if let Some(all) = received.checked_add(sent) {
        draft.inner("bytes_in", long);
        draft.inner("bytes_out", long);
        let traffic = json!({"bytes_out": received, "bytes_in": sent, "bytes": all});
        draft.set("traffic", traffic);
    }
}

/// Gives an event what Authentication has.
pub(super) fn authentication(draft: &mut Draft<'_>, origin: &Origin) {
    client(draft);
    draft.set("dst_endpoint", server(origin));
    draft.set("service", json!({"name": PRODUCT}));
    draft.set("is_remote", true);
    // From the network.
    draft.set("logon_type_id", 3);
    let mut session = session(draft.record).unwrap_or_else(|| json!({"is_remote": true}));
    let user = match draft.inner("user", text) {
        Some(name) => json!({"name": name}),
        None => user(draft).unwrap_or_else(|| json!({"name": ""})),
    };
    draft.set("user", user);
    if let Some(method) = draft.inner("method", text) {
        // None of SSH's methods has a number there.
        draft.set("auth_protocol_id", 99);
        draft.set("auth_protocol", method);
    }
    if let Some(fingerprint) = draft.inner("fingerprint", text) {
        put(&mut session, "credential_uid", fingerprint);
    }
    draft.set("session", session);
}

/// Who logged in, and with which role.
pub(super) fn user(draft: &mut Draft<'_>) -> Option<Value> {
    let mut user = json!({"name": draft.outer("user", text)?});
    if let Some(role) = draft.outer("role", text) {
        put(&mut user, "groups", json!([{"name": role, "type": "role"}]));
    }
    Some(user)
}

/// The session, with the fingerprint of the key that it was begun with. None where the record is of none.
pub(super) fn session(record: &Record) -> Option<Value> {
    let (sid, key) = (record.text("sid"), record.text("key"));
    if sid.is_empty() {
        return None;
    }
    let mut session = json!({"uid": sid, "is_remote": true});
    let fingerprint = key.split(' ').next().filter(|text| !text.is_empty());
    if let Some(fingerprint) = fingerprint {
        put(&mut session, "credential_uid", fingerprint);
    }
    Some(session)
}

/// Says where the client is. False where the record does not.
pub(super) fn client(draft: &mut Draft<'_>) -> bool {
    let client = draft
        .outer("src", endpoint)
        .or_else(|| draft.inner("ip", address))
        .or_else(|| draft.inner("from", address));
    let known = client.is_some();
    if let Some(client) = client {
        draft.set("src_endpoint", client);
    }
    known
}

/// This server.
fn server(origin: &Origin) -> Value {
    let mut server = json!({"name": PRODUCT, "svc_name": "ssh"});
    if let Some(name) = &origin.name {
        put(&mut server, "uid", name.as_str());
    }
    server
}
