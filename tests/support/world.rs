//! The judge who follows random steps over a handful of keys: by the model, by brute force.
#![allow(dead_code, reason = "each test file uses its own part of these helpers")]

use std::collections::{BTreeMap, HashSet};

use toolgate::counters::CallId;
use toolgate::counters::command::{Bound, Command, Fit, KeyCharge, MAX_LEASES, Outcome, Reply, Span};
use toolgate::counters::model::{EXACT_MAX, Model};

use super::script::Rig;

#[path = "world_denials.rs"]
mod denials;
#[path = "lease_book.rs"]
mod lease_book;
#[path = "world_leases.rs"]
mod leases;
#[path = "steps.rs"]
mod steps;

use lease_book::LeaseBook;
pub use steps::case;
use steps::{Case, Step, Wish};

/// Store time at which every case starts.
const START: u64 = 1_700_000_000_123;
/// Bounded values that may have a key of their own.
const MAX_VALUES: u32 = 2;

/// What one key was charged, kept without any cleverness.
#[derive(Clone, Copy, Debug)]
struct Made {
    time: u64,
    weight: u64,
    id: CallId,
}

/// Follows a case on the script and, where given, on the model.
pub struct Judge<'a> {
    rig: &'a mut Rig,
    model: Option<Model>,
    prefix: String,
    window: u64,
    now: u64,
    calls: u64,
    sent: Vec<(Command, u64)>,
    made: BTreeMap<String, Vec<Made>>,
    /// The latest charge of each key, refunded or not.
    high: BTreeMap<String, u64>,
    /// When each key vanishes from a store whose keys expire.
    expiries: BTreeMap<String, u64>,
    /// The latest expiry that the clock has passed: the invariant speaks of clocks that do not run back
    /// behind it, and in a test no key expires by itself.
    floor: u64,
    refunded: HashSet<[u8; 8]>,
    leases: LeaseBook,
}

type Found = Result<(), String>;

/// Runs the case; the error says which guarantee broke. `prefix` must be new for each case.
pub fn judge(rig: &mut Rig, with_model: bool, prefix: &str, case: &Case) -> Found {
    let mut judge = Judge {
        rig,
        model: with_model.then(Model::default),
        prefix: prefix.to_owned(),
        window: case.window,
        now: START,
        calls: 0,
        sent: Vec::new(),
        made: BTreeMap::new(),
        high: BTreeMap::new(),
        expiries: BTreeMap::new(),
        floor: 0,
        refunded: HashSet::new(),
        leases: LeaseBook::default(),
    };
    for step in &case.steps {
        judge.step(step)?;
    }
    Ok(())
}

impl Judge<'_> {
    fn step(&mut self, step: &Step) -> Found {
        match step {
            Step::Clock(by) => {
                self.pass();
                self.now = self.now.checked_add_signed(*by).unwrap().max(self.floor);
            }
            Step::Calls {
                wishes,
                times,
                every,
                peek,
            } => {
                for turn in 0..*times {
                    if turn > 0 {
                        self.now += every;
                    }
                    let command = self.command(wishes, *peek);
                    self.call(command)?;
                }
            }
            Step::Late { wishes, by } => {
                let mut command = self.command(wishes, false);
                command.deadline = self.now.checked_add_signed(-by).unwrap();
                self.call(command)?;
            }
            Step::Resend(back) => {
                if let Some((mut command, at)) = self.nth_last(*back) {
                    command.first_sent = at;
                    self.call(command)?;
                }
            }
            Step::Refund(back) => {
                if let Some((command, _)) = self.nth_last(*back) {
                    self.refund(&command)?;
                }
            }
            Step::Release(back) => {
                if let Some((mut command, _)) = self.nth_last(*back) {
                    command.charges.retain(is_lease);
                    self.refund(&command)?;
                }
            }
            Step::Renew(back) => {
                if let Some((mut command, _)) = self.nth_last(*back) {
                    command.charges.retain(is_lease);
                    self.renew(&command)?;
                }
            }
        }
        Ok(())
    }

    fn nth_last(&self, back: usize) -> Option<(Command, u64)> {
        self.sent
            .len()
            .checked_sub(back + 1)
            .map(|index| self.sent[index].clone())
    }

    fn command(&mut self, wishes: &[Wish], peek: bool) -> Command {
        self.calls += 1;
        let charges = wishes.iter().map(|wish| self.charge(wish)).collect();
        Command {
            id: CallId(self.calls.to_be_bytes()),
            deadline: 0,
            first_sent: 0,
            peek,
            charges,
        }
    }

    fn charge(&self, wish: &Wish) -> KeyCharge {
        // As long as real names, whose last 22 characters tell values apart.
        let name = |what: &str| format!("{}:{{slot}}:{what:_>22}", self.prefix);
        let span = match wish.key {
            3 => calendar(self.window, self.now),
            9 if wish.max.is_multiple_of(2) => Span::Lease {
                ttl: self.window / 3 + 1,
            },
            8.. => Span::Lease { ttl: self.window },
            _ => Span::Window { window: self.window },
        };
        let shared = if wish.key >= 8 { "lease_" } else { "" };
        let bound = matches!(wish.key, 4..=7 | 10..).then(|| Bound {
            overflow: name(&format!("{shared}overflow")),
            index: name(&format!("{shared}index")),
            max_values: MAX_VALUES,
        });
        let Wish {
            key,
            mut weight,
            mut max,
            advisory,
        } = *wish;
        if key >= 8 {
            (weight, max) = (1, max.min(MAX_LEASES));
        }
        KeyCharge {
            key: name(&format!("key{key}")),
            span,
            weight,
            max,
            advisory,
            bound,
        }
    }

    fn pass(&mut self) {
        let passed = self.expiries.values().filter(|&&expiry| expiry <= self.now);
        self.floor = passed.max().map_or(self.floor, |&latest| latest.max(self.floor));
    }

    /// Sends a command, again where its calendar interval was another, and judges every answer.
    fn call(&mut self, mut command: Command) -> Found {
        for _ in 0..3 {
            let reply = self.send(&command)?;
            if reply.outcome != Outcome::Stale {
                if !command.peek && command.first_sent == 0 {
                    self.sent.push((command.clone(), self.now));
                }
                return self.probe(&command, &reply);
            }
            for (charge, at) in command.charges.iter_mut().zip(reply.times) {
                if let Span::Calendar { .. } = charge.span {
                    charge.span = calendar(self.window, at);
                }
            }
        }
        Err(format!("stale three times: {command:?}"))
    }

    fn send(&mut self, command: &Command) -> Result<Reply, String> {
        self.pass();
        let keys: Vec<&str> = toolgate::counters::wire::keys(command);
        let before = self.rig.dump(&keys);
        let reply = self.rig.admit(self.now, command)?;
        let wrote = reply.outcome == Outcome::Admitted && !command.peek;
        if !wrote && self.rig.dump(&keys) != before {
            return Err(format!("{:?} changed a key: {command:?}", reply.outcome));
        }
        if let Some(model) = &mut self.model {
            let expected = model.admit(self.now, command);
            if expected != reply {
                return Err(format!(
                    "at {}: {command:?}\n model {expected:?}\n script {reply:?}",
                    self.now
                ));
            }
        }
        if command.deadline > 0 && (self.now > command.deadline) != (reply.outcome == Outcome::Late) {
            return Err(format!(
                "late guard: {:?} at {} for {}",
                reply.outcome, self.now, command.deadline
            ));
        }
        if wrote {
            self.record(command, &reply)?;
        } else if reply.outcome == Outcome::Limited {
            self.justify(command, &reply)?;
        }
        Ok(reply)
    }

    /// Admitted: no window may hold more than `max`, and no id be charged twice.
    fn record(&mut self, command: &Command, reply: &Reply) -> Found {
        for (charge, state) in command.charges.iter().zip(&reply.states) {
            if state.fit != Fit::Now {
                if charge.advisory {
                    continue;
                }
                return Err(format!("admitted although a charge does not fit: {command:?}"));
            }
            if is_lease(charge) {
                self.take(charge, command.id)?;
                continue;
            }
            // Which key a bounded value counts in is the script's matter; its value has one limit.
            let time = self.time(&charge.key);
            let made = self.made.entry(charge.key.clone()).or_default();
            if made.iter().any(|made| made.id == command.id) {
                return Err(format!("{:?} was charged twice", command.id));
            }
            made.push(Made {
                time,
                weight: charge.weight,
                id: command.id,
            });
            self.high.insert(charge.key.clone(), time);
            let expiry = match charge.span {
                Span::Window { window } if charge.bound.is_some() => time + 2 * window + 2,
                Span::Window { window } => time + window + 1,
                Span::Calendar { end, .. } => end,
                Span::Lease { .. } => unreachable!("leases have a book of their own"),
            };
            self.expiries.insert(charge.key.clone(), expiry);
            let sum = self.used(charge, time, 0);
            if sum > u128::from(charge.max) {
                return Err(format!(
                    "admitted {sum} of {} at {time} on {}",
                    charge.max, charge.key
                ));
            }
        }
        Ok(())
    }

    fn refund(&mut self, command: &Command) -> Found {
        let mut keys: Vec<String> = command.charges.iter().map(|charge| charge.key.clone()).collect();
        keys.extend(
            command
                .charges
                .iter()
                .filter_map(|charge| Some(charge.bound.as_ref()?.overflow.clone())),
        );
        let removed = self.rig.refund(&keys, command.id);
        for charge in command.charges.iter().filter(|charge| is_lease(charge)) {
            self.leases.release(&charge.key, command.id);
        }
        if let Some(model) = &mut self.model {
            let expected = model.refund(&keys, command.id);
            if expected != removed {
                return Err(format!(
                    "refund of {:?}: model {expected}, script {removed}",
                    command.id
                ));
            }
        }
        if removed > 0 {
            if !self.refunded.insert(command.id.0) {
                // Charged again by a later resend: the same id may be refunded again.
                return Ok(());
            }
            for key in &keys {
                if let Some(made) = self.made.get_mut(key) {
                    made.retain(|made| made.id != command.id);
                }
            }
        }
        Ok(())
    }

    /// The key's time: the clock, or the latest charge where the clock stepped back.
    fn time(&self, key: &str) -> u64 {
        self.now.max(self.high.get(key).copied().unwrap_or(0))
    }

    fn used(&self, charge: &KeyCharge, time: u64, slack: u64) -> u128 {
        let from = match charge.span {
            Span::Window { window } => time.saturating_sub(window + slack),
            Span::Calendar { start, .. } => start,
            Span::Lease { .. } => return u128::from(self.leases.live(self.now, charge)),
        };
        let made = self.made.get(&charge.key).map_or(&[][..], Vec::as_slice);
        made.iter()
            .filter(|made| made.time >= from)
            .map(|made| u128::from(made.weight))
            .sum()
    }

    fn merged(&self, key: &str) -> bool {
        self.made.get(key).is_some_and(|made| made.len() > EXACT_MAX)
    }
}

fn is_lease(charge: &KeyCharge) -> bool {
    matches!(charge.span, Span::Lease { .. })
}

/// Intervals as long as the window, from the epoch: the script does not care what a month is.
fn calendar(length: u64, at: u64) -> Span {
    let start = at - at % length;
    Span::Calendar {
        start,
        end: start + length,
    }
}
