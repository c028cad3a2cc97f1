//! The program with an environment of its own, in a pipe or on a terminal.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::recorder::{Recorded, Reply, Requests, on_socket};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A folder and a recording server of a test's own.
pub(crate) struct Setup {
    pub(crate) dir: PathBuf,
    pub(crate) requests: Requests,
}

impl Setup {
    pub(crate) fn new(rule: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        let dir = scratch();
        let requests = on_socket(&dir.join("socket"), rule);
        Self { dir, requests }
    }

    /// `hassio` with these words, divided by spaces.
    pub(crate) fn hassio(&self, line: &str) -> Run {
        self.command(line).run()
    }

    pub(crate) fn command(&self, line: &str) -> Hassio {
        let mut hassio = Hassio::new(line);
        hassio
            .command
            .current_dir(&self.dir)
            .env("HASSIO_SOCKET", self.dir.join("socket"))
            .env("HOME", &self.dir);
        hassio
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).unwrap_or_default();
    }
}

/// A folder of the test's own.
pub(crate) fn scratch() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "cli-test-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir(&dir).unwrap();
    dir
}

#[expect(clippy::disallowed_methods, reason = "the test starts real programs")]
pub(crate) fn program(path: impl AsRef<OsStr>) -> Command {
    Command::new(path)
}

/// A run to be.
pub(crate) struct Hassio {
    pub(crate) command: Command,
    input: Vec<u8>,
}

/// What a run did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Hassio {
    pub(crate) fn new(line: &str) -> Self {
        let mut hassio = Self::of(env!("CARGO_BIN_EXE_hassio"));
        let words = line.split(' ').filter(|word| !word.is_empty());
        hassio.command.args(words);
        hassio
    }

    /// Another program.
    pub(crate) fn of(path: &str) -> Self {
        let mut command = program(path);
        command.env_clear();
        Self {
            command,
            input: Vec::new(),
        }
    }

    pub(crate) fn word(mut self, word: impl AsRef<OsStr>) -> Self {
        self.command.arg(word);
        self
    }

    pub(crate) fn called(mut self, name: &str) -> Self {
        self.command.arg0(name);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    pub(crate) fn start(&mut self) -> Child {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) fn run(mut self) -> Run {
        let began = Instant::now();
        let mut child = self.start();
        let mut stdin = child.stdin.take().unwrap();
        let input = self.input;
        // A program that does not read its input closes it.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let done = finish(child, began);
        writer.join().unwrap();
        done
    }

    /// On a terminal of 100 columns; standard error as well.
    pub(crate) fn on_terminal(self) -> Run {
        self.on_terminal_typing(&[])
    }

    /// The same, with somebody who types each text as soon as the one before it is shown.
    pub(crate) fn on_terminal_typing(mut self, typing: &[(&str, &str)]) -> Run {
        let began = Instant::now();
        let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&main).unwrap();
        unlockpt(&main).unwrap();
        let name = ptsname(&main, Vec::new()).unwrap();
        let end = || {
            File::options()
                .read(true)
                .write(true)
                .open(name.to_str().unwrap())
                .unwrap()
        };
        let size = Winsize {
            ws_row: 25,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&main, size).unwrap();
        let command = self.command.env("TERM", "xterm");
        let child = command
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        // The ends of ours would keep the terminal open.
        drop(self.command);
        let mut main = File::from(main);
        let mut reading = main.try_clone().unwrap();
        let (show, shown) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut chunk = [0; 4096];
            // EIO is how a terminal says that nobody has it open any more.
            while let Ok(length @ 1..) = reading.read(&mut chunk) {
                show.send(chunk[..length].to_vec()).unwrap();
            }
        });
        let mut out = Vec::new();
        for (prompt, answer) in typing {
            let from = out.len();
            while !String::from_utf8_lossy(&out[from.saturating_sub(prompt.len())..])
                .contains(prompt)
            {
                let Ok(bytes) = shown.recv_timeout(DEADLINE) else {
                    break;
                };
                out.extend(bytes);
            }
            // It may have ended already.
            main.write_all(answer.as_bytes()).unwrap_or_default();
        }
        let status = wait(child);
        reader.join().unwrap();
        out.extend(shown.iter().flatten());
        Run {
            code: status.code(),
            signal: None,
            out: String::from_utf8(out).unwrap().replace("\r\n", "\n"),
            err: String::new(),
            took: began.elapsed(),
        }
    }
}

/// Waits for the end, and for all output.
pub(crate) fn finish(mut child: Child, began: Instant) -> Run {
    use std::os::unix::process::ExitStatusExt as _;
    let collect = |mut from: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = collect(Box::new(child.stdout.take().unwrap()));
    let err = collect(Box::new(child.stderr.take().unwrap()));
    let status = wait(child);
    Run {
        code: status.code(),
        signal: status.signal(),
        out: out.join().unwrap(),
        err: err.join().unwrap(),
        took: began.elapsed(),
    }
}

/// Waits for the end, but not for ever.
fn wait(mut child: Child) -> ExitStatus {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(2));
    }
}
