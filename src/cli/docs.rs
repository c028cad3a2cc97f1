//! `docs/hassio.md`, from the table.

use super::CliError;
use super::commands::all;
use super::output::print;
use super::parse::GLOBALS;
use super::tree::{Kind, Needed, Node, Opt};

/// What stands before and behind the list of commands.
const BEFORE: &str = include_str!("docs/before.md");
const AFTER: &str = include_str!("docs/after.md");

/// The hidden command `__docs`.
pub(super) fn print_page() -> Result<(), CliError> {
    print(page().as_bytes())
}

fn page() -> String {
    let mut page = BEFORE.to_owned();
    page.push_str("\n## Options of all commands\n");
    page.push_str(&options(GLOBALS));
    page.push_str("\n## Commands\n");
    for node in all().filter(|node| node.now.is_none()) {
        match node.path.contains(' ') {
            false => page.push_str(&format!("\n### {}\n{}.", node.path, node.help)),
            true => page.push_str(&format!("\n#### {}\n{}.", node.path, node.help)),
        }
        page.push_str(&words(node));
        page.push('\n');
        if node.is_command() {
            page.push_str(&entry(node));
        }
    }
    page.push_str("\n## Words of former times\nThey work, and say on standard error what the word is today.\n\n| then | now |\n|---|---|\n");
    for node in all() {
        for word in node.former {
            page.push_str(&format!("| `{word}` | `{}` |\n", node.path));
        }
        if let Some(now) = node.now {
            let also: Vec<_> = node
                .aliases
                .iter()
                .map(|alias| format!(", `{alias}`"))
                .collect();
            page.push_str(&format!("| `{}`{} | `{now}` |\n", node.path, also.concat()));
        }
        for option in node.options {
            for word in option.former {
                page.push_str(&format!(
                    "| `{} --{word}` | `--{}` |\n",
                    node.path, option.name
                ));
            }
        }
    }
    page.push_str(AFTER);
    page
}

fn words(node: &Node) -> String {
    match node.aliases {
        [] => String::new(),
        some => format!(" Also: `{}`.", some.join("`, `")),
    }
}

fn entry(node: &Node) -> String {
    let mut usage = format!("hassio {}", node.path);
    for argument in node.arguments {
        usage.push_str(&match argument.needed {
            Needed::Yes => format!(" {}", argument.shown),
            Needed::No | Needed::Else(_) => format!(" [{}]", argument.shown),
            Needed::Many => format!(" [{}...]", argument.shown),
        });
    }
    if !node.options.is_empty() {
        usage.push_str(" [options]");
    }
    let mut text = format!("```\n{usage}\n```\n");
    if !node.more.is_empty() {
        let (prose, example) = node
            .more
            .split_once("\n\nExample")
            .unwrap_or((node.more, ""));
        text.push_str(&format!("{prose}\n"));
        if let Some((_, example)) = example
            .split_once(": ")
            .or_else(|| example.split_once(":\n"))
        {
            let lines: Vec<_> = example.lines().map(str::trim).collect();
            text.push_str(&format!("```sh\n{}\n```\n", lines.join("\n")));
        }
    }
    for argument in node.arguments {
        text.push_str(&format!("- `{}`: {}\n", argument.shown, argument.help));
    }
    text.push_str(&options(node.options));
    let calls: Vec<_> = node
        .calls
        .iter()
        .map(|call| format!("`{} {}`", call.method.as_str(), call.path))
        .collect();
    if !calls.is_empty() {
        text.push_str(&format!(
            "\nAsks {}. Time limit: {}.\n",
            calls.join(", "),
            node.limit.words()
        ));
    }
    text
}

fn options(options: &[Opt]) -> String {
    let mut text = String::new();
    for option in options {
        let short = option
            .short
            .map_or_else(String::new, |short| format!("-{short}, "));
        let value = match option.kind {
            Kind::Switch => String::new(),
            Kind::TextOr(_) | Kind::ListOr(_) => "[=VALUE]".to_owned(),
            Kind::Text | Kind::List => " VALUE".to_owned(),
            Kind::Number { .. } | Kind::NumberOrZero { .. } => " N".to_owned(),
        };
        let required = if option.required { " (required)" } else { "" };
        text.push_str(&format!(
            "- `{short}--{}{value}`{required}: {}\n",
            option.name, option.help
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hassio.md");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == super::page(),
            "docs/hassio.md is not what `hassio __docs` prints: print it again"
        );
    }
}
