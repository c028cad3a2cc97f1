use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use http::{HeaderMap, Request, Response};
use hyper::body::{Body as _, Incoming};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use super::Broker;
use super::answer::Answer;
use super::body::Outgoing;
use super::head::Head;
use super::own::Objection;
use super::pace::TooMany;
use super::session::Session;
use super::slot::{CountedBody, Slot};
use super::supervisor::MaySee;
use super::{body, desk, own};
use crate::model::{Login, escape};
use crate::policy::endpoints::{self, Call, Effect, Endpoint, SETS_OPTIONS, Verdict};
use crate::wire::{ApiDecision, Event, Outcome, Record, SESSION_PATH, WhoAmI};

/// How much of a path a record keeps.
const RECORDED_PATH_BYTES: usize = 1024;

/// How much of a method a record keeps.
const RECORDED_METHOD_BYTES: usize = 32;

/// How much of the user's name is shown.
const USER_BYTES: usize = 256;

/// One request of a session: verdict, record, Supervisor.
pub(super) async fn respond(
    broker: Arc<Broker>,
    session: Arc<Session>,
    slot: Arc<Slot>,
    head: Arc<Head>,
    arrived: Result<(), TooMany>,
    request: Request<Incoming>,
) -> Result<Response<CountedBody>, Infallible> {
    // In place of a head at fault hyper has read another: whatever follows the first is still to come.
    if request.body().is_end_stream() && head.fault().is_none() {
        slot.has_read();
    }
    let permit = match arrived.and_then(|()| session.pace.begin()) {
        Ok(permit) => permit,
        Err(too_many) => {
            let answer = session.too_many(&broker, &too_many).await;
            return Ok(respond_with(answer, slot, None));
        }
    };
    let id = session.next_call();
    slot.begin(id);
    let answer = match exchange(&broker, &session, &slot, &head, id, request).await {
        Ok(answer) | Err(answer) => answer,
    };
    slot.answered(answer.status.as_u16(), answer.error.clone());
    Ok(respond_with(answer, slot, Some(permit)))
}

fn respond_with(
    answer: Answer,
    slot: Arc<Slot>,
    permit: Option<OwnedSemaphorePermit>,
) -> Response<CountedBody> {
    let mut response = Response::new(CountedBody::new(answer.source, slot, permit));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// A request as it is recorded.
struct Asked<'r> {
    id: u64,
    method: &'r str,
    path: &'r str,
    query: Option<&'r str>,
}

/// An error is an answer as well: one that ends the matter early.
async fn exchange(
    broker: &Broker,
    session: &Session,
    slot: &Arc<Slot>,
    seen: &Head,
    id: u64,
    request: Request<Incoming>,
) -> Result<Answer, Answer> {
    if let Some(fault) = seen.fault() {
        let asked = Asked {
            id,
            method: seen.method(),
            path: seen.target(),
            query: None,
        };
        let record = asked.denied(None, fault.to_string());
        return Err(session.refused(broker, record, Answer::unread(fault)).await);
    }
    let (head, body) = request.into_parts();
    let (method, path) = (head.method.as_str(), head.uri.path());
    let asked = Asked {
        id,
        method,
        path,
        query: head.uri.query(),
    };
    if path == SESSION_PATH && method == "GET" && asked.query.is_none() {
        return who_am_i(broker, session, &asked).await;
    }
    let wanted = endpoints::Request {
        method,
        path,
        query: asked.query,
    };
    match broker
        .endpoints
        .judge(&broker.roles, session.role(), wanted)
    {
        Verdict::Allow(call) => {
            let endpoint = call.endpoint();
            if endpoint.is_ours() {
                return ours(broker, session, &asked, &call).await;
            }
            // Held until the call is answered.
            let _large = match body::is_large(&body, endpoint.body) {
                true => Some(session.large_body(broker).await?),
                false => None,
            };
            let body = match body::read(body, endpoint, &head.headers, slot.clone()).await {
                Ok(body) => body,
                Err(fault) => {
                    let record = asked.denied(Some(endpoint.name.clone()), fault.clone());
                    return Err(session.refused(broker, record, Answer::unfit(&fault)).await);
                }
            };
            forward(broker, session, &asked, &call, &head.headers, body).await
        }
        Verdict::Deny(reason) => {
            let record = asked.denied(
                reason.endpoint().map(|it| it.name.clone()),
                reason.to_string(),
            );
            tracing::debug!(sid = %session.sid, "refused: {reason}");
            let answer = Answer::refusal(method, path, session.role(), &reason);
            Err(session.refused(broker, record, answer).await)
        }
    }
}

async fn who_am_i(broker: &Broker, session: &Session, asked: &Asked<'_>) -> Result<Answer, Answer> {
    let record = asked.allowed(
        "sshd.session",
        "everybody may ask who they are".to_owned(),
        None,
    );
    session.record(broker, record).await?;
    let rules = broker.roles.rules(session.role());
    let permissions = rules.into_iter().flat_map(|rules| &rules.may);
    let allowed = |endpoint: &&Endpoint| rules.is_some_and(|rules| rules.allows(endpoint));
    let calls = broker.endpoints.iter().filter(allowed);
    let grant = &session.grant;
    let answer = WhoAmI {
        sid: session.sid,
        user: escape(grant.user.as_bytes(), USER_BYTES),
        key: match &grant.login {
            Login::PublicKey(key) => Some(key.clone()),
            Login::Password => None,
        },
        role: grant.role.clone(),
        permissions: permissions.map(ToString::to_string).collect(),
        config: grant.config,
        network: grant.network,
        calls: calls.map(|endpoint| endpoint.name.clone()).collect(),
    };
    // Texts and lists of texts: it cannot fail.
    Ok(Answer::ok(
        &serde_json::to_value(answer).unwrap_or_default(),
    ))
}

/// What this server answers by itself. Whoever looks at what others did is on record before he sees it.
async fn ours(
    broker: &Broker,
    session: &Session,
    asked: &Asked<'_>,
    call: &Call<'_>,
) -> Result<Answer, Answer> {
    let record = asked.allowed(&call.endpoint().name, call.rule().to_owned(), None);
    session.durable(broker, record).await?;
    desk::answer(broker, session, call).await
}

async fn forward(
    broker: &Broker,
    session: &Session,
    asked: &Asked<'_>,
    call: &Call<'_>,
    headers: &HeaderMap,
    body: Outgoing,
) -> Result<Answer, Answer> {
    let endpoint = call.endpoint();
    if let Some(objection) = own::objection(&broker.supervisor, call, body.members()).await {
        let (rule, answer) = match objection {
            Objection::Ours(ours) => (
                ours.as_str().to_owned(),
                Answer::ours(asked.method, asked.path, session.role(), ours),
            ),
            Objection::Unfit(fault) => (fault.clone(), Answer::unfit(&fault)),
            Objection::Unasked(answer) => (
                "the Supervisor could not be asked whether it is about this app".to_owned(),
                answer,
            ),
        };
        let record = asked.denied(Some(endpoint.name.clone()), rule);
        return Err(session.refused(broker, record, answer).await);
    }
    let record = asked.allowed(
        &endpoint.name,
        call.rule().to_owned(),
        body.bytes().as_deref(),
    );
    match endpoint.effect {
        Effect::Changes => session.durable(broker, record).await?,
        Effect::Reads => session.record(broker, record).await?,
    }
    let rules = broker.roles.rules(session.role());
    let sets = broker.endpoints.named(SETS_OPTIONS);
    let may_see = match (rules, sets) {
        (Some(rules), Some(sets)) if rules.allows(sets) => MaySee::Options,
        (Some(_) | None, Some(_) | None) => MaySee::NoOptions,
    };
    broker.supervisor.call(call, headers, body, may_see).await
}

impl Asked<'_> {
    fn allowed(&self, endpoint: &str, rule: String, body: Option<&[u8]>) -> Record {
        let event = Event::ApiRequest {
            id: self.id,
            endpoint: Some(endpoint.to_owned()),
            method: self.recorded_method(),
            path: self.recorded_path(),
            body_bytes: u64::try_from(body.map_or(0, <[u8]>::len)).unwrap_or(u64::MAX),
            body_sha256: body.map(|body| hex(&Sha256::digest(body))),
            decision: ApiDecision::Allow,
            rule,
        };
        Record::new(event).outcome(Outcome::Good)
    }

    fn denied(&self, endpoint: Option<String>, rule: String) -> Record {
        let event = Event::ApiRequest {
            id: self.id,
            endpoint,
            method: self.recorded_method(),
            path: self.recorded_path(),
            body_bytes: 0,
            body_sha256: None,
            decision: ApiDecision::Deny,
            rule,
        };
        Record::new(event).outcome(Outcome::Bad)
    }

    fn recorded_method(&self) -> String {
        escape(self.method.as_bytes(), RECORDED_METHOD_BYTES)
    }

    fn recorded_path(&self) -> String {
        let query = self
            .query
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        escape(
            format!("{}{query}", self.path).as_bytes(),
            RECORDED_PATH_BYTES,
        )
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}
