//! Packages.

use super::*;

#[test]
fn p44_no_packages_can_be_installed() {
    let server = Server::start();
    for line in [
        "apt-get install -y hello",
        "dpkg --configure -a",
        "pip install --target /usr/lib/x six",
        "cp /bin/true /usr/bin/x",
    ] {
        refused(&server, line);
    }
    server.run("cp /bin/true /config/x && /config/x").good();
}

#[test]
fn p45_set_id_programs_gain_nothing() {
    let server = Server::start();
    refused(&server, "su - nobody -c id </dev/null");
    refused(&server, "passwd -d root");
    let planted = Server::with(Setup {
        config: |config| {
            fs::copy("/usr/bin/id", config.join("id")).unwrap();
            std::os::unix::fs::chown(config.join("id"), Some(1000), Some(1000)).unwrap();
            fs::set_permissions(config.join("id"), fs::Permissions::from_mode(0o6755)).unwrap();
        },
        ..Setup::default()
    });
    assert_eq!(planted.run("/config/id -u; /config/id -g").good(), "0\n0");
}

#[test]
fn set_id_files_cannot_be_planted_in_config() {
    let server = Server::start();
    refused(&server, "cp /bin/true /config/x && chmod u+s /config/x");
    refused(&server, "touch /config/y && chmod 2755 /config/y");
    refused(&server, "mkdir -m 4755 /config/z");
    // By way of the call that makes a file, and with garbage in the upper half of the argument.
    let line = python("import os; os.open(\"/config/w\", os.O_CREAT|os.O_WRONLY, 0o4755)");
    refused(&server, &line);
    let garbage = python(
        "import ctypes; l=ctypes.CDLL(None,use_errno=True); l.syscall.argtypes=[ctypes.c_long,ctypes.c_char_p,ctypes.c_ulong]; \
         print(l.syscall(90, b\"/config/y\", (1<<32)|0o4755), ctypes.get_errno())",
    );
    assert_eq!(server.run(&garbage).good(), "-1 1");
    for entry in fs::read_dir(server.config("")).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().mode() & 0o6000, 0, "{entry:?}");
    }
}
