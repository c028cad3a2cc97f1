use super::*;
use crate::config::{Environment, Offered, Places};
use crate::model::{AuditFailure, ConfigAccess, Forwarding};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJxvJlxJTgwZTDzQHiDbAjqUKRkbQAfJYM1oBVG7D2rJ me@home";

fn read_as(text: impl AsRef<[u8]>, ending: &str) -> Result<Read, ConfigError> {
    let id = uuid::Uuid::now_v7();
    let path = std::env::temp_dir().join(format!("hassio-sshd-options-{id}.{ending}"));
    std::fs::write(&path, text).unwrap();
    let read = Options::read(&path, &Offered::shipped().unwrap(), &TimeZone::UTC);
    std::fs::remove_file(&path).unwrap();
    read
}

fn read(text: &str) -> Result<Read, ConfigError> {
    read_as(text, "json")
}

fn problem(text: &str) -> String {
    match read(text) {
        Ok(_) => panic!("{text} was accepted"),
        Err(error) => error.to_string(),
    }
}

fn configs(read: Read) -> crate::config::Configs {
    let places = Places {
        config_dir: "/config".into(),
        data_dir: "/data".into(),
        listen: Vec::new(),
        supervisor: "http://supervisor".parse().unwrap(),
    };
    let environment = Environment {
        token: None,
        timezone: Some("UTC".into()),
        boot: "01234567".into(),
        gateways: vec!["172.30.32.1".parse().unwrap()],
        warnings: Vec::new(),
    };
    read.options.into_configs(&places, environment)
}

#[test]
fn a_key_alone_is_enough_and_the_rest_has_defaults() {
    let configs = configs(
        read(&format!(
            r#"{{"authorized_keys": ["{KEY}"], "password": ""}}"#
        ))
        .unwrap(),
    );
    let key = &configs.keys.authorized_keys[0];
    assert_eq!(
        (key.role.as_str(), key.config, key.network),
        ("operator", ConfigAccess::ReadWrite, Network::Shared)
    );
    assert_eq!(key.comment, "me@home");
    assert!(key.fingerprint.starts_with("SHA256:"));
    assert!(!configs.front.password && configs.keys.password.is_none() && configs.front.sftp);
    assert_eq!(configs.warden.folders.len(), 2);
    assert_eq!(configs.audit.directory, Path::new("/data/audit"));
    assert_eq!(
        configs.front.environment,
        [("TZ".to_owned(), "UTC".to_owned())]
    );
}

#[test]
fn the_role_decides_what_the_options_leave_open() {
    let text = |more: &str| {
        format!(r#"{{"authorized_keys": ["{KEY}", "role=backup,network=shared {KEY}2"]{more}}}"#)
    };
    let observer = read(&text(r#", "default_role": "observer""#)).unwrap();
    let key = &observer.options.authorized_keys[0];
    assert_eq!(
        (key.config, key.network),
        (ConfigAccess::ReadOnly, Network::None)
    );
    let none = configs(read(&text(r#", "network": "none""#)).unwrap());
    assert_eq!(none.keys.authorized_keys[0].network, Network::None);
    assert_eq!(none.keys.default_network, Network::None);
}

#[test]
fn what_is_recorded_is_output_unless_the_options_say_otherwise() {
    for (more, expected) in [
        ("", RecordingMode::Output),
        (r#", "recording": "output""#, RecordingMode::Output),
        (r#", "recording": "input""#, RecordingMode::Input),
        (r#", "recording": "off""#, RecordingMode::Off),
        (r#", "recording": false"#, RecordingMode::Off),
    ] {
        let read = read(&format!(r#"{{"authorized_keys": ["{KEY}"]{more}}}"#));
        assert_eq!(configs(read.unwrap()).keys.recording, expected, "{more}");
    }
    let yaml = format!("authorized_keys:\n  - {KEY}\nrecording: off\n");
    let yaml = configs(read_as(yaml, "yaml").unwrap());
    assert_eq!(yaml.keys.recording, RecordingMode::Off);
}

#[test]
fn nobody_goes_on_unrecorded_but_by_option_or_key() {
    for (more, expected) in [
        ("", AuditFailure::Closed),
        (r#", "audit_failure": "closed""#, AuditFailure::Closed),
        (r#", "audit_failure": "open""#, AuditFailure::Open),
    ] {
        let lines = format!(r#""{KEY}""#);
        let read = read(&format!(r#"{{"authorized_keys": [{lines}]{more}}}"#));
        let keys = configs(read.unwrap()).keys;
        assert_eq!(keys.audit_failure, expected, "{more}");
        assert!(!keys.authorized_keys[0].break_glass);
    }
    let of_key = read(&format!(
        r#"{{"authorized_keys": ["break-glass,role=observer {KEY}"]}}"#
    ));
    assert!(configs(of_key.unwrap()).keys.authorized_keys[0].break_glass);
    let wrong = read(&format!(
        r#"{{"authorized_keys": ["{KEY}"], "audit_failure": "ajar"}}"#
    ));
    let said = format!("{:?}", wrong.err());
    assert!(said.contains("closed or open"), "{said}");
}

#[test]
fn the_three_languages_say_the_same() {
    let json = read(&format!(
        r#"{{"authorized_keys": ["{KEY}"], "sftp": false, "folders": ["share"]}}"#
    ))
    .unwrap();
    let yaml = read_as(
        format!("authorized_keys:\n  - {KEY}\nsftp: false\nfolders: [share]\n"),
        "yaml",
    )
    .unwrap();
    let toml = read_as(
        format!("authorized_keys = ['{KEY}']\nsftp = false\nfolders = ['share']\n"),
        "toml",
    )
    .unwrap();
    assert!(!json.options.sftp && json.options.folders == [Folder::Share]);
    assert_eq!(json.options.digest, yaml.options.digest);
    assert_eq!(json.options.digest, toml.options.digest);
}

#[test]
fn nobody_to_log_in_is_said_once_with_what_to_do() {
    for text in [
        "{}",
        r#"{"authorized_keys": [], "password": ""}"#,
        r##"{"authorized_keys": ["", " # note"]}"##,
    ] {
        let said = problem(text);
        assert_eq!(said.matches("authorized_keys").count(), 1, "{said}");
        assert!(
            said.contains("id_ed25519.pub") && said.contains("password"),
            "{said}"
        );
    }
}

#[test]
fn keys_win_over_a_password_and_it_says_so() {
    let both = read(&format!(
        r#"{{"authorized_keys": ["{KEY}"], "password": "secret"}}"#
    ))
    .unwrap();
    assert_eq!(both.warnings, [Warning::PasswordIgnored]);
    assert!(both.options.password.is_none());
    let only = read(r#"{"password": "a good secret"}"#).unwrap();
    assert_eq!(
        only.options.password.as_ref().map(|p| p.as_str()),
        Some("a good secret")
    );
}

#[test]
fn a_password_that_is_guessed_at_once_stops_the_start() {
    for (password, why) in [
        ("root", "is the user name"),
        ("x7#q", "fewer than 8 characters"),
        ("zzzzzzzzzz", "one character again and again"),
        ("12345678", "a run of neighbouring characters"),
        ("Homeassistant1", "among those that are tried first"),
    ] {
        let said = problem(&format!(r#"{{"password": "{password}", "sftp": 1}}"#));
        assert!(
            said.contains(why) && said.contains("a key in \"authorized_keys\""),
            "{said}"
        );
        assert!(
            said.contains("\"sftp\""),
            "with all else that is wrong: {said}"
        );
        assert!(password == "root" || !said.contains(password), "{said}");
        // Where it is no way in, it is only said that it is not.
        let both = format!(r#"{{"authorized_keys": ["{KEY}"], "password": "{password}"}}"#);
        assert_eq!(read(&both).unwrap().warnings, [Warning::PasswordIgnored]);
    }
}

#[test]
fn one_bad_key_line_is_named_and_the_others_work() {
    let text = format!(r#"{{"authorized_keys": ["{KEY}", "ssh-ed25519 AAAA"], "password": "x"}}"#);
    let read = read(&text).unwrap();
    assert_eq!(read.options.authorized_keys.len(), 1);
    assert!(
        read.warnings[0]
            .to_string()
            .starts_with("authorized_keys line 2: "),
        "{:?}",
        read.warnings
    );
}

#[test]
fn bad_keys_alone_never_open_the_way_for_the_password() {
    let said =
        problem(r#"{"authorized_keys": ["ssh-ed25519 AAAA", "ssh-dss AAAA"], "password": "x"}"#);
    assert!(
        said.contains("none of the 2 lines") && said.contains("line 1") && said.contains("DSA"),
        "{said}"
    );
    let said = problem(r#"{"authorized_keys": "ssh-ed25519 AAAA", "password": "x"}"#);
    assert!(said.contains("a list of lines"), "{said}");
}

#[test]
fn everything_wrong_is_said_at_once() {
    let said = problem(
        r#"{"autorized_keys": [], "username": "admin", "default_role": "god", "network": 1, "folders": ["ssl"],
            "sftp": "yes", "forwarding": ["local", "x11"], "gateway_ports": "clientspecified", "shell": "zsh", "banner": "a\u001b", "log_level": "loud", "allow_from": ["192.168.1.0/24", "router.local"], "penalty_exempt": "192.168.1.1", "recording": true, "read_only_without_idmap": 0, "compatibility_mode": "legacy"}"#,
    );
    for part in [
        r#""autorized_keys" is unknown; "authorized_keys" may be meant"#,
        r#""username" cannot be "admin"; right would be root"#,
        r#""default_role" cannot be "god"; right would be admin, backup, observer, operator"#,
        r#""network" cannot be 1"#,
        r#""folders" cannot be "ssl""#,
        r#""sftp" cannot be "yes"; right would be true or false"#,
        r#""forwarding" cannot be "x11"; right would be a list out of local, remote and agent, or an empty one"#,
        r#""gateway_ports" cannot be "clientspecified"; right would be true or false"#,
        r#""shell" cannot be "zsh"; right would be bash"#,
        r#""banner" cannot be "a\x1b""#,
        r#""allow_from" cannot be "router.local""#,
        r#""penalty_exempt" cannot be "192.168.1.1"; right would be a list of addresses and networks"#,
        r#""log_level" cannot be "loud""#,
        r#""recording" cannot be true; right would be off, output or input"#,
        r#""read_only_without_idmap" cannot be 0"#,
        r#""compatibility_mode" cannot be "legacy"; right would be true or false"#,
        "nobody could log in",
    ] {
        assert!(said.contains(part), "{part}\nnot in:\n{said}");
    }
}

#[test]
fn nothing_is_forwarded_but_what_is_named() {
    let forwarding = |more: &str| {
        let text = format!(r#"{{"password": "correct horse battery"{more}}}"#);
        read(&text).unwrap().options.forwarding
    };
    let none = Forwarding::default();
    assert_eq!(forwarding(""), none);
    assert_eq!(forwarding(r#", "forwarding": []"#), none);
    let local = Forwarding {
        local: true,
        ..none
    };
    assert_eq!(forwarding(r#", "forwarding": ["local"]"#), local);
    let all = Forwarding {
        local: true,
        remote: true,
        agent: true,
        gateway_ports: true,
    };
    let said = r#", "forwarding": ["agent", "remote", "local"], "gateway_ports": true"#;
    assert_eq!(forwarding(said), all);
}

#[test]
fn a_password_is_never_shown() {
    let long = "s3cret".repeat(400);
    let texts = [
        (r#"{"password": 83749283}"#.to_owned(), "83749283"),
        (format!(r#"{{"password": "{long}"}}"#), "s3cret"),
        (r#"{"password": ["s3cret"]}"#.to_owned(), "s3cret"),
        (r#"{"password": "s3cret" x}"#.to_owned(), "s3cret"),
    ];
    for (text, secret) in texts {
        assert!(!problem(&text).contains(secret), "{}", problem(&text));
    }
    for (text, ending) in [
        ("password: \"s3cret\n", "yaml"),
        ("password = s3cret", "toml"),
        ("password: s3cret\npassword: s3cret\n", "yml"),
    ] {
        let said = read_as(text, ending).err().unwrap();
        assert!(
            !said.to_string().contains("s3cret") && !format!("{said:?}").contains("s3cret"),
            "{said}"
        );
    }
    let a = read(r#"{"password": "one good secret"}"#)
        .unwrap()
        .options
        .digest;
    assert_eq!(
        a,
        read(r#"{"password": "another secret"}"#)
            .unwrap()
            .options
            .digest,
        "the digest is put on record"
    );
}

#[test]
fn a_file_that_is_none_is_named_with_line_and_column() {
    let said = problem("{\n  \"password\": \"x\",\n  \"sftp\": trux\n}");
    assert!(said.contains("line 3, column"), "{said}");
    let said = problem("{\"sftp\": true,\n \"sftp\": true}");
    assert!(
        said.contains("line 2") && said.contains("\"sftp\" is given twice"),
        "{said}"
    );
    assert!(problem("[]").contains("a list where the table of options should be"));
    assert!(problem("").contains("line 1, column"));
    for (text, ending) in [
        ("sftp = true\nsftp = true\n", "toml"),
        ("sftp: true\nsftp: true\n", "yaml"),
    ] {
        let said = read_as(text, ending).err().unwrap().to_string();
        assert!(said.contains("line 2"), "{said}");
    }
    let missing = Options::read(
        Path::new("/nonexistent/options.json"),
        &Offered::shipped().unwrap(),
        &TimeZone::UTC,
    );
    assert!(
        missing
            .err()
            .unwrap()
            .to_string()
            .contains("/nonexistent/options.json")
    );
}

fn with_roles(roles: &str, key: &str) -> String {
    format!(r#"{{"authorized_keys": ["{key}"], "default_role": "monitor", "roles": {roles}}}"#)
}

#[test]
fn roles_of_ones_own_can_be_a_keys_and_the_default() {
    let roles = r#"{"monitor": {"may": ["read", "core.restart"]}, "files": {"may": [], "config": "read-write", "network": "shared"}}"#;
    let configs = configs(read(&with_roles(roles, &format!(r#"role=\"files\" {KEY}"#))).unwrap());
    let key = &configs.keys.authorized_keys[0];
    assert_eq!(
        (key.role.as_str(), key.config, key.network),
        ("files", ConfigAccess::ReadWrite, Network::Shared)
    );
    // What a role does not say, it has not.
    assert_eq!(configs.keys.default_role.as_str(), "monitor");
    assert_eq!(
        (configs.keys.default_config, configs.keys.default_network),
        (ConfigAccess::Absent, Network::None)
    );
    let names: Vec<_> = configs
        .broker
        .own_roles
        .iter()
        .map(|role| role.name.as_str())
        .collect();
    assert_eq!(names, ["monitor", "files"]);
    assert!(!configs.broker.backup_download);
}

#[test]
fn a_bad_role_is_named_with_what_would_be_right() {
    for (role, says) in [
        (
            r#""monitor": {"may": ["reed"]}"#,
            r#"cannot be "monitor" with may "reed"; right would be perhaps "read""#,
        ),
        (
            r#""monitor": {"may": ["core.restrat"]}"#,
            r#"right would be perhaps "core.restart""#,
        ),
        (
            r#""monitor": {"may": ["fly"]}"#,
            "right would be permissions (read, logs, ",
        ),
        (r#""monitor": {"may": ["*"]}"#, r#"with may "*""#),
        (
            r#""monitor": {"may": ["auth.list"]}"#,
            "that call is let through for nobody",
        ),
        (
            r#""monitor": {"may": "read"}"#,
            r#"with may "read"; right would be a list of texts"#,
        ),
        (r#""monitor": {}"#, "with may null; right would be a list"),
        (
            r#""monitor": {"may": [1]}"#,
            "with may a list; right would be a list of texts",
        ),
        (
            r#""monitor": {"may": [], "config": "rw"}"#,
            "right would be read-write, read-only or absent",
        ),
        (
            r#""monitor": {"may": [], "network": true}"#,
            "right would be shared or none",
        ),
        (
            r#""monitor": {"may": [], "confg": "absent"}"#,
            r#"with "confg"; right would be config"#,
        ),
        (
            r#""monitor": ["read"]"#,
            "as a list; right would be a table",
        ),
        (
            r#""Monitor": {"may": []}"#,
            "right would be another name: a role name is 1 to 32 characters",
        ),
        (
            r#""observer": {"may": []}"#,
            "another name: admin, backup, observer, operator are there already",
        ),
    ] {
        let said = problem(&with_roles(&format!("{{{role}}}"), KEY));
        assert!(said.contains(says), "{says}\nnot in:\n{said}");
    }
    assert!(problem(&with_roles("[]", KEY)).contains("a table of roles by name"));
}

#[test]
fn a_file_of_the_largest_size_is_read_and_one_byte_more_is_refused() {
    let limit = usize::try_from(FILE_BYTES).unwrap();
    let mut text = format!(r#"{{"authorized_keys": ["{KEY}"]}}"#);
    text.push_str(&" ".repeat(limit - text.len()));
    assert!(read(&text).is_ok());
    text.push(' ');
    let error = problem(&text);
    assert!(error.contains("larger than 1048576 bytes"), "{error}");
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let dir = std::env::temp_dir().join(format!("hassio-sshd-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir(&dir).unwrap();
    let fifo = dir.join("fifo.json");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [fifo.as_path(), dir.as_path(), Path::new("/dev/zero")] {
        let Err(error) = Options::read(path, &Offered::shipped().unwrap(), &TimeZone::UTC) else {
            panic!("{} was accepted", path.display())
        };
        assert!(matches!(error, ConfigError::NoFile { .. }), "{error}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn bytes_that_are_no_text_are_named_by_their_place() {
    let Err(error) = read_as(b"{\n  \"banner\": \"\xc3\xa4\xff\"}", "json") else {
        panic!("it was accepted")
    };
    let error = error.to_string();
    assert!(
        error.contains("line 2, column 15: this byte is no UTF-8"),
        "{error}"
    );
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    for (text, ending) in [
        (format!(r#"{{"authorized_keys": ["{KEY}"]}}"#), "json"),
        (format!("authorized_keys: ['{KEY}']\n"), "yaml"),
        (format!("authorized_keys = ['{KEY}']\n"), "toml"),
    ] {
        assert!(
            read_as(format!("\u{feff}{text}"), ending).is_ok(),
            "{ending}"
        );
    }
}
