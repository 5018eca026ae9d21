//! What this process used up: whoever can write to the store could put an old record back there.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::approval::ApprovalId;

/// Approvals that this process used up, with the store's time in ms from which on they are of no use anyway.
#[derive(Debug, Default)]
pub struct Spent(Mutex<BTreeMap<ApprovalId, u64>>);

impl Spent {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ApprovalId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn holds(&self, id: ApprovalId) -> bool {
        self.lock().contains_key(&id)
    }

    pub fn add(&self, id: ApprovalId, now: u64, expires_ms: u64) {
        let mut spent = self.lock();
        spent.retain(|_, expires_ms| now < *expires_ms);
        spent.insert(id, expires_ms);
    }

    pub fn remove(&self, id: ApprovalId) {
        self.lock().remove(&id);
    }
}
