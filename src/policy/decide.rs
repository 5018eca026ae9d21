//! The decision: a call → a refusal, or the charges that the store must admit, perhaps once people agreed.
//!
//! A grant may carry several policies: each must allow, stage by stage, so that a tool that one of
//! them hides looks unknown whatever the others say.

mod asking;
mod plan;

use std::sync::Arc;

pub use plan::{Call, Decision, Plan};

use super::block::Fault;
use super::charging::{Charges, charge_of};
use super::compiled::{Action, Block, Blocks, Entry, Fallback, Mode, Policy, Rated, Rule};
use super::facts::Facts;
use super::methods::is_protocol_method;
use super::recorded::recorded;
use super::refusal;
use super::types::{Caller, Charge, Denial, Limit};
use super::watch::{Said, Tried, Unwatched, Watch};

/// Decides a `tools/call`. Without any policy everything is refused.
///
/// The order: hidden, default, `action: deny`, `arguments`, `require`, `deny_if`, `approve_if` and
/// `action: require_approval`, limits. The first denial wins, and a call that none denies is asked about if one rule asks;
/// limits of all policies are charged together, the same usage once with its smallest `max`. What a rule in
/// shadow says is noted and changes nothing; a policy in shadow is asked up to its first denial.
pub fn plan_tool(policies: &[Arc<Policy>], caller: &Caller<'_>, call: &Call<'_>) -> Decision {
    decide(policies, caller, call, &mut Unwatched)
}

/// [`plan_tool`], seen by `watch`.
pub(super) fn decide<'p>(
    policies: &'p [Arc<Policy>],
    caller: &Caller<'_>,
    call: &Call<'_>,
    watch: &mut impl Watch<'p>,
) -> Decision {
    decide_on(policies, caller, &Facts::new(caller, call), call.tool, watch)
}

/// The decision itself, on the facts given.
pub(super) fn decide_on<'p>(
    policies: &'p [Arc<Policy>],
    caller: &Caller<'_>,
    facts: &Facts<'_>,
    tool: &str,
    watch: &mut impl Watch<'p>,
) -> Decision {
    let mut trial = Trial {
        tool,
        facts,
        shadow: Vec::new(),
        watch,
    };
    let plan = trial.judge(policies, caller).unwrap_or_else(Plan::Refuse);
    Decision {
        plan,
        shadow: trial.shadow,
        recorded: recorded(policies, facts),
    }
}

/// Decides a method that is not `tools/call`. Methods of the protocol always pass, others follow `methods` and
/// the `default` of every policy. The plan charges nothing.
pub fn plan_method(policies: &[Arc<Policy>], method: &str) -> Decision {
    decide_method(policies, method, &mut Unwatched)
}

/// [`plan_method`], seen by `watch`.
pub(super) fn decide_method<'p>(
    policies: &'p [Arc<Policy>],
    method: &str,
    watch: &mut impl Watch<'p>,
) -> Decision {
    let mut shadow = Vec::new();
    let mut judge = || {
        if is_protocol_method(method) {
            return Ok(());
        }
        if policies.is_empty() {
            return Err(refusal::no_policy(method));
        }
        for policy in policies {
            let tried = Tried::Method(policy.methods.get(method));
            match policy.opens(method, policies.len() > 1) {
                Ok(()) => watch.tried(policy, tried, Said::Passed),
                Err(denial) if policy.is_shadow() => {
                    watch.tried(policy, tried, Said::Noted(&denial));
                    shadow.push(denial);
                }
                Err(denial) => {
                    watch.tried(policy, tried, Said::Refused(&denial));
                    return Err(denial);
                }
            }
        }
        Ok(())
    };
    let plan = judge().map_or_else(Plan::Refuse, |()| Plan::Admit(Vec::new()));
    Decision {
        plan,
        shadow,
        recorded: Vec::new(),
    }
}

/// Whether `tools/list` shows the tool: no policy in force hides it, and each names it or allows by default.
/// A tool that is not visible is refused by [`plan_tool`].
pub fn visible(policies: &[Arc<Policy>], tool: &str) -> bool {
    let shown = |policy: &Arc<Policy>| policy.is_shadow() || policy.knows(tool).is_ok();
    !policies.is_empty() && policies.iter().all(shown)
}

/// Whether [`visible`] may say no of some tool.
pub fn may_hide(policies: &[Arc<Policy>]) -> bool {
    let hides = |policy: &Arc<Policy>| {
        !policy.is_shadow() && (policy.default == Fallback::Deny || policy.hide.keys().next().is_some())
    };
    policies.is_empty() || policies.iter().any(hides)
}

impl Policy {
    /// The entry that applies, if any, or the name of the rule that makes the tool look unknown.
    fn knows(&self, tool: &str) -> Result<Option<&Entry>, &'static str> {
        if self.hide.get(tool).is_some() {
            return Err(refusal::HIDDEN);
        }
        match (self.tools.get(tool), self.default) {
            (None, Fallback::Deny) => Err(refusal::DEFAULT_DENY),
            (entry, _) => Ok(entry),
        }
    }

    fn opens(&self, method: &str, several: bool) -> Result<(), Denial> {
        match (self.methods.get(method), self.default) {
            (Some(written), _) if written.allowed => Ok(()),
            (Some(written), _) => Err(refusal::method_closed(method, pointer(&written.rule, several))),
            (None, Fallback::Allow) => Ok(()),
            (None, Fallback::Deny) => Err(refusal::method_denied(method, self.name())),
        }
    }
}

/// One policy, with the entry that applies.
struct Applying<'p> {
    policy: &'p Policy,
    entry: Option<&'p Entry>,
    several: bool,
    /// A policy in shadow that has refused the call.
    over: bool,
}

impl<'p> Applying<'p> {
    fn blocks(&self) -> impl Iterator<Item = &'p Blocks> + use<'p> {
        let own = self.entry.map(|entry| &entry.blocks);
        own.into_iter().chain([&self.policy.all_blocks])
    }

    fn refused(&self, block: &Block, fault: &Fault<'_>, tool: &str) -> Denial {
        let rule = pointer(&block.rule, self.several);
        refusal::block_denied(tool, rule, block.on_deny.as_deref(), fault)
    }

    fn limits(&self) -> impl Iterator<Item = (&'p Arc<Limit>, &'p Rated)> + use<'p> {
        let several = self.several;
        let own: &[Rated] = self.entry.map_or(&[], |entry| &entry.limits);
        own.iter().chain(&self.policy.all_tools).map(move |rated| {
            let limit = if several {
                &rated.among_several
            } else {
                &rated.alone
            };
            (limit, rated)
        })
    }
}

/// One call before all policies of its grant, stage by stage.
struct Trial<'t, 'c, W> {
    tool: &'t str,
    facts: &'t Facts<'c>,
    shadow: Vec<Denial>,
    watch: &'t mut W,
}

impl<'p, W: Watch<'p>> Trial<'_, '_, W> {
    fn judge(&mut self, policies: &'p [Arc<Policy>], caller: &Caller<'_>) -> Result<Plan, Denial> {
        if policies.is_empty() {
            return Err(refusal::no_policy(self.tool));
        }
        let mut applying = self.known(policies)?;
        self.actions(&mut applying)?;
        self.arguments(&mut applying)?;
        self.blocks(&mut applying)?;
        let ask = self.asks(&mut applying)?;
        let charges = self.limits(&mut applying, caller)?;
        Ok(match ask {
            None => Plan::Admit(charges),
            Some(ask) => Plan::Ask { charges, ask },
        })
    }

    /// Hears one rule. A denial of what is in force ends the trial.
    fn hear(
        &mut self,
        applies: &mut Applying<'p>,
        tried: Tried<'p>,
        rule_in_shadow: bool,
        said: Result<(), Denial>,
    ) -> Result<(), Denial> {
        let policy = applies.policy;
        let Err(denial) = said else {
            self.watch.tried(policy, tried, Said::Passed);
            return Ok(());
        };
        if policy.mode == Mode::Enforce && !rule_in_shadow {
            self.watch.tried(policy, tried, Said::Refused(&denial));
            return Err(denial);
        }
        self.watch.tried(policy, tried, Said::Noted(&denial));
        self.shadow.push(denial);
        applies.over = !rule_in_shadow;
        Ok(())
    }

    fn known(&mut self, policies: &'p [Arc<Policy>]) -> Result<Vec<Applying<'p>>, Denial> {
        let mut applying = Vec::with_capacity(policies.len());
        for policy in policies {
            let known = policy.knows(self.tool);
            let mut applies = Applying {
                policy,
                entry: known.unwrap_or_default(),
                several: policies.len() > 1,
                over: false,
            };
            let said = known
                .map(|_| ())
                .map_err(|rule| refusal::unknown_tool(self.tool, rule));
            self.hear(&mut applies, Tried::Known(known.unwrap_or_default()), false, said)?;
            applying.push(applies);
        }
        Ok(applying)
    }

    fn actions(&mut self, applying: &mut [Applying<'p>]) -> Result<(), Denial> {
        for applies in applying.iter_mut().filter(|applies| !applies.over) {
            let Some(entry) = applies.entry else { continue };
            let said = match &entry.action {
                Action::Allow => Ok(()),
                // heard when nothing denies the call
                Action::Ask { .. } => continue,
                Action::Deny { rule, reason } => {
                    let rule = pointer(rule, applies.several);
                    Err(refusal::denied(self.tool, rule, reason.as_deref()))
                }
            };
            self.hear(applies, Tried::Action(entry), false, said)?;
        }
        Ok(())
    }

    fn arguments(&mut self, applying: &mut [Applying<'p>]) -> Result<(), Denial> {
        for applies in applying.iter_mut().filter(|applies| !applies.over) {
            if let Some((rule, arguments)) = applies.entry.and_then(|entry| entry.arguments.as_ref()) {
                let shown = pointer(rule, applies.several);
                let said = arguments
                    .check(self.facts)
                    .map_err(|misfit| refusal::arguments_denied(self.tool, shown, &misfit));
                self.hear(applies, Tried::Arguments(rule), false, said)?;
            }
        }
        Ok(())
    }

    /// Every `require` before any `deny_if`; within each a tool's own before `all_tools`.
    fn blocks(&mut self, applying: &mut [Applying<'p>]) -> Result<(), Denial> {
        for applies in applying.iter_mut() {
            for block in applies.blocks().flat_map(|blocks| &blocks.require) {
                if applies.over {
                    break;
                }
                let said = block.require(self.facts);
                self.block(applies, Tried::Require(block), block, said)?;
            }
        }
        for applies in applying.iter_mut() {
            for block in applies.blocks().flat_map(|blocks| &blocks.deny_if) {
                if applies.over {
                    break;
                }
                let said = block.deny_if(self.facts);
                self.block(applies, Tried::DenyIf(block), block, said)?;
            }
        }
        Ok(())
    }

    fn block(
        &mut self,
        applies: &mut Applying<'p>,
        tried: Tried<'p>,
        block: &'p Block,
        said: Result<(), Fault<'_>>,
    ) -> Result<(), Denial> {
        let said = said.map_err(|fault| applies.refused(block, &fault, self.tool));
        self.hear(applies, tried, block.shadow, said)
    }

    fn limits(&mut self, applying: &mut [Applying<'p>], caller: &Caller<'_>) -> Result<Vec<Charge>, Denial> {
        let mut charges = Charges::default();
        for applies in applying.iter_mut().filter(|applies| !applies.over) {
            let mut own = Vec::new();
            for (limit, rated) in applies.limits() {
                match charge_of(limit, rated, caller, self.facts, self.tool) {
                    Ok(Some(charge)) => {
                        let said = Said::Charges(&charge);
                        self.watch.tried(applies.policy, Tried::Limit(rated), said);
                        own.push(charge);
                    }
                    Ok(None) => self
                        .watch
                        .tried(applies.policy, Tried::Limit(rated), Said::Passed),
                    Err(denial) => self.hear(applies, Tried::Limit(rated), rated.shadow, Err(denial))?,
                }
                if applies.over {
                    break;
                }
            }
            if !applies.over {
                charges.add(own);
            }
        }
        let (charges, beyond) = charges.end(self.tool);
        for (shadow, denial) in beyond {
            if !shadow {
                return Err(denial);
            }
            self.shadow.push(denial);
        }
        Ok(charges)
    }
}

fn pointer(rule: &Rule, several: bool) -> &str {
    if several { &rule.among_several } else { &rule.alone }
}

#[cfg(test)]
mod tests;
