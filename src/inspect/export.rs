use std::fs::File;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use hassio_sshd::audit::read::export::{Ocsf, asciicast_v2};
use hassio_sshd::audit::read::replay::{Cast, Ending, Recording};
use hassio_sshd::audit::read::{ReadError, SessionFile, Trail, records, shown};
use hassio_sshd::config::{ExportArguments, ExportFormat, FilterArguments};

use super::{Failure, filter, look, open, problems, replay, say, stdout};
use crate::FAILURE;

/// The most recordings of which one must be chosen that are named.
const NAMED: usize = 50;

/// `audit export`.
pub(super) fn export(arguments: &ExportArguments) -> Result<u8, Failure> {
    match (arguments.format, arguments.recorded.as_deref()) {
        (ExportFormat::Ocsf, None) => ocsf(arguments),
        (ExportFormat::Ocsf, Some(_)) => {
            let why = "is of records: a session is chosen with --session";
            Err(Failure::usage("format", "ocsf", why))
        }
        (ExportFormat::AsciicastV2, Some(session))
            if arguments.filter == FilterArguments::default() =>
        {
            asciicast(arguments, session)
        }
        (ExportFormat::AsciicastV2, _) => {
            let why = "is of one recording: filters choose none";
            Err(Failure::usage("format", "asciicast-v2", why))
        }
    }
}

fn ocsf(arguments: &ExportArguments) -> Result<u8, Failure> {
    let filter = filter(&arguments.filter, &look())?;
    let trail = open(&arguments.trail)?;
    let session = arguments.filter.session.as_deref();
    let session = session.map(|text| trail.find(text)).transpose()?;
    let mut out = Out::new(arguments.out.as_deref())?;
    let mut events = Ocsf::new(&trail);
    records(&trail, &filter, session, None, |seen| {
        writeln!(out, "{}", events.line(seen.record, seen.file)?)
    })?;
    out.finish()?;
    Ok(problems(&trail))
}

fn asciicast(arguments: &ExportArguments, session: &str) -> Result<u8, Failure> {
    let trail = open(&arguments.trail)?;
    let file = trail.find(session)?;
    let recording = one(&trail, file, arguments.channel.as_deref())?;
    let mut cast = Cast::open(&trail, &recording)?;
    let mut out = Out::new(arguments.out.as_deref())?;
    let ending = asciicast_v2(&mut cast, &mut out)?;
    out.finish()?;
    let mut status = 0;
    match ending {
        Ending::Whole(Some(_)) | Ending::Stopped => {}
        Ending::Whole(None) => say("has no end: it is still recorded, or was cut off"),
        Ending::Damaged(at, why) => {
            let id = recording.id();
            say(&format!(
                "{id}: damaged at byte {at}: {}; nothing after that is exported",
                shown(&why)
            ));
            status = FAILURE;
        }
    }
    Ok(problems(&trail).max(status))
}

/// The recording that is asked for.
fn one(trail: &Trail, file: SessionFile, channel: Option<&str>) -> Result<Recording, ReadError> {
    let mut found = replay::chosen(trail, file, channel)?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (last, _) => {
            let all = found.iter().chain(&last);
            Err(ReadError::Recordings {
                sid: file.sid,
                found: all.take(NAMED).map(Recording::name).collect(),
            })
        }
    }
}

/// Where it is written to.
enum Out {
    Stdout(BufWriter<StdoutLock<'static>>),
    File(BufWriter<File>),
}

impl Out {
    /// A file that is there is never written over, and what is made can be read by its owner alone.
    fn new(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self::Stdout(stdout()));
        };
        let made = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        match made {
            Ok(file) => Ok(Self::File(BufWriter::with_capacity(64 * 1024, file))),
            Err(source) => Err(Failure::Create {
                path: crate::shown(path.as_os_str()),
                source,
            }),
        }
    }

    /// All of it is where it belongs then.
    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File(file) => file.get_ref().sync_all(),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(out) => out.flush(),
        }
    }
}
