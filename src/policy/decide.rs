//! The decision: a call → a refusal, or the list of charges that the store must admit.
//!
//! A grant may carry several policies: each must allow, stage by stage, so that a tool that one of
//! them hides looks unknown whatever the others say.

use std::fmt;
use std::sync::Arc;

use super::block::Fault;
use super::charging::{Applied, charges};
use super::compiled::{Action, Block, Blocks, Entry, Fallback, Policy, Rated, Rule};
use super::facts::Facts;
use super::methods::is_protocol_method;
use super::refusal;
use super::types::{Caller, Charge, Denial};

/// What the policies look at in one `tools/call`.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// `params.name`, decoded.
    pub tool: &'a str,
    /// `params.arguments` as sent: the text of an object that was read strictly (no duplicate keys,
    /// bounded depth). Absent ones count as `{}`.
    pub arguments: Option<&'a str>,
}

/// Without the arguments: they stand in no log.
impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("tool", &self.tool)
            .finish_non_exhaustive()
    }
}

/// What is to be done with a call.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Refuse it; nothing is charged.
    Refuse(Denial),
    /// Forward it once the store has admitted all of these charges in one step; none: forward it at once.
    Admit(Vec<Charge>),
}

/// Decides a `tools/call`. Without any policy everything is refused.
///
/// The order: hidden, default, `action: deny`, `arguments`, `require`, `deny_if`, limits. The first denial wins;
/// limits of all policies are charged together, the same usage once with its smallest `max`.
pub fn plan_tool(policies: &[Arc<Policy>], caller: &Caller<'_>, call: &Call<'_>) -> Plan {
    let facts = Facts::new(caller, call);
    let plan = judge(policies, call.tool).and_then(|applying| {
        ask(&applying, &facts, call.tool)?;
        charges(
            applying.iter().flat_map(Applying::limits),
            caller,
            &facts,
            call.tool,
        )
    });
    plan.unwrap_or_else(Plan::Refuse)
}

/// Asks every block that applies, stage by stage; within a stage a tool's own before `all_tools`.
fn ask(applying: &[Applying<'_>], facts: &Facts<'_>, tool: &str) -> Result<(), Denial> {
    for applies in applying {
        if let Some((rule, arguments)) = applies.entry.and_then(|entry| entry.arguments.as_ref()) {
            let refused = |misfit| refusal::arguments_denied(tool, pointer(rule, applies.several), &misfit);
            arguments.check(facts).map_err(refused)?;
        }
    }
    for applies in applying {
        for block in applies.blocks().flat_map(|blocks| &blocks.require) {
            block
                .require(facts)
                .map_err(|fault| applies.refused(block, &fault, tool))?;
        }
    }
    for applies in applying {
        for block in applies.blocks().flat_map(|blocks| &blocks.deny_if) {
            block
                .deny_if(facts)
                .map_err(|fault| applies.refused(block, &fault, tool))?;
        }
    }
    Ok(())
}

/// Decides a method that is not `tools/call`. Methods of the protocol always pass, others follow
/// the `default` of every policy.
///
/// # Errors
/// The refusal, which says which key of the policy to write.
pub fn plan_method(policies: &[Arc<Policy>], method: &str) -> Result<(), Denial> {
    if is_protocol_method(method) {
        return Ok(());
    }
    if policies.is_empty() {
        return Err(refusal::no_policy(method));
    }
    match policies.iter().find(|policy| policy.default == Fallback::Deny) {
        Some(policy) => Err(refusal::method_denied(method, policy.name())),
        None => Ok(()),
    }
}

/// Whether `tools/list` shows the tool: no policy hides it, and each names it or allows by default.
/// A tool that is not visible is refused by [`plan_tool`].
pub fn visible(policies: &[Arc<Policy>], tool: &str) -> bool {
    !policies.is_empty() && policies.iter().all(|policy| policy.knows(tool).is_ok())
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
}

/// One policy that has not refused the call, with the entry that applies.
struct Applying<'p> {
    policy: &'p Policy,
    entry: Option<&'p Entry>,
    several: bool,
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

    fn limits(&self) -> impl Iterator<Item = Applied<'p>> + use<'p> {
        let several = self.several;
        let own: &[Rated] = self.entry.map_or(&[], |entry| &entry.limits);
        own.iter().chain(&self.policy.all_tools).map(move |rated| {
            let limit = if several {
                &rated.among_several
            } else {
                &rated.alone
            };
            Applied { limit, rated }
        })
    }
}

fn judge<'p>(policies: &'p [Arc<Policy>], tool: &str) -> Result<Vec<Applying<'p>>, Denial> {
    if policies.is_empty() {
        return Err(refusal::no_policy(tool));
    }
    let several = policies.len() > 1;
    let mut applying = Vec::with_capacity(policies.len());
    for policy in policies {
        let entry = policy
            .knows(tool)
            .map_err(|rule| refusal::unknown_tool(tool, rule))?;
        applying.push(Applying {
            policy,
            entry,
            several,
        });
    }
    for Applying { entry, .. } in &applying {
        if let Some(Entry {
            action: Action::Deny { rule, reason },
            ..
        }) = entry
        {
            return Err(refusal::denied(tool, pointer(rule, several), reason.as_deref()));
        }
    }
    Ok(applying)
}

fn pointer(rule: &Rule, several: bool) -> &str {
    if several { &rule.among_several } else { &rule.alone }
}

#[cfg(test)]
mod tests;
