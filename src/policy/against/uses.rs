//! Every argument that a rule looks at, held against what the tools say that they take.

use std::sync::Arc;

use super::super::compiled::{Block, Blocks, Rated, Weight};
use super::super::condition::{Condition, Test};
use super::super::path::Path;
use super::super::shape::Report;
use super::super::written::{Located, WrittenBlock, WrittenBlocks, WrittenLimit};
use super::enumerate;
use super::input::{Looked, look};
use crate::document::{Place, quoted};
use crate::mcp::tools::Tool;

/// One look at an argument.
pub(super) struct Use<'p> {
    place: Place,
    path: &'p Path,
    /// Follows the path in a message: `regex`, `increment_from`.
    by: &'p str,
    /// JSON Schema types that it can read; empty: any.
    reads: Vec<&'static str>,
    /// What becomes of a call without the argument.
    without: Without,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    Refused,
    /// A `deny_if`: the block says nothing about such a call.
    Passed,
    /// An `approve_if`: such a call is not asked about.
    Unasked,
    /// The rule looks whether it is there.
    Looked,
    /// It would be recorded.
    Unrecorded,
}

/// What is to be recorded.
pub(super) fn uses_of_record<'p>(
    written: &'p [Located<&str>],
    record: &'p [(Arc<str>, Path)],
) -> impl Iterator<Item = Use<'p>> {
    written.iter().zip(record).map(|(written, (_, path))| Use {
        place: written.place,
        path,
        by: "record",
        reads: Vec::new(),
        without: Without::Unrecorded,
    })
}

pub(super) fn uses_of_blocks<'p>(written: &'p WrittenBlocks<'_>, blocks: &'p Blocks) -> Vec<Use<'p>> {
    let require = written.require.iter().zip(&blocks.require);
    let deny_if = written.deny_if.iter().zip(&blocks.deny_if);
    let asking = blocks.approve_if.iter().map(|asking| &asking.block);
    let approve_if = written.approve_if.iter().zip(asking);
    let require = require.flat_map(|(written, block)| uses_of_block(written, block, Without::Refused));
    let deny_if = deny_if.flat_map(|(written, block)| uses_of_block(written, block, Without::Passed));
    let approve_if = approve_if.flat_map(|(written, block)| uses_of_block(written, block, Without::Unasked));
    require.chain(deny_if).chain(approve_if).collect()
}

fn uses_of_block<'p>(
    written: &'p WrittenBlock<'_>,
    block: &'p Block,
    without: Without,
) -> impl Iterator<Item = Use<'p>> {
    let conditions = written.conditions.iter().zip(&block.conditions);
    conditions.map(move |(written, condition)| Use {
        place: written.path.place,
        path: &condition.path,
        by: written.op.value,
        reads: readable(condition),
        without: match condition.test {
            Test::Exists(_) if without != Without::Refused => Without::Looked,
            Test::Exists(false) => Without::Looked,
            _ => without,
        },
    })
}

pub(super) fn uses_of_limits<'p, 'n: 'p>(
    written: impl IntoIterator<Item = &'p WrittenLimit<'n>>,
    limits: &'p [Rated],
) -> Vec<Use<'p>> {
    let mut uses = Vec::new();
    // The limits as written come first; the one of `rate_limit` looks at no argument.
    for (written, rated) in written.into_iter().zip(limits) {
        if let Weight::From(path) = &rated.weight {
            uses.push(Use {
                place: written.increment_from.map_or(written.place, |from| from.place),
                path,
                by: "increment_from",
                reads: vec!["number", "integer"],
                without: Without::Refused,
            });
        }
        if let Some(path) = &rated.value {
            uses.push(Use {
                place: written.scope_path.map_or(written.place, |path| path.place),
                path,
                by: "scope",
                reads: vec!["string", "number", "integer", "boolean"],
                without: Without::Refused,
            });
        }
    }
    uses
}

/// The types of value about which the condition can say something.
fn readable(condition: &Condition) -> Vec<&'static str> {
    let values: &[_] = match &condition.test {
        Test::Exists(_) => return Vec::new(),
        Test::Order { .. } => return vec!["number", "integer"],
        Test::Regex { .. } | Test::Under(_) => return vec!["string"],
        Test::Contains { .. } => return vec!["string", "array"],
        Test::Equal { value, .. } => std::slice::from_ref(value),
        Test::In { values, .. } => values,
    };
    let mut types = Vec::new();
    for value in values {
        match value.kind() {
            // `null` is compared with every type.
            "null" => return Vec::new(),
            "number" => types.extend(["number", "integer"]),
            "list" => types.push("array"),
            other => types.push(other),
        }
    }
    types
}

/// `entry`: the key of the entry that the uses stand in; `None` for `all_tools`.
pub(super) fn check_paths(uses: &[Use<'_>], entry: Option<&str>, tools: &[&Tool], report: &mut Report<'_>) {
    for used in uses {
        let Some(steps) = used.path.steps() else { continue };
        let mut missing: Vec<(&str, Option<String>)> = Vec::new();
        let mut other_type: Vec<(&str, String)> = Vec::new();
        let mut known: usize = 0;
        for tool in tools {
            let name = tool.name.as_str();
            match tool
                .input_schema()
                .map_or(Looked::Open, |schema| look(schema, steps))
            {
                Looked::Open => {}
                Looked::Missing { near } => missing.push((name, near)),
                Looked::Types(types) => {
                    known = known.saturating_add(1);
                    let fits = |found: &String| used.reads.is_empty() || used.reads.contains(&found.as_str());
                    if !types.iter().any(fits) {
                        other_type.push((name, types.join(" or ")));
                    }
                }
            }
        }
        report_missing(used, entry, &missing, known, report);
        report_types(used, &other_type, report);
    }
}

fn report_missing(
    used: &Use<'_>,
    entry: Option<&str>,
    missing: &[(&str, Option<String>)],
    known: usize,
    report: &mut Report<'_>,
) {
    let everywhere = known == 0;
    let so = match used.without {
        Without::Refused if everywhere => "so every call is refused",
        Without::Refused => "so each of their calls is refused",
        Without::Passed if everywhere => "so the block never refuses anything",
        Without::Unasked if everywhere => "so the block never asks",
        Without::Looked if everywhere => "so the answer is always the same",
        Without::Unrecorded if everywhere => "so nothing is recorded",
        // What is about some of the tools says nothing about the others.
        Without::Passed | Without::Unasked | Without::Looked | Without::Unrecorded => return,
    };
    let Some((_, near)) = missing.first() else { return };
    let path = quoted(&used.path.text);
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let message = match (names.as_slice(), entry) {
        ([only], _) => format!("{} takes no {path}, {so}", quoted(only)),
        (_, Some(entry)) if everywhere => {
            format!("no tool that {} matches takes {path}, {so}", quoted(entry))
        }
        (_, None) if everywhere => format!("no tool takes {path}, {so}"),
        (names, _) => format!("{} take no {path}, {so}", enumerate(names)),
    };
    match near {
        Some(near) => report.add_with_help(used.place, message, format!("did you mean {}?", quoted(near))),
        None => report.add_with_help(used.place, message, "look at the tool's inputSchema"),
    }
}

fn report_types(used: &Use<'_>, found: &[(&str, String)], report: &mut Report<'_>) {
    let Some((_, types)) = found.first() else { return };
    let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    let message = format!(
        "{} of {} is of type {types}, of which `{}` can say nothing: a call with it is refused",
        quoted(&used.path.text),
        enumerate(&names),
        used.by,
    );
    report.add(used.place, message);
}
