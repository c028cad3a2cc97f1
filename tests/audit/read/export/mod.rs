//! The trail in other programs' formats.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

mod asciicast;
