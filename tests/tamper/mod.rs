//! What somebody does to the files of a trail who wants to change the past, and what both verifiers say of it: ours, and that
//! of docs/audit.md, which shares no code with it. Part of tests/audit and of tests/e2e.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use hassio_sshd::audit::chain::{self, Head};
use hassio_sshd::audit::note::{self, Key, Note};
use hassio_sshd::audit::verify;
use serde_json::{Value, json};

/// All files below, relative and sorted; without those that wait for their use.
pub(crate) fn files(root: &Path) -> Vec<String> {
    fn walk(at: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                let name = path.strip_prefix(root).unwrap();
                found.push(name.to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.retain(|file| !file.starts_with("spare/"));
    found.sort();
    found
}

/// Makes `to` what `from` is.
pub(crate) fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    for file in files(from) {
        let path = to.join(&file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match fs::copy(from.join(&file), path) {
            // A server that runs compresses a recording meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => drop(copied.unwrap()),
        }
    }
}

/// A file's lines, without their ends.
pub(crate) fn lines(root: &Path, file: &str) -> Vec<Vec<u8>> {
    let text = fs::read(root.join(file)).unwrap();
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

/// Its records.
pub(crate) fn records(root: &Path, file: &str) -> Vec<Value> {
    let lines = lines(root, file);
    lines
        .iter()
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

pub(crate) fn write(root: &Path, file: &str, lines: &[Vec<u8>]) {
    let text: Vec<u8> = lines
        .iter()
        .flat_map(|line| [line.as_slice(), b"\n"].concat())
        .collect();
    fs::write(root.join(file), text).unwrap();
}

/// Numbers and chains lines anew, as somebody does who knows the format.
pub(crate) fn rechain(root: &Path, file: &str, lines: &[Vec<u8>], start: Head) {
    let mut prev = start;
    let mut chained = Vec::new();
    for (seq, line) in lines.iter().enumerate() {
        let (body, ..) = chain::parts(line).unwrap();
        let at = body
            .windows(9)
            .rposition(|part| part == b",\"prev\":\"")
            .unwrap();
        let mut record: Vec<u8> = body[..at].to_vec();
        let number = record
            .windows(6)
            .position(|part| part == b"\"seq\":")
            .unwrap()
            + 6;
        let end = number
            + record[number..]
                .iter()
                .position(|byte| *byte == b',')
                .unwrap();
        record.splice(number..end, seq.to_string().into_bytes());
        let (line, head) = chain::seal(file, &prev, record);
        prev = head;
        chained.push(line.strip_suffix(b"\n").unwrap().to_vec());
    }
    write(root, file, &chained);
}

/// The hash of a file's last record.
pub(crate) fn head(root: &Path, file: &str) -> Head {
    let last = records(root, file).pop().unwrap();
    chain::from_text(last["hash"].as_str().unwrap().as_bytes()).unwrap()
}

/// As if the key that signs had been made the day before.
pub(crate) fn make_yesterdays(root: &Path) {
    let path = root.join("keys/current");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1] = "2001-01-01";
    fs::write(path, format!("{}\n", lines.join("\n"))).unwrap();
}

/// What `keys/current` holds.
pub(crate) fn signing_key(file: &str) -> (Key, ed25519_dalek::SigningKey) {
    let lines: Vec<&str> = file.lines().collect();
    let mut seed = [0; 32];
    for (at, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&lines[3][2 * at..2 * at + 2], 16).unwrap();
    }
    let private = ed25519_dalek::SigningKey::from_bytes(&seed);
    (Key::parse(lines[2]).unwrap(), private)
}

/// Chains the ledger anew, with the heads in it that the sessions' files have now, and signs with this key the checkpoints
/// that are not right any more.
pub(crate) fn resign(
    root: &Path,
    key: &Key,
    private: &ed25519_dalek::SigningKey,
    change: impl Fn(&str) -> String,
) {
    let ledgers = |file: &String| file.starts_with("ledger/");
    let mut start = chain::START;
    for segment in files(root).into_iter().filter(ledgers) {
        let mut changed: Vec<Vec<u8>> = Vec::new();
        for line in lines(root, &segment) {
            let mut record: Value = serde_json::from_slice(&line).unwrap();
            let text = change(&String::from_utf8(line).unwrap());
            let text = match record["type"].as_str().unwrap() {
                "anchor" => {
                    let session = records(root, record["d"]["file"].as_str().unwrap());
                    let count = usize::try_from(record["d"]["records"].as_u64().unwrap()).unwrap();
                    let head = session[count - 1]["hash"].as_str().unwrap();
                    text.replace(record["d"]["head"].as_str().unwrap(), head)
                }
                "checkpoint" => {
                    rechain(root, &segment, &changed, start);
                    let note = note::of_record(&record).unwrap();
                    let mut checkpoint = note.checkpoint().unwrap();
                    let is = head(root, &segment);
                    let signed = std::mem::replace(&mut checkpoint.head, is);
                    let old = record["d"]["note"].take().to_string();
                    assert!(text.contains(&old));
                    let new = json!(checkpoint.sign(key, private).lines()).to_string();
                    if is == signed {
                        text
                    } else {
                        text.replace(&old, &new)
                    }
                }
                _ => text,
            };
            changed.push(text.into_bytes());
        }
        rechain(root, &segment, &changed, start);
        start = head(root, &segment);
    }
}

/// What both verifiers say: they must agree, and be of this mind. For what is found it is said where: `place` is the kind of
/// finding, the file, and the record if there is one.
#[track_caller]
pub(crate) fn must_be(
    root: &Path,
    what: &str,
    code: u8,
    place: &str,
    against: Option<&Note>,
) -> Value {
    let report = judged(root, what, code, against);
    let places = places(&report);
    assert!(
        code == 0 || places.iter().any(|found| found == place),
        "{what}: {place} in {places:#?}"
    );
    report
}

/// The same, wherever it is found.
#[track_caller]
pub(crate) fn judged(root: &Path, what: &str, code: u8, against: Option<&Note>) -> Value {
    let wanted = verify::Wanted {
        session: None,
        against: against.cloned(),
    };
    let report = verify::directory(root, &wanted);
    let found = report.exit_code();
    let report: Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(found, code, "{what}: {report:#}");
    if let Some((second, said)) = documented(root, against) {
        assert_eq!(second, code, "{what}: the documented verifier says {said}");
        // Both name the place of a broken chain.
        for finding in report["findings"].as_array().unwrap() {
            let is_chain =
                ["form", "seq", "prev", "hash"].contains(&finding["what"].as_str().unwrap());
            let (file, seq) = (finding["file"].as_str().unwrap(), &finding["seq"]);
            let there = format!("{file}, record {seq}: ");
            let whole = format!("{file}: does not begin");
            assert!(
                !is_chain || said.contains(&there) || said.contains(&whole),
                "{what}: {there} in {said}"
            );
        }
    }
    report
}

/// Each finding: its kind, file, and record.
pub(crate) fn places(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let place = |finding: &Value| {
        let seq = finding["seq"].as_u64();
        let seq = seq.map(|seq| format!(" {seq}")).unwrap_or_default();
        let (what, file) = (finding["what"].as_str(), finding["file"].as_str());
        format!("{} {}{seq}", what.unwrap(), file.unwrap())
    };
    findings.iter().map(place).collect()
}

/// The documented program runs once for each question, unchanged, but within one Python: and a signature that was checked
/// once, or a recording that was decompressed, is not computed again, which is most of its time.
const ASKED_OFTEN: &str = r#"
import contextlib, io, json, os, subprocess, sys, traceback
class Again(BaseException):
    pass
def again(*_):
    raise Again
os.execvp = again
known, decompress = {}, subprocess.run
def remembered(signed):
    def once(*arguments):
        if arguments not in known:
            known[arguments] = signed(*arguments)
        return known[arguments]
    return once
def decompress_once(words, input, **more):
    if input not in known:
        known[input] = decompress(words, input=input, **more)
    return known[input]
subprocess.run = decompress_once
text = sys.argv[1]
assert text.count("\nclass Key:") == 1
program = compile(text.replace("\nclass Key:", "\nsigned = remembered(signed)\n\nclass Key:"), "verify.py", "exec")
for line in sys.stdin:
    said, code = io.StringIO(), 0
    sys.argv = ["verify.py", *json.loads(line)]
    with contextlib.redirect_stdout(said):
        try:
            try:
                exec(program, {"__name__": "__main__", "remembered": remembered})
            except Again:
                exec(program, {"__name__": "__main__", "remembered": remembered})
        except SystemExit as end:
            code = 0 if end.code is None else end.code if isinstance(end.code, int) else 1
        except BaseException:
            code = 1
            traceback.print_exc(file=said)
    os.environ.pop("FOUND_BEFORE", None)
    print(json.dumps([code, said.getvalue()]), flush=True)
"#;

/// A Python that runs the documented program.
struct Second {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

static SECOND: Mutex<Option<Second>> = Mutex::new(None);

/// What the program of docs/audit.md says.
pub(crate) fn documented(root: &Path, against: Option<&Note>) -> Option<(u8, String)> {
    let Some(against) = against else {
        return documented_against(root, None);
    };
    let thread = std::thread::current().id();
    let name = format!("hassio-sshd-note-{}-{thread:?}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, against.to_string()).unwrap();
    let said = documented_against(root, Some(&path));
    fs::remove_file(path).unwrap();
    said
}

/// The same with a note in a file.
pub(crate) fn documented_against(root: &Path, note: Option<&Path>) -> Option<(u8, String)> {
    let words = [Some(root), note].into_iter().flatten();
    let words: Vec<&str> = words.map(|path| path.to_str().unwrap()).collect();
    let mut second = SECOND.lock().unwrap_or_else(PoisonError::into_inner);
    if second.is_none() {
        *second = Second::start();
    }
    let Some(second) = second.as_mut() else {
        assert!(std::env::var_os("REQUIRE_ALL").is_none(), "needs python3");
        eprintln!("skipped: needs python3");
        return None;
    };
    Some(second.ask(&words))
}

impl Second {
    fn start() -> Option<Self> {
        let page =
            fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")).unwrap();
        let (_, rest) = page.split_once("```python\n").unwrap();
        let (program, _) = rest.split_once("```").unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "a test starts what a reader would"
        )]
        let mut command = Command::new("python3");
        command
            .args(["-c", ASKED_OFTEN, program])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().ok()?;
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, answers })
    }

    fn ask(&mut self, words: &[&str]) -> (u8, String) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{}", json!(words)).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}
