//! Lints of blocks: what they can never do, and what they leave open.

use std::collections::BTreeMap;

use regex_syntax::hir::Look;

use super::super::compiled::{Action, Asking, Block, Blocks};
use super::super::condition::{Condition, Test, Wanted};
use super::super::number::Compared;
use super::super::path::{Path, Step};
use super::super::shape::Report;
use super::super::written::{WrittenBlock, WrittenBlocks, WrittenCondition, WrittenTool};
use crate::document::{Node, Place, quoted};

/// Which arguments are sure to be there, because something else refuses a call without them.
pub(super) struct Sure(Vec<Vec<Step>>);

impl Sure {
    /// What the `require` blocks of these entries ask for, and what a schema does.
    pub(super) fn new<'p>(entries: impl IntoIterator<Item = &'p Blocks>, schema: Option<&Node>) -> Self {
        let conditions = entries
            .into_iter()
            .flat_map(|blocks| &blocks.require)
            .flat_map(|block| &block.conditions);
        let asked = conditions.filter(|condition| !matches!(condition.test, Test::Exists(false)));
        let mut sure: Vec<Vec<Step>> = asked
            .filter_map(|condition| condition.path.steps())
            .map(<[Step]>::to_vec)
            .collect();
        if let Some(schema) = schema {
            required(schema, &[], &mut sure);
        }
        Self(sure)
    }

    fn holds(&self, path: &Path) -> bool {
        path.steps()
            .is_none_or(|steps| self.0.iter().any(|sure| sure.starts_with(steps)))
    }
}

/// The properties that a schema requires, and those that it requires in them.
fn required(schema: &Node, before: &[Step], sure: &mut Vec<Vec<Step>>) {
    let names = schema.get("required").map(Node::items).unwrap_or_default();
    for name in names.iter().filter_map(Node::text) {
        let mut path = before.to_vec();
        path.push(Step::Key(name.to_owned()));
        if let Some(inner) = schema.get("properties").and_then(|all| all.get(name)) {
            required(inner, &path, sure);
        }
        sure.push(path);
    }
}

/// The blocks as written and as compiled: a policy without errors has lost none on the way.
pub(super) fn lint_blocks(
    written: &WrittenBlocks<'_>,
    blocks: &Blocks,
    sure: &Sure,
    report: &mut Report<'_>,
) {
    for (written, block) in written.require.iter().zip(&blocks.require) {
        if block.conditions.is_empty() {
            let message = "a `require` block without conditions refuses nothing";
            report.add_with_help(written.place, message, "add a condition, or take it out");
        }
        lint_unsatisfiable(written, block, "the block refuses every call", report);
        for (written, condition) in conditions(written, block) {
            lint_unanchored(written, condition, report);
        }
    }
    for (written, block) in written.deny_if.iter().zip(&blocks.deny_if) {
        lint_unsatisfiable(written, block, "the block can never hold", report);
        for (written, condition) in conditions(written, block) {
            lint_optional(written, condition, "deny_if", sure, report);
        }
    }
    for (written, Asking { block, .. }) in written.approve_if.iter().zip(&blocks.approve_if) {
        lint_unsatisfiable(written, block, "the block never asks", report);
        for (written, condition) in conditions(written, block) {
            lint_optional(written, condition, "approve_if", sure, report);
        }
    }
}

/// Where every call of an entry is asked about, its blocks add nothing unless they ask more people.
pub(super) fn lint_asking_twice(
    tool: &WrittenTool<'_>,
    action: &Action,
    blocks: &Blocks,
    report: &mut Report<'_>,
) {
    let Action::Ask { approvers, .. } = action else {
        return;
    };
    for (written, own) in tool.blocks.approve_if.iter().zip(&blocks.approve_if) {
        if own.approvers <= *approvers {
            let message =
                "this `approve_if` adds nothing: the action asks about every call, and as many people";
            let help = "take the block or the action out, or write a larger `approvers` in the block";
            report.add_with_help(written.place, message, help);
        }
    }
}

fn conditions<'b, 'n>(
    written: &'b WrittenBlock<'n>,
    block: &'b Block,
) -> impl Iterator<Item = (&'b WrittenCondition<'n>, &'b Condition)> {
    written.conditions.iter().zip(&block.conditions)
}

/// Servers fill in defaults after toolgate has judged: a block that looks at an argument which the caller leaves
/// out says nothing about the value that is used. `list`: where the block stands.
fn lint_optional(
    written: &WrittenCondition<'_>,
    condition: &Condition,
    list: &str,
    sure: &Sure,
    report: &mut Report<'_>,
) {
    if matches!(condition.test, Test::Exists(_)) || sure.holds(&condition.path) {
        return;
    }
    let path = quoted(&condition.path.text);
    let message = format!("a call without {path} passes this `{list}`, and the server may fill in a default");
    let help = format!(
        "require it: `{{\"path\": {}, \"op\": \"exists\"}}` in a `require` block, or `required` in `arguments`",
        serde_json::Value::from(condition.path.text.as_str())
    );
    report.add_with_help(written.path.place, message, help);
}

/// `main` as a `require … regex` admits `not-main-at-all`.
fn lint_unanchored(written: &WrittenCondition<'_>, condition: &Condition, report: &mut Report<'_>) {
    let Test::Regex {
        regex,
        negated: false,
    } = &condition.test
    else {
        return;
    };
    if is_anchored(regex.as_str()) {
        return;
    }
    let place = written.value.map_or(written.place, |node| node.place);
    let message = format!(
        "the regular expression {} is found anywhere in the text: it is not anchored at both ends",
        quoted(regex.as_str())
    );
    report.add_with_help(place, message, "write `^(…)$` around it");
}

/// Whether every match reaches from the start of the text to its end.
pub(super) fn is_anchored(pattern: &str) -> bool {
    regex_syntax::parse(pattern).is_ok_and(|hir| {
        let looks = hir.properties();
        looks.look_set_prefix().contains(Look::Start) && looks.look_set_suffix().contains(Look::End)
    })
}

fn lint_unsatisfiable(written: &WrittenBlock<'_>, block: &Block, so: &str, report: &mut Report<'_>) {
    let mut by_path: BTreeMap<&str, Vec<(Place, &Test)>> = BTreeMap::new();
    for (written, condition) in conditions(written, block) {
        if condition.path.is_single() {
            let tests = by_path.entry(&condition.path.text).or_default();
            tests.push((written.place, &condition.test));
        }
    }
    for (path, tests) in by_path {
        let only: Vec<&Test> = tests.iter().map(|(_, test)| *test).collect();
        if let (true, Some((place, _))) = (is_unsatisfiable(&only), tests.last()) {
            let message = format!("no value of {} satisfies all conditions: {so}", quoted(path));
            report.add_with_help(*place, message, "take one of them out, or write a block for each");
        }
    }
}

/// Whether no value satisfies all of these. Errs on the side of `false`.
fn is_unsatisfiable(tests: &[&Test]) -> bool {
    let mut candidates = tests.iter().filter_map(|test| match test {
        Test::Equal {
            value,
            negated: false,
        } => Some(std::slice::from_ref(value)),
        Test::In {
            values,
            negated: false,
        } => Some(values.as_slice()),
        _ => None,
    });
    if let Some(candidates) = candidates.next() {
        let fits = |value| tests.iter().all(|test| test.answer(Some(value)) == Ok(true));
        return !candidates.iter().any(fits);
    }
    let absent = |test: &&Test| matches!(test, Test::Exists(false));
    if tests.iter().any(absent) {
        return !tests.iter().all(absent);
    }
    let order = |test: &&Test| matches!(test, Test::Order { .. });
    let text = |test: &&Test| matches!(test, Test::Regex { .. } | Test::Under(_) | Test::Contains { .. });
    if tests.iter().any(order) && tests.iter().any(text) {
        return true;
    }
    tests
        .iter()
        .any(|low| tests.iter().any(|high| are_disjoint(low, high)))
}

/// Whether a number cannot be above the one bound and below the other.
fn are_disjoint(low: &Test, high: &Test) -> bool {
    let (
        Test::Order {
            number: low,
            wanted: above,
        },
        Test::Order {
            number: high,
            wanted: below,
        },
    ) = (low, high)
    else {
        return false;
    };
    let (Wanted::Greater | Wanted::GreaterOrEqual, Wanted::Less | Wanted::LessOrEqual) = (*above, *below)
    else {
        return false;
    };
    let both = *above == Wanted::GreaterOrEqual && *below == Wanted::LessOrEqual;
    let meet = |order: std::cmp::Ordering| if both { order.is_le() } else { order.is_lt() };
    Compared::new(low, high).and_then(|compared| compared.answers(meet)) == Some(false)
}

#[cfg(test)]
mod tests {
    use super::is_anchored;

    #[test]
    fn a_pattern_is_anchored_where_every_match_is_the_whole_text() {
        for pattern in ["^main$", "^(a|b)$", "(?i)^x$", r"\Ax\z", "^a$|^b$", "^$"] {
            assert!(is_anchored(pattern), "{pattern}");
        }
        for pattern in [
            "main", "^main", "main$", "^a|b$", "(?m)^a$", "(^a)?b$", "", "^a$|b",
        ] {
            assert!(!is_anchored(pattern), "{pattern}");
        }
    }
}
