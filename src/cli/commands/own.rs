//! What is above all areas, and what belongs to this tool.

use super::*;
use crate::cli::tree::{Limit, get, list, node, post};
use crate::cli::{banner, completion, jobs, own as code, sessions};
use crate::wire::SESSION_PATH;

const JOB: Argument = argument("uuid", "JOB", "Its id; `hassio jobs` lists them").live(Live::Jobs);

const SESSION: Argument = argument(
    "session",
    "SESSION",
    "Its id, the beginning of it, or last for the last other one; `hassio session list` lists them",
)
.live(Live::Sessions);

pub(super) const GENERAL: &[Node] = &[
    node(
        "info",
        "Show versions of everything, and the kind of machine",
    )
    .also(INFO)
    .asks(&[get("/info")]),
    node(
        "session",
        "Show who you are here, and what your role may do",
    )
    .also(&["whoami"])
    .runs(code::session, &[get(SESSION_PATH)]),
    node("session list", "List sessions, the newest last")
        .more("You see the sessions of your own key, and with the permission `sessions` (the role admin has it) everybody's. All \
               filters that are given must fit; with --type or --text a session fits if one of its records fits both.\n\
               \n\
               Example: hassio session list --since 1d --text secrets.yaml")
        .also(&["ls", "l"])
        .with(&[
            text("user", "Of this user"),
            text("key", "Whose key has this in its fingerprint or comment"),
            text("source", "From this address, or network such as 192.0.2.0/24"),
            text("since", "Running since: 2026-11-24, '2026-11-24 08:30', today, yesterday, 90m, 2h, 3d, 1w"),
            text("until", "Running before; a day is meant with all of it"),
            text("type", "With a record of this type, as in exec, or of these, as in sftp.; several with commas"),
            text("text", "With this in some text of a record: a command, a path, a reason"),
            switch("ignore-case", "Upper and lower case are the same in --text").short('i'),
            number("newest", 1, 99_999, "How many at the most; 50 if left out").short('n'),
        ])
        .within(Limit::Reload)
        .runs(sessions::list, &[sessions::LIST]),
    node("session show", "Show what happened in a session")
        .more("A timeline: how long after its beginning each thing happened, indented by channel. With --output json, its \
               records as JSON Lines.")
        .also(&["info", "in"])
        .takes(&[SESSION])
        .within(Limit::Reload)
        .runs(sessions::show, &[sessions::SHOW]),
    node("session replay", "Play what a session's terminal showed")
        .more("Only text, colours, the movement of the cursor and erasing reach your terminal. Ctrl-C or q ends it. Where the \
               output is no terminal, nothing is waited for; --raw-json gives asciicast, which asciinema plays.\n\
               \n\
               That you looked is on record.")
        .also(&["play"])
        .takes(&[
            SESSION,
            argument("recording", "CHANNEL", "Its channel, or CHANNEL.N for a further recording of it; all if left out")
                .needed(Needed::No),
        ])
        .with(&[
            text("speed", "How many times as fast, 0.01 to 1000"),
            text("idle-limit", "The longest wait for what comes next, in seconds; 2 if left out"),
            text("max", "End after so many seconds"),
        ])
        .within(Limit::Reload)
        .runs(sessions::replay, &[sessions::REPLAY, sessions::SHOW]),
    node("session kill", "End a session, with all that runs in it")
        .also(&["end", "stop"])
        .takes(&[Argument {
            help: "Its id or the beginning of it; `hassio session list` lists them",
            ..SESSION
        }])
        .runs(sessions::kill, &[sessions::KILL]),
    node("available-updates", "List what can be updated")
        .also(&["updates", "available_updates"])
        .asks(&[get("/available_updates")]),
    node("refresh-updates", "Look for updates now")
        .also(&["refresh", "refresh_updates"])
        .asks(&[post("/refresh_updates")]),
    node("jobs", "List what the Supervisor is doing, or wait for it")
        .more("Without a further word, lists what runs.")
        .also(&["job", "tasks", "task"])
        .asks(&[get("/jobs/info")]),
    node("jobs info", "Show all jobs, or one")
        .also(&["in", "inf", "list", "ls"])
        .takes(&[Argument {
            needed: Needed::No,
            help: "Only this one",
            ..JOB
        }])
        .asks(&[get("/jobs/{uuid}"), get("/jobs/info")]),
    node("jobs options", "Change what jobs insist on")
        .also(OPTIONS)
        .with(&[list(
            "ignore-conditions",
            "Go on although this does not hold, as in healthy",
        )
        .short('i')
        .field("ignore_conditions")])
        .asks(&[post("/jobs/options")]),
    node("jobs reset", "Go back to the usual settings").asks(&[post("/jobs/reset")]),
    node("jobs wait", "Wait until a job is done")
        .more(
            "Shows how far it is. Ends with 1 if the job failed, and with 0 and `outcome: unknown` if the Supervisor forgot it as it ended. One that it has forgotten before the first look is an unknown one, which ends with 1 as well.\n\
               \n\
               Example: hassio jobs wait $(hassio backups new --background --query .job_id)",
        )
        .takes(&[JOB])
        .with(&[number(
            "timeout",
            1,
            i64::MAX,
            "Give up after this many seconds; the job goes on",
        )
        .short('t')])
        .runs(jobs::wait, &[get("/jobs/{uuid}")]),
];

pub(super) const TOOL: &[Node] = &[
    node("banner", "Show addresses, versions and the URL")
        .more("What a login shows. Asks for at most 300 ms and says nothing if there is no answer; --wait waits as long as \
               `ha banner` does, up to 3 minutes.")
        .also(&["ba"])
        .with(&[
            switch("wait", "Wait until the network is up, up to 3 minutes"),
            switch("no-wait", "Do not wait, which is the default").without(&["wait"]),
        ])
        .runs(banner::show, &[get("/network/info"), get("/host/info"), get("/core/info")]),
    node("completion", "Print what makes Tab complete commands")
        .more("The app's image has it installed. Elsewhere:\n\
               \x20 bash: source <(hassio completion bash)\n\
               \x20 zsh:  hassio completion zsh > \"${fpath[1]}/_hassio\"\n\
               \x20 fish: hassio completion fish > ~/.config/fish/completions/hassio.fish")
        .takes(&[argument("shell", "SHELL", "bash, zsh or fish; bash if left out")
            .to(To::Own)
            .needed(Needed::Else("bash"))
            .values(Values::Words(&["bash", "zsh", "fish"]))])
        .with(&[switch("no-descriptions", "Only words, no descriptions")])
        .runs(completion::print_script, &[]),
];
