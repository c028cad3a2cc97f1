//! The sandbox of a session: a plan, which is a value, and what carries it out. Used by the warden alone.
//!
//! Nothing here waits for anybody, and nothing in `/config` is reached by a path that a symbolic link could bend.
#![forbid(unsafe_code)]

mod cgroups;
mod enter;
mod error;
mod host;
mod plan;

pub use cgroups::Cgroups;
pub use error::SandboxError;
pub use host::{Host, Launched, Report, Settings};
pub use plan::{Access, Owner, Step, session, template};
