//! How other programs than OpenSSH's read and write: many requests at once, in any order, of many files.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{hash, records};
use crate::clients::python;
use crate::harness::{Server, eventually, finish, have};

/// asyncssh, with as many requests at once as it is told.
const ASYNCSSH: &str = "
import asyncio, asyncssh, os, random, sys
from asyncssh.sftp import SFTPAttrs
random.seed(1)
async def connected(work, **more):
    to = dict(username='root', client_keys=[sys.argv[2]], known_hosts=None, config=None, agent_path=None)
    async with asyncssh.connect('127.0.0.1', int(sys.argv[1]), **to) as c:
        async with c.start_sftp_client(**more) as s:
            await work(s)
";

#[track_caller]
fn asyncssh(server: &Server, program: &str) {
    let mut command = server.client(python().unwrap());
    command
        .args([
            "-c",
            &format!("{ASYNCSSH}{program}"),
            &server.port.to_string(),
        ])
        .arg(server.dir.join("client/key"));
    assert_eq!(finish(command).good(), "ok");
}

/// The members of all operations on this path, in their order.
fn of<'r>(ops: &'r [Value], path: &str) -> Vec<&'r Value> {
    let its = ops.iter().filter(|record| record["d"]["path"] == path);
    its.map(|record| &record["d"]).collect()
}

fn text(length: usize) -> Vec<u8> {
    (0..length)
        .map(|n| u8::try_from(n * 7 % 251).unwrap())
        .collect()
}

/// What WinSCP does with a file: it sends to another name in blocks of 32 KiB, many of them on their way, sets the times,
/// and renames; it asks for a newer protocol, for the space of the disk, and for extensions that nobody has.
#[test]
fn a_transfer_to_another_name_with_many_requests_on_their_way() {
    if python().is_none() {
        return;
    }
    let server = Server::start();
    let up = text(1_000_000);
    fs::write(server.dir.join("client/up"), &up).unwrap();
    asyncssh(
        &server,
        "
async def work(s):
    assert s.version == 3
    await s.realpath('.'); await s.stat('/config'); await s.statvfs('/config')
    await s.put('up', '/config/up.filepart', block_size=32768, max_requests=64)
    await s.utime('/config/up.filepart', (1e9, 1e9))
    await s.chmod('/config/up.filepart', 0o640)
    await s.rename('/config/up.filepart', '/config/up')
    # Gone on with where it broke off.
    await s.put('up', '/config/half.filepart', block_size=32768)
    await s.truncate('/config/half.filepart', 500000)
    async with s.open('/config/half.filepart', 'r+b') as f:
        await f.seek(500000)
        await f.write(open('up', 'rb').read()[500000:])
        await f.fsync()
    await s.posix_rename('/config/half.filepart', '/config/half')
    await s.get('/config/up', 'down', block_size=32768, max_requests=64)
    await s.remote_copy('/config/up', '/config/copied')
    await s.link('/config/up', '/config/linked')
    try: await s._handler._make_request(b'vendor@example.com')
    except asyncssh.SFTPOpUnsupported: pass
    try: await s.stat('/config/none')
    except asyncssh.SFTPNoSuchFile: pass
    await s.mkdir('/config/dir'); await s.rmdir('/config/dir'); await s.remove('/config/linked')
asyncio.run(connected(work, sftp_version=6)); print('ok')
",
    );
    for name in ["up", "half", "copied"] {
        assert!(fs::read(server.config(name)).unwrap() == up, "{name}");
    }
    assert!(fs::read(server.dir.join("client/down")).unwrap() == up);
    let (ops, totals) = records(&server, 1);
    let mut sent = of(&ops, "/config/up.filepart");
    // It looked first whether it is there.
    sent.retain(|d| d["op"] != "stat");
    assert_eq!(
        (&sent[0]["op"], &sent[0]["bytes_written"]),
        (&json!("write"), &json!(up.len()))
    );
    assert_eq!(sent[0]["written_blake3"], hash(&up));
    let then: Vec<&Value> = sent[1..].iter().map(|d| &d["op"]).collect();
    assert_eq!(then, ["setstat", "setstat", "rename"]);
    assert_eq!(sent[3]["to"], "/config/up");
    let half = of(&ops, "/config/half.filepart");
    let second = half
        .iter()
        .find(|d| d["bytes_written"] == json!(500_000))
        .unwrap();
    assert_eq!(
        second["written_blake3"],
        Value::Null,
        "not from the beginning"
    );
    assert_eq!(half.last().unwrap()["to"], "/config/half");
    let whole = |d: &&&Value| d["op"] == "read" && d["read_blake3"] == hash(&up);
    let up_ops = of(&ops, "/config/up");
    let fetched = up_ops.iter().find(whole).expect("the transfer back");
    assert_eq!(fetched["bytes_read"], json!(up.len()));
    let copied = up_ops
        .iter()
        .find(|d| d["op"] == "copy")
        .expect("copy-data");
    assert_eq!(copied["to"], "/config/copied");
    assert_eq!(of(&ops, "/config/linked")[0]["op"], "link");
    assert_eq!(of(&ops, "vendor@example.com")[0]["op"], "extended");
    assert_eq!(of(&ops, "/config/none")[0]["error"], "no such file");
    let dir: Vec<&Value> = of(&ops, "/config/dir").iter().map(|d| &d["op"]).collect();
    assert_eq!(dir, ["mkdir", "rmdir"]);
    assert_eq!(totals[0]["d"]["unreadable"], Value::Null);
    assert_eq!(totals[0]["d"]["operations"], json!(ops.len()));
}

#[test]
fn blocks_in_any_order_are_counted_and_only_those_in_order_are_digested() {
    if python().is_none() {
        return;
    }
    let server = Server::start();
    asyncssh(&server, "
async def work(s):
    blocks = [(n * 4000, bytes([n % 256]) * 4000) for n in range(200)]
    shuffled = random.sample(blocks, len(blocks))
    async with s.open('/config/shuffled', 'wb') as f:
        await asyncio.gather(*[f._handler.write(f._handle, at, b) for at, b in shuffled])
    async with s.open('/config/twice', 'wb') as f:
        await asyncio.gather(*[f._handler.write(f._handle, at, b) for at, b in blocks + blocks[:10]])
    async with s.open('/config/shuffled', 'rb') as f:
        got = await asyncio.gather(*[f._handler.read(f._handle, at, 4000) for at, _ in shuffled])
        assert all(g[0] == b for g, (_, b) in zip(got, shuffled))
    async with s.open('/config/shuffled', 'rb') as f:
        await asyncio.gather(*[f._handler.read(f._handle, at, 4000) for at, _ in blocks])
asyncio.run(connected(work)); print('ok')
");
    let whole: Vec<u8> = (0..200u8).flat_map(|n| vec![n; 4000]).collect();
    assert!(fs::read(server.config("shuffled")).unwrap() == whole);
    let (ops, totals) = records(&server, 1);
    let shuffled = of(&ops, "/config/shuffled");
    let [written, read, in_order] = shuffled[..] else {
        panic!("{ops:#?}");
    };
    assert_eq!(
        (&written["bytes_written"], &written["written_blake3"]),
        (&json!(800_000), &Value::Null)
    );
    assert_eq!(
        (&read["bytes_read"], &read["read_blake3"]),
        (&json!(800_000), &Value::Null)
    );
    assert_eq!(
        (&in_order["bytes_read"], &in_order["read_blake3"]),
        (&json!(800_000), &json!(hash(&whole)))
    );
    let twice = of(&ops, "/config/twice")[0];
    assert_eq!(
        (&twice["bytes_written"], &twice["written_blake3"]),
        (&json!(840_000), &Value::Null)
    );
    assert_eq!(totals[0]["d"]["bytes_written"], json!(1_640_000));
}

#[test]
fn sixty_four_files_that_are_open_at_once_are_not_mixed_up() {
    if python().is_none() {
        return;
    }
    let server = Server::start();
    asyncssh(&server, "
async def work(s):
    files = [await s.open('/config/m%d' % n, 'wb') for n in range(64)]
    for part in range(5):
        await asyncio.gather(*[f.write(bytes([n, part]) * (1000 + n)) for n, f in random.sample(list(enumerate(files)), 64)])
    await asyncio.gather(*[f.close() for f in random.sample(files, 64)])
    files = [await s.open('/config/m%d' % n, 'rb') for n in range(64)]
    for part in range(5):
        await asyncio.gather(*[f.read(2 * (1000 + n)) for n, f in random.sample(list(enumerate(files)), 64)])
    await asyncio.gather(*[f.close() for f in random.sample(files, 64)])
asyncio.run(connected(work)); print('ok')
");
    let (ops, totals) = records(&server, 1);
    for n in 0..64u8 {
        let path = format!("/config/m{n}");
        let whole: Vec<u8> = (0..5u8)
            .flat_map(|part| [n, part].repeat(1000 + usize::from(n)))
            .collect();
        let its = of(&ops, &path);
        let [written, read] = its[..] else {
            panic!("{path}: {its:#?}");
        };
        assert_eq!(
            (&written["op"], &written["bytes_written"]),
            (&json!("write"), &json!(whole.len()))
        );
        assert_eq!(written["written_blake3"], hash(&whole), "{path}");
        assert_eq!(
            (&read["op"], &read["bytes_read"]),
            (&json!("read"), &json!(whole.len()))
        );
        assert_eq!(read["read_blake3"], hash(&whole), "{path}");
    }
    assert_eq!(
        (&totals[0]["d"]["opened"], &totals[0]["d"]["left_out"]),
        (&json!(128), &json!(0))
    );
}

/// A mounted `/config`, unmounted at the end.
struct Mounted<'s> {
    point: std::path::PathBuf,
    sshfs: Child,
    _server: &'s Server,
}

impl<'s> Mounted<'s> {
    fn new(server: &'s Server) -> Option<Self> {
        if !have("sshfs") {
            return None;
        }
        if let Err(error) = fs::File::open("/dev/fuse") {
            assert!(
                std::env::var_os("REQUIRE_ALL").is_none(),
                "/dev/fuse: {error}"
            );
            println!("NOT TRIED: /dev/fuse: {error}");
            return None;
        }
        let point = server.dir.join("mounted");
        fs::create_dir(&point).unwrap();
        // As root: the device is nobody else's.
        let options = server.ssh_options();
        let mut sshfs = Command::new("sshfs");
        sshfs.arg("-f").arg("root@127.0.0.1:/config").arg(&point);
        sshfs
            .arg("-o")
            .arg(format!("ssh_command=ssh {}", options.join(" ")));
        let sshfs = sshfs.stdin(Stdio::null()).spawn().unwrap();
        let mounted = Self {
            point,
            sshfs,
            _server: server,
        };
        eventually("it is mounted", || {
            let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
            mounts
                .contains(mounted.point.to_str().unwrap())
                .then_some(())
        });
        Some(mounted)
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.point.join(name)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let mut umount = Command::new("umount");
        umount.arg("--lazy").arg(&self.point);
        finish(umount);
        self.sshfs.kill().ok();
        self.sshfs.wait().ok();
    }
}

#[test]
fn a_mounted_folder_is_on_record_file_by_file() {
    let server = Server::start();
    let Some(mounted) = Mounted::new(&server) else {
        return;
    };
    let (whole, begin) = (text(3_000_000), b"begin".as_slice());
    let run = |program: &str, words: &[&Path]| {
        let mut command = Command::new(program);
        command.args(words);
        finish(command).good().to_owned()
    };
    fs::write(server.dir.join("whole"), &whole).unwrap();
    run("cp", &[&server.dir.join("whole"), &mounted.at("whole")]);
    run("cmp", &[&server.dir.join("whole"), &mounted.at("whole")]);
    // An editor: another file, then into the place of the first.
    fs::write(mounted.at(".edited.swp"), begin).unwrap();
    fs::rename(mounted.at(".edited.swp"), mounted.at("edited")).unwrap();
    let mut log = fs::OpenOptions::new()
        .append(true)
        .open(mounted.at("edited"))
        .unwrap();
    std::io::Write::write_all(&mut log, b", and more").unwrap();
    drop(log);
    fs::File::options()
        .write(true)
        .open(mounted.at("edited"))
        .unwrap()
        .set_len(3)
        .unwrap();
    fs::create_dir(mounted.at("folder")).unwrap();
    std::os::unix::fs::symlink("edited", mounted.at("link")).unwrap();
    assert!(fs::metadata(mounted.at("none")).is_err());
    assert_eq!(fs::read_dir(&mounted.point).unwrap().count(), 4);
    fs::remove_dir(mounted.at("folder")).unwrap();
    fs::remove_file(mounted.at("link")).unwrap();
    drop(mounted);
    assert!(fs::read(server.config("whole")).unwrap() == whole);
    assert_eq!(fs::read(server.config("edited")).unwrap(), b"beg");

    let (ops, totals) = records(&server, 1);
    let done = |path: &str, op: &str| of(&ops, path).into_iter().find(|d| d["op"] == op).cloned();
    let expect =
        |path: &str, op: &str| done(path, op).unwrap_or_else(|| panic!("{op} {path} in {ops:#?}"));
    // The kernel sends and asks for blocks as it likes: there is a digest only where they came in order.
    for (op, bytes, digest) in [
        ("write", "bytes_written", "written_blake3"),
        ("read", "bytes_read", "read_blake3"),
    ] {
        let d = expect("/config/whole", op);
        assert_eq!(d[bytes], json!(whole.len()), "{d}");
        assert!(d[digest].is_null() || d[digest] == hash(&whole), "{d}");
    }
    assert_eq!(
        expect("/config/.edited.swp", "write")["written_blake3"],
        hash(begin)
    );
    assert_eq!(
        expect("/config/.edited.swp", "rename")["to"],
        "/config/edited"
    );
    assert_eq!(
        expect("/config/edited", "write")["bytes_written"],
        json!(10)
    );
    expect("/config/edited", "truncate");
    expect("/config/folder", "mkdir");
    expect("/config/folder", "rmdir");
    assert_eq!(expect("/config/link", "symlink")["to"], "edited");
    expect("/config/link", "remove");
    let missing = of(&ops, "/config/none");
    assert!(
        missing.iter().any(|d| d["error"] == "no such file"),
        "{ops:#?}"
    );
    assert_eq!(totals[0]["d"]["unreadable"], Value::Null);
}
