//! When a node that does not answer is no longer asked by calls.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Commands in a row without an answer, after which calls no longer wait for the node.
const FAILURES: u32 = 10;

/// Closed while the node answers. Open, only a probe asks it (half open), and an answer to that closes it.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
    open: AtomicBool,
}

impl Breaker {
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// The node answered, whatever it said. One that is open stays so until the probe closes it: what was on
    /// its way for long says nothing of what comes.
    pub(super) fn answered(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A command brought no answer. `true`: this opened the breaker, and a probe must begin.
    pub(super) fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        failures >= FAILURES && !self.open.swap(true, Ordering::Relaxed)
    }

    /// The probe was answered.
    pub(super) fn close(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.open.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_once_after_failures_in_a_row_and_only_the_probe_closes_it() {
        let breaker = Breaker::default();
        for _ in 1..FAILURES {
            assert!(!breaker.failed());
        }
        breaker.answered();
        for _ in 1..FAILURES {
            assert!(!breaker.failed());
        }
        assert!(!breaker.is_open());
        assert!(breaker.failed());
        assert!(breaker.is_open() && !breaker.failed());
        breaker.answered();
        assert!(breaker.is_open());
        breaker.close();
        assert!(!breaker.is_open() && !breaker.failed());
    }
}
