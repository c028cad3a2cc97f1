use std::io::Write;

use hassio_sshd::audit::read;
use hassio_sshd::config::ShowArguments;

use super::{Failure, look, open, problems, stdout};

/// `audit show`.
pub(super) fn show(arguments: &ShowArguments) -> Result<u8, Failure> {
    let trail = open(&arguments.trail)?;
    let file = trail.find(&arguments.session)?;
    let mut out = stdout();
    if arguments.json {
        read::show_json(&trail, file, &mut out)?;
    } else {
        read::show(&trail, file, &look(), &mut out)?;
    }
    out.flush()?;
    Ok(problems(&trail))
}
