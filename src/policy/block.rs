//! What a block of conditions says about a call.

use super::compiled::Block;
use super::condition::{Condition, Quantity};
use super::facts::Facts;
use super::path::Doubt;

/// Why a block refuses a call.
#[derive(Debug)]
pub(super) enum Fault<'b> {
    /// A `require` of which this condition does not hold.
    Unmet(&'b Condition),
    /// A `deny_if` whose conditions all hold.
    Met(&'b [Condition]),
    /// A condition that cannot be evaluated.
    Doubtful(&'b Condition, Doubt),
}

impl Block {
    /// # Errors
    /// Where one of the conditions does not hold, or cannot be evaluated.
    pub(super) fn require(&self, facts: &Facts<'_>) -> Result<(), Fault<'_>> {
        for condition in &self.conditions {
            match condition.holds(facts, Quantity::All) {
                Ok(true) => {}
                Ok(false) => return Err(Fault::Unmet(condition)),
                // whoever asked for a call on record has noted it
                Err(Doubt::Unrecorded) => {}
                Err(doubt) => return Err(Fault::Doubtful(condition, doubt)),
            }
        }
        Ok(())
    }

    /// # Errors
    /// Where all conditions hold, or one cannot be evaluated.
    pub(super) fn deny_if(&self, facts: &Facts<'_>) -> Result<(), Fault<'_>> {
        match self.holds(facts)? {
            true => Err(Fault::Met(&self.conditions)),
            false => Ok(()),
        }
    }

    /// Whether all conditions hold. Looks at every one, even after one that does not hold: a doubtful one refuses
    /// the call wherever it stands, so that the order of conditions means nothing.
    ///
    /// # Errors
    /// Where one cannot be evaluated.
    pub(super) fn holds(&self, facts: &Facts<'_>) -> Result<bool, Fault<'_>> {
        let mut met = true;
        for condition in &self.conditions {
            match condition.holds(facts, Quantity::Any) {
                Ok(holds) => met &= holds,
                Err(Doubt::Unrecorded) => met = false,
                Err(doubt) => return Err(Fault::Doubtful(condition, doubt)),
            }
        }
        Ok(met)
    }
}
