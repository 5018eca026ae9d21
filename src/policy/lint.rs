//! Lints: what a sound policy says that its author can hardly have meant.

mod arguments;
mod blocks;
mod values;

use std::collections::HashMap;

use arguments::lint_schema;
use blocks::{Sure, lint_asking_twice, lint_blocks};
use values::lint_values;

use super::compile::is_chosen;
use super::compiled::{Fallback, Policy};
use super::glob::Glob;
use super::shape::Report;
use super::strictness::never_binds;
use super::together::Usage;
use super::types::{Scope, Window};
use super::written::{Located, WrittenAction, WrittenBlocks, WrittenPolicy, WrittenTool};
use crate::document::quoted;

/// Reports what stands in vain. Called only for a policy without errors.
pub(super) fn lint(written: &WrittenPolicy<'_>, policy: &Policy, report: &mut Report<'_>) {
    let hidden = Hidden::new(&written.hide);
    hidden.lint_itself(&written.hide, report);
    for tool in &written.tools {
        if let Some(by) = hidden.hides(tool.name.value) {
            let message = format!(
                "the entry {} never applies: `hide` holds {}",
                quoted(tool.name.value),
                quoted(by)
            );
            report.add_with_help(tool.name.place, message, "take one of them out");
            continue;
        }
        lint_entry(tool, report);
        if let (Some(entry), false) = (policy.tools.written(tool.name.value), tool.is_denied()) {
            let sure = Sure::new([&entry.blocks, &policy.all_blocks], tool.arguments);
            lint_blocks(&tool.blocks, &entry.blocks, &sure, report);
            lint_asking_twice(tool, &entry.action, &entry.blocks, report);
            let limits = tool.limits.iter().chain(&tool.concurrency);
            lint_values(limits, &entry.limits, tool.arguments, &entry.blocks, report);
            if let Some(schema) = tool.arguments {
                lint_schema(schema, report);
            }
        }
    }
    let sure = Sure::new([&policy.all_blocks], None);
    lint_blocks(&written.all_blocks, &policy.all_blocks, &sure, report);
    super::compile::methods::lint(&written.methods, report);
    lint_beaten(&written.tools, report);
    lint_max_values(written, report);
    let by_entry = ByEntry::new(&policy.usages);
    lint_sessions(policy.default, &written.tools, &by_entry, report);
    lint_never_binding(&policy.usages, &by_entry, report);
}

/// The names and globs under `hide`.
struct Hidden<'n> {
    exact: HashMap<&'n str, usize>,
    globs: Vec<(usize, Glob)>,
}

impl<'n> Hidden<'n> {
    fn new(hide: &[Located<&'n str>]) -> Self {
        let mut hidden = Self {
            exact: HashMap::new(),
            globs: Vec::new(),
        };
        for (index, name) in hide.iter().enumerate() {
            match Glob::new(name.value) {
                Some(glob) => hidden.globs.push((index, glob)),
                None => {
                    hidden.exact.entry(name.value).or_insert(index);
                }
            }
        }
        hidden
    }

    /// What hides every tool that `name` stands for.
    fn hides<'s>(&'s self, name: &'s str) -> Option<&'s str> {
        if self.exact.contains_key(name) {
            return Some(name);
        }
        self.covering(name, None)
    }

    /// The glob, other than the one at `index`, that hides every tool that `name` stands for.
    fn covering(&self, name: &str, index: Option<usize>) -> Option<&str> {
        let glob = Glob::new(name);
        let covers = |hiding: &Glob| match &glob {
            Some(glob) => hiding.covers(glob),
            None => hiding.matches(name),
        };
        // Of two that are the same, the later one is in vain.
        let counts = |at: usize, hiding: &Glob| {
            index.is_none_or(|own| at < own || (at > own && hiding.text() != name))
        };
        let found = self
            .globs
            .iter()
            .find(|(at, hiding)| counts(*at, hiding) && covers(hiding));
        found.map(|(_, hiding)| hiding.text())
    }

    fn lint_itself(&self, hide: &[Located<&str>], report: &mut Report<'_>) {
        for (index, name) in hide.iter().enumerate() {
            let twice = self.exact.get(name.value).is_some_and(|first| *first < index);
            if let Some(by) = self
                .covering(name.value, Some(index))
                .or(twice.then_some(name.value))
            {
                let message = format!("{} is hidden by {} already", quoted(name.value), quoted(by));
                report.add_with_help(name.place, message, "take it out");
            }
        }
    }
}

fn lint_entry(tool: &WrittenTool<'_>, report: &mut Report<'_>) {
    let name = quoted(tool.name.value);
    let tells = tool.action != WrittenAction::Allow || !tool.blocks.approve_if.is_empty();
    if let (Some(reason), false) = (tool.reason, tells) {
        let message = format!(
            "the reason of {name} is never told: only a call that is denied or needs approval is given one"
        );
        report.add_with_help(
            reason.place,
            message,
            "write `\"action\": \"deny\"` or `\"require_approval\"`, or take the reason out",
        );
    }
    let limit = tool
        .limits
        .iter()
        .chain(&tool.concurrency)
        .next()
        .map(|limit| limit.place);
    if let (Some(place), true) = (
        limit.or(tool.rate_limit.as_ref().map(|rate| rate.place)),
        tool.is_denied(),
    ) {
        let message = format!("the limits of {name} never apply: its action is `deny`");
        report.add_with_help(place, message, "take the limits or the action out");
    }
    let WrittenBlocks {
        require,
        deny_if,
        approve_if,
        approvers: _,
    } = &tool.blocks;
    let block = require.iter().chain(deny_if).chain(approve_if).next();
    if let (Some(block), true) = (block, tool.is_denied()) {
        let message = format!("the conditions of {name} never apply: its action is `deny`");
        report.add_with_help(block.place, message, "take the conditions or the action out");
    }
}

/// A denial, or a demand for approval, by glob that a more specific glob opens again for some of its tools. Where the
/// first covers all that the other opens, the other is an exception that somebody meant.
fn lint_beaten(tools: &[WrittenTool<'_>], report: &mut Report<'_>) {
    let glob = |tool: &WrittenTool<'_>| Glob::new(tool.name.value);
    for tool in tools {
        let (verb, what) = match tool.action {
            WrittenAction::Allow => continue,
            WrittenAction::Deny => (
                "denies",
                "deny the tools by name, or take them out with `hide`, which comes first",
            ),
            WrittenAction::RequireApproval => (
                "asks about",
                "name the tools, or write an `approve_if` on `tool.name` under `all_tools`",
            ),
        };
        let Some(strict) = glob(tool) else { continue };
        let rank = |glob: &Glob| (glob.prefix().len(), glob.literals());
        let beats =
            |open: &Glob| rank(open) > rank(&strict) && open.overlaps(&strict) && !strict.covers(open);
        let looser = tools.iter().filter(|other| other.action < tool.action);
        if let Some(open) = looser.filter_map(glob).find(beats) {
            let (strict, open) = (quoted(strict.text()), quoted(open.text()));
            let message =
                format!("{strict} {verb} nothing that {open} matches: the longer literal prefix wins");
            report.add_with_help(tool.name.place, message, what);
        }
    }
}

fn lint_max_values(written: &WrittenPolicy<'_>, report: &mut Report<'_>) {
    let lists = written
        .tools
        .iter()
        .map(|tool| &tool.limits)
        .chain([&written.all_tools]);
    for limit in lists.flatten().filter(|limit| !is_chosen(limit.scope)) {
        if let Some(values) = limit.max_values {
            let message = "`max_values` has no effect: the caller does not choose the values of this scope";
            report.add_with_help(values.place, message, "take it out");
        }
    }
}

/// The usages of a policy by the entry that they stand in; `None` for `all_tools`.
struct ByEntry<'u>(HashMap<Option<&'u str>, Vec<&'u Usage>>);

impl<'u> ByEntry<'u> {
    fn new(usages: &'u [Usage]) -> Self {
        let mut map: HashMap<_, Vec<_>> = HashMap::new();
        // A limit in shadow holds nothing. That its whole policy may be on trial is no reason to say less.
        for usage in usages.iter().filter(|usage| !usage.shadow) {
            map.entry(usage.applies.entry()).or_default().push(usage);
        }
        Self(map)
    }

    fn of<'s>(&'s self, entry: Option<&'s str>) -> &'s [&'s Usage] {
        self.0.get(&entry).map(Vec::as_slice).unwrap_or_default()
    }
}

fn lint_sessions(
    fallback: Fallback,
    tools: &[WrittenTool<'_>],
    by_entry: &ByEntry<'_>,
    report: &mut Report<'_>,
) {
    let escaped = |usage: &&Usage| matches!(usage.limit.scope, Scope::Session | Scope::Arguments);
    let by_session = |usages: &[&Usage]| {
        // How many calls run at once holds nobody back who makes one after the other.
        let at_once = |usage: &&Usage| matches!(usage.limit.window, Window::Lease { .. });
        let mut counted = usages.iter().filter(|usage| !at_once(usage)).peekable();
        match counted.peek() {
            Some(_) => counted.all(escaped),
            None => usages.iter().all(escaped),
        }
    };
    let everywhere = by_entry.of(None);
    if !by_session(everywhere) {
        return;
    }
    const HELP: &str = "add a limit with scope `grant`";
    let mut only_everywhere = fallback == Fallback::Allow;
    for tool in tools.iter().filter(|tool| !tool.is_denied()) {
        let own = by_entry.of(Some(tool.name.value));
        match own.iter().find(|usage| escaped(usage)).or(own.first()) {
            None => only_everywhere = true,
            Some(first) if by_session(own) => {
                let message = format!(
                    "{} is held only by limits of {}",
                    quoted(tool.name.value),
                    escape(first.limit.scope)
                );
                report.add_with_help(first.place, message, HELP);
            }
            Some(_) => {}
        }
    }
    if let (Some(first), true) = (everywhere.first(), only_everywhere) {
        let message = format!(
            "tools without limits of their own are held only by limits of {}",
            escape(first.limit.scope)
        );
        report.add_with_help(first.place, message, HELP);
    }
}

/// How an agent gets round a limit whose value it chooses.
fn escape(scope: Scope) -> &'static str {
    match scope {
        Scope::Arguments => "scope `arguments`: an agent starts anew by changing any argument",
        _ => "scope `session`: an agent starts anew by opening a new session",
    }
}

fn lint_never_binding(usages: &[Usage], by_entry: &ByEntry<'_>, report: &mut Report<'_>) {
    let mut entries_of: HashMap<_, Vec<Option<&str>>> = HashMap::new();
    for usage in usages {
        let entries = entries_of.entry(usage.key()).or_default();
        if entries.last() != Some(&usage.applies.entry()) {
            entries.push(usage.applies.entry());
        }
    }
    for usage in usages.iter().filter(|usage| !usage.shadow) {
        let entry = usage.applies.entry();
        // A counter that other entries charge too may fill up without this one's calls.
        if entries_of
            .get(&usage.key())
            .is_none_or(|entries| entries.len() > 1)
        {
            continue;
        }
        let own = by_entry.of(entry).iter();
        let everywhere = entry.map(|_| by_entry.of(None)).unwrap_or_default().iter();
        let stricter = own.chain(everywhere).find(|other| {
            never_binds(usage, other) && (!never_binds(other, usage) || other.place < usage.place)
        });
        if let Some(stricter) = stricter {
            let message = format!(
                "the limit {} never binds: {} on line {} is always used up first",
                quoted(&usage.limit.counter),
                quoted(&stricter.limit.counter),
                stricter.place.line
            );
            report.add_with_help(usage.place, message, "take it out, or lower its `max`");
        }
    }
}
