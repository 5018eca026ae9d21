//! Counts decisions, in bounded space.

use std::collections::HashMap;

use super::line::{Call, Then};
use super::report::{Difference, Malformed, Noted, Report, Totals, Untold, Why};
use crate::policy::Outcome;

/// Most rows of each table.
const ROWS: usize = 1_000;
/// Most malformed lines that are told with their place.
const TOLD: usize = 5;
/// Longest name in a row, in characters.
const CHARS: usize = 200;

/// What is decided now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Now {
    Allowed,
    Refused { outcome: Outcome, rule: String },
    Untold { rule: String, why: Why },
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) totals: Totals,
    differences: HashMap<Row, u64>,
    in_other_rows: u64,
    untold: HashMap<(String, Why), u64>,
    shadow: HashMap<String, u64>,
    malformed: Vec<Malformed>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Row {
    tool: String,
    grant: String,
    then: &'static str,
    then_rule: Option<String>,
    now: &'static str,
    now_rule: Option<String>,
}

impl Tally {
    pub(super) fn malformed(&mut self, place: String, why: String) {
        bump(&mut self.totals.lines);
        bump(&mut self.totals.malformed);
        if self.malformed.len() < TOLD {
            self.malformed.push(Malformed { place, why });
        }
    }

    /// Compares. `perhaps`: rules that may have refused just as well, or instead of the one that surely does.
    pub(super) fn compare(&mut self, call: &Call, now: Now, perhaps: &[String]) {
        let then = &call.then;
        bump(&mut self.totals.decisions);
        let total = match (&now, then.allowed()) {
            (Now::Untold { .. }, _) => &mut self.totals.cannot_be_told,
            (Now::Allowed, true) => &mut self.totals.alike,
            (Now::Allowed, false) => &mut self.totals.newly_allowed,
            (Now::Refused { .. }, true) => &mut self.totals.newly_denied,
            (Now::Refused { outcome, rule }, false) if is_same(then, *outcome, rule, perhaps) => {
                &mut self.totals.alike
            }
            (Now::Refused { .. }, false) => &mut self.totals.refused_otherwise,
        };
        bump(total);
        match now {
            Now::Untold { rule, why } => add(&mut self.untold, (cut(&rule), why)),
            Now::Allowed if then.allowed() => true,
            Now::Refused { outcome, rule } if is_same(then, outcome, &rule, perhaps) => true,
            Now::Allowed => self.differs(call, "allowed", None),
            Now::Refused { outcome, rule } => self.differs(call, outcome.as_str(), Some(cut(&rule))),
        };
    }

    fn differs(&mut self, call: &Call, now: &'static str, now_rule: Option<String>) -> bool {
        let then = &call.then;
        let row = Row {
            tool: cut(call.asked.name()),
            grant: cut(&call.grant),
            then: then.outcome.as_str(),
            then_rule: then.rule.as_deref().map(cut),
            now,
            now_rule,
        };
        let has_row = add(&mut self.differences, row);
        if !has_row {
            bump(&mut self.in_other_rows);
        }
        has_row
    }

    pub(super) fn shadow(&mut self, rule: &str) {
        add(&mut self.shadow, cut(rule));
    }

    pub(super) fn report(self) -> Report {
        let mut differences: Vec<Difference> = self.differences.into_iter().map(difference).collect();
        differences.sort_by(|a, b| {
            let key = |row: &Difference| (row.tool.clone(), row.grant.clone(), row.now_rule.clone());
            b.count.cmp(&a.count).then_with(|| key(a).cmp(&key(b)))
        });
        let mut untold: Vec<Untold> = self.untold.into_iter().map(untold).collect();
        untold.sort_by(|a, b| (b.count, &a.rule, &a.why).cmp(&(a.count, &b.rule, &b.why)));
        let noted = self.shadow.into_iter().map(|(rule, count)| Noted { rule, count });
        let mut shadow: Vec<Noted> = noted.collect();
        shadow.sort_by(|a, b| (b.count, &a.rule).cmp(&(a.count, &b.rule)));
        Report {
            totals: self.totals,
            differences,
            in_other_rows: self.in_other_rows,
            cannot_be_told: untold,
            shadow,
            malformed: self.malformed,
            ..Report::default()
        }
    }
}

fn is_same(then: &Then, outcome: Outcome, rule: &str, perhaps: &[String]) -> bool {
    let Some(own) = then.rule.as_deref() else {
        return false;
    };
    (then.outcome == outcome && own == rule) || perhaps.iter().any(|unknown| unknown == own)
}

fn difference((row, count): (Row, u64)) -> Difference {
    Difference {
        tool: row.tool,
        grant: row.grant,
        then: row.then,
        then_rule: row.then_rule,
        now: row.now,
        now_rule: row.now_rule,
        count,
    }
}

fn untold(((rule, why), count): ((String, Why), u64)) -> Untold {
    Untold {
        rule,
        why: why.sentence(),
        remedy: why.remedy(),
        count,
    }
}

/// Counts in the row, unless it is a new one and there is no room: `false`.
fn add<K: std::hash::Hash + Eq>(rows: &mut HashMap<K, u64>, key: K) -> bool {
    if rows.len() >= ROWS && !rows.contains_key(&key) {
        return false;
    }
    bump(rows.entry(key).or_default());
    true
}

pub(super) fn bump(count: &mut u64) {
    *count = count.saturating_add(1);
}

fn cut(text: &str) -> String {
    text.chars().take(CHARS).collect()
}
