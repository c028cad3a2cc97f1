//! The command tree: one table, from which parser and help are made.

use crate::wire::SESSION_PATH;

/// One word of the tree that has words below it.
pub(super) struct Group {
    /// The word today.
    pub(super) name: &'static str,
    /// Other words for it.
    pub(super) aliases: &'static [&'static str],
    /// Words of former times: they work, and say what the word is now.
    pub(super) former: &'static [&'static str],
    /// What it is about.
    pub(super) help: &'static str,
}

/// One command.
pub(super) struct Command {
    /// The group it is in; empty for none.
    pub(super) group: &'static str,
    /// Its own word; empty where the group's word alone is the command.
    pub(super) name: &'static str,
    /// Other words for it.
    pub(super) aliases: &'static [&'static str],
    /// What it asks.
    pub(super) target: Target,
    /// What it takes.
    pub(super) argument: Argument,
    /// What it prints.
    pub(super) output: Output,
    /// What it does, in a line.
    pub(super) help: &'static str,
}

/// Where a command goes.
pub(super) enum Target {
    /// An entry of `policy/endpoints.toml`: method and path are there.
    Endpoint(&'static str),
    /// A log: the entry, and the one that goes on for ever.
    Log(&'static str, &'static str),
    /// A route of this server.
    Own(&'static str),
}

/// What a command takes beside flags.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    /// Nothing.
    None,
    /// The slug of an app, `self` if left out.
    Slug,
    /// `--safe-mode` and `--force`, sent as a JSON body.
    Restart,
}

/// What a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// The envelope's data as YAML.
    Data,
    /// Bytes, as they come.
    Text,
}

pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "apps",
        aliases: &["app"],
        former: &["addons", "addon", "add-on", "add-ons", "ad"],
        help: "Installed apps (formerly add-ons)",
    },
    Group {
        name: "core",
        aliases: &[],
        former: &["homeassistant", "home-assistant", "ha"],
        help: "Home Assistant Core",
    },
    Group {
        name: "host",
        aliases: &["ho"],
        former: &[],
        help: "The machine",
    },
    Group {
        name: "network",
        aliases: &["net"],
        former: &[],
        help: "Network interfaces",
    },
    Group {
        name: "os",
        aliases: &[],
        former: &["hassos"],
        help: "Home Assistant Operating System",
    },
    Group {
        name: "supervisor",
        aliases: &["super", "su"],
        former: &[],
        help: "The Supervisor",
    },
];

const INFO: &[&str] = &["in", "inf"];
const LOGS: &[&str] = &["log", "lg"];
const STATS: &[&str] = &["status", "stat", "st"];

pub(super) const COMMANDS: &[Command] = &[
    data(
        "",
        "info",
        INFO,
        "general.info",
        "Versions of everything, and the kind of machine",
    ),
    Command {
        target: Target::Own(SESSION_PATH),
        ..data(
            "",
            "session",
            &["whoami"],
            "",
            "Who you are here, and what your role may do",
        )
    },
    data("apps", "", &[], "addons.list", "List the installed apps"),
    Command {
        argument: Argument::Slug,
        ..data("apps", "info", INFO, "addons.info", "Describe an app")
    },
    data(
        "core",
        "info",
        INFO,
        "core.info",
        "Version, address and settings",
    ),
    logs("core", "core.logs", "core.logs-follow"),
    data(
        "core",
        "stats",
        STATS,
        "core.stats",
        "Use of CPU, memory and network",
    ),
    data(
        "core",
        "check",
        &["validate", "chk", "ch"],
        "core.check",
        "Check the configuration",
    ),
    Command {
        argument: Argument::Restart,
        ..data(
            "core",
            "restart",
            &["reboot"],
            "core.restart",
            "Restart Home Assistant Core",
        )
    },
    data(
        "host",
        "info",
        INFO,
        "host.info",
        "Host name, operating system and disk use",
    ),
    data(
        "network",
        "info",
        INFO,
        "network.info",
        "Interfaces and addresses",
    ),
    data(
        "os",
        "info",
        INFO,
        "os.info",
        "Version, board and boot slots",
    ),
    data(
        "supervisor",
        "info",
        INFO,
        "supervisor.info",
        "Version, channel and settings",
    ),
    logs("supervisor", "supervisor.logs", "supervisor.logs-follow"),
    data(
        "supervisor",
        "stats",
        STATS,
        "supervisor.stats",
        "Use of CPU, memory and network",
    ),
];

const fn data(
    group: &'static str,
    name: &'static str,
    aliases: &'static [&'static str],
    endpoint: &'static str,
    help: &'static str,
) -> Command {
    let (target, argument, output) = (Target::Endpoint(endpoint), Argument::None, Output::Data);
    Command {
        group,
        name,
        aliases,
        target,
        argument,
        output,
        help,
    }
}

const fn logs(group: &'static str, once: &'static str, follow: &'static str) -> Command {
    Command {
        target: Target::Log(once, follow),
        output: Output::Text,
        ..data(group, "logs", LOGS, "", "Show the log")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::endpoints::{Answer, Endpoints};

    #[test]
    fn every_command_has_an_endpoint_of_its_kind() {
        let endpoints = Endpoints::shipped().unwrap();
        for command in COMMANDS {
            let names = match command.target {
                Target::Endpoint(name) => vec![name],
                Target::Log(once, follow) => vec![once, follow],
                Target::Own(_) => vec![],
            };
            for name in names {
                let endpoint = endpoints
                    .named(name)
                    .unwrap_or_else(|| panic!("no endpoint {name}"));
                let text = endpoint.answer == Answer::Text;
                assert_eq!(text, command.output == Output::Text, "{name}");
                assert_eq!(
                    endpoint.path.has_slug(),
                    command.argument == Argument::Slug,
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn no_word_means_two_things() {
        let mut words: Vec<_> = GROUPS
            .iter()
            .flat_map(|g| [&[g.name], g.aliases, g.former].concat())
            .collect();
        words.extend(
            COMMANDS
                .iter()
                .filter(|c| c.group.is_empty())
                .map(|c| c.name),
        );
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
        assert!(
            COMMANDS
                .iter()
                .all(|c| c.group.is_empty() || GROUPS.iter().any(|g| g.name == c.group))
        );
    }
}
