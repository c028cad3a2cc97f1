use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::head::HeadFault;
use super::own::Ours;
use super::pace::TooMany;
use super::slot::Source;
use crate::model::{Role, escape};
use crate::policy::endpoints::{Effect, Reason};
use crate::wire::ApiFault;

/// How much of a path a message shows.
const SHOWN_PATH_BYTES: usize = 200;

/// What goes back to the session.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) source: Source,
    /// What the record keeps, where it is no good answer.
    pub(super) error: Option<String>,
}

impl Answer {
    /// The Supervisor's envelope of a success.
    pub(super) fn ok(data: &Value) -> Self {
        Self::json(StatusCode::OK, &json!({ "result": "ok", "data": data }))
    }

    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let source = Source::Whole(Full::new(Bytes::from(value.to_string())));
        Self {
            status,
            headers,
            source,
            error: None,
        }
    }

    /// An answer of ours in the Supervisor's envelope of an error.
    pub(super) fn fault(fault: ApiFault, message: &str, hint: &str) -> Self {
        Self::with_fields(fault, message, &json!({ "hint": hint }))
    }

    /// The same, of a call that was sent: one that changes something may have been carried out all the same.
    pub(super) fn lost(fault: ApiFault, message: &str, hint: &str, effect: Effect) -> Self {
        match effect {
            Effect::Reads => Self::fault(fault, message, hint),
            Effect::Changes => {
                let message = format!("{message}; the call may have been carried out");
                let hint = "look before you try again: `hassio jobs` shows what still runs";
                let fields = json!({ "hint": hint, "outcome": "unknown" });
                Self::with_fields(fault, &message, &fields)
            }
        }
    }

    fn with_fields(fault: ApiFault, message: &str, fields: &Value) -> Self {
        let envelope = json!({
            "result": "error",
            "message": message,
            "error_key": fault.as_str(),
            "extra_fields": fields,
        });
        let answer = Self::json(status(fault), &envelope);
        Self {
            error: Some(format!("{fault}: {message}")),
            ..answer
        }
    }

    /// The request is none.
    pub(super) fn unfit(what: &str) -> Self {
        Self::fault(ApiFault::Unfit, &format!("bad request: {what}"), "")
    }

    /// Its head is none.
    pub(super) fn unread(fault: HeadFault) -> Self {
        let status = match fault {
            HeadFault::TooLong | HeadFault::TooManyLines => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            HeadFault::Unfit(_) => status(ApiFault::Unfit),
        };
        Self {
            status,
            ..Self::unfit(&fault.to_string())
        }
    }

    /// The call is not allowed, or is none as it was written.
    pub(super) fn refusal(method: &str, path: &str, role: &Role, reason: &Reason<'_>) -> Self {
        let call = format!(
            "{} {}",
            escape(method.as_bytes(), 16),
            escape(path.as_bytes(), SHOWN_PATH_BYTES)
        );
        let (message, hint) = match reason {
            Reason::Permission {
                would_do: Some(other),
                ..
            } => (
                format!("{call} is not allowed for the role {role}; the role {other} would do"),
                "the role of a key is the role= of its line in the app's options",
            ),
            Reason::Permission { would_do: None, .. } => (
                format!("{call} is not allowed for the role {role}, nor for any other"),
                "",
            ),
            Reason::Never(_, says) => (
                format!("{call} is not allowed for the role {role} or any other: {says}"),
                "",
            ),
            Reason::UnknownRole => (
                format!("{call} is not allowed: there is no role {role}"),
                "the role of a key is the role= of its line in the app's options",
            ),
            Reason::Unlisted | Reason::Method(_) => (
                format!(
                    "{call} is no call that this server lets through, for the role {role} or any other: {reason}"
                ),
                "`hassio help` lists what there is",
            ),
            Reason::Path(_) => (
                format!("{call} is not allowed for the role {role} or any other: {reason}"),
                "",
            ),
            Reason::Parameter(..) | Reason::Query(..) => return Self::unfit(&reason.to_string()),
        };
        let mut answer = Self::fault(ApiFault::Refused, &message, hint);
        if let Reason::Method(methods) = reason {
            let names: Vec<_> = methods.iter().map(|method| method.as_str()).collect();
            if let Ok(allow) = HeaderValue::from_str(&names.join(", ")) {
                answer.headers.insert(ALLOW, allow);
            }
        }
        answer
    }

    /// The call is about this app itself, or could be.
    pub(super) fn ours(method: &str, path: &str, role: &Role, ours: Ours) -> Self {
        let (method, path) = (
            escape(method.as_bytes(), 16),
            escape(path.as_bytes(), SHOWN_PATH_BYTES),
        );
        let why = ours.as_str();
        let message =
            format!("{method} {path} is not allowed for the role {role} or any other: {why}");
        let hint = "this app is changed in Home Assistant: Settings, Apps, the app's page";
        Self::fault(ApiFault::Refused, &message, hint)
    }

    /// The session has to wait.
    pub(super) fn too_many(too_many: &TooMany) -> Self {
        let TooMany {
            resource,
            limit,
            after,
        } = too_many;
        let message = format!("too many {resource}: a session may make {limit}");
        let mut answer = Self::fault(ApiFault::TooMany, &message, "try again in a moment");
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        answer.headers.insert(RETRY_AFTER, seconds.into());
        answer
    }

    /// The call could not be put on record.
    pub(super) fn unrecorded() -> Self {
        let message = "the call could not be put on record, so it was not made";
        Self::fault(
            ApiFault::Unrecorded,
            message,
            "the app's log says why; a full disk is the usual cause",
        )
    }
}

fn status(fault: ApiFault) -> StatusCode {
    match fault {
        ApiFault::Refused => StatusCode::FORBIDDEN,
        ApiFault::Unfit => StatusCode::BAD_REQUEST,
        ApiFault::Unreachable | ApiFault::TokenRefused | ApiFault::BadAnswer => {
            StatusCode::BAD_GATEWAY
        }
        ApiFault::NoSupervisor | ApiFault::Unrecorded => StatusCode::SERVICE_UNAVAILABLE,
        ApiFault::TooMany => StatusCode::TOO_MANY_REQUESTS,
        ApiFault::NotThere => StatusCode::NOT_FOUND,
    }
}
