//! `/config` and the server's own folder on one small file system that a session fills up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{
    Done, Server, Setup, app, eventually, finish, folder, make_key, public, server_command,
};

/// A folder in which `config` and `data` are on one file system of 64 MiB, and the log and all else is not. Unmounted at the
/// end, whatever the test says.
pub struct Small(PathBuf);

impl Small {
    pub fn new() -> Self {
        let mut command = Command::new("mount");
        let options = "size=64m,nr_inodes=4000,mode=755";
        command.args(["-t", "tmpfs", "-o", options, "small"]);
        Self::mounted(folder(), command)
    }

    /// The same on ext4, with journal and all, in a file.
    fn on_ext4() -> Self {
        let folder = folder();
        let image = folder.join("image");
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let mut command = Command::new("mkfs.ext4");
        command.args(["-q", "-N", "4000", "-E", "root_owner=0:0"]);
        finish(with(command, &image)).good();
        let mut command = Command::new("mount");
        command.args(["-o", "loop"]).arg(image);
        Self::mounted(folder, command)
    }

    /// In this folder, by a command that wants the place as its last word.
    fn mounted(folder: PathBuf, command: Command) -> Self {
        let small = Self(folder);
        let disk = small.make("disk");
        finish(with(command, &disk)).good();
        for name in ["config", "data"] {
            let there = small.make(&format!("disk/{name}"));
            let mut command = Command::new("mount");
            command.arg("--bind").arg(there);
            finish(with(command, &small.make(name))).good();
        }
        small
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    fn make(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir(&path).unwrap();
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        for name in ["config", "data", "disk"] {
            let mut command = Command::new("umount");
            command.arg("--lazy");
            finish(with(command, &self.0.join(name)));
        }
    }
}

fn with(mut command: Command, path: &Path) -> Command {
    command.arg(path);
    command
}

fn verify(server: &Server) -> Done {
    let mut command = Command::new(app().join("hassio-sshd"));
    command
        .args(["audit", "verify", "--data-dir"])
        .arg(server.dir.join("data"));
    finish(command)
}

/// Uses up every block.
const BLOCKS: &str = "cat /dev/zero > /config/zeros 2>/dev/null";
/// Uses up every inode, and says how many there were.
const INODES: &str = "i=0; while : > /config/f$i; do i=$((i+1)); done 2>/dev/null; echo $i";

/// Waits until the reserve is there, then lets a session use up every block and inode.
pub fn fill(server: &Server) {
    wait_for_the_reserve(server);
    let done = server.run(&format!("{BLOCKS}; {INODES}"));
    assert!(done.good().parse::<u32>().unwrap() > 10, "{done:?}");
}

fn wait_for_the_reserve(server: &Server) {
    let spare = server.dir.join("data/audit/spare");
    eventually("room is kept", || {
        (fs::read_dir(&spare).ok()?.count() >= 128).then_some(())
    });
}

/// With no block left, and with no inode left, logins go on, and so does a new start, all of it on record.
fn goes_on_without(small: &Small, filler: &str) {
    let mut server = Server::at(small.path().to_owned(), Setup::default());
    wait_for_the_reserve(&server);
    let (blocks, blocks_alone) = (filler.starts_with(BLOCKS), filler == BLOCKS);
    server.run(&format!("{filler}; true")).good();
    // What the session's own file gave back is the next one's.
    let space = rustix::fs::statvfs(small.path().join("disk")).unwrap();
    let (bytes, inodes) = (space.f_bavail * space.f_frsize, space.f_favail);
    assert!(!blocks || bytes < 256 << 10, "{bytes} bytes are left");
    assert!(blocks_alone || inodes < 10, "{inodes} inodes are left");
    for n in 0..10 {
        assert_eq!(server.run(&format!("echo {n}")).good(), n.to_string());
    }
    assert!(server.stop().success(), "{}", server.log());
    let mut server = Server::at(small.path().to_owned(), Setup::default());
    assert_eq!(
        server
            .run("rm -f /config/zeros /config/f*; echo freed")
            .good(),
        "freed"
    );
    assert!(server.stop().success(), "{}", server.log());
    assert_eq!(server.records_of("exec").len(), 1 + 10 + 1);
    assert_eq!(verify(&server).code(), 0, "{:?}", verify(&server));
}

#[test]
fn a_disk_without_a_block_left_keeps_logins_on_record() {
    goes_on_without(&Small::new(), BLOCKS);
}

#[test]
fn a_disk_without_an_inode_left_keeps_logins_on_record() {
    goes_on_without(&Small::new(), INODES);
}

#[test]
fn a_disk_of_ext4_without_block_and_inode_keeps_logins_on_record() {
    if !crate::harness::have("mkfs.ext4") {
        return;
    }
    goes_on_without(&Small::on_ext4(), &format!("{BLOCKS}; {INODES}"));
}

#[test]
fn whoever_filled_the_disk_can_log_in_and_free_it_and_is_on_record() {
    let small = Small::new();
    let mut server = Server::at(small.0.clone(), Setup::default());
    fill(&server);
    for n in 0..20 {
        assert_eq!(server.run(&format!("echo {n}")).good(), n.to_string());
    }
    // With the server started anew as well.
    assert!(server.stop().success(), "{}", server.log());
    let mut server = Server::at(small.0.clone(), Setup::default());
    assert_eq!(server.run("echo again").good(), "again");
    assert_eq!(
        server.run("rm /config/zeros /config/f*; echo freed").good(),
        "freed"
    );
    assert_eq!(
        server
            .run("echo more > /config/more; cat /config/more")
            .good(),
        "more"
    );
    assert!(server.stop().success(), "{}", server.log());
    let commands: Vec<String> = server
        .records_of("exec")
        .iter()
        .map(|record| record["d"]["command"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(commands.len(), 1 + 20 + 3, "{commands:#?}");
    assert_eq!(verify(&server).code(), 0, "{:?}", verify(&server));
}

#[test]
fn with_all_room_used_up_only_the_glass_breaks_and_freed_space_heals() {
    let small = Small::new();
    let glass = small.0.join("glass");
    make_key(&glass, "ed25519", &[]);
    let daily = small.0.join("client/key");
    fs::create_dir_all(daily.parent().unwrap()).unwrap();
    make_key(&daily, "ed25519", &[]);
    for key in [&glass, &daily] {
        std::os::unix::fs::chown(key, Some(65534), Some(65534)).unwrap();
    }
    let lines = [public(&daily), format!("break-glass {}", public(&glass))];
    let setup = Setup {
        options: serde_json::json!({"authorized_keys": lines}),
        ..Setup::default()
    };
    let mut server = Server::at(small.0.clone(), setup);
    fill(&server);
    // What a session gives back at its end, the next one takes.
    let again = "cat /dev/zero >> /config/zeros 2>/dev/null; true";
    let refused = (0..200).find_map(|_| Some(server.run(again)).filter(|done| done.code() != 0));
    let refused = refused.expect("sessions go on for ever");
    assert!(refused.stderr.contains("cannot be recorded"), "{refused:?}");
    let mut ssh = server.client("ssh");
    let other = glass.to_str().unwrap();
    let options = server.ssh_options();
    ssh.args(
        options
            .iter()
            .map(|option| match option.ends_with("client/key") {
                true => other,
                false => option,
            }),
    );
    ssh.args([
        "root@127.0.0.1",
        "--",
        "rm /config/zeros /config/f*; echo freed",
    ]);
    assert_eq!(finish(ssh).good(), "freed");
    assert!(
        server.log().contains("GOES ON WITHOUT A RECORD"),
        "{}",
        server.log()
    );
    // Without a restart.
    eventually("sessions begin again", || {
        (server.run("true").code() == 0).then_some(())
    });
    assert!(server.stop().success(), "{}", server.log());
    assert_eq!(verify(&server).code(), 0, "{:?}", verify(&server));
}

#[test]
fn a_log_that_cannot_be_written_stops_nobody() {
    let mut server = Server::start();
    assert_eq!(server.run("echo on").good(), "on");
    assert!(server.stop().success(), "{}", server.log());
    // The same once more; full(4) takes nothing.
    let mut command = server_command("serve", &server.dir);
    command.args(["--listen", &format!("127.0.0.1:{}", server.port)]);
    let full = fs::File::create("/dev/full").unwrap();
    let mut child = command.stderr(full).spawn().unwrap();
    eventually("it serves", || {
        (server.run("true").code() == 0).then_some(())
    });
    for n in 0..5 {
        assert_eq!(server.run(&format!("echo {n}")).good(), n.to_string());
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}
