//! The ids of calls that were decided lately.

use std::collections::{HashMap, VecDeque};

use super::Event;

/// How long an id is remembered, in ms: a call is decided within its deadline, which is at most a minute.
const KEPT_MS: u64 = 60_000;

/// Ids, each with the time of its line.
#[derive(Debug, Default)]
pub(super) struct Recent {
    at: HashMap<u64, u64>,
    queue: VecDeque<(u64, u64)>,
}

impl Recent {
    /// Remembers the event's id; the time of the line with which `others` contradicts it, if any.
    pub(super) fn note(&mut self, event: &Event, others: &Self) -> Option<u64> {
        while let Some(&(at, id)) = self.queue.front()
            && event.t_ms.saturating_sub(at) > KEPT_MS
        {
            self.queue.pop_front();
            self.at.remove(&id);
        }
        if self.at.insert(event.id, event.t_ms).is_none() {
            self.queue.push_back((event.t_ms, event.id));
        }
        others.at.get(&event.id).copied()
    }

    pub(super) fn holds(&self, id: u64) -> bool {
        self.at.contains_key(&id)
    }
}
