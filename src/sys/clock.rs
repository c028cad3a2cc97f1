//! The clock that goes on while the machine sleeps and never jumps.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since the machine started, sleep included. clock_gettime(2), CLOCK_BOOTTIME.
#[must_use]
pub fn boottime_ns() -> u64 {
    // The clock is there since Linux 2.6.39, and reading it cannot fail on a kernel that has it.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |now| {
        // The parts are shorter integers on 32-bit machines.
        let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
        let nanoseconds = u64::try_from(now.tv_nsec()).unwrap_or(0);
        seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(nanoseconds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs() {
        let before = boottime_ns();
        assert!(before > 0 && boottime_ns() >= before);
    }
}
