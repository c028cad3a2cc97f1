//! Every client does a round trip: as a user who is not root, with files that are not root's.

use std::fs;
use std::path::PathBuf;

use crate::harness::{Done, Server, feed, finish, have};

/// A Python with paramiko and asyncssh, made by scripts/python-clients.
pub fn python() -> Option<PathBuf> {
    match std::env::var_os("TEST_PYTHON").filter(|path| !path.is_empty()) {
        Some(path) => Some(path.into()),
        None => {
            assert!(
                std::env::var_os("REQUIRE_ALL").is_none(),
                "TEST_PYTHON is not set: run scripts/test"
            );
            println!("NOT TRIED: no Python with paramiko and asyncssh");
            None
        }
    }
}

/// A folder of the client's with a few files of its own.
fn source(server: &Server) -> PathBuf {
    let folder = server.dir.join("client/source");
    fs::create_dir_all(folder.join("below")).unwrap();
    fs::write(folder.join("a"), "first\n").unwrap();
    fs::write(folder.join("below/b"), vec![9; 300_000]).unwrap();
    for path in [
        folder.clone(),
        folder.join("below"),
        folder.join("a"),
        folder.join("below/b"),
    ] {
        std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
    }
    folder
}

fn ssh_line(server: &Server) -> String {
    format!("ssh {}", server.ssh_options().join(" "))
}

#[track_caller]
fn same(server: &Server, back: &str) {
    let folder = server.dir.join("client");
    for name in ["a", "below/b"] {
        let sent = fs::read(folder.join("source").join(name)).unwrap();
        assert_eq!(
            sent,
            fs::read(folder.join(back).join(name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn scp_with_sftp_underneath_and_in_its_old_form() {
    let server = Server::start();
    source(&server);
    for (form, name) in [("-s", "new"), ("-O", "old")] {
        let scp = |from: &str, to: &str| {
            let mut scp = server.client("scp");
            scp.args(server.ssh_options())
                .args([form, "-q", "-p", "-r", from, to]);
            finish(scp)
        };
        scp("source", &format!("root@127.0.0.1:/config/{name}")).good();
        scp(&format!("root@127.0.0.1:/config/{name}"), name).good();
        same(&server, name);
    }
}

#[test]
fn sftp_puts_and_gets() {
    let server = Server::start();
    source(&server);
    let mut sftp = server.client("sftp");
    sftp.args(server.ssh_options())
        .args(["-q", "-b", "-", "root@127.0.0.1"]);
    let script = b"put -r source /config/\nrename /config/source /config/moved\nget -r /config/moved back\nls -l /config/moved\nrm /config/moved/a\n";
    let done = feed(sftp, script);
    assert!(done.good().contains("below"), "{done:?}");
    same(&server, "back");
    assert!(!server.config("moved/a").exists() && server.config("moved/below/b").exists());
}

#[test]
fn rsync_in_archive_mode_ends_with_0() {
    if !have("rsync") {
        return;
    }
    let server = Server::start();
    source(&server);
    let rsync = |from: &str, to: &str| {
        let mut rsync = server.client("rsync");
        rsync.args(["-a", "-e", &ssh_line(&server), from, to]);
        finish(rsync)
    };
    rsync("source/", "root@127.0.0.1:/config/synced/").good();
    rsync("root@127.0.0.1:/config/synced/", "back/").good();
    same(&server, "back");
    let mut as_root = std::process::Command::new("rsync");
    let folder = server.dir.join("client");
    as_root
        .args([
            "-a",
            "-e",
            &ssh_line(&server),
            "source/",
            "root@127.0.0.1:/config/owned/",
        ])
        .current_dir(&folder);
    finish(as_root).good();
}

#[test]
fn tar_unpacks_other_owners_files_with_0() {
    let server = Server::start();
    source(&server);
    let mut sh = server.client("sh");
    sh.args([
        "-c",
        &format!(
            "tar c source | {} root@127.0.0.1 -- tar x -C /config",
            ssh_line(&server)
        ),
    ]);
    finish(sh).good();
    assert!(server.config("source/below/b").exists());
}

#[test]
fn git_pushes_and_clones() {
    if !have("git") {
        return;
    }
    let server = Server::start();
    server.run("git init -q --bare /config/repo.git").good();
    let git = |line: &str| -> Done {
        let mut sh = server.client("sh");
        sh.env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("GIT_SSH_COMMAND", ssh_line(&server));
        sh.args(["-ec", line]);
        finish(sh)
    };
    git("git init -q w; cd w; git config user.email a@b; git config user.name n; echo x > f; git add f; git commit -qm m; \
         git push -q root@127.0.0.1:/config/repo.git HEAD:main")
    .good();
    git("git clone -q -b main root@127.0.0.1:/config/repo.git back; cmp w/f back/f").good();
}

#[test]
fn dropbears_client_does_a_round_trip() {
    if !have("dbclient") {
        return;
    }
    let server = Server::start();
    let key = server.dir.join("client/dropbear");
    let mut keygen = server.client("dropbearkey");
    keygen.args(["-t", "ed25519", "-f", key.to_str().unwrap()]);
    let made = finish(keygen);
    let line = made
        .stdout
        .lines()
        .find(|line| line.starts_with("ssh-ed25519 "))
        .unwrap()
        .to_owned();
    let both = [crate::harness::public(&server.dir.join("client/key")), line];
    let server = Server::at(
        server.into_dir(),
        crate::harness::Setup {
            options: serde_json::json!({ "authorized_keys": both }),
            ..Default::default()
        },
    );
    let mut client = server.client("dbclient");
    client.args([
        "-y",
        "-y",
        "-T",
        "-i",
        key.to_str().unwrap(),
        "-p",
        &server.port.to_string(),
        "root@127.0.0.1",
        "cat; exit 4",
    ]);
    let done = feed(client, b"round trip\n");
    assert_eq!(
        (done.code(), done.stdout.as_str()),
        (4, "round trip\n"),
        "{done:?}"
    );
}

#[test]
fn puttys_client_does_a_round_trip() {
    if !have("plink") {
        return;
    }
    let server = Server::start();
    let key = server.dir.join("client/key");
    let ppk = server.dir.join("client/key.ppk");
    let mut convert = server.client("puttygen");
    convert.args([
        key.to_str().unwrap(),
        "-O",
        "private",
        "-o",
        ppk.to_str().unwrap(),
    ]);
    finish(convert).good();
    let mut plink = server.plink();
    plink.arg("-i").arg(ppk);
    plink.args(["root@127.0.0.1", "cat; exit 4"]);
    let done = feed(plink, b"round trip\n");
    assert_eq!(
        (done.code(), done.stdout.as_str()),
        (4, "round trip\n"),
        "{done:?}"
    );
}

#[test]
fn paramiko_does_a_round_trip() {
    let Some(python) = python() else { return };
    let server = Server::start();
    let script = "
import paramiko,sys
c=paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect('127.0.0.1',int(sys.argv[1]),'root',key_filename=sys.argv[2],allow_agent=False,look_for_keys=False)
i,o,e=c.exec_command('cat; exit 4'); i.write('round trip\\n'); i.channel.shutdown_write()
assert o.read()==b'round trip\\n' and o.channel.recv_exit_status()==4
s=c.open_sftp(); f=s.open('/config/p','w'); f.write('x'*100000); f.close()
assert s.stat('/config/p').st_size==100000 and len(s.open('/config/p').read())==100000
ch=c.invoke_shell(width=100,height=30); ch.send('stty size; exit\\n')
t=b''
while b'30 100' not in t: t+=ch.recv(1000)
print('ok')
";
    let mut command = server.client(python);
    command
        .args(["-c", script, &server.port.to_string()])
        .arg(server.dir.join("client/key"));
    assert_eq!(finish(command).good(), "ok");
}

#[test]
fn asyncssh_does_a_round_trip() {
    let Some(python) = python() else { return };
    let server = Server::start();
    let script = "
import asyncio,asyncssh,sys
async def main():
  async with asyncssh.connect('127.0.0.1',int(sys.argv[1]),username='root',client_keys=[sys.argv[2]],known_hosts=None,agent_path=None) as c:
    r=await c.run('cat; exit 4',input='round trip\\n')
    assert r.stdout=='round trip\\n' and r.exit_status==4, r
    async with c.start_sftp_client() as s:
      async with s.open('/config/a','w') as f: await f.write('y'*100000)
      assert (await s.stat('/config/a')).size==100000
    rs=await asyncio.gather(*[c.run('echo %d'%n) for n in range(8)])
    assert [r.stdout for r in rs]==['%d\\n'%n for n in range(8)]
asyncio.run(main()); print('ok')
";
    let mut command = server.client(python);
    command
        .args(["-c", script, &server.port.to_string()])
        .arg(server.dir.join("client/key"));
    assert_eq!(finish(command).good(), "ok");
}
