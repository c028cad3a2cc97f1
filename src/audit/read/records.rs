use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::filter::Filter;
use super::line::Record;
use super::trail::{Reading, SessionFile, Trail};
use crate::audit::store::Store;

/// How many files are held open while records are shown in the order of time.
const FILES: usize = 200;

/// Where a record is.
struct Place {
    /// Its time as it is written: these sort as they are.
    ts: [u8; 27],
    file: usize,
    at: u64,
    length: usize,
}

/// A record as it lies in the trail.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'r> {
    /// What it says.
    pub record: &'r Record,
    /// Its line, without the newline.
    pub line: &'r str,
    /// The path of its file below the audit folder.
    pub file: &'r str,
    /// Where the next one begins in it.
    pub end: u64,
}

/// Shows `visit` all records that fit, by their time; or the last `newest` of them. Those of one session alone if
/// `session` is given.
///
/// # Errors
/// What `visit` gives.
pub fn records<E>(
    trail: &Trail,
    filter: &Filter,
    session: Option<SessionFile>,
    newest: Option<usize>,
    mut visit: impl FnMut(Seen<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let ids: Vec<String> = match session {
        Some(file) => vec![file.id()],
        None => {
            let ledger = trail.segments().into_iter().map(Store::segment_id);
            let sessions = trail.sessions().into_iter();
            ledger.chain(sessions.map(SessionFile::id)).collect()
        }
    };
    let places = trail.read_all(&ids, |reading, index, id| {
        Some(places(trail, reading, filter, index, id))
    });
    let mut places: Vec<Place> = places.into_iter().flatten().collect();
    places.sort_unstable_by_key(|place| (place.ts, place.file, place.at));
    let first = newest.map_or(0, |newest| places.len().saturating_sub(newest));
    let mut open: HashMap<usize, File> = HashMap::new();
    let mut line = Vec::new();
    for place in places.iter().skip(first) {
        let Some(id) = ids.get(place.file) else {
            continue;
        };
        if open.len() >= FILES {
            open.clear();
        }
        line.resize(place.length, 0);
        let read = match open.entry(place.file) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(new) => {
                trail.open_file(id).map(|file| new.insert(file))
            }
        };
        let read = read.map_err(std::io::Error::from);
        if let Err(error) = read.and_then(|file| file.read_exact_at(&mut line, place.at)) {
            trail.problem(id, Some(place.at), &error.to_string());
            continue;
        }
        match (Record::read(&line), std::str::from_utf8(&line)) {
            (Some(record), Ok(line)) => {
                let end = place.at + u64::try_from(place.length).unwrap_or(0) + 1;
                visit(Seen {
                    record: &record,
                    line,
                    file: id,
                    end,
                })?;
            }
            _ => trail.damaged(id, place.at),
        }
    }
    Ok(())
}

/// The records of one file that fit.
fn places(
    trail: &Trail,
    reading: &mut Reading<'_>,
    filter: &Filter,
    file: usize,
    id: &str,
) -> Vec<Place> {
    let span = filter.span();
    let asks_who = filter.user.is_some() || filter.key.is_some() || filter.source.is_some();
    // All records of a session's file are about the same one.
    let mut who = if asks_who { Who::Unknown } else { Who::Fits };
    let is_session = id.starts_with("sessions/");
    let mut found = Vec::new();
    reading.pieces(id, |piece| {
        if who == Who::Unknown
            && is_session
            && let Some(first) = piece.lines().find_map(|(_, line)| Record::read(line))
        {
            let ip = first.ip().unwrap_or_default();
            who = match filter.fits_who(first.text("user"), first.text("key"), ip) {
                true => Who::Fits,
                false => Who::Differs,
            };
        }
        if who == Who::Differs {
            return;
        }
        filter.candidates(&span, piece, |at, head, line| {
            let Ok(head) = head else {
                return trail.damaged(id, at);
            };
            let parse = filter.text.is_some() || who == Who::Unknown;
            if parse && !Record::read(line).is_some_and(|record| filter.fits(&record)) {
                return;
            }
            if let Ok(ts) = head.ts.as_bytes().try_into() {
                let length = line.len();
                found.push(Place {
                    ts,
                    file,
                    at,
                    length,
                });
            }
        });
    });
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Each record is to be asked.
    Unknown,
    Fits,
    Differs,
}
