/// The longest value of any parameter: an entity's name in Core.
const VALUE_BYTES: usize = 255;

/// What a segment may hold beside letters and digits, as it is; each parameter takes some of it.
pub(super) const PLAIN_BYTES: &[u8] = b"-_.:+@";

/// What an identifier of the journal may hold beyond that, such as `(systemd)` or `NetworkManager[123]`: it means nothing
/// to whoever reads a path. Slashes, `%` and `;` do, and braces to the Supervisor's router.
pub(super) const IDENTIFIER_BYTES: &[u8] = b" []()!*,='~";

/// What fills one segment of a path. Each has its own grammar, and none lets a `%` or a slash through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// An app.
    Slug,
    /// An app's version; it has a digit where names of calls have none.
    Version,
    /// A backup.
    Backup,
    /// A boot: its id, or how many before or after another.
    Boot,
    /// Who writes to the host's log.
    Identifier,
    /// A network interface; `default` is the Supervisor's word for the main one.
    Interface,
    /// A VLAN's number; IEEE 802.1Q.
    Vlan,
    /// A mount of the Supervisor.
    Mount,
    /// A disk; so far the Supervisor knows `default`.
    Disk,
    /// A board that has no calls of its own.
    Board,
    /// A job or a discovery message.
    Uuid,
    /// A finding of the resolution center.
    Issue,
    /// What it proposes.
    Suggestion,
    /// One of its checks.
    Check,
    /// A repository of apps.
    Repository,
    /// A host that holds container images.
    Hostname,
    /// A direction of sound.
    Source,
    /// An entity of Core.
    Entity,
    /// Whose a service of Core is.
    Domain,
    /// A service, of Core or between apps.
    Service,
    /// A moment, as RFC 3339 writes it.
    Time,
    /// A session of this server: its id, the beginning of one, or `last`.
    Session,
    /// One of a session's recordings: its channel, and which of that channel.
    Recording,
}

impl Parameter {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::Slug,
        Self::Version,
        Self::Backup,
        Self::Boot,
        Self::Identifier,
        Self::Interface,
        Self::Vlan,
        Self::Mount,
        Self::Disk,
        Self::Board,
        Self::Uuid,
        Self::Issue,
        Self::Suggestion,
        Self::Check,
        Self::Repository,
        Self::Hostname,
        Self::Source,
        Self::Entity,
        Self::Domain,
        Self::Service,
        Self::Time,
        Self::Session,
        Self::Recording,
    ];

    /// Its name between the braces of a template.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Slug => "slug",
            Self::Version => "version",
            Self::Backup => "backup",
            Self::Boot => "boot",
            Self::Identifier => "identifier",
            Self::Interface => "interface",
            Self::Vlan => "vlan",
            Self::Mount => "mount",
            Self::Disk => "disk",
            Self::Board => "board",
            Self::Uuid => "uuid",
            Self::Issue => "issue",
            Self::Suggestion => "suggestion",
            Self::Check => "check",
            Self::Repository => "repository",
            Self::Hostname => "hostname",
            Self::Source => "source",
            Self::Entity => "entity",
            Self::Domain => "domain",
            Self::Service => "service",
            Self::Time => "time",
            Self::Session => "session",
            Self::Recording => "recording",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|parameter| parameter.name() == name)
    }

    /// What a value of it is, in words.
    #[must_use]
    pub fn grammar(self) -> &'static str {
        match self {
            Self::Slug | Self::Backup | Self::Repository | Self::Disk => {
                "letters, digits, - and _, at most 64"
            }
            Self::Version => "a version that begins with a digit, such as 1.2.3",
            Self::Boot => "a boot's id of 32 hexadecimal digits, or an offset such as 0 or -1",
            Self::Identifier => {
                "the name of a log's writer, without slashes, quotes and what is not ASCII"
            }
            Self::Interface => "the name of a network interface, such as end0, or default",
            Self::Vlan => "a number from 1 to 4094",
            Self::Mount => "letters, digits and _, at most 64",
            Self::Board => "the name of a board",
            Self::Uuid | Self::Issue | Self::Suggestion => "a UUID, with or without hyphens",
            Self::Check | Self::Domain | Self::Service => {
                "lower-case letters, digits and _, at most 64"
            }
            Self::Hostname => "the name of a host, with a port if it has one",
            Self::Source => "input or output",
            Self::Entity => "the id of an entity, such as light.kitchen",
            Self::Time => "a date, with a time of day if wanted, such as 2026-08-24T07:12:00Z",
            Self::Session => "a session's id, the beginning of one, or last",
            Self::Recording => "a channel's number, or NUMBER.N for a further recording of it",
        }
    }

    /// Whether `text` can be a value of it.
    #[must_use]
    pub fn takes(self, text: &str) -> bool {
        match self {
            Self::Slug | Self::Backup | Self::Repository | Self::Disk => word(text, "-_", 64),
            Self::Version => {
                let number = text.strip_prefix('v').unwrap_or(text);
                number.starts_with(|c: char| c.is_ascii_digit()) && word(text, "-_.+", 64)
            }
            Self::Boot => hex(text) || offset(text),
            Self::Identifier => {
                let known = [PLAIN_BYTES, IDENTIFIER_BYTES].concat();
                let fits = |b: u8| b.is_ascii_alphanumeric() || known.contains(&b);
                text.len() <= 128
                    && text.bytes().all(fits)
                    && text.bytes().any(|b| b.is_ascii_alphanumeric())
            }
            // IFNAMSIZ is 16 with the NUL; netdevice(7).
            Self::Interface => word(text, "-_.", 15) && !dots(text),
            Self::Vlan => text.len() <= 4 && digits(text) && within(text, 1, 4094),
            Self::Mount => word(text, "_", 64),
            Self::Board => {
                word(text, "-_", 64) && !["green", "yellow", "raspberrypi"].contains(&text)
            }
            Self::Uuid | Self::Issue | Self::Suggestion => {
                hex(text) || uuid::Uuid::try_parse(text).is_ok_and(|_| text.len() == 36)
            }
            Self::Check | Self::Domain | Self::Service => name(text, 64),
            // RFC 1035 §2.3.4; with a port, as registries may have one.
            Self::Hostname => word(text, "-.:", 253) && !dots(text),
            Self::Source => ["input", "output"].contains(&text),
            Self::Entity => text.len() <= VALUE_BYTES && entity(text),
            Self::Time => time(text),
            Self::Session => {
                let fits = |b: u8| b.is_ascii_hexdigit() || b == b'-';
                text == "last" || (1..=36).contains(&text.len()) && text.bytes().all(fits)
            }
            Self::Recording => {
                let (channel, nth) = text.split_once('.').unwrap_or((text, "0"));
                [channel, nth].iter().all(|n| n.len() <= 9 && digits(n))
            }
        }
    }
}

/// Letters and digits of ASCII, and `more`.
fn word(text: &str, more: &str, limit: usize) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || more.as_bytes().contains(&b);
    (1..=limit).contains(&text.len()) && text.bytes().all(fits)
}

/// A name as Python writes them.
fn name(text: &str, limit: usize) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=limit).contains(&text.len()) && text.bytes().all(fits)
}

fn dots(text: &str) -> bool {
    text.bytes().all(|b| b == b'.')
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn within(text: &str, least: u16, most: u16) -> bool {
    text.parse::<u16>()
        .is_ok_and(|number| (least..=most).contains(&number))
}

fn hex(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The journal's way to count boots: 0 is this one, -1 the one before, 1 the first.
fn offset(text: &str) -> bool {
    let number = text.strip_prefix('-').unwrap_or(text);
    number.len() <= 4 && digits(number)
}

/// `light.kitchen`
pub(super) fn entity(text: &str) -> bool {
    text.split_once('.')
        .is_some_and(|(domain, object)| name(domain, 64) && name(object, VALUE_BYTES))
}

/// `2026-08-24`, with a time of day and an offset if wanted.
pub(super) fn time(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_digit() || b"-:T.Z+".contains(&b);
    let year = text.get(..5).is_some_and(|year| year.ends_with('-'));
    (10..=40).contains(&text.len())
        && year
        && text.get(..4).is_some_and(digits)
        && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each parameter with what it takes and what it does not.
    const TABLE: [(Parameter, &[&str], &[&str]); 23] = [
        (
            Parameter::Slug,
            &["core_ssh", "a-b", "self"],
            &["a.b", "a:b"],
        ),
        (
            Parameter::Version,
            &["1.2.3", "v2", "2026.8.0b1"],
            &["latest", "changelog", "icon", ".1"],
        ),
        (Parameter::Backup, &["1a2b3c4d", "my-backup_1"], &["a.tar"]),
        (
            Parameter::Boot,
            &["0", "-1", "17", "83fee99ca0c3466db5fc120d52ca7dd8"],
            &["--1", "1-", "12345", "83fee99c", "follow"],
        ),
        (
            Parameter::Identifier,
            &[
                "kernel",
                "user@1",
                "(systemd)",
                "NetworkManager[123]",
                "a b",
            ],
            &["..", ".", " ", "()", "a;b", "a{b}", "a\"b", "a<b"],
        ),
        (
            Parameter::Interface,
            &["end0", "eth0.100", "default"],
            &["..", "a23456789012345x"],
        ),
        (
            Parameter::Vlan,
            &["1", "4094"],
            &["0", "4095", "-1", "01234"],
        ),
        (Parameter::Mount, &["nas_1"], &["nas-1", "a.b"]),
        (Parameter::Disk, &["default", "sda1"], &["/dev", "a.b"]),
        (
            Parameter::Board,
            &["ova", "rpi5-64"],
            &["green", "yellow", "raspberrypi"],
        ),
        (
            Parameter::Uuid,
            &[
                "83fee99ca0c3466db5fc120d52ca7dd8",
                "83fee99c-a0c3-466d-b5fc-120d52ca7dd8",
            ],
            &[
                "info",
                "options",
                "83fee99ca0c3466db5fc120d52ca7dd",
                "{83fee99c-a0c3-466d-b5fc-120d52ca7dd8}",
            ],
        ),
        (
            Parameter::Issue,
            &["83fee99ca0c3466db5fc120d52ca7dd8"],
            &["x"],
        ),
        (
            Parameter::Suggestion,
            &["83fee99ca0c3466db5fc120d52ca7dd8"],
            &["x"],
        ),
        (Parameter::Check, &["free_space"], &["Free", "a-b"]),
        (Parameter::Repository, &["core", "a0d7b954"], &["a.b"]),
        (
            Parameter::Hostname,
            &["ghcr.io", "registry.local:5000"],
            &["..", "a_b"],
        ),
        (Parameter::Source, &["input", "output"], &["both", "INPUT"]),
        (
            Parameter::Entity,
            &["light.kitchen_2"],
            &["light", "Light.x", "light.", "a.b.c"],
        ),
        (
            Parameter::Domain,
            &["light", "homeassistant", "hassio"],
            &["Light", "HASSIO", "a.b"],
        ),
        (Parameter::Service, &["turn_on"], &["turn-on", "x/y"]),
        (
            Parameter::Time,
            &[
                "2026-08-24",
                "2026-08-24T07:12:00.5+02:00",
                "2026-08-24T07:12:00Z",
            ],
            &["now", "24-08-2026", "2026-08", "2026-08-24 07:12:00"],
        ),
        (
            Parameter::Session,
            &[
                "last",
                "01a20d03-2a16",
                "01a20d03-2a16-71e0-99c8-e18f83c37608",
            ],
            &["first", "01a20d03-2a16-71e0-99c8-e18f83c376081", ".."],
        ),
        (
            Parameter::Recording,
            &["0", "3", "3.1"],
            &["3.", ".1", "3.1.2", "-1", "x", "..", "1234567890"],
        ),
    ];

    #[test]
    fn each_takes_its_own_and_no_more() {
        assert_eq!(TABLE.map(|row| row.0), Parameter::ALL);
        for (parameter, good, bad) in TABLE {
            assert_eq!(Parameter::named(parameter.name()), Some(parameter));
            for text in good {
                assert!(parameter.takes(text), "{parameter:?} {text:?}");
            }
            let long = "1".repeat(256);
            let never = [
                "", "%", "%2e", "a/b", "a\\b", "a b", "a\n", "ä", "a?b", "a#b", "a\0", &long,
            ];
            assert!(!parameter.grammar().is_empty());
            for text in bad.iter().copied().chain(never) {
                if good.contains(&text) {
                    continue;
                }
                assert!(!parameter.takes(text), "{parameter:?} {text:?}");
            }
        }
    }
}
