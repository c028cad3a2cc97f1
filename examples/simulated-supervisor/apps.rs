//! The installed apps: they can be started and stopped, and their options set.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The slug of the app that calls.
pub(crate) const OWN_SLUG: &str = "local_hassio_sshd";

struct App {
    slug: &'static str,
    name: &'static str,
    description: &'static str,
    version: &'static str,
    state: &'static str,
}

const APPS: [App; 3] = [
    App {
        slug: OWN_SLUG,
        name: "hassio-sshd",
        description: "An SSH server in which every login is a sandbox",
        version: "0.1.0",
        state: "started",
    },
    App {
        slug: "core_mosquitto",
        name: "Mosquitto broker",
        description: "An Open Source MQTT broker",
        version: "6.5.2",
        state: "started",
    },
    App {
        slug: "core_configurator",
        name: "File editor",
        description: "Simple browser-based file editor for Home Assistant",
        version: "5.8.0",
        state: "stopped",
    },
];

/// What has changed since the start.
#[derive(Default)]
pub(crate) struct Apps {
    states: BTreeMap<&'static str, &'static str>,
    options: BTreeMap<&'static str, Value>,
}

fn known(slug: &str) -> Option<&'static App> {
    let slug = if slug == "self" { OWN_SLUG } else { slug };
    APPS.iter().find(|app| app.slug == slug)
}

impl Apps {
    pub(crate) fn has(slug: &str) -> bool {
        known(slug).is_some()
    }

    fn brief(&self, app: &App) -> Value {
        let repository = app.slug.split('_').next().unwrap_or_default();
        json!({
            "name": app.name, "slug": app.slug, "description": app.description, "version": app.version,
            "version_latest": app.version, "update_available": false, "available": true, "detached": false,
            "homeassistant": null, "state": self.states.get(app.slug).unwrap_or(&app.state), "repository": repository,
            "build": repository == "local", "stage": "stable", "url": null, "icon": true, "logo": true,
            "system_managed": false,
        })
    }

    pub(crate) fn list(&self) -> Value {
        APPS.iter().map(|app| self.brief(app)).collect()
    }

    /// An app's info; its options hold what must not be seen.
    pub(crate) fn info(&self, slug: &str) -> Option<Value> {
        let app = known(slug)?;
        let mut info = self.brief(app);
        let more = json!({
            "hostname": app.slug.replace('_', "-"), "boot": "auto", "protected": true, "auto_update": false,
            "hassio_api": true, "hassio_role": "manager", "ip_address": "172.30.33.4", "host_network": false,
            "privileged": [], "ingress": false, "watchdog": true, "rating": 6, "long_description": null, "stdin": true,
            "options": self.options.get(app.slug).cloned().unwrap_or_else(|| options(app.slug)),
            "schema": [{ "name": "password", "type": "string", "optional": true, "format": "password" }],
        });
        if let (Value::Object(info), Value::Object(more)) = (&mut info, more) {
            info.extend(more);
        }
        Some(info)
    }

    /// What the store knows of an app.
    pub(crate) fn in_store(&self, slug: &str) -> Option<Value> {
        let mut info = self.brief(known(slug)?);
        if let Value::Object(info) = &mut info {
            info.insert("installed".to_owned(), json!(true));
            info.remove("state");
        }
        Some(info)
    }

    /// Does what the last word of the path says; an error is the Supervisor's.
    pub(crate) fn change(
        &mut self,
        slug: &str,
        verb: &str,
        body: &Map<String, Value>,
    ) -> Result<Value, String> {
        let app = known(slug).ok_or_else(|| format!("App {slug} does not exist"))?;
        match verb {
            "start" | "restart" => drop(self.states.insert(app.slug, "started")),
            "stop" => drop(self.states.insert(app.slug, "stopped")),
            "options" => {
                let names = [
                    "options",
                    "boot",
                    "auto_update",
                    "network",
                    "audio_input",
                    "audio_output",
                    "ingress_panel",
                    "watchdog",
                ];
                if let Some(name) = body.keys().find(|name| !names.contains(&name.as_str())) {
                    return Err(format!("extra keys not allowed @ data['{name}']. Got None"));
                }
                if let Some(options) = body.get("options") {
                    self.options.insert(app.slug, options.clone());
                }
            }
            "validate" => return Ok(json!({ "message": "", "valid": true, "pwned": false })),
            _ => {}
        }
        Ok(json!({}))
    }
}

fn options(slug: &str) -> Value {
    match slug {
        OWN_SLUG => json!({ "authorized_keys": [], "password": "own-options-secret" }),
        "core_mosquitto" => json!({
            "logins": [{ "username": "mqtt", "password": "mosquitto-options-secret" }], "require_certificate": false,
        }),
        _ => json!({ "dirsfirst": true, "secret": "configurator-options-secret" }),
    }
}
