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
}

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
            _ => {}
        }
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
        if self.dropped > 0 {
            d.insert("dropped".to_owned(), json!(self.dropped));
        }
    }
}
