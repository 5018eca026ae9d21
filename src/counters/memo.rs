//! Denials that a replica remembers, so that an agent that runs away costs the store nothing.
//!
//! What did not fit cannot fit before its retry time unless something is taken back: other charges only make it
//! later. So until then, and for a second at most, a charge of at least that weight against that `max` or a smaller
//! one is denied without asking. After a refund by another replica this may be a second too strict; it is never too
//! loose, since nothing is admitted here. Calls in flight end when they like: leases are not remembered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::command::{Command, Fit, KeyCharge, KeyState, Outcome, Reply, Span};

/// How long a denial is remembered at most.
const KEPT: Duration = Duration::from_secs(1);
/// Keys of one generation; two are held. Beyond them the store is asked.
const KEYS: usize = 4_096;
/// Denials remembered of one key: those of other weights and maxima.
const DENIALS: usize = 8;

/// What the store said of keys within the last second or so.
#[derive(Debug)]
pub(super) struct Memo {
    inner: Mutex<Generations>,
}

/// Nothing lives longer than [`KEPT`], so that a generation of that age can be dropped as a whole.
#[derive(Debug)]
struct Generations {
    young: HashMap<String, Seen>,
    old: HashMap<String, Seen>,
    turned: Instant,
}

/// One key, as a call that was denied found it.
#[derive(Clone, Debug)]
struct Seen {
    /// The key that it may share with others.
    overflow: Option<String>,
    left: u64,
    frees: Instant,
    until: Instant,
    denials: Vec<Denied>,
}

#[derive(Clone, Copy, Debug)]
struct Denied {
    weight: u64,
    max: u64,
    /// Reckoned from the sending, so that it surely does not fit before.
    until: Instant,
    /// Reckoned from the answer, so that it surely fits then.
    fits: Instant,
    asked: Instant,
    /// Store time of the answer.
    at_ms: u64,
}

/// When a command was sent and its answer was there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) sent: Instant,
    pub(super) answered: Instant,
}

impl Memo {
    pub(super) fn new() -> Self {
        let inner = Mutex::new(Generations {
            young: HashMap::new(),
            old: HashMap::new(),
            turned: Instant::now(),
        });
        Self { inner }
    }

    /// Remembers what a denied command met.
    pub(super) fn note(&self, command: &Command, reply: &Reply, asked: Asked) {
        if reply.outcome != Outcome::Limited {
            return;
        }
        self.with(asked.answered, |known| {
            for (charge, state) in command.charges.iter().zip(&reply.states) {
                known.note(charge, *state, reply.now, asked);
            }
        });
    }

    /// The denial that the store would give now; `None` where it must be asked. Its states are at most a second old.
    pub(super) fn answer<'c>(
        &self,
        charges: impl Iterator<Item = &'c KeyCharge>,
        now: Instant,
    ) -> Option<Reply> {
        let mut reply = Reply::plain(Outcome::Admitted, 0);
        self.with(now, |known| {
            for charge in charges {
                let seen = known.seen(&charge.key, now)?;
                let denied = seen.denied(charge, now);
                if let Some(denied) = denied {
                    reply.outcome = Outcome::Limited;
                    reply.now = reply.now.max(denied.at_ms.saturating_add(ms(now, denied.asked)));
                }
                reply.states.push(KeyState {
                    left: seen.left,
                    frees_ms: ms_up(seen.frees, now),
                    fit: denied.map_or(Fit::Now, |denied| Fit::After(ms_up(denied.fits, now))),
                });
            }
            (reply.outcome == Outcome::Limited).then_some(reply)
        })
    }

    /// Forgets keys from which something was taken back.
    pub(super) fn forget(&self, keys: &[String]) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Generations { young, old, .. } = &mut *inner;
        for known in [young, old] {
            known.retain(|key, seen| {
                let shared = seen.overflow.as_ref();
                !keys.contains(key) && shared.is_none_or(|overflow| !keys.contains(overflow))
            });
        }
    }

    fn with<T>(&self, now: Instant, act: impl FnOnce(&mut Generations) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(inner.turned) > KEPT {
            inner.old = std::mem::take(&mut inner.young);
            inner.turned = now;
        }
        act(&mut inner)
    }
}

impl Generations {
    fn seen(&self, key: &str, now: Instant) -> Option<&Seen> {
        let seen = self.young.get(key).or_else(|| self.old.get(key))?;
        (now < seen.until).then_some(seen)
    }

    fn note(&mut self, charge: &KeyCharge, state: KeyState, at_ms: u64, asked: Asked) {
        let Asked { sent, answered } = asked;
        let mut denials = Vec::new();
        if let Fit::After(wait) = state.fit
            && binds(charge)
        {
            let wait = Duration::from_millis(wait);
            denials.push(Denied {
                weight: charge.weight,
                max: charge.max,
                until: sent + wait.min(KEPT),
                fits: answered + wait,
                asked: sent,
                at_ms,
            });
        }
        if !self.young.contains_key(&charge.key) && self.young.len() >= KEYS {
            return;
        }
        let known = self.young.get(&charge.key).or_else(|| self.old.get(&charge.key));
        let earlier = known.map(|seen| seen.denials.as_slice()).unwrap_or_default();
        let fresh = denials.first().map(|denied| (denied.weight, denied.max));
        let earlier = earlier
            .iter()
            .filter(|denied| sent < denied.until && Some((denied.weight, denied.max)) != fresh);
        denials.extend(earlier.copied().take(DENIALS - 1));
        let seen = Seen {
            overflow: charge.bound.as_ref().map(|bound| bound.overflow.clone()),
            left: state.left,
            frees: answered + Duration::from_millis(state.frees_ms),
            until: sent + KEPT,
            denials,
        };
        self.young.insert(charge.key.clone(), seen);
    }
}

impl Seen {
    /// The denial that holds for this charge too; of several the one that ends last.
    fn denied(&self, charge: &KeyCharge, now: Instant) -> Option<Denied> {
        let holds = |denied: &&Denied| {
            binds(charge) && charge.weight >= denied.weight && charge.max <= denied.max && now < denied.until
        };
        self.denials
            .iter()
            .filter(holds)
            .max_by_key(|denied| denied.fits)
            .copied()
    }
}

/// Whether a charge that does not fit is remembered.
const fn binds(charge: &KeyCharge) -> bool {
    !charge.advisory && !matches!(charge.span, Span::Lease { .. })
}

/// From `earlier` to `later`, rounded down.
fn ms(later: Instant, earlier: Instant) -> u64 {
    let gap = later.saturating_duration_since(earlier);
    u64::try_from(gap.as_millis()).unwrap_or(u64::MAX)
}

fn ms_up(later: Instant, earlier: Instant) -> u64 {
    let gap = later.saturating_duration_since(earlier);
    u64::try_from(gap.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
