use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use hassio_sshd::audit::read::{Follow, More, Record, record_line, records, shown_json};
use hassio_sshd::config::TailArguments;

use super::{Failure, filter, look, open, problems, stdout};

/// How long something may be on record before it is shown.
const INTERVAL: Duration = Duration::from_millis(200);

/// `audit tail`.
pub(super) fn tail(arguments: &TailArguments) -> Result<u8, Failure> {
    let look = look();
    let filter = filter(&arguments.filter, &look)?;
    let trail = open(&arguments.trail)?;
    let session = arguments.filter.session.as_deref();
    let session = session.map(|text| trail.find(text)).transpose()?;
    // Before anything is shown, so that nothing falls between.
    let mut follow = Follow::new(&trail);
    let mut shown = HashMap::new();
    let mut out = stdout();
    let write = |out: &mut dyn Write, record: &Record, line: &str| -> io::Result<()> {
        if arguments.json {
            writeln!(out, "{}", shown_json(line))
        } else {
            writeln!(out, "{}", record_line(record, &look))
        }
    };
    records(&trail, &filter, session, Some(arguments.number), |seen| {
        let end = shown.entry(seen.file.to_owned()).or_insert(0);
        *end = seen.end.max(*end);
        write(&mut out, seen.record, seen.line)
    })?;
    out.flush()?;
    let status = problems(&trail);
    if !arguments.follow {
        return Ok(status);
    }
    follow.pass_over(&shown);
    let session = session.map(|file| file.sid.to_string());
    loop {
        let (found, more) = follow.next(&filter);
        let wanted = found.iter().filter(|new| {
            let sid = session.as_ref();
            sid.is_none_or(|sid| new.record.text("sid") == sid)
        });
        for new in wanted {
            write(&mut out, &new.record, &new.line)?;
        }
        out.flush()?;
        problems(&trail);
        if more == More::Later {
            std::thread::sleep(INTERVAL);
        }
    }
}
