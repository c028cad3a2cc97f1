use std::fmt;
use std::path::PathBuf;

use super::authorized_keys::KeyLineError;
use crate::policy::login::Weakness;

/// Why the options cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there, or may not be read.
    #[error("cannot read the options in {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something else has the file's name.
    #[error("{} is not a regular file; --options says where the options are", path.display())]
    NoFile {
        /// What.
        path: PathBuf,
    },
    /// The file is larger than any options are.
    #[error("{} is larger than {} bytes, the most that is read of options", path.display(), super::options::FILE_BYTES)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not written in the language of its ending.
    #[error("{}, line {line}, column {column}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// From 1.
        column: u64,
        /// What is wrong there; never the text itself, which may be a password.
        reason: String,
    },
    /// The file is well written, but says things that cannot be.
    #[error("{} cannot be used:{}", path.display(), Listed(problems))]
    Options {
        /// The file.
        path: PathBuf,
        /// All that is wrong with it.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong with the options.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A name that means nothing.
    #[error("option \"{name}\" is unknown{}", Meant(*nearest))]
    Unknown {
        /// As written, escaped.
        name: String,
        /// The known one that is most like it.
        nearest: Option<&'static str>,
    },
    /// A value that an option cannot have.
    #[error("option \"{name}\" cannot be {value}; right would be {right}")]
    Value {
        /// The option.
        name: &'static str,
        /// Its value, escaped and cut; of a password only what kind of value it is.
        value: String,
        /// What would be right.
        right: String,
    },
    /// Neither keys nor a password.
    #[error(
        "nobody could log in: add your public key to \"authorized_keys\" (the one line of a file such as id_ed25519.pub, \
         in quotation marks), or, less safe, set \"password\"; then start again"
    )]
    NoLogin,
    /// A password that is guessed at once.
    #[error("option \"password\" {}: it would be guessed soon; right would be a longer one that nobody else uses, such as four \
         words by chance, or, much safer, a key in \"authorized_keys\"", Weak(*.0))]
    Weak(Weakness),
    /// Keys were given and none of them is one.
    #[error(
        "none of the {} lines of \"authorized_keys\" can be used; right would be lines such as \
         \"ssh-ed25519 AAAAC3... name\":{}", lines.len(), Listed(lines)
    )]
    NoKey {
        /// Why each of them is none.
        lines: Vec<KeyLineError>,
    },
}

/// What the options say that works, but should be known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Both ways to log in were given.
    #[error(
        "both \"authorized_keys\" and \"password\" are set: the keys count, the password does not; remove one of them"
    )]
    PasswordIgnored,
    /// A line that is no usable key; the others are.
    #[error("{0}; the other lines are used")]
    KeyLine(KeyLineError),
    /// A key that is usable and weak.
    #[error(
        "authorized_keys line {line}: an RSA key of {bits} bits is accepted, but 3072 or an ed25519 key would be better"
    )]
    WeakRsa {
        /// Which line, from 1.
        line: usize,
        /// Its length.
        bits: u32,
    },
    /// The same key again.
    #[error("authorized_keys line {line}: the key of line {first} again; line {first} counts")]
    Repeated {
        /// Which line, from 1.
        line: usize,
        /// Where it was first.
        first: usize,
    },
    /// A key that will not log in any more.
    #[error(
        "authorized_keys line {line}: the key has expired at {at}, and does not log in; remove the line, or give it another expiry-time"
    )]
    Expired {
        /// Which line, from 1.
        line: usize,
        /// When, in RFC 3339.
        at: String,
    },
    /// An option that says nothing about such a key.
    #[error(
        "authorized_keys line {line}: {option} is for security keys (FIDO), and this key is none"
    )]
    Pointless {
        /// Which line, from 1.
        line: usize,
        /// Which.
        option: &'static str,
    },
    /// The login is a password.
    #[error("logins are by password: a key in \"authorized_keys\" would be much safer")]
    PasswordLogin,
}

struct Listed<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|item| write!(f, "\n  - {item}"))
    }
}

struct Weak(Weakness);

impl fmt::Display for Weak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Weakness::Short(least) => write!(f, "has fewer than {least} characters"),
            Weakness::UserName => f.write_str("is the user name, or little more"),
            Weakness::Repeated => f.write_str("is one character again and again"),
            Weakness::Run => f.write_str("is a run of neighbouring characters"),
            Weakness::Known => f.write_str("is among those that are tried first"),
        }
    }
}

struct Meant(Option<&'static str>);

impl fmt::Display for Meant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "; \"{name}\" may be meant"),
            None => write!(
                f,
                "; the known ones are {}",
                super::options::NAMES.join(", ")
            ),
        }
    }
}
