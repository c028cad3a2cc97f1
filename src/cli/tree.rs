//! What the table of commands is made of. `commands/` holds the table; parser, help, completion, `docs/hassio.md` and the
//! tests are made from it.

use std::time::Duration;

use super::CliError;
use super::context::Context;
use super::given::Given;

/// One word of the tree: a group, a command, or both.
#[derive(Clone, Copy)]
pub(super) struct Node {
    /// Its words from the top, as in `apps options set`.
    pub(super) path: &'static str,
    /// What it is about, in a line without a full stop.
    pub(super) help: &'static str,
    /// More of it, for `--help` and the docs: sentences, examples.
    pub(super) more: &'static str,
    /// Other words for its last one.
    pub(super) aliases: &'static [&'static str],
    /// Words of former times: they work, and say what the word is now.
    pub(super) former: &'static [&'static str],
    /// The command that this spelling of former times means today; everything else is that command's.
    pub(super) now: Option<&'static str>,
    pub(super) act: Act,
    /// The Supervisor's calls that it may make.
    pub(super) calls: &'static [Call],
    pub(super) arguments: &'static [Argument],
    pub(super) options: &'static [Opt],
    pub(super) limit: Limit,
    /// What is asked before anything is done.
    pub(super) confirm: Option<&'static str>,
    /// Said before the answer.
    pub(super) note: Option<&'static str>,
    /// Parts of the name of the Supervisor's job that shows how far this is.
    pub(super) job: &'static [&'static str],
}

/// What a word does if it is the last one.
#[derive(Clone, Copy)]
pub(super) enum Act {
    /// Nothing: its help is shown.
    Group,
    /// Makes the first of its calls whose parameters are all given, and prints the answer's data.
    Ask,
    /// The same, and prints the answer as text.
    Text,
    /// Copies a log; the call is where its paths begin.
    Log,
    /// Code of its own.
    Own(fn(&Context, &Given<'_>) -> Result<(), CliError>),
}

/// A request's method and the template of its path, spelled as in the Supervisor's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: &'static str,
}

/// RFC 9110 §9.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

pub(super) const fn get(path: &'static str) -> Call {
    Call {
        method: Method::Get,
        path,
    }
}

pub(super) const fn post(path: &'static str) -> Call {
    Call {
        method: Method::Post,
        path,
    }
}

pub(super) const fn put(path: &'static str) -> Call {
    Call {
        method: Method::Put,
        path,
    }
}

pub(super) const fn delete(path: &'static str) -> Call {
    Call {
        method: Method::Delete,
        path,
    }
}

impl Call {
    /// The names in braces.
    pub(super) fn parameters(self) -> impl Iterator<Item = &'static str> {
        self.path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// How long an answer is waited for. As `ha` waits, but for backups, which take as long as they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Short,
    Reboot,
    Reload,
    Operation,
    Download,
    None,
}

impl Limit {
    pub(super) fn duration(self) -> Option<Duration> {
        match self {
            Self::Short => Some(Duration::from_secs(30)),
            Self::Reboot => Some(Duration::from_secs(90)),
            Self::Reload => Some(Duration::from_secs(5 * 60)),
            Self::Operation => Some(Duration::from_secs(10 * 60)),
            Self::Download => Some(Duration::from_secs(60 * 60)),
            Self::None => None,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Short => "30 s",
            Self::Reboot => "90 s",
            Self::Reload => "5 min",
            Self::Operation => "10 min",
            Self::Download => "1 h",
            Self::None => "none",
        }
    }
}

/// A word that stands for itself on the command line.
#[derive(Clone, Copy)]
pub(super) struct Argument {
    /// A parameter of the call's path, or a member of the body.
    pub(super) name: &'static str,
    /// As help shows it.
    pub(super) shown: &'static str,
    pub(super) needed: Needed,
    pub(super) to: To,
    pub(super) values: Values,
    pub(super) help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needed {
    Yes,
    No,
    /// What it is if left out.
    Else(&'static str),
    /// Any number of them.
    Many,
}

/// Where an argument goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// Into the path; it must be a slug.
    Slug,
    /// Into the path, percent-encoded.
    Path,
    /// Into the body, as text.
    Body,
    /// The command's own code takes it.
    Own,
}

/// `--name`.
#[derive(Clone, Copy)]
pub(super) struct Opt {
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    /// Names of former times.
    pub(super) former: &'static [&'static str],
    pub(super) kind: Kind,
    /// The member of the body; a dot goes into an object.
    pub(super) field: &'static str,
    pub(super) send: Send,
    pub(super) required: bool,
    /// Options that cannot stand beside it.
    pub(super) without: &'static [&'static str],
    pub(super) values: Values,
    pub(super) help: &'static str,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing, which means true, or `=true` or `=false`.
    Switch,
    Text,
    /// Text, any number of times, also with commas between.
    List,
    /// As List; left bare, it is this.
    ListOr(&'static str),
    /// Text; left bare, it is this.
    TextOr(&'static str),
    Number {
        least: i64,
        most: i64,
    },
    /// 0, which means nothing, or a number from `least`.
    NumberOrZero {
        least: i64,
        most: i64,
    },
}

/// What of an option gets into the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Send {
    /// Nothing: the command's own code takes it.
    Own,
    /// What was given.
    Given,
    /// What was given, unless it is empty, 0 or negative.
    NotEmpty,
    /// A number, unless it is negative.
    NotNegative,
    /// Null where it is empty or 0.
    Nullable,
    /// A switch: always, false if it was not given.
    Always,
    /// Text: always, this if it was not given.
    AlwaysElse(&'static str),
    /// A switch: this, where it is on.
    WhenOn(bool),
    /// A switch: always, its opposite.
    Opposite,
    /// A number of percent: as a part of one.
    Percent,
}

/// What completion offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    Nothing,
    Files,
    Words(&'static [&'static str]),
    /// What the Supervisor knows.
    Live(Live),
}

/// Values that the Supervisor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Live {
    Apps,
    StartedApps,
    StoppedApps,
    UpdatableApps,
    BuiltApps,
    StoreApps,
    Repositories,
    Backups,
    Locations,
    Mounts,
    Interfaces,
    Boots,
    Identifiers,
    Jobs,
    Registries,
    DataDisks,
    Checks,
    Issues,
    Suggestions,
    Features,
    AudioInputs,
    AudioOutputs,
    AudioCards,
    Entities,
    Services,
    Sessions,
}

pub(super) const fn node(path: &'static str, help: &'static str) -> Node {
    Node {
        path,
        help,
        more: "",
        aliases: &[],
        former: &[],
        now: None,
        act: Act::Group,
        calls: &[],
        arguments: &[],
        options: &[],
        limit: Limit::Short,
        confirm: None,
        note: None,
        job: &[],
    }
}

/// A spelling of former times: what it is now.
pub(super) const fn former(path: &'static str, now: &'static str) -> Node {
    let mut node = node(path, "");
    node.now = Some(now);
    node
}

impl Node {
    /// Asks by the first call whose parameters are given.
    pub(super) const fn asks(mut self, calls: &'static [Call]) -> Self {
        self.act = Act::Ask;
        self.calls = calls;
        self
    }

    pub(super) const fn reads_text(mut self, calls: &'static [Call]) -> Self {
        self.act = Act::Text;
        self.calls = calls;
        self
    }

    pub(super) const fn reads_log(
        mut self,
        calls: &'static [Call],
        options: &'static [Opt],
    ) -> Self {
        self.act = Act::Log;
        self.calls = calls;
        self.options = options;
        self.limit = Limit::None;
        self
    }

    pub(super) const fn runs(
        mut self,
        act: fn(&Context, &Given<'_>) -> Result<(), CliError>,
        calls: &'static [Call],
    ) -> Self {
        self.act = Act::Own(act);
        self.calls = calls;
        self
    }

    pub(super) const fn more(mut self, more: &'static str) -> Self {
        self.more = more;
        self
    }

    pub(super) const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(super) const fn formerly(mut self, former: &'static [&'static str]) -> Self {
        self.former = former;
        self
    }

    pub(super) const fn takes(mut self, arguments: &'static [Argument]) -> Self {
        self.arguments = arguments;
        self
    }

    pub(super) const fn with(mut self, options: &'static [Opt]) -> Self {
        self.options = options;
        self
    }

    pub(super) const fn within(mut self, limit: Limit) -> Self {
        self.limit = limit;
        self
    }

    pub(super) const fn confirms(mut self, question: &'static str) -> Self {
        self.confirm = Some(question);
        self
    }

    pub(super) const fn notes(mut self, note: &'static str) -> Self {
        self.note = Some(note);
        self
    }

    pub(super) const fn shown_by(mut self, job: &'static [&'static str]) -> Self {
        self.job = job;
        self
    }

    /// The group's words; empty for a word of the first level.
    pub(super) fn parent(&self) -> &'static str {
        self.path.rsplit_once(' ').map_or("", |(parent, _)| parent)
    }

    /// Its own word.
    pub(super) fn word(&self) -> &'static str {
        self.path.rsplit(' ').next().unwrap_or(self.path)
    }

    /// Whether `word` is its word, or another one for it.
    pub(super) fn is(&self, word: &str) -> bool {
        self.word() == word || self.aliases.contains(&word) || self.former.contains(&word)
    }

    pub(super) fn is_command(&self) -> bool {
        !matches!(self.act, Act::Group)
    }
}

pub(super) const fn argument(
    name: &'static str,
    shown: &'static str,
    help: &'static str,
) -> Argument {
    Argument {
        name,
        shown,
        needed: Needed::Yes,
        to: To::Path,
        values: Values::Nothing,
        help,
    }
}

impl Argument {
    pub(super) const fn needed(mut self, needed: Needed) -> Self {
        self.needed = needed;
        self
    }

    pub(super) const fn to(mut self, to: To) -> Self {
        self.to = to;
        self
    }

    pub(super) const fn values(mut self, values: Values) -> Self {
        self.values = values;
        self
    }

    pub(super) const fn live(self, live: Live) -> Self {
        self.values(Values::Live(live))
    }
}

const fn opt(name: &'static str, kind: Kind, send: Send, help: &'static str) -> Opt {
    Opt {
        name,
        short: None,
        former: &[],
        kind,
        field: "",
        send,
        required: false,
        without: &[],
        values: Values::Nothing,
        help,
    }
}

/// A switch that the command's own code takes.
pub(super) const fn switch(name: &'static str, help: &'static str) -> Opt {
    opt(name, Kind::Switch, Send::Own, help)
}

/// Text that the command's own code takes.
pub(super) const fn text(name: &'static str, help: &'static str) -> Opt {
    opt(name, Kind::Text, Send::Own, help)
}

/// A list that the command's own code takes.
pub(super) const fn list(name: &'static str, help: &'static str) -> Opt {
    opt(name, Kind::List, Send::Own, help)
}

/// A number that the command's own code takes.
pub(super) const fn number(name: &'static str, least: i64, most: i64, help: &'static str) -> Opt {
    opt(name, Kind::Number { least, most }, Send::Own, help)
}

impl Opt {
    pub(super) const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    pub(super) const fn formerly(mut self, former: &'static [&'static str]) -> Self {
        self.former = former;
        self
    }

    pub(super) const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The member of the body, sent if it was given and, for text, lists and numbers, not empty.
    pub(super) const fn field(mut self, field: &'static str) -> Self {
        self.field = field;
        self.send = match self.kind {
            Kind::Switch => Send::Given,
            Kind::Text
            | Kind::List
            | Kind::ListOr(_)
            | Kind::TextOr(_)
            | Kind::Number { .. }
            | Kind::NumberOrZero { .. } => Send::NotEmpty,
        };
        self
    }

    pub(super) const fn sent(mut self, send: Send) -> Self {
        self.send = send;
        self
    }

    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(super) const fn without(mut self, others: &'static [&'static str]) -> Self {
        self.without = others;
        self
    }

    pub(super) const fn values(mut self, values: Values) -> Self {
        self.values = values;
        self
    }

    pub(super) const fn live(self, live: Live) -> Self {
        self.values(Values::Live(live))
    }
}
