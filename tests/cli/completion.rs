//! Completion as the shells ask for it, and bash itself.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Hassio, Setup, program};
use crate::recorder::{Recorded, Reply, Step, ok};

fn system(request: &Recorded) -> Reply {
    match request.path() {
        "/addons" => ok(&json!({ "addons": [
            { "slug": "core_ssh", "name": "Terminal \u{1b}[2J", "state": "started" },
            { "slug": "core_samba", "name": "Samba", "state": "stopped" },
            { "slug": "$(reboot)", "name": "evil", "state": "stopped" },
        ] })),
        "/backups/info" => ok(
            &json!({ "backups": [{ "slug": "8f3a2b1c", "name": "Full backup", "date": "2026-08-24", "type": "full" }] }),
        ),
        "/host/logs/boots" => ok(&json!({ "boots": { "0": "aaaa", "-1": "bbbb" } })),
        "/mounts" => ok(
            &json!({ "mounts": [{ "name": "nas", "usage": "backup", "server": "nas.local" }, { "name": "films", "usage": "media" }] }),
        ),
        _ => ok(&json!({})),
    }
}

#[test]
fn live_values_come_from_the_supervisor() {
    let setup = Setup::new(system);
    for (line, expected) in [
        (
            "__complete fish apps restart core_s",
            "core_ssh\tTerminal \\x1b[2J, started\ncore_samba\tSamba, stopped\n",
        ),
        ("__complete bash apps stop core_", "core_ssh\n"),
        ("__complete bash apps start core_", "core_samba\n"),
        (
            "__complete zsh backups restore 8",
            "8f3a2b1c:Full backup, 2026-08-24, full\n",
        ),
        ("__complete bash backups new --location = n", "nas\n"),
        ("__complete bash mounts delete f", "films\n"),
        ("__complete bash core logs --boot -", ""),
        ("__complete bash apps opt", "options\n"),
        ("__complete bash backups upload x", ":files\n"),
    ] {
        let run = setup.hassio(line);
        let same = run.out == expected || expected.is_empty();
        assert!(
            same && run.code == Some(0) && run.err.is_empty(),
            "{line}: {run:?}"
        );
    }
    assert!(
        !setup
            .command("__complete bash apps restart")
            .word("")
            .run()
            .out
            .contains('$')
    );
}

#[test]
fn a_supervisor_that_is_away_or_slow_costs_nothing_but_the_values() {
    let away = Hassio::new("__complete bash apps restart c")
        .env("HASSIO_SOCKET", "/nonexistent")
        .run();
    assert_eq!(
        (away.code, away.out.as_str(), away.err.as_str()),
        (Some(0), "", "")
    );
    for answer in [
        vec![Step::Hold],
        vec![Step::Close],
        crate::recorder::error(403, "no"),
    ] {
        let setup = Setup::new(move |_| answer.clone());
        // The deadline is ours, what else the machine does is not: the best of some.
        let best = (0..5).map(|_| {
            let run = setup.command("__complete bash apps restart").word("").run();
            assert_eq!(
                (run.code, run.out.as_str(), run.err.as_str()),
                (Some(0), "", "")
            );
            run.took
        });
        let best = best.min().unwrap();
        assert!(best < Duration::from_millis(200), "{best:?}");
    }
    // Words of the table need nobody.
    let words = Hassio::new("__complete bash cor")
        .env("HASSIO_SOCKET", "/nonexistent")
        .run();
    assert_eq!(words.out, "core\n");
}

#[test]
fn bash_completes_what_is_typed() {
    let setup = Setup::new(system);
    let script = setup.path("hassio.bash");
    std::fs::write(&script, setup.hassio("completion bash").out).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hassio"), setup.path("hassio")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hassio"), setup.path("ha")).unwrap();
    let completed = |words: &[&str]| {
        let body = format!(
            "set -u; source {}; COMP_WORDS=({}); COMP_CWORD={}; _hassio; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            words
                .iter()
                .map(|word| format!("'{word}'"))
                .collect::<Vec<_>>()
                .join(" "),
            words.len() - 1,
        );
        let output = program("bash")
            .args(["--norc", "-c", &body])
            .env("PATH", format!("{}:/usr/bin:/bin", setup.dir.display()))
            .env("HASSIO_SOCKET", setup.path("socket"))
            .output()
            .unwrap();
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(completed(&["hassio", "ap"]), "apps\n");
    assert_eq!(
        completed(&["ha", "apps", "restart", "core_ss"]),
        "core_ssh\n"
    );
    assert_eq!(
        completed(&["hassio", "info", "--output", "=", "t"]),
        "table\n"
    );
    assert_eq!(completed(&["hassio", "nonsense", ""]), "\n");
}

/// A folder with `hassio` in it for a shell to find.
fn with_program(setup: &Setup) {
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hassio"), setup.path("hassio")).unwrap();
}

#[test]
fn fish_completes_what_is_typed() {
    let setup = Setup::new(system);
    with_program(&setup);
    let script = setup.hassio("completion fish").out;
    std::fs::write(setup.path("hassio.fish"), script).unwrap();
    let completed = |line: &str| {
        let body = format!("source hassio.fish; complete -C '{line}'");
        let output = program("fish")
            .args(["--no-config", "-c", &body])
            .current_dir(&setup.dir)
            .env("HOME", &setup.dir)
            .env("PATH", format!("{}:/usr/bin:/bin", setup.dir.display()))
            .env("HASSIO_SOCKET", setup.path("socket"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.stderr.is_empty(), "{said}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(completed("hassio ap").starts_with("apps\t"));
    let restart = completed("hassio apps restart core_s");
    assert!(
        restart.contains("core_ssh\tTerminal \\x1b[2J, started\n"),
        "{restart}"
    );
    assert!(restart.contains("core_samba\t"), "{restart}");
    assert_eq!(completed("hassio nonsense "), "");
    let file = completed("hassio backups upload hassio.f");
    assert!(file.starts_with("hassio.fish"), "{file}");
}

/// As in the image: the script lies where zsh looks for completions.
#[test]
fn zsh_completes_what_is_typed() {
    let setup = Setup::new(system);
    with_program(&setup);
    std::fs::create_dir(setup.path("site")).unwrap();
    let script = setup.hassio("completion zsh").out;
    std::fs::write(setup.path("site/_hassio"), script).unwrap();
    let begin = "PS1='ready> '; fpath=($ZDOTDIR/site $fpath); autoload -U compinit; compinit -u -d $ZDOTDIR/dump\n";
    std::fs::write(setup.path(".zshrc"), begin).unwrap();
    setup.requests.clear();
    let zsh = Hassio::of("/usr/bin/zsh")
        .word("-d")
        .word("-i")
        .env("ZDOTDIR", &setup.dir)
        .env("HOME", &setup.dir)
        .env("PATH", format!("{}:/usr/bin:/bin", setup.dir.display()))
        .env("HASSIO_SOCKET", setup.path("socket"));
    let run = zsh.on_terminal_typing(&[
        ("ready> ", "hassio ap\tres\tcore_ss\t\n"),
        ("ready> ", "hassio apps restart nonsense\t\n"),
        ("ready> ", "exit\n"),
    ]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let posted: Vec<String> = setup
        .requests
        .all()
        .iter()
        .filter(|request| request.method == "POST")
        .map(|request| request.target.clone())
        .collect();
    assert_eq!(
        posted,
        ["/addons/core_ssh/restart", "/addons/nonsense/restart"],
        "{run:?}"
    );
}

#[test]
fn each_shell_has_a_script() {
    for (shell, part) in [
        ("bash", "complete -F _hassio hassio ha"),
        ("zsh", "#compdef hassio ha"),
        ("fish", "complete -c ha"),
    ] {
        let run = Hassio::new(&format!("completion {shell}")).run();
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.out.contains(part), "{run:?}");
        let plain = Hassio::new(&format!("completion {shell} --no-descriptions")).run();
        assert!(plain.out.contains("__complete plain-"), "{plain:?}");
    }
}

#[test]
fn a_login_shell_shows_the_banner_and_a_command_does_not() {
    let setup = Setup::new(|request| match request.path() {
        "/host/info" => {
            ok(&json!({ "hostname": "green", "operating_system": "Home Assistant OS 16.1" }))
        }
        _ => ok(&json!({})),
    });
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hassio"), setup.path("hassio")).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/completion/login.sh");
    let shell = |arguments: &[&str], socket: &str| {
        let output = program("bash")
            .args(["--norc", "--noprofile"])
            .args(arguments)
            .arg(format!(". {script}; echo done"))
            .env("PATH", format!("{}:/usr/bin:/bin", setup.dir.display()))
            .env("HASSIO_SOCKET", setup.path(socket))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(shell(&["-c"], "socket"), "done\n");
    let shown = shell(&["-i", "-c"], "socket");
    assert!(
        shown.contains("Home Assistant OS 16.1") && shown.ends_with("done\n"),
        "{shown}"
    );
    assert_eq!(shell(&["-i", "-c"], "nobody"), "done\n");
}
