//! Where requests are kept.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ApprovalsError;
use super::approval::ApprovalId;
use super::model::{Change, Found, Model, Open, Written};

pub enum Shelf {
    Memory(InMemory),
}

/// This process alone.
pub struct InMemory {
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    model: Mutex<Model>,
}

/// What was found under some ids, in their order, at one time of the store.
pub struct Looked {
    /// The store's time in ms.
    pub now: u64,
    /// Names the server that answered; it changes when that one restarts. Empty where it does not say.
    pub run: String,
    pub found: Vec<Found>,
}

impl InMemory {
    pub fn new(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            clock: Box::new(clock),
            model: Mutex::default(),
        }
    }

    /// The time is read under the lock: times are in the order of what happens.
    fn at(&self) -> (MutexGuard<'_, Model>, u64) {
        let model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        (model, (self.clock)())
    }
}

impl Shelf {
    /// A process' memory is one server: it cannot come back.
    const RUN: &'static str = "";

    pub async fn look(&self, ids: &[ApprovalId]) -> Result<Looked, ApprovalsError> {
        match self {
            Self::Memory(memory) => {
                let (model, now) = memory.at();
                let found = ids.iter().map(|id| model.find(now, *id)).collect();
                let run = Self::RUN.to_owned();
                Ok(Looked { now, run, found })
            }
        }
    }

    /// The last request of a call, while it stands.
    pub async fn last(&self, call: &str) -> Result<Option<ApprovalId>, ApprovalsError> {
        match self {
            Self::Memory(memory) => {
                let (model, now) = memory.at();
                Ok(model.last(now, call))
            }
        }
    }

    /// At most so many, those that are kept longest first.
    pub async fn list(&self, at_most: usize) -> Result<Vec<ApprovalId>, ApprovalsError> {
        match self {
            Self::Memory(memory) => {
                let (model, now) = memory.at();
                Ok(model.list(now, at_most))
            }
        }
    }

    pub async fn open(&self, open: Open) -> Result<Written, ApprovalsError> {
        match self {
            Self::Memory(memory) => {
                let (mut model, now) = memory.at();
                Ok(model.open(now, Self::RUN, open))
            }
        }
    }

    pub async fn change(&self, change: Change) -> Result<Written, ApprovalsError> {
        match self {
            Self::Memory(memory) => {
                let (mut model, now) = memory.at();
                Ok(model.change(now, Self::RUN, &change))
            }
        }
    }
}
