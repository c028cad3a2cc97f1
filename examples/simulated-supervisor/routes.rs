//! The checks in the real Supervisor's order, and what the routes do.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::request::Parts;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::access::{self, Role};
use crate::apps::{Apps, OWN_SLUG};
use crate::backups::Backups;
use crate::fault::Fault;
use crate::record::{Recorder, Uploaded};
use crate::reply::{self, Follow, Reply};
use crate::table::{Answer, Found, Route, Table};
use crate::{bodies, core, data};

/// The longest body that is read whole; the real one has the same limit.
const BODY_BYTES: usize = 16 * 1024 * 1024;

/// How long work takes that takes long.
const WORK: Duration = Duration::from_secs(1);

/// The job of all background work: nobody has more than one here.
const JOB: &str = "9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f";

pub(crate) struct Supervisor {
    pub(crate) token: String,
    pub(crate) role: Role,
    pub(crate) state: String,
    pub(crate) anonymous: bool,
    pub(crate) fault: Option<Fault>,
    pub(crate) recorder: Recorder,
    pub(crate) config_dir: Option<PathBuf>,
    pub(crate) table: Table,
    pub(crate) apps: Mutex<Apps>,
    pub(crate) backups: Mutex<Backups>,
    /// How much of files has left, for who asks `/simulated/sent`.
    pub(crate) sent: Arc<AtomicU64>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Supervisor {
    pub(crate) async fn respond(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if path == "/simulated/sent" {
            let sent = self.sent.load(Ordering::Relaxed);
            return reply::text(StatusCode::OK, &sent.to_string());
        }
        let found = self.table.find(head.method.as_str(), path);
        let upload = matches!(&found, Found::Route(route, _) if route.answer == Answer::Upload);
        let refused = self.refusal(&head);
        let (body, uploaded) = match upload && refused.is_none() {
            true => match drain(body).await {
                Ok(uploaded) => (Vec::new(), Some(uploaded)),
                Err(_) => return reply::plain(StatusCode::BAD_REQUEST),
            },
            false => match Limited::new(body, BODY_BYTES).collect().await {
                Ok(body) => (body.to_bytes().to_vec(), None),
                Err(_) => return reply::plain(StatusCode::PAYLOAD_TOO_LARGE),
            },
        };
        if self
            .recorder
            .note(&head, &self.token, &body, uploaded.as_ref())
            .is_err()
        {
            let message = "the request log cannot be written";
            return reply::error(StatusCode::INTERNAL_SERVER_ERROR, message);
        }
        if let Some(refused) = refused {
            return refused;
        }
        match found {
            Found::Route(route, _) if route.access == "core-only" => {
                reply::plain(StatusCode::FORBIDDEN)
            }
            Found::Route(route, values) => {
                let fault = values
                    .iter()
                    .find_map(|value| Fault::of(value))
                    .or(self.fault);
                if let Some(reply) = match fault {
                    Some(fault) => fault.reply().await,
                    None => None,
                } {
                    return reply;
                }
                self.route(&head, route, &values, &body, uploaded).await
            }
            Found::Method => reply::plain(StatusCode::METHOD_NOT_ALLOWED),
            Found::Nothing => reply::plain(StatusCode::NOT_FOUND),
        }
    }

    /// What is in the way before any route is looked at.
    fn refusal(&self, head: &Parts) -> Option<Reply> {
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        if access::looks_like_attack(&format!("{path}?{query}")) {
            return Some(reply::plain(StatusCode::BAD_REQUEST));
        }
        if !["startup", "running", "freeze"].contains(&self.state.as_str()) {
            let message = format!("System is not ready with state: {}", self.state);
            return Some(reply::error(StatusCode::BAD_REQUEST, &message));
        }
        if access::is_blocked(path) {
            return Some(reply::plain(StatusCode::FORBIDDEN));
        }
        if access::is_open(path) {
            // The proxy of Core's API looks itself, and at one header only.
            let core = path.contains("/api/") || path.ends_with("/websocket");
            let bearer = format!("Bearer {}", self.token);
            let good = head
                .headers
                .get("authorization")
                .is_some_and(|given| given == bearer.as_str());
            return (core && !good).then(|| reply::plain(StatusCode::UNAUTHORIZED));
        }
        match access::token(&head.headers) {
            None => Some(reply::plain(StatusCode::UNAUTHORIZED)),
            Some(token) if token != self.token => Some(reply::plain(StatusCode::FORBIDDEN)),
            Some(_) => (!access::may(self.role, path)).then(|| reply::plain(StatusCode::FORBIDDEN)),
        }
    }

    async fn route(
        &self,
        head: &Parts,
        route: &Route,
        values: &[&str],
        body: &[u8],
        uploaded: Option<Uploaded>,
    ) -> Reply {
        let query = head.uri.query().unwrap_or_default();
        let first = values.first().copied().unwrap_or_default();
        let app = route.path.contains("{app}").then_some(first);
        let log = |follow| reply::log(log_name(route.path), follow, &head.headers, query);
        match route.answer {
            _ if route.never => reply::error(StatusCode::UNAUTHORIZED, "Unauthorized"),
            Answer::Json => self.json(route, values, body).await,
            Answer::Log | Answer::LogFollow | Answer::Text | Answer::Png
                if app.is_some_and(|slug| !self.knows(slug)) =>
            {
                let message = format!("App {first} does not exist");
                reply::text(StatusCode::NOT_FOUND, &message)
            }
            Answer::Log => log(Follow::No),
            Answer::LogFollow => log(Follow::Yes),
            Answer::Text => reply::text(StatusCode::OK, "# Changelog\n\n## 1.0\n\n- Begun\n"),
            Answer::Png => reply::bytes(StatusCode::OK, "image/png", PNG),
            Answer::File => match locked(&self.backups).find(first) {
                Some(backup) => {
                    reply::file(&backup.slug, backup.size, &head.headers, self.sent.clone())
                }
                None => reply::bytes(StatusCode::NOT_FOUND, "application/octet-stream", ""),
            },
            Answer::Upload => {
                let size = uploaded.map_or(0, |uploaded| uploaded.bytes);
                let slug = locked(&self.backups).add(&Map::new(), size);
                reply::ok(&json!({ "slug": slug, "job_id": JOB }))
            }
            Answer::Stdin => match self.knows(first) {
                true => reply::ok(&json!({})),
                false => unknown_app(first),
            },
            Answer::Core => core::respond(head.method.as_str(), first, query, body),
            Answer::Websocket => {
                reply::text(StatusCode::BAD_REQUEST, "No WebSocket UPGRADE hdr: None")
            }
        }
    }

    fn knows(&self, slug: &str) -> bool {
        Apps::has(slug) && !(self.anonymous && slug == "self")
    }

    async fn json(&self, route: &Route, values: &[&str], body: &[u8]) -> Reply {
        // The legacy spelling of everything below /core.
        let path = match route.path.strip_prefix("/homeassistant/") {
            Some(rest) => format!("/core/{rest}"),
            None => route.path.to_owned(),
        };
        let first = values.first().copied().unwrap_or_default();
        let body = if body.is_empty() { b"{}" } else { body };
        let Ok(body) = serde_json::from_slice::<Map<String, Value>>(body) else {
            return reply::error(StatusCode::BAD_REQUEST, "Invalid json");
        };
        if let Some(message) = bodies::objection(route.method, &path, &body) {
            return reply::error(StatusCode::BAD_REQUEST, &message);
        }
        let background = body.get("background") == Some(&Value::Bool(true));
        match (route.method, path.as_str()) {
            ("GET", "/addons") => reply::ok(&json!({ "addons": locked(&self.apps).list() })),
            ("GET", "/addons/{app}/info") => self.app(first),
            ("GET", "/addons/{app}/options/config") if first != "self" => reply::error(
                StatusCode::FORBIDDEN,
                "This can be only read by the app itself!",
            ),
            ("GET", "/addons/{app}/options/config") => {
                reply::ok(&json!({ "password": "own-options-secret" }))
            }
            ("GET", "/addons/{app}/stats") if self.knows(first) => reply::ok(&data::stats()),
            ("GET", "/store") => {
                let repositories = data::fixed("/store/repositories", &[]).unwrap_or_default();
                reply::ok(
                    &json!({ "addons": locked(&self.apps).list(), "repositories": repositories }),
                )
            }
            ("GET", "/store/addons") => reply::ok(&json!({ "addons": locked(&self.apps).list() })),
            ("GET", "/store/addons/{app}" | "/store/addons/{app}/{version}") => {
                match locked(&self.apps).in_store(first) {
                    Some(app) => reply::ok(&app),
                    None => unknown_app(first),
                }
            }
            ("GET", "/store/addons/{app}/availability") if self.knows(first) => {
                reply::ok(&json!({}))
            }
            (_, path) if path.contains("{app}") && !self.knows(first) => unknown_app(first),
            ("POST", path) if path.contains("{app}") => {
                let verb = path
                    .rsplit('/')
                    .find(|part| !part.starts_with('{'))
                    .unwrap_or_default();
                let changed = locked(&self.apps).change(first, verb, &body);
                match changed {
                    Ok(_) if background => reply::ok(&json!({ "job_id": JOB })),
                    Ok(data) => reply::ok(&data),
                    Err(message) => reply::error(StatusCode::BAD_REQUEST, &message),
                }
            }
            (method, path) if path.starts_with("/backups") => {
                self.backup(method, path, first, &body).await
            }
            ("GET", "/jobs/{uuid}") if first == JOB => reply::ok(&json!({
                "name": "backup_manager_partial_backup", "reference": "2a2a2a2a", "uuid": JOB, "progress": 100,
                "stage": null, "done": true, "errors": [], "created": "2026-08-24T04:45:00.000000+00:00", "child_jobs": [],
            })),
            (_, "/jobs/{uuid}") if first != JOB => reply::error(
                StatusCode::NOT_FOUND,
                &format!("Job {first} does not exist"),
            ),
            ("GET", path) => match data::fixed(path, values) {
                Some(data) => reply::ok(&data),
                None => reply::error(StatusCode::NOT_FOUND, &format!("{first} does not exist")),
            },
            ("POST", _) if background => reply::ok(&json!({ "job_id": JOB })),
            ("POST", "/core/check") => self.check().await,
            ("POST", "/core/restart" | "/core/rebuild" | "/core/stop") => {
                sleep(WORK).await;
                reply::ok(&json!({}))
            }
            _ => reply::ok(&json!({})),
        }
    }

    async fn backup(
        &self,
        method: &str,
        path: &str,
        slug: &str,
        body: &Map<String, Value>,
    ) -> Reply {
        let missing = || reply::error(StatusCode::NOT_FOUND, "Backup does not exist");
        match (method, path) {
            ("GET", "/backups") => reply::ok(&json!({ "backups": locked(&self.backups).list() })),
            ("GET", "/backups/info") => {
                let backups = locked(&self.backups).list();
                reply::ok(&json!({ "backups": backups, "days_until_stale": 30 }))
            }
            ("GET", "/backups/{slug}/info") => match locked(&self.backups).info(slug) {
                Some(info) => reply::ok(&info),
                None => missing(),
            },
            ("POST", "/backups/new/full" | "/backups/new/partial") => {
                let slug = locked(&self.backups).add(body, 1_048_576);
                if body.get("background") == Some(&Value::Bool(true)) {
                    return reply::ok(&json!({ "job_id": JOB }));
                }
                sleep(WORK).await;
                reply::ok(&json!({ "slug": slug, "job_id": JOB }))
            }
            ("DELETE", "/backups/{slug}") => match locked(&self.backups).remove(slug) {
                true => reply::ok(&json!({})),
                false => missing(),
            },
            (_, path) if path.contains("{slug}") && locked(&self.backups).find(slug).is_none() => {
                missing()
            }
            ("POST", path) if path.contains("/restore/") => reply::ok(&json!({ "job_id": JOB })),
            _ => reply::ok(&json!({})),
        }
    }

    fn app(&self, slug: &str) -> Reply {
        let known = locked(&self.apps).info(slug).filter(|_| self.knows(slug));
        let Some(mut app) = known else {
            return unknown_app(slug);
        };
        let own = slug == "self" || slug == OWN_SLUG;
        let sees = own || matches!(self.role, Role::Manager | Role::Admin);
        if let (false, Some(options)) = (sees, app.get_mut("options")) {
            *options = json!({});
        }
        reply::ok(&app)
    }

    async fn check(&self) -> Reply {
        sleep(Duration::from_millis(100)).await;
        let file = self
            .config_dir
            .as_ref()
            .map(|dir| dir.join("configuration.yaml"));
        let text = file
            .and_then(|file| std::fs::read_to_string(file).ok())
            .unwrap_or_default();
        match text.contains("INVALID") {
            true => {
                let message = "Testing configuration at /config\nFailed config\n  General Errors:\n    \
                    - Integration error: INVALID - Integration 'INVALID' not found.";
                reply::error(StatusCode::BAD_REQUEST, message)
            }
            false => reply::ok(&json!({})),
        }
    }
}

/// Reads a stream to its end without keeping it.
async fn drain(mut body: Incoming) -> io::Result<Uploaded> {
    let mut uploaded = Uploaded::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        uploaded.add(&frame.into_data().unwrap_or_default());
    }
    Ok(uploaded)
}

fn unknown_app(slug: &str) -> Reply {
    reply::error(StatusCode::NOT_FOUND, &format!("App {slug} does not exist"))
}

fn log_name(path: &str) -> &'static str {
    match path.split('/').nth(1) {
        Some("core" | "homeassistant") => "homeassistant.core",
        Some("supervisor") => "supervisor.api",
        Some("host") => "systemd",
        Some("addons") => "app",
        _ => "plugin",
    }
}

/// One transparent point.
static PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 0x0d, b'I', b'D', b'A', b'T',
    0x78, 0x9c, 0x63, 0, 1, 0, 0, 5, 0, 1, 0x0d, 0x0a, 0x2d, 0xb4, 0, 0, 0, 0, b'I', b'E', b'N',
    b'D', 0xae, 0x42, 0x60, 0x82,
];
