//! Connections: multiplex, limit-keytype, connection-timeout, and what is not known.

use super::*;

#[test]
fn multiplex() {
    both(|target| {
        let control = format!("ControlPath={}", target.local("mux").display());
        let on = ["-o", control.as_str()];
        let mut master = target.ssh(&[&on[..], &["-M", "-N", "-f"]].concat());
        assert!(
            master.stdout(Stdio::null()).status().unwrap().success(),
            "{}",
            target.name
        );
        let check = |word: &str| {
            let mut ssh = target.ssh(&[&on[..], &["-O", word]].concat());
            ssh.stderr(Stdio::null());
            ssh.status().unwrap().success()
        };
        assert!(check("check"), "{}", target.name);
        let run = |line: &str| target.run(&on, line);
        for code in [0, 1, 4, 5, 44] {
            assert_eq!(run(&format!("exit {code}")).code(), code, "{}", target.name);
        }
        let data = target.data("data", 300_000);
        let mut ssh = target.ssh(&on);
        ssh.arg("cat")
            .stdin(fs::File::open(target.local("data")).unwrap());
        assert!(ssh.output().unwrap().stdout == data, "{}", target.name);
        let mut sftp = target.client("sftp");
        sftp.args(on).args(["-b", "-", "root@127.0.0.1"]);
        feed(
            sftp,
            format!("put data {}/over-mux\n", target.folder).as_bytes(),
        )
        .good();
        assert!(
            fs::read(target.server.config("over-mux")).unwrap() == data,
            "{}",
            target.name
        );
        // Several at a time, each with its own bytes.
        let lines: Vec<_> = (0..8)
            .map(|n| {
                let mut ssh = target.ssh(&on);
                ssh.args(["--", &format!("seq {n}000 {n}999 | sha256sum")]);
                ssh.stdout(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for (n, child) in lines.into_iter().enumerate() {
            let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
            let mut own = Command::new("sh");
            own.args(["-c", &format!("seq {n}000 {n}999 | sha256sum")]);
            assert_eq!(text, finish(own).stdout, "{}", target.name);
        }
        assert!(check("exit"), "{}", target.name);
        within(Duration::from_secs(5), "it ends", || !check("check"));
    });
}

#[test]
fn limit_keytype() {
    both(|target| {
        // The key is of another type than the client may use.
        let done = target.run(&["-o", "PubkeyAcceptedAlgorithms=rsa-sha2-256"], "true");
        assert_eq!(done.code(), 255, "{}: {done:?}", target.name);
        assert!(
            done.stderr.contains("Permission denied (publickey)"),
            "{}: {done:?}",
            target.name
        );
        target
            .run(&["-o", "PubkeyAcceptedAlgorithms=ssh-ed25519"], "true")
            .good();
    });
}

#[test]
fn proto_mismatch() {
    both(|target| {
        for line in ["SSH-1.5-x\r\n", "HTTP/1.1 400\r\n\r\n", "\r\n"] {
            let mut stream = TcpStream::connect(("127.0.0.1", target.port)).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            std::io::Write::write_all(&mut stream, line.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut said = Vec::new();
            std::io::Read::read_to_end(&mut stream, &mut said).ok();
            assert!(said.starts_with(b"SSH-2.0-"), "{}: {line:?}", target.name);
        }
        target.run(&[], "true").good();
    });
}

#[test]
fn unknown_subsystem_and_forwarding_off() {
    both_with("DisableForwarding yes", |target| {
        let mut ssh = target.ssh(&["-s"]);
        ssh.arg("nothing");
        let done = finish(ssh);
        assert_ne!(done.code(), 0, "{}", target.name);
        assert!(
            done.stderr
                .contains("subsystem request failed on channel 0"),
            "{}: {done:?}",
            target.name
        );
        // Refused, and the connection goes on, unless the client wants none without.
        let forward = ["-R", "0:127.0.0.1:9", "-A"];
        let done = target.run(&forward, "echo ${SSH_AUTH_SOCK:-none}");
        assert_eq!(done.good(), "none", "{}", target.name);
        let strictly = ["-o", "ExitOnForwardFailure=yes"];
        let done = target.run(&[&strictly[..], &forward].concat(), "true");
        assert_eq!(done.code(), 255, "{}: {done:?}", target.name);
        let done = finish(target.ssh(&["-W", "127.0.0.1:9"]));
        assert_eq!(done.code(), 255, "{}: {done:?}", target.name);
    });
}
