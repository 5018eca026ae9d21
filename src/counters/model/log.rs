//! What one key holds: the newest charges exactly, older ones merged.

use std::collections::VecDeque;

use crate::counters::CallId;

/// Most charges held one by one.
pub const EXACT_MAX: usize = 128;
/// How many of them stay when the others are merged.
pub const IDS_KEPT: usize = 32;
/// Merged charges share a slot of window / 64: at most one slot width too strict, never too loose.
pub const SLOTS: u64 = 64;

/// One charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Key time in ms; for a lease the last moment at which it is live.
    pub time: u64,
    pub weight: u64,
    pub id: CallId,
}

/// The charges of one key in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The latest time at which anything was charged here. Refunds keep it: a clock that steps back
    /// must not reopen a window.
    pub high_water: u64,
    /// When the key may be forgotten, in ms of store time.
    pub expires: u64,
    /// `(time, weight)`, each taken as if all of it had happened at its latest charge.
    merged: VecDeque<(u64, u64)>,
    exact: VecDeque<Entry>,
}

impl Log {
    /// Charges that still count, oldest first: those of time `cut` or later.
    pub fn counted(&self, cut: u64) -> impl Iterator<Item = (u64, u64)> {
        let exact = self.exact.iter().map(|entry| (entry.time, entry.weight));
        self.merged
            .iter()
            .copied()
            .chain(exact)
            .filter(move |&(time, _)| time >= cut)
    }

    /// Units that still count.
    pub fn used(&self, cut: u64) -> u64 {
        self.counted(cut)
            .fold(0, |sum, (_, weight)| sum.saturating_add(weight))
    }

    /// Time of the oldest charge that still counts.
    pub fn oldest(&self, cut: u64) -> Option<u64> {
        self.counted(cut).next().map(|(time, _)| time)
    }

    /// Whether this id has a charge of time `from` or later.
    pub fn holds(&self, id: CallId, from: u64) -> bool {
        self.exact
            .iter()
            .any(|entry| entry.id == id && entry.time >= from)
    }

    /// The time of this id's charge, where it is held.
    pub fn time_of(&self, id: CallId) -> Option<u64> {
        let held = self.exact.iter().find(|entry| entry.id == id);
        held.map(|entry| entry.time)
    }

    /// The latest time of a charge whose id was given up by merging.
    pub fn ids_lost_until(&self) -> Option<u64> {
        self.merged.back().map(|&(time, _)| time)
    }

    /// Removes this id's charge; everything else stays as it was.
    pub fn remove(&mut self, id: CallId) -> bool {
        let place = self.exact.iter().position(|entry| entry.id == id);
        place.and_then(|place| self.exact.remove(place)).is_some()
    }

    /// Drops what no longer counts.
    pub fn trim(&mut self, cut: u64) {
        self.merged.retain(|&(time, _)| time >= cut);
        self.exact.retain(|entry| entry.time >= cut);
    }

    /// Adds a lease that is live up to `entry.time`, taken at key time `now`. Leases stand in order of their
    /// ends and are never merged.
    pub fn lease(&mut self, now: u64, entry: Entry) {
        self.high_water = now;
        self.expires = self.expires.max(entry.time.saturating_add(1));
        let place = self.exact.partition_point(|held| held.time <= entry.time);
        self.exact.insert(place, entry);
    }

    /// Extends this id's lease to `ttl` ms from `now` on, never shortens it. `false`: it is not live.
    pub fn renew(&mut self, now: u64, id: CallId, ttl: u64) -> bool {
        let now = now.max(self.high_water);
        let live = |held: &Entry| held.id == id && held.time >= now;
        let Some(place) = self.exact.iter().position(live) else {
            return false;
        };
        if let Some(held) = self.exact.remove(place) {
            let time = held.time.max(now.saturating_add(ttl));
            self.lease(now, Entry { time, ..held });
        }
        true
    }

    /// Adds the newest charge. `slot` is the width in ms of the slots that older charges merge into;
    /// `None`: all into one, for calendar windows.
    pub fn push(&mut self, entry: Entry, slot: Option<u64>) {
        self.high_water = entry.time;
        self.exact.push_back(entry);
        if self.exact.len() > EXACT_MAX {
            while self.exact.len() > IDS_KEPT {
                let Some(oldest) = self.exact.pop_front() else {
                    break;
                };
                self.merge(oldest, slot);
            }
        }
    }

    fn merge(&mut self, entry: Entry, slot: Option<u64>) {
        let number = |time: u64| slot.map_or(Some(0), |width| time.checked_div(width));
        match self.merged.back_mut() {
            Some((time, weight)) if number(*time) == number(entry.time) => {
                *time = entry.time;
                *weight = weight.saturating_add(entry.weight);
            }
            _ => self.merged.push_back((entry.time, entry.weight)),
        }
    }
}
