//! Gigabytes pass through, and the broker stays as small as it was; a call that changes something is on record before it is
//! made, also when the broker dies under it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hassio_sshd::wire::{ApiDecision, Event};
use sha2::{Digest, Sha256};

use crate::harness::{Broker, Scratch, Session, Supervisor, TOKEN, until};
use crate::process::Process;

const GIB: u64 = 1024 * 1024 * 1024;

/// How much more memory than before a stream may take.
const GROWTH_KIB: u64 = 32 * 1024;

/// How long two GiB may take; a test program is not optimised.
const LONG: Duration = Duration::from_secs(60);

fn both() -> (Supervisor, Process, Session) {
    let scratch = Scratch::new();
    let supervisor = Supervisor::start(&scratch, &[]);
    let process = Process::start(scratch, &supervisor.address);
    let session = process.broker.open("admin");
    // Everything that the first call needs is there before anything is measured.
    assert_eq!(session.get("/addons/core_mosquitto/info").status, 200);
    (supervisor, process, session)
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a head, and says how many bytes follow.
fn head(stream: &mut impl std::io::Read) -> u64 {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.unwrap().parse().unwrap()
}

#[test]
fn a_download_of_two_gib_takes_no_memory() {
    let (_supervisor, process, session) = both();
    let before = process.peak_kib();
    let began = Instant::now();
    let mut stream = session.connect();
    stream
        .write_all(b"GET /backups/2a2a2a2a/download HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert_eq!(head(&mut stream), 2 * GIB);
    let (mut total, mut digest, mut buffer) = (0, Sha256::new(), vec![0; 256 * 1024]);
    loop {
        let count = stream.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        digest.update(&buffer[..count]);
        total += u64::try_from(count).unwrap();
    }
    assert_eq!(total, 2 * GIB);
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    let growth = process.peak_kib() - before;
    assert!(growth < GROWTH_KIB, "it grew by {growth} KiB");
    let expected = hex(&digest.finalize());
    let recorded = |event: &Event| {
        matches!(event, Event::ApiResponse { status: 200, bytes, sha256: Some(digest), error: None, .. }
            if *bytes == total && *digest == expected)
    };
    until("the record", || process.broker.audit.has(recorded));
}

#[test]
fn an_upload_of_two_gib_takes_no_memory() {
    let (supervisor, process, session) = both();
    let before = process.peak_kib();
    let began = Instant::now();
    let (begin, end) = (
        &b"--b\r\nContent-Type: application/tar\r\n\r\n"[..],
        &b"\r\n--b--\r\n"[..],
    );
    let length = 2 * GIB + u64::try_from(begin.len() + end.len()).unwrap();
    let mut stream = session.connect();
    write!(
        stream,
        "POST /backups/new/upload?location=.local&filename=a.tar HTTP/1.1\r\nHost: x\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(begin).unwrap();
    let zeros = vec![0; 256 * 1024];
    for _ in 0..2 * GIB / 262_144 {
        stream.write_all(&zeros).unwrap();
    }
    stream.write_all(end).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    let growth = process.peak_kib() - before;
    assert!(growth < GROWTH_KIB, "it grew by {growth} KiB");
    let requests = supervisor.requests();
    let arrived = requests
        .iter()
        .find(|request| request["path"] == "/backups/new/upload")
        .unwrap();
    assert_eq!(arrived["body_bytes"], length);
    assert_eq!(arrived["query"], "location=.local&filename=a.tar");
    assert_eq!(arrived["headers"]["content-length"], length.to_string());
    let recorded = |event: &Event| {
        matches!(event, Event::ApiResponse { upload: Some(upload), .. }
            if upload.bytes == length && upload.sha256.as_deref() == arrived["body_sha256"].as_str())
    };
    until("the record", || process.broker.audit.has(recorded));
}

#[test]
fn a_reader_that_stops_holds_the_supervisor_back() {
    let (supervisor, process, session) = both();
    let before = process.peak_kib();
    let mut stream = session.connect();
    stream
        .write_all(b"GET /backups/2a2a2a2a/download HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert_eq!(head(&mut stream), 2 * GIB);
    let sent = || {
        let address = supervisor.address.strip_prefix("http://").unwrap();
        let mut control = TcpStream::connect(address).unwrap();
        control
            .write_all(b"GET /simulated/sent HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        control.read_to_string(&mut answer).unwrap();
        let (_, bytes) = answer.split_once("\r\n\r\n").unwrap();
        bytes.parse::<u64>().unwrap()
    };
    std::thread::sleep(Duration::from_secs(1));
    let first = sent();
    std::thread::sleep(Duration::from_secs(2));
    // What sockets hold, in all.
    assert_eq!(sent(), first, "it goes on being sent");
    assert!(
        first < 32 * 1024 * 1024,
        "{first} bytes were sent to nobody"
    );
    let growth = process.peak_kib() - before;
    assert!(growth < GROWTH_KIB, "it grew by {growth} KiB");
    stream.read_exact(&mut vec![0; 64 * 1024 * 1024]).unwrap();
    assert!(sent() > 64 * 1024 * 1024, "it does not go on");
}

#[test]
fn a_broker_that_dies_leaves_a_request_without_an_answer() {
    let (supervisor, mut process, session) = both();
    let mut stream = session.connect();
    stream
        .write_all(b"POST /core/restart HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    // The Supervisor takes a second to answer.
    until("the request's arrival", || {
        supervisor.paths().contains(&"/core/restart".to_owned())
    });
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .map(drop)
        .unwrap_or_default();
    assert_eq!(answer, b"");
    let events = process.broker.audit.events();
    let requested = events.iter().find_map(|event| match event {
        Event::ApiRequest {
            id,
            endpoint: Some(name),
            decision: ApiDecision::Allow,
            ..
        } if name == "core.restart" => Some(*id),
        _ => None,
    });
    let requested = requested.expect("it is on record");
    let answered =
        |event: &Event| matches!(event, Event::ApiResponse { id, .. } if *id == requested);
    assert!(!events.iter().any(answered), "{events:?}");
}

const UPLOAD: &[u8] =
    b"POST /backups/new/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n";

#[test]
fn an_upload_without_a_length_goes_out_in_chunks() {
    let (supervisor, process, session) = both();
    let mut stream = session.connect();
    stream.write_all(UPLOAD).unwrap();
    stream
        .write_all(b"Transfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    for _ in 0..100 {
        stream.write_all(b"3e8\r\n").unwrap();
        stream.write_all(&[b'x'; 1000]).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\nX-Trailer: y\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let requests = supervisor.requests();
    let arrived = requests
        .iter()
        .find(|request| request["path"] == "/backups/new/upload")
        .unwrap();
    assert_eq!(arrived["body_bytes"], 100_000);
    assert_eq!(arrived["headers"]["transfer-encoding"], "chunked");
    let recorded = |event: &Event| {
        matches!(event, Event::ApiResponse { upload: Some(upload), .. }
            if upload.bytes == 100_000 && upload.sha256.as_deref() == arrived["body_sha256"].as_str())
    };
    until("the record", || process.broker.audit.has(recorded));
}

#[test]
fn an_upload_that_breaks_off_is_told_from_a_whole_one() {
    let (supervisor, process, session) = both();
    let mut stream = session.connect();
    stream.write_all(UPLOAD).unwrap();
    stream.write_all(b"Content-Length: 100000\r\n\r\n").unwrap();
    stream.write_all(&[b'x'; 5000]).unwrap();
    drop(stream);
    let recorded = |event: &Event| {
        matches!(event, Event::ApiResponse { upload: Some(upload), error: Some(_), .. }
            if upload.bytes == 5000 && upload.sha256.is_none())
    };
    until("the record", || process.broker.audit.has(recorded));
    // The Supervisor was not told that this was all.
    assert!(
        !supervisor
            .paths()
            .contains(&"/backups/new/upload".to_owned())
    );
}

#[test]
fn an_upload_that_is_not_allowed_is_not_read() {
    let (supervisor, process, _) = both();
    let session = process.broker.open("operator");
    let before = process.peak_kib();
    let mut stream = session.connect();
    stream.write_all(UPLOAD).unwrap();
    stream
        .write_all(b"Content-Length: 100000000\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(process.peak_kib() - before < 1024);
    assert!(
        !supervisor
            .paths()
            .contains(&"/backups/new/upload".to_owned())
    );
}

/// As a client that writes all of it before it reads, and as the tool.
#[test]
fn an_answer_that_comes_before_the_end_of_an_upload_can_be_read() {
    const LENGTH: usize = 8 * 1024 * 1024;
    let (supervisor, process, admin) = both();
    let operator = process.broker.open("operator");
    let asked = |session: &Session, target: &str, length: usize| {
        let mut stream = session.connect();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        );
        write!(stream, "{head}Content-Length: {length}\r\n\r\n").unwrap();
        let sent = (0..length / 65_536).try_for_each(|_| stream.write_all(&[b'x'; 65_536]));
        assert!(sent.is_ok(), "{target}: {sent:?}");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let upload = "/backups/new/upload";
    for (session, target, status) in [
        (&operator, upload.to_owned(), "403"),
        (&admin, format!("{upload}?filename=a/b.tar"), "400"),
        (&admin, "/backups/new/uploads".to_owned(), "403"),
        // A body that is too long for any other call.
        (&admin, "/core/restart".to_owned(), "400"),
    ] {
        let answer = asked(session, &target, LENGTH);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{target}: {answer}"
        );
    }
    let file = process.broker.scratch.path("a backup.tar");
    // Nobody: port 1 is not listened on.
    let away = Broker::start(Scratch::new(), "http://127.0.0.1:1", Some(TOKEN));
    let nobody = away.open("admin");
    for length in [1024, 400 * 1024 * 1024] {
        std::fs::File::create(&file)
            .unwrap()
            .set_len(length)
            .unwrap();
        for (session, more, code, said) in [
            (&operator, &[][..], 3, "the role admin would do"),
            (&admin, &["--filename", "x.zip"], 2, "bad request: "),
            (
                &nobody,
                &[],
                4,
                "cannot reach the Supervisor at http://127.0.0.1:1",
            ),
        ] {
            let words = ["backups", "upload", file.to_str().unwrap()];
            let output = session.hassio(&[&words, more].concat());
            let text = crate::harness::err(&output);
            assert_eq!(output.status.code(), Some(code), "{length}: {text}");
            assert!(text.contains(said), "{length}: {text}");
            assert!(
                !text.contains("may be doing") && !text.contains("may have"),
                "{text}"
            );
        }
    }
    assert!(!supervisor.paths().contains(&upload.to_owned()));
}

#[test]
fn nobody_sends_for_ever_behind_an_answer() {
    let (_supervisor, process, _) = both();
    let session = process.broker.open("operator");
    let mut stream = session.connect();
    stream.write_all(UPLOAD).unwrap();
    stream
        .write_all(b"Content-Length: 1000000000000\r\n\r\n")
        .unwrap();
    let mut sent = 0;
    while stream.write_all(&[b'x'; 65_536]).is_ok() {
        sent += 65_536;
        assert!(sent < 128 * 1024 * 1024, "it takes all of it");
    }
    assert!(sent >= 64 * 1024 * 1024, "{sent}");
}
