//! The table of commands, by area.

use super::tree::{
    Argument, Kind, Live, Needed, Node, Opt, Send, To, Values, argument, number, switch, text,
};

mod apps;
mod backups;
mod core;
mod host;
mod network;
mod os;
mod own;
mod parts;
mod resolution;
mod store;
mod supervisor;

/// All of it, a group before what is in it.
pub(super) const AREAS: &[&[Node]] = &[
    own::GENERAL,
    apps::NODES,
    backups::NODES,
    core::NODES,
    supervisor::NODES,
    host::NODES,
    os::NODES,
    network::NODES,
    store::NODES,
    parts::NODES,
    resolution::NODES,
    own::TOOL,
];

pub(super) fn all() -> impl Iterator<Item = &'static Node> {
    AREAS.iter().copied().flatten()
}

/// The node with exactly these words.
pub(super) fn find(path: &str) -> Option<&'static Node> {
    all().find(|node| node.path == path)
}

/// The words that can follow a path.
pub(super) fn children(path: &str) -> impl Iterator<Item = &'static Node> {
    all().filter(move |node| node.parent() == path)
}

impl Node {
    /// The node that this one is a former spelling of, or itself.
    pub(super) fn today(&'static self) -> &'static Node {
        self.now.and_then(find).unwrap_or(self)
    }
}

const INFO: &[&str] = &["in", "inf"];
const LOGS: &[&str] = &["log", "lg"];
const OPTIONS: &[&str] = &["option", "opt", "opts", "op"];
const RELOAD: &[&str] = &["refresh", "re"];
const RESTART: &[&str] = &["reboot"];
const STATS: &[&str] = &["status", "stat"];
const UPDATE: &[&str] = &["upgrade", "downgrade", "up", "down"];

const SLUG: Argument = argument("slug", "SLUG", "Which app; `hassio apps` lists them")
    .to(To::Slug)
    .live(Live::Apps);

const VERSION: Opt =
    text("version", "The version to go to; the newest if left out").field("version");

const VERSIONS: &[Opt] = &[VERSION];

const BACKGROUND: Opt = switch(
    "background",
    "Do not wait: print the job's id, for `hassio jobs wait`",
)
.field("background")
.sent(Send::WhenOn(true));

const MORE_LOGS: &str = "\
Shows the last 100 lines unless --lines says otherwise. With --follow it goes on until Ctrl-C; where the connection is cut, \
it connects again and goes on with the next line.";

const FOLLOW: Opt = switch("follow", "Go on with what comes, until Ctrl-C").short('f');

const LINES: Opt = number("lines", 0, 999_999, "How many lines to begin with").short('n');

const BOOT: Opt = text(
    "boot",
    "Of which start of the machine: 0 for this one, -1 for the one before, or an id",
)
.short('b')
.live(Live::Boots);

const VERBOSE: Opt = switch("verbose", "With time, host, program and process number").short('v');

const LOG: &[Opt] = &[FOLLOW, LINES, BOOT, VERBOSE];

const FORCE: Opt = switch("force", "Even while a database migration or an update runs")
    .short('f')
    .field("force")
    .sent(Send::Always);

const fn positive(most: i64) -> Kind {
    Kind::NumberOrZero { least: 1, most }
}

#[cfg(test)]
mod tests;
