//! Policies with conditions, and calls with arguments.

use std::sync::Arc;

use toolgate::policy::{Call, Caller, Denial, Plan, Policy, load, plan_tool};

pub const CALLER: Caller<'_> = Caller {
    grant: "ci",
    server: "s",
    session: Some("1"),
    claims: None,
};

/// A policy of these tools under `default: deny`.
pub fn tools(tools: &str) -> Arc<Policy> {
    whole(&format!(
        r#"{{"version": "1", "default": "deny", "tools": {tools}}}"#
    ))
}

pub fn whole(text: &str) -> Arc<Policy> {
    match load("p", "p.json", text) {
        Ok(loaded) => Arc::new(loaded.policy),
        Err(problems) => panic!("{text}\n{problems:#?}"),
    }
}

/// A policy for the tool `t` alone.
pub fn tool(entry: &str) -> Arc<Policy> {
    tools(&format!(r#"{{"t": {entry}}}"#))
}

/// The problems of a policy for the tool `t`, as text.
pub fn problems(entry: &str) -> String {
    let text = format!(r#"{{"version": "1", "default": "deny", "tools": {{"t": {entry}}}}}"#);
    let problems = load("p", "p.json", &text).err().unwrap_or_default();
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

pub fn ask(policy: &Arc<Policy>, arguments: &str) -> Plan {
    let call = Call {
        tool: "t",
        arguments: Some(arguments),
    };
    plan_tool(std::slice::from_ref(policy), &CALLER, &call).plan
}

pub fn passes(policy: &Arc<Policy>, arguments: &str) -> bool {
    matches!(ask(policy, arguments), Plan::Admit(_))
}

pub fn refused(policy: &Arc<Policy>, arguments: &str) -> Denial {
    match ask(policy, arguments) {
        Plan::Refuse(denial) => denial,
        other => panic!("not refused: {arguments}: {other:?}"),
    }
}
