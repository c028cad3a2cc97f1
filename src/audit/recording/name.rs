use crate::audit::store::Store;
use crate::model::{ChannelNumber, SessionId};
use crate::sys::Errno;
use crate::sys::directory::Directory;

const RECORDINGS: &str = "recordings";
/// Where there is an empty file for each that is not sealed, so that a start need not look through all of them. If it is
/// lost, the recording stays plain.
const UNSEALED: &str = "recordings/unsealed";
const PLAIN: &str = ".cast";
const SEALED: &str = ".cast.zst";

/// Where a recording lies: the first one of a channel is called by its number, further ones have a number of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) sid: SessionId,
    stem: String,
}

impl Name {
    pub(super) fn new(sid: SessionId, channel: ChannelNumber, nth: u32) -> Self {
        let stem = match nth {
            0 => channel.to_string(),
            nth => format!("{channel}.{nth}"),
        };
        Self { sid, stem }
    }

    /// The directory, below audit's.
    pub(super) fn directory(&self) -> String {
        let session = Store::session_id(self.sid);
        let path = session.strip_prefix("sessions").unwrap_or(&session);
        let path = path.strip_suffix(".jsonl").unwrap_or(path);
        format!("{RECORDINGS}{path}")
    }

    /// The file in it, while it is not compressed.
    pub(super) fn plain(&self) -> String {
        format!("{}{PLAIN}", self.stem)
    }

    /// And when it is.
    pub(super) fn sealed(&self) -> String {
        format!("{}{SEALED}", self.stem)
    }

    /// The path by which records and its own heads name it, compressed or not.
    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.directory(), self.plain())
    }

    /// Of which channel.
    pub(super) fn channel(&self) -> Option<ChannelNumber> {
        let (number, _) = self.stem.split_once('.').unwrap_or((&self.stem, ""));
        number.parse().ok().map(ChannelNumber)
    }

    pub(super) fn mark(&self, root: &Directory) -> Result<(), Errno> {
        let unsealed = root.descend_making_later(UNSEALED)?;
        match unsealed.create(&self.in_unsealed()) {
            Ok(_) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn unmark(&self, root: &Directory) {
        let removed = root
            .descend(UNSEALED)
            .and_then(|unsealed| unsealed.remove(&self.in_unsealed()));
        match removed {
            Ok(()) | Err(Errno::ENOENT) => {}
            // The next start finds it sealed, and removes the mark.
            Err(errno) => {
                tracing::warn!(file = self.id(), %errno, "a recording stays marked as not sealed");
            }
        }
    }

    /// All that are marked, at most `limit`.
    pub(super) fn marked(root: &Directory, limit: usize) -> Vec<Self> {
        let names = root.descend(UNSEALED).and_then(|at| at.names(limit));
        let names = names.unwrap_or_default();
        names
            .iter()
            .filter_map(|name| Self::from_mark(name))
            .collect()
    }

    fn in_unsealed(&self) -> String {
        format!("{}.{}", self.sid, self.stem)
    }

    fn from_mark(mark: &str) -> Option<Self> {
        let (sid, stem) = mark.split_once('.')?;
        let sid = serde_json::from_value::<SessionId>(sid.into()).ok()?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let name = Self {
            sid,
            stem: stem.to_owned(),
        };
        (stem.split('.').count() <= 2 && stem.split('.').all(digits) && name.in_unsealed() == mark)
            .then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_nothing_else_is() {
        let sid = SessionId::new();
        for nth in [0, 1, 17] {
            let name = Name::new(sid, ChannelNumber(3), nth);
            assert_eq!(Name::from_mark(&name.in_unsealed()), Some(name.clone()));
            assert_eq!(name.channel(), Some(ChannelNumber(3)));
        }
        for bad in [
            "x",
            "x.1",
            &format!("{sid}.a"),
            &format!("{sid}.1.2.3"),
            &format!("{sid}.."),
        ] {
            assert_eq!(Name::from_mark(bad), None, "{bad}");
        }
        let name = Name::new(sid, ChannelNumber(3), 1);
        let id = name.id();
        assert!(
            id.starts_with("recordings/2") && id.ends_with(&format!("/{sid}/3.1.cast")),
            "{id}"
        );
    }
}
