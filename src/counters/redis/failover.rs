//! Another server answers than the one that was charged: what it may lack, and for how long.
//!
//! Replication is asynchronous and a restart may lose what was not saved, so that a server in place of
//! another may lack charges. None of these count any more once a window has passed since it was met.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::identity::{Identity, NOBODY};
use crate::counters::StoreError;
use crate::counters::command::{Command, Span};

/// By so much a window is held longer, so that clocks which run unevenly do not end it early.
const SLACK_MS: u64 = 20;
/// How long a replica that has told what it was admitted waits for the others. Each sees within a second that another
/// server answers, and tells then.
const OTHERS_MS: u64 = 3_000;

/// What is done with the keys of a server that took another's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterFailover {
    /// A limit admits nothing until one of its windows has passed; windows longer than a bound go on at once.
    #[default]
    Quarantine,
    /// A limit admits nothing until replicas have charged again what they were admitted lately, or one window has passed.
    Restore,
    /// All go on at once.
    Continue,
}

/// Who was met at each node, and what may be missing since.
#[derive(Debug)]
pub(super) struct Failover {
    after: AfterFailover,
    /// Windows longer than this are not held.
    longest: Duration,
    /// Whether each node keeps keys of its own.
    is_cluster: bool,
    state: Mutex<State>,
    lost: Notify,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<String, Identity>,
    losses: Vec<Loss>,
    count: u64,
    unknown: bool,
}

/// Keys that may lack charges.
#[derive(Debug)]
struct Loss {
    number: u64,
    /// Of the node that keeps them; empty: all keys.
    address: String,
    /// What it has kept since, wherever that is by now.
    slots: Vec<(u16, u16)>,
    at: Instant,
    restored: Restored,
}

/// Whether what this replica was admitted has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restored {
    NotYet,
    Whole,
    /// Not all of it was remembered.
    InPart,
}

impl Failover {
    pub(super) fn new(after: AfterFailover, longest: Duration, is_cluster: bool) -> Self {
        Self {
            after,
            longest,
            is_cluster,
            state: Mutex::default(),
            lost: Notify::new(),
        }
    }

    /// A server was met at an address, on a new connection or an old one. The first one ever is trusted.
    pub(super) fn met(&self, address: &str, identity: &Identity, now: Instant) {
        let mut state = self.lock();
        state.unknown = identity.run_id.is_empty();
        if state.unknown {
            return;
        }
        // elsewhere than in a cluster a new address means a new primary
        let name = if self.is_cluster { address } else { "" };
        let changed = match state.known.get(name) {
            Some(known) => known.is_replaced_by(identity),
            None => state
                .known
                .values()
                .any(|known| identity.followed != NOBODY && known.history == identity.followed),
        };
        state.known.insert(name.to_owned(), identity.clone());
        if !changed {
            return;
        }
        tracing::warn!("another server took the store's place, and may lack what was charged last");
        state.count = state.count.saturating_add(1);
        state
            .losses
            .retain(|loss| now.saturating_duration_since(loss.at) <= self.longest + Duration::from_secs(1));
        let number = state.count;
        state.losses.push(Loss {
            number,
            address: name.to_owned(),
            slots: Vec::new(),
            at: now,
            restored: Restored::NotYet,
        });
        self.lost.notify_one();
    }

    /// Ends once something was lost since it was asked last.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }

    /// The number of the first loss that is not restored.
    pub(super) fn next_lost(&self) -> Option<u64> {
        let state = self.lock();
        let next = state.losses.iter().find(|loss| loss.restored == Restored::NotYet);
        next.map(|loss| loss.number)
    }

    /// Whether a key may lack charges because of this loss.
    pub(super) fn concerns(&self, number: u64, address: &str, slot: u16) -> bool {
        let state = self.lock();
        let mut its = state.losses.iter().filter(|loss| loss.number == number);
        its.any(|loss| loss.concerns(address, slot))
    }

    /// What this replica was admitted before this loss has been told, as a `whole` or in part.
    pub(super) fn restored(&self, number: u64, whole: bool) {
        let mut state = self.lock();
        for loss in state.losses.iter_mut().filter(|loss| loss.number == number) {
            loss.restored = if whole { Restored::Whole } else { Restored::InPart };
        }
    }

    /// A node keeps these slots. What it may lack stays suspect where the slot moves on.
    pub(super) fn keeps(&self, address: &str, slots: (u16, u16)) {
        let mut state = self.lock();
        let its = state.losses.iter_mut().filter(|loss| loss.address == address);
        for loss in its {
            if !loss.slots.contains(&slots) {
                loss.slots.push(slots);
            }
        }
    }

    /// An error where a charge counts on a key that may lack charges, with the time until it does not; now on
    /// this process's clock and on the store's.
    pub(super) fn check(
        &self,
        address: &str,
        slot: u16,
        command: &Command,
        (now, store_ms): (Instant, u64),
    ) -> Result<(), StoreError> {
        let state = self.lock();
        if state.losses.is_empty() || self.after == AfterFailover::Continue {
            return Ok(());
        }
        let held = state.losses.iter().filter(|loss| loss.concerns(address, slot));
        let left = held
            .flat_map(|loss| self.left(loss, command, now, store_ms))
            .max();
        match left {
            Some(retry_ms) => Err(StoreError::Quarantined { retry_ms }),
            None => Ok(()),
        }
    }

    /// For each charge that is held because of a loss: for how many ms yet.
    fn left(&self, loss: &Loss, command: &Command, now: Instant, store_ms: u64) -> Vec<u64> {
        let since = now.saturating_duration_since(loss.at);
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let in_force = command.charges.iter().filter(|charge| !charge.advisory);
        in_force
            .filter_map(|charge| {
                let until = match charge.span {
                    Span::Window { window } => self.holds(loss, window, window.saturating_add(SLACK_MS)),
                    Span::Lease { ttl } if ttl <= self.longest_ms() => ttl.saturating_add(SLACK_MS),
                    // the interval in which it was lost
                    Span::Calendar { start, end } => {
                        let lost = store_ms.saturating_sub(since);
                        let ends = lost.saturating_add(SLACK_MS) >= start && lost < end;
                        let left = if ends { end.saturating_sub(lost) } else { 0 };
                        self.holds(loss, end.saturating_sub(start), left)
                    }
                    Span::Lease { .. } => 0,
                };
                until.checked_sub(since).filter(|left| *left > 0)
            })
            .collect()
    }

    /// For how many ms after a loss a limit is held whose window is this long, and which is `exact` again so many ms
    /// after it without anything else.
    fn holds(&self, loss: &Loss, length: u64, exact: u64) -> u64 {
        match (self.after, loss.restored) {
            (AfterFailover::Restore, Restored::Whole) => exact.min(OTHERS_MS),
            (AfterFailover::Restore, Restored::NotYet) => exact,
            _ if length <= self.longest_ms() => exact,
            _ => 0,
        }
    }

    fn longest_ms(&self) -> u64 {
        u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX)
    }

    /// How often another server was met, whether keys are held because of it, and whether servers can be told
    /// apart at all.
    pub(super) fn seen(&self, now: Instant) -> (u64, bool, bool) {
        let state = self.lock();
        let held = |loss: &Loss| {
            let since = now.saturating_duration_since(loss.at);
            match (self.after, loss.restored) {
                (AfterFailover::Continue, _) => false,
                (AfterFailover::Restore, Restored::NotYet) => true,
                (AfterFailover::Restore, Restored::Whole) => since <= Duration::from_millis(OTHERS_MS),
                _ => since <= self.longest,
            }
        };
        let holds = state.losses.iter().any(held);
        (state.count, holds, !state.unknown)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loss {
    fn concerns(&self, address: &str, slot: u16) -> bool {
        self.address.is_empty()
            || self.address == address
            || self
                .slots
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

#[cfg(test)]
mod tests;
