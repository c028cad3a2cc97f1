use std::collections::HashMap;

/// How many are remembered. If there are more, some never end: then all are forgotten.
const MOST: usize = 4096;

/// What has begun in some session and has not ended yet, by its number there. The record of an end does not say again
/// what it is the end of.
pub(super) struct Began<T>(HashMap<(String, u64), T>);

impl<T> Default for Began<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Began<T> {
    pub(super) fn remember(&mut self, sid: &str, number: u64, what: T) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert((sid.to_owned(), number), what);
    }

    /// What has ended now.
    pub(super) fn end(&mut self, sid: &str, number: u64) -> Option<T> {
        self.0.remove(&(sid.to_owned(), number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_takes_no_more_than_a_bounded_room() {
        let mut began = Began::default();
        let all = 3 * u64::try_from(MOST).unwrap();
        for number in 0..all {
            began.remember("s", number, number);
            assert!(began.0.len() <= MOST);
        }
        assert_eq!(began.end("t", all - 1), None);
        assert_eq!(began.end("s", all - 1), Some(all - 1));
        assert_eq!(began.end("s", all - 1), None);
    }
}
