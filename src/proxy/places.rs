//! Places of which there are only so many, in all and for each grant: event streams that clients listen on, and calls
//! that are held.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

/// How many places there are, and who has them.
pub struct Places {
    in_all: usize,
    per_grant: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    in_all: usize,
    by_grant: HashMap<String, usize>,
}

/// One place; free again when it is dropped.
pub struct Place {
    places: Arc<Places>,
    grant: String,
}

impl Places {
    pub fn new(in_all: usize, per_grant: usize) -> Arc<Self> {
        Arc::new(Self {
            in_all,
            per_grant,
            open: Mutex::default(),
        })
    }

    /// One more place for the grant with this identity, if there is one.
    fn take(this: &Arc<Self>, grant: &str) -> Option<Place> {
        let mut open = this.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.by_grant.get(grant).copied().unwrap_or_default();
        if open.in_all >= this.in_all || own >= this.per_grant {
            return None;
        }
        open.in_all += 1;
        open.by_grant.insert(grant.to_owned(), own + 1);
        Some(Place {
            places: Arc::clone(this),
            grant: grant.to_owned(),
        })
    }
}

/// There is none.
#[derive(Clone, Copy, Debug)]
pub struct NoPlace;

impl Place {
    /// One more place for the grant with this identity.
    ///
    /// # Errors
    /// [`NoPlace`]
    pub fn of(places: &Arc<Places>, grant: &str) -> Result<Self, NoPlace> {
        Places::take(places, grant).ok_or(NoPlace)
    }

    /// The same where one is needed at all.
    ///
    /// # Errors
    /// [`NoPlace`]
    pub fn where_needed(needed: bool, places: &Arc<Places>, grant: &str) -> Result<Option<Self>, NoPlace> {
        needed.then(|| Self::of(places, grant)).transpose()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.in_all = open.in_all.saturating_sub(1);
        if let Entry::Occupied(mut entry) = open.by_grant.entry(std::mem::take(&mut self.grant)) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}
