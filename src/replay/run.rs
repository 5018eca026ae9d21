//! The replay itself: lines in, a report out.

use super::limits::{Limits, Said};
use super::line::{Call, Line};
use super::order::Order;
use super::report::{Held, Report, Why};
use super::rulebook::Rulebook;
use super::tally::{Now, Tally, bump};
use crate::policy::{Ask, Outcome, Told};

/// How many calls pass between two looks at how much is held.
const LOOK_EVERY: u64 = 1_024;

/// Which decisions are counted. All of them are simulated: they share counters with the others.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub grant: Option<String>,
    pub server: Option<String>,
}

impl Filter {
    fn takes(&self, call: &Call) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|wanted| wanted == own);
        is(&self.grant, &call.grant) && is(&self.server, &call.server)
    }
}

/// A replay under way.
#[derive(Debug)]
pub struct Replay {
    rulebook: Rulebook,
    filter: Filter,
    order: Order,
    limits: Limits,
    tally: Tally,
    held: Held,
}

impl Replay {
    pub fn new(rulebook: Rulebook, filter: Filter) -> Self {
        Self {
            rulebook,
            filter,
            order: Order::new(),
            limits: Limits::default(),
            tally: Tally::default(),
            held: Held::default(),
        }
    }

    /// Takes the next line. Those of one log come in the order of the file.
    pub fn take(&mut self, line: Line) {
        bump(&mut self.tally.totals.lines);
        match line {
            Line::Event | Line::NotJudged => bump(&mut self.tally.totals.not_judged),
            Line::Call(call) if call.count > 1 => self.unfold(&call),
            Line::Call(call) => self.add(call),
        }
    }

    /// Equal denials on one line: each a call of its own, spread evenly over the time between the first and the
    /// last.
    fn unfold(&mut self, call: &Call) {
        let steps = call.count.saturating_sub(1).max(1);
        for number in 0..call.count {
            let later = u128::from(call.span_ms) * u128::from(number) / u128::from(steps);
            self.add(Box::new(Call {
                at: call.at.saturating_add(u64::try_from(later).unwrap_or(u64::MAX)),
                ..call.clone()
            }));
        }
    }

    fn add(&mut self, call: Box<Call>) {
        self.order.add(call);
        while let Some(call) = self.order.ready() {
            self.decide(&call);
        }
    }

    /// Counts a line that could not be read.
    pub fn malformed(&mut self, place: String, why: String) {
        self.tally.malformed(place, why);
    }

    /// Decides what still waits, and gives the result.
    pub fn end(mut self) -> Report {
        while let Some(call) = self.order.next() {
            self.decide(&call);
        }
        self.look();
        Report {
            held: self.held,
            ..self.tally.report()
        }
    }

    fn decide(&mut self, call: &Call) {
        if call.mixed {
            let rule = "(folded)".to_owned();
            return self.count(
                call,
                Now::Untold {
                    rule,
                    why: Why::Folded,
                },
                &[],
                &[],
            );
        }
        let Some(mut told) = self.rulebook.tell(call) else {
            let rule = "(name)".to_owned();
            return self.count(call, Now::Untold { rule, why: Why::Name }, &[], &[]);
        };
        let mut perhaps: Vec<String> = told.unknown.iter().map(|unknown| unknown.rule.clone()).collect();
        let mut shadow: Vec<String> = told.shadow.iter().map(|denial| denial.rule.clone()).collect();
        let (refused, ask) = (told.refused.take(), told.ask.take());
        // people are taken to say what they said then
        let agreed = call.approval && call.then.allowed();
        let now = match (refused, ask) {
            (Some(denial), _) => Now::Refused {
                outcome: denial.outcome,
                rule: denial.rule,
            },
            (None, Some(ask)) if !agreed => self.asked(call, told, ask, &mut perhaps),
            (None, _) => {
                let said = self.limits.ask(call, told);
                shadow.append(&mut self.limits.shadow);
                match said {
                    Said::Admitted => Now::Allowed,
                    Said::Untold { rule, why } => Now::Untold { rule, why },
                    Said::Limited { rules } => {
                        let rule = rules.first().cloned().unwrap_or_default();
                        // which of them was told depends on the order within a moment, which is not on record
                        perhaps.extend(rules);
                        Now::Refused {
                            outcome: Outcome::Limited,
                            rule,
                        }
                    }
                }
            }
        };
        self.count(call, now, &perhaps, &shadow);
    }

    /// A call that people must agree to, and as far as is known have not. Limits come first, and nothing is charged.
    fn asked(&mut self, call: &Call, told: Told, ask: Ask, perhaps: &mut Vec<String>) -> Now {
        let looked = self.limits.look(call, told);
        if let Some(rule) = looked.refusing.first() {
            let rule = rule.clone();
            perhaps.extend(looked.refusing);
            return Now::Refused {
                outcome: Outcome::Limited,
                rule,
            };
        }
        perhaps.extend(looked.perhaps);
        let outcome = match call.then.outcome {
            Outcome::Denied if call.approval => Outcome::Denied,
            _ => Outcome::NeedsApproval,
        };
        Now::Refused {
            outcome,
            rule: ask.rule,
        }
    }

    fn count(&mut self, call: &Call, now: Now, perhaps: &[String], shadow: &[String]) {
        if !self.filter.takes(call) {
            return bump(&mut self.tally.totals.filtered);
        }
        if call.late {
            bump(&mut self.tally.totals.late);
        }
        shadow.iter().for_each(|rule| self.tally.shadow(rule));
        self.tally.compare(call, now, perhaps);
        if self.tally.totals.decisions.is_multiple_of(LOOK_EVERY) {
            self.look();
        }
    }

    fn look(&mut self) {
        self.held.counters = self.held.counters.max(self.limits.keys());
        self.held.lines = self.held.lines.max(self.order.most());
    }
}
