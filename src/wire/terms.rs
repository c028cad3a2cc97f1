use serde::{Deserialize, Serialize};

use super::message::Spawn;

/// What session-init holds its session to, whatever the connection says later: the first message on its control socket, which
/// the warden writes before the connection gets the other end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Whether programs may have a terminal.
    pub terminal: bool,
    /// Whether there may be a forwarder.
    pub forwards: bool,
    /// The one program that is started, if the login's key says so.
    pub forced: Option<Forced>,
}

/// The program that runs instead of whatever is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    /// The file to execute, an absolute path inside the sandbox.
    pub path: String,
    /// Its arguments, the zeroth included. No NUL.
    pub arguments: Vec<Vec<u8>>,
    /// What is set whatever the connection says: names and values.
    pub environment: Vec<(String, String)>,
    /// What the connection may set beside that: exact names, or beginnings that end in `*`.
    pub names: Vec<String>,
    /// Where to start.
    pub directory: String,
}

impl Terms {
    /// What is to be started for `asked`; none where it may not be.
    #[must_use]
    pub fn hold(&self, asked: Spawn) -> Option<Spawn> {
        if asked.terminal && !self.terminal {
            return None;
        }
        let Some(forced) = &self.forced else {
            return Some(asked);
        };
        let mut environment = asked.environment;
        environment.retain(|pair| {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            matches!((parts.next(), parts.next()), (Some(name), Some(_)) if forced.admits(name))
        });
        let set = forced.environment.iter();
        environment.extend(set.map(|(name, value)| format!("{name}={value}").into_bytes()));
        Some(Spawn {
            channel: asked.channel,
            path: forced.path.clone(),
            arguments: forced.arguments.clone(),
            environment,
            directory: forced.directory.clone(),
            terminal: asked.terminal,
        })
    }
}

impl Forced {
    /// Whether the connection may set this variable: what is set in any case it may not.
    fn admits(&self, name: &[u8]) -> bool {
        let fixed = self
            .environment
            .iter()
            .any(|(known, _)| known.as_bytes() == name);
        let listed = self.names.iter().any(|rule| match rule.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning.as_bytes()),
            None => name == rule.as_bytes(),
        });
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        listed && !fixed && name.iter().all(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ChannelNumber;

    fn asked(environment: &[&[u8]], terminal: bool) -> Spawn {
        Spawn {
            channel: ChannelNumber(3),
            path: "/config/evil".to_owned(),
            arguments: vec![b"evil".to_vec()],
            environment: environment.iter().map(|pair| pair.to_vec()).collect(),
            directory: "/config".to_owned(),
            terminal,
        }
    }

    fn terms() -> Terms {
        Terms {
            terminal: false,
            forwards: false,
            forced: Some(Forced {
                path: "/bin/bash".to_owned(),
                arguments: vec![b"bash".to_vec(), b"-c".to_vec(), b"hassio info".to_vec()],
                environment: vec![
                    ("PATH".to_owned(), "/usr/bin".to_owned()),
                    ("LC_TIME".to_owned(), "C".to_owned()),
                ],
                names: vec!["LC_*".to_owned(), "SSH_ORIGINAL_COMMAND".to_owned()],
                directory: "/root".to_owned(),
            }),
        }
    }

    #[test]
    fn a_forced_program_is_the_same_whatever_is_asked_for() {
        let environment: [&[u8]; 9] = [
            b"PATH=/config",
            b"LD_PRELOAD=/config/x.so",
            b"BASH_ENV=/config/x",
            b"BASH_FUNC_hassio%%=() { sh; }",
            b"LC_TIME=x",
            b"LC_%%=() { sh; }",
            b"SSH_ORIGINAL_COMMAND=a=b",
            b"LC_ALL=C",
            b"no pair",
        ];
        let held = terms().hold(asked(&environment, false)).unwrap();
        assert_eq!(
            (held.path.as_str(), held.directory.as_str()),
            ("/bin/bash", "/root")
        );
        assert_eq!(held.arguments, [&b"bash"[..], b"-c", b"hassio info"]);
        let expected: [&[u8]; 4] = [
            b"SSH_ORIGINAL_COMMAND=a=b",
            b"LC_ALL=C",
            b"PATH=/usr/bin",
            b"LC_TIME=C",
        ];
        assert_eq!(held.environment, expected);
        assert_eq!(held.channel, ChannelNumber(3));
    }

    #[test]
    fn a_terminal_is_started_only_where_one_may_be() {
        assert_eq!(terms().hold(asked(&[], true)), None);
        let with = Terms {
            terminal: true,
            ..terms()
        };
        assert!(with.hold(asked(&[], true)).unwrap().terminal);
        let free = Terms {
            terminal: true,
            forwards: false,
            forced: None,
        };
        assert_eq!(
            free.hold(asked(&[b"A=b"], true)),
            Some(asked(&[b"A=b"], true))
        );
        let without = Terms {
            terminal: false,
            forwards: false,
            forced: None,
        };
        assert_eq!(without.hold(asked(&[], true)), None);
        assert!(without.hold(asked(&[], false)).is_some());
    }
}
