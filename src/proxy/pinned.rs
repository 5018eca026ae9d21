//! A server whose tools are pinned: what is accepted, what it showed last, and what is refused for that.
//!
//! A tool that is not accepted is refused from the start. An accepted one passes until a definition that differs
//! is seen, in a list that passes or in one that the gate asked for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;

use super::changed::Changes;
use crate::policy::{Definition, Listing, Pins, listing};
use crate::record::{Metrics, shown_name};

/// Tools that are not accepted are remembered up to this number, for log and metrics; they are refused in any case.
const REMEMBERED: usize = 1_000;
/// A line of the log names no more tools.
const NAMED: usize = 20;

/// The pins of one server, and what it showed.
pub struct Pinned {
    server: String,
    metrics: Arc<Metrics>,
    changes: Arc<Changes>,
    known: RwLock<Known>,
    again: Notify,
}

struct Known {
    accepted: Arc<Pins>,
    /// The last definition that was seen of each tool.
    seen: Listing,
    /// A whole list was seen: what is not in `seen` is gone.
    whole: bool,
    /// What the log has told of: tools that are refused, with the definition.
    told: Listing,
}

/// One message on its way to the client, whose tools are compared.
pub struct Look<'p> {
    pinned: &'p Pinned,
    accepted: Arc<Pins>,
    seen: Vec<(String, Option<Definition>)>,
}

impl Pinned {
    pub fn new(accepted: Pins, metrics: Arc<Metrics>, changes: Arc<Changes>) -> Self {
        let pinned = Self {
            server: accepted.server.clone(),
            metrics,
            changes,
            known: RwLock::new(Known {
                accepted: Arc::new(accepted),
                seen: Listing::new(),
                whole: false,
                told: Listing::new(),
            }),
            again: Notify::new(),
        };
        for result in ["listed", "failed"] {
            pinned.metrics.pins().looked(&pinned.server, result, 0);
        }
        pinned.change(|_| ());
        pinned
    }

    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whether a call of the tool is refused.
    pub(super) fn refuses(&self, tool: &str) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        !known.accepted.tools.contains_key(tool) || known.differs(tool)
    }

    /// Names the definition of the tool that is accepted.
    pub(super) fn accepted(&self, tool: &str) -> Option<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.accepted.tools.get(tool).map(Definition::name)
    }

    pub(super) fn look(&self) -> Look<'_> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Look {
            pinned: self,
            accepted: Arc::clone(&known.accepted),
            seen: Vec::new(),
        }
    }

    /// The server's whole list was seen.
    pub fn listed(&self, listing: Listing) {
        self.metrics.pins().looked(&self.server, "listed", 1);
        self.change_and_tell(|known| {
            // what changed and is not listed now stays refused until it is seen as it was accepted
            let changed: BTreeSet<_> = known.accepted.tools.keys().cloned().collect();
            let changed = changed.into_iter().filter(|tool| known.differs(tool)).collect();
            known.seen.retain(|tool, _| BTreeSet::contains(&changed, tool));
            known.whole = true;
            known.learn(listing);
        });
    }

    /// The server's list could not be had.
    pub fn not_listed(&self) {
        self.metrics.pins().looked(&self.server, "failed", 1);
    }

    /// Other definitions are accepted from now on.
    pub fn accept(&self, pins: Pins) {
        self.change_and_tell(|known| {
            if *known.accepted != pins {
                known.accepted = Arc::new(pins);
                known.told.clear();
            }
        });
    }

    /// Waits until the server has said that its list changed.
    pub async fn told_of_a_change(&self) {
        self.again.notified().await;
    }

    /// Tells clients too, where other tools are open to them now. What is seen in a list on its way to a client tells
    /// nobody: a server that shows each client another list would keep all of them asking.
    fn change_and_tell(&self, change: impl FnOnce(&mut Known)) {
        let mut differs = false;
        self.change(|known| {
            let before = known.open();
            change(known);
            differs = before != known.open();
        });
        if differs {
            self.changes.tell(&self.server);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        let mut counts = BTreeMap::from([("accepted", 0), ("changed", 0), ("new", 0), ("gone", 0)]);
        let mut count = |state| *counts.entry(state).or_insert(0_i64) += 1;
        for tool in known.accepted.tools.keys() {
            count(if known.differs(tool) {
                "changed"
            } else if known.whole && !known.seen.contains_key(tool) {
                "gone"
            } else {
                "accepted"
            });
        }
        let new = |tool: &&String| !known.accepted.tools.contains_key(*tool);
        known.seen.keys().filter(new).for_each(|_| count("new"));
        for (state, count) in counts {
            self.metrics.pins().tools(&self.server, state).set(count);
        }
        let fresh = known.untold();
        drop(known);
        if !fresh.is_empty() {
            let shown: Vec<_> = fresh.iter().take(NAMED).map(|tool| shown_name(tool)).collect();
            tracing::warn!(
                server = self.server,
                count = fresh.len(),
                tools = ?shown,
                "tools are new or not as they were accepted: they are hidden and denied until `toolgate pin {}` accepts them",
                self.server
            );
        }
    }
}

impl Known {
    /// Whether the tool was last seen otherwise than accepted.
    fn differs(&self, tool: &str) -> bool {
        let seen = self.seen.get(tool);
        seen.is_some_and(|seen| !self.accepted.accept(tool, seen.as_ref()))
    }

    /// The tools that are open: accepted, and not seen otherwise; each with what was accepted.
    fn open(&self) -> Pins {
        let mut open = Pins::clone(&self.accepted);
        open.tools.retain(|tool, _| !self.differs(tool));
        open
    }

    fn learn(&mut self, listing: Listing) {
        for (tool, definition) in listing {
            let known = self.accepted.tools.contains_key(&tool) || self.seen.contains_key(&tool);
            if known || self.seen.len() < self.accepted.tools.len().saturating_add(REMEMBERED) {
                self.seen.insert(tool, definition);
            }
        }
    }

    /// The tools that are refused with a definition that the log has not told of.
    fn untold(&mut self) -> Vec<String> {
        let refused = self.seen.iter().filter(|(tool, _)| self.differs(tool));
        let fresh = refused.filter(|(tool, seen)| self.told.get(*tool) != Some(*seen));
        let fresh: Listing = fresh.map(|(tool, seen)| (tool.clone(), seen.clone())).collect();
        let names = fresh.keys().cloned().collect();
        self.told.extend(fresh);
        if self.told.len() > self.seen.len().saturating_mul(2) {
            let seen = &self.seen;
            self.told.retain(|tool, _| seen.contains_key(tool));
        }
        names
    }
}

impl Look<'_> {
    /// Whether this entry of a list is the accepted definition of the tool.
    pub(super) fn accepts(&mut self, tool: &str, entry: &str) -> bool {
        let definition = Definition::read(entry);
        let accepted = self.accepted.accept(tool, definition.as_ref());
        self.seen.push((tool.to_owned(), definition));
        accepted
    }

    /// Learns what was seen in the message.
    pub(super) fn end(self, message: &[u8]) {
        if !self.seen.is_empty() {
            let listing = listing(self.seen);
            self.pinned.change(|known| known.learn(listing));
        }
        // looking once more than needed does no harm, so the notification need not be read
        if memchr::memmem::find(message, b"tools/list_changed").is_some() {
            self.pinned.again.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
