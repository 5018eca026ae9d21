//! `methods`: which methods beside `tools/call` a policy opens or closes.

use std::collections::HashMap;

use super::super::compiled::{Method, Rule};
use super::super::methods::is_protocol_method;
use super::super::shape::Report;
use super::super::suggest::nearest;
use super::super::written::Located;
use super::escape;
use crate::document::quoted;

/// Methods of servers that the revisions of MCP know, beside `tools/call` and those of the protocol itself.
const KNOWN: [&str; 5] = [
    "completion/complete",
    "prompts/get",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
];

pub(super) fn compile(
    policy: &str,
    written: &[(Located<&str>, bool)],
    report: &mut Report<'_>,
) -> HashMap<Box<str>, Method> {
    let mut methods = HashMap::new();
    for (name, allowed) in written {
        check(name, report);
        let rule = Rule::new(policy, format!("/methods/{}", escape(name.value)));
        let method = Method {
            rule,
            allowed: *allowed,
        };
        methods.insert(Box::from(name.value), method);
    }
    methods
}

fn check(name: &Located<&str>, report: &mut Report<'_>) {
    let Located { place, value } = *name;
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '`' | '*' | '?');
    if value == "tools/call" {
        let message = "`tools/call` is not opened or closed as a whole";
        report.add_with_help(place, message, "write tools under `tools`");
    } else if is_protocol_method(value) {
        let message = format!("{} belongs to the protocol and always passes", quoted(value));
        report.add_with_help(place, message, "take it out");
    } else if value.is_empty() || value.contains(odd) {
        let message = format!("{} is not a method's name: no globs, no blanks", quoted(value));
        report.add_with_help(place, message, "name each method, or use `default` for the rest");
    }
}

/// Servers may have methods of their own, so a name that nobody knows is no error.
pub(in super::super) fn lint(written: &[(Located<&str>, bool)], report: &mut Report<'_>) {
    for (Located { place, value }, _) in written {
        if let Some(near) = nearest(value, KNOWN.into_iter()).filter(|near| near != value) {
            let message = format!("no revision of MCP knows the method {}", quoted(value));
            report.add_with_help(*place, message, format!("did you mean `{near}`?"));
        }
    }
}
