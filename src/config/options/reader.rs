use zeroize::Zeroizing;

use super::{Folder, NAMES};
use crate::config::problem::Problem;
use crate::config::roles::{self, Offered};
use crate::config::value::Value;
use crate::model::{AddressBlock, Forwarding, Network, RecordingMode, escape, nearest};
use crate::wire::OwnRole;
use crate::wire::limits::PASSWORD_BYTES;

/// The longest banner; it is sent to everybody who connects.
const BANNER_BYTES: usize = 4096;

/// The file's table, out of which one option after the other is taken. A method returns none where it noted a problem.
pub(super) struct Reader {
    table: Vec<(String, Value)>,
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    /// Of a file's table; what it does not know in there is a problem already.
    pub(super) fn new(table: Vec<(String, Value)>) -> Self {
        let mut reader = Self {
            table,
            problems: Vec::new(),
        };
        reader.refuse_unknown();
        reader
    }

    /// The option's value; null is as good as not given.
    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.table.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.table.swap_remove(at);
        (value != Value::Null).then_some(value)
    }

    fn refuse_unknown(&mut self) {
        for (name, _) in &self.table {
            if !NAMES.contains(&name.as_str()) {
                self.problems.push(Problem::Unknown {
                    name: escape(name.as_bytes(), 64),
                    nearest: nearest(name, &NAMES),
                });
            }
        }
    }

    fn wrong<T>(&mut self, name: &'static str, value: String, right: &str) -> Option<T> {
        self.problems.push(Problem::Value {
            name,
            value,
            right: right.to_owned(),
        });
        None
    }

    pub(super) fn bool(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(value) => Some(value),
            other => self.wrong(name, other.shown(), "true or false"),
        }
    }

    /// A whole number; what is not given, or wrong, is `default`.
    pub(super) fn whole(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<u32>,
        default: u32,
        what: &str,
    ) -> u32 {
        let Some(value) = self.take(name) else {
            return default;
        };
        let number = match &value {
            Value::Number(text) => text.parse().ok().filter(|number| range.contains(number)),
            _ => None,
        };
        number.unwrap_or_else(|| {
            let right = format!("{what}, {} to {}", range.start(), range.end());
            self.wrong::<()>(name, value.shown(), &right);
            default
        })
    }

    pub(super) fn one_of<T>(
        &mut self,
        name: &'static str,
        default: &str,
        known: impl Fn(&str) -> Option<T>,
        right: &str,
    ) -> Option<T> {
        let value = self
            .take(name)
            .unwrap_or_else(|| Value::Text(default.to_owned()));
        let found = match &value {
            Value::Text(text) => known(text),
            _ => None,
        };
        found.or_else(|| self.wrong(name, value.shown(), right))
    }

    pub(super) fn texts(&mut self, name: &'static str, right: &str) -> Option<Vec<String>> {
        match self.take(name) {
            None => Some(Vec::new()),
            Some(Value::List(ref list)) => {
                // What is no text is no key either, and does not take the others with it.
                let text = |value: &Value| match value {
                    Value::Text(text) => text.clone(),
                    other => other.shown(),
                };
                Some(list.iter().map(text).collect())
            }
            // A key that was pasted without the brackets around it is long, and shown cut.
            Some(other) => self.wrong(name, other.shown(), right),
        }
    }

    /// The roles that are good; a bad one is a problem, and so is a key that names it.
    pub(super) fn roles(&mut self, offered: &Offered) -> Vec<OwnRole> {
        let right = "a table of roles by name, each a table with may, config and network";
        let mut good = Vec::new();
        match self.take("roles") {
            None => {}
            Some(Value::Table(ref table)) => {
                for (name, value) in table {
                    match roles::own(name, value, offered) {
                        Ok(role) => good.push(role),
                        Err(roles::Wrong { value, right }) => {
                            self.wrong::<()>("roles", value, &right);
                        }
                    }
                }
            }
            Some(other) => {
                self.wrong::<()>("roles", other.shown(), right);
            }
        }
        good
    }

    pub(super) fn password(&mut self) -> Option<Option<Zeroizing<String>>> {
        let right = format!("a text of at most {PASSWORD_BYTES} bytes, in quotation marks");
        match self.take("password") {
            None => Some(None),
            Some(Value::Text(ref text)) if text.is_empty() => Some(None),
            Some(Value::Text(ref text)) if text.trim().is_empty() => {
                self.wrong("password", "blank".to_owned(), &right)
            }
            Some(Value::Text(ref text)) if text.len() <= PASSWORD_BYTES => {
                Some(Some(Zeroizing::new(text.clone())))
            }
            Some(Value::Text(ref text)) => {
                let value = format!("a text of {} bytes", text.len());
                self.wrong("password", value, &right)
            }
            Some(other) => self.wrong("password", other.kind().to_owned(), &right),
        }
    }

    pub(super) fn network(&mut self) -> Option<Option<Network>> {
        match self.take("network") {
            None => Some(None),
            Some(Value::Text(ref text)) if text == "shared" => Some(Some(Network::Shared)),
            Some(Value::Text(ref text)) if text == "none" => Some(Some(Network::None)),
            Some(other) => self.wrong(
                "network",
                other.shown(),
                "shared or none; without it the role decides",
            ),
        }
    }

    /// In YAML 1.1, which Home Assistant's own editor of options speaks, `off` is a way to write `false`.
    pub(super) fn recording(&mut self) -> Option<RecordingMode> {
        match self.take("recording") {
            None => Some(RecordingMode::Output),
            Some(Value::Bool(false)) => Some(RecordingMode::Off),
            Some(value) => {
                let named = |mode: &RecordingMode| value == Value::Text(mode.as_str().to_owned());
                let mode = RecordingMode::ALL.into_iter().find(named);
                mode.or_else(|| self.wrong("recording", value.shown(), "off, output or input"))
            }
        }
    }

    pub(super) fn folders(&mut self) -> Option<Vec<Folder>> {
        let right = "a list of share and media, or of one of them, or an empty one";
        match self.take("folders") {
            None => Some(vec![Folder::Share, Folder::Media]),
            Some(Value::List(ref list)) => {
                let mut folders = Vec::new();
                for value in list {
                    let folder = match value {
                        Value::Text(text) if text == "share" => Folder::Share,
                        Value::Text(text) if text == "media" => Folder::Media,
                        other => return self.wrong("folders", other.shown(), right),
                    };
                    if !folders.contains(&folder) {
                        folders.push(folder);
                    }
                }
                Some(folders)
            }
            Some(other) => self.wrong("folders", other.shown(), right),
        }
    }

    /// Nothing that is not named; a bad name is a problem.
    pub(super) fn forwarding(&mut self) -> Forwarding {
        let right = "a list out of local, remote and agent, or an empty one";
        let mut forwarding = Forwarding {
            gateway_ports: self.bool("gateway_ports").unwrap_or(false),
            ..Forwarding::default()
        };
        match self.take("forwarding") {
            None => {}
            Some(Value::List(ref list)) => {
                for value in list {
                    match value {
                        Value::Text(text) if text == "local" => forwarding.local = true,
                        Value::Text(text) if text == "remote" => forwarding.remote = true,
                        Value::Text(text) if text == "agent" => forwarding.agent = true,
                        other => {
                            self.wrong::<()>("forwarding", other.shown(), right);
                        }
                    }
                }
            }
            Some(other) => {
                self.wrong::<()>("forwarding", other.shown(), right);
            }
        }
        forwarding
    }

    /// Addresses and networks. A bad one is a problem: without it more, or fewer, would come in than is meant.
    pub(super) fn blocks(&mut self, name: &'static str) -> Vec<AddressBlock> {
        let right = "a list of addresses and networks, such as 192.168.1.7 or 192.168.1.0/24";
        let mut good = Vec::new();
        match self.take(name) {
            None => {}
            Some(Value::List(ref list)) => {
                for value in list {
                    let block = match value {
                        Value::Text(text) => text.trim().parse().ok(),
                        _ => None,
                    };
                    match block {
                        Some(block) => good.push(block),
                        None => {
                            self.wrong::<()>(name, value.shown(), right);
                        }
                    }
                }
            }
            Some(other) => {
                self.wrong::<()>(name, other.shown(), right);
            }
        }
        good
    }

    pub(super) fn banner(&mut self) -> Option<String> {
        let printable = |text: &str| text.chars().all(|c| !c.is_control() || "\n\t".contains(c));
        match self.take("banner") {
            None => Some(String::new()),
            Some(Value::Text(ref text)) if text.len() <= BANNER_BYTES && printable(text) => {
                Some(text.clone())
            }
            Some(other) => {
                let right =
                    format!("a text of at most {BANNER_BYTES} bytes without control characters");
                self.wrong("banner", other.shown(), &right)
            }
        }
    }
}
