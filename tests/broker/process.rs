//! The broker as a process of its own, which can be measured and killed: this test program once more, with the link to the
//! warden as its standard input and the one to audit as its standard error.

use std::fs;
use std::os::fd::AsFd;
use std::process::{Child, Stdio};

use hassio_sshd::broker;
use hassio_sshd::wire::{AuditToPeer, BrokerToWarden, Link, ReportToAudit, WardenToBroker};

use crate::harness::{Audit, Broker, Scratch, TOKEN, command, config};

const SUPERVISOR: &str = "BROKER_TEST_SUPERVISOR";

/// What the child runs; without a parent there is nothing to do.
#[test]
fn child() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the parent says where the Supervisor is"
    )]
    let Ok(supervisor) = std::env::var(SUPERVISOR) else {
        return;
    };
    let warden = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let audit = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
    let (warden, audit) = (
        Link::from_fd(warden).unwrap(),
        Link::from_fd(audit).unwrap(),
    );
    broker::run(config(&supervisor, Some(TOKEN)), warden, audit).unwrap();
}

/// A broker that can be killed.
pub(crate) struct Process {
    pub(crate) broker: Broker,
    pub(crate) child: Child,
}

impl Process {
    pub(crate) fn start(scratch: Scratch, supervisor: &str) -> Self {
        let (warden, broker_end) = Link::<WardenToBroker, BrokerToWarden>::pair().unwrap();
        let (reports, audit_end) = Link::<ReportToAudit, AuditToPeer>::pair().unwrap();
        let child = command(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "process::child",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(SUPERVISOR, supervisor)
            // Nobody listens there: a broker that looked at these would reach nothing.
            .envs(
                ["http_proxy", "HTTP_PROXY", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:9")),
            )
            .stdin(Stdio::from(broker_end.into_fd()))
            .stdout(Stdio::null())
            .stderr(Stdio::from(reports.into_fd()))
            .spawn()
            .unwrap();
        let broker = Broker {
            scratch,
            audit: Audit::listen(audit_end),
            warden: Some(warden),
            thread: None,
        };
        Self { broker, child }
    }

    /// The most memory that it has had, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}
