use super::*;
use crate::config::Offered;
use crate::config::roles::find;
use crate::model::ConfigAccess;

pub(super) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJxvJlxJTgwZTDzQHiDbAjqUKRkbQAfJYM1oBVG7D2rJ";

pub(super) fn lines_in(lines: &[&str], zone: &TimeZone) -> KeyLines {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let offered = Offered::shipped().unwrap();
    let rules = Rules {
        role: find(&offered.roles, "operator").unwrap(),
        network: None,
        roles: &offered.roles,
        environment: &offered.login.key_environment,
        zone,
        now: "2026-06-01T00:00:00Z".parse().unwrap(),
    };
    parse(&lines, &rules)
}

pub(super) fn lines(lines: &[&str]) -> KeyLines {
    lines_in(lines, &TimeZone::UTC)
}

pub(super) fn security_key() -> String {
    let blob = blob(&[b"sk-ssh-ed25519@openssh.com", &[7; 32], b"ssh:"]);
    format!("sk-ssh-ed25519@openssh.com {blob} token")
}

pub(super) fn refused(line: &str) -> String {
    let read = lines(&[line]);
    assert!(read.keys.is_empty(), "{line} was accepted");
    read.refused[0].to_string()
}

fn blob(parts: &[&[u8]]) -> String {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend(*part);
    }
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn rsa(bits: usize) -> String {
    let mut n = vec![0u8; bits / 8 + 1];
    n[1] = 0x80;
    *n.last_mut().unwrap() = 1;
    format!("ssh-rsa {} rsa", blob(&[b"ssh-rsa", &[1, 0, 1], &n]))
}

#[test]
fn comments_blanks_and_windows_line_ends_are_nothing() {
    let read = lines(&[
        "",
        "  # note",
        "\r",
        &format!("\u{feff}{KEY}\tme@home \r"),
        &format!("{KEY}\r\n# x\r\n"),
    ]);
    assert!(read.refused.is_empty(), "{:?}", read.refused);
    assert_eq!(read.keys.len(), 1);
    assert_eq!(read.keys[0].comment, "me@home");
    assert_eq!(read.warnings, [Warning::Repeated { line: 5, first: 4 }]);
}

#[test]
fn our_options_apply_and_quotes_tabs_and_case_do_not_matter() {
    for options in [
        "role=observer,network=shared",
        "network=\"shared\",ROLE=\"observer\"\t",
        "role=\"observer\",network=shared \t",
    ] {
        let read = lines(&[&format!("{options} {KEY} a b")]);
        assert!(read.refused.is_empty(), "{options}: {:?}", read.refused);
        let key = &read.keys[0];
        assert_eq!(
            (key.role.as_str(), key.config, key.network),
            ("observer", ConfigAccess::ReadOnly, Network::Shared)
        );
        assert_eq!(key.comment, "a b");
    }
}

#[test]
fn no_restriction_is_ever_passed_over() {
    for option in ["cert-authority", "principals=\"a,b\"", "CERT-authority"] {
        let said = refused(&format!("{option} {KEY}"));
        assert!(said.contains("is not supported yet"), "{option}: {said}");
        let said = refused(&format!("role=observer,{option} {KEY}"));
        assert!(said.contains("is not supported yet"), "{option}: {said}");
    }
    assert!(refused(&format!("rol=observer {KEY}")).contains("\"role\" may be meant"));
    assert!(refused(&format!("comand=\"x\" {KEY}")).contains("\"command\" may be meant"));
    assert!(refused(&format!("frobnicate=1 {KEY}")).contains("frobnicate"));
    assert!(refused(&format!("zos-key-ring-label=\"x\" {KEY}")).contains("zos-key-ring-label"));
    assert!(refused(&format!("role=root {KEY}")).contains("admin, backup, observer, operator"));
    assert!(refused(&format!("role {KEY}")).contains("needs a value: role=\"observer\""));
    assert!(refused(&format!("network=host {KEY}")).contains("neither shared nor none"));
    assert!(refused(&format!("role=admin,role=observer {KEY}")).contains("twice"));
    assert!(refused(&format!("role=\"admin {KEY}")).contains("quotation mark"));
    assert!(refused(&format!("break-glass=yes {KEY}")).contains("takes no value"));
    assert!(refused("role=admin").contains("missing"));
    assert!(refused("command=\"x\",restrict").contains("missing"));
}

#[test]
fn what_is_pasted_by_mistake_is_recognised() {
    let private =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----";
    let read = lines(&[private, KEY]);
    assert_eq!(
        (read.refused.len(), read.keys.len()),
        (1, 1),
        "{:?}",
        read.refused
    );
    assert!(read.refused[0].reason.contains("PRIVATE"));
    let split: Vec<&str> = private.lines().chain([KEY]).collect();
    assert_eq!(
        (lines(&split).refused.len(), lines(&split).keys.len()),
        (1, 1)
    );
    assert!(refused("PuTTY-User-Key-File-3: ssh-ed25519").contains("PRIVATE"));
    assert!(
        refused("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----")
            .contains("ssh-keygen -i")
    );
    assert!(refused("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU").contains("fingerprint"));
    assert!(refused("256 SHA256:47DEQpj8HBSa me@home (ED25519)").contains("fingerprint"));
    assert!(refused("/root/.ssh/id_ed25519.pub").contains("file's name"));
    let (_, bare) = KEY.split_once(' ').unwrap();
    assert!(refused(bare).contains("type before the key is missing"));
    assert!(refused("ssh-ed25519").contains("missing after"));
    assert!(refused("ssh_ed25519 AAAA").contains("\"ssh-ed25519\" may be meant"));
    assert!(refused("\u{1b}[2J AAAA").contains("\\x1b[2j"));
}

#[test]
fn a_damaged_or_mislabelled_key_is_refused() {
    assert!(refused(&KEY[..KEY.len() - 4]).contains("not a whole public key"));
    assert!(refused(&KEY.replace("Jxv", "J v")).contains("base64"));
    assert!(refused(&KEY.replace("Jxv", "J!v")).contains("not base64"));
    assert!(refused(&KEY.replace("ssh-ed25519 ", "ssh-rsa ")).contains("of type ssh-ed25519"));
    let long = blob(&[b"ssh-ed25519", &[7; 32], b"more"]);
    assert!(refused(&format!("ssh-ed25519 {long}")).contains("not a whole"));
}

#[test]
fn key_types_and_lengths_are_judged_with_reasons() {
    assert!(refused(&rsa(1024)).contains("1024 bits is too short; at least 2048"));
    assert!(refused(&rsa(16384)).contains("8192"));
    let weak = lines(&[&rsa(2048)]);
    assert_eq!(
        weak.warnings,
        [Warning::WeakRsa {
            line: 1,
            bits: 2048
        }]
    );
    assert_eq!(lines(&[&rsa(3072)]).warnings, []);
    assert_eq!(lines(&[&rsa(3072)]).keys.len(), 1);
    assert!(refused("ssh-dss AAAAB3NzaC1kc3M= old").contains("DSA"));
    assert!(refused("ssh-ed25519-cert-v01@openssh.com AAAA").contains("certificates"));
    assert!(refused("rsa-sha2-512 AAAA").contains("ssh-rsa"));
    assert!(refused("ssh-ed448 AAAA").contains("not supported"));
    let read = lines(&[&security_key()]);
    assert_eq!(
        read.keys[0].algorithm, "sk-ssh-ed25519@openssh.com",
        "{:?}",
        read.refused
    );
}
