//! Bytes: transfer, rekey, try-ciphers, stderr-data, stderr-after-eof, yes-head, broken-pipe.

use super::*;

#[track_caller]
fn same(target: Target<'_>, what: &str, got: &[u8], expected: &[u8]) {
    assert_eq!(got.len(), expected.len(), "{}: {what}", target.name);
    assert!(got == expected, "{}: {what}: other bytes", target.name);
}

/// The output of a command as bytes.
fn output(mut command: Command) -> Vec<u8> {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {done:?}");
    done.stdout
}

#[test]
fn transfer() {
    both(|target| {
        let data = target.data("data", 3_000_017);
        fs::copy(target.local("data"), target.server.config("data")).unwrap();
        let mut down = target.ssh(&[]);
        down.arg(format!("cat {}/data", target.folder));
        same(target, "down", &output(down), &data);
        // Written by the client in blocks of many sizes.
        for block in [10, 100, 1_000, 32 << 10, 64 << 10, 256 << 10] {
            let bytes = if block < 100 { 100_000 } else { data.len() };
            let mut up = target.ssh(&[]);
            up.arg(format!("cat > {}/copy", target.folder));
            let mut up = up.stdin(Stdio::piped()).spawn().unwrap();
            let mut stdin = up.stdin.take().unwrap();
            for piece in data[..bytes].chunks(block) {
                std::io::Write::write_all(&mut stdin, piece).unwrap();
            }
            drop(stdin);
            assert!(up.wait().unwrap().success(), "{}", target.name);
            let copy = fs::read(target.server.config("copy")).unwrap();
            same(
                target,
                &format!("in blocks of {block}"),
                &copy,
                &data[..bytes],
            );
        }
    });
}

#[test]
fn rekey() {
    both(|target| {
        let data = target.data("data", 2_000_003);
        for (limit, kex) in [
            ("RekeyLimit=256K", "KexAlgorithms=curve25519-sha256"),
            (
                "RekeyLimit=256K",
                "KexAlgorithms=diffie-hellman-group16-sha512",
            ),
            // After so many seconds.
            ("RekeyLimit=default 1", "KexAlgorithms=curve25519-sha256"),
        ] {
            let slowly = if limit.ends_with('1') {
                "sleep 2; "
            } else {
                ""
            };
            let mut ssh = target.ssh(&["-v", "-o", limit, "-o", kex]);
            ssh.arg(format!("{slowly}tee {}/copy; {slowly}true", target.folder));
            ssh.stdin(fs::File::open(target.local("data")).unwrap());
            let done = ssh.output().unwrap();
            assert!(done.status.success(), "{}: {limit} {kex}", target.name);
            same(target, limit, &done.stdout, &data);
            let said = String::from_utf8_lossy(&done.stderr);
            let keys = said.matches("SSH2_MSG_NEWKEYS sent").count();
            assert!(
                keys > 1,
                "{}: {limit} {kex}: {keys} key exchanges",
                target.name
            );
        }
    });
}

#[test]
fn try_ciphers() {
    both(|target| {
        let data = target.data("data", 100_000);
        let ciphers = [
            "chacha20-poly1305@openssh.com",
            "aes128-gcm@openssh.com",
            "aes256-gcm@openssh.com",
            "aes256-ctr",
        ];
        for cipher in ciphers {
            for mac in [
                "hmac-sha2-256-etm@openssh.com",
                "hmac-sha2-512-etm@openssh.com",
            ] {
                let mut ssh = target.ssh(&["-c", cipher, "-m", mac]);
                ssh.arg("cat")
                    .stdin(fs::File::open(target.local("data")).unwrap());
                same(target, &format!("{cipher} {mac}"), &output(ssh), &data);
            }
        }
    });
}

#[test]
fn stderr_data() {
    both(|target| {
        let data = target.data("data", 500_000);
        fs::copy(target.local("data"), target.server.config("data")).unwrap();
        for no_input in [&["-n"][..], &[]] {
            let mut ssh = target.ssh(no_input);
            ssh.arg(format!(
                "exec sh -c 'exec >/dev/null; sleep 1; cat {}/data 1>&2'",
                target.folder
            ));
            let done = ssh.output().unwrap();
            assert_eq!(done.status.code(), Some(0), "{}", target.name);
            same(target, "stderr", &done.stderr, &data);
            assert!(done.stdout.is_empty(), "{}", target.name);
        }
    });
}

#[test]
fn stderr_after_eof() {
    both(|target| {
        let data = target.data("data", 500_000);
        fs::copy(target.local("data"), target.server.config("data")).unwrap();
        // Its output is closed, and long after that it says something.
        let line = format!(
            "echo first; exec >&-; sleep 1; cat {}/data 1>&2; exit 3",
            target.folder
        );
        let mut ssh = target.ssh(&[]);
        ssh.arg(format!("exec sh -c '{line}'"));
        let done = ssh.output().unwrap();
        assert_eq!(done.status.code(), Some(3), "{}", target.name);
        same(target, "stderr", &done.stderr, &data);
        same(target, "stdout", &done.stdout, b"first\n");
    });
}

#[test]
fn yes_head() {
    both(|target| {
        let done = target.run(&[], "sh -c 'while true; do echo yes; done | head -n 2000'");
        assert_eq!(done.good().lines().count(), 2000, "{}", target.name);
    });
}

#[test]
fn broken_pipe() {
    both(|target| {
        for _ in 0..4 {
            let mut ssh = target.ssh(&[]);
            ssh.args(["--", "seq 1 1000000"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            let mut ssh = ssh.spawn().unwrap();
            drop(ssh.stdout.take());
            let mut ended = None;
            within(Duration::from_secs(10), "the client ends", || {
                ended = ssh.try_wait().unwrap();
                ended.is_some()
            });
        }
        // The server has taken no harm.
        target.run(&[], "true").good();
    });
}
