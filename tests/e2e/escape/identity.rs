//! Identity and capabilities.

use super::*;

#[test]
fn p01_uid_and_gid_are_0_and_there_is_no_other_group() {
    let server = Server::start();
    assert_eq!(server.run("id -u; id -g; id -G").good(), "0\n0\n0");
}

#[test]
fn p02_all_capability_sets_are_empty_also_in_children() {
    let server = Server::start();
    let line =
        "cat /proc/self/status; sh -c 'cat /proc/self/status; true'; exec cat /proc/self/status";
    let done = server.run(line);
    let sets: Vec<&str> = done
        .good()
        .lines()
        .filter(|line| line.starts_with("Cap"))
        .collect();
    assert_eq!(sets.len(), 15);
    assert!(
        sets.iter().all(|line| line.ends_with("0000000000000000")),
        "{sets:?}"
    );
}

#[test]
fn p03_no_new_privileges_and_a_filter_are_in_force() {
    let server = Server::start();
    let done = server.run("grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status");
    assert_eq!(
        done.good().split_whitespace().collect::<Vec<_>>(),
        ["NoNewPrivs:", "1", "Seccomp:", "2"]
    );
}

#[test]
fn p04_files_cannot_be_given_away() {
    let server = Server::start();
    server.run("touch /config/f").good();
    refused(&server, "chown 1000 /config/f");
    refused(&server, "chgrp 1000 /config/f");
    assert_eq!(fs::metadata(server.config("f")).unwrap().uid(), 0);
}

#[test]
fn p05_sessions_run_under_unprivileged_uids_of_their_own() {
    let server = Server::start();
    let _one = server.background("sleep 100");
    let _two = server.background("sleep 100");
    let uids = eventually("both run", || {
        let all = server.session_processes();
        let mut uids: Vec<u32> = all
            .iter()
            .filter(|process| process.line == "sleep 100")
            .map(|process| process.uid)
            .collect();
        uids.sort_unstable();
        (uids.len() == 2).then_some(uids)
    });
    assert_ne!(uids[0], uids[1]);
    let roots = || {
        let all = server.processes().into_iter();
        let mut names: Vec<String> = all
            .filter(|process| process.uid == 0)
            .map(|process| process.field("Name"))
            .collect();
        names.sort();
        names
    };
    within(
        Duration::from_secs(5),
        "only the warden and its spare are root",
        || roots() == ["hassio-sshd", "session-spare"],
    );
}
