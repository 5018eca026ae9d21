//! A sample of what comes in floods.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Taken in one second.
const PER_SECOND: u32 = 10;

/// Lets the first few of each second through.
#[derive(Default)]
pub(super) struct Sample {
    second: Mutex<Option<(Instant, u32)>>,
}

impl Sample {
    pub(super) fn take(&self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> bool {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *second {
            Some((start, taken)) if now.duration_since(*start) < Duration::from_secs(1) => {
                *taken = taken.saturating_add(1);
                *taken <= PER_SECOND
            }
            _ => {
                *second = Some((now, 1));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{PER_SECOND, Sample};

    #[test]
    fn each_second_lets_a_few_through() {
        let (sample, start) = (Sample::default(), Instant::now());
        let taken = (0..100).filter(|_| sample.take_at(start)).count();
        assert_eq!(taken, PER_SECOND as usize);
        assert!(sample.take_at(start + Duration::from_secs(1)));
    }
}
