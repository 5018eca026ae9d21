//! The memory store on a clock that its user moves: what a store would have answered at recorded times.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::answers::Answers;
use super::store;
use super::{Admission, CallId, MemoryStore, Receipt, StoreError, Verdict, prepare};

/// Counters at a time of their own.
#[derive(Debug)]
pub struct Simulation {
    memory: MemoryStore,
    clock: Arc<AtomicU64>,
    ids: u64,
}

impl Default for Simulation {
    fn default() -> Self {
        let clock = Arc::<AtomicU64>::default();
        let memory = MemoryStore::with_clock(reading(&clock));
        Self {
            memory,
            clock,
            ids: 0,
        }
    }
}

fn reading(clock: &Arc<AtomicU64>) -> impl Fn() -> u64 + Send + Sync + 'static {
    let clock = Arc::clone(clock);
    move || clock.load(Ordering::Relaxed)
}

impl Simulation {
    /// The same counters at the same time, from here on apart.
    #[must_use]
    pub fn copy(&self) -> Self {
        let clock = Arc::new(AtomicU64::new(self.clock.load(Ordering::Relaxed)));
        Self {
            memory: self.memory.copy(reading(&clock)),
            clock,
            ids: self.ids,
        }
    }

    /// Moves the clock, forward alone, to `ms`.
    pub fn at(&self, ms: u64) {
        self.clock.fetch_max(ms, Ordering::Relaxed);
    }

    /// An id for the next call.
    pub fn id(&mut self) -> CallId {
        self.ids = self.ids.wrapping_add(1);
        CallId(self.ids.to_be_bytes())
    }

    /// How many counters are held: those charged within their windows, up to a sweep.
    pub fn keys(&self) -> usize {
        self.memory.keys()
    }

    /// What [`super::Store::admit`] answers.
    ///
    /// # Errors
    /// As there.
    pub fn admit(&self, admission: &Admission) -> Result<Verdict, StoreError> {
        self.judge(admission, false)
    }

    /// What [`super::Store::peek`] answers.
    ///
    /// # Errors
    /// As there.
    pub fn peek(&self, admission: &Admission) -> Result<Verdict, StoreError> {
        self.judge(admission, true)
    }

    /// Charges whatever the counters hold already.
    ///
    /// # Errors
    /// As [`Simulation::admit`].
    pub fn force(&self, admission: &Admission) -> Result<Option<Receipt>, StoreError> {
        let mut groups = prepare::groups(PREFIX, admission, false)?;
        for prepared in groups.iter_mut().flat_map(|group| &mut group.charges) {
            prepared.charge.max = u64::MAX;
        }
        match self.judge_groups(groups, admission, false)? {
            Verdict::Admitted { receipt, .. } => Ok(Some(receipt)),
            Verdict::Limited { .. } => Ok(None),
        }
    }

    /// Takes a call's charges back.
    pub fn refund(&self, receipt: &Receipt) {
        for keys in receipt.keys() {
            self.memory.refund(keys, receipt.id());
        }
    }

    fn judge(&self, admission: &Admission, peek: bool) -> Result<Verdict, StoreError> {
        let groups = prepare::groups(PREFIX, admission, false)?;
        self.judge_groups(groups, admission, peek)
    }

    fn judge_groups(
        &self,
        groups: Vec<prepare::Group>,
        admission: &Admission,
        peek: bool,
    ) -> Result<Verdict, StoreError> {
        let mut receipt = Receipt::none(admission.id, admission.charges.len());
        let mut answers = Answers::new(admission.charges.len());
        for group in groups {
            let reply = store::run_in_memory(&self.memory, &group, admission.id, peek)?;
            answers.note(&group, &reply)?;
            if !peek && !answers.denied() {
                receipt.charged(&group, &reply);
            }
        }
        Ok(answers.verdict(receipt))
    }
}

const PREFIX: &str = "memory";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Charge, Limit, OnStoreError, Scope, Subject, Window};

    fn charge(max: u64, weight: u64) -> Admission {
        let limit = Limit {
            rule: "/r".into(),
            counter: "c".into(),
            window: Window::Sliding { ms: 1_000 },
            max,
            scope: Scope::Grant,
            scale: 0,
            max_values: None,
            shadow: false,
            on_deny: None,
            on_store_error: OnStoreError::Deny,
        };
        let subject = Subject::Grant { grant: "g".into() };
        let charge = Charge {
            limit: Arc::new(limit),
            weight,
            subject,
        };
        Admission {
            id: CallId([0; 8]),
            charges: vec![charge],
        }
    }

    fn admits(counters: &mut Simulation, admission: &Admission) -> bool {
        let admission = Admission {
            id: counters.id(),
            ..admission.clone()
        };
        matches!(counters.admit(&admission), Ok(Verdict::Admitted { .. }))
    }

    #[test]
    fn a_charge_frees_when_the_clock_has_moved_past_its_window() {
        let mut counters = Simulation::default();
        counters.at(5_000);
        assert!(admits(&mut counters, &charge(1, 1)));
        counters.at(6_000);
        assert!(!admits(&mut counters, &charge(1, 1)));
        counters.at(6_001);
        counters.at(10);
        assert!(admits(&mut counters, &charge(1, 1)));
    }

    #[test]
    fn a_copy_starts_with_what_was_charged_and_goes_its_own_way() {
        let mut counters = Simulation::default();
        counters.at(5_000);
        assert!(admits(&mut counters, &charge(2, 1)));
        let mut copy = counters.copy();
        assert!(admits(&mut copy, &charge(2, 1)));
        assert!(!admits(&mut copy, &charge(2, 1)));
        assert!(admits(&mut counters, &charge(2, 1)));
        copy.at(6_001);
        assert!(admits(&mut copy, &charge(2, 1)) && !admits(&mut counters, &charge(2, 1)));
    }

    #[test]
    fn what_is_forced_counts_also_above_max_and_can_be_refunded() {
        let mut counters = Simulation::default();
        counters.at(5_000);
        let id = counters.id();
        let forced = counters
            .force(&Admission { id, ..charge(2, 2) })
            .unwrap()
            .unwrap();
        let id = counters.id();
        counters
            .force(&Admission { id, ..charge(2, 1) })
            .unwrap()
            .unwrap();
        counters.refund(&forced);
        assert!(admits(&mut counters, &charge(2, 1)));
        assert!(!admits(&mut counters, &charge(2, 1)));
    }
}
