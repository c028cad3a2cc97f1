use super::*;
use crate::cli::tree::{Limit, former, get, node, post};

/// With `--identifier`, which only the host's log has.
const HOST_LOG: &[Opt] = &[
    FOLLOW,
    LINES,
    BOOT,
    VERBOSE,
    text("identifier", "Only of this program, as in sshd")
        .short('t')
        .live(Live::Identifiers),
];

pub(super) const NODES: &[Node] = &[
    node("host", "The machine").also(&["ho"]),
    node("host disks", "The machine's disks").also(&["disk"]),
    node(
        "host disks usage",
        "Show what takes the room on the data disk",
    )
    .also(&["us", "use"])
    .asks(&[get("/host/disks/default/usage")]),
    node(
        "host info",
        "Show name, operating system and room on the disk",
    )
    .also(INFO)
    .asks(&[get("/host/info")]),
    node("host logs", "Show the machine's log")
        .more(MORE_LOGS)
        .also(LOGS)
        .reads_log(&[get("/host/logs")], HOST_LOG),
    node(
        "host logs boots",
        "List the machine's starts that are in the log",
    )
    .also(&["list-boots", "lb"])
    .asks(&[get("/host/logs/boots")]),
    node(
        "host logs identifiers",
        "List the programs that are in the log",
    )
    .also(&["ids", "list-identifiers", "li"])
    .asks(&[get("/host/logs/identifiers")]),
    node("host options", "Change the machine's settings")
        .also(OPTIONS)
        .with(&[text("hostname", "The machine's name").field("hostname")])
        .asks(&[post("/host/options")]),
    node("host reboot", "Restart the machine")
        .also(&["restart", "rb"])
        .with(&[FORCE])
        .within(Limit::Reboot)
        .asks(&[post("/host/reboot")]),
    node("host reload", "Read what the machine offers again")
        .also(&["update", "refresh", "re"])
        .asks(&[post("/host/reload")]),
    node("host shutdown", "Switch the machine off")
        .also(&["sh"])
        .with(&[FORCE])
        .within(Limit::Reboot)
        .asks(&[post("/host/shutdown")]),
    former("host hardware", "hardware info"),
    node("hardware", "The machine's devices").also(&["hw"]),
    node("hardware audio", "List sound cards and their profiles")
        .also(&["sounds", "snd", "au"])
        .asks(&[get("/hardware/audio")]),
    node("hardware info", "List the devices")
        .also(INFO)
        .asks(&[get("/hardware/info")]),
];
