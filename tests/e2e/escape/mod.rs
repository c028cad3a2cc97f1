//! What a session must not be able to do, tried from inside through a real client. The numbers are the claims' in
//! docs/sandbox.md.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Done, Server, Setup, eventually, feed, finish, folder, have, within};

mod credentials;
mod devices;
mod distrust;
mod ending;
mod exhaustion;
mod files;
mod identity;
mod others;
mod packages;

/// `line` must fail, whatever its reason.
#[track_caller]
fn refused(server: &Server, line: &str) -> Done {
    let done = server.run(line);
    assert_ne!(done.code(), 0, "{line} was not refused: {done:?}");
    assert_ne!(done.code(), 255, "the session ended: {done:?}");
    done
}

/// A line of Python in a session; the image of these tests has it.
fn python(line: &str) -> String {
    format!("python3 -c '{line}'")
}
