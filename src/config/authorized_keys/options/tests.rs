use std::net::IpAddr;

use super::super::tests::{KEY, lines, lines_in, refused, security_key};
use super::*;
use crate::config::problem::Warning;
use crate::wire::AuthorizedKey;

fn key(options: &str) -> AuthorizedKey {
    let mut read = lines(&[&format!("{options} {KEY} me@home")]);
    assert!(read.refused.is_empty(), "{options}: {:?}", read.refused);
    let key = read.keys.remove(0);
    assert_eq!(key.comment, "me@home", "{options}");
    key
}

fn wrong(options: &str) -> String {
    refused(&format!("{options} {KEY}"))
}

fn names(text: &str) -> Vec<String> {
    let (options, _) = split(text).unwrap();
    options.into_iter().map(|option| option.name).collect()
}

#[test]
fn options_end_at_the_first_blank_outside_of_quotation_marks() {
    let quoted = r#"command="a b, \"c\" \d \\" ,restrict ssh-ed25519 AAAA"#;
    // `\\"` is a backslash and a quotation mark that is escaped: sshd reads it so, and so the value goes on.
    assert!(split(quoted).is_err());
    let (options, rest) =
        split("command=\"a b, \\\"c\\\" \\d\",restrict\t ssh-ed25519 AAAA").unwrap();
    let value = Some("a b, \"c\" \\d".to_owned());
    assert_eq!(
        options[0],
        Written {
            name: "command".to_owned(),
            value
        }
    );
    assert_eq!((options.len(), rest), (2, "\t ssh-ed25519 AAAA"));
    assert_eq!(names("A,b=c,D=\"e\" x"), ["a", "b", "d"]);
    assert_eq!(split("a=\"\"").unwrap().0[0].value.as_deref(), Some(""));
    assert_eq!(
        split("a=\"ä€\" x").unwrap().0[0].value.as_deref(),
        Some("ä€")
    );
}

#[test]
fn what_is_not_written_as_options_are_is_refused() {
    for text in [
        "",
        ",",
        ",a",
        "a,",
        "a,,b",
        "a, b",
        "=x",
        "a,=x",
        "a=\"x",
        "a=\"x\\\"",
        "a=\"x\"y",
        "a=x\"y\"",
        "a\"b\"",
        "\"a\"=b",
        "a=\"x\"=y",
        "a=\"\\",
        "a=\"x\\\"\\\"",
    ] {
        assert!(split(text).is_err(), "{text}");
    }
    assert!(wrong("command=\"a\" b\"").contains("neither a key type nor"));
    assert!(wrong("command=\"echo \"x\"\"").contains("written \\\""));
    assert!(wrong("restrict,").contains("an option is empty"));
    assert!(wrong("command=\"x").contains("not closed after \"command=\""));
}

#[test]
fn hostile_lines_are_refused_soon_and_shown_escaped() {
    for value in ["a\0b", "a\u{1b}[2Jb", "a\u{7f}", "a\u{85}"] {
        for name in [
            "command",
            "from",
            "environment",
            "role",
            "permitopen",
            "expiry-time",
        ] {
            let said = wrong(&format!("{name}=\"{value}\""));
            assert!(said.contains("control character"), "{name}: {said}");
            assert!(!said.contains(char::is_control), "{said:?}");
        }
    }
    let said = wrong("\0\u{1b}]0;x=\"y\"");
    assert!(
        said.contains("\\x00\\x1b") && !said.contains('\u{1b}'),
        "{said}"
    );
    for long in [
        format!("command=\"{}\"", "x".repeat(1 << 20)),
        format!("command={}", "x".repeat(1 << 20)),
        format!("command=\"{}", "\\\"".repeat(1 << 20)),
        "x".repeat(1 << 20),
        "pty,".repeat(100_000) + "pty",
        "permitopen=\"a:1\",".repeat(100_000) + "pty",
        "environment=\"KEY_A=b\",".repeat(100_000) + "pty",
        ",".repeat(1 << 20),
        "\"".repeat(1 << 20),
    ] {
        let said = wrong(&long);
        assert!(said.len() < 1000, "{} bytes", said.len());
    }
    assert!(wrong(&format!("command=\"{}\"", "x".repeat(9000))).contains("longer than 8192"));
    assert_eq!(
        key(&format!("command=\"{}\"", "x".repeat(8000)))
            .command
            .unwrap()
            .len(),
        8000
    );
    let many = vec!["pty"; 2000].join(",");
    assert!(key(&many).permits.pty);
}

#[test]
fn a_line_without_switches_permits_all_and_restrict_nothing() {
    let (mut read, all) = (lines(&[KEY]), Permits::all());
    assert_eq!(read.keys.remove(0).permits, all);
    assert_eq!(key("role=admin").permits, all);
    let mut none = all.clone();
    none.restrict();
    assert_eq!(key("restrict").permits, none);
    let each = "no-pty,no-agent-forwarding,NO-PORT-FORWARDING,no-X11-forwarding,no-user-rc";
    assert_eq!(key(each).permits, none);
    let back = "restrict,pty,agent-forwarding,port-forwarding,X11-forwarding,user-rc";
    assert_eq!(key(back).permits, all);
}

#[test]
fn of_switches_the_last_one_counts_and_a_forced_command_is_one_too() {
    for (options, pty) in [
        ("no-pty,pty", true),
        ("pty,no-pty", false),
        ("pty,restrict", false),
        ("restrict,pty,pty", true),
        ("command=\"x\"", false),
        ("command=\"x\",pty", true),
        ("pty,command=\"x\"", false),
        ("command=\"x\",restrict,pty", true),
    ] {
        let key = key(options);
        assert_eq!(key.permits.pty, pty, "{options}");
    }
    let forced = key("command=\"hassio info\\t--x \\\"y\\\"\",environment=\"KEY_A=1\"");
    assert_eq!(forced.command.as_deref(), Some("hassio info\\t--x \"y\""));
    assert!(!forced.permits.port_forwarding && !forced.permits.agent_forwarding);
    assert_eq!(key("command=\"a\tb\"").command.as_deref(), Some("a\tb"));
    assert!(wrong("command=\"\"").contains("is empty"));
    assert!(wrong("command=\" \t\"").contains("is empty"));
    assert!(wrong("command").contains("needs a value"));
    assert!(wrong("command=\"a\",command=\"b\"").contains("twice"));
}

#[test]
fn a_source_is_an_address_and_never_a_name() {
    let from = key("from=\"192.168.1.0/24,!192.168.1.9,2001:db8::/32\"")
        .from
        .unwrap();
    let admit = |address: &str| from.admit(address.parse::<IpAddr>().unwrap());
    assert!(admit("192.168.1.8") && admit("2001:db8::1"));
    assert!(!admit("192.168.1.9") && !admit("192.168.2.1"));
    assert!(key("from=10.0.0.1").from.is_some());
    assert!(wrong("from=\"*.example.org\"").contains("names are not looked up"));
    assert!(wrong("from=\"!10.0.0.1\"").contains("so that none may"));
    assert!(wrong("from=\"\"").contains("is empty"));
    assert!(wrong("from=\"10.0.0.1 \"").contains("name"));
    assert!(wrong("from=\"10.0.0.1\",from=\"10.0.0.2\"").contains("twice"));
    // Without quotation marks the list ends at its first comma, and what follows is no option.
    assert!(wrong("from=10.0.0.1,10.0.0.2").contains("neither a key type nor an option"));
}

#[test]
fn a_key_has_an_end_in_the_servers_zone_or_in_utc() {
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let at = |text: &str, zone: &TimeZone| {
        let read = lines_in(&[&format!("expiry-time=\"{text}\" {KEY}")], zone);
        Timestamp::from_second(read.keys[0].expires.unwrap())
            .unwrap()
            .to_string()
    };
    for (text, utc, there) in [
        ("20300715", "2030-07-15T00:00:00Z", "2030-07-14T22:00:00Z"),
        (
            "203007150830",
            "2030-07-15T08:30:00Z",
            "2030-07-15T06:30:00Z",
        ),
        (
            "20300115083059",
            "2030-01-15T08:30:59Z",
            "2030-01-15T07:30:59Z",
        ),
        ("20300715Z", "2030-07-15T00:00:00Z", "2030-07-15T00:00:00Z"),
        (
            "20300715083059z",
            "2030-07-15T08:30:59Z",
            "2030-07-15T08:30:59Z",
        ),
    ] {
        assert_eq!(at(text, &TimeZone::UTC), utc, "{text}");
        assert_eq!(at(text, &berlin), there, "{text}");
    }
    assert_eq!(
        key("expiry-time=\"20310101Z\",expiry-time=20300101Z").expires,
        Some(1_893_456_000)
    );
    for bad in [
        "",
        "2030",
        "20301301",
        "20300230",
        "203001012460",
        "20300101240000",
        "+2030010",
        "2030-01-01",
        "20300101ZZ",
        "tomorrow",
        "203001010",
        "99999999",
    ] {
        let said = wrong(&format!("expiry-time=\"{bad}\""));
        assert!(said.contains("YYYYMMDD"), "{bad}: {said}");
    }
    let past = lines(&[&format!("expiry-time=\"20260531235959Z\" {KEY}")]);
    let at = "2026-05-31T23:59:59Z".to_owned();
    assert_eq!(
        (past.keys.len(), past.warnings),
        (1, vec![Warning::Expired { line: 1, at }])
    );
    assert_eq!(
        lines(&[&format!("expiry-time=\"20260601Z\" {KEY}")]).warnings,
        []
    );
}

#[test]
fn variables_come_from_a_list_and_the_last_one_counts() {
    let given = key("environment=\"KEY_A=b=\\\"c\\\"\",environment=LANG=C,environment=\"KEY_A=\"");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(given.environment, [pair("LANG", "C"), pair("KEY_A", "")]);
    for name in [
        "LD_PRELOAD",
        "PATH",
        "BASH_ENV",
        "HASSIO_SOCKET",
        "",
        "KEY-A",
        "KEY_Ä",
        " KEY_A",
        "SSH_ORIGINAL_COMMAND",
    ] {
        let said = wrong(&format!("environment=\"{name}=x\""));
        assert!(
            said.contains("may not set the variable") && said.contains("KEY_*"),
            "{said}"
        );
    }
    assert!(wrong("environment=\"KEY_A\"").contains("NAME=value"));
    assert!(wrong("environment").contains("needs a value"));
}

#[test]
fn places_of_forwarding_are_kept() {
    let permits = key("permitopen=\"[::1]:80\",permitopen=\"a.b:*\",permitlisten=8080,permitlisten=\"localhost:1\"").permits;
    let shown = |list: &[Endpoint]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&permits.open), ["[::1]:80", "a.b:*"]);
    assert_eq!(shown(&permits.listen), ["*:8080", "localhost:1"]);
    assert!(wrong("permitopen=8080").contains("HOST:PORT"));
    assert!(wrong("permitlisten=\"a:b\"").contains("or a port alone"));
    assert_eq!(key("tunnel=\"3\"").permits.tunnel, Some(Tunnel::Number(3)));
    assert_eq!(key("tunnel=any").permits.tunnel, Some(Tunnel::Any));
    assert!(wrong("tunnel=\"-1\"").contains("neither a number nor any"));
}

#[test]
fn switches_of_security_keys_are_for_these_alone() {
    let with = |options: &str| {
        let mut read = lines(&[&format!("{options}{}", security_key())]);
        assert_eq!(read.warnings, [], "{options}");
        let key = read.keys.remove(0);
        (key.touch, key.verify)
    };
    assert_eq!(with(""), (true, false));
    assert_eq!(with("no-touch-required "), (false, false));
    assert_eq!(with("no-touch-required,touch-required "), (true, false));
    assert_eq!(with("verify-required "), (true, true));
    assert_eq!(with("no-touch-required,verify-required "), (false, true));
    assert_eq!(with("verify-required,no-verify-required "), (true, false));
    for option in ["verify-required", "touch-required"] {
        assert!(wrong(option).contains("is for security keys"), "{option}");
    }
    let read = lines(&[&format!("no-touch-required {KEY}")]);
    let option = "no-touch-required";
    assert_eq!(
        (read.keys.len(), read.warnings),
        (1, vec![Warning::Pointless { line: 1, option }])
    );
}

#[test]
fn what_is_recorded_can_be_a_keys_own() {
    assert_eq!(key("pty").recording, None);
    for mode in RecordingMode::ALL {
        assert_eq!(
            key(&format!("recording={}", mode.as_str())).recording,
            Some(mode)
        );
    }
    assert!(wrong("recording=on").contains("none of off, output and input"));
}

#[test]
fn every_known_option_is_one_and_says_what_it_wants() {
    for name in KNOWN {
        let without = lines(&[&format!("{name} {}", security_key())]);
        let with = lines(&[&format!("{name}=\"{}\" {}", example(name), security_key())]);
        assert_eq!(without.keys.len() + with.keys.len(), 1, "{name}");
        for refused in without.refused.iter().chain(&with.refused) {
            let said = refused.to_string();
            assert!(
                said.contains("needs a value") || said.contains("takes no value"),
                "{said}"
            );
        }
    }
    for name in NOT_YET {
        assert!(!KNOWN.contains(&name), "{name}");
    }
}
