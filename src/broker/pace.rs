use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::policy::roles::Limits;

/// How much time is between two records of a kind.
const EACH: Duration = Duration::from_secs(1);

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
}

/// Why a call has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    /// What there are too many of.
    pub(super) resource: &'static str,
    /// How many there may be.
    pub(super) limit: u32,
    /// When it is worth trying again.
    pub(super) after: Duration,
}

/// How often it goes on record what a session may cause as often as it likes: each kind once a second, with how many were left
/// out. The trail's disk is everybody's.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<BTreeMap<&'static str, Told>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    left_out: u64,
}

impl Tally {
    /// Counts one of a kind: whether it goes on record, and then how many before it did not.
    pub(super) fn count(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kinds.get_mut(kind) {
            Some(told) if now.saturating_duration_since(told.at) < EACH => {
                told.left_out = told.left_out.saturating_add(1);
                None
            }
            Some(told) => {
                told.at = now;
                Some(std::mem::take(&mut told.left_out))
            }
            None => {
                let told = Told {
                    at: now,
                    left_out: 0,
                };
                kinds.insert(kind, told);
                Some(0)
            }
        }
    }

    /// What is on no record yet, once nothing more will come.
    pub(super) fn rest(&self) -> Vec<(&'static str, u64)> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = std::mem::take(&mut *kinds).into_iter();
        rest.map(|(kind, told)| (kind, told.left_out))
            .filter(|(_, left_out)| *left_out > 0)
            .collect()
    }
}

impl Pace {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            at_once: Arc::new(Semaphore::new(usize::from(limits.calls_at_once))),
            bucket: Mutex::new(Bucket {
                saved: full(limits),
                counted: Instant::now(),
            }),
        }
    }

    /// Counts a connection, which is for one call, whatever comes of it.
    pub(super) fn arrive(&self, now: Instant) -> Result<(), TooMany> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let one = each(self.limits);
        let passed = now.saturating_duration_since(bucket.counted);
        bucket.counted = now;
        bucket.saved = bucket.saved.saturating_add(passed).min(full(self.limits));
        match bucket.saved.checked_sub(one) {
            Some(rest) => {
                bucket.saved = rest;
                Ok(())
            }
            None => Err(TooMany {
                resource: "calls a second",
                limit: u32::from(self.limits.calls_a_second),
                after: one.saturating_sub(bucket.saved),
            }),
        }
    }

    /// Takes the right to make one call at a time; it is given back when the answer is over.
    pub(super) fn begin(&self) -> Result<OwnedSemaphorePermit, TooMany> {
        let permit = self.at_once.clone().try_acquire_owned();
        permit.map_err(|_| TooMany {
            resource: "calls at once",
            limit: u32::from(self.limits.calls_at_once),
            after: Duration::from_secs(1),
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
            assert!(pace.arrive(after(0)).is_ok());
        }
        let refused = pace.arrive(after(20)).unwrap_err();
        assert_eq!((refused.resource, refused.limit), ("calls a second", 10));
        assert!(refused.after > Duration::ZERO && refused.after <= Duration::from_millis(100));
        assert!(pace.arrive(after(140)).is_ok());
        assert!(pace.arrive(after(141)).is_err());
        // What is saved is no more than a burst, however long nothing was asked.
        let long = 60_000;
        let taken = (0..10).filter(|_| pace.arrive(after(long)).is_ok()).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn a_call_holds_its_place_until_it_is_over() {
        let pace = Pace::new(LIMITS);
        let (one, _two) = (pace.begin().unwrap(), pace.begin().unwrap());
        let refused = pace.begin().unwrap_err();
        assert_eq!((refused.resource, refused.limit), ("calls at once", 2));
        drop(one);
        assert!(pace.begin().is_ok());
    }

    #[test]
    fn a_flood_goes_on_record_once_a_second_with_its_number() {
        let tally = Tally::default();
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(tally.count("heads", after(0)), Some(0));
        for ms in 1..=500 {
            assert_eq!(tally.count("heads", after(ms)), None);
        }
        // Another kind is no flood.
        assert_eq!(tally.count("uids", after(500)), Some(0));
        assert_eq!(tally.count("heads", after(1000)), Some(500));
        assert_eq!(tally.count("heads", after(1001)), None);
        assert_eq!(tally.rest(), [("heads", 1)]);
        assert_eq!(tally.rest(), []);
    }
}
