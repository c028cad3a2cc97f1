//! What the options of a line in authorized_keys do: sshd(8), and ours.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::with_key;
use crate::harness::{
    Done, Server, Setup, app, eventually, feed, finish, have, make_key, public, server_command,
};

/// A server with a key for each of these options, beside the usual one.
struct Keyed(Server);

impl Keyed {
    fn with(setup: Setup, lines: &[(&str, &str)]) -> Self {
        let server = Server::start();
        let client = server.dir.join("client");
        let mut all = vec![public(&client.join("key"))];
        for (name, options) in lines {
            make_key(&client.join(name), "ed25519", &[]);
            all.push(format!("{options} {}", public(&client.join(name))));
        }
        let mut options = setup.options.clone();
        options["authorized_keys"] = json!(all);
        Self(Server::at(server.into_dir(), Setup { options, ..setup }))
    }

    fn new(lines: &[(&str, &str)]) -> Self {
        Self::with(Setup::default(), lines)
    }

    /// `ssh` with this key alone, these options, and this command line.
    fn ssh(&self, key: &str, more: &[&str], line: &[&str]) -> Done {
        let mut ssh = self.0.client("ssh");
        let options = self.0.ssh_options();
        ssh.args(["-F", "none", "-i"]).arg(self.key(key));
        ssh.args(&options[4..])
            .args(more)
            .arg("root@127.0.0.1")
            .args(line);
        finish(ssh)
    }

    fn key(&self, name: &str) -> PathBuf {
        self.0.dir.join("client").join(name)
    }

    /// The record of this type of which this is true, as soon as it is on the disk.
    fn record(&self, kind: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(kind, || {
            let records = self.0.records_of(kind);
            records.into_iter().find(|record| is(&record["d"]))
        })
    }

    /// `plink` with this key alone and a wish for a terminal: other than ssh, it goes on where that is refused.
    fn plink(&self, key: &str, line: &str, input: &[u8]) -> Option<Done> {
        if !have("plink") {
            return None;
        }
        let ppk = self.key(&format!("{key}.ppk"));
        let mut convert = self.0.client("puttygen");
        convert
            .arg(self.key(key))
            .args(["-O", "private", "-o"])
            .arg(&ppk);
        finish(convert).good();
        let mut plink = self.0.plink();
        plink.args(["-t", "-i"]).arg(ppk).arg("root@127.0.0.1");
        if !line.is_empty() {
            plink.arg(line);
        }
        Some(feed(plink, input))
    }
}

#[test]
fn a_source_that_does_not_fit_is_refused_and_only_the_owner_learns_why() {
    let keyed = Keyed::new(&[
        ("here", "from=\"127.0.0.0/8,::1\""),
        ("there", "from=\"192.0.2.0/24\""),
        ("not", "from=\"*,!127.0.0.1\""),
    ]);
    let server = &keyed.0;
    assert_eq!(
        with_key(server, "root", "here", &[]).code(),
        0,
        "{}",
        server.log()
    );
    let stranger = {
        make_key(&keyed.key("stranger"), "ed25519", &[]);
        with_key(server, "root", "stranger", &[])
    };
    for name in ["there", "not"] {
        let done = with_key(server, "root", name, &[]);
        assert_eq!(
            (done.code(), &done.stderr),
            (255, &stranger.stderr),
            "{name}"
        );
    }
    let reasons: Vec<Value> = server
        .records_of("auth.attempt")
        .iter()
        .map(|record| record["d"]["reason"].clone())
        .collect();
    assert_eq!(
        reasons.iter().filter(|reason| *reason == "from").count(),
        2,
        "{reasons:?}"
    );
    eventually("the log to say so", || {
        server
            .log()
            .contains("\"from\" of its line names other addresses")
            .then_some(())
    });
}

#[test]
fn a_key_that_has_expired_is_warned_of_and_lets_nobody_in() {
    let keyed = Keyed::new(&[
        ("past", "expiry-time=\"20200101\""),
        ("future", "expiry-time=\"20990101Z\""),
    ]);
    let server = &keyed.0;
    assert_eq!(
        with_key(server, "root", "future", &[]).code(),
        0,
        "{}",
        server.log()
    );
    assert_eq!(with_key(server, "root", "past", &[]).code(), 255);
    assert!(
        server
            .log()
            .contains("line 2: the key has expired at 2020-01-01T"),
        "{}",
        server.log()
    );
    assert_eq!(
        keyed.0.records_of("auth.attempt").last().unwrap()["d"]["reason"],
        "the key has expired"
    );
}

#[test]
fn an_expiry_is_in_the_servers_zone() {
    let setup = Setup {
        zone: Some("<+05>-5"),
        ..Setup::default()
    };
    let keyed = Keyed::with(setup, &[("past", "expiry-time=\"20200101\"")]);
    assert!(
        keyed.0.log().contains("expired at 2019-12-31T19:00:00Z"),
        "{}",
        keyed.0.log()
    );
}

/// It takes the place of whatever is asked for, and learns what that was.
#[test]
fn a_forced_command_is_all_that_runs() {
    let keyed = Keyed::new(&[(
        "forced",
        r#"command="printf '%s\n' \"forced ${SSH_ORIGINAL_COMMAND-unset}\"; exit 7",environment="KEY_OWNER=me""#,
    )]);
    let told = |line: &[&str], asked: &str| {
        let done = keyed.ssh("forced", &[], line);
        assert_eq!(
            (done.code(), done.stdout.as_str()),
            (7, format!("forced {asked}\n").as_str()),
            "{line:?} {done:?}"
        );
        let request = if line.is_empty() { "shell" } else { "exec" };
        keyed.record("exec", |d| d["asked"]["request"] == request)["d"].clone()
    };
    let record = told(
        &["rm -rf /config; echo 'a\"b' $HOME"],
        "rm -rf /config; echo 'a\"b' $HOME",
    );
    assert!(
        record["command"].as_str().unwrap().starts_with("printf "),
        "{record}"
    );
    assert_eq!(
        (&record["asked"]["request"], &record["asked"]["command"]),
        (&json!("exec"), &json!("rm -rf /config; echo 'a\"b' $HOME"))
    );
    assert_eq!(record["asked"]["bytes"], 32);
    let shell = told(&[], "unset");
    assert_eq!(
        (&shell["asked"]["request"], &shell["asked"]["command"]),
        (&json!("shell"), &json!(""))
    );
    let sftp = keyed.ssh("forced", &["-s"], &["sftp"]);
    assert!(
        sftp.stdout.starts_with("forced /usr/lib") && sftp.stdout.ends_with("/sftp-server\n"),
        "{sftp:?}"
    );
    let record = keyed.record("exec", |d| d["asked"]["request"] == "subsystem");
    assert_eq!(record["d"]["asked"]["command"], "sftp");
    let sid = record["sid"].as_str().unwrap().to_owned();
    let mut show = Command::new(app().join("hassio-sshd"));
    show.args(["audit", "show", &sid, "--data-dir"])
        .arg(keyed.0.dir.join("data"));
    let shown = finish(show);
    assert!(
        shown
            .good()
            .contains("(forced by the key; asked for: subsystem sftp)"),
        "{shown:?}"
    );
    // What is not served stays refused.
    assert_ne!(keyed.ssh("forced", &["-s"], &["netconf"]).code(), 7);
}

#[test]
fn what_is_longer_than_a_variable_is_refused_where_a_command_is_forced() {
    let keyed = Keyed::new(&[("forced", "command=\"echo ran\"")]);
    let fits = keyed.ssh("forced", &[], &[&"x".repeat(100_000)]);
    assert_eq!(fits.good(), "ran");
    let long = keyed.ssh("forced", &[], &[&"x".repeat(131_060)]);
    assert!(
        long.code() == 126 && long.stderr.contains("Argument list too long"),
        "{:?} {}",
        long.status,
        long.stderr
    );
    assert!(long.stdout.is_empty());
}

#[test]
fn a_client_changes_nothing_about_a_forced_command() {
    let keyed = Keyed::new(&[(
        "forced",
        r#"command="env; pwd",environment="LC_TIME=C",environment="KEY_OWNER=me""#,
    )]);
    let set = [
        "-o",
        "SetEnv=LC_TIME=de_DE LC_ALL=C BASH_ENV=/config/x PATH=/config KEY_OWNER=you",
    ];
    let done = keyed.ssh("forced", &set, &["true"]);
    let lines: Vec<&str> = done.good().lines().collect();
    for line in [
        "KEY_OWNER=me",
        "LC_TIME=C",
        "LC_ALL=C",
        "HOME=/root",
        "SSH_ORIGINAL_COMMAND=true",
        "/root",
    ] {
        assert!(lines.contains(&line), "{line}: {lines:?}");
    }
    assert!(
        !lines.iter().any(|line| line.contains("/config")),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("SSH_CONNECTION=127.0.0.1 ")),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("PATH=/opt/hassio/bin:")),
        "{lines:?}"
    );
}

#[test]
fn a_terminal_is_refused_and_the_shell_works_without_one() {
    let keyed = Keyed::new(&[
        ("no-pty", "no-pty"),
        ("restrict", "restrict"),
        ("again", "restrict,pty"),
        ("forced", "command=\"tty\""),
        ("forced-pty", "command=\"tty\",pty"),
    ]);
    for name in ["no-pty", "restrict", "forced"] {
        // OpenSSH's client gives up where a terminal is refused, with sshd as well.
        let done = keyed.ssh(name, &["-tt"], &["true"]);
        assert!(
            done.code() == 255 && done.stderr.contains("PTY allocation request failed"),
            "{name}: {done:?}"
        );
        let Some(done) = keyed.plink(name, "tty; echo there", b"") else {
            continue;
        };
        assert!(
            done.stdout.contains("not a tty") && done.stderr.contains("refused to allocate pty"),
            "{name}: {done:?}"
        );
        assert_eq!(
            done.stdout.contains("there"),
            name != "forced",
            "{name}: {done:?}"
        );
        if name != "forced" {
            let done = keyed.plink(name, "", b"echo in $0; exit 3\n").unwrap();
            assert!(
                done.code() == 3 && done.stdout.contains("in -bash"),
                "{name}: {done:?}"
            );
        }
    }
    let done = keyed.ssh("no-pty", &[], &[]);
    assert_eq!(done.code(), 0, "{done:?}");
    let refused = eventually("pty", || {
        let records = keyed.0.records_of("pty");
        (records.len() >= 3).then_some(records)
    });
    assert!(
        refused.iter().all(|record| record["ok"] == false),
        "{refused:?}"
    );
    for name in ["again", "forced-pty"] {
        let done = keyed.ssh(name, &["-tt"], &["tty"]);
        assert!(done.good().starts_with("/dev/pts/"), "{name}: {done:?}");
    }
}

#[test]
fn what_is_recorded_is_a_keys_own() {
    let keyed = Keyed::new(&[("off", "recording=\"off\""), ("input", "recording=input")]);
    keyed.ssh("off", &[], &["echo unseen"]).good();
    keyed.ssh("input", &[], &["echo seen"]).good();
    let modes: Vec<Value> = eventually("recordings to begin", || {
        let records = keyed.0.records_of("recording.start");
        (!records.is_empty()).then(|| {
            records
                .iter()
                .map(|record| record["d"]["mode"].clone())
                .collect()
        })
    });
    assert_eq!(modes, ["input"]);
}

#[test]
fn a_line_with_an_option_that_is_not_held_to_is_no_key() {
    let keyed = Keyed::new(&[
        ("ca", "cert-authority,principals=\"root\""),
        ("typo", "comand=\"x\""),
        ("name", "from=\"*.example.org\""),
        ("loader", "environment=\"LD_PRELOAD=/config/x.so\""),
    ]);
    let log = keyed.0.log();
    for said in [
        "line 2: option \"cert-authority\" is not supported yet",
        "line 3: option \"comand\" is unknown; \"command\" may be meant",
        "line 4: option \"from\": \"*.example.org\" can only be a host's name",
        "line 5: a key may not set the variable \"LD_PRELOAD\"",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
    for name in ["ca", "typo", "name", "loader"] {
        assert_eq!(with_key(&keyed.0, "root", name, &[]).code(), 255, "{name}");
    }
}

/// Nothing is forwarded at all, whatever a line says.
#[test]
fn switches_of_forwarding_are_taken_and_nothing_is_forwarded() {
    let line = "restrict,port-forwarding,permitopen=\"127.0.0.1:22\",permitlisten=\"8080\",X11-forwarding,agent-forwarding,tunnel=\"0\",user-rc";
    let keyed = Keyed::new(&[("all", line)]);
    assert_eq!(keyed.ssh("all", &[], &["echo in"]).good(), "in");
    let done = keyed.ssh("all", &["-W", "127.0.0.1:22"], &[]);
    assert!(
        done.code() == 255 && done.stderr.contains("stdio forwarding failed"),
        "{done:?}"
    );
    let done = keyed.ssh(
        "all",
        &["-o", "ExitOnForwardFailure=yes", "-R", "8080:127.0.0.1:22"],
        &["true"],
    );
    assert_eq!(done.code(), 255, "{done:?}");
}

#[test]
fn check_says_in_a_line_what_each_key_may_do() {
    let keyed = Keyed::new(&[
        (
            "home",
            "command=\"hassio core restart\",from=\"192.168.1.0/24\"",
        ),
        ("old", "expiry-time=20200101Z,role=admin"),
    ]);
    let server = keyed.0;
    let done = finish(server_command("check", &server.into_dir()));
    let keys: Vec<&str> = done
        .good()
        .lines()
        .filter_map(|line| line.strip_prefix("key:          SHA256:"))
        .collect();
    assert_eq!(keys.len(), 3, "{done:?}");
    assert!(
        keys[0].ends_with(": as operator, shared network"),
        "{keys:?}"
    );
    let home = ": as operator, shared network; from 192.168.1.0/24 only; runs \"hassio core restart\" alone; no terminal, \
         no port forwarding, no agent forwarding, no X11 forwarding";
    assert!(keys[1].ends_with(home), "{keys:?}");
    assert!(
        keys[2].ends_with(": as admin, shared network; EXPIRED at 2020-01-01T00:00:00Z"),
        "{keys:?}"
    );
}
