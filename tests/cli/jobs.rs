//! Work in the background, and waiting for it.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::harness::Setup;
use crate::recorder::{Reply, Step, error, ok, reply};

#[test]
fn a_background_job_gives_its_id_at_once() {
    let setup = Setup::new(|_| ok(&json!({ "job_id": "0123abcd" })));
    let run = setup.hassio("backups new --background --query .job_id");
    assert_eq!((run.code, run.out.as_str()), (Some(0), "0123abcd\n"));
    assert_eq!(
        setup.requests.all()[0].json(),
        json!({ "background": true })
    );
}

#[test]
fn a_job_without_an_id_is_said_to_have_begun_and_no_more() {
    let setup = Setup::new(|_| ok(&json!({})));
    let run = setup.hassio("apps update core_ssh --background");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.out, "");
    assert!(
        run.err.contains("started; the Supervisor gave no job's id"),
        "{run:?}"
    );
    let run = setup.hassio("apps update core_ssh");
    assert_eq!(run.out, "Command completed successfully.\n", "{run:?}");
}

#[test]
fn waiting_ends_with_the_job_and_says_how() {
    let calls = AtomicUsize::new(0);
    let setup = Setup::new(move |_| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        ok(
            &json!({ "uuid": "0123abcd", "name": "backup", "progress": 50 * call, "done": call == 2, "errors": [] }),
        )
    });
    let run = setup.hassio("jobs wait 0123abcd0123abcd0123abcd0123abcd");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.contains("done: true"), "{run:?}");
    assert_eq!(setup.requests.all().len(), 3);
    let failed = Setup::new(|_| {
        ok(
            &json!({ "name": "backup", "done": true, "errors": [{ "type": "X", "message": "disk is full" }] }),
        )
    });
    let run = failed.hassio("jobs wait 0123abcd0123abcd0123abcd0123abcd");
    assert_eq!(
        (run.code, run.err.as_str()),
        (Some(1), "Error: backup failed: disk is full\n")
    );
}

#[test]
fn waiting_can_be_limited_and_a_job_can_be_unknown_or_forgotten() {
    let running = Setup::new(|_| ok(&json!({ "name": "backup", "done": false, "progress": 1 })));
    let run = running.hassio("jobs wait 0123abcd0123abcd0123abcd0123abcd --timeout 1");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.err.contains("not done after 1 s; it goes on") && run.took.as_secs() < 5,
        "{run:?}"
    );
    let unknown = Setup::new(|request| match request.path() {
        "/jobs/info" => {
            ok(&json!({ "jobs": [{ "uuid": "0123abcd0123abcd0123abcd0123abce", "name": "x" }] }))
        }
        _ => error(404, "Job does not exist"),
    });
    let run = unknown.hassio("jobs wait 0123abcd0123abcd0123abcd0123abcd");
    assert_eq!(
        (run.code, run.err.as_str()),
        (
            Some(1),
            "Error: Job does not exist\nhint: did you mean 0123abcd0123abcd0123abcd0123abce?\n"
        )
    );
    let calls = AtomicUsize::new(0);
    let forgotten = Setup::new(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => ok(&json!({ "name": "x", "done": false, "progress": 1 })),
        _ => error(404, "Job does not exist"),
    });
    let run = forgotten.hassio("jobs wait 0123abcd0123abcd0123abcd0123abcd");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.err.contains("keeps no outcome"), "{run:?}");
    assert!(run.out.contains("outcome: unknown"), "{run:?}");
}

#[test]
fn what_cannot_be_undone_is_asked_about() {
    let setup = Setup::new(|request| match request.path() {
        "/os/boards/raspberrypi/firmware" => {
            ok(&json!({ "update_available": true, "current_version": 1_700_000_000 }))
        }
        _ => ok(&json!({})),
    });
    for (line, input, done) in [
        ("os datadisk wipe", "", false),
        ("os datadisk wipe", "no\n", false),
        ("os datadisk wipe", "perhaps\nperhaps\nYES\n", false),
        ("os datadisk wipe", "perhaps\nyes\n", true),
        ("os datadisk wipe", "YES\n", true),
        ("docker migrate-storage-driver", "n\n", false),
        ("docker migrate-storage-driver", "Yes\n", true),
        ("docker migrate-storage-driver --yes", "", true),
        ("os boards raspberrypi firmware update", "\n\n", false),
        ("os boards rpi fw up", "yes\n", true),
    ] {
        setup.requests.clear();
        let run = setup.command(line).input(input).run();
        let posted = setup
            .requests
            .all()
            .iter()
            .any(|request| request.method == "POST");
        assert_eq!(
            (run.code, posted),
            (Some(if done { 0 } else { 1 }), done),
            "{line} {input:?}: {run:?}"
        );
        if !done {
            assert!(
                run.err.ends_with("Error: aborted: nothing was done\n"),
                "{run:?}"
            );
        }
    }
    assert!(
        setup
            .hassio("os boards raspberrypi firmware")
            .out
            .contains("current_version: \"2023-11-14T22:13:20Z\"")
    );
}

#[test]
fn a_password_is_asked_for_twice_and_not_shown() {
    let setup = Setup::new(|request| match request.path() {
        "/auth/list" => ok(&json!({ "users": [{ "username": "paulus" }] })),
        _ => ok(&json!({})),
    });
    let typed = |first: &str, second: &str| {
        let typing = [
            ("Username: ", "paulus\n"),
            ("New password: ", first),
            ("Once more: ", second),
        ];
        setup
            .command("authentication reset --interactive")
            .on_terminal_typing(&typing)
    };
    let run = typed("secret\n", "another\n");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        setup
            .requests
            .all()
            .iter()
            .all(|request| request.method == "GET")
    );
    let run = typed("\u{3}", "");
    assert_eq!(run.code, Some(1), "{run:?}");
    let run = typed("sx\u{7f}ecret\n", "secret\n");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!run.out.contains("ecret"), "{run:?}");
    assert_eq!(
        setup.requests.all().pop().unwrap().json(),
        json!({ "username": "paulus", "password": "secret" })
    );
    assert!(run.out.contains("users: paulus"), "{run:?}");
}

#[test]
fn waiting_outlasts_a_supervisor_that_is_away_for_a_moment() {
    let calls = AtomicUsize::new(0);
    let setup = Setup::new(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => ok(&json!({ "name": "supervisor_update", "done": false, "progress": 10 })),
        1 => vec![Step::Close],
        2 => reply(502, "text/html", b"<html>Bad gateway</html>"),
        3 => error(400, "System is not ready with state: setup"),
        4 => reply(500, "text/plain", b"500 Internal Server Error"),
        _ => ok(&json!({ "name": "supervisor_update", "done": true, "errors": [] })),
    });
    let run = setup.hassio("jobs wait 0123abcd0123abcd0123abcd0123abcd");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(setup.requests.all().len(), 6);
    let known = |answer: Reply| {
        let calls = AtomicUsize::new(0);
        Setup::new(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => ok(&json!({ "name": "x", "done": false, "progress": 1 })),
            _ => answer.clone(),
        })
    };
    for status in [401, 403] {
        let ended =
            known(error(status, "No!")).hassio("jobs wait 0123abcd0123abcd0123abcd0123abcd");
        assert_eq!(ended.code, Some(1), "{ended:?}");
    }
    let starting = known(error(400, "System is not ready with state: setup"));
    let late = starting.hassio("jobs wait 0123abcd0123abcd0123abcd0123abcd --timeout 1");
    assert_eq!(late.code, Some(1), "{late:?}");
    assert!(late.err.contains("System is not ready"), "{late:?}");
    // Who was never there is not waited for.
    let gone = Setup::new(|_| vec![Step::Close]);
    assert_eq!(
        gone.hassio("jobs wait 0123abcd0123abcd0123abcd0123abcd")
            .code,
        Some(4)
    );
}
