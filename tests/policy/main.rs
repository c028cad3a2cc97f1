//! Who may make which call, as one table: `verdicts.tsv` is held against `policy/`, in both directions. A change of policy
//! is a change of that table.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by failing"
)]

use std::collections::BTreeMap;

use hassio_sshd::policy::endpoints::{Access, Endpoint, Endpoints, Request, Verdict};
use hassio_sshd::policy::roles::Roles;

const TABLE: &str = include_str!("verdicts.tsv");
const ROLES: [&str; 4] = ["observer", "backup", "operator", "admin"];

/// A value that each parameter takes.
const VALUES: [(&str, &str); 23] = [
    ("{slug}", "core_mosquitto"),
    ("{version}", "1.2.3"),
    ("{backup}", "1a2b3c4d"),
    ("{boot}", "-1"),
    ("{identifier}", "kernel"),
    ("{interface}", "end0"),
    ("{vlan}", "10"),
    ("{mount}", "nas"),
    ("{disk}", "default"),
    ("{board}", "ova"),
    ("{uuid}", "83fee99ca0c3466db5fc120d52ca7dd8"),
    ("{issue}", "83fee99ca0c3466db5fc120d52ca7dd8"),
    ("{suggestion}", "83fee99ca0c3466db5fc120d52ca7dd8"),
    ("{check}", "free_space"),
    ("{repository}", "a0d7b954"),
    ("{hostname}", "ghcr.io"),
    ("{source}", "output"),
    ("{entity}", "light.kitchen"),
    ("{domain}", "light"),
    ("{service}", "turn_on"),
    ("{time}", "2026-08-24T00:00:00+02:00"),
    ("{session}", "last"),
    ("{recording}", "3.1"),
];

/// The row of an endpoint as policy decides today.
fn row(endpoint: &Endpoint, endpoints: &Endpoints, plain: &Roles, with: &Roles) -> String {
    let mut path = endpoint.path.to_string();
    for (name, value) in VALUES {
        path = path.replace(name, value);
    }
    let method = endpoint.method.as_str();
    let allowed = |roles: &Roles, role: &str| {
        let request = Request {
            method,
            path: &path,
            query: None,
        };
        match endpoints.judge(roles, &role.parse().unwrap(), request) {
            Verdict::Allow(call) => {
                assert_eq!(call.endpoint().name, endpoint.name);
                assert_eq!(call.target(), path, "{}", endpoint.name);
                true
            }
            Verdict::Deny(_) => false,
        }
    };
    let verdicts = ROLES.map(|role| match (allowed(plain, role), allowed(with, role)) {
        (true, true) => "yes",
        (false, true) => "option",
        (false, false) => match endpoint.access {
            Access::Never(_) => "never",
            Access::Needs(_) => "no",
        },
        (true, false) => panic!("an option takes {} from {role}", endpoint.name),
    });
    format!(
        "{}\t{method}\t{}\t{}",
        endpoint.name,
        endpoint.path,
        verdicts.join("\t")
    )
}

#[test]
fn every_role_may_what_the_table_says_and_nothing_else() {
    let endpoints = Endpoints::shipped().unwrap();
    let plain = Roles::shipped().unwrap();
    let with = Roles::shipped().unwrap().with_backup_download();
    let known: Vec<_> = plain.iter().map(|(role, _)| role.as_str()).collect();
    assert!(known.iter().all(|role| ROLES.contains(role)), "{known:?}");
    let lines = TABLE.lines().filter(|line| !line.starts_with('#')).skip(1);
    let mut table: BTreeMap<&str, &str> = BTreeMap::new();
    for line in lines {
        let name = line.split('\t').next().unwrap();
        assert!(table.insert(name, line).is_none(), "{name} is there twice");
    }
    let mut wrong = Vec::new();
    for endpoint in endpoints.iter() {
        let today = row(endpoint, &endpoints, &plain, &with);
        let expected = table.remove(endpoint.name.as_str()).unwrap_or("(no row)");
        if today != expected {
            wrong.push(format!("table:  {expected}\npolicy: {today}"));
        }
    }
    wrong.extend(
        table
            .values()
            .map(|row| format!("table:  {row}\npolicy: (no endpoint)")),
    );
    assert!(
        wrong.is_empty(),
        "{} rows differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The Supervisor's routes, as the simulated one has them.
const ROUTES: &str = include_str!("../../examples/simulated-supervisor/routes.tsv");

#[test]
fn every_route_of_the_supervisor_is_let_through_or_refused_by_name() {
    let plain = |path: &str| {
        let parts = path.split('/').map(|part| match part.strip_prefix('{') {
            Some(_) => "*",
            None => part,
        });
        parts.collect::<Vec<_>>().join("/")
    };
    let endpoints = Endpoints::shipped().unwrap();
    let known: Vec<_> = endpoints
        .iter()
        .map(|endpoint| (endpoint.method.as_str(), plain(&endpoint.path.to_string())))
        .collect();
    let lines = ROUTES.lines().filter(|line| !line.starts_with('#')).skip(1);
    let mut missing = Vec::new();
    for line in lines {
        let (method, path) = line
            .rsplitn(4, '\t')
            .last()
            .unwrap()
            .split_once('\t')
            .unwrap();
        // Core's API is behind one route; its reads are listed one by one. The rest is another spelling.
        let elsewhere = path == "/core/api/{path}" || path.starts_with("/homeassistant/");
        if !elsewhere && !known.contains(&(method, plain(path))) {
            missing.push(line);
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The page that says it to people.
const PAGE: &str = include_str!("../../docs/broker.md");

#[test]
fn the_page_says_what_each_role_may() {
    let roles = Roles::shipped().unwrap();
    let with = Roles::shipped().unwrap().with_backup_download();
    let mark = |role: &str, permission| {
        let has = |roles: &Roles| {
            let rules = roles.rules(&role.parse().unwrap()).unwrap();
            rules.may.contains(&permission)
        };
        match (has(&roles), has(&with)) {
            (true, _) => "x",
            (false, true) => "with the option `backup_download`",
            (false, false) => "",
        }
    };
    for (permission, why) in roles.permissions() {
        let marks = ROLES.map(|role| mark(role, permission)).join(" | ");
        let row = format!("| `{permission}` | {why} | {marks} |").replace("  ", " ");
        assert!(PAGE.contains(&row), "not in docs/broker.md: {row}");
    }
    let limits = roles.limits();
    let said = format!(
        "A session may make {} calls at a time, {} a second over time, and {} in a burst",
        limits.calls_at_once, limits.calls_a_second, limits.calls_in_a_burst
    );
    assert!(PAGE.contains(&said), "{said}");
}
