//! Calls in flight by brute force: who holds which key until when.
#![allow(dead_code, reason = "each test file uses its own part of these helpers")]

use std::collections::BTreeMap;

use toolgate::counters::CallId;
use toolgate::counters::command::{KeyCharge, Span};

/// Every lease that was taken and not given back, kept without any cleverness.
#[derive(Default)]
pub struct LeaseBook {
    held: BTreeMap<String, Vec<(CallId, u64)>>,
    /// The latest time of each key, and of all that share an overflow key.
    high: BTreeMap<String, u64>,
    high_of_bounded: u64,
}

impl LeaseBook {
    /// The key's time at the earliest: what others brought into the overflow key may be later.
    fn earliest(&self, now: u64, charge: &KeyCharge) -> u64 {
        now.max(self.high.get(&charge.key).copied().unwrap_or(0))
    }

    /// The key's time at the latest.
    fn time(&self, now: u64, charge: &KeyCharge) -> u64 {
        let own = self.earliest(now, charge);
        if charge.bound.is_some() {
            own.max(self.high_of_bounded)
        } else {
            own
        }
    }

    /// How many leases are surely live.
    pub fn live(&self, now: u64, charge: &KeyCharge) -> u64 {
        let time = self.time(now, charge);
        let held = self.held.get(&charge.key).map_or(&[][..], Vec::as_slice);
        held.iter().filter(|(_, ends)| *ends >= time).count() as u64
    }

    /// Whether this id's lease is surely live.
    pub fn is_live(&self, now: u64, charge: &KeyCharge, id: CallId) -> bool {
        let time = self.time(now, charge);
        let held = self.held.get(&charge.key).map_or(&[][..], Vec::as_slice);
        held.iter().any(|(holder, ends)| *holder == id && *ends >= time)
    }

    /// Takes or renews a lease; the last moment at which it is surely live.
    pub fn hold(&mut self, now: u64, charge: &KeyCharge, id: CallId) -> u64 {
        let Span::Lease { ttl } = charge.span else {
            panic!("no lease: {charge:?}")
        };
        let time = self.earliest(now, charge);
        self.high.insert(charge.key.clone(), time);
        if charge.bound.is_some() {
            self.high_of_bounded = self.high_of_bounded.max(time);
        }
        let held = self.held.entry(charge.key.clone()).or_default();
        let before = held
            .iter()
            .find(|(holder, _)| *holder == id)
            .map_or(0, |(_, ends)| *ends);
        held.retain(|(holder, _)| *holder != id);
        let ends = before.max(time + ttl);
        held.push((id, ends));
        ends
    }

    pub fn release(&mut self, key: &str, id: CallId) {
        if let Some(held) = self.held.get_mut(key) {
            held.retain(|(holder, _)| *holder != id);
        }
    }
}
