//! Recordings, played: what may reach a terminal of them, and when.

mod cast;
mod play;
mod screen;

pub use cast::{Cast, Event, Header, Next, Recording, recordings};
pub use play::{Ending, Go, Pace, play};
pub use screen::Screen;
