//! Limits on recorded times, also where it is not known what was charged.
//!
//! Two sets of counters: `least` holds what was surely charged, `most` also what may have been. A call that `least`
//! has no room for is surely limited, one that `most` has room for is surely admitted, and what is between cannot
//! be told. As long as everything can be told, `least` is all there is, and is the store.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::Arc;

use super::line::{Call, Fate};
use super::report::Why;
use crate::counters::{Admission, ChargeState, Fit, Receipt, Simulation, StoreError, Verdict};
use crate::policy::{Charge, Limit, Scope, Told, Window};

/// Most refunds that wait for their time; the earliest is made at once then.
const REFUNDS: usize = 10_000;
/// Most limits of single grants of which it is not known whose counter was charged; beyond it: all.
const BLURRED: usize = 10_000;

/// What became of a call that no rule refuses for sure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Admitted,
    /// The rules that have no room for it; the first is the one that the caller is told.
    Limited {
        rules: Vec<String>,
    },
    Untold {
        rule: String,
        why: Why,
    },
}

/// What limits say of a call that is refused anyway, because people must agree to it.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Those that surely have no room for it; the first is the one that the caller is told.
    pub(super) refusing: Vec<String>,
    /// Those that may have none.
    pub(super) perhaps: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Limits {
    least: Simulation,
    most: Option<Simulation>,
    /// Limits of which any counter of the grant's may have been charged.
    blurred: HashSet<Blurred>,
    all_blurred: bool,
    refunds: BinaryHeap<Reverse<Due>>,
    made: u64,
    /// Rules of limits in shadow that did not fit, of the last call.
    pub(super) shadow: Vec<String>,
}

type Blurred = (String, String, Scope, Window, u8);

/// A refund to come. What was charged before `most` was made stands there under the same receipt.
#[derive(Debug)]
struct Due {
    at: u64,
    number: u64,
    least: Option<Receipt>,
    most: Option<Receipt>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Limits {
    /// Asks the limits of a call that no rule surely refuses, and charges them as far as it is known.
    pub(super) fn ask(&mut self, call: &Call, mut told: Told) -> Said {
        self.shadow.clear();
        let doubt = told.unknown.first().map(|unknown| Said::Untold {
            rule: unknown.rule.clone(),
            why: Why::Value(unknown.path.clone()),
        });
        let first = told.charges.iter().find(|charge| !charge.limit.shadow);
        let first = first.map(|charge| Arc::clone(&charge.limit));
        let first = first.or_else(|| told.uncounted.first().map(|it| Arc::clone(&it.limit)));
        match (call.fate, &first) {
            (Fate::Never, _) | (Fate::NoStore, None) => return doubt.unwrap_or(Said::Admitted),
            (Fate::NoStore, Some(limit)) => return doubt.unwrap_or_else(|| untold(limit, Why::Store)),
            _ => {}
        }
        let running = in_flight(&mut told);
        self.move_to(call.at);
        let uncounted = told.uncounted.first();
        let unheld = running.iter().find(|limit| !held_then(call, limit));
        let doubt = doubt
            .or_else(|| uncounted.map(|it| untold(&it.limit, Why::Value(it.path.clone()))))
            .or_else(|| first.filter(|_| call.late).map(|limit| untold(&limit, Why::Late)))
            .or_else(|| unheld.map(|limit| untold(limit, Why::Running)));
        match self.judge(call, told, doubt) {
            Ok(Said::Limited { mut rules }) => {
                rules.extend(running.iter().map(|limit| limit.rule.clone()));
                Said::Limited { rules }
            }
            Ok(said) => said,
            Err((rule, error)) => Said::Untold {
                rule,
                why: Why::Uncountable(error.to_string()),
            },
        }
    }

    /// Looks at the limits of a call and charges nothing.
    pub(super) fn look(&mut self, call: &Call, mut told: Told) -> Looked {
        let charged = told.charges.iter().map(|charge| &charge.limit);
        let limits = charged.chain(told.uncounted.iter().map(|it| &it.limit));
        let in_force = limits.filter(|limit| !limit.shadow);
        let all = in_force.map(|limit| limit.rule.clone()).collect();
        // what runs at once is not simulated
        let running = in_flight(&mut told);
        self.move_to(call.at);
        let unsure = call.late || !running.is_empty() || !told.uncounted.is_empty() || self.most.is_some();
        let asked = matches!(call.fate, Fate::Stands | Fate::Refunded { .. });
        let admission = Admission {
            id: self.least.id(),
            charges: told.charges,
        };
        match self.least.peek(&admission) {
            Ok(Verdict::Limited { charge, states, .. }) if asked && !call.late => Looked {
                refusing: rules_of(&admission, charge, &states),
                perhaps: Vec::new(),
            },
            Ok(_) if asked && !unsure => Looked::default(),
            _ => Looked {
                refusing: Vec::new(),
                perhaps: all,
            },
        }
    }

    /// How many counters are held, of both sets.
    pub(super) fn keys(&self) -> usize {
        let most = self.most.as_ref().map_or(0, Simulation::keys);
        self.least.keys().saturating_add(most)
    }

    fn judge(&mut self, call: &Call, told: Told, doubt: Option<Said>) -> Result<Said, (String, StoreError)> {
        let rule = told
            .charges
            .first()
            .map_or_else(String::new, |charge| charge.limit.rule.clone());
        let failed = |error| (rule.clone(), error);
        let mut admission = Admission {
            id: self.least.id(),
            charges: told.charges,
        };
        if doubt.is_none() && admission.charges.is_empty() {
            return Ok(Said::Admitted);
        }
        if doubt.is_none() && self.most.is_none() {
            let verdict = self.least.admit(&admission).map_err(failed)?;
            self.note_shadow(&admission.charges, &verdict);
            return Ok(match verdict {
                Verdict::Limited { charge, states, .. } => limited(&admission, charge, &states),
                Verdict::Admitted { receipt, .. } => {
                    self.end(call, Some(receipt), None);
                    Said::Admitted
                }
            });
        }
        let least = self.least.peek(&admission).map_err(failed)?;
        if let (Verdict::Limited { charge, states, .. }, false) = (&least, call.late) {
            return Ok(limited(&admission, *charge, states));
        }
        let id = {
            let most = self.most.get_or_insert_with(|| self.least.copy());
            most.at(call.at);
            most.id()
        };
        let doubt = match doubt {
            Some(doubt) => Some(doubt),
            None => self.doubt_of(&admission, call).map_err(failed)?,
        };
        let Some(doubt) = doubt else {
            return self.charge_both(call, admission, id).map_err(failed);
        };
        for uncounted in &told.uncounted {
            match &uncounted.charge {
                Some(charge) => admission.charges.push(charge.clone()),
                None => self.blur(&call.grant, &uncounted.limit),
            }
        }
        admission.id = id;
        let receipt = self.most.as_ref().map(|most| most.force(&admission));
        let receipt = receipt.transpose().map_err(failed)?.flatten();
        self.end(call, None, receipt);
        Ok(doubt)
    }

    /// Why it cannot be told whether this call, of which everything is known, is admitted.
    fn doubt_of(&self, admission: &Admission, call: &Call) -> Result<Option<Said>, StoreError> {
        let blurred = |charge: &&Charge| {
            let limit = &charge.limit;
            !limit.shadow && (self.all_blurred || self.blurred.contains(&usage(&call.grant, limit)))
        };
        if let Some(charge) = admission.charges.iter().find(blurred) {
            return Ok(Some(untold(&charge.limit, Why::Earlier)));
        }
        let Some(most) = &self.most else { return Ok(None) };
        Ok(match most.peek(admission)? {
            Verdict::Admitted { .. } => None,
            Verdict::Limited { charge, .. } => {
                let charge = admission.charges.get(charge);
                charge.map(|charge| untold(&charge.limit, Why::Earlier))
            }
        })
    }

    /// Charges a call that is surely admitted. Of limits in shadow `least` gets what fits `most` too.
    fn charge_both(
        &mut self,
        call: &Call,
        mut admission: Admission,
        id: crate::counters::CallId,
    ) -> Result<Said, StoreError> {
        let Some(most) = &self.most else {
            return Ok(Said::Admitted);
        };
        let verdict = most.peek(&admission)?;
        let charges = admission.charges.clone();
        let own = admission.id;
        admission.id = id;
        let in_most = most.force(&admission)?;
        admission.id = own;
        if let Verdict::Admitted { states, .. } = &verdict {
            let mut fits = states.iter().map(|state| state.fit == Fit::Now);
            admission
                .charges
                .retain(|charge| fits.next().unwrap_or(true) || !charge.limit.shadow);
        }
        let in_least = self.least.force(&admission)?;
        self.note_shadow(&charges, &verdict);
        self.end(call, in_least, in_most);
        Ok(Said::Admitted)
    }

    fn note_shadow(&mut self, charges: &[Charge], verdict: &Verdict) {
        let Verdict::Admitted { states, .. } = verdict else {
            return;
        };
        let unfit = charges.iter().zip(states);
        let unfit = unfit.filter(|(charge, state)| charge.limit.shadow && state.fit != Fit::Now);
        self.shadow
            .extend(unfit.map(|(charge, _)| charge.limit.rule.clone()));
    }

    fn blur(&mut self, grant: &str, limit: &Limit) {
        if self.blurred.len() >= BLURRED {
            self.all_blurred = true;
        } else {
            self.blurred.insert(usage(grant, limit));
        }
    }

    /// What was charged stands, or is taken back when its time has come.
    fn end(&mut self, call: &Call, least: Option<Receipt>, most: Option<Receipt>) {
        let Fate::Refunded { after_ms } = call.fate else {
            return;
        };
        self.made = self.made.saturating_add(1);
        self.refunds.push(Reverse(Due {
            at: call.at.saturating_add(after_ms),
            number: self.made,
            least,
            most,
        }));
        if self.refunds.len() > REFUNDS
            && let Some(Reverse(due)) = self.refunds.pop()
        {
            self.refund(&due);
        }
    }

    fn move_to(&mut self, at: u64) {
        while let Some(Reverse(due)) = self.refunds.peek()
            && due.at <= at
            && let Some(Reverse(due)) = self.refunds.pop()
        {
            self.refund(&due);
        }
        self.least.at(at);
        if let Some(most) = &self.most {
            most.at(at);
        }
    }

    fn refund(&self, due: &Due) {
        if let Some(receipt) = &due.least {
            self.least.refund(receipt);
        }
        if let (Some(most), Some(receipt)) = (&self.most, due.most.as_ref().or(due.least.as_ref())) {
            most.refund(receipt);
        }
    }
}

/// Takes out what limits calls in flight, and gives the limits of these that are in force.
fn in_flight(told: &mut Told) -> Vec<Arc<Limit>> {
    let windowed =
        |charge: &Charge| matches!(charge.limit.window, Window::Sliding { .. } | Window::Calendar(_));
    let (charges, running): (Vec<_>, Vec<_>) =
        std::mem::take(&mut told.charges).into_iter().partition(windowed);
    told.charges = charges;
    let running = running.into_iter().map(|charge| charge.limit);
    running.filter(|limit| !limit.shadow).collect()
}

/// Whether the call was admitted by a limit on the same counter that was as strict.
fn held_then(call: &Call, limit: &Limit) -> bool {
    let as_strict = |(counter, max): &(String, u64)| *counter == limit.counter && *max <= limit.max;
    call.then.allowed() && call.in_flight.iter().any(as_strict)
}

fn usage(grant: &str, limit: &Limit) -> Blurred {
    (
        grant.to_owned(),
        limit.counter.clone(),
        limit.scope,
        limit.window,
        limit.scale,
    )
}

fn limited(admission: &Admission, charge: usize, states: &[ChargeState]) -> Said {
    Said::Limited {
        rules: rules_of(admission, charge, states),
    }
}

fn rules_of(admission: &Admission, charge: usize, states: &[ChargeState]) -> Vec<String> {
    let first = admission.charges.get(charge).into_iter();
    let unfit = admission.charges.iter().zip(states);
    let unfit = unfit.filter(|(charge, state)| state.fit != Fit::Now && !charge.limit.shadow);
    let rules = first.chain(unfit.map(|(charge, _)| charge));
    rules.map(|charge| charge.limit.rule.clone()).collect()
}

fn untold(limit: &Arc<Limit>, why: Why) -> Said {
    Said::Untold {
        rule: limit.rule.clone(),
        why,
    }
}
