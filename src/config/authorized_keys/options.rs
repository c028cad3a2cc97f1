//! The options before a key: sshd(8), AUTHORIZED_KEYS FILE FORMAT, and ours.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::Rules;
use crate::config::roles::{self, RoleView};
use crate::model::{
    Endpoint, Network, Permits, RecordingMode, Sources, Tunnel, cut, escape, nearest,
};

/// How long all options of a line may be: a grant crosses from process to process with what they say. sshd once had this
/// limit for a whole line.
const OPTIONS_BYTES: usize = 8 * 1024;
/// How much of a value an error shows.
const SHOWN_BYTES: usize = 64;

/// Options of sshd(8) that this server cannot hold to yet. A line that has one is refused: taken without it, the key could do
/// more than its line says.
pub(super) const NOT_YET: [&str; 2] = ["cert-authority", "principals"];

/// All that mean something, for whoever mistypes one.
const KNOWN: [&str; 26] = [
    "agent-forwarding",
    "break-glass",
    "command",
    "environment",
    "expiry-time",
    "from",
    "network",
    "no-agent-forwarding",
    "no-port-forwarding",
    "no-pty",
    "no-touch-required",
    "no-user-rc",
    "no-verify-required",
    "no-x11-forwarding",
    "permitlisten",
    "permitopen",
    "port-forwarding",
    "pty",
    "recording",
    "restrict",
    "role",
    "touch-required",
    "tunnel",
    "user-rc",
    "verify-required",
    "x11-forwarding",
];

/// What the options of one line say.
#[derive(Debug)]
pub(super) struct KeyOptions {
    pub(super) view: RoleView,
    pub(super) network: Option<Network>,
    pub(super) recording: Option<RecordingMode>,
    pub(super) break_glass: bool,
    pub(super) from: Option<Sources>,
    pub(super) expires: Option<Timestamp>,
    pub(super) command: Option<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) permits: Permits,
    /// As the line says; without a word of it, security keys are to be touched, and need not know who does it.
    pub(super) touch: Option<bool>,
    pub(super) verify: Option<bool>,
}

impl KeyOptions {
    /// Of a line without options.
    pub(super) fn none(rules: &Rules<'_>) -> Self {
        Self {
            view: rules.role.clone(),
            network: rules.network,
            recording: None,
            break_glass: false,
            from: None,
            expires: None,
            command: None,
            environment: Vec::new(),
            permits: Permits::all(),
            touch: None,
            verify: None,
        }
    }

    /// What `options` say, one after the other: of switches the last one counts.
    pub(super) fn read(options: &[Written], rules: &Rules<'_>) -> Result<Self, String> {
        let mut read = Self::none(rules);
        let mut once: Vec<&str> = Vec::new();
        for Written { name, value } in options {
            if ONCE.contains(&name.as_str()) {
                if once.contains(&name.as_str()) {
                    return Err(format!("option \"{name}\" is given twice"));
                }
                once.push(name);
            }
            match value {
                Some(value) => read.value(name, value, rules)?,
                None => read.switch(name)?,
            }
        }
        Ok(read)
    }

    /// An option without a value.
    fn switch(&mut self, name: &str) -> Result<(), String> {
        let permits = &mut self.permits;
        match name {
            "restrict" => permits.restrict(),
            "pty" => permits.pty = true,
            "no-pty" => permits.pty = false,
            "agent-forwarding" => permits.agent_forwarding = true,
            "no-agent-forwarding" => permits.agent_forwarding = false,
            "port-forwarding" => permits.port_forwarding = true,
            "no-port-forwarding" => permits.port_forwarding = false,
            "x11-forwarding" => permits.x11_forwarding = true,
            "no-x11-forwarding" => permits.x11_forwarding = false,
            "user-rc" => permits.user_rc = true,
            "no-user-rc" => permits.user_rc = false,
            "touch-required" => self.touch = Some(true),
            "no-touch-required" => self.touch = Some(false),
            "verify-required" => self.verify = Some(true),
            "no-verify-required" => self.verify = Some(false),
            "break-glass" => self.break_glass = true,
            name if KNOWN.contains(&name) => {
                return Err(format!(
                    "option \"{name}\" needs a value: {name}=\"{}\"",
                    example(name)
                ));
            }
            name => return Err(unknown(name)),
        }
        Ok(())
    }

    /// An option with a value.
    fn value(&mut self, name: &str, value: &str, rules: &Rules<'_>) -> Result<(), String> {
        let shown = || escape(value.as_bytes(), SHOWN_BYTES);
        // A tab is as good as a blank; the others no shell, no variable and no terminal should meet.
        if value.contains(|c: char| c.is_control() && c != '\t') && KNOWN.contains(&name) {
            return Err(format!(
                "the value of option \"{name}\" has a control character in it"
            ));
        }
        match name {
            "role" => {
                let role = roles::find(rules.roles, value).cloned();
                self.view = role.ok_or_else(|| {
                    let right = roles::names(rules.roles);
                    format!("role \"{}\" is unknown; the roles are {right}", shown())
                })?;
            }
            "network" => {
                self.network = Some(match value {
                    "shared" => Network::Shared,
                    "none" => Network::None,
                    _ => {
                        return Err(format!(
                            "network \"{}\" is neither shared nor none",
                            shown()
                        ));
                    }
                });
            }
            "recording" => {
                let named = |mode: &RecordingMode| mode.as_str() == value;
                let mode = RecordingMode::ALL.into_iter().find(named);
                self.recording = Some(mode.ok_or_else(|| {
                    format!("recording \"{}\" is none of off, output and input", shown())
                })?);
            }
            "from" => {
                let sources = value.parse::<Sources>();
                self.from = Some(sources.map_err(|error| format!("option \"from\": {error}"))?);
            }
            "expiry-time" => {
                let at = moment(value, rules.zone).ok_or_else(|| {
                    format!(
                        "expiry-time \"{}\" is no time; right would be YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with a Z after it for UTC",
                        shown()
                    )
                })?;
                // As in sshd the earliest counts.
                self.expires = Some(self.expires.map_or(at, |before| before.min(at)));
            }
            "command" if value.trim().is_empty() => {
                return Err("option \"command\" is empty; right would be command=\"hassio info\", or no such option".to_owned());
            }
            "command" => {
                self.command = Some(value.to_owned());
                self.permits.restrict();
            }
            "environment" => self.variable(value, rules)?,
            "permitopen" => {
                let endpoint = value.parse::<Endpoint>();
                let endpoint =
                    endpoint.map_err(|error| format!("permitopen \"{}\": {error}", shown()))?;
                self.permits.open.push(endpoint);
            }
            "permitlisten" => {
                let endpoint = Endpoint::to_listen(value).map_err(|error| {
                    format!("permitlisten \"{}\": {error}, or a port alone", shown())
                })?;
                self.permits.listen.push(endpoint);
            }
            "tunnel" => {
                let number = value
                    .parse()
                    .ok()
                    .filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()));
                self.permits.tunnel = Some(match (value, number) {
                    ("any", _) => Tunnel::Any,
                    (_, Some(number)) => Tunnel::Number(number),
                    (_, None) => {
                        return Err(format!(
                            "tunnel \"{}\" is neither a number nor any",
                            shown()
                        ));
                    }
                });
            }
            name if KNOWN.contains(&name) => {
                return Err(format!("option \"{name}\" takes no value"));
            }
            name => return Err(unknown(name)),
        }
        Ok(())
    }

    /// `NAME=value`. Of the same name the last one counts, as in sshd.
    fn variable(&mut self, text: &str, rules: &Rules<'_>) -> Result<(), String> {
        let shown = escape(cut(text, SHOWN_BYTES).as_bytes(), SHOWN_BYTES);
        let Some((name, value)) = text.split_once('=') else {
            return Err(format!(
                "environment \"{shown}\" sets nothing; right would be environment=\"NAME=value\""
            ));
        };
        if !rules.environment.admits(name) {
            let name = escape(name.as_bytes(), SHOWN_BYTES);
            let right = rules.environment.names.join(", ");
            return Err(format!(
                "a key may not set the variable \"{name}\"; those it may are {right}"
            ));
        }
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        Ok(())
    }
}

/// Those that sshd, or we, take once only.
const ONCE: [&str; 7] = [
    "break-glass",
    "command",
    "from",
    "network",
    "recording",
    "role",
    "tunnel",
];

/// What a value looks like.
fn example(name: &str) -> &'static str {
    match name {
        "role" => "observer",
        "network" => "none",
        "recording" => "off",
        "from" => "192.168.1.0/24",
        "expiry-time" => "20301231",
        "command" => "hassio info",
        "environment" => "KEY_NAME=value",
        "permitlisten" => "localhost:8080",
        "tunnel" => "any",
        _ => "127.0.0.1:8123",
    }
}

fn unknown(name: &str) -> String {
    let shown = escape(name.as_bytes(), SHOWN_BYTES);
    if NOT_YET.contains(&name) {
        return format!(
            "option \"{shown}\" is not supported yet, and the key is not accepted without it"
        );
    }
    match nearest(&shown, &KNOWN) {
        Some(known) => format!("option \"{shown}\" is unknown; \"{known}\" may be meant"),
        None => format!("\"{shown}\" is neither a key type nor an option that is known"),
    }
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`; with a `Z` at its end in UTC, else in the zone.
fn moment(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let (digits, zone) = match text.strip_suffix(['Z', 'z']) {
        Some(digits) => (digits, &TimeZone::UTC),
        None => (text, zone),
    };
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| match digits.get(from..to) {
        Some(digits) => digits.parse::<i8>().ok(),
        None => Some(0),
    };
    let year = digits.get(..4)?.parse::<i16>().ok()?;
    let date = Date::new(year, part(4, 6)?, part(6, 8)?).ok()?;
    let time = Time::new(part(8, 10)?, part(10, 12)?, part(12, 14)?, 0).ok()?;
    let at = DateTime::from_parts(date, time);
    // Of a time that comes twice, or never, what RFC 5545 takes.
    let at = at.to_zoned_datetime(zone.clone()).ok()?;
    Some(at.timestamp())
}

/// An option as it stands there: its name in small letters, its value without quotation marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

/// The options before a key and what follows them: separated by commas, ended by the first blank or tab outside of
/// quotation marks. A value stands in quotation marks, inside of which `\"` is the only escape; without them it ends at
/// the next comma, blank or tab.
pub(super) fn split(text: &str) -> Result<(Vec<Written>, &str), String> {
    let mut options = Vec::new();
    let mut rest = text;
    loop {
        if text.len() - rest.len() > OPTIONS_BYTES {
            return Err(too_long());
        }
        let end = rest.find(['=', ',', ' ', '\t', '"']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let name = name.to_ascii_lowercase();
        let (value, after) = match after.strip_prefix('=') {
            Some(after) => {
                let (value, after) = value(&name, after)?;
                (Some(value), after)
            }
            None => (None, after),
        };
        if name.is_empty() {
            return Err(
                "an option is empty: there is a comma too many, or a name is missing".to_owned(),
            );
        }
        options.push(Written { name, value });
        rest = match after.strip_prefix(',') {
            Some(next) => next,
            None if after.is_empty() || after.starts_with([' ', '\t']) => {
                if text.len() - after.len() > OPTIONS_BYTES {
                    return Err(too_long());
                }
                return Ok((options, after));
            }
            None => {
                let last = options.last().map_or("", |option| option.name.as_str());
                let last = escape(last.as_bytes(), SHOWN_BYTES);
                return Err(format!(
                    "after option \"{last}\" comes neither a comma nor a blank; a quotation mark inside a value is written \\\""
                ));
            }
        };
    }
}

fn too_long() -> String {
    format!("the options are longer than {OPTIONS_BYTES} bytes")
}

fn value<'t>(name: &str, text: &'t str) -> Result<(String, &'t str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t', '"']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return Ok((value.to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' if characters.peek().is_some_and(|(_, next)| *next == '"') => {
                value.push('"');
                characters.next();
            }
            '"' => return Ok((value, quoted.get(at + 1..).unwrap_or_default())),
            c => value.push(c),
        }
        if value.len() > OPTIONS_BYTES {
            return Err(too_long());
        }
    }
    let name = escape(name.as_bytes(), SHOWN_BYTES);
    Err(format!("a quotation mark is not closed after \"{name}=\""))
}

#[cfg(test)]
mod tests;
