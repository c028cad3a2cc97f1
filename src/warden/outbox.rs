use std::collections::VecDeque;
use std::time::Instant;

use crate::wire::LinkError;
use crate::wire::limits::{OUTBOX_AGE, OUTBOX_BYTES, OUTBOX_MESSAGES};

/// What a process has not taken yet, in order.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    waiting: VecDeque<Waiting<T>>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    message: T,
    bytes: usize,
    since: Instant,
}

/// There is no room for more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<T> Outbox<T> {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// When the oldest has waited too long.
    pub(super) fn overdue_at(&self) -> Option<Instant> {
        self.waiting.front().map(|oldest| oldest.since + OUTBOX_AGE)
    }

    /// Takes `message`, which is `bytes` long.
    pub(super) fn push(&mut self, message: T, bytes: usize, now: Instant) -> Result<(), Full> {
        if self.waiting.len() >= OUTBOX_MESSAGES || self.bytes + bytes > OUTBOX_BYTES {
            return Err(Full);
        }
        self.bytes += bytes;
        self.waiting.push_back(Waiting {
            message,
            bytes,
            since: now,
        });
        Ok(())
    }

    /// Sends what is taken now. What is not stays, in order.
    pub(super) fn flush(
        &mut self,
        mut send: impl FnMut(&T) -> Result<(), LinkError>,
    ) -> Result<(), LinkError> {
        while let Some(oldest) = self.waiting.front() {
            match send(&oldest.message) {
                Ok(()) => {
                    self.bytes = self.bytes.saturating_sub(oldest.bytes);
                    self.waiting.pop_front();
                }
                Err(error) if error.would_block() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sys::Errno;

    fn blocked() -> LinkError {
        LinkError::Socket(Errno::EAGAIN)
    }

    #[test]
    fn what_is_not_taken_waits_in_order() {
        let mut outbox = Outbox::new();
        let now = Instant::now();
        (0..5).for_each(|n| outbox.push(n, 1, now).unwrap());
        let mut taken = Vec::new();
        for room in [2, 0, 10] {
            let mut room = room;
            let sent = outbox.flush(|n| {
                if room == 0 {
                    return Err(blocked());
                }
                room -= 1;
                taken.push(*n);
                Ok(())
            });
            assert!(sent.is_ok());
        }
        assert_eq!(taken, [0, 1, 2, 3, 4]);
        assert_eq!((outbox.len(), outbox.overdue_at()), (0, None));
        outbox.push(5, 1, now).unwrap();
        assert!(matches!(
            outbox.flush(|_| Err(LinkError::Closed)),
            Err(LinkError::Closed)
        ));
    }

    #[test]
    fn it_is_bounded_in_bytes_and_in_messages_and_room_comes_back() {
        let now = Instant::now();
        let mut long = Outbox::new();
        long.push((), OUTBOX_BYTES - 1, now).unwrap();
        assert_eq!(long.push((), 2, now), Err(Full));
        long.push((), 1, now).unwrap();
        assert!(long.flush(|()| Ok(())).is_ok());
        long.push((), OUTBOX_BYTES, now).unwrap();

        let mut many = Outbox::new();
        (0..OUTBOX_MESSAGES).for_each(|_| many.push((), 0, now).unwrap());
        assert_eq!(many.push((), 0, now), Err(Full));
    }

    #[test]
    fn the_oldest_says_when_it_is_too_late() {
        let now = Instant::now();
        let mut outbox = Outbox::new();
        outbox.push(1, 1, now).unwrap();
        outbox.push(2, 1, now + Duration::from_secs(3)).unwrap();
        assert_eq!(outbox.overdue_at(), Some(now + OUTBOX_AGE));
        let mut first = true;
        let sent = outbox.flush(|_| {
            if std::mem::take(&mut first) {
                Ok(())
            } else {
                Err(blocked())
            }
        });
        assert!(sent.is_ok());
        let later = now + Duration::from_secs(3) + OUTBOX_AGE;
        assert_eq!(outbox.overdue_at(), Some(later));
    }
}
