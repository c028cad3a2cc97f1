//! Backups: two are there, others can be made, uploaded and removed. What is in them is zeros.

use serde_json::{Map, Value, json};

/// Two GiB, and something small.
const SIZES: [(&str, &str, u64); 2] = [
    ("2a2a2a2a", "Everything", 2 * 1024 * 1024 * 1024),
    ("1a2b3c4d", "Before the update", 1_048_576),
];

pub(crate) struct Backup {
    pub(crate) slug: String,
    name: String,
    pub(crate) size: u64,
    apps: Vec<Value>,
}

pub(crate) struct Backups(Vec<Backup>);

impl Backups {
    pub(crate) fn new() -> Self {
        let backup = |(slug, name, size): (&str, &str, u64)| Backup {
            slug: slug.to_owned(),
            name: name.to_owned(),
            size,
            apps: vec![
                json!({ "slug": "core_mosquitto", "name": "Mosquitto broker", "version": "6.5.2", "size": 0.1 }),
            ],
        };
        Self(SIZES.into_iter().map(backup).collect())
    }

    fn brief(backup: &Backup) -> Value {
        let megabytes = backup.size / 1_048_576;
        json!({
            "slug": backup.slug, "name": backup.name, "date": "2026-08-24T04:45:00.000000+00:00", "type": "partial",
            "size": megabytes, "size_bytes": backup.size, "location": null, "locations": [null],
            "location_attributes": { ".local": { "protected": false, "size_bytes": backup.size } }, "protected": false,
            "compressed": true, "content": { "homeassistant": true, "addons": ["core_mosquitto"], "folders": ["share"] },
        })
    }

    pub(crate) fn list(&self) -> Value {
        self.0.iter().map(Self::brief).collect()
    }

    pub(crate) fn find(&self, slug: &str) -> Option<&Backup> {
        self.0.iter().find(|backup| backup.slug == slug)
    }

    pub(crate) fn info(&self, slug: &str) -> Option<Value> {
        let backup = self.find(slug)?;
        let mut info = Self::brief(backup);
        if let Value::Object(info) = &mut info {
            info.insert("addons".to_owned(), json!(backup.apps));
            info.insert("repositories".to_owned(), json!(["core", "local"]));
            info.insert("folders".to_owned(), json!(["share"]));
            info.insert("homeassistant".to_owned(), json!("2026.8.3"));
        }
        Some(info)
    }

    /// Adds one and says its slug.
    pub(crate) fn add(&mut self, body: &Map<String, Value>, size: u64) -> String {
        let slug = format!(
            "{:08x}",
            0xb0b0_0000_u64 + u64::try_from(self.0.len()).unwrap_or_default()
        );
        let name = body.get("name").and_then(Value::as_str).unwrap_or("Backup");
        self.0.push(Backup {
            slug: slug.clone(),
            name: name.to_owned(),
            size,
            apps: Vec::new(),
        });
        slug
    }

    pub(crate) fn remove(&mut self, slug: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|backup| backup.slug != slug);
        self.0.len() < before
    }
}
