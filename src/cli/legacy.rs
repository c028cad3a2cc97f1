//! The words of former times, put into today's: `hassio` of 2017 to 2019 and `ha` until 2026. Each is said once.

use std::ffi::OsString;

use super::commands::children;
use super::given::lossy;
use super::parse::GLOBALS;
use super::tree::{Kind, Node, Opt};

/// A command line in today's words.
pub(super) struct Modern {
    /// The deepest word of the tree that it names.
    pub(super) node: Option<&'static Node>,
    /// What comes behind the words of the tree.
    pub(super) rest: Vec<OsString>,
    /// Words of former times, and today's.
    pub(super) notes: Vec<(String, String)>,
}

/// Finds the words of the tree in a command line without its own name, and what of it is of former times.
pub(super) fn modernise(words: &[OsString]) -> Modern {
    let walk = Walk::of(&lossy(words));
    let mut notes = walk.notes();
    let node = walk.node.map(Node::today);
    let mut rest = Vec::new();
    let mut index = 0;
    while let Some(word) = words.get(index) {
        let at = index;
        index += 1;
        if walk.indices.contains(&at) {
            continue;
        }
        let early = walk.last().is_some_and(|last| at < last);
        match first_generation(word, words.get(index)).filter(|_| early) {
            Some((now, taken)) => {
                notes.push(note(word, &now));
                rest.extend(now);
                index += taken;
            }
            None => rest.push(word.clone()),
        }
    }
    if let Some(node) = node {
        rest = with_todays_names(node, &rest, &mut notes);
    }
    Modern { node, rest, notes }
}

/// What is said of an option of former times: names alone, since a value may be a password.
fn note(word: &OsString, now: &[OsString]) -> (String, String) {
    let name = |word: &String| word.split('=').next().unwrap_or_default().to_owned();
    let names: Vec<String> = lossy(now).iter().map(name).collect();
    (name(&word.to_string_lossy().into_owned()), names.join(" "))
}

fn with_todays_names(
    node: &'static Node,
    words: &[OsString],
    notes: &mut Vec<(String, String)>,
) -> Vec<OsString> {
    let mut rest = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            rest.push(word.clone());
            break;
        }
        match renamed(node, word, words.clone().next()) {
            Some(renamed) => {
                rest.push(renamed.now);
                notes.extend(renamed.note);
                if renamed.took_the_next {
                    words.next();
                }
            }
            None => rest.push(word.clone()),
        }
    }
    rest.extend(words.cloned());
    rest
}

/// The words of the tree in a command line.
pub(super) struct Walk {
    pub(super) node: Option<&'static Node>,
    indices: Vec<usize>,
    typed: Vec<(String, &'static Node)>,
}

impl Walk {
    pub(super) fn of(words: &[String]) -> Self {
        let mut walk = Self {
            node: None,
            indices: Vec::new(),
            typed: Vec::new(),
        };
        let mut index = 0;
        while let Some(word) = words.get(index) {
            if word == "--" {
                break;
            }
            if word.len() > 1 && word.starts_with('-') {
                index += 1 + usize::from(walk.takes_value(word));
                continue;
            }
            let path = walk.node.map_or("", |node| node.path);
            let Some(child) = children(path).find(|child| child.is(word)) else {
                break;
            };
            walk.indices.push(index);
            walk.typed.push((word.clone(), child));
            walk.node = Some(child);
            index += 1;
        }
        walk
    }

    /// Where the last word of the tree is.
    fn last(&self) -> Option<usize> {
        self.indices.last().copied()
    }

    /// How many words behind those of the tree are neither options nor their values.
    pub(super) fn beyond(&self, words: &[String]) -> usize {
        let mut count = 0;
        let mut index = self.last().map_or(0, |last| last + 1);
        while let Some(word) = words.get(index) {
            if word.len() > 1 && word.starts_with('-') {
                index += usize::from(self.takes_value(word));
            } else {
                count += 1;
            }
            index += 1;
        }
        count
    }

    /// Whether the word behind an option is its value.
    fn takes_value(&self, word: &str) -> bool {
        if word.contains('=') {
            return false;
        }
        let own = self.node.map_or(&[][..], |node| node.today().options);
        let known = GLOBALS
            .iter()
            .chain(own)
            .find(|option| is_named(option, word));
        match known {
            Some(option) => !matches!(option.kind, Kind::Switch),
            None => FIRST_GENERATION.contains(&word),
        }
    }

    fn notes(&self) -> Vec<(String, String)> {
        let Some(node) = self.node else {
            return Vec::new();
        };
        if let Some(now) = node.now {
            let typed: Vec<&str> = self.typed.iter().map(|(word, _)| word.as_str()).collect();
            return vec![(typed.join(" "), now.to_owned())];
        }
        let former = self
            .typed
            .iter()
            .filter(|(word, node)| node.former.contains(&word.as_str()));
        former
            .map(|(word, node)| (word.clone(), node.word().to_owned()))
            .collect()
    }
}

/// Options with a value that stood before the action.
const FIRST_GENERATION: [&str; 7] = [
    "-o",
    "--options",
    "-f",
    "--filter",
    "--name",
    "--slug",
    "--password",
];

fn is_named(option: &Opt, word: &str) -> bool {
    let name = word.trim_start_matches('-').replace('_', "-");
    match word.strip_prefix("--") {
        Some(_) => option.name == name || option.former.contains(&name.as_str()),
        // In `-fn 20` the last one has the value.
        None => name.chars().next_back() == option.short && option.short.is_some(),
    }
}

/// What an option before the action is today, and how many further words that took.
fn first_generation(word: &OsString, next: Option<&OsString>) -> Option<(Vec<OsString>, usize)> {
    let text = word.to_str()?;
    let (name, value, taken) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value), 0),
        None => (text, next.and_then(|next| next.to_str()), 1),
    };
    match (name, value) {
        ("-d" | "--debug", _) => Some((vec!["--log-level=debug".into()], 0)),
        ("-j" | "--rawjson", _) => Some((vec!["--raw-json".into()], 0)),
        ("-f" | "--filter", Some(names)) => {
            let members: Vec<_> = names
                .split(',')
                .map(|name| format!("{0:?}: .{0:?}", name.trim()))
                .collect();
            let query = format!("--query={{{}}}", members.join(", "));
            Some((vec![query.into()], taken))
        }
        ("-o" | "--options", Some(pairs)) => {
            let option = |pair: &str| match pair.trim().split_once('=') {
                Some((name, value)) => format!("--{}={value}", name.replace('_', "-")).into(),
                None => format!("--{}", pair.trim().replace('_', "-")).into(),
            };
            Some((pairs.split(',').map(option).collect(), taken))
        }
        _ => None,
    }
}

/// An option in today's words.
struct Renamed {
    now: OsString,
    took_the_next: bool,
    note: Option<(String, String)>,
}

/// An option of former times that a command has under another name, or as an argument.
fn renamed(node: &'static Node, word: &OsString, next: Option<&OsString>) -> Option<Renamed> {
    let text = word.to_str().filter(|text| text.starts_with("--"))?;
    let (typed, inline) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let name = typed.trim_start_matches('-').replace('_', "-");
    let is_option = node.options.iter().any(|option| option.name == name);
    let slug = node
        .arguments
        .iter()
        .find(|argument| argument.name == "slug");
    if let (Some(argument), "name" | "slug", false) = (slug, name.as_str(), is_option) {
        let (now, took_the_next) = match inline {
            Some(value) => (value.into(), false),
            None => (next?.clone(), true),
        };
        return Some(Renamed {
            now,
            took_the_next,
            note: Some((typed.to_owned(), argument.shown.to_owned())),
        });
    }
    let today = node
        .options
        .iter()
        .find(|option| option.former.contains(&name.as_str()));
    let (name, note) = match today {
        Some(option) => {
            let now = format!("--{}", option.name);
            (option.name.to_owned(), Some((typed.to_owned(), now)))
        }
        // `_` was accepted for `-`.
        None if typed.contains('_') => (name, None),
        None => return None,
    };
    let now = match inline {
        Some(value) => format!("--{name}={value}"),
        None => format!("--{name}"),
    };
    Some(Renamed {
        now: now.into(),
        took_the_next: false,
        note,
    })
}
