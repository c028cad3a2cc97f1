//! Files and mounts.

use super::*;

#[test]
fn p06_config_can_be_worked_in() {
    let server = Server::start();
    server.run("touch /config/f && mkdir /config/d && mv /config/f /config/d/ && rm -r /config/d && ls /homeassistant").good();
}

#[test]
fn p07_what_a_session_makes_belongs_to_root_on_disk() {
    let server = Server::start();
    server
        .run("cd /config; touch f; mkdir d; ln -s f l; mkfifo p")
        .good();
    for (name, mode) in [
        ("f", 0o100_644),
        ("d", 0o040_755),
        ("l", 0o120_777),
        ("p", 0o010_644),
    ] {
        let found = fs::symlink_metadata(server.config(name)).unwrap();
        assert_eq!(
            (found.uid(), found.gid(), found.mode()),
            (0, 0, mode),
            "{name}"
        );
    }
}

#[test]
fn p08_others_files_are_theirs() {
    let server = Server::with(Setup {
        config: |config| {
            for (name, mode) in [("open", 0o666), ("closed", 0o600)] {
                let path = config.join(name);
                fs::write(&path, "theirs\n").unwrap();
                std::os::unix::fs::chown(&path, Some(1000), Some(1000)).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
        },
        ..Setup::default()
    });
    refused(&server, "cat /config/closed");
    server.run("echo mine >> /config/open").good();
    assert_eq!(
        fs::read_to_string(server.config("open")).unwrap(),
        "theirs\nmine\n"
    );
    assert_eq!(fs::metadata(server.config("open")).unwrap().uid(), 1000);
    server.run("rm /config/open").good();
    assert!(!server.config("open").exists());
}

#[test]
fn p09_nothing_else_can_be_written() {
    let server = Server::start();
    for place in [
        "/",
        "/usr",
        "/usr/bin",
        "/usr/local",
        "/etc",
        "/var/lib",
        "/opt",
        "/srv",
        "/dev",
        "/run",
        "/proc",
        "/opt/hassio/bin",
    ] {
        refused(&server, &format!("touch {place}/x"));
    }
}

#[test]
fn p10_tmp_is_private_to_a_session() {
    let server = Server::start();
    let one = server.background("touch /tmp/f /root/f /dev/shm/f; echo > /config/made; sleep 100");
    eventually("the file is made", || {
        server.config("made").exists().then_some(())
    });
    assert_eq!(
        server
            .run("ls -A /tmp /dev/shm; ls -A /root | grep -v ssh")
            .stdout
            .replace(['\n'], " ")
            .trim(),
        "/dev/shm:  /tmp:"
    );
    drop(one);
    assert_eq!(server.run("cat /tmp/f").code(), 1);
}

#[test]
fn p11_the_apps_own_folders_are_not_there() {
    let server = Server::start();
    for folder in [
        "/data",
        "/ssl",
        "/backup",
        "/addons",
        "/homeassistant_config",
        "/addon_configs",
    ] {
        refused(&server, &format!("ls {folder}/"));
    }
}

#[test]
fn p11_shared_folders_are_read_only_and_only_where_the_options_give_them() {
    assert!(Path::new("/media").is_dir(), "this machine has no /media");
    let with = |folders: &[&str]| {
        Server::with(Setup {
            options: json!({ "folders": folders }),
            ..Setup::default()
        })
    };
    let server = with(&["media"]);
    let done = refused(&server, "touch /media/x");
    assert!(done.stderr.contains("Read-only file system"), "{done:?}");
    let mounts = server.run("cat /proc/self/mountinfo");
    let media = mounts.good().lines().find(|line| line.contains(" /media "));
    let options = media.unwrap().split(' ').nth(5).unwrap();
    assert!(options.starts_with("ro,nosuid,nodev"), "{options}");
    drop(server);
    refused(&with(&[]), "ls /media");
}

#[test]
fn p12_writable_mounts_are_nosuid_nodev_and_links_lead_nowhere() {
    let server = Server::with(Setup {
        config: |config| {
            symlink("/data", config.join("data")).unwrap();
            symlink("/proc/1/root", config.join("root")).unwrap();
            symlink("/etc/shadow", config.join("secrets.yaml")).unwrap();
        },
        ..Setup::default()
    });
    let done = server.run("cat /proc/self/mountinfo");
    for place in ["/config", "/tmp", "/root", "/dev/shm"] {
        let line = done
            .good()
            .lines()
            .find(|line| line.split(' ').nth(4) == Some(place))
            .unwrap();
        let options = line.split(' ').nth(5).unwrap();
        assert!(
            options.contains("nosuid") && options.contains("nodev"),
            "{line}"
        );
    }
    refused(&server, "ls /config/data/");
    refused(&server, "cat /config/secrets.yaml");
    // Inside, /proc/1 is the session's own init, which cannot be looked into.
    refused(&server, "ls /config/root/");
}

// Mounts.

#[test]
fn p13_nothing_can_be_mounted() {
    let server = Server::start();
    for line in [
        "mount -t tmpfs x /tmp",
        "mount --bind /config /usr",
        "mount -t proc p /tmp",
        "mount -t tmpfs x /config",
    ] {
        refused(&server, line);
    }
}

#[test]
fn p14_nothing_can_be_remounted_or_unmounted() {
    let server = Server::start();
    for line in [
        "mount -o remount,rw /",
        "umount -l /proc",
        "umount /config",
        "mount -o remount,suid /config",
    ] {
        refused(&server, line);
    }
}

#[test]
fn p15_the_root_cannot_be_changed() {
    let server = Server::start();
    for call in [
        "155, b\".\", b\".\"",
        "161, b\"/config\"",
        "429, -1, b\"\", 0",
        "165, b\"x\", b\"/tmp\", b\"tmpfs\", 0, 0",
    ] {
        let line = python(&format!(
            "import ctypes,os; l=ctypes.CDLL(None,use_errno=True); r=l.syscall({call}); print(r, ctypes.get_errno())"
        ));
        assert_eq!(server.run(&line).good(), "-1 1", "{call}");
    }
}

#[test]
fn p16_only_the_designed_mounts_are_there() {
    let server = Server::start();
    let done = server.run("cut -d' ' -f5 /proc/self/mountinfo");
    for at in done.good().lines() {
        let known = [
            "/",
            "/config",
            "/tmp",
            "/root",
            "/run",
            "/proc",
            "/opt/hassio/bin/hassio",
            "/opt/hassio/etc",
            "/root/.ssh/authorized_keys",
            "/share",
            "/media",
        ]
        .contains(&at)
            || ["/usr", "/bin", "/sbin", "/lib", "/etc/", "/dev/", "/proc/"]
                .iter()
                .any(|prefix| at.starts_with(prefix));
        assert!(known, "{at}");
    }
    assert!(
        !server
            .run("cat /proc/self/mountinfo")
            .good()
            .contains("/data")
    );
}
