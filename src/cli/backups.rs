//! Backups: made and put back in whole or in part, and carried in and out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::CliError;
use super::client::{Request, Streamed, Upload};
use super::context::Context;
use super::error::Effect;
use super::given::{Given, query_value};
use super::output::{bytes as shown_bytes, note};
use super::progress::Line;
use super::tree::{Call, Limit, get, post};

mod part;

use part::Part;

/// How much is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// `backups new`: in part as soon as a part is named.
pub(super) fn new(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    // An unset variable of a shell: nobody would know that the backup is open to everybody.
    if given.text("password") == Some("") {
        return Err(CliError::usage(
            "the password is empty",
            "a backup without a password is made without --password",
        ));
    }
    let part = !given.list("app").is_empty() || !given.list("folders").is_empty();
    let call = if part {
        post("/backups/new/partial")
    } else {
        post("/backups/new/full")
    };
    let mut body = given.body();
    if given.list("app").contains(&ALL_APPS) {
        if given.list("app").len() > 1 {
            return Err(CliError::usage(
                "--app ALL is all of them already",
                "give ALL alone, or name the apps",
            ));
        }
        // A list would name an app that is called so.
        if let Some(members) = body.as_mut().and_then(Value::as_object_mut) {
            members.insert("addons".to_owned(), ALL_APPS.into());
        }
    }
    send(context, given, call, body)
}

/// The Supervisor's word for every app, in a new backup.
const ALL_APPS: &str = "ALL";

/// `backups restore`: likewise.
pub(super) fn restore(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    if given.list("app").contains(&ALL_APPS) {
        return Err(CliError::usage(
            "a restore has no --app ALL",
            "name the apps that are to be put back; `hassio backups info SLUG` lists those in the backup",
        ));
    }
    let part = given.switch("homeassistant").is_some()
        || !given.list("app").is_empty()
        || !given.list("folders").is_empty();
    let call = if part {
        post("/backups/{slug}/restore/partial")
    } else {
        post("/backups/{slug}/restore/full")
    };
    send(context, given, call, given.body())
}

fn send(
    context: &Context,
    given: &Given<'_>,
    call: Call,
    body: Option<Value>,
) -> Result<(), CliError> {
    let request = given.request_by(call)?;
    let request = match body {
        Some(body) => request.with(&body),
        None => request,
    };
    let answer = context.ask(given, request)?;
    context.finish(given, &answer)
}

/// `backups download`.
pub(super) fn download(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let slug = given.text("slug").unwrap_or_default();
    let location = given.text("location");
    let request = || {
        let mut request = given
            .request_by(get("/backups/{slug}/download"))?
            .within(Limit::Operation);
        request.accept = "application/tar, application/json";
        if let Some(location) = location {
            request.path = format!("{}?location={}", request.path, query_value(location));
        }
        Ok(request)
    };
    match given.text("output-file") {
        Some("") => Err(CliError::usage(
            "--output-file is empty",
            "it names a file; - is standard output",
        )),
        Some("-") => {
            let opened = open(context, given, request()?)?;
            let copied =
                copy(context, opened, &mut io::stdout().lock(), 0).map_err(Copy::into_error)?;
            is_all(copied, None)?;
            note(&format!("{} written", shown_bytes(copied)));
            Ok(())
        }
        name => {
            let path = name.map_or_else(|| PathBuf::from(format!("{slug}.tar")), PathBuf::from);
            if path.is_dir() {
                return Err(CliError::usage(
                    format!("{} is a folder", path.display()),
                    "--output-file names a file",
                ));
            }
            // A device, a pipe or a link stays what it is.
            let special = fs::symlink_metadata(&path).is_ok_and(|about| !about.is_file());
            match special {
                true => into_special(context, given, request()?, &path),
                false => {
                    let part = Part::open(part_of(&path, slug, location))?;
                    into_file(context, given, &request, part, &path)
                }
            }
        }
    }
}

/// Asks for all of a backup.
fn open(context: &Context, given: &Given<'_>, request: Request) -> Result<Streamed, CliError> {
    let opened = context.client.stream(request)?;
    if opened.status() == 206 {
        return Err(CliError::Unexpected {
            status: 206,
            what: "a part of it, where all of it was asked for".to_owned(),
            effect: Effect::Looks,
        });
    }
    checked(context, given, opened)
}

/// An answer that is a backup, and nothing else that comes with a good status: a page to log in, for example.
fn checked(context: &Context, given: &Given<'_>, opened: Streamed) -> Result<Streamed, CliError> {
    match (opened.status(), opened.kind()) {
        (200 | 206, kind) if kind == TAR => Ok(opened),
        (status @ (200 | 206), kind) => Err(CliError::Unexpected {
            status,
            what: match kind.as_str() {
                "" => "it does not say that it is a backup".to_owned(),
                kind => format!("{kind}, where there should be a backup"),
            },
            effect: Effect::Looks,
        }),
        _ => Err(not_sent(context, given, opened)?),
    }
}

/// What the Supervisor sends backups as.
const TAR: &str = "application/tar";

fn into_special(
    context: &Context,
    given: &Given<'_>,
    request: Request,
    path: &Path,
) -> Result<(), CliError> {
    let opened = open(context, given, request)?;
    let failed = |what| {
        move |source| CliError::File {
            what,
            path: path.to_owned(),
            source,
        }
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).map_err(failed("open"))?;
    let copied = copy(context, opened, &mut file, 0)
        .map_err(|error| match error {
            Copy::Write(source) => failed("write")(source),
            Copy::Read(error) => error,
        })
        .and_then(|copied| is_all(copied, None))
        .inspect_err(|_| note(&format!("{} has only what came", path.display())))?;
    written(copied, path);
    Ok(())
}

fn into_file(
    context: &Context,
    given: &Given<'_>,
    request: &impl Fn() -> Result<Request, CliError>,
    mut part: Part,
    path: &Path,
) -> Result<(), CliError> {
    let had = part.had;
    if part.is_whole() {
        return finish(part, path, had);
    }
    let mut opened = None;
    if let Some((range, same)) = part.place() {
        let mut rest = request()?;
        (rest.range, rest.if_range) = (Some(range), Some(same));
        let answer = context.client.stream(rest)?;
        // A part that does not fit is of another file.
        let fits = answer.status() != 416 && (answer.status() != 206 || part.fits(&answer));
        opened = fits.then_some(answer);
    }
    let opened = match opened {
        Some(opened) => checked(context, given, opened),
        None => open(context, given, request()?),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            if had == 0 {
                part.remove()?;
            }
            return Err(error);
        }
    };
    let from = match opened.status() {
        206 => had,
        _ => 0,
    };
    match from {
        0 => part.begin(&opened)?,
        _ => part.go_on(from)?,
    }
    match (had, from) {
        (0, _) => {}
        (_, 0) => note("what was there is not known to be of this backup: beginning anew"),
        _ => note(&format!("going on after {}", shown_bytes(from))),
    }
    let copied = copy(context, opened, &mut part.file, from);
    let synced = part.file.sync_all();
    let copied = copied.map_err(|error| {
        let name = part.path().display();
        note(&match part.can_go_on() {
            true => format!("{name} holds what came; the same command goes on from there"),
            false => format!("{name} holds what came; the server does not say of which file, so the same command begins anew"),
        });
        match error {
            Copy::Write(source) => part.failed("write", source),
            Copy::Read(error) => error,
        }
    })?;
    synced.map_err(|source| part.failed("write", source))?;
    is_all(copied, part.length())?;
    finish(part, path, copied)
}

/// A file that ends, well or not, before it is all there is none.
fn is_all(copied: u64, length: Option<u64>) -> Result<u64, CliError> {
    if copied > 0 && length.is_none_or(|length| length == copied) {
        return Ok(copied);
    }
    let whole = length.map_or_else(|| "a backup".to_owned(), shown_bytes);
    Err(CliError::BrokeOff {
        cause: format!("it ended after {} of {whole}", shown_bytes(copied)),
        effect: Effect::Looks,
    })
}

/// Gives a download that is whole its name.
fn finish(part: Part, path: &Path, length: u64) -> Result<(), CliError> {
    part.finish(path)?;
    written(length, path);
    Ok(())
}

fn written(length: u64, path: &Path) {
    note(&format!(
        "{} written to {}",
        shown_bytes(length),
        path.display()
    ));
}

/// Where a download is until it is whole. Its name says of which backup it is a part, and from which location: the same FILE may
/// have been begun with another.
fn part_of(path: &Path, slug: &str, location: Option<&str>) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    let named = path
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.contains(slug));
    if !named {
        part.push(format!(".{slug}"));
    }
    if let Some(location) = location {
        // No slash is left in it.
        part.push(format!(".{}", query_value(location).replace('/', "%2F")));
    }
    part.push(".part");
    PathBuf::from(part)
}

/// Why there is no backup in the answer.
fn not_sent(context: &Context, given: &Given<'_>, opened: Streamed) -> Result<CliError, CliError> {
    let answer = opened.whole()?;
    // The Supervisor says nothing at all where there is no such backup.
    let error = match (answer.status, answer.bytes.is_empty()) {
        (404, true) => missing(given),
        _ => answer.error(),
    };
    Ok(context.helpful(given, no_backup(given, error)))
}

/// The broker has only a status to tell where the Supervisor gives no reason.
fn no_backup(given: &Given<'_>, error: CliError) -> CliError {
    match error {
        CliError::Answer {
            message,
            status: 404,
            fault: None,
            ..
        } if message == "status 404" => missing(given),
        error => error,
    }
}

fn missing(given: &Given<'_>) -> CliError {
    CliError::Answer {
        message: format!(
            "there is no backup {}",
            given.text("slug").unwrap_or_default()
        ),
        status: 404,
        fault: None,
        hint: None,
    }
}

enum Copy {
    Read(CliError),
    Write(io::Error),
}

impl Copy {
    fn into_error(self) -> CliError {
        match self {
            Self::Read(error) => error,
            Self::Write(error) => CliError::Write(error),
        }
    }
}

/// Writes what comes; how much there is then, with what was there.
fn copy(
    context: &Context,
    mut opened: Streamed,
    to: &mut impl Write,
    from: u64,
) -> Result<u64, Copy> {
    let length = opened
        .header("content-length")
        .and_then(|length| length.parse::<u64>().ok());
    let meter = Meter::new(length.map(|length| length + from), from);
    let line = meter.show(context);
    let mut chunk = vec![0; CHUNK_BYTES];
    let ended = loop {
        let length = match opened.read(&mut chunk) {
            Ok(0) => break to.flush().map_err(Copy::Write),
            Ok(length) => length,
            Err(error) => break Err(Copy::Read(error)),
        };
        let bytes = chunk.get(..length).unwrap_or_default();
        if let Err(error) = to.write_all(bytes) {
            break Err(Copy::Write(error));
        }
        meter
            .count
            .fetch_add(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
    };
    line.end();
    ended.map(|()| meter.count.load(Ordering::Relaxed))
}

/// How many bytes have passed.
struct Meter {
    count: Arc<AtomicU64>,
    all: Option<u64>,
}

impl Meter {
    fn new(all: Option<u64>, from: u64) -> Self {
        Self {
            count: Arc::new(AtomicU64::new(from)),
            all,
        }
    }

    fn show(&self, context: &Context) -> Line {
        let (count, all) = (Arc::clone(&self.count), self.all);
        Line::begin(context.progress, move || {
            let count = count.load(Ordering::Relaxed);
            Some(match all.filter(|all| *all > 0) {
                Some(all) => format!(
                    "{} % of {}",
                    count.saturating_mul(100) / all,
                    shown_bytes(all)
                ),
                None => shown_bytes(count),
            })
        })
    }
}

pub(super) const UPLOAD: Call = post("/backups/new/upload");

/// `backups upload`.
pub(super) fn upload(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let name = given.text("file").unwrap_or("-");
    let (file, length) = source(name)?;
    let meter = Meter::new(length, 0);
    let line = meter.show(context);
    // 122 random bits: no file has them by chance, and who makes a file cannot know them.
    let boundary = uuid::Uuid::now_v7().simple().to_string();
    let answer = context.client.upload(Upload {
        path: upload_path(given),
        kind: format!("multipart/form-data; boundary={boundary}"),
        head: format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"backup.tar\"\r\n\
             Content-Type: application/tar\r\n\r\n"
        ),
        file,
        name: name.into(),
        length,
        tail: format!("\r\n--{boundary}--\r\n"),
        count: Arc::clone(&meter.count),
    });
    line.end();
    context.printer.answer(&answer?)
}

/// What is to be sent, and how long it is, where that is known.
fn source(name: &str) -> Result<(File, Option<u64>), CliError> {
    if name == "-" {
        let stdin = io::stdin().as_fd().try_clone_to_owned();
        return Ok((stdin.map_err(CliError::Read)?.into(), None));
    }
    let failed = |source| CliError::File {
        what: "read",
        path: name.into(),
        source,
    };
    let file = File::open(name).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.is_dir() {
        return Err(CliError::usage(
            format!("{name} is a folder"),
            "FILE is a backup's .tar",
        ));
    }
    let length = about.is_file().then_some(about.size());
    Ok((file, length))
}

fn upload_path(given: &Given<'_>) -> String {
    let mut query = Vec::new();
    for location in given.list("location") {
        query.push(format!("location={}", query_value(location)));
    }
    if let Some(name) = given.text("filename") {
        query.push(format!("filename={}", query_value(name)));
    }
    let path = UPLOAD.path;
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", query.join("&"))
    }
}
