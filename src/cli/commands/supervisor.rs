use super::*;
use crate::cli::own as code;
use crate::cli::tree::{Limit, get, list, node, post};

pub(super) const NODES: &[Node] = &[
    node(
        "supervisor",
        "The Supervisor, which manages everything else",
    )
    .also(&["super", "su"]),
    node(
        "supervisor available-updates",
        "List what can be updated (old path)",
    )
    .also(&["available_updates", "updates"])
    .asks(&[get("/supervisor/available_updates")]),
    node("supervisor info", "Show version, channel and settings")
        .also(INFO)
        .asks(&[get("/supervisor/info")]),
    node("supervisor logs", "Show the Supervisor's log")
        .more(MORE_LOGS)
        .also(LOGS)
        .reads_log(&[get("/supervisor/logs")], LOG),
    node("supervisor options", "Change the Supervisor's settings")
        .also(OPTIONS)
        .with(&[
            text(
                "hostname",
                "No longer taken by the Supervisor; use `host options`",
            )
            .field("hostname"),
            text("channel", "Which versions: stable, beta or dev")
                .short('c')
                .field("channel")
                .values(Values::Words(&["stable", "beta", "dev"])),
            text(
                "detect-blocking-io",
                "Look for what blocks: on, off or on-at-startup",
            )
            .field("detect_blocking_io")
            .values(Values::Words(&["on", "off", "on-at-startup"])),
            text("timezone", "As in Europe/Berlin")
                .short('t')
                .field("timezone"),
            text("logging", "How much it logs")
                .short('l')
                .field("logging")
                .values(Values::Words(&[
                    "debug", "info", "warning", "error", "critical",
                ])),
            switch("debug", "Debugging").field("debug"),
            switch("debug-block", "Wait for a debugger at the start").field("debug_block"),
            switch("diagnostics", "Send reports of crashes to the developers").field("diagnostics"),
            switch("auto-update", "Let the Supervisor update itself").field("auto_update"),
            list(
                "feature-flag",
                "NAME or NAME=false: switch something unfinished on or off",
            )
            .live(Live::Features),
        ])
        .runs(code::supervisor_options, &[post("/supervisor/options")]),
    node(
        "supervisor reload",
        "Have the Supervisor read its settings again",
    )
    .also(RELOAD)
    .asks(&[post("/supervisor/reload")]),
    node(
        "supervisor repair",
        "Repair what Docker lost: containers, images, networks",
    )
    .also(&["rep", "fix"])
    .within(Limit::Download)
    .asks(&[post("/supervisor/repair")]),
    node("supervisor restart", "Restart the Supervisor")
        .also(RESTART)
        .within(Limit::Operation)
        .asks(&[post("/supervisor/restart")]),
    node(
        "supervisor stats",
        "Show the Supervisor's use of CPU, memory and network",
    )
    .also(&["status", "stat", "st"])
    .asks(&[get("/supervisor/stats")]),
    node("supervisor update", "Update the Supervisor")
        .also(UPDATE)
        .with(VERSIONS)
        .within(Limit::Download)
        .shown_by(&["supervisor_update"])
        .asks(&[post("/supervisor/update")]),
];
