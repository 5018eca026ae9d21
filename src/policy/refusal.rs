//! What a refused call is told: outcome, rule, and one public sentence. No arguments, no secrets.

mod people;

pub use people::{
    another_call, needs_approval, people_refused, people_unreachable, too_many_wait, waits_for_people,
};

use std::fmt::Write as _;

use super::arguments::Misfit;
use super::block::Fault;
use super::types::{Charge, Denial, Limit, Outcome, Subject, Window};
use super::window::shown_window;

pub(super) const NO_POLICY: &str = "(no policy)";
pub(super) const NO_ID: &str = "(no id)";
pub(super) const HIDDEN: &str = "(hidden)";
pub(super) const DEFAULT_DENY: &str = "(default deny)";
const PINNED: &str = "(pinned)";
const AUDIT: &str = "(audit)";

/// The refusal of a call whose charge the store did not admit.
///
/// `retry_after_ms` is when the call would be admitted if nothing else came; `None` where it never
/// will be, or nobody knows. Seconds round up: an agent that waits as told is admitted.
pub fn limited(charge: &Charge, tool: &str, retry_after_ms: Option<u64>) -> Denial {
    let limit = &charge.limit;
    if charge.weight > limit.max {
        return above_max(limit, &charge.subject, tool);
    }
    if let Some(reason) = &limit.on_deny {
        return refuse(Outcome::Limited, tool, &limit.rule, reason, retry_after_ms);
    }
    let max = whole(limit);
    let whose = whose(&charge.subject);
    if let Window::Lease { .. } = limit.window {
        let text = match max {
            1 => format!("1 call {whose} is running, and no other may run beside it"),
            _ => format!("{max} calls {whose} are running, and no more may run at once"),
        };
        return refuse(Outcome::Limited, tool, &limit.rule, &text, retry_after_ms);
    }
    let unit = match (charge.weight, max) {
        (1, 1) if limit.scale == 0 => "call",
        (1, _) if limit.scale == 0 => "calls",
        (_, 1) => "unit",
        _ => "units",
    };
    let window = shown_window(limit.window);
    let verb = if max == 1 { "is" } else { "are" };
    let text = format!("{max} {unit} per {window} {whose} {verb} used up");
    refuse(Outcome::Limited, tool, &limit.rule, &text, retry_after_ms)
}

/// The refusal of a call that no state of its counter admits. What it counts may be an argument's
/// value, and is not told.
pub(super) fn above_max(limit: &Limit, subject: &Subject, tool: &str) -> Denial {
    if let Some(reason) = &limit.on_deny {
        return refuse(Outcome::Limited, tool, &limit.rule, reason, None);
    }
    let max = whole(limit);
    let unit = if max == 1 { "unit" } else { "units" };
    let (window, whose) = (shown_window(limit.window), whose(subject));
    let text = format!("this call alone counts more than the {max} {unit} per {window} {whose}");
    refuse(Outcome::Limited, tool, &limit.rule, &text, None)
}

/// `max` as its author wrote it.
fn whole(limit: &Limit) -> u64 {
    let scale = 10_u64.checked_pow(u32::from(limit.scale)).unwrap_or(1);
    limit.max.checked_div(scale).unwrap_or(limit.max)
}

/// The refusal of a call whose amount or value cannot be read.
pub(super) fn uncountable(tool: &str, limit: &Limit, why: &str) -> Denial {
    let text = match &limit.on_deny {
        Some(reason) => format!(
            "{} (it could not be counted: {why})",
            reason.trim_end_matches('.')
        ),
        None => format!("it could not be counted: {why}"),
    };
    refuse(Outcome::Denied, tool, &limit.rule, &text, None)
}

/// The refusal of a limited call whose charges could not be checked. `rule` is that of a limit that
/// would have been charged.
pub fn store_unavailable(tool: &str, rule: &str, retry_after_ms: Option<u64>) -> Denial {
    let text = "its limits could not be checked, because the counters did not answer";
    refuse(Outcome::StoreError, tool, rule, text, retry_after_ms)
}

/// The refusal of a call with limits that could not be recorded.
pub fn not_recorded(tool: &str, retry_after_ms: Option<u64>) -> Denial {
    let text = "it could not be recorded, because the audit log cannot be written";
    refuse(Outcome::StoreError, tool, AUDIT, text, retry_after_ms)
}

/// The refusal of a `tools/call` that is a notification. Servers ran some of these; nobody could be told what
/// became of them.
pub fn without_id(tool: &str) -> Denial {
    let tool = shown(tool);
    Denial {
        outcome: Outcome::Invalid,
        rule: NO_ID.to_owned(),
        message: format!("[POLICY DENIED] {tool}: a tools/call without an id is never forwarded."),
        retry_after_ms: None,
    }
}

pub(super) fn no_policy(what: &str) -> Denial {
    refuse(
        Outcome::Denied,
        what,
        NO_POLICY,
        "this grant carries no policy, so nothing is allowed",
        None,
    )
}

/// As the server itself would say it: nothing shows that the tool exists.
pub(super) fn unknown_tool(tool: &str, rule: &str) -> Denial {
    Denial {
        outcome: Outcome::Hidden,
        rule: rule.to_owned(),
        message: format!("Unknown tool: {tool}"),
        retry_after_ms: None,
    }
}

/// The refusal of a call on a tool whose definition is not the accepted one: as if it did not exist.
pub fn not_accepted(tool: &str) -> Denial {
    unknown_tool(tool, PINNED)
}

pub(super) fn denied(tool: &str, rule: &str, reason: Option<&str>) -> Denial {
    refuse(
        Outcome::Denied,
        tool,
        rule,
        reason.unwrap_or("the policy denies this tool"),
        None,
    )
}

pub(super) fn arguments_denied(tool: &str, rule: &str, misfit: &Misfit) -> Denial {
    refuse(Outcome::Denied, tool, rule, &misfit.to_string(), None)
}

/// The refusal of a block. `on_deny` is its author's reason.
pub(super) fn block_denied(tool: &str, rule: &str, on_deny: Option<&str>, fault: &Fault<'_>) -> Denial {
    let why = match fault {
        Fault::Unmet(condition) => format!("the policy requires `{}`", condition.text),
        Fault::Met([]) => "the policy denies this tool".to_owned(),
        Fault::Met(conditions) => {
            let texts: Vec<String> = conditions
                .iter()
                .map(|condition| format!("`{}`", condition.text))
                .collect();
            format!("the policy denies calls with {}", texts.join(" and "))
        }
        Fault::Doubtful(condition, doubt) => {
            format!("`{}` could not be evaluated: {}", condition.text, doubt.as_str())
        }
    };
    let text = match (on_deny, fault) {
        (Some(reason), Fault::Doubtful(..)) => format!("{} ({why})", reason.trim_end_matches('.')),
        (Some(reason), _) => reason.to_owned(),
        (None, _) => why,
    };
    refuse(Outcome::Denied, tool, rule, &text, None)
}

pub(super) fn method_denied(method: &str, policy: &str) -> Denial {
    let text = format!(
        "methods other than tools/call follow the `default` of policy `{}`, which is \"deny\". \
         Write `\"methods\": {{\"{}\": \"allow\"}}` there to open this one",
        shown(policy),
        shown(method)
    );
    refuse(Outcome::Denied, method, DEFAULT_DENY, &text, None)
}

pub(super) fn method_closed(method: &str, rule: &str) -> Denial {
    let text = "the policy closes this method";
    refuse(Outcome::Denied, method, rule, text, None)
}

fn refuse(outcome: Outcome, what: &str, rule: &str, text: &str, retry_after_ms: Option<u64>) -> Denial {
    let text = text.trim();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    let mut message = format!("[POLICY DENIED] {}: {text}{stop}", shown(what));
    if let Some(ms) = retry_after_ms {
        // Writing to a string cannot fail.
        let _ = write!(message, " Try again in {} s.", ms.div_ceil(1_000).max(1));
    }
    message.push_str(" The call was not executed.");
    Denial {
        outcome,
        rule: rule.to_owned(),
        message,
        retry_after_ms,
    }
}

fn whose(subject: &Subject) -> &'static str {
    match subject {
        Subject::Grant { .. } | Subject::Session { session: None, .. } => "for this grant",
        Subject::Session { .. } => "for this session",
        Subject::Server { .. } => "for this server",
        Subject::Global => "for all grants together",
        Subject::Claim { .. } => "for all grants with this claim",
        Subject::Argument { .. } => "for this value of the argument",
        Subject::Arguments { .. } => "for these arguments",
    }
}

/// A caller's name, fit for a sentence: at most 128 characters, control characters escaped.
fn shown(name: &str) -> String {
    let mut shown = String::with_capacity(name.len().min(128));
    let mut chars = name.chars();
    for c in chars.by_ref().take(128) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
