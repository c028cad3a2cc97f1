//! The table of record types in docs/audit.md, and the types of the source.

use std::collections::{BTreeMap, BTreeSet};

/// Which members `d` may have, by type, as the page says.
pub fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = include_str!("../../../docs/audit.md");
    let (_, table) = page
        .split_once("| type | from | `d` |\n|---|---|---|\n")
        .unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').splitn(3, '|');
        let (kind, _from, d) = (cells.next(), cells.next(), cells.next());
        let kind = words(kind.unwrap()).remove(0);
        (kind, members(d.unwrap()))
    })
    .collect()
}

/// What stands in backticks.
fn words(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The members that a cell names: what stands in brackets of any kind says what is in them.
fn members(cell: &str) -> BTreeSet<String> {
    let mut depth = 0;
    let outside = cell.chars().filter(|c| {
        depth += i32::from("([{".contains(*c));
        let keep = depth == 0;
        depth -= i32::from(")]}".contains(*c));
        keep
    });
    let names = words(&outside.collect::<String>());
    let is_name = |name: &String| {
        name.chars()
            .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
    };
    names.into_iter().filter(is_name).collect()
}

/// The types that the source can make, with the members of each: what the enum says, and what audit adds.
pub fn in_the_source() -> BTreeMap<String, BTreeSet<String>> {
    let source = include_str!("../../../src/wire/audit.rs");
    let (_, rest) = source.split_once("pub enum Event {\n").unwrap();
    let (body, rest) = rest.split_once("\n}\n").unwrap();
    let (_, kinds) = rest.split_once("match self {\n").unwrap();
    let (kinds, _) = kinds.split_once("\n        }\n").unwrap();
    let kinds: BTreeMap<&str, &str> = kinds
        .lines()
        .map(|line| {
            let (variant, kind) = line
                .trim()
                .strip_prefix("Self::")
                .unwrap()
                .split_once("=> ")
                .unwrap();
            let variant = variant.split([' ', '(']).next().unwrap();
            (variant, kind.trim_matches(['"', ',']))
        })
        .collect();
    let mut found = BTreeMap::new();
    let mut variant = "";
    for line in body.lines() {
        match line.strip_prefix("    ").unwrap() {
            "}," => {}
            field if field.starts_with(' ') => {
                let (name, _) = field.trim().split_once(':').unwrap();
                let members: &mut BTreeSet<String> = found.get_mut(kinds[variant]).unwrap();
                members.insert(name.to_owned());
            }
            begin => {
                variant = begin.split([' ', '(']).next().unwrap();
                let members = match begin.split_once('(') {
                    Some((_, inner)) => fields_of(source, inner),
                    None => BTreeSet::new(),
                };
                found.insert(kinds[variant].to_owned(), members);
            }
        }
    }
    assert_eq!(found.len(), kinds.len(), "a type is missing in {found:#?}");
    let counted = [
        "records",
        "channels",
        "api_calls",
        "denials",
        "bytes_in",
        "bytes_out",
        "recordings",
        "more_recordings",
        "dropped",
    ];
    let close = found.get_mut("session.close").unwrap();
    close.extend(counted.map(str::to_owned));
    found
}

/// The public members of a struct, by the end of a line such as `Box<SftpOp>),`.
fn fields_of(source: &str, inner: &str) -> BTreeSet<String> {
    let name = inner
        .trim_end_matches([')', ',', '>'])
        .trim_start_matches("Box<");
    let (_, rest) = source
        .split_once(&format!("pub struct {name} {{\n"))
        .unwrap();
    let (body, _) = rest.split_once("\n}\n").unwrap();
    let fields = body
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub "));
    fields
        .map(|field| field.split(':').next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_page_names_each_type_of_the_source_with_its_members() {
    let (page, source) = (documented(), in_the_source());
    let differs =
        |(kind, members): &(&String, &BTreeSet<String>)| page.get(*kind) != Some(*members);
    let different: Vec<_> = source
        .iter()
        .filter(differs)
        .map(|(kind, members)| (kind, members, page.get(kind)))
        .collect();
    assert!(
        different.is_empty(),
        "type, members in the source, members on the page: {different:#?}"
    );
    assert_eq!(
        page.len(),
        source.len(),
        "a type that the source cannot make"
    );
}
