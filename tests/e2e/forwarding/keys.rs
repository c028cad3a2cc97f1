//! What a key's line leaves of what the options name.

use super::*;
use crate::harness::{Done, folder, make_key, public};

/// A server that forwards everything, and a key whose line begins so.
fn narrowed(line: &str) -> Server {
    let dir = folder();
    std::fs::create_dir_all(dir.join("client")).unwrap();
    let key = dir.join("client/key");
    make_key(&key, "ed25519", &[]);
    let options = json!({
        "authorized_keys": [format!("{line} {}", public(&key))], "forwarding": ["local", "remote", "agent"],
    });
    Server::at(
        dir,
        Setup {
            options,
            ..Setup::default()
        },
    )
}

/// `ssh -R` of this place to a port of the client's, for as long as `true` takes.
fn listen(server: &Server, at: &str) -> Done {
    let mut ssh = server.ssh();
    ssh.args(["-o", "ExitOnForwardFailure=yes", "-R", at]);
    finish({
        ssh.args(["root@127.0.0.1", "--", "true"]);
        ssh
    })
}

#[test]
fn permitopen_names_where_a_key_may_go() {
    let (port, other) = (echo(), echo());
    let server = narrowed(&format!(
        "permitopen=\"127.0.0.1:{port}\",permitopen=\"[::1]:*\""
    ));
    assert_eq!(
        dial(&server, &format!("127.0.0.1:{port}"), b"in").good(),
        "in"
    );
    for to in [format!("127.0.0.1:{other}"), format!("localhost:{port}")] {
        let done = dial(&server, &to, b"out");
        assert!(
            done.stderr.contains("administratively prohibited"),
            "{to}: {done:?}"
        );
        assert!(done.stdout.is_empty(), "{to}: {done:?}");
    }
    eventually("it is on record", || {
        let records = server.records_of("channel.refuse");
        let reason = |record: &Value| record["d"]["reason"] == "not among the key's permitopen";
        (records.iter().filter(|record| reason(record)).count() == 2).then_some(())
    });
}

#[test]
fn permitlisten_names_where_a_key_may_listen() {
    let (port, other) = (free_port(), free_port());
    let server = narrowed(&format!("permitlisten=\"localhost:{port}\""));
    listen(&server, &format!("localhost:{port}:127.0.0.1:9")).good();
    for at in [
        format!("localhost:{other}:127.0.0.1:9"),
        "0:127.0.0.1:9".to_owned(),
        "/tmp/socket:127.0.0.1:9".to_owned(),
    ] {
        assert_eq!(listen(&server, &at).code(), 255, "{at}");
    }
}

#[test]
fn a_restricted_key_forwards_nothing_and_a_switch_gives_it_back() {
    let port = echo();
    let to = format!("127.0.0.1:{port}");
    for (line, may) in [
        ("restrict", false),
        ("no-port-forwarding", false),
        ("restrict,port-forwarding", true),
        ("command=\"true\"", false),
    ] {
        let server = narrowed(line);
        let done = dial(&server, &to, b"through");
        assert_eq!(done.stdout == "through", may, "{line}: {done:?}");
        assert_eq!(listen(&server, "0:127.0.0.1:9").code() == 0, may, "{line}");
    }
}
