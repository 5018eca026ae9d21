//! What must hold of a story, whatever happened in it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::charged::{Known, Stricter, once};
use super::server::Done;
use crate::counters::command::Span;
use crate::counters::history::{Event, Judge, Options, Wanted, What};
use crate::counters::{Admission, CallId, StoreError};
use crate::policy::{Charge, Window};

/// A deadline, and the millisecond to which timers are rounded.
const IN_TIME: Duration = Duration::from_millis(102);

/// How a call ended for its replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The store's time of each charge.
    Admitted {
        times: Vec<u64>,
    },
    Limited {
        remembered: bool,
        retry_after_ms: Option<u64>,
        charge: usize,
    },
    Failed(&'static str),
}

/// What the replicas saw.
#[derive(Debug, Default)]
pub(super) struct Story {
    begun: HashSet<CallId>,
    calls: Vec<(CallId, Vec<Charge>, Ended, Duration, u64)>,
    refunds: HashMap<CallId, Result<bool, StoreError>>,
    crashed: HashSet<u64>,
}

impl Story {
    pub(super) fn begin(&mut self, id: CallId) {
        self.begun.insert(id);
    }

    pub(super) fn end(&mut self, admission: &Admission, ended: Ended, took: Duration, at_ms: u64) {
        self.calls
            .push((admission.id, admission.charges.clone(), ended, took, at_ms));
    }

    pub(super) fn refunded(&mut self, id: CallId, refunded: Result<bool, StoreError>) {
        self.refunds.insert(id, refunded);
    }

    pub(super) fn crash(&mut self, replica: u64) {
        self.crashed.insert(replica);
    }

    /// Whether its replica asked for a refund.
    pub(super) fn asked_back(&self, id: CallId) -> bool {
        self.refunds.contains_key(&id)
    }

    pub(super) fn has_crashed(&self, id: CallId) -> bool {
        self.crashed.contains(&(u64::from_be_bytes(id.0) >> 32))
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for (_, _, ended, ..) in &self.calls {
            let what = match ended {
                Ended::Admitted { .. } => "admitted",
                Ended::Limited { remembered: true, .. } => "remembered",
                Ended::Limited { .. } => "limited",
                Ended::Failed(code) => code,
            };
            *counts.entry(what).or_default() += 1;
        }
        let refunded = self
            .refunds
            .values()
            .filter(|refunded| matches!(refunded, Ok(true)));
        counts.insert("refunded", u64::try_from(refunded.count()).unwrap());
        counts
    }
}

/// An error tells which promise was broken.
pub(super) fn judge(
    story: &Story,
    done: &[Done],
    repeated: &HashSet<CallId>,
    known: &Known<'_>,
) -> Result<Stricter, String> {
    let mut stricter = Stricter::default();
    for (id, charges, ended, took, _) in &story.calls {
        if *took > IN_TIME {
            return Err(format!("{id} took {took:?}"));
        }
        if !repeated.contains(id) {
            once((*id, charges.len(), ended), story, done, known, &mut stricter)?;
        }
    }
    windows(done, known.steps_back)?;
    recorded(story, done, known.steps_back)?;
    Ok(stricter)
}

/// No window of the machine's own time holds more than `max` where the store's clock never ran ahead.
fn windows(done: &[Done], steps_back: bool) -> Result<(), String> {
    if !steps_back {
        return Ok(());
    }
    let mut judge = Judge::new(Options {
        disorder_ms: 1_000,
        tight: false,
    });
    let (mut repeats, mut taken_back) = (HashMap::new(), HashMap::new());
    for event in done {
        let event = match event {
            Done::Charged { id, charge, real_ms } => {
                // a message that was repeated charges twice under one id
                let turn: &mut u64 = repeats.entry((*id, &charge.key)).or_default();
                *turn += 1;
                let (charge_of, max, span) = (charge.weight, charge.max, charge.span);
                let wanted = Wanted {
                    charge: charge_of,
                    max,
                    span,
                };
                event_of(*id, *turn, &charge.key, *real_ms, What::Admission(wanted))
            }
            Done::LookedFor { .. } => continue,
            Done::TakenBack { id, key, real_ms } => {
                // of several charges under one id the oldest goes first
                let turn: &mut u64 = taken_back.entry((*id, key)).or_default();
                *turn += 1;
                let turn = *turn;
                event_of(*id, turn, key, *real_ms, What::Refund)
            }
        };
        judge.take(event).map_err(|error| error.to_string())?;
    }
    verdict(judge)
}

/// What the replicas recorded holds on the store's own times, where its clock never ran back.
fn recorded(story: &Story, done: &[Done], steps_back: bool) -> Result<(), String> {
    if steps_back {
        return Ok(());
    }
    let mut judge = Judge::new(Options {
        disorder_ms: 100_000,
        tight: false,
    });
    for (id, charges, ended, ..) in &story.calls {
        let Ended::Admitted { times } = ended else {
            continue;
        };
        for (charge, at_ms) in charges.iter().zip(times) {
            let Window::Sliding { ms: window } = charge.limit.window else {
                continue;
            };
            let wanted = Wanted {
                charge: charge.weight,
                max: charge.limit.max,
                span: Span::Window { window },
            };
            let key = &charge.limit.counter;
            let admission = event_of(*id, 1, key, *at_ms, What::Admission(wanted));
            let gone = done
                .iter()
                .any(|event| matches!(event, Done::TakenBack { id: own, .. } if own == id));
            let refund = gone.then(|| event_of(*id, 1, key, *at_ms, What::Refund));
            for event in std::iter::once(admission).chain(refund) {
                judge.take(event).map_err(|error| error.to_string())?;
            }
        }
    }
    verdict(judge)
}

fn event_of(id: CallId, turn: u64, key: &str, t_ms: u64, what: What) -> Event {
    Event {
        id: u64::from_be_bytes(id.0) ^ (turn << 60),
        key: key.to_owned(),
        t_ms,
        replica: String::new(),
        what,
    }
}

fn verdict(judge: Judge) -> Result<(), String> {
    let report = judge.end().map_err(|error| error.to_string())?;
    report
        .findings
        .first()
        .map_or(Ok(()), |finding| Err(finding.to_string()))
}
