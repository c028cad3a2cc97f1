use serde_json::{Map, Value, json};

/// What audit itself saw of a session, whatever the session's connection says at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    records: u64,
    channels: u64,
    api_calls: u64,
    denials: u64,
    bytes_in: u64,
    bytes_out: u64,
    dropped: u64,
    /// Those that have ended, as `session.close` lists them.
    recordings: Vec<Value>,
    more_recordings: u64,
}

/// How many recordings `session.close` lists: a record has an end, and each of them is on record anyway.
const RECORDINGS: usize = 48;

impl Totals {
    /// Counts one record.
    pub(super) fn see(&mut self, kind: &str, d: &Map<String, Value>) {
        let number = |name: &str| d.get(name).and_then(Value::as_u64).unwrap_or(0);
        self.records += 1;
        match kind {
            "channel.open" => self.channels += 1,
            "channel.close" => {
                self.bytes_in = self.bytes_in.saturating_add(number("bytes_in"));
                self.bytes_out = self.bytes_out.saturating_add(number("bytes_out"));
            }
            "channel.refuse" | "policy.deny" => self.denials += 1,
            "api.request" => {
                self.api_calls += 1;
                self.denials += u64::from(d.get("decision") == Some(&json!("deny")));
            }
            "recording.end" => self.see_recording(d),
            _ => {}
        }
    }

    fn see_recording(&mut self, d: &Map<String, Value>) {
        let of = |name: &str| d.get(name).cloned().unwrap_or_default();
        if self.recordings.len() < RECORDINGS {
            let file = of("file");
            // The folder follows from the session.
            let name = file.as_str().and_then(|id| id.rsplit('/').next());
            self.recordings
                .push(json!({"file": name, "bytes": of("bytes"), "sha256": of("sha256")}));
        } else {
            self.more_recordings += 1;
        }
    }

    /// Whether the recording whose file has this name has ended, as far as that is known.
    pub(super) fn has_recording(&self, name: &str) -> bool {
        let listed = |recording: &Value| recording.get("file") == Some(&json!(name));
        self.more_recordings > 0 || self.recordings.iter().any(listed)
    }

    /// Counts one that could not be kept.
    pub(super) fn drop_one(&mut self) {
        self.dropped += 1;
    }

    /// Adds the sums to the members of `session.close`.
    pub(super) fn add_to(&self, d: &mut Map<String, Value>) {
        d.insert("records".to_owned(), json!(self.records));
        d.insert("channels".to_owned(), json!(self.channels));
        d.insert("api_calls".to_owned(), json!(self.api_calls));
        d.insert("denials".to_owned(), json!(self.denials));
        d.insert("bytes_in".to_owned(), json!(self.bytes_in));
        d.insert("bytes_out".to_owned(), json!(self.bytes_out));
        if !self.recordings.is_empty() {
            d.insert("recordings".to_owned(), json!(self.recordings));
        }
        if self.more_recordings > 0 {
            d.insert("more_recordings".to_owned(), json!(self.more_recordings));
        }
        if self.dropped > 0 {
            d.insert("dropped".to_owned(), json!(self.dropped));
        }
    }
}
