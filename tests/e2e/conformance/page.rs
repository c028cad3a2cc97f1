//! `docs/conformance.md` names each of these tests, and no others.

use std::collections::BTreeSet;

#[test]
fn the_page_lists_what_is_tried() {
    let page = include_str!("../../../docs/conformance.md");
    let named: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter_map(|name| name.strip_prefix("conformance::"))
        .collect();
    let mut tried = BTreeSet::new();
    for (module, source) in [
        ("connections", include_str!("connections.rs")),
        ("files", include_str!("files.rs")),
        ("status", include_str!("status.rs")),
        ("transfers", include_str!("transfers.rs")),
    ] {
        for part in source.split("#[test]\nfn ").skip(1) {
            let name = part.split('(').next().unwrap();
            tried.insert(format!("{module}::{name}"));
        }
    }
    let tried: BTreeSet<&str> = tried.iter().map(String::as_str).collect();
    assert_eq!(named, tried);
}
