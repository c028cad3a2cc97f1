//! What a person sees of a trail that audit wrote: the program itself, run beside it.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hassio_sshd::audit::chain;
use serde_json::json;

use super::*;

mod export;
mod list;
mod replay;
mod strange;
mod tail;

/// The program on a trail. Its data folder is made for it: the trail is the folder's `audit`.
pub(crate) struct Reader {
    data: PathBuf,
}

impl Reader {
    pub(crate) fn of(directory: &Directory) -> Self {
        let data = std::env::temp_dir().join(format!("hassio-sshd-read-{}", SessionId::new()));
        fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&directory.0, data.join("audit")).unwrap();
        Self { data }
    }

    fn command(&self, words: &[&str]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the test starts what it tests")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_hassio-sshd"));
        command.arg("audit").args(words).arg("--data-dir");
        command.arg(&self.data).env("TZ", "UTC");
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// What it prints when all is well.
    fn good(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.data).ok();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json_lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

const HOSTILE: &str =
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{1b}[6n\u{202e}\u{2066}\r\n\u{7f}\u{feff}\\";

/// Nothing but text and ends of lines.
fn harmless(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap();
    let fine = |c: char| c == '\n' || !(c.is_control() || hassio_sshd::model::is_hostile(c));
    text.chars().all(fine)
}

/// Puts a recording of a session into the trail.
fn record(directory: &Directory, sid: SessionId, name: &str, content: &[u8]) {
    let session = directory.session(sid);
    let folder = session
        .replace("sessions/", "recordings/")
        .replace(".jsonl", "");
    fs::create_dir_all(directory.0.join(&folder)).unwrap();
    fs::write(directory.0.join(folder).join(name), content).unwrap();
}

/// A recording of these outputs, each a tenth of a second after the one before.
fn cast(outputs: &[&str]) -> Vec<u8> {
    let mut lines = vec![
        json!({"version": 3, "term": {"cols": 80, "rows": 24, "type": "xterm"}, "timestamp": 1_700_000_000, "title": HOSTILE, "command": HOSTILE}).to_string(),
        "# head abc".to_owned(),
    ];
    for output in outputs {
        lines.push(format!("[0.1, \"o\", {}]", json!(output)));
        lines.push(json!([0.0, "m", HOSTILE]).to_string());
        lines.push(json!([0.0, "i", HOSTILE]).to_string());
        lines.push(json!([0.0, "b", "/w=="]).to_string());
    }
    lines.push("[0.1, \"x\", \"7\"]".to_owned());
    (lines.join("\n") + "\n").into_bytes()
}

/// Frames of 64 KiB each, and a table of them that no reader needs: a skippable frame.
fn sealed(content: &[u8]) -> Vec<u8> {
    let frames = content.chunks(64 * 1024);
    let mut all: Vec<u8> = frames
        .flat_map(|chunk| {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
            encoder.include_checksum(true).unwrap();
            std::io::Write::write_all(&mut encoder, chunk).unwrap();
            encoder.finish().unwrap()
        })
        .collect();
    all.extend([0x5e, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
    all
}
