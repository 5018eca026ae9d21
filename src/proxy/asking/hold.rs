//! Waiting for people while the client waits.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::holds::{Held, Listed};
use crate::approvals::{ApprovalId, State};
use crate::proxy::Gate;

/// One call that is held, from its first look on.
pub struct Hold {
    gate: Arc<Gate>,
    until: Instant,
    changes: watch::Receiver<u64>,
    listed: Listed,
}

/// Nobody decided in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecided;

impl Hold {
    /// A place to wait in, for a call of this grant; `held`: the request that a client can stop.
    ///
    /// # Errors
    /// [`Undecided`] where calls are not held, or too many are.
    pub fn begin(gate: &Arc<Gate>, identity: &str, held: Option<Held>) -> Result<Self, Undecided> {
        if gate.hold.is_zero() {
            return Err(Undecided);
        }
        let listed = Listed::new(&gate.held, identity, held).map_err(|_| Undecided)?;
        Ok(Self {
            gate: Arc::clone(gate),
            until: Instant::now() + gate.hold,
            changes: gate.approvals.changes(),
            listed,
        })
    }

    /// Waits until the request is no longer pending, and the call is to be looked at again.
    ///
    /// # Errors
    /// [`Undecided`] where the time is over, the client has stopped the call, or the gate is going.
    pub async fn decided(&mut self, id: ApprovalId) -> Result<(), Undecided> {
        let gate = Arc::clone(&self.gate);
        let mut drains = gate.leaving.listen();
        loop {
            // what changes from here on is seen below
            self.changes.mark_unchanged();
            // a store that does not answer has not decided
            if let Ok(state) = gate.approvals.state(&id).await
                && state != Some(State::Pending)
            {
                return Ok(());
            }
            let changed = timeout_at(self.until, self.changes.changed());
            tokio::select! {
                changed = changed => match changed {
                    Ok(Ok(())) => {}
                    // the time is over, or nobody is there to change anything
                    _ => return Err(Undecided),
                },
                () = self.listed.stopped() => return Err(Undecided),
                () = std::future::poll_fn(|cx| drains.poll(cx)) => return Err(Undecided),
            }
        }
    }
}
