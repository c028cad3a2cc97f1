use std::os::fd::AsFd;

use crate::model::Grant;
use crate::policy::sandbox::Sandbox;
use crate::sandbox::Launched;
use crate::wire::{Forced, Link, LinkError, Terms};

/// What a connection alone knows, and may set for a forced command too: where its client is, and what that asked for and has as
/// a terminal. `TZ` is the server's own.
const OF_CONNECTION: [&str; 5] = [
    "SSH_CONNECTION",
    "SSH_ORIGINAL_COMMAND",
    "SSH_TTY",
    "TERM",
    "TZ",
];

/// What session-init is to hold a login to.
pub(super) fn terms(policy: &Sandbox, grant: &Grant) -> Terms {
    Terms {
        terminal: grant.permits.pty,
        forwards: grant.forwarding.any(),
        forced: grant.command.as_ref().map(|command| {
            let accepted = &policy.accepted_environment;
            let mut environment = policy.environment.clone();
            environment.retain(|name, _| !accepted.admits(name));
            environment.extend(grant.environment.iter().cloned());
            let shell = &policy.programs.shell;
            let name = shell.rsplit('/').next().unwrap_or(shell);
            Forced {
                path: shell.clone(),
                arguments: [name, "-c", command]
                    .map(|word| word.as_bytes().to_vec())
                    .into(),
                directory: environment
                    .get("HOME")
                    .cloned()
                    .unwrap_or_else(|| "/".to_owned()),
                environment: environment.into_iter().collect(),
                names: accepted
                    .names
                    .iter()
                    .cloned()
                    .chain(OF_CONNECTION.map(str::to_owned))
                    .collect(),
            }
        }),
    }
}

/// Tells session-init, before its connection can. Waits for nobody: nothing was ever written to this socket.
///
/// # Errors
/// `Socket` when session-init is gone.
pub(super) fn tell(launched: &Launched, terms: &Terms) -> Result<(), LinkError> {
    let own = launched.control.as_fd().try_clone_to_owned();
    let own = own.map_err(|_| LinkError::Socket(crate::sys::Errno::EMFILE))?;
    Link::<Terms, ()>::from_fd(own)?.send(terms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AuditFailure, ConfigAccess, Login, Network, Permits, RecordingMode};

    fn grant(command: Option<&str>) -> Grant {
        Grant {
            user: "root".to_owned(),
            login: Login::Password,
            role: "operator".parse().unwrap(),
            config: ConfigAccess::Absent,
            network: Network::None,
            recording: RecordingMode::Off,
            audit_failure: AuditFailure::Closed,
            command: command.map(str::to_owned),
            environment: vec![("LC_TIME".to_owned(), "C".to_owned())],
            permits: Permits::all(),
            forwarding: crate::model::Forwarding::default(),
        }
    }

    #[test]
    fn a_forced_command_runs_by_the_policys_shell_and_path() {
        let policy = Sandbox::shipped().unwrap();
        let forced = terms(&policy, &grant(Some("hassio info; true")))
            .forced
            .unwrap();
        assert_eq!(forced.path, policy.programs.shell);
        assert_eq!(
            forced.arguments,
            [&b"bash"[..], b"-c", b"hassio info; true"]
        );
        assert_eq!(forced.directory, "/root");
        let set = |name: &str| {
            let mut found = forced.environment.iter().filter(|(known, _)| known == name);
            found.next().map(|(_, value)| value.as_str())
        };
        assert_eq!(
            set("PATH"),
            policy.environment.get("PATH").map(String::as_str)
        );
        assert_eq!((set("LC_TIME"), set("LANG")), (Some("C"), None));
        assert!(forced.names.iter().any(|name| name == "LC_*"));
        for name in [
            "PATH",
            "HOME",
            "SHELL",
            "BASH_ENV",
            "LD_PRELOAD",
            "HASSIO_SOCKET",
        ] {
            assert!(!forced.names.iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn a_login_without_one_is_held_to_its_switches_alone() {
        let policy = Sandbox::shipped().unwrap();
        let mut grant = grant(None);
        assert_eq!(
            terms(&policy, &grant),
            Terms {
                terminal: true,
                forwards: false,
                forced: None
            }
        );
        grant.permits.pty = false;
        assert!(!terms(&policy, &grant).terminal);
        grant.forwarding.agent = true;
        assert!(terms(&policy, &grant).forwards);
    }
}
