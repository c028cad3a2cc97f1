//! What session-init is asked to start for a channel. Pure.

use std::collections::BTreeMap;

use super::{ConnectionError, Policy};
use super::{rsync, transfer};
use crate::model::{ChannelNumber, Program};
use crate::policy::sandbox::AcceptedEnvironment;
use crate::wire::{FrontConfig, Spawn};

/// What all programs of a connection have in common.
#[derive(Debug)]
pub(super) struct Settings {
    shell: String,
    /// Where it lies, served or not.
    sftp_server: Option<String>,
    sftp: bool,
    home: String,
    environment: BTreeMap<String, String>,
    /// What clients may set.
    pub(super) accepted: AcceptedEnvironment,
}

/// What is a channel's own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes<'a> {
    /// What the client set, in its order, admitted.
    pub(super) environment: &'a [(String, String)],
    /// What its key sets, whatever the client did.
    pub(super) of_key: &'a [(String, String)],
    /// What the client asked for, where its key runs one command whatever that is.
    pub(super) asked: Option<&'a Program>,
    /// `TERM` and the terminal's number.
    pub(super) terminal: Option<(&'a str, u32)>,
}

impl Settings {
    /// `ends` is `SSH_CONNECTION`: both addresses of the TCP connection.
    pub(super) fn new(config: &FrontConfig, policy: &Policy, ends: String) -> Self {
        let mut environment = policy.sandbox.environment.clone();
        environment.insert("SHELL".to_owned(), config.shell.clone());
        environment.extend(config.environment.iter().cloned());
        environment.insert("SSH_CONNECTION".to_owned(), ends);
        let home = environment.get("HOME").cloned();
        let names = policy.sandbox.accepted_environment.names.clone();
        Self {
            shell: config.shell.clone(),
            sftp_server: policy.sftp_server.clone(),
            sftp: config.sftp,
            home: home.unwrap_or_else(|| "/".to_owned()),
            environment,
            accepted: AcceptedEnvironment { names },
        }
    }

    /// Whether the `sftp` subsystem is served.
    pub(super) fn serves_sftp(&self) -> bool {
        self.sftp && self.sftp_server.is_some()
    }

    /// Whether `program` is sftp-server and nothing else, asked for as a subsystem or as a command.
    pub(super) fn is_sftp(&self, program: &Program) -> bool {
        match program {
            Program::Sftp => true,
            Program::Command(command) => {
                let path = self.sftp_server.as_ref();
                path.is_some_and(|path| transfer::is_sftp_server(command, path))
            }
            Program::Shell => false,
        }
    }

    /// What to start for `program`.
    pub(super) fn plan(
        &self,
        channel: ChannelNumber,
        program: Program,
        wishes: Wishes<'_>,
    ) -> Spawn {
        let shell = || self.shell.clone();
        let (path, arguments) = match program {
            // A name that begins with "-" makes it a login shell (bash(1), INVOCATION).
            Program::Shell => (
                shell(),
                vec![format!("-{}", base(&self.shell)).into_bytes()],
            ),
            Program::Command(command) => {
                let command = rsync::as_mere_mortal(command);
                let name = base(&self.shell).as_bytes().to_vec();
                (shell(), vec![name, b"-c".to_vec(), command])
            }
            Program::Sftp => {
                let path = self.sftp_server.clone().unwrap_or_default();
                let name = base(&path).as_bytes().to_vec();
                (path, vec![name])
            }
        };
        Spawn {
            channel,
            path,
            arguments,
            environment: self.environment(&wishes),
            directory: self.home.clone(),
            terminal: wishes.terminal.is_some(),
        }
    }

    fn environment(&self, wishes: &Wishes<'_>) -> Vec<Vec<u8>> {
        let bytes = |(name, value): (String, String)| (name, value.into_bytes());
        let own = self.environment.clone().into_iter();
        let given = wishes.environment.iter().chain(wishes.of_key).cloned();
        let mut environment: BTreeMap<String, Vec<u8>> = own.chain(given).map(bytes).collect();
        if let Some((term, number)) = wishes.terminal {
            environment.insert("TERM".to_owned(), term.into());
            environment.insert("SSH_TTY".to_owned(), format!("/dev/pts/{number}").into());
        }
        // As sshd has it: of a shell there is none, of a subsystem the program.
        match wishes.asked {
            Some(Program::Command(command)) => {
                environment.insert(ORIGINAL_COMMAND.to_owned(), command.clone());
            }
            Some(Program::Sftp) => {
                let path = self.sftp_server.clone().unwrap_or_default();
                environment.insert(ORIGINAL_COMMAND.to_owned(), path.into_bytes());
            }
            Some(Program::Shell) | None => {}
        }
        let pairs = environment.into_iter();
        pairs
            .map(|(name, value)| [name.as_bytes(), b"=", &value].concat())
            .collect()
    }
}

/// What a forced command learns of what was asked for; sshd(8), `command="command"`.
const ORIGINAL_COMMAND: &str = "SSH_ORIGINAL_COMMAND";

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `SSH_CONNECTION`, as ssh(1) documents it.
pub(super) fn ends(
    peer: crate::model::Peer,
    tcp: &tokio::net::TcpStream,
) -> Result<String, ConnectionError> {
    let local = tcp.local_addr().map_err(ConnectionError::Watch)?;
    let ip = local.ip().to_canonical();
    Ok(format!("{} {} {ip} {}", peer.ip, peer.port, local.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::sandbox::Sandbox;
    use crate::policy::ssh::Ssh;

    fn settings() -> Settings {
        let config = FrontConfig {
            log_level: "info".to_owned(),
            environment: vec![("TZ".to_owned(), "Europe/Berlin".to_owned())],
            password: false,
            shell: "/bin/zsh".to_owned(),
            sftp: true,
            banner: String::new(),
            allow_from: Vec::new(),
            penalty_exempt: Vec::new(),
            compatibility_mode: false,
        };
        let policy = Policy {
            ssh: Ssh::shipped().unwrap(),
            sandbox: Sandbox::shipped().unwrap(),
            sftp_server: Some("/usr/lib/openssh/sftp-server".to_owned()),
        };
        Settings::new(&config, &policy, "192.0.2.1 5 192.0.2.2 22".to_owned())
    }

    const NONE: Wishes<'_> = Wishes {
        environment: &[],
        of_key: &[],
        asked: None,
        terminal: None,
    };

    #[test]
    fn a_shell_is_a_login_shell() {
        let spawn = settings().plan(ChannelNumber(0), Program::Shell, NONE);
        assert_eq!(
            (spawn.path.as_str(), spawn.arguments),
            ("/bin/zsh", vec![b"-zsh".to_vec()])
        );
        assert_eq!(spawn.directory, "/root");
    }

    #[test]
    fn a_command_goes_to_the_shell() {
        let command = b"rsync --server -e. . /config".to_vec();
        let spawn = settings().plan(ChannelNumber(0), Program::Command(command), NONE);
        let arguments: [&[u8]; 3] = [b"zsh", b"-c", b"rsync --server --no-super -e. . /config"];
        assert_eq!(spawn.arguments, arguments);
    }

    #[test]
    fn the_environment_is_built_and_never_inherited() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let client = [pair("LANG", "de_DE.UTF-8"), pair("LC_TIME", "de_DE.UTF-8")];
        let wishes = Wishes {
            environment: &client,
            of_key: &[pair("LC_TIME", "C")],
            terminal: Some(("xterm", 3)),
            ..NONE
        };
        let spawn = settings().plan(ChannelNumber(0), Program::Sftp, wishes);
        let environment: Vec<_> = spawn
            .environment
            .into_iter()
            .map(|pair| String::from_utf8(pair).unwrap())
            .collect();
        let expected = [
            "HASSIO_SOCKET=/run/hassio.sock",
            "HOME=/root",
            "LANG=de_DE.UTF-8",
            "LC_TIME=C",
            "LOGNAME=root",
            "PATH=/opt/hassio/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SHELL=/bin/zsh",
            "SSH_CONNECTION=192.0.2.1 5 192.0.2.2 22",
            "SSH_TTY=/dev/pts/3",
            "TAR_OPTIONS=--no-same-owner",
            "TERM=xterm",
            "TZ=Europe/Berlin",
            "USER=root",
        ];
        assert_eq!(environment, expected);
    }

    #[test]
    fn a_forced_command_learns_what_was_asked_for_as_with_sshd() {
        let forced = || Program::Command(b"hassio info".to_vec());
        let original = |asked: Program| {
            let wishes = Wishes {
                asked: Some(&asked),
                ..NONE
            };
            let spawn = settings().plan(ChannelNumber(0), forced(), wishes);
            assert_eq!(spawn.arguments.last().unwrap(), b"hassio info");
            let beginning = b"SSH_ORIGINAL_COMMAND=";
            let mut pairs = spawn.environment.into_iter();
            pairs.find_map(|pair| pair.strip_prefix(beginning).map(<[u8]>::to_vec))
        };
        assert_eq!(original(Program::Shell), None);
        assert_eq!(
            original(Program::Command(b"a \xff\n".to_vec())),
            Some(b"a \xff\n".to_vec())
        );
        assert_eq!(
            original(Program::Sftp),
            Some(b"/usr/lib/openssh/sftp-server".to_vec())
        );
    }
}
