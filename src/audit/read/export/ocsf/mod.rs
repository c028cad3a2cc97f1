//! Records as events of the Open Cybersecurity Schema Framework (schema.ocsf.io). `docs/audit.md` has the mapping.
//!
//! What the schema has no attribute for stays with the event under the names of `docs/audit.md`, so that each event leads
//! back to its record and to the chain.

mod api;
mod began;
mod class;
mod draft;
mod file;
mod network;
mod origin;
mod process;

use std::io;

use serde_json::{Value, json};

use self::api::Call;
use self::began::Began;
use self::class::{Activity, Class, Decision, severity};
use self::draft::{Draft, integer, long, put, text};
use self::origin::Origin;
use crate::audit::read::describe::describe;
use crate::audit::read::line::{Record, shown_json};
use crate::audit::read::trail::Trail;

/// Of the schema.
pub const VERSION: &str = "1.8.0";
/// Whose events they are.
const PRODUCT: &str = "hassio-sshd";

/// Makes events of the records of a trail, one after another in the order of time: an end is told with what it ends.
pub struct Ocsf {
    origin: Origin,
    calls: Began<Call>,
    programs: Began<Value>,
}

impl Ocsf {
    /// For the records of this trail.
    #[must_use]
    pub fn new(trail: &Trail) -> Self {
        Self {
            origin: Origin::of(trail),
            calls: Began::default(),
            programs: Began::default(),
        }
    }

    /// The event of a record that is in `file`: a line of JSON that drives no terminal, without its newline.
    ///
    /// # Errors
    /// What making JSON of it gives.
    pub fn line(&mut self, record: &Record, file: &str) -> io::Result<String> {
        let json = serde_json::to_string(&self.event(record, file))?;
        Ok(shown_json(&json))
    }

    fn event(&mut self, record: &Record, file: &str) -> Value {
        let class = Class::of(record.kind()).unwrap_or(Class::Base);
        let mut draft = Draft::new(record);
        // Answers are of the activity of what they answer.
        let mut asked = None;
        match class {
            Class::Base => {}
            Class::FileSystem => file::operation(&mut draft),
            Class::Process => process::event(&mut draft, &mut self.programs),
            Class::EventLog => file::log(&mut draft),
            Class::Authentication => network::authentication(&mut draft, &self.origin),
            Class::Ssh => network::ssh(&mut draft, &self.origin),
            Class::Lifecycle => lifecycle(&mut draft),
            Class::Api => asked = api::event(&mut draft, &mut self.calls),
        }
        let activity = match &asked {
            Some((id, name)) => Activity(*id, name),
            None => Activity::of(record),
        };
        classify(&mut draft, class, activity);
        self.whose(&mut draft, class);
        self.metadata(&mut draft, file);
        draft.finish()
    }

    /// On which machine, and who did it.
    fn whose(&self, draft: &mut Draft<'_>, class: Class) {
        let device = match &self.origin.name {
            Some(name) => json!({"type_id": 1, "uid": name}),
            None => json!({"type_id": 1, "name": "unknown"}),
        };
        draft.set("device", device);
        // There the user and the session are what it is about.
        if class == Class::Authentication {
            return;
        }
        let mut actor = json!({});
        if let Some(user) = network::user(draft) {
            put(&mut actor, "user", user);
        }
        if let Some(session) = network::session(draft.record) {
            put(&mut actor, "session", session);
        }
        let needed = matches!(class, Class::FileSystem | Class::Process | Class::Api);
        if needed && actor == json!({}) {
            put(&mut actor, "app_name", PRODUCT);
        }
        if actor != json!({}) {
            draft.set("actor", actor);
        }
    }

    fn metadata(&self, draft: &mut Draft<'_>, file: &str) {
        let record = draft.record;
        let mut product = json!({"name": PRODUCT, "vendor_name": PRODUCT});
        if let Some(version) = self.origin.version(record.text("boot")) {
            put(&mut product, "version", version);
        }
        let profiles = match Decision::of(record) {
            Some(_) => json!(["host", "security_control"]),
            None => json!(["host"]),
        };
        let uid = format!("{file}#{}", record.seq());
        let everywhere = match &self.origin.name {
            Some(name) => format!("{name}/{uid}"),
            None => uid.clone(),
        };
        let mut metadata = json!({
            "version": VERSION,
            "product": product,
            "profiles": profiles,
            "uid": everywhere,
            "original_event_uid": uid,
            "log_provider": PRODUCT,
            "log_name": "audit",
            "log_source": file,
            "log_format": "JSON",
        });
        if let Some(ts) = draft.outer("ts", text) {
            put(&mut metadata, "original_time", ts);
        }
        if let Some(kind) = draft.outer("type", text) {
            put(&mut metadata, "event_code", kind);
        }
        if let Some(version) = draft.outer("v", integer) {
            put(&mut metadata, "log_version", version.to_string());
        }
        // These two lead back to the record as well, so they are left where they are.
        if let Ok(sequence) = i32::try_from(record.seq()) {
            put(&mut metadata, "sequence", sequence);
        }
        if !record.text("cid").is_empty() {
            put(&mut metadata, "correlation_uid", record.text("cid"));
        }
        draft.set("metadata", metadata);
    }
}

/// What it is, when it was, and how it went.
fn classify(draft: &mut Draft<'_>, class: Class, activity: Activity<'_>) {
    let record = draft.record;
    let Activity(activity, name) = activity;
    draft.set("class_uid", class.uid());
    draft.set("class_name", class.name());
    draft.set("category_uid", class.uid() / 1000);
    draft.set("activity_id", activity);
    draft.set("activity_name", name);
    draft.set("type_uid", class.uid() * 100 + activity);
    draft.set("severity_id", severity(record));
    draft.set("time", record.at().as_millisecond());
    draft.set("message", describe(record));
    if let Some(ok) = draft.outer("ok", Value::as_bool) {
        draft.set("status_id", if ok { 1 } else { 2 });
    }
    draft.outer("ok", Value::as_null);
    // No type has both.
    draft.moved("reason", text, "status_detail");
    draft.moved("error", text, "status_detail");
    draft.moved("duration_ms", long, "duration");
    if let Some(decision) = Decision::of(record) {
        draft.set("action_id", decision.id());
        draft.set("disposition_id", decision.id());
        if let Some(rule) = draft.inner("rule", text) {
            let authorization = json!({"decision": decision.word(), "policy": {"name": rule}});
            draft.set("authorizations", json!([authorization]));
        }
    }
}

fn lifecycle(draft: &mut Draft<'_>) {
    let mut app = json!({"name": PRODUCT, "vendor_name": PRODUCT});
    if let Some(version) = draft.inner("version", text) {
        put(&mut app, "version", version);
    }
    draft.set("app", app);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::read::line::tests::line;

    fn events(records: &[(&str, Value)]) -> Vec<Value> {
        let mut ocsf = Ocsf {
            origin: Origin::default(),
            calls: Began::default(),
            programs: Began::default(),
        };
        let records = records.iter().map(|(kind, more)| {
            let record = Record::read(&line(kind, more)).unwrap();
            let event = ocsf.line(&record, "ledger/000001.jsonl").unwrap();
            serde_json::from_str(&event).unwrap()
        });
        records.collect()
    }

    #[test]
    fn a_type_that_is_not_known_yet_is_an_event_with_all_that_it_says() {
        let more =
            json!({"sid": "s", "new": [1], "ok": false, "d": {"text": "x", "more": {"n": 7}}});
        let event = &events(&[("new.thing", more)])[0];
        assert_eq!(
            (&event["class_uid"], &event["type_uid"]),
            (&json!(0), &json!(99))
        );
        assert_eq!(event["activity_name"], "new.thing");
        assert_eq!(
            (&event["status_id"], &event["severity_id"]),
            (&json!(2), &json!(2))
        );
        assert_eq!(
            event["unmapped"]["d"],
            json!({"text": "x", "more": {"n": 7}})
        );
        assert_eq!(event["unmapped"]["new"], json!([1]));
    }

    #[test]
    fn an_end_is_told_with_what_it_ends_and_with_nothing_else() {
        let of = |sid: &str, ch: u64, d: Value| json!({"sid": sid, "ch": ch, "d": d});
        let exec = |command: &str| json!({"command": command, "pid": 7});
        let ended = |status: u8| json!({"exit": {"Status": status}});
        let call = |id: u64, path: &str| json!({"id": id, "method": "DELETE", "path": path, "decision": "allow"});
        let answer = |id: u64| json!({"id": id, "status": 200});
        let all = events(&[
            ("exec", of("a", 1, exec("first"))),
            ("exec", of("a", 2, exec("second"))),
            ("exec.end", of("b", 1, ended(0))),
            ("exec.end", of("a", 2, ended(2))),
            ("exec.end", of("a", 1, ended(1))),
            ("exec.end", of("a", 1, ended(3))),
            ("api.request", of("a", 0, call(1, "/x"))),
            ("api.response", of("b", 0, answer(1))),
            ("api.response", of("a", 0, answer(2))),
            ("api.response", of("a", 0, answer(1))),
        ]);
        let told: Vec<(&Value, &Value)> = all[2..6]
            .iter()
            .map(|event| (&event["process"]["cmd_line"], &event["exit_code"]))
            .collect();
        let (first, second) = (json!("first"), json!("second"));
        let codes: Vec<Value> = (0..4).map(Value::from).collect();
        let nothing = Value::Null;
        assert_eq!(
            told,
            [
                (&nothing, &codes[0]),
                (&second, &codes[2]),
                (&first, &codes[1]),
                (&nothing, &codes[3])
            ]
        );
        assert_eq!(all[2]["process"]["uid"], "b/1");
        let types: Vec<&Value> = all[6..].iter().map(|event| &event["type_uid"]).collect();
        assert_eq!(types, [600_304, 600_399, 600_399, 600_304]);
        assert_eq!(all[9]["http_request"]["url"]["path"], "/x");
        assert_eq!(all[8]["http_request"], nothing);
    }
}
