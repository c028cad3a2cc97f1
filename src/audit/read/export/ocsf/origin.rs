use std::collections::BTreeMap;

use crate::audit::note::Key;
use crate::audit::read::line::{Head, Record};
use crate::audit::read::trail::Trail;
use crate::audit::store::Store;
use crate::model::cut;

/// More than any version needs.
const VERSION_BYTES: usize = 64;

/// Who wrote the trail, as its ledger tells it.
#[derive(Default)]
pub(super) struct Origin {
    /// The trail's name as its checkpoints begin with it: no other machine's is the same.
    pub(super) name: Option<String>,
    /// The server's version, from which segment of the ledger on.
    versions: BTreeMap<u64, String>,
}

impl Origin {
    pub(super) fn of(trail: &Trail) -> Self {
        let ids: Vec<String> = trail
            .segments()
            .into_iter()
            .map(Store::segment_id)
            .collect();
        let found = trail.read_all(&ids, |reading, _, id| {
            let (mut name, mut versions) = (None, Vec::new());
            // Whoever reads the records themselves names those that are none.
            reading.pieces(id, |piece| {
                for record in piece.lines().filter_map(|(_, line)| telling(line)) {
                    let key = Key::parse(record.member_text("key")).filter(Key::is_sound);
                    name = name.take().or(key.map(|key| key.trail.origin()));
                    let version = cut(record.member_text("version"), VERSION_BYTES);
                    if let Some(segment) =
                        segment(record.text("boot")).filter(|_| !version.is_empty())
                    {
                        versions.push((segment, version.to_owned()));
                    }
                }
            });
            Some((name, versions))
        });
        let (names, versions): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        Self {
            name: names.into_iter().flatten().next(),
            versions: versions.into_iter().flatten().collect(),
        }
    }

    /// The version of the server that wrote a record: one of its audit processes may have begun a further segment.
    pub(super) fn version(&self, boot: &str) -> Option<&str> {
        let (_, version) = self.versions.range(..=segment(boot)?).next_back()?;
        Some(version)
    }
}

/// A record that tells who writes.
fn telling(line: &[u8]) -> Option<Record> {
    let head = Head::read(line)?;
    match head.kind {
        "segment.open" | "server.start" => Record::read(line),
        _ => None,
    }
}

/// The segment with which a start of audit began.
fn segment(boot: &str) -> Option<u64> {
    let (_, number) = boot.split_once('-')?;
    number.parse().ok()
}
