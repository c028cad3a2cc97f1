//! What a person sees of a trail that audit wrote: the program itself, run beside it.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hassio_sshd::audit::chain;
use serde_json::json;

use super::*;

mod list;
mod strange;
mod tail;

/// The program on a trail. Its data folder is made for it: the trail is the folder's `audit`.
struct Reader {
    data: PathBuf,
}

impl Reader {
    fn of(directory: &Directory) -> Self {
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

    fn run(&self, words: &[&str]) -> Output {
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
