//! Calls of the Supervisor's API, and what the broker refused besides.

use serde_json::{Value, json};

use super::began::Began;
use super::class::{Activity, Decision};
use super::draft::{Draft, integer, long, put, text};
use super::network::client;

/// What answers a call for the session.
const SUPERVISOR: &str = "supervisor";
/// The methods that the schema knows.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// A call that has no answer yet.
pub(super) struct Call {
    activity: (u32, String),
    api: Value,
    http_request: Value,
}

/// Gives an event what API Activity has. For an answer the activity of what it answers, where that is known.
pub(super) fn event(draft: &mut Draft<'_>, calls: &mut Began<Call>) -> Option<(u32, String)> {
    if !client(draft) {
        draft.set("src_endpoint", json!({"name": "unknown"}));
    }
    let (sid, id) = (draft.record.text("sid"), draft.record.number("id"));
    match draft.record.kind() {
        "api.request" => {
            let call = request(draft);
            if let Some(id) = id {
                calls.remember(sid, id, call);
            }
            None
        }
        "api.response" => {
            let call = id.and_then(|id| calls.end(sid, id));
            response(draft, call)
        }
        _ => {
            refusal(draft);
            None
        }
    }
}

fn request(draft: &mut Draft<'_>) -> Call {
    let record = draft.record;
    let mut http_request = json!({});
    let known = |method: &Value| text(method).filter(|text| METHODS.contains(&text.as_str()));
    let method = draft.inner("method", known);
    if let Some(method) = &method {
        put(&mut http_request, "http_method", method.as_str());
    }
    if let Some(path) = draft.inner("path", text) {
        let url = match path.split_once('?') {
            Some((path, query)) => json!({"path": path, "query_string": query}),
            None => json!({"path": path}),
        };
        put(&mut http_request, "url", url);
    }
    if let Some(length) = draft.inner("body_bytes", integer) {
        put(&mut http_request, "body_length", length);
    }
    let operation = draft.inner("endpoint", text).or(method);
    let mut api = api(operation, SUPERVISOR);
    if let Some(id) = draft.inner("id", long) {
        put(&mut api, "request", json!({"uid": id.to_string()}));
    }
    // It is an attribute by then, with the rule.
    if Decision::of(record).is_some() {
        draft.inner("decision", text);
    }
    supervisor(draft);
    draft.set("api", api.clone());
    draft.set("http_request", http_request.clone());
    let Activity(id, name) = Activity::of(record);
    Call {
        activity: (id, name.to_owned()),
        api,
        http_request,
    }
}

fn response(draft: &mut Draft<'_>, call: Option<Call>) -> Option<(u32, String)> {
    let (activity, mut api) = match call {
        Some(call) => {
            draft.set("http_request", call.http_request);
            draft.inner("id", long);
            (Some(call.activity), call.api)
        }
        None => {
            let mut api = api(None, SUPERVISOR);
            if let Some(id) = draft.inner("id", long) {
                put(&mut api, "request", json!({"uid": id.to_string()}));
            }
            (None, api)
        }
    };
    supervisor(draft);
    if let Some(code) = draft.inner("status", integer) {
        put(&mut api, "response", json!({"code": code}));
        let mut http_response = json!({"code": code});
        if let Some(length) = draft.inner("bytes", integer) {
            put(&mut http_response, "body_length", length);
        }
        draft.set("http_response", http_response);
    }
    draft.set("api", api);
    activity
}

/// Of what is no call, or of somebody who may not ask.
fn refusal(draft: &mut Draft<'_>) {
    let layer = draft.inner("layer", text).unwrap_or_default();
    let object = draft.inner("object", text);
    draft.set("api", api(object, &layer));
}

fn api(operation: Option<String>, service: &str) -> Value {
    json!({"operation": operation.unwrap_or_default(), "service": {"name": service}})
}

fn supervisor(draft: &mut Draft<'_>) {
    draft.set("dst_endpoint", json!({"svc_name": SUPERVISOR}));
}
