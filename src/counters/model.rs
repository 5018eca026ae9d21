//! The specification of the counters, written to be read. No I/O; time is an argument.
//!
//! A key holds a [`Log`] of what was admitted. A charge of time t counts until t + window and frees at
//! t + window + 1 ms, since times are floored to milliseconds. All charges of a command are checked
//! before any is made. `lua/admit.lua` and `lua/refund.lua` are the same rules in Redis.

mod log;

use std::collections::{BTreeMap, HashMap};

pub use log::{EXACT_MAX, Entry, IDS_KEPT, Log, SLOTS};

use super::CallId;
use super::command::{Bound, Command, Fit, KeyCharge, KeyState, Outcome, Reply, Span};

/// Every key of one store.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    logs: HashMap<String, Log>,
    /// Index key → live value's key → when that value ceases to be live.
    indexes: BTreeMap<String, BTreeMap<String, u64>>,
}

/// What is known of a resend; `None`: a first send, or surely not charged before.
fn resent(command: &Command, found: &[Found<'_>]) -> Option<Outcome> {
    if command.first_sent == 0 {
        None
    } else if found.iter().any(|key| key.log.holds(command.id)) {
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
        let plain = |outcome| Reply {
            outcome,
            now,
            states: Vec::new(),
            times: Vec::new(),
        };
        if command.deadline > 0 && now > command.deadline {
            return plain(Outcome::Late);
        }
        let lease = |charge: &KeyCharge| matches!(charge.span, Span::Lease { .. });
        if command.charges.iter().any(lease) {
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
                return Reply {
                    states,
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
            Span::Lease { .. } => false,
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
            Span::Lease { .. } => false,
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
            Span::Lease { .. } => 0,
        }
    }

    /// When a charge of time `at` frees.
    fn freed(&self, at: u64) -> u64 {
        match self.charge.span {
            Span::Window { window } => at.saturating_add(window).saturating_add(1),
            Span::Calendar { end, .. } => end,
            Span::Lease { ttl } => at.saturating_add(ttl),
        }
    }

    /// Whether a charge made at or after `first_sent` would still be held here with its id.
    fn would_hold(&self, first_sent: u64) -> bool {
        !self.charge.advisory
            && first_sent >= self.cut()
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
        let oldest = self.log.oldest(self.cut()).unwrap_or(self.time);
        let state = KeyState {
            left: state.left.saturating_sub(self.charge.weight),
            frees_ms: self.freed(oldest).saturating_sub(now),
            fit: Fit::Now,
        };
        let cut = self.cut();
        let expires = match (self.charge.span, &self.charge.bound) {
            (Span::Window { window }, Some(_)) => self.time.saturating_add(two_lives(window)),
            _ => self.freed(self.time),
        };
        let slot = match self.charge.span {
            Span::Window { window } => Some(window.div_ceil(SLOTS).max(1)),
            Span::Calendar { .. } | Span::Lease { .. } => None,
        };
        let index = self
            .charge
            .bound
            .as_ref()
            .filter(|bound| bound.overflow != target);
        let index = index.map(|bound| bound.index.clone());
        let mut log = self.log;
        log.trim(cut);
        log.push(
            Entry {
                time: self.time,
                weight: self.charge.weight,
                id,
            },
            slot,
        );
        log.expires = expires;
        Written {
            target,
            log: Some(log),
            index,
            state,
        }
    }
}
