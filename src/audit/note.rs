//! Checkpoints: what the ledger was at one moment, signed. A signed note of C2SP (c2sp.org/signed-note) whose text has the
//! lines of c2sp.org/tlog-checkpoint, with the chain's head in the place of a tree's root. `docs/audit.md` shows one.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::chain::Head;

/// What the name of every key and the origin of every note begin with.
const PRODUCT: &str = "hassio-sshd/";
/// Begins the line of a note that certifies the next key.
const NEXT: &str = "next ";
/// Begins the line of a signature, U+2014.
const DASH: &str = "\u{2014} ";
/// c2sp.org/signed-note: the type of Ed25519.
const ED25519: u8 = 1;
/// Of the name of a trail, in hexadecimal digits.
const TRAIL_LENGTH: usize = 16;
/// The most lines of a note that is looked at: those below and a few that a witness added.
const LINES: usize = 32;

/// A trail's name: the beginning of the SHA-256 of its first public key, so a note names the key that all others follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailName(String);

impl TrailName {
    /// Of the trail that begins with this key.
    #[must_use]
    pub fn of(first: &VerifyingKey) -> Self {
        let digest = Sha256::digest(first.as_bytes());
        let digits = digest.iter().map(|byte| format!("{byte:02x}"));
        Self(digits.take(TRAIL_LENGTH / 2).collect())
    }

    /// As the text of each checkpoint begins: `hassio-sshd/<name>`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{PRODUCT}{self}")
    }

    fn parse(text: &str) -> Option<Self> {
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        (text.len() == TRAIL_LENGTH && text.chars().all(hex)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for TrailName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public key of the trail and its name, `hassio-sshd/<trail>/<number>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Whose.
    pub trail: TrailName,
    /// Which one: 1 for the first, each day the next.
    pub number: u64,
    /// What verifies.
    pub public: VerifyingKey,
}

impl Key {
    /// The key that begins a trail.
    #[must_use]
    pub fn first(public: VerifyingKey) -> Self {
        Self {
            trail: TrailName::of(&public),
            number: 1,
            public,
        }
    }

    /// The one after this.
    #[must_use]
    pub fn next(&self, public: VerifyingKey) -> Self {
        Self {
            trail: self.trail.clone(),
            number: self.number.saturating_add(1),
            public,
        }
    }

    /// Whether it is the key that its trail is named after, if it says that it is the first.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.number != 1 || TrailName::of(&self.public) == self.trail
    }

    fn name(&self) -> String {
        format!("{PRODUCT}{}/{}", self.trail, self.number)
    }

    /// c2sp.org/signed-note: the first four bytes of SHA-256(name, newline, type, public key).
    fn id(&self) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(self.name());
        hash.update([b'\n', ED25519]);
        hash.update(self.public.as_bytes());
        let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
        [a, b, c, d]
    }

    /// Reads what `Display` wrote: c2sp.org/signed-note's verifier key, `name+id+base64(type, public key)`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The name holds no plus; base64 may.
        let mut parts = text.splitn(3, '+');
        let (name, id, blob) = (parts.next()?, parts.next()?, parts.next()?);
        let (trail, number) = name.strip_prefix(PRODUCT)?.split_once('/')?;
        let blob = STANDARD.decode(blob).ok()?;
        let (kind, public) = blob.split_first()?;
        let key = Self {
            trail: TrailName::parse(trail)?,
            number: number.parse().ok()?,
            public: VerifyingKey::from_bytes(public.try_into().ok()?).ok()?,
        };
        (*kind == ED25519 && name == key.name() && id == hex(key.id())).then_some(key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&[ED25519], self.public.as_bytes().as_slice()].concat();
        write!(
            f,
            "{}+{}+{}",
            self.name(),
            hex(self.id()),
            STANDARD.encode(blob)
        )
    }
}

fn hex(bytes: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(bytes))
}

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Of which trail.
    pub trail: TrailName,
    /// How many records the ledger has, in all its segments.
    pub records: u64,
    /// The last one's hash.
    pub head: Head,
    /// The key that signs from here on.
    pub next: Option<Key>,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let next = self
            .next
            .as_ref()
            .map(|key| format!("{NEXT}{key}\n"))
            .unwrap_or_default();
        let head = STANDARD.encode(self.head);
        format!("{}\n{}\n{head}\n{next}", self.trail.origin(), self.records)
    }

    /// Reads the text. Unknown lines after the third are let pass: they are signed as well.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n').take(LINES);
        let trail = TrailName::parse(lines.next()?.strip_prefix(PRODUCT)?)?;
        let records = lines.next()?.parse().ok()?;
        let head = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        let next = match lines.find_map(|line| line.strip_prefix(NEXT)) {
            Some(key) => Some(Key::parse(key)?),
            None => None,
        };
        Some(Self {
            trail,
            records,
            head,
            next,
        })
    }

    /// The note, signed.
    #[must_use]
    pub fn sign(&self, key: &Key, private: &SigningKey) -> Note {
        let text = self.text();
        let signature = private.sign(text.as_bytes()).to_bytes();
        let blob = STANDARD.encode([key.id().as_slice(), &signature].concat());
        Note {
            signatures: vec![format!("{DASH}{} {blob}", key.name())],
            text,
        }
    }
}

/// A text and the lines of its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<String>,
}

impl Note {
    /// Takes a note apart: the text ends before the last empty line.
    #[must_use]
    pub fn parse(note: &str) -> Option<Self> {
        let note = note.trim_end_matches('\n');
        let (text, signatures) = note.rsplit_once("\n\n")?;
        let signatures: Vec<String> = signatures.split('\n').map(str::to_owned).collect();
        let sound =
            signatures.len() <= LINES && signatures.iter().all(|line| line.starts_with(DASH));
        sound.then(|| Self {
            text: format!("{text}\n"),
            signatures,
        })
    }

    /// As a record holds it: line by line, with an empty one between text and signatures.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.to_string()
            .trim_end_matches('\n')
            .split('\n')
            .map(str::to_owned)
            .collect()
    }

    /// As the log holds it: all of it in base64, on one line.
    #[must_use]
    pub fn one_line(&self) -> String {
        STANDARD.encode(self.to_string())
    }

    /// Reads a note as it is, or a line of the log that holds one.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let words = || text.split(|c: char| c.is_whitespace() || c == '"' || c == '=');
        // Base64 may end in equals signs: those are no part of what has to be told apart.
        let of_log = |word: &str| {
            let padded = format!("{word}{}", "=".repeat(word.len().wrapping_neg() % 4));
            Self::parse(&String::from_utf8(STANDARD.decode(padded).ok()?).ok()?)
        };
        Self::parse(text).or_else(|| words().find_map(of_log))
    }

    /// What it says; to be believed only once a signature is verified.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        Checkpoint::parse(&self.text)
    }

    /// The names of those who signed it, unverified.
    #[must_use]
    pub fn signers(&self) -> String {
        let name = |line: &String| {
            line.strip_prefix(DASH)?
                .split(' ')
                .next()
                .map(str::to_owned)
        };
        let names: Vec<String> = self.signatures.iter().filter_map(name).collect();
        names.join(", ")
    }

    /// Whether `key` signed it.
    #[must_use]
    pub fn is_signed_by(&self, key: &Key) -> bool {
        let begin = format!("{DASH}{} ", key.name());
        let its = |line: &String| {
            let blob = STANDARD.decode(line.strip_prefix(&begin)?).ok()?;
            let (id, signature) = blob.split_at_checked(4)?;
            let signature = Signature::from_bytes(signature.try_into().ok()?);
            (id == key.id()).then_some(signature)
        };
        self.signatures.iter().filter_map(its).any(|signature| {
            key.public
                .verify_strict(self.text.as_bytes(), &signature)
                .is_ok()
        })
    }
}

/// The note in a `checkpoint` record.
#[must_use]
pub fn of_record(record: &serde_json::Value) -> Option<Note> {
    let lines = record.get("d")?.get("note")?.as_array()?;
    let lines: Option<Vec<&str>> = lines.iter().map(serde_json::Value::as_str).collect();
    Note::parse(&lines?.join("\n"))
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n", self.text, self.signatures.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> (SigningKey, Key) {
        let private = SigningKey::from_bytes(&[seed; 32]);
        let key = Key::first(private.verifying_key());
        (private, key)
    }

    #[test]
    fn a_note_says_what_was_signed_and_nothing_else_passes() {
        let (private, first) = key(1);
        let second = first.next(SigningKey::from_bytes(&[2; 32]).verifying_key());
        let checkpoint = Checkpoint {
            trail: first.trail.clone(),
            records: 17,
            head: [3; 32],
            next: Some(second.clone()),
        };
        let note = checkpoint.sign(&first, &private);
        let text = note.to_string();
        let read = Note::parse(&text).unwrap();
        assert_eq!(read, note);
        assert_eq!(Note::parse(&read.lines().join("\n")), Some(note));
        assert_eq!(read.checkpoint(), Some(checkpoint));
        assert!(read.is_signed_by(&first));
        assert!(!read.is_signed_by(&second), "another key");
        let (_, other) = key(1);
        let renamed = Key { number: 2, ..other };
        assert!(!read.is_signed_by(&renamed), "the same key by another name");
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            let passes = Note::parse(&changed).is_some_and(|note| note.is_signed_by(&first));
            // The newlines at the end are not part of it.
            assert!(!passes || at == text.len() - 1, "byte {at}: {changed}");
        }
        let line = format!(
            "INFO audit: the audit trail is signed checkpoint=\"{}\"",
            read.one_line()
        );
        assert_eq!(Note::find(&line), Some(read.clone()));
        assert_eq!(Note::find(&text), Some(read));
        assert_eq!(Note::find("INFO nothing here"), None);
        assert!(Note::parse("no note").is_none() && Note::parse("").is_none());
    }

    #[test]
    fn keys_are_written_as_verifiers_of_notes_know_them() {
        let (_, first) = key(1);
        let text = first.to_string();
        assert_eq!(Key::parse(&text), Some(first.clone()));
        assert!(first.is_sound());
        let stranger = Key {
            trail: key(2).1.trail,
            ..first
        };
        assert!(!stranger.is_sound(), "the trail is named after another key");
        for bad in [
            "",
            "x",
            "hassio-sshd/0/1+00000000+AQ==",
            &text.replace("/1+", "/2+"),
        ] {
            assert_eq!(Key::parse(bad), None, "{bad}");
        }
    }
}
