//! What a line of authorized_keys may set, and which passwords are none: `policy/login.toml`.

use serde::Deserialize;

use super::PolicyError;
use super::sandbox::AcceptedEnvironment;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the members are explained in policy/login.toml, their one home"
)]
pub struct Login {
    pub key_environment: AcceptedEnvironment,
    pub password: Passwords,
}

/// `[password]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see Login")]
pub struct Passwords {
    pub least_characters: usize,
    pub worst: Vec<String>,
}

/// Why a password is none. Says nothing of the password that an attacker would not try first anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// It has fewer characters than this.
    Short(usize),
    /// It is the user name, or begins with it and goes on with digits alone.
    UserName,
    /// It is one character again and again.
    Repeated,
    /// It is a run of neighbours, such as `12345678`.
    Run,
    /// It is among the first that everybody tries.
    Known,
}

impl Passwords {
    /// What is wrong with a password, whoever may know it; none where nothing is.
    #[must_use]
    pub fn weakness(&self, password: &str, user: &str) -> Option<Weakness> {
        let small = zeroize::Zeroizing::new(password.to_lowercase());
        let stem = small.trim_end_matches(|c: char| c.is_ascii_digit() || ".!".contains(c));
        let user = user.to_lowercase();
        if *small == user || stem == user {
            Some(Weakness::UserName)
        } else if small.chars().count() < self.least_characters {
            Some(Weakness::Short(self.least_characters))
        } else if steps_by(&small, |step| step == 0) {
            Some(Weakness::Repeated)
        } else if steps_by(&small, |step| step == 1) || steps_by(&small, |step| step == -1) {
            Some(Weakness::Run)
        } else if self
            .worst
            .iter()
            .any(|worst| *worst == *small || worst == stem)
        {
            Some(Weakness::Known)
        } else {
            None
        }
    }
}

/// Whether each character is by such a step from the one before it. After 9 comes 0.
fn steps_by(text: &str, right: impl Fn(i64) -> bool) -> bool {
    let step = |(before, after): (char, char)| match (before, after) {
        ('9', '0') => 1,
        ('0', '9') => -1,
        (before, after) => i64::from(u32::from(after)) - i64::from(u32::from(before)),
    };
    let mut steps = text.chars().zip(text.chars().skip(1)).map(step);
    steps.all(right)
}

impl Login {
    /// The policy that this build carries.
    ///
    /// # Errors
    /// When the file does not parse; a test excludes it.
    pub fn shipped() -> Result<Self, PolicyError> {
        super::parse("login.toml", include_str!("../../policy/login.toml"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_sets_nothing_that_starts_other_programs_by_itself() {
        let names = Login::shipped().unwrap().key_environment;
        for good in ["LANG", "LC_ALL", "EDITOR", "GIT_AUTHOR_NAME", "KEY_OWNER"] {
            assert!(names.admits(good), "{good}");
        }
        for bad in [
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "LD_AUDIT",
            "BASH_ENV",
            "ENV",
            "BASH_FUNC_x",
            "SHELLOPTS",
            "BASHOPTS",
            "PS4",
            "IFS",
            "CDPATH",
            "PATH",
            "HOME",
            "USER",
            "LOGNAME",
            "SHELL",
            "TZ",
            "TERM",
            "TERMINFO",
            "ZDOTDIR",
            "PYTHONPATH",
            "PERL5OPT",
            "GIT_SSH_COMMAND",
            "GIT_CONFIG_GLOBAL",
            "SSH_ORIGINAL_COMMAND",
            "SSH_CONNECTION",
            "SSH_TTY",
            "SSH_AUTH_SOCK",
            "HASSIO_SOCKET",
            "HASSIO_TOKEN",
            "SUPERVISOR_TOKEN",
            "TAR_OPTIONS",
            "GLIBC_TUNABLES",
            "LOCPATH",
            "NLSPATH",
            "GCONV_PATH",
            "LANGUAGE",
            "",
            "KEY_=",
            "key_x",
        ] {
            assert!(!names.admits(bad), "{bad}");
        }
    }

    #[test]
    fn the_worst_passwords_are_none() {
        let policy = Login::shipped().unwrap().password;
        for (password, expected) in [
            ("", Weakness::Short(8)),
            ("x", Weakness::Short(8)),
            ("k9#vT2p", Weakness::Short(8)),
            ("\u{e4}\u{e4}\u{e4}\u{e4}", Weakness::Short(8)),
            ("root", Weakness::UserName),
            ("ROOT", Weakness::UserName),
            ("root1234567", Weakness::UserName),
            ("aaaaaaaaaaaa", Weakness::Repeated),
            ("        ", Weakness::Repeated),
            ("12345678", Weakness::Run),
            ("1234567890", Weakness::Run),
            ("0987654321", Weakness::Run),
            ("ABCDEFGHIJ", Weakness::Run),
            ("hgfedcba", Weakness::Run),
            ("Password", Weakness::Known),
            ("password123!", Weakness::Known),
            ("homeassistant", Weakness::Known),
            ("QWERTZUIOP", Weakness::Known),
            ("letmein2026", Weakness::Known),
        ] {
            assert_eq!(
                policy.weakness(password, "root"),
                Some(expected),
                "{password}"
            );
        }
        for good in [
            "correct horse battery",
            "k9#vT2pX",
            "rootless tree",
            "12345679",
            "aaaaaaab",
            "my password",
        ] {
            assert_eq!(policy.weakness(good, "root"), None, "{good}");
        }
    }

    #[test]
    fn the_list_is_in_the_form_that_is_compared_with() {
        for worst in Login::shipped().unwrap().password.worst {
            let stem = worst.trim_end_matches(|c: char| c.is_ascii_digit() || ".!".contains(c));
            assert!(worst == worst.to_lowercase() && !stem.is_empty(), "{worst}");
        }
    }
}
