use super::*;

mod evasion;

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
    let extension = Packet::new(kind::EXTENDED, 6).text("new@example.com");
    sent(&mut watch, &extension.bytes());
    watch.server_sent(&status(6, OK));
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
    assert_eq!(seen, ["remove", "extended", "read", "truncate"]);
    let totals = summary(&watch.finish());
    assert_eq!(totals.operations, 20_004);
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
