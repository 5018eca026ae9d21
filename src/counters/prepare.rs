//! From the charges of a call to one group of keys for each slot group, narrowest first.

use std::collections::BTreeMap;

use super::command::{Bound, Held, KeyCharge, MAX_LEASES, MAX_UNITS, MAX_WINDOW_MS, Span};
use super::keys::{self, SlotGroup};
use super::{Admission, StoreError};
use crate::policy::{Charge, Unit, Window};

/// What is charged in one step: one call to the script.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) charges: Vec<Prepared>,
}

/// One key's charge; calendar spans are filled in when the store's time is known.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) charge: KeyCharge,
    pub(super) unit: Option<Unit>,
    /// Indexes of the admission's charges that count here: more than one where they were merged.
    pub(super) sources: Vec<Source>,
}

/// One of the admission's charges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) index: usize,
    pub(super) max: u64,
}

impl Group {
    /// Every key that the group may have written, companions included.
    pub(super) fn keys(&self) -> Vec<String> {
        let charges = self.charges.iter().map(|prepared| &prepared.charge);
        let own = charges.clone().map(|charge| charge.key.clone());
        let overflow = charges.filter_map(|charge| charge.bound.as_ref().map(|bound| bound.overflow.clone()));
        own.chain(overflow).collect()
    }

    /// The leases that a call holds once it is admitted, each with whether it must: not where it is advisory.
    pub(super) fn leases(&self) -> impl Iterator<Item = (Held, bool)> {
        let charges = self.charges.iter().map(|prepared| &prepared.charge);
        charges.filter_map(|charge| match charge.span {
            Span::Lease { ttl } => {
                let held = Held {
                    key: charge.key.clone(),
                    bound: charge.bound.clone(),
                    ttl,
                };
                Some((held, !charge.advisory))
            }
            Span::Window { .. } | Span::Calendar { .. } => None,
        })
    }
}

/// Groups and merges. The same key twice is charged once, against the smallest `max`. One group for each slot
/// group, narrowest first, or one for all.
pub(super) fn groups(
    prefix: &str,
    admission: &Admission,
    by_slot_group: bool,
) -> Result<Vec<Group>, StoreError> {
    let mut groups: BTreeMap<SlotGroup, Group> = BTreeMap::new();
    for (index, charge) in admission.charges.iter().enumerate() {
        let group = groups
            .entry(SlotGroup::of(&charge.subject))
            .or_insert(Group { charges: Vec::new() });
        let source = Source {
            index,
            max: charge.limit.max,
        };
        let mut next = prepare(prefix, charge)?;
        match group
            .charges
            .iter_mut()
            .find(|known| known.charge.key == next.charge.key)
        {
            Some(known) => merge(known, &next, source)?,
            None => {
                next.sources.push(source);
                group.charges.push(next);
            }
        }
    }
    let groups: Vec<Group> = groups.into_values().collect();
    if by_slot_group || groups.len() < 2 {
        return Ok(groups);
    }
    let charges = groups.into_iter().flat_map(|group| group.charges).collect();
    Ok(vec![Group { charges }])
}

fn prepare(prefix: &str, charge: &Charge) -> Result<Prepared, StoreError> {
    let limit = &charge.limit;
    if charge.weight == 0 || charge.weight > MAX_UNITS || limit.max == 0 || limit.max > MAX_UNITS {
        return Err(StoreError::Charges("weight and `max` must be 1 to 2^53"));
    }
    let (span, unit) = match limit.window {
        Window::Sliding { ms } if ms == 0 || ms > MAX_WINDOW_MS => {
            return Err(StoreError::Charges("a window must be 1 to 2^40 ms"));
        }
        Window::Sliding { ms } => (Span::Window { window: ms }, None),
        Window::Calendar(unit) => (Span::Calendar { start: 0, end: 0 }, Some(unit)),
        Window::Lease { ms } if ms == 0 || ms > MAX_WINDOW_MS || limit.max > MAX_LEASES => {
            return Err(StoreError::Charges(
                "a lease must be 1 to 2^40 ms, its `max` at most 1 000",
            ));
        }
        Window::Lease { .. } if charge.weight != 1 => {
            return Err(StoreError::Charges("a call in flight counts as 1"));
        }
        Window::Lease { ms } => (Span::Lease { ttl: ms }, None),
    };
    let names = keys::names(prefix, charge);
    let bound = match (names.bound, limit.max_values) {
        (Some((overflow, index)), Some(max_values)) => Some(Bound {
            overflow,
            index,
            max_values,
        }),
        _ => None,
    };
    let charge = KeyCharge {
        key: names.key,
        span,
        weight: charge.weight,
        max: limit.max,
        advisory: limit.shadow,
        bound,
    };
    Ok(Prepared {
        charge,
        unit,
        sources: Vec::new(),
    })
}

fn merge(known: &mut Prepared, next: &Prepared, source: Source) -> Result<(), StoreError> {
    if known.charge.weight != next.charge.weight {
        return Err(StoreError::Charges(
            "one call charges the same counter with two weights",
        ));
    }
    known.charge.max = known.charge.max.min(next.charge.max);
    known.charge.bound = match (known.charge.bound.take(), next.charge.bound.clone()) {
        (Some(a), Some(b)) => Some(if b.max_values < a.max_values { b } else { a }),
        (one, other) => one.or(other),
    };
    known.sources.push(source);
    Ok(())
}
