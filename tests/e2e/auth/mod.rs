//! Who gets in, and what everybody else learns.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    Done, Server, Setup, eventually, finish, make_key, public, server_command, within,
};

mod attempts;
mod bounds;
mod interactive;
mod lines;
mod refusals;
mod sources;

/// ssh with this key file alone.
fn with_key(server: &Server, user: &str, key: &str, more: &[&str]) -> Done {
    let mut ssh = server.client("ssh");
    let options = server.ssh_options();
    let key = server.dir.join("client").join(key);
    ssh.args(["-F", "none", "-i", key.to_str().unwrap()])
        .args(&options[4..])
        .args(more);
    ssh.args([&format!("{user}@127.0.0.1"), "--", "true"]);
    finish(ssh)
}

#[test]
fn every_accepted_kind_of_key_logs_in() {
    let server = Server::start();
    let kinds: [(&str, &str, &[&str]); 6] = [
        ("e", "ed25519", &[]),
        ("c256", "ecdsa", &["-b", "256"]),
        ("c384", "ecdsa", &["-b", "384"]),
        ("c521", "ecdsa", &["-b", "521"]),
        ("r2048", "rsa", &["-b", "2048"]),
        ("r3072", "rsa", &["-b", "3072"]),
    ];
    let client = server.dir.join("client");
    let mut lines = vec![public(&client.join("key"))];
    for (name, kind, more) in kinds {
        make_key(&client.join(name), kind, more);
        lines.push(public(&client.join(name)));
    }
    let server = Server::at(
        server.into_dir(),
        Setup {
            options: json!({ "authorized_keys": lines }),
            ..Setup::default()
        },
    );
    for (name, _, _) in kinds {
        assert_eq!(
            with_key(&server, "root", name, &[]).code(),
            0,
            "{name}: {}",
            server.log()
        );
    }
    assert!(
        server.log().contains("2048 bits"),
        "a weak key is warned of: {}",
        server.log()
    );
    // SHA-1 signatures are not.
    let done = with_key(
        &server,
        "root",
        "r2048",
        &["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"],
    );
    assert_eq!(done.code(), 255);
}

#[test]
fn an_agent_with_many_keys_gets_in() {
    let server = Server::start();
    let client = server.dir.join("client");
    let mut ssh = server.client("ssh");
    ssh.args(["-F", "none"]);
    for n in 0..15 {
        let name = client.join(format!("k{n}"));
        make_key(&name, "ed25519", &[]);
        ssh.arg("-i").arg(name);
    }
    let options = server.ssh_options();
    ssh.arg("-i")
        .arg(client.join("key"))
        .args(&options[4..])
        .args(["root@127.0.0.1", "--", "true"]);
    finish(ssh).good();
    assert!(!server.log().contains("refused"), "{}", server.log());
}

/// A connection with a password from asyncssh or, here, from ssh through SSH_ASKPASS.
fn with_password(server: &Server, user: &str, password: &str) -> Done {
    with_answer(server, "password", user, password)
}

/// The same by this method. What was asked is in `client/asked`.
fn with_answer(server: &Server, method: &str, user: &str, password: &str) -> Done {
    let ask = server.dir.join("client/ask");
    let asked = server.dir.join("client/asked");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$1\" >{}\necho '{password}'\n",
        asked.display()
    );
    std::fs::write(&ask, script).unwrap();
    std::fs::set_permissions(&ask, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut ssh = server.client("ssh");
    let options = server.ssh_options();
    ssh.env("SSH_ASKPASS", &ask)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .args(["-F", "none"])
        .args(&options[4..]);
    ssh.args([
        "-o",
        &format!("PreferredAuthentications={method}"),
        "-o",
        "NumberOfPasswordPrompts=1",
        "-o",
        "IdentitiesOnly=no",
    ]);
    ssh.args([&format!("{user}@127.0.0.1"), "--", "echo in"]);
    finish(ssh)
}

#[test]
fn a_password_logs_in_where_no_key_is_configured() {
    let options = json!({ "authorized_keys": null, "password": "correct horse battery" });
    let server = Server::with(Setup {
        options,
        ..Setup::default()
    });
    assert_eq!(
        with_password(&server, "root", "correct horse battery").good(),
        "in"
    );
    for (user, password) in [
        ("root", "wrong"),
        ("root", ""),
        ("admin", "correct horse battery"),
    ] {
        assert_eq!(
            with_password(&server, user, password).code(),
            255,
            "{user} {password}"
        );
    }
    assert!(
        !server.log().contains("correct horse"),
        "the password is in the log"
    );
    let text: String = server.records().iter().map(ToString::to_string).collect();
    assert!(!text.contains("correct horse"), "the password is on record");
}

#[test]
fn a_password_is_no_way_in_where_keys_are_configured() {
    let server = Server::with(Setup {
        options: json!({ "password": "correct horse battery" }),
        ..Setup::default()
    });
    assert_eq!(
        with_password(&server, "root", "correct horse battery").code(),
        255
    );
    server.run("true").good();
    assert_eq!(
        server
            .log()
            .matches("both \"authorized_keys\" and \"password\" are set")
            .count(),
        1
    );
}

#[test]
fn the_host_key_is_made_once_and_kept_closed() {
    let mut server = Server::start();
    server.run("true").good();
    let key = server.dir.join("data/ssh_host_ed25519_key");
    let found = std::fs::metadata(&key).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&found) & 0o7777, 0o600);
    let before = std::fs::read(&key).unwrap();
    assert!(server.stop().success());
    let server = Server::at(std::mem::take(&mut server.dir), Setup::default());
    assert_eq!(before, std::fs::read(&key).unwrap());
    // The client's known_hosts agrees.
    server.run("true").good();
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-lf"]).arg(&key);
    let fingerprint = String::from_utf8(keygen.output().unwrap().stdout).unwrap();
    assert!(
        server
            .log()
            .contains(fingerprint.split(' ').nth(1).unwrap()),
        "{}",
        server.log()
    );
}

#[test]
fn only_hardened_algorithms_are_offered() {
    let server = Server::start();
    for bad in [
        "KexAlgorithms=diffie-hellman-group14-sha256",
        "KexAlgorithms=diffie-hellman-group-exchange-sha256",
        "Ciphers=aes128-cbc",
        "MACs=hmac-sha2-256",
        "HostKeyAlgorithms=rsa-sha2-512",
    ] {
        let done = with_key(
            &server,
            "root",
            "key",
            &["-o", bad, "-o", "Ciphers=aes256-ctr"],
        );
        assert_eq!(done.code(), 255, "{bad}");
    }
    for good in [
        "Ciphers=chacha20-poly1305@openssh.com",
        "Ciphers=aes128-gcm@openssh.com",
        "Ciphers=aes256-gcm@openssh.com",
        "Ciphers=aes256-ctr",
    ] {
        assert_eq!(
            with_key(&server, "root", "key", &["-o", good]).code(),
            0,
            "{good}"
        );
    }
    for good in ["curve25519-sha256", "diffie-hellman-group16-sha512"] {
        assert_eq!(
            with_key(
                &server,
                "root",
                "key",
                &["-o", &format!("KexAlgorithms={good}")]
            )
            .code(),
            0,
            "{good}"
        );
    }
}
