//! Blocks of conditions: every value of the type that its operator asks for, every regex compiled.

use regex::{Regex, RegexBuilder};

use super::super::compiled::{Asking, Block, Blocks, Rule};
use super::super::condition::{Condition, Test, Wanted};
use super::super::folder::Folders;
use super::super::json::Json;
use super::super::number::double;
use super::super::path::Path;
use super::super::shape::Report;
use super::super::written::{
    Located, WrittenAction, WrittenBlock, WrittenBlocks, WrittenCondition, WrittenTool,
};
use super::Compiler;
use crate::document::{Node, Place, Value, quoted, shown};

/// The most memory that one compiled regex may take, in bytes; a thousandth of it would do for most.
pub(in super::super) const REGEX_SIZE: usize = 1 << 20;

impl Compiler<'_, '_> {
    /// `tool`: the entry that they stand in, unless that is `all_tools`.
    pub(super) fn blocks(
        &mut self,
        base: &str,
        written: &WrittenBlocks<'_>,
        tool: Option<&WrittenTool<'_>>,
    ) -> Blocks {
        let asks = tool.is_some_and(|tool| tool.action == WrittenAction::RequireApproval);
        if let (Some(approvers), true, false) = (written.approvers, written.approve_if.is_empty(), asks) {
            let message =
                "`approvers` asks nobody: there is no `approve_if` beside it, and no action that asks";
            let help = "write `\"action\": \"require_approval\"` in a tool entry or an `approve_if` block, or take it out";
            self.report.add_with_help(approvers.place, message, help);
        }
        let reason = tool.and_then(|tool| tool.reason).map(|reason| reason.value);
        let approve_if = self.block_list(base, "approve_if", &written.approve_if);
        let approve_if = written
            .approve_if
            .iter()
            .zip(approve_if)
            .map(|(own, block)| Asking {
                reason: block.on_deny.clone().or_else(|| reason.map(str::to_owned)),
                approvers: approvers(own.approvers, written.approvers),
                block,
            });
        Blocks {
            require: self.block_list(base, "require", &written.require),
            deny_if: self.block_list(base, "deny_if", &written.deny_if),
            approve_if: approve_if.collect(),
        }
    }

    fn block_list(&mut self, base: &str, key: &str, written: &[WrittenBlock<'_>]) -> Vec<Block> {
        let blocks = written.iter().enumerate().map(|(index, block)| Block {
            rule: Rule::new(self.policy, format!("{base}/{key}/{index}")),
            conditions: block
                .conditions
                .iter()
                .filter_map(|condition| compile(condition, self.report))
                .collect(),
            on_deny: block.on_deny.map(str::to_owned),
            shadow: block.shadow,
        });
        blocks.collect()
    }
}

/// How many must agree: the first number that is written, or one. One that does not fit was reported.
pub(super) fn approvers(own: Option<Located<u64>>, entry: Option<Located<u64>>) -> u32 {
    let written = own.or(entry).map_or(1, |approvers| approvers.value);
    u32::try_from(written).unwrap_or(u32::MAX)
}

/// `None` where it was reported.
fn compile(written: &WrittenCondition<'_>, report: &mut Report<'_>) -> Option<Condition> {
    let Located { place, value: path } = written.path;
    let path = Path::read(path)
        .map_err(|fault| report.add(place, format!("the path {} {fault}", quoted(path))))
        .ok();
    let test = test(written, report);
    let text = text(written);
    Some(Condition {
        path: path?,
        test: test?,
        text,
    })
}

fn test(written: &WrittenCondition<'_>, report: &mut Report<'_>) -> Option<Test> {
    let op = written.op.value;
    let negated = matches!(op, "neq" | "not_in" | "not_regex" | "not_contains");
    if let ("exists", None) = (op, written.value) {
        return Some(Test::Exists(true));
    }
    let Some(node) = written.value else {
        let message = format!("`{op}` has nothing to compare with");
        let help = format!("add the key `value`: {}", wanted(op));
        report.add_with_help(written.place, message, help);
        return None;
    };
    numbers_fit(node, report)?;
    let test = match op {
        "exists" => match node.value {
            Value::Bool(wanted) => Some(Test::Exists(wanted)),
            _ => None,
        },
        "eq" | "neq" => Some(Test::Equal {
            value: Json::of(node),
            negated,
        }),
        "lt" | "lte" | "gt" | "gte" => order(op, node),
        "in" | "not_in" => match &node.value {
            Value::List(items) if !items.is_empty() => Some(Test::In {
                values: items.iter().map(Json::of).collect(),
                negated,
            }),
            _ => None,
        },
        "regex" | "not_regex" => match node.text() {
            Some(text) => {
                let regex = regex(text, node.place, report)?;
                Some(Test::Regex { regex, negated })
            }
            None => None,
        },
        "contains" | "not_contains" => Some(Test::Contains {
            value: Json::of(node),
            negated,
        }),
        "under" => folders(node).map(Test::Under),
        // Reported by the shapes.
        _ => return None,
    };
    if test.is_none() {
        let message = format!("`{op}` compares with {}, not with this", wanted(op));
        report.add(node.place, message);
    }
    test
}

/// What may stand as the value of an operator.
fn wanted(op: &str) -> &'static str {
    match op {
        "exists" => "true or false",
        "lt" | "lte" | "gt" | "gte" => "a number",
        "in" | "not_in" => "a list of at least one value",
        "regex" | "not_regex" => "a regular expression, as text",
        "under" => "absolute folders such as `[\"/work/out\"]`",
        _ => "a value",
    }
}

fn order(op: &str, node: &Node) -> Option<Test> {
    let Value::Number(number) = &node.value else {
        return None;
    };
    let wanted = match op {
        "lt" => Wanted::Less,
        "lte" => Wanted::LessOrEqual,
        "gt" => Wanted::Greater,
        _ => Wanted::GreaterOrEqual,
    };
    Some(Test::Order {
        number: number.clone(),
        wanted,
    })
}

fn folders(node: &Node) -> Option<Folders> {
    match &node.value {
        Value::Text(folder) => Folders::new([folder.as_str()]),
        Value::List(items) => {
            let folders: Option<Vec<&str>> = items.iter().map(Node::text).collect();
            Folders::new(folders?)
        }
        _ => None,
    }
}

/// A number that no double holds could never be compared.
fn numbers_fit(node: &Node, report: &mut Report<'_>) -> Option<()> {
    match &node.value {
        Value::Number(text) if double(text).is_none() => {
            report.add(
                node.place,
                format!("the number {} is beyond what servers can read", quoted(text)),
            );
            None
        }
        Value::List(items) => items.iter().try_for_each(|item| numbers_fit(item, report)),
        Value::Object(entries) => entries
            .iter()
            .try_for_each(|entry| numbers_fit(&entry.value, report)),
        _ => Some(()),
    }
}

fn regex(text: &str, place: Place, report: &mut Report<'_>) -> Option<Regex> {
    let built = RegexBuilder::new(text)
        .size_limit(REGEX_SIZE)
        .dfa_size_limit(REGEX_SIZE)
        .build();
    let (message, help) = match built {
        Ok(regex) => return Some(regex),
        Err(regex::Error::CompiledTooBig(_)) => (
            format!(
                "the regular expression {} is too large when compiled",
                quoted(text)
            ),
            "repeat less: a bound such as `{1000}` costs as much as writing it out",
        ),
        Err(error) => (
            format!(
                "{} is not a regular expression: {}",
                quoted(text),
                last_line(&error.to_string())
            ),
            "look-around and back-references do not exist here: they cannot run in linear time",
        ),
    };
    report.add_with_help(place, message, help);
    None
}

/// The engine draws the place of a fault over several lines; the last one names it.
fn last_line(error: &str) -> String {
    let line = error.lines().last().unwrap_or_default();
    shown(line.strip_prefix("error: ").unwrap_or(line))
}

/// The condition as a refusal tells it.
fn text(written: &WrittenCondition<'_>) -> String {
    let (path, op) = (shown(written.path.value), written.op.value);
    match written.value {
        None => format!("{path} {op}"),
        Some(node) => format!("{path} {op} {}", shown(&plain(node))),
    }
}

fn plain(node: &Node) -> String {
    let list = |parts: Vec<String>| parts.join(", ");
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(text) => text.clone(),
        Value::Text(text) => format!("\"{text}\""),
        Value::List(items) => format!("[{}]", list(items.iter().map(plain).collect())),
        Value::Object(entries) => {
            let entry =
                |entry: &crate::document::Entry| format!("\"{}\": {}", entry.key.text, plain(&entry.value));
            format!("{{{}}}", list(entries.iter().map(entry).collect()))
        }
    }
}
