//! What a policy does with a tool, whoever calls it and whatever its arguments are.

use std::collections::BTreeSet;

use super::compiled::{Action, Policy};

/// How a policy holds one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held<'p> {
    Hidden,
    /// No entry names it.
    Unnamed,
    Denied,
    /// A person must agree to each call.
    Asked,
    /// Calls may pass; these are the counters of the limits on them.
    Counted(BTreeSet<&'p str>),
}

impl Policy {
    /// How it holds this tool.
    pub fn held(&self, tool: &str) -> Held<'_> {
        if self.hide.get(tool).is_some() {
            return Held::Hidden;
        }
        match self.tools.get(tool) {
            None => Held::Unnamed,
            Some(entry) => match entry.action {
                Action::Deny { .. } => Held::Denied,
                Action::Ask { .. } => Held::Asked,
                Action::Allow => {
                    let limits = entry.limits.iter().chain(&self.all_tools);
                    Held::Counted(limits.map(|rated| rated.alone.counter.as_ref()).collect())
                }
            },
        }
    }

    /// Every tool that it names exactly, hidden ones too.
    pub fn named_tools(&self) -> BTreeSet<&str> {
        self.tools.exact_names().chain(self.hide.exact_names()).collect()
    }
}
