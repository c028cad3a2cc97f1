use serde_json::{Value, json};

use super::file::Fault;
use crate::model::escape;

/// How much of a text of the trail is shown.
const SHOWN_BYTES: usize = 256;

/// What can be found in a trail. The first ones weigh the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A record is not as it was written, or does not follow the one before it.
    Broken(Fault),
    /// A file was put aside as damaged when a start found it.
    Quarantined,
    /// The ledger knows another record at this place of a session's file.
    NotAnchored,
    /// A session's file goes on after its end.
    AfterEnd,
    /// A session's file was put in: the ledger, signed after it is said to have begun, knew of none.
    Late,
    /// A record says that a file expired which was too young for that.
    Early,
    /// A recording is not the one that its session's record names.
    Recording,
    /// A checkpoint signs another ledger than this.
    NotSigned,
    /// A file that belongs to nothing lies in the trail.
    Stranger,
    /// A checkpoint's signature is not that of the key of its time.
    Signature,
    /// A key signs that the one before it did not certify.
    Key,
    /// A file is not there.
    Missing,
    /// A file ends before a record that was on the disk.
    Cut,
    /// The ledger knows nothing of a session's file: the ledger's end is missing, or the file was put in.
    Unknown,
    /// Something cannot be read.
    Unreadable,
    /// Bytes after the last newline, past what was on the disk: lost in a crash.
    Torn,
    /// The same, put aside by a later start.
    TornAside,
}

impl What {
    /// Its exit status if it is the worst. Broken chains before signatures, since those cannot hold without a chain.
    fn exit_code(self) -> u8 {
        match self {
            Self::Broken(_)
            | Self::Quarantined
            | Self::NotAnchored
            | Self::AfterEnd
            | Self::Late
            | Self::Recording
            | Self::NotSigned => 10,
            Self::Signature | Self::Key => 12,
            Self::Missing | Self::Cut | Self::Unknown | Self::Early => 11,
            Self::Unreadable | Self::Stranger => 1,
            Self::Torn | Self::TornAside => 13,
        }
    }

    /// As `--json` names it.
    fn name(self) -> &'static str {
        match self {
            Self::Broken(Fault::Form) => "form",
            Self::Broken(Fault::Seq) => "seq",
            Self::Broken(Fault::Prev) => "prev",
            Self::Broken(Fault::Hash) => "hash",
            Self::Quarantined => "quarantined",
            Self::NotAnchored => "anchor",
            Self::AfterEnd => "after-end",
            Self::Late => "late",
            Self::Early => "early",
            Self::Recording => "recording",
            Self::NotSigned => "checkpoint",
            Self::Stranger => "stranger",
            Self::Signature => "signature",
            Self::Key => "key",
            Self::Missing => "missing",
            Self::Cut => "cut",
            Self::Unknown => "unknown",
            Self::Unreadable => "unreadable",
            Self::Torn => "torn",
            Self::TornAside => "torn-aside",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Broken(Fault::Form) => "is no record",
            Self::Broken(Fault::Seq) => "has another number",
            Self::Broken(Fault::Prev) => "does not follow the record before it",
            Self::Broken(Fault::Hash) => "is not as it was written",
            Self::Quarantined => "was put aside as damaged when the server found it",
            Self::NotAnchored => "is not the record that the ledger knows there",
            Self::AfterEnd => "comes after the session's end",
            Self::Late => {
                "was put in: the ledger knew of no such session when it was signed later than that is said to have begun"
            }
            Self::Early => "is gone, and was too young to expire when a record says that it did",
            Self::Recording => "is not the recording that its session's record names",
            Self::NotSigned => "signs another ledger than this",
            Self::Stranger => "is no file of the trail",
            Self::Signature => "is not signed with the key of its time",
            Self::Key => "begins a key that the one before it did not certify",
            Self::Missing => "is missing",
            Self::Cut => "ends before a record that was on the disk",
            Self::Unknown => {
                "is a session that the ledger does not know: the ledger's end is missing, or the file was put in"
            }
            Self::Unreadable => "cannot be read",
            Self::Torn => {
                "ends in the middle of a record, which was not on the disk yet when the server ended"
            }
            Self::TornAside => "is the torn end of a record that a later start put aside",
        }
    }
}

/// One thing found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: What,
    /// In which file, or which one.
    pub file: String,
    /// At which record.
    pub seq: Option<u64>,
    /// What should be there; empty where there is nothing to compare.
    pub expected: String,
    /// What is.
    pub found: String,
}

impl Finding {
    /// Whether it is this one, found once more. How much there is of something may have grown.
    pub(super) fn is_again(&self, other: &Self) -> bool {
        let grows = self.what == What::Cut;
        (self.what, &self.file) == (other.what, &other.file) && (grows || self.seq == other.seq)
    }
}

/// Whether what is there is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// It is, as far as was read.
    Intact,
    /// It is not.
    Broken,
    /// The chain holds, but not the signatures.
    Signature,
}

/// Whether all that was written is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Nothing is known to be missing.
    Complete,
    /// Only what a crash took before it was on the disk.
    Torn,
    /// Something is.
    Missing,
    /// Not all could be read.
    Unknown,
}

/// What a trail holds.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Files read.
    pub files: u64,
    /// Good records in them.
    pub records: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Sessions whose file has no `session.close`: they run, or the server was killed and not started since.
    pub unfinished: Vec<String>,
    /// The trail's name: of its first key.
    pub trail: Option<String>,
    /// Good checkpoints.
    pub checkpoints: u64,
    /// When the last one was made.
    pub signed_at: Option<String>,
    /// Records of the ledger after it: whoever holds the day's key can still change these.
    pub unsigned: u64,
    /// Recordings that were read whole.
    pub recordings: u64,
    /// Files that are gone by rule, as a record says.
    pub expired: u64,
}

impl Report {
    pub(super) fn find(
        &mut self,
        what: What,
        file: &str,
        seq: Option<u64>,
        expected: &str,
        found: &str,
    ) {
        self.findings.push(Finding {
            what,
            file: file.to_owned(),
            seq,
            expected: expected.to_owned(),
            found: found.to_owned(),
        });
    }

    fn worst(&self, codes: &[u8]) -> bool {
        self.findings
            .iter()
            .any(|finding| codes.contains(&finding.what.exit_code()))
    }

    /// The first verdict.
    #[must_use]
    pub fn integrity(&self) -> Integrity {
        if self.worst(&[10]) {
            Integrity::Broken
        } else if self.worst(&[12]) {
            Integrity::Signature
        } else {
            Integrity::Intact
        }
    }

    /// The second.
    #[must_use]
    pub fn completeness(&self) -> Completeness {
        if self.worst(&[11]) {
            Completeness::Missing
        } else if self.worst(&[1]) {
            Completeness::Unknown
        } else if self.worst(&[13]) {
            Completeness::Torn
        } else {
            Completeness::Complete
        }
    }

    /// The exit status: 10 for a broken chain, 12 for a bad signature, 11 where something is missing, 1 where something
    /// could not be read, 13 for torn tails only, else 0.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        [10, 12, 11, 1, 13]
            .into_iter()
            .find(|code| self.worst(&[*code]))
            .unwrap_or(0)
    }

    fn verdicts(&self) -> (&'static str, &'static str) {
        let integrity = match self.integrity() {
            Integrity::Intact => "intact",
            Integrity::Broken => "broken",
            Integrity::Signature => "signature",
        };
        let completeness = match self.completeness() {
            Completeness::Complete => "complete",
            Completeness::Torn => "torn",
            Completeness::Missing => "missing",
            Completeness::Unknown => "unknown",
        };
        (integrity, completeness)
    }

    /// As JSON, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (integrity, completeness) = self.verdicts();
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                json!({
                    "what": finding.what.name(), "file": finding.file, "seq": finding.seq,
                    "expected": finding.expected, "found": finding.found,
                })
            })
            .collect();
        let value = json!({
            "integrity": integrity, "completeness": completeness, "exit_code": self.exit_code(),
            "findings": findings, "files": self.files, "records": self.records, "recordings": self.recordings, "expired": self.expired,
            "unfinished": self.unfinished, "trail": self.trail, "checkpoints": self.checkpoints,
            "signed_at": self.signed_at, "unsigned": self.unsigned,
        });
        format!("{value}\n")
    }

    /// As lines for a terminal; nothing in them can drive it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let clean = |text: &str| escape(text.as_bytes(), SHOWN_BYTES);
        let mut lines = Vec::new();
        for finding in &self.findings {
            let at = finding
                .seq
                .map(|seq| format!(", record {seq}"))
                .unwrap_or_default();
            lines.push(format!(
                "{}{at}: {}",
                clean(&finding.file),
                finding.what.sentence()
            ));
            for (name, text) in [
                ("expected", &finding.expected),
                ("found   ", &finding.found),
            ] {
                if !text.is_empty() {
                    lines.push(format!("  {name} {}", clean(text)));
                }
            }
        }
        lines.extend(
            self.unfinished
                .iter()
                .map(|file| format!("not closed: {}", clean(file))),
        );
        let (integrity, completeness) = self.verdicts();
        let integrity = match integrity {
            "intact" => "intact",
            "signature" => "NOT SIGNED as it should be",
            _ => "BROKEN",
        };
        let completeness = match completeness {
            "missing" => "INCOMPLETE",
            "torn" => "complete but for what crashes took before it was on the disk",
            "unknown" => "not all of it could be read",
            other => other,
        };
        lines.push(format!("integrity:    {integrity}"));
        lines.push(format!("completeness: {completeness}"));
        let signed = self.signed_at.as_ref().map_or_else(
            || "no checkpoint".to_owned(),
            |at| {
                format!(
                    "{} checkpoints, the last of {}, {} records of the ledger after it",
                    self.checkpoints,
                    clean(at),
                    self.unsigned
                )
            },
        );
        lines.push(format!(
            "{} records in {} files, {} recordings, {} expired; {signed}",
            self.records, self.files, self.recordings, self.expired
        ));
        format!("{}\n", lines.join("\n"))
    }
}
