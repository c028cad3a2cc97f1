//! Completion: a small script for each shell asks `hassio __complete`, which looks into the table, and for slugs and the
//! like asks the Supervisor. It is silent about everything, and done within 200 ms.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::CliError;
use super::client::Client;
use super::commands::children;
use super::context::Context;
use super::given::{Given, lossy};
use super::legacy::Walk;
use super::output::print;
use super::parse::{GLOBALS, empty};
use super::settings::{Environment, Level, Settings};
use super::tree::{Kind, Live, Node, Opt, Values};
use crate::model::escape;

pub(super) mod live;

/// How long values are waited for. With the start of the program it stays below 200 ms.
const PATIENCE: Duration = Duration::from_millis(150);

/// How much of a description is shown.
const ABOUT_BYTES: usize = 60;

/// What a shell is told where it should offer files.
const FILES: &str = ":files";

const BASH: &str = include_str!("hassio.bash");
const ZSH: &str = include_str!("hassio.zsh");
const FISH: &str = include_str!("hassio.fish");

/// `completion SHELL`.
pub(super) fn print_script(_: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let script = match given.text("shell").unwrap_or_default() {
        "bash" => BASH,
        "zsh" => ZSH,
        "fish" => FISH,
        other => {
            return Err(CliError::usage(
                format!("there is no completion for '{other}'"),
                "there is one for bash, zsh and fish",
            ));
        }
    };
    let script = match given.on("no-descriptions") {
        true => script.replace("__complete ", "__complete plain-"),
        false => script.to_owned(),
    };
    print(script.as_bytes())
}

/// `__complete SHELL WORDS...`, the last one as far as it is typed. It never fails.
pub(super) fn answer(arguments: &[OsString]) -> ExitCode {
    let words = lossy(arguments);
    if let Some((shell, line)) = words.split_first() {
        let (shell, plain) = match shell.strip_prefix("plain-") {
            Some(shell) => (shell, true),
            None => (shell.as_str(), false),
        };
        let text = written(shell, plain, offers(shell, line));
        // A shell that does not read is a shell that does not want it.
        print(text.as_bytes()).unwrap_or_default();
    }
    ExitCode::SUCCESS
}

/// What could stand at the end of the line.
#[derive(Debug, PartialEq)]
enum Offers {
    Files,
    Words(Vec<(String, String)>),
}

fn offers(shell: &str, line: &[String]) -> Offers {
    // bash divides at `=`, and puts what it is given behind it.
    let joined = match shell {
        "bash" => joined(line),
        _ => line.to_vec(),
    };
    let Some((current, before)) = joined.split_last() else {
        return Offers::Words(Vec::new());
    };
    let cut = match (shell, current.split_once('=')) {
        ("bash", Some((name, _))) if name.starts_with("--") => name.len() + 1,
        _ => 0,
    };
    match complete(before, current, &ask) {
        Offers::Files => Offers::Files,
        Offers::Words(words) => {
            let tail = |(word, about): (String, String)| Some((word.get(cut..)?.to_owned(), about));
            Offers::Words(words.into_iter().filter_map(tail).collect())
        }
    }
}

fn joined(line: &[String]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in line {
        let option = words
            .last()
            .is_some_and(|last| last.starts_with("--") && !last.contains('='));
        match words.last_mut() {
            Some(last) if word == "=" && option => {
                last.push('=');
                open = true;
            }
            Some(last) if open => {
                last.push_str(word);
                open = false;
            }
            _ => words.push(word.clone()),
        }
    }
    words
}

type Ask<'a> = &'a dyn Fn(Live) -> Vec<(String, String)>;

fn complete(before: &[String], current: &str, ask: Ask<'_>) -> Offers {
    // `help apps` is about `apps`.
    let before = match before.split_first() {
        Some((first, rest)) if first == "help" => rest,
        Some(_) | None => before,
    };
    let walk = Walk::of(before);
    let node = walk.node.map(Node::today);
    let own = node.map_or(&[][..], |node| node.options);
    let options = || GLOBALS.iter().chain(own);
    let with_prefix = |words: Vec<(String, String)>, prefix: &str| {
        let whole = words
            .into_iter()
            .map(|(word, about)| (format!("{prefix}{word}"), about));
        Offers::Words(
            whole
                .filter(|(word, _)| word.starts_with(current))
                .collect(),
        )
    };
    if let Some((name, _)) = current
        .split_once('=')
        .filter(|(name, _)| name.starts_with("--"))
    {
        let option = options().find(|option| name.strip_prefix("--") == Some(option.name));
        return match option.map(values) {
            Some(Values::Files) => Offers::Files,
            Some(values) => with_prefix(listed(values, ask), &format!("{name}=")),
            None => Offers::Words(Vec::new()),
        };
    }
    let awaiting = before.last().and_then(|last| {
        let short = |option: &&Opt| {
            option
                .short
                .is_some_and(|short| *last == format!("-{short}"))
        };
        let long = |option: &&Opt| last.strip_prefix("--") == Some(option.name);
        let takes = |option: &&Opt| option.kind != Kind::Switch;
        options().find(|option| (long(option) || short(option)) && takes(option))
    });
    if let Some(option) = awaiting {
        let offers = match option.values {
            Values::Files => Offers::Files,
            values => with_prefix(listed(values, ask), ""),
        };
        // A value may begin with a hyphen: `--boot -1`.
        let none = matches!(&offers, Offers::Words(words) if words.is_empty());
        if !current.starts_with('-') || !none && offers != Offers::Files {
            return offers;
        }
    }
    if current.starts_with('-') {
        let named = |option: &Opt| (format!("--{}", option.name), option.help.to_owned());
        let of_command = own.iter().map(named);
        let all = of_command.chain(GLOBALS.iter().map(named));
        return with_prefix(
            all.chain([("--help".to_owned(), "Say more".to_owned())])
                .collect(),
            "",
        );
    }
    let path = node.map_or("", |node| node.path);
    let given = walk.beyond(before);
    let mut words: Vec<(String, String)> = Vec::new();
    if given == 0 {
        let shown = children(path).filter(|child| child.now.is_none());
        words.extend(shown.map(|child| (child.word().to_owned(), child.help.to_owned())));
        if path.is_empty() {
            words.push(("help".to_owned(), "Say more about a command".to_owned()));
        }
    }
    match node
        .and_then(|node| node.arguments.get(given))
        .map(|argument| argument.values)
    {
        Some(Values::Files) => return Offers::Files,
        Some(values) => words.extend(listed(values, ask)),
        None => {}
    }
    with_prefix(words, "")
}

fn values(option: &Opt) -> Values {
    match option.kind {
        Kind::Switch => Values::Words(&["true", "false"]),
        _ => option.values,
    }
}

fn listed(values: Values, ask: Ask<'_>) -> Vec<(String, String)> {
    match values {
        Values::Nothing | Values::Files => Vec::new(),
        Values::Words(words) => words
            .iter()
            .map(|word| ((*word).to_owned(), String::new()))
            .collect(),
        Values::Live(kind) => ask(kind),
    }
}

/// What the Supervisor knows, if it says so in time.
fn ask(kind: Live) -> Vec<(String, String)> {
    let (done, coming) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let found = client().and_then(|client| live::values(&client, kind, PATIENCE));
        // Nobody is there any more if it took too long.
        done.send(found).unwrap_or_default();
    });
    coming
        .recv_timeout(PATIENCE)
        .ok()
        .flatten()
        .unwrap_or_default()
}

fn client() -> Option<Client> {
    let (node, matches) = empty()?;
    let given = Given {
        node,
        matches: &matches,
    };
    let settings = Settings::new(&given, &Environment::read()).ok()?;
    Some(Client::new(settings.place, settings.token, Level::Error))
}

/// One offer in a line, as each shell wants it.
fn written(shell: &str, plain: bool, offers: Offers) -> String {
    let words = match offers {
        Offers::Files => return format!("{FILES}\n"),
        Offers::Words(words) => words,
    };
    let mut text = String::new();
    for (word, about) in words {
        let about = escape(about.as_bytes(), ABOUT_BYTES);
        let line = match (shell, plain || about.is_empty()) {
            ("zsh", true) => word.replace(':', "\\:"),
            ("zsh", false) => format!("{}:{about}", word.replace(':', "\\:")),
            ("fish", false) => format!("{word}\t{about}"),
            _ => word,
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(line: &str) -> Vec<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (current, before) = words.split_last().unwrap();
        let known = |kind: Live| match kind {
            Live::Apps => vec![
                ("core_ssh".to_owned(), "SSH".to_owned()),
                ("core_samba".to_owned(), String::new()),
            ],
            Live::Boots => vec![("-1".to_owned(), String::new())],
            _ => Vec::new(),
        };
        match complete(before, current, &known) {
            Offers::Files => vec![FILES.to_owned()],
            Offers::Words(words) => words.into_iter().map(|(word, _)| word).collect(),
        }
    }

    #[test]
    fn words_options_and_values_are_offered_where_they_can_stand() {
        for (line, expected) in [
            ("ap", &["apps"][..]),
            ("apps re", &["rebuild", "restart"]),
            ("addons rest", &["restart"]),
            ("apps restart ", &["core_ssh", "core_samba"]),
            ("apps restart core_ss", &["core_ssh"]),
            ("apps restart core_ssh ", &[]),
            ("apps restart --raw-json core_ss", &["core_ssh"]),
            ("backups new --ap", &["--app", "--api-token"]),
            ("backups new --app core_sa", &["core_samba"]),
            ("backups new -a core_sa", &["core_samba"]),
            ("backups new --folders=ss", &["--folders=ssl"]),
            ("core restart --force=", &["--force=true", "--force=false"]),
            ("info --output j", &["json"]),
            ("backups upload ", &[":files"]),
            ("completion f", &["fish"]),
            ("nonsense ", &[]),
            ("core logs --boot ", &["-1"]),
            ("core logs --boot -", &["-1"]),
            ("backups new --app --raw", &["--raw-json"]),
            ("help ap", &["apps"]),
            ("help apps rest", &["restart"]),
        ] {
            assert_eq!(offered(line), expected, "{line}");
        }
        assert!(offered("").contains(&"help".to_owned()) && offered("").len() > 20);
    }

    #[test]
    fn bash_gets_what_stands_behind_the_equals_sign() {
        let line = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        let words = offers("bash", &line(&["info", "--output", "=", "ta"]));
        assert_eq!(
            words,
            Offers::Words(vec![("table".to_owned(), String::new())])
        );
        let words = offers("bash", &line(&["info", "--output", "="]));
        assert!(matches!(words, Offers::Words(words) if words.len() == 3));
    }

    #[test]
    fn each_shell_gets_its_own_form() {
        let words = || Offers::Words(vec![("a:b".to_owned(), "x: y\u{1b}".to_owned())]);
        assert_eq!(written("bash", false, words()), "a:b\n");
        assert_eq!(written("zsh", false, words()), "a\\:b:x: y\\x1b\n");
        assert_eq!(written("fish", false, words()), "a:b\tx: y\\x1b\n");
        assert_eq!(written("fish", true, words()), "a:b\n");
    }
}
