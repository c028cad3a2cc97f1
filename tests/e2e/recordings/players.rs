//! Other people's programs make sense of what is kept.

use std::process::Command;

use super::*;

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
