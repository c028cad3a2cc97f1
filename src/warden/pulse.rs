//! Whether a process still comes to read its link. Pure.
//!
//! It is counted in questions, not in time: where the whole machine stood still, at most one more is open afterwards.

use std::time::Duration;

/// How often each process is asked.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// How many questions in a row may stay open: the disk may keep audit from its link for ten seconds.
const OPEN: u32 = 3;

/// How many before the first answer: audit looks through all that an earlier life left open.
const OPEN_AT_START: u32 = 24;

/// What is known of one process.
#[derive(Debug)]
pub(super) struct Pulse {
    open: u32,
    allowed: u32,
}

/// What to do when another question is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Beat {
    /// Ask.
    Ask,
    /// It has not answered for this long.
    Still(Duration),
}

impl Pulse {
    /// Of a process that is about to begin.
    pub(super) fn of_beginner() -> Self {
        Self {
            open: 0,
            allowed: OPEN_AT_START,
        }
    }

    /// Of one that has said something already.
    pub(super) fn new() -> Self {
        Self {
            open: 0,
            allowed: OPEN,
        }
    }

    /// It has answered, or said anything else.
    pub(super) fn heard(&mut self) {
        *self = Self::new();
    }

    /// Another question is due.
    pub(super) fn beat(&mut self) -> Beat {
        if self.open >= self.allowed {
            return Beat::Still(EVERY * self.open);
        }
        self.open += 1;
        Beat::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pulse: &mut Pulse) -> u32 {
        let asked = (0..100).take_while(|_| pulse.beat() == Beat::Ask);
        u32::try_from(asked.count()).unwrap()
    }

    #[test]
    fn who_answers_none_of_so_many_in_a_row_stands_still() {
        let mut pulse = Pulse::new();
        assert_eq!(asked(&mut pulse), OPEN);
        assert_eq!(pulse.beat(), Beat::Still(Duration::from_secs(15)));
        pulse.heard();
        assert_eq!(asked(&mut pulse), OPEN);
    }

    #[test]
    fn a_beginner_has_more_time_until_its_first_word() {
        let mut pulse = Pulse::of_beginner();
        assert_eq!(asked(&mut pulse), OPEN_AT_START);
        pulse.heard();
        assert_eq!(asked(&mut pulse), OPEN);
    }
}
