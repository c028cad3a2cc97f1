//! Starts servers and clients, each with folders of their own, and ends them.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

mod process;
mod run;

pub use process::Process;
pub use run::*;

/// The user that clients run as: not root, and known to getpwuid(3).
const CLIENT_UID: u32 = 65534;
/// Long enough for a busy machine with two cores; nothing waits for it when all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// What the simulated Supervisor wants to see.
pub const TOKEN: &str = "e2e-token-that-no-session-may-see";

/// What a server is started with.
pub struct Setup {
    /// Members of the options file beside `authorized_keys`; null takes one away.
    pub options: Value,
    /// Whether there is a Supervisor.
    pub supervisor: bool,
    /// Run on the fresh `/config` folder before the server starts.
    pub config: fn(&Path),
    /// More words of the command line.
    pub arguments: Vec<String>,
    /// A folder that is `/etc` for the server.
    pub etc: Option<PathBuf>,
    /// The server's `TZ`.
    pub zone: Option<&'static str>,
    /// A file for what the Supervisor was asked.
    pub log_requests: bool,
    /// Whether the server's processes are a group of their own, as under a shell or a service manager.
    pub own_group: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            options: json!({}),
            supervisor: false,
            config: |_| {},
            arguments: Vec::new(),
            etc: None,
            zone: None,
            log_requests: false,
            own_group: false,
        }
    }
}

/// A running server, its folders, and its clients' key.
pub struct Server {
    child: Child,
    supervisor: Option<Child>,
    pub dir: PathBuf,
    pub port: u16,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// The output without its last newline, of a command that must have gone well.
    #[track_caller]
    pub fn good(&self) -> &str {
        assert_eq!(self.code(), 0, "{self:?}");
        self.stdout.trim_end_matches('\n')
    }
}

impl Server {
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    pub fn with_supervisor() -> Self {
        Self::with(Setup {
            supervisor: true,
            ..Setup::default()
        })
    }

    pub fn with(setup: Setup) -> Self {
        Self::at(folder(), setup)
    }

    /// In a folder that may have been a server's before.
    pub fn at(dir: PathBuf, setup: Setup) -> Self {
        for name in ["config", "data", "client"] {
            fs::create_dir_all(dir.join(name)).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(dir.join(name), mode).unwrap();
        }
        fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        (setup.config)(&dir.join("config"));
        let key = dir.join("client/key");
        if !key.exists() {
            make_key(&key, "ed25519", &[]);
        }
        std::os::unix::fs::chown(dir.join("client"), Some(CLIENT_UID), Some(CLIENT_UID)).unwrap();
        // All clients come from there, also those that are to fail. Tests of penalties come from elsewhere.
        let mut options = json!({
            "authorized_keys": [public(&key)], "password": "", "penalty_exempt": ["127.0.0.1"],
        });
        for (name, value) in setup.options.as_object().unwrap() {
            match value {
                Value::Null => options.as_object_mut().unwrap().remove(name),
                value => options
                    .as_object_mut()
                    .unwrap()
                    .insert(name.clone(), value.clone()),
            };
        }
        fs::write(dir.join("options.json"), options.to_string()).unwrap();

        let supervisor = setup.supervisor.then(|| {
            let mut command = Command::new(app().join("simulated-supervisor"));
            command.args(["--listen", "127.0.0.1:0", "--token", TOKEN]);
            command.arg("--config-dir").arg(dir.join("config"));
            if setup.log_requests {
                command.arg("--record").arg(dir.join("requests"));
            }
            command
                .stdout(fs::File::create(dir.join("supervisor")).unwrap())
                .spawn()
                .unwrap()
        });
        let address = supervisor
            .is_some()
            .then(|| after(&dir.join("supervisor"), "listening on "));

        let mut command = server_command("serve", &dir);
        if let Some(etc) = &setup.etc {
            command = with_etc(&command, etc);
        }
        command.args(["--listen", "127.0.0.1:0"]);
        if let Some(zone) = setup.zone {
            command.env("TZ", zone);
        }
        if let Some(address) = address {
            command
                .env("SUPERVISOR_TOKEN", TOKEN)
                .arg("--supervisor")
                .arg(format!("http://{address}"));
        }
        command
            .args(&setup.arguments)
            .stderr(fs::File::create(dir.join("log")).unwrap());
        if setup.own_group {
            command.process_group(0);
        }
        // The server ends with its test, however that ends.
        let child = command.spawn().unwrap();
        let mut server = Self {
            child,
            supervisor,
            dir,
            port: 0,
        };
        let port = after(&server.dir.join("log"), "listening on 127.0.0.1:");
        server.port = port.parse().unwrap();
        server
    }

    /// The server's process: the warden.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap()
    }

    pub fn config(&self, name: &str) -> PathBuf {
        self.dir.join("config").join(name)
    }

    /// A program run as the client's user, in a folder of its own.
    pub fn client(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let dir = self.dir.join("client");
        command
            .uid(CLIENT_UID)
            .gid(CLIENT_UID)
            .current_dir(&dir)
            .env_clear();
        command
            .env("HOME", &dir)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("SHELL", "/bin/sh");
        command.stdin(Stdio::null());
        command
    }

    /// PuTTY's, which knows the host key.
    pub fn plink(&self) -> Command {
        let fingerprint = eventually("the host key's fingerprint is logged", || {
            let log = self.log();
            let at = log.find("the host key is SHA256:")?;
            log[at..].split_whitespace().nth(4).map(str::to_owned)
        });
        let mut plink = self.client("plink");
        plink.args(["-batch", "-ssh", "-hostkey", &fingerprint]);
        plink.args(["-P", &self.port.to_string()]);
        plink
    }

    /// OpenSSH's, with what it has to say.
    pub fn talking_ssh(&self) -> Command {
        let mut command = self.client("ssh");
        command.args(
            self.ssh_options()
                .into_iter()
                .map(|option| option.replace("LogLevel=ERROR", "LogLevel=INFO")),
        );
        command
    }

    /// OpenSSH's options for this server.
    pub fn ssh_options(&self) -> Vec<String> {
        let known = self.dir.join("client/known_hosts");
        let key = self.dir.join("client/key");
        ["-F", "none", "-i", key.to_str().unwrap()]
            .into_iter()
            .map(str::to_owned)
            .chain(
                [
                    "IdentitiesOnly=yes",
                    "IdentityAgent=none",
                    "LogLevel=ERROR",
                    "StrictHostKeyChecking=accept-new",
                    &format!("UserKnownHostsFile={}", known.display()),
                    &format!("Port={}", self.port),
                ]
                .into_iter()
                .flat_map(|option| ["-o".to_owned(), option.to_owned()]),
            )
            .collect()
    }

    /// `ssh`, ready for more options, then `root@127.0.0.1` and a command.
    pub fn ssh(&self) -> Command {
        let mut command = self.client("ssh");
        command.args(self.ssh_options());
        command
    }

    /// Runs a command line in a session of its own.
    #[track_caller]
    pub fn run(&self, line: &str) -> Done {
        let mut ssh = self.ssh();
        ssh.args(["root@127.0.0.1", "--", line]);
        finish(ssh)
    }

    /// The same with a terminal, and what is typed.
    #[track_caller]
    pub fn type_in(&self, text: &str) -> Done {
        let mut ssh = self.ssh();
        ssh.args(["-tt", "root@127.0.0.1"]);
        feed(ssh, text.as_bytes())
    }

    /// A session that stays, doing `line`, until it is dropped.
    pub fn background(&self, line: &str) -> Session {
        let mut ssh = self.ssh();
        ssh.args(["root@127.0.0.1", "--", &format!("echo here; {line}")]);
        let mut child = ssh
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut word = [0; 5];
        out.read_exact(&mut word)
            .expect("the session did not begin");
        Session { child, out }
    }

    /// All processes under the warden, itself first: number, command line, effective uid.
    pub fn processes(&self) -> Vec<Process> {
        let mut found = vec![];
        let mut waiting = vec![self.pid()];
        while let Some(pid) = waiting.pop() {
            let Some(process) = Process::read(pid) else {
                continue;
            };
            found.push(process);
            for entry in fs::read_dir("/proc").unwrap().flatten() {
                if let Ok(child) = entry.file_name().to_string_lossy().parse::<u32>()
                    && Process::parent(child) == Some(pid)
                {
                    waiting.push(child);
                }
            }
        }
        found
    }

    /// The one process of this role. Connections are called as the front is, but have a filter more; the spare is called as
    /// the warden is.
    pub fn role(&self, role: &str) -> Option<Process> {
        let line = format!("hassio-sshd {role}");
        let all = self.processes().into_iter();
        all.filter(|process| process.line == line && process.field("Name") != "session-spare")
            .min_by_key(|process| process.field("Seccomp_filters").parse::<u32>().unwrap_or(0))
    }

    /// Those of sessions: whose uid is a session's.
    pub fn session_processes(&self) -> Vec<Process> {
        self.processes()
            .into_iter()
            .filter(|process| (0x7000_0000..0x7001_0000).contains(&process.uid))
            .collect()
    }

    /// The child that waits for the next login, if there is one now.
    pub fn spare(&self) -> Option<Process> {
        let mut all = self.processes().into_iter();
        all.find(|process| process.field("Name") == "session-spare")
    }

    /// The same, once it has done what it can without a login.
    pub fn spare_waits(&self) -> Process {
        eventually("a spare that waits", || {
            let spare = self.spare()?;
            // Its last mount before it waits.
            let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", spare.pid)).ok()?;
            let ready = mounts.contains("/run ") && spare.field("State").starts_with('S');
            ready.then_some(spare)
        })
    }

    /// A session's process with this command line, once it is there.
    pub fn find(&self, line: &str) -> Process {
        eventually(line, || {
            self.session_processes()
                .into_iter()
                .find(|process| process.line == line)
        })
    }

    /// The records of all sessions and of the ledger, each file's in order.
    pub fn records(&self) -> Vec<Value> {
        let mut records = Vec::new();
        let mut folders = vec![self.dir.join("data/audit")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "jsonl") {
                    let text = fs::read_to_string(&path).unwrap();
                    // What is being written, or was torn, is none yet.
                    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
                    records.extend(
                        whole
                            .lines()
                            .map(|line| serde_json::from_str::<Value>(line).unwrap()),
                    );
                }
            }
        }
        records
    }

    pub fn records_of(&self, kind: &str) -> Vec<Value> {
        self.records()
            .into_iter()
            .filter(|record| record["type"] == kind)
            .collect()
    }

    /// Asks the server to end, and waits for it.
    pub fn stop(&mut self) -> ExitStatus {
        let pid = nix::unistd::Pid::from_raw(self.pid() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.wait()
    }

    /// Waits for the server to end.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the server ends", || self.child.try_wait().unwrap())
    }

    /// Signals all processes of the server's own group.
    pub fn signal_group(&self, signal: nix::sys::signal::Signal) {
        let group = nix::unistd::Pid::from_raw(self.pid() as i32);
        nix::sys::signal::killpg(group, signal).unwrap();
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The folder, kept after the server is gone.
    pub fn into_dir(mut self) -> PathBuf {
        self.stop_all();
        std::mem::take(&mut self.dir)
    }

    fn stop_all(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if let Some(mut supervisor) = self.supervisor.take() {
            supervisor.kill().ok();
            supervisor.wait().ok();
        }
    }

    /// Takes the Supervisor away.
    pub fn stop_supervisor(&mut self) {
        let mut supervisor = self.supervisor.take().unwrap();
        supervisor.kill().unwrap();
        supervisor.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.dir.as_os_str().is_empty() {
            return;
        }
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
        self.stop_all();
        fs::remove_dir_all(&self.dir).ok();
    }
}

/// A session in the background.
pub struct Session {
    pub child: Child,
    pub out: std::process::ChildStdout,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
