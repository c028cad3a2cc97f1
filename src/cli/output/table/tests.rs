use super::*;
use serde_json::json;

const PLAIN: Screen = Screen::Terminal {
    columns: 60,
    colour: Colour::Off,
};

#[test]
fn a_list_is_a_table_with_the_columns_that_matter() {
    let data = json!({ "addons": [
        { "slug": "core_mosquitto", "name": "Mosquitto broker", "version": "6.5.2", "state": "started", "icon": true },
        { "slug": "x", "name": "日本語", "version": "1", "state": "stopped", "icon": true },
    ] });
    let expected = "\
SLUG            NAME              VERSION  STATE
core_mosquitto  Mosquitto broker  6.5.2    started
x               日本語            1        stopped
";
    assert_eq!(rendered(&data, PLAIN), expected);
}

#[test]
fn one_thing_is_aligned_lines_with_its_lists_below() {
    let data = json!({
        "version": "16.1", "board": "green", "update_available": false, "data": null,
        "slots": { "A": { "state": "booted" } }, "features": ["reboot", "shutdown"], "note": "one\ntwo",
    });
    let expected = "\
board:            green
data:             -
features:         reboot, shutdown
update_available: false
version:          16.1
note:
  one
  two
slots:
  A:
    state: booted
";
    assert_eq!(rendered(&data, PLAIN), expected);
}

#[test]
fn no_line_is_wider_than_the_screen() {
    let long = "x".repeat(100);
    let data = json!({ "things": [{ "slug": "a", "name": long, "text": long }] });
    let text = rendered(&data, PLAIN);
    assert!(text.lines().all(|line| line.width() <= 60), "{text}");
    assert!(text.contains('…'));
}

#[test]
fn nothing_from_elsewhere_drives_the_terminal() {
    let hostile = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\r";
    let data = json!({
        hostile: hostile, "list": [{ hostile: hostile }], "strings": [hostile, hostile.repeat(20)], "deep": { hostile: [hostile] },
        "lines": format!("a\n{hostile}"), "mixed": [1, { "a": hostile }],
    });
    for value in [data.clone(), json!([data]), json!(hostile)] {
        let text = rendered(&value, PLAIN);
        let driving = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(driving), "{text:?}");
    }
}

#[test]
fn colours_are_ours_and_can_be_switched_off() {
    let colourful = Screen::Terminal {
        columns: 60,
        colour: Colour::On,
    };
    let data = json!({ "state": "started" });
    assert!(rendered(&data, colourful).contains("\u{1b}[32mstarted"));
    assert!(!rendered(&data, PLAIN).contains('\u{1b}'));
}

#[test]
fn what_names_a_thing_is_whole_or_not_there() {
    let data = json!({ "interfaces": [
        { "interface": "enp0s31f6", "type": "ethernet", "enabled": true, "connected": true, "primary": true,
          "mac": "00:11:22:33:44:55", "ipv4": { "address": ["192.168.100.200/24"] } },
    ] });
    let text = rendered(&data, PLAIN);
    assert!(text.lines().all(|line| line.width() <= 60), "{text}");
    assert!(
        !text.contains("00:11") || text.contains("00:11:22:33:44:55"),
        "{text}"
    );
    assert!(
        text.contains("192.168.100.200/24")
            && text.contains("(no room for PRIMARY, MAC: see --output yaml)"),
        "{text}"
    );
    let wide = Screen::Terminal {
        columns: 100,
        colour: Colour::Off,
    };
    let text = rendered(&data, wide);
    assert!(
        text.contains("192.168.100.200/24") && !text.contains("no room"),
        "{text}"
    );
    // Heads are as wide as their columns.
    let data = json!({ "users": [{ "username": "a", "name": "x".repeat(40), "is_owner": true, "is_active": true, "local_only": false }] });
    let text = rendered(&data, PLAIN);
    assert!(text.lines().all(|line| line.width() <= 60), "{text}");
}

#[test]
fn where_room_is_short_columns_go_and_no_head_and_no_moment_is_cut() {
    let at = |columns, data: &Value| {
        let colour = Colour::Off;
        let text = rendered(data, Screen::Terminal { columns, colour });
        assert!(text.lines().all(|line| line.width() <= columns), "{text}");
        text
    };
    let moment = "2026-11-24T10:04:00.000000+00:00";
    let states = json!([
        { "entity_id": "sensor.living_room_temperature", "state": "21.5", "last_changed": moment,
          "last_reported": moment, "last_updated": moment, "attributes": {} },
    ]);
    let expected = "\
ENTITY ID                       STATE  LAST CHANGED      LAST REPORTED
sensor.living_room_temperature  21.5   2026-11-24 10:04  2026-11-24 10:04
(no room for LAST UPDATED: see --output yaml)
";
    assert_eq!(at(80, &states), expected);
    let apps = json!({ "addons": [
        { "slug": "a0d7b954_vscode", "name": "Studio Code Server", "version": "5.15.0", "version_latest": "5.16.1",
          "state": "started", "update_available": true },
    ] });
    let expected = "\
SLUG             NAME                VERSION  VERSION LATEST  STATE
a0d7b954_vscode  Studio Code Server  5.15.0   5.16.1          started
(no room for UPDATE AVAILABLE: see --output yaml)
";
    assert_eq!(at(80, &apps), expected);
    let interfaces = json!({ "interfaces": [
        { "interface": "enp0s31f6", "type": "ethernet", "enabled": true, "connected": true, "primary": true,
          "mac": "00:11:22:33:44:55", "ipv4": { "address": ["192.168.100.200/24"] } },
    ] });
    let expected = "\
INTERFACE  ADDRESS             TYPE      CONNECTED  ENABLED  PRIMARY
enp0s31f6  192.168.100.200/24  ethernet  true       true     true
(no room for MAC: see --output yaml)
";
    assert_eq!(at(80, &interfaces), expected);
    // Long text is cut, and only where that is of no use a column goes.
    let text = at(
        80,
        &json!({ "things": [{ "slug": "a", "name": "x".repeat(100), "on": true }] }),
    );
    assert!(
        text.contains('…') && text.contains("ON") && !text.contains("no room"),
        "{text}"
    );
}
