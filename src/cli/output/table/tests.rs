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
        text.contains("(no room for MAC, ADDRESS: see --output yaml)"),
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
