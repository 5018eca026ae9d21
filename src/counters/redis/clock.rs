//! What time it is in the store, from its own replies.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Older estimates are asked anew: clocks drift and are stepped.
const TRUSTED: Duration = Duration::from_secs(60);
const UNKNOWN: i64 = i64::MIN;

/// The offset from this process's monotonic clock to the store's, both in ms.
///
/// A reply's time was read between its command's sending and its arrival. Kept is the lower bound, so
/// that a deadline in store time errs on the early side by at most one round trip.
#[derive(Debug)]
pub(super) struct StoreClock {
    origin: Instant,
    offset: AtomicI64,
    /// Milliseconds from `origin` to the newest reply.
    noted: AtomicI64,
}

impl StoreClock {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            offset: AtomicI64::new(UNKNOWN),
            noted: AtomicI64::new(0),
        }
    }

    /// A reply to a command sent at `sent` gave the store's time.
    pub(super) fn note(&self, sent: Instant, store_ms: u64) {
        self.note_at(self.since(sent), self.since(Instant::now()), store_ms);
    }

    /// The store's time now, at the earliest; `None` where it must be asked.
    pub(super) fn now(&self) -> Option<u64> {
        self.now_at(self.since(Instant::now()))
    }

    fn note_at(&self, sent: i64, received: i64, store_ms: u64) {
        let Ok(store) = i64::try_from(store_ms) else {
            return;
        };
        let earliest = store.saturating_sub(received);
        let latest = store.saturating_add(1).saturating_sub(sent);
        let known = self.offset.load(Ordering::Relaxed);
        // A known offset above `latest` means that the store's clock stepped back.
        if known == UNKNOWN || earliest > known || known > latest {
            self.offset.store(earliest, Ordering::Relaxed);
        }
        self.noted.store(received, Ordering::Relaxed);
    }

    fn now_at(&self, here: i64) -> Option<u64> {
        let offset = self.offset.load(Ordering::Relaxed);
        let age = here.saturating_sub(self.noted.load(Ordering::Relaxed));
        if offset == UNKNOWN || age > i64::try_from(TRUSTED.as_millis()).unwrap_or(i64::MAX) {
            return None;
        }
        u64::try_from(here.saturating_add(offset)).ok()
    }

    fn since(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.origin).as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_or_old_time_must_be_asked() {
        let clock = StoreClock::new();
        assert_eq!(clock.now_at(5), None);
        clock.note_at(0, 10, 1_000_000);
        assert_eq!(clock.now_at(10), Some(1_000_000));
        assert_eq!(clock.now_at(60_010), Some(1_060_000));
        assert_eq!(clock.now_at(60_011), None);
    }

    #[test]
    fn a_slow_reply_does_not_replace_a_better_estimate() {
        let clock = StoreClock::new();
        clock.note_at(0, 1, 1_000_000);
        clock.note_at(100, 190, 1_000_105);
        assert_eq!(clock.now_at(200), Some(1_000_199));
    }

    #[test]
    fn a_clock_that_jumped_ahead_or_back_is_followed() {
        let clock = StoreClock::new();
        clock.note_at(0, 1, 1_000_000);
        clock.note_at(10, 11, 2_000_000);
        assert_eq!(clock.now_at(11), Some(2_000_000));
        clock.note_at(20, 21, 1_000_000);
        assert_eq!(clock.now_at(21), Some(1_000_000));
    }
}
