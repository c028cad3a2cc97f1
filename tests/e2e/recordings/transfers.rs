//! Files that are copied are on record, and in no recording.

use super::*;

#[test]
fn streams_of_files_are_never_stored() {
    let server = Server::start();
    let secret = "what-a-recording-must-not-have";
    fs::write(server.config("file"), secret).unwrap();
    let dir = server.dir.join("client");
    let options = server.ssh_options();
    let port = server.port.to_string();
    let shell = format!("ssh {}", options.join(" "));
    let client = |program: &str, words: &[&str]| {
        let mut command = server.client(program);
        command
            .args(words)
            .env("GIT_SSH_COMMAND", &shell)
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        finish(command)
    };
    let mut scp: Vec<&str> = options.iter().map(String::as_str).collect();
    // Its own way to name a port.
    scp.retain(|word| *word != "-p" && *word != port);
    scp.extend(["-P", &port]);
    let with = |more: &[&'static str]| [scp.as_slice(), more].concat();
    client("scp", &with(&["root@127.0.0.1:/config/file", "by-sftp"])).good();
    client(
        "scp",
        &with(&["-O", "root@127.0.0.1:/config/file", "by-scp"]),
    )
    .good();
    client(
        "scp",
        &with(&["-O", "by-scp", "root@127.0.0.1:/config/back"]),
    )
    .good();
    client(
        "rsync",
        &[
            "-a",
            "-e",
            &shell,
            "root@127.0.0.1:/config/file",
            "by-rsync",
        ],
    )
    .good();
    client(
        "rsync",
        &[
            "-r",
            "-e",
            &shell,
            "by-rsync",
            "root@127.0.0.1:/config/back2",
        ],
    )
    .good();
    for name in ["by-sftp", "by-scp", "by-rsync"] {
        assert_eq!(
            fs::read_to_string(dir.join(name)).unwrap(),
            secret,
            "{name}"
        );
    }
    assert_eq!(fs::read_to_string(server.config("back2")).unwrap(), secret);
    let made = "cd /config && git init -q repo && cd repo && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x";
    server.run(made).good();
    client(
        "git",
        &["clone", "-q", "root@127.0.0.1:/config/repo", "by-git"],
    )
    .good();
    assert!(dir.join("by-git/.git").is_dir());

    // What only begins like one of them is recorded.
    let more = server.run("rsync --server --sender -e.L . /config/none; cat /config/file");
    assert!(more.stdout.ends_with(secret), "{more:?}");
    let sessions = server.records_of("session.open").len();
    eventually("all sessions are closed", || {
        (server.records_of("session.close").len() == sessions).then_some(())
    });
    let casts = sealed(&server, 1);
    assert!(casts[0].shown().contains(secret), "{casts:?}");
    // They are counted and digested as ever.
    let ends = server.records_of("exec.end");
    assert!(ends.len() >= 6, "{}", ends.len());
    assert!(
        ends.iter()
            .any(|end| end["d"]["stdout"]["bytes"].as_u64() > Some(20))
    );
}

#[test]
fn what_hooks_and_transfers_say_is_recorded() {
    let server = Server::start();
    let shell = format!("ssh {}", server.ssh_options().join(" "));
    let git = |words: &[&str]| {
        let mut command = server.client("git");
        command.args(words);
        command
            .env("GIT_SSH_COMMAND", &shell)
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        finish(command)
    };
    let hook = "cd /config && git init -q --bare repo && \
        printf '#!/bin/sh\\necho from-the-hook; echo to-stderr >&2' > repo/hooks/pre-receive && chmod +x repo/hooks/pre-receive";
    server.run(hook).good();
    git(&["init", "-q", "here"]).good();
    let named = ["-C", "here", "-c", "user.name=a", "-c", "user.email=a@b"];
    git(&[&named[..], &["commit", "-q", "--allow-empty", "-m", "x"]].concat()).good();
    let to = "root@127.0.0.1:/config/repo";
    git(&["-C", "here", "push", "-q", to, "HEAD:refs/heads/x"]).good();
    let missing = server.run("git-upload-pack /config/none");
    assert!(missing.stderr.contains("none"), "{missing:?}");
    let shown: String = sealed(&server, 2).iter().map(|cast| cast.shown()).collect();
    for said in ["from-the-hook", "to-stderr"] {
        assert!(shown.contains(said), "{said} in {shown}");
    }
    assert!(shown.contains("/config/none"), "{shown}");
}
