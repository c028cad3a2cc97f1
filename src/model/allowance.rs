use std::time::Instant;

/// What somebody may use up in a time: so much at once, and so much more in each second.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    per_second: u64,
    burst: u64,
    left: u64,
    since: Instant,
}

impl Allowance {
    /// One that is whole at `now`.
    #[must_use]
    pub fn new(per_second: u64, burst: u64, now: Instant) -> Self {
        Self {
            per_second,
            burst,
            left: burst,
            since: now,
        }
    }

    /// Uses `amount` up, if there is as much.
    #[must_use]
    pub fn take(&mut self, amount: u64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let micros = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        let grown = self.per_second.saturating_mul(micros) / 1_000_000;
        if grown > 0 {
            self.since = now;
            self.left = self.left.saturating_add(grown).min(self.burst);
        }
        let rest = self.left.checked_sub(amount);
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }

    /// Takes back that `amount` was used up.
    pub fn give_back(&mut self, amount: u64) {
        self.left = self.left.saturating_add(amount).min(self.burst);
    }

    /// Whether all of it is there at `now`.
    #[must_use]
    pub fn is_whole(mut self, now: Instant) -> bool {
        self.take(0, now) && self.left == self.burst
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_used_up_grows_back_and_no_further() {
        let start = Instant::now();
        let mut allowance = Allowance::new(1000, 500, start);
        assert!(allowance.take(500, start) && !allowance.take(1, start));
        let after = |ms| start + Duration::from_millis(ms);
        assert!(!allowance.take(101, after(100)) && allowance.take(100, after(100)));
        assert!(!allowance.take(501, after(9000)) && allowance.take(500, after(9000)));
        // Asking often does not lose what is less than one.
        let mut slow = Allowance::new(1, 1, start);
        assert!(slow.take(1, start));
        for ms in 0..1000 {
            assert!(!slow.take(1, after(ms)), "{ms}");
        }
        assert!(slow.take(1, after(1000)));
    }
}
