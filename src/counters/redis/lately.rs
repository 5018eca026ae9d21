//! What this replica was admitted lately: it is told to a server that took the store's place and may lack it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::counters::CallId;
use crate::counters::command::Span;
use crate::counters::prepare::{Group, Prepared};

/// Calls remembered at most.
const AT_MOST: usize = 32_768;

/// Calls that were charged lately, the oldest first.
#[derive(Debug)]
pub(super) struct Lately {
    /// For how long a call is remembered; zero: none is.
    span: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: VecDeque<Arc<Call>>,
    /// When a call was charged that was forgotten before its time.
    dropped: Option<Instant>,
    number: u64,
}

/// What one call was charged in one step.
#[derive(Debug)]
pub(super) struct Call {
    /// Grows from call to call.
    pub(super) number: u64,
    pub(super) id: CallId,
    pub(super) charges: Vec<Prepared>,
    pub(super) at: Instant,
    /// The store's time of it.
    pub(super) at_ms: u64,
}

impl Lately {
    pub(super) fn new(span: Duration) -> Self {
        Self {
            span,
            state: Mutex::default(),
        }
    }

    pub(super) fn note(&self, group: &Group, id: CallId, at_ms: u64) {
        if self.span.is_zero() {
            return;
        }
        let counted = group.charges.iter().filter(|prepared| is_told(prepared));
        let charges: Vec<Prepared> = counted.cloned().collect();
        if charges.is_empty() {
            return;
        }
        let at = Instant::now();
        let mut state = self.lock();
        while let Some(oldest) = state.calls.front()
            && (state.calls.len() >= AT_MOST || at.saturating_duration_since(oldest.at) > self.span)
        {
            if at.saturating_duration_since(oldest.at) <= self.span {
                state.dropped = Some(oldest.at);
            }
            state.calls.pop_front();
        }
        state.number = state.number.wrapping_add(1);
        let number = state.number;
        state.calls.push_back(Arc::new(Call {
            number,
            id,
            charges,
            at,
            at_ms,
        }));
    }

    /// It was taken back.
    pub(super) fn forget(&self, id: CallId) {
        if !self.span.is_zero() {
            self.lock().calls.retain(|call| call.id != id);
        }
    }

    /// Those behind a number, the oldest first.
    pub(super) fn since(&self, number: u64) -> Vec<Arc<Call>> {
        let state = self.lock();
        let later = state.calls.iter().filter(|call| call.number > number);
        later.cloned().collect()
    }

    /// Whether every call of so long a time is remembered.
    pub(super) fn is_whole(&self, now: Instant) -> bool {
        let dropped = self.lock().dropped;
        dropped.is_none_or(|at| now.saturating_duration_since(at) > self.span)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among calls at once is given up instead, and what is in shadow binds nobody.
const fn is_told(prepared: &Prepared) -> bool {
    !prepared.charge.advisory && !matches!(prepared.charge.span, Span::Lease { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::command::KeyCharge;

    fn group(span: Span, advisory: bool) -> Group {
        let charge = KeyCharge {
            advisory,
            ..KeyCharge::one("k", span)
        };
        Group {
            charges: vec![Prepared {
                charge,
                unit: None,
                sources: Vec::new(),
            }],
        }
    }

    const MINUTE: Span = Span::Window { window: 60_000 };

    fn id(number: u64) -> CallId {
        CallId(number.to_be_bytes())
    }

    #[tokio::test(start_paused = true)]
    async fn what_binds_is_remembered_for_its_time_and_what_was_taken_back_is_not() {
        let lately = Lately::new(Duration::from_secs(60));
        lately.note(&group(MINUTE, false), id(1), 1);
        lately.note(&group(MINUTE, true), id(2), 2);
        lately.note(&group(Span::Lease { ttl: 1_000 }, false), id(3), 3);
        lately.note(&group(MINUTE, false), id(4), 4);
        let ids = |after: u64| lately.since(after).iter().map(|call| call.id).collect::<Vec<_>>();
        assert_eq!(ids(0), [id(1), id(4)]);
        assert_eq!(ids(1), [id(4)]);
        lately.forget(id(1));
        assert_eq!(ids(0), [id(4)]);
        tokio::time::advance(Duration::from_millis(60_001)).await;
        lately.note(&group(MINUTE, false), id(5), 5);
        assert_eq!(ids(0), [id(5)]);
        assert!(lately.is_whole(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn it_says_for_as_long_as_it_matters_that_some_were_forgotten() {
        let lately = Lately::new(Duration::from_secs(60));
        let group = group(MINUTE, false);
        for number in 0..=AT_MOST as u64 {
            lately.note(&group, id(number), number);
        }
        assert_eq!(lately.since(0).len(), AT_MOST);
        assert!(!lately.is_whole(Instant::now()));
        tokio::time::advance(Duration::from_millis(60_001)).await;
        assert!(lately.is_whole(Instant::now()));
    }

    #[tokio::test]
    async fn nothing_is_remembered_where_nobody_is_to_be_told() {
        let lately = Lately::new(Duration::ZERO);
        lately.note(&group(MINUTE, false), id(1), 1);
        assert!(lately.since(0).is_empty());
    }
}
