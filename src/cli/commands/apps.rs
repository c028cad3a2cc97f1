use super::*;
use crate::cli::apps;
use crate::cli::tree::{Limit, former, get, list, node, post};

const BACKUP: Opt = switch("backup", "Make a backup of it first").field("backup");

const OPTION_FILE: Opt = text(
    "file",
    "A YAML or JSON file with all the options; - for standard input",
)
.short('f')
.values(Values::Files);

const ASSIGNMENTS: Argument = argument(
    "assignments",
    "KEY=VALUE",
    "A key, with dots into lists and objects (logins.0.username), and its value",
)
.to(To::Own)
.needed(Needed::Many);

pub(super) const NODES: &[Node] = &[
    node("apps", "List the installed apps, or manage them")
        .more("Apps were called add-ons until 2026. Without a further word, lists what is installed.")
        .also(&["app"])
        .formerly(&["addons", "addon", "add-on", "add-ons", "ad"])
        .asks(&[get("/addons")]),
    node("apps changelog", "Show what changed between versions")
        .also(&["cl", "ch"])
        .takes(&[SLUG])
        .reads_text(&[get("/addons/{slug}/changelog")]),
    node("apps info", "Describe an app: state, version, addresses")
        .also(INFO)
        .takes(&[Argument { needed: Needed::Else("self"), help: "Which app; this SSH server if left out", ..SLUG }])
        .asks(&[get("/addons/{slug}/info")]),
    node("apps install", "Install an app from a store")
        .more("`hassio store apps` lists what can be installed.")
        .also(&["i", "inst"])
        .takes(&[SLUG.live(Live::StoreApps)])
        .with(&[BACKGROUND])
        .within(Limit::Download)
        .shown_by(&["manager_install"])
        .asks(&[post("/addons/{slug}/install")]),
    node("apps logs", "Show an app's log")
        .more(MORE_LOGS)
        .also(LOGS)
        .takes(&[SLUG])
        .reads_log(&[get("/addons/{slug}/logs")], LOG),
    node("apps options", "Read and change an app's options")
        .more("An app's options may hold passwords, so reading them needs the permission to change them.")
        .also(&["option", "opts"]),
    node("apps options get", "Show an app's options")
        .more("With a KEY, only that one: `hassio apps options get core_mosquitto logins.0.username`.")
        .takes(&[
            SLUG,
            argument("key", "KEY", "Which option, with dots into lists and objects").to(To::Own).needed(Needed::No),
        ])
        .runs(apps::get, &[get("/addons/{slug}/info")]),
    node("apps options set", "Change an app's options")
        .more(
            "Reads the options, changes the ones named, has the app's own rules check them, shows the difference, and writes \
             them. What is not named stays. A VALUE is JSON if it reads as JSON (true, 12, [1, 2], {\"a\": 1}), else text; \
             an option that is text stays text. KEY:=VALUE takes JSON only. A number goes out as it is written; one in a file that \
             YAML reads and JSON does not have (0123, 1_000) is what the app's schema says, else it has to be put in \
             quotation marks or written otherwise. `KEY=` with nothing behind it is empty text, and \
             KEY- takes the option out. The app uses new options when it starts the next time.\n\
             \n\
             Examples:\n\
             \x20 hassio apps options set core_mosquitto logins.0.username=mqtt\n\
             \x20 hassio apps options set core_samba 'allow_hosts:=[\"192.168.1.0/24\"]' --dry-run\n\
             \x20 hassio apps options set core_mosquitto --file mosquitto.yaml",
        )
        .also(&["change"])
        .takes(&[SLUG, ASSIGNMENTS])
        .with(&[OPTION_FILE, switch("dry-run", "Show the difference, check it, and write nothing")])
        .runs(
            apps::set,
            &[
                get("/addons/{slug}/info"),
                post("/addons/{slug}/options/validate"),
                post("/addons/{slug}/options"),
            ],
        ),
    node("apps options validate", "Have an app's own rules check options")
        .more("Without a KEY and without --file, checks the options that are set now. Writes nothing.")
        .also(&["check"])
        .takes(&[SLUG, ASSIGNMENTS])
        .with(&[OPTION_FILE])
        .runs(
            apps::validate,
            &[get("/addons/{slug}/info"), post("/addons/{slug}/options/validate")],
        ),
    node("apps rebuild", "Build a local app's image anew")
        .also(&["rb", "reinstall"])
        .takes(&[SLUG.live(Live::BuiltApps)])
        .with(&[switch("force", "Even if its image is not built here").field("force").sent(Send::WhenOn(true))])
        .within(Limit::Operation)
        .asks(&[post("/addons/{slug}/rebuild")]),
    node("apps restart", "Stop an app and start it again")
        .also(RESTART)
        .takes(&[SLUG])
        .within(Limit::Operation)
        .asks(&[post("/addons/{slug}/restart")]),
    node("apps start", "Start an app")
        .also(&["run", "st"])
        .takes(&[SLUG.live(Live::StoppedApps)])
        .asks(&[post("/addons/{slug}/start")]),
    node("apps stats", "Show an app's use of CPU, memory and network")
        .also(STATS)
        .takes(&[SLUG.live(Live::StartedApps)])
        .asks(&[get("/addons/{slug}/stats")]),
    node("apps stdin", "Send bytes to an app's standard input")
        .more("Reads standard input to its end, at most 1 MiB, and sends it. The app must be made for it (`stdin: true`).\n\
               \n\
               Example: echo '\"play\"' | hassio apps stdin local_radio")
        .takes(&[SLUG.live(Live::StartedApps)])
        .with(&[text("file", "Send this file instead of standard input").short('f').values(Values::Files)])
        .runs(apps::stdin, &[post("/addons/{slug}/stdin")]),
    node("apps stop", "Stop an app")
        .also(&["halt", "shutdown", "quit"])
        .takes(&[SLUG.live(Live::StartedApps)])
        .within(Limit::Operation)
        .asks(&[post("/addons/{slug}/stop")]),
    node("apps uninstall", "Remove an app and its data")
        .also(&["remove", "delete", "del", "rem", "un", "uninst"])
        .takes(&[SLUG])
        .with(&[switch("remove-config", "Its configuration folder too")
            .field("remove_config")
            .sent(Send::WhenOn(true))])
        .within(Limit::Operation)
        .asks(&[post("/addons/{slug}/uninstall")]),
    node("apps update", "Update an app")
        .also(&["upgrade", "up"])
        .takes(&[SLUG.live(Live::UpdatableApps)])
        .with(&[BACKUP, BACKGROUND])
        .within(Limit::Download)
        .shown_by(&["manager_update"])
        .asks(&[post("/addons/{slug}/update")]),
    former("apps list", "apps"),
    former("apps reload", "store reload"),
];

/// `--app`, which was `--addons`.
pub(super) const APPS: Opt = list(
    "app",
    "Only this app, and others named so; ALL for all of them",
)
.short('a')
.formerly(&["addons"])
.field("addons")
.live(Live::Apps);
