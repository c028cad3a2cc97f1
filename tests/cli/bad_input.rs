//! What goes wrong, and how it is said: one line, a hint where there is one, and an exit code that a script can use.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Hassio, Setup, scratch};
use crate::recorder::{Reply, Step, chunk, error, json_reply, ok, reply, stream, with_headers};

#[test]
fn what_was_the_value_of_an_old_option_is_not_said() {
    let setup = Setup::new(|_| ok(&json!({})));
    for line in [
        "homeassistant -o refresh_token=s3cret options",
        "homeassistant --options=refresh_token=s3cret options",
        "snapshots --password=s3cret new",
    ] {
        let run = setup.hassio(line);
        assert!(!run.err.contains("s3cret"), "{line}: {run:?}");
        assert!(run.err.contains("is the old word for"), "{line}: {run:?}");
    }
}

#[test]
fn an_unknown_command_is_answered_with_near_ones_and_nothing_is_asked() {
    let setup = Setup::new(|_| ok(&json!({})));
    for (line, near) in [
        ("core restrat", "`hassio core restart`"),
        ("backp", "`hassio backups`"),
        ("apps unistall x", "`hassio apps uninstall`"),
        ("restart", "`hassio core restart`"),
    ] {
        let run = setup.hassio(line);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(
            run.err.contains(near) && run.err.lines().count() == 2 && run.out.is_empty(),
            "{run:?}"
        );
    }
    for line in [
        "info --nonsense",
        "core logs -n many",
        "apps restart",
        "apps info a/b",
        "network info ..",
        "info --output xml",
        "core logs --query .x",
        "apps changelog x --output json",
        "info --raw-json --query .x",
        "info --query .[",
        "info --log-level loud",
        "core api call nodot",
        "audio volume input --index 1",
        "info --endpoint https://x",
        "apps options set x",
        "apps options set x nonsense",
        "completion tcsh",
        "os boot-slot C",
        "backups restore x --app ALL",
        "backups new --app ALL --app core_ssh",
        "core options",
        "supervisor options",
        "backups options",
        "backups options --days-until-stale 0",
        "dns options",
    ] {
        let run = setup.hassio(line);
        assert_eq!(
            (run.code, run.out.as_str()),
            (Some(2), ""),
            "{line}: {run:?}"
        );
        assert!(
            run.err.starts_with("Error: ")
                && run.err.contains("\nhint: ")
                && run.err.lines().count() == 2,
            "{line}: {run:?}"
        );
    }
    assert!(setup.requests.all().is_empty());
}

#[test]
fn an_argument_that_fits_no_path_is_named_before_anything_is_asked() {
    let setup = Setup::new(|_| ok(&json!({})));
    for (line, what, hint) in [
        (
            "store repair https://github.com/x/y",
            "'https://github.com/x/y' is no REPOSITORY",
            "letters, digits, - and _",
        ),
        (
            "docker registries delete https://ghcr.io",
            "'https://ghcr.io' is no HOST",
            "the name of a host",
        ),
        (
            "mounts delete nas/1",
            "'nas/1' is no NAME",
            "letters, digits and _",
        ),
        (
            "mounts delete nas-1",
            "'nas-1' is no NAME",
            "letters, digits and _",
        ),
        ("jobs info a;b", "'a;b' is no JOB", "a UUID"),
        ("jobs wait 12", "'12' is no JOB", "a UUID"),
        ("resolution issue dismiss ä", "'ä' is no ID", "a UUID"),
        (
            "core logs -b yesterday",
            "'yesterday' is no --boot",
            "a boot's id",
        ),
        (
            "host logs -t a;b",
            "'a;b' is no --identifier",
            "a log's writer",
        ),
        (
            "core api states kitchen",
            "'kitchen' is no ENTITY",
            "light.kitchen",
        ),
        (
            "core api history light.x --start now",
            "'now' is no --start",
            "a date",
        ),
        (
            "core api call Light.on",
            "'Light' is no DOMAIN",
            "lower-case letters",
        ),
        (
            "network info a%2fb",
            "'a%2fb' is no INTERFACE",
            "a network interface",
        ),
    ] {
        let run = setup.hassio(line);
        assert_eq!(
            (run.code, run.out.as_str()),
            (Some(2), ""),
            "{line}: {run:?}"
        );
        let mut lines = run.err.lines();
        assert_eq!(
            lines.next(),
            Some(format!("Error: {what}").as_str()),
            "{line}"
        );
        let said = lines.next().unwrap();
        assert!(
            said.starts_with("hint: it has to be ") && said.contains(hint),
            "{line}: {said}"
        );
    }
    assert!(setup.requests.all().is_empty());
}

#[test]
fn a_filter_that_uses_up_the_stack_is_an_error_as_any_other() {
    let setup = Setup::new(|_| ok(&json!({ "version": "1" })));
    let many = |bracket: &str| bracket.repeat(7000);
    for (filter, asks) in [
        ("\"\\(1)\" | def f: [f]; f".to_owned(), true),
        ("# \"\ndef f: 1+f; f".to_owned(), true),
        ("def f: 1 + f; f".to_owned(), true),
        (format!("{}1{}", many("("), many(")")), false),
        (format!("{}1{}", many("["), many("]")), false),
        ("-".repeat(12_000) + "1", false),
        ("reduce range(300000) as $i (.; [.]) | 1".to_owned(), true),
        ("last(limit(50000; recurse([.])))".to_owned(), true),
    ] {
        setup.requests.clear();
        let run = setup.command("info --query").word(&filter).run();
        let begin: String = filter.chars().take(20).collect();
        assert_eq!(
            (run.code, run.out.as_str()),
            (Some(2), ""),
            "{begin}: {run:?}"
        );
        assert!(
            run.err.starts_with("Error: ")
                && run.err.contains("is no filter: ")
                && run.err.contains("goes too deep")
                && run.err.lines().count() == 2,
            "{begin}: {run:?}"
        );
        // What cannot even be read is answered before anything is asked.
        assert_eq!(!setup.requests.all().is_empty(), asks, "{begin}");
    }
    let run = setup
        .command("info --query")
        .word("def f: .version; f")
        .run();
    assert_eq!((run.code, run.out.as_str()), (Some(0), "1\n"), "{run:?}");
}

#[test]
fn a_wrong_slug_is_answered_with_the_supervisors_words_and_close_slugs() {
    let setup = Setup::new(|request| match request.path() {
        "/addons" => ok(
            &json!({ "addons": [{ "slug": "core_mosquitto" }, { "slug": "core_ssh" }, { "slug": "a0d7b954_nodered" }] }),
        ),
        "/backups/info" => ok(&json!({ "backups": [{ "slug": "8f3a2b1c", "name": "x" }] })),
        _ => error(404, "App core_mosquito does not exist"),
    });
    for line in [
        "apps restart core_mosquito",
        "apps logs core_mosquito",
        "apps changelog core_mosquito",
        "apps options get core_mosquito",
        "addons start mosquitto",
    ] {
        let run = setup.hassio(line);
        assert_eq!(run.code, Some(1), "{line}: {run:?}");
        assert!(
            run.err.contains(
                "Error: App core_mosquito does not exist\nhint: did you mean core_mosquitto?\n"
            ),
            "{line}: {run:?}"
        );
    }
    let run = setup.hassio("backups info 8f3a2b1d");
    assert!(run.err.contains("hint: did you mean 8f3a2b1c?"), "{run:?}");
    let run = setup.hassio("apps info nothing_like_it");
    assert_eq!(run.err, "Error: App core_mosquito does not exist\n");
}

#[test]
fn every_bad_answer_is_one_line_and_its_own_exit_code() {
    let long = "x".repeat(5000);
    let cases: Vec<(&str, Reply, i32, &str)> = vec![
        ("error", error(400, "No!"), 1, "Error: No!"),
        ("error with 200", json_reply(200, &json!({ "result": "error", "message": "No!" })), 1, "Error: No!"),
        ("no message", json_reply(500, &json!({ "result": "error" })), 1, "gave no reason"),
        ("refused by policy", json_reply(403, &json!({
            "result": "error", "error_key": "sshd_refused", "message": "POST /core/restart is not allowed for the role observer; the role operator would do",
            "extra_fields": { "hint": "the role of a key is the role= of its line" },
        })), 3, "the role operator would do\nhint: the role of a key"),
        ("no Supervisor", json_reply(503, &json!({ "result": "error", "error_key": "sshd_no_supervisor", "message": "none" })), 4, "none"),
        ("Supervisor away", json_reply(502, &json!({ "result": "error", "error_key": "sshd_unreachable", "message": "away" })), 4, "away"),
        ("a proxy's page, by the broker", json_reply(502, &json!({ "result": "error", "error_key": "sshd_bad_answer", "message": "a web page" })), 4, "a web page"),
        ("a parameter outside its grammar", json_reply(400, &json!({ "result": "error", "error_key": "sshd_unfit", "message": "boot: 0 is the running one" })), 2, "boot: 0"),
        ("401", reply(401, "text/plain", b"401: Unauthorized"), 1, "token"),
        ("403", reply(403, "text/plain", b"403: Forbidden"), 1, "does not let this token"),
        ("404", reply(404, "text/plain", b"404: Not Found"), 1, "does not know this call"),
        ("too many", with_headers(429, &[("Content-Type", "application/json"), ("Retry-After", "7")],
            br#"{"result":"error","message":"too many calls"}"#), 1, "too many calls\nhint: try again in 7 s"),
        ("500 in text", reply(500, "text/plain", b"500 Internal Server Error\n\nServer got itself in trouble"), 4,
            "(status 500): 500 Internal Server Error Server got itself in trouble; the Supervisor's log says why"),
        ("500 without a word", reply(500, "text/plain", b""), 4, "(status 500): nothing"),
        ("a proxy's page", reply(502, "text/html", b"<html>Bad gateway</html>"), 4, "a web page"),
        ("a gateway's text", reply(503, "text/plain", b"no upstream"), 4, "cannot reach"),
        ("a login page", reply(200, "text/html", b"<html>Log in</html>"), 4, "a web page"),
        ("nothing", reply(200, "application/json", b""), 4, "unexpected answer"),
        ("no envelope", json_reply(200, &json!({ "some": "thing" })), 4, "not the Supervisor's"),
        ("half of it", reply(200, "application/json", br#"{"result":"ok","data":{"versi"#), 4, "broke off"),
        ("cut", vec![Step::Send(b"HTTP/1.1 200 x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"result\"".to_vec()), Step::Close], 4, "broke off"),
        ("cut in a chunk", vec![stream("application/json", &[]), chunk(b"{\"result\""), Step::Close], 4, "broke off"),
        ("cut before it begins", vec![Step::Close], 4, "broke off"),
        ("no HTTP", vec![Step::Send(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Step::Close], 4, ""),
        ("controls", error(400, "a\u{1b}]0;x\u{7}\u{9b}2J\nb"), 1, "a\\x1b]0;x\\x07\\u{9b}2J b"),
        ("endless", error(400, &long), 1, "…"),
    ];
    for (what, answer, code, text) in cases {
        let setup = Setup::new(move |_| answer.clone());
        for line in [
            "info",
            "info --raw-json",
            "core check",
            "core logs",
            "apps changelog x",
        ] {
            let run = setup.hassio(line);
            let text_is_wanted =
                line.starts_with("core logs") || line.starts_with("apps changelog");
            // These say something else, where text should have come.
            if text_is_wanted && ["nothing", "no envelope"].contains(&what) {
                assert_eq!(run.code, Some(4), "{what}, {line}: {run:?}");
                continue;
            }
            assert_eq!(run.code, Some(code), "{what}, {line}: {run:?}");
            assert!(
                run.err.starts_with("Error: ") && run.err.contains(text),
                "{what}, {line}: {run:?}"
            );
            assert!(
                run.err.lines().count() <= 2 && run.err.len() < 5000,
                "{what}, {line}: {run:?}"
            );
        }
    }
}

#[test]
fn what_may_have_been_done_is_said() {
    let crash = reply(500, "text/plain", b"500 Internal Server Error");
    for answer in [vec![Step::Close], crash] {
        let setup = Setup::new(move |_| answer.clone());
        let lost = setup.hassio("core restart");
        assert_eq!(lost.code, Some(4));
        assert!(
            lost.err.contains("may be doing it all the same"),
            "{lost:?}"
        );
        let looked = setup.hassio("core info");
        assert!(!looked.err.contains("may be doing"), "{looked:?}");
    }
}

#[test]
fn nobody_there_is_exit_4_and_says_where_it_looked() {
    let dir = scratch();
    let run = Hassio::new("info")
        .env("HASSIO_SOCKET", dir.join("none"))
        .run();
    assert_eq!(run.code, Some(4));
    assert!(
        run.err.starts_with("Error: cannot reach the server at /")
            && run.err.contains("/none: No such file"),
        "{run:?}"
    );
    let run = Hassio::new("core logs -f --endpoint 127.0.0.1:1").run();
    assert_eq!(run.code, Some(4));
    assert!(
        run.err.contains("http://127.0.0.1:1: Connection refused"),
        "{run:?}"
    );
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let lines = "line\n".repeat(200_000);
    let setup = Setup::new(move |_| reply(200, "text/plain", lines.as_bytes()));
    let mut hassio = setup.command("core logs");
    let mut child = hassio.start();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_silent_server_is_not_waited_for_without_end() {
    // Outside a session the time limits are the program's own; `banner` has the shortest.
    let setup = Setup::new(|_| vec![Step::Hold]);
    let best = (0..5).map(|_| {
        let run = setup.hassio("banner");
        assert_eq!(
            (run.code, run.out.as_str(), run.err.as_str()),
            (Some(0), "", "")
        );
        run.took
    });
    let best = best.min().unwrap();
    assert!(best < Duration::from_millis(300), "{best:?}");
}

#[test]
fn a_message_keeps_its_reason_and_its_hint_is_about_it() {
    let setup = Setup::new(|request| match request.path() {
        "/addons/x/info" => ok(&json!({ "options": { "a": 1 }, "schema": [] })),
        "/addons/x/options/validate" => ok(&json!({ "valid": true })),
        _ => ok(&json!({})),
    });
    let run = setup.command("apps info").word("a\nb").run();
    assert_eq!(run.code, Some(2), "{run:?}");
    let reason = "'a b' for '[SLUG]': a slug is 1 to 64 letters";
    assert!(run.err.contains(reason), "{run:?}");
    let run = setup.hassio("info --endpoint http://127.0.0.1:99999");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(
        run.err.contains("invalid port") && !run.err.contains("https"),
        "{run:?}"
    );
    for name in ["SUPERVISOR_RAW_JSON", "SUPERVISOR_NO_PROGRESS"] {
        let run = setup.command("info").env(name, "maybe").run();
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(
            run.err
                .contains(&format!("'maybe' in {name} is neither true nor false")),
            "{run:?}"
        );
    }
    for (text, reason) in [
        ("a: 1\na: 2\n".to_owned(), "duplicate"),
        (
            format!("a: {}", "[".repeat(10_000)),
            "x.yaml is no YAML or JSON object: ",
        ),
        ("- 1\n".to_owned(), "no table"),
    ] {
        std::fs::write(setup.path("x.yaml"), text).unwrap();
        let run = setup.hassio("apps options set x --file x.yaml");
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.err.contains(reason), "{reason}: {run:?}");
    }
    let run = setup.hassio("apps options set x a=2");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.err.contains("`hassio apps restart x`"), "{run:?}");
}
