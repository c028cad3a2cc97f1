//! The targets of `fuzz/`, called with their seeds and with mutations of them: that they stay as they are, without the
//! fuzzer. `scripts/fuzz` runs that.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by failing"
)]

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

#[path = "../../fuzz/bodies/mod.rs"]
#[expect(unreachable_pub, reason = "they are the fuzzer's as well")]
mod bodies;
mod seeds;

/// What tells numbers, lengths, controls and sequences from each other.
const TELLING: [u8; 16] = *b"\0\x01\x7f\x80\xff\n\x1b[]\"\\{}=;9";

fn seeds_of(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let entries = fs::read_dir(folder.join(target)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 3, "{target} has no seeds");
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

/// Marsaglia's xorshift64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides.max(1)).unwrap()).unwrap()
    }

    fn mutated(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.roll(4) {
            let at = self.roll(bytes.len());
            let end = (at + self.roll(64)).min(bytes.len());
            match self.roll(6) {
                _ if bytes.is_empty() => bytes.push(0),
                0 => bytes[at] ^= 1 << self.roll(8),
                1 => bytes[at] = TELLING[self.roll(TELLING.len())],
                2 => bytes.insert(at, TELLING[self.roll(TELLING.len())]),
                3 => drop(bytes.drain(at..end)),
                4 => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => {
                    let from = self.roll(other.len());
                    let to = (from + self.roll(64)).min(other.len());
                    bytes.splice(at..end, other[from..to].iter().copied());
                }
            }
        }
        bytes
    }
}

/// Runs a target; what it fails over is left in a file that the fuzzer takes as well.
fn tried(target: &str, run: fn(&[u8]), bytes: &[u8]) {
    let ran = panic::catch_unwind(AssertUnwindSafe(|| run(bytes)));
    if ran.is_err() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{target}"));
        fs::write(&path, bytes).unwrap();
        panic!("{target} fails over {}", path.display());
    }
}

/// With so many mutations of each seed: all targets together take a few seconds.
fn replayed(target: &str, run: fn(&[u8]), mutations: usize) {
    let seeds = seeds_of(target);
    let mut dice = Dice(1);
    for (at, (_, seed)) in seeds.iter().enumerate() {
        tried(target, run, seed);
        for n in 0..mutations {
            let (_, other) = &seeds[(at + n) % seeds.len()];
            let mutated = dice.mutated(seed, other);
            tried(target, run, &mutated);
        }
    }
}

#[test]
fn the_reader_of_sftp_stands_its_seeds() {
    replayed("sftp", bodies::sftp::run, 60);
}

#[test]
fn the_readers_of_records_stand_their_seeds() {
    replayed("record", bodies::record::run, 60);
}

#[test]
fn the_readers_of_recordings_stand_their_seeds() {
    replayed("recording", bodies::recording::run, 500);
}

#[test]
fn the_codec_stands_its_seeds() {
    replayed("codec", bodies::codec::run, 200);
}

#[test]
fn the_parser_of_authorized_keys_stands_its_seeds() {
    replayed("authorized_keys", bodies::authorized_keys::run, 500);
}

#[test]
fn the_reader_of_publickey_requests_stands_its_seeds() {
    replayed("publickey", bodies::publickey::run, 2000);
}

/// Else the targets would look at what is refused alone.
#[test]
fn seeds_of_logins_are_read() {
    use hassio_sshd::keys::request::{Form, Request};
    let requests = seeds_of("publickey");
    let read = |form| {
        requests
            .iter()
            .filter(|(_, seed)| Request::parse(seed, form).is_some())
            .count()
    };
    assert_eq!((read(Form::Query), read(Form::Signed)), (1, 2));
}

/// Else the target would look at broken trails alone.
#[test]
fn a_seed_of_a_trail_verifies() {
    let seeds = seeds_of("record");
    let trails = seeds.iter().filter_map(|(_, seed)| seed.strip_prefix(b"t"));
    let codes: Vec<u8> = trails.map(bodies::trail::exit_code).collect();
    assert!(codes.contains(&0), "{codes:?}");
}

/// Each enum of `src/wire/message.rs`, and each configuration, is one of the codec's types and has seeds.
#[test]
fn no_message_is_forgotten() {
    let wire = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire");
    let named = |file: &str, what: &str, how: fn(&str) -> bool| -> Vec<String> {
        let text = fs::read_to_string(wire.join(file)).unwrap();
        let names = text.lines().filter_map(|line| line.strip_prefix(what));
        let word = |rest: &str| rest.split([' ', '{']).next().unwrap().to_owned();
        names.map(word).filter(|name| how(name)).collect()
    };
    let mut messages = named("message.rs", "pub enum ", |name| name.contains("To"));
    messages.extend(named("config.rs", "pub struct ", |name| {
        name.ends_with("Config")
    }));
    assert!(messages.len() > 20, "{messages:?}");
    let seeds = seeds_of("codec");
    for message in messages {
        let at = bodies::codec::TYPES
            .iter()
            .position(|known| known.name == message);
        let at = u8::try_from(at.unwrap_or_else(|| panic!("{message} is not fuzzed"))).unwrap();
        // There is no value of it.
        let none = message == "ConnectionToWarden";
        let has = seeds.iter().any(|(_, seed)| seed.first() == Some(&at));
        assert!(none || has, "{message} has no seed");
    }
}
