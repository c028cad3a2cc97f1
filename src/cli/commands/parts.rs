//! The small parts of the system: sound, names, the observer and so on.

use super::*;
use crate::cli::own as code;
use crate::cli::tree::{Limit, delete, get, list, node, post};

const NAME: Opt = text("name", "The device's name; `hassio audio info` lists them")
    .field("name")
    .required();

const VOLUME: &[Opt] = &[
    switch("application", "Of a program, not of a device"),
    number("index", 0, i64::MAX, "Which one, by its number")
        .field("index")
        .sent(Send::Given)
        .required(),
    number("volume", 0, 100, "In percent")
        .field("volume")
        .sent(Send::Percent)
        .without(&["mute", "unmute"]),
    switch("mute", "Silent").without(&["unmute"]),
    switch("unmute", "Not silent"),
];

const fn volume(
    path: &'static str,
    help: &'static str,
    calls: &'static [crate::cli::tree::Call],
) -> Node {
    node(path, help).with(VOLUME).runs(code::volume, calls)
}

pub(super) const NODES: &[Node] = &[
    node("audio", "Sound").also(&["snd", "sound"]),
    node("audio default", "What is used where nothing else is said")
        .also(&["def", "de", "standard", "std"]),
    node("audio default input", "Choose the usual microphone")
        .also(&["in"])
        .with(&[NAME.live(Live::AudioInputs)])
        .asks(&[post("/audio/default/input")]),
    node("audio default output", "Choose the usual loudspeaker")
        .also(&["out"])
        .with(&[NAME.live(Live::AudioOutputs)])
        .asks(&[post("/audio/default/output")]),
    node("audio info", "Show version and devices")
        .also(INFO)
        .asks(&[get("/audio/info")]),
    node("audio logs", "Show the log of the sound server")
        .more(MORE_LOGS)
        .also(LOGS)
        .reads_log(&[get("/audio/logs")], LOG),
    node("audio profile", "Choose what a sound card does")
        .also(&["pro"])
        .with(&[
            text("name", "The profile's name").field("name").required(),
            text("card", "The card's name")
                .field("card")
                .required()
                .live(Live::AudioCards),
        ])
        .asks(&[post("/audio/profile")]),
    node("audio reload", "Look for devices again")
        .also(RELOAD)
        .asks(&[post("/audio/reload")]),
    node("audio restart", "Restart the sound server")
        .also(RESTART)
        .within(Limit::Operation)
        .asks(&[post("/audio/restart")]),
    node("audio stats", "Show its use of CPU, memory and network")
        .also(&["status", "stat", "st"])
        .asks(&[get("/audio/stats")]),
    node("audio update", "Update the sound server")
        .also(UPDATE)
        .with(VERSIONS)
        .within(Limit::Download)
        .shown_by(&["plugin_update"])
        .asks(&[post("/audio/update")]),
    node("audio volume", "How loud, or silent").also(&["vol", "sound", "snd"]),
    volume(
        "audio volume input",
        "Of a microphone",
        &[
            post("/audio/volume/input"),
            post("/audio/volume/input/application"),
            post("/audio/mute/input"),
            post("/audio/mute/input/application"),
        ],
    )
    .also(&["in"]),
    volume(
        "audio volume output",
        "Of a loudspeaker",
        &[
            post("/audio/volume/output"),
            post("/audio/volume/output/application"),
            post("/audio/mute/output"),
            post("/audio/mute/output/application"),
        ],
    )
    .also(&["out"]),
    node("authentication", "Who may log in to Home Assistant").also(&["auth", "au"]),
    node("authentication cache", "Forget remembered logins of apps")
        .also(&["data", "ca"])
        .asks(&[delete("/auth/cache")]),
    node("authentication list", "List the users")
        .more("Works on the host's console only: the Supervisor keeps it from apps.")
        .also(&["ls"])
        .runs(code::list_users, &[get("/auth/list")]),
    node("authentication reset", "Give a user a new password")
        .more("Works on the host's console only: the Supervisor keeps it from apps.")
        .also(&["rst", "change"])
        .with(&[
            text("username", "Which user").field("username"),
            text("password", "The new password").field("password"),
            switch("interactive", "Ask for both"),
        ])
        .runs(
            code::reset_password,
            &[get("/auth/list"), post("/auth/reset")],
        ),
    node("cli", "Home Assistant's own command line tool"),
    node("cli info", "Show its version")
        .also(INFO)
        .asks(&[get("/cli/info")]),
    node("cli stats", "Show its use of CPU, memory and network")
        .also(STATS)
        .asks(&[get("/cli/stats")]),
    node("cli update", "Update it")
        .also(UPDATE)
        .with(VERSIONS)
        .within(Limit::Download)
        .shown_by(&["plugin_update"])
        .asks(&[post("/cli/update")]),
    node("dns", "Names and addresses"),
    node("dns info", "Show version and servers")
        .also(INFO)
        .asks(&[get("/dns/info")]),
    node("dns logs", "Show the log of the DNS server")
        .more(MORE_LOGS)
        .also(LOGS)
        .reads_log(&[get("/dns/logs")], LOG),
    node("dns options", "Change the DNS servers that are asked")
        .also(OPTIONS)
        .with(&[
            list("servers", "As in dns://8.8.8.8")
                .short('r')
                .field("servers"),
            switch("fallback", "Ask Cloudflare where the others do not answer").field("fallback"),
        ])
        .asks(&[post("/dns/options")]),
    node("dns reset", "Go back to the usual settings").asks(&[post("/dns/reset")]),
    node("dns restart", "Restart the DNS server")
        .also(RESTART)
        .within(Limit::Operation)
        .asks(&[post("/dns/restart")]),
    node("dns stats", "Show its use of CPU, memory and network")
        .also(STATS)
        .asks(&[get("/dns/stats")]),
    node("dns update", "Update the DNS server")
        .also(UPDATE)
        .with(VERSIONS)
        .within(Limit::Download)
        .shown_by(&["plugin_update"])
        .asks(&[post("/dns/update")]),
    node("multicast", "What finds devices in the network (mDNS)").also(&["mcast", "mc"]),
    node("multicast info", "Show its version")
        .also(INFO)
        .asks(&[get("/multicast/info")]),
    node("multicast logs", "Show its log")
        .more(MORE_LOGS)
        .also(LOGS)
        .reads_log(&[get("/multicast/logs")], LOG),
    node("multicast restart", "Restart it")
        .also(RESTART)
        .within(Limit::Operation)
        .asks(&[post("/multicast/restart")]),
    node("multicast stats", "Show its use of CPU, memory and network")
        .also(STATS)
        .asks(&[get("/multicast/stats")]),
    node("multicast update", "Update it")
        .also(UPDATE)
        .with(VERSIONS)
        .within(Limit::Download)
        .shown_by(&["plugin_update"])
        .asks(&[post("/multicast/update")]),
    node("observer", "What watches the Supervisor"),
    node("observer info", "Show its version")
        .also(INFO)
        .asks(&[get("/observer/info")]),
    node("observer stats", "Show its use of CPU, memory and network")
        .also(STATS)
        .asks(&[get("/observer/stats")]),
    node("observer update", "Update it")
        .also(UPDATE)
        .with(VERSIONS)
        .within(Limit::Download)
        .shown_by(&["plugin_update"])
        .asks(&[post("/observer/update")]),
];
