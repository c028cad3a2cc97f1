use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::AddressBlock;

/// Where a login may come from: patterns as `from` of sshd(8) has them, but for names of hosts, which are never looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pattern {
    /// Whether what fits is kept out.
    negated: bool,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Form {
    Block(AddressBlock),
    /// An address as a text, in which `*` stands for any characters and `?` for one.
    Text(String),
}

/// Why a text is no list of sources.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourcesError {
    /// Something between two commas, or all of it.
    #[error("a pattern is empty")]
    Empty,
    /// What can only be a host's name.
    #[error(
        "\"{0}\" can only be a host's name, and names are not looked up: write an address such as 192.168.1.20, or a \
         network such as 192.168.1.0/24"
    )]
    Name(String),
    /// A network whose length cannot be.
    #[error(
        "\"{0}\" is no network: after the slash comes a number of bits, 0 to 32, or to 128 with IPv6"
    )]
    Bits(String),
    /// A network with an address in it.
    #[error("\"{0}\" has bits set beyond its length; the network is {1}")]
    Host(String, String),
    /// IPv4 in IPv6's clothes.
    #[error("\"{0}\" is an IPv4 address written as IPv6: write it as IPv4")]
    Mapped(String),
    /// Nothing but exceptions.
    #[error(
        "only addresses that may not log in are named, so that none may: add those that may, or *"
    )]
    Nobody,
}

/// How much of a pattern an error shows.
const SHOWN_BYTES: usize = 64;

impl FromStr for Sources {
    type Err = SourcesError;

    fn from_str(text: &str) -> Result<Self, SourcesError> {
        let patterns: Vec<Pattern> = text.split(',').map(pattern).collect::<Result<_, _>>()?;
        if patterns.iter().all(|pattern| pattern.negated) {
            return Err(SourcesError::Nobody);
        }
        Ok(Self(patterns))
    }
}

impl Sources {
    /// Whether `address` is let in: some pattern fits, and none with a `!`. Such a one wins wherever it stands.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> bool {
        let fits = |negated| {
            let mut patterns = self.0.iter();
            patterns.any(|pattern| pattern.negated == negated && pattern.form.fits(address))
        };
        fits(false) && !fits(true)
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, pattern) in self.0.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let not = if pattern.negated { "!" } else { "" };
            match &pattern.form {
                Form::Block(block) => write!(f, "{comma}{not}{block}")?,
                Form::Text(text) => write!(f, "{comma}{not}{text}")?,
            }
        }
        Ok(())
    }
}

fn pattern(text: &str) -> Result<Pattern, SourcesError> {
    let (negated, text) = match text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if text.is_empty() {
        return Err(SourcesError::Empty);
    }
    let shown = || super::escape(text.as_bytes(), SHOWN_BYTES);
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    let form = match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            return Err(SourcesError::Mapped(shown()));
        }
        Ok(_) => {
            let block: AddressBlock = text.parse().map_err(|_| SourcesError::Bits(shown()))?;
            let network = block.by_its_first();
            if network != block {
                // Which of the two was meant nobody can tell.
                return Err(SourcesError::Host(shown(), network.to_string()));
            }
            Form::Block(block)
        }
        Err(_) if is_address_pattern(text) => Form::Text(text.to_ascii_lowercase()),
        Err(_) => return Err(SourcesError::Name(shown())),
    };
    Ok(Pattern { negated, form })
}

/// Whether an address can look so: what has other letters, or none of the characters that set an address apart, is a name.
fn is_address_pattern(text: &str) -> bool {
    let wild = text.contains(['*', '?']);
    let fourth = text
        .chars()
        .all(|c| c.is_ascii_digit() || ".*?".contains(c));
    let sixth = text.contains(':')
        && text
            .chars()
            .all(|c| c.is_ascii_hexdigit() || ":.*?".contains(c));
    wild && (fourth || sixth)
}

impl Form {
    fn fits(&self, other: IpAddr) -> bool {
        match self {
            Self::Block(block) => block.contains(other),
            Self::Text(pattern) => fits(pattern.as_bytes(), other.to_string().as_bytes()),
        }
    }
}

/// glob(7) without brackets. Goes back to the last `*` alone, so it takes no longer than both lengths multiplied.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(same) if same == byte => (p, t) = (p + 1, t + 1),
            Some(_) | None => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(list: &str, address: &str) -> bool {
        let sources: Sources = list.parse().unwrap();
        sources.admit(address.parse().unwrap())
    }

    #[test]
    fn addresses_networks_and_wildcards_fit() {
        for (list, address, expected) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.10", false),
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "192.0.2.1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("2001:DB8::1", "2001:db8:0:0::1", true),
            ("192.0.2.*", "192.0.2.77", true),
            ("192.0.2.?", "192.0.2.77", false),
            ("*", "192.0.2.77", true),
            ("*", "::1", true),
            ("2001:DB8:*", "2001:db8::1", true),
            ("*.*.*.*.*", "192.0.2.77", false),
            ("10.0.0.0/8,192.0.2.1", "192.0.2.1", true),
        ] {
            assert_eq!(admit(list, address), expected, "{list} {address}");
        }
    }

    #[test]
    fn an_exception_wins_wherever_it_stands() {
        for list in [
            "10.0.0.0/8,!10.0.0.9",
            "!10.0.0.9,10.0.0.0/8",
            "*,!10.0.0.?",
        ] {
            assert!(
                admit(list, "10.0.0.10") && !admit(list, "10.0.0.9"),
                "{list}"
            );
        }
    }

    #[test]
    fn what_cannot_be_an_address_is_refused_with_what_would_be_right() {
        let wrong = |text: &str| text.parse::<Sources>().unwrap_err();
        for name in [
            "example.org",
            "*.example.org",
            "homeassistant",
            "dead",
            "*.de",
            "fe80::1%eth0",
            "300.1.1.1",
            " 10.0.0.1",
            "10.0.0.1 ",
            "host?",
            "10.0.0/8",
            "*/8",
            "\u{1b}[2J",
        ] {
            assert!(matches!(wrong(name), SourcesError::Name(_)), "{name}");
        }
        assert!(
            wrong("*.example.org")
                .to_string()
                .contains("192.168.1.0/24")
        );
        assert!(!wrong("\u{1b}").to_string().contains('\u{1b}'));
        for bits in [
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.0/255.0.0.0",
        ] {
            assert!(matches!(wrong(bits), SourcesError::Bits(_)), "{bits}");
        }
        assert!(wrong("10.1.2.3/8").to_string().contains("10.0.0.0/8"));
        for empty in ["", "!", "10.0.0.1,", ",10.0.0.1", "10.0.0.1,,::1"] {
            assert_eq!(wrong(empty), SourcesError::Empty, "{empty}");
        }
        assert!(matches!(wrong("::ffff:10.0.0.1"), SourcesError::Mapped(_)));
        assert_eq!(wrong("!10.0.0.1,!::1"), SourcesError::Nobody);
    }

    #[test]
    fn a_list_is_shown_as_it_was_written() {
        let list = "10.0.0.0/8,!10.0.0.9,2001:db8::/32,192.168.*";
        assert_eq!(list.parse::<Sources>().unwrap().to_string(), list);
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = format!("{}1", "*:".repeat(4000));
        assert!(!admit(&pattern, "2001:db8:1:2:3:4:5:6"));
    }
}
