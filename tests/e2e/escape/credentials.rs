//! Secrets.

use super::*;

#[test]
fn p36_no_secret_in_any_environment() {
    let server = Server::with_supervisor();
    let done = server.run("env; cat /proc/*/environ; hassio info; cat /proc/*/cmdline");
    assert!(
        done.stdout.contains("HASSIO_SOCKET") && !done.stdout.contains(crate::harness::TOKEN),
        "{done:?}"
    );
    assert!(
        !done.stdout.contains("SUPERVISOR_TOKEN") && !done.stdout.contains("HASSIO_TOKEN"),
        "{done:?}"
    );
    // Nor outside, for whoever looks with ps.
    for process in server.processes() {
        let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        assert!(
            !String::from_utf8_lossy(&environment).contains(crate::harness::TOKEN),
            "{process:?}"
        );
        assert!(!process.line.contains(crate::harness::TOKEN), "{process:?}");
    }
}

#[test]
fn p37_no_key_and_no_option_can_be_read() {
    let server = Server::start();
    let dir = server.dir.display().to_string();
    refused(&server, &format!("ls {dir}"));
    let done = server.run("find / -xdev \\( -name 'ssh_host*' -o -name options.json -o -name shadow \\) 2>/dev/null; cat /etc/shadow");
    assert_eq!(done.stdout, "", "{done:?}");
    // What lies there says so, and cannot be changed.
    refused(&server, "echo x >> /root/.ssh/authorized_keys");
    assert!(
        server
            .run("cat /root/.ssh/authorized_keys")
            .good()
            .contains("options")
    );
}

#[test]
fn p38_only_the_standard_descriptors_are_open() {
    let server = Server::start();
    // ls itself opens one more.
    assert_eq!(
        server.run("ls /proc/self/fd | tr '\\n' ' '").good(),
        "0 1 2 3 "
    );
    let done = server.type_in("ls /proc/$$/fd | tr '\\n' ' '; exit\n");
    assert!(done.stdout.contains("0 1 2 255 "), "{done:?}");
}
