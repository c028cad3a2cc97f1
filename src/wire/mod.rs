//! What the processes say to each other: one enum per direction of each pair, the codec, and the limits.
//!
//! A message is one packet on a `SOCK_SEQPACKET` pair, postcard-encoded and bounded; descriptors travel beside it.
//! The type of a link fixes who may say what. What a sender's state does not permit ends that sender.
#![forbid(unsafe_code)]

mod api;
mod audit;
mod codec;
mod config;
mod disagreement;
mod forward;
pub mod limits;
mod link;
mod message;
mod reading;
mod recording;
mod terms;

pub use api::{ApiFault, HASSIO_SOCKET, SESSION_PATH, WhoAmI};
pub use audit::{
    ApiDecision, ApiUpload, Asked, Event, ExecEnd, Field, Outcome, Record, SandboxFacts,
    SessionEnd, SftpOp, SftpSummary, StreamFacts,
};
pub use codec::{CodecError, decode, encode, encode_config};
pub use config::{
    AuditConfig, AuthorizedKey, BrokerConfig, FrontConfig, KeysConfig, OwnRole, ReaderConfig,
    WardenConfig,
};
pub use disagreement::{AlgorithmKind, Disagreement, Disjoint, Remedy};
pub use forward::{ConnectionToForwarder, ForwardFault, ForwarderToConnection, Place, Target};
pub use link::{Incoming, Link, LinkError, Packet};
pub use message::{
    AuditToPeer, AuditToWarden, BrokerToWarden, ConnectionToInit, ConnectionToKeys,
    ConnectionToWarden, Fault, FrontToWarden, InitToConnection, KeysToConnection, KeysToWarden,
    PasswordMethod, Phase, Refusal, ReportToAudit, Reporter, SessionFacts, Spawn, WardenToAudit,
    WardenToBroker, WardenToConnection, WardenToFront, WardenToKeys,
};
pub use reading::{
    Form, Question, READ_BYTES, ReaderToBroker, SESSIONS_PATH, Search, Subject, Wanted, Whose,
};
pub use recording::{Omission, RecordingEvent, RecordingPart, RecordingStart, Stream};
pub use terms::{Forced, Terms};
