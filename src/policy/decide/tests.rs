use super::*;
use crate::policy::types::Subject;
use crate::policy::{Outcome, Window, load};

fn policy(name: &str, text: &str) -> Arc<Policy> {
    Arc::new(load(name, "p.json", text).unwrap().policy)
}

fn with_tools(tools: &str) -> Vec<Arc<Policy>> {
    vec![policy(
        "p",
        &format!(r#"{{"version": "1", "default": "deny", "tools": {tools}}}"#),
    )]
}

const CALLER: Caller<'_> = Caller {
    grant: "ci",
    server: "s",
    session: Some("abc"),
    claims: None,
};

fn plan(policies: &[Arc<Policy>], tool: &str) -> Plan {
    plan_tool(
        policies,
        &CALLER,
        &Call {
            tool,
            arguments: None,
        },
    )
    .plan
}

fn admitted(policies: &[Arc<Policy>], tool: &str) -> Vec<Charge> {
    match plan(policies, tool) {
        Plan::Admit(charges) => charges,
        other => panic!("not admitted: {other:?}"),
    }
}

fn refused(policies: &[Arc<Policy>], tool: &str) -> Denial {
    match plan(policies, tool) {
        Plan::Refuse(denial) => denial,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_policy_of_the_product_charges_one_call_to_the_grant() {
    let policies = with_tools(
        r#"{ "start_run": { "limits": [
            { "counter": "start_run_rate", "window": "minute", "max": 10, "scope": "grant" } ] } }"#,
    );
    let charges = admitted(&policies, "start_run");
    assert_eq!(charges.len(), 1);
    assert_eq!(charges[0].weight, 1);
    assert_eq!(charges[0].subject, Subject::Grant { grant: "ci".into() });
    assert_eq!(charges[0].limit.rule, "/tools/start_run/limits/start_run_rate");
    assert_eq!(charges[0].limit.counter, "start_run_rate");
    assert_eq!(charges[0].limit.window, Window::Sliding { ms: 60_000 });
    assert_eq!(charges[0].limit.max, 10);
}

#[test]
fn without_a_policy_everything_is_denied() {
    let denial = refused(&[], "start_run");
    assert_eq!(
        (denial.outcome, denial.rule.as_str()),
        (Outcome::Denied, "(no policy)")
    );
    assert!(!visible(&[], "start_run"));
    assert_eq!(
        plan_method(&[], "resources/read").denial().unwrap().rule,
        "(no policy)"
    );
}

#[test]
fn a_tool_that_nothing_names_looks_unknown_under_default_deny() {
    let policies = with_tools(r#"{ "a": {} }"#);
    let denial = refused(&policies, "b");
    assert_eq!(
        (denial.outcome, denial.rule.as_str()),
        (Outcome::Hidden, "(default deny)")
    );
    assert_eq!(denial.message, "Unknown tool: b");
    assert!(!visible(&policies, "b"));
    assert!(visible(&policies, "a"));
}

#[test]
fn a_hidden_tool_looks_unknown_even_where_an_entry_names_it() {
    let text = r#"{"version": "1", "default": "allow", "hide": ["db_*"], "tools": {"db_drop": {}}}"#;
    let policies = [policy("p", text)];
    let denial = refused(&policies, "db_drop");
    assert_eq!(
        (denial.outcome, denial.rule.as_str()),
        (Outcome::Hidden, "(hidden)")
    );
    assert!(!visible(&policies, "db_drop"));
    assert!(admitted(&policies, "other").is_empty());
}

#[test]
fn an_explicit_deny_stays_visible_and_gives_its_reason() {
    let policies = with_tools(r#"{ "a/b~c": { "action": "deny", "reason": "Ask the data team first" } }"#);
    let denial = refused(&policies, "a/b~c");
    assert_eq!(
        (denial.outcome, denial.rule.as_str()),
        (Outcome::Denied, "/tools/a~1b~0c/action")
    );
    assert_eq!(
        denial.message,
        "[POLICY DENIED] a/b~c: Ask the data team first. The call was not executed."
    );
    assert!(visible(&policies, "a/b~c"));
}

#[test]
fn one_entry_applies_and_all_tools_always_does() {
    let text = r#"{"version": "1", "default": "allow",
        "all_tools": {"limits": [{"counter": "all", "window": "hour", "max": 9}]},
        "tools": {"a*": {"limits": [{"counter": "short", "window": "hour", "max": 9}]},
                  "ab*": {"limits": [{"counter": "long", "window": "hour", "max": 9}]},
                  "abc": {"limits": [{"counter": "exact", "window": "hour", "max": 9}]}}}"#;
    let policies = [policy("p", text)];
    let counters = |tool| -> Vec<String> {
        admitted(&policies, tool)
            .iter()
            .map(|charge| charge.limit.counter.clone())
            .collect()
    };
    assert_eq!(counters("abc"), ["exact", "all"]);
    assert_eq!(counters("abd"), ["long", "all"]);
    assert_eq!(counters("a"), ["short", "all"]);
    assert_eq!(counters("z"), ["all"]);
}

#[test]
fn every_scope_charges_its_own_subject() {
    let limit =
        |scope| format!(r#"{{"counter": "{scope}", "window": "hour", "max": 9, "scope": "{scope}"}}"#);
    let limits = ["grant", "session", "server", "global"].map(limit).join(",");
    let policies = with_tools(&format!(r#"{{"t": {{"limits": [{limits}]}}}}"#));
    let subjects: Vec<_> = admitted(&policies, "t")
        .into_iter()
        .map(|charge| charge.subject)
        .collect();
    let session = |session: Option<&str>| Subject::Session {
        grant: "ci".into(),
        server: "s".into(),
        session: session.map(str::to_owned),
    };
    assert_eq!(
        subjects,
        [
            Subject::Grant { grant: "ci".into() },
            session(Some("abc")),
            Subject::Server { server: "s".into() },
            Subject::Global
        ]
    );
    let caller = Caller {
        session: None,
        ..CALLER
    };
    let Plan::Admit(charges) = plan_tool(
        &policies,
        &caller,
        &Call {
            tool: "t",
            arguments: None,
        },
    )
    .plan
    else {
        panic!("refused");
    };
    assert_eq!(charges[1].subject, session(None));
}

#[test]
fn the_same_usage_twice_in_one_call_is_charged_once_against_the_smallest_max() {
    let limit = |max| format!(r#"{{"counter": "c", "window": "hour", "max": {max}}}"#);
    let text = format!(
        r#"{{"version": "1", "default": "deny", "all_tools": {{"limits": [{}]}},
            "tools": {{"t": {{"limits": [{}]}}}}}}"#,
        limit(5),
        limit(20)
    );
    let org = format!(
        r#"{{"version": "1", "default": "allow", "all_tools": {{"limits": [{}]}}}}"#,
        limit(3)
    );
    let one = admitted(&[policy("p", &text)], "t");
    assert_eq!(one.iter().map(|charge| charge.limit.max).collect::<Vec<_>>(), [5]);
    let both = admitted(&[policy("p", &text), policy("org", &org)], "t");
    assert_eq!(
        both.iter().map(|charge| charge.limit.max).collect::<Vec<_>>(),
        [3]
    );
    assert_eq!(both[0].limit.rule, "org#/all_tools/limits/c");
    assert_eq!(both[0].weight, 1);
}

#[test]
fn another_window_or_scope_is_another_usage() {
    let policies = with_tools(
        r#"{"t": {"limits": [{"counter": "c", "window": "hour", "max": 9},
                             {"counter": "c", "window": "day", "max": 9},
                             {"counter": "c", "window": "hour", "max": 9, "scope": "global"}]}}"#,
    );
    let rules: Vec<_> = admitted(&policies, "t")
        .iter()
        .map(|charge| charge.limit.rule.clone())
        .collect();
    assert_eq!(
        rules,
        ["/tools/t/limits/0", "/tools/t/limits/1", "/tools/t/limits/2"]
    );
}

#[test]
fn of_several_policies_each_must_allow_and_rules_name_theirs() {
    let allow = policy("team", r#"{"version": "1", "default": "allow"}"#);
    let deny = policy(
        "org",
        r#"{"version": "1", "default": "allow", "tools": {"t": {"action": "deny"}}, "hide": ["x"]}"#,
    );
    let both = [allow.clone(), deny.clone()];
    assert_eq!(refused(&both, "t").rule, "org#/tools/t/action");
    assert_eq!(refused(std::slice::from_ref(&deny), "t").rule, "/tools/t/action");
    assert_eq!(refused(&both, "x").rule, "(hidden)");
    assert!(admitted(&both, "other").is_empty());
    assert!(visible(&both, "t") && !visible(&both, "x"));
}

#[test]
fn a_tool_that_a_later_policy_hides_looks_unknown_although_an_earlier_one_denies_it_openly() {
    let open = policy(
        "a",
        r#"{"version": "1", "default": "allow", "tools": {"t": {"action": "deny"}}}"#,
    );
    let hiding = policy("b", r#"{"version": "1", "default": "allow", "hide": ["t"]}"#);
    let denial = refused(&[open, hiding], "t");
    assert_eq!(
        (denial.outcome, denial.message.as_str()),
        (Outcome::Hidden, "Unknown tool: t")
    );
}

#[test]
fn other_methods_follow_the_default_and_protocol_methods_always_pass() {
    let deny = [policy(
        "strict",
        r#"{"version": "1", "default": "deny", "tools": {"t": {}}}"#,
    )];
    let allow = [policy("open", r#"{"version": "1", "default": "allow"}"#)];
    let decision = plan_method(&deny, "resources/read");
    let denial = decision.denial().unwrap();
    assert_eq!(
        (denial.outcome, denial.rule.as_str()),
        (Outcome::Denied, "(default deny)")
    );
    assert!(
        denial
            .message
            .contains(r#""methods": {"resources/read": "allow"}"#),
        "{}",
        denial.message
    );
    assert!(plan_method(&allow, "resources/read").denial().is_none());
    assert!(
        plan_method(&[allow[0].clone(), deny[0].clone()], "resources/read")
            .denial()
            .is_some()
    );
    assert!(plan_method(&deny, "tools/list").denial().is_none());
    assert!(plan_method(&[], "ping").denial().is_none());
    assert!(plan_method(&deny, "tools/call").denial().is_some());
}

#[test]
fn two_weights_that_slipped_through_charge_the_larger_and_never_more_than_max() {
    let limit = |max: u64, weight: u64| {
        let body = format!(
            r#"{{"limits": [{{"counter": "c", "window": "hour", "max": {max}, "weight": {weight}}}]}}"#
        );
        policy(
            "p",
            &format!(r#"{{"version": "1", "default": "allow", "all_tools": {body}}}"#),
        )
    };
    let charges = admitted(&[limit(10, 2), limit(20, 5)], "t");
    assert_eq!(
        (charges.len(), charges[0].weight, charges[0].limit.max),
        (1, 5, 10)
    );
    let denial = refused(&[limit(3, 2), limit(20, 5)], "t");
    assert_eq!((denial.outcome, denial.retry_after_ms), (Outcome::Limited, None));
}
