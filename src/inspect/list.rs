use std::io::Write;

use hassio_sshd::audit::read::{
    Filter, Look, Trail, failed, failed_table, record_line, records, sessions, sessions_table,
    shown_json,
};
use hassio_sshd::config::ListArguments;
use serde::Serialize;

use super::{Failure, filter, look, open, problems, stdout};

/// `audit list`.
pub(super) fn list(arguments: &ListArguments) -> Result<u8, Failure> {
    let look = look();
    let filter = filter(&arguments.filter, &look)?;
    let trail = open(&arguments.trail)?;
    if arguments.records {
        list_records(arguments, &trail, &filter, &look)?;
    } else if arguments.failed {
        let found = failed(&trail, &filter);
        print(arguments, &found, |found| failed_table(found, &look))?;
    } else {
        let mut found = sessions(&trail, &filter);
        if let Some(text) = &arguments.filter.session {
            let one = trail.find(text)?;
            found.retain(|summary| summary.sid == one.sid);
        }
        print(arguments, &found, |found| sessions_table(found, &look))?;
    }
    Ok(problems(&trail))
}

/// The newest of what was found, as JSON or as a table.
fn print<T: Serialize>(
    arguments: &ListArguments,
    found: &[T],
    table: impl Fn(&[T]) -> String,
) -> Result<(), Failure> {
    let newest = arguments.number.unwrap_or(usize::MAX);
    let found = found
        .get(found.len().saturating_sub(newest)..)
        .unwrap_or_default();
    let mut out = stdout();
    if arguments.json {
        for one in found {
            let json = serde_json::to_string(one).map_err(std::io::Error::from)?;
            writeln!(out, "{}", shown_json(&json))?;
        }
    } else {
        write!(out, "{}", table(found))?;
    }
    out.flush()?;
    Ok(())
}

fn list_records(
    arguments: &ListArguments,
    trail: &Trail,
    filter: &Filter,
    look: &Look,
) -> Result<(), Failure> {
    let session = arguments.filter.session.as_deref();
    let session = session.map(|text| trail.find(text)).transpose()?;
    let mut out = stdout();
    records(trail, filter, session, arguments.number, |seen| {
        if arguments.json {
            writeln!(out, "{}", shown_json(seen.line))?;
        } else {
            writeln!(out, "{}", record_line(seen.record, look))?;
        }
        Ok::<_, std::io::Error>(())
    })?;
    out.flush()?;
    Ok(())
}
