//! Backups carried out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Setup, finish};
use crate::recorder::{Reply, Step, error, ok, with_headers};

const TAR: &str = "application/tar";

pub(crate) fn data(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| u8::try_from(index % 251).unwrap())
        .collect()
}

/// An answer that stops after so many bytes of its body.
fn cut(status: u16, headers: &str, body: &[u8], after: usize) -> Reply {
    let head = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: {TAR}\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&body[..after]);
    vec![Step::Send(bytes), Step::Close]
}

#[test]
fn a_download_is_there_whole_or_not_at_all() {
    let body = data(3_000_000);
    let kept = body.clone();
    let setup = Setup::new(move |_| with_headers(200, &[("Content-Type", TAR)], &kept));
    let run = setup.hassio("backups download 8f3a2b1c");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(fs::read(setup.path("8f3a2b1c.tar")).unwrap() == body);
    assert!(!setup.path("8f3a2b1c.tar.part").exists());
    // A backup holds every secret of the system.
    assert_eq!(
        fs::metadata(setup.path("8f3a2b1c.tar"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    let run = setup.hassio("backups download 8f3a2b1c -o other.tar --location nas");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(fs::read(setup.path("other.tar")).unwrap() == body);
    let asked = setup.requests.all();
    assert_eq!(asked[0].target, "/backups/8f3a2b1c/download");
    assert_eq!(asked[1].target, "/backups/8f3a2b1c/download?location=nas");
}

#[test]
fn an_interrupted_download_goes_on_where_the_server_can() {
    let body = data(1_000_000);
    let calls = AtomicUsize::new(0);
    let kept = body.clone();
    let setup = Setup::new(move |request| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => cut(200, "ETag: \"v1\"\r\n", &kept, 400_000),
        _ => {
            assert_eq!(request.header("if-range"), Some("\"v1\""));
            let from: usize = request
                .header("range")
                .unwrap()
                .strip_prefix("bytes=")
                .unwrap()
                .trim_end_matches('-')
                .parse()
                .unwrap();
            let range = format!("bytes {from}-{}/{}", kept.len() - 1, kept.len());
            with_headers(
                206,
                &[
                    ("Content-Type", TAR),
                    ("Content-Range", &range),
                    ("ETag", "\"v1\""),
                ],
                &kept[from..],
            )
        }
    });
    let run = setup.hassio("backups download x");
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(
        run.err.contains("x.tar.part holds what came") && run.err.contains("broke off"),
        "{run:?}"
    );
    assert!(!setup.path("x.tar").exists());
    let had = fs::read(setup.path("x.tar.part")).unwrap();
    assert!(had.len() > 100_000 && body.starts_with(&had));
    let run = setup.hassio("backups download x");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.err.contains("going on after"), "{run:?}");
    assert!(fs::read(setup.path("x.tar")).unwrap() == body);
    assert_eq!(files(&setup), ["x.tar"]);
    assert_eq!(
        setup.requests.all()[1].header("range"),
        Some(format!("bytes={}-", had.len()).as_str())
    );
}

#[test]
fn what_is_there_of_another_backup_is_not_gone_on_with() {
    let setup = Setup::new(|request| match request.header("range") {
        None => cut(200, "ETag: \"v1\"\r\n", b"the first backup", 9),
        Some(range) => panic!("{range}"),
    });
    assert_eq!(setup.hassio("backups download aaaa -o b.tar").code, Some(4));
    assert_eq!(
        fs::read(setup.path("b.tar.aaaa.part")).unwrap(),
        b"the first"
    );
    assert_eq!(setup.hassio("backups download cccc -o b.tar").code, Some(4));
    assert_eq!(
        fs::read(setup.path("b.tar.aaaa.part")).unwrap(),
        b"the first"
    );
    assert!(
        setup
            .requests
            .all()
            .iter()
            .all(|request| request.header("range").is_none())
    );
}

/// What is in the folder of a test, beside its socket.
fn files(setup: &Setup) -> Vec<String> {
    let entries = fs::read_dir(&setup.dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name != "socket");
    names.sort_unstable();
    names
}

/// A part, and what the server said of its file.
fn part(setup: &Setup, bytes: &[u8], etag: &str, date: &str, length: &str) {
    fs::write(setup.path("x.tar.part"), bytes).unwrap();
    fs::write(
        setup.path("x.tar.part.of"),
        format!("{etag}\n{date}\n{length}\n"),
    )
    .unwrap();
}

#[test]
fn a_part_that_is_whole_already_gets_its_name() {
    let setup = Setup::new(|_| panic!("nothing is missing"));
    part(&setup, b"the whole", "\"v1\"", "", "9");
    let run = setup.hassio("backups download x");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(fs::read(setup.path("x.tar")).unwrap(), b"the whole");
    assert_eq!(files(&setup), ["x.tar"]);
}

#[test]
fn a_part_of_another_file_is_not_gone_on_with() {
    const DATE: &str = "Mon, 24 Aug 2026 04:45:00 GMT";
    let (range, length) = ("Content-Range", "bytes 3-9/10");
    let (tar, tag, date) = (
        ("Content-Type", TAR),
        ("ETag", "\"v1\""),
        ("Last-Modified", DATE),
    );
    let later = ("Last-Modified", "Tue, 25 Aug 2026 04:45:00 GMT");
    let answers = [
        // What would be right comes first, so that it is seen to be what the others lack.
        (206, vec![tar, tag, date, (range, length)]),
        (206, vec![tar, ("ETag", "\"v2\""), date, (range, length)]),
        (206, vec![tar, tag, later, (range, length)]),
        (206, vec![tar, (range, length)]),
        (206, vec![tar, tag, date, (range, "bytes 3-10/11")]),
        (206, vec![tar, tag, date, (range, "bytes 2-8/10")]),
        (206, vec![tar, tag, date, (range, "bytes 3-8/10")]),
        (416, vec![(range, "bytes */2")]),
    ];
    for (index, (status, headers)) in answers.into_iter().enumerate() {
        let sent = headers.clone();
        let setup = Setup::new(move |request| match request.header("range") {
            Some(_) => with_headers(status, &sent, b"...rest"),
            None => with_headers(200, &[("Content-Type", TAR)], b"ABCDEFGHIJ"),
        });
        part(&setup, b"abc", "\"v1\"", DATE, "10");
        let run = setup.hassio("backups download x");
        assert_eq!(run.code, Some(0), "{headers:?}: {run:?}");
        let (whole, anew) = match index {
            0 => ("abc...rest", false),
            _ => ("ABCDEFGHIJ", true),
        };
        let got = fs::read_to_string(setup.path("x.tar")).unwrap();
        assert_eq!(got, whole, "{headers:?}: {run:?}");
        assert_eq!(
            run.err.contains("beginning anew"),
            anew,
            "{headers:?}: {run:?}"
        );
    }
}

#[test]
fn a_part_of_which_nothing_is_known_is_begun_anew() {
    for about in [
        None,
        Some("\n\n10\n"),
        Some("W/\"weak\"\n\n10\n"),
        Some("\"cut"),
        Some("\"v1\"\n"),
    ] {
        let setup = Setup::new(|request| {
            assert_eq!(request.header("range"), None);
            with_headers(200, &[("Content-Type", TAR)], b"ABCDEFGHIJ")
        });
        fs::write(setup.path("x.tar.part"), b"something longer than that").unwrap();
        if let Some(about) = about {
            fs::write(setup.path("x.tar.part.of"), about).unwrap();
        }
        let run = setup.hassio("backups download x");
        assert_eq!(run.code, Some(0), "{about:?}: {run:?}");
        assert_eq!(
            fs::read(setup.path("x.tar")).unwrap(),
            b"ABCDEFGHIJ",
            "{about:?}"
        );
        assert_eq!(files(&setup), ["x.tar"]);
    }
}

#[test]
fn a_pipe_in_the_place_of_what_is_known_of_a_part_holds_nothing_up() {
    let setup = Setup::new(|request| {
        assert_eq!(request.header("range"), None);
        with_headers(200, &[("Content-Type", TAR)], b"ABCDEFGHIJ")
    });
    fs::write(setup.path("x.tar.part"), b"ABC").unwrap();
    let pipe = setup.path("x.tar.part.of");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = setup.hassio("backups download x");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.err.contains("x.tar.part.of"), "{run:?}");
}

#[test]
fn a_part_says_from_which_location_it_is() {
    let setup = Setup::new(|request| match request.header("range") {
        None => cut(200, "ETag: \"v1\"\r\n", b"0123456789", 4),
        Some(range) => panic!("{range}"),
    });
    for location in [
        "",
        " --location .local",
        " --location nas",
        " --location ../a/b",
    ] {
        let run = setup.hassio(&format!("backups download x{location}"));
        assert_eq!(run.code, Some(4), "{run:?}");
    }
    let parts: Vec<_> = files(&setup)
        .into_iter()
        .filter(|name| name.ends_with(".part"))
        .collect();
    assert_eq!(
        parts,
        [
            "x.tar...%2Fa%2Fb.part",
            "x.tar..local.part",
            "x.tar.nas.part",
            "x.tar.part"
        ]
    );
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let body = data(500_000);
    let kept = body.clone();
    let setup = Setup::new(move |request| {
        assert!(request.header("range").is_some());
        with_headers(200, &[("Content-Type", TAR)], &kept)
    });
    part(
        &setup,
        b"something else that is longer than nothing",
        "\"v1\"",
        "",
        "900",
    );
    let run = setup.hassio("backups download x");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.err.contains("beginning anew"), "{run:?}");
    assert!(fs::read(setup.path("x.tar")).unwrap() == body);
}

#[test]
fn what_is_no_backup_is_not_taken_for_one() {
    let answers: [(&str, &[u8]); 5] = [
        ("text/html", b"<html>Please log in</html>"),
        ("application/json", b"{nonsense"),
        ("application/json", b"{\"result\":\"ok\",\"data\":{}}"),
        ("text/plain", b"hello"),
        ("", b"hello"),
    ];
    for (kind, body) in answers {
        let setup = Setup::new(move |_| match kind {
            "" => with_headers(200, &[], body),
            kind => with_headers(200, &[("Content-Type", kind)], body),
        });
        for line in [
            "backups download x",
            "backups download x -o -",
            "backups download x -o /dev/null",
        ] {
            let run = setup.hassio(line);
            assert_eq!(
                (run.code, run.out.as_str()),
                (Some(4), ""),
                "{kind}: {run:?}"
            );
            assert!(
                run.err
                    .starts_with("Error: unexpected answer (status 200): "),
                "{run:?}"
            );
            assert_eq!(run.err.lines().count(), 1, "{run:?}");
        }
        assert!(files(&setup).is_empty(), "{:?}", files(&setup));
    }
}

#[test]
fn two_downloads_of_a_backup_at_once_are_one_too_many() {
    let body = data(300_000);
    let kept = body.clone();
    let setup = Setup::new(move |_| {
        let head = format!(
            "HTTP/1.1 200 x\r\nContent-Type: {TAR}\r\nContent-Length: {}\r\n\r\n",
            kept.len()
        );
        let (first, rest) = kept.split_at(1000);
        vec![
            Step::Send([head.as_bytes(), first].concat()),
            Step::Wait(Duration::from_secs(2)),
            Step::Send(rest.to_vec()),
        ]
    });
    let mut slow = setup.command("backups download x");
    let (child, began) = (slow.start(), Instant::now());
    setup.requests.wait_for(1);
    let run = setup.hassio("backups download x");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.err
            .starts_with("Error: another download of it is running"),
        "{run:?}"
    );
    let run = finish(child, began);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(fs::read(setup.path("x.tar")).unwrap() == body);
    assert_eq!(setup.requests.all().len(), 1);
}

#[test]
fn a_device_a_pipe_or_a_link_stays_what_it_is() {
    use std::os::unix::fs::FileTypeExt as _;
    let setup = Setup::new(|_| with_headers(200, &[("Content-Type", TAR)], b"the tar"));
    let pipe = setup.path("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let reading = pipe.clone();
    let reader = thread::spawn(move || fs::read(reading).unwrap());
    let run = setup.hassio("backups download x -o pipe");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(reader.join().unwrap(), b"the tar");
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    let run = setup.hassio("backups download x -o /dev/null");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        fs::metadata("/dev/null")
            .unwrap()
            .file_type()
            .is_char_device()
    );
    fs::write(setup.path("target"), "something longer").unwrap();
    std::os::unix::fs::symlink("target", setup.path("link")).unwrap();
    let run = setup.hassio("backups download x -o link");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(setup.path("link").is_symlink());
    assert_eq!(fs::read(setup.path("target")).unwrap(), b"the tar");
    assert_eq!(files(&setup), ["link", "pipe", "target"]);
    setup.requests.clear();
    let run = setup.command("backups download x -o").word("").run();
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(setup.requests.all().is_empty());
}

#[test]
fn an_empty_password_is_none() {
    let setup = Setup::new(|_| panic!("a backup that everybody can read"));
    for line in [
        "backups new --password",
        "backups new --app core_ssh --password",
    ] {
        let run = setup.command(line).word("").run();
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(
            run.err.starts_with("Error: the password is empty\n"),
            "{run:?}"
        );
    }
}

#[test]
fn no_file_is_left_where_there_is_no_backup_and_no_link_is_followed() {
    let setup = Setup::new(|_| with_headers(404, &[], b""));
    let run = setup.hassio("backups download nothing");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.err.contains("there is no backup nothing"), "{run:?}");
    assert_eq!(
        fs::read_dir(&setup.dir)
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name() != "socket")
            .count(),
        0
    );
    fs::write(setup.path("victim"), "safe").unwrap();
    std::os::unix::fs::symlink(setup.path("victim"), setup.path("y.tar.part")).unwrap();
    let run = setup.hassio("backups download y");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(fs::read_to_string(setup.path("victim")).unwrap(), "safe");
}

#[test]
fn a_download_can_go_to_standard_output() {
    let setup = Setup::new(move |_| with_headers(200, &[("Content-Type", TAR)], b"the tar"));
    let run = setup.hassio("backups download x -o -");
    assert_eq!(
        (run.code, run.out.as_str()),
        (Some(0), "the tar"),
        "{run:?}"
    );
    let setup = Setup::new(|_| error(404, "Backup does not exist"));
    let run = setup.hassio("backups download x -o -");
    assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{run:?}");
    // The Supervisor gives no reason.
    let setup =
        Setup::new(|_| with_headers(404, &[("Content-Type", "application/octet-stream")], b""));
    let run = setup.hassio("backups download x -o -");
    assert_eq!(
        (run.code, run.err.as_str()),
        (Some(1), "Error: there is no backup x\n"),
        "{run:?}"
    );
}

#[test]
fn memory_stays_flat_however_long_a_backup_is() {
    const LENGTH: usize = 256 * 1024 * 1024;
    let setup = Setup::new(|request| {
        if request.method == "POST" {
            return ok(&json!({}));
        }
        let mut steps = vec![Step::Send(
            format!("HTTP/1.1 200 x\r\nContent-Type: {TAR}\r\nContent-Length: {LENGTH}\r\n\r\n")
                .into_bytes(),
        )];
        steps.extend(std::iter::repeat_n(
            Step::Send(vec![7; 1024 * 1024]),
            LENGTH / 1024 / 1024,
        ));
        steps
    });
    let mut down = setup.command("backups download x");
    let peak = peak_kib(&mut down);
    assert_eq!(
        fs::metadata(setup.path("x.tar")).unwrap().len(),
        u64::try_from(LENGTH).unwrap()
    );
    assert!(peak < 40 * 1024, "{peak} KiB");
    let mut up = setup.command("backups upload x.tar");
    let peak = peak_kib(&mut up);
    assert!(peak < 40 * 1024, "{peak} KiB");
}

/// The most memory that a run had at once.
fn peak_kib(hassio: &mut crate::harness::Hassio) -> u64 {
    let mut child = hassio.start();
    let path = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(now.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    assert!(peak > 0);
    peak
}

#[test]
fn a_backup_that_is_not_there_is_named_with_and_without_a_broker() {
    // The broker's envelope around an answer without any.
    let setup = Setup::new(|request| match request.target.as_str() {
        "/backups/info" => ok(&json!({ "backups": [{ "slug": "8f3a2b1c", "name": "x" }] })),
        _ => error(404, "status 404"),
    });
    for line in ["backups download nosuch", "backups download nosuch -o -"] {
        let run = setup.hassio(line);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.err.contains("there is no backup nosuch"), "{run:?}");
    }
}

#[test]
fn what_ends_early_or_is_a_part_unasked_is_no_backup() {
    // A rest that is shorter than what it is said to be of.
    let calls = AtomicUsize::new(0);
    let setup = Setup::new(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => cut(200, "ETag: \"v1\"\r\n", &data(1000), 400),
        _ => with_headers(
            206,
            &[
                ("Content-Type", TAR),
                ("Content-Range", "bytes 400-999/1000"),
                ("ETag", "\"v1\""),
            ],
            &[0; 10],
        ),
    });
    assert_eq!(setup.hassio("backups download x").code, Some(4));
    let run = setup.hassio("backups download x");
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.err.contains("ended after 410 B of"), "{run:?}");
    assert!(!setup.path("x.tar").exists() && setup.path("x.tar.part").exists());
    for (status, body) in [(206, &b"part"[..]), (200, b"")] {
        let headers = [("Content-Type", TAR), ("Content-Range", "bytes 50-53/100")];
        let setup = Setup::new(move |_| with_headers(status, &headers, body));
        for more in ["", " -o -"] {
            let run = setup.hassio(&format!("backups download x{more}"));
            assert_eq!(run.code, Some(4), "{status}{more}: {run:?}");
            assert!(!setup.path("x.tar").exists());
        }
    }
}
