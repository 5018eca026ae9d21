//! Lints of limits that count by the value of an argument.

use super::super::compiled::{Blocks, Rated};
use super::super::condition::Test;
use super::super::path::{Path, Step};
use super::super::shape::Report;
use super::super::written::WrittenLimit;
use crate::document::{Node, quoted};

/// `acct_1` and `ACCT_1 ` may be one customer to the server and are two to a counter.
pub(super) fn lint_values<'w>(
    written: impl Iterator<Item = &'w WrittenLimit<'w>>,
    limits: &[Rated],
    schema: Option<&Node>,
    blocks: &Blocks,
    report: &mut Report<'_>,
) {
    // `limits` and `concurrency` come first; the one of `rate_limit` counts by no argument.
    for (written, rated) in written.zip(limits) {
        let Some((path, steps)) = rated.value.as_ref().and_then(|path| Some((path, path.steps()?))) else {
            continue;
        };
        let by_schema = schema.is_some_and(|schema| is_fixed(schema, steps));
        if by_schema || is_required(path, blocks) {
            continue;
        }
        let place = written.scope_path.map_or(written.place, |path| path.place);
        let message = format!(
            "nothing says how {} is spelled: each spelling has a count of its own",
            quoted(&path.text)
        );
        let help = "give it a `pattern` or an `enum` under `arguments`, or require a `regex` that is anchored at both ends";
        report.add_with_help(place, message, help);
    }
}

/// Whether a schema leaves few spellings of the property.
fn is_fixed(schema: &Node, steps: &[Step]) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        let kind = schema.get("type").and_then(Node::text);
        return ["pattern", "enum", "const", "$ref"]
            .iter()
            .any(|key| schema.get(key).is_some())
            || matches!(kind, Some("integer" | "number" | "boolean"));
    };
    let next = match step {
        Step::Key(name) => schema.get("properties").and_then(|all| all.get(name)),
        Step::Index(_) | Step::Each => schema.get("items"),
    };
    next.is_some_and(|schema| is_fixed(schema, rest))
}

fn is_required(path: &Path, blocks: &Blocks) -> bool {
    let conditions = blocks.require.iter().flat_map(|block| &block.conditions);
    let mut of_path = conditions.filter(|condition| condition.path.root == path.root);
    of_path.any(|condition| {
        matches!(
            condition.test,
            Test::Regex { negated: false, .. }
                | Test::Equal { negated: false, .. }
                | Test::In { negated: false, .. }
        )
    })
}
