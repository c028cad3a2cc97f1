//! The sandbox of a session: a plan, which is a value, and what carries it out. Used by the warden alone.
//!
//! Nothing here waits for anybody, and nothing in `/config` is reached by a path that a symbolic link could bend.
#![forbid(unsafe_code)]

mod cgroups;
mod enter;
mod error;
mod host;
mod order;
mod plan;
mod spare;

pub use cgroups::Cgroups;
pub use error::SandboxError;
pub use host::{Host, Settings};
pub use plan::{Access, Owner, Step, granted, spare, template};
pub use spare::{Launched, Report, Spare};
