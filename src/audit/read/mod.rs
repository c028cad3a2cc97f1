//! Reading the trail: which sessions there were, what happened in them, what their terminals showed.
//!
//! Whoever may read the audit folder runs it, while the server is running or not; nothing is changed. It believes
//! nothing that it reads: a line is a record or is named as damaged, a file that cannot be read keeps no other one from
//! being read, and no text of a record reaches a terminal as it is. Whether the trail is whole is for `verify` to say.

mod describe;
pub mod export;
mod failed;
mod filter;
mod follow;
mod line;
mod lines;
mod records;
pub mod replay;
mod sessions;
mod show;
mod table;
mod trail;
mod when;

pub use describe::describe;
pub use failed::{Failed, failed};
pub use filter::{Case, Filter, Kind, KindError, SearchFault, Text};
pub use follow::{Follow, More, New};
pub use line::{Record, shown, shown_json};
pub use records::{Seen, records};
pub use sessions::{End, Summary, owner, sessions, summary};
pub use show::{show, show_json};
pub use table::{Look, failed_table, record_line, sessions_table};
pub use trail::{Problem, ReadError, SessionFile, Trail};
pub use when::{Bound, duration, moment};
