//! Logs: shown as they come, and followed across a cut without a line twice.

use std::io::{BufRead as _, BufReader};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Setup, finish};
use crate::recorder::{Recorded, Reply, Step, chunk, error, last_chunk, reply, stream};

/// A journal: line N has the cursor `c;N`. Asked for `c;N:SKIP:`, it begins at line N + SKIP; if that is beyond its end, with
/// its last line, as systemd-journal-gatewayd does. `end` says how many lines there are.
fn journal(request: &Recorded, end: usize, usual: usize) -> (usize, Vec<Step>) {
    let range = request
        .header("range")
        .and_then(|range| range.strip_prefix("entries="));
    let first = match range
        .map(|range| range.split(':').collect::<Vec<_>>())
        .as_deref()
    {
        Some([cursor, skip, _]) if cursor.starts_with("c;") => {
            let at: usize = cursor[2..].parse().unwrap();
            (at + skip.parse::<usize>().unwrap()).min(end)
        }
        _ => usual,
    };
    let cursor = format!("c;{first}");
    let mut steps = vec![stream("text/plain", &[("X-First-Cursor", &cursor)])];
    steps.extend((first..=end).map(|line| chunk(format!("line {line}\n").as_bytes())));
    (first, steps)
}

/// The same, with entries of several lines: `lines` says how many the entry N has.
fn entries(request: &Recorded, end: usize, usual: usize, lines: fn(usize) -> usize) -> Vec<Step> {
    let (first, mut steps) = journal(request, end, usual);
    steps.truncate(1);
    for entry in first..=end {
        let text = (0..lines(entry)).map(|line| format!("entry {entry} line {line}\n"));
        steps.push(chunk(text.collect::<String>().as_bytes()));
    }
    steps
}

/// The first lines of what a command prints; then it is ended.
fn first_lines(setup: &Setup, command: &str, count: usize) -> Vec<String> {
    let mut child = setup.command(command).start();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut seen = Vec::new();
    while seen.len() < count {
        let mut line = String::new();
        assert!(
            reader.read_line(&mut line).unwrap() > 0,
            "it ended: {seen:?}"
        );
        seen.push(line.trim_end().to_owned());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    seen
}

/// What of a log with such entries is seen by who follows it, cut after these entries.
fn followed(cuts: &'static [usize], lines: fn(usize) -> usize) -> (Setup, Vec<String>) {
    let calls = AtomicUsize::new(0);
    let setup = Setup::new(move |request| {
        // Each end is there for two requests: one that does not go on with what was printed is followed by another at once,
        // else there is nothing new.
        match cuts.get(calls.fetch_add(1, Ordering::SeqCst) / 2) {
            Some(end) => [entries(request, *end, 1, lines), vec![Step::Close]].concat(),
            None => [
                entries(request, cuts[cuts.len() - 1] + 2, 1, lines),
                vec![Step::Hold],
            ]
            .concat(),
        }
    });
    let all: usize = (1..=cuts[cuts.len() - 1] + 2).map(lines).sum();
    let seen = first_lines(&setup, "core logs -f", all);
    (setup, seen)
}

/// An entry of many lines, then many that are the same, then one that is not.
#[test]
fn lines_that_repeat_each_other_are_counted_from_the_place() {
    let text = |entry: usize| match entry {
        1 => (0..40).map(|line| format!("trace {line}\n")).collect(),
        340 => "MARK\n".to_owned(),
        _ => "ping\n".to_owned(),
    };
    let calls = AtomicUsize::new(0);
    let setup = Setup::new(move |request| {
        let end = match calls.fetch_add(1, Ordering::SeqCst) {
            0 => 300,
            _ => 340,
        };
        let (first, mut steps) = journal(request, end, 1);
        steps.truncate(1);
        steps.extend((first..=end).map(|entry| chunk(text(entry).as_bytes())));
        steps.push(if end == 340 { Step::Hold } else { Step::Close });
        steps
    });
    let mut child = setup.command("core logs -f").start();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut pings = 0;
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "it ended");
        match line.as_str() {
            "ping\n" => pings += 1,
            "MARK\n" => break,
            _ => {}
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(pings, 338);
}

#[test]
fn entries_of_several_lines_are_neither_lost_nor_repeated_at_a_cut() {
    let cases: [fn(usize) -> usize; 4] = [
        |_| 1,
        |entry| if entry == 3 { 4 } else { 1 },
        // More lines than are known again, in one entry and in many.
        |entry| if entry == 2 { 700 } else { 1 },
        |entry| 1 + entry * 17 % 90,
    ];
    for lines in cases {
        let (setup, seen) = followed(&[7, 9, 21], lines);
        let expected: Vec<_> = (1..=23)
            .flat_map(|entry| {
                (0..lines(entry)).map(move |line| format!("entry {entry} line {line}"))
            })
            .collect();
        assert!(
            seen == expected,
            "{:?}",
            setup
                .requests
                .all()
                .iter()
                .map(|r| r.header("range").map(str::to_owned))
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_log_that_no_longer_has_what_was_printed_says_that_lines_may_be_missing() {
    let calls = AtomicUsize::new(0);
    let setup = Setup::new(move |request| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => [journal(request, 3, 1).1, vec![Step::Close]].concat(),
        // Rotated: whatever is asked for, it begins later.
        1 | 2 => vec![
            stream("text/plain", &[("X-First-Cursor", "c;50")]),
            chunk(b"line 50\n"),
            Step::Hold,
        ],
        3 => [journal(request, 51, 51).1, vec![Step::Close]].concat(),
        _ => error(403, "no longer"),
    });
    let run = setup.hassio("core logs -f");
    assert_eq!(
        lines(&run.out),
        ["line 1", "line 2", "line 3", "line 51"],
        "{run:?}"
    );
    assert!(
        run.err.contains("some lines may be missing or repeated"),
        "{run:?}"
    );
}

fn lines(out: &str) -> Vec<&str> {
    out.lines().collect()
}

#[test]
fn a_cut_log_goes_on_where_it_was_without_a_line_twice() {
    let calls = AtomicUsize::new(0);
    let setup = Setup::new(move |request| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        // Cut: between two lines; in a line; by a server that is away; by one that ends politely; with nothing new.
        match call {
            0 => [journal(request, 12, 10).1, vec![Step::Close]].concat(),
            1 => [
                journal(request, 14, 0).1,
                vec![chunk(b"line 1"), Step::Close],
            ]
            .concat(),
            2 => error(503, "away")
                .into_iter()
                .chain([Step::Close])
                .collect(),
            3 => vec![Step::Close],
            4 => [journal(request, 14, 0).1, vec![last_chunk()]].concat(),
            5 => [journal(request, 20, 0).1, vec![last_chunk()]].concat(),
            6 => error(400, "System is not ready with state: startup"),
            _ => [journal(request, 22, 0).1, vec![Step::Hold]].concat(),
        }
    });
    let began = Instant::now();
    let seen = first_lines(&setup, "core logs -f", 13);
    assert_eq!(
        seen,
        (10..=22)
            .map(|line| format!("line {line}"))
            .collect::<Vec<_>>()
    );
    let asked: Vec<_> = setup
        .requests
        .all()
        .iter()
        .map(|r| r.header("range").unwrap_or("-").to_owned())
        .collect();
    assert_eq!(asked[0], "-");
    assert_eq!(asked[1], "entries=c;10:0:");
    assert!(
        setup
            .requests
            .all()
            .iter()
            .all(|request| request.target == "/core/logs/follow")
    );
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_cut_log_is_said_once_and_a_refusal_ends_it() {
    let calls = AtomicUsize::new(0);
    let setup = Setup::new(move |request| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => [journal(request, 3, 1).1, vec![Step::Close]].concat(),
        1 | 2 => vec![Step::Close],
        _ => crate::recorder::json_reply(
            403,
            &serde_json::json!({ "result": "error", "message": "no longer", "error_key": "sshd_refused" }),
        ),
    });
    let run = setup.hassio("host logs --follow");
    assert_eq!(
        (run.code, lines(&run.out)),
        (Some(3), vec!["line 1", "line 2", "line 3"]),
        "{run:?}"
    );
    assert_eq!(
        run.err,
        "note: the log broke off; going on from the last line\nError: no longer\n"
    );
}

#[test]
fn ctrl_c_ends_a_log_by_its_signal_and_without_a_word() {
    let setup = Setup::new(|request| [journal(request, 2, 1).1, vec![Step::Hold]].concat());
    let child = setup.command("core logs -f").start();
    setup.requests.wait_for(1);
    std::thread::sleep(Duration::from_millis(300));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let run = finish(child, Instant::now());
    assert_eq!(
        (run.signal, run.err.as_str(), lines(&run.out)),
        (Some(2), "", vec!["line 1", "line 2"]),
        "{run:?}"
    );
}

#[test]
fn a_log_that_is_not_followed_says_that_it_was_cut() {
    let setup = Setup::new(|request| {
        [journal(request, 2, 1).1, vec![chunk(b"half"), Step::Close]].concat()
    });
    let run = setup.hassio("core logs");
    assert_eq!(
        (run.code, lines(&run.out)),
        (Some(4), vec!["line 1", "line 2"]),
        "{run:?}"
    );
    assert!(
        run.err.starts_with("Error: the answer broke off"),
        "{run:?}"
    );
}

#[test]
fn errors_of_logs_have_their_exit_codes_and_print_nothing() {
    for (answer, code) in [
        (error(400, "no such boot"), 1),
        (reply(403, "text/plain", b"403: Forbidden"), 1),
        (reply(404, "text/plain", b"404: Not Found"), 1),
        (
            reply(
                400,
                "text/plain",
                b"Provided Accept header is not supported",
            ),
            1,
        ),
        (vec![Step::Close], 4),
    ] {
        let setup = Setup::new(move |_| -> Reply { answer.clone() });
        for line in ["core logs", "core logs -f", "core logs --raw-json"] {
            let run = setup.hassio(line);
            assert_eq!(
                (run.code, run.out.as_str()),
                (Some(code), ""),
                "{line}: {run:?}"
            );
            assert!(run.err.starts_with("Error: "), "{line}: {run:?}");
        }
    }
}

#[test]
fn bytes_of_a_log_reach_a_pipe_as_they_are() {
    let body = b"\x1b[32mgreen\x1b[0m \xff\xfe\tx\r\nno end";
    let setup = Setup::new(move |_| reply(200, "text/plain", body));
    let mut child = setup.command("core logs").start();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut child.stdout.take().unwrap(), &mut bytes).unwrap();
    assert_eq!(bytes, body);
    assert!(child.wait().unwrap().success());
    let shown = setup.command("core logs").on_terminal();
    assert_eq!(shown.out, "\u{1b}[32mgreen\u{1b}[0m \\xff\\xfe\tx\nno end");
}
