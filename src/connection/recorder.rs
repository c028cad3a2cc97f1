//! The copy of what passes, for audit's recordings. It is bounded, and never waited for: where audit does not keep up,
//! something is left out, and the recording says so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::hold;
use crate::model::{Allowance, Exit};
use crate::sys::clock::boottime_ns;
use crate::wire::limits::{
    RECORDING_BURST_BYTES, RECORDING_EVENT_BYTES, RECORDING_HEAD_BYTES, RECORDING_PART_BYTES,
    RECORDING_RATE_BYTES, RECORDING_TAIL_BYTES,
};
use crate::wire::{Omission, RecordingEvent, RecordingPart, RecordingStart, Stream};

/// What may wait for audit, of all recordings of the connection: what a terminal prints while audit syncs a record. What
/// is more is left out.
const QUEUE_BYTES: usize = 1024 * 1024;
/// How long a part is gathered before it is passed on.
const GATHERED: Duration = Duration::from_millis(100);

/// Where all of a connection's recordings go.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// The number of the last one.
    last: u32,
    live: BTreeMap<Key, Live>,
    keys: u32,
}

/// One recording as the connection knows it; audit knows it by a number, and by another one after it was restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u32);

#[derive(Debug)]
struct Queued {
    since: Instant,
    part: RecordingPart,
}

#[derive(Debug)]
struct Live {
    start: RecordingStart,
    /// How audit knows it, once it was told of it.
    number: Option<u32>,
    limit: Limit,
    /// Left out since it was last said.
    gap: BTreeMap<Omission, u64>,
    /// A size that audit was not told.
    size: Option<(u16, u16)>,
    /// What was typed last was masked.
    masked: bool,
}

/// How much of it is recorded.
#[derive(Debug)]
enum Limit {
    /// A terminal: so much in a time.
    Rate(Allowance),
    /// A command: the beginning and the end.
    Ends {
        /// How much more of the beginning.
        head: usize,
        tail: Tail,
    },
}

/// One recording, for who sees what is to be in it. It ends when this is told so.
#[derive(Clone, Debug)]
pub(super) struct Tape {
    recorder: Recorder,
    key: Key,
}

impl Recorder {
    /// Begins a recording. Of a command nothing is kept until it writes something.
    pub(super) fn begin(&self, start: RecordingStart) -> Tape {
        let limit = match start.terminal {
            Some(_) => Limit::Rate(Allowance::new(
                RECORDING_RATE_BYTES,
                RECORDING_BURST_BYTES,
                Instant::now(),
            )),
            None => Limit::Ends {
                head: RECORDING_HEAD_BYTES,
                tail: Tail::default(),
            },
        };
        let mut state = hold(&self.0.state);
        state.keys = state.keys.wrapping_add(1);
        let key = Key(state.keys);
        let at_once = start.terminal.is_some();
        let live = Live {
            start,
            number: None,
            limit,
            gap: BTreeMap::new(),
            size: None,
            masked: false,
        };
        state.live.insert(key, live);
        if at_once {
            state.announce(key);
        }
        drop(state);
        self.0.changed.notify_one();
        Tape {
            recorder: self.clone(),
            key,
        }
    }

    /// Waits for something to pass on: a part that has been gathered for long enough, or is as long as it may be.
    pub(super) async fn next(&self) -> RecordingPart {
        loop {
            let due = {
                let mut state = hold(&self.0.state);
                let now = Instant::now();
                match state.due(now) {
                    Some(due) if due <= now => {
                        if let Some(part) = state.pop() {
                            return part;
                        }
                        None
                    }
                    due => due,
                }
            };
            match due {
                None => self.0.changed.notified().await,
                Some(due) => tokio::select! {
                    () = sleep_until(due.into()) => {}
                    () = self.0.changed.notified() => {}
                },
            }
        }
    }

    /// The next part, however short, when nothing more will come.
    pub(super) fn last(&self) -> Option<RecordingPart> {
        hold(&self.0.state).pop()
    }

    /// Audit takes nothing more of this one.
    pub(super) fn stop(&self, number: u32) {
        let mut state = hold(&self.0.state);
        state.live.retain(|_, live| live.number != Some(number));
    }

    /// There is a new audit, which knows nothing of what is being recorded: it is told of each anew, when there is
    /// something of it.
    pub(super) fn begin_again(&self) {
        let mut state = hold(&self.0.state);
        while let Some(RecordingPart {
            recording, event, ..
        }) = state.pop()
        {
            let mut all = state.live.values_mut();
            if let Some(live) = all.find(|live| live.number == Some(recording)) {
                live.leave_out(length(&event), Omission::Behind);
            }
        }
        for live in state.live.values_mut() {
            live.number = None;
        }
    }
}

impl Tape {
    /// The program wrote this.
    pub(super) fn output(&self, stream: Stream, bytes: &[u8]) {
        self.with(|state, key, now| {
            for bytes in bytes.chunks(RECORDING_PART_BYTES) {
                state.output(key, stream, bytes, now);
            }
        });
    }

    /// The user typed this, which the terminal may show, or does not.
    pub(super) fn input(&self, bytes: &[u8], echo: Echo) {
        self.with(|state, key, now| {
            let Some(live) = state.live.get_mut(&key) else {
                return;
            };
            let again = std::mem::replace(&mut live.masked, echo == Echo::Off);
            match echo {
                // Once for all of it: neither how long it is nor how it is typed is to be seen.
                Echo::Off if again => {}
                Echo::Off => state.event(key, RecordingEvent::MaskedInput, now),
                Echo::On => {
                    for bytes in bytes.chunks(RECORDING_PART_BYTES) {
                        state.event(key, RecordingEvent::Input(bytes.to_vec()), now);
                    }
                }
            }
        });
    }

    /// The terminal has a new size.
    pub(super) fn resize(&self, columns: u16, rows: u16) {
        self.with(|state, key, now| {
            state.event(key, RecordingEvent::Resize { columns, rows }, now);
        });
    }

    /// Nothing more will come.
    pub(super) fn end(&self, exit: Option<Exit>) {
        self.with(|state, key, now| state.end(key, exit, now));
    }

    fn with(&self, act: impl FnOnce(&mut State, Key, Instant)) {
        let mut state = hold(&self.recorder.0.state);
        if !state.live.contains_key(&self.key) {
            return;
        }
        let before = state.queued_bytes;
        act(&mut state, self.key, Instant::now());
        let after = state.queued_bytes;
        drop(state);
        // Whoever passes parts on looks at the time by itself, once there are some.
        if before < RECORDING_PART_BYTES && (before == 0 || after >= RECORDING_PART_BYTES) {
            self.recorder.0.changed.notify_one();
        }
    }
}

/// Whether a terminal shows what is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// It does, or its program sees to it itself, as editors do.
    On,
    /// It does not, and its program reads whole lines: as for a password.
    Off,
}

impl State {
    fn due(&self, now: Instant) -> Option<Instant> {
        let first = self.queue.front()?;
        // Markers are for recordings that have begun.
        let starts = matches!(first.part.event, RecordingEvent::Start(_));
        if starts || self.queued_bytes >= RECORDING_PART_BYTES {
            return Some(now);
        }
        Some(first.since + GATHERED)
    }

    fn pop(&mut self) -> Option<RecordingPart> {
        let queued = self.queue.pop_front()?;
        self.queued_bytes = self.queued_bytes.saturating_sub(cost(&queued.part.event));
        Some(queued.part)
    }

    /// Tells audit of it; the number by which audit knows it.
    fn announce(&mut self, key: Key) -> Option<u32> {
        let live = self.live.get_mut(&key)?;
        if let Some(number) = live.number {
            return Some(number);
        }
        self.last = self.last.wrapping_add(1);
        live.number = Some(self.last);
        let start = live.start.clone();
        self.push(
            self.last,
            boottime_ns(),
            RecordingEvent::Start(start),
            Instant::now(),
        );
        Some(self.last)
    }

    fn output(&mut self, key: Key, stream: Stream, bytes: &[u8], now: Instant) {
        let Some(live) = self.live.get_mut(&key) else {
            return;
        };
        let first = match &mut live.limit {
            Limit::Rate(_) => match live.admits(bytes.len(), now) {
                true => bytes,
                false => return,
            },
            Limit::Ends { head, tail } => {
                let (first, rest) = bytes.split_at_checked(*head).unwrap_or((bytes, &[]));
                *head -= first.len();
                let lost = tail.push(stream, rest);
                live.leave_out(lost, Omission::Middle);
                first
            }
        };
        if !first.is_empty() {
            let bytes = first.to_vec();
            let event = RecordingEvent::Output { stream, bytes };
            self.pass(key, boottime_ns(), event, now);
        }
    }

    fn end(&mut self, key: Key, exit: Option<Exit>, now: Instant) {
        let Some(live) = self.live.get_mut(&key) else {
            return;
        };
        // A command that wrote nothing has no recording.
        let silent = live.number.is_none() && live.start.terminal.is_none();
        if let Limit::Ends { tail, .. } = &mut live.limit {
            for Piece {
                at_ns,
                stream,
                bytes,
            } in std::mem::take(tail).pieces
            {
                let event = RecordingEvent::Output { stream, bytes };
                self.pass(key, at_ns, event, now);
            }
        }
        if !silent && let Some(number) = self.announce(key) {
            self.close_gap(key, number, now);
            self.push(number, boottime_ns(), RecordingEvent::End { exit }, now);
        }
        self.live.remove(&key);
    }

    /// Passes something on, unless it is too much by the terminal's rate.
    fn event(&mut self, key: Key, event: RecordingEvent, now: Instant) {
        let Some(live) = self.live.get_mut(&key) else {
            return;
        };
        if let RecordingEvent::Resize { columns, rows } = event {
            live.size = Some((columns, rows));
            if let Some((_, of_columns, of_rows)) = &mut live.start.terminal {
                (*of_columns, *of_rows) = (columns, rows);
            }
        }
        if live.admits(length(&event), now) {
            self.pass(key, boottime_ns(), event, now);
        }
    }

    fn pass(&mut self, key: Key, at_ns: u64, event: RecordingEvent, now: Instant) {
        let size = length(&event);
        if self.queued_bytes + cost(&event) > QUEUE_BYTES {
            if let Some(live) = self.live.get_mut(&key) {
                live.leave_out(size, Omission::Behind);
            }
            return;
        }
        let Some(number) = self.announce(key) else {
            return;
        };
        self.close_gap(key, number, now);
        // That is what closing the gap has said.
        if !matches!(event, RecordingEvent::Resize { .. }) {
            self.push(number, at_ns, event, now);
        }
    }

    /// Says what was left out, and the size if that is new, before something else is said.
    fn close_gap(&mut self, key: Key, number: u32, now: Instant) {
        let Some(live) = self.live.get_mut(&key) else {
            return;
        };
        let (gap, size) = (std::mem::take(&mut live.gap), live.size.take());
        for (cause, bytes) in gap {
            let event = RecordingEvent::Gap { bytes, cause };
            self.push(number, boottime_ns(), event, now);
        }
        if let Some((columns, rows)) = size {
            let event = RecordingEvent::Resize { columns, rows };
            self.push(number, boottime_ns(), event, now);
        }
    }

    /// Puts it into the queue, or adds it to what is there of the same stream and has nothing after it.
    fn push(&mut self, recording: u32, at_ns: u64, event: RecordingEvent, now: Instant) {
        let mut its = self.queue.iter_mut().rev();
        let before = its.find(|queued| queued.part.recording == recording);
        if let Some(before) = before
            && join(&mut before.part.event, &event)
        {
            self.queued_bytes += length(&event);
            return;
        }
        self.queued_bytes += cost(&event);
        let part = RecordingPart {
            recording,
            at_ns,
            event,
        };
        self.queue.push_back(Queued { since: now, part });
    }
}

impl Live {
    /// Whether so much more fits into the terminal's rate; if not, it is left out.
    fn admits(&mut self, bytes: usize, now: Instant) -> bool {
        let counted = u64::try_from(bytes).unwrap_or(u64::MAX);
        let fits = match &mut self.limit {
            Limit::Rate(allowance) => allowance.take(counted + RECORDING_EVENT_BYTES, now),
            Limit::Ends { .. } => true,
        };
        if !fits {
            self.leave_out(bytes, Omission::Rate);
        }
        fits
    }

    fn leave_out(&mut self, bytes: usize, cause: Omission) {
        if bytes > 0 {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            let sum = self.gap.entry(cause).or_default();
            *sum = sum.saturating_add(bytes);
        }
    }
}

/// The end of a command's output so far.
#[derive(Debug, Default)]
struct Tail {
    pieces: VecDeque<Piece>,
    bytes: usize,
}

#[derive(Debug)]
struct Piece {
    at_ns: u64,
    stream: Stream,
    bytes: Vec<u8>,
}

impl Tail {
    /// Takes what may be the end; how much is not any more.
    fn push(&mut self, stream: Stream, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        self.bytes += bytes.len();
        match self.pieces.back_mut() {
            Some(last)
                if last.stream == stream
                    && last.bytes.len() + bytes.len() <= RECORDING_PART_BYTES =>
            {
                last.bytes.extend(bytes);
            }
            _ => self.pieces.push_back(Piece {
                at_ns: boottime_ns(),
                stream,
                bytes: bytes.to_vec(),
            }),
        }
        let mut lost = 0;
        while let Some(over) = self
            .bytes
            .checked_sub(RECORDING_TAIL_BYTES)
            .filter(|n| *n > 0)
            && let Some(oldest) = self.pieces.front_mut()
        {
            let over = over.min(oldest.bytes.len());
            oldest.bytes.drain(..over);
            if oldest.bytes.is_empty() {
                self.pieces.pop_front();
            }
            self.bytes -= over;
            lost += over;
        }
        lost
    }
}

/// Adds `event` to the one before it, where both are the same and there is room.
fn join(before: &mut RecordingEvent, event: &RecordingEvent) -> bool {
    let (before, bytes) = match (before, event) {
        (
            RecordingEvent::Output {
                stream: of,
                bytes: before,
            },
            RecordingEvent::Output { stream, bytes },
        ) if of == stream => (before, bytes),
        (RecordingEvent::Input(before), RecordingEvent::Input(bytes)) => (before, bytes),
        _ => return false,
    };
    let fits = before.len() + bytes.len() <= RECORDING_PART_BYTES;
    if fits {
        before.extend(bytes);
    }
    fits
}

fn length(event: &RecordingEvent) -> usize {
    match event {
        RecordingEvent::Output { bytes, .. } | RecordingEvent::Input(bytes) => bytes.len(),
        RecordingEvent::Start(_)
        | RecordingEvent::MaskedInput
        | RecordingEvent::Resize { .. }
        | RecordingEvent::Gap { .. }
        | RecordingEvent::End { .. } => 0,
    }
}

/// What it takes up in the queue.
fn cost(event: &RecordingEvent) -> usize {
    let more = match event {
        RecordingEvent::Start(start) => start.command.as_ref().map_or(0, String::len),
        _ => 0,
    };
    length(event) + more + usize::try_from(RECORDING_EVENT_BYTES).unwrap_or(0)
}
