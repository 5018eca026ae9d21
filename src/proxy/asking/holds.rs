//! Which calls are held: so many, and by whose request, so that a client can stop one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::mcp::ids::IdKey;
use crate::proxy::places::{NoPlace, Place, Places};

/// Calls that may be held in all.
const HELD: usize = 1_000;
/// Calls of one grant that may be held.
pub const HELD_PER_GRANT: usize = 20;

/// All calls that are held.
pub struct Holds {
    places: Arc<Places>,
    by_request: Mutex<HashMap<Held, Arc<Notify>>>,
}

/// The request of a call over HTTP: an id is a client's own within its session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    pub server: String,
    pub identity: String,
    pub session: String,
    pub id: IdKey,
}

/// A held call among the others; gone when it is dropped.
pub struct Listed {
    holds: Arc<Holds>,
    held: Option<Held>,
    stopped: Arc<Notify>,
    _place: Place,
}

impl Default for Holds {
    fn default() -> Self {
        Self {
            places: Places::new(HELD, HELD_PER_GRANT),
            by_request: Mutex::default(),
        }
    }
}

impl Holds {
    fn lock(&self) -> MutexGuard<'_, HashMap<Held, Arc<Notify>>> {
        self.by_request.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client wants no answer any more.
    pub fn stop(&self, held: &Held) {
        if let Some(stopped) = self.lock().get(held) {
            // kept for a call that does not wait just now
            stopped.notify_one();
        }
    }
}

impl Listed {
    /// Takes a place for one more call of the grant with this identity.
    ///
    /// # Errors
    /// [`NoPlace`]
    pub fn new(holds: &Arc<Holds>, identity: &str, held: Option<Held>) -> Result<Self, NoPlace> {
        let place = Place::of(&holds.places, identity)?;
        let stopped = Arc::new(Notify::new());
        if let Some(held) = &held {
            holds.lock().insert(held.clone(), Arc::clone(&stopped));
        }
        Ok(Self {
            holds: Arc::clone(holds),
            held,
            stopped,
            _place: place,
        })
    }

    /// Waits until the client wants no answer any more.
    pub async fn stopped(&self) {
        self.stopped.notified().await;
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let Some(held) = &self.held else { return };
        let mut by_request = self.holds.lock();
        // a later request may have taken the id
        let ours = by_request
            .get(held)
            .is_some_and(|known| Arc::ptr_eq(known, &self.stopped));
        if ours {
            by_request.remove(held);
        }
    }
}
