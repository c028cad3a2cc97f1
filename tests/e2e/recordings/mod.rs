//! What terminals showed and commands wrote, as it is kept.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::harness::{Server, Setup, eventually, finish};

mod evidence;
mod limits;
mod players;
mod terminals;
mod transfers;

/// A recording, read.
#[derive(Debug)]
struct Cast {
    path: PathBuf,
    plain: Vec<u8>,
    header: Value,
    /// Code and text of each, without the times.
    events: Vec<(String, String)>,
    times: Vec<f64>,
}

impl Cast {
    fn read(path: &Path) -> Self {
        let file = fs::File::open(path).unwrap();
        let mut plain = Vec::new();
        if is_sealed(path) {
            let mut decoder = zeekstd::Decoder::new(file).unwrap();
            decoder.read_to_end(&mut plain).unwrap();
        } else {
            (&file).read_to_end(&mut plain).unwrap();
        }
        let text = String::from_utf8(plain.clone()).expect("a recording is UTF-8");
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let header = serde_json::from_str(lines.next().unwrap()).unwrap();
        let (mut events, mut times) = (Vec::new(), Vec::new());
        for line in lines {
            let (time, code, text): (f64, String, String) = serde_json::from_str(line).unwrap();
            times.push(time);
            events.push((code, text));
        }
        Self {
            path: path.to_owned(),
            plain,
            header,
            events,
            times,
        }
    }

    /// What the program wrote, byte by byte.
    fn output(&self) -> Vec<u8> {
        let mut output = Vec::new();
        let mut exact = None;
        let has_terminal = self.header["term"]["type"].is_string();
        for (code, text) in &self.events {
            match code.as_str() {
                "b" => {
                    exact = Some(
                        base64::engine::general_purpose::STANDARD
                            .decode(text)
                            .unwrap(),
                    )
                }
                "o" => output.extend(exact.take().unwrap_or_else(|| {
                    match has_terminal {
                        true => text.clone(),
                        false => text.replace("\r\n", "\n"),
                    }
                    .into_bytes()
                })),
                _ => exact = None,
            }
        }
        output
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.output()).into_owned()
    }

    fn of(&self, code: &str) -> Vec<&str> {
        let its = self.events.iter().filter(|(its, _)| its == code);
        its.map(|(_, text)| text.as_str()).collect()
    }
}

fn is_sealed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "zst")
}

/// The files of all recordings, by name.
fn files(server: &Server) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![server.dir.join("data/audit/recordings")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().unwrap() != "unsealed" {
                folders.push(path);
            } else if path.to_string_lossy().contains(".cast") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// All recordings, once as many are sealed, and the session's last record lists them.
#[track_caller]
fn sealed(server: &Server, count: usize) -> Vec<Cast> {
    eventually("the recordings are sealed", || {
        let files = files(server);
        let unsealed = fs::read_dir(server.dir.join("data/audit/recordings/unsealed"));
        let marks = unsealed.map_or(0, Iterator::count);
        (files.len() == count && marks == 0 && files.iter().all(|file| is_sealed(file)))
            .then(|| files.iter().map(|file| Cast::read(file)).collect())
    })
}

/// The only one.
#[track_caller]
fn only(server: &Server) -> Cast {
    sealed(server, 1).remove(0)
}

/// The record that ends the session, when it has ended.
#[track_caller]
fn closed(server: &Server) -> Value {
    eventually("the session is closed", || {
        server.records_of("session.close").pop()
    })
}

fn recording(mode: &str) -> Server {
    Server::with(Setup {
        options: json!({ "recording": mode }),
        ..Setup::default()
    })
}

#[test]
fn a_commands_output_is_kept_and_its_record_proves_it() {
    let server = Server::start();
    let line = "printf 'out\\n'; sleep 0.3; printf '\\xff\\xfe' >&2; sleep 0.3; printf 'gr\\xc3'; sleep 0.3; printf '\\xbc'; exit 3";
    assert_eq!(server.run(line).code(), 3);
    let cast = only(&server);
    assert_eq!(cast.output(), b"out\n\xff\xfegr\xc3\xbc");
    assert_eq!(cast.events[0], ("o".to_owned(), "out\r\n".to_owned()));
    assert_eq!(cast.of("o"), ["out\r\n", "\u{fffd}\u{fffd}", "gr", "ü"]);
    assert_eq!(cast.of("x"), ["3"]);
    assert_eq!(cast.header["command"], line);
    assert_eq!(
        (&cast.header["version"], &cast.header["term"]["cols"]),
        (&json!(3), &json!(80))
    );
    let slept: f64 = cast.times.iter().sum();
    assert!((0.9..20.0).contains(&slept), "{:?}", cast.times);

    let close = closed(&server);
    let end = server.records_of("recording.end").pop().unwrap();
    let file = end["d"]["file"].as_str().unwrap();
    assert!(cast.path.ends_with(format!("{file}.zst")), "{file}");
    let digest = sha256(&cast.plain);
    assert_eq!(
        (&end["d"]["bytes"], &end["d"]["sha256"]),
        (&json!(cast.plain.len()), &json!(digest))
    );
    assert_eq!(
        close["d"]["recordings"],
        json!([{"file": "2.cast", "bytes": cast.plain.len(), "sha256": digest}])
    );
    let start = server.records_of("recording.start").pop().unwrap();
    assert_eq!(start["d"], json!({"file": file, "mode": "output"}));
    let checked = hassio_sshd::audit::recording::check::check(cast.plain.as_slice(), file).unwrap();
    assert!(
        checked.closed && checked.broken_at.is_none() && checked.torn_bytes == 0,
        "{checked:?}"
    );
    assert_eq!(
        end["d"]["head"],
        hassio_sshd::audit::chain::text(&checked.head)
    );
    for (name, mode) in [("", 0o40700), (&*format!("{file}.zst"), 0o100600)] {
        use std::os::unix::fs::MetadataExt;
        let path = server.dir.join("data/audit").join(name);
        assert_eq!(fs::metadata(&path).unwrap().mode(), mode, "{path:?}");
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn what_writes_nothing_has_no_recording_and_nothing_has_one_when_off() {
    let server = Server::start();
    server.run("true").good();
    closed(&server);
    assert_eq!(files(&server), Vec::<PathBuf>::new());

    let server = recording("off");
    server.run("echo x").good();
    server.type_in("exit\n").good();
    eventually("both sessions are closed", || {
        (server.records_of("session.close").len() == 2).then_some(())
    });
    assert_eq!(files(&server), Vec::<PathBuf>::new());
    assert!(
        server
            .records()
            .iter()
            .all(|record| !record["type"].as_str().unwrap().starts_with("recording."))
    );
}
