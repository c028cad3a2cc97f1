//! Commands, patience and files.

use super::*;

/// Runs a command to its end, within the patience of tests.
#[track_caller]
pub fn finish(mut command: Command) -> Done {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    collect(child)
}

/// The same with something on its standard input.
#[track_caller]
pub fn feed(mut command: Command, input: &[u8]) -> Done {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input).ok());
    let done = collect(child);
    writer.join().unwrap();
    done
}

#[track_caller]
fn collect(mut child: Child) -> Done {
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).ok();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = read(Box::new(child.stdout.take().unwrap()));
    let err = read(Box::new(child.stderr.take().unwrap()));
    let until = Instant::now() + PATIENCE * 2;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!(
                "no end after {:?}: {}{}",
                PATIENCE * 2,
                out.join().unwrap(),
                err.join().unwrap()
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Done {
        status,
        stdout: out.join().unwrap(),
        stderr: err.join().unwrap(),
    }
}

/// Asks again until there is an answer.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Asks again for as long as a claim allows.
#[track_caller]
pub fn within(limit: Duration, what: &str, mut ask: impl FnMut() -> bool) {
    let since = Instant::now();
    while !ask() {
        assert!(since.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The text after `pattern` in a file that is being written.
#[track_caller]
pub fn after(file: &Path, pattern: &str) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if let Some((_, rest)) = text.split_once(pattern)
            && let Some((word, _)) = rest.split_once('\n')
        {
            return word.trim().to_owned();
        }
        assert!(Instant::now() < until, "no {pattern:?} in:\n{text}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A new key pair of the client's.
pub fn make_key(path: &Path, kind: &str, more: &[&str]) {
    let mut keygen = Command::new("ssh-keygen");
    keygen
        .args(["-q", "-N", "", "-C", "e2e", "-t", kind])
        .args(more)
        .arg("-f")
        .arg(path);
    assert!(keygen.status().unwrap().success());
    std::os::unix::fs::chown(path, Some(CLIENT_UID), Some(CLIENT_UID)).unwrap();
}

/// The public half.
pub fn public(path: &Path) -> String {
    fs::read_to_string(format!("{}.pub", path.display()))
        .unwrap()
        .trim()
        .to_owned()
}

/// A new folder.
pub fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // On a disk, and open to the client's user, wherever this checkout and TMPDIR are.
    let dir =
        Path::new("/var/tmp").join(format!("hassio-sshd-e2e-{}-{number}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    dir
}

/// The programs as they are installed.
pub fn app() -> PathBuf {
    match std::env::var_os("TEST_APP") {
        Some(app) => app.into(),
        None => {
            panic!("TEST_APP is not set: run scripts/test, or set it to what scripts/build prints")
        }
    }
}

/// `hassio-sshd WORD` with the files of a server's folder, without any environment.
pub fn server_command(word: &str, dir: &Path) -> Command {
    let mut command = Command::new(app().join("hassio-sshd"));
    command.env_clear().arg(word);
    let places = [
        ("--options", "options.json"),
        ("--config-dir", "config"),
        ("--data-dir", "data"),
    ];
    for (name, place) in places {
        command.arg(name).arg(dir.join(place));
    }
    command
}

/// The same in a mount namespace in which another folder is `/etc`, and in the same process.
pub fn with_etc(command: &Command, etc: &Path) -> Command {
    let mut within = Command::new("unshare");
    within
        .env_clear()
        .args(["--mount", "--propagation", "private"]);
    within.args(["sh", "-c", "mount --bind \"$0\" /etc && exec \"$@\""]);
    within
        .arg(etc)
        .arg(command.get_program())
        .args(command.get_args());
    within
}

/// Whether a program that a test needs is here; under REQUIRE_ALL=1 it has to be.
pub fn have(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output()
        .unwrap()
        .status
        .success();
    if !found {
        assert!(
            std::env::var_os("REQUIRE_ALL").is_none(),
            "{program} is not installed"
        );
        println!("NOT TRIED: {program} is not installed");
    }
    found
}
