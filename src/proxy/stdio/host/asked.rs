//! A request that a process has, as its client holds it.

use std::sync::Arc;

use bytes::Bytes;

use super::child::{Child, Serves};
use crate::mcp::renumber::Original;
use crate::mcp::reply;
use crate::proxy::held::Held;
use crate::proxy::stdio::pending::Ticket;
use crate::proxy::stdio::place::Place;

/// Takes a request out of those that wait, unless it was answered.
pub(super) struct Forget<'c> {
    child: &'c Child,
    ticket: Ticket,
}

impl<'c> Forget<'c> {
    pub(super) const fn new(child: &'c Child, ticket: Ticket) -> Self {
        Self { child, ticket }
    }
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        drop(self.child.waiting.take(&self.ticket));
    }
}

/// A request that was asked. Dropped, its client has left: where that is a cancellation, or it was not written yet, the
/// process is told.
pub(super) struct Asked {
    pub(super) child: Arc<Child>,
    pub(super) ticket: Ticket,
    /// As the process knows it.
    pub(super) id: String,
    pub(super) original: Original,
    pub(super) line: Bytes,
    pub(super) written: bool,
    pub(super) armed: bool,
}

impl Asked {
    /// The bytes of the client's id.
    pub(super) fn client_id(&self) -> &str {
        &self.original.id
    }

    /// What the call holds, where it did not start after all.
    pub(super) fn back(mut self) -> Option<Held> {
        self.armed = false;
        let waiting = self.child.waiting.take(&self.ticket)?;
        waiting.place.and_then(Place::into_held)
    }

    /// Nobody waits for it any more, and the process may stop.
    pub(super) fn cancel(&mut self) {
        self.armed = false;
        let Some(waiting) = self.child.waiting.take(&self.ticket) else {
            return;
        };
        waiting.given_up();
        self.child
            .mention(&reply::cancelled(&self.id, "its client has left"));
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // "disconnection SHOULD NOT be interpreted as the client cancelling its request" (2025-11-25, "Transports"); in
        // 2026-07-28 it is
        if self.armed && (!self.written || self.child.serves == Serves::Requests) {
            self.cancel();
        }
    }
}
