//! Lines into the order of their times: replicas write beside each other.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::{Event, Unusable, What};

/// Lines that wait for earlier ones.
#[derive(Debug)]
pub(super) struct Order {
    waiting: BinaryHeap<Reverse<Waiting>>,
    disorder_ms: u64,
    newest: u64,
    /// The time of the last line that was let go.
    gone: u64,
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    event: Event,
    number: u64,
}

impl Waiting {
    /// Within one millisecond nobody knows what came first, and the order is the one in which most can be right:
    /// refunds, then admissions (those against the smallest `max` first), then denials.
    const fn key(&self) -> (u64, u8, u64, u64) {
        let (rank, max) = match self.event.what {
            What::Refund => (0, 0),
            What::Admission(wanted) => (1, wanted.max),
            What::Denial(_) => (2, 0),
        };
        (self.event.t_ms, rank, max, self.number)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Order {
    pub(super) fn new(disorder_ms: u64) -> Self {
        Self {
            waiting: BinaryHeap::new(),
            disorder_ms,
            newest: 0,
            gone: 0,
            next: 0,
        }
    }

    pub(super) fn add(&mut self, event: Event) -> Result<(), Unusable> {
        let t_ms = event.t_ms;
        if t_ms < self.gone {
            let by_ms = self.newest.saturating_sub(t_ms);
            return Err(Unusable::OutOfOrder { t_ms, by_ms });
        }
        self.newest = self.newest.max(t_ms);
        self.next = self.next.saturating_add(1);
        self.waiting.push(Reverse(Waiting {
            event,
            number: self.next,
        }));
        Ok(())
    }

    /// The next line whose turn has surely come.
    pub(super) fn ready(&mut self) -> Option<Event> {
        let Reverse(oldest) = self.waiting.peek()?;
        if self.newest.saturating_sub(oldest.event.t_ms) > self.disorder_ms {
            self.next()
        } else {
            None
        }
    }

    /// The earliest line that waits.
    pub(super) fn next(&mut self) -> Option<Event> {
        let Reverse(Waiting { event, .. }) = self.waiting.pop()?;
        self.gone = event.t_ms;
        Some(event)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
