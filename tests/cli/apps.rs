//! Options and input of apps.

use std::fs;

use serde_json::{Value, json};

use crate::harness::Setup;
use crate::recorder::{Recorded, Reply, error, json_reply, ok};

fn app(request: &Recorded) -> Reply {
    match (request.method.as_str(), request.path()) {
        ("GET", "/addons/core_mosquitto/info") => ok(&json!({
            "slug": "core_mosquitto",
            "options": { "logins": [{ "username": "mqtt", "password": "old-secret" }], "port": 1883, "tls": false },
            "schema": [
                { "name": "logins", "type": "schema", "multiple": true, "schema": [{ "name": "username", "type": "string" }, { "name": "password", "type": "string", "format": "password" }] },
                { "name": "port", "type": "integer" },
            ],
        })),
        ("POST", "/addons/core_mosquitto/options/validate") => {
            let fine = request.json()["port"].is_number();
            ok(
                &json!({ "valid": fine, "message": if fine { "" } else { "expected int for port" }, "pwned": null }),
            )
        }
        ("POST", "/addons/core_mosquitto/options") => ok(&json!({})),
        ("POST", _) => ok(&json!({})),
        _ => error(404, "App does not exist"),
    }
}

fn sent(setup: &Setup) -> Vec<(String, Value)> {
    setup
        .requests
        .all()
        .iter()
        .map(|r| (format!("{} {}", r.method, r.path()), r.json()))
        .collect()
}

#[test]
fn setting_an_option_writes_all_of_them_and_shows_the_difference() {
    let setup = Setup::new(app);
    let run =
        setup.hassio("apps options set core_mosquitto port=1884 logins.0.password=12345 tls=true");
    assert_eq!(run.code, Some(0), "{run:?}");
    let options = json!({ "logins": [{ "username": "mqtt", "password": "12345" }], "port": 1884, "tls": true });
    let sent = sent(&setup);
    assert_eq!(sent[0].0, "GET /addons/core_mosquitto/info");
    assert_eq!(
        sent[1],
        (
            "POST /addons/core_mosquitto/options/validate".to_owned(),
            options.clone()
        )
    );
    assert_eq!(
        sent[2],
        (
            "POST /addons/core_mosquitto/options".to_owned(),
            json!({ "options": options })
        )
    );
    assert_eq!(sent.len(), 3);
    assert!(
        run.err
            .contains("- port: 1883\n+ port: 1884\n- tls: false\n+ tls: true\n"),
        "{run:?}"
    );
    assert!(
        run.err.contains("+ logins.0.password: (a password)")
            && !run.err.contains("12345")
            && !run.err.contains("old-secret"),
        "{run:?}"
    );
    assert!(run.err.contains("hassio apps restart"), "{run:?}");
}

#[test]
fn what_the_app_does_not_take_is_not_written() {
    let setup = Setup::new(app);
    let run = setup.hassio("apps options set core_mosquitto port=many");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.err
            .contains("the app does not take these options: expected int for port"),
        "{run:?}"
    );
    let dry = setup.hassio("apps options set core_mosquitto port=1 --dry-run");
    assert_eq!(dry.code, Some(0), "{dry:?}");
    let same = setup.hassio("apps options set core_mosquitto port=1883");
    assert_eq!(
        (same.code, same.err.as_str()),
        (Some(0), "note: these options are set already\n")
    );
    assert!(
        sent(&setup)
            .iter()
            .all(|(call, _)| call != "POST /addons/core_mosquitto/options"),
        "{:?}",
        sent(&setup)
    );
}

#[test]
fn a_number_goes_out_as_it_was_written() {
    let setup = Setup::new(app);
    fs::write(
        setup.path("new.yaml"),
        "port: 1883\nbig: 12345678901234567890123\nlogins:\n- password: 0123\nrate: 1e5\n",
    )
    .unwrap();
    fs::write(
        setup.path("new.json"),
        r#"{"port": 1883, "big": 12345678901234567890123, "rate": [1e5, 1.50]}"#,
    )
    .unwrap();
    for (line, options) in [
        (
            "big:=12345678901234567890123 rate:=1e5",
            r#""big":12345678901234567890123,"logins":[{"password":"old-secret","username":"mqtt"}],"port":1883,"rate":1e+5,"tls":false"#,
        ),
        (
            "--file new.yaml",
            r#""big":12345678901234567890123,"logins":[{"password":"0123"}],"port":1883,"rate":1e+5"#,
        ),
        (
            "--file new.json",
            r#""big":12345678901234567890123,"port":1883,"rate":[1e+5,1.50]"#,
        ),
    ] {
        setup.requests.clear();
        let run = setup.hassio(&format!("apps options set core_mosquitto {line}"));
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        let asked = setup.requests.all();
        let body = |index: usize| String::from_utf8(asked[index].body.clone()).unwrap();
        assert_eq!(body(1), format!("{{{options}}}"), "{line}");
        assert_eq!(body(2), format!("{{\"options\":{{{options}}}}}"), "{line}");
    }
    fs::write(setup.path("two.yaml"), "port: 1883\ntwo: [0o17]\n").unwrap();
    setup.requests.clear();
    let run = setup.hassio("apps options set core_mosquitto --file two.yaml");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(
        run.err.contains("two.0 is 0o17 in the file") && run.err.contains("quotation marks"),
        "{run:?}"
    );
    assert!(sent(&setup).iter().all(|(call, _)| call.starts_with("GET")));
    let shown = setup.hassio("apps options get core_mosquitto --output json");
    assert_eq!(shown.code, Some(0), "{shown:?}");
}

#[test]
fn a_file_replaces_all_options() {
    let setup = Setup::new(app);
    fs::write(
        setup.path("new.yaml"),
        "port: 1\nlogins: []\nname: \"007\"\n",
    )
    .unwrap();
    let run = setup.hassio("apps options set core_mosquitto --file new.yaml port=2");
    assert_eq!(run.code, Some(0), "{run:?}");
    let (_, written) = sent(&setup).pop().unwrap();
    assert_eq!(
        written,
        json!({ "options": { "port": 2, "logins": [], "name": "007" } })
    );
    let run = setup
        .command("apps options set core_mosquitto -f -")
        .input("{\"port\": 3}")
        .run();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        sent(&setup).pop().unwrap().1,
        json!({ "options": { "port": 3 } })
    );
    for text in ["- a\n- b\n", "a: [", "plain", ""] {
        fs::write(setup.path("bad.yaml"), text).unwrap();
        let run = setup.hassio("apps options set core_mosquitto --file bad.yaml");
        assert_eq!(run.code, Some(2), "{text}: {run:?}");
    }
}

#[test]
fn options_are_shown_in_whole_and_in_part() {
    let setup = Setup::new(app);
    assert!(
        setup
            .hassio("apps options get core_mosquitto")
            .out
            .contains("port: 1883\n")
    );
    assert_eq!(
        setup
            .hassio("apps options get core_mosquitto logins.0.username")
            .out,
        "mqtt\n"
    );
    assert_eq!(
        setup.hassio("apps options get core_mosquitto nothing").code,
        Some(1)
    );
    assert_eq!(
        setup.hassio("apps options get core_mosquitto").code,
        Some(0)
    );
}

#[test]
fn validation_says_yes_or_no_and_writes_nothing() {
    let setup = Setup::new(app);
    assert_eq!(
        setup.hassio("apps options validate core_mosquitto").code,
        Some(0)
    );
    assert_eq!(
        setup
            .hassio("apps options validate core_mosquitto port=x")
            .code,
        Some(1)
    );
    assert!(
        sent(&setup)
            .iter()
            .all(|(call, _)| call != "POST /addons/core_mosquitto/options")
    );
}

#[test]
fn bytes_reach_an_apps_input_as_they_are() {
    let setup = Setup::new(app);
    let bytes = b"\x00\xff\"play\"\n".to_vec();
    let run = setup
        .command("apps stdin local_radio")
        .input(bytes.clone())
        .run();
    assert_eq!(run.code, Some(0), "{run:?}");
    let asked = &setup.requests.all()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str(), &asked.body),
        ("POST", "/addons/local_radio/stdin", &bytes)
    );
    assert_eq!(
        asked.header("content-type"),
        Some("application/octet-stream")
    );
    setup.requests.clear();
    let run = setup
        .command("apps stdin local_radio")
        .input(vec![b'x'; 1024 * 1024 + 1])
        .run();
    assert!(
        run.code != Some(0) && run.err.contains("longer than"),
        "{run:?}"
    );
    assert!(setup.requests.all().is_empty());
}

#[test]
fn nobody_is_asked_about_what_can_never_be_done() {
    let refusal = || {
        json_reply(
            403,
            &json!({ "result": "error", "error_key": "sshd_refused", "message": "on the host's console only" }),
        )
    };
    for line in ["os datadisk wipe", "authentication reset --interactive"] {
        let setup = Setup::new(move |request| match request.path() {
            "/sshd/session" => ok(&json!({ "role": "admin", "calls": ["core.info"] })),
            _ => refusal(),
        });
        let run = setup.hassio(line);
        assert_eq!(run.code, Some(3), "{line}: {run:?}");
        assert!(
            !run.err.contains("YES") && !run.err.contains("Username"),
            "{line}: {run:?}"
        );
        assert!(run.err.contains("console only"), "{line}: {run:?}");
        // Who may is asked.
        let setup = Setup::new(|request| match request.path() {
            "/sshd/session" => ok(
                &json!({ "role": "admin", "calls": ["os.datadisk-wipe", "auth.reset", "auth.list"] }),
            ),
            _ => ok(&json!({ "users": [] })),
        });
        let run = setup.hassio(line);
        assert!(
            run.err.contains("YES") || run.err.contains("Username"),
            "{line}: {run:?}"
        );
    }
}
