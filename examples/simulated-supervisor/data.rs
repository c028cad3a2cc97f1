//! What a small installation says of itself, where that never changes.

use serde_json::{Value, json};

fn info() -> Value {
    json!({
        "supervisor": "2026.08.2", "homeassistant": "2026.8.3", "hassos": "16.1", "docker": "28.3.3",
        "hostname": "homeassistant", "operating_system": "Home Assistant OS 16.1",
        "features": ["reboot", "shutdown", "services", "network", "hostname", "timedate", "os_agent", "haos"],
        "machine": "generic-x86-64", "machine_id": "f5a5c442fa6548cf97474d2d57c920b3", "arch": "amd64",
        "state": "running", "supported_arch": ["amd64", "i386"], "supported": true, "channel": "stable",
        "logging": "info", "timezone": "Europe/Berlin",
    })
}

fn supervisor() -> Value {
    json!({
        "version": "2026.08.2", "version_latest": "2026.08.2", "update_available": false, "channel": "stable",
        "arch": "amd64", "supported": true, "healthy": true, "ip_address": "172.30.32.2",
        "timezone": "Europe/Berlin", "logging": "info", "debug": false, "debug_block": false,
        "diagnostics": false, "auto_update": true, "country": "DE", "detect_blocking_io": false,
    })
}

fn core() -> Value {
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

fn host() -> Value {
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

fn os() -> Value {
    json!({
        "version": "16.1", "version_latest": "16.1", "update_available": false, "board": "generic-x86-64",
        "boot": "A", "data_disk": "QEMU-HARDDISK-1",
        "boot_slots": {
            "A": { "state": "booted", "status": "good", "version": "16.1" },
            "B": { "state": "inactive", "status": "good", "version": "16.0" },
        },
    })
}

fn network() -> Value {
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

/// The `data` of a GET whose answer is always the same.
pub(crate) fn fixed(route: &str, values: &[&str]) -> Option<Value> {
    let plugin = |version: &str| json!({ "version": version, "version_latest": version, "update_available": false });
    let data = match route {
        "/info" => info(),
        "/supervisor/info" => supervisor(),
        "/supervisor/ping" => json!({}),
        "/core/info" => core(),
        "/host/info" => host(),
        "/os/info" => os(),
        "/network/info" => network(),
        "/network/interface/{interface}/info" => interface(values.first().copied())?,
        "/network/interface/{interface}/accesspoints" => json!({ "accesspoints": [
            { "mode": "infrastructure", "ssid": "Home", "mac": "DC:A6:32:AA:BB:CC", "frequency": 2437, "signal": 71 },
        ] }),
        "/available_updates" | "/supervisor/available_updates" => json!({ "available_updates": [{
            "update_type": "addon", "name": "File editor", "icon": "/addons/core_configurator/icon",
            "panel_path": "/update-available/core_configurator", "version_latest": "5.9.0",
        }] }),
        "/core/stats" | "/supervisor/stats" | "/audio/stats" | "/cli/stats" | "/dns/stats"
        | "/multicast/stats" | "/observer/stats" => stats(),
        "/audio/info" => json!({
            "version": "2025.08.0", "version_latest": "2025.08.0", "update_available": false, "host": "172.30.32.4",
            "audio": { "card": [], "input": [], "output": [{ "name": "alsa_output.pci", "index": 0, "default": true, "volume": 0.6 }],
                "application": [] },
        }),
        "/cli/info" => plugin("2025.08.0"),
        "/dns/info" => json!({
            "version": "2025.08.0", "version_latest": "2025.08.0", "update_available": false, "host": "172.30.32.3",
            "servers": [], "locals": ["dns://192.168.1.1"], "mdns": true, "llmnr": false, "fallback": true,
        }),
        "/multicast/info" => plugin("2025.08.0"),
        "/observer/info" => {
            json!({ "version": "2025.08.0", "version_latest": "2025.08.0", "host": "172.30.32.6" })
        }
        "/docker/info" => json!({
            "version": "28.3.3", "storage": "overlay2", "logging": "journald", "enable_ipv6": true, "mtu": null,
            "registries": { "ghcr.io": { "username": "me" } },
        }),
        "/docker/registries" => json!({ "registries": { "ghcr.io": { "username": "me" } } }),
        "/hardware/info" => json!({ "devices": [{
            "name": "ttyUSB0", "sysfs": "/sys/class/tty/ttyUSB0", "dev_path": "/dev/ttyUSB0", "subsystem": "tty",
            "by_id": "/dev/serial/by-id/usb-ITead_Sonoff_Zigbee_3.0-if00", "attributes": {}, "children": [],
        }], "drives": [] }),
        "/hardware/audio" => {
            json!({ "audio": { "input": {}, "output": { "alsa_output.pci": "Built-in Audio" } } })
        }
        "/host/services" => json!({ "services": [
            { "name": "systemd-timesyncd.service", "description": "Network Time Synchronization", "state": "active" },
        ] }),
        "/host/disks/{disk}/usage" => json!({
            "id": "root", "label": "Root", "total_bytes": 33_071_247_360_u64, "used_bytes": 8_697_308_774_u64,
            "children": [{ "id": "system", "label": "System", "used_bytes": 5_368_709_120_u64 }],
        }),
        "/host/logs/boots" => json!({ "boots": {
            "0": "f5a5c442fa6548cf97474d2d57c920b3", "-1": "83fee99ca0c3466db5fc120d52ca7dd8",
        } }),
        "/host/logs/identifiers" => {
            json!({ "identifiers": ["NetworkManager", "hassos-supervisor", "kernel", "systemd"] })
        }
        "/ingress/panels" => json!({ "panels": {} }),
        "/jobs/info" => json!({ "ignore_conditions": [], "jobs": [] }),
        "/mounts" => json!({ "default_backup_mount": null, "mounts": [{
            "name": "nas", "type": "cifs", "usage": "backup", "server": "nas.local", "share": "backup", "state": "active",
            "read_only": false, "version": null, "user_path": null,
        }] }),
        "/os/config/swap" => json!({ "swap_size": "2G", "swappiness": 1 }),
        "/os/datadisk/list" => json!({ "devices": ["QEMU-HARDDISK-2"], "disks": [{
            "name": "QEMU HARDDISK (QEMU-HARDDISK-2)", "vendor": "QEMU", "model": "HARDDISK", "serial": "2",
            "size": 64_424_509_440_u64, "id": "QEMU-HARDDISK-2", "dev_path": "/dev/sdb",
        }] }),
        "/os/boards/green" => {
            json!({ "activity_led": true, "power_led": true, "system_health_led": true })
        }
        "/os/boards/yellow" => {
            json!({ "disk_led": true, "heartbeat_led": true, "power_led": true })
        }
        "/os/boards/raspberrypi/firmware" => json!({
            "version": "1737131215", "version_latest": "1746713597", "update_available": true, "update_blocked": false,
            "update_pending": false,
        }),
        "/os/boards/{board}" => json!({}),
        "/resolution/info" => json!({
            "unsupported": [], "unhealthy": [],
            "issues": [{ "uuid": "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f", "type": "no_current_backup", "context": "system", "reference": null }],
            "suggestions": [
                { "uuid": "1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a", "type": "create_full_backup", "context": "system", "reference": null, "auto": false },
                { "uuid": "2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b", "type": "execute_remove", "context": "addon", "reference": "local_hassio_sshd", "auto": false },
            ],
            "checks": [{ "slug": "free_space", "enabled": true }],
        }),
        "/resolution/issue/{issue}/suggestions" => json!({ "suggestions": [
            { "uuid": "1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a", "type": "create_full_backup", "context": "system", "reference": null, "auto": false },
        ] }),
        "/security/info" => {
            json!({ "content_trust": false, "pwned": true, "force_security": false })
        }
        "/services" => {
            json!({ "services": [{ "slug": "mqtt", "available": true, "providers": ["core_mosquitto"] }] })
        }
        "/store/repositories" => json!([repository("core"), repository("local")]),
        "/store/repositories/{repository}" => {
            repository(values.first().copied().unwrap_or_default())
        }
        "/auth/list" => {
            json!({ "users": [{ "username": "admin", "name": "Admin", "is_owner": true, "is_active": true }] })
        }
        _ => return None,
    };
    Some(data)
}

fn interface(name: Option<&str>) -> Option<Value> {
    let network = network();
    let interfaces = network.get("interfaces")?.as_array()?;
    let wanted = |one: &&Value| {
        name == Some("default") || one.get("interface").and_then(Value::as_str) == name
    };
    interfaces.iter().find(wanted).cloned()
}

fn repository(slug: &str) -> Value {
    json!({
        "slug": slug, "name": format!("The {slug} apps"), "source": format!("https://github.com/example/{slug}"),
        "url": "https://home-assistant.io/apps", "maintainer": "Example",
    })
}
