//! Old clients: who is let in by `compatibility_mode`, who never is, and what the log says of those who are not.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::clients::python;
use crate::harness::{Done, Server, Setup, eventually, finish};

fn compatible() -> Server {
    Server::with(Setup {
        options: json!({ "compatibility_mode": true }),
        ..Setup::default()
    })
}

fn ssh(server: &Server, options: &[&str]) -> Done {
    let mut ssh = server.talking_ssh();
    ssh.args(options.iter().flat_map(|option| ["-o", *option]));
    ssh.args(["root@127.0.0.1", "--", "head -c 100000 /dev/zero | wc -c"]);
    finish(ssh)
}

/// The lines about clients that have nothing in common with the server.
fn lines(server: &Server) -> Vec<String> {
    let log = server.log();
    let about = log.lines().filter(|line| line.contains("could not agree"));
    about.map(str::to_owned).collect()
}

/// What the trail says of the ends of connections.
fn reasons(server: &Server, count: usize) -> Vec<String> {
    eventually("all ends are on record", || {
        let closed = server.records_of("conn.close");
        let reason =
            |record: &serde_json::Value| record["d"]["reason"].as_str().unwrap().to_owned();
        (closed.len() == count).then(|| closed.iter().map(reason).collect())
    })
}

/// What OpenSSH's client can, one at a time, and that today's set does not have.
const OLD: [&[&str]; 8] = [
    &["KexAlgorithms=ecdh-sha2-nistp256"],
    &["KexAlgorithms=ecdh-sha2-nistp384"],
    &["KexAlgorithms=ecdh-sha2-nistp521"],
    &["KexAlgorithms=diffie-hellman-group14-sha256"],
    &["Ciphers=aes128-ctr"],
    &["Ciphers=aes192-ctr"],
    &["Ciphers=aes256-ctr", "MACs=hmac-sha2-256"],
    &["Ciphers=aes128-ctr", "MACs=hmac-sha2-512"],
];

/// What it can and no server should.
const BROKEN: [&[&str]; 7] = [
    &["KexAlgorithms=diffie-hellman-group14-sha1"],
    &["KexAlgorithms=diffie-hellman-group1-sha1"],
    &["KexAlgorithms=diffie-hellman-group-exchange-sha1"],
    &["Ciphers=aes256-cbc"],
    &["Ciphers=3des-cbc"],
    &["Ciphers=aes256-ctr", "MACs=hmac-sha1-etm@openssh.com"],
    &["Ciphers=aes256-ctr", "MACs=hmac-md5"],
];

#[test]
fn old_clients_are_let_in_by_the_option_alone_and_broken_ones_never() {
    let (hardened, compatible) = (Server::start(), compatible());
    for options in OLD {
        let refused = ssh(&hardened, options);
        assert_eq!(refused.code(), 255, "{options:?}: {refused:?}");
        assert!(refused.stderr.contains("no matching"), "{refused:?}");
        assert_eq!(ssh(&compatible, options).good(), "100000", "{options:?}");
    }
    for options in BROKEN {
        for server in [&hardened, &compatible] {
            let refused = ssh(server, options);
            assert!(
                refused.stderr.contains("no matching"),
                "{options:?}: {refused:?}"
            );
        }
    }
    // Nobody is worse off.
    assert_eq!(ssh(&compatible, &[]).good(), "100000");
    let last = compatible.records_of("conn.open").pop().unwrap();
    assert_eq!(last["d"]["kex"], "curve25519-sha256", "{last}");
}

#[test]
fn the_log_says_what_was_lacking_and_what_would_help() {
    let server = Server::start();
    ssh(
        &server,
        &["KexAlgorithms=ecdh-sha2-nistp256", "Ciphers=aes128-ctr"],
    );
    let said = eventually("it is said", || lines(&server).pop());
    for part in [
        "WARN",
        "127.0.0.1 could not agree with this server on a key exchange: it offers ecdh-sha2-nistp256, this server mlkem768x25519-sha256,",
        "nor on a cipher: it offers aes128-ctr, this server chacha20-poly1305@openssh.com,",
        "; \"compatibility_mode\": true in the options would let it in",
    ] {
        assert!(said.contains(part), "{part}\nnot in:\n{said}");
    }
    // Once for an address in a minute, however many there are; the trail has them all.
    for _ in 0..3 {
        ssh(&server, &["MACs=hmac-sha1", "Ciphers=aes256-ctr"]);
    }
    let reasons = reasons(&server, 4);
    assert_eq!(
        reasons[0],
        "no common key exchange: the client offers ecdh-sha2-nistp256"
    );
    assert_eq!(reasons[3], "no common MAC: the client offers hmac-sha1");
    assert_eq!(lines(&server), [said]);

    for server in [Server::start(), compatible()] {
        ssh(&server, &["KexAlgorithms=diffie-hellman-group14-sha1"]);
        let said = eventually("it is said", || lines(&server).pop());
        assert!(
            said.contains("offers diffie-hellman-group14-sha1, this server"),
            "{said}"
        );
        assert!(
            said.ends_with("no option would let it in: use a newer client"),
            "{said}"
        );
    }
}

#[test]
fn what_a_stranger_offers_is_never_shown_raw() {
    let server = Server::start();
    // russh lets names through that are ASCII, be they what they may.
    let hostile = ["x\x1b]0;evil\x07\n2026-11-30 forged line"; 30].join(",ext-info-c,");
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let mut message = vec![20];
    message.extend([0; 16]);
    for list in [
        hostile.as_str(),
        &hostile,
        &hostile,
        "",
        &hostile,
        "",
        "none",
        "none",
        "",
        "",
    ] {
        message.extend(u32::try_from(list.len()).unwrap().to_be_bytes());
        message.extend(list.as_bytes());
    }
    message.extend([0; 5]);
    let padding = 4 + (8 - (message.len() + 5 + 4) % 8) % 8;
    let mut packet = u32::try_from(1 + message.len() + padding)
        .unwrap()
        .to_be_bytes()
        .to_vec();
    packet.push(u8::try_from(padding).unwrap());
    packet.extend(message);
    packet.resize(packet.len() + padding, 0);
    stream.write_all(b"SSH-2.0-x\r\n").unwrap();
    stream.write_all(&packet).unwrap();
    stream.read_to_end(&mut Vec::new()).ok();
    let said = eventually("it is said", || lines(&server).pop());
    assert!(said.contains(r"x\x1b]0;evil\x07\x0a"), "{said}");
    assert!(said.len() < 4096, "{} bytes", said.len());
    assert!(
        !server
            .log()
            .lines()
            .any(|line| line.starts_with("2026-11-30 forged"))
    );
    let reason = reasons(&server, 1).remove(0);
    assert!(
        reason.starts_with(r"no common key exchange: the client offers x\x1b]0;evil"),
        "{reason}"
    );
    assert!(reason.len() < 300 && !reason.contains('\x07'), "{reason}");
}

#[test]
fn other_vendors_old_clients_too() {
    let (hardened, compatible) = (Server::start(), compatible());
    let Some(python) = python() else { return };
    let script = r#"
import asyncio, asyncssh, sys
async def main():
    to = dict(username='root', client_keys=[sys.argv[2]], known_hosts=None, config=None, agent_path=None)
    async with asyncssh.connect('127.0.0.1', int(sys.argv[1]), kex_algs=['ecdh-sha2-nistp521'],
            encryption_algs=['aes192-ctr'], mac_algs=['hmac-sha2-512'], **to) as c:
        print((await c.run('head -c 100000 /dev/zero | wc -c')).stdout, end='')
asyncio.run(main())
"#;
    let paramiko = r#"
import paramiko, sys
t = paramiko.Transport(('127.0.0.1', int(sys.argv[1])))
o = t.get_security_options()
o.kex = ('diffie-hellman-group14-sha256',); o.ciphers = ('aes128-ctr',); o.digests = ('hmac-sha2-256',)
t.start_client(timeout=20); t.auth_publickey('root', paramiko.Ed25519Key.from_private_key_file(sys.argv[2]))
ch = t.open_session(); ch.exec_command('head -c 100000 /dev/zero | wc -c')
print(ch.makefile().read().decode(), end='')
"#;
    for script in [script, paramiko] {
        for (server, right) in [(&hardened, None), (&compatible, Some("100000\n"))] {
            let mut command = server.client(&python);
            command
                .args(["-c", script, &server.port.to_string()])
                .arg(server.dir.join("client/key"));
            let done = finish(command);
            match right {
                Some(right) => assert_eq!(done.stdout, right, "{}", done.stderr),
                None => assert_ne!(done.code(), 0, "{done:?}"),
            }
        }
    }
}
