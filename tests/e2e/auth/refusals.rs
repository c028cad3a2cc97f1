//! What the log says of logins that were refused.

use super::*;

/// Lines of the log about refused logins, without time and address; once there are so many.
fn refusals(server: &Server, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    eventually("the log says it", || {
        let log = server.log();
        let after = |line: &str| Some(line.split_once(" refused: ")?.1.to_owned());
        lines = log.lines().filter_map(after).collect();
        (lines.len() >= count).then_some(())
    });
    lines
}

#[test]
fn the_log_says_why_a_login_was_refused_and_what_would_be_right() {
    let server = Server::start();
    make_key(&server.dir.join("client/wrong"), "ed25519", &[]);
    let mut keygen = Command::new("ssh-keygen");
    keygen.arg("-lf").arg(server.dir.join("client/wrong"));
    let fingerprint = finish(keygen).good().split(' ').nth(1).unwrap().to_owned();
    let user = "wrong user name `admin`: the user name is `root`";
    let key = format!("key {fingerprint} is not in authorized_keys: add its public half there");
    assert_eq!(with_key(&server, "admin", "key", &[]).code(), 255);
    assert_eq!(refusals(&server, 1), [user]);
    assert_eq!(with_key(&server, "root", "wrong", &[]).code(), 255);
    assert_eq!(refusals(&server, 2), [user, key.as_str()]);
    assert!(server.log().contains("login from 127.0.0.1 port "));
    // Whoever knocks on and on does not fill it.
    for _ in 0..6 {
        assert_eq!(with_key(&server, "root", "wrong", &[]).code(), 255);
    }
    server.run("true").good();
    assert_eq!(refusals(&server, 4).len(), 4);
}

#[test]
fn the_log_says_who_was_locked_out_and_never_a_password() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = Server::with(Setup {
        options: json!({ "authorized_keys": null, "password": "correct horse battery" }),
        ..Setup::default()
    });
    let script = "
import paramiko,sys
def try_all(user,words):
    t=paramiko.Transport(('127.0.0.1',int(sys.argv[1]))); t.start_client(timeout=20)
    for word in words:
        try: t.auth_password(user,word,fallback=False)
        except paramiko.SSHException: pass
    t.close()
try_all('root',['wrong horse','correct horse battery'])
try_all('x\\x1b]0;evil\\x07',['wrong horse']*6)
";
    let mut command = server.client(python);
    command.args(["-c", script, &server.port.to_string()]);
    finish(command).good();
    let said = refusals(&server, 2);
    assert_eq!(
        said[0],
        "wrong password: the right one is \"password\" of the options"
    );
    assert_eq!(
        said[1],
        "wrong user name `x\\x1b]0;evil\\x07`: the user name is `root`; 5 more of the like; too many failures"
    );
    assert!(!server.log().contains("horse"), "{}", server.log());
    assert!(!server.log().contains('\u{1b}'));
}

#[test]
fn a_terminal_control_in_a_user_name_does_not_reach_the_log() {
    let Some(python) = crate::clients::python() else {
        return;
    };
    let server = Server::start();
    let script = "
import paramiko,sys
t=paramiko.Transport(('127.0.0.1',int(sys.argv[1]))); t.start_client()
try: t.auth_publickey('x\\x1b]0;evil\\x07\\x9b', paramiko.Ed25519Key.from_private_key_file(sys.argv[2]))
except paramiko.AuthenticationException: print('refused')
";
    let mut command = server.client(python);
    command
        .args(["-c", script, &server.port.to_string()])
        .arg(server.dir.join("client/key"));
    assert_eq!(finish(command).good(), "refused");
    eventually("the attempt is on record", || {
        server
            .records_of("auth.attempt")
            .iter()
            .any(|record| record.to_string().contains("evil"))
            .then_some(())
    });
    assert!(!server.log().contains('\u{1b}') && !server.log().contains('\u{7}'));
    assert!(
        server
            .records()
            .iter()
            .all(|record| !record.to_string().contains("\\u001b"))
    );
}
