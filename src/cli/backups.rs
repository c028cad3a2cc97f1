//! Backups: made and put back in whole or in part, and carried in and out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::CliError;
use super::client::{Request, Streamed, Upload};
use super::context::Context;
use super::given::{Given, query_value};
use super::output::{bytes as shown_bytes, note};
use super::progress::Line;
use super::tree::{Call, Limit, get, post};

/// How much is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// `backups new`: in part as soon as a part is named.
pub(super) fn new(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
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
    let mut request = given
        .request_by(get("/backups/{slug}/download"))?
        .within(Limit::Operation);
    request.accept = "application/tar, application/json";
    if let Some(location) = given.text("location") {
        request.path = format!("{}?location={}", request.path, query_value(location));
    }
    match given.text("output-file") {
        Some("-") => {
            let opened = context.client.stream(request)?;
            if opened.status() != 200 {
                let error = opened.whole()?.error();
                return Err(context.helpful(given, no_backup(given, error)));
            }
            let copied =
                copy(context, opened, &mut io::stdout().lock(), 0).map_err(Copy::into_error)?;
            note(&format!("{} written", shown_bytes(copied)));
            Ok(())
        }
        name => {
            let path = name.map_or_else(|| PathBuf::from(format!("{slug}.tar")), PathBuf::from);
            into_file(context, given, request, &path)
        }
    }
}

fn into_file(
    context: &Context,
    given: &Given<'_>,
    mut request: Request,
    path: &Path,
) -> Result<(), CliError> {
    let part = part_of(path, given.text("slug").unwrap_or_default());
    let failed = |what| {
        let path = part.clone();
        move |source| CliError::File { what, path, source }
    };
    if path.is_dir() {
        return Err(CliError::usage(
            format!("{} is a folder", path.display()),
            "--output-file names a file",
        ));
    }
    let mut options = OpenOptions::new();
    // A backup holds secrets. A link that somebody put there is not followed.
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    let mut file = options.open(&part).map_err(failed("open"))?;
    let had = file.metadata().map_err(failed("open"))?.size();
    if had > 0 {
        request.range = Some(format!("bytes={had}-"));
    }
    let opened = context.client.stream(request)?;
    let from = match opened.status() {
        200 => 0,
        206 if begins_at(&opened, had) => had,
        416 if is_whole(&opened, had) => return finish(&part, path, had),
        _ => {
            if had == 0 {
                drop(file);
                fs::remove_file(&part).map_err(failed("remove"))?;
            }
            return Err(not_sent(context, given, opened, had, &part)?);
        }
    };
    if had > 0 {
        note(&if from > 0 {
            format!("going on after {}", shown_bytes(from))
        } else {
            "the server begins anew".to_owned()
        });
    }
    file.set_len(from).map_err(failed("write"))?;
    file.seek(SeekFrom::Start(from)).map_err(failed("write"))?;
    let copied = copy(context, opened, &mut file, from);
    let synced = file.sync_all().map_err(failed("write"));
    let copied = copied.map_err(|error| match error {
        Copy::Write(source) => failed("write")(source),
        Copy::Read(error) => {
            note(&format!(
                "{} holds what came; the same command goes on from there",
                part.display()
            ));
            error
        }
    })?;
    synced?;
    finish(&part, path, copied)
}

/// Gives a download that is whole its name.
fn finish(part: &Path, path: &Path, length: u64) -> Result<(), CliError> {
    fs::rename(part, path).map_err(|source| CliError::File {
        what: "rename",
        path: part.to_owned(),
        source,
    })?;
    note(&format!(
        "{} written to {}",
        shown_bytes(length),
        path.display()
    ));
    Ok(())
}

/// Where a download is until it is whole. Its name says of which backup it is a part: the same FILE may have been begun
/// with another.
fn part_of(path: &Path, slug: &str) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    let named = path
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.contains(slug));
    if !named {
        part.push(format!(".{slug}"));
    }
    part.push(".part");
    PathBuf::from(part)
}

/// Why there is no backup in the answer.
fn not_sent(
    context: &Context,
    given: &Given<'_>,
    opened: Streamed,
    had: u64,
    part: &Path,
) -> Result<CliError, CliError> {
    let answer = opened.whole()?;
    if answer.status == 416 || answer.status == 206 {
        return Ok(CliError::Failed(format!(
            "{} has {} and does not fit this backup: remove it and begin anew",
            part.display(),
            shown_bytes(had)
        )));
    }
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

/// Whether the answer to a request for a part begins where we want it to.
fn begins_at(opened: &Streamed, offset: u64) -> bool {
    let range = opened
        .header("content-range")
        .and_then(|range| range.strip_prefix("bytes "));
    let begin = range
        .and_then(|range| range.split('-').next())
        .and_then(|begin| begin.parse().ok());
    begin == Some(offset)
}

/// Whether nothing is left to send because all of it is here (RFC 9110 §15.5.17): who was interrupted may have had no time
/// to rename it.
fn is_whole(opened: &Streamed, had: u64) -> bool {
    let range = opened.header("content-range");
    let length = range.and_then(|range| range.strip_prefix("bytes */"));
    had > 0 && length.and_then(|length| length.parse().ok()) == Some(had)
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
