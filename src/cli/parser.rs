use std::ffi::OsString;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use serde_json::json;

use super::CliError;
use super::commands::{Argument, COMMANDS, Command, GROUPS, Group, Output, Target};
use crate::policy::endpoints::{Endpoint, Endpoints};

/// The most lines a log is asked for.
const LINES: i64 = 999_999;

/// What a command line asks for.
pub(super) enum Parsed {
    /// To be told what there is.
    Help(String),
    /// To do something.
    Invocation(Invocation),
}

/// One request, ready to be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) method: &'static str,
    pub(super) path: String,
    /// JSON.
    pub(super) body: Option<String>,
    /// The `Range` header of a log.
    pub(super) range: Option<String>,
    pub(super) output: Output,
    pub(super) format: Format,
    pub(super) progress: Progress,
    /// A word of former times, and today's.
    pub(super) renamed: Option<(String, &'static str)>,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// As `ha` prints it.
    Yaml,
    /// The envelope's bytes.
    RawJson,
}

/// Whether waiting is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// On a terminal.
    Shown,
    /// Never.
    Hidden,
}

/// Reads a command line, its own name first.
pub(super) fn parse(arguments: &[OsString], endpoints: &Endpoints) -> Result<Parsed, CliError> {
    let name = shown_name(arguments);
    let words = std::iter::once(OsString::from(name)).chain(arguments.iter().skip(1).cloned());
    let matches = match root(name).try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => return explain(&error, name),
    };
    let (group, name_of_command, command) = match matches.subcommand() {
        Some((word, below)) => match below.subcommand() {
            Some((inner, deepest)) => (word, inner, deepest),
            None if COMMANDS
                .iter()
                .any(|c| c.group.is_empty() && c.name == word) =>
            {
                ("", word, below)
            }
            None => (word, "", below),
        },
        None => ("", "", &matches),
    };
    let wanted = COMMANDS
        .iter()
        .find(|c| c.group == group && c.name == name_of_command);
    let Some(wanted) = wanted else {
        return Ok(Parsed::Help(help_of(name, group)));
    };
    let renamed = renamed(arguments, group);
    invocation(wanted, command, endpoints).map(|invocation| {
        Parsed::Invocation(Invocation {
            renamed,
            ..invocation
        })
    })
}

/// `ha` where it is called so; else `hassio`.
fn shown_name(arguments: &[OsString]) -> &'static str {
    let called = arguments
        .first()
        .and_then(|name| Path::new(name).file_name());
    if called.is_some_and(|name| name == "ha") {
        "ha"
    } else {
        "hassio"
    }
}

/// The group's word as it was typed, if it is one of former times.
fn renamed(arguments: &[OsString], group: &str) -> Option<(String, &'static str)> {
    let typed = arguments
        .iter()
        .skip(1)
        .find(|word| !word.to_string_lossy().starts_with('-'))?;
    let group = GROUPS.iter().find(|g| g.name == group)?;
    let former = group.former.iter().find(|former| typed == **former)?;
    Some(((*former).to_owned(), group.name))
}

fn invocation(
    command: &Command,
    given: &ArgMatches,
    endpoints: &Endpoints,
) -> Result<Invocation, CliError> {
    let follow = command.output == Output::Text && given.get_flag("follow");
    let named = |name| endpoints.named(name).ok_or(CliError::NoEndpoint);
    let fill = |endpoint: &Endpoint| {
        let slug = match command.argument {
            Argument::Slug => given
                .get_one::<String>("slug")
                .map_or("self", String::as_str),
            Argument::None | Argument::Restart => "",
        };
        (endpoint.method.as_str(), endpoint.path.fill(slug))
    };
    let (method, path) = match command.target {
        Target::Endpoint(name) => fill(named(name)?),
        Target::Log(_, endless) if follow => fill(named(endless)?),
        Target::Log(once, _) => fill(named(once)?),
        Target::Own(path) => ("GET", path.to_owned()),
    };
    let body = match command.argument {
        Argument::Restart => {
            let flags = json!({ "safe_mode": given.get_flag("safe-mode"), "force": given.get_flag("force") });
            Some(flags.to_string())
        }
        Argument::None | Argument::Slug => None,
    };
    let lines = match command.output {
        Output::Text => given
            .get_one::<i64>("lines")
            .copied()
            .filter(|lines| *lines > 0),
        Output::Data => None,
    };
    // systemd-journal-gatewayd(8): cursor, entries to skip, entries to show. From the end, the first one counts.
    let range = lines.map(|lines| format!("entries=:-{}:", lines - 1));
    let format = if given.get_flag("raw-json") {
        Format::RawJson
    } else {
        Format::Yaml
    };
    let progress = if given.get_flag("no-progress") {
        Progress::Hidden
    } else {
        Progress::Shown
    };
    Ok(Invocation {
        method,
        path,
        body,
        range,
        output: command.output,
        format,
        progress,
        renamed: None,
    })
}

fn root(name: &'static str) -> clap::Command {
    let flag = |id: &'static str, help: &'static str| {
        Arg::new(id)
            .long(id)
            .action(ArgAction::SetTrue)
            .global(true)
            .help(help)
    };
    let mut root = clap::Command::new(name)
        .about("Talk to the Home Assistant Supervisor, as far as your role may")
        .version(env!("CARGO_PKG_VERSION"))
        .max_term_width(100)
        .arg(flag("raw-json", "Print the answer's JSON untouched"))
        .arg(flag("no-progress", "Do not show that something takes long"));
    for command in COMMANDS.iter().filter(|command| command.group.is_empty()) {
        root = root.subcommand(leaf(command));
    }
    for group in GROUPS {
        root = root.subcommand(branch(group));
    }
    root
}

fn branch(group: &Group) -> clap::Command {
    let mut branch = clap::Command::new(group.name)
        .about(group.help)
        .visible_aliases(group.aliases.iter().copied())
        .aliases(group.former.iter().copied());
    for command in COMMANDS
        .iter()
        .filter(|command| command.group == group.name)
    {
        branch = match command.name {
            "" => branch.after_help(format!("Without a command: {}.", lower_first(command.help))),
            _ => branch.subcommand(leaf(command)),
        };
    }
    branch
}

fn leaf(command: &Command) -> clap::Command {
    let switch = |id: &'static str, short: char, help: &'static str| {
        Arg::new(id)
            .long(id)
            .short(short)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    let leaf = clap::Command::new(command.name)
        .about(command.help)
        .visible_aliases(command.aliases.iter().copied());
    let leaf = match command.argument {
        Argument::None => leaf,
        Argument::Slug => leaf.arg(
            Arg::new("slug")
                .value_name("SLUG")
                .value_parser(slug)
                .help("Which app; this one if left out"),
        ),
        Argument::Restart => leaf
            .arg(switch(
                "safe-mode",
                's',
                "Start without custom integrations and themes",
            ))
            .arg(switch(
                "force",
                'f',
                "Even while a database migration or an update runs",
            )),
    };
    match command.output {
        Output::Data => leaf,
        Output::Text => leaf
            .arg(switch("follow", 'f', "Go on with what comes, until Ctrl-C"))
            .arg(
                Arg::new("lines")
                    .long("lines")
                    .short('n')
                    .value_name("N")
                    .value_parser(value_parser!(i64).range(0..=LINES))
                    .help("How many lines to begin with"),
            ),
    }
}

/// The broker has the same grammar; here it is for a better message.
fn slug(text: &str) -> Result<String, &'static str> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(letter) {
        Ok(text.to_owned())
    } else {
        Err("a slug is 1 to 64 letters, digits, - and _")
    }
}

fn help_of(name: &'static str, group: &str) -> String {
    let mut root = root(name);
    root.build();
    match root.find_subcommand_mut(group) {
        Some(branch) => branch.render_help().to_string(),
        None => root.render_help().to_string(),
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

/// One line that says what is wrong, and one that helps; clap writes several of each.
fn explain(error: &clap::Error, name: &str) -> Result<Parsed, CliError> {
    let text = error.render().to_string();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return Ok(Parsed::Help(text));
    }
    let mut lines = text.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let what = first
        .strip_prefix("error: ")
        .unwrap_or(first)
        .trim_end_matches(':');
    let missing = if first.ends_with(':') {
        lines.next().unwrap_or_default()
    } else {
        ""
    };
    let what = format!("{what} {missing}");
    let tip = lines
        .find_map(|line| line.strip_prefix("tip: "))
        .map(str::to_owned);
    let hint = tip.unwrap_or_else(|| format!("`{name} help` lists what there is"));
    Err(CliError::Usage(what.trim_end().to_owned(), Some(hint)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Parsed, CliError> {
        let words: Vec<_> = line.split(' ').map(OsString::from).collect();
        parse(&words, &Endpoints::shipped().unwrap())
    }

    fn call(line: &str) -> Invocation {
        match asked(line) {
            Ok(Parsed::Invocation(invocation)) => invocation,
            Ok(Parsed::Help(text)) => panic!("{line}: {text}"),
            Err(error) => panic!("{line}: {error}"),
        }
    }

    #[test]
    fn the_parser_is_sound() {
        root("hassio").debug_assert();
    }

    #[test]
    fn commands_become_calls() {
        for (line, method, path) in [
            ("hassio info", "GET", "/info"),
            ("hassio session", "GET", "/sshd/session"),
            ("/usr/bin/ha core info", "GET", "/core/info"),
            ("hassio core in", "GET", "/core/info"),
            ("hassio homeassistant check", "POST", "/core/check"),
            ("hassio supervisor logs", "GET", "/supervisor/logs"),
            ("hassio su log -f", "GET", "/supervisor/logs/follow"),
            ("hassio apps", "GET", "/addons"),
            (
                "hassio addons info core_ssh",
                "GET",
                "/addons/core_ssh/info",
            ),
            ("hassio apps info", "GET", "/addons/self/info"),
            ("hassio net info --raw-json", "GET", "/network/info"),
        ] {
            let invocation = call(line);
            assert_eq!(
                (invocation.method, invocation.path.as_str()),
                (method, path),
                "{line}"
            );
        }
    }

    #[test]
    fn a_restart_carries_its_flags() {
        let body = |line| call(line).body;
        assert_eq!(
            body("hassio core restart").unwrap(),
            r#"{"force":false,"safe_mode":false}"#
        );
        assert_eq!(
            body("hassio core restart -s").unwrap(),
            r#"{"force":false,"safe_mode":true}"#
        );
        assert_eq!(body("hassio core check"), None);
    }

    #[test]
    fn lines_become_a_range() {
        assert_eq!(
            call("hassio core logs -n 20").range.as_deref(),
            Some("entries=:-19:")
        );
        assert_eq!(call("hassio core logs --lines=0").range, None);
        assert_eq!(call("hassio core logs").range, None);
    }

    #[test]
    fn a_former_word_is_named() {
        assert_eq!(
            call("hassio addons").renamed,
            Some(("addons".to_owned(), "apps"))
        );
        assert_eq!(
            call("hassio --raw-json homeassistant info")
                .renamed
                .unwrap()
                .1,
            "core"
        );
        assert_eq!(call("hassio core info").renamed, None);
        assert_eq!(call("hassio apps info addons").renamed, None);
    }

    #[test]
    fn bad_usage_says_what_and_what_then() {
        for line in [
            "hassio nonsense",
            "hassio core nonsense",
            "hassio info --nonsense",
            "hassio core logs -n x",
            "hassio apps info a/b",
            "hassio apps info ..",
            "hassio info more",
            "hassio core logs -n",
        ] {
            match asked(line) {
                Err(CliError::Usage(what, Some(hint))) => {
                    assert!(
                        !what.is_empty() && !what.contains('\n') && !hint.is_empty(),
                        "{line}: {what}"
                    );
                }
                other => panic!("{line}: {:?}", other.err()),
            }
        }
    }

    #[test]
    fn help_is_for_all_levels() {
        for (line, word) in [
            ("hassio", "core"),
            ("hassio help", "supervisor"),
            ("hassio core", "restart"),
            ("hassio core --help", "restart"),
            ("hassio help core logs", "--follow"),
            ("ha --version", "ha 0."),
        ] {
            match asked(line) {
                Ok(Parsed::Help(text)) => assert!(text.contains(word), "{line}: {text}"),
                _ => panic!("{line} gives no help"),
            }
        }
    }
}
