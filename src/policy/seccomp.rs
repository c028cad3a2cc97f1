//! Which system calls each process may make: `policy/seccomp.toml`, turned into the rules a filter compiler takes.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::PolicyError;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seccomp {
    session: Session,
    common: Common,
    front: Process,
    connection: Process,
    keys: Process,
    broker: Process,
    audit: Process,
    reader: Process,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Session {
    allow: BTreeMap<String, Vec<String>>,
    deny: Vec<Deny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deny {
    calls: Vec<String>,
    #[serde(default)]
    when: Vec<Condition>,
    #[serde(default)]
    x86_64: bool,
    #[expect(
        dead_code,
        reason = "for the reader of the file, who must not be left without one"
    )]
    why: String,
}

/// Exactly one of the optional members; a test holds that.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    argument: u8,
    any_bit: Option<u32>,
    equals: Option<u32>,
    none_of: Option<Vec<u32>>,
    masked: Option<[u32; 2]>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    calls: Vec<String>,
    x86_64: Vec<String>,
    only: Vec<Only>,
}

/// A call that is allowed with one of these values of one argument alone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Only {
    call: String,
    argument: u8,
    values: Vec<u32>,
    #[expect(dead_code, reason = "for the reader of the file")]
    why: String,
}

impl Only {
    fn filter(&self) -> impl Iterator<Item = Value> {
        self.values.iter().map(|value| {
            let test = json!({ "index": self.argument, "type": "dword", "op": "eq", "val": value });
            json!({ "syscall": self.call, "args": [test] })
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Process {
    #[expect(dead_code, reason = "for the reader of the file")]
    why: String,
    calls: Vec<String>,
    #[serde(default)]
    only: Vec<Only>,
    #[serde(default)]
    x86_64: Vec<String>,
}

/// errno(3), the same number on all machines that filters can be made for.
const EPERM: u32 = 1;
/// See [`EPERM`].
const ENOSYS: u32 = 38;

/// Whose filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The acceptor.
    Front,
    /// One SSH transport.
    Connection,
    /// The holder of secrets.
    Keys,
    /// The one that talks to the Supervisor.
    Broker,
    /// The writer of records.
    Audit,
    /// Who answers a question about them.
    Reader,
    /// What a user runs.
    Session,
}

/// Filters to be stacked, by name, and their rules as the compiler's JSON.
#[derive(Debug)]
pub struct Rules {
    /// In the order in which they are put in force.
    pub names: &'static [&'static str],
    /// An object of filters by name.
    pub json: String,
}

impl Seccomp {
    /// The policy that this build carries.
    ///
    /// # Errors
    /// When the file does not parse; a test excludes it.
    pub fn shipped() -> Result<Self, PolicyError> {
        super::parse("seccomp.toml", include_str!("../../policy/seccomp.toml"))
    }

    /// The filters of `subject` on a machine of this kind, such as `x86_64`.
    #[must_use]
    pub fn rules(&self, subject: Subject, machine: &str) -> Rules {
        match subject {
            // Filters stack, and a child cannot widen its parent's: what a connection may do, the front may.
            Subject::Front => self.process(&[&self.front, &self.connection], machine),
            Subject::Connection => self.process(&[&self.connection], machine),
            Subject::Keys => self.process(&[&self.keys], machine),
            Subject::Broker => self.process(&[&self.broker], machine),
            Subject::Audit => self.process(&[&self.audit], machine),
            Subject::Reader => self.process(&[&self.reader], machine),
            Subject::Session => self.session.rules(machine),
        }
    }

    fn process(&self, processes: &[&Process], machine: &str) -> Rules {
        let calls = processes.iter().flat_map(|process| &process.calls);
        let mut calls: Vec<&String> = self.common.calls.iter().chain(calls).collect();
        if machine == "x86_64" {
            calls.extend(&self.common.x86_64);
            calls.extend(processes.iter().flat_map(|process| &process.x86_64));
        }
        calls.sort_unstable();
        calls.dedup();
        let mut filter: Vec<Value> = calls
            .into_iter()
            .map(|call| json!({ "syscall": call }))
            .collect();
        let only = processes.iter().flat_map(|process| &process.only);
        filter.extend(self.common.only.iter().chain(only).flat_map(Only::filter));
        let rules = json!({ "process": {
            "mismatch_action": "kill_process", "match_action": "allow", "filter": filter,
        } });
        Rules {
            names: &["process"],
            json: rules.to_string(),
        }
    }
}

impl Session {
    fn rules(&self, machine: &str) -> Rules {
        let here = |group: &&String| machine == "x86_64" || group.as_str() != "x86_64";
        let denied = || {
            self.deny
                .iter()
                .filter(|deny| machine == "x86_64" || !deny.x86_64)
        };
        let mut known: Vec<&String> = self
            .allow
            .iter()
            .filter(|(group, _)| here(group))
            .flat_map(|(_, l)| l)
            .collect();
        known.extend(denied().flat_map(|deny| &deny.calls));
        known.sort_unstable();
        known.dedup();
        let known: Vec<Value> = known
            .into_iter()
            .map(|call| json!({ "syscall": call }))
            .collect();
        let refused: Vec<Value> = denied().flat_map(Deny::filter).collect();
        let rules = json!({
            "known": {
                "mismatch_action": { "errno": ENOSYS }, "match_action": "allow", "filter": known,
            },
            "refused": {
                "mismatch_action": "allow", "match_action": { "errno": EPERM }, "filter": refused,
            },
        });
        Rules {
            names: &["known", "refused"],
            json: rules.to_string(),
        }
    }
}

impl Deny {
    /// A rule for each call and each way in which all conditions can hold.
    fn filter(&self) -> Vec<Value> {
        let mut ways: Vec<Vec<Value>> = vec![Vec::new()];
        for condition in &self.when {
            let choices = condition.choices();
            ways = ways
                .iter()
                .flat_map(|way| {
                    choices
                        .iter()
                        .map(move |choice| [way.as_slice(), choice].concat())
                })
                .collect();
        }
        let rule = |call: &String, way: &Vec<Value>| match way.is_empty() {
            true => json!({ "syscall": call }),
            false => json!({ "syscall": call, "args": way }),
        };
        self.calls
            .iter()
            .flat_map(|call| ways.iter().map(move |way| rule(call, way)))
            .collect()
    }
}

impl Condition {
    /// The condition holds if all members of one of these hold.
    fn choices(&self) -> Vec<Vec<Value>> {
        let test = |op: Value, value: u32| json!({ "index": self.argument, "type": "dword", "op": op, "val": value });
        if let Some(bits) = self.any_bit {
            let each = (0..32)
                .map(|shift| 1u32 << shift)
                .filter(|bit| bits & bit != 0);
            return each
                .map(|bit| vec![test(json!({ "masked_eq": bit }), bit)])
                .collect();
        }
        if let Some([mask, value]) = self.masked {
            return vec![vec![test(json!({ "masked_eq": mask }), value)]];
        }
        if let Some(value) = self.equals {
            return vec![vec![test(json!("eq"), value)]];
        }
        let others = self.none_of.iter().flatten();
        vec![others.map(|value| test(json!("ne"), *value)).collect()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_says_one_thing() {
        for condition in Seccomp::shipped()
            .unwrap()
            .session
            .deny
            .iter()
            .flat_map(|deny| &deny.when)
        {
            let said = [
                condition.any_bit.is_some(),
                condition.equals.is_some(),
                condition
                    .none_of
                    .as_ref()
                    .is_some_and(|list| !list.is_empty()),
                condition.masked.is_some(),
            ];
            assert_eq!(
                said.into_iter().filter(|said| *said).count(),
                1,
                "{condition:?}"
            );
        }
    }

    #[test]
    fn no_process_of_ours_can_execute_or_trace() {
        let policy = Seccomp::shipped().unwrap();
        let ours = [
            Subject::Front,
            Subject::Connection,
            Subject::Keys,
            Subject::Broker,
            Subject::Audit,
        ];
        for subject in ours {
            let rules = policy.rules(subject, "x86_64").json;
            for call in [
                "execve",
                "execveat",
                "ptrace",
                "mount",
                "setns",
                "bpf",
                "process_vm_readv",
                "pidfd_getfd",
            ] {
                assert!(
                    !rules.contains(&format!("\"{call}\"")),
                    "{subject:?} may {call}"
                );
            }
        }
        let connection = policy.rules(Subject::Connection, "x86_64").json;
        for call in [
            "kill",
            "tgkill",
            "tkill",
            "clone",
            "clone3",
            "fork",
            "connect",
            "socket",
            "pidfd_send_signal",
        ] {
            assert!(
                !connection.contains(&format!("\"{call}\"")),
                "a connection may {call}"
            );
        }
    }

    #[test]
    fn a_connection_cannot_have_the_kernel_signal_its_siblings() {
        let rules = Seccomp::shipped()
            .unwrap()
            .rules(Subject::Connection, "x86_64")
            .json;
        let rules: Value = serde_json::from_str(&rules).unwrap();
        let filter = rules["process"]["filter"].as_array().unwrap();
        let values = |call: &str| -> Vec<Option<u64>> {
            let of = filter.iter().filter(|rule| rule["syscall"] == call);
            of.map(|rule| rule["args"][0]["val"].as_u64()).collect()
        };
        // F_SETOWN, F_SETSIG, F_SETOWN_EX; FIOSETOWN, SIOCSPGRP; and none without a condition.
        for bad in [None, Some(8), Some(10), Some(15)] {
            assert!(!values("fcntl").contains(&bad), "{bad:?}");
        }
        for bad in [None, Some(0x8901), Some(0x8902)] {
            assert!(!values("ioctl").contains(&bad), "{bad:?}");
        }
        assert!(values("fcntl").contains(&Some(3)) && values("ioctl").contains(&Some(0x5414)));
    }

    #[test]
    fn conditions_are_spread_over_rules() {
        let text = r#"
            calls = ["a"]
            when = [{ argument = 1, any_bit = 0x41 }, { argument = 2, any_bit = 0o6000 }]
            why = ""
        "#;
        let deny: Deny = toml::from_str(text).unwrap();
        assert_eq!(deny.filter().len(), 4);
    }

    #[test]
    fn filters_exist_for_both_machines() {
        let policy = Seccomp::shipped().unwrap();
        assert!(
            policy
                .rules(Subject::Session, "x86_64")
                .json
                .contains("\"open\"")
        );
        assert!(
            !policy
                .rules(Subject::Session, "aarch64")
                .json
                .contains("\"open\"")
        );
    }
}
