//! What a small installation says of itself.

use serde_json::{Value, json};

/// The slug of the app that calls.
pub(crate) const OWN_SLUG: &str = "local_hassio_sshd";

pub(crate) fn info() -> Value {
    json!({
        "supervisor": "2026.08.2", "homeassistant": "2026.8.3", "hassos": "16.1", "docker": "28.3.3",
        "hostname": "homeassistant", "operating_system": "Home Assistant OS 16.1",
        "features": ["reboot", "shutdown", "services", "network", "hostname", "timedate", "os_agent", "haos"],
        "machine": "generic-x86-64", "machine_id": "f5a5c442fa6548cf97474d2d57c920b3", "arch": "amd64",
        "state": "running", "supported_arch": ["amd64", "i386"], "supported": true, "channel": "stable",
        "logging": "info", "timezone": "Europe/Berlin",
    })
}

pub(crate) fn supervisor() -> Value {
    json!({
        "version": "2026.08.2", "version_latest": "2026.08.2", "update_available": false, "channel": "stable",
        "arch": "amd64", "supported": true, "healthy": true, "ip_address": "172.30.32.2",
        "timezone": "Europe/Berlin", "logging": "info", "debug": false, "debug_block": false,
        "diagnostics": false, "auto_update": true, "country": "DE", "detect_blocking_io": false,
    })
}

pub(crate) fn core() -> Value {
    json!({
        "version": "2026.8.3", "version_latest": "2026.8.3", "update_available": false,
        "machine": "generic-x86-64", "ip_address": "172.30.32.1", "arch": "amd64",
        "image": "ghcr.io/home-assistant/generic-x86-64-homeassistant", "boot": true, "port": 8123, "ssl": false,
        "watchdog": true, "audio_input": null, "audio_output": null, "backups_exclude_database": false,
        "duplicate_log_file": false,
    })
}

pub(crate) fn stats() -> Value {
    json!({
        "cpu_percent": 1.34, "memory_usage": 432_185_344, "memory_limit": 8_204_701_696_u64,
        "memory_percent": 5.27, "network_rx": 18_472_113, "network_tx": 4_218_874, "blk_read": 91_123_712,
        "blk_write": 287_309_824,
    })
}

pub(crate) fn host() -> Value {
    json!({
        "agent_version": "1.7.2", "apparmor_version": "3.1.2", "chassis": "embedded",
        "virtualization": "", "cpe": "cpe:2.3:o:home-assistant:haos:16.1:*:production:*:*:*:generic-x86-64:*",
        "deployment": "production", "disk_free": 21.4, "disk_total": 30.8, "disk_used": 8.1,
        "disk_life_time": 3, "features": ["reboot", "shutdown", "services", "network", "hostname"],
        "hostname": "homeassistant", "llmnr_hostname": "homeassistant", "kernel": "6.12.43-haos",
        "operating_system": "Home Assistant OS 16.1", "timezone": "Europe/Berlin",
        "dt_utc": "2026-08-24T07:12:00.000000+00:00", "dt_synchronized": true, "use_ntp": true,
        "startup_time": 2.14, "boot_timestamp": 1_787_500_000_000_000_u64, "broadcast_llmnr": true,
        "broadcast_mdns": true,
    })
}

pub(crate) fn os() -> Value {
    json!({
        "version": "16.1", "version_latest": "16.1", "update_available": false, "board": "generic-x86-64",
        "boot": "A", "data_disk": "QEMU-HARDDISK-1",
        "boot_slots": {
            "A": { "state": "booted", "status": "good", "version": "16.1" },
            "B": { "state": "inactive", "status": "good", "version": "16.0" },
        },
    })
}

pub(crate) fn network() -> Value {
    json!({
        "interfaces": [{
            "interface": "end0", "type": "ethernet", "enabled": true, "connected": true, "primary": true,
            "mac": "DC:A6:32:00:11:22",
            "ipv4": {
                "method": "auto", "address": ["192.168.1.20/24"], "nameservers": ["192.168.1.1"],
                "gateway": "192.168.1.1", "ready": true,
            },
            "ipv6": { "method": "auto", "address": [], "nameservers": [], "gateway": null, "ready": true },
            "wifi": null, "vlan": null, "mdns": "announce", "llmnr": "announce",
        }],
        "docker": {
            "interface": "hassio", "address": "172.30.32.0/23", "gateway": "172.30.32.1", "dns": "172.30.32.3",
        },
        "host_internet": true, "supervisor_internet": true,
    })
}

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

fn brief(app: &App) -> Value {
    let repository = app.slug.split('_').next().unwrap_or_default();
    json!({
        "name": app.name, "slug": app.slug, "description": app.description, "version": app.version,
        "version_latest": app.version, "update_available": false, "available": true, "detached": false,
        "homeassistant": null, "state": app.state, "repository": repository, "build": repository == "local",
        "stage": "stable", "url": null, "icon": true, "logo": true, "system_managed": false,
    })
}

pub(crate) fn apps() -> Value {
    json!({ "addons": APPS.iter().map(brief).collect::<Vec<_>>() })
}

/// An app's info; its options hold what must not be seen.
pub(crate) fn app(slug: &str) -> Option<Value> {
    let slug = if slug == "self" { OWN_SLUG } else { slug };
    let app = APPS.iter().find(|app| app.slug == slug)?;
    let mut info = brief(app);
    let more = json!({
        "hostname": slug.replace('_', "-"), "boot": "auto", "protected": true, "auto_update": false,
        "hassio_api": true, "hassio_role": "manager", "ip_address": "172.30.33.4", "host_network": false,
        "privileged": [], "ingress": false, "watchdog": true, "rating": 6, "long_description": null,
        "options": options(slug),
        "schema": [{ "name": "password", "type": "string", "optional": true, "format": "password" }],
    });
    if let (Value::Object(info), Value::Object(more)) = (&mut info, more) {
        info.extend(more);
    }
    Some(info)
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
