//! Other people's programs make sense of what is kept.

use std::process::Command;

use super::*;
use crate::clients::python;
use crate::harness::app;

/// asciinema 3, which reads version 3 of its format.
fn asciinema() -> Option<PathBuf> {
    let program = std::env::var_os("TEST_ASCIINEMA").filter(|path| !path.is_empty());
    if program.is_none() {
        assert!(
            std::env::var_os("REQUIRE_ALL").is_none(),
            "TEST_ASCIINEMA is not set: asciinema 3 is needed, which scripts/asciinema installs"
        );
        eprintln!(
            "not tried: TEST_ASCIINEMA is not set to an asciinema 3, which scripts/asciinema installs"
        );
    }
    program.map(PathBuf::from)
}

/// The folder of asciinema's web player.
fn web_player() -> Option<PathBuf> {
    let folder = std::env::var_os("TEST_ASCIINEMA_PLAYER").filter(|path| !path.is_empty());
    if folder.is_none() {
        assert!(
            std::env::var_os("REQUIRE_ALL").is_none(),
            "TEST_ASCIINEMA_PLAYER is not set: asciinema-player is needed, which scripts/asciinema-player installs"
        );
        eprintln!(
            "not tried: TEST_ASCIINEMA_PLAYER is not set to what scripts/asciinema-player prints"
        );
    }
    folder.map(PathBuf::from)
}

/// What the web player shows of a recording when it has played it.
#[track_caller]
fn play_on_a_page(server: &Server, player: &Path, cast: &Cast) -> Value {
    let plain = server.dir.join("page.cast");
    fs::write(&plain, &cast.plain).unwrap();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/e2e/recordings/player.mjs"
    );
    let mut node = Command::new("node");
    node.arg(script).arg(player).arg(&plain).arg(&server.dir);
    serde_json::from_str(finish(node).good()).unwrap()
}

#[test]
fn the_web_player_plays_a_recording() {
    let (Some(player), Some(python)) = (web_player(), crate::clients::python()) else {
        return;
    };
    let server = Server::with(Setup {
        supervisor: true,
        ..Setup::default()
    });
    // A terminal that changes its size, a call, many lines, colours, and bytes that are not UTF-8.
    let script = "
import paramiko,sys
c=paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect('127.0.0.1',int(sys.argv[1]),'root',key_filename=sys.argv[2],allow_agent=False,look_for_keys=False)
ch=c.get_transport().open_session()
ch.get_pty('xterm-256color',100,30)
ch.exec_command('''printf 'one\\\\n'; read x; hassio info >/dev/null; seq 1 20000
  printf '\\\\033[2J\\\\033[3;5H\\\\033[1;31mred\\\\033[0m gr\\\\303\\\\274n no\\\\377text\\\\033[40;116Hlast'; exit 9''')
out=b''
while b'one' not in out: out+=ch.recv(1000)
ch.resize_pty(120,40)
ch.send(b'typed\\n')
while ch.recv(100000): pass
assert ch.recv_exit_status()==9
c.close()
print('ok')
";
    let mut command = server.client(python);
    command
        .args(["-c", script, &server.port.to_string()])
        .arg(server.dir.join("client/key"));
    assert_eq!(finish(command).good(), "ok");
    let cast = only(&server);
    assert!(!cast.of("b").is_empty(), "{:?}", cast.of("b"));
    let played = play_on_a_page(&server, &player, &cast);
    let all: String = cast.of("o").concat();
    assert!(played["output"] == json!(all), "the output is another one");
    assert_eq!(played["sizes"], json!([[100, 30], [120, 40]]));
    assert_eq!(played["markers"], json!(["call: GET /info"]));
    assert_eq!(played["errors"], json!([]));
    let screen = played["screen"].as_array().unwrap();
    assert_eq!(screen.len(), 40);
    assert_eq!(screen[2], "    red grün no\u{fffd}text");
    assert_eq!(screen[39], format!("{}last", " ".repeat(115)));
    let empty = screen.iter().filter(|line| **line == "").count();
    assert_eq!(empty, 38, "{screen:#?}");

    // And that of a command without a terminal.
    server.run("seq 1 100").good();
    let all = sealed(&server, 2);
    let second = |cast: &&Cast| cast.header["command"] == "seq 1 100";
    let played = play_on_a_page(&server, &player, all.iter().find(second).unwrap());
    let screen = played["screen"].as_array().unwrap();
    let numbers: Vec<Value> = (78..=100).map(|n| json!(n.to_string())).collect();
    assert_eq!(screen[..23], numbers);
    assert_eq!(played["sizes"], json!([[80, 24]]));
}

#[test]
fn asciinema_converts_and_plays_a_recording() {
    let Some(asciinema) = asciinema() else { return };
    let server = Server::with(Setup {
        supervisor: true,
        ..Setup::default()
    });
    let mut ssh = server.ssh();
    ssh.args(["-tt", "root@127.0.0.1", "--"]);
    ssh.arg("printf '\\033[31mred\\033[0m\\n'; hassio info >/dev/null; printf 'no\\xfftext\\n'; seq 1 30000; exit 9");
    assert_eq!(finish(ssh).code(), 9);
    let cast = only(&server);
    assert!(
        !cast.of("b").is_empty() && !cast.of("m").is_empty(),
        "{:?}",
        cast.of("m")
    );
    assert!(
        String::from_utf8_lossy(&cast.plain)
            .matches("\n# head ")
            .count()
            >= 2
    );
    let plain = server.dir.join("plain.cast");
    fs::write(&plain, &cast.plain).unwrap();

    let text = server.dir.join("plain.txt");
    let mut convert = Command::new(&asciinema);
    convert.arg("convert").args([&plain, &text]);
    finish(convert).good();
    let text = fs::read_to_string(text).unwrap();
    assert!(
        text.starts_with("red\nno\u{fffd}text\n1\n2\n") && text.ends_with("30000\n"),
        "{text:.100}"
    );

    // To version 2 and back: what it does not know is passed on.
    let other = server.dir.join("other.cast");
    let mut convert = Command::new(&asciinema);
    convert
        .args(["convert", "-f", "asciicast-v2"])
        .args([&plain, &other]);
    finish(convert).good();
    assert!(fs::read_to_string(other).unwrap().contains("\"b\""));

    // In a terminal, as fast as it can.
    let mut play = Command::new("script");
    play.args([
        "-qec",
        &format!(
            "{} play -i 0.001 -s 1000 {}",
            asciinema.display(),
            plain.display()
        ),
    ]);
    play.arg("/dev/null")
        .env("TERM", "xterm-256color")
        .stdin(std::process::Stdio::null());
    let played = finish(play);
    assert!(
        played.stdout.contains("\u{1b}[31mred") && played.stdout.contains("30000\r\n"),
        "{played:?}"
    );
}

/// Version 2, for players that know no other: asciinema 2 is one.
#[test]
fn asciinema_plays_a_recording_that_was_exported() {
    let players = (asciinema(), python());
    if players == (None, None) {
        return;
    }
    let server = Server::with(Setup {
        supervisor: true,
        ..Setup::default()
    });
    let mut ssh = server.ssh();
    ssh.args(["-tt", "root@127.0.0.1", "--"]);
    ssh.arg("printf '\\033[31mred\\033[0m\\n'; hassio info >/dev/null; printf 'no\\xfftext\\n'; seq 1 3000; exit 9");
    assert_eq!(finish(ssh).code(), 9);
    let cast = only(&server);
    let exported = server.dir.join("exported.cast");
    let mut export = Command::new(app().join("hassio-sshd"));
    export
        .args(["audit", "export", "--format", "asciicast-v2", "last"])
        .arg("--data-dir")
        .arg(server.dir.join("data"))
        .arg("--out")
        .arg(&exported);
    finish(export).good();
    let lines = fs::read_to_string(&exported).unwrap();
    let mut lines = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(lines.next().unwrap()["version"], 2);
    let events: Vec<Value> = lines.collect();
    // Times are from the beginning, to the microsecond.
    let (mut at, mut expected) = (0, Vec::new());
    for (time, (code, text)) in cast.times.iter().zip(&cast.events) {
        at += (time * 1e6).round() as u64;
        let event = match code.as_str() {
            "b" => continue,
            "x" => ("m", format!("exit {text}")),
            code => (code, text.clone()),
        };
        expected.push((at, event.0.to_owned(), event.1));
    }
    let found = events.iter().map(|event| {
        let text = |n: usize| event[n].as_str().unwrap().to_owned();
        let at = (event[0].as_f64().unwrap() * 1e6).round() as u64;
        (at, text(1), text(2))
    });
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let (newer, older) = players;
    if let Some(asciinema) = newer {
        let text = server.dir.join("exported.txt");
        let mut convert = Command::new(asciinema);
        convert.arg("convert").args([&exported, &text]);
        finish(convert).good();
        let text = fs::read_to_string(text).unwrap();
        assert!(
            text.starts_with("red\nno\u{fffd}text\n1\n2\n") && text.ends_with("3000\n"),
            "{text:.100}"
        );
    }
    if let Some(python) = older {
        let mut cat = Command::new(python);
        cat.args(["-m", "asciinema", "cat"]).arg(&exported);
        cat.env("HOME", &server.dir).env("LANG", "C.UTF-8");
        let shown = finish(cat);
        let shown = shown.good();
        assert!(
            shown.starts_with("\u{1b}[31mred\u{1b}[0m\r\nno\u{fffd}text\r\n1\r\n")
                && shown.trim_end().ends_with("3000"),
            "{shown:.100}"
        );
    }
}

#[test]
fn zstd_reads_a_sealed_recording_and_each_frame_alone() {
    let server = Server::start();
    server.run("seq 1 30000").good();
    let cast = only(&server);
    let mut zstd = Command::new("zstd");
    zstd.args(["-dc", "-q"]).arg(&cast.path);
    let plain = finish(zstd);
    assert_eq!(
        plain.good().as_bytes(),
        cast.plain.strip_suffix(b"\n").unwrap()
    );

    let decoder = zeekstd::Decoder::new(fs::File::open(&cast.path).unwrap()).unwrap();
    let table = decoder.seek_table().clone();
    let frames = cast.plain.len().div_ceil(64 * 1024);
    assert_eq!(table.num_frames() as usize, frames);
    for frame in 0..table.num_frames() {
        let file = fs::File::open(&cast.path).unwrap();
        let mut decoder = zeekstd::Decoder::new(file).unwrap();
        decoder.set_lower_frame(frame).unwrap();
        decoder.set_upper_frame(frame).unwrap();
        let mut bytes = Vec::new();
        decoder.read_to_end(&mut bytes).unwrap();
        let start = frame as usize * 64 * 1024;
        let end = cast.plain.len().min(start + 64 * 1024);
        assert!(bytes == cast.plain[start..end], "frame {frame}");
    }
}
