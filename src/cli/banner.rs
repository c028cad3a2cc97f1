//! What a login shows.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::CliError;
use super::client::Request;
use super::context::Context;
use super::given::Given;
use super::output::{Screen, print};
use crate::model::escape;

/// A login is never held up for longer.
const PATIENCE: Duration = Duration::from_millis(250);

/// With `--wait`: for how long, and how often is asked.
const UP: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_secs(1);

/// Where the observer shows its page.
const OBSERVER_PORT: u16 = 4357;

/// How much of a name is shown.
const SHOWN_BYTES: usize = 100;

const PATHS: [&str; 3] = ["/network/info", "/host/info", "/core/info"];

/// `banner`: nothing at all if there is nobody to ask.
pub(super) fn show(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    if given.on("wait") {
        wait(context);
    }
    let [network, host, core] = all(context);
    if network.is_none() && host.is_none() && core.is_none() {
        return Ok(());
    }
    let (network, host, core) = (
        network.unwrap_or_default(),
        host.unwrap_or_default(),
        core.unwrap_or_default(),
    );
    print(text(&network, &host, &core, context.printer.screen).as_bytes())
}

/// Until the network is up, as `ha banner` does.
fn wait(context: &Context) {
    let began = Instant::now();
    while began.elapsed() < UP {
        let [path, ..] = PATHS;
        let network = context
            .client
            .ask(Request::get(path))
            .and_then(|answer| answer.data());
        let up = |data: Value| {
            data.get("interfaces")
                .and_then(Value::as_array)
                .is_some_and(|list| !list.is_empty())
        };
        if network.is_ok_and(up) {
            return;
        }
        thread::sleep(POLL);
    }
}

/// All three at once, as far as they come in time. Who comes late is not waited for: the process ends.
fn all(context: &Context) -> [Option<Value>; 3] {
    let end = Instant::now() + PATIENCE;
    let (done, coming) = mpsc::sync_channel(PATHS.len());
    for (index, path) in PATHS.into_iter().enumerate() {
        let (client, done) = (context.client.another(), done.clone());
        thread::spawn(move || {
            let data = client
                .ask(Request::get(path).at_most(PATIENCE))
                .and_then(|answer| answer.data());
            // Nobody is there any more if it took too long.
            done.send((index, data.ok())).unwrap_or_default();
        });
    }
    drop(done);
    let mut data = [const { None }; 3];
    while let Ok((index, value)) =
        coming.recv_timeout(end.saturating_duration_since(Instant::now()))
    {
        if let Some(slot) = data.get_mut(index) {
            *slot = value;
        }
    }
    data
}

fn text(network: &Value, host: &Value, core: &Value, screen: Screen) -> String {
    let word = |value: &Value, name: &str| {
        let text = value
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        text.map(|text| escape(text.as_bytes(), SHOWN_BYTES))
    };
    let mut lines = Vec::new();
    for interface in network
        .get("interfaces")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let Some(name) = word(interface, "interface") else {
            continue;
        };
        for (family, version) in [("ipv4", "IPv4"), ("ipv6", "IPv6")] {
            let addresses = interface
                .pointer(&format!("/{family}/address"))
                .and_then(Value::as_array);
            let addresses: Vec<_> = addresses
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(|address| escape(address.as_bytes(), SHOWN_BYTES))
                .collect();
            if !addresses.is_empty() {
                lines.push((
                    format!("{version} addresses for {name}:"),
                    addresses.join(", "),
                ));
            }
        }
    }
    if let Some(system) = word(host, "operating_system") {
        lines.push(("OS version:".to_owned(), system));
    }
    if let Some(version) = word(core, "version") {
        lines.push(("Home Assistant Core:".to_owned(), version));
    }
    if let Some(name) = word(host, "hostname") {
        let tls = core.get("ssl").and_then(Value::as_bool) == Some(true);
        let (scheme, usual) = if tls { ("https", 443) } else { ("http", 80) };
        if let Some(port) = core.get("port").and_then(Value::as_u64) {
            let port = if port == usual {
                String::new()
            } else {
                format!(":{port}")
            };
            lines.push((
                "Home Assistant URL:".to_owned(),
                format!("{scheme}://{name}.local{port}"),
            ));
        }
        lines.push((
            "Observer URL:".to_owned(),
            format!("http://{name}.local:{OBSERVER_PORT}"),
        ));
    }
    let width = lines
        .iter()
        .map(|(label, _)| label.chars().count())
        .max()
        .unwrap_or(0);
    let (strong, plain) = match screen {
        Screen::Terminal {
            colour: super::output::Colour::On,
            ..
        } => ("\u{1b}[1m", "\u{1b}[0m"),
        Screen::Terminal { .. } | Screen::Pipe => ("", ""),
    };
    let mut out = format!("\n  {strong}Home Assistant{plain}\n\n");
    for (label, value) in lines {
        out.push_str(&format!("  {label:width$}  {value}\n"));
    }
    out.push_str("\n  `hassio help` lists what there is, `hassio session` what you may do.\n\n");
    out
}
