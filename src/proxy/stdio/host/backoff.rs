//! When a program that ended by itself may be started again.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause; doubled each time.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);
/// A process that ran for so long ran well.
const RAN_WELL: Duration = Duration::from_secs(60);

/// The starts of one program for one grant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    due: Option<Instant>,
}

impl Backoff {
    /// How many starts in a row came to nothing.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// When it may be started; `None`: now.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.due.filter(|due| *due > now)
    }

    /// A process that nobody asked to end has ended at `now`, after it `ran`.
    pub(super) fn ended(&mut self, now: Instant, ran: Duration) {
        self.failures = if ran >= RAN_WELL {
            1
        } else {
            self.failures.saturating_add(1)
        };
        let doubled = 2_u32.saturating_pow(self.failures.saturating_sub(1));
        let pause = FIRST.saturating_mul(doubled).min(LONGEST);
        self.due = now.checked_add(pause);
    }

    /// Whether nothing is left to remember at `now`.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let since = self.due.map(|due| now.saturating_duration_since(due));
        since.is_none_or(|since| since >= RAN_WELL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_cap_and_start_anew_after_a_good_run() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        assert_eq!(backoff.due(now), None);
        let mut pauses = Vec::new();
        for _ in 0..40 {
            backoff.ended(now, Duration::from_secs(1));
            pauses.push(backoff.due(now).unwrap() - now);
        }
        assert_eq!(pauses[..3], [FIRST, FIRST * 2, FIRST * 4]);
        assert_eq!(pauses[39], LONGEST);
        assert_eq!(backoff.due(now + LONGEST), None);
        assert!(!backoff.is_over(now + LONGEST) && backoff.is_over(now + LONGEST + RAN_WELL));
        backoff.ended(now, RAN_WELL);
        assert_eq!(backoff.due(now), Some(now + FIRST));
    }
}
