use super::*;
use crate::cli::tree::{delete, get, node, post};

const CHECK: Argument = argument(
    "check",
    "CHECK",
    "Which one; `hassio resolution info` lists them",
)
.live(Live::Checks);
const ISSUE: Argument = argument(
    "issue",
    "ID",
    "Which one; `hassio resolution info` lists them",
)
.live(Live::Issues);
const SUGGESTION: Argument = argument(
    "suggestion",
    "ID",
    "Which one; `hassio resolution info` lists them",
)
.live(Live::Suggestions);

pub(super) const NODES: &[Node] = &[
    node(
        "resolution",
        "What is wrong with the system, and what would help",
    )
    .also(&["resolutions", "res"]),
    node("resolution check", "What is looked at").also(&["checks", "test", "che", "ch"]),
    node("resolution check options", "Switch a check on or off")
        .also(OPTIONS)
        .takes(&[CHECK])
        .with(&[switch("enabled", "Whether it is made").field("enabled")])
        .asks(&[post("/resolution/check/{check}/options")]),
    node("resolution check run", "Make a check now")
        .also(&["execute", "ru"])
        .takes(&[CHECK])
        .asks(&[post("/resolution/check/{check}/run")]),
    node("resolution healthcheck", "Look at everything now")
        .also(&["evaluate", "run"])
        .asks(&[post("/resolution/healthcheck")]),
    node(
        "resolution info",
        "List what is wrong and what is suggested",
    )
    .also(INFO)
    .asks(&[get("/resolution/info")]),
    node("resolution issue", "What is wrong").also(&["is", "trouble"]),
    node("resolution issue dismiss", "Say no more of it")
        .also(&["disable", "remove"])
        .takes(&[ISSUE])
        .asks(&[delete("/resolution/issue/{issue}")]),
    node("resolution issue suggestions", "List what would help")
        .also(&["su", "solutions"])
        .takes(&[ISSUE])
        .asks(&[get("/resolution/issue/{issue}/suggestions")]),
    node("resolution suggestion", "What would help").also(&["su", "solution"]),
    node("resolution suggestion apply", "Do what is suggested")
        .also(&["enable", "run"])
        .takes(&[SUGGESTION])
        .asks(&[post("/resolution/suggestion/{suggestion}")]),
    node("resolution suggestion dismiss", "Say no more of it")
        .also(&["disable", "remove"])
        .takes(&[SUGGESTION])
        .asks(&[delete("/resolution/suggestion/{suggestion}")]),
    node("security", "The Supervisor's own checks of security").also(&["secure", "sec"]),
    node("security info", "Show the settings")
        .also(INFO)
        .asks(&[get("/security/info")]),
    node("security integrity", "Check that nothing was changed")
        .also(&["int", "trust"])
        .asks(&[post("/security/integrity")]),
    node("security options", "Change the settings")
        .also(OPTIONS)
        .with(&[
            switch("pwned", "Compare passwords with known leaks").field("pwned"),
            switch(
                "force-security",
                "Refuse what is not safe, instead of warning",
            )
            .field("force_security"),
        ])
        .asks(&[post("/security/options")]),
];
