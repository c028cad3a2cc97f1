//! Every type of record, made by a real client or by what really happens to a server, and each member of it checked.
//!
//! What is compared with what: docs/audit.md's table names types and members; the source can make these and no others
//! (`page.rs`); no record of any of the trails here has a member that the page does not name (`proof.rs`); and of each
//! type on the page some record was compared member by member.

use std::collections::BTreeMap;

use self::proof::Proved;

mod clients;
mod disks;
mod page;
mod proof;
mod servers;

/// What cannot be made here, and where it is proved instead.
const ELSEWHERE: [(&str, &str, &str); 1] = [(
    "clock.step",
    "step_ms",
    "the machine's clock would have to be set, and no namespace has one of its own: a unit test of src/audit/evidence.rs",
)];

/// Its name, and what makes and checks records.
type Scenario = (&'static str, fn() -> Proved);

#[test]
fn every_type_of_record_is_made_and_has_the_members_of_the_page() {
    if crate::clients::python().is_none() {
        return;
    }
    let scenarios: [Scenario; 8] = [
        ("clients", clients::what_clients_do),
        ("forced", clients::what_a_forced_command_leaves),
        ("strangers", clients::who_does_not_log_in),
        ("calls", clients::what_the_broker_is_asked),
        ("looks", clients::who_looks_and_who_kills),
        ("a crash", servers::a_crash_and_what_is_mended),
        ("age", servers::what_has_been_kept_for_long_enough),
        ("a full disk", disks::a_full_disk),
    ];
    let mut all = Proved::default();
    std::thread::scope(|scope| {
        let running: Vec<_> = scenarios
            .into_iter()
            .map(|(name, scenario)| (name, scope.spawn(scenario)))
            .collect();
        for (name, scenario) in running {
            all.add(scenario.join().unwrap_or_else(|_| panic!("{name}")));
        }
    });
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (kind, members) in page::documented() {
        let proved = all.0.remove(&kind).unwrap_or_default();
        for member in members.difference(&proved) {
            let elsewhere = |(a, b, _): &&(&str, &str, &str)| *a == kind && b == member;
            if !ELSEWHERE.iter().any(|known| elsewhere(&known)) {
                missing
                    .entry(kind.clone())
                    .or_default()
                    .push(member.clone());
            }
        }
    }
    assert!(
        missing.is_empty(),
        "not checked in any record: {missing:#?}"
    );
}
