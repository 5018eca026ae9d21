//! Calls of one stdio client that wait for people, while its other lines go on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::mcp::ids::IdKey;
use crate::proxy::asking::{HELD_PER_GRANT, Hold, Waits};

/// A call that waits no more: to be judged again, or to be told that nobody decided.
pub(super) struct Back {
    pub(super) line: Bytes,
    pub(super) waits: Box<Waits>,
    pub(super) hold: Hold,
    pub(super) decided: bool,
    number: u64,
}

/// The calls that wait. Dropped, they are recorded as waiting, and nobody is told.
pub(super) struct Holding {
    back: mpsc::Sender<Back>,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    /// By the id of the client's request.
    waiting: Vec<(Option<IdKey>, u64, AbortHandle)>,
    next: u64,
}

impl Holding {
    pub(super) fn new() -> (Self, mpsc::Receiver<Back>) {
        // each call that waits comes back once, and no more can wait
        let (back, comes) = mpsc::channel(HELD_PER_GRANT);
        let calls = Mutex::default();
        (Self { back, calls }, comes)
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call wait in a task of its own.
    pub(super) fn wait(&self, id: Option<IdKey>, line: Bytes, waits: Box<Waits>, mut hold: Hold) {
        let mut calls = self.lock();
        let number = calls.next;
        calls.next = number.wrapping_add(1);
        let back = self.back.clone();
        let task = tokio::spawn(async move {
            let decided = hold.decided(waits.approval.id).await.is_ok();
            let came = Back {
                line,
                waits,
                hold,
                decided,
                number,
            };
            // an error means that the client has gone
            drop(back.send(came).await);
        });
        calls.waiting.push((id, number, task.abort_handle()));
    }

    /// Whether the call that came back is still wanted.
    pub(super) fn is_wanted(&self, back: &Back) -> bool {
        let mut calls = self.lock();
        let place = calls
            .waiting
            .iter()
            .position(|(_, number, _)| *number == back.number);
        place.map(|place| calls.waiting.swap_remove(place)).is_some()
    }

    /// The client wants no answer to this request. `false`: it does not wait here.
    pub(super) fn cancel(&self, id: &IdKey) -> bool {
        let mut calls = self.lock();
        let place = calls
            .waiting
            .iter()
            .position(|(known, _, _)| known.as_ref() == Some(id));
        let Some((_, _, task)) = place.map(|place| calls.waiting.swap_remove(place)) else {
            return false;
        };
        task.abort();
        true
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        for (_, _, task) in &self.lock().waiting {
            task.abort();
        }
    }
}
