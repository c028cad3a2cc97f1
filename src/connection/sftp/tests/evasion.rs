//! What a client may try so that something it does is not on record, and what nobody sends.

use super::*;
use crate::connection::sftp::packet::HANDLE;

#[test]
fn more_handles_than_are_kept_hide_nothing_else() {
    let mut watch = Watch::new();
    let beyond = 10;
    for n in 0..u32::try_from(OPEN).unwrap() + beyond {
        opened(&mut watch, n, "/config/many", &format!("h{n}"));
    }
    sent(
        &mut watch,
        &Packet::new(kind::REMOVE, 1).text("/config/x").bytes(),
    );
    watch.server_sent(&status(1, OK));
    let seen: Vec<_> = ops(watch.records()).into_iter().map(|op| op.op).collect();
    assert_eq!(seen, ["remove"]);
    let Some(Event::SftpSummary(totals)) = watch.finish().pop().map(|record| record.event) else {
        panic!("no summary");
    };
    assert!(totals.left_out >= u64::from(beyond));
    let all = u64::try_from(OPEN).unwrap() + u64::from(beyond) + 1;
    assert_eq!((totals.operations, totals.changes), (all, 1));
}

#[test]
fn a_handle_that_no_request_may_name_is_not_kept() {
    let mut watch = Watch::new();
    let longest = usize::try_from(HANDLE).unwrap();
    opened(&mut watch, 1, "/config/a", &"h".repeat(longest));
    assert_eq!(watch.unreadable(), None);
    opened(&mut watch, 2, "/config/b", &"h".repeat(longest + 1));
    assert_eq!(watch.lost, Some(Unreadable::Fields));
    assert_eq!(watch.state.open.len(), 1);
}

#[test]
fn a_handle_that_is_given_again_is_the_file_that_it_stands_for_by_then() {
    let mut watch = Watch::new();
    opened(&mut watch, 1, "/config/innocent", "h");
    let fsetstat = Packet::new(kind::FSETSTAT, 5).text("h").u32(0).bytes();
    let burst = [
        closing(2, "h"),
        open(3, "/config/automations.yaml"),
        write(4, "h", 0, b"malicious"),
        fsetstat,
        closing(6, "h"),
    ];
    sent(&mut watch, &burst.concat());
    watch.server_sent(&status(2, OK));
    watch.server_sent(&handle(3, "h"));
    for id in 4..=6 {
        watch.server_sent(&status(id, OK));
    }
    let real = "/config/automations.yaml";
    let expected = [
        row("open", "/config/innocent", Some(0), None),
        row("setstat", real, None, None),
        row("write", real, Some(9), None),
    ];
    assert_eq!(rows(watch.records()), expected);
    assert_eq!(summary(&watch.finish()).bytes_written, 9);
}

#[test]
fn what_is_read_is_of_the_file_that_the_handle_stands_for_by_then() {
    let mut watch = Watch::new();
    opened(&mut watch, 1, "/config/innocent", "h");
    let burst = [
        closing(2, "h"),
        open(3, "/config/secrets.yaml"),
        read(4, "h", 0),
        closing(5, "h"),
    ];
    sent(&mut watch, &burst.concat());
    watch.server_sent(&status(2, OK));
    watch.server_sent(&handle(3, "h"));
    watch.server_sent(&data(4, b"secret"));
    watch.server_sent(&status(5, OK));
    let seen: Vec<_> = ops(watch.records())
        .into_iter()
        .map(|op| (op.path, op.bytes_read, op.read_blake3))
        .collect();
    let own = str::to_owned;
    let expected = [
        (own("/config/innocent"), Some(0), None),
        (own("/config/secrets.yaml"), Some(6), hash(b"secret")),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn what_opening_does_to_a_file_is_on_record() {
    let mut watch = Watch::new();
    let cases = [
        (0x01, "open"),
        (0x02, "open"),
        (0x1a, "truncate"),
        // As open(2) has it.
        (0x11, "truncate"),
        (0x0a, "create"),
        (0x3a, "create"),
    ];
    for (flags, _) in cases {
        let open = Packet::new(kind::OPEN, 1).text("/config/a").u32(flags);
        sent(&mut watch, &open.u32(0).bytes());
        watch.server_sent(&handle(1, "h"));
        close(&mut watch, 2, "h");
    }
    let setstat = |flags| Packet::new(kind::SETSTAT, 3).text("/config/a").u32(flags);
    for (flags, status_code) in [(1, OK), (0xe, 3)] {
        sent(&mut watch, &setstat(flags).u64(0).bytes());
        watch.server_sent(&status(3, status_code));
    }
    let ops = ops(watch.records());
    let seen: Vec<_> = ops.iter().map(|op| op.op.as_str()).collect();
    let mut expected: Vec<_> = cases.iter().map(|(_, op)| *op).collect();
    expected.extend(["truncate", "setstat"]);
    assert_eq!(seen, expected);
    let words = |at: usize| ops[at].flags.clone().unwrap_or_default().join(" ");
    let all = [0, 5, 6, 7].map(words);
    let expected = [
        "read",
        "write create truncate exclusive",
        "size",
        "owner permissions times",
    ];
    assert_eq!(all, expected);
    assert_eq!(summary(&watch.finish()).changes, 5);
}

#[test]
fn a_handle_that_is_guessed_hides_nothing() {
    let mut watch = Watch::new();
    let copy = Packet::new(kind::EXTENDED, 3).text("copy-data").text("h");
    let copy = copy.u64(0).u64(0).text("i").bytes();
    let burst = [
        open(1, "/config/evil"),
        write(2, "h", 0, b"evil"),
        copy,
        closing(4, "h"),
        write(5, "h", 0, b"nothing"),
    ];
    sent(&mut watch, &burst.concat());
    watch.server_sent(&handle(1, "h"));
    watch.server_sent(&status(2, OK));
    watch.server_sent(&status(3, 4));
    watch.server_sent(&status(4, OK));
    watch.server_sent(&status(5, 4));
    let expected = [
        row("copy", "/config/evil", None, Some("failure")),
        row("write", "/config/evil", Some(4), None),
        row("write", "(handle 68)", None, Some("failure")),
    ];
    assert_eq!(rows(watch.records()), expected);
    assert_eq!(summary(&watch.finish()).bytes_written, 4);
}

#[test]
fn what_is_never_answered_is_on_record() {
    let mut watch = Watch::new();
    opened(&mut watch, 1, "/config/a", "h");
    let fsetstat = |id| Packet::new(kind::FSETSTAT, id).text("h").u32(0).bytes();
    let burst = [
        write(2, "h", 0, b"abc"),
        fsetstat(3),
        closing(4, "h"),
        open(5, "/config/b"),
        write(6, "h", 0, b"de"),
        write(7, "h", 2, b"f"),
        fsetstat(8),
        Packet::new(kind::REMOVE, 9).text("/config/c").bytes(),
        Packet::new(kind::STAT, 10).text("/config/d").bytes(),
    ];
    sent(&mut watch, &burst.concat());
    let records = watch.finish();
    let totals = summary(&records);
    assert_eq!((totals.bytes_written, totals.operations), (6, 6));
    let rows = rows(records);
    let none = Some("no answer");
    let mut written = row("write", "/config/a", Some(3), Some("interrupted"));
    written.3 = hash(b"abc");
    let expected = [
        row("setstat", "/config/a", None, none),
        written,
        row("open", "/config/b", None, none),
        row("setstat", "(handle 68)", None, none),
        row("remove", "/config/c", None, none),
        row("write", "(handle 68)", Some(3), none),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn what_nobody_answers_takes_no_other_answer() {
    let mut watch = Watch::new();
    sent(&mut watch, &Packet::new(22, 7).bytes());
    let remove = Packet::new(kind::REMOVE, 7).text("/config/x");
    sent(&mut watch, &remove.bytes());
    watch.server_sent(&status(7, OK));
    let expected = [
        row("unknown", "\\x16", None, Some("not supported")),
        row("remove", "/config/x", None, None),
    ];
    assert_eq!(rows(watch.records()), expected);
}

#[test]
fn an_answer_to_no_question_ends_it() {
    for answer in [status(2, OK), handle(1, "h"), data(1, b"x")] {
        let mut watch = Watch::new();
        let remove = Packet::new(kind::REMOVE, 1).text("/config/x").bytes();
        sent(&mut watch, &remove);
        watch.server_sent(&answer);
        assert_eq!(watch.client_sends(&remove), 0);
        let records = watch.finish();
        let totals = summary(&records);
        assert_eq!(
            totals.unreadable.as_deref(),
            Some("an answer to no question")
        );
        let expected = [row("remove", "/config/x", None, Some("no answer"))];
        assert_eq!(rows(records), expected);
    }
}

#[test]
fn who_does_not_wait_for_answers_waits_for_room() {
    let mut watch = Watch::new();
    let remove = |id| Packet::new(kind::REMOVE, id).text("/config/x").bytes();
    let most = u32::try_from(PENDING).unwrap();
    let all: Vec<u8> = (0..most + 1).flat_map(remove).collect();
    let taken = watch.client_sends(&all);
    assert_eq!(all.len() - taken, remove(0).len());
    assert_eq!(watch.client_sends(&all[taken..]), 0);
    watch.server_sent(&status(0, OK));
    sent(&mut watch, &all[taken..]);
    assert_eq!(watch.unreadable(), None);
}

#[test]
fn a_packet_that_ends_too_early_is_not_let_through() {
    let remove = Packet::new(kind::REMOVE, 1).text("/config/x").bytes();
    let mut short = remove.clone();
    // sftp-server would take the path from what follows, and then end.
    short[3] = 5;
    let mut watch = Watch::new();
    let both = [remove.clone(), short].concat();
    assert_eq!(watch.client_sends(&both), remove.len());
    assert_eq!(watch.client_sends(&both[remove.len()..]), 0);
    // What was asked before is followed to its end.
    watch.server_sent(&status(1, OK));
    let records = watch.finish();
    let totals = summary(&records);
    let why = Some("a packet that ends too early");
    assert_eq!((totals.unreadable.as_deref(), totals.changes), (why, 1));
    assert_eq!(rows(records), [row("remove", "/config/x", None, None)]);
}

#[test]
fn a_text_that_is_too_long_is_cut_and_the_next_packet_is_read() {
    let mut watch = Watch::new();
    let long = format!("/{}", "a".repeat(12_000));
    sent(&mut watch, &open(1, &long));
    let rename = Packet::new(kind::RENAME, 2).text(&long).text(&long);
    sent(&mut watch, &rename.bytes());
    sent(&mut watch, &write(3, &"h".repeat(300), 0, b"abc"));
    let remove = Packet::new(kind::REMOVE, 4).text("/config/x");
    sent(&mut watch, &remove.bytes());
    for (id, code) in [(1, 5), (2, 5), (3, 4), (4, OK)] {
        watch.server_sent(&status(id, code));
    }
    let records = watch.records();
    let cut = format!("{}…", &long[..PATH]);
    let expected = [
        row("open", &cut, None, Some("bad message")),
        row("rename", &cut, None, Some("bad message")),
        row("write", "(handle that is too long)", None, Some("failure")),
        row("remove", "/config/x", None, None),
    ];
    assert_eq!(rows(records), expected);
    assert_eq!(summary(&watch.finish()).unreadable, None);
}

/// A small generator, so that what fails can be run again: Marsaglia's xorshift64.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn no_bytes_make_it_stumble_or_grow() {
    for seed in 1..300u64 {
        let mut state = seed;
        let mut watch = Watch::new();
        for _ in 0..200 {
            let mut bytes: Vec<u8> = (0..random(&mut state) % 64)
                .map(|_| u8::try_from(random(&mut state) % 256).unwrap())
                .collect();
            // Mostly packets of a possible length and type.
            if !random(&mut state).is_multiple_of(5) {
                let kinds = [1, 3, 4, 5, 6, 9, 11, 18, 20, 101, 102, 103, 200];
                let at = usize::try_from(random(&mut state)).unwrap() % kinds.len();
                bytes.splice(
                    0..0,
                    [
                        kinds[at],
                        0,
                        0,
                        0,
                        u8::try_from(random(&mut state) % 4).unwrap(),
                        0,
                        0,
                        0,
                        2,
                    ],
                );
                let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
                bytes.splice(0..0, length);
            }
            if random(&mut state).is_multiple_of(2) {
                let _taken = watch.client_sends(&bytes);
            } else {
                watch.server_sent(&bytes);
            }
            let _records = watch.records();
            assert!(watch.state.pending.len() <= PENDING);
            assert!(watch.state.open.len() <= OPEN);
        }
        let last = watch.finish().pop().unwrap();
        assert!(matches!(last.event, Event::SftpSummary(_)));
    }
}

#[test]
fn an_extension_is_known_by_its_name_with_a_nul_too_and_one_that_is_not_may_change_something() {
    let mut watch = Watch::new();
    let extension = |id, name: &str| Packet::new(kind::EXTENDED, id).text(name);
    for packet in [
        extension(1, "posix-rename@openssh.com\0")
            .text("/config/a\0")
            .text("/config/b"),
        extension(2, "hardlink@openssh.com\0")
            .text("/config/b")
            .text("/config/c"),
        extension(3, "statvfs@openssh.com\0").text("/config"),
        extension(4, "new@example.com").text("/config"),
        extension(5, "other@example.com"),
    ] {
        sent(&mut watch, &packet.bytes());
    }
    for id in 1..=4 {
        watch.server_sent(&status(id, OK));
    }
    // With what nobody here knows, nor whether it was done.
    watch.server_sent(&Packet::new(201, 5).u32(1).bytes());
    assert_eq!(watch.unreadable(), None);
    let seen: Vec<_> = ops(watch.records())
        .into_iter()
        .map(|op| (op.op, op.path, op.to))
        .collect();
    let row = |op: &str, path: &str, to: Option<&str>| {
        (op.to_owned(), path.to_owned(), to.map(str::to_owned))
    };
    assert_eq!(
        seen,
        [
            row("rename", "/config/a", Some("/config/b")),
            row("link", "/config/c", Some("/config/b")),
            row("extended", "new@example.com", None),
            row("extended", "other@example.com", None),
        ]
    );
}
