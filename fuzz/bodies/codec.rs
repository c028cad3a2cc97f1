//! The messages of all links, and the configurations that are handed on.
//!
//! The input is which of [`TYPES`], then the bytes.

use hassio_sshd::wire::{self, limits::MESSAGE_BYTES};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::heap;

/// What a decoder may take for each byte that it is given: an empty text is one byte on a link and 24 in memory, a vector
/// doubles its room, and old and new are there together while it grows.
const TAKEN_FOR_EACH: usize = 96;
/// What serde sets aside for a list by the word of its length alone, 1 MiB; and for lists in it.
const TAKEN_ALWAYS: usize = 2 * 1024 * 1024;

/// A message's name, and what reads it.
pub struct Type {
    /// As in `src/wire/`.
    pub name: &'static str,
    read: fn(&[u8]),
}

macro_rules! types {
    ($($name:ident),+ $(,)?) => {
        &[$(Type { name: stringify!($name), read: read::<wire::$name> }),+]
    };
}

/// All that a process reads of another one. At its end, what is new: seeds name their type by its place.
pub const TYPES: &[Type] = types![
    FrontToWarden,
    WardenToFront,
    ConnectionToWarden,
    WardenToConnection,
    ConnectionToKeys,
    KeysToConnection,
    WardenToKeys,
    KeysToWarden,
    WardenToAudit,
    AuditToWarden,
    ReportToAudit,
    AuditToPeer,
    WardenToBroker,
    BrokerToWarden,
    ConnectionToInit,
    InitToConnection,
    WardenConfig,
    FrontConfig,
    KeysConfig,
    BrokerConfig,
    AuditConfig,
    ReaderConfig,
    Question,
    ReaderToBroker,
    Terms,
    ConnectionToForwarder,
    ForwarderToConnection,
];

/// Reads a message of one type.
pub fn run(data: &[u8]) {
    if let Some((which, bytes)) = data.split_first()
        && let Some(of) = TYPES.get(usize::from(*which))
        && bytes.len() <= MESSAGE_BYTES
    {
        (of.read)(bytes);
    }
}

fn read<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let (decoded, taken) = heap::most(|| wire::decode::<T>(bytes));
    let limit = TAKEN_ALWAYS + TAKEN_FOR_EACH * bytes.len();
    assert!(taken <= limit, "{taken} bytes for {}", bytes.len());
    let Ok(message) = decoded else { return };
    // Postcard lets numbers be longer than they need to be, and keys of a map come twice; what we write is the shortest.
    let written = wire::encode(&message).unwrap();
    assert!(written.len() <= bytes.len());
    let again: T = wire::decode(&written).unwrap();
    // Not all have an equality of their own: what is equal is written alike.
    assert_eq!(wire::encode(&again).unwrap(), written);
}
