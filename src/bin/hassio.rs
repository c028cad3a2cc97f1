//! `hassio`, also installed as `ha`: see [`hassio_sshd::cli`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    hassio_sshd::cli::run(std::env::args_os())
}
