//! A policy beside the tools of the server that it is for: what would never bind, and what nothing rules.

mod input;
mod uses;

use std::collections::{BTreeMap, BTreeSet};

use super::compiled::{Action, Fallback, Policy};
use super::glob::Glob;
use super::shape::Report;
use super::suggest::{list, nearest, resembling};
use super::written::{Located, WrittenPolicy};
use crate::document::quoted;
use crate::mcp::tools::Tool;
use uses::{check_paths, uses_of_blocks, uses_of_limits, uses_of_record};

/// How many names one message tells.
const SHOWN: usize = 8;

/// Warns of what the policy says in vain, and of tools about which it says nothing.
pub(super) fn against(
    written: &WrittenPolicy<'_>,
    policy: &Policy,
    tools: &[Tool],
    warnings: &mut Report<'_>,
    notes: &mut Report<'_>,
) {
    let names: BTreeSet<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    for name in &written.hide {
        check_name(*name, &names, warnings);
    }
    for tool in &written.tools {
        check_name(tool.name, &names, warnings);
    }
    let ruled = Ruled::new(policy, tools);
    unnamed(written, policy, &ruled, warnings, notes);
    for tool in &written.tools {
        let key = tool.name.value;
        let (Some(entry), Some(tools)) = (policy.tools.written(key), ruled.by_entry.get(key)) else {
            continue;
        };
        if matches!(entry.action, Action::Deny { .. }) {
            continue;
        }
        let mut uses = uses_of_blocks(&tool.blocks, &entry.blocks);
        uses.extend(uses_of_limits(
            tool.limits.iter().chain(&tool.concurrency),
            &entry.limits,
        ));
        check_paths(&uses, Some(key), tools, warnings);
    }
    let mut everywhere = uses_of_blocks(&written.all_blocks, &policy.all_blocks);
    everywhere.extend(uses_of_limits(&written.all_tools, &policy.all_tools));
    everywhere.extend(uses_of_record(&written.record, &policy.record));
    check_paths(&everywhere, None, &ruled.passing, warnings);
}

/// The server's tools, by what the policy does with them.
struct Ruled<'t> {
    /// Key of an entry → the tools that it applies to.
    by_entry: BTreeMap<&'t str, Vec<&'t Tool>>,
    /// Neither hidden nor named by an entry.
    unnamed: Vec<&'t str>,
    /// Every tool that is not refused whatever its arguments are.
    passing: Vec<&'t Tool>,
}

impl<'t> Ruled<'t> {
    fn new(policy: &'t Policy, tools: &'t [Tool]) -> Self {
        let mut ruled = Self {
            by_entry: BTreeMap::new(),
            unnamed: Vec::new(),
            passing: Vec::new(),
        };
        for tool in tools {
            if policy.hide.get(&tool.name).is_some() {
                continue;
            }
            let passes = match policy.tools.get(&tool.name) {
                Some(entry) => {
                    ruled.by_entry.entry(&entry.key).or_default().push(tool);
                    !matches!(entry.action, Action::Deny { .. })
                }
                None => {
                    ruled.unnamed.push(&tool.name);
                    policy.default == Fallback::Allow
                }
            };
            if passes {
                ruled.passing.push(tool);
            }
        }
        ruled
    }
}

/// A name that the server does not have, or a glob that none of its tools matches.
fn check_name(written: Located<&str>, names: &BTreeSet<&str>, report: &mut Report<'_>) {
    let Located { place, value: name } = written;
    if let Some(glob) = Glob::new(name) {
        if !names.iter().any(|tool| glob.matches(tool)) {
            let message = format!("no tool of the server matches {}", quoted(name));
            report.add_with_help(place, message, "take it out, or look at how the tools are called");
        }
    } else if !names.contains(name) {
        let message = format!("the server has no tool {}", quoted(name));
        let known = || names.iter().copied();
        match nearest(name, known()).or_else(|| resembling(name, known())) {
            Some(near) => report.add_with_help(place, message, format!("did you mean {}?", quoted(near))),
            None => report.add_with_help(
                place,
                message,
                "take it out, or look at how the tool is called now",
            ),
        }
    }
}

/// Tools about which nothing is said: a warning where they pass, a note where they do not.
fn unnamed(
    written: &WrittenPolicy<'_>,
    policy: &Policy,
    ruled: &Ruled<'_>,
    warnings: &mut Report<'_>,
    notes: &mut Report<'_>,
) {
    if ruled.unnamed.is_empty() {
        return;
    }
    let (count, names) = (ruled.unnamed.len(), enumerate(&ruled.unnamed));
    let (tools, them) = if count == 1 {
        ("tool", "it")
    } else {
        ("tools", "them")
    };
    let place = written.default_place;
    match policy.default {
        Fallback::Allow => {
            let held = if policy.all_tools.is_empty()
                && policy.all_blocks.require.is_empty()
                && policy.all_blocks.deny_if.is_empty()
                && policy.all_blocks.approve_if.is_empty()
            {
                "without any rule"
            } else {
                "under the rules of `all_tools` alone"
            };
            let message = format!(
                "no rule names {count} {tools} of the server, so `default` lets {them} pass {held}: {names}"
            );
            let help = "name them, or write the entry `\"*\": {}` to say that the others may pass";
            warnings.add_with_help(place, message, help);
        }
        Fallback::Deny => {
            let message = format!(
                "no rule names {count} {tools} of the server, so `default` refuses {them} and leaves {them} out of tools/list: {names}"
            );
            notes.add(place, message);
        }
    }
}

/// Some names, in back-ticks, and how many there are beside them.
fn enumerate(names: &[&str]) -> String {
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| quoted(name)).collect();
    let beside = names.len().saturating_sub(shown.len());
    if beside > 0 {
        shown.push(format!("{beside} more"));
    }
    list(shown.into_iter(), "and")
}
