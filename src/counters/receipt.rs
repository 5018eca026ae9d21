//! What an admitted call was charged and holds.

use std::time::Duration;

use super::CallId;
use super::command::{Held, Reply};
use super::prepare::Group;

/// What was charged, for a refund, and which leases are held.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub(super) id: CallId,
    pub(super) groups: Vec<Stake>,
    /// Store time at which each of the admission's charges was made, in ms.
    pub(super) times: Vec<u64>,
}

/// What was charged in one slot group.
#[derive(Clone, Debug)]
pub(super) struct Stake {
    pub(super) keys: Vec<String>,
    pub(super) leases: Vec<Held>,
    /// For each lease: whether the call must end where it is lost. Not for those of a shadow rule.
    pub(super) binding: Vec<bool>,
}

impl Stake {
    pub(super) fn of(group: &Group) -> Self {
        let (leases, binding) = group.leases().unzip();
        Self {
            keys: group.keys(),
            leases,
            binding,
        }
    }

    /// The keys of the leases alone.
    pub(super) fn lease_keys(&self) -> Vec<String> {
        let bounds = self.leases.iter().filter_map(|lease| lease.bound.as_ref());
        let overflow = bounds.map(|bound| bound.overflow.clone());
        self.leases
            .iter()
            .map(|lease| lease.key.clone())
            .chain(overflow)
            .collect()
    }
}

impl Receipt {
    /// The id under which the charges are held.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// Store time of the first charge in ms; 0 where nothing was charged.
    pub fn at_ms(&self) -> u64 {
        self.times.iter().copied().filter(|at| *at > 0).min().unwrap_or(0)
    }

    /// Store time of each charge in ms, in the admission's order; 0 where nothing was charged. Those of one slot
    /// group are made at once.
    pub fn times(&self) -> &[u64] {
        &self.times
    }

    /// Of a call with so many charges, none of which has been made yet.
    pub(super) fn none(id: CallId, charges: usize) -> Self {
        Self {
            id,
            groups: Vec::new(),
            times: vec![0; charges],
        }
    }

    pub(super) fn charged(&mut self, group: &Group, reply: &Reply) {
        self.groups.push(Stake::of(group));
        // the answer to a resend comes later than the charge that it tells of
        let at = match reply.charged {
            0 => reply.now,
            charged => charged.min(reply.now),
        };
        for source in group.charges.iter().flat_map(|prepared| &prepared.sources) {
            if let Some(time) = self.times.get_mut(source.index) {
                *time = at;
            }
        }
    }

    /// The keys of each slot group that was charged.
    pub(super) fn keys(&self) -> impl Iterator<Item = &[String]> {
        self.groups.iter().map(|stake| stake.keys.as_slice())
    }

    /// How long the shortest of the call's leases lasts unless it is renewed; `None`: it holds none.
    pub fn lease(&self) -> Option<Duration> {
        let leases = self.groups.iter().flat_map(|stake| &stake.leases);
        leases.map(|lease| Duration::from_millis(lease.ttl)).min()
    }

    /// Whether the call must end where a lease is lost.
    pub fn is_binding(&self) -> bool {
        self.groups.iter().any(|stake| stake.binding.contains(&true))
    }
}
