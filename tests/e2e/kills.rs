//! kill -9 of audit, of the warden, and of a connection, at any moment, while clients do all that they do.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{Process, Server, Setup, eventually, finish};
use crate::tamper;

/// KILLS says how many there are, KILL_SEED which moments and places.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// xorshift64: a run that failed can be run again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Clients that are busy until they are dropped.
struct Busy {
    clients: Vec<Child>,
    over: Arc<AtomicBool>,
    /// Logins whose command the client has seen end well.
    logins: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Busy {
    fn start(server: &Server) -> Self {
        let run = |words: &[&str]| {
            let mut ssh = server.ssh();
            ssh.args(words);
            ssh.stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
        let to = "root@127.0.0.1";
        let mut clients = vec![
            run(&[
                "-tt",
                to,
                "--",
                "while :; do seq 1 300; date; sleep 0.02; done",
            ]),
            run(&[
                to,
                "--",
                "while :; do hassio info; hassio core restart; hassio os datadisk wipe --yes; done",
            ]),
        ];
        let mut sftp = server.client("sftp");
        sftp.args(server.ssh_options()).args(["-q", "-b", "-", to]);
        let mut sftp = sftp
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let puts: String = (0..10_000)
            .map(|n| format!("put up /config/f{}\nrm /config/f{}\n", n % 7, n % 7))
            .collect();
        let mut stdin = sftp.stdin.take().unwrap();
        std::thread::spawn(move || std::io::Write::write_all(&mut stdin, puts.as_bytes()).ok());
        clients.push(sftp);
        let (over, logins) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (stop, count) = (Arc::clone(&over), Arc::clone(&logins));
        let login = {
            let mut ssh = server.ssh();
            ssh.args([to, "--", "true"]);
            let words: Vec<_> = ssh.get_args().map(ToOwned::to_owned).collect();
            let client = server.client("ssh");
            move || {
                let mut again = std::process::Command::new("ssh");
                let folder = client.get_current_dir().unwrap();
                again
                    .args(&words)
                    .current_dir(folder)
                    .env_clear()
                    .env("HOME", folder)
                    .env("PATH", "/usr/bin:/bin");
                std::os::unix::process::CommandExt::uid(&mut again, 65534);
                finish({
                    again.stdin(Stdio::null());
                    again
                })
                .code()
                    == 0
            }
        };
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                count.fetch_add(usize::from(login()), Ordering::Relaxed);
            }
        });
        Self {
            clients,
            over,
            logins,
            thread: Some(thread),
        }
    }

    /// Ends all of them. Returns how many logins went well.
    fn end(mut self) -> usize {
        self.stop();
        self.logins.load(Ordering::Relaxed)
    }

    fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for client in &mut self.clients {
            client.kill().ok();
            client.wait().ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The last record of each session's file; none where not even one is whole.
fn ends(root: &Path) -> BTreeMap<String, Option<Value>> {
    let all = tamper::files(root).into_iter();
    all.filter(|file| file.starts_with("sessions/") && file.ends_with(".jsonl"))
        .map(|file| {
            let text = fs::read(root.join(&file)).unwrap();
            let whole = text
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            let last = text[..whole]
                .split(|byte| *byte == b'\n')
                .rfind(|line| !line.is_empty());
            let last = last.map(|line| serde_json::from_slice(line).unwrap());
            (file, last)
        })
        .collect()
}

fn is_closed(last: &Option<Value>) -> bool {
    last.as_ref()
        .is_some_and(|last| last["type"] == "session.close")
}

/// Both verifiers: intact, or but for what a crash tore.
#[track_caller]
fn is_sound(root: &Path, what: &str) {
    let report =
        hassio_sshd::audit::verify::directory(root, &hassio_sshd::audit::verify::Wanted::default());
    let code = report.exit_code();
    assert!([0, 13].contains(&code), "{what}: {}", report.to_text());
    tamper::judged(root, what, code, None);
}

/// Files with a mark, and up to where they are on the disk.
fn marked(root: &Path) -> Vec<(String, u64)> {
    let marks = fs::read_dir(root.join("open")).unwrap().flatten();
    let texts = marks.filter_map(|mark| fs::read_to_string(mark.path()).ok());
    let parts = texts.filter_map(|text| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [_, bytes, _, file] = words[..] else {
            return None;
        };
        Some((file.to_owned(), bytes.parse().ok()?))
    });
    parts.filter(|(file, _)| root.join(file).exists()).collect()
}

/// As a power cut leaves a file: what was not synced is gone, up to any place.
fn cut_what_was_not_synced(root: &Path, dice: &mut Dice, what: &str) {
    for (file, synced) in marked(root) {
        let path = root.join(&file);
        let length = fs::metadata(&path).unwrap().len();
        assert!(
            synced <= length,
            "{what}: {file} has {length} bytes of {synced}"
        );
        let left = synced + dice.below(length - synced + 1);
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(left)
            .unwrap();
    }
}

/// What was synced and is gone, on the other hand, is missing.
fn a_cut_of_what_was_synced_shows(root: &Path, copy: &Path, dice: &mut Dice, what: &str) {
    let all: Vec<_> = marked(root)
        .into_iter()
        .filter(|(_, synced)| *synced > 0)
        .collect();
    let (file, synced) = &all[usize::try_from(dice.below(all.len() as u64)).unwrap()];
    tamper::copy(root, copy);
    let left = dice.below(*synced);
    fs::File::options()
        .write(true)
        .open(copy.join(file))
        .unwrap()
        .set_len(left)
        .unwrap();
    tamper::judged(
        copy,
        &format!("{what}: {file} cut to {left} of {synced}"),
        11,
        None,
    );
}

#[test]
fn a_kill_at_any_moment_leaves_a_trail_that_verifies_and_no_session_open() {
    let (rounds, seed) = (
        number("KILLS", 9),
        number("KILL_SEED", 0x9e37_79b9_7f4a_7c15),
    );
    let mut dice = Dice(seed);
    let setup = || Setup {
        supervisor: true,
        ..Setup::default()
    };
    let mut server = Server::with(setup());
    fs::write(server.dir.join("client/up"), vec![7; 400_000]).unwrap();
    let (mut logins, mut crashed) = (0, 0);
    for round in 0..rounds {
        let victim = ["audit-writer", "warden", "connection"][usize::try_from(round % 3).unwrap()];
        let what = format!("round {round} of seed {seed:#x}: {victim}");
        let root = server.dir.join("data/audit");
        let before = ends(&root).len();
        let busy = Busy::start(&server);
        eventually("all are at work", || {
            (ends(&root).len() >= before + 4).then_some(())
        });
        std::thread::sleep(Duration::from_millis(dice.below(800)));
        let open_before = ends(&root).values().filter(|last| !is_closed(last)).count();
        match victim {
            "warden" => server.kill(),
            "audit-writer" => {
                let audit = server.role(victim).unwrap();
                kill(Pid::from_raw(audit.pid as i32), Signal::SIGKILL).unwrap();
                eventually("another audit", || {
                    server.role(victim).filter(|other| other.pid != audit.pid)
                });
                eventually("logins work again", || {
                    (server.run("true").code() == 0).then_some(())
                });
                logins += 1;
            }
            _ => {
                let front = server.role("front").unwrap();
                let is_its =
                    |process: &Process| process.line == front.line && process.pid != front.pid;
                let all: Vec<Process> = server.processes().into_iter().filter(is_its).collect();
                let one = &all[usize::try_from(dice.below(all.len() as u64)).unwrap()];
                // It may have ended by itself.
                kill(Pid::from_raw(one.pid as i32), Signal::SIGKILL).ok();
                server.run("true").good();
                logins += 1;
            }
        }
        logins += busy.end();
        if victim != "warden" {
            assert!(server.stop().success(), "{what}: {}", server.log());
        } else {
            let open: Vec<String> = ends(&root)
                .into_iter()
                .filter(|(_, last)| !is_closed(last))
                .map(|(file, _)| file)
                .collect();
            assert!(
                !open.is_empty() && open_before > 0,
                "{what}: nothing was open"
            );
            is_sound(&root, &format!("{what}, before the start"));
            a_cut_of_what_was_synced_shows(&root, &server.dir.join("copy"), &mut dice, &what);
            cut_what_was_not_synced(&root, &mut dice, &what);
            server = Server::at(server.into_dir(), setup());
            eventually("all sessions are closed", || {
                ends(&root).values().all(is_closed).then_some(())
            });
            assert!(server.stop().success(), "{what}: {}", server.log());
            for file in open {
                let close = ends(&root).remove(&file).flatten().unwrap();
                assert_eq!(close["d"]["reason"], "crash", "{what}: {file}");
                crashed += 1;
            }
        }
        let all = ends(&root);
        let open: Vec<_> = all.iter().filter(|(_, last)| !is_closed(last)).collect();
        assert!(open.is_empty(), "{what}: {open:#?}");
        assert!(
            all.len() >= logins,
            "{what}: {logins} logins in {} files",
            all.len()
        );
        is_sound(&root, &what);
        server = Server::at(server.into_dir(), setup());
    }
    println!("{rounds} kills, {logins} logins, {crashed} sessions closed as crashed");
    assert!(crashed > 0 || rounds < 2);
}
