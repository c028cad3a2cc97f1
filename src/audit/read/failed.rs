use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use super::filter::Filter;
use super::line::Record;
use super::trail::Trail;
use crate::audit::store::Store;

/// How many different users or keys of one connection are named.
const NAMES: usize = 5;

/// Somebody who did not get in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// When the first of it was recorded.
    pub first: Timestamp,
    /// And the last.
    pub last: Timestamp,
    /// Where it came from: an address, or for those that were counted together a network or `other`.
    pub from: String,
    /// Connections.
    pub connections: u64,
    /// Attempts to log in.
    pub attempts: u64,
    /// The users that were asked for.
    pub users: Vec<String>,
    /// The methods that were tried.
    pub methods: Vec<String>,
    /// The keys that were shown, by their fingerprints.
    pub keys: Vec<String>,
    /// Why not.
    pub reasons: Vec<String>,
    /// The connection, where it is one.
    pub cid: Option<String>,
}

/// The connections that did not log in, the oldest first: those that tried, those that were counted together, and those
/// that were turned away.
#[must_use]
pub fn failed(trail: &Trail, filter: &Filter) -> Vec<Failed> {
    let ids: Vec<String> = trail
        .segments()
        .into_iter()
        .map(Store::segment_id)
        .collect();
    let found = trail.read_all(&ids, |reading, _, id| {
        let mut records = Vec::new();
        reading.records(id, |at, head, line| {
            let wanted = matches!(
                head.kind,
                "auth.attempt" | "auth.lockout" | "conn.folded" | "conn.refuse"
            );
            if !wanted {
                return;
            }
            match Record::read(line) {
                Some(record) => records.push(record),
                None => trail.damaged(id, at),
            }
        });
        Some(records)
    });
    // By connection; none once it has logged in.
    let mut connections: HashMap<String, Option<Failed>> = HashMap::new();
    let mut all = Vec::new();
    for record in found.iter().flatten() {
        let cid = record.text("cid");
        match record.kind() {
            "conn.folded" | "conn.refuse" => {
                if filter.fits(record) {
                    all.push(counted(record));
                }
            }
            _ if cid.is_empty() => {}
            _ => {
                let of_connection = connections
                    .entry(cid.to_owned())
                    .or_insert_with(|| Some(beginning(record)));
                let logged_in =
                    record.ok() == Some(true) && record.member_text("method") != "offer";
                if logged_in {
                    *of_connection = None;
                } else if filter.fits(record)
                    && let Some(failed) = of_connection
                {
                    add(failed, record);
                }
            }
        }
    }
    // One whose attempts do not fit has none.
    let tried = connections.into_values().flatten();
    all.extend(tried.filter(|failed| failed.attempts > 0));
    all.sort_by(|a, b| (a.first, &a.cid).cmp(&(b.first, &b.cid)));
    all
}

fn beginning(record: &Record) -> Failed {
    Failed {
        first: record.at(),
        last: record.at(),
        from: record.ip().unwrap_or("-").to_owned(),
        connections: 1,
        attempts: 0,
        users: Vec::new(),
        methods: Vec::new(),
        keys: Vec::new(),
        reasons: Vec::new(),
        cid: Some(record.text("cid").to_owned()),
    }
}

fn add(failed: &mut Failed, record: &Record) {
    failed.last = record.at();
    failed.attempts += u64::from(record.kind() == "auth.attempt");
    let mut name = |names: fn(&mut Failed) -> &mut Vec<String>, text: &str| {
        let names = names(failed);
        if !text.is_empty() && names.len() < NAMES && !names.iter().any(|known| known == text) {
            names.push(text.to_owned());
        }
    };
    name(|failed| &mut failed.users, record.member_text("user"));
    name(|failed| &mut failed.methods, record.member_text("method"));
    name(|failed| &mut failed.keys, record.member_text("fingerprint"));
    name(|failed| &mut failed.reasons, record.member_text("reason"));
}

/// Those that have one record for many.
fn counted(record: &Record) -> Failed {
    let number = |name: &str| record.number(name).unwrap_or(0);
    let time = |name: &str| record.member_text(name).parse().unwrap_or(record.at());
    let from = ["from", "ip"].map(|name| record.member_text(name));
    let reasons = match record.member(&["reasons"]).and_then(|all| all.as_object()) {
        Some(reasons) => reasons
            .iter()
            .map(|(reason, count)| format!("{reason}: {count}"))
            .take(NAMES)
            .collect(),
        None => vec![record.member_text("reason").to_owned()],
    };
    Failed {
        first: time("first"),
        last: time("last"),
        from: from
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or("-")
            .to_owned(),
        connections: number("connections") + number("count"),
        attempts: number("attempts"),
        users: Vec::new(),
        methods: Vec::new(),
        keys: Vec::new(),
        reasons,
        cid: None,
    }
}
