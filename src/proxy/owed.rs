//! Calls that this replica admitted without the store, until the store has been told of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Gate;
use crate::counters::{Admission, CallId, StoreError, Verdict};
use crate::policy::{Charge, Limit, Window};

/// Calls remembered at most; beyond, none is admitted without the store.
const AT_MOST: usize = 65_536;
/// Calls told at once.
const AT_ONCE: usize = 64;
/// More than any sum: what was admitted is told, not asked.
const UNBOUNDED: u64 = 1 << 53;

/// Calls admitted without the store, oldest first.
#[derive(Debug, Default)]
pub(super) struct Owed {
    calls: Mutex<VecDeque<Arc<Call>>>,
    count: AtomicUsize,
}

#[derive(Debug)]
struct Call {
    id: CallId,
    charges: Vec<Charge>,
    at: Instant,
}

impl Owed {
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Remembers a call. `false`: there are too many.
    pub(super) fn add(&self, id: CallId, charges: Vec<Charge>) -> bool {
        let mut calls = self.lock();
        if calls.len() >= AT_MOST {
            return false;
        }
        let at = Instant::now();
        calls.push_back(Arc::new(Call { id, charges, at }));
        self.count.store(calls.len(), Ordering::SeqCst);
        true
    }

    /// Forgets a call: it was taken back, or told.
    pub(super) fn remove(&self, id: CallId) {
        let mut calls = self.lock();
        if let Some(place) = calls.iter().position(|call| call.id == id) {
            calls.remove(place);
        }
        self.count.store(calls.len(), Ordering::SeqCst);
    }

    fn oldest(&self) -> Vec<Arc<Call>> {
        self.lock().iter().take(AT_ONCE).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Call>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the store of all of them. They count from now on, which is later than they were admitted and so errs
/// on the strict side. Ends early where the store does not answer.
pub(super) async fn tell(gate: &Arc<Gate>, owed: &Owed) {
    loop {
        let calls = owed.oldest();
        if calls.is_empty() {
            return;
        }
        let mut telling = JoinSet::new();
        for call in calls {
            let gate = Arc::clone(gate);
            telling.spawn(async move {
                let told = tell_one(&gate, &call).await;
                told.map(|()| call.id)
            });
        }
        let mut all = true;
        while let Some(told) = telling.join_next().await {
            match told {
                Ok(Ok(id)) => owed.remove(id),
                _ => all = false,
            }
        }
        if !all {
            return;
        }
    }
}

async fn tell_one(gate: &Gate, call: &Call) -> Result<(), StoreError> {
    let age = call.at.elapsed();
    let counting = call.charges.iter().filter(|charge| counts(charge, age));
    let charges: Vec<Charge> = counting.map(unbounded).collect();
    if charges.is_empty() {
        return Ok(());
    }
    // An id of its own: the call's may yet be taken back, since the store may have charged it as it went away.
    let id = CallId::random()?;
    match gate.store.admit(&Admission { id, charges }).await? {
        Verdict::Admitted { .. } => Ok(()),
        Verdict::Limited { .. } => Err(StoreError::Protocol("a charge that was told did not fit")),
    }
}

fn counts(charge: &Charge, age: Duration) -> bool {
    match charge.limit.window {
        Window::Sliding { ms } => age <= Duration::from_millis(ms),
        // into the interval of now, at worst
        Window::Calendar(_) => true,
        Window::Lease { .. } => false,
    }
}

fn unbounded(charge: &Charge) -> Charge {
    let limit = &charge.limit;
    Charge {
        limit: Arc::new(Limit {
            rule: limit.rule.clone(),
            counter: limit.counter.clone(),
            on_deny: None,
            max: UNBOUNDED,
            ..**limit
        }),
        weight: charge.weight,
        subject: charge.subject.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_remembered_up_to_a_bound_and_forgotten_by_id() {
        let owed = Owed::default();
        let id = |number: usize| CallId((number as u64).to_be_bytes());
        assert!((0..AT_MOST).all(|number| owed.add(id(number), Vec::new())));
        assert!(!owed.add(id(AT_MOST), Vec::new()));
        owed.remove(id(7));
        assert_eq!(owed.count(), AT_MOST - 1);
        owed.remove(id(7));
        assert!(owed.add(id(AT_MOST), Vec::new()));
        assert_eq!(owed.oldest().len(), AT_ONCE);
    }
}
