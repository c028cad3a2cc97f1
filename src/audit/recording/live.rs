use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use super::Note;
use super::cast::{Cast, Moment, Title};
use super::file::{CastFile, Ended};
use super::name::Name;
use crate::model::{Allowance, ChannelNumber};
use crate::wire::limits::{
    RECORDING_BURST_BYTES, RECORDING_EVENT_BYTES, RECORDING_HEAD_BYTES, RECORDING_RATE_BYTES,
    RECORDING_TAIL_BYTES,
};
use crate::wire::{Event, Omission, RecordingEvent};

/// An honest connection keeps to the limits by its own clock; what was on its way counts here at once.
const SLACK_BYTES: u64 = 1024 * 1024;

/// A recording that is being made.
pub(super) struct Live {
    pub(super) channel: ChannelNumber,
    pub(super) name: Name,
    file: CastFile,
    cast: Cast,
    kind: Kind,
    allowance: Allowance,
    pub(super) left_out: u64,
    /// What was left out since the recording itself said so.
    gap: u64,
    said: BTreeSet<Omission>,
    /// Markers that wait for what was shown before them, and is still on its way.
    marks: VecDeque<Mark>,
}

struct Mark {
    due: Instant,
    at_ns: u64,
    text: String,
}

/// How long a connection may take to pass on what a terminal showed: it gathers for 100 ms.
const MARK_AFTER: Duration = Duration::from_millis(300);
/// How many markers wait; more than that are written at once.
const MARKS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Terminal,
    Command,
}

/// Whether a recording goes on.
pub(super) enum Going {
    On,
    Ended,
}

impl Live {
    /// One that begins, and whether that could be written.
    pub(super) fn new(
        title: &Title<'_>,
        name: Name,
        file: CastFile,
        moment: Moment,
        now: Instant,
    ) -> (Self, io::Result<()>) {
        let (cast, header) = Cast::new(title, moment);
        let burst = RECORDING_BURST_BYTES + SLACK_BYTES;
        let mut live = Self {
            channel: title.start.channel,
            name,
            file,
            cast,
            kind: match title.start.terminal {
                Some(_) => Kind::Terminal,
                None => Kind::Command,
            },
            allowance: Allowance::new(RECORDING_RATE_BYTES, burst, now),
            left_out: 0,
            gap: 0,
            said: BTreeSet::new(),
            marks: VecDeque::new(),
        };
        let written = live.file.push(&header, now);
        (live, written)
    }

    /// How long it is.
    pub(super) fn bytes(&self) -> u64 {
        self.file.bytes()
    }

    /// Takes what happened.
    pub(super) fn write(
        &mut self,
        event: RecordingEvent,
        moment: Moment,
        now: Instant,
        notes: &mut Vec<Note>,
    ) -> io::Result<Going> {
        let size = size(&event);
        let ends = matches!(event, RecordingEvent::End { .. });
        if !ends && !self.allowance.take(size + RECORDING_EVENT_BYTES, now) {
            self.leave_out(size, Omission::Rate, notes);
            return Ok(Going::On);
        }
        let mut lines = match event {
            RecordingEvent::Gap { bytes, cause } => {
                self.leave_out(bytes, cause, notes);
                return Ok(Going::On);
            }
            _ => self.gap(moment),
        };
        let before = if ends { u64::MAX } else { moment.at_ns };
        lines.extend(self.marks(|mark| mark.at_ns <= before, moment.now_ns));
        let cast = &mut self.cast;
        lines.extend(match event {
            RecordingEvent::Output { stream, bytes } => cast.output(stream, &bytes, moment),
            RecordingEvent::Input(bytes) => cast.input(&bytes, moment),
            RecordingEvent::MaskedInput => cast.masked(moment),
            RecordingEvent::Resize { columns, rows } => cast.resize(columns, rows, moment),
            RecordingEvent::End { exit } => cast.end(exit, moment),
            // Neither comes here.
            RecordingEvent::Start(_) | RecordingEvent::Gap { .. } => Vec::new(),
        });
        self.push(&lines, now)?;
        Ok(if ends { Going::Ended } else { Going::On })
    }

    /// Puts something to find again into it, where it is a terminal's.
    pub(super) fn mark(&mut self, text: &str, now_ns: u64, now: Instant) {
        if self.kind == Kind::Terminal {
            let due = if self.marks.len() < MARKS {
                now + MARK_AFTER
            } else {
                now
            };
            self.marks.push_back(Mark {
                due,
                at_ns: now_ns,
                text: text.to_owned(),
            });
        }
    }

    /// When there is something to do for it.
    pub(super) fn due(&self) -> Option<Instant> {
        let mark = self.marks.iter().map(|mark| mark.due).min();
        mark.into_iter().chain(self.file.due()).min()
    }

    /// Writes and syncs what is due.
    pub(super) fn flush(&mut self, now_ns: u64, now: Instant) -> io::Result<()> {
        let lines = self.marks(|mark| mark.due <= now, now_ns);
        self.push(&lines, now)?;
        self.file.flush(now)
    }

    /// Ends it. `last` is said where the program goes on.
    pub(super) fn finish(&mut self, last: Option<&str>, now_ns: u64, now: Instant) -> Ended {
        let moment = Moment {
            at_ns: now_ns,
            now_ns,
        };
        let mut lines = self.marks(|_| true, now_ns);
        lines.extend(self.gap(moment));
        if let Some(text) = last {
            lines.extend(self.cast.gap(text, moment));
        }
        // Where the disk takes no more it ends before them.
        self.push(&lines, now).ok();
        self.file.finish(now)
    }

    fn marks(&mut self, which: impl Fn(&Mark) -> bool, now_ns: u64) -> Vec<u8> {
        let mut lines = Vec::new();
        while let Some(mark) = self.marks.front()
            && which(mark)
        {
            let moment = Moment {
                at_ns: mark.at_ns,
                now_ns,
            };
            lines.extend(self.cast.marker(&mark.text, moment));
            self.marks.pop_front();
        }
        lines
    }

    fn push(&mut self, lines: &[u8], now: Instant) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.file.push(lines, now)
    }

    fn gap(&mut self, moment: Moment) -> Vec<u8> {
        match std::mem::take(&mut self.gap) {
            0 => Vec::new(),
            bytes => {
                let text = format!("gap: {bytes} bytes are not recorded");
                self.cast.gap(&text, moment)
            }
        }
    }

    /// Counts what is not written. The first time of each cause goes on record.
    fn leave_out(&mut self, bytes: u64, cause: Omission, notes: &mut Vec<Note>) {
        self.left_out = self.left_out.saturating_add(bytes);
        self.gap = self.gap.saturating_add(bytes);
        if !self.said.insert(cause) {
            return;
        }
        let middle = RECORDING_HEAD_BYTES + RECORDING_TAIL_BYTES;
        let (reason, limit) = match cause {
            Omission::Rate => ("bytes in a second", Some(RECORDING_RATE_BYTES)),
            Omission::Behind => ("what waits for audit", None),
            Omission::Middle => ("bytes of a command's output", u64::try_from(middle).ok()),
        };
        let event = Event::RecordingTruncate {
            file: self.name.id(),
            reason: reason.to_owned(),
            limit,
        };
        let channel = self.channel;
        notes.push(Note { channel, event });
    }
}

fn size(event: &RecordingEvent) -> u64 {
    let bytes = match event {
        RecordingEvent::Output { bytes, .. } | RecordingEvent::Input(bytes) => bytes.len(),
        RecordingEvent::Start(_)
        | RecordingEvent::MaskedInput
        | RecordingEvent::Resize { .. }
        | RecordingEvent::Gap { .. }
        | RecordingEvent::End { .. } => 0,
    };
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
