//! Processes as /proc shows them.

use super::*;

/// A process as /proc shows it.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    pub line: String,
    pub uid: u32,
    pub status: String,
}

impl Process {
    pub fn read(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line)
            .replace('\0', " ")
            .trim()
            .to_owned();
        let mut process = Self {
            pid,
            line,
            uid: 0,
            status,
        };
        process.uid = process
            .field("Uid")
            .split_whitespace()
            .nth(1)?
            .parse()
            .ok()?;
        Some(process)
    }

    pub fn parent(pid: u32) -> Option<u32> {
        Self::read(pid)?.field("PPid").parse().ok()
    }

    /// Whether a process of this number does anything: one that nobody has reaped yet does not.
    pub fn lives(pid: u32) -> bool {
        Self::read(pid).is_some_and(|process| !process.field("State").starts_with('Z'))
    }

    /// A line of /proc/PID/status.
    pub fn field(&self, name: &str) -> String {
        let line = self
            .status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    }
}
