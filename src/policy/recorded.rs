//! The values of arguments that a policy wants on record.

use std::sync::Arc;

use super::compiled::Policy;
use super::facts::Facts;

/// The longest value on record, in bytes of its JSON text; a longer one is left out.
pub const RECORDED_AT_MOST: usize = 1_024;

/// One argument's value.
#[derive(Clone, PartialEq, Eq)]
pub struct Recorded {
    /// As the policy writes it.
    pub path: Arc<str>,
    /// JSON text, numbers as they were sent.
    pub json: String,
}

/// Without the value: it goes to the record and nowhere else.
impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What the policies want recorded of a call, each path once. What is missing, cannot be read or is too long is left out.
pub(super) fn recorded(policies: &[Arc<Policy>], facts: &Facts<'_>) -> Vec<Recorded> {
    let mut values: Vec<Recorded> = Vec::new();
    for (text, path) in policies.iter().flat_map(|policy| &policy.record) {
        if values.iter().any(|known| known.path == *text) {
            continue;
        }
        let found = path.resolve(facts).unwrap_or_default();
        if let [Some(value)] = found.as_slice()
            && let Some(json) = value.text(RECORDED_AT_MOST)
        {
            values.push(Recorded {
                path: Arc::clone(text),
                json,
            });
        }
    }
    values
}
