//! What a person gets wrong, and what they are told.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::harness::{Done, Server, Setup, app, finish, folder, make_key, public, server_command};

/// `hassio-sshd serve` with this text as its options, which must not start.
fn refused(name: &str, text: Option<&str>) -> Done {
    let dir = folder();
    for folder in ["config", "data"] {
        fs::create_dir(dir.join(folder)).unwrap();
    }
    if let Some(text) = text {
        fs::write(dir.join(name), text).unwrap();
    }
    let mut command = Command::new(app().join("hassio-sshd"));
    command
        .env_clear()
        .args(["serve", "--listen", "127.0.0.1:0"]);
    for (option, place) in [
        ("--options", name),
        ("--config-dir", "config"),
        ("--data-dir", "data"),
    ] {
        command.arg(option).arg(dir.join(place));
    }
    let done = finish(command);
    fs::remove_dir_all(dir).unwrap();
    done
}

#[test]
fn no_way_in_is_said_once_with_what_to_do() {
    for options in ["{}", r#"{"authorized_keys": [], "password": ""}"#] {
        let done = refused("options.json", Some(options));
        assert_eq!(done.code(), 2, "{done:?}");
        assert_eq!(
            done.stderr.matches("authorized_keys").count(),
            1,
            "{done:?}"
        );
        assert!(
            done.stderr.contains("add your public key") && done.stderr.contains("password"),
            "{done:?}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_or_not_json_is_named_with_the_place() {
    let done = refused("options.json", None);
    assert_eq!(done.code(), 2);
    assert!(
        done.stderr.contains("options.json") && done.stderr.contains("No such file"),
        "{done:?}"
    );
    let done = refused("options.json", Some("{\n  \"password\": oops\n}"));
    assert_eq!(done.code(), 2);
    assert!(
        done.stderr.contains("options.json, line 2, column"),
        "{done:?}"
    );
}

#[test]
fn all_wrong_values_are_named_at_once_with_what_would_be_right() {
    let text = r#"{"password": 5, "default_role": "king", "autorized_keys": []}"#;
    let done = refused("options.json", Some(text));
    assert_eq!(done.code(), 2);
    for part in [
        "password",
        "default_role",
        "king",
        "operator",
        "autorized_keys",
        "authorized_keys",
    ] {
        assert!(done.stderr.contains(part), "{part}: {done:?}");
    }
}

#[test]
fn one_bad_key_line_is_reported_and_the_rest_work() {
    let server = Server::start();
    let good = public(&server.dir.join("client/key"));
    let short = server.dir.join("client/short");
    make_key(&short, "rsa", &["-b", "1024"]);
    let lines = json!({ "authorized_keys": ["ssh-ed25519 AAAA broken", public(&short), good, "no-pty ssh-rsa AAAA x", 5] });
    let server = Server::at(
        server.into_dir(),
        Setup {
            options: lines,
            ..Setup::default()
        },
    );
    server.run("true").good();
    let log = server.log();
    assert!(
        log.contains("line 1") && log.contains("line 2") && log.contains("1024 bits"),
        "{log}"
    );
    assert!(log.contains("line 4") && log.contains("line 5"), "{log}");
}

#[test]
fn yaml_and_toml_options_are_read_by_their_ending() {
    for (name, text) in [
        ("o.yaml", "password: [1]\n"),
        ("o.toml", "password = [1]\n"),
    ] {
        let done = refused(name, Some(text));
        assert!(
            done.code() == 2 && done.stderr.contains("password"),
            "{done:?}"
        );
    }
}

#[test]
fn a_port_that_is_taken_is_said() {
    let server = Server::start();
    let other = server.dir.join("other");
    for name in ["config", "data"] {
        fs::create_dir_all(other.join(name)).unwrap();
    }
    fs::copy(server.dir.join("options.json"), other.join("options.json")).unwrap();
    let mut command = server_command("serve", &other);
    command.args(["--listen", &format!("127.0.0.1:{}", server.port)]);
    let done = finish(command);
    assert_eq!(done.code(), 1);
    assert!(
        done.stderr.contains("cannot listen on 127.0.0.1") && done.stderr.contains("in use"),
        "{done:?}"
    );
}

#[test]
fn a_data_folder_is_one_servers_alone_for_as_long_as_it_writes() {
    let mut server = Server::start();
    server.run("true").good();
    let mut second = server_command("serve", &server.dir);
    second.args(["--listen", "127.0.0.1:0"]);
    let done = finish(second);
    assert_eq!(done.code(), 1, "{done:?}");
    let data = server.dir.join("data");
    assert!(
        done.stderr.contains("is in use by another server")
            && done.stderr.contains(data.to_str().unwrap())
            && !done.stderr.contains("listening"),
        "{done:?}"
    );
    // Not every file system lets it be known whose lock it is; what is said is right.
    if let Some((_, pid)) = done.stderr.split_once("server, process ") {
        let pid: String = pid.chars().take_while(char::is_ascii_digit).collect();
        assert_eq!(pid, server.pid().to_string(), "{done:?}");
    }
    // The warden and audit hold it, and no session or other process does.
    let lock = fs::canonicalize(data.join("hassio-sshd.lock")).unwrap();
    let _session = server.background("sleep 100");
    server.spare_waits();
    let mut holders: Vec<String> = server
        .processes()
        .into_iter()
        .filter(|process| {
            let open = fs::read_dir(format!("/proc/{}/fd", process.pid))
                .unwrap()
                .flatten();
            let mut open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
            open.any(|to| to == lock)
        })
        .map(|process| process.line)
        .collect();
    holders.sort();
    assert_eq!(holders, ["hassio-sshd audit-writer", "hassio-sshd warden"]);
    // However it ended, the next one can start.
    server.kill();
    let server = Server::at(server.into_dir(), Setup::default());
    server.run("true").good();
}

/// `serve` and `check` with places of their own, which must not start: what both say with status 2.
#[track_caller]
fn misplaced(options: &Path, config: &Path, data: &Path) -> String {
    let run = |word| {
        let mut command = Command::new(app().join("hassio-sshd"));
        command.env_clear().arg(word);
        command.args(["--listen", "127.0.0.1:0"]);
        command.arg("--options").arg(options);
        command.arg("--config-dir").arg(config);
        command.arg("--data-dir").arg(data);
        let done = finish(command);
        assert_eq!(done.code(), 2, "{word}: {done:?}");
        // Without the time.
        let (_, said) = done.stderr.split_once("ERROR").unwrap();
        said.to_owned()
    };
    let said = run("serve");
    assert_eq!(said, run("check"));
    assert!(!data.join("audit").exists(), "something was made");
    said
}

#[test]
fn what_is_secret_does_not_lie_where_sessions_look() {
    let dir = folder();
    let key = dir.join("key");
    make_key(&key, "ed25519", &[]);
    let text = json!({ "authorized_keys": [public(&key)] }).to_string();
    for name in ["config/data", "config/inner", "data", "alias"] {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    let at = |name: &str| dir.join(name);
    for place in ["options.json", "config/inner/options.json"] {
        fs::write(at(place), &text).unwrap();
    }
    let (options, config, data) = (at("options.json"), at("config"), at("data"));
    std::os::unix::fs::symlink("config/data", at("link")).unwrap();
    std::os::unix::fs::symlink("../data", at("config/out")).unwrap();
    std::os::unix::fs::symlink("../options.json", at("config/options.json")).unwrap();
    let mut mount = Command::new("mount");
    mount.arg("--bind").arg(&config).arg(at("alias"));
    assert!(mount.status().unwrap().success());
    // Inside, the same, by a link, from within by a link that a session could turn, and by another mount.
    for place in ["config/data", "config", "link", "config/out", "alias/data"] {
        let said = misplaced(&options, &config, &at(place));
        assert!(said.contains("which sessions see"), "{place}: {said}");
        assert!(said.contains("--data-dir"), "{place}: {said}");
    }
    for place in ["config/inner/options.json", "config/options.json"] {
        let said = misplaced(&at(place), &config, &data);
        assert!(said.contains("--options"), "{place}: {said}");
    }
    let said = misplaced(&options, &config, Path::new("/usr/share"));
    assert!(said.contains("lies in /usr"), "{said}");
    assert!(
        Command::new("umount")
            .arg(at("alias"))
            .status()
            .unwrap()
            .success()
    );
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_sessions_see_may_lie_in_the_data_folder() {
    let dir = folder();
    fs::create_dir_all(dir.join("data/config")).unwrap();
    std::os::unix::fs::symlink("data/config", dir.join("config")).unwrap();
    let server = Server::at(dir, Setup::default());
    server.run("touch /config/x; ! ls /config/../data").good();
    assert!(server.dir.join("data/config/x").exists());
}

#[test]
fn a_folder_where_roots_are_put_together_is_refused() {
    let dir = folder();
    let key = dir.join("key");
    make_key(&key, "ed25519", &[]);
    let options = dir.join("options.json");
    fs::write(
        &options,
        json!({ "authorized_keys": [public(&key)] }).to_string(),
    )
    .unwrap();
    let staged = Path::new("/mnt").join(dir.file_name().unwrap());
    for name in [&dir, &staged] {
        fs::create_dir_all(name.join("folder")).unwrap();
    }
    let (here, there) = (dir.join("folder"), staged.join("folder"));
    let config = misplaced(&options, &there, &here);
    let data = misplaced(&options, &here, &there);
    fs::remove_dir_all(&staged).unwrap();
    fs::remove_dir_all(dir).unwrap();
    assert!(
        config.contains("lies in /mnt") && config.contains("--config-dir"),
        "{config}"
    );
    assert!(
        data.contains("lies in /mnt") && data.contains("--data-dir"),
        "{data}"
    );
}

#[test]
fn a_data_folder_that_is_read_only_is_said_with_what_to_do() {
    let dir = folder();
    let key = dir.join("key");
    make_key(&key, "ed25519", &[]);
    let options = dir.join("options.json");
    fs::write(
        &options,
        json!({ "authorized_keys": [public(&key)] }).to_string(),
    )
    .unwrap();
    for name in ["config", "data"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    let data = dir.join("data");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "ro", "tmpfs"]).arg(&data);
    assert!(mount.status().unwrap().success());
    let said = misplaced(&options, &dir.join("config"), &data);
    assert!(
        Command::new("umount")
            .arg(&data)
            .status()
            .unwrap()
            .success()
    );
    fs::remove_dir_all(dir).unwrap();
    assert!(
        said.contains("make it writable") && said.contains("Read-only"),
        "{said}"
    );
}

#[test]
fn check_finds_what_would_keep_serve_from_starting() {
    let mut server = Server::start();
    server.run("true").good();
    let check = || finish(server_command("check", &server.dir));
    let done = check();
    assert_eq!(done.code(), 1, "{done:?}");
    assert!(
        done.stderr.contains("is in use by another server"),
        "{done:?}"
    );
    assert!(done.stdout.contains("in force:"), "{done:?}");
    server.stop();
    let dir = server.into_dir();
    let key = dir.join("data/ssh_host_ed25519_key");
    let check = || finish(server_command("check", &dir));
    check().good();
    let good = fs::read(&key).unwrap();
    fs::write(&key, "garbage").unwrap();
    let done = check();
    assert_eq!(done.code(), 1, "{done:?}");
    assert!(done.stderr.contains("is damaged"), "{done:?}");
    // Each cause once.
    let why = done.stderr.trim_end().rsplit(": ").next().unwrap();
    assert_eq!(done.stderr.matches(why).count(), 1, "{done:?}");
    fs::write(&key, good).unwrap();
    std::os::unix::fs::chown(dir.join("data/audit"), Some(0), None).unwrap();
    let done = check();
    assert_eq!(done.code(), 1, "{done:?}");
    assert!(done.stderr.contains("belongs to uid 0"), "{done:?}");
    // Nothing is made.
    fs::remove_dir_all(dir.join("data")).unwrap();
    fs::create_dir(dir.join("data")).unwrap();
    check().good();
    assert_eq!(fs::read_dir(dir.join("data")).unwrap().count(), 0);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn check_says_what_is_in_force() {
    let mut server = Server::start();
    server.run("true").good();
    server.stop();
    let mut command = server_command("check", &server.dir);
    command
        .env("SUPERVISOR_TOKEN", "not a token")
        .env("TZ", "../x");
    let done = finish(command);
    for (name, value) in [("SUPERVISOR_TOKEN", "not a token"), ("TZ", "../x")] {
        assert_eq!(done.stderr.matches(name).count(), 1, "{done:?}");
        assert!(!done.stderr.contains(value), "{done:?}");
    }
    assert!(
        done.good().contains("in force:") && done.stdout.contains("id-mapped"),
        "{done:?}"
    );
}

#[test]
fn a_folder_that_cannot_be_id_mapped_refuses_sessions_unless_read_only_is_accepted() {
    let mount = |dir: &std::path::Path| {
        let overlay = dir.join("overlay");
        for name in ["lower", "upper", "work"] {
            fs::create_dir_all(overlay.join(name)).unwrap();
        }
        fs::create_dir_all(dir.join("config")).unwrap();
        let option = |name: &str| format!("{name}dir={}", overlay.join(name).display());
        let options = [option("lower"), option("upper"), option("work")].join(",");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(dir.join("config"));
        assert!(mount.status().unwrap().success());
        fs::write(dir.join("config/readable"), "yes\n").unwrap();
    };
    let unmount = |dir: &std::path::Path| {
        assert!(
            Command::new("umount")
                .arg(dir.join("config"))
                .status()
                .unwrap()
                .success()
        );
    };
    for (accept, expected) in [(false, 254), (true, 0)] {
        let dir = folder();
        mount(&dir);
        let options = json!({ "read_only_without_idmap": accept });
        let server = Server::at(
            dir,
            Setup {
                options,
                ..Setup::default()
            },
        );
        let done = server.run("cat /config/readable; ! touch /config/x");
        let log = server.log();
        let dir = server.into_dir();
        unmount(&dir);
        fs::remove_dir_all(dir).unwrap();
        assert!(log.contains("cannot be id-mapped"), "{log}");
        assert_eq!(done.code(), expected, "{done:?}");
        assert_eq!(done.stdout, if accept { "yes\n" } else { "" });
        assert_eq!(done.stderr.contains("id-map"), !accept, "{done:?}");
    }
}

#[test]
fn a_folder_may_be_named_by_a_link() {
    let dir = folder();
    fs::create_dir(dir.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", dir.join("config")).unwrap();
    let server = Server::at(dir, Setup::default());
    server.run("touch /config/x").good();
    assert!(server.dir.join("elsewhere/x").exists());
}

#[test]
fn a_password_that_is_guessed_at_once_stops_the_start() {
    for (password, why) in [
        ("root", "is the user name"),
        ("12345678", "is a run"),
        ("Passwort1", "tried first"),
    ] {
        let text = json!({ "password": password }).to_string();
        let done = refused("options.json", Some(&text));
        assert_eq!(done.code(), 2, "{done:?}");
        assert!(
            done.stderr.contains(why) && done.stderr.contains("right would be a longer one"),
            "{done:?}"
        );
    }
}
