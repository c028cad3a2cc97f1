use super::*;
use crate::cli::completion::live;
use crate::cli::parse::command;
use crate::cli::tree::{Act, Call, get};
use crate::policy::endpoints::{Endpoints, Reason, Request, Verdict};
use crate::policy::roles::Roles;
use std::collections::BTreeSet;

#[test]
fn no_word_means_two_things() {
    let mut paths: BTreeSet<&str> = all().map(Node::parent).collect();
    paths.insert("");
    for path in paths {
        let mut seen = BTreeSet::new();
        for node in children(path) {
            for word in [&[node.word()], node.aliases, node.former].concat() {
                assert!(seen.insert(word), "{path} {word} means two things");
            }
        }
    }
}

#[test]
fn every_word_has_a_group_and_every_former_one_a_command_of_today() {
    let mut seen = BTreeSet::new();
    for node in all() {
        assert!(seen.insert(node.path), "{} is there twice", node.path);
        assert!(
            node.parent().is_empty() || find(node.parent()).is_some(),
            "{} is in no group",
            node.path
        );
        match node.now {
            Some(now) => assert!(
                find(now).is_some_and(Node::is_command),
                "{} is not {now}",
                node.path
            ),
            None => assert!(
                !node.help.is_empty() && !node.help.ends_with('.'),
                "{}",
                node.path
            ),
        }
        assert!(
            node.is_command() || node.now.is_some() || children(node.path).next().is_some(),
            "{}",
            node.path
        );
    }
}

#[test]
fn every_command_line_is_sound() {
    for node in all().filter(|node| node.now.is_none()) {
        command("hassio", node).debug_assert();
    }
}

#[test]
fn what_is_sent_has_a_place() {
    for node in all() {
        for option in node.options {
            assert_eq!(
                option.field.is_empty(),
                option.send == Send::Own,
                "{} --{}",
                node.path,
                option.name
            );
        }
        let Act::Ask = node.act else { continue };
        let arguments: BTreeSet<_> = node
            .arguments
            .iter()
            .filter(|a| matches!(a.to, To::Slug | To::Path))
            .map(|a| a.name)
            .collect();
        let parameters: BTreeSet<_> = node
            .calls
            .iter()
            .flat_map(|call| call.parameters())
            .collect();
        assert_eq!(arguments, parameters, "{}", node.path);
    }
}

/// All calls that a command may make.
fn calls() -> BTreeSet<(&'static str, String)> {
    let mut calls = BTreeSet::new();
    for node in all() {
        for call in node.calls {
            calls.insert((call.method.as_str(), call.path.to_owned()));
            if matches!(node.act, Act::Log) {
                let identified = node
                    .options
                    .iter()
                    .any(|option| option.name == "identifier");
                for boot in ["", "/boots/{boot}"] {
                    for identifier in if identified {
                        &["", "/identifiers/{identifier}"][..]
                    } else {
                        &[""]
                    } {
                        for follow in ["", "/follow"] {
                            calls.insert((
                                "GET",
                                format!("{}{boot}{identifier}{follow}", call.path),
                            ));
                        }
                    }
                }
            }
            for option in node
                .options
                .iter()
                .map(|option| option.values)
                .chain(node.arguments.iter().map(|a| a.values))
            {
                if let Values::Live(kind) = option {
                    calls.insert(("GET", live::path(kind).to_owned()));
                }
            }
        }
    }
    calls
}

#[test]
fn every_command_has_an_endpoint_in_the_policy() {
    let (endpoints, roles) = (Endpoints::shipped().unwrap(), Roles::shipped().unwrap());
    let admin = "admin".parse().unwrap();
    let mut missing = Vec::new();
    for (method, template) in calls()
        .into_iter()
        .filter(|(_, path)| path != crate::wire::SESSION_PATH)
    {
        let path: Vec<_> = template
            .split('/')
            .map(|part| sample(part).unwrap_or(part))
            .collect();
        let request = Request {
            method,
            path: &path.join("/"),
            query: None,
        };
        if let Verdict::Deny(Reason::Unlisted | Reason::Method(_) | Reason::Path(_)) =
            endpoints.judge(&roles, &admin, request)
        {
            missing.push(format!("{method} {template}"));
        }
    }
    assert!(missing.is_empty(), "no endpoint for {missing:#?}");
}

#[test]
fn what_is_asked_before_it_is_done_has_a_name_in_the_policy() {
    use crate::cli::context::endpoint;
    let name = endpoint(crate::cli::backups::UPLOAD);
    assert_eq!(name.as_deref(), Some("backups.upload"));
    assert_eq!(
        endpoint(get("/addons/{slug}/info")).as_deref(),
        Some("addons.info")
    );
    assert_eq!(endpoint(get("/nonsense")), None);
    for call in all()
        .filter(|node| node.confirm.is_some())
        .flat_map(|node| node.calls)
    {
        assert!(endpoint(*call).is_some(), "{}", call.path);
    }
}

/// What a parameter could be.
fn sample(part: &str) -> Option<&'static str> {
    let name = part.strip_prefix('{')?.strip_suffix('}')?;
    Some(match name {
        "slug" => "core_ssh",
        "boot" => "-1",
        "identifier" => "sshd",
        "interface" => "end0",
        "vlan" => "10",
        "uuid" | "issue" | "suggestion" => "0123456789abcdef0123456789abcdef",
        "check" => "free_space",
        "name" => "nas",
        "hostname" => "ghcr.io",
        "entity" => "light.kitchen",
        "domain" => "light",
        "service" => "turn_on",
        "session" => "last",
        "recording" => "3",
        "timestamp" => "2026-08-24T00:00:00+00:00",
        other => panic!("no sample for {other}"),
    })
}

#[test]
fn parameters_have_samples() {
    for (_, path) in calls() {
        path.split('/')
            .filter(|part| part.starts_with('{'))
            .for_each(|part| assert!(sample(part).is_some()));
    }
    assert_eq!(
        Call {
            path: "/a/{b}/{c}",
            ..crate::cli::tree::get("")
        }
        .parameters()
        .collect::<Vec<_>>(),
        ["b", "c"]
    );
}
