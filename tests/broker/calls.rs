//! Every call that is let through arrives at the Supervisor as policy writes it, and its answer comes back.

use std::io::{Read as _, Write as _};

use hassio_sshd::policy::endpoints::{Access, Answer, Body, Endpoint, Endpoints};

use crate::harness::{both, err, until};

/// Values that the simulated Supervisor knows.
const VALUES: [(&str, &str); 21] = [
    ("{slug}", "core_mosquitto"),
    ("{version}", "1.2.3"),
    ("{backup}", "1a2b3c4d"),
    ("{boot}", "-1"),
    ("{identifier}", "kernel"),
    ("{interface}", "end0"),
    ("{vlan}", "10"),
    ("{mount}", "nas"),
    ("{disk}", "default"),
    ("{board}", "ova"),
    ("{uuid}", "9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f"),
    ("{issue}", "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"),
    ("{suggestion}", "1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a"),
    ("{check}", "free_space"),
    ("{repository}", "core"),
    ("{hostname}", "ghcr.io"),
    ("{source}", "output"),
    ("{entity}", "light.kitchen"),
    ("{domain}", "light"),
    ("{service}", "turn_on"),
    ("{time}", "2026-08-24T00:00:00+02:00"),
];

fn path(endpoint: &Endpoint) -> String {
    let mut path = endpoint.path.to_string();
    for (name, value) in VALUES {
        path = path.replace(name, value);
    }
    path
}

#[test]
fn every_call_goes_out_as_policy_writes_it_and_is_answered() {
    let (supervisor, broker) = both(&[]);
    let endpoints = Endpoints::shipped().unwrap();
    let offered = endpoints.iter().filter(|endpoint| {
        matches!(endpoint.access, Access::Needs(_))
            && endpoint.name != "backups.remove"
            && !endpoint.is_ours()
    });
    for endpoint in offered {
        let session = broker.open("admin");
        let (method, path) = (endpoint.method.as_str(), path(endpoint));
        let query = match endpoint.name.starts_with("core-api.history") {
            true => "?filter_entity_id=light.kitchen",
            false => "",
        };
        let (kind, body) = match endpoint.body {
            Body::None => ("text/plain", ""),
            Body::Json => ("application/json", "{}"),
            Body::Bytes => ("application/octet-stream", "on\n"),
            Body::Upload => (
                "multipart/form-data; boundary=x",
                "--x\r\n\r\ntar\r\n--x--\r\n",
            ),
        };
        let length = body.len();
        let mut stream = session.connect();
        write!(
            stream,
            "{method} {path}{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        // The beginning is enough: some answers have no end.
        let mut bytes = vec![0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        let answer = String::from_utf8_lossy(&bytes[..count]);
        assert!(
            answer.starts_with("HTTP/1.1 200 "),
            "{}: {answer}",
            endpoint.name
        );
        let log = endpoint.answer == Answer::Text && path.contains("/logs");
        assert_eq!(
            answer.contains("x-first-cursor: "),
            log,
            "{}: {answer}",
            endpoint.name
        );
        let here = |request: &serde_json::Value| {
            request["method"] == method
                && request["path"] == path.as_str()
                && request["body_bytes"] == length
        };
        until("the request's arrival", || {
            supervisor.requests().iter().any(here)
        });
    }
}

#[test]
fn a_backup_is_fetched_from_where_the_last_attempt_broke_off() {
    let (_supervisor, broker) = both(&[]);
    let session = broker.open("admin");
    let whole = session.get("/backups/1a2b3c4d/download");
    assert!(
        whole
            .raw
            .contains("content-disposition: attachment; filename=1a2b3c4d.tar"),
        "{:.400}",
        whole.raw
    );
    assert_eq!((whole.status, whole.body().len()), (200, 1_048_576));
    let part = session.raw(
        b"GET /backups/1a2b3c4d/download?location=.local HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRange: bytes=1048570-\r\n\r\n",
    );
    assert_eq!((part.status, part.body().len()), (206, 6));
    assert!(
        part.raw
            .contains("content-range: bytes 1048570-1048575/1048576"),
        "{}",
        part.raw
    );
    let beyond = session.raw(
        b"GET /backups/1a2b3c4d/download HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRange: bytes=9999999-\r\n\r\n",
    );
    assert_eq!(beyond.status, 416);
    assert!(
        beyond.raw.contains("content-range: bytes */1048576\r\n"),
        "{}",
        beyond.raw
    );
    // One that was whole when the tool ended, and had not got its name.
    let file = broker.scratch.path("1a2b3c4d.tar");
    let kept = broker.scratch.path("1a2b3c4d.tar.part");
    std::fs::write(&kept, vec![0; 1_048_576]).unwrap();
    let words = ["backups", "download", "1a2b3c4d", "-o"];
    let output = session.hassio(&[&words[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(file.exists() && !kept.exists());
    assert_eq!(session.get("/backups/00000000/download").status, 404);
}

#[test]
fn core_answers_in_its_own_words_and_its_errors_come_in_the_envelope() {
    let (_supervisor, broker) = both(&[]);
    let session = broker.open("observer");
    let state = session.get("/core/api/states/light.kitchen");
    assert_eq!((state.status, &state.json()["state"]), (200, &"on".into()));
    let log = session.get("/core/api/error_log");
    assert!(log.body().contains("something went wrong"), "{}", log.raw);
    let missing = session.get("/core/api/states/light.nowhere");
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()["message"], "Entity not found.");
    assert_eq!(missing.json()["result"], "error");
}

#[test]
fn an_answer_that_is_none_is_said_to_be_none() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("admin");
    let html = session.get("/addons/fault_html/stats");
    assert_eq!(html.status, 502);
    assert!(
        html.body().contains("a web page instead of a reason"),
        "{}",
        html.raw
    );
    let broken = session.get("/addons/fault_broken/stats");
    assert_eq!(
        (broken.status, &broken.json()["result"]),
        (500, &"error".into())
    );
    let redirect = session.get("/addons/fault_redirect/stats");
    assert_eq!(
        (redirect.status, &redirect.json()["error_key"]),
        (502, &"sshd_bad_answer".into())
    );
    assert!(
        !supervisor.paths().contains(&"/auth/list".to_owned()),
        "it was followed"
    );
    for stripped in ["/addons/fault_cut/info", "/addons/fault_nonsense/info"] {
        let answer = broker.open("observer").get(stripped);
        assert_eq!(
            (answer.status, &answer.json()["error_key"]),
            (502, &"sshd_bad_answer".into())
        );
    }
    let cut = session.get("/addons/fault_cut/stats");
    assert!(cut.raw.ends_with("{\"result\":\"ok\","), "{}", cut.raw);
    let broke_off = |event: &hassio_sshd::wire::Event| matches!(event, hassio_sshd::wire::Event::ApiResponse { error: Some(why), .. } if why == "the Supervisor's answer broke off");
    until("the record", || broker.audit.has(broke_off));
    assert_eq!(session.get("/addons/fault_slow/stats").status, 404);
}

#[test]
fn numbers_reach_the_supervisor_as_they_were_written() {
    let (supervisor, broker) = both(&[]);
    let session = broker.open("admin");
    let body = r#"{"options":{"big":12345678901234567890123,"rate":1e+5,"share":[1.50,-0]}}"#;
    let response = session.request("POST", "/addons/core_mosquitto/options", body);
    assert_eq!(response.status, 200, "{}", response.raw);
    let requests = supervisor.requests();
    assert_eq!(requests.last().unwrap()["body"], body);
    let endless = session.request("POST", "/core/options", r#"{"port":1e999}"#);
    assert_eq!(endless.status, 400, "{}", endless.raw);
    assert_eq!(supervisor.requests().len(), requests.len());
}
