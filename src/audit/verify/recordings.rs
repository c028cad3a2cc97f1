use std::collections::{BTreeMap, HashSet};
use std::fs::File;

use serde_json::Value;

use super::file::Passing;
use super::report::{Report, What};
use crate::audit::recording::check::{Checked, check};
use crate::audit::recording::sealed::Sealed;
use crate::sys::directory::Directory;

/// The recordings that a session's records name, each with what its end says.
#[derive(Default)]
pub(super) struct Named {
    ends: BTreeMap<String, Option<End>>,
    /// Those that had not ended when audit was restarted.
    interrupted: HashSet<String>,
    boot: String,
    /// The session was closed by those who saw its recordings end.
    orderly: bool,
}

struct End {
    bytes: u64,
    sha256: String,
}

impl End {
    /// Whether this is what ended, and nothing comes after it.
    fn is(&self, found: &Checked) -> bool {
        found.torn_bytes == 0 && (found.whole_bytes, &found.sha256) == (self.bytes, &self.sha256)
    }
}

impl Named {
    /// Learns from a record of the session.
    pub(super) fn learn(&mut self, record: Passing<'_>) {
        let file = record.text("file").to_owned();
        let boot = record.value.get("boot").and_then(Value::as_str);
        if boot.is_some_and(|boot| boot != self.boot) {
            self.boot = boot.unwrap_or_default().to_owned();
            let open = self.ends.iter().filter(|(_, end)| end.is_none());
            self.interrupted.extend(open.map(|(file, _)| file.clone()));
        }
        match record.kind() {
            "recording.start" => {
                self.ends.insert(file, None);
            }
            "recording.end" => {
                let end = End {
                    bytes: record.number("bytes").unwrap_or(0),
                    sha256: record.text("sha256").to_owned(),
                };
                self.ends.insert(file, Some(end));
            }
            // What there is of it is not worth a proof.
            "recording.fail" => {
                self.ends.remove(&file);
            }
            "session.close" => self.orderly = record.text("reason") != "crash",
            _ => {}
        }
    }

    /// Holds them against their files.
    pub(super) fn verify(self, root: &Directory, deleted: &HashSet<String>, report: &mut Report) {
        for (id, end) in self.ends {
            let Some(found) = open(root, &id) else {
                // What a crash came upon may never have been on the disk.
                let saw_a_crash = !self.orderly || self.interrupted.contains(&id);
                let may_be_lost = end.is_none() && saw_a_crash;
                if deleted.contains(&id) {
                    report.expired += 1;
                } else if !may_be_lost {
                    report.find(What::Missing, &id, None, "", "");
                }
                continue;
            };
            let Some(found) = found.read(&id) else {
                // What is no sealed recording is not the one that ended.
                report.find(What::Recording, &id, None, "a recording", "something else");
                continue;
            };
            report.recordings += 1;
            match end {
                Some(end) if !end.is(&found) => {
                    let expected = format!("{} bytes, {}", end.bytes, end.sha256);
                    let bytes = found.whole_bytes.saturating_add(found.torn_bytes);
                    let is = format!("{bytes} bytes, {}", found.sha256);
                    report.find(What::Recording, &id, None, &expected, &is);
                }
                // It goes on, or a start has ended it without a word in its session's record: its own heads prove it.
                None if found.broken_at.is_some() => {
                    let at = found.broken_at.unwrap_or(0);
                    report.find(What::Recording, &id, None, "", &format!("byte {at}"));
                }
                Some(_) | None => {}
            }
        }
    }
}

/// A recording as it lies there.
enum Lying {
    Plain(File),
    Sealed(File),
}

/// The plain one, if there are both: a crash came before it was removed.
fn open(root: &Directory, id: &str) -> Option<Lying> {
    let (directory, name) = id.rsplit_once('/')?;
    let directory = root.descend(directory).ok()?;
    let sealed = || {
        directory
            .read_regular(&format!("{name}.zst"))
            .map(Lying::Sealed)
    };
    directory
        .read_regular(name)
        .map(Lying::Plain)
        .or_else(|_| sealed())
        .ok()
}

impl Lying {
    fn read(self, id: &str) -> Option<Checked> {
        match self {
            Self::Plain(file) => check(file, id).ok(),
            Self::Sealed(file) => check(Sealed::open(file).ok()?, id).ok(),
        }
    }
}
