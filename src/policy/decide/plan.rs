//! What is asked of the policies, and what they answer.

use std::fmt;

use super::super::recorded::Recorded;
use super::super::types::{Ask, Charge, Denial};

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

/// What the policies make of a call.
#[derive(Clone, Debug)]
pub struct Decision {
    pub plan: Plan,
    /// What rules and policies in shadow would have refused, in the order in which they were tried. A limit in
    /// shadow is charged like others; whether it would have held is in the store's answer.
    pub shadow: Vec<Denial>,
    /// The values of arguments that the policies want on record.
    pub recorded: Vec<Recorded>,
}

impl Decision {
    /// Why the call is refused, if it is.
    pub fn denial(&self) -> Option<&Denial> {
        match &self.plan {
            Plan::Refuse(denial) => Some(denial),
            Plan::Admit(_) | Plan::Ask { .. } => None,
        }
    }
}

/// What is to be done with a call.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Refuse it; nothing is charged.
    Refuse(Denial),
    /// Forward it once the store has admitted all of these charges in one step; none: forward it at once.
    Admit(Vec<Charge>),
    /// Put it before people; once enough of them agreed, decide anew, and forward it where the store admits these
    /// charges. A call that they would not fit is put before nobody.
    Ask { charges: Vec<Charge>, ask: Ask },
}
