//! What bodies may hold: the Supervisor refuses names that it does not know.

use serde_json::{Map, Value};

const BODIES: &str = include_str!("bodies.tsv");

/// What the Supervisor says of the first name that a route does not take.
pub(crate) fn objection(method: &str, path: &str, body: &Map<String, Value>) -> Option<String> {
    let mut lines = BODIES.lines().map(|line| line.split('\t'));
    let names = lines.find_map(|mut line| {
        let is_it = line.next() == Some(method) && line.next() == Some(path);
        is_it.then(|| line.next().unwrap_or_default())
    })?;
    let names: Vec<&str> = names.split(',').collect();
    let mut given = body.iter().flat_map(|(name, value)| leaves(name, value));
    let unknown = given.find(|leaf| !names.iter().any(|name| takes(name, leaf)))?;
    let place: Vec<String> = unknown.iter().map(|part| format!("['{part}']")).collect();
    Some(format!(
        "extra keys not allowed @ data{}. Got None",
        place.concat()
    ))
}

/// The names down to what is no object, or an empty one.
fn leaves(name: &str, value: &Value) -> Vec<Vec<String>> {
    let inner = value.as_object().into_iter().flatten();
    let mut found: Vec<Vec<String>> = inner
        .flat_map(|(name, value)| leaves(name, value))
        .map(|rest| [vec![name.to_owned()], rest].concat())
        .collect();
    if found.is_empty() {
        found.push(vec![name.to_owned()]);
    }
    found
}

fn takes(name: &str, leaf: &[String]) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    let same = |(own, given): (&&str, &String)| *own == "*" || own == given;
    // An empty object stands for one of the names in it.
    parts.len() >= leaf.len() && parts.iter().zip(leaf).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(path: &str, body: Value) -> Option<String> {
        objection("POST", path, body.as_object().unwrap())
    }

    #[test]
    fn names_that_are_not_known_are_refused() {
        let restart = "/core/restart";
        assert_eq!(ask(restart, json!({ "force": true })), None);
        assert_eq!(
            ask(restart, json!({ "fast": true })).unwrap(),
            "extra keys not allowed @ data['fast']. Got None"
        );
        let network = "/network/interface/{interface}/update";
        assert_eq!(ask(network, json!({ "ipv4": { "method": "auto" } })), None);
        assert!(ask(network, json!({ "ipv4": { "methods": "auto" } })).is_some());
        assert_eq!(
            ask(
                "/docker/registries",
                json!({ "ghcr.io": { "username": "x" } })
            ),
            None
        );
        assert!(ask("/core/start", json!({ "x": 1 })).is_some());
        assert_eq!(ask("/elsewhere", json!({ "x": 1 })), None);
    }
}
