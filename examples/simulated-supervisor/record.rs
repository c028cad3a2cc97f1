//! The record of requests, for tests: a JSON line for each, with everything but the token.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;

use http::request::Parts;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::access;

/// The longest body that is recorded as it is.
const SHOWN_BYTES: usize = 64 * 1024;

pub(crate) struct Recorder(pub(crate) Option<PathBuf>);

/// A stream that went by.
#[derive(Default)]
pub(crate) struct Uploaded {
    pub(crate) bytes: u64,
    digest: Sha256,
}

impl Uploaded {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes += u64::try_from(bytes.len()).unwrap_or_default();
        self.digest.update(bytes);
    }
}

impl Recorder {
    pub(crate) fn note(
        &self,
        head: &Parts,
        token: &str,
        body: &[u8],
        uploaded: Option<&Uploaded>,
    ) -> io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let mut headers = Map::new();
        for (name, value) in &head.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).replace(token, "(token)");
            headers.insert(name.to_string(), Value::String(value));
        }
        let text = (body.len() <= SHOWN_BYTES).then(|| String::from_utf8_lossy(body));
        let (bytes, digest) = match uploaded {
            Some(uploaded) => (uploaded.bytes, uploaded.digest.clone().finalize()),
            None => (
                u64::try_from(body.len()).unwrap_or_default(),
                Sha256::digest(body),
            ),
        };
        let digest = digest.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            write!(text, "{byte:02x}").unwrap_or_default();
            text
        });
        let entry = json!({
            "method": head.method.as_str(),
            "path": head.uri.path(),
            "query": head.uri.query(),
            "headers": headers,
            "token": access::token(&head.headers) == Some(token),
            "body": text,
            "body_bytes": bytes,
            "body_sha256": digest,
        });
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(format!("{entry}\n").as_bytes())
    }
}
