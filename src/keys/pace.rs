use std::time::{Duration, Instant};

/// One rekey each so often in the long run. A client that asks for a new key after each MiB has them this fast at
/// 32 MiB/s; to flush [`super::memory::SignedHashes`] with them takes two hours.
const INTERVAL: Duration = Duration::from_millis(31);
/// This many may come at once.
const BURST: u32 = 64;

/// When a connection's next rekey may be signed: the generic cell rate algorithm of ATM (ITU-T I.371).
#[derive(Default)]
pub(super) struct Pace {
    /// When the allowance would be whole again.
    whole: Option<Instant>,
}

impl Pace {
    /// Takes one; the time at which it may be used.
    pub(super) fn take(&mut self, now: Instant) -> Instant {
        let whole = self.whole.map_or(now, |whole| whole.max(now)) + INTERVAL;
        self.whole = Some(whole);
        whole
            .checked_sub(INTERVAL * BURST)
            .map_or(now, |due| due.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let now = Instant::now() + Duration::from_secs(3600);
        let mut pace = Pace::default();
        assert!((0..BURST).all(|_| pace.take(now) == now));
        assert_eq!(pace.take(now), now + INTERVAL);
        assert_eq!(pace.take(now), now + INTERVAL * 2);
        let later = now + Duration::from_secs(60);
        assert_eq!(pace.take(later), later);
    }
}
