//! How answers look: in a pipe, on a terminal, and as asked for.

use serde_json::{Value, json};

use crate::harness::Setup;
use crate::recorder::{Step, error, ok, reply};

fn apps() -> Value {
    json!({ "addons": [
        { "slug": "core_ssh", "name": "SSH", "version": "1", "state": "started", "update_available": true },
        { "slug": "x", "name": "evil \u{1b}]0;t\u{7}\u{9b}2J\u{202e}", "version": "2", "state": "stopped", "update_available": false },
    ] })
}

fn hostile(text: &str) -> bool {
    let ours = text
        .replace("\u{1b}[1m", "")
        .replace("\u{1b}[0m", "")
        .replace("\u{1b}[2m", "")
        .replace("\u{1b}[32m", "")
        .replace("\u{1b}[33m", "");
    ours.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}')
}

#[test]
fn a_number_is_shown_as_it_came() {
    let body = br#"{"result":"ok","data":{"big":12345678901234567890123,"small":1.5,"whole":7}}"#;
    let setup = Setup::new(|_| reply(200, "application/json", body));
    for (line, out) in [
        (
            "info",
            "big: 12345678901234567890123\nsmall: 1.5\nwhole: 7\n",
        ),
        (
            "info --output json --query .",
            "{\n  \"big\": 12345678901234567890123,\n  \"small\": 1.5,\n  \"whole\": 7\n}\n",
        ),
        ("info --query .big", "12345678901234567890123\n"),
    ] {
        let run = setup.hassio(line);
        assert_eq!((run.code, run.out.as_str()), (Some(0), out), "{line}");
    }
}

#[test]
fn a_pipe_gets_yaml_and_a_terminal_a_table() {
    let setup = Setup::new(|_| ok(&apps()));
    let piped = setup.hassio("apps");
    assert!(
        piped
            .out
            .starts_with("addons:\n- name: SSH\n  slug: core_ssh\n"),
        "{}",
        piped.out
    );
    let shown = setup.command("apps").env("NO_COLOR", "1").on_terminal();
    assert_eq!(shown.code, Some(0));
    assert!(shown.out.starts_with("SLUG      NAME"), "{}", shown.out);
    assert!(
        shown.out.contains("core_ssh  SSH") && !shown.out.contains('\u{1b}'),
        "{:?}",
        shown.out
    );
    let coloured = setup.command("apps").on_terminal();
    assert!(
        coloured.out.contains("\u{1b}[32mstarted"),
        "{:?}",
        coloured.out
    );
    let forced = setup.hassio("apps --output table");
    assert!(
        forced.out.starts_with("SLUG") && !forced.out.contains('\u{1b}'),
        "{}",
        forced.out
    );
}

#[test]
fn nothing_from_the_supervisor_drives_a_terminal() {
    let setup = Setup::new(|_| ok(&apps()));
    for line in [
        "apps",
        "apps --output yaml",
        "apps --output json",
        "apps --raw-json",
        "apps --query .addons[1].name",
        "apps --query .addons",
        "apps --output json --query .addons",
    ] {
        let run = setup.command(line).on_terminal();
        assert_eq!(run.code, Some(0), "{line}");
        assert!(
            run.out.contains("evil") && !hostile(&run.out),
            "{line}: {:?}",
            run.out
        );
    }
    let setup = Setup::new(|_| {
        reply(
            200,
            "text/plain",
            "a \u{1b}[31mred\n\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}6n\n".as_bytes(),
        )
    });
    for line in ["core logs", "apps changelog x", "core api error-log"] {
        let run = setup.command(line).on_terminal();
        let rest = run.out.replace("\u{1b}[31m", "");
        assert!(!hostile(&rest), "{line}: {:?}", run.out);
    }
    let setup = Setup::new(|_| error(400, "a\u{1b}]0;t\u{7}"));
    let run = setup.command("info").on_terminal();
    assert!(
        !run.out.contains("\u{1b}]") && !run.out.contains('\u{7}'),
        "{:?}",
        run.out
    );
}

#[test]
fn json_can_be_had_untouched_and_in_order() {
    let body = "{\"result\": \"ok\",  \"data\": {\"b\": 1, \"a\": \"\u{9b}\"}}";
    let setup = Setup::new(move |_| reply(200, "application/json", body.as_bytes()));
    assert_eq!(setup.hassio("info --raw-json").out, body);
    assert_eq!(
        setup
            .command("info")
            .env("SUPERVISOR_RAW_JSON", "true")
            .run()
            .out,
        body
    );
    assert_eq!(
        setup.hassio("info --output json").out,
        "{\n  \"a\": \"\u{9b}\",\n  \"b\": 1\n}\n"
    );
    let bad = "{\"result\": \"error\", \"message\": \"No!\"}";
    let setup = Setup::new(move |_| reply(400, "application/json", bad.as_bytes()));
    let run = setup.hassio("info --raw-json");
    assert_eq!(
        (run.code, run.out.as_str(), run.err.as_str()),
        (Some(1), bad, "Error: No!\n")
    );
}

#[test]
fn a_query_picks_what_a_script_needs() {
    let setup = Setup::new(|_| ok(&apps()));
    for (query, expected) in [
        (".addons[].slug", "core_ssh\nx\n"),
        (".addons | length", "2\n"),
        (
            ".addons[0] | {slug, state}",
            "slug: core_ssh\nstate: started\n",
        ),
        (".addons[] | select(.update_available) | .version", "1\n"),
        (".missing", "null\n"),
        ("empty", ""),
    ] {
        let run = setup.command("apps --query").word(query).run();
        assert_eq!(
            (run.code, run.out.as_str()),
            (Some(0), expected),
            "{query}: {run:?}"
        );
    }
    let run = setup
        .command("apps --output json --query")
        .word(".addons[0].slug")
        .run();
    assert_eq!(run.out, "\"core_ssh\"\n");
    let run = setup.command("apps --query").word(".addons.slug").run();
    assert_eq!(run.code, Some(1), "{run:?}");
}

#[test]
fn no_data_is_said_in_words() {
    let setup = Setup::new(|_| ok(&json!({})));
    assert_eq!(
        setup.hassio("core start").out,
        "Command completed successfully.\n"
    );
    assert_eq!(setup.hassio("core start --output json").out, "{}\n");
}

#[test]
fn long_work_is_shown_on_a_terminal_with_how_far_it_is() {
    let setup = Setup::new(|request| match request.path() {
        "/jobs/info" => ok(&json!({ "jobs": [
            { "name": "other", "progress": 99, "done": false, "reference": null },
            { "name": "backup_manager_full_backup", "progress": 42.3, "stage": "home\u{1b}[2Jassistant", "done": false, "reference": null },
        ] })),
        "/sshd/session" => ok(&json!({ "calls": ["jobs.list"] })),
        _ => {
            let mut steps = vec![Step::Wait(std::time::Duration::from_millis(2500))];
            steps.extend(ok(&json!({ "slug": "abc" })));
            steps
        }
    });
    let run = setup
        .command("backups new")
        .env("NO_COLOR", "1")
        .on_terminal();
    assert!(
        run.out.contains("Processing... 42 % home\\x1b[2Jassistant") && run.out.contains(" 2 s"),
        "{:?}",
        run.out
    );
    assert!(run.out.trim_end().ends_with("slug: abc"), "{:?}", run.out);
    let quiet = setup.command("backups new --no-progress").on_terminal();
    assert!(!quiet.out.contains("Processing"), "{:?}", quiet.out);
    let piped = setup.hassio("backups new");
    assert_eq!(
        (piped.out.as_str(), piped.err.as_str()),
        ("slug: abc\n", "")
    );
}

#[test]
fn who_may_not_see_how_far_it_is_does_not_ask() {
    for (calls, looks) in [(json!(["backups.new-full"]), 0), (json!(["jobs.list"]), 1)] {
        let setup = Setup::new(move |request| match request.path() {
            "/sshd/session" => ok(&json!({ "role": "backup", "calls": calls })),
            "/jobs/info" => ok(&json!({ "jobs": [] })),
            _ => {
                let mut steps = vec![Step::Wait(std::time::Duration::from_millis(3500))];
                steps.extend(ok(&json!({ "slug": "abc" })));
                steps
            }
        });
        let run = setup.command("backups new").on_terminal();
        assert!(run.out.contains("slug"), "{run:?}");
        let asked = setup.requests.all();
        let times = |path| {
            asked
                .iter()
                .filter(|request| request.path() == path)
                .count()
        };
        assert_eq!(times("/sshd/session"), 1, "{asked:?}");
        assert_eq!(times("/jobs/info").min(1), looks, "{asked:?}");
    }
}

#[test]
fn a_session_is_shown_by_area_to_people_and_as_it_is_to_programs() {
    let setup = Setup::new(|_| {
        ok(&json!({ "role": "observer", "calls": ["core.info", "core.logs", "os.info"] }))
    });
    let shown = setup
        .command("session")
        .env("NO_COLOR", "1")
        .on_terminal()
        .out;
    assert!(
        shown.contains("calls:\n  core: info, logs\n  os:   info\n"),
        "{shown}"
    );
    assert!(setup.hassio("session").out.contains("- core.info\n"));
}

#[test]
fn debug_says_what_is_asked_and_no_secret() {
    let setup = Setup::new(|_| ok(&json!({})));
    let run = setup.hassio("docker registries add ghcr.io -u me -p the-password --log-level debug");
    assert!(
        run.err
            .contains("debug: POST /docker/registries with ghcr.io")
            && run.err.contains("status 200"),
        "{run:?}"
    );
    assert!(!run.err.contains("the-password"), "{run:?}");
}
