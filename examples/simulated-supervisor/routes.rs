//! The checks in the real Supervisor's order, and the routes.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::access::{self, Role};
use crate::data;
use crate::reply::{self, Follow, Reply};

/// The longest body; the real one has the same limit.
const BODY_BYTES: usize = 16 * 1024 * 1024;

pub(crate) struct Supervisor {
    pub(crate) token: String,
    pub(crate) role: Role,
    pub(crate) state: String,
    pub(crate) anonymous: bool,
    pub(crate) log: Option<PathBuf>,
    pub(crate) config_dir: Option<PathBuf>,
}

impl Supervisor {
    pub(crate) async fn respond(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return reply::plain(StatusCode::PAYLOAD_TOO_LARGE),
        };
        if self.note(&head, &body).is_err() {
            return reply::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the request log cannot be written",
            );
        }
        let path = head.uri.path();
        let query = head.uri.query().unwrap_or_default();
        if access::looks_like_attack(&format!("{path}?{query}")) {
            return reply::plain(StatusCode::BAD_REQUEST);
        }
        if !["startup", "running", "freeze"].contains(&self.state.as_str()) {
            let message = format!("System is not ready with state: {}", self.state);
            return reply::error(StatusCode::BAD_REQUEST, &message);
        }
        if access::is_blocked(path) {
            return reply::plain(StatusCode::FORBIDDEN);
        }
        if path == "/supervisor/ping" {
            return reply::ok(&json!({}));
        }
        match access::token(&head.headers) {
            None => return reply::plain(StatusCode::UNAUTHORIZED),
            Some(token) if token != self.token => return reply::plain(StatusCode::FORBIDDEN),
            Some(_) if !access::may(self.role, path) => return reply::plain(StatusCode::FORBIDDEN),
            Some(_) => {}
        }
        self.route(&head, query, &body).await
    }

    async fn route(&self, head: &http::request::Parts, query: &str, body: &[u8]) -> Reply {
        let path = head.uri.path();
        // The legacy spelling of everything below /core.
        let path = path
            .strip_prefix("/homeassistant/")
            .map_or(path.to_owned(), |rest| format!("/core/{rest}"));
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let log = |name, follow| reply::log(name, follow, &head.headers, query);
        match (head.method.as_str(), segments.as_slice()) {
            ("GET", ["info"]) => reply::ok(&data::info()),
            ("GET", ["supervisor", "info"]) => reply::ok(&data::supervisor()),
            ("GET", ["core" | "supervisor", "stats"]) => reply::ok(&data::stats()),
            ("GET", ["core", "info"]) => reply::ok(&data::core()),
            ("GET", ["host", "info"]) => reply::ok(&data::host()),
            ("GET", ["os", "info"]) => reply::ok(&data::os()),
            ("GET", ["network", "info"]) => reply::ok(&data::network()),
            ("GET", ["core", "logs"]) => log("homeassistant.core", Follow::No),
            ("GET", ["core", "logs", "follow"]) => log("homeassistant.core", Follow::Yes),
            ("GET", ["supervisor", "logs"]) => log("supervisor.api", Follow::No),
            ("GET", ["supervisor", "logs", "follow"]) => log("supervisor.api", Follow::Yes),
            ("POST", ["core", "check"]) => self.check().await,
            ("POST", ["core", "restart"]) => restart(body).await,
            ("GET", ["addons"]) => reply::ok(&data::apps()),
            ("GET", ["addons", slug, "info"]) => self.app(slug),
            (_, ["addons"] | ["info"] | [_, "info" | "stats" | "logs" | "check" | "restart"]) => {
                reply::plain(StatusCode::METHOD_NOT_ALLOWED)
            }
            _ => reply::plain(StatusCode::NOT_FOUND),
        }
    }

    fn app(&self, slug: &str) -> Reply {
        let known = data::app(slug).filter(|_| !(self.anonymous && slug == "self"));
        let Some(mut app) = known else {
            return reply::error(StatusCode::NOT_FOUND, &format!("App {slug} does not exist"));
        };
        let own = slug == "self" || slug == data::OWN_SLUG;
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

    /// Appends what came to the request log: names of headers, never their values.
    fn note(&self, head: &http::request::Parts, body: &[u8]) -> io::Result<()> {
        let Some(path) = &self.log else { return Ok(()) };
        let entry = json!({
            "method": head.method.as_str(),
            "path": head.uri.path(),
            "query": head.uri.query(),
            "headers": head.headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(),
            "token": access::token(&head.headers) == Some(self.token.as_str()),
            "body": String::from_utf8_lossy(body),
        });
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?;
        file.write_all(format!("{entry}\n").as_bytes())
    }
}

async fn restart(body: &[u8]) -> Reply {
    let body = if body.is_empty() { b"{}" } else { body };
    let Ok(options) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return reply::error(StatusCode::BAD_REQUEST, "Invalid json");
    };
    if let Some(name) = options
        .keys()
        .find(|name| !["safe_mode", "force"].contains(&name.as_str()))
    {
        let message = format!("extra keys not allowed @ data['{name}']. Got None");
        return reply::error(StatusCode::BAD_REQUEST, &message);
    }
    sleep(Duration::from_secs(1)).await;
    reply::ok(&json!({}))
}
