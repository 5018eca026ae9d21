//! Names that could never bind: a rule for `` `start_run` `` with the back-ticks in it, or with a
//! blank at its end, looks right and guards nothing. Each is an error that gives the name meant.

use super::shape::Report;
use super::written::Located;
use crate::document::{is_invisible, quoted};

/// Checks a tool's name or glob.
pub(super) fn check_tool_name(name: Located<&str>, report: &mut Report<'_>) {
    if !check_name("tool", name, report) {
        return;
    }
    if let Some(bracket) = name.value.chars().find(|c| matches!(c, '[' | ']' | '{' | '}')) {
        let message = format!(
            "the name {} holds `{bracket}`, which means nothing in a glob",
            quoted(name.value)
        );
        let help = "only `*` (any run of characters) and `?` (one character) are wildcards; write one entry for each name";
        report.add_with_help(name.place, message, help);
    }
}

/// Checks a counter's name.
pub(super) fn check_counter_name(name: Located<&str>, report: &mut Report<'_>) {
    check_name("counter", name, report);
}

/// Why a policy cannot name this one tool: a rule of that name would be an error, or stand for more than it.
pub fn unnameable(tool: &str) -> Option<&'static str> {
    let wildcard = || {
        tool.contains(['*', '?'])
            .then_some("holds a wildcard of policies")
    };
    let bracket = || tool.contains(['[', ']', '{', '}']).then_some("holds a bracket");
    fault(tool).or_else(wildcard).or_else(bracket)
}

fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.contains('`') {
        Some("holds back-ticks")
    } else if name.chars().any(char::is_control) {
        Some("holds a control character")
    } else if name.chars().any(is_invisible) {
        Some("holds an invisible character")
    } else if name.contains(char::is_whitespace) {
        Some("holds a blank")
    } else {
        None
    }
}

fn check_name(kind: &str, Located { place, value }: Located<&str>, report: &mut Report<'_>) -> bool {
    let Some(fault) = fault(value) else {
        return true;
    };
    let message = format!("the {kind} name {} {fault}", quoted(value));
    let meant = meant(value);
    if meant.is_empty() {
        report.add_with_help(place, message, format!("write the {kind}'s name"));
    } else {
        report.add_with_help(place, message, format!("write `{meant}`"));
    }
    false
}

/// The name that was probably meant: without what surrounds it, inner blanks as `_`.
fn meant(name: &str) -> String {
    let visible: String = name.chars().filter(|c| *c != '`' && !is_invisible(*c)).collect();
    let edges = |c: char| c.is_whitespace() || c.is_control();
    let words = visible.split(edges).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}
