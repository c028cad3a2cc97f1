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

fn opened(watch: &mut Watch, id: u32, path: &str, handle: &str) {
    let open = Packet::new(kind::OPEN, id).text(path).u32(0).u32(0);
    watch.client_sent(&open.bytes());
    watch.server_sent(&Packet::new(kind::HANDLE, id).text(handle).bytes());
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

fn close(watch: &mut Watch, id: u32, handle: &str) {
    watch.client_sent(&Packet::new(kind::CLOSE, id).text(handle).bytes());
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
        watch.client_sent(&read(id, handle, offset));
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
    watch.client_sent(&read(2, "h", 0));
    watch.client_sent(&read(3, "h", 3));
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
    watch.client_sent(&write(2, "h", 0, b"abc"));
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
        watch.client_sent(&packet.bytes());
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
    watch.client_sent(&Packet::new(kind::REMOVE, 1).text("/config/x").bytes());
    watch.client_sent(&Packet::new(kind::STAT, 1).text("/config/y").bytes());
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
        watch.client_sent(&write(100 + n, &format!("h{n}"), 0, &[7; 10]));
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
fn a_flood_is_counted_and_not_recorded() {
    let mut watch = Watch::new();
    let mut recorded = 0;
    for n in 0..20_000u32 {
        watch.client_sent(&Packet::new(kind::REMOVE, n).text("/config/x").bytes());
        watch.server_sent(&status(n, OK));
        recorded += u64::try_from(watch.records().len()).unwrap();
    }
    let records = watch.finish();
    let Some(Event::SftpSummary(totals)) = records.last().map(|record| record.event.clone()) else {
        panic!("{records:?}");
    };
    assert_eq!(totals.operations, 20_000);
    assert_eq!(totals.left_out + recorded, 20_000);
    assert!(recorded <= RECORDS);
}

#[test]
fn more_handles_than_are_kept_hide_nothing_else() {
    let mut watch = Watch::new();
    let beyond = 10;
    for n in 0..u32::try_from(OPEN).unwrap() + beyond {
        opened(&mut watch, n, "/config/many", &format!("h{n}"));
    }
    watch.client_sent(&Packet::new(kind::REMOVE, 1).text("/config/x").bytes());
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
    assert_eq!(watch.unreadable, None);
    opened(&mut watch, 2, "/config/b", &"h".repeat(longest + 1));
    assert_eq!(watch.unreadable, Some(Unreadable::Fields));
    assert_eq!(watch.state.open.len(), 1);
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
                watch.client_sent(&bytes);
            } else {
                watch.server_sent(&bytes);
            }
            let _records = watch.records();
            assert!(watch.state.pending.len() <= PENDING + 1);
            assert!(watch.state.open.len() <= OPEN);
        }
        let last = watch.finish().pop().unwrap();
        assert!(matches!(last.event, Event::SftpSummary(_)));
    }
}
