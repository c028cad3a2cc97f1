//! Every row of `commands.tsv`: what the program asks for, under each of its names and each of a command's.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use serde_json::{Value, json};

use crate::harness::Setup;
use crate::recorder::{Recorded, Reply, ok};

const TABLE: &str = include_str!("commands.tsv");

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) words: String,
    aliases: Vec<String>,
    pub(crate) arguments: String,
    method: String,
    pub(crate) target: String,
    headers: BTreeMap<String, String>,
    body: Value,
}

pub(crate) fn rows() -> Vec<Row> {
    let lines = TABLE.lines().filter(|line| !line.starts_with(['#', '@']));
    lines
        .map(|line| {
            let columns: Vec<_> = line.split('\t').collect();
            let [words, aliases, arguments, method, target, headers, body] =
                columns.try_into().unwrap_or_else(|_| panic!("{line}"));
            let headers = headers.split(';').filter(|pair| !pair.is_empty());
            let headers = headers.map(|pair| pair.split_once('=').unwrap());
            Row {
                words: words.to_owned(),
                aliases: list(aliases),
                arguments: arguments.to_owned(),
                method: method.to_owned(),
                target: target.to_owned(),
                headers: headers
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
                body: if body.is_empty() {
                    Value::Null
                } else {
                    serde_json::from_str(body).unwrap()
                },
            }
        })
        .collect()
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

pub(crate) fn groups() -> Vec<(String, Vec<String>)> {
    let lines = TABLE.lines().filter_map(|line| line.strip_prefix('@'));
    lines
        .map(|line| line.split_once('\t').unwrap())
        .map(|(group, words)| (group.to_owned(), list(words)))
        .collect()
}

/// Something that each command takes for an answer.
fn answer(request: &Recorded) -> Reply {
    match request.path() {
        path if path.ends_with("/changelog")
            || path.ends_with("/error_log")
            || path.contains("/logs")
                && !path.ends_with("/boots")
                && !path.ends_with("/identifiers") =>
        {
            crate::recorder::reply(200, "text/plain", b"text\n")
        }
        path if path.ends_with("/firmware") => ok(&json!({ "update_available": true })),
        path if path.starts_with("/core/api/") => crate::recorder::json_reply(200, &json!([])),
        _ => ok(&json!({})),
    }
}

/// All spellings of a row's words: each alias of the last word, each of a group's word.
pub(crate) fn spellings(row: &Row, groups: &[(String, Vec<String>)]) -> Vec<String> {
    let mut all = vec![row.words.clone()];
    let (before, _) = row
        .words
        .rsplit_once(' ')
        .map_or(("", ""), |(before, last)| (before, last));
    all.extend(
        row.aliases
            .iter()
            .map(|alias| format!("{before} {alias}").trim().to_owned()),
    );
    for (group, words) in groups {
        let Some(rest) = row
            .words
            .strip_prefix(group.as_str())
            .filter(|rest| rest.starts_with(' '))
        else {
            continue;
        };
        let parent = group.rsplit_once(' ').map_or("", |(parent, _)| parent);
        all.extend(
            words
                .iter()
                .map(|word| format!("{parent} {word}{rest}").trim().to_owned()),
        );
    }
    all
}

/// What is wrong with the request that a command line made, if something is.
fn wrong(setup: &Setup, name: &str, words: &str, row: &Row) -> Option<String> {
    setup.requests.clear();
    // A followed log would be followed again and again; the first request is what counts.
    let follows = row.follows();
    let mut hassio = setup.command(words);
    for word in row.arguments.split(' ').filter(|word| !word.is_empty()) {
        hassio = hassio.word(word);
    }
    let mut hassio = hassio.called(name);
    let run = if follows {
        let mut child = hassio.start();
        setup.requests.wait_for(1);
        child.kill().unwrap();
        child.wait().unwrap();
        None
    } else {
        Some(hassio.run())
    };
    let line = format!("{name} {words} {}", row.arguments);
    if let Some(run) = run.filter(|run| run.code != Some(0)) {
        return Some(format!("{line}: {run:?}"));
    }
    let requests = setup.requests.all();
    // The last one is the command's; those before are looks.
    let asked = if follows {
        requests.first()
    } else {
        requests.last()
    }
    .unwrap_or_else(|| panic!("{line}: nothing"));
    row.difference(&line, asked, "-")
}

impl Row {
    pub(crate) fn follows(&self) -> bool {
        self.target.ends_with("/follow")
    }

    /// What of a request is not as the row has it; `authorization` is for who is asked.
    pub(crate) fn difference(
        &self,
        line: &str,
        asked: &Recorded,
        authorization: &str,
    ) -> Option<String> {
        let header = |name: &str| asked.header(name).unwrap_or("-").to_owned();
        let mut expected: BTreeMap<String, String> = self.headers.clone();
        expected.entry("accept".to_owned()).or_insert_with(|| {
            match self.target.contains("/logs") {
                true => header("accept"),
                false => "application/json".to_owned(),
            }
        });
        let has_body = !self.body.is_null();
        expected.insert(
            "content-type".to_owned(),
            if has_body { "application/json" } else { "-" }.to_owned(),
        );
        expected.insert("authorization".to_owned(), authorization.to_owned());
        expected
            .entry("range".to_owned())
            .or_insert_with(|| "-".to_owned());
        let found: BTreeMap<String, String> = expected
            .keys()
            .map(|name| (name.clone(), header(name)))
            .collect();
        let same = asked.method == self.method
            && asked.target == self.target
            && found == expected
            && asked.json() == self.body
            && (has_body || asked.body.is_empty());
        let shown = String::from_utf8_lossy(&asked.body);
        (!same).then(|| {
            format!(
                "{line}: {} {} {found:?} {shown}\n   not {} {} {expected:?} {}",
                asked.method, asked.target, self.method, self.target, self.body
            )
        })
    }
}

#[test]
fn every_command_asks_for_what_the_table_says_under_each_of_its_names() {
    let (rows, groups) = (rows(), groups());
    assert!(rows.len() > 220, "{}", rows.len());
    let mut work = Vec::new();
    for row in &rows {
        for words in spellings(row, &groups) {
            work.push(("hassio", words, row.clone()));
        }
        work.push(("ha", row.words.clone(), row.clone()));
    }
    assert!(work.len() > 1000, "{}", work.len());
    let (work, failures) = (Mutex::new(work), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let setup = Setup::new(answer);
                loop {
                    let Some((name, words, row)) = work.lock().unwrap().pop() else {
                        return;
                    };
                    if let Some(failure) = wrong(&setup, name, &words, &row) {
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} wrong:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn banner_asks_for_addresses_names_and_versions() {
    for line in ["banner", "ba --no-wait", "banner --wait"] {
        let setup = Setup::new(|request| match request.path() {
            "/network/info" => ok(&json!({ "interfaces": [
                { "interface": "end0", "ipv4": { "address": ["192.0.2.5/24"] }, "ipv6": { "address": ["2001:db8::5/64"] } },
            ] })),
            "/host/info" => {
                ok(&json!({ "hostname": "green", "operating_system": "Home Assistant OS 16.1" }))
            }
            _ => ok(&json!({ "version": "2026.8.3", "port": 8123, "ssl": false })),
        });
        let run = setup.hassio(line);
        assert_eq!(run.code, Some(0), "{run:?}");
        for part in [
            "192.0.2.5/24",
            "2001:db8::5/64",
            "OS 16.1",
            "2026.8.3",
            "http://green.local:8123",
            "http://green.local:4357",
        ] {
            assert!(run.out.contains(part), "{line} {part}: {run:?}");
        }
        let asked: std::collections::BTreeSet<_> = setup
            .requests
            .all()
            .iter()
            .map(|r| r.target.clone())
            .collect();
        assert_eq!(
            asked.into_iter().collect::<Vec<_>>(),
            ["/core/info", "/host/info", "/network/info"]
        );
    }
}

#[test]
fn a_former_word_names_the_new_one() {
    let setup = Setup::new(answer);
    for (line, note) in [
        (
            "homeassistant info",
            "note: 'homeassistant' is the old word for 'core'\n",
        ),
        ("hassos info", "note: 'hassos' is the old word for 'os'\n"),
        (
            "snapshots",
            "note: 'snapshots' is the old word for 'backups'\n",
        ),
        ("addons", "note: 'addons' is the old word for 'apps'\n"),
        (
            "apps stop --name x",
            "note: '--name' is the old word for 'SLUG'\n",
        ),
        (
            "snapshots reload",
            "note: 'snapshots' is the old word for 'backups'\n",
        ),
        ("core info", ""),
    ] {
        let run = setup.hassio(line);
        assert_eq!((run.code, run.err.as_str()), (Some(0), note), "{line}");
    }
}
