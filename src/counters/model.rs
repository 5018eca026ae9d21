//! The specification of the counters, written to be read. No I/O; time is an argument.
//!
//! A key holds a [`Log`] of what was admitted. A charge of time t counts until t + window and frees at
//! t + window + 1 ms, since times are floored to milliseconds. A lease of time t is live until t + ttl, and
//! longer where it is renewed. All charges of a command are checked before any is made. `lua/admit.lua`,
//! `lua/refund.lua` and `lua/renew.lua` are the same rules in Redis.

mod log;

use std::collections::{BTreeMap, HashMap};

pub use log::{EXACT_MAX, Entry, IDS_KEPT, Log, SLOTS};

use super::CallId;
use super::command::{Bound, Command, Fit, Held, KeyCharge, KeyState, MAX_LEASES, Outcome, Reply, Span};

/// Every key of one store.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub struct Model {
    logs: HashMap<String, Log>,
    /// Index key → live value's key → when that value ceases to be live.
    indexes: BTreeMap<String, BTreeMap<String, u64>>,
}

/// A lease that no call in flight can hold.
const fn is_odd_lease(charge: &KeyCharge) -> bool {
    matches!(charge.span, Span::Lease { .. }) && (charge.weight != 1 || charge.max > MAX_LEASES)
}

/// What is known of a resend; `None`: a first send, or surely not charged before.
fn resent(command: &Command, found: &[Found<'_>]) -> Option<Outcome> {
    if command.first_sent == 0 {
        None
    } else if found.iter().any(|key| key.holds(command.id)) {
        Some(Outcome::Already)
    } else if found.iter().any(|key| key.would_hold(command.first_sent)) {
        None
    } else {
        Some(Outcome::InDoubt)
    }
}

/// One charge, looked up: which key it goes to and what that key holds.
struct Found<'a> {
    charge: &'a KeyCharge,
    target: &'a str,
    log: Log,
    /// The key's own time: the store's, or the key's high water where the store's clock stepped back.
    time: u64,
}

impl Model {
    /// Judges a command at store time `now` (ms) and charges it where everything fits.
    pub fn admit(&mut self, now: u64, command: &Command) -> Reply {
        let plain = |outcome| Reply::plain(outcome, now);
        if command.deadline > 0 && now > command.deadline {
            return plain(Outcome::Late);
        }
        if command.charges.iter().any(is_odd_lease) {
            return plain(Outcome::Unsupported);
        }
        let found: Vec<Found<'_>> = command
            .charges
            .iter()
            .map(|charge| self.find(now, charge))
            .collect();
        if found.iter().any(Found::is_stale) {
            return Reply {
                times: found.iter().map(|key| key.interval_time(now)).collect(),
                ..plain(Outcome::Stale)
            };
        }
        let mut states: Vec<KeyState> = found.iter().map(|key| key.state(now)).collect();
        match resent(command, &found) {
            Some(Outcome::Already) => {
                states.iter_mut().for_each(|state| state.fit = Fit::Now);
                let charged = found.iter().filter_map(|key| key.charged_at(command.id));
                return Reply {
                    states,
                    charged: charged.min().unwrap_or(0),
                    ..plain(Outcome::Already)
                };
            }
            Some(outcome) => return plain(outcome),
            None => {}
        }
        let denied = |(key, state): (&Found<'_>, &KeyState)| !key.charge.advisory && state.fit != Fit::Now;
        if found.iter().zip(&states).any(denied) {
            return Reply {
                states,
                ..plain(Outcome::Limited)
            };
        }
        if command.peek {
            return Reply {
                states,
                ..plain(Outcome::Admitted)
            };
        }
        let charges = found.into_iter().zip(states);
        let written: Vec<Written> = charges
            .map(|(key, state)| key.charged(now, state, command.id))
            .collect();
        let states = written.iter().map(|key| key.state).collect();
        written.into_iter().for_each(|key| self.write(now, key));
        Reply {
            states,
            ..plain(Outcome::Admitted)
        }
    }

    /// Removes what the id was charged on any of `keys`; the keys' high water stays. Returns on how
    /// many keys it was still held.
    pub fn refund(&mut self, keys: &[String], id: CallId) -> usize {
        keys.iter()
            .filter(|&key| self.logs.get_mut(key).is_some_and(|log| log.remove(id)))
            .count()
    }

    /// Extends the id's leases from store time `now` (ms) on. For each: whether it was still live; one that was
    /// not may belong to another call by now, and stays gone.
    pub fn renew(&mut self, now: u64, id: CallId, leases: &[Held]) -> Vec<bool> {
        leases
            .iter()
            .map(|lease| self.renew_one(now, id, lease))
            .collect()
    }

    fn renew_one(&mut self, now: u64, id: CallId, lease: &Held) -> bool {
        let mut renew = |key: &str| {
            let log = self.logs.get_mut(key)?;
            log.renew(now, id, lease.ttl).then_some(log.expires)
        };
        let own = renew(&lease.key);
        let Some(bound) = &lease.bound else {
            return own.is_some();
        };
        let overflow = renew(&bound.overflow);
        let index = self.indexes.get_mut(&bound.index);
        if let (Some(until), Some(live)) = (own, index.and_then(|index| index.get_mut(&lease.key))) {
            *live = until;
        }
        own.or(overflow).is_some()
    }

    /// Forgets keys whose every charge has freed. Allowed where `now` never runs back.
    pub fn purge(&mut self, now: u64) {
        self.logs.retain(|_, log| log.expires > now);
        for index in self.indexes.values_mut() {
            index.retain(|_, expires| *expires > now);
        }
        self.indexes.retain(|_, index| !index.is_empty());
    }

    /// How many keys are held, live or not.
    pub fn len(&self) -> usize {
        self.logs.len()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// What a key holds, for tests.
    pub fn log(&self, key: &str) -> Option<&Log> {
        self.logs.get(key)
    }

    /// What a key holds, where any of it counts.
    fn counting(&self, now: u64, key: &str, span: Span) -> Log {
        let log = self.logs.get(key).filter(|log| match span {
            Span::Window { window } => log.high_water.saturating_add(window) >= now,
            Span::Calendar { start, .. } => log.high_water >= start,
            Span::Lease { .. } => log.expires > now,
        });
        log.cloned().unwrap_or_default()
    }

    /// Whether a value of a bounded scope has a key of its own: for two windows after its last charge,
    /// so that what others charged to the overflow key cannot spoil a retry time given before. (Where
    /// another limit denies for longer than that, the call may then still meet the overflow key.)
    fn lives(&self, now: u64, charge: &KeyCharge) -> bool {
        self.logs.get(&charge.key).is_some_and(|log| match charge.span {
            Span::Window { window } => log.high_water.saturating_add(two_lives(window)) > now,
            Span::Calendar { start, .. } => log.high_water >= start,
            Span::Lease { .. } => log.expires > now,
        })
    }

    /// A value that is not live counts in a key of its own while there is room, else in the overflow
    /// key. Its own key starts as a copy of the overflow key: charges there may have been its own.
    fn find<'a>(&self, now: u64, charge: &'a KeyCharge) -> Found<'a> {
        let (target, source) = match &charge.bound {
            Some(bound) if !self.lives(now, charge) => {
                let target = if self.has_room(now, bound) {
                    &charge.key
                } else {
                    &bound.overflow
                };
                (target, &bound.overflow)
            }
            _ => (&charge.key, &charge.key),
        };
        let log = self.counting(now, source, charge.span);
        // also where nothing of it counts: an interval asked for too early must hold this time
        let high_water = self.logs.get(source).map_or(0, |log| log.high_water);
        let time = now.max(high_water);
        Found {
            charge,
            target,
            log,
            time,
        }
    }

    fn has_room(&self, now: u64, bound: &Bound) -> bool {
        let live = self.indexes.get(&bound.index).map_or(0, |index| {
            index.values().filter(|&&expires| expires > now).count()
        });
        u32::try_from(live).is_ok_and(|live| live < bound.max_values)
    }

    fn write(&mut self, now: u64, key: Written) {
        let Some(log) = key.log else { return };
        if let Some(index) = key.index {
            let index = self.indexes.entry(index).or_default();
            if !index.contains_key(&key.target) {
                index.retain(|_, expires| *expires > now);
            }
            index.insert(key.target.clone(), log.expires);
        }
        self.logs.insert(key.target, log);
    }
}

/// How long a key of a bounded scope is kept after its last charge, in ms.
const fn two_lives(window: u64) -> u64 {
    window.saturating_add(1).saturating_mul(2)
}

/// One charge after the decision to admit.
struct Written {
    target: String,
    /// `None` where a shadow charge did not fit.
    log: Option<Log>,
    index: Option<String>,
    state: KeyState,
}

impl Found<'_> {
    fn is_stale(&self) -> bool {
        matches!(self.charge.span, Span::Calendar { start, end } if self.time < start || self.time >= end)
    }

    /// The time that a calendar interval must hold; the store's for a window.
    fn interval_time(&self, now: u64) -> u64 {
        if matches!(self.charge.span, Span::Calendar { .. }) {
            self.time
        } else {
            now
        }
    }

    /// The earliest time at which a charge still counts.
    fn cut(&self) -> u64 {
        match self.charge.span {
            Span::Window { window } => self.time.saturating_sub(window),
            Span::Calendar { start, .. } => start,
            Span::Lease { .. } => self.time,
        }
    }

    /// When a charge of time `at` frees; a lease's time is its end.
    fn freed(&self, at: u64) -> u64 {
        match self.charge.span {
            Span::Window { window } => at.saturating_add(window).saturating_add(1),
            Span::Calendar { end, .. } => end,
            Span::Lease { .. } => at.saturating_add(1),
        }
    }

    /// Whether the id is held; of leases only live ones.
    fn holds(&self, id: CallId) -> bool {
        let from = match self.charge.span {
            Span::Window { .. } | Span::Calendar { .. } => 0,
            Span::Lease { .. } => self.time,
        };
        self.log.holds(id, from)
    }

    /// When the id was charged here; of a lease only its end is known.
    fn charged_at(&self, id: CallId) -> Option<u64> {
        match self.charge.span {
            Span::Window { .. } | Span::Calendar { .. } => self.log.time_of(id),
            Span::Lease { .. } => None,
        }
    }

    /// Whether a charge made at or after `first_sent` would still be held here with its id.
    fn would_hold(&self, first_sent: u64) -> bool {
        let from = match self.charge.span {
            Span::Lease { ttl } => self.time.saturating_sub(ttl),
            Span::Window { .. } | Span::Calendar { .. } => self.cut(),
        };
        !self.charge.advisory
            && first_sent >= from
            && self.log.ids_lost_until().is_none_or(|lost| first_sent > lost)
    }

    fn state(&self, now: u64) -> KeyState {
        let left = self.charge.max.saturating_sub(self.log.used(self.cut()));
        let oldest = self.log.oldest(self.cut());
        let frees_ms = oldest.map_or(0, |at| self.freed(at).saturating_sub(now));
        KeyState {
            left,
            frees_ms,
            fit: self.fit(now),
        }
    }

    fn fit(&self, now: u64) -> Fit {
        let (weight, max) = (self.charge.weight, self.charge.max);
        if weight > max {
            return Fit::Never;
        }
        // What must free: weight − (max − used), without going below zero on the way.
        let wanted = self
            .log
            .used(self.cut())
            .saturating_add(weight)
            .saturating_sub(max);
        let mut freed = 0_u64;
        let mut at = None;
        for (time, weight) in self.log.counted(self.cut()) {
            if freed >= wanted {
                break;
            }
            freed = freed.saturating_add(weight);
            at = Some(time);
        }
        at.map_or(Fit::Now, |at| Fit::After(self.freed(at).saturating_sub(now)))
    }

    fn charged(self, now: u64, state: KeyState, id: CallId) -> Written {
        let target = self.target.to_owned();
        if state.fit != Fit::Now {
            return Written {
                target,
                log: None,
                index: None,
                state,
            };
        }
        let cut = self.cut();
        // Which time the charge has; a lease's is its end.
        let time = match self.charge.span {
            Span::Lease { ttl } => self.time.saturating_add(ttl),
            Span::Window { .. } | Span::Calendar { .. } => self.time,
        };
        let oldest = self.log.oldest(cut).map_or(time, |oldest| oldest.min(time));
        let state = KeyState {
            left: state.left.saturating_sub(self.charge.weight),
            frees_ms: self.freed(oldest).saturating_sub(now),
            fit: Fit::Now,
        };
        let index = self
            .charge
            .bound
            .as_ref()
            .filter(|bound| bound.overflow != target);
        let index = index.map(|bound| bound.index.clone());
        let mut log = self.log;
        log.trim(cut);
        let weight = self.charge.weight;
        let entry = Entry { time, weight, id };
        match (self.charge.span, &self.charge.bound) {
            (Span::Lease { .. }, _) => log.lease(self.time, entry),
            (Span::Window { window }, bound) => {
                log.push(entry, Some(window.div_ceil(SLOTS).max(1)));
                let kept = if bound.is_some() {
                    two_lives(window)
                } else {
                    window.saturating_add(1)
                };
                log.expires = time.saturating_add(kept);
            }
            (Span::Calendar { end, .. }, _) => {
                log.push(entry, None);
                log.expires = end;
            }
        }
        Written {
            target,
            log: Some(log),
            index,
            state,
        }
    }
}
