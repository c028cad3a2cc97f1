//! Recordings: what terminals showed and commands wrote, made of what connections copy to audit.
//!
//! A connection process is not believed: what it sends is bounded here in length, number, rate and sum, and what only
//! audit may write (markers, heads, records) it cannot even say. Where the disk or a limit takes no more, a recording
//! ends, and nothing else does.

mod cast;
pub mod check;
mod file;
mod heads;
mod live;
mod name;
mod recovery;
mod room;
mod seal;
pub(in crate::audit) mod sealed;

pub(super) use self::room::marker;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::cast::{Moment, Title};
use self::file::CastFile;
use self::live::{Going, Live};
use self::name::Name;
use self::seal::{Plain, Seal, Step};
use super::chain;
use crate::model::{ChannelNumber, RecordingMode, SessionId};
use crate::sys::Errno;
use crate::sys::clock::boottime_ns;
use crate::sys::directory::{Directory, Space};
use crate::wire::limits::{CHANNELS, RECORDING_PART_BYTES, RECORDING_SESSION_BYTES, RECORDINGS};
use crate::wire::{Event, RecordingEvent, RecordingPart, RecordingStart};

/// What a recording ends with whose session has no room for more.
const FULL: &str = "gap: nothing more is recorded of this session";
/// What is left free for records, logins and everything else on that disk, or a twentieth of it, if that is less.
const FLOOR_BYTES: u64 = 64 * 1024 * 1024;
const FLOOR_PART: u64 = 20;
/// How old the knowledge of what is free may be.
const SPACE_AFTER: Duration = Duration::from_secs(1);
/// How long sealing may go on while somebody may wait for audit.
const SLICE: Duration = Duration::from_millis(4);
/// When sealing is tried again after it failed.
const SEAL_AGAIN: Duration = Duration::from_secs(60);
/// How many wait to be sealed. What is more than that the next start finds.
const WAITING: usize = 8192;

/// All recordings that are made, or to be sealed.
pub(super) struct Recordings {
    root: Directory,
    reels: HashMap<SessionId, Reel>,
    waiting: VecDeque<Plain>,
    sealing: Option<Seal>,
    seal_again: Option<Instant>,
    space: Option<(Instant, bool)>,
}

/// Those of a session.
#[derive(Default)]
struct Reel {
    /// How long all of them are.
    bytes: u64,
    count: u32,
    /// The last number that the connection gave one.
    last: Option<u32>,
    live: BTreeMap<u32, Live>,
    /// How many a channel has had.
    of_channel: BTreeMap<ChannelNumber, u32>,
    /// It was said that there will be no more.
    full: bool,
}

/// Whose recordings they are.
pub(super) struct Owner<'a> {
    pub(super) sid: SessionId,
    pub(super) mode: RecordingMode,
    pub(super) user: &'a str,
}

/// What is to go on record.
pub(super) struct Note {
    pub(super) channel: ChannelNumber,
    pub(super) event: Event,
}

/// What became of a part.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) notes: Vec<Note>,
    /// The recordings of which nothing more is taken.
    pub(super) stopped: Vec<u32>,
}

/// A connection said what no honest one says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lie(pub(super) &'static str);

impl Recordings {
    /// In the audit directory `root`.
    pub(super) fn new(root: Directory) -> Self {
        Self {
            root,
            reels: HashMap::new(),
            waiting: VecDeque::new(),
            sealing: None,
            seal_again: None,
            space: None,
        }
    }

    /// Takes a part of what a session's connection has to show.
    pub(super) fn take(
        &mut self,
        owner: &Owner<'_>,
        part: RecordingPart,
        now: Instant,
    ) -> Result<Taken, Lie> {
        let RecordingPart {
            recording,
            at_ns,
            event,
        } = part;
        judge(owner.mode, &event)?;
        let moment = Moment {
            at_ns,
            now_ns: boottime_ns(),
        };
        if let RecordingEvent::Start(start) = event {
            return self.start(owner, recording, &start, moment, now);
        }
        let reel = self.reels.entry(owner.sid).or_default();
        if reel.last.is_none_or(|last| last < recording) {
            return Err(Lie("a part of a recording that has not begun"));
        }
        let mut taken = Taken::default();
        // None: it was stopped, and the connection does not know yet.
        if let Some(live) = reel.live.get_mut(&recording) {
            let before = live.bytes();
            let written = live.write(event, moment, now, &mut taken.notes);
            reel.bytes += live.bytes().saturating_sub(before);
            match written {
                Err(error) => self.fail(owner.sid, recording, &reason(&error), now, &mut taken),
                Ok(Going::Ended) => self.end(owner.sid, recording, None, now, &mut taken),
                Ok(Going::On) if reel.bytes >= RECORDING_SESSION_BYTES => {
                    self.fill(owner.sid, now, &mut taken);
                }
                Ok(Going::On) => {}
            }
        }
        Ok(taken)
    }

    fn start(
        &mut self,
        owner: &Owner<'_>,
        recording: u32,
        start: &RecordingStart,
        moment: Moment,
        now: Instant,
    ) -> Result<Taken, Lie> {
        let short = self.is_short(now);
        let reel = self.reels.entry(owner.sid).or_default();
        if reel.last.is_some_and(|last| recording <= last) {
            return Err(Lie("a recording that has begun already"));
        }
        if reel.live.len() >= CHANNELS {
            return Err(Lie("more recordings than channels"));
        }
        reel.last = Some(recording);
        let channel = start.channel;
        let mut taken = Taken::default();
        if reel.count >= RECORDINGS || reel.bytes >= RECORDING_SESSION_BYTES {
            taken.stopped.push(recording);
            if !std::mem::replace(&mut reel.full, true) {
                let reason = "recordings of the session".to_owned();
                let event = Event::LimitHit {
                    resource: reason,
                    limit: RECORDINGS.into(),
                };
                taken.notes.push(Note { channel, event });
            }
            return Ok(taken);
        }
        let made = if short {
            Err(Errno::ENOSPC)
        } else {
            make(&self.root, owner.sid, channel, reel)
        };
        let (name, file) = match made {
            Ok(made) => made,
            Err(errno) => {
                taken.stopped.push(recording);
                let (file, reason) = (None, errno.desc().to_owned());
                let event = Event::RecordingFail { file, reason };
                taken.notes.push(Note { channel, event });
                return Ok(taken);
            }
        };
        let text = format!("session {}, channel {channel}, {}", owner.sid, owner.user);
        let title = Title {
            start,
            text: &text,
            unix: Timestamp::now().as_second(),
        };
        taken.notes.push(Note {
            channel,
            event: Event::RecordingStart {
                file: name.id(),
                mode: owner.mode,
            },
        });
        let (live, written) = Live::new(&title, name, file, moment, now);
        reel.bytes += live.bytes();
        reel.live.insert(recording, live);
        if let Err(error) = written {
            self.fail(owner.sid, recording, &reason(&error), now, &mut taken);
        }
        Ok(taken)
    }

    /// Puts something to find again into the terminals that a session has now.
    pub(super) fn mark(&mut self, sid: SessionId, text: &str, now: Instant) {
        let live = self.reels.get_mut(&sid).map(|reel| reel.live.values_mut());
        for live in live.into_iter().flatten() {
            live.mark(text, boottime_ns(), now);
        }
    }

    /// Ends all recordings of a session.
    pub(super) fn end_session(&mut self, sid: SessionId, now: Instant) -> Vec<Note> {
        let mut taken = Taken::default();
        for recording in self.live(sid) {
            self.end(sid, recording, None, now, &mut taken);
        }
        self.reels.remove(&sid);
        taken.notes
    }

    /// Writes and syncs what is due, and works on what is to be sealed, for a while.
    pub(super) fn work(&mut self, now: Instant) -> Vec<(SessionId, Taken)> {
        let is_due = |live: &Live| live.due().is_some_and(|due| due <= now);
        let due: Vec<(SessionId, u32)> = self
            .reels
            .iter()
            .flat_map(|(sid, reel)| reel.live.iter().map(|(number, live)| (*sid, *number, live)))
            .filter(|(_, _, live)| is_due(live))
            .map(|(sid, number, _)| (sid, number))
            .collect();
        let mut done = Vec::new();
        for (sid, recording) in due {
            let short = self.is_short(now);
            let Some(reel) = self.reels.get_mut(&sid) else {
                continue;
            };
            let flushed = match reel.live.get_mut(&recording) {
                None => continue,
                Some(_) if short => Err(Errno::ENOSPC.into()),
                Some(live) => {
                    let before = live.bytes();
                    let flushed = live.flush(boottime_ns(), now);
                    reel.bytes += live.bytes().saturating_sub(before);
                    flushed
                }
            };
            if let Err(error) = flushed {
                let mut taken = Taken::default();
                self.fail(sid, recording, &reason(&error), now, &mut taken);
                done.push((sid, taken));
            }
        }
        self.seal(now);
        done
    }

    /// When there is something to do next.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let live = self.reels.values().flat_map(|reel| reel.live.values());
        let seal = match (&self.sealing, self.seal_again) {
            (Some(_), _) => Some(now),
            (None, Some(again)) => Some(again),
            (None, None) => (!self.waiting.is_empty()).then_some(now),
        };
        live.filter_map(|live| live.due()).chain(seal).min()
    }

    /// Everything to the disk that can be there, before audit ends. What is open the next start seals.
    pub(super) fn finish(&mut self, now: Instant) {
        for live in self
            .reels
            .values_mut()
            .flat_map(|reel| reel.live.values_mut())
        {
            // Whatever was only due later is due now, once to write and once to sync.
            let later = now + Duration::from_secs(60);
            if let Err(error) = live.flush(boottime_ns(), later) {
                tracing::warn!(file = live.name.id(), %error, "the end of a recording is lost");
            }
        }
    }

    fn live(&self, sid: SessionId) -> Vec<u32> {
        let live = self.reels.get(&sid).map(|reel| reel.live.keys().copied());
        live.into_iter().flatten().collect()
    }

    /// The session has no room for more.
    fn fill(&mut self, sid: SessionId, now: Instant, taken: &mut Taken) {
        for recording in self.live(sid) {
            let reel = self.reels.get(&sid);
            if let Some(live) = reel.and_then(|reel| reel.live.get(&recording)) {
                let event = Event::RecordingTruncate {
                    file: live.name.id(),
                    reason: "bytes of the session's recordings".to_owned(),
                    limit: Some(RECORDING_SESSION_BYTES),
                };
                let channel = live.channel;
                taken.notes.push(Note { channel, event });
            }
            self.end(sid, recording, Some(FULL), now, taken);
            taken.stopped.push(recording);
        }
        if let Some(reel) = self.reels.get_mut(&sid) {
            reel.full = true;
        }
    }

    /// Where the disk takes no more of one.
    fn fail(
        &mut self,
        sid: SessionId,
        recording: u32,
        reason: &str,
        now: Instant,
        taken: &mut Taken,
    ) {
        let reel = self.reels.get(&sid);
        if let Some(live) = reel.and_then(|reel| reel.live.get(&recording)) {
            let file = live.name.id();
            tracing::warn!(
                file,
                reason,
                "a recording ends: the disk takes no more of it"
            );
            let (channel, reason) = (live.channel, reason.to_owned());
            let event = Event::RecordingFail {
                file: Some(file),
                reason,
            };
            taken.notes.push(Note { channel, event });
        }
        taken.stopped.push(recording);
        self.end(sid, recording, None, now, taken);
    }

    fn end(
        &mut self,
        sid: SessionId,
        recording: u32,
        last: Option<&str>,
        now: Instant,
        taken: &mut Taken,
    ) {
        let reel = self.reels.get_mut(&sid);
        let Some(mut live) = reel.and_then(|reel| reel.live.remove(&recording)) else {
            return;
        };
        let ended = live.finish(last, boottime_ns(), now);
        let event = Event::RecordingEnd {
            file: live.name.id(),
            bytes: ended.bytes,
            sha256: ended.sha256.clone(),
            head: chain::text(&ended.head),
            left_out: (live.left_out > 0).then_some(live.left_out),
        };
        let channel = live.channel;
        taken.notes.push(Note { channel, event });
        self.seal_later(Plain {
            name: live.name,
            sha256: ended.sha256,
        });
    }

    /// Whether it waits to be compressed, or is being.
    pub(super) fn is_sealing(&self, id: &str) -> bool {
        let waiting = self.waiting.iter();
        let working = self.sealing.iter().map(Seal::plain);
        waiting.chain(working).any(|plain| plain.name.id() == id)
    }

    fn seal_later(&mut self, plain: Plain) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(plain);
        } else {
            let file = plain.name.id();
            tracing::warn!(file, "a recording stays uncompressed until the next start");
        }
    }

    fn seal(&mut self, now: Instant) {
        if self.seal_again.is_some_and(|again| now < again) {
            return;
        }
        self.seal_again = None;
        let until = Instant::now() + SLICE;
        while Instant::now() < until {
            let seal = match self.sealing.take() {
                Some(seal) => seal,
                None => match self.waiting.pop_front() {
                    None => return,
                    Some(plain) => match Seal::new(plain.clone(), &self.root) {
                        Ok(seal) => seal,
                        Err(error) => return self.seal_failed(plain, &error, now),
                    },
                },
            };
            let name = seal.plain().name.clone();
            match seal.step() {
                Ok((Step::More, seal)) => self.sealing = seal,
                Ok((Step::Done, _)) => name.unmark(&self.root),
                Err((plain, error)) => return self.seal_failed(plain, &error, now),
            }
        }
    }

    fn seal_failed(&mut self, plain: Plain, error: &seal::SealError, now: Instant) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        let cause = cause.unwrap_or_default();
        let file = plain.name.id();
        tracing::warn!(file, %error, cause, "a recording cannot be sealed, and stays as it is");
        // One that has changed will not be what was recorded later either.
        if error.may_pass() {
            self.waiting.push_back(plain);
        }
        self.seal_again = Some(now + SEAL_AGAIN);
    }

    /// Whether so little is free that nothing is recorded.
    fn is_short(&mut self, now: Instant) -> bool {
        if let Some((since, short)) = self.space
            && now.saturating_duration_since(since) < SPACE_AFTER
        {
            return short;
        }
        let short = match self.root.space() {
            Ok(Space {
                free_bytes,
                all_bytes,
            }) => free_bytes < FLOOR_BYTES.min(all_bytes / FLOOR_PART),
            // Then writing tells.
            Err(_) => false,
        };
        self.space = Some((now, short));
        short
    }
}

/// Refuses what no honest connection sends.
fn judge(mode: RecordingMode, event: &RecordingEvent) -> Result<(), Lie> {
    if mode == RecordingMode::Off {
        return Err(Lie("a recording where nothing is recorded"));
    }
    match event {
        RecordingEvent::Input(_) | RecordingEvent::MaskedInput if mode != RecordingMode::Input => {
            Err(Lie(
                "a recording of what is typed where that is not recorded",
            ))
        }
        RecordingEvent::Input(bytes) | RecordingEvent::Output { bytes, .. }
            if bytes.len() > RECORDING_PART_BYTES =>
        {
            Err(Lie("a part of a recording that is too long"))
        }
        RecordingEvent::Start(_)
        | RecordingEvent::Output { .. }
        | RecordingEvent::Input(_)
        | RecordingEvent::MaskedInput
        | RecordingEvent::Resize { .. }
        | RecordingEvent::Gap { .. }
        | RecordingEvent::End { .. } => Ok(()),
    }
}

/// Makes the file of a channel's next recording, and the mark that it is not sealed.
fn make(
    root: &Directory,
    sid: SessionId,
    channel: ChannelNumber,
    reel: &mut Reel,
) -> Result<(Name, CastFile), Errno> {
    let nth = reel.of_channel.entry(channel).or_default();
    loop {
        let name = Name::new(sid, channel, *nth);
        let directory = root.descend_making_later(&name.directory())?;
        *nth += 1;
        // One of a start of audit before this one.
        if *nth < RECORDINGS && directory.has(&name.sealed())? {
            continue;
        }
        name.mark(root)?;
        match directory.create(&name.plain()) {
            Ok(file) => {
                reel.count += 1;
                let file = CastFile::new(file, directory, &name.id());
                return Ok((name, file));
            }
            Err(Errno::EEXIST) if *nth < RECORDINGS => {}
            Err(errno) => {
                name.unmark(root);
                return Err(errno);
            }
        }
    }
}

/// Why a file takes no more.
fn reason(error: &io::Error) -> String {
    let errno = error.raw_os_error().map(Errno::from_raw);
    errno.map_or_else(|| error.to_string(), |errno| errno.desc().to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
