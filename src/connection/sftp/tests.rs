use super::*;

/// Builds packets.
#[derive(Default)]
struct Packet(Vec<u8>);

impl Packet {
    fn new(kind: u8, id: u32) -> Self {
        Self([&[kind][..], &id.to_be_bytes()].concat())
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn text(self, text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        let mut with = self.u32(u32::try_from(text.len()).unwrap());
        with.0.extend(text);
        with
    }

    fn bytes(self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap().to_be_bytes();
        [&length[..], &self.0].concat()
    }
}

fn status(id: u32, code: u32) -> Vec<u8> {
    let status = Packet::new(kind::STATUS, id).u32(code);
    status.text("").text("").bytes()
}

/// All of it is let through.
#[track_caller]
fn sent(watch: &mut Watch, bytes: &[u8]) {
    assert_eq!(watch.client_sends(bytes), bytes.len());
}

fn open(id: u32, path: &str) -> Vec<u8> {
    let open = Packet::new(kind::OPEN, id).text(path);
    open.u32(0).u32(0).bytes()
}

fn handle(id: u32, handle: &str) -> Vec<u8> {
    Packet::new(kind::HANDLE, id).text(handle).bytes()
}

fn opened(watch: &mut Watch, id: u32, path: &str, name: &str) {
    sent(watch, &open(id, path));
    watch.server_sent(&handle(id, name));
}

fn write(id: u32, handle: &str, offset: u64, data: &[u8]) -> Vec<u8> {
    let write = Packet::new(kind::WRITE, id).text(handle).u64(offset);
    write.text(data).bytes()
}

fn read(id: u32, handle: &str, offset: u64) -> Vec<u8> {
    let read = Packet::new(kind::READ, id).text(handle).u64(offset);
    read.u32(32768).bytes()
}

fn data(id: u32, data: &[u8]) -> Vec<u8> {
    Packet::new(kind::DATA, id).text(data).bytes()
}

fn closing(id: u32, handle: &str) -> Vec<u8> {
    Packet::new(kind::CLOSE, id).text(handle).bytes()
}

fn close(watch: &mut Watch, id: u32, handle: &str) {
    sent(watch, &closing(id, handle));
    watch.server_sent(&status(id, OK));
}

fn ops(records: Vec<Record>) -> Vec<SftpOp> {
    let op = |record: Record| match record.event {
        Event::SftpOp(op) => Some(*op),
        _ => None,
    };
    records.into_iter().filter_map(op).collect()
}

fn hash(bytes: &[u8]) -> Option<String> {
    Some(blake3::hash(bytes).to_hex().to_string())
}

#[test]
fn requests_that_overlap_are_told_apart() {
    let mut watch = Watch::new();
    opened(&mut watch, 1, "/config/a", "h1");
    opened(&mut watch, 2, "/config/b", "h2");
    for (id, handle, offset) in [(3, "h1", 0), (4, "h2", 0), (5, "h1", 3), (6, "h2", 3)] {
        sent(&mut watch, &read(id, handle, offset));
    }
    for (id, bytes) in [(3, b"one"), (4, b"two"), (5, b"ONE"), (6, b"TWO")] {
        watch.server_sent(&data(id, bytes));
    }
    close(&mut watch, 7, "h2");
    close(&mut watch, 8, "h1");
    let ops = ops(watch.records());
    let seen: Vec<_> = ops
        .iter()
        .map(|op| (op.op.as_str(), op.path.as_str(), op.read_blake3.clone()))
        .collect();
    assert_eq!(
        seen,
        [
            ("read", "/config/b", hash(b"twoTWO")),
            ("read", "/config/a", hash(b"oneONE"))
        ]
    );
    assert_eq!(ops.first().unwrap().bytes_read, Some(6));
}

#[test]
fn answers_out_of_order_are_counted_without_a_digest() {
    let mut watch = Watch::new();
    opened(&mut watch, 1, "/config/a", "h");
    sent(&mut watch, &read(2, "h", 0));
    sent(&mut watch, &read(3, "h", 3));
    watch.server_sent(&data(3, b"def"));
    watch.server_sent(&data(2, b"abc"));
    close(&mut watch, 4, "h");
    let op = ops(watch.records()).pop().unwrap();
    assert_eq!((op.bytes_read, op.read_blake3), (Some(6), None));
}

#[test]
fn a_write_that_fails_has_an_error_and_no_digest() {
    let mut watch = Watch::new();
    opened(&mut watch, 1, "/config/full", "h");
    sent(&mut watch, &write(2, "h", 0, b"abc"));
    watch.server_sent(&status(2, 4));
    close(&mut watch, 3, "h");
    let op = ops(watch.records()).pop().unwrap();
    assert_eq!(op.op, "write");
    assert_eq!(
        (op.error.as_deref(), op.written_blake3),
        (Some("failure"), None)
    );
}

#[test]
fn changes_are_recorded_with_their_outcome() {
    let mut watch = Watch::new();
    let text = |kind, id, path: &str| Packet::new(kind, id).text(path);
    let rename = Packet::new(kind::EXTENDED, 3).text("posix-rename@openssh.com");
    let symlink = text(kind::SYMLINK, 4, "target").text("/config/link");
    for packet in [
        text(kind::REMOVE, 1, "/config/\u{1b}[2J"),
        text(kind::STAT, 2, "/config/none"),
        rename.text("/config/a").text("/config/b"),
        symlink,
        text(kind::STAT, 5, "/config"),
    ] {
        sent(&mut watch, &packet.bytes());
    }
    for (id, code) in [(1, 3), (2, 2), (3, 0), (4, 0)] {
        watch.server_sent(&status(id, code));
    }
    watch.server_sent(&Packet::new(105, 5).u32(0).bytes());
    let seen: Vec<_> = ops(watch.records())
        .into_iter()
        .map(|op| (op.op, op.path, op.to, op.error))
        .collect();
    let row = |op: &str, path: &str, to: Option<&str>, error: Option<&str>| {
        let own = |text: &str| text.to_owned();
        (own(op), own(path), to.map(own), error.map(own))
    };
    assert_eq!(
        seen,
        [
            row(
                "remove",
                "/config/\\x1b[2J",
                None,
                Some("permission denied")
            ),
            row("stat", "/config/none", None, Some("no such file")),
            row("rename", "/config/a", Some("/config/b"), None),
            row("symlink", "/config/link", Some("target"), None),
        ]
    );
}

#[test]
fn an_id_that_is_used_twice_hides_nothing() {
    let mut watch = Watch::new();
    sent(
        &mut watch,
        &Packet::new(kind::REMOVE, 1).text("/config/x").bytes(),
    );
    sent(
        &mut watch,
        &Packet::new(kind::STAT, 1).text("/config/y").bytes(),
    );
    watch.server_sent(&status(1, OK));
    watch.server_sent(&status(1, 2));
    let seen: Vec<_> = ops(watch.records()).into_iter().map(|op| op.op).collect();
    assert_eq!(seen, ["remove", "stat"]);
}

#[test]
fn what_is_open_at_the_end_is_interrupted_and_the_totals_add_up() {
    let mut watch = Watch::new();
    for n in 0..64 {
        opened(&mut watch, n, &format!("/config/{n}"), &format!("h{n}"));
    }
    for n in 0..64 {
        sent(&mut watch, &write(100 + n, &format!("h{n}"), 0, &[7; 10]));
        watch.server_sent(&status(100 + n, OK));
    }
    for n in 0..60 {
        close(&mut watch, 200 + n, &format!("h{n}"));
    }
    let mut records = watch.records();
    records.extend(watch.finish());
    let Some(Event::SftpSummary(totals)) = records.last().map(|record| record.event.clone()) else {
        panic!("{records:?}");
    };
    assert_eq!(
        totals,
        SftpSummary {
            operations: 64,
            opened: 64,
            changes: 64,
            failed: 4,
            bytes_written: 640,
            ..SftpSummary::default()
        }
    );
    let ops = ops(records);
    let interrupted = |op: &&SftpOp| op.error.as_deref() == Some("interrupted");
    assert_eq!(ops.iter().filter(interrupted).count(), 4);
}

#[test]
fn a_flood_of_looks_is_counted_and_hides_no_change() {
    let mut watch = Watch::new();
    let mut recorded = Vec::new();
    for n in 0..20_000u32 {
        sent(&mut watch, &Packet::new(kind::LSTAT, n).text("/n").bytes());
        watch.server_sent(&status(n, 2));
        recorded.extend(watch.records());
    }
    let looks = u64::try_from(recorded.len()).unwrap();
    assert!(looks <= LOOKS);
    let remove = Packet::new(kind::REMOVE, 1).text("/config/victim");
    sent(&mut watch, &remove.bytes());
    watch.server_sent(&status(1, OK));
    opened(&mut watch, 2, "/config/secrets.yaml", "h");
    sent(&mut watch, &read(3, "h", 0));
    watch.server_sent(&data(3, b"secret"));
    close(&mut watch, 4, "h");
    let chown = Packet::new(kind::SETSTAT, 5)
        .text("/config/a")
        .u32(3)
        .bytes();
    sent(&mut watch, &chown);
    watch.server_sent(&status(5, 3));
    let seen: Vec<_> = ops(watch.records()).into_iter().map(|op| op.op).collect();
    assert_eq!(seen, ["remove", "read", "truncate"]);
    let totals = summary(&watch.finish());
    assert_eq!(totals.operations, 20_003);
    assert_eq!(totals.left_out + looks, 20_000);
}

#[test]
fn a_channel_ends_when_its_changes_are_used_up() {
    let mut watch = Watch::new();
    let mut recorded = 0;
    let remove = |id| Packet::new(kind::REMOVE, id).text("/config/x").bytes();
    let changes = u32::try_from(CHANGES).unwrap();
    // One is under way when the last one is answered.
    sent(&mut watch, &remove(0));
    for n in 1..changes {
        sent(&mut watch, &remove(n));
        watch.server_sent(&status(n - 1, OK));
        recorded += ops(watch.records()).len();
    }
    sent(&mut watch, &remove(changes));
    watch.server_sent(&status(changes - 1, OK));
    let last = watch.records();
    let limit = Event::LimitHit {
        resource: "changes over SFTP in a channel".to_owned(),
        limit: CHANGES,
    };
    assert!(last.iter().any(|record| record.event == limit));
    recorded += ops(last).len();
    assert_eq!(watch.client_sends(&remove(1)), 0);
    watch.server_sent(&status(changes, OK));
    let records = watch.finish();
    let totals = summary(&records);
    let all = u64::from(changes) + 1;
    assert_eq!((totals.changes, totals.left_out), (all, 0));
    assert_eq!(totals.unreadable.as_deref(), Some("too many changes"));
    recorded += ops(records).len();
    assert_eq!(u64::try_from(recorded).unwrap(), all);
}

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

/// op, path, bytes written, its digest, error.
type Row = (String, String, Option<u64>, Option<String>, Option<String>);

fn rows(records: Vec<Record>) -> Vec<Row> {
    let row = |op: SftpOp| {
        (
            op.op,
            op.path,
            op.bytes_written,
            op.written_blake3,
            op.error,
        )
    };
    ops(records).into_iter().map(row).collect()
}

fn row(op: &str, path: &str, written: Option<u64>, error: Option<&str>) -> Row {
    let own = str::to_owned;
    (own(op), own(path), written, None, error.map(own))
}

fn summary(records: &[Record]) -> SftpSummary {
    match records.last().map(|record| &record.event) {
        Some(Event::SftpSummary(totals)) => totals.clone(),
        other => panic!("{other:?}"),
    }
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
    ] {
        sent(&mut watch, &packet.bytes());
    }
    for id in 1..=4 {
        watch.server_sent(&status(id, 0));
    }
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
        ]
    );
}
