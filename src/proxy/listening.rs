//! How many event streams clients listen on, in all and for each grant.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use super::Gate;
use crate::grants::Grant;
use crate::settings::Limits;

/// Streams that a server speaks on by itself: those of a GET, and subscriptions. An answer to a call is none of them.
pub struct Listening {
    in_all: usize,
    per_grant: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    in_all: usize,
    by_grant: HashMap<String, usize>,
}

/// One stream's place; free again when it is dropped.
pub(super) struct Ear {
    listening: Arc<Listening>,
    grant: String,
}

impl Listening {
    pub fn new(limits: &Limits) -> Self {
        Self {
            in_all: limits.streams,
            per_grant: limits.streams_per_grant,
            open: Mutex::default(),
        }
    }

    /// A place for one more stream of the grant, if there is one.
    fn ear(this: &Arc<Self>, grant: &str) -> Option<Ear> {
        let mut open = this.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.by_grant.get(grant).copied().unwrap_or_default();
        if open.in_all >= this.in_all || own >= this.per_grant {
            return None;
        }
        open.in_all += 1;
        open.by_grant.insert(grant.to_owned(), own + 1);
        Some(Ear {
            listening: Arc::clone(this),
            grant: grant.to_owned(),
        })
    }
}

/// There is none.
pub(super) struct NoPlace;

impl Ear {
    /// A place for one more stream of the grant, where the client listens on one at all.
    pub(super) fn of(gate: &Gate, grant: &Grant, listens: bool) -> Result<Option<Self>, NoPlace> {
        if !listens {
            return Ok(None);
        }
        let ear = Listening::ear(&gate.listening, grant.identity());
        ear.map(Some).ok_or(NoPlace)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut open = self.listening.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.in_all = open.in_all.saturating_sub(1);
        if let Entry::Occupied(mut entry) = open.by_grant.entry(std::mem::take(&mut self.grant)) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}
