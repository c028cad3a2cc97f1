use std::io::{self, Read as _, Write as _};
use std::path::Path;

use reqwest::blocking::{Client, Response};
use reqwest::header::{ACCEPT, CONTENT_TYPE, RANGE};

use super::CliError;
use super::commands::Output;
use super::output;
use super::parser::Invocation;
use crate::wire::limits::{API_ANSWER_BYTES, API_ERROR_BYTES};

/// How much of a log is copied at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// The bytes of a JSON answer, and its status.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) bytes: Vec<u8>,
}

/// Makes a call and reads its answer whole.
pub(super) fn ask(socket: &Path, invocation: &Invocation) -> Result<Answer, CliError> {
    let response = send(socket, invocation)?;
    let status = response.status().as_u16();
    Ok(Answer {
        status,
        bytes: read(response, API_ANSWER_BYTES)?,
    })
}

/// Makes a call and copies its answer as it comes.
pub(super) fn copy(socket: &Path, invocation: &Invocation) -> Result<(), CliError> {
    let mut response = send(socket, invocation)?;
    if !response.status().is_success() {
        let status = response.status().as_u16();
        let bytes = read(response, API_ANSWER_BYTES)?;
        return output::answer(&Answer { status, bytes }, invocation.format);
    }
    let mut stdout = io::stdout().lock();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = match response.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CliError::BrokeOff(cause(&error))),
        };
        let bytes = chunk.get(..length).unwrap_or_default();
        stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .map_err(CliError::Write)?;
    }
}

fn send(socket: &Path, invocation: &Invocation) -> Result<Response, CliError> {
    let unreachable = |error: reqwest::Error| CliError::Connect {
        socket: socket.to_owned(),
        cause: cause(&error),
    };
    // No deadline of its own: the broker has one for each endpoint, and says so when it is over.
    let client = Client::builder()
        .no_proxy()
        .timeout(None)
        .unix_socket(socket)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("hassio/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(unreachable)?;
    let url = format!("http://hassio{}", invocation.path);
    let accept = match invocation.output {
        Output::Data => "application/json",
        Output::Text => "text/plain",
    };
    let mut request = match invocation.method {
        "POST" => client.post(url),
        _ => client.get(url),
    };
    request = request.header(ACCEPT, accept);
    if let Some(range) = &invocation.range {
        request = request.header(RANGE, range);
    }
    if let Some(body) = &invocation.body {
        request = request
            .header(CONTENT_TYPE, "application/json")
            .body(body.clone());
    }
    request.send().map_err(unreachable)
}

fn read(response: Response, limit_bytes: usize) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
    response
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::BrokeOff(cause(&error)))?;
    Ok(bytes)
}

/// The innermost reason: `No such file or directory (os error 2)`.
fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    crate::model::escape(inner.to_string().as_bytes(), API_ERROR_BYTES)
}
