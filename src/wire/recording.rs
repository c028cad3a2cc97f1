use serde::{Deserialize, Serialize};

use crate::model::{ChannelNumber, Exit};

/// One thing that a recording is to show. The connection says what passed; what of it is written, and how, is audit's to
/// decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingPart {
    /// Which of the connection's recordings. It counts them itself, and uses each number once.
    pub recording: u32,
    /// When, by CLOCK_BOOTTIME.
    pub at_ns: u64,
    /// What.
    pub event: RecordingEvent,
}

/// What can happen in a recording. Markers are not here: they are audit's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordingEvent {
    /// It begins: the first part of each.
    Start(RecordingStart),
    /// The program wrote something.
    Output {
        /// Where to.
        stream: Stream,
        /// At most [`super::limits::RECORDING_PART_BYTES`].
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The user typed something, which the terminal may show.
    Input(#[serde(with = "serde_bytes")] Vec<u8>),
    /// The user typed something that the terminal does not show. Said once for all of it.
    MaskedInput,
    /// The terminal has a new size.
    Resize {
        /// Characters in a line.
        columns: u16,
        /// Lines.
        rows: u16,
    },
    /// Something is left out here.
    Gap {
        /// How much of all streams.
        bytes: u64,
        /// Why.
        cause: Omission,
    },
    /// Nothing more will come.
    End {
        /// How the program ended, where that is known.
        exit: Option<Exit>,
    },
}

/// What a recording begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingStart {
    /// Of which channel.
    pub channel: ChannelNumber,
    /// The terminal, by its name and size; none for a command without one.
    pub terminal: Option<(String, u16, u16)>,
    /// The command; none for a shell.
    pub command: Option<String>,
}

/// One of a program's outputs. A terminal has one alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stream {
    /// Descriptor 1, and a terminal's.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// Why something is left out of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Omission {
    /// More passed than is recorded in a time.
    Rate,
    /// audit did not take it soon enough.
    Behind,
    /// A command's output is recorded at its beginning and at its end.
    Middle,
}
