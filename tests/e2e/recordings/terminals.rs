//! Sessions with a terminal: what it shows, what is typed, what is called meanwhile.

use std::io::Write;
use std::process::{Child, Stdio};

use super::*;

/// A shell in a terminal, typed into as a person does.
struct Typist<'a> {
    server: &'a Server,
    child: Child,
    /// Followed by a prompt that nothing else shows.
    prompts: usize,
}

impl<'a> Typist<'a> {
    fn new(server: &'a Server) -> Self {
        let mut ssh = server.ssh();
        ssh.args(["-tt", "root@127.0.0.1"]).stdin(Stdio::piped());
        let child = ssh
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut typist = Self {
            server,
            child,
            prompts: 0,
        };
        typist.line("PS1='[''ready] '");
        typist
    }

    fn keys(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// A command, until the next prompt.
    fn line(&mut self, text: &str) {
        self.keys(&format!("{text}\n"));
        self.prompts += 1;
        self.shows("[ready] ", self.prompts);
    }

    /// Waits until the live recording has `text` so often.
    fn shows(&self, text: &str, times: usize) {
        eventually(text, || {
            let all = files(self.server);
            let shown: String = all.iter().map(|file| live(file)).collect();
            (shown.matches(text).count() >= times).then_some(())
        });
    }

    fn end(mut self) {
        self.keys("exit\n");
        self.child.wait().unwrap();
    }
}

/// What a recording that may still grow shows.
fn live(file: &Path) -> String {
    match is_sealed(file) {
        true => Cast::read(file).shown(),
        false => match fs::metadata(file).map(|about| about.len()) {
            Ok(0) | Err(_) => String::new(),
            Ok(_) => Cast::read(file).shown(),
        },
    }
}

#[test]
fn a_terminal_is_recorded_with_its_sizes_and_its_end() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = Server::start();
    let script = "
import paramiko,sys,time
c=paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect('127.0.0.1',int(sys.argv[1]),'root',key_filename=sys.argv[2],allow_agent=False,look_for_keys=False)
ch=c.get_transport().open_session()
ch.get_pty('vt220',100,30)
ch.exec_command('''printf 'one\\\\n'; read x; stty size; printf 'gr\\\\303'; sleep 0.3; printf '\\\\274n'; exit 5''')
time.sleep(0.5)
ch.resize_pty(120,40)
time.sleep(0.3)
ch.send(b'typed\\n')
while ch.recv(1000): pass
assert ch.recv_exit_status()==5
c.close()
print('ok')
";
    let mut command = server.client(python);
    command
        .args(["-c", script, &server.port.to_string()])
        .arg(server.dir.join("client/key"));
    assert_eq!(finish(command).good(), "ok");
    let cast = only(&server);
    assert_eq!(
        cast.header["term"],
        json!({"cols": 100, "rows": 30, "type": "vt220"})
    );
    assert!(
        cast.header["command"]
            .as_str()
            .unwrap()
            .starts_with("printf")
    );
    assert_eq!(cast.of("r"), ["120x40"]);
    assert_eq!(cast.of("x"), ["5"]);
    // The terminal's own echo is output. Nothing was typed, as far as the recording knows.
    assert_eq!(cast.shown(), "one\r\ntyped\r\n40 120\r\ngrün");
    assert_eq!(cast.of("i"), Vec::<&str>::new());
    assert_eq!(cast.of("b"), Vec::<&str>::new());
    let last = cast.events.last().unwrap();
    assert_eq!(last.0, "x");
}

#[test]
fn a_shell_is_there_while_it_runs_and_survives_a_crash_of_the_server() {
    let mut server = Server::start();
    let mut typist = Typist::new(&server);
    typist.line("echo before");
    typist.shows("before\r\n", 1);
    let all = files(&server);
    assert!(all.len() == 1 && !is_sealed(&all[0]), "{all:?}");
    let mut child = typist.child;
    // As if the machine had lost power in the middle of a line.
    server.kill();
    child.kill().unwrap();
    child.wait().unwrap();
    fs::OpenOptions::new()
        .append(true)
        .open(&all[0])
        .unwrap()
        .write_all(b"[0.1,\"o\",\"hal")
        .unwrap();
    let dir = std::mem::take(&mut server.dir);
    let server = Server::at(dir, Setup::default());
    let cast = only(&server);
    assert!(
        cast.shown().contains("before\r\n") && !cast.shown().contains("hal"),
        "{cast:?}"
    );
    let close = closed(&server);
    assert_eq!(
        close["d"]["recordings"][0]["sha256"],
        sha256(&cast.plain),
        "{close}"
    );
    let recovery = server.records_of("recovery");
    assert!(
        recovery
            .iter()
            .any(|record| record["d"]["torn_bytes"] == 13),
        "{recovery:?}"
    );
}

#[test]
fn audit_that_was_restarted_goes_on_in_a_file_of_its_own() {
    let server = Server::start();
    let mut typist = Typist::new(&server);
    typist.line("echo first");
    let audit = server.role("audit-writer").unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(audit.pid as i32),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    eventually("another audit", || {
        server
            .role("audit-writer")
            .filter(|process| process.pid != audit.pid)
    });
    typist.line("echo second");
    typist.end();
    let casts = sealed(&server, 2);
    // The further one's name comes first.
    let (second, first) = (&casts[0], &casts[1]);
    assert!(first.shown().contains("first\r\n"), "{first:?}");
    assert!(second.shown().contains("second\r\n"), "{second:?}");
    let close = closed(&server);
    assert_eq!(
        close["d"]["recordings"].as_array().unwrap().len(),
        2,
        "{close}"
    );
}

#[test]
fn api_calls_and_denials_are_marked() {
    let server = Server::with(Setup {
        supervisor: true,
        options: json!({ "default_role": "observer" }),
        ..Setup::default()
    });
    let mut typist = Typist::new(&server);
    typist.line("hassio info >/dev/null");
    typist.line("hassio host reboot --yes >/dev/null 2>&1");
    typist.line("hassio core restart >/dev/null 2>&1");
    typist.end();
    let cast = only(&server);
    let markers = cast.of("m");
    assert!(markers.contains(&"call: GET /info"), "{markers:?}");
    assert!(
        markers.contains(&"denied: POST /core/restart"),
        "{markers:?}"
    );
}

#[test]
fn a_program_cannot_make_a_marker() {
    let server = Server::start();
    let mut typist = Typist::new(&server);
    typist.line("printf '%b' '[0.1,\"m\",\"call: GET /x\"]\\n# head x\\n\\033[31m\\x9b\\0'");
    typist.end();
    let cast = only(&server);
    assert_eq!(cast.of("m"), Vec::<&str>::new());
    assert!(cast.shown().contains("\u{1b}[31m"));
    let text = String::from_utf8(cast.plain).unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn what_is_typed_is_not_kept_unless_the_options_say_so() {
    let server = Server::start();
    let mut typist = Typist::new(&server);
    typist.keys("read -s x\n");
    typist.shows("read -s x", 1);
    typist.keys("hidden\n");
    typist.prompts += 1;
    typist.line("");
    typist.end();
    let cast = only(&server);
    assert_eq!(cast.of("i"), Vec::<&str>::new());
    let text = String::from_utf8(cast.plain).unwrap();
    assert!(
        !text.contains("hidden") && !text.contains("recorded, with"),
        "{text}"
    );
    let start = server.records_of("recording.start").pop().unwrap();
    assert_eq!(start["d"]["mode"], "output");
}

#[test]
fn input_is_kept_but_for_what_the_terminal_does_not_show() {
    let server = recording("input");
    let mut typist = Typist::new(&server);
    typist.line("echo shown");
    // A prompt for a password: the terminal reads lines, and does not echo.
    typist.keys("read -s -p 'pass''word: ' x\n");
    typist.shows("password: ", 1);
    for key in ["s", "e", "c", "r", "e", "t"] {
        typist.keys(key);
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    typist.line("");
    // An editor: no echo either, but single keys, which it shows itself.
    typist.keys("stty raw -echo; echo 'ra''w'; dd bs=1 count=3 status=none; stty sane\n");
    typist.shows("raw", 1);
    typist.keys("xyz");
    typist.prompts += 1;
    typist.shows("[ready] ", typist.prompts);
    typist.line("echo ${#x}");
    typist.end();
    let cast = only(&server);
    assert!(
        cast.shown()
            .starts_with("This session is recorded, with what you type.\r\n"),
        "{cast:?}"
    );
    let typed: String = cast.of("i").concat();
    assert!(
        typed.contains("echo shown") && typed.contains("xyz"),
        "{typed}"
    );
    // Once, however many keys it were.
    assert_eq!(
        cast.of("i").iter().filter(|text| **text == "*").count(),
        1,
        "{typed}"
    );
    assert!(
        cast.shown().contains("6\r\n"),
        "the password was not read: {}",
        cast.shown()
    );
    for piece in ["secret", "s*", "ecret"] {
        assert!(
            !String::from_utf8_lossy(&cast.plain).contains(piece),
            "{piece}: {typed}"
        );
    }
    let start = server.records_of("recording.start").pop().unwrap();
    assert_eq!(start["d"]["mode"], "input");
}

#[test]
fn a_channel_used_again_has_a_recording_of_its_own() {
    let server = Server::start();
    let socket = server.dir.join("client/master");
    let mut master = server.ssh();
    master.args(["-M", "-N", "-S", socket.to_str().unwrap(), "root@127.0.0.1"]);
    let mut master = master.stdin(Stdio::null()).spawn().unwrap();
    eventually("the master is there", || socket.exists().then_some(()));
    for n in 0..3 {
        let mut ssh = server.client("ssh");
        ssh.args([
            "-F",
            "none",
            "-S",
            socket.to_str().unwrap(),
            "root@127.0.0.1",
            "--",
        ]);
        ssh.arg(format!("echo number {n}"));
        finish(ssh).good();
    }
    master.kill().unwrap();
    master.wait().unwrap();
    let casts = sealed(&server, 3);
    let mut shown: Vec<String> = casts.iter().map(Cast::shown).collect();
    shown.sort();
    assert_eq!(shown, ["number 0\n", "number 1\n", "number 2\n"]);
}
