use super::*;
use crate::cli::core_api;
use crate::cli::tree::{Limit, get, node, post};

const SAFE_MODE: Opt = switch("safe-mode", "Start without custom integrations and themes")
    .short('s')
    .field("safe_mode")
    .sent(Send::Always);

pub(super) const NODES: &[Node] = &[
    node("core", "Home Assistant Core")
        .formerly(&["homeassistant", "home-assistant", "ha"]),
    node("core api", "Ask Core itself: states, services, history")
        .more("Answers come from Core's own REST API, as JSON data. Only what is listed here gets through."),
    node("core api call", "Call a service (an action)")
        .more(
            "Data are KEY=VALUE, where VALUE is JSON if it reads as JSON, or --data with a JSON object. Services of the \
             domain hassio are never let through.\n\
             \n\
             Example: hassio core api call light.turn_on entity_id=light.kitchen brightness=120",
        )
        .takes(&[
            argument("service", "DOMAIN.SERVICE", "Which one; `hassio core api services` lists them")
                .to(To::Own)
                .live(Live::Services),
            argument("assignments", "KEY=VALUE", "Data for it").to(To::Own).needed(Needed::Many),
        ])
        .with(&[text("data", "Data for it, as a JSON object").short('d')])
        .runs(core_api::call, &[post("/core/api/services/{domain}/{service}")]),
    node("core api config", "Show Core's configuration")
        .runs(core_api::config, &[get("/core/api/config")]),
    node("core api error-log", "Show Core's log of errors")
        .also(&["error_log", "errors"])
        .runs(core_api::error_log, &[get("/core/api/error_log")]),
    node("core api history", "Show the past states of an entity")
        .more("Of the last day, unless --start says otherwise.\n\
               \n\
               Example: hassio core api history sensor.power --start 2026-08-24T00:00:00+00:00")
        .takes(&[argument("entity", "ENTITY", "Which one").to(To::Own).live(Live::Entities)])
        .with(&[
            text("start", "From when, as in 2026-08-24T00:00:00+00:00"),
            text("end", "Until when, likewise"),
        ])
        .runs(
            core_api::history,
            &[get("/core/api/history/period"), get("/core/api/history/period/{timestamp}")],
        ),
    node("core api services", "List the services (actions) that there are")
        .runs(core_api::services, &[get("/core/api/services")]),
    node("core api states", "Show the states of all entities, or of one")
        .also(&["state"])
        .takes(&[argument("entity", "ENTITY", "Which one; all if left out").to(To::Own).needed(Needed::No).live(Live::Entities)])
        .runs(core_api::states, &[get("/core/api/states"), get("/core/api/states/{entity}")]),
    node("core check", "Check the configuration")
        .also(&["validate", "chk", "ch"])
        .within(Limit::Operation)
        .asks(&[post("/core/check")]),
    node("core info", "Show version, address and settings")
        .also(INFO)
        .asks(&[get("/core/info")]),
    node("core logs", "Show Core's log")
        .more(MORE_LOGS)
        .also(LOGS)
        .reads_log(&[get("/core/logs")], LOG),
    node("core options", "Change how Core is started")
        .more("Most take effect at Core's next start.")
        .also(OPTIONS)
        .with(&[
            switch("boot", "Start with the machine").field("boot"),
            text("image", "The image to use; \"\" for the usual one").field("image").sent(Send::Nullable),
            number("port", 0, 65535, "The port Core listens on").kind(positive(65535)).field("port"),
            switch("ssl", "Core speaks TLS").field("ssl"),
            switch("watchdog", "Start Core again when it stops").field("watchdog"),
            text("refresh-token", "The token the Supervisor uses; \"\" for none").field("refresh_token").sent(Send::Nullable),
            text("audio-input", "The microphone; \"\" for the usual one").field("audio_input").sent(Send::Nullable).live(Live::AudioInputs),
            text("audio-output", "The loudspeaker; \"\" for the usual one").field("audio_output").sent(Send::Nullable).live(Live::AudioOutputs),
            switch("backups-exclude-database", "Backups leave out the history").field("backups_exclude_database"),
            switch("duplicate-log-file", "Write the log into a file as well").field("duplicate_log_file"),
        ])
        .asks(&[post("/core/options")]),
    node("core rebuild", "Make Core's container anew")
        .also(&["rb", "reinstall"])
        .with(&[SAFE_MODE, FORCE])
        .within(Limit::Operation)
        .asks(&[post("/core/rebuild")]),
    node("core restart", "Restart Core")
        .also(RESTART)
        .with(&[SAFE_MODE, FORCE])
        .within(Limit::Operation)
        .asks(&[post("/core/restart")]),
    node("core start", "Start Core")
        .also(&["run", "st"])
        .within(Limit::Operation)
        .asks(&[post("/core/start")]),
    node("core stats", "Show Core's use of CPU, memory and network")
        .also(STATS)
        .asks(&[get("/core/stats")]),
    node("core stop", "Stop Core")
        .with(&[FORCE])
        .within(Limit::Operation)
        .asks(&[post("/core/stop")]),
    node("core update", "Update Core, or go to another version")
        .also(UPDATE)
        .with(&[
            VERSION,
            switch("backup", "Make a backup first").field("backup"),
            BACKGROUND,
        ])
        .within(Limit::Download)
        .shown_by(&["home_assistant_core_update"])
        .asks(&[post("/core/update")]),
];
