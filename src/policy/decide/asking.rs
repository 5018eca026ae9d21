//! Which calls are put before people, and before how many.

use super::super::block::Fault;
use super::super::compiled::{Action, Asking, Rule};
use super::super::refusal;
use super::super::types::{Ask, Denial};
use super::super::watch::{Said, Tried, Watch};
use super::{Applying, Trial, pointer};

impl<'p, W: Watch<'p>> Trial<'_, '_, W> {
    /// Every rule that may ask is tried, so that the largest number of people counts and a doubt denies wherever
    /// it stands.
    pub(super) fn asks(&mut self, applying: &mut [Applying<'p>]) -> Result<Option<Ask>, Denial> {
        let mut most = None;
        for applies in applying.iter_mut().filter(|applies| !applies.over) {
            if let Some(entry) = applies.entry
                && let Action::Ask {
                    rule,
                    reason,
                    approvers,
                } = &entry.action
            {
                let ask = ask(applies, rule, reason.as_deref(), *approvers);
                self.asked(applies, Tried::Ask(entry), false, ask, &mut most);
            }
            for asking in applies.blocks().flat_map(|blocks| &blocks.approve_if) {
                if applies.over {
                    break;
                }
                self.approve_if(applies, asking, &mut most)?;
            }
        }
        Ok(most)
    }

    fn approve_if(
        &mut self,
        applies: &mut Applying<'p>,
        asking: &'p Asking,
        most: &mut Option<Ask>,
    ) -> Result<(), Denial> {
        let Asking {
            block,
            approvers,
            reason,
        } = asking;
        let tried = Tried::ApproveIf(asking);
        let doubt: Result<(), Fault<'_>> = match block.holds(self.facts) {
            Ok(true) => {
                let ask = ask(applies, &block.rule, reason.as_deref(), *approvers);
                self.asked(applies, tried, block.shadow, ask, most);
                return Ok(());
            }
            Ok(false) => Ok(()),
            Err(fault) => Err(fault),
        };
        self.block(applies, tried, block, doubt)
    }

    /// Hears a rule that asks. In shadow it is noted; what follows is looked at as if people had agreed.
    fn asked(
        &mut self,
        applies: &Applying<'p>,
        tried: Tried<'p>,
        rule_in_shadow: bool,
        ask: Ask,
        most: &mut Option<Ask>,
    ) {
        let policy = applies.policy;
        if policy.is_shadow() || rule_in_shadow {
            let denial = refusal::needs_approval(self.tool, &ask);
            self.watch.tried(policy, tried, Said::Noted(&denial));
            self.shadow.push(denial);
            return;
        }
        self.watch.tried(policy, tried, Said::Asks(&ask));
        if most.as_ref().is_none_or(|known| known.approvers < ask.approvers) {
            *most = Some(ask);
        }
    }
}

fn ask(applies: &Applying<'_>, rule: &Rule, reason: Option<&str>, approvers: u32) -> Ask {
    Ask {
        approvers,
        rule: pointer(rule, applies.several).to_owned(),
        reason: reason.map(str::to_owned),
    }
}
