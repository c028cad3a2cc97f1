//! Who may import whom: the table of docs/architecture.md, held against every `crate::` path in `src/`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by failing"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Room, what of ours it may import.
const ROOMS: [(&str, &[&str]); 16] = [
    ("model", &[]),
    ("sys", &[]),
    ("policy", &["model"]),
    // The typed ends of a link hold its socket.
    ("wire", &["model", "sys"]),
    ("config", &["model", "policy", "wire"]),
    ("sandbox", &["model", "policy", "sys"]),
    ("confine", &["model", "policy", "sys"]),
    (
        "warden",
        &["model", "policy", "config", "wire", "sys", "sandbox"],
    ),
    ("front", &["model", "policy", "wire", "sys"]),
    ("connection", &["model", "policy", "config", "wire", "sys"]),
    ("keys", &["model", "policy", "config", "wire", "sys"]),
    ("broker", &["model", "policy", "config", "wire", "sys"]),
    ("audit", &["model", "policy", "config", "wire", "sys"]),
    ("cli", &["model", "policy", "wire"]),
    ("forward", &["wire", "sys"]),
    ("bin/session-init", &["model", "wire", "sys", "forward"]),
];

/// Crates that only these rooms may name.
const CRATES: [(&str, &[&str]); 12] = [
    ("russh", &["connection"]),
    ("tokio", &["connection", "broker"]),
    ("reqwest", &["broker", "cli"]),
    ("hyper", &["broker"]),
    ("clap", &["cli", "config", "main"]),
    ("toml", &["policy", "config"]),
    ("ed25519_dalek", &["audit"]),
    ("zeekstd", &["audit"]),
    ("vte", &["audit"]),
    ("libc", &["sys"]),
    ("caps", &["sys"]),
    ("seccompiler", &["sys"]),
];

#[test]
fn rooms_import_only_what_the_table_grants() {
    let table: BTreeMap<&str, &[&str]> = ROOMS.into_iter().collect();
    let mut wrong = Vec::new();
    for (room, file, text) in sources() {
        let Some(granted) = table.get(room.as_str()) else {
            assert!(
                ["main", "lib", "bin/hassio"].contains(&room.as_str()),
                "{room} is not in the table"
            );
            continue;
        };
        for other in imports(&text).difference(&BTreeSet::from([room.clone()])) {
            if !granted.contains(&other.as_str()) {
                wrong.push(format!("{} imports {other}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (room, file, text) in sources() {
        for (name, rooms) in CRATES {
            let named = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .any(|line| {
                    line.contains(&format!("use {name}::"))
                        || line.contains(&format!(" {name}::"))
                        || line.contains(&format!("({name}::"))
                });
            if named && !rooms.contains(&room.as_str()) {
                wrong.push(format!("{} names {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_sys_may_be_unsafe() {
    for (room, _, _) in sources() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let opening = match room.as_str() {
            "sys" | "lib" => continue,
            "main" => root.join("main.rs"),
            bin if bin.starts_with("bin/") => root.join(format!("{bin}.rs")),
            room => root.join(room).join("mod.rs"),
        };
        let text = fs::read_to_string(&opening).unwrap();
        assert!(
            text.contains("#![forbid(unsafe_code)]"),
            "{} does not forbid unsafe",
            opening.display()
        );
    }
}

#[test]
fn the_table_is_true_of_a_wrong_import() {
    let text = "use crate::warden::run;\nlet x = crate::sys::wait::reap();\n// crate::broker::x\nuse crate::{model::Role, audit};";
    let found: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(found, ["audit", "model", "sys", "warden"]);
}

/// The first segment after every `crate::` or `hassio_sshd::`, braces included.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    for prefix in ["crate::", "hassio_sshd::"] {
        for (at, _) in code.match_indices(prefix) {
            let rest = &code[at + prefix.len()..];
            let word = |text: &str| {
                text.chars()
                    .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                    .collect::<String>()
            };
            match rest.strip_prefix('{') {
                None => found.insert(word(rest)),
                Some(group) => {
                    let mut depth = 0;
                    let mut start = true;
                    for (index, c) in group.char_indices() {
                        match c {
                            '{' => depth += 1,
                            '}' if depth == 0 => break,
                            '}' => depth -= 1,
                            ',' if depth == 0 => start = true,
                            c if c.is_whitespace() => {}
                            _ if start && depth == 0 => {
                                found.insert(word(&group[index..]));
                                start = false;
                            }
                            _ => {}
                        }
                    }
                    true
                }
            };
        }
    }
    found.remove("");
    found
}

/// Room, path and text of each source file.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let inside = path.strip_prefix(&root).unwrap();
                let parts: Vec<&str> = inside.iter().map(|part| part.to_str().unwrap()).collect();
                let room = match parts.as_slice() {
                    ["lib.rs"] => "lib".to_owned(),
                    // The binary's own files.
                    [_] | ["inspect", _] => "main".to_owned(),
                    ["bin", file] => format!("bin/{}", file.trim_end_matches(".rs")),
                    [room, ..] => (*room).to_owned(),
                    [] => unreachable!(),
                };
                let text = fs::read_to_string(&path).unwrap();
                found.push((room, path, text));
            }
        }
    }
    assert!(found.len() > 30, "the sources were not found");
    found
}
