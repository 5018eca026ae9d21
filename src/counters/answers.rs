//! What the groups of one call were answered, gathered into a verdict.

use super::command::{Fit, KeyState, Outcome, Reply, Span};
use super::prepare::{Group, Prepared};
use super::receipt::Receipt;
use super::{ChargeState, StoreError, Verdict};

/// When a call that was refused because others are running may try again, at most. Nobody knows when they
/// end: it may be at once, and where they are renewed their leases end later than the store says.
const LEASE_RETRY_MS: u64 = 1_000;

/// The states of all charges, gathered from the groups' replies.
pub(super) struct Answers {
    states: Vec<ChargeState>,
    /// Lowest index of a charge that does not fit.
    first: Option<usize>,
    /// When every charge that does not fit would; `None`: never.
    retry_after_ms: Option<u64>,
    /// Store time of the last answer in ms.
    at_ms: u64,
    remembered: bool,
}

impl Answers {
    pub(super) fn new(charges: usize) -> Self {
        let states = vec![
            ChargeState {
                left: 0,
                frees_ms: 0,
                fit: Fit::Now,
            };
            charges
        ];
        Self {
            states,
            first: None,
            retry_after_ms: Some(0),
            at_ms: 0,
            remembered: false,
        }
    }

    pub(super) const fn denied(&self) -> bool {
        self.first.is_some()
    }

    /// Takes what the memo says in the store's place: one state for each key, over all groups.
    pub(super) fn note_remembered(&mut self, groups: &[Group], reply: &Reply) {
        self.at_ms = reply.now;
        self.remembered = true;
        let keys = groups.iter().flat_map(|group| &group.charges);
        for (prepared, state) in keys.zip(&reply.states) {
            self.note_key(prepared, *state);
        }
    }

    pub(super) fn note(&mut self, group: &Group, reply: &Reply) -> Result<(), StoreError> {
        if group.charges.len() != reply.states.len() {
            return Err(StoreError::Protocol("not one state for each key"));
        }
        self.at_ms = reply.now;
        for (prepared, state) in group.charges.iter().zip(&reply.states) {
            self.note_key(prepared, *state);
        }
        if reply.outcome == Outcome::Limited && !self.denied() {
            return Err(StoreError::Protocol(
                "a denial without a charge that does not fit",
            ));
        }
        Ok(())
    }

    fn note_key(&mut self, prepared: &Prepared, state: KeyState) {
        let fit = match (prepared.charge.span, state.fit) {
            (Span::Lease { .. }, Fit::After(ms)) => Fit::After(ms.min(LEASE_RETRY_MS)),
            (_, fit) => fit,
        };
        let denies = fit != Fit::Now && !prepared.charge.advisory;
        for source in &prepared.sources {
            if let Some(slot) = self.states.get_mut(source.index) {
                *slot = ChargeState {
                    left: state.left,
                    frees_ms: state.frees_ms,
                    fit,
                };
            }
            // Of charges that were merged, the one with the smallest `max` is the one that denied.
            if denies && source.max == prepared.charge.max {
                self.first = Some(self.first.map_or(source.index, |first| first.min(source.index)));
            }
        }
        if denies {
            self.retry_after_ms = match (self.retry_after_ms, fit) {
                (Some(known), Fit::After(ms)) => Some(known.max(ms)),
                _ => None,
            };
        }
    }

    pub(super) fn verdict(self, receipt: Receipt) -> Verdict {
        let Self {
            states,
            first,
            retry_after_ms,
            at_ms,
            remembered,
        } = self;
        match first {
            Some(charge) => Verdict::Limited {
                charge,
                retry_after_ms,
                at_ms,
                states,
                remembered,
            },
            None => Verdict::Admitted { receipt, states },
        }
    }
}
