//! What the server is told: the options file, the environment and the command line, read once and turned into the
//! [`crate::wire`] configuration of each process.
//!
//! `hassio-sshd` itself runs it, before any other process exists. Past it nobody reads options again: what is here has
//! the type of something that was checked. It must never show a password, in an error or otherwise.
#![forbid(unsafe_code)]

mod authorized_keys;
mod command;
mod environment;
mod gateways;
mod language;
mod options;
mod places;
mod problem;
mod roles;
mod value;

pub use authorized_keys::{
    KeyLineError, KeyLines, Rules, parse as parse_authorized_keys, summary as key_summary,
};
pub use command::{
    Arguments, AuditArguments, AuditCommand, Command, EraseArguments, ExportArguments,
    ExportFormat, FilterArguments, ListArguments, ReplayArguments, ServeArguments, ShowArguments,
    TailArguments, TrailArguments, VerifyArguments,
};
pub use environment::{Environment, EnvironmentWarning, time_zone};
pub use options::{Folder, LogLevel, Options, Read};
pub use places::{Configs, Places, Supervisor, SupervisorError};
pub use problem::{ConfigError, Problem, Warning};
pub use roles::{Offered, OfferedError, RoleView};
