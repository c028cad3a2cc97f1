use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::places::{Places, Supervisor};

mod audit;

pub use audit::{
    AuditArguments, AuditCommand, EraseArguments, ExportArguments, ExportFormat, FilterArguments,
    ListArguments, ReplayArguments, ShowArguments, TailArguments, TrailArguments, VerifyArguments,
};

const DEFAULT_PORT: u16 = 22;

/// The command line of `hassio-sshd`.
#[derive(Debug, Parser)]
#[command(
    name = "hassio-sshd",
    version,
    about = "An SSH server for Home Assistant in which every login is a sandbox",
    long_about = "An SSH server for Home Assistant in which every login is a sandbox.\n\n\
        As an app of Home Assistant it needs no argument but `serve`: the defaults are the app's. On any other Linux \
        machine run it as root and say where things are.",
    after_help = "Exit status: 0 done; 1 something went wrong at run time; 2 the command line or the options cannot be \
        used. Those of `audit` are in their help."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `hassio-sshd` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server in the foreground until SIGTERM or SIGINT
    Serve(ServeArguments),
    /// Read the options and ask the kernel, say what is and is not in force, and exit
    #[command(
        long_about = "Reads everything that `serve` would read and asks the kernel what it offers, then says which \
        protections would be in force and which would not. It asks by making a session's root, in a mount namespace of its \
        own that ends with it; nothing is listened on, and no file is changed. Looks at the folders, the host key and the lock \
        of the data folder as `serve` does, and exits with the same status where that could not start: 2 if the command line \
        or the options cannot be used, else 1."
    )]
    Check(ServeArguments),
    /// Work with the audit trail
    Audit(AuditArguments),
}

/// The arguments of `serve` and `check`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ServeArguments {
    /// The options: JSON, or by its ending YAML (.yaml, .yml) or TOML (.toml)
    #[arg(long, value_name = "PATH", default_value = "/data/options.json")]
    pub options: PathBuf,
    /// Home Assistant's configuration: what sessions see as /config
    #[arg(long, value_name = "PATH", default_value = "/config")]
    pub config_dir: PathBuf,
    /// Where the host key and the audit trail are kept; sessions never see it
    #[arg(long, value_name = "PATH", default_value = "/data")]
    pub data_dir: PathBuf,
    /// What to listen on; may be given several times [default: port 22 on all addresses, IPv4 and IPv6]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Vec<SocketAddr>,
    /// The Supervisor's address; its token comes from SUPERVISOR_TOKEN or HASSIO_TOKEN
    #[arg(long, value_name = "URL", default_value = "http://supervisor")]
    pub supervisor: Supervisor,
}

impl ServeArguments {
    /// Where things are.
    #[must_use]
    pub fn places(&self) -> Places {
        let everywhere = [
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ];
        let listen = if self.listen.is_empty() {
            everywhere
                .map(|ip| SocketAddr::new(ip, DEFAULT_PORT))
                .to_vec()
        } else {
            self.listen.clone()
        };
        Places {
            config_dir: self.config_dir.clone(),
            data_dir: self.data_dir.clone(),
            listen,
            supervisor: self.supervisor.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn serve(arguments: &[&str]) -> Result<ServeArguments, clap::Error> {
        let all = ["hassio-sshd", "serve"].iter().chain(arguments);
        Arguments::try_parse_from(all).map(|arguments| match arguments.command {
            Command::Serve(arguments) => arguments,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_the_apps() {
        let arguments = serve(&[]).unwrap();
        assert_eq!(arguments.options, PathBuf::from("/data/options.json"));
        let places = arguments.places();
        let listen: Vec<String> = places.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["0.0.0.0:22", "[::]:22"]);
        assert_eq!(places.supervisor.to_string(), "http://supervisor");
        assert_eq!(
            (places.config_dir, places.data_dir),
            ("/config".into(), "/data".into())
        );
    }

    #[test]
    fn places_can_be_given() {
        let arguments = ["--listen", "127.0.0.1:2222", "--listen", "[::1]:2222"];
        assert_eq!(serve(&arguments).unwrap().places().listen.len(), 2);
        for bad in [["--listen", "22"], ["--supervisor", "ftp://x"]] {
            assert_eq!(serve(&bad).unwrap_err().exit_code(), 2);
        }
    }
}
