//! Home Assistant Core's REST API, behind the Supervisor's proxy: JSON without an envelope.

use http::StatusCode;
use serde_json::{Value, json};

use crate::reply::{self, Reply};

pub(crate) fn respond(method: &str, path: &str, query: &str, body: &[u8]) -> Reply {
    let segments: Vec<&str> = path.split('/').collect();
    let ok = |value: Value| reply::bare(StatusCode::OK, &value);
    match (method, segments.as_slice()) {
        ("GET", [""]) => ok(json!({ "message": "API running." })),
        ("GET", ["config"]) => ok(json!({
            "location_name": "Home", "latitude": 52.37, "longitude": 4.89, "elevation": 0, "unit_system": { "length": "km" },
            "time_zone": "Europe/Berlin", "components": ["light", "sun", "hassio"], "version": "2026.8.3", "state": "RUNNING",
        })),
        ("GET", ["components"]) => ok(json!(["light", "sun", "hassio"])),
        ("GET", ["events"]) => ok(json!([{ "event": "state_changed", "listener_count": 5 }])),
        ("GET", ["services"]) => ok(json!([
            { "domain": "light", "services": { "turn_on": { "fields": {} }, "turn_off": { "fields": {} } } },
            { "domain": "homeassistant", "services": { "restart": { "fields": {} } } },
        ])),
        ("GET", ["states"]) => ok(json!(STATES.map(|(entity, state)| entry(entity, state)))),
        ("GET", ["states", entity]) => {
            match STATES.into_iter().find(|(known, _)| known == entity) {
                Some((entity, state)) => ok(entry(entity, state)),
                None => reply::bare(
                    StatusCode::NOT_FOUND,
                    &json!({ "message": "Entity not found." }),
                ),
            }
        }
        ("GET", ["history", "period", ..]) if !query.contains("filter_entity_id=") => reply::bare(
            StatusCode::BAD_REQUEST,
            &json!({ "message": "filter_entity_id is missing" }),
        ),
        ("GET", ["history", "period", ..]) => ok(json!([[entry("light.kitchen", "on")]])),
        ("GET", ["logbook", ..]) => ok(json!([
            { "when": "2026-08-24T07:12:00+00:00", "name": "Kitchen", "state": "on", "entity_id": "light.kitchen" },
        ])),
        ("GET", ["calendars"]) => ok(json!([{ "entity_id": "calendar.home", "name": "Home" }])),
        ("GET", ["calendars", _]) => ok(json!([])),
        ("GET", ["error_log"]) => reply::text(
            StatusCode::OK,
            "2026-08-24 09:12:00.000 ERROR (MainThread) [homeassistant.core] something went wrong\n",
        ),
        ("POST", ["services", "light" | "homeassistant", _]) => {
            match body.is_empty() || serde_json::from_slice::<Value>(body).is_ok() {
                true => ok(json!([])),
                false => reply::bare(
                    StatusCode::BAD_REQUEST,
                    &json!({ "message": "Data should be valid JSON." }),
                ),
            }
        }
        ("POST", ["services", ..]) => reply::text(StatusCode::BAD_REQUEST, "400: Bad Request"),
        _ => reply::plain(StatusCode::NOT_FOUND),
    }
}

const STATES: [(&str, &str); 3] = [
    ("sun.sun", "above_horizon"),
    ("light.kitchen", "on"),
    ("sensor.living_room_temperature", "21.4"),
];

fn entry(entity: &str, state: &str) -> Value {
    json!({
        "entity_id": entity, "state": state, "attributes": { "friendly_name": entity },
        "last_changed": "2026-08-24T07:12:00.000000+00:00", "last_updated": "2026-08-24T07:12:00.000000+00:00",
    })
}
