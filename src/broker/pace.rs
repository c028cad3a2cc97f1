use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::policy::roles::Limits;

/// How many calls a session may make: at a time, and in a second.
#[derive(Debug)]
pub(super) struct Pace {
    limits: Limits,
    at_once: Arc<Semaphore>,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Calls that may be made at once, in nanoseconds of waiting for the next.
    saved: Duration,
    counted: Instant,
    /// Since a refusal, whether it is on record yet.
    told: Option<Instant>,
}

/// Why a call has to wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    /// What there are too many of.
    pub(super) resource: &'static str,
    /// How many there may be.
    pub(super) limit: u32,
    /// When it is worth trying again.
    pub(super) after: Duration,
    /// Whether it goes on record: a flood does so once a second.
    pub(super) record: Record,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Yes,
    No,
}

impl Pace {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            at_once: Arc::new(Semaphore::new(usize::from(limits.calls_at_once))),
            bucket: Mutex::new(Bucket {
                saved: full(limits),
                counted: Instant::now(),
                told: None,
            }),
        }
    }

    /// Takes the right to make one call; it is given back when the answer is over.
    pub(super) fn take(&self, now: Instant) -> Result<OwnedSemaphorePermit, TooMany> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let one = each(self.limits);
        let passed = now.saturating_duration_since(bucket.counted);
        bucket.counted = now;
        bucket.saved = bucket.saved.saturating_add(passed).min(full(self.limits));
        let (resource, limit, after) = match bucket.saved.checked_sub(one) {
            None => (
                "calls a second",
                self.limits.calls_a_second,
                one.saturating_sub(bucket.saved),
            ),
            Some(rest) => match self.at_once.clone().try_acquire_owned() {
                Ok(permit) => {
                    bucket.saved = rest;
                    return Ok(permit);
                }
                Err(_) => (
                    "calls at once",
                    self.limits.calls_at_once,
                    Duration::from_secs(1),
                ),
            },
        };
        let recent = |told: Instant| now.saturating_duration_since(told) < Duration::from_secs(1);
        let record = match bucket.told {
            Some(told) if recent(told) => Record::No,
            Some(_) | None => {
                bucket.told = Some(now);
                Record::Yes
            }
        };
        Err(TooMany {
            resource,
            limit: u32::from(limit),
            after,
            record,
        })
    }
}

/// How long one call takes to be saved up.
fn each(limits: Limits) -> Duration {
    Duration::from_secs(1) / u32::from(limits.calls_a_second.max(1))
}

fn full(limits: Limits) -> Duration {
    each(limits) * u32::from(limits.calls_in_a_burst)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        calls_at_once: 2,
        calls_a_second: 10,
        calls_in_a_burst: 3,
    };

    #[test]
    fn a_burst_is_taken_and_then_the_pace_is_kept() {
        let pace = Pace::new(LIMITS);
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        for _ in 0..3 {
            assert!(pace.take(after(0)).is_ok());
        }
        let refused = pace.take(after(20)).unwrap_err();
        assert_eq!((refused.resource, refused.limit), ("calls a second", 10));
        assert!(refused.after > Duration::ZERO && refused.after <= Duration::from_millis(100));
        assert_eq!(refused.record, Record::Yes);
        assert_eq!(pace.take(after(30)).unwrap_err().record, Record::No);
        assert!(pace.take(after(140)).is_ok());
        assert!(pace.take(after(141)).is_err());
        // What is saved is no more than a burst, however long nothing was asked.
        let long = 60_000;
        let taken = (0..10).filter(|_| pace.take(after(long)).is_ok()).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn a_call_holds_its_place_until_it_is_over() {
        let pace = Pace::new(LIMITS);
        let now = Instant::now();
        let (one, _two) = (pace.take(now).unwrap(), pace.take(now).unwrap());
        let refused = pace.take(now).unwrap_err();
        assert_eq!((refused.resource, refused.limit), ("calls at once", 2));
        drop(one);
        assert!(pace.take(now).is_ok());
    }
}
