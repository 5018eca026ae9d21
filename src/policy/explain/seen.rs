//! What a rule saw in a call, evaluated again for display. Nothing here decides.

use std::fmt;

use super::super::compiled::Block;
use super::super::condition::{self, Quantity};
use super::super::facts::Facts;
use super::super::json::Json;
use super::super::path::Path;
use super::Condition;

/// The longest value that is kept for display, in bytes of its JSON text.
const SHOWN_AT_MOST: usize = 1_024;

/// What a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Holds,
    Fails,
    /// It cannot be evaluated, for this reason.
    Doubtful(&'static str),
}

/// A path, and what it leads to.
#[derive(Debug)]
pub struct Read {
    /// As the policy writes it.
    pub path: String,
    /// The reason where the path cannot be followed.
    pub led: Result<Led, &'static str>,
}

/// The values that a path leads to: one, or one for each element where it holds `[*]`.
#[derive(Debug)]
pub struct Led {
    /// How many there are; at least one, since what is missing counts as one.
    pub total: usize,
    /// Which of them is `leaf`, from 0: the one that decides, or else the first.
    pub index: usize,
    pub leaf: Leaf,
}

/// One value. `Debug` shows its type alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its JSON type; `None`: missing.
    pub kind: Option<&'static str>,
    /// JSON text, numbers as sent. `None` where it is missing, or longer than 1 024 bytes.
    pub json: Option<String>,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.unwrap_or("missing"))
    }
}

impl Leaf {
    fn of(value: Option<&Json<'_>>) -> Self {
        Self {
            kind: value.map(Json::kind),
            json: value.and_then(|value| value.text(SHOWN_AT_MOST)),
        }
    }
}

/// The one value of a path that a limit reads.
pub(super) fn read(path: &Path, facts: &Facts<'_>) -> Read {
    look(path, facts, |_| true)
}

fn look(path: &Path, facts: &Facts<'_>, decides: impl Fn(Option<&Json<'_>>) -> bool) -> Read {
    let led = path.resolve(facts).map(|values| {
        let index = values.iter().position(|value| decides(*value)).unwrap_or(0);
        Led {
            total: values.len(),
            index,
            leaf: Leaf::of(values.get(index).copied().flatten()),
        }
    });
    Read {
        path: path.text.clone(),
        led: led.map_err(|doubt| doubt.as_str()),
    }
}

/// Every condition of a block. Deciding stops at the first that refuses; this looks at all.
pub(super) fn conditions(block: &Block, facts: &Facts<'_>, quantity: Quantity) -> Vec<Condition> {
    let seen = block.conditions.iter().enumerate().map(|(index, condition)| {
        let answer = match condition.holds(facts, quantity) {
            Ok(true) => Answer::Holds,
            Ok(false) => Answer::Fails,
            Err(doubt) => Answer::Doubtful(doubt.as_str()),
        };
        Condition {
            pointer: format!("{}/conditions/{index}", block.rule.alone),
            text: condition.text.clone(),
            answer,
            read: look(&condition.path, facts, |value| decides(condition, value, answer)),
        }
    });
    seen.collect()
}

/// Whether this value alone gives the condition its answer.
fn decides(condition: &condition::Condition, value: Option<&Json<'_>>, answer: Answer) -> bool {
    match condition.test.answer(value) {
        Ok(true) => answer == Answer::Holds,
        Ok(false) => answer == Answer::Fails,
        Err(doubt) => answer == Answer::Doubtful(doubt.as_str()),
    }
}
