//! Outside a session: endpoint and token by option, variable and file, as `ha` takes them.

use std::fs;

use serde_json::json;

use crate::harness::{Hassio, Run, scratch};
use crate::recorder::{Requests, ok, on_tcp};

const TOKEN: &str = "0123456789-the-token";

fn server() -> (String, Requests) {
    on_tcp(|_| ok(&json!({ "version": "1" })))
}

fn good(run: &Run, requests: &Requests) {
    assert_eq!(
        (run.code, run.out.as_str()),
        (Some(0), "version: \"1\"\n"),
        "{run:?}"
    );
    let asked = requests.all();
    let last = asked.last().unwrap();
    assert_eq!(
        last.header("authorization"),
        Some("Bearer 0123456789-the-token"),
        "{last:?}"
    );
    assert_eq!(last.header("accept"), Some("application/json"));
    assert!(
        !run.err.contains(TOKEN) && !run.out.contains(TOKEN),
        "{run:?}"
    );
}

#[test]
fn options_variables_and_the_file_say_where_and_with_which_token() {
    let (address, requests) = server();
    let url = format!("http://{address}");
    for hassio in [
        Hassio::new(&format!("info --endpoint {address} --api-token {TOKEN}")),
        Hassio::new(&format!("--endpoint {url}/ --api-token={TOKEN} info")),
        Hassio::new("info")
            .env("SUPERVISOR_ENDPOINT", &address)
            .env("SUPERVISOR_TOKEN", TOKEN),
        Hassio::new("info")
            .env("SUPERVISOR_ENDPOINT", &url)
            .env("SUPERVISOR_API_TOKEN", TOKEN)
            .env("SUPERVISOR_TOKEN", "another"),
        Hassio::new("info")
            .env("SUPERVISOR_ENDPOINT", &address)
            .env("HASSIO_TOKEN", TOKEN),
        Hassio::new(&format!("info --endpoint {address} --log-level debug"))
            .env("SUPERVISOR_ENDPOINT", "127.0.0.1:1")
            .env("SUPERVISOR_TOKEN", TOKEN),
        Hassio::new(&format!("info --endpoint {address}"))
            .env("HASSIO_SOCKET", "/nonexistent")
            .env("SUPERVISOR_TOKEN", TOKEN),
    ] {
        good(&hassio.run(), &requests);
    }
}

#[test]
fn the_file_of_ha_is_read() {
    let (address, requests) = server();
    let dir = scratch();
    let text =
        format!("endpoint: {address}\napi-token: {TOKEN}\nlog-level: debug\nsomething-else: 1\n");
    fs::write(dir.join(".homeassistant.yaml"), &text).unwrap();
    let usual = Hassio::new("info").env("HOME", &dir).run();
    good(&usual, &requests);
    assert!(usual.err.contains("debug: "), "{usual:?}");
    fs::rename(dir.join(".homeassistant.yaml"), dir.join("other.json")).unwrap();
    fs::write(
        dir.join("other.json"),
        json!({ "endpoint": address, "api-token": TOKEN, "raw-json": true }).to_string(),
    )
    .unwrap();
    let named = Hassio::new("info --config")
        .word(dir.join("other.json"))
        .run();
    assert_eq!(named.out, r#"{"data":{"version":"1"},"result":"ok"}"#);
    fs::write(dir.join("bad.yaml"), format!("api-token: [{TOKEN}\n")).unwrap();
    for file in ["bad.yaml", "missing.yaml"] {
        let run = Hassio::new("info --config").word(dir.join(file)).run();
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(
            run.err.contains(file) && !run.err.contains(TOKEN),
            "{run:?}"
        );
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_token_goes_to_no_socket_and_no_other_host() {
    let dir = scratch();
    let requests = crate::recorder::on_socket(&dir.join("socket"), |_| ok(&json!({})));
    Hassio::new("info")
        .env("HASSIO_SOCKET", dir.join("socket"))
        .env("SUPERVISOR_TOKEN", TOKEN)
        .run();
    assert_eq!(requests.all()[0].header("authorization"), None);
    fs::remove_dir_all(dir).unwrap();
    let (elsewhere, seen) = server();
    let target = format!("http://{elsewhere}/info");
    let (address, requests) =
        on_tcp(move |_| crate::recorder::with_headers(302, &[("Location", &target)], b""));
    let run = Hassio::new(&format!("info --endpoint {address} --api-token {TOKEN}"))
        .env("HTTP_PROXY", &elsewhere)
        .env("http_proxy", &elsewhere)
        .run();
    assert_eq!(run.code, Some(4), "{run:?}");
    assert_eq!((requests.all().len(), seen.all().len()), (1, 0));
}

#[test]
fn a_session_is_not_looked_for_where_there_is_none() {
    let (address, requests) = server();
    let run = Hassio::new(&format!("session --endpoint {address} --api-token {TOKEN}")).run();
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.err.contains("inside a session"), "{run:?}");
    assert!(requests.all().is_empty());
}
