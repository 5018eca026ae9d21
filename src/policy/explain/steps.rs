//! The watcher: writes down each rule as it is tried.

use std::sync::Arc;

use super::super::compile::escape;
use super::super::compiled::{Action, Block, Entry, Fallback, Method, Policy, Rated, Weight};
use super::super::condition::Quantity;
use super::super::decide::{Call, Decision, Plan};
use super::super::facts::Facts;
use super::super::types::{Caller, Charge};
use super::super::watch::{Said, Tried, Watch};
use super::seen::{conditions, read};
use super::{Asked, Broken, Counting, Explanation, Fate, Heard, Known, Step};

/// Of entries that match and do not apply, so many are shown.
const BEATEN: usize = 8;

pub(super) struct Steps<'c, 'p> {
    policies: &'p [Arc<Policy>],
    tool: &'c str,
    facts: Facts<'c>,
    steps: Vec<Step>,
}

impl<'p> Watch<'p> for Steps<'_, 'p> {
    fn tried(&mut self, policy: &'p Policy, tried: Tried<'p>, said: Said<'_>) {
        let (pointer, asked) = self.asked(policy, tried);
        let said = match said {
            Said::Passed => Heard::Passed,
            // What becomes of it is known at the end.
            Said::Charges(charge) => Heard::Charges(charge.clone(), Fate::Dropped),
            Said::Asks(ask) => Heard::Asks(ask.clone()),
            Said::Refused(denial) => Heard::Refused(denial.clone()),
            Said::Noted(denial) => Heard::Noted(denial.clone()),
        };
        let same = |known: &Arc<Policy>| std::ptr::eq(Arc::as_ptr(known), policy);
        let policy = self.policies.iter().position(same).unwrap_or_default();
        self.steps.push(Step {
            policy,
            pointer,
            asked,
            said,
        });
    }
}

impl<'c, 'p> Steps<'c, 'p> {
    pub(super) fn of_call(policies: &'p [Arc<Policy>], caller: &Caller<'c>, call: &Call<'c>) -> Self {
        Self {
            policies,
            tool: call.tool,
            facts: Facts::new(caller, call),
            steps: Vec::new(),
        }
    }

    /// Where the rule stands, and what it looked at.
    fn asked(&self, policy: &Policy, tried: Tried<'p>) -> (String, Asked) {
        match tried {
            Tried::Known(entry) => self.known(policy, entry),
            Tried::Action(entry) => match &entry.action {
                Action::Deny { rule, .. } => (rule.alone.clone(), Asked::Action),
                Action::Allow | Action::Ask { .. } => {
                    (format!("{}/action", entry_pointer(entry)), Asked::Action)
                }
            },
            Tried::Ask(entry) => (format!("{}/action", entry_pointer(entry)), Asked::Ask),
            Tried::Arguments(rule) => {
                let broken = self.broken(policy, &rule.alone);
                (rule.alone.clone(), Asked::Arguments(broken))
            }
            Tried::Require(block) => self.block(block, Quantity::All, Asked::Require),
            Tried::DenyIf(block) => self.block(block, Quantity::Any, Asked::DenyIf),
            Tried::ApproveIf(asking) => self.block(&asking.block, Quantity::Any, Asked::ApproveIf),
            Tried::Limit(rated) => (rated.alone.rule.clone(), Asked::Limit(self.counting(rated))),
            Tried::Method(method) => (method_pointer(method), Asked::Method),
        }
    }

    fn known(&self, policy: &Policy, entry: Option<&Entry>) -> (String, Asked) {
        let (pointer, known) = match (policy.hide.get(self.tool), entry) {
            (Some(glob), _) => (format!("/hide/{}", escape(glob)), Known::Hidden(glob.to_string())),
            (None, Some(entry)) => (entry_pointer(entry), self.applies(policy, entry)),
            (None, None) => (
                "/default".to_owned(),
                Known::Default(policy.default == Fallback::Allow),
            ),
        };
        (pointer, Asked::Known(known))
    }

    fn applies(&self, policy: &Policy, entry: &Entry) -> Known {
        let others = policy.tools.matching(self.tool);
        let others = others.filter(|other| !std::ptr::eq(*other, entry));
        Known::Entry {
            key: entry.key.clone(),
            beaten: others.take(BEATEN).map(|other| other.key.clone()).collect(),
        }
    }

    fn block(
        &self,
        block: &Block,
        quantity: Quantity,
        asked: fn(Vec<super::Condition>) -> Asked,
    ) -> (String, Asked) {
        let seen = conditions(block, &self.facts, quantity);
        (block.rule.alone.clone(), asked(seen))
    }

    fn broken(&self, policy: &Policy, rule: &str) -> Vec<Broken> {
        let schema = policy
            .tools
            .get(self.tool)
            .and_then(|entry| entry.arguments.as_ref());
        schema.map_or_else(Vec::new, |(_, schema)| {
            let misfits = schema.every_misfit(&self.facts).into_iter();
            misfits
                .map(|(at, what, path)| Broken {
                    at,
                    what,
                    pointer: format!("{rule}{path}"),
                })
                .collect()
        })
    }

    fn counting(&self, rated: &Rated) -> Counting {
        let amount = match &rated.weight {
            Weight::From(path) => Some(path),
            Weight::Fixed(_) => None,
        };
        let paths = amount.into_iter().chain(&rated.value);
        Counting {
            limit: Arc::clone(&rated.alone),
            reads: paths.map(|path| read(path, &self.facts)).collect(),
        }
    }

    pub(super) fn end(mut self, decision: Decision) -> Explanation {
        let charged: &[Charge] = match &decision.plan {
            Plan::Admit(charges) | Plan::Ask { charges, .. } => charges,
            Plan::Refuse(_) => &[],
        };
        for step in &mut self.steps {
            if let Heard::Charges(charge, fate) = &mut step.said {
                *fate = fate_of(charge, charged);
            }
        }
        self.refused_at_last(&decision);
        Explanation {
            decision,
            steps: self.steps,
        }
    }

    /// A charge that fits none of two merged limits is refused once all limits have been tried.
    fn refused_at_last(&mut self, decision: &Decision) {
        let Some(denial) = decision.denial() else { return };
        if self
            .steps
            .iter()
            .any(|step| matches!(step.said, Heard::Refused(_)))
        {
            return;
        }
        let by_rule = |step: &&mut Step| match &step.said {
            Heard::Charges(charge, _) => charge.limit.rule == denial.rule,
            _ => false,
        };
        if let Some(step) = self.steps.iter_mut().rev().find(by_rule) {
            step.said = Heard::Refused(denial.clone());
        }
    }
}

fn fate_of(charge: &Charge, charged: &[Charge]) -> Fate {
    let limit = &charge.limit;
    if charged.iter().any(|counted| counted.limit.rule == limit.rule) {
        return Fate::Counted;
    }
    let same = charged.iter().find(|counted| {
        let other = &counted.limit;
        other.counter == limit.counter
            && other.window == limit.window
            && other.shadow == limit.shadow
            && counted.subject == charge.subject
    });
    same.map_or(Fate::Dropped, |counted| Fate::Merged(counted.limit.rule.clone()))
}

fn entry_pointer(entry: &Entry) -> String {
    format!("/tools/{}", escape(&entry.key))
}

fn method_pointer(method: Option<&Method>) -> String {
    method.map_or_else(|| "/default".to_owned(), |method| method.rule.alone.clone())
}
