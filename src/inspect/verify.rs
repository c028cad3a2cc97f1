//! `hassio-sshd audit verify`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use hassio_sshd::audit::note::Note;
use hassio_sshd::audit::verify;
use hassio_sshd::config::VerifyArguments;

use crate::{FAILURE, USAGE, shown};

/// More than a checkpoint, or a log in which one stands near the beginning.
const NOTE_BYTES: u64 = 1024 * 1024;

/// Verifies the trail and prints what was found.
pub(super) fn verify(arguments: &VerifyArguments) -> u8 {
    let against = match arguments.against.as_deref().map(note).transpose() {
        Ok(note) => note,
        Err(status) => return status,
    };
    let wanted = verify::Wanted {
        session: arguments.session,
        against,
    };
    let report = verify::directory(&arguments.data_dir.join("audit"), &wanted);
    let text = if arguments.json {
        report.to_json()
    } else {
        report.to_text()
    };
    match write!(std::io::stdout().lock(), "{text}") {
        Ok(()) => report.exit_code(),
        Err(_) => FAILURE,
    }
}

/// The checkpoint in a file; `-` is standard input.
fn note(path: &Path) -> Result<Note, u8> {
    let fail = |status, why: String| {
        let name = shown(path.as_os_str());
        // Nobody is left to be told if this fails.
        writeln!(std::io::stderr(), "hassio-sshd: --against {name}: {why}").ok();
        status
    };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(NOTE_BYTES)
            .read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(NOTE_BYTES).read_to_string(&mut text))
    };
    read.map_err(|error| fail(FAILURE, error.to_string()))?;
    Note::find(&text).ok_or_else(|| {
        let why = "holds no checkpoint: give the note, or the line of the log with `checkpoint=`";
        fail(USAGE, why.to_owned())
    })
}
