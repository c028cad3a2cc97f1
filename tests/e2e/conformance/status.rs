//! How commands end: exit-status, exit-status-signal, and what a channel is told.

use super::*;

#[test]
fn exit_status() {
    both(|target| {
        for code in [0, 1, 4, 5, 44, 255] {
            for more in [&[][..], &["-n"]] {
                for line in [
                    format!("exit {code}"),
                    format!("sleep 0.2; exec >/dev/null 2>&1; exit {code}"),
                ] {
                    let done = target.run(more, &line);
                    assert_eq!(done.code(), code, "{}: {line}: {done:?}", target.name);
                }
            }
        }
    });
}

#[test]
fn exit_status_signal() {
    both(|target| {
        for signal in ["KILL", "TERM", "SEGV"] {
            let done = target.run(&[], &format!("kill -{signal} $$; sleep 5"));
            assert_eq!(done.code(), 255, "{}: {signal}: {done:?}", target.name);
        }
        // What a shell says of a program of its own that a signal ended.
        let done = target.run(&[], "sh -c 'kill -TERM $$'; exit $?");
        assert_eq!(done.code(), 143, "{}: {done:?}", target.name);
    });
}

#[test]
fn exit_before_its_background_ends() {
    both(|target| {
        // The channel stays open for as long as somebody has the output open, and the status is the command's.
        let done = target.run(&[], "(sleep 1; echo late) & echo early; exit 7");
        assert_eq!(
            (done.code(), done.stdout.as_str()),
            (7, "early\nlate\n"),
            "{}",
            target.name
        );
        let since = std::time::Instant::now();
        let done = target.run(&[], "sleep 5 >/dev/null 2>&1 </dev/null & exit 7");
        assert_eq!(done.code(), 7, "{}", target.name);
        assert!(since.elapsed() < Duration::from_secs(4), "{}", target.name);
    });
}

#[test]
fn envpass() {
    both(|target| {
        let mut ssh = target.ssh(&[
            "-o",
            "SendEnv=LC_SENT",
            "-o",
            "SetEnv=LC_SET=\"two words\" FORBIDDEN=x",
        ]);
        ssh.env("LC_SENT", "sent").env("LC_UNSENT", "x");
        ssh.args(["--", "echo \"[$LC_SENT][$LC_SET][$LC_UNSENT][$FORBIDDEN]\""]);
        assert_eq!(
            finish(ssh).good(),
            "[sent][two words][][]",
            "{}",
            target.name
        );
    });
}

#[test]
fn terminals() {
    both(|target| {
        let mut ssh = target.ssh(&["-tt"]);
        ssh.env("TERM", "xterm-256color");
        ssh.args(["--", "echo $TERM; test -t 0 && test -t 1 && test -t 2 && echo all; stty -a | grep -c 'speed'"]);
        let done = finish(ssh);
        assert_eq!(
            done.good().replace('\r', ""),
            "xterm-256color\nall\n1",
            "{}",
            target.name
        );
        let done = target.run(&["-T"], "test -t 0 || echo none");
        assert_eq!(done.good(), "none", "{}", target.name);
    });
}

#[test]
fn login_timeout() {
    both_with("LoginGraceTime 30", |target| {
        // Who says nothing keeps nobody out.
        let silent = TcpStream::connect(("127.0.0.1", target.port)).unwrap();
        target.run(&[], "true").good();
        drop(silent);
    });
}
