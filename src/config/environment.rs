use std::ffi::OsString;
use std::net::IpAddr;

use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use super::gateways;

/// What the environment and the kernel tell, read once at start.
pub struct Environment {
    /// The Supervisor's token, if there is one.
    pub token: Option<Zeroizing<String>>,
    /// `TZ`, where it is one.
    pub timezone: Option<String>,
    /// The first eight hexadecimal digits of the kernel's boot id; `00000000` where it cannot be read.
    pub boot: String,
    /// The default gateways.
    pub gateways: Vec<IpAddr>,
    /// To be logged, each once.
    pub warnings: Vec<EnvironmentWarning>,
}

/// What the environment says that is not taken as it is. The value is never shown: it may be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentWarning {
    /// No token that an HTTP header can carry.
    #[error(
        "{0} in the environment is not used: a token is at most 4096 printable ASCII characters without a space"
    )]
    Token(&'static str),
    /// White space around a token.
    #[error("{0} in the environment has white space before or after it, which is left out")]
    Trimmed(&'static str),
    /// No time zone that sessions could be given.
    #[error(
        "{0} in the environment is not used: right would be a name such as Europe/Zurich or a rule such as CET-1CEST"
    )]
    Timezone(&'static str),
}

impl Environment {
    /// Reads `SUPERVISOR_TOKEN`, else `HASSIO_TOKEN`, and `TZ`, and `/proc/sys/kernel/random/boot_id`, and the kernel's
    /// tables of routes.
    ///
    /// The variables stay in this process's environment: taking them out is for the `exec` that gives each process an
    /// environment of its own.
    #[must_use]
    pub fn read() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let mut read = Self::from_parts(
            |name| std::env::var_os(name),
            boot.as_deref().unwrap_or_default(),
        );
        read.gateways = gateways::read();
        read
    }

    fn from_parts(variable: impl Fn(&str) -> Option<OsString>, boot_id: &str) -> Self {
        let mut warnings = Vec::new();
        // Set to nothing is as good as not set.
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let mut token = |name| {
            let value = variable(name)?;
            let text = value.into_string().map(Zeroizing::new).ok();
            match text.as_deref().map(|text| text.trim()) {
                Some(token) if is_token(token) => {
                    if text.as_deref().is_some_and(|text| text != token) {
                        warnings.push(EnvironmentWarning::Trimmed(name));
                    }
                    Some(Zeroizing::new(token.to_owned()))
                }
                Some(_) | None => {
                    warnings.push(EnvironmentWarning::Token(name));
                    None
                }
            }
        };
        let token = token("SUPERVISOR_TOKEN").or_else(|| token("HASSIO_TOKEN"));
        let timezone = variable("TZ").and_then(|value| {
            let zone = value.into_string().ok().filter(|zone| is_timezone(zone));
            if zone.is_none() {
                warnings.push(EnvironmentWarning::Timezone("TZ"));
            }
            zone
        });
        let boot: String = boot_id
            .chars()
            .take_while(char::is_ascii_hexdigit)
            .take(8)
            .collect();
        Self {
            token,
            timezone,
            gateways: Vec::new(),
            warnings,
            boot: if boot.len() == 8 {
                boot
            } else {
                "00000000".to_owned()
            },
        }
    }
}

/// The zone of that name in `TZ`, else this machine's, else UTC. Zones are files: this is for before a process is confined.
#[must_use]
pub fn time_zone(named: Option<&str>) -> TimeZone {
    let zone = named.and_then(|name| TimeZone::get(name).or_else(|_| TimeZone::posix(name)).ok());
    zone.unwrap_or_else(|| TimeZone::try_system().unwrap_or(TimeZone::UTC))
}

/// What fits an HTTP header: RFC 6750 §2.1's characters and no others.
fn is_token(token: &str) -> bool {
    !token.is_empty() && token.len() <= 4096 && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A name as in the tz database, or a POSIX rule such as `CET-1CEST,M3.5.0,M10.5.0/3`; no path that leads away.
fn is_timezone(zone: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || "/_+-,.<>:".contains(c);
    !zone.is_empty()
        && zone.len() <= 64
        && zone.chars().all(letters)
        && !zone.contains("..")
        && !zone.starts_with(['/', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)], boot_id: &str) -> Environment {
        let find = |name: &str| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).into())
        };
        Environment::from_parts(find, boot_id)
    }

    #[test]
    fn the_supervisors_own_name_comes_first() {
        let both = read(&[("SUPERVISOR_TOKEN", "new"), ("HASSIO_TOKEN", "old")], "");
        assert_eq!(both.token.as_deref().map(String::as_str), Some("new"));
        let old = read(&[("SUPERVISOR_TOKEN", ""), ("HASSIO_TOKEN", "old")], "");
        assert_eq!(old.token.as_deref().map(String::as_str), Some("old"));
        assert!(read(&[("HASSIO_TOKEN", "a\r\nb")], "").token.is_none());
    }

    #[test]
    fn what_is_not_taken_as_it_is_is_named_without_its_value() {
        let warnings = |variables| read(variables, "").warnings;
        let trimmed = read(&[("SUPERVISOR_TOKEN", " secret\n")], "");
        assert_eq!(trimmed.token.as_deref().map(String::as_str), Some("secret"));
        assert_eq!(
            trimmed.warnings,
            [EnvironmentWarning::Trimmed("SUPERVISOR_TOKEN")]
        );
        let both = read(&[("SUPERVISOR_TOKEN", "a b"), ("HASSIO_TOKEN", "old")], "");
        assert_eq!(both.token.as_deref().map(String::as_str), Some("old"));
        assert_eq!(
            both.warnings,
            [EnvironmentWarning::Token("SUPERVISOR_TOKEN")]
        );
        assert_eq!(
            warnings(&[("HASSIO_TOKEN", "\u{e4}"), ("TZ", "../x")]),
            [
                EnvironmentWarning::Token("HASSIO_TOKEN"),
                EnvironmentWarning::Timezone("TZ")
            ]
        );
        assert_eq!(warnings(&[("SUPERVISOR_TOKEN", ""), ("TZ", "")]), []);
        let text = EnvironmentWarning::Token("X").to_string();
        assert!(text.starts_with("X in the environment"), "{text}");
        // No text at all.
        let raw = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
        let found =
            Environment::from_parts(|name| (name == "TZ").then(|| OsString::clone(&raw)), "");
        assert_eq!(found.warnings, [EnvironmentWarning::Timezone("TZ")]);
    }

    #[test]
    fn a_timezone_is_a_name_and_the_boot_id_is_cut() {
        let good = read(
            &[("TZ", "Europe/Zurich")],
            "1d2c3b4a-0000-4000-8000-000000000000\n",
        );
        assert_eq!(
            (good.timezone.as_deref(), good.boot.as_str()),
            (Some("Europe/Zurich"), "1d2c3b4a")
        );
        for bad in ["../../etc/passwd", "/etc/passwd", ":/etc/x", "a b", ""] {
            assert_eq!(read(&[("TZ", bad)], "").timezone, None, "{bad}");
        }
        assert_eq!(read(&[], "??").boot, "00000000");
    }
}
