use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// How many signed hashes are remembered. Each costs about 20 bytes, so that all of them are 5 MiB; a connection adds
/// one, and one for each rekey, which [`super::pace`] slows down.
pub(super) const REMEMBERED: usize = 1 << 18;

/// Remembers which exchange hashes were signed, so that none becomes the session identifier of a second connection.
///
/// Kept is a 64-bit hash of each (std's `RandomState`: SipHash with random keys of this process, so that nobody can choose two that
/// collide), for the last [`REMEMBERED`] of them. What is older, or was signed before a restart, is forgotten. A new hash
/// is taken for an old one once in 2^46 times: that connection fails and its client tries again.
pub(super) struct SignedHashes {
    key: RandomState,
    known: HashSet<u64>,
    order: VecDeque<u64>,
    limit: usize,
}

impl SignedHashes {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            key: RandomState::new(),
            known: HashSet::new(),
            order: VecDeque::new(),
            limit,
        }
    }

    /// Adds `hash`; false if it was known.
    #[must_use]
    pub(super) fn add(&mut self, hash: &[u8]) -> bool {
        let short = self.key.hash_one(hash);
        if !self.known.insert(short) {
            return false;
        }
        if self.order.len() >= self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(short);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_new_once_until_it_is_forgotten() {
        let mut hashes = SignedHashes::new(3);
        assert!(hashes.add(b"a"));
        assert!(!hashes.add(b"a"));
        assert!(hashes.add(b"b") && hashes.add(b"c"));
        assert!(!hashes.add(b"a"));
        assert!(hashes.add(b"d"), "the oldest makes room");
        assert!(hashes.add(b"a"));
        assert_eq!((hashes.known.len(), hashes.order.len()), (3, 3));
    }
}
