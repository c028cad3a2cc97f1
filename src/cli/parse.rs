//! A command line, by the table: which node it names, what was given to it, and what help says of it.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::CliError;
use super::commands::{all, children};
use super::legacy::{Modern, modernise};
use super::settings::truth;
use super::tree::{Argument, Kind, Needed, Node, Opt, To, Values, switch, text};
use crate::model::{close, escape};

/// The longest slug; Home Assistant's repositories name apps with far fewer letters.
const SLUG_BYTES: usize = 64;

/// How much of a wrong word is said again.
const SHOWN_BYTES: usize = 100;

/// How many commands are proposed for a wrong one.
const PROPOSALS: usize = 3;

/// Options that every command takes.
pub(super) const GLOBALS: &[Opt] = &[
    text(
        "output",
        "How to show the answer: table, yaml or json. On a terminal table, else yaml",
    )
    .values(Values::Words(&["table", "yaml", "json"])),
    text(
        "query",
        "Show only this of the answer: a jq filter, as in .version or .addons[].slug",
    ),
    switch("raw-json", "Print the answer's JSON untouched"),
    switch("no-progress", "Do not show that something takes long"),
    text(
        "log-level",
        "How much to say on standard error: debug, info, warn or error",
    )
    .values(Values::Words(&["debug", "info", "warn", "error"])),
    text(
        "endpoint",
        "Outside a session: the Supervisor's host, host:port or URL",
    ),
    text(
        "api-token",
        "Outside a session: the Supervisor's token; better in SUPERVISOR_TOKEN",
    ),
    text(
        "config",
        "A file with these settings; $HOME/.homeassistant.yaml if left out",
    )
    .values(Values::Files),
];

/// What a command line asks for.
pub(super) enum Parsed {
    /// To be told what there is.
    Help(String),
    /// To do something.
    Invocation {
        node: &'static Node,
        matches: ArgMatches,
        /// Words of former times, and today's.
        notes: Vec<(String, String)>,
    },
}

/// Reads a command line, its own name first.
pub(super) fn parse(arguments: &[OsString]) -> Result<Parsed, CliError> {
    let name = shown_name(arguments);
    let words = arguments.get(1..).unwrap_or_default();
    let modern = modernise(words);
    let next = modern.rest.iter().find(|word| is_word(word));
    if next.is_some_and(|word| word == "help") {
        return help(name, &modern);
    }
    let Some(node) = modern.node else {
        return match next {
            Some(word) => Err(unknown(name, "", word)),
            None => Ok(Parsed::Help(
                match explained(root(name), &modern.rest, name)? {
                    Ok(_) => root_help(name),
                    Err(text) => text,
                },
            )),
        };
    };
    if let (Some(word), true) = (next, node.arguments.is_empty() && has_children(node))
        && !is_value(node, &modern.rest, word)
    {
        return Err(unknown(name, node.path, word));
    }
    let matches = match explained(command(name, node), &modern.rest, name)? {
        Ok(matches) => matches,
        Err(help) => return Ok(Parsed::Help(help)),
    };
    if !node.is_command() {
        return Ok(Parsed::Help(command(name, node).render_help().to_string()));
    }
    Ok(Parsed::Invocation {
        node,
        matches,
        notes: modern.notes,
    })
}

/// A command line with nothing on it, for what needs settings only.
pub(super) fn empty() -> Option<(&'static Node, ArgMatches)> {
    let node = all().next()?;
    let matches = command("hassio", node)
        .try_get_matches_from(["hassio"])
        .ok()?;
    Some((node, matches))
}

/// `ha` where it is called so; else `hassio`.
pub(super) fn shown_name(arguments: &[OsString]) -> &'static str {
    let called = arguments
        .first()
        .and_then(|name| Path::new(name).file_name());
    if called.is_some_and(|name| name == "ha") {
        "ha"
    } else {
        "hassio"
    }
}

fn is_word(word: &OsString) -> bool {
    let text = word.to_string_lossy();
    !text.starts_with('-') || text.len() == 1
}

fn has_children(node: &Node) -> bool {
    children(node.path).next().is_some()
}

/// Whether a word is the value of the option before it.
fn is_value(node: &Node, rest: &[OsString], word: &OsString) -> bool {
    let before = rest
        .iter()
        .position(|other| other == word)
        .and_then(|at| rest.get(at.checked_sub(1)?));
    let Some(before) = before.and_then(|before| before.to_str()) else {
        return false;
    };
    let mut options = GLOBALS.iter().chain(node.options);
    options.any(|option| {
        let short = option
            .short
            .is_some_and(|short| !before.starts_with("--") && before.ends_with(short));
        let named =
            before.strip_prefix("--") == Some(option.name) || (short && before.starts_with('-'));
        named && option.kind != Kind::Switch
    })
}

/// `help`, with words of the tree before or behind it.
fn help(name: &'static str, modern: &Modern) -> Result<Parsed, CliError> {
    let behind: Vec<OsString> = modern
        .rest
        .iter()
        .filter(|word| is_word(word) && *word != "help")
        .cloned()
        .collect();
    let path = modern.node.map_or("", |node| node.path);
    let mut words: Vec<OsString> = path
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(OsString::from)
        .collect();
    words.extend(behind);
    let found = modernise(&words);
    if let Some(wrong) = found.rest.first() {
        return Err(unknown(
            name,
            found.node.map_or("", |node| node.path),
            wrong,
        ));
    }
    Ok(Parsed::Help(match found.node {
        Some(node) => command(name, node).render_help().to_string(),
        None => root_help(name),
    }))
}

/// A word that the tree does not have there.
fn unknown(name: &str, path: &str, word: &OsString) -> CliError {
    let word = word.to_string_lossy();
    let mut proposals: Vec<String> = Vec::new();
    let here: Vec<&str> = children(path).flat_map(Node::words).collect();
    for close in close(&word, &here) {
        let meant = children(path).find(|node| node.is(close));
        proposals.extend(meant.map(|node| node.today().path.to_owned()));
    }
    // The same word elsewhere: `hassio restart`.
    proposals.extend(
        all()
            .filter(|node| node.word() == word && node.now.is_none())
            .map(|node| node.path.to_owned()),
    );
    let everywhere: Vec<&str> = all().map(Node::word).collect();
    for close in close(&word, &everywhere) {
        proposals.extend(
            all()
                .filter(|node| node.word() == close && node.now.is_none())
                .map(|node| node.path.to_owned()),
        );
    }
    let mut different: Vec<String> = Vec::new();
    for proposal in proposals {
        if !different.contains(&proposal) && different.len() < PROPOSALS {
            different.push(proposal);
        }
    }
    let shown = escape(word.as_bytes(), SHOWN_BYTES);
    let what = match path {
        "" => format!("there is no command '{shown}'"),
        path => format!("there is no command '{shown}' in '{path}'"),
    };
    let all_of_them = format!(
        "`{}` lists what there is",
        [name, path, "--help"].join(" ").replace("  ", " ")
    );
    let hint = match different.as_slice() {
        [] => all_of_them,
        some => {
            let some: Vec<_> = some.iter().map(|path| format!("`{name} {path}`")).collect();
            format!("did you mean {}? {all_of_them}", some.join(" or "))
        }
    };
    CliError::usage(what, hint)
}

impl Node {
    /// Every word that means it.
    fn words(&'static self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.word())
            .chain(self.aliases.iter().copied())
            .chain(self.former.iter().copied())
    }
}

/// The matches, or help that was asked for.
fn explained(
    command: clap::Command,
    rest: &[OsString],
    name: &str,
) -> Result<Result<ArgMatches, String>, CliError> {
    let words = std::iter::once(OsString::from(name)).chain(rest.iter().cloned());
    match command.try_get_matches_from(words) {
        Ok(matches) => Ok(Ok(matches)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            Ok(Err(error.render().to_string()))
        }
        Err(error) => Err(wrong(&error)),
    }
}

/// One line that says what is wrong, and one that helps; clap writes several of each.
fn wrong(error: &clap::Error) -> CliError {
    let mut text = error.render().to_string();
    // A line's end in what was typed is not one of the message.
    if let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidValue) {
        text = text.replace(typed.as_str(), &typed.replace(['\n', '\r'], " "));
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
    let meant = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(option)) => Some(format!("did you mean {option}?")),
        _ => None,
    };
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => Some(usage.to_string()),
        _ => None,
    };
    let usage = usage.map(|usage| {
        let line: Vec<_> = usage.split_whitespace().collect();
        line.join(" ").replace("Usage:", "usage:")
    });
    let hint = meant
        .or(usage)
        .unwrap_or_else(|| "--help says more".to_owned());
    let what = format!("{what} {missing}");
    CliError::usage(
        escape(what.trim_end().as_bytes(), 4 * SHOWN_BYTES),
        escape(hint.as_bytes(), 4 * SHOWN_BYTES),
    )
}

/// The command of a node, with the words below it as far as help shows them.
pub(super) fn command(name: &'static str, node: &'static Node) -> clap::Command {
    let about = match node.more {
        "" => format!("{}.", node.help),
        more => format!("{}.\n\n{}", node.help, wrapped(more)),
    };
    let mut command = clap::Command::new(node.word())
        .bin_name(format!("{name} {}", node.path))
        .about(about)
        .disable_help_subcommand(true);
    for argument in node.arguments {
        command = command.arg(positional(argument));
    }
    for option in node.options {
        command = command.arg(named(option));
    }
    let words: Vec<&str> = node.aliases.to_vec();
    if !words.is_empty() {
        command = command.after_help(format!("Also: {}", words.join(", ")));
    }
    if has_children(node) {
        // Only to be shown: the tree has been walked.
        for child in children(node.path).filter(|child| child.now.is_none()) {
            command = command.subcommand(clap::Command::new(child.word()).about(child.help));
        }
    }
    with_globals(command)
}

/// Prose in lines of a readable length; lines that are indented stay.
fn wrapped(text: &str) -> String {
    const COLUMNS: usize = 90;
    let mut out = String::new();
    for line in text.lines() {
        let mut used = 0;
        if line.starts_with(' ') {
            out.push_str(line);
        } else {
            for word in line.split(' ') {
                let width = word.chars().count();
                if used > 0 {
                    let full = used + 1 + width > COLUMNS;
                    out.push(if full { '\n' } else { ' ' });
                    used = if full { 0 } else { used + 1 };
                }
                out.push_str(word);
                used += width;
            }
        }
        out.push('\n');
    }
    out.trim_end().to_owned()
}

fn with_globals(mut command: clap::Command) -> clap::Command {
    for option in GLOBALS {
        command = command.arg(named(option).help_heading("Options of all commands"));
    }
    command
}

fn root(name: &'static str) -> clap::Command {
    let mut root = clap::Command::new(name)
        .about("Manages Home Assistant: apps, backups, updates, logs, the machine")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .after_help(format!(
            "Examples:\n\
             \x20 {name} info                         what is installed, in which version\n\
             \x20 {name} apps                         the installed apps\n\
             \x20 {name} core logs --follow           what Home Assistant is doing, until Ctrl-C\n\
             \x20 {name} backups new --name today     make a backup\n\
             \x20 {name} core check && {name} core restart\n\
             \n\
             `{name} COMMAND --help` says more about each. In a pipe answers are YAML, for scripts; see also --query.\n\
             What you may do depends on your role: `{name} session` shows it."
        ));
    for node in children("").filter(|node| node.now.is_none()) {
        root = root.subcommand(clap::Command::new(node.word()).about(node.help));
    }
    with_globals(root)
}

fn root_help(name: &'static str) -> String {
    root(name).render_help().to_string()
}

fn positional(argument: &'static Argument) -> Arg {
    let arg = Arg::new(argument.name)
        .value_name(argument.shown)
        .help(argument.help);
    let arg = match argument.needed {
        Needed::Yes => arg.required(true),
        Needed::No | Needed::Else(_) => arg,
        Needed::Many => arg.num_args(0..).action(ArgAction::Append),
    };
    match argument.to {
        To::Slug => arg.value_parser(slug),
        To::Path | To::Body | To::Own => arg,
    }
}

fn named(option: &'static Opt) -> Arg {
    let mut arg = Arg::new(option.name)
        .long(option.name)
        .help(option.help)
        .required(option.required);
    if let Some(short) = option.short {
        arg = arg.short(short);
    }
    for other in option.without {
        arg = arg.conflicts_with(*other);
    }
    let shown = match option.kind {
        Kind::Number { .. } | Kind::NumberOrZero { .. } => "N",
        Kind::Switch | Kind::Text | Kind::TextOr(_) | Kind::List | Kind::ListOr(_) => "VALUE",
    };
    let one = |arg: Arg| {
        arg.value_name(shown)
            .action(ArgAction::Set)
            .allow_hyphen_values(true)
    };
    match option.kind {
        Kind::Switch => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("BOOL")
            .hide_possible_values(true)
            .value_parser(|text: &str| truth(text).ok_or("it is true or false")),
        Kind::Text => one(arg),
        Kind::TextOr(bare) => one(arg)
            .allow_hyphen_values(false)
            .num_args(0..=1)
            .default_missing_value(bare),
        Kind::List => one(arg).action(ArgAction::Append),
        Kind::ListOr(bare) => one(arg)
            .action(ArgAction::Append)
            .allow_hyphen_values(false)
            .num_args(0..=1)
            .default_missing_value(bare),
        Kind::Number { least, most } => {
            one(arg).value_parser(value_parser!(i64).range(least..=most))
        }
        Kind::NumberOrZero { least, most } => one(arg).value_parser(move |text: &str| {
            let number = text.parse::<i64>().ok();
            number
                .filter(|number| *number == 0 || (least..=most).contains(number))
                .ok_or_else(|| format!("it is 0 or a number from {least} to {most}"))
        }),
    }
}

/// The broker has a grammar as well; here it is for a better message.
fn slug(text: &str) -> Result<String, &'static str> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let dots = text.bytes().all(|b| b == b'.');
    if (1..=SLUG_BYTES).contains(&text.len()) && text.bytes().all(letter) && !dots {
        Ok(text.to_owned())
    } else {
        Err("a slug is 1 to 64 letters, digits, -, _ and dots")
    }
}

#[cfg(test)]
mod tests;
