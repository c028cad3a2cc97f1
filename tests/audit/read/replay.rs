//! Recordings, played.

use super::*;

const RESTORED: &str = "\u{1b}[0m\u{1b}7\u{1b}[r\u{1b}8\r\n";

#[test]
fn recordings_are_played_plain_and_sealed() {
    let (directory, facts) = trail();
    let reader = Reader::of(&directory);
    let sid = facts.sid.to_string();
    let nothing = reader.run(&["replay", &sid]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(
        text(&nothing.stderr).contains("no recording"),
        "{nothing:?}"
    );
    let content = cast(&[
        "one ",
        "\u{1b}[31mtwo",
        "\u{1b}]0;no\u{7}\u{1b}[6n",
        "three",
    ]);
    record(&directory, facts.sid, "0.cast", &content);
    record(
        &directory,
        facts.sid,
        "1.cast.zst",
        &sealed(&cast(&["sealed"])),
    );
    record(&directory, facts.sid, "1.1.cast", &cast(&["second"]));
    record(&directory, facts.sid, "1.cast.zst.part", b"half");
    let play = |words: &[&str]| {
        let output = reader.run(&[&["replay", sid.as_str()], words].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(harmless(&output.stderr), "{output:?}");
        assert!(
            text(&output.stderr).contains("ended with status 7"),
            "{output:?}"
        );
        text(&output.stdout)
    };
    assert_eq!(play(&["0"]), format!("one \u{1b}[31mtwothree{RESTORED}"));
    assert_eq!(play(&["1"]), format!("sealed{RESTORED}"));
    assert_eq!(play(&["1.1"]), format!("second{RESTORED}"));
    let all = play(&[]);
    assert!(
        all.find("three") < all.find("sealed") && all.find("sealed") < all.find("second"),
        "{all}"
    );
    assert_eq!(reader.run(&["replay", &sid, "2"]).status.code(), Some(1));
}

#[test]
fn a_recording_is_played_up_to_where_it_is_damaged() {
    let (directory, facts) = trail();
    let reader = Reader::of(&directory);
    let sid = facts.sid.to_string();
    // Many frames, of which one in the middle is damaged.
    let long: Vec<String> = (0..4000)
        .map(|n| format!("line {n:05} {}\r\n", "x".repeat(50)))
        .collect();
    let content = cast(&long.iter().map(String::as_str).collect::<Vec<_>>());
    let mut bytes = sealed(&content);
    let middle = bytes.len() / 2;
    bytes[middle..middle + 32].fill(0xff);
    record(&directory, facts.sid, "0.cast.zst", &bytes);
    let text_of = String::from_utf8(content).unwrap();
    let cut = text_of.find("line 03000").unwrap();
    let plain = format!("{}\n[nonsense\n{}", &text_of[..cut - 20], &text_of[cut..]);
    record(&directory, facts.sid, "1.cast", plain.as_bytes());
    record(&directory, facts.sid, "2.cast", b"");
    record(&directory, facts.sid, "3.cast", b"{\"version\":1}\n");
    // What is being written is no damage.
    let live = cast(&["live"]);
    record(&directory, facts.sid, "4.cast", &live[..live.len() - 5]);
    for (channel, most) in [("0", 4000), ("1", 3001)] {
        let output = reader.run(&["replay", &sid, channel]);
        let (shown, said) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{said}");
        let lines = shown.matches("line 0").count();
        assert!(lines > 500 && lines < most, "{channel}: {lines}");
        assert!(said.contains("damaged at byte"), "{said}");
        assert!(shown.ends_with(RESTORED), "{channel}");
    }
    for channel in ["2", "3"] {
        assert_eq!(
            reader.run(&["replay", &sid, channel]).status.code(),
            Some(1)
        );
    }
    assert_eq!(reader.run(&["replay", &sid, "4"]).status.code(), Some(0));
    // Those that are whole are played whatever the others are.
    let all = text(&reader.run(&["replay", &sid]).stdout);
    assert!(all.contains("line 00000"), "{all}");
}

#[test]
fn ctrl_c_ends_a_replay_and_leaves_the_terminal_as_it_was() {
    let (directory, facts) = trail();
    let reader = Reader::of(&directory);
    let outputs = ["\u{1b}[5;10r\u{1b}[31mbegun", "later"];
    let slow = String::from_utf8(cast(&outputs))
        .unwrap()
        .replace("[0.1, \"o\", \"later", "[60.0, \"o\", \"later");
    record(&directory, facts.sid, "0.cast", slow.as_bytes());
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut command = reader.command(&["replay", "last", "--idle-limit", "60"]);
    command.stdout(Stdio::from(pty.slave)).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut terminal = fs::File::from(pty.master);
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    while !text(&shown).contains("begun") {
        let got = terminal.read(&mut buffer).unwrap();
        shown.extend(&buffer[..got]);
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let begun = Instant::now();
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    // EIO once the program is gone.
    while let Ok(got) = terminal.read(&mut buffer) {
        shown.extend(&buffer[..got]);
    }
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let shown = text(&shown);
    assert!(!shown.contains("later"), "{shown:?}");
    assert!(
        shown.contains("\u{1b}[0m\u{1b}7\u{1b}[r\u{1b}8\u{1b}[999;1H"),
        "{shown:?}"
    );
}
