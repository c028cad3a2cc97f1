//! Lines of authorized_keys, and publickey requests.

use super::put;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJxvJlxJTgwZTDzQHiDbAjqUKRkbQAfJYM1oBVG7D2rJ me@home";
const TOKEN: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHAAAABHNzaDo= token";

const LINES: [(&str, &str); 9] = [
    ("plain", ""),
    (
        "ours",
        "role=\"observer\",network=none,recording=\"input\",break-glass ",
    ),
    (
        "from",
        "from=\"192.168.1.0/24,!192.168.1.9,2001:db8::/32,10.*.?.1\",expiry-time=\"20300101083000Z\" ",
    ),
    (
        "forced",
        "command=\"echo \\\"a, b\\\" \\d $SSH_ORIGINAL_COMMAND\",environment=\"KEY_A=b=c\",environment=\"LC_ALL=C\",pty\t",
    ),
    (
        "switches",
        "restrict,pty,no-pty,Port-Forwarding,no-X11-forwarding,agent-forwarding,user-rc,no-user-rc ",
    ),
    (
        "places",
        "permitopen=\"[::1]:80\",permitopen=\"a.b:*\",permitlisten=\"8080\",permitlisten=\"localhost:1\",tunnel=\"any\" ",
    ),
    ("refused", "cert-authority,principals=\"a,b\" "),
    (
        "wrong",
        "from=\"*.example.org\",environment=\"LD_PRELOAD=x\",expiry-time=\"1\",command=\"x ",
    ),
    ("unknown", "comand=\"\u{1b}[2J\0\",\"x\"=y,, "),
];

pub(super) fn written() {
    for (name, options) in LINES {
        put(
            "authorized_keys",
            name,
            &[options.as_bytes(), KEY.as_bytes()],
        );
    }
    let options = b"no-touch-required,verify-required,touch-required,no-verify-required ";
    put("authorized_keys", "token", &[options, TOKEN.as_bytes()]);
    let file = format!("# all\r\n{KEY}\r\n\r\nssh-rsa AAAA x\n{KEY}\n{TOKEN}\n");
    put("authorized_keys", "file", &[file.as_bytes()]);

    for (name, form, user, service, method) in [
        ("query", 0, "root", "ssh-connection", "publickey"),
        ("signed", 1, "root", "ssh-connection", "publickey"),
        ("user", 1, "\u{e4}\0", "ssh-connection", "publickey"),
        ("other", 1, "root", "ssh-userauth", "password"),
    ] {
        let mut bytes = vec![50];
        for part in [user, service, method] {
            string(&mut bytes, part.as_bytes());
        }
        bytes.push(form);
        string(&mut bytes, b"ssh-ed25519");
        string(&mut bytes, &[7; 51]);
        put("publickey", name, &[&bytes]);
    }
}

fn string(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    to.extend(bytes);
}
