//! Files: sftp-cmds, sftp-glob, scp, sftp-perm.

use super::*;

/// Runs sftp with these lines; a line that fails ends it, unless it begins with `-`.
fn sftp(target: Target<'_>, lines: &[&str]) -> Done {
    let mut sftp = target.client("sftp");
    sftp.args(["-b", "-", "root@127.0.0.1"]);
    let text = lines.join("\n").replace("REMOTE", target.folder) + "\n";
    feed(sftp, text.as_bytes())
}

#[test]
fn sftp_commands() {
    both(|target| {
        let data = target.data("data", 200_000);
        let config = |name: &str| target.server.config(name);
        sftp(
            target,
            &[
                "mkdir REMOTE/dir",
                "put data REMOTE/dir/copy",
                "get REMOTE/dir/copy back",
                "chmod 600 REMOTE/dir/copy",
                "ln -s copy REMOTE/dir/soft",
                "ln REMOTE/dir/copy REMOTE/dir/hard",
                "rename REMOTE/dir/hard REMOTE/dir/moved",
                "put data \"REMOTE/dir/two words\"",
                "put data REMOTE/dir/quote\\\"d",
                "cd REMOTE/dir",
                "pwd",
                "ls -la",
                "df -h .",
                "lcd /",
                "lpwd",
            ],
        )
        .good();
        assert!(
            fs::read(target.local("back")).unwrap() == data,
            "{}",
            target.name
        );
        for name in ["copy", "moved", "two words", "quote\"d", "soft"] {
            assert!(
                fs::read(config(&format!("dir/{name}"))).unwrap() == data,
                "{}: {name}",
                target.name
            );
        }
        assert_eq!(
            fs::read_link(config("dir/soft")).unwrap().to_str(),
            Some("copy")
        );
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(config("dir/copy")).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600, "{}", target.name);
        // A part that is there already is not sent again.
        fs::write(config("dir/part"), &data[..50_000]).unwrap();
        sftp(target, &["reput data REMOTE/dir/part"]).good();
        assert!(
            fs::read(config("dir/part")).unwrap() == data,
            "{}",
            target.name
        );
        fs::write(target.local("part"), &data[..70_000]).unwrap();
        std::os::unix::fs::chown(target.local("part"), Some(65534), Some(65534)).unwrap();
        sftp(target, &["reget REMOTE/dir/copy part"]).good();
        assert!(
            fs::read(target.local("part")).unwrap() == data,
            "{}",
            target.name
        );
        // By pattern.
        fs::create_dir_all(target.local("in")).unwrap();
        std::os::unix::fs::chown(target.local("in"), Some(65534), Some(65534)).unwrap();
        sftp(
            target,
            &["get REMOTE/dir/m* in/", "get REMOTE/dir/?opy in/"],
        )
        .good();
        let mut names: Vec<_> = fs::read_dir(target.local("in"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["copy", "moved"], "{}", target.name);
        for failing in [
            "get REMOTE/nowhere x",
            "put data REMOTE/nowhere/x",
            "rm REMOTE/nowhere",
            "rmdir REMOTE/dir",
            "mkdir REMOTE/dir",
            "cd REMOTE/data",
            "chmod 600 REMOTE/nowhere",
        ] {
            assert_ne!(
                sftp(target, &[failing]).code(),
                0,
                "{}: {failing}",
                target.name
            );
        }
        sftp(target, &["rm REMOTE/dir/*", "rmdir REMOTE/dir"]).good();
        assert!(!config("dir").exists(), "{}", target.name);
        fs::remove_dir_all(target.local("in")).unwrap();
    });
}

#[test]
fn scp() {
    both(|target| {
        let data = target.data("data", 200_000);
        fs::create_dir_all(target.local("tree/below")).unwrap();
        fs::write(target.local("tree/below/file"), &data).unwrap();
        fs::write(target.local("tree/with space"), b"x").unwrap();
        // Over SFTP, and in its old form.
        for (way, name) in [(&[][..], "new"), (&["-O"], "old")] {
            let copy = |words: &[&str]| {
                let mut scp = target.client("scp");
                scp.args(way);
                for word in words {
                    scp.arg(word.replace("REMOTE", &format!("root@127.0.0.1:{}", target.folder)));
                }
                finish(scp)
            };
            copy(&["data", &format!("REMOTE/{name}")]).good();
            assert!(
                fs::read(target.server.config(name)).unwrap() == data,
                "{} {name}",
                target.name
            );
            copy(&[&format!("REMOTE/{name}"), &format!("back-{name}")]).good();
            assert!(
                fs::read(target.local(&format!("back-{name}"))).unwrap() == data,
                "{} {name}",
                target.name
            );
            copy(&["-r", "-p", "tree", &format!("REMOTE/tree-{name}")]).good();
            let there = target.server.config(&format!("tree-{name}"));
            assert!(
                fs::read(there.join("below/file")).unwrap() == data,
                "{} {name}",
                target.name
            );
            assert_eq!(fs::read(there.join("with space")).unwrap(), b"x");
            copy(&[
                "-r",
                &format!("REMOTE/tree-{name}"),
                &format!("tree-{}-{name}", target.name),
            ])
            .good();
            let back = target.local(&format!("tree-{}-{name}/below/file", target.name));
            assert!(fs::read(back).unwrap() == data, "{} {name}", target.name);
            assert_ne!(
                copy(&["REMOTE/nowhere", "x"]).code(),
                0,
                "{} {name}",
                target.name
            );
            assert_ne!(
                copy(&["data", "REMOTE/nowhere/x"]).code(),
                0,
                "{} {name}",
                target.name
            );
            fs::remove_dir_all(there).unwrap();
        }
    });
}
