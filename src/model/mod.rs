//! The nouns of the product as types that cannot be wrong: ids, roles, peers, grants, window sizes.
//!
//! Every process uses them; they do no input or output and know nothing of each other's wire formats.
#![forbid(unsafe_code)]

mod allowance;
mod block;
mod forwarding;
mod grant;
mod id;
mod nearest;
mod permits;
mod program;
mod source;
mod text;

pub use allowance::Allowance;
pub use block::{AddressBlock, AddressBlockError};
pub use forwarding::Forwarding;
pub use grant::{
    AuditFailure, ConfigAccess, Grant, KeyIdentity, Login, Network, Peer, RecordingMode, Role,
    RoleError,
};
pub use id::{ChannelNumber, ConnectionId, SessionId};
pub use nearest::{close, nearest};
pub use permits::{Endpoint, EndpointError, Permits, Tunnel};
pub use program::{Exit, Program, Signal, Usage, WindowSize};
pub use source::{Sources, SourcesError};
pub use text::{cut, escape, is_hostile};
