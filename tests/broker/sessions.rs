//! Questions about sessions: who may see what is said to the reader, and what a reader says is passed on or refused. The
//! test is the warden, and the reader.

use std::thread;

use hassio_sshd::wire::{
    ApiDecision, BrokerToWarden, Event, Form, Link, Question, ReaderToBroker, Search, Subject,
    Wanted, Whose,
};

use crate::harness::*;

type Reader = Link<ReaderToBroker, Question>;

/// Hands the broker's next wish for a reader to `answer`, and gives the question back.
fn reader(broker: &Broker, answer: impl FnOnce(&Reader)) -> Question {
    let (message, fds) = broker.warden().recv_with().unwrap();
    let BrokerToWarden::Read = message else {
        panic!("{message:?}");
    };
    let [fd] = Reader::exactly(fds).unwrap();
    let link = Reader::from_fd(fd).unwrap();
    let question = link.recv().unwrap();
    answer(&link);
    question
}

/// A call as `role`, answered by this reader.
fn call(
    broker: &Broker,
    role: &str,
    target: &str,
    answer: impl FnOnce(&Reader),
) -> (Response, Question) {
    let session = broker.open(role);
    let target = target.to_owned();
    let asked = thread::spawn(move || session.get(&target));
    let question = reader(broker, answer);
    (asked.join().unwrap(), question)
}

fn say(link: &Reader, messages: &[ReaderToBroker]) {
    for message in messages {
        link.send(message).unwrap();
    }
}

const SID: &str = "01a20d03-2a16-71e0-99c8-e18f83c37608";

#[test]
fn whose_sessions_are_seen_goes_by_key_and_role() {
    let (supervisor, broker) = both(&[]);
    let whole = |link: &Reader| {
        say(
            link,
            &[
                ReaderToBroker::Found(Subject::Sessions),
                ReaderToBroker::Bytes(b"{\"a\":".to_vec()),
                ReaderToBroker::Bytes(b"1}".to_vec()),
                ReaderToBroker::End,
            ],
        );
    };
    let target = "/sshd/sessions?text=a%20b&type=exec,sftp.&ignore_case&newest=7";
    for role in ["observer", "backup", "operator", "admin"] {
        let (answer, question) = call(&broker, role, target, whole);
        assert_eq!(answer.status, 200, "{}", answer.raw);
        assert!(
            answer.raw.contains("{\"a\":") && answer.raw.contains("1}"),
            "{}",
            answer.raw
        );
        let whose = match role {
            "admin" => Whose::Everybodys,
            _ => Whose::OfKey("SHA256:abc".to_owned()),
        };
        assert_eq!(question.whose, whose, "{role}");
        let search = Search {
            types: Some("exec,sftp.".to_owned()),
            text: Some("a b".to_owned()),
            ignore_case: true,
            newest: Some(7),
            ..Search::default()
        };
        assert_eq!(question.what, Wanted::List(search));
    }
    let (_, question) = call(
        &broker,
        "observer",
        &format!("/sshd/sessions/{SID}?format=json"),
        whole,
    );
    let session = SID.to_owned();
    let form = Form::Json;
    assert_eq!(question.what, Wanted::Session { session, form });
    assert!(supervisor.requests().is_empty(), "the Supervisor was asked");
}

#[test]
fn a_look_is_on_record_before_its_answer_and_a_recordings_view_too() {
    let (_supervisor, broker) = both(&[]);
    let file = format!("recordings/2026/11/24/{SID}/3.cast");
    let target = format!("/sshd/sessions/{SID}/recordings/3");
    let subject = Subject::Recording {
        sid: SID.parse().unwrap(),
        file: file.clone(),
    };
    let (answer, _) = call(&broker, "admin", &target, |link| {
        let asked = |event: &Event| matches!(event, Event::ApiRequest { decision: ApiDecision::Allow, path, .. } if *path == target);
        assert!(
            broker.audit.has(asked),
            "a reader is asked, and nothing is on record"
        );
        say(link, &[ReaderToBroker::Found(subject), ReaderToBroker::End]);
    });
    assert_eq!(answer.status, 200, "{}", answer.raw);
    assert!(broker.audit.has(
        |event| matches!(event, Event::RecordingView { file: viewed, .. } if *viewed == file)
    ));

    // Where audit does not take it, nothing is shown.
    let (_supervisor, broker) = both(&[]);
    broker
        .audit
        .withhold
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let session = broker.open("admin");
    let answer = session.get(&target);
    assert_eq!(answer.status, 503, "{}", answer.raw);
    assert_eq!(answer.json()["error_key"], "sshd_unrecorded");
}

#[test]
fn what_a_reader_may_not_say_is_no_answer() {
    let (_supervisor, broker) = both(&[]);
    let found = || ReaderToBroker::Found(Subject::Sessions);
    let bytes = || ReaderToBroker::Bytes(b"x".to_vec());
    for first in [None, Some(bytes()), Some(ReaderToBroker::End)] {
        let (answer, _) = call(&broker, "admin", "/sshd/sessions", |link| {
            say(link, &first.into_iter().collect::<Vec<_>>());
        });
        assert_eq!(answer.status, 502, "{}", answer.raw);
        assert!(
            answer.raw.contains("the audit trail could not be read"),
            "{}",
            answer.raw
        );
    }
    // Cut in the middle, or going on wrongly: the body has no end.
    for then in [None, Some(found())] {
        let (answer, _) = call(&broker, "admin", "/sshd/sessions", |link| {
            let messages = [found(), bytes()].into_iter().chain(then);
            say(link, &messages.collect::<Vec<_>>());
        });
        assert!(!answer.raw.ends_with("0\r\n\r\n"), "{}", answer.raw);
    }
    let error = |event: &Event| matches!(event, Event::ApiResponse { error: Some(why), .. } if why.contains("reader of the audit trail broke off"));
    assert!(broker.audit.has(error), "{:#?}", broker.audit.events());
    let (answer, _) = call(&broker, "observer", "/sshd/sessions/01", |link| {
        say(link, &[ReaderToBroker::NotThere("no such".to_owned())]);
    });
    assert_eq!(
        (answer.status, answer.json()["error_key"].clone()),
        (404, "sshd_not_there".into())
    );
    let (answer, _) = call(&broker, "observer", "/sshd/sessions?since=x", |link| {
        say(link, &[ReaderToBroker::Unfit("since is none".to_owned())]);
    });
    assert_eq!(answer.status, 400, "{}", answer.raw);
}

#[test]
fn a_session_is_killed_only_by_who_may() {
    let (_supervisor, broker) = both(&[]);
    let (victim, other) = (broker.open("operator"), broker.open("observer"));
    // The harness's sessions have one key, so an observer may end an operator's.
    let target = format!("/sshd/sessions/{}/kill", victim.sid);
    let asked = thread::spawn(move || other.request("POST", &target, ""));
    let (message, _) = broker.warden().recv_with().unwrap();
    let BrokerToWarden::Kill { sid, .. } = message else {
        panic!("{message:?}");
    };
    assert_eq!(sid, victim.sid);
    broker.close(&victim);
    let answer = asked.join().unwrap();
    assert_eq!(answer.json()["data"]["state"], "ended", "{}", answer.raw);
    let gone =
        broker
            .open("admin")
            .request("POST", &format!("/sshd/sessions/{}/kill", victim.sid), "");
    assert_eq!(gone.status, 404, "{}", gone.raw);
    let all = broker
        .open("admin")
        .request("POST", "/sshd/sessions/0/kill", "");
    assert_eq!(all.status, 400, "several begin so: {}", all.raw);
}
