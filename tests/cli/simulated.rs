//! The program outside a session, against the simulated Supervisor with its routes, its rules and what bodies may hold.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Hassio, program, scratch};
use crate::recorder::Recorded;
use crate::walk::{Row, groups, rows, spellings};

const TOKEN: &str = "0123456789abcdef-the-supervisors-token";

/// One of its own for each thread of a test.
struct Simulated {
    child: Child,
    address: String,
    dir: PathBuf,
}

impl Simulated {
    fn start() -> Self {
        let deps = std::env::current_exe().unwrap();
        let folder = deps.parent().unwrap().parent().unwrap();
        let path = folder.join("examples/simulated-supervisor");
        assert!(
            path.exists(),
            "{} is missing: cargo build --examples",
            path.display()
        );
        let dir = scratch();
        let mut child = program(path)
            .args(["--listen", "127.0.0.1:0", "--role", "admin"])
            .args(["--token", TOKEN])
            .args(["--config-dir".as_ref(), dir.as_os_str()])
            .args(["--record".as_ref(), dir.join("requests").as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        Self {
            child,
            address: address.to_owned(),
            dir,
        }
    }

    fn hassio(&self, line: &str) -> Hassio {
        let mut hassio = Hassio::new(line);
        hassio.command.current_dir(&self.dir);
        hassio.env("HOME", &self.dir).env("SUPERVISOR_TOKEN", TOKEN)
    }

    fn forget(&self) {
        fs::write(self.dir.join("requests"), "").unwrap();
    }

    /// What was asked since it was told to forget.
    fn requests(&self) -> Vec<Recorded> {
        let text = fs::read_to_string(self.dir.join("requests")).unwrap();
        let whole = text
            .lines()
            .map_while(|line| serde_json::from_str(line).ok());
        whole.map(|entry: Value| recorded(&entry)).collect()
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
        fs::remove_dir_all(&self.dir).unwrap_or_default();
    }
}

fn recorded(entry: &Value) -> Recorded {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let query = entry["query"].as_str().map(|query| format!("?{query}"));
    let headers = entry["headers"].as_object().unwrap().iter();
    Recorded {
        method: text(&entry["method"]),
        target: text(&entry["path"]) + &query.unwrap_or_default(),
        headers: headers
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        body: text(&entry["body"]).into_bytes(),
    }
}

/// What is wrong with the request that a command line made, and with what became of it.
fn wrong(simulated: &Simulated, name: &str, words: &str, row: &Row) -> Option<String> {
    simulated.forget();
    let mut hassio = simulated.hassio(words);
    for word in row.arguments.split(' ').filter(|word| !word.is_empty()) {
        hassio = hassio.word(word);
    }
    let mut hassio = hassio
        .word("--endpoint")
        .word(&simulated.address)
        .called(name);
    let line = format!("{name} {words} {}", row.arguments);
    if row.follows() {
        let mut child = hassio.start();
        let end = Instant::now() + Duration::from_secs(10);
        while simulated.requests().is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    } else {
        let run = hassio.run();
        // It may say no: there is no such backup, and a console's calls are not for apps. But it knows the call and its body.
        let knows = [
            "does not know this call",
            "extra keys not allowed",
            "Invalid json",
        ];
        let known = !knows.iter().any(|text| run.err.contains(text));
        if !(known && matches!(run.code, Some(0 | 1))) {
            return Some(format!("{line}: {run:?}"));
        }
    }
    // The last one is the command's; those before are looks, and those behind look for close slugs.
    let requests = simulated.requests();
    let mut failures = Vec::new();
    for asked in requests.iter().rev() {
        let failure = row.difference(&line, asked, "Bearer (token)")?;
        failures.push(failure);
    }
    Some(failures.pop().unwrap_or(format!("{line}: nothing")))
}

#[test]
fn every_command_asks_a_supervisor_for_what_the_table_says_as_hassio_and_as_ha() {
    let (rows, groups) = (rows(), groups());
    let mut work = Vec::new();
    // What the broker answers itself has no place outside a session.
    for row in rows.iter().filter(|row| !row.target.starts_with("/sshd/")) {
        work.push(("hassio", row.words.clone(), row.clone()));
        for words in spellings(row, &groups) {
            work.push(("ha", words, row.clone()));
        }
    }
    assert!(work.len() > 1200, "{}", work.len());
    let (work, failures) = (Mutex::new(work), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let simulated = Simulated::start();
                loop {
                    let Some((name, words, row)) = work.lock().unwrap().pop() else {
                        return;
                    };
                    if let Some(failure) = wrong(&simulated, name, &words, &row) {
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} wrong:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// A way to a server that can be cut: what goes through it now, each connection both ways.
struct Way {
    address: String,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (server, open) = (server.to_owned(), Arc::<Mutex<Vec<TcpStream>>>::default());
        let kept = open.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = TcpStream::connect(&server).unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || {
                        let mut chunk = [0; 4096];
                        while let Ok(length @ 1..) = from.read(&mut chunk) {
                            if to.write_all(&chunk[..length]).is_err() {
                                break;
                            }
                        }
                    });
                }
                kept.lock().unwrap().extend([near, far]);
            }
        });
        Self { address, open }
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
    }
}

#[test]
fn a_log_that_is_cut_goes_on_by_the_journals_cursor_without_a_line_twice() {
    let simulated = Simulated::start();
    let way = Way::to(&simulated.address);
    let mut hassio = simulated
        .hassio("core logs -f -n 20 --endpoint")
        .word(&way.address);
    let mut child = hassio.start();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut seen = Vec::new();
    // In the history, and twice among what comes after it.
    for count in [20, 24, 29, 33] {
        while seen.len() < count {
            let mut line = String::new();
            assert!(reader.read_line(&mut line).unwrap() > 0, "{seen:?}");
            let number = line.trim_end().rsplit(' ').next().unwrap().to_owned();
            seen.push(number.parse::<usize>().unwrap());
        }
        way.cut();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(seen, (280..280 + seen.len()).collect::<Vec<_>>());
    let ranges: Vec<_> = simulated
        .requests()
        .iter()
        .map(|asked| asked.header("range").unwrap_or("-").to_owned())
        .collect();
    assert_eq!(ranges[0], "entries=:-19:");
    // From the first line that was seen, whose cursor it is: few enough came since.
    let place = |cursor: &str, skip| format!("entries={cursor}:{skip}:");
    let first = "s=83fee99ca0c3466db5fc120d52ca7dd8;i=118;b=f5a5c442fa6548cf97474d2d57c920b3";
    assert_eq!(ranges[1], place(first, 0));
    assert!(ranges.len() >= 4, "{ranges:?}");
}
