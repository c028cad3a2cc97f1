//! Backups carried in.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::backups::data;
use crate::harness::{Hassio, Setup, finish, scratch};
use crate::recorder::{ok, on_tcp};

#[test]
fn an_upload_is_a_form_with_the_file_in_it() {
    let setup = Setup::new(|_| ok(&json!({ "slug": "8f3a2b1c" })));
    let body = data(700_000);
    fs::write(setup.path("b.tar"), &body).unwrap();
    let check = |line: &str, input: &[u8], target: &str, sized: bool| {
        setup.requests.clear();
        let run = setup.command(line).input(input).run();
        assert_eq!(
            (run.code, run.out.as_str()),
            (Some(0), "slug: 8f3a2b1c\n"),
            "{run:?}"
        );
        let asked = setup.requests.all().pop().unwrap();
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str()),
            ("POST", target)
        );
        assert_eq!(asked.header("content-length").is_some(), sized, "{line}");
        let kind = asked.header("content-type").unwrap();
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
        let text = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"backup.tar\"\r\nContent-Type: application/tar\r\n\r\n"
        );
        let rest = asked.body.strip_prefix(text.as_bytes()).unwrap();
        let file = rest
            .strip_suffix(format!("\r\n--{boundary}--\r\n").as_bytes())
            .unwrap();
        assert!(file == body, "{line}");
    };
    check("backups upload b.tar", b"", "/backups/new/upload", true);
    check(
        "backups upload - --filename x.tar --location nas --location=.local",
        &body,
        "/backups/new/upload?location=nas&location=.local&filename=x.tar",
        false,
    );
    let run = setup.hassio("backups upload missing.tar");
    assert_eq!(run.code, Some(1));
    assert!(
        run.err.contains("cannot read missing.tar: No such file"),
        "{run:?}"
    );
}

/// A server that answers a request's head at once, and reads nothing of its body.
fn early(path: &std::path::Path, answer: &'static [u8]) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            stream.write_all(answer).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            // Until the client goes.
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            let mut rest = [0; 1];
            thread::sleep(Duration::from_millis(300));
            while matches!(stream.read(&mut rest), Ok(1..)) {}
        }
    });
}

#[test]
fn an_answer_that_comes_before_an_upload_is_over_is_read() {
    let cases: [(&[u8], i32, &str); 5] = [
        (
            b"HTTP/1.1 403 x\r\nContent-Type: application/json\r\nContent-Length: 83\r\n\r\n\
              {\"result\":\"error\",\"message\":\"the role admin would do\",\"error_key\":\"sshd_refused\"  }",
            3,
            "Error: the role admin would do\n",
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 x\r\nTransfer-Encoding: chunked\r\n\r\n\
              8\r\n{\"result\r\n27\r\n\":\"error\",\"message\":\"no such location\"}\r\n0\r\n\r\n",
            1,
            "Error: no such location\n",
        ),
        (b"HTTP/1.1 413 x\r\n\r\n{\"result\":\"error\",\"message\":\"too large\"}", 1, "Error: too large\n"),
        (b"HTTP/1.1 200 x\r\nContent-Length: 50\r\n\r\n{\"res", 4, "broke off"),
        (b"", 4, "Error: the answer broke off: the connection was closed\nhint: the Supervisor may be doing it"),
    ];
    for (answer, code, text) in cases {
        let dir = scratch();
        early(&dir.join("socket"), answer);
        let hassio = |line: &str| {
            Hassio::new(line)
                .env("HASSIO_SOCKET", dir.join("socket"))
                .env("HOME", &dir)
        };
        for length in [1024, 400 * 1024 * 1024] {
            let path = dir.join("b.tar");
            fs::File::create(&path).unwrap().set_len(length).unwrap();
            let run = hassio("backups upload").word(&path).run();
            assert_eq!(run.code, Some(code), "{length}: {run:?}");
            assert!(run.err.contains(text), "{length}: {run:?}");
            assert!(run.took < Duration::from_secs(5), "{length}: {run:?}");
        }
        // Endless, and one whose sender has not begun.
        let run = hassio("backups upload /dev/zero").run();
        assert_eq!(run.code, Some(code), "{run:?}");
        let mut slow = hassio("backups upload -");
        let mut child = slow.start();
        let typing = child.stdin.take();
        let run = finish(child, Instant::now());
        drop(typing);
        assert_eq!(run.code, Some(code), "{run:?}");
        assert!(run.err.contains(text), "{run:?}");
        fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn an_upload_to_nobody_was_not_sent() {
    let dir = scratch();
    fs::write(dir.join("b.tar"), data(1000)).unwrap();
    for (name, value) in [
        ("HASSIO_SOCKET", dir.join("none")),
        ("SUPERVISOR_ENDPOINT", "127.0.0.1:1".into()),
    ] {
        let run = Hassio::new("backups upload")
            .word(dir.join("b.tar"))
            .env(name, value)
            .run();
        assert_eq!(run.code, Some(4), "{run:?}");
        assert!(
            run.err.starts_with("Error: cannot reach the server at "),
            "{run:?}"
        );
        assert!(!run.err.contains("may be doing"), "{run:?}");
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn an_upload_to_an_endpoint_has_its_token() {
    let (address, requests) = on_tcp(|_| ok(&json!({ "slug": "8f3a2b1c" })));
    let dir = scratch();
    fs::write(dir.join("b.tar"), data(1000)).unwrap();
    let run = Hassio::new("backups upload")
        .word(dir.join("b.tar"))
        .env("SUPERVISOR_ENDPOINT", &address)
        .env("SUPERVISOR_TOKEN", "the-token")
        .run();
    assert_eq!(
        (run.code, run.out.as_str()),
        (Some(0), "slug: 8f3a2b1c\n"),
        "{run:?}"
    );
    let asked = requests.all().pop().unwrap();
    assert_eq!(asked.header("authorization"), Some("Bearer the-token"));
    assert_eq!(asked.header("host"), Some(address.as_str()));
    assert_eq!(asked.header("accept"), Some("application/json"));
    assert!(asked.header("user-agent").unwrap().starts_with("hassio/"));
    fs::remove_dir_all(dir).unwrap();
}
