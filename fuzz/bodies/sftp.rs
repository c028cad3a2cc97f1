//! The reader of SFTP channels: both directions come from a session.
//!
//! The input is how the bytes are cut, then pieces: what is done with the piece, its length, its bytes.

use hassio_sshd::connection::sftp::Watch;
use hassio_sshd::model::is_hostile;
use hassio_sshd::wire::limits::MESSAGE_BYTES;
use hassio_sshd::wire::{Event, Record, ReportToAudit, SftpOp, SftpSummary, encode};

use super::heap;
use super::input::{Dice, Input};

/// Set in what is done with a piece: it comes from the server.
const FROM_SERVER: u8 = 1;
/// All set in what is done with a piece: this and the one before are repeated, each time with another end, which is where
/// handles and paths have theirs. So that limits on how many there are can be reached at all. Once in an input, and in a short
/// one, since it takes its time; and not by a single bit that the fuzzer turns.
const FLOOD: u8 = 0xf0;
/// How many times a pair is repeated: more than handles are kept, and than requests may wait.
const FLOODS: u32 = 4200;
/// The longest input in which something is repeated.
const FLOOD_BYTES: usize = 200;

/// What a channel may make the reader hold, whatever passes: 4096 handles with the longest path and name and two digests, and
/// 1 MiB of requests.
const HELD_BYTES: usize = 48 * 1024 * 1024;
/// And for each byte that passed: a digest of 1.9 KiB begins with a packet of 30 bytes.
const HELD_FOR_EACH: usize = 80;
const HELD_ALWAYS: usize = 64 * 1024;

/// Follows a channel twice, cut in two ways: the records are the same, and what they say adds up.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut dice = Dice::new(u64::from(input.u16()));
    let (steps, flooded) = steps(input);
    bounded(&steps);
    let whole = follow(&steps, |bytes| vec![bytes]);
    if flooded {
        return;
    }
    let cut = follow(&steps, |bytes| dice.pieces(bytes));
    // How many have a record of their own depends on the clock, beyond 200 of them.
    if whole.totals.operations <= 200 {
        assert_eq!((&whole.totals, &whole.ops), (&cut.totals, &cut.ops));
    } else {
        let timeless = |totals: SftpSummary| SftpSummary {
            left_out: 0,
            ..totals
        };
        assert_eq!(timeless(whole.totals), timeless(cut.totals));
    }
}

/// A piece of a direction.
struct Step {
    from_server: bool,
    bytes: Vec<u8>,
}

/// And whether something is repeated.
fn steps(mut input: Input<'_>) -> (Vec<Step>, bool) {
    let mut steps: Vec<Step> = Vec::new();
    let may_flood = input.rest().len() <= FLOOD_BYTES;
    let mut flooded = false;
    while !input.is_empty() {
        let what = input.u8();
        let length = usize::from(input.u16());
        let step = Step {
            from_server: what & FROM_SERVER != 0,
            bytes: input.bytes(length).to_vec(),
        };
        if what & FLOOD == FLOOD && may_flood && !flooded {
            flooded = true;
            let before = steps.pop();
            for n in 0..FLOODS {
                steps.extend(before.as_ref().map(|before| numbered(before, n)));
                steps.push(numbered(&step, n));
            }
        } else {
            steps.push(step);
        }
    }
    (steps, flooded)
}

/// The same with another end.
fn numbered(step: &Step, n: u32) -> Step {
    let mut bytes = step.bytes.clone();
    if let Some(end) = bytes.last_chunk_mut() {
        *end = n.to_be_bytes();
    }
    Step { bytes, ..*step }
}

/// What was made of a channel.
struct Followed {
    ops: Vec<SftpOp>,
    totals: SftpSummary,
}

fn follow<'s>(steps: &'s [Step], mut cut: impl FnMut(&'s [u8]) -> Vec<&'s [u8]>) -> Followed {
    let mut watch = Watch::new();
    let (mut records, mut passed) = (Vec::new(), 0);
    // What the client sent and the server was not given yet.
    let mut waiting = Vec::new();
    for step in steps {
        for bytes in cut(&step.bytes) {
            if step.from_server {
                watch.server_sent(bytes);
            } else {
                waiting.extend_from_slice(bytes);
            }
            waiting.drain(..watch.client_sends(&waiting));
            passed += bytes.len();
            records.extend(watch.records());
        }
    }
    let unreadable = watch.unreadable();
    let at_end = records.len();
    records.extend(watch.finish());
    let Some(Event::SftpSummary(totals)) = records.pop().map(|record| record.event) else {
        panic!("the channel has no summary");
    };
    assert_eq!(totals.unreadable.as_deref(), unreadable);
    let mut ops: Vec<SftpOp> = records.into_iter().map(op).collect();
    // Those that are open at the end come in no order.
    ops[at_end..].sort_by(|one, other| by_all(one).cmp(&by_all(other)));
    check(&ops, &totals, passed);
    Followed { ops, totals }
}

/// An order of those that are open at the end.
fn by_all(op: &SftpOp) -> impl Ord + '_ {
    let moved = (op.bytes_read, op.bytes_written);
    (&op.path, &op.op, moved, &op.read_blake3, &op.written_blake3)
}

/// The record's own members, but for the time.
fn op(record: Record) -> SftpOp {
    let report = ReportToAudit::Record {
        record,
        receipt: None,
    };
    assert!(encode(&report).unwrap().len() <= MESSAGE_BYTES);
    let ReportToAudit::Record { record, .. } = report else {
        panic!("a record became a recording");
    };
    let ok = record.ok;
    let Event::SftpOp(op) = record.event else {
        panic!("neither an operation nor the summary: {:?}", record.event);
    };
    assert_eq!(ok, Some(op.error.is_none()));
    SftpOp {
        duration_ms: None,
        ..*op
    }
}

/// What holds of every channel.
fn check(ops: &[SftpOp], totals: &SftpSummary, passed: usize) {
    let recorded = u64::try_from(ops.len()).unwrap();
    let failed = ops.iter().filter(|op| op.error.is_some()).count();
    assert_eq!(totals.operations, recorded + totals.left_out);
    assert!(totals.failed <= totals.operations && totals.changes <= totals.operations);
    assert!(totals.failed >= u64::try_from(failed).unwrap());
    let moved = totals.bytes_read.checked_add(totals.bytes_written).unwrap();
    assert!(moved <= u64::try_from(passed).unwrap(), "more than passed");
    for op in ops {
        for text in [Some(&op.path), op.to.as_ref()].into_iter().flatten() {
            assert!(!text.chars().any(|c| c.is_control() || is_hostile(c)));
        }
    }
}

/// Nothing that passes makes the reader hold more than so much, and nothing at all what passes when it has given up.
fn bounded(steps: &[Step]) {
    let before = heap::held();
    let mut watch = Watch::new();
    let mut passed = 0;
    for step in steps {
        let (held, refused) = (heap::held(), watch.unreadable().is_some());
        let taken = match step.from_server {
            true => {
                watch.server_sent(&step.bytes);
                0
            }
            false => watch.client_sends(&step.bytes),
        };
        let records = watch.records();
        if refused && !step.from_server {
            assert!(taken == 0 && records.is_empty() && heap::held() == held);
        }
        drop(records);
        passed += step.bytes.len();
        let limit = HELD_BYTES.min(HELD_ALWAYS + HELD_FOR_EACH * passed);
        let held = heap::held().wrapping_sub(before);
        assert!(held <= limit, "{held} bytes held after {passed}");
    }
}
