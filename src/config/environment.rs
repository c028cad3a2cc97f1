use zeroize::Zeroizing;

/// What the environment and the kernel tell, read once at start.
pub struct Environment {
    /// The Supervisor's token, if there is one.
    pub token: Option<Zeroizing<String>>,
    /// `TZ`, where it is one.
    pub timezone: Option<String>,
    /// The first eight hexadecimal digits of the kernel's boot id; `00000000` where it cannot be read.
    pub boot: String,
}

impl Environment {
    /// Reads `SUPERVISOR_TOKEN`, else `HASSIO_TOKEN`, and `TZ`, and `/proc/sys/kernel/random/boot_id`.
    ///
    /// The variables stay in this process's environment: taking them out is for the `exec` that gives each process an
    /// environment of its own.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads it"
    )]
    pub fn read() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Self::from_parts(
            |name| std::env::var(name).ok(),
            boot.as_deref().unwrap_or_default(),
        )
    }

    fn from_parts(variable: impl Fn(&str) -> Option<String>, boot_id: &str) -> Self {
        let token = |name| variable(name).filter(|token| is_token(token));
        let boot: String = boot_id
            .chars()
            .take_while(char::is_ascii_hexdigit)
            .take(8)
            .collect();
        Self {
            token: token("SUPERVISOR_TOKEN")
                .or_else(|| token("HASSIO_TOKEN"))
                .map(Zeroizing::new),
            timezone: variable("TZ").filter(|zone| is_timezone(zone)),
            boot: if boot.len() == 8 {
                boot
            } else {
                "00000000".to_owned()
            },
        }
    }
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
                .map(|(_, v)| (*v).to_owned())
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
