//! What this server answers by itself: which sessions there were and are, what they did and showed, and the end of one.
//!
//! The broker reads nothing of the audit trail. It has the warden start a reader for each question, says whose sessions
//! the answer may be about, and passes on what that says.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Frame;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::Broker;
use super::answer::Answer;
use super::link::AsyncLink;
use super::pace::TooMany;
use super::session::Session;
use super::slot::{BodyFault, Source};
use crate::model::{Login, SessionId};
use crate::policy::endpoints::{Call, Parameter, Query};
use crate::policy::roles::Permission;
use crate::wire::limits::READERS;
use crate::wire::{
    ApiFault, Event, Form, Link, LinkError, Outcome, Question, ReaderToBroker, Record, Search,
    Subject, Wanted, Whose,
};

/// How long a reader may take to find what is asked for: the warden ends it soon after.
const FIRST: Duration = Duration::from_secs(100);

/// How long a session may take to end before the answer says that it is still ending.
const ENDING: Duration = Duration::from_secs(10);

/// How soon it is worth asking again where readers are busy.
const AGAIN: Duration = Duration::from_secs(1);

/// How many questions may be on their way to the warden.
pub(super) const ASKS: usize = 16;

/// What the warden is asked for.
#[derive(Debug)]
pub(super) enum Ask {
    /// A reader, for the far end of a link.
    Read(OwnedFd),
    /// The end of a session.
    Kill { sid: SessionId, by: SessionId },
}

/// The way to readers, and the sessions that are open.
#[derive(Debug)]
pub(super) struct Desk {
    asks: mpsc::Sender<Ask>,
    readers: Arc<Semaphore>,
    open: Mutex<BTreeMap<SessionId, Running>>,
}

#[derive(Debug)]
struct Running {
    login: Login,
    stopped: watch::Receiver<bool>,
}

type ReaderLink = AsyncLink<Question, ReaderToBroker>;

impl Desk {
    pub(super) fn new(asks: mpsc::Sender<Ask>) -> Self {
        Self {
            asks,
            readers: Arc::new(Semaphore::new(READERS)),
            open: Mutex::default(),
        }
    }

    /// A session is open until `stopped` says otherwise.
    pub(super) fn opened(&self, session: &Session, stopped: watch::Receiver<bool>) {
        let login = session.grant.login.clone();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(session.sid, Running { login, stopped });
    }

    /// A session is gone.
    pub(super) fn closed(&self, sid: SessionId) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&sid);
    }

    /// The open sessions whose ids begin so, of those that may be seen.
    fn matching(&self, whose: &Whose, text: &str) -> Vec<(SessionId, watch::Receiver<bool>)> {
        let wanted = text.to_ascii_lowercase();
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = open.iter().filter(|(sid, running)| {
            sees(whose, &running.login) && sid.to_string().starts_with(&wanted)
        });
        found
            .map(|(sid, running)| (*sid, running.stopped.clone()))
            .collect()
    }
}

fn sees(whose: &Whose, login: &Login) -> bool {
    match (whose, login) {
        (Whose::Everybodys, _) | (Whose::OfPassword, Login::Password) => true,
        (Whose::OfKey(fingerprint), Login::PublicKey(key)) => key.fingerprint == *fingerprint,
        (Whose::OfKey(_), Login::Password) | (Whose::OfPassword, Login::PublicKey(_)) => false,
    }
}

/// Answers a call of this server's own, which is on record already.
pub(super) async fn answer(
    broker: &Broker,
    session: &Session,
    call: &Call<'_>,
) -> Result<Answer, Answer> {
    let whose = whose(broker, session);
    let text = |parameter| call.value(parameter).unwrap_or_default().to_owned();
    let what = match call.endpoint().name.as_str() {
        "sessions.list" => Wanted::List(search(call)),
        "sessions.show" => Wanted::Session {
            session: text(Parameter::Session),
            form: match call.asked(Query::Format) {
                Some("json") => Form::Json,
                Some(_) | None => Form::Text,
            },
        },
        "sessions.replay" => Wanted::Recording {
            session: text(Parameter::Session),
            recording: text(Parameter::Recording),
        },
        "sessions.kill" => return kill(broker, session, &whose, &text(Parameter::Session)).await,
        name => {
            tracing::error!("nobody answers {name}");
            return Err(unread());
        }
    };
    let by = session.sid;
    read(broker, session, Question { by, whose, what }).await
}

/// Everybody's sessions where the role may see them, else those with the same key; all with the password are one.
fn whose(broker: &Broker, session: &Session) -> Whose {
    let rules = broker.roles.rules(session.role());
    match &session.grant.login {
        _ if rules.is_some_and(|rules| rules.may.contains(&Permission::Sessions)) => {
            Whose::Everybodys
        }
        Login::PublicKey(key) => Whose::OfKey(key.fingerprint.clone()),
        Login::Password => Whose::OfPassword,
    }
}

fn search(call: &Call<'_>) -> Search {
    let text = |query| call.asked(query).map(str::to_owned);
    Search {
        user: text(Query::User),
        key: text(Query::Key),
        source: text(Query::Source),
        since: text(Query::Since),
        until: text(Query::Until),
        types: text(Query::Type),
        text: text(Query::Text),
        ignore_case: call.asked(Query::IgnoreCase).is_some(),
        // The grammar lets digits through alone.
        newest: call.asked(Query::Newest).and_then(|n| n.parse().ok()),
    }
}

async fn read(broker: &Broker, session: &Session, question: Question) -> Result<Answer, Answer> {
    let busy = |resource, limit| {
        Answer::too_many(&TooMany {
            resource,
            limit,
            after: AGAIN,
        })
    };
    let own = session.reading.clone().try_acquire_owned();
    let own = own.map_err(|_| busy("questions about sessions at once", 1))?;
    let all = broker.desk.readers.clone().try_acquire_owned();
    let readers = u32::try_from(READERS).unwrap_or(u32::MAX);
    let all = all.map_err(|_| busy("questions about sessions at once, of all", readers))?;
    let kind = match &question.what {
        Wanted::List(_) => "application/json",
        Wanted::Session {
            form: Form::Text, ..
        } => "text/plain; charset=utf-8",
        Wanted::Session {
            form: Form::Json, ..
        } => "application/x-ndjson",
        Wanted::Recording { .. } => "application/x-asciicast",
    };
    let link = reader(broker).await.map_err(|error| {
        tracing::warn!("no reader of the audit trail: {error}");
        unread()
    })?;
    let asked = async {
        link.send(&question).await?;
        said(&link).await
    };
    let subject = match timeout(FIRST, asked).await {
        Ok(Ok(ReaderToBroker::Found(subject))) => subject,
        Ok(Ok(ReaderToBroker::NotThere(why))) => return Err(not_there(&question.whose, &why)),
        Ok(Ok(ReaderToBroker::Unfit(why))) => return Err(Answer::unfit(&why)),
        Ok(Ok(ReaderToBroker::Bytes(_) | ReaderToBroker::End) | Err(_)) | Err(_) => {
            return Err(unread());
        }
    };
    if let Subject::Recording { sid, file } = subject {
        let event = Event::RecordingView { session: sid, file };
        let record = Record::new(event).outcome(Outcome::Good);
        session.durable(broker, record).await?;
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Answer {
        status: StatusCode::OK,
        headers,
        source: Source::Read(ReadBody::new(link, [own, all])),
        error: None,
    })
}

async fn reader(broker: &Broker) -> Result<ReaderLink, LinkError> {
    let (near, far) = Link::pair()?;
    let asked = broker.desk.asks.send(Ask::Read(far.into_fd())).await;
    asked.map_err(|_| LinkError::Closed)?;
    AsyncLink::new(near)
}

async fn said(link: &ReaderLink) -> Result<ReaderToBroker, LinkError> {
    let (message, fds) = link.recv().await?;
    let [] = Link::<Question, ReaderToBroker>::exactly(fds)?;
    Ok(message)
}

fn unread() -> Answer {
    Answer::fault(
        ApiFault::BadAnswer,
        "the audit trail could not be read",
        "the app's log says why",
    )
}

fn not_there(whose: &Whose, why: &str) -> Answer {
    let hint = match whose {
        Whose::Everybodys => "`hassio session list` lists the sessions",
        Whose::OfKey(_) | Whose::OfPassword => {
            "you see the sessions of your own key alone; `hassio session list` lists them"
        }
    };
    Answer::fault(ApiFault::NotThere, why, hint)
}

async fn kill(
    broker: &Broker,
    session: &Session,
    whose: &Whose,
    text: &str,
) -> Result<Answer, Answer> {
    let found = broker.desk.matching(whose, text);
    let (sid, mut stopped) = match found.as_slice() {
        [(sid, stopped)] => (*sid, stopped.clone()),
        [] => {
            let why = format!("no session that runs has an id that begins with {text}");
            return Err(not_there(whose, &why));
        }
        several => {
            let ids: Vec<_> = several.iter().map(|(sid, _)| sid.to_string()).collect();
            let several = format!(
                "several sessions' ids begin with {text}: {}",
                ids.join(", ")
            );
            return Err(Answer::unfit(&several));
        }
    };
    let by = session.sid;
    let asked = broker.desk.asks.send(Ask::Kill { sid, by }).await;
    asked.map_err(|_| {
        let hint = "sessions end with it";
        Answer::fault(ApiFault::BadAnswer, "the server is stopping", hint)
    })?;
    // An error means that it is gone.
    let ended = timeout(ENDING, stopped.wait_for(|stopped| *stopped)).await;
    let state = match ended {
        Ok(_) => "ended",
        Err(_) => "ending",
    };
    Ok(Answer::ok(&json!({ "session": sid, "state": state })))
}

/// What a reader says, as the bytes of a response: a client that does not read holds it back.
pub(super) struct ReadBody {
    next: Option<Pin<Box<dyn Future<Output = Step> + Send>>>,
    /// The right to ask, of the session and of all together.
    _permits: [OwnedSemaphorePermit; 2],
}

type Step = (ReaderLink, Result<ReaderToBroker, LinkError>);

impl ReadBody {
    fn new(link: ReaderLink, permits: [OwnedSemaphorePermit; 2]) -> Self {
        Self {
            next: Some(step(link)),
            _permits: permits,
        }
    }

    /// Whether there is no more.
    pub(super) fn is_over(&self) -> bool {
        self.next.is_none()
    }

    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let Some(next) = &mut self.next else {
            return Poll::Ready(None);
        };
        let (link, said) = match next.as_mut().poll(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(done) => done,
        };
        self.next = None;
        Poll::Ready(match said {
            Ok(ReaderToBroker::Bytes(bytes)) => {
                self.next = Some(step(link));
                Some(Ok(Frame::data(bytes.into())))
            }
            Ok(ReaderToBroker::End) => None,
            Ok(
                ReaderToBroker::Found(_) | ReaderToBroker::NotThere(_) | ReaderToBroker::Unfit(_),
            )
            | Err(_) => Some(Err(BodyFault::Reader)),
        })
    }
}

fn step(link: ReaderLink) -> Pin<Box<dyn Future<Output = Step> + Send>> {
    Box::pin(async move {
        let said = said(&link).await;
        (link, said)
    })
}
