//! Lines into the order of their times: replicas write beside each other.

use std::collections::BTreeMap;

use super::{Event, Unusable, What};

/// Lines that wait for earlier ones.
#[derive(Debug)]
pub(super) struct Order {
    waiting: BTreeMap<Turn, Event>,
    disorder_ms: u64,
    newest: u64,
    /// The time of the last line that was let go.
    gone: u64,
    next: u64,
}

/// The time, what comes first within one millisecond, and the number of the line.
type Turn = (u64, u8, u64, u64);

/// Within one millisecond nobody knows what came first, and the order is the one in which most can be right: refunds,
/// then admissions (those against the smallest `max` first), then denials.
const fn turn(event: &Event, number: u64) -> Turn {
    let (rank, max) = match event.what {
        What::Refund => (0, 0),
        What::Admission(wanted) => (1, wanted.max),
        What::Denial(_) => (2, 0),
    };
    (event.t_ms, rank, max, number)
}

impl Order {
    pub(super) fn new(disorder_ms: u64) -> Self {
        Self {
            waiting: BTreeMap::new(),
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
        self.waiting.insert(turn(&event, self.next), event);
        Ok(())
    }

    /// The next line whose turn has surely come.
    pub(super) fn ready(&mut self) -> Option<Event> {
        let ((oldest, ..), _) = self.waiting.first_key_value()?;
        if self.newest.saturating_sub(*oldest) > self.disorder_ms {
            self.next()
        } else {
            None
        }
    }

    /// The earliest line that waits.
    pub(super) fn next(&mut self) -> Option<Event> {
        let (_, event) = self.waiting.pop_first()?;
        self.gone = event.t_ms;
        Some(event)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
