//! What OpenSSH added to the protocol (its file PROTOCOL), seen from clients.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::clients::python;
use crate::harness::{Server, eventually, finish, make_key, public};

/// A transport of paramiko's that has logged in, `t`, and how to send and hear what paramiko does not know.
const LOGGED_IN: &str = r#"
import paramiko, queue, sys, time
from paramiko.message import Message
heard = queue.Queue()
class Transport(paramiko.Transport):
    # What the server says of itself beside what paramiko knows.
    def _parse_global_request(self, m):
        heard.put((m.get_text(), m.get_boolean(), m.get_remainder()))
def message(number, *parts):
    m = Message(); m.add_byte(bytes([number]))
    for part in parts:
        {bytes: m.add_string, int: m.add_int, bool: m.add_boolean}[type(part)](part)
    return m
def hear(t, number, kind):
    t._handler_table[number] = lambda m: heard.put((kind, m.get_binary() if m.get_remainder() else b''))
def connect():
    t = Transport(('127.0.0.1', int(sys.argv[1])))
    t.start_client(timeout=20)
    return t
t = connect()
t.auth_publickey('root', paramiko.Ed25519Key.from_private_key_file(sys.argv[2]))
"#;

/// Python that goes on after [`LOGGED_IN`], and prints `ok`.
fn paramiko(server: &Server, script: &str) -> Option<Command> {
    let mut command = server.client(python()?);
    command
        .args(["-c", &format!("{LOGGED_IN}{script}\nprint('ok')")])
        .arg(server.port.to_string())
        .arg(server.dir.join("client/key"));
    Some(command)
}

#[test]
fn pings_are_announced_and_answered() {
    let server = Server::start();
    let script = r#"
assert t.server_extensions['ping@openssh.com'] == b'0', t.server_extensions
hear(t, 193, 'pong')
assert heard.get(timeout=20)[0] == 'hostkeys-00@openssh.com'
for data in (b'', b'x', b'y' * 30000):
    t._send_message(message(192, data))
    assert heard.get(timeout=20) == ('pong', data)
# In between whatever else goes on.
ch = t.open_session(); ch.exec_command('cat')
for n in range(200):
    t._send_message(message(192, b'%d' % n)); ch.sendall(b'%d\n' % n)
ch.shutdown_write()
assert ch.makefile().read() == b''.join(b'%d\n' % n for n in range(200))
assert [heard.get(timeout=20)[1] for n in range(200)] == [b'%d' % n for n in range(200)]
"#;
    let Some(command) = paramiko(&server, script) else {
        return;
    };
    assert_eq!(finish(command).good(), "ok");
}

#[test]
fn openssh_binds_its_login_to_the_host_key() {
    let server = Server::start();
    let mut ssh = server.talking_ssh();
    ssh.args(["-vvv", "root@127.0.0.1", "--", "echo in"]);
    let done = finish(ssh);
    assert_eq!(done.good(), "in");
    let bound = "sign_and_send_pubkey: using publickey-hostbound-v00@openssh.com";
    assert!(done.stderr.contains(bound), "{done:?}");
}

/// What `ssh-keyscan` and `known_hosts` call the server.
fn host_key(server: &Server) -> String {
    let public = fs::read_to_string(server.dir.join("data/ssh_host_ed25519_key.pub"));
    let text = public.unwrap_or_else(|_| {
        let mut keygen = Command::new("ssh-keygen");
        keygen
            .arg("-yf")
            .arg(server.dir.join("data/ssh_host_ed25519_key"));
        finish(keygen).good().to_owned()
    });
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// `ssh` that keeps its list of hosts in `known`, and updates it.
fn updating(server: &Server, known: &std::path::Path) -> Command {
    let mut ssh = server.client("ssh");
    let options = server.ssh_options().into_iter();
    ssh.args(options.map(|option| {
        match option.starts_with("UserKnownHostsFile=") {
            true => format!("UserKnownHostsFile={}", known.display()),
            false => option
                .replace("LogLevel=ERROR", "LogLevel=DEBUG3")
                .replace("=accept-new", "=ask"),
        }
    }));
    ssh.args(["-o", "UpdateHostKeys=yes", "root@127.0.0.1", "sleep 1"]);
    ssh
}

#[test]
fn openssh_learns_the_host_key_once_it_is_proven() {
    let server = Server::start();
    let known = server.dir.join("client/learnt");
    // What is accepted at the first login is written to nowhere; what is proven after it replaces the link.
    std::os::unix::fs::symlink("/dev/null", &known).unwrap();
    std::os::unix::fs::lchown(&known, Some(65534), Some(65534)).unwrap();
    let yes = server.dir.join("client/yes");
    fs::write(&yes, "#!/bin/sh\necho yes\n").unwrap();
    fs::set_permissions(&yes, fs::Permissions::from_mode(0o755)).unwrap();
    let mut ssh = updating(&server, &known);
    // Only a key that somebody said yes to is trusted enough to learn others by it.
    ssh.env("SSH_ASKPASS", yes)
        .env("SSH_ASKPASS_REQUIRE", "force");
    let done = finish(ssh);
    assert_eq!(done.code(), 0, "{done:?}");
    let learnt = fs::read_to_string(&known).unwrap();
    assert!(fs::symlink_metadata(&known).unwrap().is_file(), "{done:?}");
    assert!(learnt.contains(&host_key(&server)), "{learnt}: {done:?}");
}

#[test]
fn openssh_forgets_a_host_key_that_is_not_announced() {
    let server = Server::start();
    let known = server.dir.join("client/known");
    let name = format!("[127.0.0.1]:{}", server.port);
    let old = server.dir.join("client/old");
    make_key(&old, "ecdsa", &[]);
    let lines = format!("{name} {}\n{name} {}\n", host_key(&server), public(&old));
    fs::write(&known, lines).unwrap();
    std::os::unix::fs::chown(&known, Some(65534), Some(65534)).unwrap();
    let done = finish(updating(&server, &known));
    assert_eq!(done.code(), 0, "{done:?}");
    let left = fs::read_to_string(&known).unwrap();
    assert!(
        left.contains("ssh-ed25519") && !left.contains("ecdsa"),
        "{left}: {done:?}"
    );
}

#[test]
fn a_proof_is_verified_by_another_vendors_client() {
    let Some(python) = python() else { return };
    let server = Server::start();
    let script = r#"
import asyncio, asyncssh, sys
class Client(asyncssh.SSHClient):
    def validate_host_public_key(self, host, addr, port, key): return True
async def main():
    told = asyncio.get_running_loop().create_future()
    async with asyncssh.connect('127.0.0.1', int(sys.argv[1]), username='root', client_keys=[sys.argv[2]], config=None,
            agent_path=None, client_factory=Client, known_hosts=([], [], []),
            server_host_keys_handler=lambda *keys: told.set_result(keys)) as c:
        added, removed, retained, revoked = await asyncio.wait_for(told, 20)
        print([key.get_algorithm() for key in added], len(removed), len(retained), len(revoked))
asyncio.run(main())
"#;
    let mut command = server.client(python);
    command
        .args(["-c", script, &server.port.to_string()])
        .arg(server.dir.join("client/key"));
    assert_eq!(finish(command).good(), "['ssh-ed25519'] 0 0 0");
}

#[test]
fn what_is_not_the_servers_key_or_asked_too_often_is_not_proven() {
    let server = Server::start();
    let script = r#"
name, wants, keys = heard.get(timeout=20)
assert (name, wants) == ('hostkeys-00@openssh.com', False), name
ours = t.host_key.asbytes()
m = Message(keys); assert m.get_binary() == ours and not m.get_remainder()
def ask(t, data):
    m = Message(); m.add_bytes(data)
    return t.global_request('hostkeys-prove-00@openssh.com', None, wait=True) if data is None else raw(t, data)
def raw(t, data):
    import threading
    t.completion_event = threading.Event()
    m = Message(); m.add_byte(b'\x50'); m.add_string('hostkeys-prove-00@openssh.com'); m.add_boolean(True); m.add_bytes(data)
    t._send_user_message(m)
    assert t.completion_event.wait(20)
    return t.global_response
def strings(*keys):
    m = Message()
    for key in keys: m.add_string(key)
    return m.asbytes()
def signed(t): return strings(b'hostkeys-prove-00@openssh.com', t.session_id, t.host_key.asbytes())
good = raw(t, strings(ours))
assert t.host_key.verify_ssh_sig(signed(t), Message(good.get_binary())) and not good.get_remainder()
assert raw(t, strings(ours, paramiko.RSAKey.generate(2048).asbytes())) is None
assert raw(t, strings(*[ours] * 5)) is None
assert raw(t, b'\xff\xff\xff\xff') is None
# The fifth time, whatever came before.
assert raw(t, strings(ours)) is None
ch = t.open_session(); ch.exec_command('echo on'); assert ch.makefile().read() == b'on\n'
# paramiko cannot answer a close while it renegotiates.
for wait in range(2000):
    if ch.closed: break
    time.sleep(0.01)
t.renegotiate_keys()
ch = t.open_session(); ch.exec_command('echo and on'); assert ch.makefile().read() == b'and on\n'
t.close()
# A stranger is not told, and has nothing signed.
s = connect()
s._send_message(message(80, b'hostkeys-prove-00@openssh.com', True, ours))
try: s.auth_publickey('root', paramiko.RSAKey.generate(2048)); assert False
except paramiko.AuthenticationException: pass
assert heard.empty()
"#;
    let Some(command) = paramiko(&server, script) else {
        return;
    };
    assert_eq!(finish(command).good(), "ok");
}

#[test]
fn after_no_more_sessions_there_are_none_for_good() {
    let server = Server::start();
    let script = r#"
first = t.open_session(); first.exec_command('cat')
assert t.global_request('no-more-sessions@openssh.com', wait=True) is not None
for again in range(3):
    try: t.open_session(timeout=20); assert False
    except paramiko.ChannelException as e: assert e.code == 1, e.code
    # Nor does saying so again, or closing the first one, bring them back.
    t.global_request('no-more-sessions@openssh.com', wait=True)
    if again == 1:
        first.sendall(b'still here'); first.shutdown_write()
        assert first.makefile().read() == b'still here'
        first.close()
"#;
    let Some(command) = paramiko(&server, script) else {
        return;
    };
    assert_eq!(finish(command).good(), "ok");
    let refused = eventually("the refusals are on record", || {
        let found = server.records_of("channel.refuse");
        (found.len() == 3).then_some(found)
    });
    for record in refused {
        assert_eq!(
            record["d"]["reason"], "the client wanted no more sessions",
            "{record}"
        );
    }
    // OpenSSH's client says so by itself, and its multiplexed sessions, which come later, are why it sometimes does not.
    assert_eq!(server.run("echo works").good(), "works");
}

#[test]
fn a_break_is_answered_where_there_is_a_terminal() {
    let server = Server::start();
    let script = r#"
def send_break(ch):
    ch.event.clear(); ch.event_ready = False
    m = Message(); m.add_byte(b'\x62'); m.add_int(ch.remote_chanid); m.add_string('break'); m.add_boolean(True); m.add_int(500)
    t._send_user_message(m)
    try: ch._wait_for_event(); return True
    except paramiko.SSHException: return False
ch = t.open_session(); ch.get_pty(); ch.exec_command('echo ready; read line; echo "$line"')
assert b'ready' in ch.recv(100)
assert send_break(ch)
# The program is still there: a break is no interrupt.
ch.sendall(b'unbroken\n')
out = b''
while b'unbroken\r\nunbroken' not in out:
    more = ch.recv(100); assert more, out; out += more
ch = t.open_session(); ch.exec_command('echo ready; read line')
assert ch.recv(6) == b'ready\n'
assert not send_break(ch)
"#;
    let Some(command) = paramiko(&server, script) else {
        return;
    };
    assert_eq!(finish(command).good(), "ok");
}

#[test]
fn channels_and_variables_are_bounded() {
    let server = Server::start();
    let script = r#"
chs = [t.open_session() for n in range(16)]
for again in range(2):
    try: t.open_session(timeout=20); assert False
    except paramiko.ChannelException as e: assert e.code == 4, e.code
# One that is closed makes room.
chs.pop().close(); chs.append(t.open_session())
def request(ch, kind, *parts):
    ch.event.clear(); ch.event_ready = False
    t._send_user_message(message(98, ch.remote_chanid, kind, True, *parts))
    ch.event.wait(20); return ch.event_ready
# The 65th is too many, and so is more than 16 KiB of fewer; a refusal closes a channel of paramiko's.
many, long, empty = chs[0], chs[1], chs[2]
for n in range(64): assert request(many, b'env', b'LC_%d' % n, b'x'), n
assert not request(many, b'env', b'LC_64', b'x')
for n in range(15): assert request(long, b'env', b'LC_%04d' % n, b'y' * 1017), n
assert request(long, b'env', b'LC_0015', b'y' * 1017)
assert not request(long, b'env', b'LC_z', b'')
assert not request(empty, b'env', b'LC_a', b'y' * 1025)
# The fullest environment goes with the longest command.
full = chs[3]
for n in range(16): assert request(full, b'env', b'LC_%04d' % n, b'y' * 1017), n
command = b'echo ${#LC_0015}; true ' + b'x' * (128 * 1024)
full.exec_command(command[:128 * 1024 - 1])
assert full.makefile().read() == b'1017\n'
assert full.recv_exit_status() == 0
"#;
    let Some(command) = paramiko(&server, script) else {
        return;
    };
    assert_eq!(finish(command).good(), "ok");
}
