//! A download that is not whole yet, and what is known of the file that it is a part of.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::cli::CliError;
use crate::cli::client::Streamed;

/// How often the file may be another one by the time it is locked: somebody else's download was done just then.
const ATTEMPTS: u32 = 5;

/// The longest description that is read: it has two fields of a response's head and a number.
const ABOUT_BYTES: u64 = 8 * 1024;

/// The file `NAME.part`, locked for as long as this lasts, and beside it `NAME.part.of`.
pub(super) struct Part {
    path: PathBuf,
    pub(super) file: File,
    /// How much is there.
    pub(super) had: u64,
    whole: Option<Whole>,
}

/// What a server says of a file, so that it is known again: one line each, empty if it does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Whole {
    etag: String,
    last_modified: String,
    length: Option<u64>,
}

impl Part {
    /// # Errors
    /// What keeps it from being opened; a link there; that another download of it is running.
    pub(super) fn open(path: PathBuf) -> Result<Self, CliError> {
        let failed = |source| CliError::File {
            what: "open",
            path: path.clone(),
            source,
        };
        for _ in 0..ATTEMPTS {
            let file = writable(&path).map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => break,
                Err(error) => return Err(failed(error.into())),
            }
            let (ours, named) = (
                file.metadata().map_err(failed)?,
                fs::symlink_metadata(&path),
            );
            let same =
                named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino()));
            if same {
                let whole = Whole::read(&about(&path)).filter(|_| ours.size() > 0);
                return Ok(Self {
                    had: ours.size(),
                    path,
                    file,
                    whole,
                });
            }
        }
        Err(CliError::Failed(format!(
            "another download of it is running: it writes to {}",
            path.display()
        )))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where to go on, as `Range` and `If-Range`; not where the same file could not be told from another.
    pub(super) fn place(&self) -> Option<(String, String)> {
        let validator = self.whole.as_ref()?.validator()?;
        Some((format!("bytes={}-", self.had), validator.to_owned()))
    }

    /// How long all of it is, if the server said so.
    pub(super) fn length(&self) -> Option<u64> {
        self.whole.as_ref()?.length
    }

    /// Whether it is all there: who was interrupted may have had no time to rename it.
    pub(super) fn is_whole(&self) -> bool {
        let length = self.whole.as_ref().and_then(|whole| whole.length);
        self.had > 0 && length == Some(self.had)
    }

    /// Whether what begins is the rest of the same file. Not every server looks at `If-Range`: the Supervisor does not know tags
    /// in it.
    pub(super) fn fits(&self, opened: &Streamed) -> bool {
        let Some(whole) = &self.whole else {
            return false;
        };
        let range = opened.header("content-range").unwrap_or_default();
        let Some((begin, length)) = rest_of(range) else {
            return false;
        };
        let now = Whole::of(opened, Some(length));
        let same = |was: &str, is: &str| was == is;
        begin == self.had
            && same(&whole.etag, &now.etag)
            && same(&whole.last_modified, &now.last_modified)
            && whole.length.is_none_or(|was| was == length)
    }

    /// Begins anew with what comes.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn begin(&mut self, opened: &Streamed) -> Result<(), CliError> {
        let length = opened.header("content-length");
        let whole = Whole::of(opened, length.and_then(|length| length.parse().ok()));
        self.go_on(0)?;
        let about = about(&self.path);
        let failed = |source| CliError::File {
            what: "write",
            path: about.clone(),
            source,
        };
        let mut file = writable(&about).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        file.write_all(whole.to_string().as_bytes())
            .map_err(failed)?;
        self.whole = Some(whole);
        Ok(())
    }

    /// What comes is written behind so many bytes.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn go_on(&mut self, from: u64) -> Result<(), CliError> {
        let set = self.file.set_len(from);
        set.and_then(|()| self.file.seek(SeekFrom::Start(from)).map(drop))
            .map_err(|source| self.failed("write", source))
    }

    /// Whether a later attempt can go on with it.
    pub(super) fn can_go_on(&self) -> bool {
        self.place().is_some()
    }

    /// Leaves nothing behind.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn remove(self) -> Result<(), CliError> {
        fs::remove_file(about(&self.path)).unwrap_or_default();
        fs::remove_file(&self.path).map_err(|source| self.failed("remove", source))
    }

    /// Gives a download that is whole its name.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn finish(self, name: &Path) -> Result<(), CliError> {
        fs::rename(&self.path, name).map_err(|source| self.failed("rename", source))?;
        // Without its part it says nothing.
        fs::remove_file(about(&self.path)).unwrap_or_default();
        Ok(())
    }

    pub(super) fn failed(&self, what: &'static str, source: io::Error) -> CliError {
        CliError::File {
            what,
            path: self.path.clone(),
            source,
        }
    }
}

impl Whole {
    fn of(opened: &Streamed, length: Option<u64>) -> Self {
        let text = |name| opened.header(name).unwrap_or_default().trim().to_owned();
        Self {
            etag: text("etag"),
            last_modified: text("last-modified"),
            length,
        }
    }

    fn read(path: &Path) -> Option<Self> {
        let mut text = String::new();
        let mut options = OpenOptions::new();
        options.read(true);
        let never_waits = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.custom_flags(never_waits.bits().cast_signed());
        let file = options.open(path).ok()?;
        file.take(ABOUT_BYTES).read_to_string(&mut text).ok()?;
        let mut lines = text.split('\n');
        let (etag, last_modified, length) = (lines.next()?, lines.next()?, lines.next()?);
        // What was cut short has no end.
        (lines.next() == Some("")).then(|| Self {
            etag: etag.to_owned(),
            last_modified: last_modified.to_owned(),
            length: length.parse().ok(),
        })
    }

    /// What `If-Range` takes (RFC 9110 §13.1.5): a strong tag, else the date.
    fn validator(&self) -> Option<&str> {
        let strong = Some(self.etag.as_str()).filter(|tag| tag.starts_with('"'));
        strong.or(Some(self.last_modified.as_str()).filter(|date| !date.is_empty()))
    }
}

impl std::fmt::Display for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = self.length.map(|length| length.to_string());
        let length = length.unwrap_or_default();
        write!(f, "{}\n{}\n{length}\n", self.etag, self.last_modified)
    }
}

/// Of `bytes 5-9/10`, which goes to the file's end, the place where it begins and the file's length.
fn rest_of(range: &str) -> Option<(u64, u64)> {
    let (places, length) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (begin, last) = places.split_once('-')?;
    let (begin, last) = (begin.parse().ok()?, last.parse::<u64>().ok()?);
    let length = length.parse().ok()?;
    (last.checked_add(1) == Some(length)).then_some((begin, length))
}

fn about(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".of");
    PathBuf::from(name)
}

/// Opens a file of ours. A backup holds secrets; a link that somebody put there is not followed.
fn writable(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_the_rest_of_a_file_or_none() {
        assert_eq!(rest_of("bytes 5-9/10"), Some((5, 10)));
        for bad in [
            "bytes 5-8/10",
            "bytes 5-9/*",
            "bytes */10",
            "5-9/10",
            "bytes 5-/10",
            "",
        ] {
            assert_eq!(rest_of(bad), None, "{bad}");
        }
        let endless = format!("bytes 5-{max}/{max}", max = u64::MAX);
        assert_eq!(rest_of(&endless), None);
    }

    #[test]
    fn a_weak_tag_names_no_file() {
        let whole = |etag: &str, date: &str| Whole {
            etag: etag.to_owned(),
            last_modified: date.to_owned(),
            length: None,
        };
        assert_eq!(whole("\"a\"", "then").validator(), Some("\"a\""));
        assert_eq!(whole("W/\"a\"", "then").validator(), Some("then"));
        assert_eq!(whole("W/\"a\"", "").validator(), None);
    }
}
