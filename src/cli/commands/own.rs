//! What is above all areas, and what belongs to this tool.

use super::*;
use crate::cli::tree::{get, list, node, post};
use crate::cli::{banner, completion, jobs, own as code};
use crate::wire::SESSION_PATH;

const JOB: Argument = argument("uuid", "JOB", "Its id; `hassio jobs` lists them").live(Live::Jobs);

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
            "Shows how far it is. Ends with 1 if the job failed.\n\
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
